#include "keys/seal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "keys/keyfile.h"

static_assert(SEAL_KEY_SIZE == crypto_secretbox_KEYBYTES, "a key of libsodium's");
static_assert(SEAL_SECRET_SIZE % 5 == 0, "base32 without padding");

#define BOX_SIZE (crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES + SEAL_SECRET_SIZE)
#define VARIANT sodium_base64_VARIANT_ORIGINAL_NO_PADDING

static const char line_head[] = "$cloche-totp$1$";

int seal_make_key(const char *path, struct err *err)
{
	uint8_t key[SEAL_KEY_SIZE];
	char text[2 * SEAL_KEY_SIZE + 2];
	cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0) {
		return err_set(err, errno, "making %s", path);
	}
	randombytes_buf(key, sizeof(key));
	(void)sodium_bin2hex(text, sizeof(text) - 1, key, sizeof(key));
	text[2 * SEAL_KEY_SIZE] = '\n';
	int r = io_write_all(fd, text, 2 * SEAL_KEY_SIZE + 1);
	r = r < 0 ? r : fsync(fd) < 0 ? -errno : 0;
	sodium_memzero(key, sizeof(key));
	sodium_memzero(text, sizeof(text));
	if (r < 0) {
		(void)unlink(path);
		return err_set(err, -r, "writing %s", path);
	}
	return 0;
}

int seal_load_key(const char *path, uid_t owner, uint8_t key[SEAL_KEY_SIZE], struct err *err)
{
	char *text = NULL;
	size_t size = 0;
	size_t got = 0;
	const char *end = NULL;
	cleanup_close int fd = keyfile_open(path, owner, 1, err);

	if (fd < 0) {
		return fd;
	}
	int r = io_read_fd(fd, 4096, &text, &size);
	if (r < 0) {
		return err_set(err, -r, "reading %s", path);
	}
	bool good = sodium_hex2bin(key, SEAL_KEY_SIZE, text, size, NULL, &got, &end) == 0 &&
		got == SEAL_KEY_SIZE && strcmp(end, "\n") == 0;
	sodium_memzero(text, size);
	free(text);
	return good ? 0
		    : err_refuse(err, EINVAL, "%s is not a key made by cloche totp --key", path);
}

void seal_make_line(const uint8_t key[SEAL_KEY_SIZE], const uint8_t secret[SEAL_SECRET_SIZE],
	char line[SEAL_LINE_SIZE])
{
	uint8_t box[BOX_SIZE];
	size_t head = sizeof(line_head) - 1;

	static_assert(SEAL_LINE_SIZE > sizeof(line_head) + (BOX_SIZE + 2) / 3 * 4, "it fits");
	randombytes_buf(box, crypto_secretbox_NONCEBYTES);
	(void)crypto_secretbox_easy(
		box + crypto_secretbox_NONCEBYTES, secret, SEAL_SECRET_SIZE, box, key);
	memcpy(line, line_head, head);
	(void)sodium_bin2base64(line + head, SEAL_LINE_SIZE - head, box, sizeof(box), VARIANT);
}

static bool decode(const char *line, uint8_t box[BOX_SIZE])
{
	size_t head = sizeof(line_head) - 1;
	size_t size = 0;

	return strncmp(line, line_head, head) == 0 &&
		sodium_base642bin(box, BOX_SIZE, line + head, strlen(line + head), NULL, &size,
			NULL, VARIANT) == 0 &&
		size == BOX_SIZE;
}

bool seal_line_is_valid(const char *line)
{
	uint8_t box[BOX_SIZE];

	return decode(line, box);
}

int seal_open_line(
	const uint8_t key[SEAL_KEY_SIZE], const char *line, uint8_t secret[SEAL_SECRET_SIZE])
{
	uint8_t box[BOX_SIZE];

	if (!decode(line, box) ||
		crypto_secretbox_open_easy(secret, box + crypto_secretbox_NONCEBYTES,
			BOX_SIZE - crypto_secretbox_NONCEBYTES, box, key) != 0) {
		return -EBADMSG;
	}
	return 0;
}

void seal_format_base32(const uint8_t secret[SEAL_SECRET_SIZE], char text[SEAL_BASE32_SIZE])
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
	uint64_t bits = 0;

	for (size_t i = 0; i < SEAL_SECRET_SIZE; i += 5) {
		bits = 0;
		for (size_t j = 0; j < 5; j++) {
			bits = bits << 8 | secret[i + j];
		}
		for (size_t j = 0; j < 8; j++) {
			*text++ = digits[bits >> (35 - 5 * j) & 31];
		}
	}
	*text = '\0';
}
