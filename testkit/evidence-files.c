/*
 * Files: what the client did to them, before and after, and what lies behind a path of its tree.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "testkit/look.h"
#include "testkit/room.h"

/* The kernel told us that the file was read. */
static void secret(struct look *look, const char *arg)
{
	char token[CANARY_TOKEN];
	bool known = look->context->canary->inotify >= 0;

	(void)canary_token(look->context->canary, look->probe->id, token);
	(void)arg;
	if (look_is_done(look) && look_text_is(look, token)) {
		look_conclude(look, true, look_reached(look) ? LEVEL_EVENT : LEVEL_TOKEN);
	} else if (known) {
		look_conclude(look, look_reached(look), LEVEL_EVENT);
	}
}

enum change {
	CHANGE_EXISTS,
	CHANGE_GONE,
	CHANGE_CONTENT, /* no longer what was planted */
	CHANGE_MODE,
	CHANGE_TIME,
};

/* Where others of the host may write, too: no link is followed, and no pipe is waited for. */
static int read_planted(const char *path, char **ret)
{
	cleanup_close int fd =
		open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

	return fd < 0 ? -errno : io_read_fd(fd, 65536, ret, NULL);
}

static bool file_changed(const struct look *look, const char *path, enum change change)
{
	char token[CANARY_TOKEN];
	cleanup_free char *text = NULL;
	struct stat info;
	bool there = lstat(path, &info) == 0;

	switch (change) {
	case CHANGE_EXISTS:
		return there;
	case CHANGE_GONE:
		return !there;
	case CHANGE_CONTENT:
		(void)canary_token(look->context->canary, look->probe->id, token);
		return read_planted(path, &text) == 0 && strcmp(text, token) != 0;
	case CHANGE_MODE:
		return there && (info.st_mode & 0777) == 0600;
	case CHANGE_TIME:
		return there && info.st_mtime == 1;
	}
	return false;
}

static const struct {
	const char *probe;
	const char *path; /* below the run's readable place */
	enum change change;
} file_changes[] = {
	{"F.create", "write/F.create", CHANGE_EXISTS},
	{"F.overwrite", "write/F.overwrite", CHANGE_CONTENT},
	{"F.append", "write/F.append", CHANGE_CONTENT},
	{"F.truncate", "write/F.truncate", CHANGE_CONTENT},
	{"F.unlink", "write/F.unlink", CHANGE_GONE},
	{"F.rename", "write/F.renamed", CHANGE_EXISTS},
	{"F.mkdir", "write/F.mkdir", CHANGE_EXISTS},
	{"F.symlink", "write/F.symlink", CHANGE_EXISTS},
	{"F.chmod", "mine/F.chmod", CHANGE_MODE},
	{"F.times", "mine/F.times", CHANGE_TIME},
	{"F.mmap", "write/F.mmap", CHANGE_CONTENT},
	{"F.tmpfile", "write/F.tmpfile", CHANGE_EXISTS},
};

static void changed(struct look *look, const char *arg)
{
	char path[192];

	(void)arg;
	for (size_t i = 0; i < ARRAY_SIZE(file_changes); i++) {
		if (strcmp(file_changes[i].probe, look->probe->id) == 0) {
			(void)snprintf(path, sizeof(path), "%s/%s", look->context->canary->read,
				file_changes[i].path);
			look_conclude(look, file_changed(look, path, file_changes[i].change),
				LEVEL_COMPARED);
		}
	}
}

static void scope_changed(struct look *look, const char *arg)
{
	char path[192];

	(void)snprintf(path, sizeof(path), "%s/%s", look->context->canary->scope, look->probe->id);
	look_conclude(look,
		file_changed(look, path, strcmp(arg, "new") == 0 ? CHANGE_EXISTS : CHANGE_CONTENT),
		LEVEL_COMPARED);
}

/* The names it leaves in shared places. arg: the directory. */
static void left(struct look *look, const char *arg)
{
	char path[128];

	(void)snprintf(
		path, sizeof(path), "%s/%s.%s", arg, look->context->canary->leave, look->probe->id);
	look_conclude(look, file_changed(look, path, CHANGE_EXISTS), LEVEL_COMPARED);
}

static void scratch(struct look *look, const char *arg)
{
	const struct canary *canary = look->context->canary;

	(void)arg;
	if (canary->inotify >= 0) {
		look_conclude(look, canary->created[0] || canary->created[1], LEVEL_EVENT);
	}
}

static void leaked_directory(struct look *look, const char *arg)
{
	char path[128];

	(void)arg;
	(void)snprintf(path, sizeof(path), "%s/leak/F.dirfd", look->context->ground->root);
	look_conclude(look, unlink(path) == 0, LEVEL_COMPARED);
}

static void leaked_file(struct look *look, const char *arg)
{
	cleanup_close int fd = -1;
	struct stat info;
	struct stat ours;
	char path[128];

	(void)arg;
	/* Anybody of the host may have put another one there. */
	(void)snprintf(path, sizeof(path), "%s/leak/file", look->context->ground->root);
	fd = open(path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0 && fstat(fd, &info) == 0 && fstat(look->context->ground->file_fd, &ours) == 0 &&
		info.st_dev == ours.st_dev && info.st_ino == ours.st_ino) {
		look_conclude(look, info.st_size > 0, LEVEL_COMPARED);
		(void)!ftruncate(fd, 0);
	}
}

static void locked(struct look *look, const char *arg)
{
	(void)arg;
	if (look->context->canary->lock_sampled) {
		look_conclude(look, look->context->canary->lock_taken, LEVEL_EVENT);
	}
}

static void system_file(struct look *look, const char *arg)
{
	cleanup_close int fd = open(arg, O_RDONLY | O_CLOEXEC);
	char text[128];
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text)) : -1;

	if (look_is_done(look) && n > 0) {
		size_t size = look->answer->size < (size_t)n ? look->answer->size : (size_t)n;
		look_conclude(
			look, size > 0 && memcmp(text, look->answer->text, size) == 0, LEVEL_TOKEN);
	}
}

static void root_state(struct look *look, const char *arg)
{
	(void)arg;
	if (look->context->run->outside.root_is_ours >= 0) {
		look_conclude(look, look->context->run->outside.root_is_ours, LEVEL_STATE);
	}
}

/* Where the plan itself lets writes through to the host. */
static bool is_writable_place(const struct target *target, const char *path)
{
	STRV_FOREACH (place, target->spec.writable) {
		size_t length = strlen(*place);
		if (strncmp(path, *place, length) == 0 && (!path[length] || path[length] == '/')) {
			return true;
		}
	}
	if (target->spec.home_source) {
		char home[80];
		(void)snprintf(home, sizeof(home), "/home/%s",
			target->spec.user ? target->spec.user : "user");
		if (strcmp(path, target->spec.home ? target->spec.home : home) == 0) {
			return true;
		}
	}
	return target->spec.allow_temp && strcmp(path, "/tmp") == 0;
}

static bool has_file_system(
	const struct outside *ours, const struct outside_mount *mount, const char *target)
{
	for (size_t i = 0; i < ours->mount_count; i++) {
		if (ours->mounts[i].major == mount->major &&
			ours->mounts[i].minor == mount->minor &&
			strcmp(ours->mounts[i].target, target) == 0) {
			return true;
		}
	}
	return false;
}

/* The host had it before the sandbox came, and has it still: no engine's mount for the sandbox is that. */
static bool is_of_host(
	const struct outside *before, const struct outside *now, const struct outside_mount *mount)
{
	for (size_t i = 0; i < before->mount_count; i++) {
		if (before->mounts[i].major == mount->major &&
			before->mounts[i].minor == mount->minor &&
			has_file_system(now, mount, before->mounts[i].target)) {
			return true;
		}
	}
	return false;
}

/*
 * A writable mount inside that shows a file system the host has mounted too. What the host has is read
 * while the client is there: the number of one that was unmounted before is given to the next.
 */
static void mount_flags(struct look *look, const char *arg)
{
	const struct outside *theirs = &look->context->run->outside;
	struct outside ours = {.pid = getpid()};
	bool seen = false;

	(void)arg;
	outside_read_mounts(&ours);
	for (size_t i = 0; i < theirs->mount_count && !seen; i++) {
		const struct outside_mount *mount = &theirs->mounts[i];
		if (!mount->writable || !room_keeps_files(mount->type)) {
			continue;
		}
		seen = is_of_host(look->context->own, &ours, mount) &&
			room_is_reachable(theirs, mount) &&
			!is_writable_place(look->context->target, mount->target);
		if (seen) {
			look_detail(look, "%.120s is writable", mount->target);
		}
	}
	if (theirs->mount_count && ours.mount_count && !theirs->elsewhere) {
		look_conclude(look, seen, LEVEL_STATE);
	}
	outside_fini(&ours);
}

/* Every path the plan takes out: is it the host's object that lies there? */
static void deny_mask(struct look *look, const char *arg)
{
	char **paths = look->context->target->spec.read_deny;
	bool any = false;
	bool seen = false;

	(void)arg;
	STRV_FOREACH (path, paths) {
		bool known = false;
		seen |= outside_same_object(look->context->run->outside.pid, *path, &known);
		any |= known;
	}
	if (any) {
		look_conclude(look, seen, LEVEL_STATE);
	}
}

static const struct evidence_row rows[] = {
	{"F.read-tmp", secret, NULL},
	{"F.read-home", secret, NULL},
	{"F.read-opath", secret, NULL},
	{"F.read-climb", secret, NULL},
	{"F.read-proc-root", secret, NULL},
	{"F.deny", secret, NULL},
	{"F.deny-alias", secret, NULL},
	{"F.deny-list", look_opened, NULL},
	{"F.deny-mask", deny_mask, NULL},
	{"F.scope-read", secret, NULL},
	{"F.read-system", system_file, "/usr/lib/os-release"},
	{"F.create", changed, NULL},
	{"F.overwrite", changed, NULL},
	{"F.append", changed, NULL},
	{"F.truncate", changed, NULL},
	{"F.unlink", changed, NULL},
	{"F.rename", changed, NULL},
	{"F.mkdir", changed, NULL},
	{"F.symlink", changed, NULL},
	{"F.chmod", changed, NULL},
	{"F.times", changed, NULL},
	{"F.mmap", changed, NULL},
	{"F.tmpfile", changed, NULL},
	{"F.fifo", look_message, "meet"},
	{"F.flock", locked, NULL},
	{"F.tmp-private", left, "/tmp"},
	{"F.vartmp-private", left, "/var/tmp"},
	{"F.shm-private", left, "/dev/shm"},
	{"F.scope-create", scope_changed, "new"},
	{"F.scope-overwrite", scope_changed, "changed"},
	{"F.scratch", scratch, NULL},
	{"F.dirfd", leaked_directory, NULL},
	{"F.rofd", leaked_file, NULL},
	{"F.root", root_state, NULL},
	{"F.namespace", look_shares_namespace, "4"},
	{"F.mount-flags", mount_flags, NULL},
	{NULL, NULL, NULL},
};

static const struct evidence_kind kinds[] = {
	{secret, "E1: the secret came back; E2: inotify saw the file being read", false},
	{deny_mask, "E3: the object behind the path, seen from outside, is the host's own", false},
	{system_file, "E1: the bytes are those of the host's file", true},
	{changed, "E4: the canary file before and after", false},
	{scope_changed, "E4: the offered place before and after", false},
	{left, "E4: the name lies in the host's directory afterwards", false},
	{locked, "E2: the host could not lock its own file meanwhile", false},
	{scratch, "E2: inotify saw no name appear in the host's places", false},
	{leaked_directory, "E4: the file lies in the host's directory afterwards", false},
	{leaked_file, "E4: the size of the host's file before and after", false},
	{root_state, "E3: device and inode of its root, read from outside", false},
	{mount_flags, "E3: its table of mounts, read from outside", false},
	{NULL, NULL, false},
};

const struct evidence_table evidence_files = {rows, kinds, NULL};
