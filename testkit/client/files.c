/*
 * File probes. They read secrets and change files only in directories the host made for this run;
 * each probe has an object of its own there, so that the host can tell who did what.
 */
#include "testkit/client/client.h"

#include <linux/fs.h>
#include <linux/mman.h>
#include <linux/stat.h>
#include <linux/time_types.h>
#include <sys/stat.h>

static char path_a[512];
static char path_b[512];

/* <directory>/<id>: the object of this probe. */
static const char *own(char *out, const char *directory, const char *id)
{
	return text_join(out, sizeof(path_a), job_text(directory), "/", id);
}

static void read_secret(struct result *result, const char *path)
{
	char text[128];
	long n = file_read(path, text, sizeof(text));

	if (n < 0) {
		result_from(result, n);
	} else {
		result_done_bytes(result, text, (size_t)n);
	}
}

static void read_own(struct result *result, const char *directory, const char *id)
{
	if (!job_has(directory)) {
		result_absent(result, 0);
		return;
	}
	read_secret(result, own(path_a, directory, id));
}

static void fs_read_tmp(struct result *result)
{
	read_own(result, "secret.tmp", "F.read-tmp");
}

static void fs_read_home(struct result *result)
{
	read_own(result, "secret", "F.read-home");
}

static void fs_read_opath(struct result *result)
{
	char text[128];
	long handle = sys(SYS_openat, AT_FDCWD, job_text("secret"), O_PATH | O_DIRECTORY, 0);
	long fd = handle;
	long n = 0;

	if (handle >= 0) {
		fd = sys(SYS_openat, handle, "F.read-opath", O_RDONLY, 0);
	}
	n = fd < 0 ? fd : sys(SYS_read, fd, text, sizeof(text));
	if (n < 0) {
		result_from(result, n);
	} else {
		result_done_bytes(result, text, (size_t)n);
	}
}

/* Climbs from the working directory to a root above it, if there is one. */
static void fs_read_climb(struct result *result)
{
	static const char up[] = "../../../../../../../../../../../../../../../..";

	read_secret(
		result, text_join(path_a, sizeof(path_a), up, job_text("secret"), "/F.read-climb"));
}

static void fs_read_proc_root(struct result *result)
{
	char *end = path_a + sizeof(path_a);
	char *at = text_add(path_a, end, "/proc/");

	at = text_add_number(at, end, job_number("victim"));
	at = text_add(at, end, "/root");
	at = text_add(at, end, job_text("secret"));
	(void)text_add(at, end, "/F.read-proc-root");
	read_secret(result, path_a);
}

static void fs_deny(struct result *result)
{
	read_own(result, "deny", "F.deny");
}

static void fs_deny_alias(struct result *result)
{
	char *end = path_a + sizeof(path_a);
	char *at = text_add(path_a, end, "/proc/self/root/.//");

	if (!job_has("deny")) {
		result_absent(result, 0);
		return;
	}
	at = text_add(at, end, job_text("deny"));
	(void)text_add(at, end, "/./F.deny-alias");
	read_secret(result, path_a);
}

static void fs_deny_list(struct result *result)
{
	static char entries[4096];
	long fd = sys(SYS_openat, AT_FDCWD, job_text("deny"), O_RDONLY | O_DIRECTORY, 0);
	long n = fd;

	if (!job_has("deny")) {
		result_absent(result, 0);
		return;
	}
	if (fd >= 0) {
		n = sys(SYS_getdents64, fd, entries, sizeof(entries));
	}
	if (n >= 0 && text_find(entries, (size_t)n, "F.deny-list")) {
		result_done(result, "listed");
		return;
	}
	result_from(result, n < 0 ? n : -ENOENT);
}

static void fs_scope_read(struct result *result)
{
	read_own(result, "scope.read", "F.scope-read");
}

/* The first bytes of a file every system has; the host compares them with its own. */
static void fs_read_system(struct result *result)
{
	read_secret(result, job_has("system") ? job_text("system") : "/usr/lib/os-release");
}

/* ---- writing ---- */

static void create_in(struct result *result, const char *directory, const char *id)
{
	if (!job_has(directory)) {
		result_absent(result, 0);
		return;
	}
	result_from(result, file_write(own(path_a, directory, id), O_CREAT | O_EXCL, mark(id)));
}

static void fs_create(struct result *result)
{
	create_in(result, "write", "F.create");
}

static void fs_overwrite(struct result *result)
{
	result_from(
		result, file_write(own(path_a, "write", "F.overwrite"), 0, mark("F.overwrite")));
}

static void fs_append(struct result *result)
{
	result_from(
		result, file_write(own(path_a, "write", "F.append"), O_APPEND, mark("F.append")));
}

static void fs_truncate(struct result *result)
{
	result_from(result, sys(SYS_truncate, own(path_a, "write", "F.truncate"), 1));
}

static void fs_unlink(struct result *result)
{
	result_from(result, sys(SYS_unlinkat, AT_FDCWD, own(path_a, "write", "F.unlink"), 0));
}

static void fs_rename(struct result *result)
{
	(void)own(path_a, "write", "F.rename");
	(void)own(path_b, "write", "F.renamed");
	result_from(result, sys(SYS_renameat2, AT_FDCWD, path_a, AT_FDCWD, path_b, 0));
}

static void fs_mkdir(struct result *result)
{
	result_from(result, sys(SYS_mkdirat, AT_FDCWD, own(path_a, "write", "F.mkdir"), 0755));
}

static void fs_symlink(struct result *result)
{
	result_from(result,
		sys(SYS_symlinkat, mark("F.symlink"), AT_FDCWD, own(path_a, "write", "F.symlink")));
}

static void fs_chmod(struct result *result)
{
	result_from(result, sys(SYS_fchmodat, AT_FDCWD, own(path_a, "mine", "F.chmod"), 0600));
}

static void fs_times(struct result *result)
{
	struct __kernel_timespec times[2] = {{1, 0}, {1, 0}};

	result_from(result, sys(SYS_utimensat, AT_FDCWD, own(path_a, "mine", "F.times"), times, 0));
}

static void fs_mmap(struct result *result)
{
	long fd = file_open(own(path_a, "write", "F.mmap"), O_RDWR);
	const char *text = mark("F.mmap");
	long at = fd;

	if (fd >= 0) {
		at = sys(SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	}
	if (at < 0 && at > -4096) {
		result_from(result, at);
		return;
	}
	memcpy((char *)at, text, text_length(text));
	result_done(result, "");
}

static void fs_tmpfile(struct result *result)
{
	char link[32] = "/proc/self/fd/";
	const char *text = mark("F.tmpfile");
	long fd = sys(SYS_openat, AT_FDCWD, job_text("write"), O_TMPFILE | O_RDWR, 0644);
	long r = fd;

	if (fd >= 0) {
		(void)sys(SYS_write, fd, text, text_length(text));
		(void)text_add_number(link + 14, link + sizeof(link), (uint64_t)fd);
		r = sys(SYS_linkat, AT_FDCWD, link, AT_FDCWD, own(path_a, "write", "F.tmpfile"),
			AT_SYMLINK_FOLLOW);
	}
	result_from(result, r);
}

static void fs_fifo(struct result *result)
{
	result_from(result, file_write(own(path_a, "meet", "F.fifo"), 0, mark("F.fifo")));
}

/* Holds the lock for a moment: the host tries for it meanwhile. */
static void fs_flock(struct result *result)
{
	long fd = file_open(own(path_a, "secret", "F.flock"), O_RDONLY);
	long r = fd;

	if (fd >= 0) {
		r = sys(SYS_flock, fd, 2 | 4 /* LOCK_EX | LOCK_NB */);
	}
	result_from(result, r);
	if (r >= 0) {
		pause_ms(30);
	}
}

static void fs_tmp_private(struct result *result)
{
	result_from(result,
		file_write(text_join(path_a, sizeof(path_a), "/tmp/", job_text("leave"),
				   ".F.tmp-private"),
			O_CREAT | O_EXCL, mark("F.tmp-private")));
}

static void fs_vartmp_private(struct result *result)
{
	result_from(result,
		file_write(text_join(path_a, sizeof(path_a), "/var/tmp/", job_text("leave"),
				   ".F.vartmp-private"),
			O_CREAT | O_EXCL, mark("F.vartmp-private")));
}

static void fs_shm_private(struct result *result)
{
	result_from(result,
		file_write(text_join(path_a, sizeof(path_a), "/dev/shm/", job_text("leave"),
				   ".F.shm-private"),
			O_CREAT | O_EXCL, mark("F.shm-private")));
}

static void fs_scope_create(struct result *result)
{
	create_in(result, "scope", "F.scope-create");
}

static void fs_scope_overwrite(struct result *result)
{
	if (!job_has("scope")) {
		result_absent(result, 0);
		return;
	}
	result_from(result,
		file_write(
			own(path_a, "scope", "F.scope-overwrite"), 0, mark("F.scope-overwrite")));
}

/* A file of ours where the session may write for itself: home, else /tmp. Reads it back. */
static void fs_scratch(struct result *result)
{
	char text[96];
	const char *home = "";
	long n = 0;

	for (char **env = client_env; *env; env++) {
		home = text_starts(*env, "HOME=") ? *env + 5 : home;
	}
	for (int i = 0; i < 2; i++) {
		(void)text_join(path_a, sizeof(path_a), i ? "/tmp" : home, "/.", job_text("leave"));
		n = file_write(path_a, O_CREAT | O_EXCL, mark("F.scratch"));
		if (n >= 0) {
			n = file_read(path_a, text, sizeof(text));
			(void)sys(SYS_unlinkat, AT_FDCWD, path_a, 0);
			break;
		}
	}
	result_from(result, n >= 0 && !text_same(text, mark("F.scratch")) ? -EIO : n);
}

/* ---- inherited descriptors ---- */

/* The descriptor above 2 that is this very object ("major:minor:inode" as the host says), or -1. */
static long find_descriptor(const char *name)
{
	static struct statx info;
	char identity[64];
	char *end = identity + sizeof(identity);

	for (long fd = 3; fd < 1024; fd++) {
		char *at = identity;
		if (sys(SYS_statx, fd, "", 0x1000 /* AT_EMPTY_PATH */, 0x7ff, &info) < 0) {
			continue;
		}
		at = text_add_number(at, end, info.stx_dev_major);
		at = text_add(at, end, ":");
		at = text_add_number(at, end, info.stx_dev_minor);
		at = text_add(at, end, ":");
		(void)text_add_number(at, end, info.stx_ino);
		if (text_same(identity, job_text(name))) {
			return fd;
		}
	}
	return -1;
}

static void fs_dirfd(struct result *result)
{
	long fd = find_descriptor("fd.dir");

	if (fd < 0) {
		result_from(result, -EBADF);
		return;
	}
	fd = sys(SYS_openat, fd, "F.dirfd", O_WRONLY | O_CREAT | O_EXCL, 0644);
	if (fd >= 0) {
		(void)sys(SYS_write, fd, mark("F.dirfd"), text_length(mark("F.dirfd")));
	}
	result_from(result, fd);
}

static void fs_rofd(struct result *result)
{
	char link[40] = "/proc/self/fd/";
	long fd = find_descriptor("fd.file");

	if (fd < 0) {
		result_from(result, -EBADF);
		return;
	}
	(void)text_add_number(link + 14, link + sizeof(link), (uint64_t)fd);
	result_from(result, file_write(link, 0, mark("F.rofd")));
}

/* ---- what one session leaves and the next one finds ---- */

static const char *fresh_path(const char *place)
{
	return text_join(path_a, sizeof(path_a), place, job_text("fresh"), ".fresh");
}

static void fresh(struct result *result, const char *place, const char *id)
{
	if (job_number("plant")) {
		long n = file_write(fresh_path(place), O_CREAT | O_EXCL, job_text("fresh.token"));
		/* Who means to leave something lets others read it, whatever ids they have. */
		(void)sys(SYS_fchmodat, AT_FDCWD, fresh_path(place), 0644);
		result_from(result, n);
		return;
	}
	(void)id;
	read_secret(result, fresh_path(place));
}

static void fresh_tmp(struct result *result)
{
	fresh(result, "/tmp/.", "S.tmp");
}

static void fresh_vartmp(struct result *result)
{
	fresh(result, "/var/tmp/.", "S.vartmp");
}

static void fresh_shm(struct result *result)
{
	fresh(result, "/dev/shm/.", "S.shm");
}

static void fresh_home(struct result *result)
{
	static char place[400];
	const char *home = "";

	for (char **env = client_env; *env; env++) {
		home = text_starts(*env, "HOME=") ? *env + 5 : home;
	}
	fresh(result, text_join(place, sizeof(place), home, "/.", ""), "S.home");
}

const struct client_probe probes_files[] = {
	{"F.read-tmp", fs_read_tmp},
	{"F.read-home", fs_read_home},
	{"F.read-opath", fs_read_opath},
	{"F.read-climb", fs_read_climb},
	{"F.read-proc-root", fs_read_proc_root},
	{"F.deny", fs_deny},
	{"F.deny-alias", fs_deny_alias},
	{"F.deny-list", fs_deny_list},
	{"F.scope-read", fs_scope_read},
	{"F.read-system", fs_read_system},
	{"F.create", fs_create},
	{"F.overwrite", fs_overwrite},
	{"F.append", fs_append},
	{"F.truncate", fs_truncate},
	{"F.unlink", fs_unlink},
	{"F.rename", fs_rename},
	{"F.mkdir", fs_mkdir},
	{"F.symlink", fs_symlink},
	{"F.chmod", fs_chmod},
	{"F.times", fs_times},
	{"F.mmap", fs_mmap},
	{"F.tmpfile", fs_tmpfile},
	{"F.fifo", fs_fifo},
	{"F.flock", fs_flock},
	{"F.tmp-private", fs_tmp_private},
	{"F.vartmp-private", fs_vartmp_private},
	{"F.shm-private", fs_shm_private},
	{"F.scope-create", fs_scope_create},
	{"F.scope-overwrite", fs_scope_overwrite},
	{"F.scratch", fs_scratch},
	{"F.dirfd", fs_dirfd},
	{"F.rofd", fs_rofd},
	{"S.tmp", fresh_tmp},
	{"S.vartmp", fresh_vartmp},
	{"S.shm", fresh_shm},
	{"S.home", fresh_home},
	{NULL, NULL},
};
