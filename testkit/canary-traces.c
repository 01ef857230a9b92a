/*
 * What runs have in places that are not ours alone, and how it is taken away: also what a
 * measurement that was killed has left.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <mqueue.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/strv.h"
#include "testkit/canary-parts.h"
#include "testkit/outside.h"

#define TRACES_FORMAT "traces.%s.%s.%d"
#define MAX_DEPTH 200 /* of what is removed: a descriptor each */

/* True when this line of mountinfo is of a mount below path; then its target is in *ret. */
static bool is_mount_below(const char *line, const char *path, char ret[320])
{
	size_t length = strlen(path);

	return sscanf(line, "%*d %*d %*s %*s %319s", ret) == 1 && strncmp(ret, path, length) == 0 &&
		(ret[length] == '/' || !ret[length]);
}

/* The first mount below path, in ret. 1, 0 when there is none, or negative errno. */
static int find_mount_below(const char *path, char ret[320])
{
	cleanup_free char *table = NULL;
	int r = io_read_file(AT_FDCWD, "/proc/self/mountinfo", 4 << 20, &table, NULL);

	for (char *rest = table, *line = NULL; r == 0 && (line = strsep(&rest, "\n"));) {
		r = is_mount_below(line, path, ret);
	}
	return r;
}

/*
 * What a launcher has mounted in our directories and left there may be anybody's tree: nothing is
 * removed before it is gone. False when one stays.
 */
static bool unmount_below(const char *path)
{
	char target[320];
	int r = find_mount_below(path, target);

	while (r > 0 && umount2(target, MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
		r = find_mount_below(path, target);
	}
	return r == 0;
}

/* A directory of the same file system below the open one, and no link to one; or -1. */
static int open_part(int above, const char *name, dev_t device)
{
	cleanup_close int fd = openat(above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat info;

	return fd >= 0 && fstat(fd, &info) == 0 && info.st_dev == device ? take_fd(&fd) : -1;
}

static const struct dirent *next_entry(DIR *list)
{
	const struct dirent *entry = NULL;

	do {
		entry = list ? readdir(list) : NULL;
	} while (entry && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
	return entry;
}

/*
 * Others may write to some of it, and swap a directory for a link while it is walked through: so by descriptors alone.
 * Consumes directory. What stays is reported by the directory that then stays too.
 */
static void remove_content(int directory, dev_t device, unsigned depth)
{
	DIR *list = fdopendir(directory);
	const struct dirent *entry = NULL;

	if (!list) {
		(void)close(directory);
		return;
	}
	while ((entry = next_entry(list))) {
		if (unlinkat(directory, entry->d_name, 0) == 0) {
			continue;
		}
		int part = depth > 0 ? open_part(directory, entry->d_name, device) : -1;
		if (part >= 0) {
			remove_content(part, device, depth - 1);
		}
		(void)unlinkat(directory, entry->d_name, AT_REMOVEDIR);
	}
	(void)closedir(list);
}

/* Processes that remove parts of a tree. */
struct removal {
	pid_t pids[64];
	size_t count;
	dev_t device;
};

/* Consumes part. */
static void remove_aside(struct removal *removal, int part)
{
	pid_t pid = removal->count < ARRAY_SIZE(removal->pids) ? fork() : -1;

	if (pid == 0) {
		remove_content(part, removal->device, MAX_DEPTH);
		_exit(0);
	}
	(void)close(part);
	if (pid > 0) {
		removal->pids[removal->count++] = pid;
	}
}

/*
 * Each directory of the first levels by a process of its own: file systems may discard with care. Consumes directory.
 */
static void remove_parts(struct removal *removal, int directory, unsigned levels)
{
	DIR *list = fdopendir(directory);
	const struct dirent *entry = NULL;

	while ((entry = next_entry(list))) {
		int part = open_part(directory, entry->d_name, removal->device);
		if (part >= 0 && levels > 0) {
			remove_parts(removal, part, levels - 1);
		} else if (part >= 0) {
			remove_aside(removal, part);
		}
	}
	if (list) {
		(void)closedir(list);
	} else {
		(void)close(directory);
	}
}

void canary_remove_tree(const char *path)
{
	struct removal removal = {.count = 0};
	struct stat info;

	if (!*path || !unmount_below(path) || lstat(path, &info) < 0) {
		return;
	}
	removal.device = info.st_dev;
	int top = open_part(AT_FDCWD, path, info.st_dev);
	if (top >= 0) {
		remove_parts(&removal, top, 1);
	}
	while (removal.count > 0) {
		(void)waitpid(removal.pids[--removal.count], NULL, 0);
	}
	top = open_part(AT_FDCWD, path, info.st_dev);
	if (top >= 0) {
		remove_content(top, info.st_dev, MAX_DEPTH);
	}
	(void)unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

static void remove_named(const char *before, const char *name, const char *after)
{
	char path[96];

	(void)snprintf(path, sizeof(path), "%s%s%s", before, name, after);
	(void)unlink(path);
}

static void remove_queues(key_t key)
{
	int id = shmget(key, 0, 0);

	if (id >= 0) {
		(void)shmctl(id, IPC_RMID, NULL);
	}
	id = msgget(key, 0);
	if (id >= 0) {
		(void)msgctl(id, IPC_RMID, NULL);
	}
	id = semget(key, 0, 0);
	if (id >= 0) {
		(void)semctl(id, 0, IPC_RMID);
	}
}

/* Like every key of ours from 1 to 2^30. */
key_t canary_fresh_key(const char *fresh)
{
	unsigned number = 0;

	(void)sscanf(fresh, "cf%8x", &number);
	return (key_t)(number & 0x3ffffffe) + 1;
}

const char *canary_fresh_title(const char *fresh, char *title)
{
	(void)snprintf(title, 16, "s%.14s", fresh);
	return title;
}

int canary_make_fresh(const struct ground *ground, const char *fresh, struct err *err)
{
	char path[96];

	(void)snprintf(path, sizeof(path), "%s/read/%s", ground->root, fresh);
	int r = canary_make_file(path, 0644, "");
	return r < 0 ? err_set(err, -r, "planting %s", path) : 0;
}

/* Only a process of ours has that name: it was told to no other. */
static void end_leftover(const char *fresh)
{
	char title[16];
	pid_t pid = outside_find(canary_fresh_title(fresh, title));

	if (pid > 0) {
		(void)kill(pid, SIGKILL);
	}
}

/* Homes that clients may have had: ours by the environment, and ours by the table of users. */
static void remove_from_homes(const char *fresh)
{
	const struct passwd *user = getpwuid(geteuid());
	const char *const homes[] = {getenv("HOME"), user ? user->pw_dir : NULL};
	static const char *const ends[] = {".fresh", ""};
	char path[320];

	for (size_t i = 0; i < ARRAY_SIZE(homes); i++) {
		for (size_t j = 0; homes[i] && j < ARRAY_SIZE(ends); j++) {
			(void)snprintf(path, sizeof(path), "%s/.%s%s", homes[i], fresh, ends[j]);
			(void)unlink(path);
		}
	}
}

static void remove_posix_queue(const char *name)
{
	char queue[32];

	(void)snprintf(queue, sizeof(queue), "/%s", name);
	(void)mq_unlink(queue);
}

void canary_remove_traces(const struct traces *traces)
{
	static const struct {
		const char *before, *after;
		bool fresh;
	} names[] = {
		{"/tmp/", ".F.tmp-private", false},
		{"/var/tmp/", ".F.vartmp-private", false},
		{"/dev/shm/", ".F.shm-private", false},
		{"/dev/shm/", "", false},
		{"/tmp/.", "", false},
		{"/tmp/.fill.", "", false},
		{"/tmp/.", ".x", false},
		{"/var/tmp/.", ".x", false},
		{"/dev/shm/.", ".x", false},
		{"/tmp/.", ".fresh", true},
		{"/var/tmp/.", ".fresh", true},
		{"/dev/shm/.", ".fresh", true},
		{"/tmp/.", ".sock", true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		remove_named(names[i].before, names[i].fresh ? traces->fresh : traces->leave,
			names[i].after);
	}
	remove_posix_queue(traces->leave);
	remove_queues(traces->key);
}

/* In our own session keyring, to which controls may add. */
static void remove_key(const char *name)
{
	long key = syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", name, 0);

	if (key > 0) {
		(void)syscall(SYS_keyctl, KEYCTL_REVOKE, key);
		(void)syscall(SYS_keyctl, KEYCTL_UNLINK, key, KEY_SPEC_SESSION_KEYRING);
	}
}

void canary_remove_fresh(const char *fresh)
{
	static const struct {
		const char *before, *after;
	} names[] = {{"/tmp/.", ".fresh"}, {"/var/tmp/.", ".fresh"}, {"/dev/shm/.", ".fresh"},
		{"/tmp/.", ".sock"}};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		remove_named(names[i].before, fresh, names[i].after);
	}
	remove_queues(canary_fresh_key(fresh));
	remove_posix_queue(fresh);
	remove_from_homes(fresh);
	end_leftover(fresh);
	remove_key(fresh);
}

/* Those of a directory whose maker is gone. Names are as strict as we make them. */
static void remove_orphan_traces(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry = NULL;

	while (directory && (entry = readdir(directory))) {
		struct traces traces = {0};
		if (sscanf(entry->d_name, "traces.%20[a-z0-9].%20[a-z0-9].%d", traces.leave,
			    traces.fresh, &traces.key) == 3 &&
			strncmp(traces.leave, "ck", 2) == 0 && strlen(traces.leave) == 18 &&
			strncmp(traces.fresh, "cf", 2) == 0 && strlen(traces.fresh) == 18 &&
			traces.key > 0) {
			canary_remove_traces(&traces);
			remove_queues(canary_fresh_key(traces.fresh));
			remove_posix_queue(traces.fresh);
			remove_from_homes(traces.fresh);
		}
	}
	if (directory) {
		(void)closedir(directory);
	}
}

/* Is it ours, and has nobody the lock that its maker held? */
static bool is_orphan(int parent_fd, const char *name)
{
	cleanup_close int fd =
		openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat info;

	return fd >= 0 && fstat(fd, &info) == 0 && info.st_uid == geteuid() &&
		flock(fd, LOCK_EX | LOCK_NB) == 0;
}

/* Removes what a measurement that was killed has left in parent: a setuid file may be among it. */
void canary_sweep(const char *parent)
{
	DIR *directory = opendir(parent);
	struct dirent *entry = NULL;
	char path[320];

	while (directory && (entry = readdir(directory))) {
		if (strncmp(entry->d_name, CANARY_PREFIX, strlen(CANARY_PREFIX)) == 0 &&
			is_orphan(dirfd(directory), entry->d_name)) {
			(void)snprintf(path, sizeof(path), "%s/%s", parent, entry->d_name);
			remove_orphan_traces(path);
			canary_remove_tree(path);
		}
	}
	if (directory) {
		(void)closedir(directory);
	}
}

/* Before the first of them is made. */
static void note_key(struct ground *ground, key_t key)
{
	if (ground->key_count < ARRAY_SIZE(ground->keys)) {
		ground->keys[ground->key_count++] = key;
	}
}

void canary_note_traces(struct canary *canary)
{
	struct ground *ground = canary->ground;
	char path[160];

	/* Without memory for a name it is only not found again. */
	(void)strv_append(&ground->names, canary->leave);
	if (strcmp(canary->fresh, "cfnone") != 0 && !strv_contains(ground->names, canary->fresh)) {
		(void)strv_append(&ground->names, canary->fresh);
		note_key(ground, canary_fresh_key(canary->fresh));
	}
	note_key(ground, canary->ipc_key);
	(void)snprintf(path, sizeof(path), "%s/" TRACES_FORMAT, canary->ground->tmp, canary->leave,
		canary->fresh, canary->ipc_key);
	(void)canary_make_file(path, 0600, "");
}
