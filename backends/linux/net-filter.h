/*
 * The system-call filter of the network-facing process: it can move bytes between the descriptors
 * it was given, allocate memory, read the clock and end. An allow-list by hand, since it is short;
 * what no rule names fails with EPERM, and what only a taken-over process would try kills it.
 */
#pragma once

#include <linux/filter.h>
#include <stddef.h>

#include "base/err.h"

/* The program, built on first use: static, not to be freed. */
const struct sock_filter *net_filter_program(size_t *ret_count);

/* Confines the calling process for good; no_new_privs must be set. 0 or negative errno with err. */
int net_filter_install(struct err *err);
