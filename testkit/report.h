/*
 * What was found, for people, for programs, for test drivers.
 */
#pragma once

#include <stdio.h>

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

/* TAP 13: a line for each declared capability and each probe that was run. */
void report_tap(
	const struct report_header *header, const struct measurement *measurement, FILE *out);
