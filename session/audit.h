/*
 * The audit trail: one event, one line of JSON, one write(2) to a file opened for appending.
 *
 * A line is on its way to the disk before the thing it allows happens; the caller refuses the thing
 * when audit_event() fails. No text from outside can forge a line: strings are escaped as log_escape()
 * does and then once more as JSON.
 *
 * Every line has "v":1, "ts" (RFC 3339, UTC, microseconds), "event", "pid"; those of a connection
 * also "conn" (16 hex digits) and "seq" (1, 2, ... within it).
 */
#pragma once

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct audit {
	int fd; /* -1: no audit log is wanted */
	char conn[17]; /* "" for events of the server itself */
	uint64_t seq;
	atomic_bool *torn; /* shared by all processes: a line was cut short by a full disk */
	bool failing; /* the last write failed: sessions are refused */
};

/*
 * Opens path ("-": standard error, NULL: no audit log) for appending, made with mode 0600 if it is
 * not there; what is there must be a regular file of ours that nobody else can write. 0 or negative
 * errno. Close with audit_fini().
 */
int audit_init(struct audit *audit, const char *path, struct err *err);
void audit_fini(struct audit *audit); /* accepts a zeroed one with fd -1 */

/* Begins a connection: a fresh random conn, seq from 1. */
void audit_begin(struct audit *audit);

/*
 * Writes one event. fields is consumed (NULL: out of memory, or none). 0, or negative errno with
 * err saying what could not be written; audit->failing follows.
 */
int audit_event(struct audit *audit, const char *event, json_t *fields, struct err *err);

/*
 * For fields that come from outside: a JSON string of text with control bytes, backslashes and what
 * is not UTF-8 as \xNN, cut at 1024 bytes. NULL text gives null.
 */
json_t *audit_text(const char *text);
