/*
 * Specs for tests of backends whose plans are not run here: read from "key=value" words, and made up
 * by the hundred from a seed.
 */
#pragma once

#include "backends/backend.h"

/*
 * Fills a fresh *ret with the command `prog "a b"` and "key=value;key=value". Fails the test on a
 * value that spec_set() refuses.
 */
void planned_spec(const char *assignments, struct spec *ret);
void planned_spec_add(const char *assignments, struct spec *ret); /* more of them */

/* Compiles by backend_compile(), on a host that has nothing. NULL: refused, err has the reason. */
struct plan *planned_compile(
	const struct backend *backend, const struct spec *spec, struct err *err);

/*
 * Compiles that many made-up specs, and asserts of each: no plan promises more than its backend can
 * keep, none hides what it lacks, the same spec gives the same digest on another host, and a refusal
 * has a reason of one line. Returns how many compiled.
 */
size_t planned_generate(const struct backend *backend, unsigned count);

/*
 * The plan in a form to be read and compared: uses, caveats, command, files and steps, one a line.
 * The caller frees it.
 */
char *planned_describe(const struct plan *plan);

/*
 * Compares text with tests/unit/golden/<name>.txt; with CLOCHE_WRITE_GOLDEN set writes it there, to
 * be read before it is committed.
 */
void planned_golden(const char *name, const char *text);
