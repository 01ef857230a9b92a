/*
 * Limits: what is in force, and how far the client came against it.
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "testkit/look.h"

#define MIB (UINT64_C(1) << 20)

static void limit_state(struct look *look, const char *arg)
{
	const struct outside *theirs = &look->context->run->outside;
	const struct limits *limits = look->context->limits;
	const struct {
		char name;
		uint64_t declared, found, slack;
	} table[] = {
		{'m', limits->memory, theirs->memory_limit, 4096},
		{'t', limits->tasks, theirs->tasks_limit,
			16}, /* init and the like are counted too */
		{'c', limits->cpu_milli, theirs->cpu_limit, 10},
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (table[i].name != arg[0]) {
			continue;
		}
		look_conclude(look,
			table[i].found == 0 ||
				(table[i].declared &&
					table[i].found > table[i].declared + table[i].slack),
			LEVEL_STATE);
		look_detail(look, "declared %" PRIu64 ", in force %" PRIu64 "%s", table[i].declared,
			table[i].found, table[i].found ? "" : " (none)");
	}
}

/* May a process with these ids and no kernel capability write to it, by its mode? */
static bool may_write(const struct outside *theirs, const struct stat *info)
{
	return (info->st_uid == theirs->uid && (info->st_mode & S_IWUSR)) ||
		(info->st_gid == theirs->gid && (info->st_mode & S_IWGRP)) ||
		(info->st_mode & S_IWOTH);
}

#define FILL_MAX_ENTRIES 4096
#define FILL_MAX_DEPTH 8

/* Is there a directory or file in this file system that may be written to? Unknown counts as yes. */
static bool may_fill(const struct outside *theirs, int parent, const char *name, dev_t device,
	unsigned depth, unsigned *entries)
{
	struct stat info;
	struct dirent *entry = NULL;
	bool found = false;
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);

	if (!list || depth > FILL_MAX_DEPTH || fstat(fd, &info) < 0) {
		found = true;
	} else if (info.st_dev == device) {
		found = may_write(theirs, &info);
		while (!found && (entry = readdir(list))) {
			if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
				continue;
			}
			found = ++*entries > FILL_MAX_ENTRIES ||
				fstatat(fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) < 0 ||
				(S_ISREG(info.st_mode) && may_write(theirs, &info)) ||
				(S_ISDIR(info.st_mode) &&
					may_fill(theirs, fd, entry->d_name, device, depth + 1,
						entries));
		}
	}
	if (list) {
		(void)closedir(list);
	} else if (fd >= 0) {
		(void)close(fd);
	}
	return found;
}

/* A tmpfs of root's own, with nothing in it that the session may write to, has no room for it. */
static bool has_room(
	const struct outside *theirs, const struct outside_mount *mount, const char *path)
{
	const dev_t device = makedev(mount->major, mount->minor);
	unsigned entries = 0;

	return theirs->uid == 0 || theirs->caps[2] != 0 || strcmp(mount->type, "tmpfs") != 0 ||
		may_fill(theirs, AT_FDCWD, path, device, 0, &entries);
}

/* Do both lie in file systems of one size with as many files? The upper layer says so for an overlay. */
static bool is_same_room(const struct statvfs *one, const char *path)
{
	struct statvfs other;

	return statvfs(path, &other) == 0 && other.f_blocks == one->f_blocks &&
		other.f_frsize == one->f_frsize && other.f_files == one->f_files;
}

/* An overlay whose upper layer lies on a disk of the host's is bounded by nothing but that. */
static bool is_on_disk(const struct outside *ours, const struct outside *theirs,
	const struct outside_mount *overlay)
{
	char path[256];
	struct statvfs room;

	(void)snprintf(path, sizeof(path), "/proc/%d/root%s", theirs->pid, overlay->target);
	if (statvfs(path, &room) < 0) {
		return false;
	}
	for (size_t i = 0; i < ours->mount_count; i++) {
		const struct outside_mount *mount = &ours->mounts[i];
		if (look_keeps_files(mount->type) && strcmp(mount->type, "tmpfs") != 0 &&
			strcmp(mount->type, "overlay") != 0 && is_same_room(&room, mount->target)) {
			return true;
		}
	}
	return false;
}

/*
 * The room of every writable place that is not bound to something of a fixed size. The scope that we
 * added is no place of the profile's: one with scopes of its own does not declare a bound.
 */
static bool measure_room(
	const struct evidence_context *context, uint64_t *ret_room, char *where, size_t size)
{
	const struct outside *theirs = &context->run->outside;
	uint64_t room = 0;
	char scope[96];

	(void)snprintf(scope, sizeof(scope), "%s/scope", context->ground->root);

	for (size_t i = 0; i < theirs->mount_count; i++) {
		const struct outside_mount *mount = &theirs->mounts[i];
		char path[256];
		struct statvfs space;
		bool counted = false;
		if (mount->writable && strcmp(mount->type, "overlay") == 0 &&
			is_on_disk(context->own, theirs, mount)) {
			(void)snprintf(where, size,
				"%.80s is a writable overlay on the host's disk", mount->target);
			return false;
		}
		if (!mount->writable || !look_keeps_files(mount->type) ||
			strcmp(mount->type, "overlay") == 0 || strcmp(mount->target, scope) == 0) {
			continue; /* an overlay's upper layer lies in one of the others */
		}
		(void)snprintf(path, sizeof(path), "/proc/%d/root%s", theirs->pid, mount->target);
		for (size_t j = 0; j < i; j++) {
			counted |= theirs->mounts[j].major == mount->major &&
				theirs->mounts[j].minor == mount->minor &&
				theirs->mounts[j].writable;
		}
		if (counted || !look_is_reachable(theirs, mount) ||
			!has_room(theirs, mount, path) || statvfs(path, &space) < 0) {
			continue;
		}
		if (strcmp(mount->type, "tmpfs") != 0) {
			(void)snprintf(
				where, size, "%.80s is a writable %s", mount->target, mount->type);
			return false;
		}
		room += (uint64_t)space.f_blocks * space.f_frsize;
		if (space.f_blocks == 0) {
			(void)snprintf(where, size, "%.80s has no size", mount->target);
			return false;
		}
	}
	*ret_room = room;
	return true;
}

static void disk_state(struct look *look, const char *arg)
{
	const struct limits *limits = look->context->limits;
	const struct outside *theirs = &look->context->run->outside;
	uint64_t room = 0;
	char where[128] = "";

	(void)arg;
	if (theirs->mount_count == 0) {
		return;
	}
	if (!measure_room(look->context, &room, where, sizeof(where))) {
		look_conclude(look, true, LEVEL_STATE);
		look_detail(look, "%s", where);
		return;
	}
	look_conclude(look, limits->disk && room > limits->disk + MIB, LEVEL_STATE);
	look_detail(look, "declared %" PRIu64 ", room %" PRIu64, limits->disk, room);
}

static uint64_t leading_number(const struct answer *answer)
{
	return strtoull((const char *)answer->text, NULL, 10);
}

/* In the control nobody lies: our own program, outside. Its word is that the machine can do it. */
static bool control_word(struct look *look)
{
	if (look->context->control) {
		if (look_is_done(look)) {
			look_conclude(look, true, LEVEL_CLAIM);
		}
		return true;
	}
	return false;
}

static void memory_used(struct look *look, const char *arg)
{
	uint64_t peak = look->context->run->memory_peak;
	uint64_t limit = look->context->limits->memory;

	(void)arg;
	if (!control_word(look) && peak && limit) {
		look_conclude(look, peak > limit + limit / 20, LEVEL_EVENT);
		look_detail(look, "peak %" PRIu64 " of %" PRIu64, peak, limit);
	}
}

static void tasks_used(struct look *look, const char *arg)
{
	uint64_t limit = look->context->limits->tasks;
	uint64_t made = leading_number(look->answer);
	uint64_t in_force = look->context->run->outside.tasks_limit;

	(void)arg;
	if (!control_word(look) && limit && in_force) {
		look_conclude(look, made > limit + 4 || in_force > limit + 16, LEVEL_STATE);
		look_detail(look, "%" PRIu64 " made, limit %" PRIu64, made, limit);
	}
}

/* The budget is refilled each tenth of a second: one refill more than the share fits in. */
static void cpu_used(struct look *look, const char *arg)
{
	uint64_t limit = look->context->limits->cpu_milli;
	const struct run *run = look->context->run;
	const bool control = look->context->control;
	const char *second = strchr((const char *)look->answer->text, ' ');
	uint64_t told = second ? strtoull(second + 1, NULL, 10) : 0;
	uint64_t wall = control ? told : run->cpu_wall_usec / 1000;
	uint64_t used = control ? leading_number(look->answer) : run->cpu_used_usec;
	uint64_t allowed = limit * (wall + 100);

	(void)arg;
	if (limit && wall && used) {
		look_conclude(look, used > allowed + allowed / 10, LEVEL_EVENT);
		look_detail(look, "%" PRIu64 " us in %" PRIu64 " ms", used, wall);
	}
}

static void disk_used(struct look *look, const char *arg)
{
	uint64_t written = leading_number(look->answer);
	uint64_t limit = look->context->limits->disk;

	if (!control_word(look) && limit) {
		disk_state(look, arg);
		if (look->outcome->evidence != EVIDENCE_NONE) {
			look_conclude(look,
				written > limit || look->outcome->evidence == EVIDENCE_SEEN,
				LEVEL_STATE);
			look_detail(look, "%" PRIu64 " written, limit %" PRIu64, written, limit);
		}
	}
}

static void time_used(struct look *look, const char *arg)
{
	const struct run *run = look->context->run;
	uint64_t lived = (run->ended_usec - run->started_usec) / 1000;

	(void)arg;
	if (!control_word(look)) {
		look_conclude(look, run->ended || run->timed_out, LEVEL_EVENT);
		look_detail(look, "lived %" PRIu64 " ms", lived);
	}
}

static const struct evidence_row rows[] = {
	{"R.memory-limit", limit_state, "m"},
	{"R.tasks-limit", limit_state, "t"},
	{"R.cpu-limit", limit_state, "c"},
	{"R.disk-limit", disk_state, NULL},
	{"R.memory", memory_used, NULL},
	{"R.tasks", tasks_used, NULL},
	{"R.cpu", cpu_used, NULL},
	{"R.disk", disk_used, NULL},
	{"R.time", time_used, NULL},
	{NULL, NULL, NULL},
};

static const struct evidence_kind kinds[] = {
	{limit_state, "E3: the limits of its control group", false},
	{disk_state, "E3: the sizes of its writable mounts", false},
	{memory_used, "E3: the most its control group has used", false},
	{tasks_used, "E3: the limit of its control group, with the count the client reached",
		false},
	{cpu_used, "E2: the processor time that the host saw it use", false},
	{disk_used, "E3: the sizes of its writable mounts, with what the client could write",
		false},
	{time_used, "E2: whether it was still there after the limit", false},
	{NULL, NULL, false},
};

const struct evidence_table evidence_limits = {rows, kinds, NULL};
