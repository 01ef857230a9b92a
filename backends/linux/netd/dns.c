#include "backends/linux/netd/dns.h"

#include <string.h>

#define HEADER 12
#define CLASS_IN 1
#define FLAG_RESPONSE 0x8000
#define FLAG_RECURSE 0x0100
#define MAX_RECORDS 64

static void put16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

size_t dns_write_query(uint8_t out[DNS_QUERY_SIZE], uint16_t id, const char *name, uint16_t type)
{
	size_t at = HEADER;
	size_t label = at++;

	memset(out, 0, HEADER);
	put16(out, id);
	put16(out + 2, FLAG_RECURSE);
	put16(out + 4, 1);
	for (; *name; name++) {
		if (*name == '.') {
			out[label] = (uint8_t)(at - label - 1);
			label = at++;
		} else {
			out[at++] = (uint8_t)*name;
		}
	}
	out[label] = (uint8_t)(at - label - 1);
	out[at++] = 0;
	put16(out + at, type);
	put16(out + at + 2, CLASS_IN);
	return at + 4;
}

/* Is the question in data, right behind the header, ours? Upper and lower case are one. */
static bool repeats_question(const uint8_t *data, size_t size, const uint8_t *query, size_t length)
{
	if (size < length) {
		return false;
	}
	for (size_t i = HEADER; i < length; i++) {
		uint8_t c = data[i];
		if (c >= 'A' && c <= 'Z' && i < length - 4) {
			c = (uint8_t)(c | 0x20);
		}
		if (c != query[i]) {
			return false;
		}
	}
	return true;
}

/* Steps over a name, compressed or not, without following it. 0 when it does not fit. */
static size_t skip_name(const uint8_t *data, size_t size, size_t at)
{
	while (at < size) {
		uint8_t length = data[at];
		if (length >= 0xc0) {
			return at + 2 <= size ? at + 2 : 0;
		}
		if (length >= 0x40) {
			return 0;
		}
		at += 1U + length;
		if (length == 0) {
			return at <= size ? at : 0;
		}
	}
	return 0;
}

int dns_read_answer(const uint8_t *data, size_t size, uint16_t id, const char *name, uint16_t type,
	struct address *ret, int max)
{
	uint8_t query[DNS_QUERY_SIZE];
	size_t length = dns_write_query(query, id, name, type);
	size_t wanted = type == DNS_TYPE_A ? 4 : 16;
	size_t at = length;
	int found = 0;

	if (size < HEADER || get16(data) != id || !(get16(data + 2) & FLAG_RESPONSE) ||
		get16(data + 4) != 1 || !repeats_question(data, size, query, length)) {
		return -1;
	}
	if (get16(data + 2) & 0x000f) {
		return 0; /* no such name, refused, or in trouble */
	}
	for (unsigned i = 0; i < get16(data + 6) && i < MAX_RECORDS && found < max; i++) {
		at = skip_name(data, size, at);
		if (at == 0 || size - at < 10) {
			break;
		}
		size_t used = get16(data + at + 8);
		const uint8_t *record = data + at;
		at += 10;
		if (size - at < used) {
			break;
		}
		if (get16(record) == type && get16(record + 2) == CLASS_IN && used == wanted) {
			ret[found] = (struct address){.family = wanted == 4 ? 4 : 6};
			memcpy(ret[found++].bytes, data + at, wanted);
		}
		at += used;
	}
	return found;
}
