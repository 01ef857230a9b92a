/*
 * Public keys as they are on the wire of SSH (RFC 4253, 5656, 8709 and OpenSSH's PROTOCOL.u2f), and the
 * numbers and strings they are made of: big-endian, a length of 32 bits before each string.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum blob_form { BLOB_ED25519, BLOB_ECDSA, BLOB_RSA, BLOB_SK_ED25519, BLOB_SK_ECDSA };

/* One type of key that is accepted. */
struct blob_kind {
	const char *name;
	enum blob_form form;
	const char *curve; /* for ECDSA */
	size_t point; /* bytes of an uncompressed point */
};

/* The kind of exactly this name, or NULL. */
const struct blob_kind *blob_find_kind(const char *name, size_t length);

/* What is left to be read. The bytes are somebody else's. */
struct blob {
	const uint8_t *data;
	size_t left;
};

/* Each takes one value off the front; false, and nothing taken, when it is not whole. */
bool blob_u32(struct blob *blob, uint32_t *ret);
bool blob_u64(struct blob *blob, uint64_t *ret);
bool blob_string(struct blob *blob, const uint8_t **ret_data, size_t *ret_size);

/* Takes a string that must be exactly this text. */
bool blob_text(struct blob *blob, const char *text);

/* Takes what stands behind the name of a key of this kind. 0 or -EINVAL with err. */
int blob_take_body(const struct blob_kind *kind, struct blob *blob, struct err *err);

/* Is data a whole key of this kind and nothing more? 0 or -EINVAL with err. */
int blob_check_key(const struct blob_kind *kind, const uint8_t *data, size_t size, struct err *err);

/*
 * Strict base64: padded, no blanks, no spare bits, nothing behind it. 0 and *ret_data (the caller
 * frees it), -EINVAL or -ENOMEM with err.
 */
int blob_decode(
	const char *text, size_t length, uint8_t **ret_data, size_t *ret_size, struct err *err);
