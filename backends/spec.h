/*
 * What a session asks for, independent of any backend. The zero value, made by spec_init(), is the
 * tight one: no network, no writes, no new privileges.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backends/capability.h"
#include "base/err.h"
#include "base/strv.h"

enum net_mode { NET_DISABLE, NET_ENABLE, NET_OUTBOUND, NET_EGRESS };
enum write_mode { WRITE_NONE, WRITE_SCOPE, WRITE_EPHEMERAL, WRITE_OVERLAY };
enum root_kind { ROOT_HOST, ROOT_DIRECTORY, ROOT_IMAGE }; /* where /usr and the rest come from */

/* AUTO: a range of the session's own where the host has one to give, else the caller's one id. */
enum id_kind { IDS_AUTO, IDS_RANGE, IDS_SINGLE };

/* Does the command join a sandbox that was made before it, and may others join too? */
enum share_mode { SHARE_NONE, SHARE_ALONE, SHARE_CONNECTION };

struct spec {
	char **args; /* the command; args[0] is the program, found by PATH inside */
	char *dir; /* working directory inside; NULL: the home directory if there is one, else / */
	char **env; /* NAME=VALUE; what the command gets before allow and deny */
	char **env_allow; /* shell patterns over names; empty: all of env */
	char **env_deny; /* patterns; deny wins */
	enum net_mode net;
	char **egress; /* host[:port] or network[/bits][:port], for NET_EGRESS */
	char **inbound; /* port numbers that may be reached from outside */
	enum write_mode write;
	char **writable; /* absolute host paths, of the backend's system; for scope and overlay */
	char **readable; /* absolute host paths; empty: broad host reads */
	char **read_deny; /* absolute host paths taken out of what can be read */
	bool no_exec;
	bool allow_temp; /* the host's /tmp writable, for scope and overlay */
	char **mach_allow;
	uint64_t cpu_milli; /* thousandths of a processor; 0: no limit */
	uint64_t memory; /* bytes; 0: no limit */
	uint64_t pids; /* tasks; 0: no limit */
	uint64_t disk; /* bytes that ephemeral writes may take; 0: the backend's default */
	uint64_t timeout; /* seconds of wall clock; 0: none */
	bool strict; /* refuse what is outside capability_set_portable() */
	enum root_kind root;
	char *root_path; /* for ROOT_DIRECTORY and ROOT_IMAGE */
	char *image; /* for ROOT_IMAGE in containers: a name, or "sha256:" and 64 digits */
	enum id_kind ids; /* whose ids on the host the session's are */
	char *hostname; /* inside; NULL: "cloche" */
	char *user; /* login name inside; NULL: "user" */
	char *home; /* home directory inside; NULL: "/home/<user>" */
	char *shell; /* absolute path inside; NULL: /bin/bash if the host has it, else /bin/sh */
	struct capability_set require; /* refuse a plan whose uses lack one of these */
	char **refuse_on; /* caveat codes, or severities, that are not acceptable */
	char *backend; /* a name; NULL: the first that will do; "auto": the best of all */
	enum share_mode share; /* no key: the server decides */
	bool why; /* no key: there is a server that answers `why` inside */
	bool unsealed; /* no key: the plan is run at once, and nobody is shown its digest */
	char *home_source; /* no key: host directory that is the home directory, to last; or NULL */
	uint64_t
		home_quota; /* no key: bytes it may take, which who starts the session sees to; 0: no limit */
	bool home_full; /* no key: it takes more than that: nothing is written there, only removed */
};

void spec_init(struct spec *spec);
void spec_fini(struct spec *spec); /* accepts a zeroed spec */

/* A deep copy into *ret, which is the caller's to spec_fini(). 0 or -ENOMEM. */
int spec_copy(const struct spec *spec, struct spec *ret);

/*
 * One key of a spec: the same table serves command line (--read-deny), configuration (read_deny)
 * and JSON, and the manual pages are checked against it.
 */
enum spec_type {
	SPEC_CHOICE, /* one of choices */
	SPEC_BOOL,
	SPEC_STRING,
	SPEC_PATH, /* absolute and clean */
	SPEC_SIZE, /* bytes */
	SPEC_COUNT, /* whole number */
	SPEC_MILLI, /* processors */
	SPEC_DURATION, /* seconds */
	SPEC_PATHS, /* list, appended to */
	SPEC_STRINGS, /* list, appended to */
	SPEC_CAPABILITIES,
};

struct spec_key {
	const char *name; /* with '_'; on the command line '-' stands for it */
	enum spec_type type;
	size_t offset; /* in struct spec */
	const char *const *choices; /* for SPEC_CHOICE, NULL-terminated, by enum value */
	uint64_t min, max; /* for the numbers; max 0: no bound */
	const char *help; /* one line */
	const char *metavar; /* what stands for the value in help texts, or NULL */
	int (*check)(const char *text, struct err *err); /* one value or item; may be NULL */
};

extern const struct spec_key spec_keys[]; /* ends with a NULL name */

/* The key called name ('-' and '_' alike), or NULL. */
const struct spec_key *spec_find_key(const char *name);

/* The name nearest to a mistyped one, or NULL: for "did you mean". */
const char *spec_suggest_key(const char *name);

/*
 * Sets a key from text, validated; lists are appended to. 0, or -EINVAL / -ENOMEM with err saying
 * what would be right; the spec is then as before.
 */
int spec_set(struct spec *spec, const struct spec_key *key, const char *text, struct err *err);

/* Empties a list key, so that a profile can replace what it inherits. */
void spec_clear(struct spec *spec, const struct spec_key *key);

/*
 * Is path above or something below it? Paths of Windows are compared without regard to the case of
 * ASCII letters, which is less than Windows itself takes as the same.
 */
bool spec_path_is_below(const char *path, const char *above);

/* Is path at or below one of list (NULL: none)? */
bool spec_path_is_covered(const char *path, char *const *list);

/* Does the backend called name run on Windows, and so take its paths ("C:\\work")? NULL: no. */
bool spec_backend_is_windows(const char *name);

/* Are all paths of the system that the backend called name runs on? 0, or -ENOTSUP with err. */
int spec_check_paths(const struct spec *spec, const char *backend, struct err *err);

/*
 * Checks the rules between keys (part 1.4 of the reference): argument list, blank entries, limits,
 * writable without a mode that has it, dir outside what can be read, strict. 0 or -EINVAL.
 */
int spec_validate(const struct spec *spec, struct err *err);

/* The capabilities the spec asks for, as isobox derives them. */
struct capability_set spec_capabilities(const struct spec *spec);

/* One JSON object with every key that differs from the default. Caller frees. NULL: no memory. */
char *spec_to_json(const struct spec *spec);

/* The reverse, strict: unknown keys and wrong types are refused. Fills a fresh *ret. */
int spec_from_json(const char *text, struct spec *ret, struct err *err);

/*
 * The environment the command gets: env filtered by allow, then deny; sorted by name, no name
 * twice. The caller frees *ret with strv_free(). 0 or -ENOMEM.
 */
int spec_environment(const struct spec *spec, char ***ret);
