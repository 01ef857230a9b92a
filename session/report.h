/*
 * Complaints about a text, each with its place, printed together in the order of the text:
 *
 *	cloche.yaml:6:5: error: unknown key "memroy"; did you mean "memory"?
 *	    6 |     memroy: 512M
 *	      |     ^~~~~~
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Counted from 0, in characters, as libyaml counts. */
struct place {
	size_t line, column;
};

struct complaint {
	struct place start, end;
	bool hide; /* what follows end on the line may be a secret, and is not shown */
	char *message;
};

struct report {
	const char *name; /* of the file, for messages; borrowed */
	const char *text; /* borrowed */
	size_t size;
	struct complaint *complaints;
	size_t count;
	size_t dropped; /* complaints that were not kept, because there were too many or no memory */
};

void report_init(struct report *report, const char *name, const char *text, size_t size);
void report_fini(struct report *report);

/* Keeps a complaint about the characters from start to before end (on the first line of them). */
void report_add(struct report *report, struct place start, struct place end, const char *format,
	...) __attribute__((format(printf, 4, 5)));

/* The same, without showing what stands behind end on its line. */
void report_add_hidden(struct report *report, struct place start, struct place end,
	const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Nothing to complain about? */
bool report_is_clean(const struct report *report);

/* Prints all of them. Source lines are shown without control bytes, and without password lines. */
void report_print(struct report *report, FILE *out);

/* The place of the byte at offset. */
struct place report_place_of(const struct report *report, size_t offset);
