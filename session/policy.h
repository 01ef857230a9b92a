/*
 * From a login and a request to a spec: who may have what, decided from configuration and key
 * options alone. No effect on anything.
 */
#pragma once

#include <stdbool.h>

#include "backends/spec.h"
#include "base/err.h"
#include "keys/authorized.h"
#include "session/config.h"

#define POLICY_MAX_ENV 64 /* variables one session may be sent */
#define POLICY_MAX_ENV_VALUE 4096

/* SANDBOX: none of these, but a sandbox that they join. */
enum policy_kind { POLICY_SHELL, POLICY_EXEC, POLICY_SUBSYSTEM, POLICY_SANDBOX };

const char *policy_kind_name(enum policy_kind kind);

/* Who has logged in. All borrowed. */
struct policy_login {
	const struct config *config;
	const struct config_user *user;
	const struct config_profile *profile;
	const struct key_options *key; /* of the key that was used, or NULL */
	uint64_t max_sessions; /* of this user at once; 0: the server's number */
	const char *name; /* the login name; parse_is_name() holds */
	const char *identity; /* who it was shown to be, for the audit log; or NULL */
	const char *address; /* the client's, numeric */
};

/* What one channel asked for. All borrowed. */
struct policy_request {
	enum policy_kind kind;
	const char *command; /* of exec, or the name of a subsystem; NULL for a shell */
	bool pty;
	const char *term; /* with pty */
	const char *agent; /* path inside of the forwarded agent's socket, or NULL */
	char *const *env; /* NAME=VALUE that policy_accepts_env() has passed */
};

/*
 * The profile of a login: rule (the name that a rule gives it, or NULL), else the key's, else the user's. 0, or
 * -ENOENT with err when the key names one that does not exist.
 */
int policy_find_profile(const struct config *config, const struct config_user *user,
	const char *rule, const struct key_options *key, const struct config_profile **ret,
	struct err *err);

/* May a client set this variable? Names that we set ourselves are never the client's. */
bool policy_accepts_env(const struct config_profile *profile, const char *name, const char *value);

/* Is text usable as TERM? */
bool policy_accepts_term(const char *term);

/* Do all sessions of one connection meet in one sandbox? */
bool policy_shares(const struct config_profile *profile);

enum policy_forward { POLICY_FORWARD_LOCAL, POLICY_FORWARD_REMOTE, POLICY_FORWARD_AGENT };

/*
 * May this login forward to (or listen on) host and port inside? Agents have neither. 0, or -EPERM with
 * err in words for the user.
 */
int policy_check_forward(const struct policy_login *login, enum policy_forward kind,
	const char *host, uint32_t port, struct err *err);

/* May this login have a terminal? */
bool policy_allows_pty(const struct policy_login *login);

/*
 * May this login have its kind of sandbox measured? 0, or -ENOTSUP with err in words for the user.
 */
int policy_check_probe(const struct policy_login *login, struct err *err);

/*
 * The spec of a session: the profile's, with command, environment and names filled in. A forced
 * command of the key replaces whatever was asked. A kind of session that the profile does not offer is
 * refused, in words for the user. The caller owns *ret (spec_fini). 0, -ENOTSUP or -ENOMEM.
 */
int policy_spec(const struct policy_login *login, const struct policy_request *request,
	struct spec *ret, struct err *err);

/* The spec with which a profile is measured and tried: its own, running argv. 0 or -ENOMEM. */
int policy_trial_spec(const struct config_profile *profile, char *const *argv, struct spec *ret);
