/*
 * gVisor's processes, as the host sees them: runsc itself (its parts differ in arguments only), and
 * one an address space of the session, whose code is the session's. Those run under PTRACE_SYSEMU, or
 * under a filter that lets no call through (systrap): both leave the link of exe at runsc's file.
 *
 * A guest of QEMU's is memory of QEMU's, and what stands above it (the sandbox it is put in).
 */
#include "testkit/machine.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/audit.h>

#include "base/io.h"
#include "base/parse.h"
#include "base/proc.h"
#include "testkit/outside.h"

#define MEMORY_NAME "/memfd:runsc-memory (deleted)"
#define CHUNK (1U << 20)
#define GUEST_LEAST (UINT64_C(16) << 20) /* a mapping that may be a guest's memory */
#define TASKS_MAX 4096
#define DEPTH 8 /* of processes that start each other, which ends whatever was listed */
#define LOOKS 5 /* what ends by itself, such as a hook of the runtime's, has time to */
#define LOOK_USEC 50000

#if defined(__x86_64__)
#define OWN_ARCH AUDIT_ARCH_X86_64
#define QEMU "qemu-system-x86_64"
#else
#define OWN_ARCH AUDIT_ARCH_AARCH64
#define QEMU "qemu-system-aarch64"
#endif

struct task {
	pid_t pid, parent;
	bool member; /* of the session */
};

struct tasks {
	struct task *list;
	size_t count;
	struct stat engine; /* the file of runsc or QEMU */
	bool guest;
};

static int read_text(pid_t pid, const char *name, size_t max, char **ret)
{
	char path[96];

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	return io_read_file(AT_FDCWD, path, max, ret, NULL);
}

static pid_t number_in_status(const char *status, const char *name)
{
	const char *at = strstr(status, name);

	return at ? (pid_t)strtol(at + strlen(name), NULL, 10) : -1;
}

/* The program where the system has it, which nobody but root can change. */
static bool find_engine(bool guest, char *path, size_t size, struct stat *ret)
{
	static const char *const places[] = {
		"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"};

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		(void)snprintf(path, size, "%s/%s", places[i], guest ? QEMU : "runsc");
		if (stat(path, ret) == 0) {
			return ret->st_uid == 0 && !(ret->st_mode & (S_IWGRP | S_IWOTH));
		}
	}
	return false;
}

static bool is_engine_file(const struct tasks *tasks, const char *path)
{
	struct stat info;

	return stat(path, &info) == 0 && info.st_dev == tasks->engine.st_dev &&
		info.st_ino == tasks->engine.st_ino;
}

static bool has_engine(const struct tasks *tasks, pid_t pid)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	return is_engine_file(tasks, path);
}

/* Every task there is now. */
static bool list_tasks(struct tasks *tasks)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry = NULL;

	tasks->count = 0;
	while (proc && tasks->count < TASKS_MAX && (entry = readdir(proc))) {
		cleanup_free char *status = NULL;
		uint64_t pid = 0;
		if (parse_range(entry->d_name, 1, INT32_MAX, &pid) == 0 &&
			read_text((pid_t)pid, "status", 16384, &status) == 0) {
			tasks->list[tasks->count++] = (struct task){
				(pid_t)pid, number_in_status(status, "\nPPid:\t"), false};
		}
	}
	if (proc) {
		(void)closedir(proc);
	}
	return tasks->count < TASKS_MAX;
}

/* 0: none that is listed. */
static pid_t parent_of(const struct tasks *tasks, pid_t pid)
{
	for (size_t i = 0; i < tasks->count; i++) {
		if (tasks->list[i].pid == pid) {
			return tasks->list[i].parent;
		}
	}
	return 0;
}

static bool is_member(const struct tasks *tasks, pid_t pid)
{
	for (size_t i = 0; i < tasks->count; i++) {
		if (tasks->list[i].pid == pid) {
			return tasks->list[i].member;
		}
	}
	return false;
}

/* The task, all below it, and all in its control group, unless that is ours. */
static void mark(struct tasks *tasks, pid_t first)
{
	cleanup_free char *group = NULL;
	cleanup_free char *own = NULL;
	bool changed = true;

	if (first <= 0 || read_text(first, "cgroup", 16384, &group) < 0 ||
		read_text(getpid(), "cgroup", 16384, &own) < 0) {
		return;
	}
	for (size_t i = 0; i < tasks->count; i++) {
		cleanup_free char *theirs = NULL;
		tasks->list[i].member |= tasks->list[i].pid == first ||
			(strcmp(group, own) != 0 &&
				read_text(tasks->list[i].pid, "cgroup", 16384, &theirs) == 0 &&
				strcmp(group, theirs) == 0);
	}
	while (changed) {
		changed = false;
		for (size_t i = 0; i < tasks->count; i++) {
			struct task *task = &tasks->list[i];
			if (!task->member && is_member(tasks, task->parent)) {
				task->member = changed = true;
			}
		}
	}
}

/* ---- what a task is ---- */

/* Its own program, and the page of code that it lays out for its sessions; nothing else is to be run. */
static bool runs_engine_only(const struct tasks *tasks, pid_t pid)
{
	cleanup_free char *maps = NULL;
	char *rest = NULL;
	size_t own = 0;
	size_t pages = 0;

	if (!has_engine(tasks, pid) || read_text(pid, "maps", 8 << 20, &maps) < 0) {
		return false;
	}
	rest = maps;
	for (char *line = NULL; (line = strsep(&rest, "\n"));) {
		char flags[8] = "";
		unsigned major = 0;
		unsigned minor = 0;
		uint64_t inode = 0;
		uint64_t from = 0;
		uint64_t to = 0;
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %*s %x:%x %" SCNu64, &from, &to,
			    flags, &major, &minor, &inode) != 6 ||
			flags[2] != 'x' || strstr(line, "[v")) {
			continue;
		}
		own += inode == tasks->engine.st_ino;
		pages += inode == 0 && to - from == 4096;
		if (inode != tasks->engine.st_ino && (inode != 0 || to - from != 4096)) {
			return false;
		}
	}
	return own > 0 && pages <= 1;
}

/* The process that a thread belongs to. */
static pid_t process_of(pid_t thread)
{
	cleanup_free char *status = NULL;

	return thread > 0 && read_text(thread, "status", 16384, &status) == 0
		? number_in_status(status, "\nTgid:\t")
		: -1;
}

/* Every thread is traced by runsc of this session. */
static bool is_traced(const struct tasks *tasks, pid_t pid)
{
	char path[64];
	DIR *threads = NULL;
	struct dirent *entry = NULL;
	size_t count = 0;
	bool good = true;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", pid);
	threads = opendir(path);
	while (threads && good && (entry = readdir(threads))) {
		cleanup_free char *status = NULL;
		uint64_t id = 0;
		if (parse_range(entry->d_name, 1, INT32_MAX, &id) < 0) {
			continue;
		}
		(void)snprintf(path, sizeof(path), "task/%" PRIu64 "/status", id);
		pid_t tracer = read_text(pid, path, 16384, &status) < 0
			? -1
			: process_of(number_in_status(status, "\nTracerPid:\t"));
		good = tracer > 0 && is_member(tasks, tracer) && runs_engine_only(tasks, tracer);
		count++;
	}
	if (threads) {
		(void)closedir(threads);
	}
	return good && count > 0;
}

/* A filter of it lets none of these through, whatever their arguments. */
static bool is_fenced(pid_t pid)
{
	static const int calls[] = {SYS_openat, SYS_read, SYS_socket, SYS_execve, SYS_kill};
	static const uint64_t none[6];
	struct outside *outside = calloc(1, sizeof(*outside));
	bool good = outside != NULL;

	if (outside) {
		outside_read(pid, outside);
	}
	for (size_t i = 0; good && i < ARRAY_SIZE(calls); i++) {
		good = outside_allows(outside, OWN_ARCH, calls[i], none) == 0;
	}
	if (outside) {
		outside_fini(outside);
	}
	free(outside);
	return good;
}

/* What started QEMU was there before any client was: the sandbox it is put in, and what feeds it. */
static bool is_above(const struct tasks *tasks, pid_t pid, pid_t below)
{
	for (int steps = 0; steps < DEPTH && below > 1; steps++) {
		pid_t parent = parent_of(tasks, below);
		if (parent == pid) {
			return true;
		}
		below = parent;
	}
	return false;
}

static bool is_gone(pid_t pid)
{
	cleanup_free char *status = NULL;

	return read_text(pid, "status", 16384, &status) < 0 || strstr(status, "\nState:\tZ");
}

/* ---- memory ---- */

static bool file_has(int fd, const char *text, size_t length)
{
	cleanup_free char *chunk = malloc(CHUNK);
	off_t at = lseek(fd, 0, SEEK_DATA);

	while (chunk && at >= 0) {
		ssize_t n = pread(fd, chunk, CHUNK, at);
		if (n < (ssize_t)length) {
			return false;
		}
		if (memmem(chunk, (size_t)n, text, length)) {
			return true;
		}
		/* Half a word may stand at the end. */
		at = lseek(fd, at + n - (n == CHUNK ? (off_t)length : 0), SEEK_DATA);
	}
	return false;
}

static bool range_has(
	int fd, uint64_t from, uint64_t to, const char *text, size_t length, char *chunk)
{
	while (from < to) {
		size_t want = to - from < CHUNK ? (size_t)(to - from) : CHUNK;
		ssize_t n = pread(fd, chunk, want, (off_t)from);
		if (n < (ssize_t)length) {
			return false;
		}
		if (memmem(chunk, (size_t)n, text, length)) {
			return true;
		}
		from += (uint64_t)n - ((size_t)n == CHUNK ? length : 0);
	}
	return false;
}

/* Looks through what is large enough to be a guest's memory. */
static bool guest_has(pid_t pid, const char *text, bool *ret_known)
{
	cleanup_free char *maps = NULL;
	cleanup_free char *chunk = malloc(CHUNK);
	cleanup_close int fd = -1;
	char path[64];
	char *rest = NULL;
	bool found = false;

	(void)snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	*ret_known = fd >= 0 && chunk && read_text(pid, "maps", 8 << 20, &maps) == 0;
	rest = maps;
	for (char *line = NULL; *ret_known && !found && (line = strsep(&rest, "\n"));) {
		uint64_t from = 0;
		uint64_t to = 0;
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " rw", &from, &to) == 2 &&
			to - from >= GUEST_LEAST) {
			found = range_has(fd, from, to, text, strlen(text), chunk);
		}
	}
	return found;
}

struct wanted_text {
	const char *text;
	bool known; /* has any memory been read? */
};

static bool has_text(const struct proc_fd *fd, void *context)
{
	struct wanted_text *wanted = context;
	cleanup_close int memory = strcmp(fd->target, MEMORY_NAME) == 0
		? openat(fd->dir, fd->name, O_RDONLY | O_CLOEXEC)
		: -1;

	wanted->known |= memory >= 0;
	return memory >= 0 && file_has(memory, wanted->text, strlen(wanted->text));
}

/* Looks through the memory that runsc holds for its session. */
static bool sentry_has(pid_t pid, const char *text, bool *ret_known)
{
	struct wanted_text wanted = {.text = text};
	bool found = proc_find_fd(pid, has_text, &wanted) > 0;

	*ret_known = wanted.known;
	return found;
}

static bool memory_has(bool guest, pid_t pid, const char *text, bool *ret_known)
{
	return guest ? guest_has(pid, text, ret_known) : sentry_has(pid, text, ret_known);
}

static bool holds(const struct tasks *tasks, pid_t pid, const char *word)
{
	bool known = false;

	return pid > 1 && has_engine(tasks, pid) && memory_has(tasks->guest, pid, word, &known);
}

/*
 * Who holds what lies in it. An address space of gVisor's is a child of runsc's, or of another such
 * one, and has its descriptors, but neither its arguments nor its limits; and its number is the lower
 * one where those of the host have begun anew in between. So it is the one above them all.
 */
static pid_t find_memory(const struct tasks *tasks, const char *word)
{
	for (size_t i = 0; i < tasks->count; i++) {
		pid_t pid = tasks->list[i].pid;
		if (!holds(tasks, pid, word)) {
			continue;
		}
		for (int steps = 0; steps < DEPTH && holds(tasks, parent_of(tasks, pid), word);
			steps++) {
			pid = parent_of(tasks, pid);
		}
		return pid;
	}
	return 0;
}

bool machine_holds(const struct machine *machine, const char *text, bool *ret_known)
{
	*ret_known = false;
	return machine->memory > 0 && memory_has(machine->guest, machine->memory, text, ret_known);
}

/* ---- together ---- */

static bool is_served(const struct tasks *tasks, pid_t pid, pid_t memory)
{
	if (tasks->guest) {
		return has_engine(tasks, pid) || is_above(tasks, pid, memory);
	}
	return runs_engine_only(tasks, pid) || is_traced(tasks, pid) ||
		(has_engine(tasks, pid) && is_fenced(pid));
}

static void look(struct tasks *tasks, pid_t launched, struct machine *ret)
{
	size_t count = 0;

	if (!list_tasks(tasks)) {
		ret->kernel = MACHINE_UNKNOWN;
		return;
	}
	mark(tasks, ret->memory);
	mark(tasks, launched);
	ret->kernel = MACHINE_OTHER;
	for (size_t i = 0; i < tasks->count; i++) {
		pid_t pid = tasks->list[i].pid;
		if (!tasks->list[i].member || is_gone(pid)) {
			continue;
		}
		count++;
		if (is_served(tasks, pid, ret->memory) || is_gone(pid)) {
			continue;
		}
		ret->kernel = MACHINE_HOST;
		(void)snprintf(
			ret->text, sizeof(ret->text), "process %d is served by the host", pid);
		return;
	}
	(void)snprintf(ret->text, sizeof(ret->text),
		"its memory is in %s %d; all %zu processes are that or held by it",
		tasks->guest ? "QEMU" : "runsc", ret->memory, count);
}

void machine_read(pid_t launched, const char *word, bool guest, struct machine *ret)
{
	struct tasks tasks = {.list = calloc(TASKS_MAX, sizeof(tasks.list[0])), .guest = guest};

	*ret = (struct machine){.kernel = MACHINE_UNKNOWN, .guest = guest};
	if (tasks.list && find_engine(guest, ret->engine, sizeof(ret->engine), &tasks.engine) &&
		list_tasks(&tasks)) {
		ret->memory = find_memory(&tasks, word);
	}
	if (ret->memory > 0) {
		for (int i = 0; i < LOOKS && ret->kernel != MACHINE_OTHER; i++) {
			(void)usleep(i ? LOOK_USEC : 0);
			look(&tasks, launched, ret);
		}
	} else if (launched > 0) {
		ret->kernel = MACHINE_HOST;
		(void)snprintf(ret->text, sizeof(ret->text), "no other kernel holds its memory");
	}
	free(tasks.list);
}
