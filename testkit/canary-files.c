/*
 * Files that are planted for a run, each with a token of its own.
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
#include "testkit/canary-parts.h"

#define SETUID_OWNER 65532 /* owns nothing; the setuid canary only says that it would be him */

/* Files of a run, below its directories. '%': the token of the probe that the file is named for. */
enum place { PLACE_DIRECTORY, PLACE_TMP, PLACE_DENY, PLACE_SCOPE, PLACE_READ };

static const struct {
	enum place place;
	const char *path; /* a directory ends in '/' */
	mode_t mode;
} files[] = {
	{PLACE_DIRECTORY, "secret/", 0755},
	{PLACE_DIRECTORY, "secret/F.read-home", 0644},
	{PLACE_DIRECTORY, "secret/F.read-opath", 0644},
	{PLACE_DIRECTORY, "secret/F.read-climb", 0644},
	{PLACE_DIRECTORY, "secret/F.read-proc-root", 0644},
	{PLACE_DIRECTORY, "secret/F.flock", 0644},
	{PLACE_DIRECTORY, "secret/H.sftp-read", 0644},
	{PLACE_READ, "write/", 0777},
	{PLACE_READ, "write/F.overwrite", 0666},
	{PLACE_READ, "write/F.append", 0666},
	{PLACE_READ, "write/F.truncate", 0666},
	{PLACE_READ, "write/F.unlink", 0666},
	{PLACE_READ, "write/F.rename", 0666},
	{PLACE_READ, "write/F.mmap", 0666},
	{PLACE_READ, "mine/", 0755},
	{PLACE_READ, "mine/F.chmod", 0644},
	{PLACE_READ, "mine/F.times", 0644},
	{PLACE_DIRECTORY, "meet/", 0777},
	{PLACE_TMP, "F.read-tmp", 0644},
	{PLACE_DENY, "F.deny", 0644},
	{PLACE_DENY, "F.deny-alias", 0644},
	{PLACE_DENY, "F.deny-list", 0644},
	{PLACE_DENY, "REG.CVE-2026-39861", 0644},
	{PLACE_SCOPE, "F.scope-overwrite", 0666},
	{PLACE_READ, "F.scope-read", 0644},
};

/* Where things of a run lie. What a plan that lists its paths shows anyway is below PLACE_READ. */
static const char *place_path(const struct canary *canary, enum place place)
{
	switch (place) {
	case PLACE_TMP:
		return canary->tmp;
	case PLACE_DENY:
		return canary->deny;
	case PLACE_SCOPE:
		return canary->scope;
	case PLACE_READ:
		return canary->read;
	default:
		return canary->directory;
	}
}

/* Writable scopes belong to somebody who is not root, throughout: mounts may map just one owner. */
static void give_away(const char *path)
{
	if (geteuid() == 0) {
		(void)!lchown(path, CANARY_NOBODY, CANARY_NOBODY);
	}
}

int canary_make_file(const char *path, mode_t mode, const char *text)
{
	cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0) {
		return -errno;
	}
	if (io_write_all(fd, text, strlen(text)) < 0 || fchmod(fd, mode) < 0) {
		return -errno;
	}
	return 0;
}

static int make_files(struct canary *canary, struct err *err)
{
	char path[192];
	char token[CANARY_TOKEN];

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		const char *name = strrchr(files[i].path, '/');
		int length = snprintf(path, sizeof(path), "%s/%s",
			place_path(canary, files[i].place), files[i].path);
		int r = 0;
		if (path[length - 1] == '/') {
			path[length - 1] = '\0';
			r = mkdir(path, 0700) < 0 || chmod(path, files[i].mode) < 0 ? -errno : 0;
		} else {
			r = canary_make_file(path, files[i].mode,
				canary_token(canary, name ? name + 1 : files[i].path, token));
		}
		if (r < 0) {
			return err_set(err, -r, "planting %s", path);
		}
		if (files[i].place == PLACE_SCOPE) {
			give_away(path);
		}
	}
	return 0;
}

int canary_make_places(struct canary *canary, struct err *err)
{
	const struct ground *ground = canary->ground;
	const struct {
		char *path;
		const char *parent, *sub;
		mode_t mode;
	} made[] = {
		{canary->directory, ground->root, "", 0755},
		{canary->tmp, ground->tmp, "", 0755},
		{canary->deny, ground->root, "/deny", 0755},
		{canary->scope, ground->root, "/scope", 0777},
		{canary->read, ground->root, "/read", 0755},
	};

	for (size_t i = 0; i < ARRAY_SIZE(made); i++) {
		(void)snprintf(
			made[i].path, 96, "%s%s/%u", made[i].parent, made[i].sub, ground->runs);
		if (mkdir(made[i].path, 0700) < 0 || chmod(made[i].path, made[i].mode) < 0) {
			return err_set(err, errno, "making %s", made[i].path);
		}
		if (made[i].path == canary->scope) {
			give_away(made[i].path);
		}
	}
	canary_set(canary, "secret", "%s/secret", canary->directory);
	canary_set(canary, "write", "%s/write", canary->read);
	canary_set(canary, "mine", "%s/mine", canary->read);
	canary_set(canary, "meet", "%s/meet", canary->directory);
	canary_set(canary, "secret.tmp", "%s", canary->tmp);
	canary_set(canary, "deny", "%s", canary->deny);
	canary_set(canary, "scope", "%s", canary->scope);
	canary_set(canary, "scope.read", "%s", canary->read);
	return make_files(canary, err);
}

/* A program that anybody may write, for who finds it by a process that runs it. */
static void make_runtime(struct canary *canary, const char *program, size_t size)
{
	char path[192];
	cleanup_close int fd = -1;

	(void)snprintf(path, sizeof(path), "%s/runtime", canary->read);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0 && io_write_all(fd, program, size) == 0 && fchmod(fd, 0777) == 0) {
		canary_set(canary, "runtime", "%s", path);
	}
}

/* A setuid copy of the client, a device node, a named pipe: some need root, none is needed. */
void canary_make_odd_files(struct canary *canary)
{
	char path[192];
	cleanup_free char *program = NULL;
	size_t size = 0;

	(void)snprintf(path, sizeof(path), "%s/meet/F.fifo", canary->directory);
	/* Its mode from the first moment: by its name it might be another's by then. */
	mode_t before = umask(0);
	int r = mkfifo(path, 0666);
	(void)umask(before);
	if (r == 0) {
		canary->fifo = open(path, O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	}
	(void)snprintf(path, sizeof(path), "%s/secret/F.flock", canary->directory);
	canary->lock = open(path, O_RDONLY | O_CLOEXEC);
	(void)snprintf(path, sizeof(path), "%s/D.planted", canary->read);
	if (mknod(path, S_IFCHR | 0666, makedev(1, 5)) == 0 && chmod(path, 0666) == 0) {
		canary_set(canary, "device", "%s", path);
	}
	(void)snprintf(path, sizeof(path), "%s/X.self", canary->read);
	if (link(canary->ground->client, path) == 0) {
		canary_set(canary, "self", "%s", path);
	}
	if (io_read_file(AT_FDCWD, canary->ground->client, 8 << 20, &program, &size) < 0) {
		return;
	}
	make_runtime(canary, program, size);
	(void)snprintf(path, sizeof(path), "%s/setuid", canary->read);
	if (geteuid() != 0) {
		return;
	}
	cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0 && io_write_all(fd, program, size) == 0 &&
		fchown(fd, SETUID_OWNER, SETUID_OWNER) == 0 && fchmod(fd, 04755) == 0) {
		canary_set(canary, "suid", "%s", path);
	}
}
