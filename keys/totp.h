/*
 * One-time codes by the clock (RFC 6238): six digits, thirty seconds, HMAC-SHA-1, as every authenticator has
 * them. The HMAC is libcrypto's, which libssh brings anyway; libsodium has none with SHA-1.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define TOTP_STEP 30 /* seconds */
#define TOTP_DIGITS 6

/* The code of a counter, from 0 to 999999. Negative errno when libcrypto has no HMAC-SHA-1. */
int totp_code(const uint8_t *secret, size_t size, uint64_t counter);

/*
 * Is text the code of now, of the step before or of the one after, and of a step later than last? All three
 * are compared whatever comes out. True with *ret_counter, which is to be kept as last: a code is good once.
 */
bool totp_verify(const uint8_t *secret, size_t size, time_t now, const char *text, uint64_t last,
	uint64_t *ret_counter);
