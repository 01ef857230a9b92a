/*
 * The second sandbox that layers are taken away in: whatever the first one no longer holds back meets
 * namespaces, a read-only tree and devices made for the occasion, never the host's own.
 *
 * What it is made of: mount, pid, network, IPC and UTS namespaces; the host's tree, every mount of
 * it read-only, with empty tmpfs where people and services keep things (/home, /root, /run, /srv,
 * /tmp, ...); a /dev of harmless nodes, an own /proc, terminals and queues; a network of a loopback
 * and a link whose other end nobody listens on; no capability to load modules, set the clock, reboot,
 * reach ports or read the kernel's log. Control groups and the kernel are shared with the host, and so
 * are the users: the client inside still is an unprivileged one in a user namespace. Plans that leave
 * this layer out have a second sandbox of another kind.
 */
#pragma once

#include "backends/linux/idrange.h"
#include "base/err.h"

/* Where canaries lie in it. */
#define OUTER_CANARIES "/srv"

/*
 * Goes there, as root. Returns 0 in a new process that is in it, with standard streams that lead
 * nowhere and the old ones (close-on-exec) in streams[0..2]; the processes before it wait for it and
 * exit as it does. A negative errno and err when it cannot be made; nothing was started then.
 */
int outer_enter(int streams[3], struct err *err);

/* Ranges of ids, one behind the other: one for such a place, the others for sandboxes inside it. */
#define OUTER_RANGES 8

/* Takes them of the host's free ones; idrange_release() each. 0 or negative errno, and then none is taken. */
int outer_take_ranges(struct idrange ret[OUTER_RANGES], struct err *err);

/*
 * The same with a user namespace around it, for sandboxes that have none of their own. Its ids from 0 up are
 * those of the first range, and the others have their own numbers. Root in it is nobody on the host: the
 * read-only tree is locked, devices cannot be made, control groups belong to others.
 */
int outer_enter_apart(const struct idrange ranges[OUTER_RANGES], int streams[3], struct err *err);
