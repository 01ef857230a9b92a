/*
 * The tree is put together anew from copies of the mounts that are kept, and the whole old one is let
 * go of at once: unmounting what is not needed would wait for the kernel's readers once for each, and
 * touching what is not needed could wait for a server on the net that is gone.
 */
#include "backends/linux/keeper/narrow.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "backends/linux/kernel.h"
#include "base/cleanup.h"
#include "base/io.h"

#define MAX_KEPT 64
#define MOUNTINFO_MAX (4U << 20)

/* What bwrap itself takes: its program, libraries and devices, and a /proc that hides nothing. */
static const char *const always[] = {
	"/bin", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/sbin", "/usr"};

/* Of those, what no program of that kind looks at. */
static const char *const never[] = {"/dev/hugepages", "/dev/mqueue", "/dev/shm"};

struct kept {
	char *path;
	int tree;
};

static bool is_below(const char *path, const char *above)
{
	size_t length = strlen(above);

	length -= length > 0 && above[length - 1] == '/'; /* the root */
	return strncmp(path, above, length) == 0 && (path[length] == '/' || !path[length]);
}

static bool is_related(const char *path, const char *const list[], size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (is_below(path, list[i]) || is_below(list[i], path)) {
			return true;
		}
	}
	return false;
}

/* At, below or above what any program of that kind takes, and not only what others have there. */
static bool is_common(const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(never); i++) {
		if (is_below(path, never[i])) {
			return false;
		}
	}
	return is_related(path, always, ARRAY_SIZE(always));
}

/* mountinfo writes blank, tab, newline and backslash as three octal digits. */
static void unescape(char *text)
{
	char *to = text;

	for (; *text; text++) {
		bool octal = text[0] == '\\' && text[1] >= '0' && text[1] <= '3' &&
			text[2] >= '0' && text[2] <= '7' && text[3] >= '0' && text[3] <= '7';
		*to++ = octal ? (char)((text[1] - '0') * 64 + (text[2] - '0') * 8 + text[3] - '0')
			      : *text;
		text += octal ? 3 : 0;
	}
	*to = '\0';
}

/* The mount point is the fifth word. NULL: no such line. */
static char *mount_point(char *line)
{
	char *word = NULL;

	for (int i = 0; i < 5; i++) {
		word = strsep(&line, " ");
	}
	if (!word || word[0] != '/') {
		return NULL;
	}
	unescape(word);
	return word;
}

/* Those to be kept, without the root, in the kernel's order: what others stand on comes first. */
static int choose(char *text, const char *const needed[], size_t count, struct kept kept[MAX_KEPT],
	size_t *ret_dropped)
{
	size_t used = 0;
	size_t dropped = 0;

	for (char *line = NULL; (line = strsep(&text, "\n"));) {
		char *path = mount_point(line);
		bool again = false;

		if (!path || strcmp(path, "/") == 0) {
			continue;
		}
		if (!is_common(path) && !is_related(path, needed, count)) {
			dropped++;
			continue;
		}
		/* The uppermost of several in one place is the one that a path leads to. */
		for (size_t i = 0; i < used; i++) {
			again |= strcmp(kept[i].path, path) == 0;
		}
		if (!again && used == MAX_KEPT) {
			return -E2BIG;
		}
		if (!again) {
			kept[used++] = (struct kept){.path = path, .tree = -1};
		}
	}
	*ret_dropped = dropped;
	return (int)used;
}

static int copy_mount(const char *path)
{
	int fd =
		kernel_open_tree(AT_FDCWD, path, KERNEL_OPEN_TREE_CLONE | KERNEL_OPEN_TREE_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int attach(int tree, const char *path)
{
	return kernel_move_mount(tree, "", AT_FDCWD, path, KERNEL_MOVE_MOUNT_F_EMPTY_PATH) < 0
		? -errno
		: 0;
}

/* Our root's copy on top of it, with the others in their places; then it is the root. */
static int rebuild(int top, const struct kept *kept, int count)
{
	int r = attach(top, "/");

	if (r < 0) {
		return r;
	}
	if (fchdir(top) < 0) {
		return -errno; /* a copy nobody comes by: the root's own is below, and is the root */
	}
	for (int i = 0; r == 0 && i < count; i++) {
		r = kept[i].tree < 0 ? 0 : attach(kept[i].tree, kept[i].path + 1);
	}
	r = r == 0 && syscall(SYS_pivot_root, ".", ".") < 0 ? -errno : r;
	/* The old tree, which is above now; or, when something failed, the new one. */
	(void)umount2(".", MNT_DETACH);
	return chdir("/") < 0 ? -errno : r;
}

/* As it was, or narrower. */
static void narrow(const char *const needed[], size_t count)
{
	struct kept kept[MAX_KEPT];
	cleanup_free char *text = NULL;
	cleanup_close int top = -1;
	size_t dropped = 0;
	int used = 0;
	int r = io_read_file(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &text, NULL);

	used = r < 0 ? r : choose(text, needed, count, kept, &dropped);
	if (used < 0 || dropped == 0) {
		return;
	}
	top = copy_mount("/");
	r = top < 0 ? top : 0;
	for (int i = 0; r == 0 && i < used; i++) {
		kept[i].tree = copy_mount(kept[i].path);
		/* What stands under another mount is not to be seen. */
		r = kept[i].tree < 0 && kept[i].tree != -ENOENT ? kept[i].tree : 0;
	}
	if (r == 0) {
		(void)rebuild(top, kept, used);
	}
	for (int i = 0; i < used; i++) {
		close_fdp(&kept[i].tree);
	}
}

int narrow_make(const char *const needed[], size_t count)
{
	cleanup_close int host = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	cleanup_close int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd = -1;

	if (host < 0 || root < 0 || unshare(CLONE_NEWNS) < 0) {
		return -errno;
	}
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0) {
		narrow(needed, count);
		fd = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	}
	fd = fd < 0 ? -errno : fd;
	/* A server may have a root of its own; coming back leads to the namespace's. */
	if (setns(host, CLONE_NEWNS) < 0 || fchdir(root) < 0 || chroot(".") < 0) {
		close_fdp(&fd);
		return -ENOTRECOVERABLE;
	}
	return fd;
}
