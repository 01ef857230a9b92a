/* The end of a sandbox whose launcher exits behind it. */
#pragma once

#include <stdbool.h>

#include "backends/linux/sandbox.h"

/*
 * Returns true when nothing of the sandbox runs any more but its first process, on its way out, and a
 * child of ours removes what is left once we have exited: the sandbox is the child's then, and the
 * caller does nothing with it any more. False: nothing has changed, and the caller does it all.
 */
bool leave_behind(struct native_sandbox *sandbox);
