/*
 * What can be learnt about the host. Each probe brings the first bytes of something; the host
 * compares them with its own and reports only whether they are the same.
 */
#include "testkit/client/client.h"

#include <linux/stat.h>

static void bring(struct result *result, const char *path)
{
	static char text[PROTOCOL_MAX_TEXT];
	long n = file_read(path, text, sizeof(text));

	if (n <= 0) {
		result_from(result, n < 0 ? n : -ENODATA);
		return;
	}
	result_done_bytes(result, text, (size_t)n);
}

static void leak_hostname(struct result *result)
{
	static char names[6][65];
	long r = sys(SYS_uname, names);

	result_from(result, r);
	if (r >= 0) {
		result_done(result, names[1]);
	}
}

static void leak_machine(struct result *result)
{
	bring(result, "/etc/machine-id");
}

static void leak_cmdline(struct result *result)
{
	bring(result, "/proc/cmdline");
}

static void leak_boot_id(struct result *result)
{
	bring(result, "/proc/sys/kernel/random/boot_id");
}

static void leak_version(struct result *result)
{
	bring(result, "/proc/version");
}

static void leak_cgroup(struct result *result)
{
	bring(result, "/proc/self/cgroup");
}

static void leak_users(struct result *result)
{
	bring(result, "/etc/passwd");
}

static void leak_pid1(struct result *result)
{
	bring(result, "/proc/1/cmdline");
}

static void leak_kallsyms(struct result *result)
{
	bring(result, "/proc/kallsyms");
}

static void leak_modules(struct result *result)
{
	bring(result, "/proc/modules");
}

static void leak_interrupts(struct result *result)
{
	bring(result, "/proc/interrupts");
}

static void leak_kcore(struct result *result)
{
	long fd = file_open("/proc/kcore", O_RDONLY);

	if (fd == -ENOENT) {
		result_absent(result, fd);
		return;
	}
	result_from(result, fd);
}

/* Whether the mount table names the host's directory of this run. */
static void leak_mounts(struct result *result)
{
	static char table[262144];
	long n = file_read("/proc/self/mountinfo", table, sizeof(table));

	if (n < 0) {
		result_from(result, n);
		return;
	}
	if (job_has("mount.word") && text_find(table, (size_t)n, job_text("mount.word"))) {
		result_done(result, job_text("mount.word"));
		return;
	}
	result_from(result, -ENOENT);
}

/* The canary variable the host stands in the launcher's environment. */
static void leak_env(struct result *result)
{
	size_t length = text_length(job_text("env"));

	for (char **env = client_env; *env; env++) {
		if (length && text_starts(*env, job_text("env")) && (*env)[length] == '=') {
			result_done(result, *env + length + 1);
			return;
		}
	}
	result_from(result, -ENOENT);
}

/* One the session asked for and the plan's lists should take out. */
static void leak_env_listed(struct result *result)
{
	size_t length = text_length(job_text("env.listed"));

	for (char **env = client_env; *env; env++) {
		if (length && text_starts(*env, job_text("env.listed")) && (*env)[length] == '=') {
			result_done(result, *env + length + 1);
			return;
		}
	}
	if (!length) {
		result_absent(result, 0);
		return;
	}
	result_from(result, -ENOENT);
}

/* Every descriptor above 2, as the host names objects: "fd=major:minor:inode". */
static void leak_fds(struct result *result)
{
	static struct statx info;

	result_from(result, -ENOENT);
	for (long fd = 3; fd < 1024; fd++) {
		if (sys(SYS_statx, fd, "", 0x1000, 0x7ff, &info) < 0) {
			continue;
		}
		result->claim = CLAIM_DONE;
		result->error = 0;
		result_add_number(result, (uint64_t)fd);
		result_add(result, "=");
		result_add_number(result, info.stx_dev_major);
		result_add(result, ":");
		result_add_number(result, info.stx_dev_minor);
		result_add(result, ":");
		result_add_number(result, info.stx_ino);
		result_add(result, " ");
	}
}

static void leak_cwd(struct result *result)
{
	static char path[PROTOCOL_MAX_TEXT];
	long n = sys(SYS_getcwd, path, sizeof(path));

	if (n >= 0 && text_starts(path, "(unreachable)")) {
		result_done(result, path);
		return;
	}
	result_from(result, n < 0 ? n : -ENOENT);
}

/* A name for this process that the host looks for among its own. */
static void leak_kernel(struct result *result)
{
	result_done(result, job_text("name"));
}

const struct client_probe probes_leaks[] = {
	{"L.hostname", leak_hostname},
	{"L.machine", leak_machine},
	{"L.cmdline", leak_cmdline},
	{"L.boot-id", leak_boot_id},
	{"L.version", leak_version},
	{"L.cgroup", leak_cgroup},
	{"L.users", leak_users},
	{"L.pid1", leak_pid1},
	{"L.kallsyms", leak_kallsyms},
	{"L.modules", leak_modules},
	{"L.interrupts", leak_interrupts},
	{"L.kcore", leak_kcore},
	{"L.mounts", leak_mounts},
	{"L.env", leak_env},
	{"L.env-listed", leak_env_listed},
	{"L.fds", leak_fds},
	{"L.cwd", leak_cwd},
	{"K.same-kernel", leak_kernel},
	{NULL, NULL},
};
