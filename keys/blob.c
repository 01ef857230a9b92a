#include "keys/blob.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "base/cleanup.h"

#define RSA_MIN_BITS 2048
#define RSA_MAX_BITS 16384

static const struct blob_kind key_kinds[] = {
	{"ssh-ed25519", BLOB_ED25519, NULL, 0},
	{"ecdsa-sha2-nistp256", BLOB_ECDSA, "nistp256", 65},
	{"ecdsa-sha2-nistp384", BLOB_ECDSA, "nistp384", 97},
	{"ecdsa-sha2-nistp521", BLOB_ECDSA, "nistp521", 133},
	{"ssh-rsa", BLOB_RSA, NULL, 0},
	{"sk-ssh-ed25519@openssh.com", BLOB_SK_ED25519, NULL, 0},
	{"sk-ecdsa-sha2-nistp256@openssh.com", BLOB_SK_ECDSA, "nistp256", 65},
};

const struct blob_kind *blob_find_kind(const char *name, size_t length)
{
	for (size_t i = 0; i < ARRAY_SIZE(key_kinds); i++) {
		if (strlen(key_kinds[i].name) == length &&
			memcmp(key_kinds[i].name, name, length) == 0) {
			return &key_kinds[i];
		}
	}
	return NULL;
}

bool blob_string(struct blob *blob, const uint8_t **ret_data, size_t *ret_size)
{
	size_t size = 0;

	if (blob->left < 4) {
		return false;
	}
	size = (size_t)blob->data[0] << 24 | (size_t)blob->data[1] << 16 |
		(size_t)blob->data[2] << 8 | blob->data[3];
	if (size > blob->left - 4) {
		return false;
	}
	*ret_data = blob->data + 4;
	*ret_size = size;
	blob->data += 4 + size;
	blob->left -= 4 + size;
	return true;
}

/* A string that must be exactly this text. */
bool blob_text(struct blob *blob, const char *text)
{
	const uint8_t *data = NULL;
	size_t size = 0;

	return blob_string(blob, &data, &size) && size == strlen(text) &&
		memcmp(data, text, size) == 0;
}

static bool blob_sized(struct blob *blob, size_t want, uint8_t first)
{
	const uint8_t *data = NULL;
	size_t size = 0;

	return blob_string(blob, &data, &size) && size == want && (first == 0 || data[0] == first);
}

/*
 * A positive number in its one canonical form: no sign bit, no zero byte that is not needed. In
 * another form it could never equal what a client offers. Gives its bits, and whether it is odd.
 */
static bool blob_number(struct blob *blob, size_t *ret_bits, bool *ret_odd)
{
	const uint8_t *data = NULL;
	size_t size = 0;

	if (!blob_string(blob, &data, &size) || size == 0 || (data[0] & 0x80)) {
		return false;
	}
	if (data[0] == 0) {
		if (size == 1 || !(data[1] & 0x80)) {
			return false;
		}
		data++;
		size--;
	}
	*ret_bits = 8 * size - (size_t)(__builtin_clz(data[0]) - 24);
	*ret_odd = data[size - 1] & 1;
	return true;
}

static int check_rsa(struct blob *blob, struct err *err)
{
	size_t exponent = 0, modulus = 0;
	bool odd_exponent = false, odd_modulus = false;

	if (!blob_number(blob, &exponent, &odd_exponent) ||
		!blob_number(blob, &modulus, &odd_modulus) || !odd_exponent || !odd_modulus ||
		exponent < 2) {
		return err_refuse(err, EINVAL, "the RSA key is malformed");
	}
	if (modulus < RSA_MIN_BITS || modulus > RSA_MAX_BITS) {
		return err_refuse(err, EINVAL, "an RSA key of %zu bits; %d to %d are accepted",
			modulus, RSA_MIN_BITS, RSA_MAX_BITS);
	}
	return 0;
}

static bool body_is_sound(const struct blob_kind *kind, struct blob *blob)
{
	const uint8_t *data = NULL;
	size_t size = 0;

	switch (kind->form) {
	case BLOB_ED25519:
		return blob_sized(blob, 32, 0);
	case BLOB_ECDSA:
		return blob_text(blob, kind->curve) && blob_sized(blob, kind->point, 4);
	case BLOB_SK_ED25519:
		return blob_sized(blob, 32, 0) && blob_string(blob, &data, &size) && size > 0;
	case BLOB_SK_ECDSA:
		return blob_text(blob, kind->curve) && blob_sized(blob, kind->point, 4) &&
			blob_string(blob, &data, &size) && size > 0;
	case BLOB_RSA:
		break;
	}
	return false;
}

int blob_take_body(const struct blob_kind *kind, struct blob *blob, struct err *err)
{
	if (kind->form == BLOB_RSA) {
		return check_rsa(blob, err);
	}
	return body_is_sound(kind, blob) ? 0
					 : err_refuse(err, EINVAL, "the key's data is malformed");
}

int blob_check_key(const struct blob_kind *kind, const uint8_t *data, size_t size, struct err *err)
{
	struct blob blob = {data, size};

	if (!blob_text(&blob, kind->name)) {
		return err_refuse(err, EINVAL, "the key's data is not of type %s", kind->name);
	}
	int r = blob_take_body(kind, &blob, err);
	if (r < 0) {
		return r;
	}
	if (blob.left > 0) {
		return err_refuse(err, EINVAL, "the key's data goes on after its end");
	}
	return 0;
}

int blob_decode(
	const char *text, size_t length, uint8_t **ret_data, size_t *ret_size, struct err *err)
{
	size_t room = length / 4 * 3 + 3;
	cleanup_free uint8_t *data = malloc(room);
	size_t size = 0;

	if (!data) {
		return err_set(err, ENOMEM, "reading a key");
	}
	if (length == 0 || length % 4 != 0 ||
		sodium_base642bin(data, room, text, length, NULL, &size, NULL,
			sodium_base64_VARIANT_ORIGINAL) < 0) {
		return err_refuse(err, EINVAL, "the key's data is not valid base64");
	}
	*ret_data = take_ptr(&data);
	*ret_size = size;
	return 0;
}

bool blob_u32(struct blob *blob, uint32_t *ret)
{
	if (blob->left < 4) {
		return false;
	}
	*ret = (uint32_t)blob->data[0] << 24 | (uint32_t)blob->data[1] << 16 |
		(uint32_t)blob->data[2] << 8 | blob->data[3];
	blob->data += 4;
	blob->left -= 4;
	return true;
}

bool blob_u64(struct blob *blob, uint64_t *ret)
{
	uint32_t high = 0, low = 0;

	if (!blob_u32(blob, &high) || !blob_u32(blob, &low)) {
		return false;
	}
	*ret = (uint64_t)high << 32 | low;
	return true;
}
