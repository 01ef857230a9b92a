/* What a keeper promises, and what is left when somebody is killed. Tools here are shell scripts. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>

#include "backends/foreign.h"
#include "backends/keeper.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/proc.h"
#include "base/strv.h"
#include "tests/test.h"

/* One test's world: a directory for what scripts write, a plan, pipes. */
struct world {
	struct host host;
	char mark[64]; /* a directory */
	struct plan *plan;
	int out[2];
	struct sandbox_stdio io;
	struct keeper_start start;
	struct keeper keeper;
};

static void set_command(struct world *world, const char *script)
{
	world->plan->command = strv_free(world->plan->command);
	assert_int_equal(strv_append(&world->plan->command, "sh"), 0);
	assert_int_equal(strv_append(&world->plan->command, "-c"), 0);
	assert_int_equal(strv_append(&world->plan->command, script), 0);
}

static void add_step(struct world *world, enum plan_when when, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void add_step(struct world *world, enum plan_when when, const char *format, ...)
{
	char script[512];
	char shell[] = "/bin/sh";
	char option[] = "-c";
	va_list args;

	va_start(args, format);
	(void)vsnprintf(script, sizeof(script), format, args);
	va_end(args);
	char *argv[] = {shell, option, script, NULL};
	assert_int_equal(plan_add_step(world->plan, when, argv), 0);
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	struct err err = {0};

	assert_non_null(world);
	assert_int_equal(host_probe(&world->host, &err), 0);
	(void)strcpy(world->mark, "/tmp/keeper-test-XXXXXX");
	assert_non_null(mkdtemp(world->mark));
	assert_int_equal(plan_new("fake", &world->plan), 0);
	assert_int_equal(strv_append(&world->plan->tool_env, "PATH=/usr/bin:/bin"), 0);
	for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
		world->plan->cgroup_version[i] = world->host.cgroup[i].version;
	}
	world->plan->pids = 64;
	world->plan->memory = 256 << 20;
	assert_int_equal(pipe2(world->out, O_CLOEXEC), 0);
	world->io = (struct sandbox_stdio){.fds = {-1, world->out[1], world->out[1]}};
	world->start = (struct keeper_start){.plan = world->plan,
		.host = &world->host,
		.io = &world->io,
		.errors = -1,
		.hold = -1};
	keeper_init(&world->keeper);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;
	char command[128];

	keeper_end(&world->keeper);
	(void)plan_free(world->plan);
	close_fdp(&world->out[0]);
	close_fdp(&world->out[1]);
	(void)snprintf(command, sizeof(command), "rm -rf %s", world->mark);
	assert_int_equal(system(command), 0);
	free(world);
	return 0;
}

static void start(struct world *world)
{
	struct err err = {0};

	if (keeper_start(&world->start, &world->keeper, &err) < 0) {
		fail_msg("%s", err.msg);
	}
}

/* All the tool printed until it closed its output. */
static char *output(struct world *world)
{
	char *text = NULL;

	close_fdp(&world->out[1]);
	assert_int_equal(io_read_fd(world->out[0], 1 << 20, &text, NULL), 0);
	return text;
}

static void await_exit(struct world *world)
{
	int r = 0;

	for (int i = 0; i < 1000 && (r = keeper_poll(&world->keeper)) == 0; i++) {
		(void)usleep(10000);
	}
	assert_int_equal(r, 1);
}

static bool marked(const struct world *world, const char *name)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", world->mark, name);
	return access(path, F_OK) == 0;
}

static bool wait_for(bool (*holds)(const void *data), const void *data, int ms)
{
	for (int i = 0; i < ms / 20; i++) {
		if (holds(data)) {
			return true;
		}
		(void)usleep(20000);
	}
	return holds(data);
}

/* What must be gone: the tool, its directory, its control groups. */
struct trace {
	pid_t tool;
	char dir[108];
	struct cgroup cgroup;
};

static struct trace trace_of(const struct keeper *keeper)
{
	struct trace trace = {.tool = keeper->tool, .cgroup = keeper->cgroup};

	(void)memcpy(trace.dir, keeper->dir, sizeof(trace.dir));
	return trace;
}

static bool nothing_left(const void *data)
{
	const struct trace *trace = data;
	char path[512];

	for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
		(void)snprintf(
			path, sizeof(path), "%s/%s", trace->cgroup.where[i].path, trace->cgroup.id);
		if (trace->cgroup.where[i].version && access(path, F_OK) == 0) {
			return false;
		}
	}
	(void)snprintf(path, sizeof(path), "%s/%s", trace->cgroup.kill_path, trace->cgroup.id);
	if (trace->cgroup.kill_path[0] && access(path, F_OK) == 0) {
		return false;
	}
	return kill(trace->tool, 0) < 0 && access(trace->dir, F_OK) < 0;
}

static void tool_gets_what_the_plan_says_and_nothing_else(void **state)
{
	struct world *world = *state;
	cleanup_close int extra = open("/dev/zero", O_RDONLY);
	struct keeper_fd fds[] = {{"one", extra}, {"two", extra}};
	char expected[512];

	assert_int_equal(strv_append(&world->plan->tool_env, "WHERE={dir}"), 0);
	assert_int_equal(strv_append(&world->plan->tool_env, "LITERAL={brace}id} {x {fd:no}"), 0);
	assert_int_equal(plan_add_file(world->plan, "config.json", "{\"id\":\"{id}\"}", 0600), 0);
	world->start.fds = fds;
	world->start.fd_count = 2;
	set_command(world,
		"echo $(ls /proc/self/fd);" /* 5 is ls reading the directory */
		"echo $(env | sort | grep -v -e ^PWD -e ^_= -e SHLVL -e OLDPWD);"
		"echo {fd:one} {fd:two}; cat $WHERE/config.json; umask; readlink /proc/self/fd/3;"
		"cat /proc/self/oom_score_adj; grep -E 'SigBlk|SigIgn' /proc/self/status;"
		"[ $(cut -d' ' -f6 /proc/$$/stat) = $$ ] && echo leader; ulimit -n");
	plan_add_rlimit(world->plan, "nofile", 7, 333, 444);
	world->start.limit_tool = true;
	/* As under nohup(1): what is ignored around the keeper is not ignored by its tool. */
	(void)signal(SIGHUP, SIG_IGN);
	start(world);
	(void)signal(SIGHUP, SIG_DFL);
	(void)snprintf(expected, sizeof(expected),
		"0 1 2 3 4 5\n"
		"LITERAL={id} {x {fd:no} PATH=/usr/bin:/bin WHERE=%s\n"
		"3 4\n{\"id\":\"%s\"}0022\n/dev/zero\n500\n"
		"SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nleader\n333\n",
		world->keeper.dir, world->keeper.id);
	cleanup_free char *text = output(world);
	assert_string_equal(text, expected);
	await_exit(world);
	assert_int_equal(world->keeper.status, 0);
}

static void files_of_a_plan_are_texts_bytes_and_folders(void **state)
{
	struct world *world = *state;

	assert_int_equal(strv_append(&world->plan->tool_env, "WHERE={dir}"), 0);
	assert_int_equal(plan_add_file(world->plan, "text", "{id}", 0640), 0);
	assert_int_equal(plan_add_bytes(world->plan, "bytes", "{id}\0\377", 6, 0600), 0);
	assert_int_equal(plan_add_file(world->plan, "folder", "", S_IFDIR | 0751), 0);
	set_command(world,
		"cd $WHERE; stat -c '%n %a %s' text bytes; stat -c '%n %a %F' folder;"
		"od -An -tx1 bytes");
	start(world);
	cleanup_free char *text = output(world);
	assert_string_equal(
		text, "text 640 32\nbytes 600 6\nfolder 751 directory\n 7b 69 64 7d 00 ff\n");
}

static void bytes_that_are_none_are_refused(void **state)
{
	struct world *world = *state;

	assert_int_equal(plan_add_bytes(world->plan, "bytes", "x", 1, 0600), 0);
	world->plan->files[0].content[0] = '*';
	set_command(world, "exit 0");
	assert_int_equal(keeper_start(&world->start, &world->keeper, NULL), -EINVAL);
}

static void tool_is_in_its_control_groups_before_it_runs(void **state)
{
	struct world *world = *state;

	set_command(world, "cat /proc/self/cgroup");
	start(world);
	cleanup_free char *text = output(world);
	if (world->host.cgroup_kill[0]) {
		char *v2 = strstr(text, "0::");
		assert_non_null(v2);
		assert_non_null(strstr(v2, world->keeper.id));
	}
	for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
		if (world->host.cgroup[i].version == 1) {
			static const char *const names[] = {"memory:", "pids:", "cpu"};
			char *line = strstr(text, names[i]);
			assert_non_null(line);
			assert_non_null(strstr(line, world->keeper.id));
		}
	}
}

static void directory_is_private_and_goes_with_the_tool(void **state)
{
	struct world *world = *state;
	struct stat seen;
	char path[64];

	add_step(world, PLAN_BEFORE,
		"mkdir -p {dir}/a/b && ln -s /etc {dir}/a/link && "
		"mkfifo {dir}/a/b/fifo");
	set_command(world, "sleep 1000");
	start(world);
	assert_int_equal(lstat(world->keeper.dir, &seen), 0);
	assert_int_equal(seen.st_mode & 07777, 0700);
	assert_int_equal(seen.st_uid, geteuid());
	assert_true(strlen(world->keeper.dir) < 88);
	struct trace trace = trace_of(&world->keeper);
	keeper_end(&world->keeper);
	assert_true(nothing_left(&trace));
	(void)snprintf(path, sizeof(path), "/etc/passwd");
	assert_int_equal(access(path, F_OK), 0);
}

static void steps_run_in_their_order(void **state)
{
	struct world *world = *state;
	cleanup_free char *text = NULL;
	char path[128];

	add_step(world, PLAN_AFTER, "echo after {id} >> %s/log", world->mark);
	add_step(world, PLAN_BEFORE, "echo before >> %s/log", world->mark);
	add_step(world, PLAN_KILL, "echo kill >> %s/log", world->mark);
	set_command(world, "sleep 1000");
	start(world);
	char id[33];
	memcpy(id, world->keeper.id, sizeof(id));
	keeper_end(&world->keeper);
	(void)snprintf(path, sizeof(path), "%s/log", world->mark);
	assert_int_equal(io_read_file(AT_FDCWD, path, 4096, &text, NULL), 0);
	char expected[128];
	(void)snprintf(expected, sizeof(expected), "before\nkill\nafter %s\n", id);
	assert_string_equal(text, expected);
}

static void failing_before_step_is_a_failed_start(void **state)
{
	struct world *world = *state;
	struct err err = {0};

	add_step(world, PLAN_BEFORE, "echo first; echo the reason >&2; exit 3");
	add_step(world, PLAN_AFTER, "touch %s/after", world->mark);
	set_command(world, "touch $0");
	assert_true(keeper_start(&world->start, &world->keeper, &err) < 0);
	assert_non_null(strstr(err.msg, "the reason"));
	assert_null(strstr(err.msg, "first"));
	assert_true(marked(world, "after"));
	assert_int_equal(world->keeper.id[0], 0);
}

static void tool_that_cannot_be_run_is_a_failed_start(void **state)
{
	struct world *world = *state;
	struct err err = {0};

	world->plan->command = strv_free(world->plan->command);
	assert_int_equal(strv_append(&world->plan->command, "no-such-tool"), 0);
	assert_int_equal(keeper_start(&world->start, &world->keeper, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "no-such-tool"));
}

static void time_limit_ends_a_tool_that_ignores_signals(void **state)
{
	struct world *world = *state;
	char ready = 0;

	set_command(world, "trap '' TERM HUP INT; echo x; while :; do sleep 1; done");
	world->plan->timeout = 1;
	start(world);
	assert_int_equal(read(world->out[0], &ready, 1), 1);
	assert_int_equal(keeper_signal(&world->keeper, SIGTERM), 0);
	await_exit(world);
	struct sandbox_exit how = keeper_exit(&world->keeper);
	assert_true(how.timed_out);
	assert_true(WIFSIGNALED(how.status));
}

static void step_that_hangs_is_bounded(void **state)
{
	struct world *world = *state;

	add_step(world, PLAN_AFTER, "sleep 1000");
	add_step(world, PLAN_AFTER, "touch %s/second", world->mark);
	set_command(world, "exit 0");
	start(world);
	struct trace trace = trace_of(&world->keeper);
	uint64_t from = io_now_usec();
	keeper_end(&world->keeper); /* the directory stays at first, and is tried again at once */
	assert_true(io_now_usec() - from < 30000000);
	assert_true(marked(world, "second"));
	assert_true(nothing_left(&trace));
}

static void terminal_is_the_controlling_one(void **state)
{
	struct world *world = *state;
	char text[64] = "";
	size_t used = 0;

	world->io = (struct sandbox_stdio){.pty = true, .size = {.ws_row = 31, .ws_col = 77}};
	set_command(world, "stty size < /dev/tty; read x; echo got $x");
	start(world);
	assert_true(world->keeper.pty >= 0);
	while (!strchr(text, '\n')) {
		ssize_t n = read(world->keeper.pty, text + used, sizeof(text) - used - 1);
		assert_true(n > 0);
		used += (size_t)n;
	}
	assert_string_equal(text, "31 77\r\n");
	assert_int_equal(write(world->keeper.pty, "\003", 1), 1);
	await_exit(world);
	assert_int_equal(WTERMSIG(world->keeper.status), SIGINT);
}

static void questions_are_answered_while_it_runs(void **state)
{
	struct world *world = *state;
	char shell[] = "sh";
	char option[] = "-c";
	char script[] = "echo {id}; exit 5";
	char hang[] = "sleep 100";
	char *argv[] = {shell, option, script, NULL};
	char *slow[] = {shell, option, hang, NULL};
	char text[128];

	set_command(world, "sleep 1000");
	start(world);
	assert_int_equal(keeper_ask(&world->keeper, argv, 5000, text, sizeof(text)), 5);
	assert_memory_equal(text, world->keeper.id, 32);
	assert_int_equal(keeper_ask(&world->keeper, slow, 200, NULL, 0), -ETIMEDOUT);
	assert_int_equal(keeper_ask(&world->keeper, argv, 5000, text, sizeof(text)), 5);
	assert_int_equal(keeper_poll(&world->keeper), 0);
}

static void hostile_file_names_are_refused(void **state)
{
	static const char *const names[] = {
		"../x", "/etc/x", "a/b", ".", "..", ".after", "", "-x", "a\nb", "x\177"};
	struct world *world = *state;

	set_command(world, "exit 0");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct err err = {0};
		(void)plan_free(world->plan);
		assert_int_equal(plan_new("fake", &world->plan), 0);
		set_command(world, "exit 0");
		assert_int_equal(plan_add_file(world->plan, names[i], "x", 0600), 0);
		world->start.plan = world->plan;
		assert_int_equal(keeper_start(&world->start, &world->keeper, &err), -EINVAL);
	}
	(void)plan_free(world->plan);
	assert_int_equal(plan_new("fake", &world->plan), 0);
	set_command(world, "exit 0");
	assert_int_equal(plan_add_file(world->plan, "x", "x", 04755), 0);
	world->start.plan = world->plan;
	assert_int_equal(keeper_start(&world->start, &world->keeper, NULL), -EINVAL);
}

/* A server in a child, which is killed. The tool's child outlives the tool on purpose. */
/* In its own words, once the file "go" is there. */
static void start_in_private(struct world *world, struct keeper_ready *ready)
{
	char script[256];

	(void)snprintf(script, sizeof(script),
		"echo; until [ -e %s/go ]; do sleep 0.01; done; cat /proc/self/mountinfo",
		world->mark);
	set_command(world, script);
	world->start.private_mounts = true;
	world->start.ready = ready;
	start(world);
}

static char *mounts_after_a_later_one(struct world *world)
{
	char place[96];
	char go[96];
	char first = 0;

	assert_int_equal(read(world->out[0], &first, 1), 1); /* it has its tree */
	(void)snprintf(place, sizeof(place), "%s/later", world->mark);
	(void)snprintf(go, sizeof(go), "%s/go", world->mark);
	assert_int_equal(mkdir(place, 0700), 0);
	assert_int_equal(mount("none", place, "tmpfs", 0, NULL), 0);
	assert_int_equal(close(open(go, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)), 0);
	char *text = output(world);
	assert_int_equal(umount2(place, MNT_DETACH), 0);
	return text;
}

static void private_tool_sees_what_it_needs_and_nothing_later(void **state)
{
	struct world *world = *state;
	const char *const needed[] = {world->mark};
	cleanup(keeper_ready_fini) struct keeper_ready ready = {.socket = -1, .pidfd = -1};
	struct err err = {0};
	char place[96];

	(void)snprintf(place, sizeof(place), "%s/needed", world->mark);
	assert_int_equal(mkdir(place, 0700), 0);
	assert_int_equal(mount("none", place, "tmpfs", 0, NULL), 0);
	assert_int_equal(keeper_prepare(&ready, &err), 0);
	keeper_narrow(&ready, needed, 1);
	start_in_private(world, &ready);
	cleanup_free char *text = mounts_after_a_later_one(world);
	assert_int_equal(umount2(place, MNT_DETACH), 0);
	assert_non_null(strstr(text, " / / "));
	assert_non_null(strstr(text, " /proc "));
	assert_non_null(strstr(text, "/needed "));
	assert_null(strstr(text, "/later "));
	assert_null(strstr(text, " /sys/"));
}

static void private_tool_without_a_tree_makes_its_own(void **state)
{
	struct world *world = *state;

	start_in_private(world, NULL);
	cleanup_free char *text = mounts_after_a_later_one(world);
	assert_non_null(strstr(text, " / / "));
	assert_null(strstr(text, "/later "));
}

/* Told of it ahead of the job or not: a network that is not the host's, where its keeper stays. */
static void check_lone(struct world *world, struct keeper_ready *ready)
{
	char host[64] = "";
	char expected[160];

	set_command(world,
		"readlink /proc/self/ns/net; readlink /proc/$PPID/ns/net; "
		"tail -n +3 /proc/net/dev | cut -d: -f1; grep -o -m 1 127.0.0.1 "
		"/proc/net/fib_trie");
	world->start.lone = true;
	world->start.ready = ready;
	start(world);
	cleanup_free char *text = output(world);
	await_exit(world);
	assert_true(readlink("/proc/self/ns/net", host, sizeof(host) - 1) > 0);
	char *rest = strchr(text, '\n');
	assert_non_null(rest);
	assert_int_not_equal(strncmp(text, host, strlen(host)), 0);
	(void)snprintf(expected, sizeof(expected), "\n%s\n    lo\n127.0.0.1\n", host);
	assert_string_equal(rest, expected);
}

static void lone_tool_has_a_loopback_and_nothing_else(void **state)
{
	struct world *world = *state;

	check_lone(world, NULL);
}

static void lone_tool_has_it_from_before_the_job(void **state)
{
	struct world *world = *state;
	cleanup(keeper_ready_fini) struct keeper_ready ready = {.socket = -1, .pidfd = -1};
	struct err err = {0};

	assert_int_equal(keeper_prepare(&ready, &err), 0);
	keeper_net(&ready);
	keeper_net(&ready);
	check_lone(world, &ready);
}

static bool is_dead(const void *data)
{
	const pid_t *pid = data;
	cleanup_free char *text = NULL;
	char path[40];

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)*pid);
	return io_read_file(AT_FDCWD, path, 4096, &text, NULL) < 0 || strstr(text, ") Z ");
}

static void exit_says_that_nothing_runs_any_more(void **state)
{
	struct world *world = *state;
	pid_t left = 0;

	set_command(world, "sleep 1000 >/dev/null 2>&1 & echo $!");
	start(world);
	cleanup_free char *text = output(world);
	left = (pid_t)strtol(text, NULL, 10);
	await_exit(world);
	assert_true(left > 1);
	assert_true(world->keeper.clear);
	assert_true(is_dead(&left));
}

static void exit_with_steps_left_says_no_such_thing(void **state)
{
	struct world *world = *state;

	add_step(world, PLAN_AFTER, "true");
	set_command(world, "true");
	start(world);
	await_exit(world);
	assert_false(world->keeper.clear);
}

static void keeper_ahead_is_taken_or_ended(void **state)
{
	struct world *world = *state;
	struct keeper_ready taken = {.socket = -1, .pidfd = -1};
	struct keeper_ready fresh = {.socket = -1, .pidfd = -1};
	struct err err = {0};

	keeper_ahead();
	set_command(world, "true");
	start(world);
	await_exit(world);
	keeper_forget();

	/* One that died waiting is nobody's keeper. */
	keeper_ahead();
	assert_int_equal(keeper_prepare(&taken, &err), 0);
	assert_int_equal(proc_signal(taken.pidfd, SIGKILL), 0);
	keeper_ready_fini(&taken);
	assert_int_equal(keeper_prepare(&fresh, &err), 0);
	keeper_ready_fini(&fresh);
	keeper_ahead();
	keeper_forget();
	assert_int_equal(waitpid(-1, NULL, WNOHANG) <= 0, 1);
}

static void killed_server_leaves_nothing(void **state)
{
	struct world *world = *state;
	struct trace trace;
	int pipes[2];

	add_step(world, PLAN_AFTER, "touch %s/after", world->mark);
	set_command(world, "(trap '' HUP TERM; setsid sleep 1000) & sleep 1000");
	assert_int_equal(pipe(pipes), 0);
	pid_t server = fork();
	if (server == 0) {
		start(world);
		trace = trace_of(&world->keeper);
		(void)!write(pipes[1], &trace, sizeof(trace));
		for (;;) {
			(void)pause();
		}
	}
	assert_int_equal(io_read_all(pipes[0], &trace, sizeof(trace)), 0);
	assert_false(nothing_left(&trace));
	assert_int_equal(kill(server, SIGKILL), 0);
	assert_int_equal(waitpid(server, NULL, 0), server);
	assert_true(wait_for(nothing_left, &trace, 2000));
	assert_true(marked(world, "after"));
	(void)close(pipes[0]);
	(void)close(pipes[1]);
}

static void killed_keeper_takes_its_tool_along(void **state)
{
	struct world *world = *state;
	char path[64];

	add_step(world, PLAN_AFTER, "touch %s/after", world->mark);
	set_command(world, "setsid sleep 1000 & exec sleep 1000");
	start(world);
	struct trace trace = trace_of(&world->keeper);
	assert_int_equal(proc_signal(world->keeper.pidfd, SIGKILL), 0);
	(void)snprintf(path, sizeof(path), "/proc/%d", world->keeper.tool);
	for (int i = 0; i < 200 && access(path, F_OK) == 0; i++) {
		(void)usleep(10000);
	}
	assert_int_not_equal(access(path, F_OK), 0);
	assert_int_equal(keeper_poll(&world->keeper), -EPIPE);
	keeper_end(&world->keeper);
	assert_true(nothing_left(&trace));
	assert_true(marked(world, "after"));
}

/* Both are dead: only the directory knows what is to be undone. */
static void sweep_undoes_what_nobody_owns(void **state)
{
	struct world *world = *state;
	struct trace trace;
	int pipes[2];

	add_step(world, PLAN_AFTER, "touch %s/after", world->mark);
	set_command(world, "exec sleep 1000");
	assert_int_equal(pipe(pipes), 0);
	pid_t server = fork();
	if (server == 0) {
		start(world);
		trace = trace_of(&world->keeper);
		(void)proc_signal(world->keeper.pidfd, SIGSTOP);
		(void)!write(pipes[1], &trace, sizeof(trace));
		(void)!write(pipes[1], &(pid_t){0}, 0);
		(void)proc_signal(world->keeper.pidfd, SIGKILL);
		(void)kill(getpid(), SIGKILL);
	}
	assert_int_equal(io_read_all(pipes[0], &trace, sizeof(trace)), 0);
	assert_int_equal(waitpid(server, NULL, 0), server);
	for (int i = 0; i < 200 && !nothing_left(&trace); i++) {
		(void)backend_sweep(&world->host);
		(void)usleep(10000);
	}
	assert_true(nothing_left(&trace));
	assert_true(marked(world, "after"));
	(void)close(pipes[0]);
	(void)close(pipes[1]);
}

static void sweep_leaves_the_living_alone(void **state)
{
	struct world *world = *state;

	set_command(world, "sleep 1000");
	start(world);
	(void)backend_sweep(&world->host);
	assert_int_equal(access(world->keeper.dir, F_OK), 0);
	assert_int_equal(keeper_poll(&world->keeper), 0);
}

static void literal_survives_filling_in(void **state)
{
	static const char *const texts[] = {"", "plain", "{id}", "{dir}", "{fd:args}", "{brace}id}",
		"{{id}", "{\"a\":{}}", "{brace}", "{{{dir}}}"};
	struct world *world = *state;

	(void)strcpy(world->keeper.dir, "/d");
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		cleanup_free char *literal = foreign_literal(texts[i]);
		cleanup_free char *filled = keeper_fill(literal, &world->keeper);
		assert_string_equal(filled, texts[i]);
	}
}

/* Sends size bytes of message, and a pipe's write end, which must be gone when they are refused. */
static int deliver(const struct keeper_message *message, size_t size, struct keeper_message *ret)
{
	int pair[2];
	int pipes[2];
	int fd = -1;
	size_t count = 9;
	char byte = 0;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(io_send(pair[0], message, size, &pipes[1], 1), 0);
	(void)close(pipes[1]);
	int r = keeper_message_receive(pair[1], ret, &fd, 1, &count, MSG_DONTWAIT);
	assert_int_equal(count, r > 0 ? 1 : 0);
	if (r > 0) {
		(void)close(fd);
	}
	assert_int_equal(io_set_nonblocking(pipes[0], true), 0);
	assert_int_equal(read(pipes[0], &byte, 1), 0);
	(void)close(pipes[0]);
	(void)close(pair[0]);
	(void)close(pair[1]);
	return r;
}

static void message_is_as_long_as_it_says(void **state)
{
	static struct keeper_message message;
	static struct keeper_message got;
	const size_t head = sizeof(message.head);

	(void)state;
	memset(message.text, 'x', sizeof(message.text));
	memset(got.text, 'y', sizeof(got.text));
	message.head = (struct keeper_head){.type = KEEPER_FAILED, .number = 7, .size = 3};
	assert_int_equal(deliver(&message, head + 3, &got), 1);
	assert_int_equal(got.head.number, 7);
	assert_string_equal(got.text, "xxx");
	/* Cut short, longer than it says, not even a head. */
	assert_int_equal(deliver(&message, head + 2, &got), -EPROTO);
	assert_int_equal(deliver(&message, head + 4, &got), -EPROTO);
	assert_int_equal(deliver(&message, head - 1, &got), -EPROTO);
	/* The longest has a NUL too; a size that overflows is none. */
	message.head.size = sizeof(message.text);
	assert_int_equal(deliver(&message, sizeof(message), &got), 1);
	assert_int_equal(strlen(got.text), sizeof(got.text) - 1);
	message.head.size = UINT32_MAX - (uint32_t)head + 1;
	assert_int_equal(deliver(&message, head, &got), -EPROTO);
	assert_int_equal(keeper_message_send(-1, &message, NULL, 0), -EMSGSIZE);
}

#define CLAIM(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(tool_gets_what_the_plan_says_and_nothing_else),
		CLAIM(files_of_a_plan_are_texts_bytes_and_folders),
		CLAIM(bytes_that_are_none_are_refused),
		CLAIM(tool_is_in_its_control_groups_before_it_runs),
		CLAIM(directory_is_private_and_goes_with_the_tool),
		CLAIM(lone_tool_has_a_loopback_and_nothing_else),
		CLAIM(lone_tool_has_it_from_before_the_job),
		CLAIM(private_tool_sees_what_it_needs_and_nothing_later),
		CLAIM(private_tool_without_a_tree_makes_its_own),
		CLAIM(exit_says_that_nothing_runs_any_more),
		CLAIM(exit_with_steps_left_says_no_such_thing),
		CLAIM(keeper_ahead_is_taken_or_ended),
		CLAIM(steps_run_in_their_order),
		CLAIM(failing_before_step_is_a_failed_start),
		CLAIM(tool_that_cannot_be_run_is_a_failed_start),
		CLAIM(time_limit_ends_a_tool_that_ignores_signals),
		CLAIM(step_that_hangs_is_bounded),
		CLAIM(terminal_is_the_controlling_one),
		CLAIM(questions_are_answered_while_it_runs),
		CLAIM(hostile_file_names_are_refused),
		CLAIM(killed_server_leaves_nothing),
		CLAIM(killed_keeper_takes_its_tool_along),
		CLAIM(sweep_undoes_what_nobody_owns),
		CLAIM(sweep_leaves_the_living_alone),
		CLAIM(literal_survives_filling_in),
		CLAIM(message_is_as_long_as_it_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
