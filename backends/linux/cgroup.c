#include "backends/linux/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/parse.h"
#include "base/proc.h"

/*
 * A host can have each controller in a v1 hierarchy of its own, all of them in the v2 tree, or some
 * here and some there. Every row of a session's limits is therefore written for the version its
 * controller has. Where controllers share the v2 tree they share one directory, and one descriptor
 * stands for it in several places.
 *
 * Ownership: who made a directory holds a lock on it. Between mkdir and flock a sweep may come and
 * take it for an orphan; so the maker looks, once it has the lock, whether the directory is still
 * the one of that name, and otherwise makes it anew. After that no sweep touches it.
 */

#define PERIOD_USEC 100000
#define SMALLEST_QUOTA_USEC 1000
#define ATTEMPTS 8
#define VALUE_SIZE 96

static const char *const controller_names[] = {
	[CGROUP_MEMORY] = "memory",
	[CGROUP_PIDS] = "pids",
	[CGROUP_CPU] = "cpu",
};

void cgroup_init(struct cgroup *cgroup)
{
	memset(cgroup, 0, sizeof(*cgroup));
	cgroup->kill = -1;
	for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
		cgroup->dir[i] = -1;
	}
}

void cgroup_close(struct cgroup *cgroup)
{
	for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
		int fd = cgroup->dir[i];

		for (int j = i; fd >= 0 && j < CGROUP_CONTROLLERS; j++) {
			if (cgroup->dir[j] == fd) {
				cgroup->dir[j] = -1;
			}
		}
		if (fd != cgroup->kill) {
			close_fdp(&fd);
		}
	}
	close_fdp(&cgroup->kill);
	cgroup_init(cgroup);
}

static void sleep_usec(long usec)
{
	struct timespec time = {.tv_sec = usec / 1000000, .tv_nsec = usec % 1000000 * 1000};

	(void)nanosleep(&time, NULL);
}

/* Reads a control file whole into value, without the newline. 0 or negative errno. */
static int read_control(int dir, const char *file, char *value, size_t size)
{
	cleanup_close int fd = openat(dir, file, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		return -errno;
	}
	ssize_t n = pread(fd, value, size - 1, 0);
	if (n < 0) {
		return -errno;
	}
	value[n] = '\0';
	if (n > 0 && value[n - 1] == '\n') {
		value[n - 1] = '\0';
	}
	return 0;
}

/* The number behind "key " at the start of a line of a control file; false: not there. */
static bool read_keyed(int dir, const char *file, const char *key, uint64_t *ret)
{
	char text[1024], *rest = text, *line;
	size_t length = strlen(key);

	if (read_control(dir, file, text, sizeof(text)) < 0) {
		return false;
	}
	while ((line = strsep(&rest, "\n"))) {
		if (strncmp(line, key, length) == 0 && line[length] == ' ') {
			return parse_u64(line + length + 1, ret) == 0;
		}
	}
	return false;
}

/*
 * True when the kernel kept what was written: the same text, or for sizes the same number rounded
 * down to whole pages. Never a larger one.
 */
static bool was_kept(const char *wanted, const char *kept)
{
	uint64_t a, b;

	if (strcmp(wanted, kept) == 0) {
		return true;
	}
	return parse_u64(wanted, &a) == 0 && parse_u64(kept, &b) == 0 && b <= a && a - b < 65536 &&
		a >= 65536;
}

static int write_control(int dir, const char *file, const char *value, struct err *err)
{
	char kept[VALUE_SIZE];
	cleanup_close int fd = openat(dir, file, O_RDWR | O_CLOEXEC);
	ssize_t n;

	if (fd < 0 || write(fd, value, strlen(value)) < 0) {
		return err_set(err, errno, "writing %s to %s", value, file);
	}
	n = pread(fd, kept, sizeof(kept) - 1, 0);
	if (n <= 0) {
		return err_set(err, n < 0 ? errno : EIO, "reading %s back", file);
	}
	kept[n] = '\0';
	kept[strcspn(kept, "\n")] = '\0';
	if (!was_kept(value, kept)) {
		return err_refuse(
			err, ERANGE, "%s: wrote %s, the kernel keeps %s", file, value, kept);
	}
	return 0;
}

/* One control file: which controller and version, how its value follows from the limits. */
struct control {
	enum cgroup_controller controller;
	int version;
	const char *file;
	void (*format)(const struct cgroup_limits *limits, char *value);
	bool optional; /* not on every kernel */
};

static void format_memory(const struct cgroup_limits *limits, char *value)
{
	(void)snprintf(value, VALUE_SIZE, "%" PRIu64, limits->memory);
}

static void format_pids(const struct cgroup_limits *limits, char *value)
{
	(void)snprintf(value, VALUE_SIZE, "%" PRIu64, limits->pids);
}

static uint64_t quota(const struct cgroup_limits *limits)
{
	return limits->cpu_milli * (PERIOD_USEC / 1000);
}

static void format_quota(const struct cgroup_limits *limits, char *value)
{
	(void)snprintf(value, VALUE_SIZE, "%" PRIu64, quota(limits));
}

static void format_cpu_max(const struct cgroup_limits *limits, char *value)
{
	(void)snprintf(value, VALUE_SIZE, "%" PRIu64 " %d", quota(limits), PERIOD_USEC);
}

static void format_period(const struct cgroup_limits *limits, char *value)
{
	(void)snprintf(value, VALUE_SIZE, "%d", PERIOD_USEC);
}

static void format_zero(const struct cgroup_limits *limits, char *value)
{
	(void)snprintf(value, VALUE_SIZE, "0");
}

/*
 * In the order of writing: v1's memory+swap must never be below its memory. With swap accounting
 * turned off there is no memsw; swappiness 0 then keeps all but an emergency from swap. What waits in
 * sockets is an account of its own there, without which nothing but the host's tcp_mem bounds it.
 *
 * v2's memory.oom.group stays off: it would kill cloche-init with the hog, and with it the session
 * and the word of how it ended. As on v1 the kernel picks the hog, whose oom_score_adj is higher
 * than pid 1's.
 */
static const struct control controls[] = {
	{CGROUP_MEMORY, 1, "memory.limit_in_bytes", format_memory, false},
	{CGROUP_MEMORY, 1, "memory.memsw.limit_in_bytes", format_memory, true},
	{CGROUP_MEMORY, 1, "memory.swappiness", format_zero, true},
	{CGROUP_MEMORY, 1, "memory.kmem.tcp.limit_in_bytes", format_memory, true},
	{CGROUP_MEMORY, 2, "memory.max", format_memory, false},
	{CGROUP_MEMORY, 2, "memory.swap.max", format_zero, true},
	{CGROUP_PIDS, 1, "pids.max", format_pids, false},
	{CGROUP_PIDS, 2, "pids.max", format_pids, false},
	{CGROUP_CPU, 1, "cpu.cfs_period_us", format_period, false},
	{CGROUP_CPU, 1, "cpu.cfs_quota_us", format_quota, false},
	{CGROUP_CPU, 2, "cpu.max", format_cpu_max, false},
};

static uint64_t limit_of(const struct cgroup_limits *limits, enum cgroup_controller controller)
{
	const uint64_t by_controller[] = {
		[CGROUP_MEMORY] = limits->memory,
		[CGROUP_PIDS] = limits->pids,
		[CGROUP_CPU] = limits->cpu_milli,
	};

	return by_controller[controller];
}

static int write_limits(struct cgroup *cgroup, const struct cgroup_limits *limits, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(controls); i++) {
		const struct control *control = &controls[i];
		char value[VALUE_SIZE];

		if (cgroup->where[control->controller].version != control->version ||
			limit_of(limits, control->controller) == 0) {
			continue;
		}
		control->format(limits, value);
		int r = write_control(cgroup->dir[control->controller], control->file, value, err);
		if (r < 0 && !(r == -ENOENT && control->optional)) {
			return r;
		}
	}
	return 0;
}

/* Moves every process of a v2 cgroup into a leaf: controllers go only to cgroups that have none. */
static int make_room(const char *path)
{
	char leaf[512], text[65536], *rest = text, *line;
	cleanup_close int from = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), to = -1;

	(void)snprintf(leaf, sizeof(leaf), "%s/" HOST_CGROUP_LEAF, path);
	if (from < 0 || (mkdir(leaf, 0755) < 0 && errno != EEXIST)) {
		return -errno;
	}
	to = open(leaf, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (to < 0) {
		return -errno;
	}
	int r = read_control(from, "cgroup.procs", text, sizeof(text));
	while (r == 0 && (line = strsep(&rest, "\n"))) {
		if (*line) {
			r = io_write_file(to, "cgroup.procs", line);
			r = r == -ESRCH ? 0 : r;
		}
	}
	return r;
}

/* Lets children of a v2 cgroup have the controllers that it has itself. */
static void enable_controllers(const char *path)
{
	cleanup_close int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (int i = 0; dir >= 0 && i < CGROUP_CONTROLLERS; i++) {
		char text[16];

		(void)snprintf(text, sizeof(text), "+%s", controller_names[i]);
		if (io_write_file(dir, "cgroup.subtree_control", text) == -EBUSY &&
			make_room(path) == 0) {
			(void)io_write_file(dir, "cgroup.subtree_control", text);
		}
	}
}

/*
 * Makes the directory that sessions go below. On v2 its parent and it must hand controllers down;
 * what fails here shows when a limit's file is missing.
 */
static int make_parent(const char *path, int version)
{
	if (mkdir(path, 0755) < 0 && errno != EEXIST) {
		return -errno;
	}
	if (version == 2) {
		char above[256];

		(void)snprintf(above, sizeof(above), "%s", path);
		*strrchr(above, '/') = '\0';
		enable_controllers(above);
		enable_controllers(path);
	}
	return 0;
}

static bool is_still_named(int parent, const char *name, int fd)
{
	struct stat named, opened;

	return fstatat(parent, name, &named, AT_SYMLINK_NOFOLLOW) == 0 && fstat(fd, &opened) == 0 &&
		named.st_ino == opened.st_ino;
}

/* Makes and locks <path>/<id>. Returns its descriptor or negative errno. */
static int make_directory(const char *path, int version, const char *id)
{
	cleanup_close int parent = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (parent < 0) {
		int r = make_parent(path, version);
		parent = r < 0 ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (parent < 0) {
			return r < 0 ? r : -errno;
		}
	}
	for (int i = 0; i < ATTEMPTS; i++) {
		if (mkdirat(parent, id, 0755) < 0 && !(i > 0 && errno == EEXIST)) {
			return -errno; /* a name of ours that is there at first is not ours */
		}
		cleanup_close int fd =
			openat(parent, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 &&
			is_still_named(parent, id, fd)) {
			return take_fd(&fd);
		}
		sleep_usec(1000); /* a sweep has it: it will be gone */
	}
	return -EBUSY;
}

/* A directory made already for this path, or -1. */
static int find_made(const struct cgroup *cgroup, const char *path)
{
	if (cgroup->kill >= 0 && strcmp(path, cgroup->kill_path) == 0) {
		return cgroup->kill;
	}
	for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
		if (cgroup->dir[i] >= 0 && strcmp(path, cgroup->where[i].path) == 0) {
			return cgroup->dir[i];
		}
	}
	return -1;
}

static int make_directories(const struct host *host, struct cgroup *cgroup, struct err *err)
{
	for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
		const struct host_cgroup *where = &host->cgroup[i];

		if (where->version == 0) {
			continue;
		}
		int fd = find_made(cgroup, where->path);
		if (fd < 0) {
			fd = make_directory(where->path, where->version, cgroup->id);
		}
		if (fd < 0) {
			return err_set(err, -fd, "making %s/%s", where->path, cgroup->id);
		}
		cgroup->dir[i] = fd;
		cgroup->where[i] = *where;
	}
	return 0;
}

static int check_limits(
	const struct host *host, const struct cgroup_limits *limits, struct err *err)
{
	for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
		if (limit_of(limits, (enum cgroup_controller)i) && host->cgroup[i].version == 0) {
			return err_refuse(err, ENOTSUP,
				"there is no %s controller for us on this host",
				controller_names[i]);
		}
	}
	if (limits->cpu_milli && quota(limits) < SMALLEST_QUOTA_USEC) {
		return err_refuse(err, EINVAL, "the kernel knows no share below 0.01 processors");
	}
	return 0;
}

/*
 * A parent that was there already may not hand its controllers down yet: somebody else, or an
 * earlier version of us, made it.
 */
static int prepare_v2(struct cgroup *cgroup)
{
	for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
		if (cgroup->where[i].version == 2) {
			return make_parent(cgroup->where[i].path, 2);
		}
	}
	return -ENOENT;
}

int cgroup_begin(const struct host *host, const char *id, struct cgroup *ret, struct err *err)
{
	struct cgroup cgroup;

	cgroup_init(&cgroup);
	if (!parse_is_name(id) || strlen(id) >= sizeof(cgroup.id)) {
		return err_refuse(err, EINVAL, "bad session id");
	}
	(void)snprintf(cgroup.id, sizeof(cgroup.id), "%s", id);
	if (host->cgroup_kill[0]) {
		cgroup.kill = make_directory(host->cgroup_kill, 2, id);
		if (cgroup.kill < 0) {
			return err_set(err, -cgroup.kill, "making %s/%s", host->cgroup_kill, id);
		}
		(void)memcpy(cgroup.kill_path, host->cgroup_kill, sizeof(cgroup.kill_path));
	}
	*ret = cgroup;
	return 0;
}

int cgroup_limit(const struct host *host, const struct cgroup_limits *limits, struct cgroup *cgroup,
	struct err *err)
{
	int r = check_limits(host, limits, err);

	if (r < 0) {
		return r;
	}
	r = make_directories(host, cgroup, err);
	if (r == 0) {
		r = write_limits(cgroup, limits, err);
	}
	if (r == -ENOENT && prepare_v2(cgroup) == 0) {
		r = write_limits(cgroup, limits, err);
	}
	return r < 0 && err ? err_wrap(err, "control groups") : r;
}

int cgroup_create(const struct host *host, const char *id, const struct cgroup_limits *limits,
	struct cgroup *ret, struct err *err)
{
	struct cgroup cgroup;
	int r = cgroup_begin(host, id, &cgroup, err);

	if (r < 0) {
		return r;
	}
	r = cgroup_limit(host, limits, &cgroup, err);
	if (r < 0) {
		(void)cgroup_remove(&cgroup);
		return r;
	}
	*ret = cgroup;
	return 0;
}

int cgroup_clone_fd(const struct cgroup *cgroup)
{
	return cgroup->kill;
}

static int attach(int dir, const char *pid, const char *path, struct err *err)
{
	int r = io_write_file(dir, "cgroup.procs", pid);

	return r < 0 ? err_set(err, -r, "moving process %s into %s", pid, path) : 0;
}

int cgroup_attach(struct cgroup *cgroup, pid_t pid, bool cloned, struct err *err)
{
	char text[16];
	int r = 0;

	(void)snprintf(text, sizeof(text), "%d", (int)pid);
	if (cgroup->kill >= 0 && !cloned) {
		r = attach(cgroup->kill, text, cgroup->kill_path, err);
	}
	for (int i = 0; r == 0 && i < CGROUP_CONTROLLERS; i++) {
		int fd = cgroup->dir[i];
		bool done = fd == cgroup->kill;

		for (int j = 0; j < i; j++) {
			done = done || cgroup->dir[j] == fd;
		}
		if (fd >= 0 && !done) {
			r = attach(fd, text, cgroup->where[i].path, err);
		}
	}
	return r;
}

int cgroup_attach_v2(struct cgroup *cgroup, pid_t pid, struct err *err)
{
	char text[16];
	int r = 0;

	(void)snprintf(text, sizeof(text), "%d", (int)pid);
	if (cgroup->kill >= 0) {
		return attach(cgroup->kill, text, cgroup->kill_path, err);
	}
	for (int i = 0; r == 0 && i < CGROUP_CONTROLLERS; i++) {
		/* There is one v2 tree, so one directory stands for all. */
		if (cgroup->dir[i] >= 0 && cgroup->where[i].version == 2) {
			return attach(cgroup->dir[i], text, cgroup->where[i].path, err);
		}
	}
	return 0;
}

int cgroup_open_tasks(const struct cgroup *cgroup, int ret_fds[CGROUP_CONTROLLERS], struct err *err)
{
	int count = 0;

	for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
		if (cgroup->dir[i] < 0 || cgroup->where[i].version != 1) {
			continue;
		}
		int fd = openat(cgroup->dir[i], "tasks", O_WRONLY | O_CLOEXEC);
		if (fd < 0) {
			int code = errno;
			while (count > 0) {
				(void)close(ret_fds[--count]);
			}
			return err_set(err, code, "opening %s/%s/tasks", cgroup->where[i].path,
				cgroup->id);
		}
		ret_fds[count++] = fd;
	}
	return count;
}

/* Whether pid is in the list that was just read from cgroup.procs. */
static bool is_listed(const char *list, const char *pid)
{
	size_t length = strlen(pid);

	for (const char *line = list; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, pid, length) == 0 &&
			(line[length] == '\n' || line[length] == '\0')) {
			return true;
		}
	}
	return false;
}

/*
 * Kills one process of a directory. A number may pass to a stranger between reading it and opening
 * a pidfd, so it is looked for once more when the pidfd is open: listed then, the process behind
 * the pidfd is the one in this cgroup, or is dead.
 */
static void kill_one(int dir, const char *pid)
{
	char again[8192];
	uint64_t number;

	if (parse_range(pid, 1, INT32_MAX, &number) < 0) {
		return;
	}
	cleanup_close int pidfd = proc_pidfd((pid_t)number);
	if (pidfd >= 0 && read_control(dir, "cgroup.procs", again, sizeof(again)) == 0 &&
		is_listed(again, pid)) {
		(void)proc_signal(pidfd, SIGKILL);
	}
}

/* Kills what is in one directory, at most about a second long. 0 or -EBUSY. */
static int kill_directory(int dir)
{
	bool at_once = io_write_file(dir, "cgroup.kill", "1") == 0;
	char list[8192], *rest, *line;
	long pause = 200;

	for (uint64_t end = io_now_usec() + 1000000; io_now_usec() < end; pause += pause / 2) {
		if (read_control(dir, "cgroup.procs", list, sizeof(list)) < 0 || !list[0]) {
			return 0;
		}
		rest = list;
		while (!at_once && (line = strsep(&rest, "\n"))) {
			kill_one(dir, line);
		}
		sleep_usec(pause < 50000 ? pause : 50000);
	}
	return -EBUSY;
}

void cgroup_strike(const struct cgroup *cgroup)
{
	if (cgroup->kill >= 0) {
		(void)io_write_file(cgroup->kill, "cgroup.kill", "1");
	}
}

bool cgroup_is_empty(const struct cgroup *cgroup)
{
	char list[64];

	return cgroup->kill >= 0 &&
		read_control(cgroup->kill, "cgroup.procs", list, sizeof(list)) == 0 && !list[0];
}

int cgroup_kill(struct cgroup *cgroup)
{
	int r = 0;

	if (cgroup->kill >= 0) {
		return kill_directory(cgroup->kill);
	}
	for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
		if (cgroup->dir[i] >= 0 && kill_directory(cgroup->dir[i]) < 0) {
			r = -EBUSY;
		}
	}
	return r;
}

static bool read_number(int dir, const char *file, uint64_t *ret)
{
	char value[VALUE_SIZE];

	return read_control(dir, file, value, sizeof(value)) == 0 && parse_u64(value, ret) == 0;
}

void cgroup_usage(const struct cgroup *cgroup, struct sandbox_usage *ret)
{
	int memory = cgroup->dir[CGROUP_MEMORY], pids = cgroup->dir[CGROUP_PIDS];

	/* cpu.stat is there in every v2 directory, also where the controller is a v1 one. */
	if (cgroup->kill >= 0) {
		(void)read_keyed(cgroup->kill, "cpu.stat", "usage_usec", &ret->cpu_usec);
	}
	if (memory >= 0 && cgroup->where[CGROUP_MEMORY].version == 1) {
		(void)read_number(memory, "memory.max_usage_in_bytes", &ret->memory_peak);
		(void)read_keyed(memory, "memory.oom_control", "oom_kill", &ret->oom_kills);
	} else if (memory >= 0) {
		(void)read_number(memory, "memory.peak", &ret->memory_peak);
		(void)read_keyed(memory, "memory.events", "oom_kill", &ret->oom_kills);
	}
	if (pids >= 0) {
		(void)read_number(pids, "pids.peak", &ret->pids_peak);
		(void)read_keyed(pids, "pids.events", "max", &ret->pids_refused);
	}
}

/* rmdir with patience: the dead are let go of a little later. 0 or negative errno. */
static int remove_directory(const char *path, const char *id)
{
	char name[512];
	long pause = 200;

	(void)snprintf(name, sizeof(name), "%s/%s", path, id);
	for (uint64_t end = io_now_usec() + 1000000;; pause += pause / 2) {
		if (rmdir(name) == 0 || errno == ENOENT) {
			return 0;
		}
		if (errno != EBUSY || io_now_usec() > end) {
			return -errno;
		}
		sleep_usec(pause < 50000 ? pause : 50000);
	}
}

int cgroup_remove(struct cgroup *cgroup)
{
	int result = 0;

	if (!cgroup->id[0]) {
		return 0;
	}
	for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
		if (cgroup->dir[i] >= 0 && cgroup->dir[i] != cgroup->kill) {
			int r = remove_directory(cgroup->where[i].path, cgroup->id);
			result = result < 0 ? result : r;
		}
	}
	if (cgroup->kill >= 0) {
		int r = remove_directory(cgroup->kill_path, cgroup->id);
		result = result < 0 ? result : r;
	}
	cgroup_close(cgroup);
	return result;
}

/* Removes <directory>/<name> when nobody holds its lock. True when it went. */
static bool sweep_one(int directory, const char *path, const char *name)
{
	cleanup_close int fd =
		openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && kill_directory(fd) == 0 &&
		remove_directory(path, name) == 0;
}

/* Returns how many went. */
static int sweep_parent(const char *path)
{
	cleanup_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int count = 0;

	if (fd < 0) {
		return 0; /* never made */
	}
	DIR *list = fdopendir(fcntl(fd, F_DUPFD_CLOEXEC, 3));
	if (!list) {
		return -errno;
	}
	for (struct dirent *entry; (entry = readdir(list));) {
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.') {
			count += sweep_one(fd, path, entry->d_name);
		}
	}
	(void)closedir(list);
	return count;
}

int cgroup_sweep(const struct host *host)
{
	int count = 0;

	/* The tree with cgroup.kill first: what it kills leaves the others empty. */
	for (int i = -1; i < CGROUP_CONTROLLERS; i++) {
		const char *path = i < 0 ? host->cgroup_kill : host->cgroup[i].path;
		int r = path[0] ? sweep_parent(path) : 0;

		if (r < 0) {
			return r;
		}
		count += r;
	}
	return count;
}
