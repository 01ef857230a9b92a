/*
 * What is measured: how a client is started in it and how it is ended.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "backends/backend.h"
#include "base/strv.h"
#include "testkit/canary.h"
#include "testkit/deliver.h"

enum target_kind {
	TARGET_NONE, /* no confinement but an unprivileged user: also what controls run in */
	TARGET_PLAN, /* a plan of ours, by its backend */
	TARGET_EXEC, /* a launcher's command line with {client} or {shell} in it */
	TARGET_SSH, /* a login */
};

/* What the owner of a login's server gives for the measurement; borrowed, NULL: not given. */
struct target_offers {
	const char *host_key; /* the server's private key */
	const char *forced_key; /* a key that may do no more than its forced command */
	const char *broken_user; /* whose sandbox cannot be made */
	const char *server_log; /* where the server writes what happens */
};

struct target {
	enum target_kind kind;
	struct target_offers offers; /* TARGET_SSH */
	char **argv; /* TARGET_EXEC; of a login ssh, its options and the host */
	struct delivery delivery; /* how the client comes, where that is ours to find out */
	/* TARGET_PLAN */
	struct spec spec; /* as declared, with the canaries' places added */
	struct plan *plan; /* of that spec */
	const struct backend *backend; /* NULL until prepared, unless the target was named by one */
	struct host host;
	struct capability_set declared;
	uint64_t disk; /* what ephemeral writes may take in the plan as declared; 0: no bound */
	char digest[65]; /* of the plan as declared, before we added anything */
	char **additions; /* what was added for the measurement, in words */
	char env_listed[64]; /* a variable that the lists take out, "" none */
	uint32_t without;
};

/* A client being run. */
struct running {
	int in, out; /* ends of ours; -1 closed */
	pid_t pid; /* of the launcher, or 0 */
	int pidfd;
	int patience_ms; /* for its end, once its input is closed */
	struct sandbox *sandbox;
};

/*
 * Reads "none", "backend" (the profile's), the name of a backend, "exec:ARGV..." or
 * "ssh://user@host:port". 0 or -EINVAL with err.
 */
int target_parse(const char *text, const char *identity, struct target *ret, struct err *err);

/*
 * For TARGET_PLAN: takes spec (copied), asks the host, compiles the plan as declared, then the one
 * that is measured, with the client and the canaries' places made reachable. 0 or negative errno.
 */
int target_prepare(struct target *target, const struct spec *spec, const char *backend,
	const struct ground *ground, struct err *err);

void target_fini(struct target *target);

/*
 * The command line of a launcher or a login with everything put in, in *ret, which the caller frees
 * with strv_free() whatever is returned. 0 or -ENOMEM.
 */
int target_words(const struct target *target, const struct ground *ground, char ***ret);

/*
 * Starts the client, in the process group of the canaries' companion. seconds: a time limit for
 * this run instead of the plan's (0: the plan's). 0 or negative errno.
 */
int target_start(const struct target *target, const struct canary *canary, uint64_t seconds,
	struct running *ret, struct err *err);

/* Ends whatever is left of it. */
void running_stop(struct running *running);
