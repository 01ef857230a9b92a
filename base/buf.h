/*
 * A growing run of bytes, and a bounds-checked reader over one. The form every message of ours
 * takes on the wire: numbers little-endian, strings and blobs with a 32-bit length before them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

struct buf {
	uint8_t *data;
	size_t size;
	size_t room;
	bool failed; /* memory ran out once: everything since was dropped; check before sending */
};

void buf_fini(struct buf *buf); /* frees the bytes; accepts a zeroed buf */

/* Like buf_fini(), but wipes the bytes first. */
void buf_wipe(struct buf *buf);

/* Appends; memory trouble is kept in buf->failed. */
void buf_put(struct buf *buf, const void *data, size_t size);
void buf_put_u32(struct buf *buf, uint32_t value);
void buf_put_u64(struct buf *buf, uint64_t value);
void buf_put_blob(struct buf *buf, const void *data, size_t size);
void buf_put_string(struct buf *buf, const char *text); /* NULL counts as "" */
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Here, because a plan is put together of thousands of these for each login. */
static inline void buf_put_u8(struct buf *buf, uint8_t value)
{
	if (!buf->failed && buf->size < buf->room) {
		buf->data[buf->size++] = value;
	} else {
		buf_put(buf, &value, sizeof(value));
	}
}

struct reader {
	const uint8_t *data;
	size_t left;
	bool failed; /* something did not fit; every later get gives zero */
};

uint8_t reader_u8(struct reader *reader);
uint32_t reader_u32(struct reader *reader);
uint64_t reader_u64(struct reader *reader);

/* A blob: borrowed bytes of the reader's memory, *ret_size long. NULL on failure. */
const void *reader_blob(struct reader *reader, size_t *ret_size);

/*
 * A string as a copy the caller frees. NUL bytes inside and lengths over max fail. NULL on failure.
 */
char *reader_string(struct reader *reader, size_t max);

/* True when nothing failed and nothing is left over. */
bool reader_done(const struct reader *reader);
