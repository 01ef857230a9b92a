#include "testkit/room.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

bool room_keeps_files(const char *type)
{
	static const char *const others[] = {"proc", "sysfs", "devpts", "mqueue", "cgroup",
		"cgroup2", "devtmpfs", "debugfs", "tracefs", "securityfs", "bpf", "pstore",
		"hugetlbfs", "configfs", "fusectl", "binfmt_misc", "autofs", "nsfs"};

	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		if (strcmp(type, others[i]) == 0) {
			return false;
		}
	}
	return true;
}

bool room_is_reachable(const struct outside *theirs, const struct outside_mount *mount)
{
	char path[256];
	struct stat info;

	for (size_t i = (size_t)(mount - theirs->mounts) + 1; i < theirs->mount_count; i++) {
		if (strcmp(theirs->mounts[i].target, mount->target) == 0) {
			return false; /* covered, maybe by another mount of the same file system */
		}
	}
	(void)snprintf(path, sizeof(path), "%s%s", theirs->tree, mount->target);
	return stat(path, &info) == 0 && S_ISDIR(info.st_mode) &&
		(info.st_dev == makedev(mount->major, mount->minor) ||
			strcmp(mount->type, "btrfs") == 0); /* whose files have other numbers */
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

	(void)snprintf(path, sizeof(path), "%s%s", theirs->tree, overlay->target);
	if (statvfs(path, &room) < 0) {
		return false;
	}
	for (size_t i = 0; ours && i < ours->mount_count; i++) {
		const struct outside_mount *mount = &ours->mounts[i];
		if (room_keeps_files(mount->type) && strcmp(mount->type, "tmpfs") != 0 &&
			strcmp(mount->type, "overlay") != 0 && is_same_room(&room, mount->target)) {
			return true;
		}
	}
	return false;
}

bool room_measure(const struct outside *ours, const struct outside *theirs, const char *except,
	uint64_t *ret_room, char *where, size_t size)
{
	uint64_t room = 0;

	for (size_t i = 0; i < theirs->mount_count; i++) {
		const struct outside_mount *mount = &theirs->mounts[i];
		char path[256];
		struct statvfs space;
		bool counted = false;
		if (mount->writable && strcmp(mount->type, "overlay") == 0 &&
			is_on_disk(ours, theirs, mount)) {
			(void)snprintf(where, size,
				"%.80s is a writable overlay on the host's disk", mount->target);
			return false;
		}
		if (!mount->writable || !room_keeps_files(mount->type) ||
			strcmp(mount->type, "overlay") == 0 || strcmp(mount->target, except) == 0) {
			continue; /* an overlay's upper layer lies in one of the others */
		}
		(void)snprintf(path, sizeof(path), "%s%s", theirs->tree, mount->target);
		for (size_t j = 0; j < i; j++) {
			counted |= theirs->mounts[j].major == mount->major &&
				theirs->mounts[j].minor == mount->minor &&
				theirs->mounts[j].writable;
		}
		if (counted || !room_is_reachable(theirs, mount) ||
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
