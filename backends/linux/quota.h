/*
 * Project quotas: a limit that the file system itself keeps for a directory and all that is below it. ext4 and xfs
 * have them, where they are mounted with prjquota. Sources: quotactl(2), uapi linux/dqblk_xfs.h and linux/fs.h.
 */
#pragma once

#include <stdint.h>

/*
 * Does the file system of what fd is enforce limits of projects? 0, -ENOTSUP when it does not, or another negative
 * errno (-ENOSYS, -EPERM). Changes nothing.
 */
int quota_probe(int fd);

/*
 * Limits the directory dir to so many bytes and entries (0: no limit). The project's number is made of its inode's, so
 * no two directories of a file system share one, and it is far from those that people give out. An empty directory of
 * no project is put into its own, and what is made in it later belongs there too; sessions cannot change that, for the
 * kernel lets nobody in a user namespace do it.
 *
 * 0; -ENOTEMPTY when it has no project and something in it, which would not be counted; -EBUSY when somebody
 * has put it into another project; what quota_probe() says; or another negative errno.
 */
int quota_limit(int dir, uint64_t bytes, uint64_t entries);

/* Lifts the limit of a directory that is in its own project; all others are left alone. */
void quota_lift(int dir);
