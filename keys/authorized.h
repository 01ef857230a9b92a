/*
 * authorized_keys, as sshd(8) describes it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "keys/fingerprint.h"

#define AUTHORIZED_MAX_LINE 8192
#define AUTHORIZED_MAX_KEYS 1024 /* lines looked at in one file */

/* What one key may do. */
struct key_options {
	bool pty; /* may ask for a terminal */
	bool port_forwarding; /* the three kinds of forwarding, where the server offers them */
	bool agent_forwarding;
	bool x11_forwarding;
	char *command; /* forced command, or NULL */
	char **from; /* patterns and networks the client must come from; empty: anywhere */
	char **environment; /* NAME=VALUE, added to the session */
	time_t expiry; /* 0: none; seconds since 1970, UTC */
	bool restricted; /* "restrict" was said */
	char **permit_open, **permit_listen; /* HOST:PORT; empty: whatever the profile permits */
	bool cert_authority; /* the key signs certificates, and opens nothing itself */
	char **principals; /* of those certificates; empty: the login name */
	char *profile; /* profile="..." (ours): use this profile instead of the user's */
};

struct authorized_key {
	char *algorithm; /* "ssh-ed25519" */
	uint8_t *blob; /* the key as on the wire */
	size_t blob_size;
	char *comment; /* may be NULL */
	struct key_options options;
};

void authorized_key_fini(struct authorized_key *key);

/*
 * Parses one line, without its line feed. 1 and a filled *ret (the caller's to fini); 0 for a blank
 * or comment line; -EINVAL with err for anything else, an unknown option included: such a key is
 * never used.
 */
int authorized_parse_line(const char *line, struct authorized_key *ret, struct err *err);

/*
 * Looks for a key in the text of a file, size bytes with a NUL behind them. Calls complain (may be
 * NULL) for every line that was refused. address: the client's, numeric. now: seconds since 1970.
 *
 * 1 and *ret when the key is there and its from= and expiry-time= allow it; 0 when not, with
 * *ret_reason (static: "no such key", "expired", "from") set; -ENOMEM.
 */
int authorized_find(const char *text, size_t size, const uint8_t *blob, size_t blob_size,
	const char *address, time_t now,
	void (*complain)(void *data, unsigned line, const char *message), void *data,
	struct authorized_key *ret, const char **ret_reason);

/* Whose certificate it is, for authorized_find_authority(). All borrowed. */
struct authorized_question {
	const uint8_t *blob; /* key of the authority that signed it */
	size_t blob_size;
	const char *address;
	time_t now;
	char *const *principals; /* of the certificate, one at least */
	const char *login;
};

/*
 * The same for certificates: looks for a line with cert-authority and the authority's key whose principals=
 * has one of the certificate's, or which has no such list and the login name is one. One more reason:
 * "principal". The certificate is not looked at here.
 */
int authorized_find_authority(const char *text, size_t size,
	const struct authorized_question *question,
	void (*complain)(void *data, unsigned line, const char *message), void *data,
	struct authorized_key *ret, const char **ret_reason);

/*
 * Makes into what both sets of options permit. What only one of them has is kept; 0, or -EPERM with err when
 * both have a command, profile, list or variable and not the same one; -ENOMEM. other is left as it was.
 */
int authorized_options_merge(
	struct key_options *into, const struct key_options *other, struct err *err);

/* Is text an address, or a network without bits set behind its prefix? */
bool authorized_is_network(const char *text);

/*
 * Does address match one of the patterns (globs, !negated, CIDR), as from= does? An empty list
 * matches nothing, and a pattern that cannot be read makes the whole answer no.
 */
bool authorized_match_address(char *const *patterns, const char *address);
