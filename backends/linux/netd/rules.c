#include "backends/linux/netd/rules.h"

#include <string.h>

#define SHAPES "host[:port], *.host[:port], network[/bits][:port] or [v6 network/bits]:port"

/* Where the host part ends and the port begins: the last colon, unless it belongs to an IPv6
 * address, which needs brackets to have a port behind it. */
static bool split(const char *text, size_t *ret_length, const char **ret_port)
{
	size_t length = strlen(text);
	size_t colons = 0;
	size_t colon = 0;

	for (size_t i = 0; i < length; i++) {
		if (text[i] == ':') {
			colons++;
			colon = i;
		}
	}
	*ret_length = length;
	*ret_port = NULL;
	if (text[0] == '[') {
		size_t end = 1;
		while (end < length && text[end] != ']') {
			end++;
		}
		if (end == length) {
			return false;
		}
		*ret_length = end + 1;
		if (end + 1 < length) {
			*ret_port = text + end + 2;
			return text[end + 1] == ':';
		}
		return true;
	}
	if (colons == 1) {
		*ret_length = colon;
		*ret_port = text + colon + 1;
	}
	return true;
}

/* The bits after the prefix must be 0: who writes 10.1.2.3/8 means something else. */
static bool has_bits_beyond(const struct address *network, unsigned bits)
{
	for (unsigned i = bits; i < (network->family == 4 ? 32U : 128U); i++) {
		if (network->bytes[i / 8] & (0x80 >> i % 8)) {
			return true;
		}
	}
	return false;
}

/* IPv4 in IPv6's clothes: to the kernel a connection there is one to the IPv4 address. */
static bool is_mapped(const struct address *address)
{
	static const struct address mapped = {.family = 6, .bytes = {[10] = 0xff, [11] = 0xff}};

	return address_is_within(address, &mapped, 96);
}

static const char *parse_network(const char *text, size_t length, struct rule *ret, bool *ret_is)
{
	size_t slash = 0;
	unsigned most = 0;
	unsigned bits = 0;

	while (slash < length && text[slash] != '/') {
		slash++;
	}
	*ret_is = address_parse(text, slash, &ret->network);
	if (!*ret_is) {
		return slash < length ? "there is no network before the '/'" : NULL;
	}
	ret->kind = RULE_NETWORK;
	bits = most = ret->network.family == 4 ? 32 : 128;
	if (slash < length) {
		const char *digits = text + slash + 1;
		size_t n = length - slash - 1;
		bits = n == 1 && *digits == '0' ? 0 : port_parse(digits, n);
		if (n == 0 || (bits == 0 && *digits != '0') || bits > most) {
			return "the bits after '/' go from 0 to 32, of IPv6 to 128";
		}
	}
	ret->bits = (uint8_t)bits;
	if (is_mapped(&ret->network)) {
		return "an IPv4 network is written as one, without ::ffff:";
	}
	return has_bits_beyond(&ret->network, bits)
		? "the address has bits set beyond its prefix: write the network's own address"
		: NULL;
}

const char *rule_parse(const char *text, struct rule *ret)
{
	struct rule rule = {0};
	const char *port = NULL;
	const char *host = text;
	const char *problem = NULL;
	size_t length = 0;
	bool is_network = false;

	if (!split(text, &length, &port)) {
		return "it must be " SHAPES;
	}
	if (port) {
		rule.port = port_parse(port, strlen(port));
		if (rule.port == 0) {
			return "behind the ':' goes a port from 1 to 65535";
		}
	}
	if (text[0] == '[') {
		host++;
		length -= 2;
	}
	problem = parse_network(host, length, &rule, &is_network);
	if (problem) {
		return problem;
	}
	if (text[0] == '[' && (!is_network || rule.network.family != 6)) {
		return "in brackets goes an IPv6 address";
	}
	if (!is_network) {
		bool below = length > 2 && host[0] == '*' && host[1] == '.';
		rule.kind = below ? RULE_SUBDOMAINS : RULE_NAME;
		if (!name_parse(host + 2 * below, length - 2 * below, rule.name)) {
			return "it must be " SHAPES;
		}
	}
	*ret = rule;
	return NULL;
}

static bool fits_port(const struct rule *rule, uint16_t port)
{
	return rule->port == 0 || rule->port == port;
}

bool rules_permit_name(const struct rule *rules, size_t count, const char *name, uint16_t port)
{
	for (size_t i = 0; i < count; i++) {
		const struct rule *rule = &rules[i];
		bool named = rule->kind == RULE_ANY ||
			(rule->kind == RULE_NAME && name_is_equal(name, rule->name)) ||
			(rule->kind == RULE_SUBDOMAINS && name_is_below(name, rule->name));
		if (named && fits_port(rule, port)) {
			return true;
		}
	}
	return false;
}

bool rules_permit_address(
	const struct rule *rules, size_t count, const struct address *address, uint16_t port)
{
	bool mapped = is_mapped(address);

	for (size_t i = 0; i < count; i++) {
		const struct rule *rule = &rules[i];
		/* ::/0 lists all of IPv6, and nothing of IPv4. */
		bool within = rule->kind == RULE_ANY ||
			(rule->kind == RULE_NETWORK && !mapped &&
				address_is_within(address, &rule->network, rule->bits));
		if (within && fits_port(rule, port)) {
			return true;
		}
	}
	return false;
}
