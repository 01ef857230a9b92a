/*
 * The network-facing process: libssh, the host key and the client's bytes, and nothing else.
 *
 * A zygote, started by the listener by fork and exec (so that the key is never in the memory of an
 * ancestor of a sandbox), loads the host keys, warms libssh and its crypto library with one
 * handshake against itself, and then forks one net process a connection.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct net_options {
	char **host_keys; /* paths */
	char *kex, *ciphers, *macs, *host_key_algorithms, *public_key_algorithms; /* NULL: ours */
	uid_t uid; /* what net processes become; (uid_t)-1: stay (not root) */
	gid_t gid;
	char *empty_dir; /* root of net processes */
	bool debug; /* libssh's log to stderr */
};

/*
 * The zygote's whole life; returns its exit code. control is a SOCK_SEQPACKET end on which the
 * listener sends requests of one byte 'C' with two descriptors: the accepted TCP socket and net's
 * end of the monitor pair. Ready is said once by one byte 'R' (or 'E' and a line of text). Ends when
 * control ends; the processes it forked live on.
 */
int net_zygote_main(const struct net_options *options, int control);
