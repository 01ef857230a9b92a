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

/* The same for a session whose home is full: nothing is added there that Landlock does not see to. */
const struct filter *filter_get_full(bool no_exec);

/* "default", "default+no-exec", "default+full-home" or "default+full-home+no-exec". */
const char *filter_name(const struct filter *filter);

/* BLAKE2b-256 of the compiled program, placeholders instead of keys: 64 hex digits. */
const char *filter_digest_hex(const struct filter *filter);

/* True when the program needs a key. */
bool filter_is_keyed(const struct filter *filter);

/*
 * The rules as text, one a string, in the table's order: "allow clone if arg0 & 0x7e020000 == 0".
 * The caller frees *ret_rules with strv_free(). 0 or -ENOMEM.
 */
int filter_list(const struct filter *filter, char ***ret_rules);

/*
 * The compiled program, borrowed. Of a keyed filter this is the template, which kills whoever
 * installs it: copy it and filter_set_key() the copy.
 */
const struct sock_filter *filter_template(const struct filter *filter, size_t *ret_count);

/*
 * Puts key into a copy of a keyed template. No allocation, no libc: cloche-init links it
 * (filter-key.c). The one execve that is let through then must carry the key in its 4th, 5th and
 * 6th argument registers:
 *
 *	syscall(SYS_execve, path, argv, envp, key[0], key[1], key[2]);
 *
 * The program is now a secret of launcher and pid 1: wipe every copy once it is installed, and use
 * a key only once. 0, or -EINVAL when program is no such template (it is then unchanged).
 */
int filter_set_key(struct sock_filter *program, size_t count, const uint64_t key[3]);

/*
 * A program ready for seccomp(2), for the caller to free: the template, with key put in where it is
 * a keyed one (key is not looked at otherwise and may be NULL). 0, -EINVAL or -ENOMEM.
 */
int filter_program(const struct filter *filter, const uint64_t key[3], struct sock_filter **ret,
	size_t *ret_count);
