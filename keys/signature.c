#include "keys/signature.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "keys/armour.h"
#include "keys/blob.h"
#include "keys/keyfile.h"

#define MAGIC "SSHSIG"
#define HASH "sha512" /* what ssh-keygen takes by itself */
#define KEY_MAGIC "openssh-key-v1" /* and a NUL */
#define SIGNATURE_NAME "SSH SIGNATURE"
#define KEY_NAME "OPENSSH PRIVATE KEY"
#define MAX_KEY_FILE 16384

/* ---- private keys: hostkey.c has the form ---- */

void signature_wipe_key(struct signature_key *key)
{
	sodium_memzero(key, sizeof(*key));
}

static bool take_magic(struct blob *blob, const char *magic, size_t size)
{
	if (blob->left < size || memcmp(blob->data, magic, size) != 0) {
		return false;
	}
	blob->data += size;
	blob->left -= size;
	return true;
}

/* Padding counts up from 1, and is shorter than a block of no cipher's. */
static bool is_padding(const struct blob *blob)
{
	for (size_t i = 0; i < blob->left; i++) {
		if (blob->data[i] != i + 1) {
			return false;
		}
	}
	return blob->left < 8;
}

static bool take_private(struct blob part, struct signature_key *ret)
{
	const uint8_t *public = NULL;
	const uint8_t *secret = NULL;
	const uint8_t *comment = NULL;
	size_t public_size = 0;
	size_t secret_size = 0;
	size_t comment_size = 0;
	uint32_t check = 0;
	uint32_t again = 0;

	if (!blob_u32(&part, &check) || !blob_u32(&part, &again) || check != again ||
		!blob_text(&part, ARMOUR_ED25519) || !blob_string(&part, &public, &public_size) ||
		public_size != SIGNATURE_PUBLIC || !blob_string(&part, &secret, &secret_size) ||
		secret_size != SIGNATURE_SECRET || !blob_string(&part, &comment, &comment_size) ||
		!is_padding(&part)) {
		return false;
	}
	/* The first half is the seed; both others must be what comes of it. */
	(void)crypto_sign_seed_keypair(ret->public, ret->secret, secret);
	return memcmp(ret->public, public, SIGNATURE_PUBLIC) == 0 &&
		sodium_memcmp(ret->secret, secret, SIGNATURE_SECRET) == 0;
}

static int take_key(struct blob *blob, struct signature_key *ret, struct err *err)
{
	const uint8_t *data = NULL;
	size_t size = 0;
	uint32_t count = 0;
	struct blob part;

	if (!take_magic(blob, KEY_MAGIC, sizeof(KEY_MAGIC))) {
		return err_refuse(err, EINVAL, "it is no private key of OpenSSH's");
	}
	if (!blob_text(blob, "none")) {
		return err_refuse(err, EINVAL,
			"the key has a passphrase, and nobody is asked here; make one without by "
			"ssh-keygen -t ed25519 -N '' -f FILE");
	}
	if (!blob_text(blob, "none") || !blob_text(blob, "") || !blob_u32(blob, &count) ||
		count != 1 || !blob_string(blob, &data, &size)) {
		return err_refuse(err, EINVAL, "it is no private key of OpenSSH's");
	}
	part = (struct blob){data, size};
	if (!blob_text(&part, ARMOUR_ED25519)) {
		return err_refuse(err, EINVAL, "only ssh-ed25519 keys sign");
	}
	if (!blob_string(blob, &part.data, &part.left) || blob->left > 0 ||
		!take_private(part, ret)) {
		return err_refuse(err, EINVAL, "the private key is damaged");
	}
	return 0;
}

int signature_parse_key(const char *text, size_t size, struct signature_key *ret, struct err *err)
{
	cleanup(buf_wipe) struct buf data = {0};
	struct signature_key key;
	int r = armour_unwrap(text, size, KEY_NAME, &data, err);

	if (r == 0) {
		struct blob blob = {data.data, data.size};
		r = take_key(&blob, &key, err);
	}
	if (r == 0) {
		*ret = key;
	}
	signature_wipe_key(&key);
	return r;
}

int signature_load_key(const char *path, uid_t owner, struct signature_key *ret, struct err *err)
{
	char *text = NULL;
	size_t size = 0;
	cleanup_close int fd = keyfile_open(path, owner, 1, err);

	if (fd < 0) {
		return fd;
	}
	int r = io_read_fd(fd, MAX_KEY_FILE, &text, &size);
	if (r < 0) {
		return err_set(err, -r, "reading %s", path);
	}
	r = signature_parse_key(text, size, ret, err);
	sodium_memzero(text, size);
	free(text);
	return r < 0 ? err_wrap(err, "%s", path) : 0;
}

/* ---- signatures ---- */

/* What is signed: not the data, but its hash and what it is for. */
static void put_message(struct buf *buf, const char *purpose, const void *data, size_t size)
{
	uint8_t hash[crypto_hash_sha512_BYTES];

	(void)crypto_hash_sha512(hash, data, size);
	buf_put(buf, MAGIC, strlen(MAGIC));
	armour_put_string(buf, purpose, strlen(purpose));
	armour_put_string(buf, "", 0);
	armour_put_string(buf, HASH, strlen(HASH));
	armour_put_string(buf, hash, sizeof(hash));
}

/* The whole file, from its two parts that are not always the same. */
static void put_signature(struct buf *text, const uint8_t public[SIGNATURE_PUBLIC],
	const char *purpose, const uint8_t bytes[crypto_sign_BYTES])
{
	cleanup(buf_fini) struct buf key = {0};
	cleanup(buf_fini) struct buf inner = {0};
	cleanup(buf_fini) struct buf outer = {0};

	armour_put_public(&key, public);
	armour_put_string(&inner, ARMOUR_ED25519, strlen(ARMOUR_ED25519));
	armour_put_string(&inner, bytes, crypto_sign_BYTES);
	buf_put(&outer, MAGIC, strlen(MAGIC));
	armour_put_u32(&outer, 1);
	armour_put_string(&outer, key.data, key.size);
	armour_put_string(&outer, purpose, strlen(purpose));
	armour_put_string(&outer, "", 0);
	armour_put_string(&outer, HASH, strlen(HASH));
	armour_put_string(&outer, inner.data, inner.size);
	outer.failed = outer.failed || key.failed || inner.failed;
	armour_wrap(text, SIGNATURE_NAME, &outer);
}

void signature_make(const struct signature_key *key, const char *purpose, const void *data,
	size_t size, struct buf *text)
{
	cleanup(buf_fini) struct buf message = {0};
	uint8_t bytes[crypto_sign_BYTES];

	put_message(&message, purpose, data, size);
	if (message.failed) {
		text->failed = true;
		return;
	}
	(void)crypto_sign_detached(bytes, NULL, message.data, message.size, key->secret);
	put_signature(text, key->public, purpose, bytes);
}

/* The key and the 64 bytes of a signature file; what else is in it is checked by writing it anew. */
static bool take_signature(
	struct blob *blob, uint8_t public[SIGNATURE_PUBLIC], uint8_t bytes[crypto_sign_BYTES])
{
	const uint8_t *data = NULL;
	size_t size = 0;
	uint32_t version = 0;
	struct blob part;

	if (!take_magic(blob, MAGIC, strlen(MAGIC)) || !blob_u32(blob, &version) ||
		!blob_string(blob, &part.data, &part.left) || !blob_text(&part, ARMOUR_ED25519) ||
		!blob_string(&part, &data, &size) || size != SIGNATURE_PUBLIC) {
		return false;
	}
	memcpy(public, data, SIGNATURE_PUBLIC);
	/* Purpose, a reserved one, hash. */
	for (int i = 0; i < 3; i++) {
		if (!blob_string(blob, &data, &size)) {
			return false;
		}
	}
	if (!blob_string(blob, &part.data, &part.left) || !blob_text(&part, ARMOUR_ED25519) ||
		!blob_string(&part, &data, &size) || size != crypto_sign_BYTES) {
		return false;
	}
	memcpy(bytes, data, crypto_sign_BYTES);
	return true;
}

int signature_check(const char *text, size_t size, const char *purpose, const void *data,
	size_t data_size, uint8_t ret[SIGNATURE_PUBLIC], struct err *err)
{
	cleanup(buf_fini) struct buf file = {0};
	cleanup(buf_fini) struct buf again = {0};
	cleanup(buf_fini) struct buf message = {0};
	uint8_t public[SIGNATURE_PUBLIC];
	uint8_t bytes[crypto_sign_BYTES];
	int r = armour_unwrap(text, size, SIGNATURE_NAME, &file, err);
	struct blob blob = {file.data, file.size};

	if (r < 0) {
		return r == -EINVAL ? err_refuse(err, EBADMSG, "there is no whole signature") : r;
	}
	if (!take_signature(&blob, public, bytes)) {
		return err_refuse(err, EBADMSG, "it is no signature by an ssh-ed25519 key");
	}
	put_message(&message, purpose, data, data_size);
	put_signature(&again, public, purpose, bytes);
	if (message.failed || again.failed) {
		return err_set(err, ENOMEM, "checking a signature");
	}
	if (again.size != size || memcmp(again.data, text, size) != 0) {
		return err_refuse(err, EBADMSG, "the signature was made for something else");
	}
	if (crypto_sign_verify_detached(bytes, message.data, message.size, public) != 0) {
		return err_refuse(err, EBADMSG, "the signature is of something else");
	}
	memcpy(ret, public, SIGNATURE_PUBLIC);
	return 0;
}

/* ---- public keys ---- */

int signature_parse_public(const char *line, uint8_t ret[SIGNATURE_PUBLIC], struct err *err)
{
	static const char name[] = ARMOUR_ED25519 " ";
	cleanup_free uint8_t *data = NULL;
	const uint8_t *key = NULL;
	size_t size = 0;
	struct blob blob;

	if (strncmp(line, name, sizeof(name) - 1) != 0) {
		return err_refuse(err, EINVAL, "a public key begins with " ARMOUR_ED25519);
	}
	line += sizeof(name) - 1;
	int r = blob_decode(line, strcspn(line, " \t\r\n"), &data, &size, err);
	if (r < 0) {
		return r;
	}
	blob = (struct blob){data, size};
	if (!blob_text(&blob, ARMOUR_ED25519) || !blob_string(&blob, &key, &size) ||
		size != SIGNATURE_PUBLIC || blob.left > 0) {
		return err_refuse(err, EINVAL, "the public key is damaged");
	}
	memcpy(ret, key, SIGNATURE_PUBLIC);
	return 0;
}

char *signature_fingerprint(const uint8_t key[SIGNATURE_PUBLIC], char text[FINGERPRINT_SIZE])
{
	cleanup(buf_fini) struct buf blob = {0};

	armour_put_public(&blob, key);
	return fingerprint_format(blob.data, blob.size, text, FINGERPRINT_SIZE);
}
