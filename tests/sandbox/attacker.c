/*
 * Runs inside and tries one thing: attacker ATTACK [ARGUMENT...]. Static, so that it needs nothing
 * of the view it finds itself in.
 *
 * Exit code 0: the door is open. 1: it is shut. 2: nobody could try this on this kernel.
 * What happened is said on standard output.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { OPEN, SHUT, CANNOT };

static int shut(const char *what)
{
	(void)printf("%s: %s\n", what, strerror(errno));
	return SHUT;
}

/* Open when the call worked; what the kernel was built without is nobody's merit. */
static int by_result(long result, const char *what)
{
	if (result < 0 && (errno == EAFNOSUPPORT || errno == ENODEV)) {
		(void)printf("%s: not in this kernel\n", what);
		return CANNOT;
	}
	if (result < 0) {
		return shut(what);
	}
	(void)printf("%s: worked\n", what);
	return OPEN;
}

/* System calls that are refused whatever they are asked for. */

static int attack_vsock(char **args)
{
	return by_result(socket(AF_VSOCK, SOCK_STREAM, 0), "socket(AF_VSOCK)");
}

static int attack_alg(char **args)
{
	return by_result(socket(AF_ALG, SOCK_SEQPACKET, 0), "socket(AF_ALG)");
}

static int attack_packet(char **args)
{
	return by_result(socket(AF_PACKET, SOCK_DGRAM, 0), "socket(AF_PACKET)");
}

static int attack_netlink(char **args)
{
	return by_result(socket(AF_NETLINK, SOCK_RAW, 16 /* generic */), "socket(NETLINK_GENERIC)");
}

static int attack_io_uring(char **args)
{
	char parameters[120] = {0};

	return by_result(syscall(SYS_io_uring_setup, 4, parameters), "io_uring_setup");
}

static int attack_userfaultfd(char **args)
{
	return by_result(syscall(SYS_userfaultfd, 1 /* user mode only */), "userfaultfd");
}

static int attack_perf(char **args)
{
	struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_TASK_CLOCK,
		.exclude_kernel = 1,
		.exclude_hv = 1};

	long result = syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
	if (result < 0 && errno == EACCES) {
		(void)printf("perf_event_open: kernel.perf_event_paranoid keeps everybody out\n");
		return CANNOT; /* Debian's kernel; a filter says EPERM */
	}
	return by_result(result, "perf_event_open");
}

static int attack_process_vm(char **args)
{
	char from[8] = "secret", to[8] = "";
	struct iovec local = {to, sizeof(to)}, remote = {from, sizeof(from)};

	return by_result(syscall(SYS_process_vm_readv, getpid(), &local, 1, &remote, 1, 0),
		"process_vm_readv");
}

static int attack_file_handle(char **args)
{
	struct {
		unsigned bytes;
		int type;
		char handle[128];
	} handle = {.bytes = 128};
	int mount_id;

	return by_result(syscall(SYS_name_to_handle_at, AT_FDCWD, "/usr", &handle, &mount_id, 0),
		"name_to_handle_at");
}

static int attack_clone3(char **args)
{
	/* Too small for the kernel: EINVAL says that the call is there. */
	long result = syscall(SYS_clone3, NULL, 0);

	if (result < 0 && errno == EINVAL) {
		(void)printf("clone3: there\n");
		return OPEN;
	}
	return shut("clone3");
}

/* Doors beside the native one. */

#if defined(__x86_64__)
static long call_i386(long nr, long a, long b)
{
	long result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(nr), "b"(a), "c"(b)
			 : "memory", "r8", "r9", "r10", "r11");
	return result;
}

static void no_i386(int signo)
{
	_exit(CANNOT);
}

static int attack_i386(char **args)
{
	(void)signal(SIGSEGV, no_i386); /* a kernel without that ABI */
	long result = call_i386(20 /* getpid */, 0, 0);
	(void)printf("int 0x80 getpid: %ld\n", result);
	return result == getpid() ? OPEN : SHUT;
}

static int attack_i386_socketcall(char **args)
{
	uint32_t *arguments = mmap(
		NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	(void)signal(SIGSEGV, no_i386);
	arguments[0] = AF_NETLINK;
	arguments[1] = SOCK_RAW;
	arguments[2] = 16; /* generic: refused by the native door */
	long result = call_i386(102, 1 /* SYS_SOCKET */, (long)arguments);
	(void)printf("int 0x80 socketcall: %ld\n", result);
	return result >= 0 ? OPEN : SHUT;
}

static int attack_x32(char **args)
{
	long result = syscall(0x40000000 | SYS_getpid);

	(void)printf("x32 getpid: %ld\n", result);
	if (result == getpid()) {
		return OPEN;
	}
	/* ENOSYS is what the filter says, and what a kernel without x32 says */
	return args[0] && strcmp(args[0], "control") == 0 ? CANNOT : SHUT;
}
#else
static int attack_i386(char **args)
{
	return CANNOT;
}

static int attack_i386_socketcall(char **args)
{
	return CANNOT;
}

static int attack_x32(char **args)
{
	return CANNOT;
}
#endif

/* Namespaces, mounts. */

static int attack_user_namespace(char **args)
{
	return by_result(unshare(CLONE_NEWUSER), "unshare(CLONE_NEWUSER)");
}

static int attack_user_namespace_by_clone(char **args)
{
	long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);

	if (pid == 0) {
		_exit(0);
	}
	return by_result(pid, "clone(CLONE_NEWUSER)");
}

static int attack_mount(char **args)
{
	return by_result(mount("tmpfs", "/tmp", "tmpfs", 0, NULL), "mount(tmpfs)");
}

static int attack_mount_api(char **args)
{
	int fs = (int)syscall(SYS_fsopen, "tmpfs", 0);

	return by_result(fs, "fsopen(tmpfs)");
}

static int attack_umount(char **args)
{
	/* What covers a part of /proc, or the host's /sys. */
	return by_result(umount2("/proc/keys", MNT_DETACH), "umount2(/proc/keys)");
}

static int attack_chroot(char **args)
{
	return by_result(chroot("/tmp"), "chroot");
}

/* Terminal. */

static int attack_tiocsti(char **args)
{
	unsigned long request = strtoul(args[0], NULL, 0);
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);

	if (fd < 0) {
		return shut("/dev/tty");
	}
	return by_result(syscall(SYS_ioctl, fd, request, "x"), "ioctl(TIOCSTI)");
}

static int attack_session(char **args)
{
	/* In the session or group of whoever started us, we could signal it by number 0. */
	(void)printf("session %d, group %d, we %d\n", getsid(0), getpgid(0), getpid());
	return getsid(0) != getpid() || getpgid(0) != getpid() ? OPEN : SHUT;
}

/* Privilege. */

static bool read_status(const char *key, char *value, size_t size)
{
	char line[256];
	bool found = false;
	FILE *file = fopen("/proc/self/status", "re");

	while (file && !found && fgets(line, sizeof(line), file)) {
		size_t n = strlen(key);
		if (strncmp(line, key, n) == 0 && line[n] == ':') {
			(void)snprintf(
				value, size, "%s", line + n + 1 + strspn(line + n + 1, " \t"));
			value[strcspn(value, "\n")] = '\0';
			found = true;
		}
	}
	if (file) {
		(void)fclose(file);
	}
	return found;
}

static int attack_capabilities(char **args)
{
	static const char *const sets[] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"};
	char value[64];
	int result = SHUT;

	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		if (!read_status(sets[i], value, sizeof(value)) || strtoull(value, NULL, 16) != 0) {
			(void)printf("%s %s\n", sets[i], value);
			result = OPEN;
		}
	}
	return result;
}

static int attack_new_privileges(char **args)
{
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? SHUT : OPEN;
}

static int attack_filterless(char **args)
{
	char value[64] = "";

	(void)read_status("Seccomp", value, sizeof(value));
	return strcmp(value, "2") == 0 ? SHUT : OPEN;
}

/* A child that only waits. */
static pid_t start_child(void)
{
	pid_t pid = fork();

	while (pid == 0) {
		(void)pause();
	}
	return pid;
}

/* A traced child of our own: the control, without which a refusal would say nothing of ptrace. */
static pid_t trace_child(void)
{
	pid_t pid = start_child();

	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0) {
		(void)printf("ptrace of an own child: %s\n", strerror(errno));
		(void)kill(pid, SIGKILL);
		exit(CANNOT);
	}
	return pid;
}

/* Takes the filter off a child: the kernel wants CAP_SYS_ADMIN for it. */
static int attack_suspend_filter(char **args)
{
	pid_t pid = trace_child();
	int result =
		by_result(ptrace(PTRACE_SETOPTIONS, pid, NULL, 1L << 21), "suspending a filter");

	(void)kill(pid, SIGKILL);
	return result;
}

/* Reads the filter, and with it the key of a plan without exec. */
static int attack_read_filter(char **args)
{
	static uint64_t program[4096];
	pid_t pid = trace_child();
	int status;

	(void)ptrace(PTRACE_INTERRUPT, pid, NULL, NULL);
	(void)waitpid(pid, &status, 0);
	int result = by_result(ptrace(0x420c, pid, 0, program), "reading a filter");
	(void)kill(pid, SIGKILL);
	return result;
}

/* Is what pid 1 has within reach of ours? */
static int attack_init(char **args)
{
	(void)kill(trace_child(), SIGKILL);
	if (ptrace(PTRACE_SEIZE, 1, NULL, NULL) == 0) {
		(void)printf("ptrace of pid 1 worked\n");
		return OPEN;
	}
	static const char *const files[] = {"/proc/1/mem", "/proc/1/environ", "/proc/1/maps",
		"/proc/1/root/etc", "/proc/1/fd", "/proc/1/exe"};
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		if (open(files[i], O_RDONLY | O_CLOEXEC) >= 0) {
			(void)printf("%s can be opened\n", files[i]);
			return OPEN;
		}
	}
	return SHUT;
}

static int attack_kill_init(char **args)
{
	int result = kill(1, SIGKILL);

	(void)printf("kill(1): %s\n", result < 0 ? strerror(errno) : "sent");
	/* Sent or not, a pid 1 does not die of it; and we are still here to say so. */
	(void)usleep(100000);
	return SHUT;
}

/* Descriptors. */

static int attack_descriptors(char **args)
{
	int result = SHUT;

	for (int fd = 3; fd < 1024; fd++) {
		if (fcntl(fd, F_GETFD) >= 0) {
			(void)printf("descriptor %d is open\n", fd);
			(void)close(openat(fd, "planted", O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
			result = OPEN;
		}
	}
	return result;
}

/* Keys. */

static int attack_keyring(char **args)
{
	char payload[64] = "";
	long key = syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", args[0], 0);

	if (key < 0) {
		return shut("searching the session keyring");
	}
	(void)syscall(SYS_keyctl, KEYCTL_READ, key, payload, sizeof(payload) - 1);
	(void)printf("read '%s'\n", payload);
	return OPEN;
}

/* /proc and /dev. */

static int attack_read(char **args)
{
	char text[64];
	int fd = open(args[0], O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));

	if (n < 0) {
		return shut(args[0]);
	}
	(void)printf("%s: %zd bytes\n", args[0], n);
	return n > 0 ? OPEN : SHUT;
}

static int attack_open_write(char **args)
{
	for (char **path = args; *path; path++) {
		struct stat status;
		int fd = open(*path, O_WRONLY | O_CLOEXEC);
		if (fd >= 0 && fstat(fd, &status) == 0 && S_ISCHR(status.st_mode)) {
			(void)printf("%s is covered by a null device\n", *path);
		} else if (fd >= 0) {
			(void)printf("%s can be opened for writing\n", *path);
			return OPEN;
		}
		(void)shut(*path);
	}
	return SHUT;
}

static int attack_exists(char **args)
{
	for (char **path = args; *path; path++) {
		if (access(*path, F_OK) == 0) {
			(void)printf("%s is there\n", *path);
			return OPEN;
		}
	}
	return SHUT;
}

/* Outside processes. */

static int attack_see_process(char **args)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%s/comm", args[0]);
	if (access(path, F_OK) == 0 || kill(atoi(args[0]), 0) == 0 || errno == EPERM) {
		(void)printf("process %s is to be seen\n", args[0]);
		return OPEN;
	}
	return shut("looking for the process");
}

/* Inter-process communication. */

static int attack_shared_memory(char **args)
{
	char *at = shmat(atoi(args[0]), NULL, SHM_RDONLY);

	if (at == (void *)-1) {
		return shut("shmat");
	}
	(void)printf("read '%s'\n", at);
	return OPEN;
}

static int attack_abstract(char **args)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "%s", args[0]);
	return by_result(
		connect(fd, (struct sockaddr *)&address,
			(socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(args[0]))),
		"connecting to an abstract socket");
}

static int attack_tcp(char **args)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)atoi(args[0])),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return by_result(connect(fd, (struct sockaddr *)&address, sizeof(address)), "connect");
}

static int attack_hostname(char **args)
{
	struct utsname name;

	(void)uname(&name);
	(void)printf("this is %s\n", name.nodename);
	return strcmp(name.nodename, args[0]) == 0 ? OPEN : SHUT;
}

static int attack_environment(char **args)
{
	return getenv(args[0]) ? OPEN : SHUT;
}

/* Files. */

static int attack_create(char **args)
{
	int fd = open(args[0], O_CREAT | O_WRONLY | O_CLOEXEC, 0644);

	if (fd < 0) {
		return shut(args[0]);
	}
	return write(fd, "planted", 7) == 7 ? OPEN : shut("write");
}

/* Ephemeral: it must work for us and be nowhere else; a second look must not be fooled either. */
static int attack_create_twice(char **args)
{
	char text[8] = "";

	if (attack_create(args) != OPEN) {
		return CANNOT;
	}
	int fd = open(args[0], O_RDONLY | O_CLOEXEC);
	(void)printf("read %zd\n", read(fd, text, sizeof(text)));
	return strncmp(text, "planted", 7) == 0 ? SHUT : CANNOT;
}

/* The first link is the control: inside the scope it must work. */
static int attack_link(char **args)
{
	if (link(args[0], args[1]) < 0) {
		(void)shut("link inside the scope");
		return CANNOT;
	}
	(void)unlink(args[1]);
	return by_result(link(args[2], args[1]), "link");
}

static int attack_core(char **args)
{
	struct rlimit limit;

	(void)getrlimit(RLIMIT_CORE, &limit);
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_CORE, &limit);
	return limit.rlim_max > 0 ? OPEN : SHUT;
}

/* A way into what is denied by another name for it. */
static int attack_aliases(char **args)
{
	char path[512], text[8];

	for (char **alias = args; *alias; alias++) {
		(void)snprintf(path, sizeof(path), "%s", *alias);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && read(fd, text, sizeof(text)) > 0) {
			(void)printf("read by way of %s\n", path);
			return OPEN;
		}
	}
	return shut(args[0]);
}

/* Resources. */

static int attack_fill(char **args)
{
	static char block[1 << 16];
	uint64_t wanted = strtoull(args[1], NULL, 10), written = 0;
	int fd = open(args[0], O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	if (fd < 0) {
		return shut(args[0]);
	}
	memset(block, 1, sizeof(block));
	while (written < wanted) {
		ssize_t n = write(fd, block, sizeof(block));
		if (n <= 0) {
			(void)printf("%llu bytes, then %s\n", (unsigned long long)written,
				strerror(errno));
			return SHUT;
		}
		written += (uint64_t)n;
	}
	return OPEN;
}

static int attack_files(char **args)
{
	char path[256];
	int wanted = atoi(args[1]);

	for (int i = 0; i < wanted; i++) {
		(void)snprintf(path, sizeof(path), "%s/%d", args[0], i);
		int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
		if (fd < 0) {
			(void)printf("%d files, then %s\n", i, strerror(errno));
			return SHUT;
		}
		(void)close(fd);
	}
	return OPEN;
}

static int attack_forks(char **args)
{
	int wanted = atoi(args[0]);

	for (int i = 0; i < wanted; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			for (;;) {
				(void)pause();
			}
		}
		if (pid < 0) {
			(void)printf("%d processes, then %s\n", i, strerror(errno));
			return SHUT;
		}
	}
	return OPEN;
}

static int attack_daemons(char **args)
{
	for (int i = 0; i < atoi(args[0]); i++) {
		pid_t pid = fork();
		if (pid == 0) {
			(void)setsid();
			for (int signo = 1; signo < 65; signo++) {
				(void)signal(signo, SIG_IGN);
			}
			for (int fd = 0; fd < 3; fd++) {
				(void)close(fd);
			}
			(void)pause();
		}
		if (pid < 0) {
			return shut("fork");
		}
	}
	return OPEN;
}

static int attack_memory(char **args)
{
	size_t size = strtoull(args[0], NULL, 10);
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED) {
		return shut("mmap");
	}
	memset(memory, 1, size);
	return OPEN;
}

/* Both ends of a connection to ourselves; 0 or -1. */
static int connect_to_myself(int ends[2])
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	ends[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 1) < 0 ||
		getsockname(listener, (struct sockaddr *)&address, &size) < 0 ||
		connect(ends[0], (struct sockaddr *)&address, size) < 0) {
		return -1;
	}
	ends[1] = accept(listener, NULL, NULL);
	(void)close(listener);
	return ends[1] < 0 ? -1 : 0;
}

/* So much is sent and never read. */
static int attack_unread(char **args)
{
	static char block[1 << 16];
	size_t wanted = strtoull(args[0], NULL, 10);
	size_t sent = 0;

	for (int i = 0; i < 200 && sent < wanted; i++) {
		int ends[2];
		ssize_t n = 0;
		if (connect_to_myself(ends) < 0) {
			return shut("a connection");
		}
		while (sent < wanted &&
			(n = send(ends[0], block, sizeof(block), MSG_DONTWAIT)) > 0) {
			sent += (size_t)n;
		}
	}
	(void)printf("%zu bytes wait\n", sent);
	return sent < wanted ? SHUT : OPEN;
}

static double seconds(clockid_t clock)
{
	struct timespec time;

	(void)clock_gettime(clock, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* More than a fifth of one processor over half a second? Tried for a while: others work here too. */
static int attack_processor(char **args)
{
	double best = 0;

	for (int i = 0; i < atoi(args[0]); i++) {
		double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
		while (seconds(CLOCK_MONOTONIC) - wall < 0.5) {
		}
		double share = (seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu) /
			(seconds(CLOCK_MONOTONIC) - wall);
		best = share > best ? share : best;
		if (best > 0.2) {
			break;
		}
	}
	(void)printf("%.0f%% of a processor\n", best * 100);
	return best > 0.2 ? OPEN : SHUT;
}

static int attack_time(char **args)
{
	(void)usleep((useconds_t)atoi(args[0]) * 1000);
	return OPEN;
}

/* Running programs. */

static int attack_exec(char **args)
{
	char *const argv[] = {args[0], (char[]){"open"}, NULL};

	(void)execv(args[0], argv);
	return shut("execve");
}

static int attack_exec_memory(char **args)
{
	static char block[1 << 16];
	int from = open(args[0], O_RDONLY | O_CLOEXEC), to = memfd_create("x", MFD_CLOEXEC);
	char *const argv[] = {args[0], (char[]){"open"}, NULL};
	char *const env[] = {NULL};
	ssize_t n;

	while ((n = read(from, block, sizeof(block))) > 0) {
		if (write(to, block, (size_t)n) != n) {
			return CANNOT;
		}
	}
	(void)syscall(SYS_execveat, to, "", argv, env, AT_EMPTY_PATH);
	return shut("execveat of a memory file");
}

static int attack_open(char **args)
{
	return OPEN;
}

static const struct {
	const char *name;
	int (*run)(char **args);
} attacks[] = {
	{"vsock", attack_vsock},
	{"alg", attack_alg},
	{"packet", attack_packet},
	{"netlink", attack_netlink},
	{"io-uring", attack_io_uring},
	{"userfaultfd", attack_userfaultfd},
	{"perf", attack_perf},
	{"process-vm", attack_process_vm},
	{"file-handle", attack_file_handle},
	{"clone3", attack_clone3},
	{"i386", attack_i386},
	{"i386-socketcall", attack_i386_socketcall},
	{"x32", attack_x32},
	{"user-namespace", attack_user_namespace},
	{"user-namespace-by-clone", attack_user_namespace_by_clone},
	{"mount", attack_mount},
	{"mount-api", attack_mount_api},
	{"umount", attack_umount},
	{"chroot", attack_chroot},
	{"tiocsti", attack_tiocsti},
	{"session", attack_session},
	{"capabilities", attack_capabilities},
	{"new-privileges", attack_new_privileges},
	{"filterless", attack_filterless},
	{"suspend-filter", attack_suspend_filter},
	{"read-filter", attack_read_filter},
	{"init", attack_init},
	{"kill-init", attack_kill_init},
	{"descriptors", attack_descriptors},
	{"keyring", attack_keyring},
	{"read", attack_read},
	{"open-write", attack_open_write},
	{"exists", attack_exists},
	{"see-process", attack_see_process},
	{"shared-memory", attack_shared_memory},
	{"abstract", attack_abstract},
	{"tcp", attack_tcp},
	{"hostname", attack_hostname},
	{"environment", attack_environment},
	{"create", attack_create},
	{"create-twice", attack_create_twice},
	{"link", attack_link},
	{"aliases", attack_aliases},
	{"core", attack_core},
	{"fill", attack_fill},
	{"files", attack_files},
	{"forks", attack_forks},
	{"daemons", attack_daemons},
	{"memory", attack_memory},
	{"unread", attack_unread},
	{"processor", attack_processor},
	{"time", attack_time},
	{"exec", attack_exec},
	{"exec-memory", attack_exec_memory},
	{"open", attack_open},
};

int main(int argc, char **argv)
{
	(void)setvbuf(stdout, NULL, _IONBF, 0);
	for (size_t i = 0; argc > 1 && i < sizeof(attacks) / sizeof(attacks[0]); i++) {
		if (strcmp(attacks[i].name, argv[1]) == 0) {
			return attacks[i].run(argv + 2);
		}
	}
	(void)printf("no such attack\n");
	return 99;
}
