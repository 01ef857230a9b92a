/*
 * The posture of the session's processes, read from outside: limits, mounts, tasks. Known escapes
 * whose door stands in that posture are here too.
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/audit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "testkit/calls.h"
#include "testkit/look.h"

/* The hard limit of this name in /proc/<pid>/limits. UINT64_MAX: unlimited. False: not found. */
static bool read_limit(pid_t pid, const char *name, uint64_t *ret)
{
	cleanup_free char *text = NULL;
	char path[48];
	char hard[32];
	const char *line = NULL;

	(void)snprintf(path, sizeof(path), "/proc/%d/limits", pid);
	if (pid <= 0 || io_read_file(AT_FDCWD, path, 8192, &text, NULL) < 0) {
		return false;
	}
	line = strstr(text, name);
	if (!line || sscanf(line + strlen(name), " %*s %31s", hard) != 1) {
		return false;
	}
	*ret = strcmp(hard, "unlimited") == 0 ? UINT64_MAX : strtoull(hard, NULL, 10);
	return true;
}

/* Open: the session may have as much of it as the host part that started it. */
static void rlimit_state(struct look *look, const char *arg)
{
	uint64_t theirs = 0;
	uint64_t ours = 0;

	if (read_limit(look->context->run->outside.pid, arg, &theirs) &&
		read_limit(getpid(), arg, &ours)) {
		look_conclude(look, theirs >= ours, LEVEL_STATE);
		if (theirs == UINT64_MAX) {
			look_detail(look, "unlimited");
		} else {
			look_detail(look, "%" PRIu64, theirs);
		}
	}
}

/* A tree that the kernel makes, writable where the session sees it. arg: the path. */
static void kernel_tree(struct look *look, const char *arg)
{
	char path[64];
	struct statvfs info;

	(void)snprintf(path, sizeof(path), "/proc/%d/root%s", look->context->run->outside.pid, arg);
	if (look->context->run->outside.pid <= 0) {
		return;
	}
	if (statvfs(path, &info) < 0) {
		look_conclude(look, false, LEVEL_STATE);
		look_detail(look, "there is none");
		return;
	}
	look_conclude(look, !(info.f_flag & ST_RDONLY), LEVEL_STATE);
	look_detail(look, info.f_flag & ST_RDONLY ? "read-only" : "writable");
}

/* Mounts inside of these types; arg: "w" counts only writable ones. */
static void mount_types(struct look *look, const char *arg)
{
	static const char *const groups[] = {"cgroup", "cgroup2"};
	static const char *const debug[] = {"debugfs", "tracefs", "securityfs", "configfs", "bpf",
		"pstore", "efivarfs", "binfmt_misc", "fusectl"};
	const struct outside *theirs = &look->context->run->outside;
	bool writable = arg[0] == 'w';
	const char *const *types = writable ? groups : debug;
	size_t count = writable ? ARRAY_SIZE(groups) : ARRAY_SIZE(debug);
	const struct outside_mount *found = NULL;

	if (theirs->mount_count == 0) {
		return;
	}
	for (size_t i = 0; i < theirs->mount_count; i++) {
		for (size_t j = 0; j < count; j++) {
			if (strcmp(theirs->mounts[i].type, types[j]) == 0 &&
				(!writable || theirs->mounts[i].writable)) {
				found = &theirs->mounts[i];
			}
		}
	}
	look_conclude(look, found != NULL, LEVEL_STATE);
	if (found) {
		look_detail(look, "%.100s is a %s", found->target, found->type);
	}
}

/* A place for files where setuid bits (or device nodes) would count. */
static void mount_flag(struct look *look, const char *arg)
{
	unsigned long flag = arg[0] == 's' ? ST_NOSUID : ST_NODEV;
	const struct outside *theirs = &look->context->run->outside;
	bool seen = false;

	for (size_t i = 0; theirs->pid > 0 && i < theirs->mount_count && !seen; i++) {
		char path[256];
		struct statvfs info;
		struct stat place;
		(void)snprintf(path, sizeof(path), "/proc/%d/root%s", theirs->pid,
			theirs->mounts[i].target);
		seen = statvfs(path, &info) == 0 && stat(path, &place) == 0 &&
			S_ISDIR(place.st_mode) &&
			place.st_dev == makedev(theirs->mounts[i].major, theirs->mounts[i].minor) &&
			!(info.f_flag & flag);
		if (seen) {
			look_detail(look, "%.120s", theirs->mounts[i].target);
		}
	}
	if (theirs->pid > 0 && theirs->mount_count > 0) {
		look_conclude(look, seen, LEVEL_STATE);
	}
}

static uint64_t status_number(const char *status, const char *name, int base)
{
	const char *at = strstr(status, name);

	return at ? strtoull(at + strlen(name), NULL, base) : UINT64_MAX;
}

/* Is one of the tasks of this process freer than the session promises? */
static bool task_is_free(const char *status)
{
	return status_number(status, "\nSeccomp:\t", 10) == 0 ||
		status_number(status, "\nNoNewPrivs:\t", 10) == 0 ||
		status_number(status, "\nCapEff:\t", 16) != 0;
}

/* Every process in the session's process namespace, and every thread of each. */
static void every_task(struct look *look, const char *arg)
{
	const struct outside *theirs = &look->context->run->outside;
	DIR *proc = opendir("/proc");
	struct dirent *entry = NULL;
	unsigned count = 0;
	bool seen = false;

	(void)arg;
	while (proc && theirs->namespaces[OUTSIDE_PID] && (entry = readdir(proc))) {
		cleanup_free char *status = NULL;
		char path[64];
		struct stat info;
		int pid = atoi(entry->d_name);
		(void)snprintf(path, sizeof(path), "/proc/%d/ns/pid", pid);
		if (pid <= 0 || stat(path, &info) < 0 ||
			info.st_ino != theirs->namespaces[OUTSIDE_PID]) {
			continue;
		}
		(void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
		if (io_read_file(AT_FDCWD, path, 16384, &status, NULL) == 0) {
			count++;
			if (task_is_free(status) && !seen) {
				seen = true;
				look_detail(look, "%.15s", entry->d_name);
			}
		}
	}
	if (proc) {
		(void)closedir(proc);
	}
	if (count > 0) {
		look_conclude(look, seen, LEVEL_STATE);
		if (!seen) {
			look_detail(look, "%u processes, all without privilege", count);
		}
	}
}

/* Are two processes in the same namespace of a kind that struct outside does not keep? */
static void other_namespace(struct look *look, const char *arg)
{
	char path[64];
	struct stat theirs;
	struct stat ours;

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", look->context->run->outside.pid, arg);
	if (look->context->run->outside.pid > 0 && stat(path, &theirs) == 0) {
		(void)snprintf(path, sizeof(path), "/proc/self/ns/%s", arg);
		if (stat(path, &ours) == 0) {
			look_conclude(look, theirs.st_ino == ours.st_ino, LEVEL_STATE);
		}
	}
}

/* ---- known escapes ---- */

static void inheritable(struct look *look, const char *arg)
{
	const struct outside *theirs = &look->context->run->outside;

	(void)arg;
	look_conclude(look, theirs->caps[0] != 0, LEVEL_STATE);
	look_detail(look, "inheritable %016" PRIx64, theirs->caps[0]);
}

static void bounding(struct look *look, const char *arg)
{
	const struct outside *theirs = &look->context->run->outside;

	(void)arg;
	look_conclude(look, (theirs->caps[2] | theirs->caps[3]) != 0, LEVEL_STATE);
	look_detail(look, "effective %016" PRIx64 ", bounding %016" PRIx64, theirs->caps[2],
		theirs->caps[3]);
}

/* What is masked must be a null device or an empty place, not what a link made of it. */
static void masked_paths(struct look *look, const char *arg)
{
	static const char *const masked[] = {"/proc/keys", "/proc/timer_list",
		"/proc/sysrq-trigger", "/proc/interrupts", "/proc/kcore", "/proc/kallsyms"};
	const struct outside *theirs = &look->context->run->outside;
	bool seen = false;

	(void)arg;
	if (theirs->pid <= 0) {
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(masked) && !seen; i++) {
		char path[64];
		struct stat info;
		(void)snprintf(path, sizeof(path), "/proc/%d/root%s", theirs->pid, masked[i]);
		/* An object of the kernel's own tree stands there itself: it is not masked. */
		seen = stat(path, &info) == 0 && S_ISREG(info.st_mode) && info.st_size == 0 &&
			major(info.st_dev) == 0 && info.st_uid == 0;
		if (seen) {
			look_detail(look, "%s", masked[i]);
		}
	}
	look_conclude(look, seen, LEVEL_STATE);
}

static void userns_call(struct look *look, const char *arg)
{
	const struct outside *theirs = &look->context->run->outside;
	const uint64_t args[6] = {strtoull(arg, NULL, 16)};
	int allowed = calls_allow(theirs, ABI_NATIVE, SYS_unshare, args);

	look_door(look, allowed);
	if (look->outcome->evidence == EVIDENCE_NONE && theirs->user_namespaces == 0) {
		look_conclude(look, false, LEVEL_STATE);
		look_detail(look, "user.max_user_namespaces is 0");
	}
}

static void pushed(struct look *look, const char *arg)
{
	const struct canary *canary = look->context->canary;

	if (look->context->ground->terminal_slave >= 0) {
		look_conclude(look, memchr(canary->pushed, arg[0], canary->pushed_size) != NULL,
			LEVEL_EVENT);
	}
}

static void paste_call(struct look *look, const char *arg)
{
	const uint64_t args[6] = {0, UINT64_C(1) << 32 | 0x541c};

	(void)arg;
	look_door(look, calls_allow(&look->context->run->outside, ABI_NATIVE, SYS_ioctl, args));
}

static void abstract_message(struct look *look, const char *arg)
{
	(void)arg;
	if (look_has_setting(look, "unix.abstract")) {
		look_conclude(look, look_reached(look), LEVEL_EVENT);
	}
}

static void other_abi(struct look *look, const char *arg)
{
	static const uint64_t socketcall[6] = {1};
	static const uint64_t none[6];
	const struct outside *theirs = &look->context->run->outside;

	look_door(look,
		arg[0] == 'i' ? calls_allow(theirs, ABI_I386, 102, socketcall)
			      : calls_allow(theirs, ABI_X32, 110, none));
}

/* The program is a canary; it is emptied by who can open it for writing. */
static void emptied(struct look *look, const char *arg)
{
	char path[160];
	struct stat info;

	(void)snprintf(path, sizeof(path), "%s/%s", look->context->canary->read, arg);
	if (stat(path, &info) == 0) {
		look_conclude(look, info.st_size == 0, LEVEL_COMPARED);
	}
}

static void held_directory(struct look *look, const char *arg)
{
	bool known = false;
	bool seen = outside_holds(
		look->context->run->outside.pid, look->context->ground->dir_fd, &known);

	(void)arg;
	if (known) {
		look_conclude(look, seen, LEVEL_STATE);
	}
}

static void launcher_key(struct look *look, const char *arg)
{
	static const uint64_t search[6] = {10};
	char token[CANARY_TOKEN];

	(void)arg;
	look_token(look, ground_token(look->context->ground, 0, "key", token));
	if (look->outcome->evidence == EVIDENCE_NONE) {
		look_door(look,
			calls_allow(&look->context->run->outside, ABI_NATIVE, SYS_keyctl, search));
	}
}

static void alias_read(struct look *look, const char *arg)
{
	char token[CANARY_TOKEN];

	(void)arg;
	(void)canary_token(look->context->canary, look->probe->id, token);
	if (look_is_done(look) && look_text_is(look, token)) {
		look_conclude(look, true, LEVEL_EVENT);
	} else if (look->context->canary->inotify >= 0) {
		look_conclude(look, look_reached(look), LEVEL_EVENT);
	}
}

static const struct evidence_row posture_rows[] = {
	{"R.rlimit-files", rlimit_state, "Max open files"},
	{"R.rlimit-processes", rlimit_state, "Max processes"},
	{"R.rlimit-core", rlimit_state, "Max core file size"},
	{"R.rlimit-locked", rlimit_state, "Max locked memory"},
	{"R.rlimit-signals", rlimit_state, "Max pending signals"},
	{"R.rlimit-queues", rlimit_state, "Max msgqueue size"},
	{"F.proc-sys", kernel_tree, "/proc/sys"},
	{"F.sys", kernel_tree, "/sys"},
	{"F.setuid-place", mount_flag, "suid"},
	{"F.device-place", mount_flag, "dev"},
	{"K.group-mounts", mount_types, "w"},
	{"K.debug-mounts", mount_types, "d"},
	{"K.time-namespace", other_namespace, "time"},
	{"V.every-task", every_task, NULL},
	{NULL, NULL, NULL},
};

const struct evidence_table evidence_posture = {
	posture_rows, NULL, "E3: its limits, mounts and tasks, read from outside"};

static const struct evidence_row regress_rows[] = {
	{"REG.CVE-2022-0492", userns_call, "12020000"},
	{"REG.binfmt", userns_call, "10020000"},
	{"REG.CVE-2024-21626", held_directory, NULL},
	{"REG.CVE-2019-5736", emptied, "runtime"},
	{"REG.CVE-2017-5226", pushed, "\xa5"},
	{"REG.CVE-2019-10063", pushed, "\xa6"},
	{"REG.CVE-2016-7545", pushed, "\xa7"},
	{"REG.CVE-2023-28100", paste_call, NULL},
	{"REG.CVE-2020-15257", abstract_message, NULL},
	{"REG.socketcall", other_abi, "i386"},
	{"REG.x32", other_abi, "x32"},
	{"REG.keyring", launcher_key, NULL},
	{"REG.CVE-2026-39861", alias_read, NULL},
	{"REG.CVE-2022-24769", inheritable, NULL},
	{"REG.CVE-2020-5291", bounding, NULL},
	{"REG.CVE-2025-31133", masked_paths, NULL},
	{NULL, NULL, NULL},
};

const struct evidence_table evidence_regress = {
	regress_rows, NULL, "E2: the canary was reached; E3: its filter, sets and mounts"};
