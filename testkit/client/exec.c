/*
 * Exec probes: can another program image be started. What is started is this client itself, told
 * by its first argument to answer with an exit code; nothing on the system is changed.
 */
#include "testkit/client/client.h"

#include <linux/mman.h>

static char copy_path[512];

/* Runs path with one word in a child and gives its exit code, or a negative errno. */
static long run_path(long dirfd, const char *path, int flags, char *const argv[])
{
	char *const no_env[] = {NULL};
	static volatile long *shared;
	long status = 0;
	long pid = 0;

	shared = (volatile long *)sys(
		SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if ((uintptr_t)shared > (uintptr_t)-4096) {
		return -ENOMEM;
	}
	*shared = 0;
	pid = process_fork();
	if (pid == 0) {
		*shared = flags || dirfd >= 0 ? sys(SYS_execveat, dirfd, path, argv, no_env, flags)
					      : sys(SYS_execve, path, argv, no_env);
		process_exit(127);
	}
	status = pid < 0 ? pid : process_wait(pid);
	if (*shared < 0) {
		return *shared;
	}
	if (status >= 0 && (status & 127) != 0) {
		return -EPERM; /* killed for trying */
	}
	return status < 0 ? status : status >> 8;
}

static void from_code(struct result *result, long code)
{
	if (code == 42) {
		result_done(result, "ran");
	} else {
		result_from(result, code < 0 ? code : -EIO);
	}
}

static char word_exec[] = "exec";
static char word_euid[] = "euid";
static char word_name[] = "cloche-testkit-client";

static long run_self(char *word)
{
	char *argv[] = {word_name, word, NULL};
	long code = run_path(-1, client_path, 0, argv);

	return code == -ENOENT ? run_path(-1, "/proc/self/exe", 0, argv) : code;
}

/* By a name of its own among the canaries, where the host watches who opens it; else our own. */
static void exec_self(struct result *result)
{
	char *argv[] = {word_name, word_exec, NULL};
	long code = job_has("self") ? run_path(-1, job_text("self"), 0, argv) : -ENOENT;

	from_code(result, code == -ENOENT ? run_self(word_exec) : code);
}

static void exec_shell(struct result *result)
{
	static char shell[] = "/bin/sh";
	static char option[] = "-c";
	static char command[] = "exit 42";
	char *argv[] = {shell, option, command, NULL};

	from_code(result, run_path(-1, shell, 0, argv));
}

/* A program by way of the dynamic linker, as on a file without the x bit. */
static void exec_linker(struct result *result)
{
	static char linker[] =
#if defined(__x86_64__)
		"/lib64/ld-linux-x86-64.so.2";
#else
		"/lib/ld-linux-aarch64.so.1";
#endif
	static char shell[] = "/bin/sh";
	static char option[] = "-c";
	static char command[] = "exit 42";
	char *argv[] = {linker, shell, option, command, NULL};

	from_code(result, run_path(-1, linker, 0, argv));
}

static long copy_self(long to)
{
	static char block[16384];
	long from = file_open("/proc/self/exe", O_RDONLY);
	long n = 0;

	if (from < 0) {
		from = file_open(client_path, O_RDONLY);
	}
	if (from < 0) {
		return from;
	}
	while ((n = sys(SYS_read, from, block, sizeof(block))) > 0) {
		n = sys(SYS_write, to, block, n);
		if (n < 0) {
			break;
		}
	}
	(void)sys(SYS_close, from);
	return n;
}

static void exec_memfd(struct result *result)
{
	char *argv[] = {word_name, word_exec, NULL};
	long fd = sys(SYS_memfd_create, "probe", 1 /* MFD_CLOEXEC */);
	long r = fd;

	if (fd >= 0) {
		r = copy_self(fd);
	}
	if (r < 0) {
		result_from(result, r);
		return;
	}
	from_code(result, run_path(fd, "", 0x1000 /* AT_EMPTY_PATH */, argv));
}

/* The client put into a writable place and run from there. */
static void exec_tmp(struct result *result)
{
	static const char *const places[] = {"/tmp/.", "/var/tmp/.", "/dev/shm/."};
	char *argv[] = {word_name, word_exec, NULL};
	long r = -EROFS;

	for (size_t i = 0; i < 3; i++) {
		long fd = 0;
		(void)text_join(copy_path, sizeof(copy_path), places[i], job_text("leave"), ".x");
		fd = sys(SYS_openat, AT_FDCWD, copy_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
			0700);
		if (fd < 0) {
			continue;
		}
		r = copy_self(fd);
		(void)sys(SYS_close, fd);
		r = r < 0 ? r : run_path(-1, copy_path, 0, argv);
		(void)sys(SYS_unlinkat, AT_FDCWD, copy_path, 0);
		if (r == 42) {
			break;
		}
	}
	from_code(result, r);
}

/* Memory that was written may be run: no statement about programs, but good to know. */
static void exec_writable(struct result *result)
{
	long at = sys(
		SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at > 0 || at < -4095) {
		*(volatile unsigned char *)at = 0xc3;
		at = sys(SYS_mprotect, at, 4096, PROT_READ | PROT_EXEC);
	}
	result_from(result, at);
}

/* A setuid program the host planted, of a user nobody uses. */
static void exec_setuid(struct result *result)
{
	char *argv[] = {word_name, word_euid, NULL};
	long code = 0;

	if (!job_has("suid")) {
		result_absent(result, 0);
		return;
	}
	code = run_path(-1, job_text("suid"), 0, argv);
	if (code == 43) {
		result_done(result, "raised");
	} else {
		result_from(result, code < 0 ? code : -EPERM);
	}
}

const struct client_probe probes_exec[] = {
	{"X.self", exec_self},
	{"X.shell", exec_shell},
	{"X.linker", exec_linker},
	{"X.memfd", exec_memfd},
	{"X.tmp", exec_tmp},
	{"X.writable", exec_writable},
	{"V.setuid-program", exec_setuid},
	{NULL, NULL},
};
