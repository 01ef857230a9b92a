/*
 * The namespaces around us: are they all of a user namespace whose root is nobody's outside? A session
 * without a user namespace of its own has that root, so it is only ever started in such a place.
 */
#pragma once

#include "base/err.h"

/*
 * 0 when our user namespace is not the kernel's first, gives nobody the ids of root outside, and owns
 * the mount, pid, network, IPC and UTS namespace we are in (ioctl_ns(2)); -EPERM or another negative
 * errno when not, or when that cannot be told.
 */
int ring_check(struct err *err);
