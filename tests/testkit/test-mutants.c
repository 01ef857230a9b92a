/*
 * The testkit's own score: sandboxes with one hole each, and each hole must be seen as the broken
 * promise it is, with nothing else broken.
 *
 * A mutant is the plan of one spec with something in it changed before it is started, or with a
 * filter that lets one thing more through. All of them run in the second sandbox that `ablate` uses,
 * so that no hole leads to the host. The controls are taken once. Every mutant is a process of its
 * own, which keeps what the launcher remembers of plans apart.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sodium.h>

#include "backends/linux/filter.h"
#include "backends/linux/kernel.h"
#include "backends/linux/landlock.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "testkit/evidence.h"
#include "testkit/measure.h"
#include "testkit/outer.h"
#include "tests/testkit/harness.h"
#include "tests/test.h"

#define LEAST 40 /* mutants, so that the score means something */

/* A hole in the filter: what it looks like to the program, before its own rules are asked. */
enum hole { HOLE_NONE, HOLE_CALL, HOLE_SOCKET, HOLE_IOCTL, HOLE_ABOVE, HOLE_ARCH };

struct mutant {
	const char *what;
	const char *broken; /* sorted names */
	int (*change)(struct target *target, const char *argument);
	const char *argument;
	uint32_t without;
	enum hole hole;
	uint32_t number, detail; /* of the hole */
};

/* ---- the filter ---- */

static const struct mutant *current;

const struct sock_filter *__real_filter_template(const struct filter *filter, size_t *ret_count);
const struct sock_filter *__wrap_filter_template(const struct filter *filter, size_t *ret_count);

#define LOAD(field)                                                                                \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, field))
#define UNLESS_EQUAL(value, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip)
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static size_t put_hole(const struct mutant *mutant, struct sock_filter *out)
{
	const struct sock_filter call[] = {LOAD(arch), UNLESS_EQUAL(AUDIT_ARCH_X86_64, 3), LOAD(nr),
		UNLESS_EQUAL(mutant->number, 1), ALLOW};
	const struct sock_filter socket[] = {LOAD(arch), UNLESS_EQUAL(AUDIT_ARCH_X86_64, 7),
		LOAD(nr), UNLESS_EQUAL(SYS_socket, 5), LOAD(args[0]),
		UNLESS_EQUAL(mutant->number, 3), LOAD(args[2]), UNLESS_EQUAL(mutant->detail, 1),
		ALLOW};
	const struct sock_filter request[] = {LOAD(arch), UNLESS_EQUAL(AUDIT_ARCH_X86_64, 5),
		LOAD(nr), UNLESS_EQUAL(SYS_ioctl, 3), LOAD(args[1]),
		UNLESS_EQUAL(mutant->number, 1), ALLOW};
	const struct sock_filter above[] = {LOAD(arch), UNLESS_EQUAL(AUDIT_ARCH_X86_64, 3),
		LOAD(nr), BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, mutant->number, 0, 1), ALLOW};
	const struct sock_filter other[] = {LOAD(arch), UNLESS_EQUAL(mutant->number, 1), ALLOW};
	const struct {
		const struct sock_filter *program;
		size_t count;
	} programs[] = {[HOLE_NONE] = {NULL, 0},
		[HOLE_CALL] = {call, ARRAY_SIZE(call)},
		[HOLE_SOCKET] = {socket, ARRAY_SIZE(socket)},
		[HOLE_IOCTL] = {request, ARRAY_SIZE(request)},
		[HOLE_ABOVE] = {above, ARRAY_SIZE(above)},
		[HOLE_ARCH] = {other, ARRAY_SIZE(other)}};
	size_t count = programs[mutant->hole].count;

	if (count > 0) {
		memcpy(out, programs[mutant->hole].program, count * sizeof(out[0]));
	}
	return count;
}

/* The linker puts this in the place of filter_template(). */
const struct sock_filter *__wrap_filter_template(const struct filter *filter, size_t *ret_count)
{
	static struct sock_filter changed[BPF_MAXINSNS];
	size_t count = 0;
	const struct sock_filter *program = __real_filter_template(filter, &count);
	size_t before = current ? put_hole(current, changed) : 0;

	assert_true(before + count <= ARRAY_SIZE(changed));
	memcpy(changed + before, program, count * sizeof(changed[0]));
	*ret_count = before + count;
	return changed;
}

/* ---- the plan ---- */

static struct ground ground;

static void remove_mount(struct plan *plan, size_t i)
{
	free(plan->mounts[i].source);
	free(plan->mounts[i].target);
	free(plan->mounts[i].content);
	memmove(&plan->mounts[i], &plan->mounts[i + 1],
		(plan->mount_count - i - 1) * sizeof(plan->mounts[0]));
	plan->mount_count--;
}

static struct plan_mount *find_mount(struct plan *plan, enum plan_mount_kind kind, const char *end)
{
	for (size_t i = 0; i < plan->mount_count; i++) {
		const char *target = plan->mounts[i].target;
		size_t length = strlen(target);
		if (plan->mounts[i].kind == kind && length >= strlen(end) &&
			strcmp(target + length - strlen(end), end) == 0) {
			return &plan->mounts[i];
		}
	}
	return NULL;
}

static int unmask(struct target *target, const char *end)
{
	struct plan_mount *mount = find_mount(target->plan, PLAN_MOUNT_MASK, end);

	if (!mount) {
		return -ENOENT;
	}
	remove_mount(target->plan, (size_t)(mount - target->plan->mounts));
	return 0;
}

static int make_writable(struct target *target, const char *end)
{
	struct plan_mount *mount = find_mount(target->plan, PLAN_MOUNT_BIND, end);

	if (!mount || !(mount->flags & PLAN_READ_ONLY)) {
		return -ENOENT;
	}
	mount->flags &= ~(uint32_t)PLAN_READ_ONLY;
	return 0;
}

static int show(struct target *target, const char *path, uint32_t flags, uint64_t access)
{
	struct plan *plan = target->plan;

	if (!plan_add_mount(plan, PLAN_MOUNT_BIND, path, path, flags)) {
		return -ENOMEM;
	}
	return plan_add_path_rule(plan, path, access);
}

static int bind_read_only(struct target *target, const char *path)
{
	return show(target, path, PLAN_READ_ONLY | PLAN_NOSUID | PLAN_NODEV,
		landlock_access_read(target->plan->landlock.abi));
}

static int bind_writable(struct target *target, const char *path)
{
	return show(target, path, PLAN_NOSUID | PLAN_NODEV,
		landlock_access_all(target->plan->landlock.abi));
}

static int show_terminals(struct target *target, const char *argument)
{
	(void)argument;
	return show(
		target, "/dev/pts", PLAN_NOSUID, landlock_access_all(target->plan->landlock.abi));
}

static int show_canaries(struct target *target, const char *argument)
{
	(void)argument;
	return bind_read_only(target, ground.root);
}

static int add_device(struct target *target, const char *path)
{
	return plan_add_mount(target->plan, PLAN_MOUNT_DEVICE, path, path, 0) ? 0 : -ENOMEM;
}

static int show_host_proc(struct target *target, const char *argument)
{
	struct plan_mount *mount = find_mount(target->plan, PLAN_MOUNT_PROC, "/proc");

	(void)argument;
	if (!mount) {
		return -ENOENT;
	}
	mount->kind = PLAN_MOUNT_BIND;
	mount->source = strdup("/proc");
	return mount->source ? 0 : -ENOMEM;
}

/* argument: "0": no bound at all; else: ten times as much. */
static int widen_root(struct target *target, const char *argument)
{
	struct plan_mount *mount = find_mount(target->plan, PLAN_MOUNT_TMPFS, "/");

	if (!mount) {
		return -ENOENT;
	}
	mount->size = *argument == '0' ? 0 : mount->size * 10;
	mount->inodes = *argument == '0' ? 0 : mount->inodes * 10;
	return 0;
}

static int drop_namespace(struct target *target, const char *name)
{
	static const struct {
		const char *name;
		uint32_t bit;
	} names[] = {{"uts", PLAN_NS_UTS}, {"net", PLAN_NS_NET}, {"cgroup", PLAN_NS_CGROUP}};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(names[i].name, name) == 0) {
			target->plan->namespaces &= ~names[i].bit;
			return 0;
		}
	}
	return -EINVAL;
}

/* Its queues are those of a namespace: none of its own, none to mount. */
static int share_ipc(struct target *target, const char *argument)
{
	struct plan_mount *mount = find_mount(target->plan, PLAN_MOUNT_MQUEUE, "/dev/mqueue");

	(void)argument;
	if (!mount) {
		return -ENOENT;
	}
	remove_mount(target->plan, (size_t)(mount - target->plan->mounts));
	target->plan->namespaces &= ~(uint32_t)PLAN_NS_IPC;
	return 0;
}

static int drop_sysctl(struct target *target, const char *begin)
{
	char **settings = NULL;

	STRV_FOREACH (setting, target->plan->sysctls) {
		if (strncmp(*setting, begin, strlen(begin)) != 0 &&
			strv_append(&settings, *setting) < 0) {
			return -ENOMEM;
		}
	}
	strv_free(target->plan->sysctls);
	target->plan->sysctls = settings;
	return 0;
}

static int change_sysctl(struct target *target, const char *setting)
{
	return strv_append(&target->plan->sysctls, setting);
}

static int more_memory(struct target *target, const char *argument)
{
	(void)argument;
	target->plan->memory *= 10;
	return 0;
}

static int more_processor(struct target *target, const char *argument)
{
	(void)argument;
	target->plan->cpu_milli *= 10;
	return 0;
}

static int more_tasks(struct target *target, const char *argument)
{
	(void)argument;
	target->plan->pids *= 10;
	for (size_t i = 0; i < target->plan->rlimit_count; i++) {
		if (target->plan->rlimits[i].resource == RLIMIT_NPROC) {
			target->plan->rlimits[i].soft *= 10;
			target->plan->rlimits[i].hard *= 10;
		}
	}
	return 0;
}

static int drop_controller(struct target *target, const char *name)
{
	target->plan->cgroup_version[*name == 'm' ? CGROUP_MEMORY : CGROUP_CPU] = 0;
	return 0;
}

static int leak_variable(struct target *target, const char *argument)
{
	const char *name = *argument == 'l' ? target->env_listed : ground.env_name;
	const char *value = getenv(ground.env_name);
	char token[CANARY_TOKEN];

	if (*argument == 'l') {
		value = ground_token(&ground, 0, "listed", token);
	}
	return *name && value ? strv_setenv(&target->plan->env, name, value) : -ENOENT;
}

static int show_host_name(struct target *target, const char *argument)
{
	char name[65] = "";

	(void)argument;
	if (gethostname(name, sizeof(name) - 1) < 0) {
		return -errno;
	}
	free(target->plan->hostname);
	target->plan->hostname = strdup(name);
	return target->plan->hostname ? 0 : -ENOMEM;
}

#define CALL(call) .hole = HOLE_CALL, .number = SYS_##call
#define SOCKET(family, protocol) .hole = HOLE_SOCKET, .number = (family), .detail = (protocol)

static const struct mutant mutants[] = {
	{"a listed path writable", "fs.write.deny res.disk", .change = make_writable,
		.argument = "/read"},
	{"a directory too many readable", "fs.read.deny fs.read.scope ipc.restrict",
		.change = show_canaries},
	{"/tmp of the host", "fs.read.scope fs.write.deny ipc.restrict res.disk session.fresh",
		.change = bind_writable, .argument = "/tmp"},
	{"/var/tmp of the host", "fs.write.deny res.disk session.fresh", .change = bind_writable,
		.argument = "/var/tmp"},
	{"/dev/shm of the host", "fs.write.deny ipc.restrict res.disk session.fresh",
		.change = bind_writable, .argument = "/dev/shm"},
	{"terminals of the host", "tty.isolate", .change = show_terminals},
	{"one device node more", "dev.minimal", .change = add_device, .argument = "/dev/fuse"},
	{"another device node more", "dev.minimal", .change = add_device,
		.argument = "/dev/net/tun"},
	{"machine-id of the host", "host.conceal", .change = bind_read_only,
		.argument = "/etc/machine-id"},
	{"/proc of the host", "host.conceal proc.isolation session.fresh",
		.change = show_host_proc},
	{"/proc/cmdline not masked", "host.conceal", .change = unmask, .argument = "/proc/cmdline"},
	{"/proc/interrupts not masked", "host.conceal", .change = unmask,
		.argument = "/proc/interrupts"},
	{"a denied path not masked", "fs.read.deny", .change = unmask, .argument = "/deny"},
	{"scratch without a bound", "res.disk", .change = widen_root, .argument = "0"},
	{"scratch ten times as large", "res.disk", .change = widen_root, .argument = "10"},
	{"memory ten times as much", "res.memory", .change = more_memory},
	{"tasks ten times as many", "res.pids", .change = more_tasks},
	{"processors ten times as many", "res.cpu", .change = more_processor},
	{"no memory controller", "res.memory", .change = drop_controller, .argument = "memory"},
	{"no processor controller", "res.cpu", .change = drop_controller, .argument = "cpu"},
	{"no time limit", "res.time", .without = PLAN_LAYER_TIME},
	{"IPC namespace shared", "ipc.restrict session.fresh", .change = share_ipc},
	{"UTS namespace shared", "host.conceal session.fresh", .change = drop_namespace,
		.argument = "uts"},
	{"network namespace shared", "net.disable", .change = drop_namespace, .argument = "net"},
	{"control group namespace shared", "host.conceal", .change = drop_namespace,
		.argument = "cgroup"},
	{"PID namespace shared", "host.conceal proc.isolation session.fresh",
		.without = PLAN_LAYER_PID},
	{"user namespaces permitted", "priv.none", .change = drop_sysctl,
		.argument = "user.max_user_namespaces"},
	{"one user namespace permitted", "priv.none", .change = change_sysctl,
		.argument = "user.max_user_namespaces=1"},
	{"the host's name", "host.conceal", .change = show_host_name},
	{"a variable of the launcher's", "env.scrub", .change = leak_variable, .argument = "own"},
	{"a variable that the lists take out", "env.scrub", .change = leak_variable,
		.argument = "listed"},
	{"capabilities kept", "priv.none", .without = PLAN_LAYER_CAPS},
	{"privileges by exec, no filter, no Landlock",
		"host.conceal ipc.restrict kernel.filter priv.none tty.isolate",
		.without = PLAN_LAYER_NO_NEW_PRIVS | PLAN_LAYER_LANDLOCK | PLAN_LAYER_FILTER},
	{"inherited descriptors", "session.fresh", .without = PLAN_LAYER_CLOSE_FDS},
	{"the launcher's session", "proc.isolation tty.isolate", .without = PLAN_LAYER_SESSION},
	{"the launcher's keyring, and calls for keys", "host.conceal ipc.restrict kernel.filter",
		.without = PLAN_LAYER_KEYRING, CALL(keyctl)},
	{"/dev of the host",
		"dev.minimal fs.write.deny host.conceal ipc.restrict res.disk session.fresh "
		"tty.isolate",
		.without = PLAN_LAYER_DEV},
	{"calls for keys", "host.conceal ipc.restrict kernel.filter", CALL(keyctl)},
	{"add_key", "kernel.filter", CALL(add_key)},
	{"bpf", "kernel.filter", CALL(bpf)},
	{"perf_event_open", "kernel.filter", CALL(perf_event_open)},
	{"userfaultfd", "kernel.filter", CALL(userfaultfd)},
	{"io_uring_setup", "kernel.filter", CALL(io_uring_setup)},
	{"mount", "kernel.filter", CALL(mount)},
	{"open_tree", "kernel.filter", CALL(open_tree)},
	{"setns", "kernel.filter", CALL(setns)},
	{"name_to_handle_at", "kernel.filter", CALL(name_to_handle_at)},
	{"fanotify_init", "kernel.filter", CALL(fanotify_init)},
	{"modify_ldt", "kernel.filter", CALL(modify_ldt)},
	{"migrate_pages", "kernel.filter", CALL(migrate_pages)},
	{"quotactl", "kernel.filter", CALL(quotactl)},
	{"AF_VSOCK", "kernel.filter", SOCKET(AF_VSOCK, 0)},
	{"audit netlink", "kernel.filter", SOCKET(AF_NETLINK, 9)},
	{"device event netlink", "kernel.filter", SOCKET(AF_NETLINK, 15)},
	{"netfilter netlink", "kernel.filter", SOCKET(AF_NETLINK, 12)},
	{"TIOCSTI", "kernel.filter tty.isolate", .hole = HOLE_IOCTL, .number = TIOCSTI},
	{"TIOCLINUX", "kernel.filter tty.isolate", .hole = HOLE_IOCTL, .number = 0x541c},
	{"calls that nobody knows yet", "kernel.filter", .hole = HOLE_ABOVE, .number = 600},
	{"the x32 ABI", "kernel.filter", .hole = HOLE_ABOVE, .number = 0x40000000},
	{"the 32-bit ABI", "kernel.filter", .hole = HOLE_ARCH, .number = AUDIT_ARCH_I386},
};

/* ---- measuring one ---- */

static struct target target;
static struct measurement base;

static char *broken(const struct measurement *measurement)
{
	cleanup(strv_freep) char **names = NULL;

	for (size_t i = 0; i < CAPABILITY_COUNT; i++) {
		const struct capability_verdict *result = &measurement->judgement.capabilities[i];
		if (result->declared && result->verdict != VERDICT_PASS) {
			assert_int_equal(
				strv_append(&names, capability_name((enum capability)i)), 0);
		}
	}
	if (names) {
		strv_sort(names);
	}
	return names ? strv_join(names, " ") : strdup("");
}

static struct measure_options how(bool again)
{
	return (struct measure_options){
		.skip = PROBE_LIMIT, .timeout_ms = 20000, .control = again ? base.control : NULL};
}

static struct capability_set declared(const struct mutant *mutant)
{
	struct capability_set set = target.declared;

	/* Outliving a limit takes a second, and one mutant asks for it. */
	if (mutant && !(mutant->without & PLAN_LAYER_TIME)) {
		capability_set_remove(&set, CAPABILITY_RES_TIME);
	}
	return set;
}

static char *measure_mutant(const struct mutant *mutant)
{
	const struct measure_options options = how(true);
	struct measurement measurement = {0};
	struct err err = {0};
	char *text = NULL;
	int r = 0;

	current = mutant;
	target.without = mutant->without;
	target.plan = plan_free(target.plan);
	r = target.backend->compile(
		&target.spec, &target.host, mutant->without, &target.plan, &err);
	r = r < 0 || !mutant->change ? r : mutant->change(&target, mutant->argument);
	r = r < 0 ? r : plan_seal(target.plan);
	r = r < 0 ? r : measure(&target, &ground, declared(mutant), &options, &measurement, &err);
	if (r < 0 || measurement.code == 2) {
		return asprintf(&text, "(no measurement: %s%s)", r < 0 ? strerror(-r) : "",
			       r < 0 ? err.msg : measurement.client.fault) < 0
			? NULL
			: text;
	}
	text = broken(&measurement);
	measurement_fini(&measurement);
	return text;
}

static char *measure_apart(const struct mutant *mutant)
{
	char *text = NULL;
	int status = 0;
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (pid == 0) {
		cleanup_free char *own = measure_mutant(mutant);
		_exit(own && io_write_all(ends[1], own, strlen(own)) == 0 ? 0 : 1);
	}
	ground.runs += 8; /* the child's canaries had these numbers */
	(void)close(ends[1]);
	assert_int_equal(io_read_fd(ends[0], 4096, &text, NULL), 0);
	(void)close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	return text;
}

static void each_hole_is_caught_where_it_is(void **state)
{
	size_t caught = 0;

	(void)state;
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < ARRAY_SIZE(mutants); i++) {
		cleanup_free char *found = measure_apart(&mutants[i]);
		bool same = strcmp(found, mutants[i].broken) == 0;
		caught += same;
		if (!same) {
			(void)printf("MISSED %s: '%s' broken, '%s' expected\n", mutants[i].what,
				found, mutants[i].broken);
		}
	}
	(void)printf("mutation score: %zu/%zu\n", caught, ARRAY_SIZE(mutants));
	assert_int_equal(caught, ARRAY_SIZE(mutants));
	assert_true(ARRAY_SIZE(mutants) >= LEAST);
}

/* A mutant that breaks nothing shows nothing. */
static void the_plan_itself_keeps_all(void **state)
{
	cleanup_free char *found = broken(&base);

	(void)state;
	assert_string_equal(found, "");
}

/* ---- set-up ---- */

static int make_spec(struct spec *spec, struct err *err)
{
	static const struct {
		const char *name, *value;
	} values[] = {{"net", "disable"}, {"write", "none"}, {"readable", "/usr"},
		{"read_deny", "/usr/share/doc"}, {"env_deny", "SECRET_*"}, {"memory", "64M"},
		{"pids", "40"}, {"cpus", "0.5"}, {"disk", "32M"}, {"timeout", "1h"}};
	int r = 0;

	spec_init(spec);
	r = strv_append(&spec->args, "true");
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(values); i++) {
		for (const struct spec_key *key = spec_keys; key->name; key++) {
			if (strcmp(key->name, values[i].name) == 0) {
				r = spec_set(spec, key, values[i].value, err);
			}
		}
	}
	return r;
}

static int set_up(const char *client, struct err *err)
{
	const struct measure_options options = how(false);
	gid_t group = OUTSIDE_GROUP;
	struct spec spec;
	int r = 0;

	(void)setsid();
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGTTOU, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	(void)signal(SIGUSR1, SIG_IGN);
	(void)setgroups(1, &group);
	r = target_parse("native", NULL, &target, err);
	r = r < 0 ? r : ground_init(&ground, OUTER_CANARIES, client, err);
	r = r < 0 ? r : make_spec(&spec, err);
	if (r < 0) {
		return r;
	}
	r = target_prepare(&target, &spec, "native", &ground, err);
	spec_fini(&spec);
	return r < 0 ? r : measure(&target, &ground, declared(NULL), &options, &base, err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_plan_itself_keeps_all),
		cmocka_unit_test(each_hole_is_caught_where_it_is),
	};
	struct err err = {0};
	int streams[3];
	char client[32];
	int code = 1;

	if (geteuid() != 0) {
		(void)fprintf(stderr, "needs root, for the second sandbox\n");
		return 77;
	}
	int fd = open(program_path("TESTKIT_CLIENT"), O_RDONLY | O_CLOEXEC);
	(void)snprintf(client, sizeof(client), "/proc/self/fd/%d", fd);
	if (sodium_init() < 0 || outer_enter(streams, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.msg);
		return 1;
	}
	(void)dup2(streams[1], 1);
	(void)dup2(streams[2], 2);
	if (set_up(client, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.msg);
	} else {
		code = cmocka_run_group_tests(tests, NULL, NULL);
	}
	measurement_fini(&base);
	ground_fini(&ground);
	target_fini(&target);
	return code;
}
