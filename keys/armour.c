#include "keys/armour.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define LINE 70 /* characters, as ssh-keygen breaks them */
#define MAX_SIZE (64 << 10)
#define BASE64 sodium_base64_VARIANT_ORIGINAL

void armour_put_u32(struct buf *buf, uint32_t value)
{
	const uint8_t bytes[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16),
		(uint8_t)(value >> 8), (uint8_t)value};

	buf_put(buf, bytes, sizeof(bytes));
}

void armour_put_string(struct buf *buf, const void *data, size_t size)
{
	armour_put_u32(buf, (uint32_t)size);
	buf_put(buf, data, size);
}

void armour_put_public(struct buf *buf, const uint8_t *key)
{
	armour_put_string(buf, ARMOUR_ED25519, strlen(ARMOUR_ED25519));
	armour_put_string(buf, key, crypto_sign_PUBLICKEYBYTES);
}

void armour_wrap(struct buf *text, const char *name, const struct buf *data)
{
	size_t room = sodium_base64_encoded_len(data->size, BASE64);
	char *base64 = malloc(room);

	if (!base64 || data->failed) {
		text->failed = true;
		free(base64);
		return;
	}
	(void)sodium_bin2base64(base64, room, data->data, data->size, BASE64);
	buf_printf(text, "-----BEGIN %s-----\n", name);
	for (size_t i = 0; base64[i]; i += strnlen(base64 + i, LINE)) {
		buf_put(text, base64 + i, strnlen(base64 + i, LINE));
		buf_put(text, "\n", 1);
	}
	buf_printf(text, "-----END %s-----\n", name);
	sodium_memzero(base64, room);
	free(base64);
}

/* Is text exactly this line, and its length? */
static bool is_line(const char *text, size_t size, const char *form, const char *name, size_t *ret)
{
	char line[80];

	(void)snprintf(line, sizeof(line), "-----%s %s-----\n", form, name);
	*ret = strlen(line);
	return size >= *ret && memcmp(text, line, *ret) == 0;
}

int armour_unwrap(const char *text, size_t size, const char *name, struct buf *ret, struct err *err)
{
	size_t head = 0;
	size_t foot = 0;
	size_t used = 0;

	if (size > MAX_SIZE || !is_line(text, size, "BEGIN", name, &head)) {
		return err_refuse(err, EINVAL, "no %s begins there", name);
	}
	/* The last line is two characters shorter than the first: END for BEGIN. */
	foot = head - 2;
	if (size < head + foot || !is_line(text + size - foot, foot, "END", name, &foot)) {
		return err_refuse(err, EINVAL, "the end of the %s is missing", name);
	}
	size -= head + foot;
	ret->data = malloc(size + 1);
	ret->room = size + 1;
	if (!ret->data) {
		return err_set(err, ENOMEM, "reading a key");
	}
	if (sodium_base642bin(ret->data, ret->room, text + head, size, "\n", &used, NULL, BASE64) <
		0) {
		return err_refuse(err, EINVAL, "the %s is not valid base64", name);
	}
	ret->size = used;
	return 0;
}
