/*
 * What `why` prints where no socket leads out of a sandbox: a file of the server's that is bound into
 * it read-only and written in place. Once a second it is another one, if only by its serial number: who
 * has waited for the next has what was refused by then.
 *
 * Its sum is no secret: it tells a text that is whole from one that is being written.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define PAGE_MAGIC UINT64_C(0x6567617020796877)
#define PAGE_TEXT 16000 /* more than there can be to say */

struct page {
	uint64_t magic, serial, sum;
	uint64_t size; /* of text */
	char text[PAGE_TEXT];
};

/* FNV-1a, begun with PAGE_SUM. */
#define PAGE_SUM UINT64_C(0xcbf29ce484222325)
static inline uint64_t page_sum(uint64_t sum, const void *data, size_t size)
{
	const unsigned char *bytes = data;

	for (size_t i = 0; i < size; i++) {
		sum = (sum ^ bytes[i]) * UINT64_C(0x100000001b3);
	}
	return sum;
}

/* Of the text's own sum and what else counts. */
static inline uint64_t page_seal(uint64_t text_sum, uint64_t serial, uint64_t size)
{
	return page_sum(page_sum(text_sum, &serial, sizeof(serial)), &size, sizeof(size));
}
