/*
 * What the launcher tells cloche-netd, the process that stands between a sandbox without a way out
 * of its own and the network: a sealed memory file with this struct, and descriptors at fixed
 * numbers. Its listening sockets were made inside the sandbox's network namespace; it runs in the
 * host's, with an id of the session's range that nothing else has, and can open no file.
 */
#pragma once

#include "backends/linux/netd/rules.h"

#define NETD_MAGIC UINT64_C(0x3164746e65686c63)
#define NETD_CONTROL_FD 3 /* when it ends, so do we */
#define NETD_CONFIG_FD 4
#define NETD_DNS_DATAGRAM_FD 5
#define NETD_DNS_STREAM_FD 6
#define NETD_PROXY_FD 7
#define NETD_FDS 5 /* from NETD_CONTROL_FD on */

#define NETD_RESOLVERS 3
#define NETD_PROXY_PORT 1080 /* inside, on 127.0.0.1 */

struct netd_config {
	uint64_t magic;
	uint32_t uid, gid;
	uint8_t dns; /* pass questions on to the host's resolvers */
	uint8_t proxy; /* serve SOCKS 5 and HTTP CONNECT, by the rules */
	uint8_t resolver_count;
	struct address resolvers[NETD_RESOLVERS];
	uint32_t rule_count;
	struct rule rules[RULES_MAX];
};
