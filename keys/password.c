/*
 * Every line has the same cost, and a login without a line is checked against a constant one: what
 * the client waits for does not depend on whether the name exists.
 */
#include "keys/password.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>

static_assert(PASSWORD_LINE_SIZE == crypto_pwhash_STRBYTES, "a line of libsodium's fits ours");

/* What every line of ours begins with: Argon2id, 64 MiB, two passes, one lane. */
static const char line_head[] = "$argon2id$v=19$m=65536,t=2,p=1$";
static_assert(crypto_pwhash_MEMLIMIT_INTERACTIVE == 65536 * 1024, "m of line_head");
static_assert(crypto_pwhash_OPSLIMIT_INTERACTIVE == 2, "t of line_head");

/* Nobody's: the hash of random bytes that were thrown away. It costs what a real one costs. */
static const char nobody_line[] =
	"$argon2id$v=19$m=65536,t=2,p=1$"
	"xUmEUgewbZGEkAgKXhDtyw$OB4bkBlhLqdQB2n9dwomxJez46DjATsd8Cx125rNJxU";

#define SALT_CHARS 22 /* 16 bytes in base64 without padding */
#define HASH_CHARS 43 /* 32 bytes */

static const char base64_chars[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int password_make(const char *password, size_t size, char line[PASSWORD_LINE_SIZE])
{
	if (size == 0) {
		return -EINVAL;
	}
	if (sodium_init() < 0 ||
		crypto_pwhash_str_alg(line, password, size, crypto_pwhash_OPSLIMIT_INTERACTIVE,
			crypto_pwhash_MEMLIMIT_INTERACTIVE, crypto_pwhash_ALG_ARGON2ID13) < 0) {
		return -ENOMEM;
	}
	return 0;
}

bool password_line_is_valid(const char *line)
{
	size_t head = sizeof(line_head) - 1;

	if (strncmp(line, line_head, head) != 0) {
		return false;
	}
	line += head;
	if (strspn(line, base64_chars) != SALT_CHARS || line[SALT_CHARS] != '$') {
		return false;
	}
	line += SALT_CHARS + 1;
	return strspn(line, base64_chars) == HASH_CHARS && line[HASH_CHARS] == '\0';
}

bool password_verify(const char *line, const char *password, size_t size)
{
	bool real = line && password_line_is_valid(line);
	bool same = false;

	if (sodium_init() < 0) {
		return false;
	}
	/* The work comes first and always; only then is it asked whether it counts. */
	same = crypto_pwhash_str_verify(
		       real ? line : nobody_line, size > 0 ? password : "", size) == 0;
	return same && real && size > 0;
}
