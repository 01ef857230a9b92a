/*
 * How much a session can write for itself, by its table of mounts. Used where the host reads it, and
 * in another kernel by the eye.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "testkit/outside.h"

/* Is it a file system that keeps what is written? Not one of the kernel's own, such as proc. */
bool room_keeps_files(const char *type);

/*
 * Is a directory of this very mount what lies at its target? Another mount may cover it, and a
 * bound device node is not a place for files.
 */
bool room_is_reachable(const struct outside *theirs, const struct outside_mount *mount);

/*
 * The room of every writable place that is not bound to something of a fixed size. except: the scope
 * that the testkit added, which is no place of the profile's: one with scopes of its own does not
 * declare a bound. ours: the host's mounts, for overlays whose upper layer is on one of them; NULL
 * where the host has none in common. False, with the place in where, when one has no size.
 */
bool room_measure(const struct outside *ours, const struct outside *theirs, const char *except,
	uint64_t *ret_room, char *where, size_t size);
