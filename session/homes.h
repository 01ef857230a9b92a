/*
 * Home directories that last: one a login name, below a directory of the server's. On the host they belong to a
 * user that nobody is; an idmapped mount makes that owner the session's.
 */
#pragma once

#include "base/err.h"

#define HOMES_OWNER 65520 /* beside net_user's and authorize_user's: given to nobody */

/*
 * Makes the directory at path, and the one above it, if they are not there, and checks both: the one above belongs
 * to us and nobody else can write to it, the home is a directory of HOMES_OWNER's (without root: of ours). No
 * symbolic link is followed. Nothing inside a home is looked at. 0, or negative errno with err.
 */
int homes_prepare(const char *path, struct err *err);

/* The same, and *ret_fd is the home, the caller's to close. */
int homes_open(const char *path, int *ret_fd, struct err *err);
