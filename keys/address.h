/*
 * HOST:PORT as permitopen= and permitlisten= have it: a host with * and ? for what may vary, or an
 * IPv6 address in brackets; a port or *.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

bool address_pattern_is_valid(const char *pattern);

/*
 * Does one of the patterns permit this? Hosts are compared as they are written, without regard to
 * case: a name is not the address that it stands for, and a pattern of digits and dots (10.0.*) matches
 * IPv4 addresses only. An empty list permits nothing.
 */
bool address_matches(char *const *patterns, const char *host, uint32_t port);
