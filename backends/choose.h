/*
 * The choice of a backend as a table: what came of each for one spec, and why. backend_choose() in
 * backend.h is the short way for who only wants the plan.
 */
#pragma once

#include "backends/backend.h"

/* What came of one backend. */
struct choice {
	const struct backend *backend;
	struct plan *plan; /* owned; NULL where it does not fit */
	bool fits; /* it compiles, passes require and refuse_on, and hides nothing */
	struct err refusal; /* why not */
	/* Restrictions asked for or required that its plan (without one: its best plan) does not keep. */
	struct capability_set lacks;
	unsigned weaker; /* caveats of its plan that are more than information */
	bool asked, available; /* can it run here? Not asked: not known */
	struct err absence; /* why not */
	unsigned rank; /* 1: the one to take; 0: not to be had. Set by backend_weigh() */
};

struct choices {
	struct choice *list; /* in the registry's order */
	size_t count;
};

void choices_fini(struct choices *choices); /* accepts a zeroed one */

/*
 * Compiles spec on every backend of list, whatever spec->backend says, asks the host about each, and
 * ranks those that fit and are here: by how many restrictions they lack, then by how many caveats
 * are more than information, then by the order of list. The caller ends *ret with choices_fini(). 0,
 * also when nothing fits; -EINVAL for a bad spec, -ENOTSUP for an unknown name, or -ENOMEM.
 */
int backend_weigh(const struct backend *const list[], const struct spec *spec,
	const struct host *host, uint32_t without, struct choices *ret, struct err *err);

/* The one that backend_choose() takes, or NULL. */
const struct choice *choices_taken(const struct choices *choices, const struct spec *spec);

/* Why it is not to be had, in words; "" when it is. Borrowed from choice. */
const char *choice_reason(const struct choice *choice);
