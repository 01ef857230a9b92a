#include "testkit/snapshot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/strv.h"

#define PATIENCE_USEC 2000000 /* for what is on its way out */
#define STEP_USEC 20000
#define MAX_DEPTH 6

/* ---- what is read, a table of kinds ---- */

/* Fields from..to of a line, from 0; a hyphen ends the first ones of mountinfo. */
static int take_mounts(char ***lines)
{
	cleanup_free char *table = NULL;
	char root[256];
	char target[256];
	int r = 0;

	if (io_read_file(AT_FDCWD, "/proc/self/mountinfo", 4 << 20, &table, NULL) < 0) {
		return 0;
	}
	for (char *rest = table, *line = NULL; r == 0 && (line = strsep(&rest, "\n"));) {
		if (sscanf(line, "%*d %*d %*s %255s %255s", root, target) == 2) {
			r = strv_appendf(lines, "mount: %s (of %s)", target, root);
		}
	}
	return r;
}

static int take_links(char ***lines)
{
	struct if_nameindex *list = if_nameindex();
	int r = 0;

	for (struct if_nameindex *at = list; r == 0 && at && at->if_index; at++) {
		r = strv_appendf(lines, "link: %s", at->if_name);
	}
	if (list) {
		if_freenameindex(list);
	}
	return r;
}

static int take_names(char ***lines)
{
	struct utsname names;

	if (uname(&names) < 0) {
		return 0;
	}
	int r = strv_appendf(lines, "setting: host name %s", names.nodename);
	return r < 0 ? r : strv_appendf(lines, "setting: domain name %s", names.domainname);
}

/* The columns that say which object it is: kind, key and id. */
static int take_sysv(char ***lines)
{
	static const char *const kinds[] = {"shm", "msg", "sem"};
	char path[48];
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(kinds); i++) {
		cleanup_free char *table = NULL;
		int key = 0;
		int id = 0;
		(void)snprintf(path, sizeof(path), "/proc/sysvipc/%s", kinds[i]);
		if (io_read_file(AT_FDCWD, path, 1 << 20, &table, NULL) < 0) {
			continue;
		}
		for (char *rest = table, *line = NULL; r == 0 && (line = strsep(&rest, "\n"));) {
			if (sscanf(line, "%d %d", &key, &id) == 2) {
				r = strv_appendf(lines, "ipc: %s key %d id %d", kinds[i], key, id);
			}
		}
	}
	return r;
}

/* By its description, which comes last: type and name. */
static int take_keys(char ***lines)
{
	cleanup_free char *table = NULL;
	int at = 0;
	int r = 0;

	if (io_read_file(AT_FDCWD, "/proc/keys", 1 << 20, &table, NULL) < 0) {
		return 0;
	}
	for (char *rest = table, *line = NULL; r == 0 && (line = strsep(&rest, "\n"));) {
		at = 0;
		(void)sscanf(line, "%*s %*s %*s %*s %*s %*s %*s %n", &at);
		if (at > 0) {
			line[strcspn(line + at, ":") + (size_t)at] = '\0';
			r = strv_appendf(lines, "key: %s", line + at);
		}
	}
	return r;
}

static int take_shared_places(char ***lines)
{
	static const char *const places[] = {"/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run"};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		DIR *directory = opendir(places[i]);
		struct dirent *entry = NULL;
		while (r == 0 && directory && (entry = readdir(directory))) {
			r = strv_appendf(lines, "file: %s/%s", places[i], entry->d_name);
		}
		if (directory) {
			(void)closedir(directory);
		}
	}
	return r;
}

/* Directories below path, this many levels deep. */
static int take_directories(char ***lines, const char *path, unsigned levels)
{
	DIR *directory = opendir(path);
	struct dirent *entry = NULL;
	char sub[320];
	int r = 0;

	while (r == 0 && directory && (entry = readdir(directory))) {
		int length = snprintf(sub, sizeof(sub), "%s/%s", path, entry->d_name);
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.' ||
			length >= (int)sizeof(sub)) {
			continue;
		}
		r = strv_appendf(lines, "control group: %s", sub);
		if (r == 0 && levels > 1) {
			r = take_directories(lines, sub, levels - 1);
		}
	}
	if (directory) {
		(void)closedir(directory);
	}
	return r;
}

static int take_groups(char ***lines)
{
	return take_directories(lines, "/sys/fs/cgroup", 4);
}

/* Values that change by themselves, by the end of their path. */
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
static int take_setting(char ***lines, const char *path)
{
	char value[256];
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t n = fd >= 0 ? read(fd, value, sizeof(value) - 1) : -1;

	if (n <= 0) {
		return 0;
	}
	value[n] = '\0';
	value[strcspn(value, "\n")] = '\0';
	return strv_appendf(lines, "setting: %s is %s", path, value);
}

static int take_settings_below(char ***lines, const char *path, unsigned depth)
{
	DIR *directory = opendir(path);
	struct dirent *entry = NULL;
	char sub[320];
	int r = 0;

	while (r == 0 && directory && (entry = readdir(directory))) {
		int length = snprintf(sub, sizeof(sub), "%s/%s", path, entry->d_name);
		if (entry->d_name[0] == '.' || length >= (int)sizeof(sub) || is_restless(sub)) {
			continue;
		}
		if (entry->d_type == DT_REG) {
			r = take_setting(lines, sub);
		} else if (entry->d_type == DT_DIR && depth < MAX_DEPTH) {
			r = take_settings_below(lines, sub, depth + 1);
		}
	}
	if (directory) {
		(void)closedir(directory);
	}
	return r;
}

static int take_settings(char ***lines)
{
	return take_settings_below(lines, "/proc/sys", 0);
}

static const struct {
	int (*take)(char ***lines);
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
};

int snapshot_take(struct snapshot *snapshot, bool quick)
{
	int r = 0;

	snapshot->lines = NULL;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(kinds); i++) {
		r = quick && kinds[i].slow ? 0 : kinds[i].take(&snapshot->lines);
	}
	if (r == 0 && snapshot->lines) {
		strv_sort(snapshot->lines);
	}
	return r;
}

void snapshot_fini(struct snapshot *snapshot)
{
	snapshot->lines = strv_free(snapshot->lines);
}

/* ---- what bears our marks ---- */

/* The last part of a directory's path: nobody else's is called like that. */
static bool names_us(const struct ground *ground, const char *text)
{
	const char *const own[] = {ground->root, ground->tmp};

	for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
		const char *slash = strrchr(own[i], '/');
		if (slash && strstr(text, slash + 1)) {
			return true;
		}
	}
	STRV_FOREACH (name, ground->names) {
		if (strstr(text, *name)) {
			return true;
		}
	}
	return ground->key_name[0] && strstr(text, ground->key_name);
}

static bool is_our_own(const struct ground *ground, const char *line)
{
	char own[128];
	const char *const made[] = {ground->root, ground->tmp};

	for (size_t i = 0; i < ARRAY_SIZE(made); i++) {
		(void)snprintf(own, sizeof(own), "file: %s", made[i]);
		if (strcmp(line, own) == 0) {
			return true;
		}
	}
	(void)snprintf(own, sizeof(own), "key: %s", ground->key_name);
	return ground->key_name[0] && strcmp(line, own) == 0;
}

static bool file_names_us(const struct ground *ground, const char *pid, const char *file)
{
	cleanup_free char *text = NULL;
	char token[CANARY_TOKEN];
	char path[64];
	size_t size = 0;

	(void)snprintf(path, sizeof(path), "/proc/%.20s/%s", pid, file);
	if (io_read_file(AT_FDCWD, path, 1 << 20, &text, &size) < 0) {
		return false;
	}
	for (size_t i = 0; i < size; i++) {
		text[i] = text[i] ? text[i] : '\n';
	}
	return strstr(text, ground_token(ground, 0, "env", token)) || names_us(ground, text);
}

static bool link_names_us(const struct ground *ground, const char *pid, const char *link)
{
	char path[64];
	char text[256];

	(void)snprintf(path, sizeof(path), "/proc/%.20s/%s", pid, link);
	ssize_t n = readlink(path, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	return names_us(ground, text);
}

/* Not ourselves, nor the one that waits for us. */
static bool is_process_of_ours(const struct ground *ground, const char *name)
{
	pid_t pid = atoi(name);

	return pid > 0 && pid != getpid() && pid != getppid() &&
		(link_names_us(ground, name, "exe") || link_names_us(ground, name, "cwd") ||
			file_names_us(ground, name, "environ"));
}

static int find_processes(const struct ground *ground, char ***left)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry = NULL;
	int r = 0;

	while (r == 0 && proc && (entry = readdir(proc))) {
		if (is_process_of_ours(ground, entry->d_name)) {
			cleanup_free char *name = NULL;
			char path[64];
			(void)snprintf(path, sizeof(path), "/proc/%.20s/comm", entry->d_name);
			(void)io_read_file(AT_FDCWD, path, 64, &name, NULL);
			r = strv_appendf(left, "process: %.20s %.*s", entry->d_name,
				name ? (int)strcspn(name, "\n") : 0, name ? name : "");
		}
	}
	if (proc) {
		(void)closedir(proc);
	}
	return r;
}

/* ---- the comparison ---- */

static bool starts_with(const char *text, const char *start)
{
	return strncmp(text, start, strlen(start)) == 0;
}

/* A System V object whose key was ours, or -1, which only a call with invalid arguments makes. */
static bool is_our_ipc(const struct ground *ground, const char *line)
{
	int key = 0;
	bool ours = false;

	if (sscanf(line, "ipc: %*s key %d", &key) != 1 || key == 0) {
		return false;
	}
	for (size_t i = 0; i < ground->key_count; i++) {
		ours |= ground->keys[i] == key;
	}
	return ours || key == -1;
}

static int note(const struct ground *ground, const char *line, const char *what,
	struct snapshot_changes *ret)
{
	bool ours = starts_with(line, "setting: ") || names_us(ground, line) ||
		is_our_ipc(ground, line);

	/* Names in shared places come and go all the time. */
	if (is_our_own(ground, line) || (!ours && starts_with(line, "file: "))) {
		return 0;
	}
	return strv_appendf(ours ? &ret->left : &ret->meanwhile, "%s %s", line, what);
}

/* Both are sorted. What only one of them has is a change. */
static int compare(const struct snapshot *before, const struct snapshot *after,
	const struct ground *ground, struct snapshot_changes *ret)
{
	char **one = before->lines;
	char **other = after->lines;
	int r = 0;

	while (r == 0 && ((one && *one) || (other && *other))) {
		int order = !one || !*one ? 1 : !other || !*other ? -1 : strcmp(*one, *other);
		if (order < 0) {
			r = note(ground, *one, "(is gone)", ret);
		} else if (order > 0) {
			r = note(ground, *other, "(is new)", ret);
		}
		one += order <= 0;
		other += order >= 0;
	}
	return r;
}

static int compare_now(const struct snapshot *before, const struct ground *ground, bool quick,
	struct snapshot_changes *ret)
{
	struct snapshot after = {0};
	int r = snapshot_take(&after, quick);

	ret->left = ret->meanwhile = NULL;
	r = r < 0 ? r : compare(before, &after, ground, ret);
	r = r < 0 ? r : find_processes(ground, &ret->left);
	snapshot_fini(&after);
	return r;
}

static void forget(struct snapshot_changes *changes)
{
	changes->left = strv_free(changes->left);
	changes->meanwhile = strv_free(changes->meanwhile);
}

int snapshot_compare(const struct snapshot *before, const struct ground *ground, bool quick,
	struct snapshot_changes *ret)
{
	uint64_t until = io_now_usec() + PATIENCE_USEC;
	int r = compare_now(before, ground, quick, ret);

	while (r == 0 && strv_length(ret->left) > 0 && io_now_usec() < until) {
		(void)usleep(STEP_USEC);
		forget(ret);
		r = compare_now(before, ground, quick, ret);
	}
	if (r < 0) {
		forget(ret);
	}
	return r;
}
