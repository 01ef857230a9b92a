/*
 * OpenSSH's private key format, for one Ed25519 key without a passphrase (the server reads it
 * unattended). All numbers are big-endian; strings have a 32-bit length before them:
 *
 *	"openssh-key-v1" NUL, cipher "none", kdf "none", kdf options "", 1 key,
 *	string of the public key: "ssh-ed25519", 32 bytes
 *	string of: check, check (the same random number), "ssh-ed25519", 32 bytes public,
 *	           64 bytes seed and public, comment, padding 1 2 3 ... to a multiple of 8
 */
#include "keys/hostkey.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "keys/armour.h"

#define BASE64 sodium_base64_VARIANT_ORIGINAL

static void put_private(struct buf *buf, const uint8_t public[crypto_sign_PUBLICKEYBYTES],
	const uint8_t secret[crypto_sign_SECRETKEYBYTES])
{
	uint32_t check = 0;

	io_random(&check, sizeof(check));
	armour_put_u32(buf, check);
	armour_put_u32(buf, check);
	armour_put_public(buf, public);
	armour_put_string(buf, secret, crypto_sign_SECRETKEYBYTES);
	armour_put_string(buf, "", 0);
	for (uint8_t pad = 1; buf->size % 8 != 0; pad++) {
		buf_put_u8(buf, pad);
	}
}

static void put_key_file(struct buf *text, const uint8_t public[crypto_sign_PUBLICKEYBYTES],
	const uint8_t secret[crypto_sign_SECRETKEYBYTES])
{
	cleanup(buf_wipe) struct buf key = {0};
	cleanup(buf_wipe) struct buf public_part = {0};
	cleanup(buf_wipe) struct buf private_part = {0};

	armour_put_public(&public_part, public);
	put_private(&private_part, public, secret);
	buf_put(&key, "openssh-key-v1", sizeof("openssh-key-v1"));
	armour_put_string(&key, "none", 4);
	armour_put_string(&key, "none", 4);
	armour_put_string(&key, "", 0);
	armour_put_u32(&key, 1);
	armour_put_string(&key, public_part.data, public_part.size);
	armour_put_string(&key, private_part.data, private_part.size);
	key.failed = key.failed || public_part.failed || private_part.failed;
	armour_wrap(text, "OPENSSH PRIVATE KEY", &key);
}

static void put_public_file(struct buf *text, const uint8_t public[crypto_sign_PUBLICKEYBYTES])
{
	cleanup(buf_fini) struct buf blob = {0};
	char base64[128];

	armour_put_public(&blob, public);
	if (blob.failed) {
		text->failed = true;
		return;
	}
	(void)sodium_bin2base64(base64, sizeof(base64), blob.data, blob.size, BASE64);
	buf_printf(text, ARMOUR_ED25519 " %s\n", base64);
}

/* Writes a file that must not exist yet; what could not be written whole is removed again. */
static int write_new(const char *path, const struct buf *text, mode_t mode, struct err *err)
{
	cleanup_close int fd = -1;
	int r = 0;

	if (text->failed) {
		return err_set(err, ENOMEM, "making %s", path);
	}
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0) {
		return err_set(err, errno, "creating %s", path);
	}
	/* The mode is set as well, because the umask may have taken more than meant. */
	r = fchmod(fd, mode) < 0 ? -errno : io_write_all(fd, text->data, text->size);
	if (r == 0 && fsync(fd) < 0) {
		r = -errno;
	}
	if (r < 0) {
		(void)unlink(path);
		return err_set(err, -r, "writing %s", path);
	}
	return 0;
}

int hostkey_generate(const char *path, struct err *err)
{
	cleanup(buf_wipe) struct buf key_file = {0};
	cleanup(buf_fini) struct buf public_file = {0};
	uint8_t public[crypto_sign_PUBLICKEYBYTES];
	uint8_t secret[crypto_sign_SECRETKEYBYTES];
	char public_path[PATH_MAX];
	int r = 0;

	if (snprintf(public_path, sizeof(public_path), "%s.pub", path) >= PATH_MAX) {
		return err_set(err, ENAMETOOLONG, "making a key at %s", path);
	}
	if (sodium_init() < 0 || crypto_sign_keypair(public, secret) < 0) {
		return err_set(err, EIO, "making a key");
	}
	put_key_file(&key_file, public, secret);
	put_public_file(&public_file, public);
	sodium_memzero(secret, sizeof(secret));
	r = write_new(path, &key_file, 0600, err);
	if (r < 0) {
		return r;
	}
	r = write_new(public_path, &public_file, 0644, err);
	if (r < 0) {
		(void)unlink(path);
	}
	return r;
}
