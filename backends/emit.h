/*
 * Writes canonical JSON: no blanks, keys in strcmp order (asserted), byte for byte what jansson
 * prints with JSON_COMPACT | JSON_SORT_KEYS, in one pass and without a tree. Plans are hashed in
 * this form on the login path, where building a tree would cost ten times as much.
 *
 * Text that is not UTF-8 (the kernel takes any bytes in arguments and paths) becomes
 * {"bytes":"<hex>"}, so that two different plans never read the same.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "backends/capability.h"
#include "base/buf.h"

#define EMIT_MAX_DEPTH 8

/* Zero it, write one value, look at failed, then use buf. */
struct emitter {
	struct buf buf;
	const char *key[EMIT_MAX_DEPTH]; /* the last key of each open object, NULL at its start */
	bool comma[EMIT_MAX_DEPTH]; /* something stands before the next item */
	unsigned depth;
};

/* Opens and closes; c is '{', '}', '[' or ']'. */
void emit_open(struct emitter *out, char c);
void emit_close(struct emitter *out, char c);

/* The next key of the open object; asserts that it sorts behind the one before. */
void emit_key(struct emitter *out, const char *key);

void emit_text(struct emitter *out, const char *text); /* NULL: null */
void emit_list(struct emitter *out, char *const *list); /* NULL: [] */
void emit_bool(struct emitter *out, bool value);

/* A number; "unlimited" for UINT64_MAX, and decimal text for what int64_t cannot hold. */
void emit_number(struct emitter *out, uint64_t value);

/* Names of capabilities, sorted. */
void emit_capabilities(struct emitter *out, struct capability_set set);

/* A value that is JSON already; the caller vouches for it. */
void emit_raw(struct emitter *out, const char *json);

/* A number as text, "0x1f" or "0755". */
void emit_hex(struct emitter *out, uint64_t value);
void emit_octal(struct emitter *out, unsigned value);

/* The finished text; the caller frees it. NULL: out of memory. The writer is empty afterwards. */
char *emit_finish(struct emitter *out);
