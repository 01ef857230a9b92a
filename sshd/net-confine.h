/*
 * How the network-facing process is locked in. What all of them share is done once in the zygote
 * and inherited; what is each one's own is done after its fork, before the first byte is read.
 */
#pragma once

#include "base/err.h"
#include "sshd/net.h"

#define NET_MAX_FDS 512 /* of one net process: its own, three a session, two a forwarding */

/*
 * The zygote's part: namespaces of its own, an empty read-only root, no groups, limits, no
 * capability but those its children need to give up theirs, no_new_privs, Landlock without a single
 * rule. Call it when every file has been read. What this host or a lack of root makes impossible is
 * added to *ret_lost as text, for strv_free(); as root everything but Landlock is a must.
 */
int net_confine_zygote(const struct net_options *options, char ***ret_lost, struct err *err);

/*
 * The net process's own part: the uid, an empty bounding set, no processes, the system-call filter.
 * Every descriptor it does not need must be closed already.
 */
int net_confine(const struct net_options *options, struct err *err);
