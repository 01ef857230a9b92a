/*
 * Who is it? Decided by the monitor, from what net says the client offered.
 *
 * Passwords are checked here. A signature is not: net's libssh has verified it, and a net process
 * that was taken over could claim any login whose public key it can name. What it would win is a
 * session that is confined like every other (docs/THREATS).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "keys/authorized.h"
#include "keys/certificate.h"
#include "session/config.h"
#include "session/methods.h"
#include "session/policy.h"
#include "session/rules.h"

struct auth {
	const struct config *config;
	const char *address; /* the client's */
	uid_t owner; /* who may own authorized_keys files, besides root */
	uint64_t tries; /* that failed */
	uint64_t none_tries; /* requests without a credential */
	uint64_t password_tries;
	uint64_t key_queries; /* "would this key do?" */
	uint64_t asked; /* "what is to be asked?" */
	/* how far it has come */
	struct methods passed;
	char used_keys[METHODS_MAX][FINGERPRINT_SIZE]; /* one proves nothing a second time */
	size_t used_key_count;
	unsigned next; /* after AUTH_PARTIAL: methods that may follow, bits 1 << method */
	unsigned prompts; /* what auth_ask() has said to ask for; 0: nothing is awaited */
	/* who it claims to be; the first name it said stays */
	char name[65]; /* "" before that, and for a name that cannot be one */
	bool named;
	const struct config_user *user; /* NULL: unknown, or refused by a rule */
	const struct config_rule
		*refused_by; /* that rule, or one that refused the last credential */
	char **methods; /* chains, as in struct config_user */
	bool ruled, closed; /* a rule has chosen them; and has left none */
	/* who it is, once a check has said yes */
	struct authorized_key key; /* the one that was used; options are part of the login */
	bool by_key;
	struct certificate certificate; /* that vouched for the key; id NULL: none did */
	const char *principal; /* of the certificate, for which it was accepted */
	struct rules_result result;
	const struct config_profile *profile; /* of result */
	const char *method; /* of the last check; after AUTH_YES all that were passed */
	char chain[96];
	const char *reason; /* static: why the last check said no; for log and audit only */
};

void auth_init(struct auth *auth, const struct config *config, const char *address);
void auth_fini(struct auth *auth);

/* PARTIAL: good, and not enough; next says what may follow. PROMPT: prompts says what to ask. */
enum auth_answer { AUTH_NO, AUTH_YES, AUTH_TOO_MANY, AUTH_NAME_CHANGED, AUTH_PARTIAL, AUTH_PROMPT };

/* Bits of what to ask for. */
enum { AUTH_PROMPT_PASSWORD = 1 << 0, AUTH_PROMPT_CODE = 1 << 1 };

/*
 * One check each; user is what the client sent. A check that fails counts as a try, except the
 * first one without a credential, and takes at least as long as its like for an unknown user.
 * signed_ says that net saw a good signature; without it the answer is only "this key would do".
 */
enum auth_answer auth_check_none(struct auth *auth, const char *user);
enum auth_answer auth_check_key(
	struct auth *auth, const char *user, const uint8_t *blob, size_t size, bool signed_);
enum auth_answer auth_check_password(
	struct auth *auth, const char *user, const char *password, size_t size);

/*
 * keyboard-interactive: what is to be asked for, then what was answered. Before anything is proven
 * everybody is asked for the same, so that the questions do not tell who has what.
 */
enum auth_answer auth_ask(struct auth *auth, const char *user);
enum auth_answer auth_check_answer(
	struct auth *auth, const char *user, const char *password, size_t size, const char *code);

/* After AUTH_YES: the login has the profile of this name instead of its own. 0, -ENOENT or -ENOMEM. */
int auth_choose_profile(struct auth *auth, const char *name, struct err *err);

/*
 * After AUTH_YES: who it has been shown to be, which need not be the login name: "certificate:ID", "key:SHA256:...",
 * "password:NAME", or "guest:NAME" for whom nothing was shown. Cut to size. Returns text.
 */
char *auth_format_identity(const struct auth *auth, char *text, size_t size);

/* The methods that are offered before anybody has said a name: bits 1 << method. */
unsigned auth_offered(const struct config *config);

/* When a failure that took usec is answered: at the next multiple of 5 ms. In microseconds. */
uint64_t auth_round_time(uint64_t usec);
