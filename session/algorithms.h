/*
 * The names of algorithms that a configuration may ask for: what libssh 0.10.6 can do, without what
 * nobody should (SHA-1, CBC). A test asks libssh about each.
 */
#pragma once

#include "base/err.h"

enum algorithm_kind {
	ALGORITHM_KEX,
	ALGORITHM_CIPHER,
	ALGORITHM_MAC,
	ALGORITHM_HOST_KEY,
	ALGORITHM_USER_KEY,
	ALGORITHM_KINDS,
};

/* All of a kind; ends with NULL. */
const char *const *algorithms_known(enum algorithm_kind kind);

/*
 * Is every name of a list separated by commas known, and none there twice? 0, or -EINVAL with err naming
 * the first that is not and those that are.
 */
int algorithms_check(enum algorithm_kind kind, const char *list, struct err *err);
