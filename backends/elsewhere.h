/*
 * What the backends of other systems share: their plans are compiled and shown on any host and are
 * started on their own system alone.
 *
 * Nothing of this host goes into such a plan: no path is looked at, no link is followed, no name is
 * looked up. Paths are text in the words of the other system.
 */
#pragma once

#include "backends/backend.h"

struct elsewhere {
	const char *backend; /* its name */
	const char *system; /* "macOS": where it runs */
	const char *path; /* PATH where the spec has none */
	const char *homes; /* where home directories are: "/Users" */
	const char *shell; /* SHELL where the spec has none */
};

/* One promise of a plan: made when it is asked for and kept. */
struct elsewhere_promise {
	enum capability capability;
	bool asked, kept;
};

/* One caveat of a plan. */
struct elsewhere_note {
	bool holds;
	const char *code;
};

/* What a backend adds to a plan that is made for elsewhere. */
struct elsewhere_compiler {
	const struct elsewhere *where;
	/* Each refuses a spec that cannot be had there: 0 or a negative errno, with err filled. Ends with NULL. */
	int (*refusals[8])(const struct spec *spec, struct err *err);
	/* The rest of the plan, with elsewhere_end(). 0 or a negative errno; err may be empty for -ENOMEM. */
	int (*fill)(const struct spec *spec, struct plan *plan, struct err *err);
};

/*
 * Makes a plan: validates spec, refuses what no plan-only backend has (layers to leave out), fills
 * in what does not depend on the backend: argv, env (scrubbed; PATH, HOME, USER, LOGNAME and SHELL
 * where they are lacking), user, timeout, executable_here = false and the caveat
 * backend.never_executed; then come how's refusals and how->fill(). The caller frees *ret with
 * plan_free(). 0, -EINVAL, -ENOTSUP or -ENOMEM, with err filled.
 */
int elsewhere_compile(const struct elsewhere_compiler *how, const struct spec *spec,
	uint32_t without, struct plan **ret, struct err *err);

/*
 * Ends a plan: promises and notes go in, a strict spec that would not get all it asks for is
 * refused, and the plan is sealed. 0, -ENOTSUP or -ENOMEM, with err filled.
 */
int elsewhere_end(const struct elsewhere *where, const struct spec *spec,
	const struct elsewhere_promise *promises, size_t promise_count,
	const struct elsewhere_note *notes, size_t note_count, struct plan *plan, struct err *err);

/* Is path at or below above? Both are text. */
bool elsewhere_is_below(const char *path, const char *above);

/* Is path at or below one of list (NULL: none)? */
bool elsewhere_is_covered(const char *path, char *const *list);

/*
 * Refuses a spec with a text that a start would take for a placeholder, for backends that do not put
 * texts through foreign_literal(). 0 or -ENOTSUP.
 */
int elsewhere_check_placeholders(const struct spec *spec, struct err *err);

/*
 * Appends to plan->command what sets up the session inside, on systems with sh(1) and env(1): shell
 * goes to dir and env starts plan->argv with plan->env and extra (NAME=VALUE; may be NULL) and
 * nothing else. dir and extra may have placeholders. 0, -ENOTSUP for a command that env(1) would take for a variable, or -ENOMEM.
 */
int elsewhere_add_session(
	struct plan *plan, const char *shell, const char *dir, char *const *extra, struct err *err);

/* The answer of probe(): not here, and what can be had here. Returns -ENOTSUP. */
int elsewhere_refuse(const struct elsewhere *where, struct err *err);

/* The other entries of the table, for a backend that nothing here starts. */
int elsewhere_start(const struct plan *plan, const struct host *host,
	const struct sandbox_stdio *io, struct sandbox **ret_sandbox, struct err *err);
int elsewhere_signal(struct sandbox *sandbox, int signo);
int elsewhere_poll_exit(struct sandbox *sandbox, struct sandbox_exit *ret);
void elsewhere_usage(struct sandbox *sandbox, struct sandbox_usage *ret);
void elsewhere_destroy(struct sandbox *sandbox);
