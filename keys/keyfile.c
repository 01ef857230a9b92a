/*
 * The path is walked one component at a time by openat(2) from the root. Each component is opened
 * with O_PATH|O_NOFOLLOW and looked at by fstat(2) on that very descriptor, and the next step
 * starts from it: what was checked is what is used, and nothing is looked up a second time. A
 * symbolic link is read by us and its text takes the link's place in what is left to walk, so
 * that its target is checked like everything else.
 *
 * The last step is the one exception that the kernel forces: an O_PATH descriptor cannot be read
 * from, so the file is opened again by name, and refused if it is not the file that was looked at.
 * O_NONBLOCK is set then, in case a FIFO took its place meanwhile.
 *
 * Access lists need no look of their own: the kernel shows their mask in the group bits.
 */
#include "keys/keyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

#define MAX_LINKS 40 /* as the kernel has it */

struct walk {
	uid_t owner;
	bool secret;
	int dir; /* O_PATH descriptor of where we are; owned */
	char where[PATH_MAX]; /* its path, "" for the root */
	char left[2 * PATH_MAX]; /* what is still to be walked */
	unsigned links;
	struct err *err;
};

static bool is_ours(const struct walk *walk, const struct stat *status)
{
	return status->st_uid == 0 || status->st_uid == walk->owner;
}

/* Writes path so that it can be pasted into a shell. Cut short where it does not fit. */
static const char *quote(const char *path, char *text, size_t size)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789/._-+,@%=";
	size_t used = 0;

	if (path[strspn(path, plain)] == '\0') {
		return path;
	}
	text[used++] = '\'';
	for (; *path && used + 6 < size; path++) {
		if (*path == '\'') {
			(void)snprintf(text + used, size - used, "'\\''");
			used += 4;
		} else {
			text[used++] = *path;
		}
	}
	text[used++] = '\'';
	text[used] = '\0';
	return text;
}

/* One refusal: what, owned by whom with which mode, why, and the command that mends it. */
static int refuse(const struct walk *walk, const char *path, const struct stat *status,
	const char *why, const char *mend)
{
	char quoted[PATH_MAX];

	return err_refuse(walk->err, EPERM, "%s (owner uid %u, mode %04o) %s; mend it with: %s %s",
		path, (unsigned)status->st_uid, (unsigned)status->st_mode & 07777, why, mend,
		quote(path, quoted, sizeof(quoted)));
}

static int check_owner(const struct walk *walk, const char *path, const struct stat *status)
{
	char why[96];

	if (is_ours(walk, status)) {
		return 0;
	}
	if (walk->owner == 0) {
		(void)snprintf(why, sizeof(why), "belongs to someone other than root");
	} else {
		(void)snprintf(why, sizeof(why), "belongs to neither root nor uid %u",
			(unsigned)walk->owner);
	}
	return refuse(
		walk, path, status, why, S_ISLNK(status->st_mode) ? "chown -h root" : "chown root");
}

static int check_directory(const struct walk *walk, const struct stat *status)
{
	const char *path = *walk->where ? walk->where : "/";
	int r = check_owner(walk, path, status);

	if (r < 0) {
		return r;
	}
	/*
	 * In a sticky directory others can add names, but neither remove nor rename ours; the thing
	 * behind a name they added fails its own owner check.
	 */
	if ((status->st_mode & 022) && !(status->st_mode & S_ISVTX)) {
		return refuse(walk, path, status, "can be written by others than its owner",
			"chmod go-w");
	}
	return 0;
}

static int check_file(const struct walk *walk, const char *path, const struct stat *status)
{
	int r = 0;

	if (!S_ISREG(status->st_mode)) {
		return err_refuse(walk->err, EPERM, "%s is not a regular file", path);
	}
	r = check_owner(walk, path, status);
	if (r < 0) {
		return r;
	}
	if (status->st_mode & 022) {
		return refuse(walk, path, status, "can be written by others than its owner",
			"chmod go-w");
	}
	if (walk->secret && (status->st_mode & 077)) {
		return refuse(
			walk, path, status, "can be read by others than its owner", "chmod go-rwx");
	}
	return 0;
}

static int go_to_root(struct walk *walk)
{
	struct stat status;

	close_fdp(&walk->dir);
	walk->where[0] = '\0';
	walk->dir = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (walk->dir < 0 || fstat(walk->dir, &status) < 0) {
		return err_set(walk->err, errno, "opening /");
	}
	return check_directory(walk, &status);
}

/* Takes the next name off what is left. False at the end. */
static bool take_name(struct walk *walk, char name[NAME_MAX + 1], int *ret_error)
{
	const char *start = walk->left + strspn(walk->left, "/");
	size_t length = strcspn(start, "/");

	*ret_error = 0;
	if (length == 0) {
		return false;
	}
	if (length > NAME_MAX) {
		*ret_error = ENAMETOOLONG;
		return false;
	}
	memcpy(name, start, length);
	name[length] = '\0';
	memmove(walk->left, start + length, strlen(start + length) + 1);
	return true;
}

/* The path of name as seen from where we are, in the form people would write. */
static int path_of(const struct walk *walk, const char *name, char path[PATH_MAX])
{
	const char *end = strrchr(walk->where, '/');
	int n = 0;

	if (strcmp(name, "..") == 0) {
		n = snprintf(
			path, PATH_MAX, "%.*s", end ? (int)(end - walk->where) : 0, walk->where);
	} else {
		n = snprintf(path, PATH_MAX, "%s/%s", walk->where, name);
	}
	return n >= PATH_MAX ? err_set(walk->err, ENAMETOOLONG, "opening %s", name) : 0;
}

/* Puts a link's text before what is left, having checked who made the link. */
static int follow(struct walk *walk, int link, const char *path, const struct stat *status)
{
	char target[PATH_MAX];
	char rest[sizeof(walk->left)];
	ssize_t length = 0;
	int r = check_owner(walk, path, status);

	if (r < 0) {
		return r;
	}
	if (++walk->links > MAX_LINKS) {
		return err_set(walk->err, ELOOP, "following %s", path);
	}
	length = readlinkat(link, "", target, sizeof(target));
	if (length < 0) {
		return err_set(walk->err, errno, "reading the link %s", path);
	}
	memcpy(rest, walk->left, sizeof(rest)); /* "" or begins with a slash */
	if (snprintf(walk->left, sizeof(walk->left), "%.*s%s", (int)length, target, rest) >=
		(int)sizeof(walk->left)) {
		return err_set(walk->err, ENAMETOOLONG, "following %s", path);
	}
	return length > 0 && target[0] == '/' ? go_to_root(walk) : 0;
}

/* Steps into a directory that was opened, which is consumed. */
static int enter(struct walk *walk, int *dir, const char *path, const struct stat *status)
{
	close_fdp(&walk->dir);
	walk->dir = take_fd(dir);
	(void)snprintf(walk->where, sizeof(walk->where), "%s", path);
	return check_directory(walk, status);
}

/* Opens what was seen for reading. Returns the descriptor. */
static int open_file(
	const struct walk *walk, const char *name, const char *path, const struct stat *seen)
{
	cleanup_close int fd = -1;
	struct stat status;
	int r = check_file(walk, path, seen);

	if (r < 0) {
		return r;
	}
	fd = openat(walk->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &status) < 0) {
		return err_set(walk->err, errno, "opening %s", path);
	}
	if (status.st_dev != seen->st_dev || status.st_ino != seen->st_ino) {
		return err_refuse(
			walk->err, EAGAIN, "%s was replaced while it was being opened", path);
	}
	/* Once more on the descriptor that will be read, in case its mode changed meanwhile. */
	r = check_file(walk, path, &status);
	return r < 0 ? r : take_fd(&fd);
}

/* Walks all of walk->left. Returns the file's descriptor. */
static int walk_all(struct walk *walk)
{
	char name[NAME_MAX + 1];
	char path[PATH_MAX];
	int error = 0;

	while (take_name(walk, name, &error)) {
		cleanup_close int step = -1;
		struct stat status;
		int r = path_of(walk, name, path);

		if (r < 0) {
			return r;
		}
		if (strcmp(name, ".") == 0) {
			continue;
		}
		step = openat(walk->dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (step < 0 || fstat(step, &status) < 0) {
			return err_set(walk->err, errno, "opening %s", path);
		}
		if (S_ISLNK(status.st_mode)) {
			r = follow(walk, step, path, &status);
		} else if (S_ISDIR(status.st_mode)) {
			r = enter(walk, &step, path, &status);
		} else if (walk->left[0] == '\0') {
			return open_file(walk, name, path, &status);
		} else {
			r = err_set(walk->err, ENOTDIR, "opening %s%s", path, walk->left);
		}
		if (r < 0) {
			return r;
		}
	}
	return error ? err_set(walk->err, error, "opening a file")
		     : err_refuse(walk->err, EISDIR, "%s is a directory",
			       *walk->where ? walk->where : "/");
}

int keyfile_open(const char *path, uid_t owner, int secret, struct err *err)
{
	struct walk walk = {.owner = owner, .secret = secret != 0, .dir = -1, .err = err};
	char here[PATH_MAX] = "";
	int r = 0;

	if (path[0] == '\0') {
		return err_set(err, ENOENT, "opening a file without a name");
	}
	/* A relative path is made whole, because the directories above us decide as well. */
	if (path[0] != '/' && (!getcwd(here, sizeof(here)) || here[0] != '/')) {
		return err_set(err, ENOENT, "finding the working directory");
	}
	if (snprintf(walk.left, PATH_MAX, "%s/%s", here, path) >= PATH_MAX) {
		return err_set(err, ENAMETOOLONG, "opening %.200s", path);
	}
	r = go_to_root(&walk);
	if (r == 0) {
		r = walk_all(&walk);
	}
	close_fdp(&walk.dir);
	return r;
}
