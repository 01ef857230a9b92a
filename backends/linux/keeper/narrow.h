#pragma once

#include <stddef.h>

/*
 * Makes a mount namespace for a tool: what is mounted now, private, so that nothing that comes later
 * is seen there. Where it can be had, of the host's mounts only those at, above or below needed[] and
 * the places that any program comes from are in it: a tool that reads the list of mounts after every
 * one of its own (bwrap) starts sooner, and what it cannot reach it cannot hand on. Takes root, and a
 * process with one thread.
 *
 * Returns the namespace's descriptor; -ENOTRECOVERABLE when the caller is in it and cannot come back;
 * another negative errno when nothing has changed.
 */
int narrow_make(const char *const needed[], size_t count);
