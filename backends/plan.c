#include "backends/plan.h"

#include <assert.h>
#include <errno.h>
#include <fnmatch.h>
#include <sodium.h>
#include <string.h>

#include "backends/host.h"
#include "backends/emit.h"
#include "backends/linux/filter.h"
#include "base/io.h"
#include "base/strv.h"

#define PLAN_SCHEMA "cloche.plan/1"
#define DIGEST_SIZE 32

const char *const plan_layer_names[] = {
	"landlock",
	"filter",
	"cgroup",
	"rlimits",
	"no_new_privs",
	"caps",
	"keyring",
	"session",
	"masks",
	"close_fds",
	"net",
	"pid",
	"ipc",
	"mount",
	"user_limits",
	"dev",
	"env",
	"uts",
	"read_only",
	"read_deny",
	"disk",
	"time",
	"net_rules",
	"user",
	NULL,
};
static_assert(PLAN_LAYER_USER == 1 << (ARRAY_SIZE(plan_layer_names) - 2), "one name a layer");

static const char *const mount_kinds[] = {
	[PLAN_MOUNT_TMPFS] = "tmpfs",
	[PLAN_MOUNT_BIND] = "bind",
	[PLAN_MOUNT_OVERLAY] = "overlay",
	[PLAN_MOUNT_PROC] = "proc",
	[PLAN_MOUNT_DEVPTS] = "devpts",
	[PLAN_MOUNT_MQUEUE] = "mqueue",
	[PLAN_MOUNT_DEVICE] = "device",
	[PLAN_MOUNT_DIR] = "dir",
	[PLAN_MOUNT_FILE] = "file",
	[PLAN_MOUNT_SYMLINK] = "symlink",
	[PLAN_MOUNT_MASK] = "mask",
	[PLAN_MOUNT_RDONLY] = "rdonly",
	[PLAN_MOUNT_WHY] = "why",
	[PLAN_MOUNT_DOOR] = "door",
	[PLAN_MOUNT_PAGE] = "page",
};
static_assert(ARRAY_SIZE(mount_kinds) == PLAN_MOUNT_KINDS, "one name a kind");

/* Names of bits, by bit number. */
static const char *const mount_flags[] = {"ro", "nosuid", "nodev", "noexec", "optional", "user",
	"idmap", "inside", "follow", "in-root", NULL};
static const char *const namespace_names[] = {
	"user", "mount", "pid", "net", "ipc", "uts", "cgroup", NULL};
static_assert(PLAN_IN_ROOT == 1 << (ARRAY_SIZE(mount_flags) - 2), "one name a flag");
static_assert(PLAN_NS_CGROUP == 1 << (ARRAY_SIZE(namespace_names) - 2), "one name a namespace");

static const char *const controllers[] = {
	[CGROUP_MEMORY] = "memory",
	[CGROUP_PIDS] = "pids",
	[CGROUP_CPU] = "cpu",
};
static_assert(ARRAY_SIZE(controllers) == CGROUP_CONTROLLERS, "one name a controller");
static_assert(ARRAY_SIZE(((struct plan *)0)->cgroup_version) == CGROUP_CONTROLLERS, "a slot each");

static const char *const whens[] = {
	[PLAN_BEFORE] = "before",
	[PLAN_KILL] = "kill",
	[PLAN_AFTER] = "after",
};
static_assert(ARRAY_SIZE(whens) == PLAN_WHENS, "one name a time");

static const char *const kernels[] = {
	[PLAN_KERNEL_SHARED] = "shared",
	[PLAN_KERNEL_USER] = "user-kernel",
	[PLAN_KERNEL_GUEST] = "separate-guest",
};
static_assert(ARRAY_SIZE(kernels) == PLAN_KERNELS, "one name a kind");

const char *plan_when_name(enum plan_when when)
{
	return when < PLAN_WHENS ? whens[when] : "?";
}

const char *plan_kernel_name(enum plan_kernel kernel)
{
	return kernel < PLAN_KERNELS ? kernels[kernel] : "?";
}

const char *plan_mount_kind_name(enum plan_mount_kind kind)
{
	return kind < PLAN_MOUNT_KINDS ? mount_kinds[kind] : "?";
}

int plan_new(const char *backend, struct plan **ret_plan)
{
	struct plan *plan = calloc(1, sizeof(*plan));

	if (!plan) {
		return -ENOMEM;
	}
	plan->backend = backend;
	*ret_plan = plan;
	return 0;
}

static void free_mounts(struct plan *plan)
{
	for (size_t i = 0; i < plan->mount_count; i++) {
		free(plan->mounts[i].source);
		free(plan->mounts[i].target);
		free(plan->mounts[i].content);
	}
	free(plan->mounts);
}

static void free_rules(struct plan_landlock *landlock)
{
	for (size_t i = 0; i < landlock->rule_count; i++) {
		free(landlock->rules[i].path);
	}
	free(landlock->rules);
}

static void free_tool(struct plan *plan)
{
	for (size_t i = 0; i < plan->file_count; i++) {
		free(plan->files[i].name);
		free(plan->files[i].content);
	}
	for (size_t i = 0; i < plan->step_count; i++) {
		strv_free(plan->steps[i].argv);
	}
	free(plan->files);
	free(plan->steps);
	strv_free(plan->command);
	strv_free(plan->tool_env);
}

static void fini_caveat(struct caveat *caveat)
{
	free(caveat->code);
	free(caveat->text);
	free(caveat->remedy);
}

struct plan *plan_free(struct plan *plan)
{
	if (!plan) {
		return NULL;
	}
	for (size_t i = 0; i < plan->caveat_count; i++) {
		fini_caveat(&plan->caveats[i]);
	}
	free(plan->caveats);
	free_mounts(plan);
	free_rules(&plan->landlock);
	strv_free(plan->argv);
	strv_free(plan->env);
	strv_free(plan->sysctls);
	free(plan->net.pool);
	free(plan->net.rules);
	free(plan->net.host_rules);
	strv_free(plan->net.proxy);
	free_tool(plan);
	plan_free(plan->jail);
	free(plan->dir);
	free(plan->hostname);
	free(plan->user);
	free(plan);
	return NULL;
}

/* Room for one more, zeroed; grows by doubling: lists here are a few dozen long. */
static void *grow(void **list, size_t count, size_t size)
{
	if (count == 0 || (count >= 8 && (count & (count - 1)) == 0)) {
		void *grown = reallocarray(*list, count ? 2 * count : 8, size);
		if (!grown) {
			return NULL;
		}
		*list = grown;
	}
	return memset((char *)*list + count * size, 0, size);
}

struct plan_mount *plan_add_mount(struct plan *plan, enum plan_mount_kind kind, const char *source,
	const char *target, uint32_t flags)
{
	struct plan_mount *mount =
		grow((void **)&plan->mounts, plan->mount_count, sizeof(*plan->mounts));

	if (!mount) {
		return NULL;
	}
	mount->kind = kind;
	mount->flags = flags;
	mount->source = source ? strdup(source) : NULL;
	mount->target = strdup(target);
	if (!mount->target || (source && !mount->source)) {
		free(mount->source);
		free(mount->target);
		return NULL;
	}
	plan->mount_count++;
	return mount;
}

int plan_add_path_rule(struct plan *plan, const char *path, uint64_t access)
{
	struct plan_landlock *landlock = &plan->landlock;
	struct plan_path_rule *rule =
		grow((void **)&landlock->rules, landlock->rule_count, sizeof(*landlock->rules));

	if (!rule) {
		return -ENOMEM;
	}
	rule->path = strdup(path);
	rule->access = access;
	if (!rule->path) {
		return -ENOMEM;
	}
	landlock->rule_count++;
	return 0;
}

int plan_add_file(struct plan *plan, const char *name, const char *content, mode_t mode)
{
	struct plan_file *file =
		grow((void **)&plan->files, plan->file_count, sizeof(*plan->files));

	if (!file) {
		return -ENOMEM;
	}
	*file = (struct plan_file){strdup(name), strdup(content), mode, false};
	if (!file->name || !file->content) {
		free(file->name);
		free(file->content);
		return -ENOMEM;
	}
	plan->file_count++;
	return 0;
}

int plan_add_bytes(struct plan *plan, const char *name, const void *data, size_t size, mode_t mode)
{
	const size_t room = sodium_base64_ENCODED_LEN(size, sodium_base64_VARIANT_ORIGINAL);
	cleanup_free char *text = malloc(room);

	if (!text) {
		return -ENOMEM;
	}
	(void)sodium_bin2base64(text, room, data, size, sodium_base64_VARIANT_ORIGINAL);
	int r = plan_add_file(plan, name, text, mode);
	if (r == 0) {
		plan->files[plan->file_count - 1].base64 = true;
	}
	return r;
}

int plan_add_step(struct plan *plan, enum plan_when when, char *const argv[])
{
	struct plan_step *step =
		grow((void **)&plan->steps, plan->step_count, sizeof(*plan->steps));

	if (!step) {
		return -ENOMEM;
	}
	step->when = when;
	int r = strv_copy(argv, &step->argv);
	if (r == 0) {
		plan->step_count++;
	}
	return r;
}

bool plan_has_way_out(const struct plan *plan)
{
	return plan->net.pool || plan->net.resolver || plan->net.proxy;
}

static const struct caveat_info *find_caveat(const char *code)
{
	for (const struct caveat_info *info = caveat_table; info->code; info++) {
		if (strcmp(info->code, code) == 0) {
			return info;
		}
	}
	return NULL;
}

int plan_add_caveat(struct plan *plan, const char *code)
{
	const struct caveat_info *info = find_caveat(code);
	struct caveat *caveat = NULL;

	assert(info);
	if (plan_has_caveat(plan, code)) {
		return 0;
	}
	caveat = grow((void **)&plan->caveats, plan->caveat_count, sizeof(*plan->caveats));
	if (!caveat) {
		return -ENOMEM;
	}
	caveat->capability = info->capability;
	caveat->severity = info->severity;
	caveat->code = strdup(info->code);
	caveat->text = strdup(info->text);
	caveat->remedy = info->remedy ? strdup(info->remedy) : NULL;
	if (!caveat->code || !caveat->text || (info->remedy && !caveat->remedy)) {
		fini_caveat(caveat);
		return -ENOMEM;
	}
	plan->caveat_count++;
	return 0;
}

bool plan_has_caveat(const struct plan *plan, const char *code)
{
	for (size_t i = 0; i < plan->caveat_count; i++) {
		if (strcmp(plan->caveats[i].code, code) == 0) {
			return true;
		}
	}
	return false;
}

void plan_add_rlimit(
	struct plan *plan, const char *name, int resource, uint64_t soft, uint64_t hard)
{
	assert(plan->rlimit_count < PLAN_MAX_RLIMITS);
	plan->rlimits[plan->rlimit_count++] = (struct plan_rlimit){name, resource, soft, hard};
}

/* The names of the bits that are set, in the order of the bits. */
static void put_bits(struct emitter *out, uint32_t bits, const char *const *names)
{
	emit_open(out, '[');
	for (unsigned i = 0; names[i]; i++) {
		if (bits >> i & 1) {
			emit_text(out, names[i]);
		}
	}
	emit_close(out, ']');
}

static void put_caveats(struct emitter *out, const struct plan *plan, bool texts)
{
	emit_open(out, '[');
	for (size_t i = 0; i < plan->caveat_count; i++) {
		const struct caveat *caveat = &plan->caveats[i];
		emit_open(out, '{');
		emit_key(out, "capability");
		emit_text(out,
			caveat->capability < CAPABILITY_COUNT ? capability_name(caveat->capability)
							      : NULL);
		emit_key(out, "code");
		emit_text(out, caveat->code);
		if (texts) {
			emit_key(out, "remedy");
			emit_text(out, caveat->remedy);
		}
		emit_key(out, "severity");
		emit_text(out, caveat_severity_name(caveat->severity));
		if (texts) {
			emit_key(out, "text");
			emit_text(out, caveat->text);
		}
		emit_close(out, '}');
	}
	emit_close(out, ']');
}

static void put_cgroups(struct emitter *out, const struct plan *plan)
{
	static const enum cgroup_controller by_name[] = {CGROUP_CPU, CGROUP_MEMORY, CGROUP_PIDS};

	emit_open(out, '{');
	for (size_t i = 0; i < ARRAY_SIZE(by_name); i++) {
		emit_key(out, controllers[by_name[i]]);
		emit_number(out, (uint64_t)plan->cgroup_version[by_name[i]]);
	}
	emit_close(out, '}');
}

/* rules NULL: without the listing. */
static void put_filter(struct emitter *out, const struct filter *filter, char *const *rules)
{
	if (!filter) {
		emit_text(out, NULL);
		return;
	}
	emit_open(out, '{');
	emit_key(out, "digest");
	emit_text(out, filter_digest_hex(filter));
	emit_key(out, "name");
	emit_text(out, filter_name(filter));
	if (rules) {
		emit_key(out, "rules");
		emit_list(out, rules);
	}
	emit_close(out, '}');
}

static void put_id_maps(struct emitter *out, const struct plan *plan)
{
	emit_open(out, '[');
	for (size_t i = 0; i < plan->id_map_count; i++) {
		const struct plan_id_map *map = &plan->uid_map[i];
		emit_open(out, '{');
		emit_key(out, "count");
		emit_number(out, map->count);
		emit_key(out, "inside");
		emit_number(out, map->inside);
		emit_key(out, "offset");
		emit_number(out, map->offset);
		emit_key(out, "own");
		emit_bool(out, map->own);
		emit_close(out, '}');
	}
	emit_close(out, ']');
}

static void put_landlock(struct emitter *out, const struct plan_landlock *landlock)
{
	emit_open(out, '{');
	emit_key(out, "abi");
	emit_number(out, (uint64_t)landlock->abi);
	emit_key(out, "handled_fs");
	emit_hex(out, landlock->handled_fs);
	emit_key(out, "handled_net");
	emit_hex(out, landlock->handled_net);
	emit_key(out, "rules");
	emit_open(out, '[');
	for (size_t i = 0; i < landlock->rule_count; i++) {
		emit_open(out, '{');
		emit_key(out, "access");
		emit_hex(out, landlock->rules[i].access);
		emit_key(out, "path");
		emit_text(out, landlock->rules[i].path);
		emit_close(out, '}');
	}
	emit_close(out, ']');
	emit_key(out, "scoped");
	emit_hex(out, landlock->scoped);
	emit_close(out, '}');
}

static void put_limits(struct emitter *out, const struct plan *plan)
{
	emit_open(out, '{');
	emit_key(out, "cpu_milli");
	emit_number(out, plan->cpu_milli);
	emit_key(out, "disk");
	emit_number(out, plan->disk);
	emit_key(out, "memory");
	emit_number(out, plan->memory);
	emit_key(out, "pids");
	emit_number(out, plan->pids);
	emit_key(out, "timeout");
	emit_number(out, plan->timeout);
	emit_close(out, '}');
}

/* What a kind does not have is left out. */
static void put_mount(struct emitter *out, const struct plan_mount *mount)
{
	emit_open(out, '{');
	if (mount->content) {
		emit_key(out, "content");
		emit_text(out, mount->content);
	}
	emit_key(out, "flags");
	put_bits(out, mount->flags, mount_flags);
	if (mount->inodes) {
		emit_key(out, "inodes");
		emit_number(out, mount->inodes);
	}
	emit_key(out, "kind");
	emit_text(out, plan_mount_kind_name(mount->kind));
	if (mount->mode) {
		emit_key(out, "mode");
		emit_octal(out, mount->mode);
	}
	if (mount->size) {
		emit_key(out, "size");
		emit_number(out, mount->size);
	}
	if (mount->source) {
		emit_key(out, "source");
		emit_text(out, mount->source);
	}
	emit_key(out, "target");
	emit_text(out, mount->target);
	emit_close(out, '}');
}

static void put_mounts(struct emitter *out, const struct plan *plan)
{
	emit_open(out, '[');
	for (size_t i = 0; i < plan->mount_count; i++) {
		put_mount(out, &plan->mounts[i]);
	}
	emit_close(out, ']');
}

static void put_net(struct emitter *out, const struct plan *plan)
{
	if (!plan_has_way_out(plan)) {
		emit_text(out, NULL);
		return;
	}
	emit_open(out, '{');
	emit_key(out, "host_rules");
	emit_text(out, plan->net.host_rules);
	emit_key(out, "pool");
	emit_text(out, plan->net.pool);
	emit_key(out, "proxy");
	emit_list(out, plan->net.proxy);
	emit_key(out, "resolver");
	emit_bool(out, plan->net.resolver);
	emit_key(out, "rules");
	emit_text(out, plan->net.rules);
	emit_close(out, '}');
}

static void put_rlimits(struct emitter *out, const struct plan *plan)
{
	emit_open(out, '[');
	for (size_t i = 0; i < plan->rlimit_count; i++) {
		const struct plan_rlimit *limit = &plan->rlimits[i];
		emit_open(out, '{');
		emit_key(out, "hard");
		emit_number(out, limit->hard);
		emit_key(out, "name");
		emit_text(out, limit->name);
		emit_key(out, "resource");
		emit_number(out, (uint64_t)limit->resource);
		emit_key(out, "soft");
		emit_number(out, limit->soft);
		emit_close(out, '}');
	}
	emit_close(out, ']');
}

static void put_tool_files(struct emitter *out, const struct plan *plan)
{
	emit_open(out, '[');
	for (size_t i = 0; i < plan->file_count; i++) {
		emit_open(out, '{');
		emit_key(out, "content");
		emit_text(out, plan->files[i].content);
		if (plan->files[i].base64) {
			emit_key(out, "encoding");
			emit_text(out, "base64");
		}
		emit_key(out, "mode");
		emit_octal(out, plan->files[i].mode);
		emit_key(out, "name");
		emit_text(out, plan->files[i].name);
		emit_close(out, '}');
	}
	emit_close(out, ']');
}

static void put_steps(struct emitter *out, const struct plan *plan)
{
	emit_open(out, '[');
	for (size_t i = 0; i < plan->step_count; i++) {
		emit_open(out, '{');
		emit_key(out, "argv");
		emit_list(out, plan->steps[i].argv);
		emit_key(out, "when");
		emit_text(out, plan_when_name(plan->steps[i].when));
		emit_close(out, '}');
	}
	emit_close(out, ']');
}

/* What a plan is shown with and its digest does not need. */
struct listing {
	bool texts; /* of caveats */
	char **rules; /* of the filter */
};

static void put_plan(struct emitter *out, const struct plan *plan, const struct listing *listing)
{
	emit_open(out, '{');
	emit_key(out, "argv");
	emit_list(out, plan->argv);
	emit_key(out, "backend");
	emit_text(out, plan->backend);
	emit_key(out, "caveats");
	put_caveats(out, plan, listing->texts);
	emit_key(out, "cgroups");
	put_cgroups(out, plan);
	emit_key(out, "command");
	emit_list(out, plan->command);
	emit_key(out, "dir");
	emit_text(out, plan->dir);
	emit_key(out, "env");
	emit_list(out, plan->env);
	emit_key(out, "executable_here");
	emit_bool(out, plan->executable_here);
	emit_key(out, "files");
	put_tool_files(out, plan);
	emit_key(out, "filter");
	put_filter(out, plan->filter, listing->rules);
	emit_key(out, "gid");
	emit_number(out, plan->gid);
	emit_key(out, "hostname");
	emit_text(out, plan->hostname);
	emit_key(out, "id_maps");
	put_id_maps(out, plan);
	if (plan->jail) {
		emit_key(out, "jail");
		put_plan(out, plan->jail, &(struct listing){0}); /* as it is hashed */
	}
	emit_key(out, "kernel");
	emit_text(out, plan_kernel_name(plan->kernel));
	emit_key(out, "landlock");
	put_landlock(out, &plan->landlock);
	emit_key(out, "limits");
	put_limits(out, plan);
	emit_key(out, "mounts");
	put_mounts(out, plan);
	emit_key(out, "namespaces");
	put_bits(out, plan->namespaces, namespace_names);
	emit_key(out, "net");
	put_net(out, plan);
	emit_key(out, "no_exec");
	emit_bool(out, plan->no_exec);
	emit_key(out, "rlimits");
	put_rlimits(out, plan);
	emit_key(out, "schema");
	emit_text(out, PLAN_SCHEMA);
	emit_key(out, "shared");
	emit_bool(out, plan->shared);
	emit_key(out, "steps");
	put_steps(out, plan);
	emit_key(out, "sysctls");
	emit_list(out, plan->sysctls);
	emit_key(out, "tool_env");
	emit_list(out, plan->tool_env);
	emit_key(out, "uid");
	emit_number(out, plan->uid);
	emit_key(out, "user");
	emit_text(out, plan->user);
	emit_key(out, "uses");
	emit_capabilities(out, plan->uses);
	emit_key(out, "without");
	put_bits(out, plan->without, plan_layer_names);
	emit_close(out, '}');
}

char *plan_to_json(const struct plan *plan)
{
	cleanup(strv_freep) char **rules = NULL;
	struct emitter out = {0};

	if (plan->filter && filter_list(plan->filter, &rules) < 0) {
		return NULL;
	}
	put_plan(&out, plan, &(struct listing){true, rules});
	return emit_finish(&out);
}

/*
 * What is hashed leaves out filter.rules: filter.digest stands for them, and listing 400 rules for each
 * login would cost more than all the rest. And the words of caveats: their code stands for them, and
 * a better word is no other plan.
 */
static int hash_plan(const struct plan *plan, char digest[65])
{
	cleanup_free char *text = NULL;
	struct emitter out = {0};
	uint8_t hash[DIGEST_SIZE];

	put_plan(&out, plan, &(struct listing){0});
	text = emit_finish(&out);
	if (!text) {
		return -ENOMEM;
	}
	(void)crypto_generichash(hash, sizeof(hash), (const uint8_t *)text, strlen(text), NULL, 0);
	io_hex(hash, sizeof(hash), digest);
	return 0;
}

int plan_seal(struct plan *plan)
{
	return hash_plan(plan, plan->digest);
}

int plan_sandbox_digest(const struct plan *plan, char digest[65])
{
	struct plan sandbox = *plan; /* borrows all it has */

	sandbox.argv = NULL;
	sandbox.env = NULL;
	sandbox.dir = NULL;
	return hash_plan(&sandbox, digest);
}

/* Is caveat one that pattern speaks of? A severity means itself and what is worse. */
static bool is_refused(const struct caveat *caveat, const char *pattern)
{
	for (enum caveat_severity s = CAVEAT_INFO; s <= CAVEAT_MISSING; s++) {
		if (strcmp(pattern, caveat_severity_name(s)) == 0) {
			return caveat->severity >= s;
		}
	}
	return fnmatch(pattern, caveat->code, 0) == 0;
}

/* Appends ", " and text where there is room. */
static void append_item(char *list, size_t size, const char *text)
{
	size_t used = strlen(list);

	(void)snprintf(list + used, size - used, "%s%s", used ? ", " : "", text);
}

int plan_check(const struct plan *plan, struct capability_set require, char *const *refuse_on,
	struct err *err)
{
	struct capability_set lacking = capability_set_sub(require, plan->uses);
	char names[200];
	char codes[200] = "";

	for (size_t i = 0; i < plan->caveat_count; i++) {
		for (size_t j = 0; refuse_on && refuse_on[j]; j++) {
			if (is_refused(&plan->caveats[i], refuse_on[j])) {
				append_item(codes, sizeof(codes), plan->caveats[i].code);
				break;
			}
		}
	}
	if (lacking.bits == 0 && !*codes) {
		return 0;
	}
	capability_set_format(lacking, names, sizeof(names));
	return err_refuse(err, ENOTSUP, "%s%s%s%s%s", lacking.bits ? "lacks " : "",
		lacking.bits ? names : "", lacking.bits && *codes ? "; " : "",
		*codes ? "has the refused caveat " : "", codes);
}
