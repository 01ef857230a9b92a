/*
 * System-call filters. They are compiled when cloche is built (filter-gen.c, with libseccomp) from
 * the table in filter-policy.c, so that a session only copies an array.
 */
#pragma once

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct filter; /* static and constant; never freed */

/* The filter of a session; with no_exec the one that lets a single keyed execve through. */
const struct filter *filter_get(bool no_exec);

/* "default" or "default+no-exec". */
const char *filter_name(const struct filter *filter);

/* BLAKE2b-256 of the compiled program (placeholders instead of keys), 64 hex digits. */
const char *filter_digest_hex(const struct filter *filter);

/* True when the program needs a key. */
bool filter_is_keyed(const struct filter *filter);

/*
 * The rules as text, one a string, in the table's order: "allow clone if arg0 & 0x7e020000 == 0".
 * The caller frees *ret_rules with strv_free(). 0 or -ENOMEM.
 */
int filter_list(const struct filter *filter, char ***ret_rules);

/*
 * A program ready for seccomp(2), for the caller to free. A keyed filter gets key put in: the one
 * execve it lets through must carry key[0..2] in its 4th, 5th and 6th argument registers:
 *
 *	syscall(SYS_execve, path, argv, envp, key[0], key[1], key[2]);
 *
 * The program then is a secret of the launcher and pid 1: wipe every copy once it is installed, and
 * use a key only once. key is not looked at (may be NULL) for a filter that is not keyed.
 *
 * 0, -EINVAL when a key is missing, or -ENOMEM.
 */
int filter_program(const struct filter *filter, const uint64_t key[3], struct sock_filter **ret,
	size_t *ret_count);
