/*
 * What a session may reach: one rule of `egress`, read strictly, and whether a list of them permits
 * a name or an address. Needs no C library.
 */
#pragma once

#include "backends/linux/netd/address.h"

#define RULES_MAX 256

enum rule_kind {
	RULE_NAME, /* this host */
	RULE_SUBDOMAINS, /* "*.x": what is below x, not x */
	RULE_NETWORK,
	RULE_ANY, /* tests and lessons only: the layer is left out */
};

struct rule {
	uint8_t kind, bits;
	uint16_t port; /* 0: every port */
	struct address network;
	char name[NAME_SIZE];
};

/*
 * Reads "host[:port]", "*.host[:port]", "address[/bits][:port]" or "[v6][/bits][:port]" ("*" for
 * RULE_ANY is never read from text). NULL and *ret, or what would be right.
 */
const char *rule_parse(const char *text, struct rule *ret);

/* May a host of this name be asked for at this port? What it resolves to is judged afterwards. */
bool rules_permit_name(const struct rule *rules, size_t count, const char *name, uint16_t port);

/* Does a network rule (or RULE_ANY) list this address with this port? */
bool rules_permit_address(
	const struct rule *rules, size_t count, const struct address *address, uint16_t port);
