#include "session/home-count.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

/* A descriptor and a buffer each. Who nests deeper hides something, or has a broken program. */
#define DEPTH 128
#define BLOCK UINT64_C(512) /* of st_blocks, whatever st_blksize says */

/* A file with more than one name. */
struct linked {
	dev_t device;
	ino_t inode; /* 0: a free place */
};

struct home_count {
	struct home_bounds bounds;
	struct home_use use;
	DIR *dirs[DEPTH];
	size_t depth;
	struct linked *linked; /* hashed; never more than half full */
	size_t linked_count, linked_room;
};

struct home_bounds home_bounds(uint64_t bytes)
{
	enum { ENTRY = 4096, FEW = 1000, MANY = 1000000 };
	uint64_t entries = bytes / ENTRY;

	return (struct home_bounds){.bytes = bytes,
		.entries = entries < FEW ? FEW
			: entries > MANY ? MANY
					 : entries};
}

static struct linked *find_place(struct linked *table, size_t room, const struct linked *file)
{
	uint64_t hash = ((uint64_t)file->inode ^ (uint64_t)file->device << 32) *
		UINT64_C(0x9e3779b97f4a7c15);
	size_t at = (size_t)(hash >> 32) & (room - 1);

	while (table[at].inode &&
		(table[at].inode != file->inode || table[at].device != file->device)) {
		at = (at + 1) & (room - 1);
	}
	return &table[at];
}

static int grow(struct home_count *count)
{
	size_t room = count->linked_room ? 2 * count->linked_room : 64;
	struct linked *table = calloc(room, sizeof(*table));

	if (!table) {
		return -ENOMEM;
	}
	for (size_t i = 0; i < count->linked_room; i++) {
		if (count->linked[i].inode) {
			*find_place(table, room, &count->linked[i]) = count->linked[i];
		}
	}
	free(count->linked);
	count->linked = table;
	count->linked_room = room;
	return 0;
}

/* Was this one counted under another name? 1 or 0, or -ENOMEM. */
static int is_known(struct home_count *count, const struct stat *info)
{
	const struct linked file = {.device = info->st_dev, .inode = info->st_ino};

	if (2 * (count->linked_count + 1) > count->linked_room && grow(count) < 0) {
		return -ENOMEM;
	}
	struct linked *place = find_place(count->linked, count->linked_room, &file);
	if (place->inode) {
		return 1;
	}
	*place = file;
	count->linked_count++;
	return 0;
}

static void add(struct home_count *count, const struct stat *info)
{
	bool shared = !S_ISDIR(info->st_mode) && info->st_nlink > 1;
	int known = shared ? is_known(count, info) : 0;

	if (known < 0) {
		count->use.over = "there is no memory to count it";
		return;
	}
	count->use.entries++;
	count->use.bytes += known ? 0 : (uint64_t)info->st_blocks * BLOCK;
	if (count->use.bytes > count->bounds.bytes) {
		count->use.over = "it takes too much";
	} else if (count->use.entries > count->bounds.entries) {
		count->use.over = "there are too many files in it";
	}
}

/* It was there a moment ago, and its user may have moved it: what is gone is not counted. */
static bool is_gone(int error)
{
	return error == ENOENT || error == ENOTDIR || error == ELOOP;
}

static void descend(struct home_count *count, int above, const char *name)
{
	if (count->depth == DEPTH) {
		count->use.over = "it is nested too deep to be counted";
		return;
	}
	int fd = openat(above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && is_gone(errno)) {
		return;
	}
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir) {
		close_fdp(&fd);
		count->use.over = "it cannot be counted";
		return;
	}
	count->dirs[count->depth++] = dir;
}

static void look_at(struct home_count *count, const char *name)
{
	int above = dirfd(count->dirs[count->depth - 1]);
	struct stat info;

	if (fstatat(above, name, &info, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0) {
		count->use.over = is_gone(errno) ? NULL : "it cannot be counted";
		return;
	}
	add(count, &info);
	if (!count->use.over && S_ISDIR(info.st_mode)) {
		descend(count, above, name);
	}
}

int home_count_new(int home, const struct home_bounds *bounds, struct home_count **ret)
{
	struct home_count *count = calloc(1, sizeof(*count));
	struct stat info;

	if (!count) {
		return -ENOMEM;
	}
	count->bounds = *bounds;
	if (fstat(home, &info) < 0) {
		int r = -errno;
		home_count_free(count);
		return r;
	}
	add(count, &info);
	descend(count, home, ".");
	*ret = count;
	return 0;
}

int home_count_step(struct home_count *count, unsigned entries)
{
	while (count->depth > 0 && !count->use.over) {
		if (entries-- == 0) {
			return 0;
		}
		errno = 0;
		const struct dirent *entry = readdir(count->dirs[count->depth - 1]);
		if (!entry) {
			/* A directory that is removed while it is read ends with ENOENT. */
			count->use.over = errno && !is_gone(errno) ? "it cannot be counted" : NULL;
			(void)closedir(count->dirs[--count->depth]);
		} else if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
			look_at(count, entry->d_name);
		}
	}
	return 1;
}

struct home_use home_count_use(const struct home_count *count)
{
	return count->use;
}

void home_count_free(struct home_count *count)
{
	if (!count) {
		return;
	}
	while (count->depth > 0) {
		(void)closedir(count->dirs[--count->depth]);
	}
	free(count->linked);
	free(count);
}
