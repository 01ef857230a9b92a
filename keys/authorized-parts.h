/*
 * authorized_keys: what its parts share. authorized.c reads lines and files, authorized-options.c what stands before
 * the key, authorized-from.c where the client must come from.
 */
#pragma once

#include "base/err.h"
#include "keys/authorized.h"

/* Is this a pattern of from=? 0, or -EINVAL with err. */
int authorized_check_pattern(const char *pattern, struct err *err);

/* Reads the options, which end at a blank, and moves *at behind them. 0, -EINVAL with err, or -ENOMEM. */
int authorized_take_options(const char **at, struct key_options *key, struct err *err);
