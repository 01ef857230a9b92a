/*
 * What a resolver answers: never more addresses than there is room for, each from within the answer.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "backends/linux/netd/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first bytes are replaced by what every answer begins with, so that what follows is looked at. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint16_t types[] = {DNS_TYPE_A, DNS_TYPE_AAAA};
	uint8_t answer[2048];
	struct address found[8];

	for (size_t i = 0; i < 2; i++) {
		size_t head = dns_write_query(answer, 0x1234, "a.example", types[i]);
		size_t rest = size < sizeof(answer) - head ? size : sizeof(answer) - head;
		memcpy(answer + head, data, rest);
		answer[2] = 0x81;
		answer[7] = size > 0 ? data[0] : 0;
		int count = dns_read_answer(
			answer, head + rest, 0x1234, "a.example", types[i], found, 8);
		assert(count >= 0 && count <= 8);
		for (int j = 0; j < count; j++) {
			assert(found[j].family == (i == 0 ? 4 : 6));
			assert(memmem(answer + head, rest, found[j].bytes, i == 0 ? 4 : 16));
		}
		count = dns_read_answer(data, size, 0x1234, "a.example", types[i], found, 8);
		assert(count >= -1 && count <= 8);
	}
	return 0;
}
