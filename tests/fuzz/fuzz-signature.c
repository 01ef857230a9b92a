/* Receipts, private and public keys: files that anybody may have written. */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "testkit/receipt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever it says itself, a signature is in one form only: the one it is written in. */
static void try_signature(const char *text, size_t size)
{
	static const char line[] = "{}\n";
	uint8_t key[SIGNATURE_PUBLIC];
	char print[FINGERPRINT_SIZE];
	struct err err = {0};
	int r = signature_check(text, size, "cloche.receipt/1", line, strlen(line), key, &err);

	assert(r == 0 || (r == -EBADMSG && err.msg[0]));
	if (r == 0) {
		assert(strlen(signature_fingerprint(key, print)) == 50);
		assert(text[size - 1] == '\n');
	}
}

/* A key that is read signs what it says it does. */
static void try_key(const char *text, size_t size)
{
	struct signature_key key;
	struct err err = {0};
	struct buf signature = {0};
	uint8_t signer[SIGNATURE_PUBLIC];
	int r = signature_parse_key(text, size, &key, &err);

	assert(r == 0 || (r == -EINVAL && err.msg[0]));
	if (r < 0) {
		return;
	}
	signature_make(&key, "fuzz", text, size, &signature);
	assert(!signature.failed);
	assert(signature_check((const char *)signature.data, signature.size, "fuzz", text, size,
		       signer, &err) == 0);
	assert(memcmp(signer, key.public, SIGNATURE_PUBLIC) == 0);
	buf_fini(&signature);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct receipt receipt = {0};
	struct err err = {0};
	uint8_t public[SIGNATURE_PUBLIC];
	char *text = malloc(size + 1);

	assert(text);
	memcpy(text, data, size);
	text[size] = '\0';
	try_signature(text, size);
	try_key(text, size);
	(void)signature_parse_public(text, public, &err);
	if (receipt_parse(text, size, &receipt, &err) == 0) {
		assert(receipt.past.count > 0 && receipt.time[0]);
		receipt_fini(&receipt);
	}
	free(text);
	return 0;
}
