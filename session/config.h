/*
 * The configuration: one YAML file, checked against one schema table, all mistakes reported at
 * once with file:line:column, the source line and a caret.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "backends/spec.h"
#include "base/err.h"
#include "session/methods.h"
#include "session/penalties.h"

#define CONFIG_CONTROL_PATH 108 /* room for the path of a socket, with its end */

struct config_profile {
	char *name;
	char *description; /* may be NULL */
	struct spec spec;
	bool guest; /* logins without a credential may use it */
	uint64_t idle_timeout; /* seconds; 0: none */
	uint64_t warning; /* seconds before a limit at which the user is told */
	char **accept_env; /* patterns over names the client may set */
	char *motd; /* text, "auto", or NULL: what a shell on a terminal is greeted with */
	char *home_mode; /* "ephemeral", "persistent" */
	uint64_t home_quota; /* bytes, of a persistent one; 0: no limit */
	char *share; /* "session": each has a sandbox of its own; "connection" */
	char **forward; /* kinds of forwarding that are offered: local, remote, agent */
	char **permit_open, **permit_listen; /* patterns, HOST:PORT; empty: nothing */
	char **sessions; /* kinds that are offered: shell, exec, sftp, probe */
	char *sftp; /* "no", "read-only", "yes" */
	char *sftp_server; /* path inside; NULL: where distributions put it */
	char **sftp_allow, **sftp_deny; /* requests; an empty allow list means all */
};

struct config_user {
	char *name; /* or "*": everyone who is not named */
	char *profile; /* name of a profile */
	char **authorized_keys; /* paths; %u is the login name: see config_keys_path() */
	bool own_keys; /* authorized_keys was given for this user; else it is the server's list */
	char **trusted_ca_keys, **authorized_principals; /* the server's unless "own" says so */
	bool own_cas, own_principals;
	char **revoked_keys; /* besides the server's */
	char *password; /* an Argon2id line, or NULL */
	char *totp; /* a sealed secret, or NULL */
	char **methods; /* chains, one of which must be gone through; empty: any one method */
	bool guest; /* no credential asked, if the profile allows it too */
	uint64_t max_sessions; /* sessions of this user at once; 0: the server's number */
	char **groups; /* names, for rules */
};

/* What a login must be for a rule to speak of it. An empty list asks for nothing. */
struct config_when {
	char **user, **group; /* patterns, "!" before one that must not match */
	char **address; /* networks, with "!" likewise */
	char **key,
		**authority; /* fingerprints of the user's key, and of what signed its certificate */
	char **principal; /* patterns, of the certificate's */
};

/* What is otherwise for some logins: see session/rules.h. */
struct config_rule {
	char *name;
	struct config_when when;
	bool refuse;
	char *profile; /* name of a profile */
	char **methods;
	uint64_t max_sessions;
	struct config_profile over; /* of it, what is said */
	char **said; /* names of the keys that stand in the file */
};

struct config {
	/* server */
	char **listen; /* "127.0.0.1:2222", "[::1]:2222" */
	char **host_keys;
	char **authorized_keys; /* of users that name none of their own; copied into those users */
	char **trusted_ca_keys; /* paths: keys whose certificates open every user's door */
	char **revoked_keys; /* paths: keys that open none */
	char **authorized_principals; /* of certificates; %u is the login name */
	char *totp_key; /* path of the key that opens users' totp lines */
	uint64_t login_grace; /* seconds */
	uint64_t max_auth_tries;
	uint64_t startups_begin, startups_rate, startups_full;
	uint64_t source_startups; /* connections of one source not logged in; 0: no limit */
	uint64_t source_bits4, source_bits6; /* how many bits of an address make a source */
	bool penalties;
	uint64_t penalty[PENALTY_COUNT]; /* seconds */
	uint64_t penalty_min, penalty_max;
	uint64_t penalty_sources4, penalty_sources6;
	char *penalty_overflow; /* "permissive", "deny-all" */
	char **penalty_exempt; /* networks */
	uint64_t max_sessions; /* channels a connection */
	uint64_t max_connections, max_total_sessions, max_user_sessions;
	uint64_t max_probes; /* measurements that users asked for, at once */
	uint64_t probe_timeout; /* seconds */
	uint64_t keepalive_interval, keepalive_count;
	uint64_t drain; /* seconds sessions get after SIGTERM */
	char *banner; /* text, or NULL */
	char *audit_log; /* path, "-" for stderr, or NULL: none */
	char *state_dir; /* proofs and locks */
	char *empty_dir;
	char *homes; /* directory of the home directories that last */
	char *control; /* path of the control socket, "auto", or NULL: none */
	char *control_group; /* may look, not change; or NULL */
	bool join_notice; /* who is watched is told */
	char *net_user; /* user name or uid of the net process */
	char **authorize; /* argv of the command that is asked about logins, or NULL */
	uint64_t authorize_timeout; /* seconds */
	char *authorize_user; /* user name or uid it runs as */
	char *log_level;
	char *kex, *ciphers, *macs, *host_key_algorithms, *public_key_algorithms;
	bool proof; /* measure profiles before they open */

	struct config_profile *profiles;
	size_t profile_count;
	struct config_user *users;
	size_t user_count;
	struct config_rule *rules;
	size_t rule_count;
};

/*
 * Parses size bytes of text (name is for messages). Every mistake goes to out (which may be NULL) with
 * its place. 0 and *ret (the caller's to fini), or -EINVAL / -ENOMEM.
 */
int config_parse(const char *text, size_t size, const char *name, FILE *out, struct config *ret);

/*
 * Reads a file through keyfile_open(), owned by root or by us; "" or NULL: the embedded default. A
 * file with password lines that others can read is refused. 0 or negative errno, said on out.
 */
int config_load(const char *path, FILE *out, struct config *ret);

/* The same from a descriptor that somebody has opened and stands for; name is for messages. */
int config_load_fd(int fd, const char *name, FILE *out, struct config *ret);

/*
 * Sets one server key, "key=value", as -o does. Names are written with '_' or '-'; lists are
 * separated by commas and replaced, or with "key+=value" added to; relative paths count from the
 * working directory. 0, or -EINVAL / -ENOMEM with err; the configuration is then as before.
 */
int config_override(struct config *config, const char *assignment, struct err *err);

void config_fini(struct config *config);

/*
 * The built-in profile of this name as a configuration that has nothing else. 0 and *ret (the
 * caller's to fini), -ENOENT or -ENOMEM.
 */
int config_load_builtin(const char *name, struct config *ret);

/* Prints the effective configuration as YAML that config_parse() reads back the same. */
void config_print(const struct config *config, FILE *out);

/*
 * Prints a configuration that config_parse() reads, with this profile alone, as it is, and a user that nobody
 * is: no other profile, user, key or password. For processes that need a profile and are not to see the rest.
 */
void config_print_one(const struct config *config, const struct config_profile *profile, FILE *out);

const struct config_profile *config_find_profile(const struct config *config, const char *name);

/*
 * A path of authorized_keys with %u replaced by the login name (and %% by %). A name that
 * parse_is_name() refuses is refused, so that no name can climb out of a directory. The caller
 * frees *ret. 0, -EINVAL or -ENOMEM.
 */
int config_keys_path(const char *pattern, const char *login, char **ret);

/*
 * Makes the spec of a profile have the home directories that its home_mode and the server's homes say: with %u
 * for the login name in it. 0 or -ENOMEM.
 */
int config_set_home(const struct config *config, struct config_profile *profile);

/* Whose certificates a user can log in with, and what they must be made out to. Borrowed. */
char *const *config_user_cas(const struct config *config, const struct config_user *user);
char *const *config_user_principals(const struct config *config, const struct config_user *user);

/* What keeps a chain of this user from ever being gone through, or makes it too short; NULL if nothing. */
const char *config_methods_fault(const struct config_user *user, const struct methods *chain);

/* The entry for a login name: its own, else "*", else NULL. */
const struct config_user *config_find_user(const struct config *config, const char *name);

/*
 * Where the control socket is: "auto" is /run/cloche/control.sock for root, else below
 * $XDG_RUNTIME_DIR. False when there is none.
 */
bool config_control_path(const char *setting, char path[CONFIG_CONTROL_PATH]);

/* The text of the embedded default configuration, and of the profiles that can be inherited. */
extern const char config_default_text[];
extern const char config_builtin_text[];
