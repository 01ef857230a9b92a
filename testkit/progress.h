/*
 * What those who wait are told while a target is measured: a line on a terminal, events for NDJSON.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "testkit/options.h"
#include "testkit/run.h"

struct progress {
	const struct options *options;
	const char *target;
	bool terminal; /* standard error is one */
	size_t asked, answered; /* in the run under way */
};

/* For struct run_watch; context is a struct progress. */
void progress_take(const struct run_event *event, void *context);

/* Takes the line away. */
void progress_end(const struct progress *progress);
