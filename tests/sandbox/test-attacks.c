/*
 * Attacks on the native backend, from inside, with the product's own compile() and start().
 *
 *	test-attacks ATTACKER
 *
 * Each row is run with the whole plan, where it must fail, and then with just the layers left out
 * that stand in its way, where it must succeed: a row that could not fail would prove nothing. Where
 * several layers stand in the way and each is enough alone, every one of them is tried alone. What
 * the host can see for itself (a file, a connection) must agree with what the attacker says.
 *
 * After every run the host must be as before: no mount, no control group.
 */
#include "tests/test.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "backends/backend.h"
#include "backends/linux/launcher.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/proc.h"

enum { OPEN, SHUT, CANNOT, NOT_RUN = 1000 };

#define LAYER(name) PLAN_LAYER_##name
#define LEAKED_FD 200
#define KEY_NAME "cloche-attack"
#define OWNER 12345 /* of the writable scope: a scope of root's is refused */

/* What was planted outside for the attackers to reach. */
static struct {
	char dir[64], name[16], attacker[96], pid[16], port[16], shm[16], abstract[32],
		hostname[80];
	int tcp, unix_socket, shm_id, leaked;
	size_t mounts, descriptors;
	struct host host;
	unsigned cannot; /* runs in which this kernel could not show it */
} world;

static const struct {
	const char *name, *value;
} words[] = {
	{"{dir}", world.dir},
	{"{attacker}", world.attacker},
	{"{pid}", world.pid},
	{"{port}", world.port},
	{"{shm}", world.shm},
	{"{abstract}", world.abstract},
	{"{hostname}", world.hostname},
};

/* Text with the first {word} replaced; the caller frees. */
static char *expand(const char *text)
{
	char *result = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		const char *at = strstr(text, words[i].name);
		if (at) {
			assert_true(asprintf(&result, "%.*s%s%s", (int)(at - text), text,
					    words[i].value, at + strlen(words[i].name)) > 0);
			return result;
		}
	}
	return strdup(text);
}

/* What the host sees by itself. Each forgets what it saw. */

static bool saw_file(const char *name)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", world.dir, name);
	return unlink(path) == 0;
}

static bool saw_planted(void)
{
	return saw_file("open/planted");
}

static bool saw_stray(void)
{
	return saw_file("other/planted");
}

static bool saw_connection(int listener)
{
	cleanup_close int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	return fd >= 0;
}

static bool saw_tcp(void)
{
	return saw_connection(world.tcp);
}

static bool saw_abstract(void)
{
	return saw_connection(world.unix_socket);
}

struct attack {
	const char *name; /* of the row */
	const char *args[10]; /* the attacker's */
	const char *const *spec; /* key, value, ... NULL */
	uint32_t layers; /* that stand in the way; 0: the attacker has its own control */
	bool each_holds; /* each of them alone is enough */
	bool pty;
	bool kernel_may_lack; /* not every kernel is built with it */
	bool death_is_shut; /* being killed is what should happen */
	int landlock_abi; /* below it Landlock does not stand in the way */
	bool (*saw)(void);
};

#define SPEC(...)                                                                                  \
	(const char *const[])                                                                      \
	{                                                                                          \
		__VA_ARGS__, NULL                                                                  \
	}

static const struct attack attacks[] = {
	/* calls that reach what no namespace holds, or too much kernel */
	{"vsock", {"vsock"}, .layers = LAYER(FILTER), .kernel_may_lack = true},
	{"alg", {"alg"}, .layers = LAYER(FILTER), .kernel_may_lack = true},
	{"packet", {"packet"}, .layers = LAYER(FILTER) | LAYER(CAPS), .each_holds = true},
	{"netlink_generic", {"netlink"}, .layers = LAYER(FILTER)},
	{"io_uring", {"io-uring"}, .layers = LAYER(FILTER)},
	{"userfaultfd", {"userfaultfd"}, .layers = LAYER(FILTER)},
	{"perf_event", {"perf"}, .layers = LAYER(FILTER), .kernel_may_lack = true},
	{"process_vm", {"process-vm"}, .layers = LAYER(FILTER)},
	{"file_handle", {"file-handle"}, .layers = LAYER(FILTER)},
	{"clone3", {"clone3"}, .layers = LAYER(FILTER)},
	{"i386", {"i386"}, .layers = LAYER(FILTER), .kernel_may_lack = true},
	{"i386_socketcall", {"i386-socketcall"}, .layers = LAYER(FILTER), .kernel_may_lack = true},
	{"x32", {"x32", "control"}, .layers = LAYER(FILTER), .kernel_may_lack = true},
	{"filterless", {"filterless"}, .layers = LAYER(FILTER)},

	/* namespaces and mounts */
	{"user_namespace", {"user-namespace"}, .layers = LAYER(FILTER) | LAYER(USER_LIMITS),
		.each_holds = true},
	{"user_namespace_by_clone", {"user-namespace-by-clone"},
		.layers = LAYER(FILTER) | LAYER(USER_LIMITS), .each_holds = true},
	{"mount", {"mount"}, .layers = LAYER(FILTER) | LAYER(CAPS) | LAYER(LANDLOCK),
		.each_holds = true},
	{"mount_api", {"mount-api"}, .layers = LAYER(FILTER) | LAYER(CAPS), .each_holds = true},
	{"umount_of_a_mask", {"umount"}, .layers = LAYER(FILTER) | LAYER(CAPS) | LAYER(LANDLOCK),
		.each_holds = true},
	{"chroot", {"chroot"}, .layers = LAYER(FILTER) | LAYER(CAPS), .each_holds = true},

	/* the terminal */
	{"tiocsti", {"tiocsti", "0x5412"}, .layers = LAYER(FILTER), .pty = true},
	{"tiocsti_high_bit", {"tiocsti", "0x100005412"}, .layers = LAYER(FILTER), .pty = true},
	{"tiocsti_all_high_bits", {"tiocsti", "0xffffffff00005412"}, .layers = LAYER(FILTER),
		.pty = true},
	{"session_of_init", {"session"}, .layers = LAYER(SESSION)},

	/* privilege */
	{"capabilities", {"capabilities"}, .layers = LAYER(CAPS)},
	{"new_privileges", {"new-privileges"},
		.layers = LAYER(NO_NEW_PRIVS) | LAYER(FILTER) | LAYER(LANDLOCK)},
	{"suspended_filter", {"suspend-filter"}},
	{"filter_read", {"read-filter"}},
	{"filter_read_without_exec", {"read-filter"}, SPEC("no_exec", "yes")},
	{"ptrace_of_init", {"init"}},
	{"kill_of_init", {"kill-init"}},

	/* what leaks in */
	{"descriptor", {"descriptors"}, .layers = LAYER(CLOSE_FDS)},
	{"descriptor_of_a_directory", {"descriptors"}, .layers = LAYER(CLOSE_FDS) | LAYER(LANDLOCK),
		.saw = saw_planted},
	{"keyring", {"keyring", KEY_NAME}, .layers = LAYER(KEYRING) | LAYER(FILTER),
		.each_holds = true},
	{"environment", {"environment", "SECRET"}, SPEC("env", "SECRET=1", "env_allow", "TERM"),
		.layers = LAYER(ENV)},
	{"hostname", {"hostname", "{hostname}"}, .layers = LAYER(UTS)},
	{"key_users", {"read", "/proc/key-users"}, .layers = LAYER(MASKS)},
	{"kernel_command_line", {"read", "/proc/cmdline"}, .layers = LAYER(MASKS)},
	{"devices", {"exists", "/dev/kmsg", "/dev/mem", "/dev/vda", "/dev/console"},
		.layers = LAYER(DEV)},
	{"sysctl",
		{"open-write", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/kernel/core_pattern",
			"/proc/sys/user/max_user_namespaces", "/proc/sysrq-trigger"},
		.layers = LAYER(MASKS) | LAYER(CAPS) | LAYER(LANDLOCK)},

	/* others */
	{"process_outside", {"see-process", "{pid}"}, .layers = LAYER(PID)},
	{"shared_memory", {"shared-memory", "{shm}"}, .layers = LAYER(IPC)},
	{"abstract_socket", {"abstract", "{abstract}"}, .landlock_abi = 6,
		.layers = LAYER(NET) | LAYER(LANDLOCK), .each_holds = true, .saw = saw_abstract},
	{"abstract_socket_with_network", {"abstract", "{abstract}"}, SPEC("net", "enable"),
		.landlock_abi = 6, .layers = LAYER(LANDLOCK), .saw = saw_abstract},
	{"vsock_with_network", {"vsock"}, SPEC("net", "enable"), .layers = LAYER(FILTER),
		.kernel_may_lack = true},
	{"tcp_of_the_host", {"tcp", "{port}"}, .layers = LAYER(NET), .saw = saw_tcp},

	/* files */
	{"write", {"create", "{dir}/open/planted"}, .layers = LAYER(READ_ONLY) | LAYER(LANDLOCK),
		.each_holds = true, .saw = saw_planted},
	{"write_beside_the_scope", {"create", "{dir}/other/planted"},
		SPEC("write", "scope", "writable", "{dir}/open"),
		.layers = LAYER(READ_ONLY) | LAYER(LANDLOCK), .each_holds = true, .saw = saw_stray},
	{"write_by_dots", {"create", "{dir}/open/../other/planted"},
		SPEC("write", "scope", "writable", "{dir}/open"),
		.layers = LAYER(READ_ONLY) | LAYER(LANDLOCK), .each_holds = true, .saw = saw_stray},
	{"write_by_link", {"create", "{dir}/open/out/planted"},
		SPEC("write", "scope", "writable", "{dir}/open"),
		.layers = LAYER(READ_ONLY) | LAYER(LANDLOCK), .each_holds = true, .saw = saw_stray},
	{"write_by_root_link", {"create", "/proc/self/root{dir}/other/planted"},
		SPEC("write", "scope", "writable", "{dir}/open"),
		.layers = LAYER(READ_ONLY) | LAYER(LANDLOCK), .each_holds = true, .saw = saw_stray},
	{"hard_link_out_of_the_scope",
		{"link", "{dir}/open/own", "{dir}/open/planted", "{dir}/other/victim"},
		SPEC("write", "scope", "writable", "{dir}/open"), .saw = saw_planted},
	{"write_into_the_lower_layer", {"create-twice", "{dir}/open/planted"},
		SPEC("write", "ephemeral", "dir", "{dir}/open"), .saw = saw_planted},
	{"read_denied", {"aliases", "{dir}/hidden/secret"}, SPEC("read_deny", "{dir}/hidden"),
		.layers = LAYER(READ_DENY)},
	{"read_denied_by_aliases",
		{"aliases", "{dir}/alias", "{dir}/open/../hidden/secret",
			"/proc/self/root{dir}/hidden/secret",
			"/proc/thread-self/root{dir}/hidden/secret",
			"/proc/1/root{dir}/hidden/secret"},
		SPEC("read_deny", "{dir}/hidden"), .layers = LAYER(READ_DENY)},
	{"read_denied_file", {"aliases", "{dir}/hidden/secret", "{dir}/alias"},
		SPEC("read_deny", "{dir}/hidden/secret"), .layers = LAYER(READ_DENY)},
	{"read_outside_the_scope", {"aliases", "{dir}/secret"},
		SPEC("readable", "{dir}/bin", "dir", "{dir}/bin"), .layers = LAYER(MOUNT)},

	/* resources */
	{"disk", {"fill", "/tmp/fill", "33554432"}, SPEC("disk", "8M"), .layers = LAYER(DISK)},
	{"disk_of_shm", {"fill", "/dev/shm/fill", "33554432"}, SPEC("disk", "8M"),
		.layers = LAYER(DISK)},
	{"disk_of_an_overlay", {"fill", "{dir}/open/planted", "33554432"},
		SPEC("write", "ephemeral", "disk", "8M", "dir", "{dir}/open"),
		.layers = LAYER(DISK)},
	{"files", {"files", "/tmp", "6000"}, SPEC("disk", "8M"), .layers = LAYER(DISK)},
	{"forks", {"forks", "60"}, SPEC("pids", "20"), .layers = LAYER(CGROUP) | LAYER(RLIMITS),
		.each_holds = true},
	{"memory", {"memory", "134217728"}, SPEC("memory", "48M"), .layers = LAYER(CGROUP),
		.death_is_shut = true},
	{"memory_by_files", {"fill", "/tmp/fill", "134217728"},
		SPEC("memory", "48M", "disk", "512M"), .layers = LAYER(CGROUP),
		.death_is_shut = true},
	{"memory_in_sockets", {"unread", "134217728"}, SPEC("memory", "48M"),
		.layers = LAYER(CGROUP), .death_is_shut = true},
	{"processor", {"processor", "6"}, SPEC("cpus", "0.05"), .layers = LAYER(CGROUP)},
	{"time", {"time", "3000"}, SPEC("timeout", "1s"), .layers = LAYER(TIME),
		.death_is_shut = true},

	{"core_files", {"core"}, .layers = LAYER(RLIMITS)},

	/* running programs */
	{"exec", {"exec", "{attacker}"}, SPEC("no_exec", "yes"), .layers = LAYER(FILTER)},
	{"exec_of_memory", {"exec-memory", "{attacker}"}, SPEC("no_exec", "yes"),
		.layers = LAYER(FILTER)},
};

static void fill_spec(const struct attack *attack, struct spec *spec)
{
	struct err err = {0};

	spec_init(spec);
	assert_int_equal(strv_append(&spec->args, world.attacker), 0);
	for (size_t i = 0; i < ARRAY_SIZE(attack->args) && attack->args[i]; i++) {
		assert_int_equal(strv_consume(&spec->args, expand(attack->args[i])), 0);
	}
	spec->dir = strdup("/");
	for (size_t i = 0; attack->spec && attack->spec[i]; i += 2) {
		cleanup_free char *value = expand(attack->spec[i + 1]);
		const struct spec_key *key = spec_find_key(attack->spec[i]);

		if (!key || spec_set(spec, key, value, &err) < 0) {
			fail_msg("%s=%s: %s", attack->spec[i], value, err.msg);
		}
	}
}

static size_t count_mounts(void)
{
	cleanup_free char *text = NULL;
	size_t lines = 0;

	assert_int_equal(io_read_file(AT_FDCWD, "/proc/self/mountinfo", 1 << 20, &text, NULL), 0);
	for (const char *at = text; (at = strchr(at, '\n')); at++) {
		lines++;
	}
	return lines;
}

static size_t count_descriptors(void)
{
	size_t count = 0;

	for (int fd = 0; fd < 1024; fd++) {
		count += fcntl(fd, F_GETFD) >= 0;
	}
	return count;
}

/* Whether a process of the attacker's is still there, anywhere on the machine. */
static bool is_alive(void)
{
	DIR *list = opendir("/proc");
	bool found = false;

	for (struct dirent *entry; list && (entry = readdir(list));) {
		cleanup_free char *name = NULL, *path = NULL;

		if (asprintf(&path, "/proc/%s/comm", entry->d_name) > 0 &&
			io_read_file(AT_FDCWD, path, 64, &name, NULL) == 0) {
			name[strcspn(name, "\n")] = '\0';
			found = found || strcmp(name, world.name) == 0;
		}
	}
	(void)closedir(list);
	return found;
}

static void check_nothing_left(const char *id)
{
	char path[512];

	assert_int_equal(count_mounts(), world.mounts);
	assert_int_equal(count_descriptors(), world.descriptors);
	assert_false(is_alive());
	for (int i = -1; i < CGROUP_CONTROLLERS; i++) {
		const char *parent = i < 0 ? world.host.cgroup_kill : world.host.cgroup[i].path;
		(void)snprintf(path, sizeof(path), "%s/%s", parent, id);
		if (parent[0] && access(path, F_OK) == 0) {
			fail_msg("%s is left", path);
		}
	}
}

/* Reads what the attacker says until it has nothing more to say or its time is up. */
static void read_output(int fd, char *text, size_t size)
{
	size_t used = 0;
	uint64_t end = io_now_usec() + 30000000;
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	while (io_now_usec() < end && poll(&poll_fd, 1, 1000) >= 0) {
		if (poll_fd.revents == 0) {
			continue;
		}
		ssize_t n = read(fd, text + used, size - 1 - used);
		if (n <= 0) {
			break;
		}
		used += (size_t)n;
	}
	text[used] = '\0';
}

static int wait_for_exit(struct sandbox *sandbox)
{
	struct sandbox_exit ended = {0};
	struct pollfd poll_fd = {.fd = sandbox->event, .events = POLLIN};

	for (int i = 0; i < 300; i++) {
		int r = backend_native.poll_exit(sandbox, &ended);
		if (r == 1) {
			return proc_exit_code(ended.status);
		}
		if (r < 0) {
			return NOT_RUN - r;
		}
		(void)poll(&poll_fd, 1, 100);
	}
	return -1;
}

/* Starts the compiled attack and waits for its end. Returns the exit code, or NOT_RUN. */
static int run_plan(const struct attack *attack, const struct plan *plan, char *output, size_t size,
	char id[33], struct err *err)
{
	cleanup_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct sandbox *sandbox = NULL;
	int pipes[2], code;

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	cleanup_close int output_end = pipes[0];
	struct sandbox_stdio io = {
		.fds = {null, pipes[1], pipes[1]}, .pty = attack->pty, .size = {24, 80, 0, 0}};
	int r = backend_native.start(plan, &world.host, &io, &sandbox, err);
	(void)close(pipes[1]);
	if (r < 0) {
		return NOT_RUN;
	}
	read_output(attack->pty ? sandbox->pty : output_end, output, size);
	code = wait_for_exit(sandbox);
	(void)snprintf(id, 33, "%s", sandbox->id);
	backend_native.destroy(sandbox);
	return code;
}

/* Runs the attack with some layers left out. Returns the attacker's exit code. */
static int run(const struct attack *attack, uint32_t without, char *output, size_t size)
{
	struct spec spec;
	cleanup(plan_freep) struct plan *plan = NULL;
	struct err err = {0};
	int code = NOT_RUN;
	char id[33] = "none";

	fill_spec(attack, &spec);
	if (backend_native.compile(&spec, &world.host, without, &plan, &err) == 0) {
		code = run_plan(attack, plan, output, size, id, &err);
	}
	spec_fini(&spec);
	if (code == NOT_RUN) {
		(void)snprintf(output, size, "%s", err.msg);
	}
	plan = plan_free(plan); /* now: what follows may jump */
	check_nothing_left(id);
	return code;
}

static int judge(const struct attack *attack, int code)
{
	return attack->death_is_shut && code > 128 && code < 200 ? SHUT : code;
}

static void expect(const struct attack *attack, uint32_t without, int wanted)
{
	char output[2048] = "";
	int code = judge(attack, run(attack, without, output, sizeof(output)));
	bool saw = attack->saw && attack->saw();

	if (code == CANNOT && attack->kernel_may_lack) {
		print_message("%s: cannot be tried: %s", attack->name, output);
		world.cannot++;
		return;
	}
	if (code != wanted) {
		fail_msg("without %x: wanted %s, got %d (0 open, 1 shut, 2 no control): %s",
			without, wanted == SHUT ? "shut" : "open", code, output);
	}
	if (attack->saw && saw != (wanted == OPEN)) {
		fail_msg("without %x: the attacker says %s, the host saw %s", without,
			wanted == SHUT ? "shut" : "open", saw ? "it" : "nothing");
	}
}

static void attack_fails_and_could_succeed(void **state)
{
	const struct attack *attack = *state;
	uint32_t layers = attack->layers;

	if (world.host.landlock_abi < attack->landlock_abi) {
		layers &= ~(uint32_t)LAYER(LANDLOCK);
	}
	if (attack->layers && !layers) {
		print_message("%s: nothing of this kernel stands in its way\n", attack->name);
		return; /* and nothing is claimed: see the backend's table of promises */
	}
	expect(attack, 0, SHUT);
	if (layers) {
		expect(attack, layers, OPEN);
	}
	for (uint32_t bit = 1; attack->each_holds && bit; bit <<= 1) {
		if (layers & bit) {
			expect(attack, layers & ~bit, SHUT);
		}
	}
}

/* What cannot be started must cost nothing and leave nothing; check_nothing_left() looks. */
static void a_failed_start_leaves_nothing(void **state)
{
	static const struct attack none = {"none", {"open"}};
	struct spec spec;
	cleanup(plan_freep) struct plan *plan = NULL;
	struct sandbox *sandbox = NULL;
	struct sandbox_stdio io = {.fds = {-1, -1, -1}};
	struct err err = {0};

	fill_spec(&none, &spec);
	free(spec.args[0]);
	spec.args[0] = strdup("/no/such/program");
	int compiled = backend_native.compile(&spec, &world.host, 0, &plan, &err);
	int started =
		compiled < 0 ? 0 : backend_native.start(plan, &world.host, &io, &sandbox, &err);
	spec_fini(&spec);
	plan = plan_free(plan);
	assert_int_equal(compiled, 0);
	assert_int_equal(started, -ENOENT);
	assert_non_null(strstr(err.msg, "/no/such/program"));
	check_nothing_left("none");
}

/* Forked off, in sessions of their own, ignoring signals: gone with the sandbox all the same. */
static void what_was_left_running_ends_with_the_sandbox(void **state)
{
	static const struct attack daemons = {"daemons", {"daemons", "5"}};
	static const uint32_t ways[] = {0, PLAN_LAYER_CGROUP, PLAN_LAYER_FILTER};

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		char output[256] = "";
		assert_int_equal(run(&daemons, ways[i], output, sizeof(output)), OPEN);
	}
}

static void copy_attacker(const char *from)
{
	cleanup_free char *data = NULL;
	size_t size;

	assert_int_equal(io_read_file(AT_FDCWD, from, 64 << 20, &data, &size), 0);
	cleanup_close int fd = open(world.attacker, O_CREAT | O_WRONLY | O_CLOEXEC, 0755);
	assert_int_equal(io_write_all(fd, data, size), 0);
	assert_int_equal(fchmod(fd, 0755), 0);
}

static void plant_files(const char *attacker)
{
	static const struct {
		const char *name;
		mode_t mode;
	} directories[] = {
		{"", 0755}, {"/bin", 0755}, {"/open", 0777}, {"/other", 0777}, {"/hidden", 0755}};
	static const struct {
		const char *name;
		mode_t mode;
	} files[] = {{"/secret", 0644}, {"/hidden/secret", 0644}, {"/other/victim", 0666},
		{"/open/own", 0666}};
	char path[128], target[128];

	for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
		(void)snprintf(path, sizeof(path), "%s%s", world.dir, directories[i].name);
		assert_true(mkdir(path, 0700) == 0 || i == 0);
		assert_int_equal(chmod(path, directories[i].mode), 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		(void)snprintf(path, sizeof(path), "%s%s", world.dir, files[i].name);
		cleanup_close int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
		assert_int_equal(io_write_all(fd, "secret\n", 7), 0);
		assert_int_equal(fchmod(fd, files[i].mode), 0);
	}
	(void)snprintf(path, sizeof(path), "%s/alias", world.dir);
	assert_int_equal(symlink("hidden/secret", path), 0);
	(void)snprintf(path, sizeof(path), "%s/open/out", world.dir);
	(void)snprintf(target, sizeof(target), "%s/other", world.dir);
	assert_int_equal(symlink(target, path), 0);
	copy_attacker(attacker);
	(void)snprintf(path, sizeof(path), "%s/open/own", world.dir);
	assert_int_equal(chown(path, OWNER, OWNER), 0);
	(void)snprintf(path, sizeof(path), "%s/open", world.dir);
	assert_int_equal(chown(path, OWNER, OWNER), 0);
	cleanup_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	world.leaked = dup2(fd, LEAKED_FD); /* not close-on-exec, on purpose */
	assert_int_equal(world.leaked, LEAKED_FD);
}

static void plant_sockets(void)
{
	struct sockaddr_in tcp = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	socklen_t size = sizeof(tcp);

	world.tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(world.tcp, (struct sockaddr *)&tcp, sizeof(tcp)), 0);
	assert_int_equal(listen(world.tcp, 8), 0);
	assert_int_equal(getsockname(world.tcp, (struct sockaddr *)&tcp, &size), 0);
	(void)snprintf(world.port, sizeof(world.port), "%u", ntohs(tcp.sin_port));

	(void)snprintf(world.abstract, sizeof(world.abstract), "cloche-attack-%d", getpid());
	(void)snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "%s", world.abstract);
	world.unix_socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(world.unix_socket, (struct sockaddr *)&name,
				 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
					 strlen(world.abstract))),
		0);
	assert_int_equal(listen(world.unix_socket, 8), 0);
}

static void plant_objects(void)
{
	struct utsname name;

	(void)snprintf(world.pid, sizeof(world.pid), "%d", getpid());
	assert_int_equal(uname(&name), 0);
	(void)snprintf(world.hostname, sizeof(world.hostname), "%s", name.nodename);
	world.shm_id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0666);
	assert_true(world.shm_id >= 0);
	(void)snprintf(world.shm, sizeof(world.shm), "%d", world.shm_id);
	/* A keyring of this test's own, so that none of the machine's is touched. */
	assert_true(syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) >= 0);
	assert_true(syscall(SYS_add_key, "user", KEY_NAME, "payload", 7,
			    KEY_SPEC_SESSION_KEYRING) >= 0);
}

static const char *attacker_path;

static int build_world(void **state)
{
	struct err err = {0};

	if (host_probe(&world.host, &err) < 0) {
		print_error("%s\n", err.msg);
		return -1;
	}
	/* A mount namespace of our own: what others mount meanwhile is not counted as debris. */
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		return -1;
	}
	(void)snprintf(world.dir, sizeof(world.dir), "/var/lib/cloche-attack-%d", getpid());
	(void)snprintf(world.name, sizeof(world.name), "atk-%d", getpid());
	(void)snprintf(world.attacker, sizeof(world.attacker), "%s/bin/%s", world.dir, world.name);
	(void)mkdir(world.dir, 0755);
	plant_files(attacker_path);
	plant_sockets();
	plant_objects();
	assert_int_equal(launcher_warm(), 0); /* one descriptor, kept for good */
	world.mounts = count_mounts();
	world.descriptors = count_descriptors();
	return 0;
}

static int tear_down(void **state)
{
	static const char *const names[] = {"/open/out", "/open/own", "/open/planted",
		"/other/planted", "/other/victim", "/alias", "/secret", "/hidden/secret", "/bin",
		"/open", "/other", "/hidden", ""};
	char path[128];

	(void)unlink(world.attacker);
	(void)shmctl(world.shm_id, IPC_RMID, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		(void)snprintf(path, sizeof(path), "%s%s", world.dir, names[i]);
		(void)remove(path);
	}
	if (access(world.dir, F_OK) == 0) {
		print_error("%s is left\n", world.dir);
		return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static struct CMUnitTest tests[ARRAY_SIZE(attacks) + 2] = {
		cmocka_unit_test(a_failed_start_leaves_nothing),
		cmocka_unit_test(what_was_left_running_ends_with_the_sandbox),
	};
	struct host host;

	if (argc < 2) {
		(void)fprintf(stderr, "usage: test-attacks ATTACKER [ROW-PATTERN]\n");
		return 2;
	}
	if (host_probe(&host, NULL) == 0 && (!host.root || !host.user_namespaces)) {
		(void)fprintf(stderr, "needs root and user namespaces\n");
		return 77;
	}
	attacker_path = argv[1];
	for (size_t i = 0; i < ARRAY_SIZE(attacks); i++) {
		tests[i + 2] = (struct CMUnitTest){.name = attacks[i].name,
			.test_func = attack_fails_and_could_succeed,
			.initial_state = (void *)(uintptr_t)&attacks[i]};
	}
	if (argc > 2) {
		cmocka_set_test_filter(argv[2]);
	}
	return cmocka_run_group_tests_name("attacks", tests, build_world, tear_down);
}
