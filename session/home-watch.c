#include "session/home-watch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "backends/linux/quota.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "session/homes.h"

#define AT_ONCE 256 /* entries, a millisecond or so */
#define SHARE 20 /* counting takes one part of so many of the time */
#define START_MAX UINT64_C(10000000) /* microseconds: a session does not wait longer for it */

void home_watch_init(struct home_watch *watch)
{
	*watch = (struct home_watch){.home = -1};
}

void home_watch_fini(struct home_watch *watch)
{
	home_count_free(watch->count);
	close_fdp(&watch->home);
	home_watch_init(watch);
}

static bool is_over(const struct home_watch *watch)
{
	return watch->use.over;
}

/* What is free now, for the next question whether anything was written. */
static void note_free(struct home_watch *watch)
{
	struct statvfs info;

	if (fstatvfs(watch->home, &info) == 0) {
		watch->blocks = info.f_bfree;
		watch->files = info.f_ffree;
	}
}

static int begin_count(struct home_watch *watch, uint64_t now)
{
	const struct home_bounds bounds = home_bounds(watch->quota);

	note_free(watch);
	watch->began = now;
	watch->took = 0;
	return home_count_new(watch->home, &bounds, &watch->count);
}

static void end_count(struct home_watch *watch, uint64_t now)
{
	uint64_t pause = watch->took * SHARE;

	watch->use = home_count_use(watch->count);
	home_count_free(watch->count);
	watch->count = NULL;
	watch->counted_at = now;
	pause = pause < HOME_PAUSE_MIN ? HOME_PAUSE_MIN : pause;
	watch->next_at = now + (pause > HOME_PAUSE_MAX ? HOME_PAUSE_MAX : pause);
}

/* One part of the count. True when it is finished. */
static bool go_on(struct home_watch *watch)
{
	uint64_t before = io_now_usec();
	bool finished = home_count_step(watch->count, AT_ONCE) != 0;
	uint64_t after = io_now_usec();

	watch->took += after - before;
	if (finished) {
		end_count(watch, after);
	}
	return finished;
}

/* The whole, while a session waits. */
static int count_now(struct home_watch *watch, struct err *err)
{
	int r = begin_count(watch, io_now_usec());

	if (r < 0) {
		return err_set(err, -r, "counting the home directory");
	}
	while (!go_on(watch)) {
		if (io_now_usec() > watch->began + START_MAX) {
			end_count(watch, io_now_usec());
			watch->use.over = "it could not be counted in time";
			break;
		}
	}
	return 0;
}

/* The file system keeps the limit; or it does not, and why is said where somebody can mend it. */
static bool is_kept(int home, const char *path, uint64_t quota)
{
	const struct home_bounds bounds = home_bounds(quota);
	int r = quota_limit(home, bounds.bytes, bounds.entries);

	if (r == -ENOTEMPTY || r == -EBUSY) {
		log_warning("%s %s: its limit is counted and not kept by the file system", path,
			r == -EBUSY ? "is in a project of somebody else's"
				    : "is older than its limit");
	} else if (r < 0 && r != -ENOTSUP && r != -ENOSYS && r != -EPERM) {
		log_warning("%s: its limit is counted, since the file system does not take it: %s",
			path, strerror(-r));
	}
	return r == 0;
}

int home_watch_begin(
	struct home_watch *watch, const char *path, uint64_t quota, bool *ret_full, struct err *err)
{
	cleanup_close int home = -1;
	int r = homes_open(path, &home, err);

	*ret_full = false;
	if (r < 0) {
		return r;
	}
	if (quota == 0) {
		quota_lift(home);
		return 0;
	}
	if (is_kept(home, path, quota)) {
		return 0;
	}
	/* While others run, their last count is good until the next one is due. */
	if (watch->home < 0 || watch->count || is_over(watch) || io_now_usec() >= watch->next_at) {
		home_watch_fini(watch);
		watch->home = take_fd(&home);
		watch->quota = quota;
		r = count_now(watch, err);
	}
	*ret_full = r == 0 && is_over(watch);
	return r;
}

uint64_t home_watch_deadline(const struct home_watch *watch)
{
	if (watch->home < 0 || watch->told) {
		return UINT64_MAX;
	}
	return watch->count || is_over(watch) ? 0 : watch->next_at;
}

/*
 * Has the file system less room than at the last count? Others may fill or empty it too: more room is the new
 * measure, and after the longest pause the home is counted whatever is free.
 */
static bool is_written(struct home_watch *watch, uint64_t now)
{
	struct statvfs info;

	if (now >= watch->counted_at + HOME_PAUSE_MAX || fstatvfs(watch->home, &info) < 0) {
		return true;
	}
	bool less = info.f_bfree < watch->blocks || info.f_ffree < watch->files;
	watch->blocks = info.f_bfree > watch->blocks ? info.f_bfree : watch->blocks;
	watch->files = info.f_ffree > watch->files ? info.f_ffree : watch->files;
	return less;
}

enum home_news home_watch_step(struct home_watch *watch, uint64_t now)
{
	if (now < home_watch_deadline(watch) || watch->home < 0) {
		return HOME_NOTHING;
	}
	if (is_over(watch)) {
		/* Found before a session started: there may be others that still write. */
		watch->told = true;
		return HOME_OVER;
	}
	if (!watch->count) {
		if (!is_written(watch, now)) {
			watch->next_at = now + HOME_PAUSE_MIN;
			return HOME_NOTHING;
		}
		if (begin_count(watch, now) < 0) {
			watch->next_at = now + HOME_PAUSE_MIN;
			return HOME_NOTHING;
		}
	}
	if (!go_on(watch)) {
		return HOME_NOTHING;
	}
	if (is_over(watch)) {
		watch->told = true;
		return HOME_OVER;
	}
	bool near = watch->use.bytes > watch->quota - watch->quota / 10;
	bool news = near && !watch->warned;
	watch->warned = near;
	return news ? HOME_NEAR : HOME_NOTHING;
}

static void format_size(uint64_t bytes, char *text, size_t size)
{
	static const char units[] = "KMGTP";
	double value = (double)bytes / 1024;
	size_t unit = 0;

	while (value >= 1024 && unit + 2 < sizeof(units)) {
		value /= 1024;
		unit++;
	}
	(void)snprintf(text, size, "%.1f%c", value, units[unit]);
}

const char *home_watch_describe(const struct home_watch *watch, char *text, size_t size)
{
	char used[24];
	char limit[24];

	format_size(watch->use.bytes, used, sizeof(used));
	format_size(watch->quota, limit, sizeof(limit));
	(void)snprintf(text, size, "%s of %s%s%s%s", used, limit, is_over(watch) ? " (" : "",
		is_over(watch) ? watch->use.over : "", is_over(watch) ? ")" : "");
	return text;
}

const char *home_quota_kind(const char *above)
{
	cleanup_free char *path = strdup(above);
	int r = -ENOMEM;

	while (path && *path) {
		cleanup_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0) {
			r = quota_probe(fd);
			break;
		}
		char *slash = strrchr(path, '/');
		if (!slash || errno != ENOENT) {
			break;
		}
		slash[slash == path && slash[1] ? 1 : 0] = '\0';
	}
	return r == 0 ? "kept by the file system"
		      : "counted while sessions run, for the file system keeps no project quotas";
}
