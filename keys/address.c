#include "keys/address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"

#define MAX_HOST 255

/* Takes a pattern apart. Port 0 stands for *. */
static bool split(const char *pattern, char host[MAX_HOST + 1], uint32_t *ret_port)
{
	const char *colon = strrchr(pattern, ':');
	bool brackets = pattern[0] == '[';
	const char *from = pattern + (brackets ? 1 : 0);
	const char *end = colon ? colon - (brackets ? 1 : 0) : NULL;
	uint64_t port = 0;

	if (!colon || end <= from || (size_t)(end - from) > MAX_HOST || (brackets && *end != ']') ||
		(!brackets && memchr(pattern, ':', (size_t)(colon - pattern)))) {
		return false;
	}
	if (strcmp(colon + 1, "*") != 0 && parse_range(colon + 1, 1, 65535, &port) < 0) {
		return false;
	}
	memcpy(host, from, (size_t)(end - from));
	host[end - from] = '\0';
	*ret_port = (uint32_t)port;
	/* No classes: a bracket in a host would be one to fnmatch(3). */
	return host[strspn(host,
		       "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
		       ".-_:%*?")] == '\0';
}

bool address_pattern_is_valid(const char *pattern)
{
	char host[MAX_HOST + 1];
	uint32_t port = 0;

	return split(pattern, host, &port);
}

/* Digits and dots with something left open: whoever writes 10.* means addresses, and no 10.example.org. */
static bool is_of_addresses(const char *pattern)
{
	return pattern[strspn(pattern, "0123456789.*?")] == '\0' && strpbrk(pattern, "0123456789");
}

static bool is_address(const char *host)
{
	struct in_addr v4;

	return inet_pton(AF_INET, host, &v4) == 1;
}

bool address_matches(char *const *patterns, const char *host, uint32_t port)
{
	for (; patterns && *patterns; patterns++) {
		char wanted[MAX_HOST + 1];
		uint32_t wanted_port = 0;
		if (split(*patterns, wanted, &wanted_port) &&
			(wanted_port == 0 || wanted_port == port) &&
			fnmatch(wanted, host, FNM_CASEFOLD) == 0 &&
			(!is_of_addresses(wanted) || is_address(host))) {
			return true;
		}
	}
	return false;
}
