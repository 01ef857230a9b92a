/*
 * What has changed at the host, and whose doing that is. What is read of the host is in
 * snapshot-take.c.
 */
#include "testkit/snapshot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/strv.h"

#define PATIENCE_USEC 2000000 /* for what is on its way out */
#define STEP_USEC 20000
#define CLOCK_STEP_MSEC                                                                            \
	2000 /* more than any daemon adjusts a clock by in the time of a measurement */

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

/*
 * Content that is another while inode and time of writing are the same: no package manager does that.
 * other: what there was before, or is now.
 */
static bool is_changed_in_place(const struct snapshot *other, const char *line)
{
	const char *end = starts_with(line, "content: ") ? strstr(line, " is ") : NULL;

	STRV_FOREACH (at, end ? other->lines : NULL) {
		if (strncmp(*at, line, (size_t)(end - line) + 4) == 0) {
			return true;
		}
	}
	return false;
}

/* Names in shared places and of sockets come and go all the time. */
static bool is_fleeting(const char *line)
{
	return starts_with(line, "file: ") || starts_with(line, "socket: ");
}

/* other: the snapshot that does not have the line. */
static int note(const struct ground *ground, const struct snapshot *other, const char *line,
	const char *what, struct snapshot_changes *ret)
{
	bool ours = starts_with(line, "setting: ") || names_us(ground, line) ||
		is_our_ipc(ground, line) || is_changed_in_place(other, line);

	if (is_our_own(ground, line) || (!ours && is_fleeting(line))) {
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
			r = note(ground, after, *one, "(is gone)", ret);
		} else if (order > 0) {
			r = note(ground, before, *other, "(is new)", ret);
		}
		one += order <= 0;
		other += order >= 0;
	}
	return r;
}

static int compare_clocks(
	const struct snapshot *before, const struct snapshot *after, struct snapshot_changes *ret)
{
	int64_t moved = after->clock_msec - before->clock_msec;

	return moved > CLOCK_STEP_MSEC || moved < -CLOCK_STEP_MSEC
		? strv_appendf(&ret->left, "setting: the clock was moved by %" PRId64 " ms", moved)
		: 0;
}

static int compare_now(const struct snapshot *before, const struct ground *ground, bool quick,
	struct snapshot_changes *ret)
{
	struct snapshot after = {0};
	int r = snapshot_take(&after, quick);

	ret->left = ret->meanwhile = NULL;
	r = r < 0 ? r : compare(before, &after, ground, ret);
	r = r < 0 ? r : compare_clocks(before, &after, ret);
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
	if (r == 0 && !quick) {
		uint64_t record = before->log_record;
		r = snapshot_read_log(&record, &ret->meanwhile);
	}
	if (r < 0) {
		forget(ret);
	}
	return r;
}
