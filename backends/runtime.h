/*
 * Where what lives as long as this boot is kept: /run/cloche for root, $XDG_RUNTIME_DIR/cloche or
 * /tmp/cloche-UID for others. Nobody else can write to it or list it, or it is not used.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define RUNTIME_PATH 72 /* enough for the path of a directory there */

/*
 * Opens the directory called name there; with make both are made where they are missing. Its path
 * goes to path, of RUNTIME_PATH bytes. Returns a descriptor, or negative errno: -EPERM when one of
 * them is not this user's alone.
 */
int runtime_open(const char *name, bool make, char *path);
