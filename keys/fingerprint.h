/*
 * The short name of a public key, as OpenSSH prints it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define FINGERPRINT_SIZE 52 /* "SHA256:", 43 characters and the end, rounded up */

/* SHA256:... of a key blob, cut to text_size. Returns text. */
char *fingerprint_format(const uint8_t *blob, size_t size, char *text, size_t text_size);
