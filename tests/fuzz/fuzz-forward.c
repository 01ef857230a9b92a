/*
 * What clients ask to be forwarded to. A line each: the profile's list and the key's (patterns between
 * spaces), then hosts and ports; all that follows an empty line is a resolver's answer.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/strv.h"
#include "keys/address.h"
#include "session/policy.h"
#include "sshd/forward-address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds) {
		abort();
	}
}

/* The patterns that a configuration would accept, and no others. */
static char **read_patterns(char *line)
{
	char **list = NULL;
	char *word = NULL;

	while (line && (word = strsep(&line, " "))) {
		if (address_pattern_is_valid(word)) {
			require(strv_append(&list, word) == 0);
		}
	}
	return list;
}

static bool has_host(char *const *list, const char *host)
{
	for (; list && *list; list++) {
		if (strpbrk(*list, "*?") || strncasecmp(*list, host, strlen(host)) == 0 ||
			strncasecmp(*list + 1, host, strlen(host)) == 0) {
			return true;
		}
	}
	return false;
}

/* A request is permitted by both lists, or by neither the policy. */
static void ask(const struct policy_login *login, const char *host, uint32_t port)
{
	struct err err = {0};
	bool yes = policy_check_forward(login, POLICY_FORWARD_LOCAL, host, port, &err) == 0;
	char *const *profile = login->profile->permit_open;

	require(yes || err.msg[0]);
	if (yes) {
		require(address_matches(profile, host, port) && has_host(profile, host));
		require(!login->key->permit_open ||
			address_matches(login->key->permit_open, host, port));
	}
	require(!yes || login->key->port_forwarding);
	if (forward_is_name(host)) {
		require(host[0] != '-' && !strpbrk(host, " \t\n;$`'\"/\\%"));
	}
	if (forward_is_number(host)) {
		require(host[strspn(host, "0123456789abcdefABCDEF.:")] == '\0');
	}
}

static void take_all(char *answer)
{
	char address[INET6_ADDRSTRLEN];
	size_t left = strlen(answer) + 1;

	while (forward_take_address(answer, address)) {
		require(forward_is_number(address) && strlen(answer) < left);
		left = strlen(answer) + 1;
	}
	require(*answer == '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char local[] = "local";
	static char share[] = "connection";
	static char name[] = "fuzz";
	char *offered[] = {local, NULL};
	struct config_profile profile = {.name = name, .share = share, .forward = offered};
	struct key_options key = {.port_forwarding = true};
	const struct policy_login login = {.profile = &profile, .key = &key, .name = name};
	cleanup_free char *text = strndup((const char *)data, size);
	char *rest = text;
	char *line = NULL;

	require(text != NULL);
	profile.permit_open = read_patterns(strsep(&rest, "\n"));
	key.permit_open = read_patterns(strsep(&rest, "\n"));
	while ((line = strsep(&rest, "\n")) && *line) {
		char *space = strrchr(line, ' ');
		unsigned long port = space ? strtoul(space + 1, NULL, 10) : 80;
		if (space) {
			*space = '\0';
		}
		ask(&login, line, (uint32_t)port);
	}
	if (rest) {
		take_all(rest);
	}
	strv_free(profile.permit_open);
	strv_free(key.permit_open);
	return 0;
}
