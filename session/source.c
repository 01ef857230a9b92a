#include "session/source.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"

static unsigned bits_of(const struct source *source)
{
	return source->family == 4 ? 32 : source->family == 6 ? 128 : 0;
}

static struct source from_v6(const struct in6_addr *address)
{
	struct source source = {.family = 6};

	if (IN6_IS_ADDR_V4MAPPED(address)) {
		source.family = 4;
		memcpy(source.bytes, &address->s6_addr[12], 4);
	} else {
		memcpy(source.bytes, address->s6_addr, 16);
	}
	return source;
}

struct source source_from(const struct sockaddr_storage *address)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
	struct source source = {0};

	if (address->ss_family == AF_INET) {
		source.family = 4;
		memcpy(source.bytes, &v4->sin_addr, 4);
	} else if (address->ss_family == AF_INET6) {
		source = from_v6(&v6->sin6_addr);
	}
	return source;
}

struct source source_of_peer(int socket)
{
	struct sockaddr_storage address = {0};
	socklen_t size = sizeof(address);

	if (getpeername(socket, (struct sockaddr *)&address, &size) < 0) {
		return (struct source){0};
	}
	return source_from(&address);
}

static struct source keep_bits(struct source source, uint64_t bits)
{
	for (uint64_t i = 0; i < sizeof(source.bytes); i++) {
		uint64_t left = bits > 8 * i ? bits - 8 * i : 0;
		source.bytes[i] &= left >= 8 ? 0xff : (uint8_t)(0xff00U >> left);
	}
	return source;
}

struct source source_mask(struct source source, uint64_t bits4, uint64_t bits6)
{
	return keep_bits(source, source.family == 4 ? bits4 : bits6);
}

bool source_is_equal(const struct source *a, const struct source *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

int source_parse(const char *text, struct source *ret)
{
	struct in6_addr v6;
	struct in_addr v4;

	if (inet_pton(AF_INET, text, &v4) == 1) {
		*ret = (struct source){.family = 4};
		memcpy(ret->bytes, &v4, 4);
		return 0;
	}
	if (inet_pton(AF_INET6, text, &v6) == 1) {
		*ret = from_v6(&v6);
		return 0;
	}
	return -EINVAL;
}

/* An address alone is a network of one. */
static int parse_network(const char *text, struct source *ret, uint64_t *ret_bits)
{
	const char *slash = strchr(text, '/');
	size_t length = slash ? (size_t)(slash - text) : strlen(text);
	char host[SOURCE_TEXT];
	struct source source;

	if (length >= sizeof(host)) {
		return -EINVAL;
	}
	memcpy(host, text, length);
	host[length] = '\0';
	if (source_parse(host, &source) < 0 || (slash && source.family == 4 && strchr(host, ':'))) {
		return -EINVAL;
	}
	*ret_bits = bits_of(&source);
	if (slash && parse_range(slash + 1, 0, bits_of(&source), ret_bits) < 0) {
		return -EINVAL;
	}
	*ret = keep_bits(source, *ret_bits);
	return source_is_equal(ret, &source) ? 0 : -EINVAL;
}

bool source_network_is_valid(const char *text)
{
	struct source source;
	uint64_t bits = 0;

	return parse_network(text, &source, &bits) == 0;
}

bool source_is_in(const struct source *source, char *const *networks)
{
	for (; networks && *networks; networks++) {
		struct source network;
		uint64_t bits = 0;
		if (parse_network(*networks, &network, &bits) == 0 &&
			network.family == source->family) {
			struct source block = keep_bits(*source, bits);
			if (source_is_equal(&block, &network)) {
				return true;
			}
		}
	}
	return false;
}

char *source_format(const struct source *source, char *text)
{
	int family = source->family == 4 ? AF_INET : AF_INET6;

	if (source->family == 0 || !inet_ntop(family, source->bytes, text, SOURCE_TEXT)) {
		(void)snprintf(text, SOURCE_TEXT, "unknown");
	}
	return text;
}
