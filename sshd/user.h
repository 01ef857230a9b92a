/*
 * Users of the host that processes of ours become.
 */
#pragma once

#include <sys/types.h>

#include "base/err.h"

/*
 * The ids behind the value of the configuration's key: a name of the host, or a number. Never root's. Without
 * root nothing can be become: both are (uid_t)-1. 0, -ENOENT or -EINVAL.
 */
int user_find(const char *key, const char *user, uid_t *ret_uid, gid_t *ret_gid, struct err *err);
