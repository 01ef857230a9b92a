/*
 * Things of which each may have one owner on this host (ranges of ids, addresses): a directory with
 * one file a thing, locked by the owner. A file may be unlinked by its owner or by a sweep, each only
 * while holding its lock; so whoever gets a lock looks whether the name still leads to the file that
 * is locked, and otherwise tries again. Nothing here depends on anyone cleaning up: a file without a
 * holder is as good as none.
 */
#pragma once

/*
 * Opens path, a directory right below /run/cloche, made if need be, and refuses it when it is
 * anybody else's. Returns a descriptor, the caller's, or negative errno.
 */
int lockdir_open(const char *path);

/*
 * Opens and locks the file called name; flags (O_CREAT) as openat(2). Returns the locked file, the
 * caller's to close, -EWOULDBLOCK when someone has it, or another negative errno.
 */
int lockdir_lock(int directory, const char *name, int flags);

/* Gives the thing called number back: unlinks its file in the directory path, then closes *lock. */
void lockdir_release(const char *path, unsigned number, int *lock);

/*
 * Unlinks the files in the directory path that nobody holds. look, unless NULL, sees each of them
 * first, open and locked. Returns how many there were, or negative errno.
 */
int lockdir_sweep(const char *path, void (*look)(int fd));
