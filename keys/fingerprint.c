#include "keys/fingerprint.h"

#include <sodium.h>
#include <stdio.h>

char *fingerprint_format(const uint8_t *blob, size_t size, char *text, size_t text_size)
{
	unsigned char hash[crypto_hash_sha256_BYTES];
	char base64[sodium_base64_ENCODED_LEN(
		sizeof(hash), sodium_base64_VARIANT_ORIGINAL_NO_PADDING)];

	(void)crypto_hash_sha256(hash, blob, size);
	(void)sodium_bin2base64(base64, sizeof(base64), hash, sizeof(hash),
		sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
	(void)snprintf(text, text_size, "SHA256:%s", base64);
	return text;
}
