/*
 * Opening files that decide who may do what: by descriptor, with owner and mode of the file and of
 * every directory above it checked, no step of the path resolved twice.
 */
#pragma once

#include <sys/types.h>

#include "base/err.h"

/*
 * Opens path for reading. The file must be a regular file owned by root or owner, writable by
 * nobody else, and with secret set readable by nobody else; every directory on the way must be
 * owned by root or owner and, unless sticky, writable by nobody else. Symbolic links are followed only
 * where each passes the same checks. FIFOs and devices never block.
 *
 * Returns a descriptor, or negative errno with err naming the component, what is wrong with it and
 * the command that mends it.
 */
int keyfile_open(const char *path, uid_t owner, int secret, struct err *err);
