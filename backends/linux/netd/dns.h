/*
 * As much of DNS as asking for the addresses of one name takes. Answers are hostile. Needs no C
 * library.
 */
#pragma once

#include "backends/linux/netd/address.h"

#define DNS_QUERY_SIZE 300
#define DNS_TYPE_A 1
#define DNS_TYPE_AAAA 28

/* Writes a question for name (as name_parse() leaves it). Returns its size. */
size_t dns_write_query(uint8_t out[DNS_QUERY_SIZE], uint16_t id, const char *name, uint16_t type);

/*
 * Reads what came back. -1 when it is no answer to that question, and to be ignored; else how many
 * addresses of the type are in *ret (at most max; 0: the name has none).
 */
int dns_read_answer(const uint8_t *data, size_t size, uint16_t id, const char *name, uint16_t type,
	struct address *ret, int max);
