/*
 * from=: patterns and networks that the client's address must match. One that cannot be read makes the whole
 * answer no.
 */
#include "keys/authorized-parts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fnmatch.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"

struct address {
	int family;
	uint8_t bytes[16];
	unsigned bits; /* 32 or 128; of a network, the length of its prefix */
};

static bool parse_address(const char *text, struct address *ret)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct address address = {.family = AF_INET, .bits = 32};

	if (inet_pton(AF_INET, text, address.bytes) != 1) {
		address = (struct address){.family = AF_INET6, .bits = 128};
		if (inet_pton(AF_INET6, text, address.bytes) != 1) {
			return false;
		}
		if (memcmp(address.bytes, mapped, sizeof(mapped)) == 0) {
			/* ::ffff:192.0.2.1 is 192.0.2.1: a rule for one must not miss the other. */
			memmove(address.bytes, address.bytes + 12, 4);
			memset(address.bytes + 4, 0, 12);
			address.family = AF_INET;
			address.bits = 32;
		}
	}
	*ret = address;
	return true;
}

static bool bit_of(const struct address *address, unsigned bit)
{
	return address->bytes[bit / 8] >> (7 - bit % 8) & 1;
}

/* "address/bits" or an address alone. Bits set behind the prefix are a mistake, as in sshd. */
static bool parse_network(const char *text, struct address *ret)
{
	char host[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t length = slash ? (size_t)(slash - text) : strlen(text);
	struct address network;
	uint64_t bits = 0;
	unsigned full = 0;

	if (length >= sizeof(host)) {
		return false;
	}
	memcpy(host, text, length);
	host[length] = '\0';
	if (!parse_address(host, &network)) {
		return false;
	}
	full = network.bits;
	if (slash) {
		/* The prefix of a mapped address counts the 96 bits that were taken off. */
		unsigned shift = network.family == AF_INET && strchr(host, ':') ? 96 : 0;
		if (parse_range(slash + 1, shift, full + shift, &bits) < 0) {
			return false;
		}
		network.bits = (unsigned)bits - shift;
	}
	for (unsigned i = network.bits; i < full; i++) {
		if (bit_of(&network, i)) {
			return false;
		}
	}
	*ret = network;
	return true;
}

static bool network_contains(const struct address *network, const struct address *address)
{
	if (network->family != address->family) {
		return false;
	}
	for (unsigned i = 0; i < network->bits; i++) {
		if (bit_of(network, i) != bit_of(address, i)) {
			return false;
		}
	}
	return true;
}

/* A pattern over written addresses: hexadecimal digits, dots, colons, * and ?, one wild at least. */
static bool is_glob(const char *pattern)
{
	return *pattern && pattern[strspn(pattern, "0123456789abcdefABCDEF.:*?")] == '\0' &&
		strpbrk(pattern, "*?");
}

int authorized_check_pattern(const char *pattern, struct err *err)
{
	struct address network;
	const char *body = pattern + (*pattern == '!');

	if (is_glob(body) || parse_network(body, &network)) {
		return 0;
	}
	if (strchr(body, '/')) {
		return err_refuse(err, EINVAL,
			"from=: \"%s\" is not a network (192.0.2.0/24, 2001:db8::/32; no bits set "
			"behind the prefix)",
			body);
	}
	return err_refuse(err, EINVAL,
		"from=: \"%s\" is neither an address nor a pattern over addresses (host names are "
		"not "
		"looked up)",
		body);
}

bool authorized_is_network(const char *text)
{
	struct address network;

	return parse_network(text, &network);
}

bool authorized_match_address(char *const *patterns, const char *address)
{
	struct address client;
	char text[INET6_ADDRSTRLEN + 1];
	size_t length = strcspn(address, "%"); /* a zone is no part of the address */
	bool found = false;

	if (length >= sizeof(text)) {
		return false;
	}
	memcpy(text, address, length);
	text[length] = '\0';
	/* Globs see the one canonical form, whatever form the caller had. */
	if (!parse_address(text, &client) ||
		!inet_ntop(client.family, client.bytes, text, sizeof(text))) {
		return false;
	}
	for (; patterns && *patterns; patterns++) {
		bool negated = **patterns == '!';
		const char *body = *patterns + negated;
		struct address network;
		bool match = false;

		if (authorized_check_pattern(*patterns, NULL) < 0) {
			return false;
		}
		match = parse_network(body, &network)
			? network_contains(&network, &client)
			: fnmatch(body, text, FNM_CASEFOLD | FNM_NOESCAPE) == 0;
		if (match && negated) {
			return false;
		}
		found = found || match;
	}
	return found;
}
