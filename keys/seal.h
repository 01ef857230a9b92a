/*
 * Secrets in the configuration that must be read back, which a hash would not allow: sealed by libsodium's
 * secretbox under a key in a file of its own, so that who reads the configuration does not have them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

#define SEAL_KEY_SIZE 32
#define SEAL_SECRET_SIZE 20 /* as RFC 4226 wants for HMAC-SHA-1 */
#define SEAL_LINE_SIZE 128

/* Makes a file with a fresh key, mode 0600. 0; -EEXIST when there is one; negative errno with err. */
int seal_make_key(const char *path, struct err *err);

/* Reads it, through keyfile_open(): readable by its owner only. 0 or negative errno with err. */
int seal_load_key(const char *path, uid_t owner, uint8_t key[SEAL_KEY_SIZE], struct err *err);

/* The line for the configuration. */
void seal_make_line(const uint8_t key[SEAL_KEY_SIZE], const uint8_t secret[SEAL_SECRET_SIZE],
	char line[SEAL_LINE_SIZE]);

/* Could seal_make_line() have made it? */
bool seal_line_is_valid(const char *line);

/* The secret of a line. 0, or -EBADMSG when it was not sealed with this key or was changed. */
int seal_open_line(
	const uint8_t key[SEAL_KEY_SIZE], const char *line, uint8_t secret[SEAL_SECRET_SIZE]);

/* In base32 without padding, as authenticators want it: SEAL_SECRET_SIZE bytes are 32 characters. */
#define SEAL_BASE32_SIZE 33
void seal_format_base32(const uint8_t secret[SEAL_SECRET_SIZE], char text[SEAL_BASE32_SIZE]);
