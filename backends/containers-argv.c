/*
 * What the engine is told: the plan in the words of docker's and podman's command line.
 *
 *	tool	run	attached; its streams are the session's, its exit status is the command's
 *	kill	kill	by the name that {id} gives
 *	after	rm	also when the server, the tool or the container are gone
 *
 * With a runtime that is not the engine's own, running is three steps:
 *
 *	before	create	the engine checks image, mounts and limits, and runs nothing
 *		inspect	is the runtime the one that the engine has written down?
 *	tool	start	attached
 *
 * Docker's daemon goes on with a request to create when who made it is gone, and until that is done there
 * is no name to remove. So where the tool has not noted the container's id, because it was killed, the name
 * is removed once more a second later; and a request that comes later still is refused, because the files
 * are gone by then that the container is to be given. Podman has no daemon: what it was about to do ends
 * with it.
 */
#include <errno.h>
#include <string.h>

#include "backends/containers.h"
#include "backends/foreign.h"
#include "base/buf.h"

struct words {
	char **list;
	bool failed;
};

static void say(struct words *words, const char *text)
{
	words->failed |= strv_append(&words->list, text) < 0;
}

static void say_two(struct words *words, const char *option, const char *value)
{
	say(words, option);
	say(words, value);
}

static void say_number(struct words *words, const char *option, uint64_t value)
{
	say(words, option);
	words->failed |= strv_appendf(&words->list, "%llu", (unsigned long long)value) < 0;
}

/* A text of the session's, which is no placeholder of ours. */
static void say_literal(struct words *words, const char *text)
{
	cleanup_free char *literal = foreign_literal(text);

	words->failed |= !literal;
	if (literal) {
		say(words, literal);
	}
}

static void say_namespaces(const struct container_builder *b, struct words *words)
{
	const struct plan *plan = b->plan;

	say_two(words, "--network", plan->namespaces & PLAN_NS_NET ? "none" : "host");
	say_two(words, "--ipc", plan->namespaces & PLAN_NS_IPC ? "private" : "host");
	say_two(words, "--cgroupns", "private");
	if (!(plan->namespaces & PLAN_NS_PID)) {
		say_two(words, "--pid", "host");
	}
	if (plan->namespaces & PLAN_NS_UTS) {
		say_two(words, "--hostname", plan->hostname);
	} else {
		say_two(words, "--uts", "host");
	}
}

/* Podman's list of masks; docker's is said one by one, as mounts. */
static void say_masks(const struct container_builder *b, struct words *words)
{
	cleanup(buf_fini) struct buf list = {0};

	for (size_t i = 0; b->engine->podman && i < b->plan->mount_count; i++) {
		if (b->plan->mounts[i].kind == PLAN_MOUNT_MASK) {
			buf_printf(&list, "%s%s",
				list.size ? ":" : "mask=", b->plan->mounts[i].target);
		}
	}
	if (list.size) {
		buf_put(&list, "", 1);
		words->failed |= list.failed;
		say_two(words, "--security-opt", list.failed ? "" : (const char *)list.data);
	}
}

static void say_privileges(const struct container_builder *b, struct words *words)
{
	const uint32_t out = b->plan->without;

	if (!(out & PLAN_LAYER_READ_ONLY)) {
		say(words, "--read-only");
	}
	if (!(out & PLAN_LAYER_CAPS)) {
		say_two(words, "--cap-drop", "ALL");
	}
	if (!(out & PLAN_LAYER_NO_NEW_PRIVS)) {
		say_two(words, "--security-opt", "no-new-privileges");
	}
	if (!b->filtered) {
		return;
	}
	say_two(words, "--security-opt",
		out & PLAN_LAYER_FILTER ? "seccomp=unconfined" : "seccomp={dir}/seccomp.json");
	say_masks(b, words);
}

static void say_limits(const struct container_builder *b, struct words *words)
{
	const struct plan *plan = b->plan;

	for (size_t i = 0; i < plan->rlimit_count; i++) {
		say(words, "--ulimit");
		words->failed |= strv_appendf(&words->list, "%s=%llu:%llu", plan->rlimits[i].name,
					 (unsigned long long)plan->rlimits[i].soft,
					 (unsigned long long)plan->rlimits[i].hard) < 0;
	}
	if (plan->without & PLAN_LAYER_CGROUP) {
		return;
	}
	if (plan->pids) {
		say_number(words, "--pids-limit", plan->pids);
	}
	if (plan->memory) {
		say_number(words, "--memory", plan->memory);
		say_number(words, "--memory-swap", plan->memory);
	}
	if (plan->cpu_milli) {
		say(words, "--cpus");
		words->failed |= strv_appendf(&words->list, "%llu.%03u",
					 (unsigned long long)(plan->cpu_milli / 1000),
					 (unsigned)(plan->cpu_milli % 1000)) < 0;
	}
}

static void say_tmpfs(
	const struct container_builder *b, const struct plan_mount *mount, struct words *words)
{
	cleanup(buf_fini) struct buf text = {0};

	if (strcmp(mount->target, "/dev/shm") == 0) {
		if (mount->size) {
			say_number(words, "--shm-size", mount->size);
		}
		return;
	}
	if (b->engine->podman) {
		buf_printf(&text, "type=tmpfs,destination=%s,tmpfs-mode=%o,notmpcopyup",
			mount->target, mount->mode);
	} else {
		buf_printf(&text, "%s:rw,nosuid,nodev,exec,mode=%o", mount->target, mount->mode);
	}
	if (mount->size) {
		buf_printf(&text, ",%s=%llu", b->engine->podman ? "tmpfs-size" : "size",
			(unsigned long long)mount->size);
	}
	if (mount->inodes) {
		buf_printf(&text, ",nr_inodes=%llu", (unsigned long long)mount->inodes);
	}
	if (mount->flags & PLAN_USER && b->engine->podman) {
		buf_printf(&text, ",U=true");
	} else if (mount->flags & PLAN_USER) {
		buf_printf(&text, ",uid=%u,gid=%u", b->plan->uid, b->plan->gid);
	}
	buf_put(&text, "", 1);
	words->failed |= text.failed;
	if (!text.failed) {
		say_two(words, b->engine->podman ? "--mount" : "--tmpfs", (const char *)text.data);
	}
}

/*
 * Never recursive: what is mounted below would stay writable. Docker's bind mounts take neither
 * nosuid nor nodev, a volume of its local driver does: it is a bind of a directory, made for this
 * container, and nothing of the image is copied into it.
 */
static void say_bind(
	const struct container_builder *b, const struct plan_mount *mount, struct words *words)
{
	bool ours = strncmp(mount->source, "{dir}/", 6) == 0;
	bool read_only = mount->flags & PLAN_READ_ONLY;
	/* {dir} is often on a noexec /run: podman would keep to that, docker's runc does as it is told. */
	bool runs = (mount->kind == PLAN_MOUNT_WHY || mount->kind == PLAN_MOUNT_PAGE) &&
		b->engine->podman;
	cleanup_free char *source = ours ? strdup(mount->source) : foreign_literal(mount->source);
	cleanup_free char *target = foreign_literal(mount->target);

	if (!source || !target) {
		words->failed = true;
		return;
	}
	say(words, "--mount");
	if (ours || b->engine->podman || !(mount->flags & PLAN_NODEV)) {
		words->failed |= strv_appendf(&words->list,
					 "type=bind,source=%s,target=%s,bind-nonrecursive%s%s%s",
					 source, target, read_only ? ",readonly" : "",
					 mount->flags & PLAN_NODEV ? ",nosuid,nodev" : "",
					 runs ? ",exec" : "") < 0;
		return;
	}
	words->failed |=
		strv_appendf(&words->list,
			"type=volume,target=%s,volume-nocopy,volume-driver=local,volume-opt=type="
			"none,volume-opt=device=%s,\"volume-opt=o=bind%s,nosuid,nodev\"",
			target, source, read_only ? ",ro" : "") < 0;
}

/* What is there becomes empty; podman has an option for that, which also reaches below /proc. */
static void say_mask(
	const struct container_builder *b, const struct plan_mount *mount, struct words *words)
{
	if (!b->engine->podman) {
		say(words, "--tmpfs");
		words->failed |= strv_appendf(&words->list, "%s:ro,nosuid,nodev,noexec,size=4096",
					 mount->target) < 0;
	}
}

static void say_attached(const struct container_builder *b, struct words *words)
{
	for (size_t i = 0; b->engine->start[i]; i++) {
		say(words, b->engine->start[i]);
	}
}

/* Podman takes its runtime, and what that is told, before the command; a daemon has it in its settings. */
static void say_tool(const struct container_builder *b, struct words *words)
{
	say(words, b->engine->tool);
	if (b->engine->podman && b->engine->runtime) {
		say_two(words, "--runtime", b->engine->runtime);
		say_two(words, "--runtime-flag", "network=none");
		if (b->filtered) {
			say_two(words, "--runtime-flag", "oci-seccomp");
		}
	}
}

/* "create", or "run", which takes what "start" takes besides. */
static void say_create(const struct container_builder *b, const char *image, struct words *words)
{
	const struct plan *plan = b->plan;

	say_tool(b, words);
	say(words, b->engine->apart ? "create" : "run");
	if (!b->engine->apart) {
		say_attached(b, words);
	}
	if (!b->engine->podman && b->engine->runtime) {
		say_two(words, "--runtime", b->engine->runtime);
	}
	say(words, "--rm");
	say(words, "--interactive");
	say(words, "--init");
	say_two(words, "--pull", "never");
	say_two(words, "--log-driver", "none");
	say_two(words, "--name", CONTAINERS_NAME);
	say_two(words, "--label", "cloche={id}");
	say_two(words, "--cidfile", "{dir}/cid");
	say_two(words, "--env-file", "{dir}/env");
	say(words, "--user");
	words->failed |= strv_appendf(&words->list, "%u:%u", plan->uid, plan->gid) < 0;
	say(words, "--workdir");
	say_literal(words, plan->dir);
	say_namespaces(b, words);
	say_privileges(b, words);
	say_limits(b, words);
	for (size_t i = 0; i < plan->mount_count; i++) {
		if (plan->mounts[i].kind == PLAN_MOUNT_TMPFS) {
			say_tmpfs(b, &plan->mounts[i], words);
		} else if (plan->mounts[i].kind == PLAN_MOUNT_MASK) {
			say_mask(b, &plan->mounts[i], words);
		} else {
			say_bind(b, &plan->mounts[i], words);
		}
	}
	for (size_t i = 0; b->engine->options[i]; i++) {
		say(words, b->engine->options[i]);
	}
	say_two(words, "--entrypoint", "");
	say(words, image);
	STRV_FOREACH (word, plan->argv) {
		say_literal(words, *word);
	}
}

/* Before anything runs: is what the engine has written down for the container what it was asked for? */
static int add_check(struct container_builder *b)
{
	static const char script[] =
		"got=$(\"$1\" container inspect --format \"$2\" \"$3\") && test \"$got\" = \"$4\" "
		"|| "
		"{ echo \"$1 would run the container with '$got', not with $4\" >&2; exit 1; }";
	const char *const check[] = {"sh", "-c", script, "sh", b->engine->tool,
		containers_runtime_format(b->engine), CONTAINERS_NAME, b->engine->runtime, NULL};

	return plan_add_step(b->plan, PLAN_BEFORE, (char *const *)(uintptr_t)check);
}

/* Nothing of the container is left. */
static int add_removal(struct container_builder *b)
{
	static const char twice[] = "\"$1\" rm --force --volumes \"$2\"; test -s \"$3\" || "
				    "{ sleep 1; exec \"$1\" rm --force --volumes \"$2\"; }";
	const char *tool = b->engine->tool;
	const char *const podman[] = {tool, "rm", "--force", "--volumes", CONTAINERS_NAME, NULL};
	const char *const docker[] = {
		"sh", "-c", twice, "sh", tool, CONTAINERS_NAME, "{dir}/cid", NULL};

	return plan_add_step(b->plan, PLAN_AFTER,
		(char *const *)(uintptr_t)(b->engine->podman ? podman : docker));
}

int containers_make_steps(struct container_builder *b, const char *image)
{
	const char *const kill[] = {
		b->engine->tool, "kill", "--signal", "KILL", CONTAINERS_NAME, NULL};
	struct words create = {0};
	struct words start = {0};
	int r = 0;

	say_create(b, image, &create);
	if (!b->engine->apart) {
		b->plan->command = create.list;
	} else {
		say_tool(b, &start);
		say(&start, "start");
		say_two(&start, "--attach", "--interactive");
		say_attached(b, &start);
		say(&start, CONTAINERS_NAME);
		b->plan->command = start.list;
		r = create.failed ? -ENOMEM : plan_add_step(b->plan, PLAN_BEFORE, create.list);
		strv_free(create.list);
	}
	r = create.failed || start.failed ? -ENOMEM : r;
	r = r < 0 || !b->engine->runtime ? r : add_check(b);
	r = r < 0 ? r : plan_add_step(b->plan, PLAN_KILL, (char *const *)(uintptr_t)kill);
	r = r < 0 ? r : add_removal(b);
	return r < 0 ? r : containers_tool_env(b->engine, b->host, "{dir}", &b->plan->tool_env);
}
