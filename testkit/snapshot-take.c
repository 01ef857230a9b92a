/*
 * What the host is like, a table of kinds. Each kind turns something of the host into lines that stay
 * the same as long as nobody changes it.
 */
#include "testkit/snapshot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/strv.h"

#define MAX_DEPTH 7
#define MAX_OBJECTS 4096 /* of a kind of BPF */
#define MAX_CONTENT (16U << 20)
#define MAX_COMPLAINTS 8

/* A list that ends with NULL and knows its length: there are thousands, and each is counted once. */
struct lines {
	char **list;
	size_t count, room;
};

static int lines_add(struct lines *lines, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static int lines_add(struct lines *lines, const char *format, ...)
{
	va_list args;

	if (lines->count + 2 > lines->room) {
		size_t room = lines->room ? 2 * lines->room : 256;
		char **grown = reallocarray(lines->list, room, sizeof(grown[0]));
		if (!grown) {
			return -ENOMEM;
		}
		lines->list = grown;
		lines->room = room;
	}
	va_start(args, format);
	int length = vasprintf(&lines->list[lines->count], format, args);
	va_end(args);
	lines->count += length >= 0;
	lines->list[lines->count] = NULL;
	return length < 0 ? -ENOMEM : 0;
}

/* ---- trees ---- */

/* How a tree is walked: each entry that is not skipped is taken, and directories are entered. */
struct walk {
	int (*take)(struct lines *lines, const char *path, unsigned char type);
	bool (*skip)(const char *path); /* or NULL */
	unsigned levels;
};

static int walk(const struct walk *how, struct lines *lines, const char *path, unsigned levels)
{
	DIR *directory = opendir(path);
	struct dirent *entry = NULL;
	char sub[320];
	int r = 0;

	while (r == 0 && directory && (entry = readdir(directory))) {
		bool dots = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
		int length = snprintf(sub, sizeof(sub), "%s/%s", path, entry->d_name);
		if (dots || length >= (int)sizeof(sub) || (how->skip && how->skip(sub))) {
			continue;
		}
		r = how->take(lines, sub, entry->d_type);
		if (r == 0 && entry->d_type == DT_DIR && levels > 1) {
			r = walk(how, lines, sub, levels - 1);
		}
	}
	if (directory) {
		(void)closedir(directory);
	}
	return r;
}

static int take_name(struct lines *lines, const char *path, unsigned char type)
{
	(void)type;
	return lines_add(lines, "file: %s", path);
}

static int take_shared_places(struct lines *lines)
{
	const char *const places[] = {
		"/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run", getenv("HOME")};
	static const struct walk names = {take_name, NULL, 1};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(places) && places[i]; i++) {
		r = walk(&names, lines, places[i], names.levels);
	}
	return r;
}

static int take_group(struct lines *lines, const char *path, unsigned char type)
{
	return type == DT_DIR ? lines_add(lines, "control group: %s", path) : 0;
}

static int take_groups(struct lines *lines)
{
	static const struct walk groups = {take_group, NULL, 4};

	return walk(&groups, lines, "/sys/fs/cgroup", groups.levels);
}

/* Values that change by themselves, by a part of their path. */
static bool is_restless(const char *path)
{
	static const char *const patterns[] = {"/kernel/random/", "/kernel/ns_last_pid",
		"/kernel/pty/nr", "/kernel/perf_", "/kernel/hung_task_detect_count",
		"/kernel/tainted", "/fs/dentry-state", "/fs/file-nr", "/fs/inode-", "/fs/aio-nr",
		"/fs/quota/", "/fs/binfmt_misc", "/vm/stat_refresh", "/vm/drop_caches",
		"/vm/compact_memory", "/net/", "_next_id", "/kernel/sched_domain", "/debug/"};

	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++) {
		if (strstr(path, patterns[i])) {
			return true;
		}
	}
	return false;
}

/* A setting by its whole value: files of /proc/sys are read in one go. */
static int take_setting(struct lines *lines, const char *path, unsigned char type)
{
	char value[256];
	cleanup_close int fd = type == DT_REG ? open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY) : -1;
	ssize_t n = fd >= 0 ? read(fd, value, sizeof(value) - 1) : -1;

	if (n <= 0) {
		return 0;
	}
	value[n] = '\0';
	value[strcspn(value, "\n")] = '\0';
	return lines_add(lines, "setting: %s is %s", path, value);
}

static int take_settings(struct lines *lines)
{
	static const struct walk settings = {take_setting, is_restless, MAX_DEPTH};

	return walk(&settings, lines, "/proc/sys", settings.levels);
}

/* Only where it is mounted: to look at it where it is not makes systemd mount it. */
static int take_formats(struct lines *lines)
{
	static const struct walk names = {take_name, NULL, 1};
	cleanup_free char *table = NULL;

	if (io_read_file(AT_FDCWD, "/proc/self/mountinfo", 4 << 20, &table, NULL) < 0 ||
		!strstr(table, " - binfmt_misc ")) {
		return 0;
	}
	return walk(&names, lines, "/proc/sys/fs/binfmt_misc", names.levels);
}

/* ---- tables, a line each ---- */

static int take_table(struct lines *lines, const char *path,
	int (*take)(struct lines *lines, const char *kind, char *line), const char *kind)
{
	cleanup_free char *table = NULL;
	int r = 0;

	if (io_read_file(AT_FDCWD, path, 4 << 20, &table, NULL) < 0) {
		return 0;
	}
	for (char *rest = table, *line = NULL; r == 0 && (line = strsep(&rest, "\n"));) {
		r = take(lines, kind, line);
	}
	return r;
}

static int take_mount(struct lines *lines, const char *kind, char *line)
{
	char root[256];
	char target[256];

	return sscanf(line, "%*d %*d %*s %255s %255s", root, target) == 2
		? lines_add(lines, "%s: %s (of %s)", kind, target, root)
		: 0;
}

static int take_mounts(struct lines *lines)
{
	return take_table(lines, "/proc/self/mountinfo", take_mount, "mount");
}

/* The columns that say which object it is: key and id. */
static int take_object(struct lines *lines, const char *kind, char *line)
{
	int key = 0;
	int id = 0;

	return sscanf(line, "%d %d", &key, &id) == 2
		? lines_add(lines, "ipc: %s key %d id %d", kind, key, id)
		: 0;
}

static int take_sysv(struct lines *lines)
{
	int r = take_table(lines, "/proc/sysvipc/shm", take_object, "shm");

	r = r < 0 ? r : take_table(lines, "/proc/sysvipc/msg", take_object, "msg");
	return r < 0 ? r : take_table(lines, "/proc/sysvipc/sem", take_object, "sem");
}

/* By its description, which comes last: type and name. */
static int take_key(struct lines *lines, const char *kind, char *line)
{
	int at = 0;

	(void)sscanf(line, "%*s %*s %*s %*s %*s %*s %*s %n", &at);
	if (at == 0) {
		return 0;
	}
	line[strcspn(line + at, ":") + (size_t)at] = '\0';
	return lines_add(lines, "%s: %s", kind, line + at);
}

static int take_keys(struct lines *lines)
{
	return take_table(lines, "/proc/keys", take_key, "key");
}

/* Without the counters: where to, through what. */
static int take_route(struct lines *lines, const char *kind, char *line)
{
	char link[32];
	char to[40];
	char by[40];
	char mask[40];
	bool is_table = strcmp(kind, "route") == 0
		? sscanf(line, "%31s %8[0-9A-F] %8[0-9A-F] %*s %*s %*s %*s %8[0-9A-F]", link, to,
			  by, mask) == 4
		: sscanf(line, "%32[0-9a-f] %2[0-9a-f] %*s %*s %32[0-9a-f] %*s %*s %*s %*s %31s",
			  to, mask, by, link) == 4;

	return is_table ? lines_add(lines, "%s: %s to %s/%s by %s", kind, link, to, mask, by) : 0;
}

static int take_routes(struct lines *lines)
{
	int r = take_table(lines, "/proc/net/route", take_route, "route");

	return r < 0 ? r : take_table(lines, "/proc/net/ipv6_route", take_route, "route (IPv6)");
}

/* Sockets that have a name. */
static int take_socket(struct lines *lines, const char *kind, char *line)
{
	int at = 0;

	(void)sscanf(line, "%*s %*s %*s %*s %*s %*s %*s %n", &at);
	return at > 0 && (line[at] == '/' || line[at] == '@')
		? lines_add(lines, "%s: %s", kind, line + at)
		: 0;
}

static int take_sockets(struct lines *lines)
{
	return take_table(lines, "/proc/net/unix", take_socket, "socket");
}

static int take_module(struct lines *lines, const char *kind, char *line)
{
	line[strcspn(line, " ")] = '\0';
	return *line ? lines_add(lines, "%s: %s", kind, line) : 0;
}

static int take_modules(struct lines *lines)
{
	return take_table(lines, "/proc/modules", take_module, "module");
}

/* ---- what system calls tell ---- */

static int take_links(struct lines *lines)
{
	struct if_nameindex *list = if_nameindex();
	int r = 0;

	for (struct if_nameindex *at = list; r == 0 && at && at->if_index; at++) {
		r = lines_add(lines, "link: %s", at->if_name);
	}
	if (list) {
		if_freenameindex(list);
	}
	return r;
}

static int take_names(struct lines *lines)
{
	struct utsname names;

	if (uname(&names) < 0) {
		return 0;
	}
	int r = lines_add(lines, "setting: host name %s", names.nodename);
	return r < 0 ? r : lines_add(lines, "setting: domain name %s", names.domainname);
}

/* Programs, maps and links of BPF by their numbers, which are never given twice. Takes root. */
static int take_bpf(struct lines *lines)
{
	static const struct {
		int command;
		const char *kind;
	} kinds[] = {{BPF_PROG_GET_NEXT_ID, "program"}, {BPF_MAP_GET_NEXT_ID, "map"},
		{BPF_LINK_GET_NEXT_ID, "link"}};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		union bpf_attr next = {.start_id = 0};
		for (unsigned count = 0; r == 0 && count < MAX_OBJECTS &&
			syscall(SYS_bpf, kinds[i].command, &next, sizeof(next)) == 0;
			count++) {
			r = lines_add(lines, "bpf: %s %u", kinds[i].kind, next.next_id);
			next.start_id = next.next_id;
		}
	}
	return r;
}

/*
 * What every session runs from and none may change. With the inode and the time of the last write:
 * content that changed without them was changed in the page cache, behind the file's back.
 */
static int take_content(struct lines *lines)
{
	static const char *const paths[] = {"/bin/sh", "/usr/bin/env", "/etc/passwd", "/etc/group",
		"/etc/ld.so.cache", "/etc/ld.so.preload", "/lib64/ld-linux-x86-64.so.2",
		"/lib/x86_64-linux-gnu/libc.so.6", "/lib/ld-linux-aarch64.so.1",
		"/lib/aarch64-linux-gnu/libc.so.6"};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(paths); i++) {
		cleanup_close int fd = open(paths[i], O_RDONLY | O_CLOEXEC | O_NOCTTY);
		cleanup_free char *data = NULL;
		uint8_t hash[crypto_generichash_BYTES_MIN];
		char hex[2 * sizeof(hash) + 1];
		size_t size = 0;
		struct stat info;
		if (fd < 0 || fstat(fd, &info) < 0 || !S_ISREG(info.st_mode) ||
			io_read_fd(fd, MAX_CONTENT, &data, &size) < 0) {
			continue;
		}
		(void)crypto_generichash(hash, sizeof(hash), (const uint8_t *)data, size, NULL, 0);
		r = lines_add(lines, "content: %s inode %llu of %lld.%09ld is %s", paths[i],
			(unsigned long long)info.st_ino, (long long)info.st_mtim.tv_sec,
			info.st_mtim.tv_nsec, io_hex(hash, sizeof(hash), hex));
	}
	return r;
}

/* Wall clock less time since boot: it moves only when the clock is moved. */
static int64_t clock_offset(void)
{
	struct timespec wall = {0};
	struct timespec boot = {0};

	(void)clock_gettime(CLOCK_REALTIME, &wall);
	(void)clock_gettime(CLOCK_BOOTTIME, &boot);
	return (int64_t)(wall.tv_sec - boot.tv_sec) * 1000 +
		(wall.tv_nsec - boot.tv_nsec) / 1000000;
}

static const struct {
	int (*take)(struct lines *lines);
	bool slow;
} kinds[] = {
	{take_mounts, false},
	{take_links, false},
	{take_names, false},
	{take_sysv, false},
	{take_keys, false},
	{take_shared_places, false},
	{take_groups, true},
	{take_settings, true},
	{take_formats, true},
	{take_routes, true},
	{take_sockets, true},
	{take_modules, true},
	{take_bpf, true},
	{take_content, true},
};

int snapshot_take(struct snapshot *snapshot, bool quick)
{
	struct lines lines = {0};
	int r = 0;

	snapshot->clock_msec = clock_offset();
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(kinds); i++) {
		r = quick && kinds[i].slow ? 0 : kinds[i].take(&lines);
	}
	snapshot->lines = lines.list;
	if (r == 0) {
		strv_sort(snapshot->lines);
	}
	snapshot->log_record = 0;
	return r < 0 || quick ? r : snapshot_read_log(&snapshot->log_record, NULL);
}

void snapshot_fini(struct snapshot *snapshot)
{
	snapshot->lines = strv_free(snapshot->lines);
}

/* ---- the kernel's own log ---- */

/* Words of a kernel that is not well. What programs write there themselves does not count. */
static bool is_complaint(const char *record)
{
	static const char *const words[] = {"BUG: ", "WARNING: ", "Oops", "general protection",
		"lockup", "blocked for more than", "refcount_t: ", "UBSAN: ", "KASAN: "};
	unsigned priority = 0;

	if (sscanf(record, "%u,", &priority) != 1 || priority >> 3 != 0) {
		return false;
	}
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strstr(record, words[i])) {
			return true;
		}
	}
	return false;
}

int snapshot_read_log(uint64_t *sequence, char ***ret)
{
	cleanup_close int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	const uint64_t since = *sequence;
	char record[8192];
	unsigned complaints = 0;
	ssize_t n = 0;
	int r = 0;

	/* A record that was overwritten while we read is one that is skipped (EPIPE). */
	while (r == 0 && fd >= 0 &&
		((n = read(fd, record, sizeof(record) - 1)) > 0 || (n < 0 && errno == EPIPE))) {
		unsigned long long number = 0;
		char *text = NULL;
		if (n < 0) {
			continue;
		}
		record[n] = '\0';
		record[strcspn(record, "\n")] = '\0';
		text = strchr(record, ';');
		if (sscanf(record, "%*u,%llu,", &number) != 1 || !text || number < since) {
			continue;
		}
		*sequence = number + 1;
		if (ret && is_complaint(record) && complaints++ < MAX_COMPLAINTS) {
			r = strv_appendf(ret, "kernel log: %.200s", text + 1);
		}
	}
	return r;
}
