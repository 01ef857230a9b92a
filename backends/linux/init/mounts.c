/*
 * The tree a session sees, made entry by entry from the plan.
 *
 * Safe because: sources come as descriptors of detached trees that the launcher opened once and
 * whose flags are set already (or, without root, are opened here and compared with what the
 * launcher saw); targets are resolved below the new root only, with no symbolic link and no magic
 * link followed (runc CVE-2021-30465, CVE-2025-31133); every mount is attached by descriptor;
 * nothing a user controls runs yet.
 */
#include <fcntl.h>
#include <linux/stat.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "backends/linux/init/init.h"
#include "backends/linux/kernel.h"

#define DOOR_WAITING 4
#define BELOW_ROOT                                                                                 \
	(KERNEL_RESOLVE_IN_ROOT | KERNEL_RESOLVE_NO_SYMLINKS | KERNEL_RESOLVE_NO_MAGICLINKS)

typedef struct statx statx_result;

static int look(int fd, statx_result *ret)
{
	return (int)RT(statx, fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, ret);
}

static int open_below(const struct init *init, const char *path)
{
	return kernel_openat2(
		init->root, path[1] ? path + 1 : ".", O_PATH | O_CLOEXEC, 0, BELOW_ROOT);
}

/* Opens the directory that holds the last name of path, making what is missing; *ret_name is it. */
static int open_parent(const struct init *init, const char *path, const char **ret_name)
{
	int at = kernel_openat2(init->root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC, 0, BELOW_ROOT);

	path++;
	for (;;) {
		char name[256];
		size_t length = 0;
		int next = -1;

		while (path[length] && path[length] != '/') {
			length++;
		}
		if (!path[length] || at < 0) {
			*ret_name = path;
			return at;
		}
		if (length >= sizeof(name)) {
			errno = ENAMETOOLONG;
			(void)close(at);
			return -1;
		}
		memcpy(name, path, length);
		name[length] = '\0';
		next = kernel_openat2(at, name, O_PATH | O_DIRECTORY | O_CLOEXEC, 0,
			KERNEL_RESOLVE_BENEATH | KERNEL_RESOLVE_NO_SYMLINKS);
		if (next < 0 && errno == ENOENT && RT(mkdirat, at, name, 0755) == 0) {
			next = kernel_openat2(at, name, O_PATH | O_DIRECTORY | O_CLOEXEC, 0,
				KERNEL_RESOLVE_BENEATH | KERNEL_RESOLVE_NO_SYMLINKS);
		}
		(void)close(at);
		at = next;
		path += length + 1;
	}
}

/* The place to mount on: opened, or made as a directory or an empty file. */
static int open_place(const struct init *init, const char *path, bool directory)
{
	const char *name = NULL;
	int place = open_below(init, path);
	cleanup_close int parent = -1;

	if (place >= 0 || errno != ENOENT) {
		return place;
	}
	parent = open_parent(init, path, &name);
	if (parent < 0) {
		return -1;
	}
	if (directory) {
		if (RT(mkdirat, parent, name, 0755) < 0) {
			return -1;
		}
	} else {
		cleanup_close int file = (int)RT(
			openat, parent, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0444);
		if (file < 0) {
			return -1;
		}
	}
	return open_below(init, path);
}

/* Attaches a detached tree. The first one on "/" becomes the new root. */
static int attach(struct init *init, int tree, const char *target, bool directory)
{
	/* Somewhere in the old tree to hang the new root; all of it is gone after pivot_root. */
	static const char *const hooks[] = {"/tmp", "/run", "/mnt", "/proc"};
	cleanup_close int place = -1;

	if (init->root < 0) {
		for (size_t i = 0; i < ARRAY_SIZE(hooks); i++) {
			if (kernel_move_mount(tree, "", AT_FDCWD, hooks[i],
				    KERNEL_MOVE_MOUNT_F_EMPTY_PATH) == 0) {
				init->root = (int)RT(fcntl, tree, F_DUPFD_CLOEXEC, 10);
				return init->root < 0 ? -1 : 0;
			}
		}
		return -1;
	}
	place = open_place(init, target, directory);
	if (place < 0) {
		return -1;
	}
	return kernel_move_mount(tree, "", place, "",
		KERNEL_MOVE_MOUNT_F_EMPTY_PATH | KERNEL_MOVE_MOUNT_T_EMPTY_PATH);
}

static uint64_t attributes(uint32_t flags)
{
	return (flags & PLAN_READ_ONLY ? KERNEL_MOUNT_ATTR_RDONLY : 0) |
		(flags & PLAN_NOSUID ? KERNEL_MOUNT_ATTR_NOSUID : 0) |
		(flags & PLAN_NODEV ? KERNEL_MOUNT_ATTR_NODEV : 0) |
		(flags & PLAN_NOEXEC ? KERNEL_MOUNT_ATTR_NOEXEC : 0);
}

static int set_attributes(int tree, uint32_t flags)
{
	struct kernel_mount_attr attr = {.attr_set = attributes(flags), .propagation = MS_PRIVATE};

	return kernel_mount_setattr(tree, "", AT_EMPTY_PATH | KERNEL_AT_RECURSIVE, &attr);
}

static int set_number(int fs, const char *key, uint64_t value, bool octal)
{
	char digits[24];
	size_t at = sizeof(digits) - 1;
	unsigned base = octal ? 8 : 10;

	digits[at] = '\0';
	do {
		digits[--at] = (char)('0' + value % base);
		value /= base;
	} while (value > 0);
	return kernel_fsconfig(fs, KERNEL_FSCONFIG_SET_STRING, key, digits + at, 0);
}

/* A fresh file system's detached mount. Closes fs. */
static int finish_fs(int fs, uint32_t flags)
{
	int tree = -1;

	if (kernel_fsconfig(fs, KERNEL_FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0) {
		tree = kernel_fsmount(fs, KERNEL_FSMOUNT_CLOEXEC, (unsigned)attributes(flags));
	}
	int saved = errno;
	(void)close(fs);
	errno = saved;
	return tree;
}

/* Closes fs and puts what it became where the plan wants it. */
static int attach_fs(struct init *init, int fs, const struct image_mount *mount)
{
	cleanup_close int tree = finish_fs(fs, mount->flags);

	return tree < 0 ? -1 : attach(init, tree, init_string(init, mount->target), true);
}

static int make_tmpfs(struct init *init, const struct image_mount *mount)
{
	int fs = kernel_fsopen("tmpfs", KERNEL_FSOPEN_CLOEXEC);

	if (fs < 0 || (mount->size > 0 && set_number(fs, "size", mount->size, false) < 0) ||
		(mount->inodes > 0 && set_number(fs, "nr_inodes", mount->inodes, false) < 0) ||
		set_number(fs, "mode", mount->mode, true) < 0 ||
		((mount->flags & PLAN_USER) &&
			(set_number(fs, "uid", init->image->uid, false) < 0 ||
				set_number(fs, "gid", init->image->gid, false) < 0))) {
		return -1;
	}
	return attach_fs(init, fs, mount);
}

/* Without root the launcher could not clone the tree for us: do it here, and see that it is still
 * what the launcher saw. */
static int clone_host_tree(const struct init *init, const struct image_mount *mount)
{
	cleanup_close int tree = kernel_open_tree(AT_FDCWD, init_string(init, mount->source),
		KERNEL_OPEN_TREE_CLONE | KERNEL_OPEN_TREE_CLOEXEC | KERNEL_AT_RECURSIVE);
	statx_result seen = {0};

	if (tree < 0 || look(tree, &seen) < 0) {
		return -1;
	}
	if (((uint64_t)seen.stx_dev_major << 32 | seen.stx_dev_minor) != mount->device ||
		seen.stx_ino != mount->inode) {
		errno = ESTALE;
		return -1;
	}
	return set_attributes(tree, mount->flags) < 0 ? -1 : take_fd(&tree);
}

static int clone_inside_tree(const struct init *init, const struct image_mount *mount)
{
	cleanup_close int source = open_below(init, init_string(init, mount->source));
	cleanup_close int tree = -1;

	if (source < 0) {
		return -1;
	}
	tree = kernel_open_tree(source, "",
		KERNEL_OPEN_TREE_CLONE | KERNEL_OPEN_TREE_CLOEXEC | AT_EMPTY_PATH |
			KERNEL_AT_RECURSIVE);
	return tree < 0 || set_attributes(tree, mount->flags) < 0 ? -1 : take_fd(&tree);
}

static int take_tree(struct init *init, const struct image_mount *mount)
{
	if (mount->flags & PLAN_INSIDE) {
		return clone_inside_tree(init, mount);
	}
	if (!mount->has_tree) {
		return clone_host_tree(init, mount);
	}
	if (init->next_tree >= init->tree_count) {
		errno = EBADMSG;
		return -1;
	}
	return take_fd(&init->trees[init->next_tree++]);
}

static int make_bind(struct init *init, const struct image_mount *mount)
{
	cleanup_close int tree = take_tree(init, mount);
	statx_result seen = {0};

	if (tree < 0 || look(tree, &seen) < 0) {
		return -1;
	}
	return attach(init, tree, init_string(init, mount->target), S_ISDIR(seen.stx_mode));
}

/* What is bound as a device must be one: CVE-2025-31133 is a /dev/null that was not. */
static int make_device(struct init *init, const struct image_mount *mount)
{
	cleanup_close int tree = take_tree(init, mount);
	statx_result seen = {0};

	if (tree < 0 || look(tree, &seen) < 0) {
		return -1;
	}
	if (!S_ISCHR(seen.stx_mode)) {
		errno = ENODEV;
		return -1;
	}
	return attach(init, tree, init_string(init, mount->target), false);
}

static int make_directory_at(
	int parent, const char *name, uint32_t mode, uint32_t uid, uint32_t gid, bool one_id)
{
	cleanup_close int made = -1;

	if (RT(mkdirat, parent, name, 0700) < 0 && errno != EEXIST) {
		return -1;
	}
	made = kernel_openat2(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0,
		KERNEL_RESOLVE_BENEATH | KERNEL_RESOLVE_NO_SYMLINKS);
	/* Where there is one id, everything is its own, and there is nobody to give it to. */
	if (made < 0 || (!one_id && RT(fchown, made, uid, gid) < 0) || RT(fchmod, made, mode) < 0) {
		return -1;
	}
	return take_fd(&made);
}

static int make_directory(struct init *init, const struct image_mount *mount)
{
	const char *name = NULL;
	bool one_id = init->image->flags & IMAGE_ONE_ID;
	cleanup_close int parent = open_parent(init, init_string(init, mount->target), &name);
	uint32_t uid = mount->flags & PLAN_USER ? init->image->uid : 0;
	uint32_t gid = mount->flags & PLAN_USER ? init->image->gid : 0;
	cleanup_close int made = -1;

	if (parent < 0) {
		return -1;
	}
	made = make_directory_at(parent, name, mount->mode, uid, gid, one_id);
	return made < 0 ? -1 : 0;
}

static int make_file(struct init *init, const struct image_mount *mount)
{
	const char *name = NULL;
	const char *content = init_string(init, mount->content);
	cleanup_close int parent = open_parent(init, init_string(init, mount->target), &name);
	cleanup_close int file = -1;

	if (parent < 0) {
		return -1;
	}
	file = (int)RT(
		openat, parent, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (file < 0 ||
		RT(write, file, content, mount->content_size) != (long)mount->content_size ||
		RT(fchmod, file, mount->mode) < 0) {
		return -1;
	}
	if (mount->flags & PLAN_USER) {
		return (int)RT(fchown, file, init->image->uid, init->image->gid);
	}
	return 0;
}

/*
 * Bound by a name in the working directory, which is ours alone yet: no path of the host's leads to
 * where it is made. Few may wait; the rest are told to try again, or wait to be let in.
 */
static int make_door(struct init *init, const struct image_mount *mount)
{
	const char *name = NULL;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	cleanup_close int parent = open_parent(init, init_string(init, mount->target), &name);
	cleanup_close int door =
		(int)RT(socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (parent < 0 || door < 0 || RT(fchdir, parent) < 0) {
		return -1;
	}
	rt_copy(address.sun_path, name, sizeof(address.sun_path));
	if (RT(bind, door, &address, sizeof(address)) < 0 ||
		RT(fchmodat, parent, name, mount->mode) < 0 || RT(listen, door, DOOR_WAITING) < 0 ||
		RT(chdir, "/") < 0) {
		return -1;
	}
	init->door = take_fd(&door);
	return 0;
}

static int make_symlink(struct init *init, const struct image_mount *mount)
{
	const char *name = NULL;
	cleanup_close int parent = open_parent(init, init_string(init, mount->target), &name);

	if (parent < 0) {
		return -1;
	}
	return (int)RT(symlinkat, init_string(init, mount->source), parent, name);
}

/*
 * The lower layer is attached first and the overlay on top of it: overlayfs wants its layers in
 * this mount namespace. content names the directory, on a sized tmpfs, for the upper layer.
 */
static int make_overlay(struct init *init, const struct image_mount *mount)
{
	const char *target = init_string(init, mount->target);
	const char *name = NULL;
	bool one_id = init->image->flags & IMAGE_ONE_ID;
	char path[3][32];
	cleanup_close int lower = take_tree(init, mount);
	cleanup_close int parent = open_parent(init, init_string(init, mount->content), &name);
	cleanup_close int scratch = -1;
	cleanup_close int upper = -1;
	cleanup_close int work = -1;
	cleanup_close int place = -1;
	cleanup_close int tree = -1;
	statx_result owner = {0};
	int fs = -1;

	if (lower < 0 || parent < 0 || look(lower, &owner) < 0 ||
		attach(init, lower, target, true) < 0) {
		return -1;
	}
	scratch = make_directory_at(parent, name, 0700, 0, 0, one_id);
	if (scratch < 0) {
		return -1;
	}
	upper = make_directory_at(scratch, "upper", (owner.stx_mode & 0777) | 0700,
		init->image->uid, init->image->gid, one_id);
	work = make_directory_at(scratch, "work", 0700, 0, 0, one_id);
	place = open_below(init, target);
	fs = kernel_fsopen("overlay", KERNEL_FSOPEN_CLOEXEC);
	if (upper < 0 || work < 0 || place < 0 || fs < 0 ||
		kernel_fsconfig(fs, KERNEL_FSCONFIG_SET_STRING, "lowerdir",
			rt_fd_path(place, path[0]), 0) < 0 ||
		kernel_fsconfig(fs, KERNEL_FSCONFIG_SET_STRING, "upperdir",
			rt_fd_path(upper, path[1]), 0) < 0 ||
		kernel_fsconfig(fs, KERNEL_FSCONFIG_SET_STRING, "workdir",
			rt_fd_path(work, path[2]), 0) < 0 ||
		kernel_fsconfig(fs, KERNEL_FSCONFIG_SET_FLAG, "userxattr", NULL, 0) < 0) {
		return -1;
	}
	tree = finish_fs(fs, mount->flags & ~(uint32_t)PLAN_READ_ONLY);
	return tree < 0 ? -1 : attach(init, tree, target, true);
}

static int make_proc(struct init *init, const struct image_mount *mount)
{
	int fs = kernel_fsopen("proc", KERNEL_FSOPEN_CLOEXEC);

	/* Older kernels know the number but not the word. */
	if (fs < 0 ||
		(kernel_fsconfig(fs, KERNEL_FSCONFIG_SET_STRING, "hidepid", "invisible", 0) < 0 &&
			kernel_fsconfig(fs, KERNEL_FSCONFIG_SET_STRING, "hidepid", "2", 0) < 0)) {
		return -1;
	}
	return attach_fs(init, fs, mount);
}

static int make_devpts(struct init *init, const struct image_mount *mount)
{
	int fs = kernel_fsopen("devpts", KERNEL_FSOPEN_CLOEXEC);

	if (fs < 0 || kernel_fsconfig(fs, KERNEL_FSCONFIG_SET_STRING, "ptmxmode", "0666", 0) < 0 ||
		set_number(fs, "mode", mount->mode, true) < 0 ||
		(mount->size > 0 && set_number(fs, "max", mount->size, false) < 0)) {
		return -1;
	}
	return attach_fs(init, fs, mount);
}

static int make_mqueue(struct init *init, const struct image_mount *mount)
{
	int fs = kernel_fsopen("mqueue", KERNEL_FSOPEN_CLOEXEC);

	if (fs < 0) {
		return -1;
	}
	return attach_fs(init, fs, mount);
}

/* /dev/null of the new root, looked at once: what covers files must be it (CVE-2025-31133). */
static int open_null(struct init *init)
{
	statx_result seen = {0};

	if (init->null > 0) {
		return init->null;
	}
	init->null = open_below(init, "/dev/null");
	if (init->null < 0 || look(init->null, &seen) < 0) {
		return -1;
	}
	if (!S_ISCHR(seen.stx_mode) || seen.stx_rdev_major != 1 || seen.stx_rdev_minor != 3) {
		errno = ENODEV;
		return -1;
	}
	return init->null;
}

static int make_empty_directory(void)
{
	int fs = kernel_fsopen("tmpfs", KERNEL_FSOPEN_CLOEXEC);

	if (fs < 0 || set_number(fs, "nr_inodes", 1, false) < 0 ||
		set_number(fs, "mode", 0555, true) < 0) {
		return -1;
	}
	return finish_fs(fs, PLAN_READ_ONLY | PLAN_NOSUID | PLAN_NODEV | PLAN_NOEXEC);
}

/*
 * The same one everywhere: a file system is made and ended once, and nobody can put anything into it.
 * The first stays attached where it was needed; the others are clones of it.
 */
static int take_empty_directory(struct init *init)
{
	if (init->empty > 0) {
		return kernel_open_tree(init->empty, "",
			KERNEL_OPEN_TREE_CLONE | KERNEL_OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	}
	int tree = make_empty_directory();
	init->empty = tree < 0 ? 0 : (int)RT(fcntl, tree, F_DUPFD_CLOEXEC, 10);
	return tree;
}

/* An empty read-only directory over a directory, /dev/null over anything else. */
static int make_mask(struct init *init, const struct image_mount *mount)
{
	cleanup_close int place = open_below(init, init_string(init, mount->target));
	cleanup_close int tree = -1;
	statx_result seen = {0};

	if (place < 0 || look(place, &seen) < 0) {
		return -1;
	}
	if (S_ISDIR(seen.stx_mode)) {
		tree = take_empty_directory(init);
	} else if (open_null(init) > 0) {
		tree = kernel_open_tree(init->null, "",
			KERNEL_OPEN_TREE_CLONE | KERNEL_OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	}
	if (tree < 0) {
		return -1;
	}
	return kernel_move_mount(tree, "", place, "",
		KERNEL_MOVE_MOUNT_F_EMPTY_PATH | KERNEL_MOVE_MOUNT_T_EMPTY_PATH);
}

static int make_read_only(struct init *init, const struct image_mount *mount)
{
	cleanup_close int place = open_below(init, init_string(init, mount->target));
	cleanup_close int tree = -1;

	if (place < 0) {
		return -1;
	}
	tree = kernel_open_tree(place, "",
		KERNEL_OPEN_TREE_CLONE | KERNEL_OPEN_TREE_CLOEXEC | AT_EMPTY_PATH |
			KERNEL_AT_RECURSIVE);
	if (tree < 0 ||
		set_attributes(tree, PLAN_READ_ONLY | PLAN_NOSUID | PLAN_NODEV | PLAN_NOEXEC) < 0) {
		return -1;
	}
	return kernel_move_mount(tree, "", place, "",
		KERNEL_MOVE_MOUNT_F_EMPTY_PATH | KERNEL_MOVE_MOUNT_T_EMPTY_PATH);
}

/* One function a kind of the plan. */
static int (*const makers[PLAN_MOUNT_KINDS])(struct init *, const struct image_mount *) = {
	[PLAN_MOUNT_TMPFS] = make_tmpfs,
	[PLAN_MOUNT_BIND] = make_bind,
	[PLAN_MOUNT_OVERLAY] = make_overlay,
	[PLAN_MOUNT_PROC] = make_proc,
	[PLAN_MOUNT_DEVPTS] = make_devpts,
	[PLAN_MOUNT_MQUEUE] = make_mqueue,
	[PLAN_MOUNT_DEVICE] = make_device,
	[PLAN_MOUNT_DIR] = make_directory,
	[PLAN_MOUNT_FILE] = make_file,
	[PLAN_MOUNT_SYMLINK] = make_symlink,
	[PLAN_MOUNT_MASK] = make_mask,
	[PLAN_MOUNT_RDONLY] = make_read_only,
	[PLAN_MOUNT_WHY] = make_file,
	[PLAN_MOUNT_DOOR] = make_door,
};

int init_make_mounts(struct init *init)
{
	const struct image *image = init->image;
	const struct image_mount *mounts = (const void *)((const char *)image + image->mounts);

	if (!(image->flags & IMAGE_MOUNTS)) {
		return 0;
	}
	init_doing(init, "making mounts private", "");
	if (RT(mount, NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		return -1;
	}
	for (uint32_t i = 0; i < image->mount_count; i++) {
		const char *target = init_string(init, mounts[i].target);
		init_doing(init, "mounting on", target);
		if (mounts[i].kind >= PLAN_MOUNT_KINDS || target[0] != '/') {
			errno = EBADMSG;
			return -1;
		}
		if (makers[mounts[i].kind](init, &mounts[i]) == 0) {
			continue;
		}
		/* What is optional and not there is left out; every other failure is one. */
		if (!(mounts[i].flags & PLAN_OPTIONAL) || errno != ENOENT) {
			return -1;
		}
	}
	return 0;
}

static bool is_at_or_below(const char *path, const char *directory)
{
	size_t i = 0;

	for (; directory[i] && directory[i] == path[i]; i++) {
	}
	return !directory[i] && (!path[i] || path[i] == '/' || (i == 1 && directory[0] == '/'));
}

/* Did the plan put something here, or is this below something that it bound with all it holds? */
static bool is_expected(const struct init *init, const char *point)
{
	const struct image *image = init->image;
	const struct image_mount *mounts = (const void *)((const char *)image + image->mounts);

	for (uint32_t i = 0; i < image->mount_count; i++) {
		const char *target = init_string(init, mounts[i].target);
		bool fits = mounts[i].kind == PLAN_MOUNT_BIND || mounts[i].kind == PLAN_MOUNT_RDONLY
			? is_at_or_below(point, target)
			: strcmp(point, target) == 0;
		if (fits) {
			return true;
		}
	}
	return false;
}

/* One line of mountinfo: the fifth word is the mount point, with blanks as \040. */
static bool check_line(const struct init *init, const char *line, size_t length)
{
	char point[4096];
	size_t used = 0;
	size_t words = 0;

	for (size_t i = 0; i < length && words < 5; i++) {
		char letter = line[i];
		if (letter == ' ') {
			words++;
			continue;
		}
		if (words != 4 || used + 1 >= sizeof(point)) {
			continue;
		}
		if (letter == '\\' && i + 3 < length) {
			letter = (char)((line[i + 1] - '0') << 6 | (line[i + 2] - '0') << 3 |
				(line[i + 3] - '0'));
			i += 3;
		}
		point[used++] = letter;
	}
	point[used] = '\0';
	return is_expected(init, point);
}

/*
 * The kernel's own list of what is mounted here: nothing of the old tree may be on it. A line that
 * does not fit the buffer fails, like any other that is not understood.
 */
static int check_mounts(struct init *init)
{
	static char text[32768];
	size_t used = 0;
	long n = 0;
	cleanup_close int fd =
		(int)RT(openat, AT_FDCWD, "/proc/self/mountinfo", O_RDONLY | O_CLOEXEC, 0);

	init_doing(init, "checking what is mounted", "");
	if (fd < 0) {
		return -1;
	}
	while ((n = RT(read, fd, text + used, sizeof(text) - used)) > 0) {
		size_t start = 0;
		used += (size_t)n;
		for (size_t i = 0; i < used; i++) {
			if (text[i] != '\n') {
				continue;
			}
			if (!check_line(init, text + start, i - start)) {
				errno = EXDEV;
				return -1;
			}
			start = i + 1;
		}
		for (size_t i = start; i < used; i++) {
			text[i - start] = text[i];
		}
		used -= start;
	}
	if (n < 0 || used > 0) {
		errno = n < 0 ? errno : EOVERFLOW;
		return -1;
	}
	return 0;
}

/*
 * The new root becomes the only one, and that is then looked at again: CVE-2024-21626 was a working
 * directory that still pointed outside.
 */
int init_change_root(struct init *init)
{
	char cwd[64];
	statx_result mine = {0};
	statx_result root = {0};
	statx_result above = {0};

	if (!(init->image->flags & IMAGE_MOUNTS)) {
		return 0;
	}
	init_doing(init, "changing to the new root", "");
	if (init->root < 0 || look(init->root, &mine) < 0 || RT(fchdir, init->root) < 0 ||
		RT(pivot_root, ".", ".") < 0 || RT(umount2, ".", MNT_DETACH) < 0 ||
		RT(chdir, "/") < 0) {
		return -1;
	}
	init_doing(init, "checking the new root", "");
	if (RT(getcwd, cwd, sizeof(cwd)) < 0 ||
		RT(statx, AT_FDCWD, "/", 0, STATX_BASIC_STATS, &root) < 0 ||
		RT(statx, AT_FDCWD, "..", 0, STATX_BASIC_STATS, &above) < 0) {
		return -1;
	}
	if (strcmp(cwd, "/") != 0 || root.stx_ino != mine.stx_ino ||
		above.stx_ino != mine.stx_ino || root.stx_dev_major != mine.stx_dev_major ||
		root.stx_dev_minor != mine.stx_dev_minor ||
		above.stx_dev_minor != mine.stx_dev_minor) {
		errno = EXDEV;
		return -1;
	}
	(void)close(init->root);
	init->root = -1;
	return check_mounts(init);
}
