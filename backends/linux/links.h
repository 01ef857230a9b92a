/*
 * Network interfaces of the namespace we are in: a pair of virtual Ethernet devices, addresses, a
 * default route. Raw rtnetlink and the old ioctls: it is a handful of requests, and a library would
 * be loaded by every program of ours. All need CAP_NET_ADMIN over the namespace.
 */
#pragma once

#include <netinet/in.h>

/* Makes a pair: name here, peer in the namespace behind peer_ns. 0 or negative errno. */
int links_add_pair(const char *name, const char *peer, int peer_ns);

/* Removes the interface and with it its peer. 0, -ENODEV when there is none, or negative errno. */
int links_delete(const char *name);

/* Brings it up; with an address and netmask (network byte order), or without when address is 0. */
int links_up(const char *name, in_addr_t address, in_addr_t netmask);

/* The default IPv4 route. 0 or negative errno. */
int links_add_default_route(in_addr_t gateway);
