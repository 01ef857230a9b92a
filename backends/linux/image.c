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

static uint32_t put_strings(struct buf *buf, char *const *list, uint32_t *ret_count)
{
	uint32_t offsets[IMAGE_MAX_STRINGS];
	uint32_t count = 0;

	for (; list && list[count]; count++) {
		if (count >= IMAGE_MAX_STRINGS - 1) {
			buf->failed = true;
			return 0;
		}
		offsets[count] = put_string(buf, list[count]);
	}
	*ret_count = count;
	uint32_t at = align(buf);
	buf_put(buf, offsets, count * sizeof(offsets[0]));
	return at;
}

static uint32_t put_mounts(struct buf *buf, const struct plan *plan,
	const struct image_source *sources, uint32_t *ret_count)
{
	struct image_mount mounts[IMAGE_MAX_MOUNTS] = {{0}};
	uint32_t count = 0;

	for (size_t i = 0; i < plan->mount_count; i++) {
		const struct plan_mount *from = &plan->mounts[i];
		struct image_mount *to = &mounts[count];
		if (sources[i].absent) {
			continue;
		}
		if (count++ >= IMAGE_MAX_MOUNTS) {
			buf->failed = true;
			return 0;
		}
		*to = (struct image_mount){.kind = from->kind,
			.flags = from->flags,
			.mode = from->mode,
			.size = from->size,
			.inodes = from->inodes,
			.has_tree = sources[i].has_tree,
			.device = sources[i].device,
			.inode = sources[i].inode};
		to->source = put_string(buf, from->source);
		to->target = put_string(buf, from->target);
		to->content = put_string(buf, from->content);
		to->content_size = from->content ? (uint32_t)strlen(from->content) : 0;
	}
	*ret_count = count;
	uint32_t at = align(buf);
	buf_put(buf, mounts, count * sizeof(mounts[0]));
	return at;
}

static uint32_t put_rules(struct buf *buf, const struct plan *plan)
{
	struct image_rule rules[IMAGE_MAX_MOUNTS];

	if (plan->landlock.rule_count > IMAGE_MAX_MOUNTS) {
		buf->failed = true;
		return 0;
	}
	for (size_t i = 0; i < plan->landlock.rule_count; i++) {
		rules[i] =
			(struct image_rule){.path = put_string(buf, plan->landlock.rules[i].path),
				.access = plan->landlock.rules[i].access};
	}
	uint32_t at = align(buf);
	buf_put(buf, rules, plan->landlock.rule_count * sizeof(rules[0]));
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
		(plan->namespaces & PLAN_NS_NET ? IMAGE_LOOPBACK : 0) |
		(plan->namespaces & PLAN_NS_MOUNT ? IMAGE_MOUNTS : 0) |
		(plan->namespaces & PLAN_NS_PID ? IMAGE_OWN_PIDS : 0) |
		(plan->no_exec ? IMAGE_NO_EXEC : 0) | (plan->filter ? IMAGE_HAS_FILTER : 0);
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
