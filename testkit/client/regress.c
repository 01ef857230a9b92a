/*
 * Doors of known escapes. Each row only shows whether the door is open; none runs the flaw. What is
 * done is what the probe of the same kind does, with an object of its own.
 */
#include "testkit/client/client.h"

#include <sys/socket.h>

#include "testkit/doors.h"

#define TIOCSTI 0x5412L
#define TIOCGDEV 0x80045432L
#define TIOCLINUX 0x541cL

/* A group file system of the first version in a tree of our own, which dies with us. */
static void cgroup_mount(struct result *result)
{
	long r = sys(SYS_unshare, 0x10000000 | 0x00020000 | 0x02000000);

	r = r < 0 ? r : sys(SYS_mount, "probe", "/", "cgroup", 0, "memory");
	if (r == -EBUSY || r == -ENODEV || r == -EINVAL) {
		result_done(result, ""); /* let through; this machine has no such group */
		return;
	}
	result_from(result, r);
}

static void binfmt_mount(struct result *result)
{
	long r = sys(SYS_unshare, 0x10000000 | 0x00020000);

	r = r < 0 ? r : sys(SYS_mount, "probe", "/", "binfmt_misc", 0, NULL);
	if (r == -ENODEV) {
		result_done(result, "");
		return;
	}
	result_from(result, r);
}

/* A descriptor of a directory that nobody gave us. */
static void directory_descriptor(struct result *result)
{
	static char block[1024];

	result_from(result, -ENOENT);
	for (long fd = 3; fd < 256; fd++) {
		long n = sys(SYS_getdents64, fd, block, sizeof(block));
		if (n >= 0) {
			result_done(result, "");
			result_add_number(result, (uint64_t)fd);
			return;
		}
	}
}

static bool is_canary(long fd)
{
	uint32_t number = 0;

	return sys(SYS_ioctl, fd, TIOCGDEV, &number) == 0 && number == job_number("tty");
}

static void push(struct result *result, long fd, long request, char byte)
{
	result_from(result,
		fd < 0                  ? fd
			: is_canary(fd) ? sys(SYS_ioctl, fd, request, &byte)
					: -ENOTTY);
}

static long held_terminal(void)
{
	for (long fd = 0; fd < 64; fd++) {
		if (is_canary(fd)) {
			return fd;
		}
	}
	return file_open("/dev/tty", O_RDWR | O_NOCTTY);
}

static void push_held(struct result *result)
{
	push(result, held_terminal(), TIOCSTI, '\xa5');
}

static void push_high(struct result *result)
{
	push(result, held_terminal(), TIOCSTI | 1L << 32, '\xa6');
}

static void push_controlling(struct result *result)
{
	push(result, file_open("/dev/tty", O_RDWR | O_NOCTTY), TIOCSTI, '\xa7');
}

static void console_paste(struct result *result)
{
	char code = 6; /* the state of the shift keys: reads, changes nothing */
	int ends[2] = {-1, -1};
	long r = sys(SYS_pipe2, ends, O_CLOEXEC);

	r = r < 0 ? r : sys(SYS_ioctl, ends[0], TIOCLINUX | 1L << 32, &code);
	if (r == -ENOTTY || r == -EINVAL) {
		result_done(result, "");
		return;
	}
	result_from(result, r);
}

static void abstract_socket(struct result *result)
{
	unix_exchange(result, job_text("unix.abstract"), true, client_probe_id);
}

/* The family stands behind a pointer, where a filter does not look. */
static void socketcall_vsock(struct result *result)
{
	static uint32_t arguments[3] = {40 /* AF_VSOCK */, SOCK_STREAM, 0};
	long fd = sys_int80(102, 1, (long)(uintptr_t)arguments, 0);

	if (!SYS_HAVE_INT80 || fd == -EAFNOSUPPORT || (fd >= 0 && !is_stream_socket(fd))) {
		result_absent(result, 0);
		return;
	}
	result_from(result, fd);
}

static void x32_door(struct result *result)
{
#if defined(__x86_64__)
	result_from(result, sys(0x40000000L | SYS_getppid));
#else
	result_absent(result, 0);
#endif
}

static void session_key(struct result *result)
{
	char payload[64] = "";
	long key = sys(SYS_keyctl, 10 /* SEARCH */, -3L, "user", job_text("key"), 0);
	long n = key < 0 ? key : sys(SYS_keyctl, 11 /* READ */, key, payload, sizeof(payload) - 1);

	if (n < 0) {
		result_from(result, n);
		return;
	}
	result_done(result, payload);
}

/* The path that is denied, by another name for the same root. */
static void denied_alias(struct result *result)
{
	static char path[512];
	char text[128];
	long n = 0;

	if (!job_has("deny")) {
		result_absent(result, 0);
		return;
	}
	(void)text_join(path, sizeof(path), "/proc/thread-self/root", job_text("deny"),
		"/REG.CVE-2026-39861");
	n = file_read(path, text, sizeof(text));
	if (n < 0) {
		result_from(result, n);
		return;
	}
	result_done_bytes(result, text, (size_t)n);
}

/*
 * A program of the host's that others may write, started, found by /proc/<pid>/exe, and opened for
 * writing once it has ended. It is a canary, and is emptied.
 */
static void running_program(struct result *result)
{
	static char name[] = "wait";
	char *argv[] = {name, name, NULL};
	char *env[] = {NULL};
	char path[64];
	char *end = path + sizeof(path);
	char *at = NULL;
	long handle = 0;
	long pid = job_has("runtime") ? process_fork() : -ENOENT;

	if (pid == 0) {
		(void)sys(SYS_execve, job_text("runtime"), argv, env);
		process_exit(127);
	}
	if (pid < 0) {
		result_from(result, pid);
		return;
	}
	pause_ms(20);
	at = text_add(path, end, "/proc/");
	at = text_add_number(at, end, (uint64_t)pid);
	(void)text_add(at, end, "/exe");
	handle = sys(SYS_openat, AT_FDCWD, path, O_PATH | O_CLOEXEC, 0);
	(void)sys(SYS_kill, pid, 9);
	(void)process_wait(pid);
	at = text_add(path, end, "/proc/self/fd/");
	(void)text_add_number(at, end, (uint64_t)handle);
	result_from(result, handle < 0 ? handle : file_open(path, O_WRONLY | O_TRUNC));
}

const struct client_probe probes_regress[] = {
	{"REG.CVE-2022-0492", cgroup_mount},
	{"REG.CVE-2024-21626", directory_descriptor},
	{"REG.CVE-2019-5736", running_program},
	{"REG.CVE-2017-5226", push_held},
	{"REG.CVE-2019-10063", push_high},
	{"REG.CVE-2016-7545", push_controlling},
	{"REG.CVE-2023-28100", console_paste},
	{"REG.CVE-2021-41133", surface_door},
	{"REG.CVE-2020-15257", abstract_socket},
	{"REG.CVE-2026-31431", surface_socket},
	{"REG.CVE-2026-43284", surface_socket},
	{"REG.CVE-2016-0728", surface_door},
	{"REG.CVE-2026-39861", denied_alias},
	{"REG.socketcall", socketcall_vsock},
	{"REG.vsock", surface_socket},
	{"REG.x32", x32_door},
	{"REG.clone3", surface_door},
	{"REG.keyring", session_key},
	{"REG.binfmt", binfmt_mount},
	{NULL, NULL},
};
