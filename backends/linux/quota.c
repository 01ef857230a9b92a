#include "backends/linux/quota.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

#define FIRST_PROJECT UINT32_C(0x80000000)
#define BASIC_BLOCK 512 /* what linux/dqblk_xfs.h counts in */

#ifndef QCMD /* of sys/quota.h, which does not go together with linux/quota.h */
#define QCMD(command, type) ((unsigned)(command) << 8 | ((type)&0xff))
#endif

static int control(int fd, unsigned command, uint32_t id, void *data)
{
	return syscall(SYS_quotactl_fd, fd, QCMD(command, PRJQUOTA), id, data) < 0 ? -errno : 0;
}

int quota_probe(int fd)
{
	struct fs_quota_statv state = {.qs_version = FS_QSTATV_VERSION1};
	int r = control(fd, Q_XGETQSTATV, 0, &state);

	/* What a kernel without, a file system without, and one that is mounted without say. */
	if (r == -EINVAL || r == -ENOTTY || r == -EOPNOTSUPP || r == -ESRCH) {
		return -ENOTSUP;
	}
	if (r < 0) {
		return r;
	}
	return state.qs_flags & FS_QUOTA_PDQ_ENFD ? 0 : -ENOTSUP;
}

static int find_project(int dir, uint32_t *ret)
{
	struct stat info;

	if (fstat(dir, &info) < 0) {
		return -errno;
	}
	if (info.st_ino == 0 || info.st_ino >= UINT32_MAX - FIRST_PROJECT) {
		return -ERANGE;
	}
	*ret = FIRST_PROJECT | (uint32_t)info.st_ino;
	return 0;
}

/* 1 or 0, or negative errno. */
static int is_empty(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry = NULL;
	int count = 0;

	if (!list) {
		int r = -errno;
		close_fdp(&fd);
		return r;
	}
	errno = 0;
	while (count < 3 && (entry = readdir(list))) {
		count++;
	}
	int r = errno ? -errno : count <= 2;
	(void)closedir(list);
	return r;
}

/* Puts an empty directory into its project; one that is in it already is left as it is. */
static int adopt(int dir, uint32_t project)
{
	struct fsxattr attributes = {0};

	if (ioctl(dir, FS_IOC_FSGETXATTR, &attributes) < 0) {
		return errno == ENOTTY || errno == EOPNOTSUPP ? -ENOTSUP : -errno;
	}
	bool inherits = attributes.fsx_xflags & FS_XFLAG_PROJINHERIT;
	if (attributes.fsx_projid == project && inherits) {
		return 0;
	}
	if (attributes.fsx_projid != 0 && attributes.fsx_projid != project) {
		return -EBUSY;
	}
	int r = is_empty(dir);
	if (r <= 0) {
		return r < 0 ? r : -ENOTEMPTY;
	}
	attributes.fsx_projid = project;
	attributes.fsx_xflags |= FS_XFLAG_PROJINHERIT;
	return ioctl(dir, FS_IOC_FSSETXATTR, &attributes) < 0 ? -errno : 0;
}

static int set_limit(int dir, uint32_t project, uint64_t bytes, uint64_t entries)
{
	struct fs_disk_quota limit = {
		.d_version = FS_DQUOT_VERSION,
		.d_flags = FS_PROJ_QUOTA,
		.d_fieldmask = FS_DQ_BSOFT | FS_DQ_BHARD | FS_DQ_ISOFT | FS_DQ_IHARD,
		.d_id = project,
		.d_blk_hardlimit = bytes / BASIC_BLOCK,
		.d_ino_hardlimit = entries,
	};

	return control(dir, Q_XSETQLIM, project, &limit);
}

int quota_limit(int dir, uint64_t bytes, uint64_t entries)
{
	uint32_t project = 0;
	int r = quota_probe(dir);

	r = r < 0 ? r : find_project(dir, &project);
	r = r < 0 ? r : adopt(dir, project);
	return r < 0 ? r : set_limit(dir, project, bytes, entries);
}

void quota_lift(int dir)
{
	struct fsxattr attributes = {0};
	uint32_t project = 0;

	if (find_project(dir, &project) == 0 && ioctl(dir, FS_IOC_FSGETXATTR, &attributes) == 0 &&
		attributes.fsx_projid == project) {
		(void)set_limit(dir, project, 0, 0);
	}
}
