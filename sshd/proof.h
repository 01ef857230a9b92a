/*
 * Proof before login: a profile is opened only after the testkit has tried, in a sandbox of that
 * profile, what it promises to prevent, and the host has seen it fail.
 */
#pragma once

#include <stdbool.h>

#include "backends/backend.h"
#include "session/config.h"
#include "session/session.h"

struct proof_options {
	const char *config_path; /* for the testkit; NULL: the embedded default */
	bool skip; /* open everything, unmeasured */
	bool only_cached; /* measure nothing new; for -T */
	int interrupt; /* a descriptor that is readable when we should give up, or -1 */
};

/*
 * Fills gates (config->profile_count of them). Results are kept in state_dir/proofs by plan digest,
 * kernel and programs; only good ones are, so a profile that failed is measured again next time. A
 * profile that could not be measured is closed. Says on the log what came out. 0, or -EINTR when
 * it was interrupted.
 */
int proof_run(const struct config *config, const struct host *host,
	const struct backend *const backends_list[], const struct proof_options *options,
	struct session_gate *gates);

/*
 * Reads a report of the testkit ("cloche.report/1"): the name of the first capability that was
 * declared and not found to hold, in name. 0 when there is one, -ENOENT when all hold, -EPROTO when
 * the text is no report.
 */
int proof_find_failure(const char *report, char *name, size_t size);
