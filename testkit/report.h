/*
 * What was found, for people, for programs, for test drivers.
 */
#pragma once

#include <jansson.h>
#include <stdio.h>

#include "keys/signature.h"
#include "testkit/measure.h"

struct report_header {
	const char *target; /* as it was named */
	const char *profile; /* or NULL */
	const struct target *details;
	bool brief; /* only declared capabilities, and probes that speak against them */
	bool colour;
};

/* Text in 80 columns. */
void report_text(
	const struct report_header *header, const struct measurement *measurement, FILE *out);

/* One JSON document, schema "cloche.report/1". 0 or -ENOMEM. */
int report_json(
	const struct report_header *header, const struct measurement *measurement, FILE *out);

/* A target among others. */
struct report_column {
	struct report_header header;
	const struct measurement *measurement;
	bool automatic; /* the control outside: nobody asked for it, and only tables show it */
};

/* What a writer is given: one column at least, the automatic one last. All borrowed. */
struct report {
	const struct report_column *columns;
	size_t count;
	const struct signature_key *key; /* for a receipt, else NULL */
};

#define REPORT_MAX_COLUMNS 7

/* What report_write_json() prints: the first target is the document, others stand in its "others". */
json_t *report_to_json(const struct report *report);

/* A format: one file, one writer. Returns 0 or negative errno. */
struct report_format {
	const char *name;
	int (*write)(const struct report *report, FILE *out);
};

extern const struct report_format report_formats[]; /* ends with a NULL name */

/* The format called name, or NULL. */
const struct report_format *report_format_find(const char *name);

int report_write_text(const struct report *report, FILE *out);
int report_write_json(
	const struct report *report, FILE *out); /* docs/schema/cloche.report.1.json */
int report_write_ndjson(
	const struct report *report, FILE *out); /* what report_event() had no part in */
int report_write_tap(const struct report *report, FILE *out); /* TAP 14 */
int report_write_junit(const struct report *report, FILE *out);
int report_write_sarif(const struct report *report, FILE *out); /* 2.1.0 */
int report_write_markdown(const struct report *report, FILE *out);
int report_write_receipt(const struct report *report, FILE *out); /* signed; in receipt.c */
int report_write_html(const struct report *report, FILE *out); /* one file that fetches nothing */

/* The first target alone, for somebody who is confined there: in report-caller.c. */
int report_write_caller(const struct report *report, FILE *out);
int report_write_caller_json(const struct report *report, FILE *out);

/* One line of NDJSON for something that happens during a run. */
void report_event(const struct run_event *event, FILE *out);

/* For writers. */

/* Something promised was violated. */
bool report_speaks_against(enum verdict verdict);

/* The probe was asked for, or judged all the same. */
bool report_was_run(const struct probe_verdict *probe);

/* Why its i-th probe is EXPECTED, as known_describe() says it, or "". Returns text. */
char *report_excuse(const struct measurement *measurement, size_t i, char *text, size_t size);

/* Why its i-th probe is INCONCLUSIVE, or "" where it is not. Returns text. */
char *report_doubt(const struct measurement *measurement, size_t i, char *text, size_t size);

/* Its i-th probe belongs into the report. */
bool report_is_shown(const struct report_column *column, size_t i);

/* The i-th probe belongs into the report of a target that was asked for. */
bool report_shows(const struct report *report, size_t i);

/* The table of capabilities, in 80 columns. */
void report_put_capabilities(
	const struct report_header *header, const struct measurement *measurement, FILE *out);

/* Text from anywhere, safe between tags and in quoted attributes of XML and HTML. */
void report_put_xml(const char *text, FILE *out);
