#include "keys/totp.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

int totp_code(const uint8_t *secret, size_t size, uint64_t counter)
{
	unsigned char message[8];
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned int length = 0;

	for (size_t i = 0; i < sizeof(message); i++) {
		message[i] = (unsigned char)(counter >> (56 - 8 * i));
	}
	if (!HMAC(EVP_sha1(), secret, (int)size, message, sizeof(message), hash, &length) ||
		length != 20) {
		return -ENOTSUP;
	}
	/* RFC 4226, 5.3: four bytes, from where the last half byte says. */
	const unsigned char *at = hash + (hash[19] & 0xf);
	uint32_t value = (uint32_t)(at[0] & 0x7f) << 24 | (uint32_t)at[1] << 16 |
		(uint32_t)at[2] << 8 | at[3];
	sodium_memzero(hash, sizeof(hash));
	return (int)(value % 1000000);
}

bool totp_verify(const uint8_t *secret, size_t size, time_t now, const char *text, uint64_t last,
	uint64_t *ret_counter)
{
	uint64_t step = now < TOTP_STEP ? 1 : (uint64_t)now / TOTP_STEP;
	bool whole = strlen(text) == TOTP_DIGITS;
	char given[TOTP_DIGITS + 1] = "";
	uint64_t found = 0;
	bool good = false;

	(void)snprintf(given, sizeof(given), "%s", text);
	for (uint64_t counter = step - 1; counter <= step + 1; counter++) {
		char wanted[16] = "";
		int code = totp_code(secret, size, counter);
		(void)snprintf(wanted, sizeof(wanted), "%06d", code < 0 ? 0 : code);
		bool same = sodium_memcmp(wanted, given, TOTP_DIGITS) == 0;
		bool fresh = code >= 0 && counter > last;
		sodium_memzero(wanted, sizeof(wanted));
		found = same && fresh && !good ? counter : found;
		good = good || (same && fresh);
	}
	if (!good || !whole) {
		return false;
	}
	*ret_counter = found;
	return true;
}
