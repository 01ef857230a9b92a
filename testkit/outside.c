#include "testkit/outside.h"

#include <arpa/inet.h>
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "backends/linux/bpf.h"
#include "base/io.h"
#include "base/parse.h"
#include "base/proc.h"

static int read_proc(pid_t pid, const char *name, size_t max, char **ret, size_t *ret_size)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	return io_read_file(AT_FDCWD, path, max, ret, ret_size);
}

static bool is_called(int proc, pid_t pid, const char *name)
{
	size_t length = strlen(name);
	char text[32];
	char path[48];

	(void)snprintf(path, sizeof(path), "%d/comm", pid);
	cleanup_close int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text)) : -1;
	return n == (ssize_t)length + 1 && memcmp(text, name, length) == 0;
}

/* /proc lists them by their numbers: the one that is looked for is young, and so among the last. */
pid_t outside_find(const char *name)
{
	struct dirent **entries = NULL;
	cleanup_close int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int count = proc >= 0 ? scandirat(proc, ".", &entries, NULL, NULL) : 0;
	pid_t found = 0;

	for (int i = count - 1; i >= 0; i--) {
		uint64_t pid = 0;
		if (!found && parse_range(entries[i]->d_name, 1, INT32_MAX, &pid) == 0 &&
			is_called(proc, (pid_t)pid, name)) {
			found = (pid_t)pid;
		}
		free(entries[i]);
	}
	free(entries);
	return found;
}

/* The text behind "\nName:\t", or NULL. */
static const char *field(const char *status, const char *name)
{
	char key[40];
	const char *at = NULL;

	(void)snprintf(key, sizeof(key), "\n%s:\t", name);
	at = strstr(status, key);
	return at ? at + strlen(key) : NULL;
}

static void read_status(struct outside *outside)
{
	static const char *const sets[] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"};
	cleanup_free char *status = NULL;
	const char *text = NULL;
	char group[16];

	if (read_proc(outside->pid, "status", 65536, &status, NULL) < 0) {
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		text = field(status, sets[i]);
		outside->caps[i] = text ? strtoull(text, NULL, 16) : 0;
	}
	text = field(status, "NoNewPrivs");
	outside->no_new_privs = text ? *text - '0' : -1;
	text = field(status, "Seccomp");
	outside->seccomp = text ? *text - '0' : -1;
	text = field(status, "Uid");
	outside->uid = text ? (uid_t)strtoul(text, NULL, 10) : 0;
	text = field(status, "Gid");
	outside->gid = text ? (gid_t)strtoul(text, NULL, 10) : 0;
	text = field(status, "Groups");
	(void)snprintf(group, sizeof(group), "%d ", OUTSIDE_GROUP);
	if (text) {
		const char *end = strchr(text, '\n');
		const char *found = strstr(text, group);
		outside->launcher_group = found && end && found < end;
	}
	outside->found = true;
}

static void read_namespaces(pid_t pid, uint64_t ret[OUTSIDE_NAMESPACES])
{
	static const char *const names[] = {"net", "pid", "ipc", "uts", "mnt", "user", "cgroup"};
	static_assert(ARRAY_SIZE(names) == OUTSIDE_NAMESPACES, "one name each");
	char path[64];
	struct stat info;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char text[64] = "";
		char wanted[64];
		(void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, names[i]);
		ret[i] = stat(path, &info) == 0 ? info.st_ino : 0;
		/* gVisor gives each of these files a number of its own, whatever it stands for. */
		(void)snprintf(wanted, sizeof(wanted), "%s:[%" PRIu64 "]", names[i], ret[i]);
		if (readlink(path, text, sizeof(text) - 1) < 0 || strcmp(text, wanted) != 0) {
			ret[i] = 0;
		}
	}
}

static void read_map(struct outside *outside)
{
	cleanup_free char *map = NULL;
	unsigned inside = 0;
	unsigned host = 0;
	unsigned count = 0;

	/* A kernel that shows no user namespace has a map for the whole of it, which says nothing. */
	if (!outside->namespaces[OUTSIDE_USER] ||
		read_proc(outside->pid, "uid_map", 8192, &map, NULL) < 0) {
		return;
	}
	/* In our own its root is ours, whatever that one is further out. */
	outside->maps_host_root =
		outside->namespaces[OUTSIDE_USER] == outside->beside[OUTSIDE_USER];
	for (char *line = map; line && *line;) {
		if (sscanf(line, "%u %u %u", &inside, &host, &count) == 3 && host == 0 && count) {
			outside->maps_host_root = 1;
		}
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
}

static void read_session(struct outside *outside)
{
	cleanup_free char *stat_text = NULL;
	const char *text = NULL;
	int session = 0;

	if (read_proc(outside->pid, "stat", 4096, &stat_text, NULL) < 0) {
		return;
	}
	text = strrchr(stat_text, ')');
	if (text && sscanf(text, ") %*c %*d %*d %d %d", &session, &outside->terminal) == 2) {
		outside->session = session;
	}
}

/* ---- inside its namespaces, by a child ---- */

struct visit {
	int64_t user_namespaces;
	int route;
};

/*
 * How many user namespaces may be made from where we are; 0: none. The number of this namespace
 * alone does not say it, since those above have theirs (bwrap uses one of them up): so we try.
 */
static int64_t read_user_limit(void)
{
	cleanup_free char *text = NULL;

	/* The kernel asks for the number first, and then whether we, who are not mapped there, may. */
	if (unshare(CLONE_NEWUSER) < 0 && errno != EPERM) {
		return errno == ENOSPC ? 0 : -1;
	}
	if (io_read_file(AT_FDCWD, "/proc/sys/user/max_user_namespaces", 64, &text, NULL) < 0) {
		return -1;
	}
	int64_t limit = strtoll(text, NULL, 10);
	return limit > 0 ? limit : 1;
}

/* Asks for a route by connecting a datagram socket, which sends nothing. */
static int ask_route(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(9)};
	cleanup_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(0x01010101);
	if (fd < 0) {
		return -1;
	}
	return connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? errno : 0;
}

/* True when we are in that namespace afterwards. */
static bool enter(pid_t pid, const char *name, int type)
{
	char path[64];
	struct stat theirs;
	struct stat ours;
	cleanup_close int fd = -1;

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	(void)snprintf(path, sizeof(path), "/proc/self/ns/%s", name);
	if (fd < 0 || fstat(fd, &theirs) < 0 || stat(path, &ours) < 0) {
		return false;
	}
	return theirs.st_ino == ours.st_ino || setns(fd, type) == 0;
}

static void visit(struct outside *outside)
{
	struct visit found = {-1, -1};
	int ends[2];
	pid_t child = 0;

	if (pipe2(ends, O_CLOEXEC) < 0) {
		return;
	}
	child = fork();
	if (child == 0) {
		if (enter(outside->pid, "net", CLONE_NEWNET)) {
			found.route = ask_route();
		}
		if (enter(outside->pid, "user", CLONE_NEWUSER)) {
			found.user_namespaces = read_user_limit();
		}
		(void)io_write_all(ends[1], &found, sizeof(found));
		_exit(0);
	}
	(void)close(ends[1]);
	if (child > 0) {
		if (io_read_all(ends[0], &found, sizeof(found)) == 0) {
			outside->user_namespaces = found.user_namespaces;
			outside->route = found.route;
		}
		(void)waitpid(child, NULL, 0);
	}
	(void)close(ends[0]);
}

/* ---- its tree ---- */

static bool is_usual_device(dev_t device)
{
	unsigned number = minor(device);

	switch (major(device)) {
	case 1:
		return number == 3 || number == 5 || number == 7 || number == 8 || number == 9;
	case 5:
		return number == 0 || number == 1 || number == 2;
	default:
		return major(device) >= 136 && major(device) <= 143;
	}
}

static void read_devices(struct outside *outside, int dir_fd, unsigned depth)
{
	DIR *directory = fdopendir(dir_fd);
	struct dirent *entry = NULL;

	if (!directory) {
		(void)close(dir_fd);
		return;
	}
	while ((entry = readdir(directory))) {
		struct stat info;
		if (entry->d_name[0] == '.' ||
			fstatat(dirfd(directory), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) < 0) {
			continue;
		}
		if (S_ISDIR(info.st_mode) && depth > 0) {
			int fd = openat(dirfd(directory), entry->d_name,
				O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			if (fd >= 0) {
				read_devices(outside, fd, depth - 1);
			}
		} else if ((S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode)) &&
			!is_usual_device(info.st_rdev)) {
			size_t used = strlen(outside->device_text);
			outside->devices++;
			(void)snprintf(outside->device_text + used,
				sizeof(outside->device_text) - used, "%s%s", used ? " " : "",
				entry->d_name);
		}
	}
	(void)closedir(directory);
}

static void read_tree(struct outside *outside)
{
	char path[64];
	struct stat theirs;
	struct stat ours;
	int fd = -1;

	(void)snprintf(outside->tree, sizeof(outside->tree), "/proc/%d/root", outside->pid);
	(void)snprintf(path, sizeof(path), "%s/.", outside->tree);
	outside->root_is_ours = stat(path, &theirs) == 0 && stat("/", &ours) == 0 &&
		theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino;
	(void)snprintf(path, sizeof(path), "%s/dev", outside->tree);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		read_devices(outside, fd, 2);
	}
}

/* One line: id parent major:minor root target options [fields] - type source superoptions */
static bool parse_mount(char *line, struct outside_mount *ret)
{
	char options[64];
	const char *dash = strstr(line, " - ");

	if (!dash ||
		sscanf(line, "%*d %*d %u:%u %*s %191s %63s", &ret->major, &ret->minor, ret->target,
			options) != 4 ||
		sscanf(dash, " - %23s", ret->type) != 1) {
		return false;
	}
	ret->writable = strncmp(options, "rw", 2) == 0 && (options[2] == ',' || !options[2]);
	return true;
}

void outside_read_mounts(struct outside *outside)
{
	cleanup_free char *text = NULL;
	size_t room = 0;
	char *rest = NULL;

	if (read_proc(outside->pid, "mountinfo", 1 << 20, &text, NULL) < 0) {
		return;
	}
	for (const char *at = text; *at; at++) {
		room += *at == '\n';
	}
	outside->mounts = calloc(room ? room : 1, sizeof(outside->mounts[0]));
	rest = text;
	for (char *line = NULL; outside->mounts && (line = strsep(&rest, "\n"));) {
		if (outside->mount_count < room &&
			parse_mount(line, &outside->mounts[outside->mount_count])) {
			outside->mount_count++;
		}
	}
}

/* ---- limits ---- */

/* The path of a controller (v1 name, or "" for v2) in the text of /proc/<pid>/cgroup. */
static bool find_group(const char *text, const char *controller, char *path, size_t size)
{
	for (const char *line = text; line && *line;) {
		const char *end = strchr(line, '\n');
		const char *names = strchr(line, ':');
		const char *where = names ? strchr(names + 1, ':') : NULL;
		size_t length = strlen(controller);
		if (!where || !end) {
			return false;
		}
		for (const char *name = names + 1; name < where + 1;) {
			const char *stop = name + strcspn(name, ",:");
			if ((size_t)(stop - name) == length &&
				strncmp(name, controller, length) == 0) {
				return snprintf(path, size, "%.*s", (int)(end - where - 1),
					       where + 1) < (int)size;
			}
			name = stop + 1;
		}
		line = end + 1;
	}
	return false;
}

static bool read_number(const char *path, uint64_t *ret)
{
	cleanup_free char *text = NULL;

	if (io_read_file(AT_FDCWD, path, 128, &text, NULL) < 0 || text[0] < '0' || text[0] > '9') {
		return false;
	}
	*ret = strtoull(text, NULL, 10);
	return true;
}

/* The file of its group, v1 in the controller's own tree, v2 in one of the usual places. */
static bool group_file(const struct outside *outside, const char *controller, const char *v1,
	const char *v2, char *path, size_t size)
{
	char group[384];

	/* The root group belongs to the machine: its numbers say nothing about one process. */
	if (find_group(outside->cgroup, controller, group, sizeof(group))) {
		(void)snprintf(path, size, "/sys/fs/cgroup/%s%s/%s", controller, group, v1);
		return group[1] && access(path, R_OK) == 0;
	}
	if (find_group(outside->cgroup, "", group, sizeof(group))) {
		(void)snprintf(path, size, "/sys/fs/cgroup%s/%s", group, v2);
		return group[1] && access(path, R_OK) == 0;
	}
	return false;
}

static void read_cpu_limit(struct outside *outside)
{
	char path[512];
	uint64_t quota = 0;
	uint64_t period = 100000;
	cleanup_free char *text = NULL;

	if (!group_file(outside, "cpu", "cpu.cfs_quota_us", "cpu.max", path, sizeof(path)) ||
		!read_number(path, &quota)) {
		return;
	}
	if (strstr(path, "cpu.max")) {
		if (io_read_file(AT_FDCWD, path, 128, &text, NULL) < 0 ||
			sscanf(text, "%" SCNu64 " %" SCNu64, &quota, &period) != 2) {
			return;
		}
	} else if (group_file(outside, "cpu", "cpu.cfs_period_us", "cpu.max", path, sizeof(path))) {
		(void)read_number(path, &period);
	}
	outside->cpu_limit = period ? quota * 1000 / period : 0;
}

/* Of a process and its children that have ended; 0 when it is gone. */
static uint64_t process_cpu_usec(pid_t pid)
{
	cleanup_free char *text = NULL;
	const char *at = NULL;
	uint64_t times[4] = {0};

	if (pid <= 0 || read_proc(pid, "stat", 4096, &text, NULL) < 0) {
		return 0;
	}
	at = strrchr(text, ')');
	if (!at ||
		sscanf(at,
			") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64
			" %" SCNu64 " %" SCNu64,
			&times[0], &times[1], &times[2], &times[3]) != 4) {
		return 0;
	}
	return (times[0] + times[1] + times[2] + times[3]) * 1000000 /
		(uint64_t)sysconf(_SC_CLK_TCK);
}

/* Where nobody counts for the group: all who are in it, and what they have waited for. */
static uint64_t members_cpu_usec(const struct outside *outside)
{
	cleanup_free char *text = NULL;
	char path[512];
	uint64_t sum = 0;

	if (!group_file(outside, "cpu", "cgroup.procs", "cgroup.procs", path, sizeof(path)) ||
		io_read_file(AT_FDCWD, path, 1 << 16, &text, NULL) < 0) {
		return 0;
	}
	for (char *at = text; *at; at += *at == '\n') {
		sum += process_cpu_usec((pid_t)strtol(at, &at, 10));
	}
	return sum;
}

static uint64_t group_cpu_usec(const struct outside *outside)
{
	char path[512];
	uint64_t value = 0;
	cleanup_free char *text = NULL;

	if (!group_file(outside, "cpuacct", "cpuacct.usage", "cpu.stat", path, sizeof(path))) {
		return members_cpu_usec(outside);
	}
	if (read_number(path, &value)) {
		return value / 1000;
	}
	return io_read_file(AT_FDCWD, path, 4096, &text, NULL) == 0 &&
			sscanf(text, "usage_usec %" SCNu64, &value) == 1
		? value
		: members_cpu_usec(outside);
}

/* A kernel whose /proc does not say it answers the question. */
static void read_task_limit(struct outside *outside)
{
	struct rlimit limit;

	if (outside->pid > 0 && prlimit(outside->pid, RLIMIT_NPROC, NULL, &limit) == 0 &&
		limit.rlim_max != RLIM_INFINITY) {
		outside->tasks_limit = limit.rlim_max;
	}
}

/* The kernel writes "no limit" of v1 memory as a number near 2^63. */
#define NO_MEMORY_LIMIT (UINT64_C(1) << 62)

static void read_limits(struct outside *outside)
{
	cleanup_free char *text = NULL;
	cleanup_free char *limits = NULL;
	char path[512];
	const char *line = NULL;
	uint64_t value = 0;

	if (read_proc(outside->pid, "cgroup", 16384, &text, NULL) == 0) {
		(void)snprintf(outside->cgroup, sizeof(outside->cgroup), "%s", text);
	}
	if (group_file(
		    outside, "memory", "memory.limit_in_bytes", "memory.max", path, sizeof(path)) &&
		read_number(path, &value) && value < NO_MEMORY_LIMIT) {
		outside->memory_limit = value;
	}
	if (group_file(outside, "pids", "pids.max", "pids.max", path, sizeof(path)) &&
		read_number(path, &value)) {
		outside->tasks_limit = value;
	}
	read_cpu_limit(outside);
	if (outside->tasks_limit) {
		return;
	}
	if (read_proc(outside->pid, "limits", 8192, &limits, NULL) < 0) {
		read_task_limit(outside);
		return;
	}
	line = strstr(limits, "Max processes");
	if (line && sscanf(line, "Max processes %*s %" SCNu64, &value) == 1) {
		outside->tasks_limit = value;
	}
}

uint64_t outside_memory_peak(const struct outside *outside)
{
	char path[512];
	uint64_t value = 0;

	if (group_file(outside, "memory", "memory.max_usage_in_bytes", "memory.peak", path,
		    sizeof(path)) &&
		read_number(path, &value)) {
		return value;
	}
	return 0;
}

uint64_t outside_cpu_usec(const struct outside *outside)
{
	return outside->group ? group_cpu_usec(outside) : process_cpu_usec(outside->pid);
}

/* ---- the filter ---- */

/* Copies the tracee's filters. The order is the kernel's: newest first; it does not matter here. */
static void copy_filters(struct outside *outside)
{
	size_t count = 0;

	for (; count < OUTSIDE_MAX_FILTERS; count++) {
		long length = ptrace(PTRACE_SECCOMP_GET_FILTER, outside->pid, (void *)count, NULL);
		struct sock_filter *program = NULL;
		if (length < 0) {
			/* ENOENT: no more. EINVAL: a task without any filter. */
			outside->dumped = errno == ENOENT || errno == EINVAL;
			break;
		}
		program = calloc((size_t)length, sizeof(*program));
		if (!program ||
			ptrace(PTRACE_SECCOMP_GET_FILTER, outside->pid, (void *)count, program) <
				0) {
			free(program);
			break;
		}
		outside->filters[count].program = program;
		outside->filters[count].count = (size_t)length;
		outside->filter_count = count + 1;
	}
}

static void dump_filters(struct outside *outside)
{
	int status = 0;
	long signal = 0;

	if (outside->seccomp == 0) {
		outside->dumped = true;
		return;
	}
	if (ptrace(PTRACE_SEIZE, outside->pid, NULL, NULL) < 0) {
		return;
	}
	if (ptrace(PTRACE_INTERRUPT, outside->pid, NULL, NULL) == 0 &&
		waitpid(outside->pid, &status, __WALL) == outside->pid && WIFSTOPPED(status)) {
		copy_filters(outside);
		/* A signal that came first is delivered all the same. */
		signal = status >> 16 ? 0 : WSTOPSIG(status);
	}
	(void)ptrace(PTRACE_DETACH, outside->pid, NULL, (void *)signal); // NOLINT
}

/* Of several filters the strictest answer counts; the kernel compares them as signed numbers. */
int outside_allows(const struct outside *outside, uint32_t arch, int number, const uint64_t args[6])
{
	struct seccomp_data data = {.nr = number, .arch = arch};

	if (!outside->found || !outside->dumped) {
		return -1;
	}
	memcpy(data.args, args, sizeof(data.args));
	for (size_t i = 0; i < outside->filter_count; i++) {
		uint32_t action = 0;
		if (filter_evaluate(outside->filters[i].program, outside->filters[i].count, &data,
			    &action) < 0) {
			return -1;
		}
		action &= SECCOMP_RET_ACTION_FULL;
		if (action != SECCOMP_RET_ALLOW && action != SECCOMP_RET_LOG) {
			return 0;
		}
	}
	return 1;
}

void outside_read(pid_t pid, struct outside *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->pid = pid;
	ret->seccomp = ret->route = -1;
	ret->user_namespaces = -1;
	ret->no_new_privs = ret->maps_host_root = ret->root_is_ours = ret->room_known = -1;
	if (pid <= 0) {
		return;
	}
	read_status(ret);
	read_namespaces(pid, ret->namespaces);
	read_namespaces(getpid(), ret->beside);
	read_map(ret);
	read_session(ret);
	read_tree(ret);
	outside_read_mounts(ret);
	read_limits(ret);
	visit(ret);
	dump_filters(ret);
}

void outside_read_group(pid_t pid, struct outside *ret)
{
	struct outside group = {.pid = pid};

	read_limits(&group);
	memcpy(ret->cgroup, group.cgroup, sizeof(ret->cgroup));
	ret->memory_limit = group.memory_limit;
	ret->tasks_limit = group.tasks_limit;
	ret->cpu_limit = group.cpu_limit;
	ret->group = group.cgroup[0] != '\0';
}

void outside_fini(struct outside *outside)
{
	for (size_t i = 0; i < outside->filter_count; i++) {
		free(outside->filters[i].program);
	}
	outside->filter_count = 0;
	free(outside->mounts);
	outside->mounts = NULL;
	outside->mount_count = 0;
}

bool outside_environment_has(pid_t pid, const char *text, bool *ret_known)
{
	cleanup_free char *environment = NULL;
	size_t size = 0;

	*ret_known = pid > 0 && read_proc(pid, "environ", 1 << 20, &environment, &size) == 0;
	return *ret_known && memmem(environment, size, text, strlen(text));
}

static bool is_object(const struct proc_fd *fd, void *context)
{
	const struct stat *ours = context;
	struct stat theirs;

	return fstatat(fd->dir, fd->name, &theirs, 0) == 0 && theirs.st_dev == ours->st_dev &&
		theirs.st_ino == ours->st_ino;
}

bool outside_holds(pid_t pid, int fd, bool *ret_known)
{
	struct stat ours;
	int r = pid > 0 && fd >= 0 && fstat(fd, &ours) == 0 ? proc_find_fd(pid, is_object, &ours)
							    : -ESRCH;

	*ret_known = r >= 0;
	return r > 0;
}

bool outside_same_object(pid_t pid, const char *path, bool *ret_known)
{
	char inside[512];
	struct stat theirs;
	struct stat ours;

	(void)snprintf(inside, sizeof(inside), "/proc/%d/root%s", pid, path);
	*ret_known = pid > 0 && lstat(path, &ours) == 0 && access("/proc/self", F_OK) == 0;
	return *ret_known && lstat(inside, &theirs) == 0 && theirs.st_dev == ours.st_dev &&
		theirs.st_ino == ours.st_ino;
}
