/*
 * A plan as the flat file that cloche-init maps. Pure data to data.
 */
#include "backends/linux/image-make.h"

#include <errno.h>
#include <string.h>

#include "backends/linux/filter.h"
#include "base/strv.h"

#define SEARCH_PATH_DEFAULT "/usr/local/bin:/usr/bin:/bin"

static uint32_t put_string(struct buf *buf, const char *text)
{
	uint32_t offset = (uint32_t)buf->size;

	if (!text) {
		return 0;
	}
	buf_put(buf, text, strlen(text) + 1);
	return offset;
}

/* Arrays are of 8-byte things at most. */
static uint32_t align(struct buf *buf)
{
	static const char zeros[8];

	buf_put(buf, zeros, -buf->size & 7);
	return (uint32_t)buf->size;
}

/* As a path from the host's root, for a cloche-init that has to open it by itself. */
static uint32_t put_source(struct buf *buf, const struct plan_mount *mount)
{
	uint32_t offset = (uint32_t)buf->size;

	if (mount->flags & PLAN_IN_ROOT) {
		buf_put(buf, mount->content, strlen(mount->content));
		(void)put_string(buf, mount->source);
		return offset;
	}
	return put_string(buf, mount->source);
}

/* The strings, then an array of their offsets. */
static uint32_t put_strings(struct buf *buf, char *const *list, uint32_t *ret_count)
{
	uint32_t offset = (uint32_t)buf->size;
	size_t count = strv_length(list);
	uint32_t at = 0;

	if (count >= IMAGE_MAX_STRINGS) {
		buf->failed = true;
		return 0;
	}
	for (size_t i = 0; i < count; i++) {
		(void)put_string(buf, list[i]);
	}
	at = align(buf);
	for (size_t i = 0; i < count; i++) {
		buf_put(buf, &offset, sizeof(offset));
		offset += (uint32_t)strlen(list[i]) + 1;
	}
	*ret_count = (uint32_t)count;
	return at;
}

static uint32_t put_content(struct buf *buf, const struct plan_mount *mount, uint32_t *ret_size)
{
	uint32_t offset = (uint32_t)buf->size;

	if (mount->kind == PLAN_MOUNT_WHY) {
		buf_put(buf, image_why_program, image_why_size);
		*ret_size = (uint32_t)image_why_size;
		return offset;
	}
	*ret_size = mount->content ? (uint32_t)strlen(mount->content) : 0;
	return put_string(buf, mount->content);
}

/* The array first, with room for the offsets of strings that come behind it. */
static uint32_t put_mounts(struct buf *buf, const struct plan *plan,
	const struct image_source *sources, uint32_t *ret_count)
{
	uint32_t at = align(buf);
	uint32_t count = 0;

	for (size_t i = 0; i < plan->mount_count; i++) {
		static const struct image_mount empty;
		if (!sources[i].absent) {
			buf_put(buf, &empty, sizeof(empty));
			count++;
		}
	}
	if (count > IMAGE_MAX_MOUNTS || buf->failed) {
		buf->failed = true;
		return 0;
	}
	*ret_count = count;
	for (size_t i = 0, put = at; i < plan->mount_count; i++) {
		const struct plan_mount *from = &plan->mounts[i];
		if (sources[i].absent) {
			continue;
		}
		struct image_mount to = {.kind = from->kind,
			.flags = from->flags,
			.mode = from->mode,
			.size = from->size,
			.inodes = from->inodes,
			.has_tree = sources[i].has_tree,
			.device = sources[i].device,
			.inode = sources[i].inode};
		to.source = put_source(buf, from);
		to.target = put_string(buf, from->target);
		to.content = put_content(buf, from, &to.content_size);
		if (!buf->failed) {
			memcpy(buf->data + put, &to, sizeof(to));
		}
		put += sizeof(to);
	}
	return at;
}

static uint32_t put_rules(struct buf *buf, const struct plan *plan)
{
	const struct plan_landlock *landlock = &plan->landlock;
	uint32_t offset = (uint32_t)buf->size;
	uint32_t at = 0;

	for (size_t i = 0; i < landlock->rule_count; i++) {
		(void)put_string(buf, landlock->rules[i].path);
	}
	at = align(buf);
	for (size_t i = 0; i < landlock->rule_count; i++) {
		struct image_rule rule = {.path = offset, .access = landlock->rules[i].access};
		buf_put(buf, &rule, sizeof(rule));
		offset += (uint32_t)strlen(landlock->rules[i].path) + 1;
	}
	return at;
}

static uint32_t put_rlimits(struct buf *buf, const struct plan *plan)
{
	uint32_t at = align(buf);

	for (size_t i = 0; i < plan->rlimit_count; i++) {
		struct image_rlimit limit = {(uint64_t)plan->rlimits[i].resource,
			plan->rlimits[i].soft, plan->rlimits[i].hard};
		buf_put(buf, &limit, sizeof(limit));
	}
	return at;
}

static uint32_t flags_of(const struct plan *plan)
{
	return (plan->namespaces & PLAN_NS_CGROUP ? IMAGE_UNSHARE_CGROUP : 0) |
		/* A network with a way out was made by the launcher, and its loopback is up. */
		(plan->namespaces & PLAN_NS_NET && !plan_has_way_out(plan) ? IMAGE_LOOPBACK : 0) |
		(plan->namespaces & PLAN_NS_MOUNT ? IMAGE_MOUNTS : 0) |
		(plan->namespaces & PLAN_NS_PID ? IMAGE_OWN_PIDS : 0) |
		(plan->id_map_count && plan->uid_map[0].own ? IMAGE_ONE_ID : 0) |
		(plan->shared ? IMAGE_SHARED : 0) | (plan->no_exec ? IMAGE_NO_EXEC : 0) |
		(plan->filter ? IMAGE_HAS_FILTER : 0);
}

int image_make(const struct plan *plan, const struct image_source *sources, struct buf *ret)
{
	struct image image = {.magic = IMAGE_MAGIC,
		.flags = flags_of(plan),
		.without = plan->without,
		.uid = plan->uid,
		.gid = plan->gid,
		.landlock_abi = plan->landlock.abi,
		.handled_fs = plan->landlock.handled_fs,
		.handled_net = plan->landlock.handled_net,
		.scoped = plan->landlock.scoped,
		.rule_count = (uint32_t)plan->landlock.rule_count,
		.rlimit_count = (uint32_t)plan->rlimit_count,
		.timeout = plan->timeout};
	const char *path = strv_getenv(plan->env, "PATH");
	size_t filter_count = 0;

	buf_put(ret, &image, sizeof(image));
	image.dir = put_string(ret, plan->dir ? plan->dir : "/");
	image.hostname = plan->namespaces & PLAN_NS_UTS ? put_string(ret, plan->hostname) : 0;
	image.search_path = put_string(ret, path ? path : SEARCH_PATH_DEFAULT);
	image.argv = put_strings(ret, plan->argv, &image.argc);
	image.env = put_strings(ret, plan->env, &image.envc);
	image.mounts = put_mounts(ret, plan, sources, &image.mount_count);
	image.sysctls = put_strings(ret, plan->sysctls, &image.sysctl_count);
	image.rules = put_rules(ret, plan);
	image.rlimits = put_rlimits(ret, plan);
	if (plan->filter) {
		const struct sock_filter *filter = filter_template(plan->filter, &filter_count);
		image.filter = align(ret);
		image.filter_count = (uint32_t)filter_count;
		buf_put(ret, filter, filter_count * sizeof(filter[0]));
	}
	if (ret->failed || image.argc == 0) {
		return -E2BIG;
	}
	image.size = ret->size;
	memcpy(ret->data, &image, sizeof(image));
	return 0;
}
