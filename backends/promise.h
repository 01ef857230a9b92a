/*
 * What a backend promises, notes and refuses, as tables: each backend has its rows, and what reads
 * them is here. A promise is made when the spec asks for it and all that it rests on is there, so
 * that none can outlive its reason.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backends/plan.h"
#include "backends/spec.h"

/* What a promise can rest on besides the layers of a plan. */
enum promise_ground {
	/* Facts of spec and plan, which promise_grounds() finds. */
	PROMISE_OWN_MOUNTS = 1 << 0, /* the host's tree is not what the session sees */
	PROMISE_OWN_NET = 1 << 1, /* a network namespace */
	PROMISE_CPU_GROUP = 1 << 2, /* a control group keeps the limit */
	PROMISE_MEMORY_GROUP = 1 << 3,
	PROMISE_PIDS_GROUP = 1 << 4,
	PROMISE_PIDS_KEPT = 1 << 5, /* the same, or RLIMIT_NPROC over ids of the session's own */
	PROMISE_UNSHARED = 1 << 6, /* nothing joins from another session */
	/* Facts of a backend's view, which the backend says. */
	PROMISE_BROAD_VIEW = 1 << 7, /* the host's files can be seen */
	PROMISE_LISTED_VIEW = 1 << 8, /* what is listed can be seen, and nothing else of the host */
	PROMISE_NO_HOST_SOCKETS = 1 << 9, /* nothing bound can hold a socket somebody listens on */
	PROMISE_NOTHING_PERSISTS = 1 << 10, /* no write reaches the host's disk */
	PROMISE_THROW_AWAY = 1 << 11, /* writes can be taken by a layer that is dropped */
	PROMISE_FILTERED = 1 << 12, /* the tool takes a filter */
	PROMISE_SIZED_PLACES = 1 << 13, /* no place that takes writes is without a size */
};

/* A row: capability is promised when it is asked for, no layer is left out and all grounds hold. */
struct promise {
	enum capability capability;
	uint32_t layers; /* enum plan_layer */
	uint32_t grounds; /* enum promise_ground */
};

/* What a spec asks of a plan, where asking is what decides; all that is kept unasked is in it. */
struct capability_set promise_asked(const struct spec *spec, const struct plan *plan);

/*
 * The grounds that spec and plan show; a backend adds those of its view. Once the plan's namespaces,
 * ids and limits are set.
 */
uint32_t promise_grounds(const struct spec *spec, const struct plan *plan);

/* Puts into plan->uses what the table's rows give. */
void promise_keep(const struct promise *table, size_t count, const struct spec *spec,
	uint32_t grounds, struct plan *plan);

/* A caveat and when it is due. */
struct promise_note {
	bool holds;
	const char *caveat;
};

/* Adds those that hold, in their order. 0 or -ENOMEM. */
int promise_note_all(const struct promise_note *table, size_t count, struct plan *plan);

/* What a backend cannot do, and why, with what would be right. */
struct promise_refusal {
	bool holds;
	const char *why;
};

/* The first that holds. 0, or -ENOTSUP with err. */
int promise_refuse_any(const struct promise_refusal *table, size_t count, struct err *err);
