/*
 * Landlock: which rights each ABI has, and the three calls that apply them. The applying half has
 * no allocation, no stdio and nothing from outside libc: cloche-init links it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "backends/plan.h"

/*
 * Sets abi and what is handled: every file right the ABI knows, so that whatever no rule grants is
 * refused; from ABI 6 abstract sockets and signals of the outside are out of reach. Leaves rules
 * alone. With no_tcp, from ABI 4, no TCP port can be bound or connected to, not even on loopback.
 * abi 0 (or less) clears all: no Landlock layer. A newer ABI than we know counts as the newest
 * known.
 */
void landlock_compile(int abi, bool no_tcp, struct plan_landlock *ret);

/* Reading and running: execute, read files and directories. */
uint64_t landlock_access_read(int abi);

/* Changing: write, truncate, make and remove, rename across directories. No device nodes. */
uint64_t landlock_access_write(int abi);

/* Using a device that is there: read, write, ioctl. For ttys and /dev/null. */
uint64_t landlock_access_device(int abi);

/* All the file rights the ABI knows. */
uint64_t landlock_access_all(int abi);

/* Those of all ABIs that make sense for something that is no directory. */
uint64_t landlock_access_for_file(void);

/* The kernel's ABI, 0 when it has none (or has it turned off). */
int landlock_abi(void);

/*
 * Makes a ruleset that handles these rights. net and scoped are left out of the call where they are
 * 0, so that old kernels take it. Returns a close-on-exec descriptor or negative errno.
 */
int landlock_begin(uint64_t fs, uint64_t net, uint64_t scoped);

/*
 * Grants access below (or to) what path_fd is; rights that only directories have are dropped for
 * anything else. Nothing is granted, and 0 returned, when no right is left. path_fd stays the
 * caller's. access must be part of what the ruleset handles. 0 or negative errno.
 */
int landlock_allow(int ruleset, int path_fd, uint64_t access);

/*
 * Confines the calling thread for good and closes ruleset, also on failure. no_new_privs must be
 * set. From ABI 7 on denials after the next exec are logged too. 0 or negative errno.
 */
int landlock_enforce(int ruleset, int abi);
