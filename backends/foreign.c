#include "backends/foreign.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "backends/answers.h"
#include "backends/keeper.h"
#include "base/buf.h"
#include "base/io.h"
#include "base/proc.h"
#include "base/strv.h"

#define SESSION_UID 1000
#define PATH_DEFAULT "/usr/local/bin:/usr/bin:/bin"

static const struct {
	uint32_t layer, namespace;
} namespace_layers[] = {
	{PLAN_LAYER_USER, PLAN_NS_USER},
	{PLAN_LAYER_MOUNT, PLAN_NS_MOUNT},
	{PLAN_LAYER_PID, PLAN_NS_PID},
	{PLAN_LAYER_IPC, PLAN_NS_IPC},
	{PLAN_LAYER_UTS, PLAN_NS_UTS},
	{PLAN_LAYER_CGROUP, PLAN_NS_CGROUP},
	{PLAN_LAYER_NET, PLAN_NS_NET},
};

void foreign_namespaces(const struct spec *spec, struct plan *plan)
{
	for (size_t i = 0; i < ARRAY_SIZE(namespace_layers); i++) {
		if (!(plan->without & namespace_layers[i].layer)) {
			plan->namespaces |= namespace_layers[i].namespace;
		}
	}
	/* The view of the host's tree is still a namespace of its own: what is mounted in it stays in it. */
	plan->namespaces |= PLAN_NS_MOUNT;
	if (spec->net == NET_ENABLE) {
		plan->namespaces &= ~(uint32_t)PLAN_NS_NET;
	}
}

void foreign_identity(const struct host *host, struct plan *plan)
{
	plan->uid = plan->gid = SESSION_UID;
	plan->id_map_count = 1;
	if (host->root && host->id_count > 0) {
		plan->uid_map[0] = (struct plan_id_map){.inside = 0, .count = 65536};
	} else {
		plan->uid_map[0] =
			(struct plan_id_map){.inside = SESSION_UID, .count = 1, .own = true};
	}
}

int foreign_defaults(const char *path, const char *home, const char *shell, struct plan *plan)
{
	const struct {
		const char *name, *value;
	} defaults[] = {{"PATH", path}, {"HOME", home}, {"USER", plan->user},
		{"LOGNAME", plan->user}, {"SHELL", shell}};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(defaults); i++) {
		if (!strv_getenv(plan->env, defaults[i].name)) {
			r = strv_setenv(&plan->env, defaults[i].name, defaults[i].value);
		}
	}
	if (r == 0) {
		strv_sort(plan->env);
	}
	return r;
}

int foreign_environment(const struct spec *spec, const char *home, struct plan *plan)
{
	int r = plan->without & PLAN_LAYER_ENV ? strv_copy(spec->env, &plan->env)
					       : spec_environment(spec, &plan->env);

	return r < 0
		? r
		: foreign_defaults(PATH_DEFAULT, home, spec->shell ? spec->shell : "/bin/sh", plan);
}

int foreign_command(const struct spec *spec, const char *start, struct plan *plan)
{
	plan->dir = strdup(spec->dir ? spec->dir : start);
	plan->hostname = strdup(spec->hostname ? spec->hostname : "cloche");
	plan->user = strdup(spec->user ? spec->user : "user");
	if (!plan->dir || !plan->hostname || !plan->user) {
		return -ENOMEM;
	}
	return strv_copy(spec->args, &plan->argv);
}

void foreign_rlimits(const struct spec *spec, struct plan *plan)
{
	if (plan->without & PLAN_LAYER_RLIMITS) {
		return;
	}
	plan_add_rlimit(plan, "core", RLIMIT_CORE, 0, 0);
	plan_add_rlimit(plan, "nofile", RLIMIT_NOFILE, 1024, 65536);
	plan_add_rlimit(plan, "memlock", RLIMIT_MEMLOCK, 8 << 20, 8 << 20);
	plan_add_rlimit(plan, "msgqueue", RLIMIT_MSGQUEUE, 819200, 819200);
	plan_add_rlimit(plan, "sigpending", RLIMIT_SIGPENDING, 256, 256);
	plan_add_rlimit(plan, "nice", RLIMIT_NICE, 0, 0);
	plan_add_rlimit(plan, "rtprio", RLIMIT_RTPRIO, 0, 0);
	/* Counted per uid and user namespace: ours alone when the ids are the session's own. */
	if (spec->pids > 0 && !plan->uid_map[0].own) {
		plan_add_rlimit(plan, "nproc", RLIMIT_NPROC, spec->pids, spec->pids);
	}
}

int foreign_limits(const struct spec *spec, const struct host *host, struct plan *plan)
{
	static const struct {
		enum cgroup_controller controller;
		const char *caveat;
	} missing[] = {{CGROUP_MEMORY, "res.memory.no_cgroup"}, {CGROUP_CPU, "res.cpu.no_cgroup"}};
	const uint64_t asked[] = {spec->memory, spec->cpu_milli};
	bool off = plan->without & PLAN_LAYER_CGROUP;
	int r = 0;

	plan->memory = spec->memory;
	plan->pids = spec->pids;
	plan->cpu_milli = spec->cpu_milli;
	plan->timeout = plan->without & PLAN_LAYER_TIME ? 0 : spec->timeout;
	for (size_t i = 0; i < CGROUP_CONTROLLERS; i++) {
		plan->cgroup_version[i] = off ? 0 : host->cgroup[i].version;
	}
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(missing); i++) {
		if (asked[i] > 0 && !plan->cgroup_version[missing[i].controller]) {
			r = plan_add_caveat(plan, missing[i].caveat);
		}
	}
	if (r == 0 && spec->pids > 0 && !plan->cgroup_version[CGROUP_PIDS]) {
		bool by_rlimit = !plan->uid_map[0].own && !(plan->without & PLAN_LAYER_RLIMITS);
		r = plan_add_caveat(plan, by_rlimit ? "res.pids.by_rlimit" : "res.pids.no_cgroup");
	}
	if (r == 0 && !off && !host->cgroup_kill[0]) {
		r = plan_add_caveat(plan, "cgroup.no_kill");
	}
	if (r == 0 && spec->memory > 0) {
		r = plan_add_caveat(plan, "res.disk.shared_with_memory");
	}
	return r;
}

int foreign_notes(const struct spec *spec, const struct host *host, struct plan *plan)
{
	const struct promise_note table[] = {
		{spec->net == NET_DISABLE, "net.disable.loopback_private"},
		{spec->net == NET_ENABLE, "net.enable.host_network"},
		{spec->no_exec, "proc.no_exec.loader"},
		{spec->write == WRITE_EPHEMERAL || spec->write == WRITE_OVERLAY,
			"fs.write_ephemeral.places"},
		{strv_length(spec->mach_allow) > 0, "mach.ignored"},
		{plan->uid_map[0].own, "id.single_uid"},
		{host->root && host->id_count == 0, "userns.no_range"},
		{plan->without != 0, "layer.removed"},
		{capability_set_has(spec->require, CAPABILITY_KERNEL_ISOLATION),
			"kernel.isolation.shared"},
		{capability_set_has(spec->require, CAPABILITY_DENIAL_LOG),
			"denial_log.unavailable"},
		{true, "host.conceal.uptime"},
		{true, "host.conceal.mountinfo"},
		{true, "session.fresh.host_quotas"},
		{spec->share == SHARE_CONNECTION, "session.shared"},
		{spec->why && !plan_has_caveat(plan, "ipc.why_door"), "session.no_why"},
		{spec->memory == 0, "res.disk.memfd"},
	};

	return promise_note_all(table, ARRAY_SIZE(table), plan);
}

int foreign_compile(const struct foreign_compiler *with, const struct spec *spec,
	const struct host *host, uint32_t without, struct plan **ret_plan, struct err *err)
{
	cleanup(plan_freep) struct plan *plan = NULL;
	int r = spec_validate(spec, err);

	if (r == 0 && with->refuse) {
		r = with->refuse(spec, host, without, err);
	}
	if (r < 0) {
		return r;
	}
	r = plan_new(with->backend, &plan);
	if (r == 0) {
		plan->executable_here = true;
		plan->kernel = with->kernel;
		plan->without = without;
		r = with->fill(spec, host, plan, err);
	}
	if (r == -ENOMEM) {
		return err_set(err, ENOMEM, "compiling the plan");
	}
	if (r == 0) {
		*ret_plan = take_ptr(&plan);
	}
	return r;
}

/* Where a placeholder could begin, whatever comes behind it. */
static bool looks_like_placeholder(const char *text)
{
	static const char *const heads[] = {"{id}", "{dir}", "{fd:", "{port:", "{brace}"};

	for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
		if (strncmp(text, heads[i], strlen(heads[i])) == 0) {
			return true;
		}
	}
	return false;
}

char *foreign_literal(const char *text)
{
	struct buf out = {0};

	while (*text) {
		size_t plain = strcspn(text, "{");
		buf_put(&out, text, plain);
		text += plain;
		if (*text && looks_like_placeholder(text)) {
			buf_printf(&out, "{brace}");
		} else {
			buf_put(&out, text, *text ? 1 : 0);
		}
		text += *text ? 1 : 0;
	}
	buf_put(&out, "", 1);
	if (out.failed) {
		buf_fini(&out);
		return NULL;
	}
	return (char *)out.data;
}

static int read_answer(int from, int pidfd, int timeout_ms, char *output, size_t size)
{
	uint64_t end = io_now_usec() + (uint64_t)timeout_ms * 1000;
	struct pollfd wait = {.fd = from, .events = POLLIN};
	char rest[4096];
	size_t used = 0;
	ssize_t n = 1;
	int status = 0;
	int r = 0;

	while (n != 0) {
		uint64_t now = io_now_usec();
		if (now >= end || poll(&wait, 1, (int)((end - now) / 1000) + 1) == 0) {
			break;
		}
		bool room = used + 1 < size;
		n = read(from, room ? output + used : rest, room ? size - used - 1 : sizeof(rest));
		used += room && n > 0 ? (size_t)n : 0;
	}
	output[used] = '\0';
	if (n != 0) {
		(void)proc_signal(pidfd, SIGKILL);
	}
	r = proc_wait(pidfd, timeout_ms, &status);
	return n != 0 ? -ETIMEDOUT : r < 0 ? r : proc_exit_code(status);
}

int foreign_ask(
	char *const argv[], char *const env[], int timeout_ms, char *output, size_t output_size)
{
	cleanup_close int read_end = -1;
	cleanup_close int pidfd = -1;
	cleanup(strv_freep) char **found = NULL;
	char path[KEEPER_TOOL_PATH];
	int pipes[2];
	int r = keeper_find_tool(argv[0], path);

	if (r < 0) {
		return r;
	}
	r = strv_append(&found, path);
	for (size_t i = 1; r == 0 && argv[i]; i++) {
		r = strv_append(&found, argv[i]);
	}
	if (r < 0 || pipe2(pipes, O_CLOEXEC) < 0) {
		return r < 0 ? r : -errno;
	}
	read_end = pipes[0];
	const int fds[3] = {-1, pipes[1], pipes[1]};
	pidfd = proc_spawn(found, env, fds, NULL);
	(void)close(pipes[1]);
	return pidfd < 0 ? pidfd : read_answer(read_end, pidfd, timeout_ms, output, output_size);
}

int foreign_ask_once(char *const argv[], int timeout_ms, char *output, size_t output_size)
{
	struct answers_key key;
	char path[KEEPER_TOOL_PATH];
	char question[40];
	int r = keeper_find_tool(argv[0], path);

	if (r < 0) {
		return r;
	}
	(void)snprintf(question, sizeof(question), "%s%s", argv[0], argv[1]);
	bool known = answers_key(path, &key);
	if (known && answers_recall(question, &key, output, output_size)) {
		return 0;
	}
	r = foreign_ask(argv, NULL, timeout_ms, output, output_size);
	if (known && r == 0) {
		answers_keep(question, &key, output);
	}
	return r;
}

const char *const foreign_usr_links[] = {
	"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", NULL};

const char *foreign_usr(const struct host *host, const char *path)
{
	for (size_t i = 0; host->merged_usr && foreign_usr_links[i]; i++) {
		if (spec_path_is_below(path, foreign_usr_links[i])) {
			return "/usr";
		}
	}
	return "";
}

int foreign_seal(const struct spec *spec, struct plan *plan)
{
	return spec->unsealed ? 0 : plan_seal(plan);
}
