/*
 * Certificates are put together here from a recipe, signed by a key of the test, and read back. A
 * malformed one differs from a good one in the one thing its row names, and is signed all the same: what
 * refuses it is the parser and not the signature.
 */
#include "tests/test.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/strv.h"
#include "keys/certificate.h"
#include "keys/fingerprint.h"
#include "keys/revoked.h"

struct text {
	const char *data;
	size_t size;
};
#define TEXT(literal) ((struct text){literal, sizeof(literal) - 1})

/* Strings as on the wire, for recipes: a length of one byte is enough. */
#define S(length) "\0\0\0" length
#define FLAG_PTY S("\x0a") "permit-pty" S("\0")
#define FLAG_PORTS S("\x16") "permit-port-forwarding" S("\0")
#define COMMAND S("\x0d") "force-command" S("\x08") S("\x04") "date"
#define SOURCE S("\x0e") "source-address" S("\x10") S("\x0c") "192.0.2.0/24"

struct recipe {
	const char *type;
	size_t key_bytes;
	uint32_t kind;
	struct text id, principals;
	uint64_t after, before;
	struct text critical, extensions;
	const char *ca_type;
	struct text tail; /* behind the signature */
};

static const struct recipe good = {
	.type = "ssh-ed25519-cert-v01@openssh.com",
	.key_bytes = 32,
	.kind = 1,
	.id = {"ann's", 5},
	.principals = {S("\x03") "ann" S("\x05") "staff", 16},
	.after = 1000,
	.before = 2000,
	.extensions = {FLAG_PTY, sizeof(FLAG_PTY) - 1},
	.ca_type = "ssh-ed25519",
};

static uint8_t ca_public[32], ca_secret[64];

static void put_u32(struct buf *buf, uint32_t value)
{
	const uint8_t bytes[] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16),
		(uint8_t)(value >> 8), (uint8_t)value};

	buf_put(buf, bytes, sizeof(bytes));
}

static void put_u64(struct buf *buf, uint64_t value)
{
	put_u32(buf, (uint32_t)(value >> 32));
	put_u32(buf, (uint32_t)value);
}

static void put(struct buf *buf, const void *data, size_t size)
{
	put_u32(buf, (uint32_t)size);
	if (size > 0) {
		buf_put(buf, data, size);
	}
}

static void put_text(struct buf *buf, const char *text)
{
	put(buf, text, strlen(text));
}

/* The key of the CA, or what one of its type with the same bytes would be. */
static void put_ca(struct buf *buf, const char *type)
{
	cleanup(buf_fini) struct buf key = {0};

	put_text(&key, type);
	put(&key, ca_public, sizeof(ca_public));
	put(buf, key.data, key.size);
}

static void bake(const struct recipe *recipe, struct buf *ret)
{
	cleanup(buf_fini) struct buf signature = {0};
	uint8_t bytes[64];
	uint8_t key[64];

	memset(key, 7, sizeof(key));
	put_text(ret, recipe->type);
	put_text(ret, "nonce");
	put(ret, key, recipe->key_bytes);
	put_u64(ret, 42);
	put_u32(ret, recipe->kind);
	put(ret, recipe->id.data, recipe->id.size);
	put(ret, recipe->principals.data, recipe->principals.size);
	put_u64(ret, recipe->after);
	put_u64(ret, recipe->before);
	put(ret, recipe->critical.data, recipe->critical.size);
	put(ret, recipe->extensions.data, recipe->extensions.size);
	put_text(ret, "");
	put_ca(ret, recipe->ca_type);
	(void)crypto_sign_detached(bytes, NULL, ret->data, ret->size, ca_secret);
	put_text(&signature, "ssh-ed25519");
	put(&signature, bytes, sizeof(bytes));
	put(ret, signature.data, signature.size);
	buf_put(ret, recipe->tail.data ? recipe->tail.data : "", recipe->tail.size);
	assert_false(ret->failed);
}

static int parse(const struct recipe *recipe, struct certificate *ret, struct err *err)
{
	cleanup(buf_fini) struct buf blob = {0};

	bake(recipe, &blob);
	return certificate_parse(blob.data, blob.size, ret, err);
}

static void a_certificate_says_what_its_authority_wrote(void **state)
{
	cleanup(buf_fini) struct buf blob = {0};
	struct certificate certificate = {0};
	struct recipe recipe = good;
	struct err err = {0};
	const char *reason = NULL;
	char *names[] = {(char[]){"wheel"}, (char[]){"staff"}, NULL};

	recipe.critical = TEXT(COMMAND SOURCE);
	recipe.extensions = TEXT(FLAG_PTY S("\x04") "what" S("\x03") "odd");
	bake(&recipe, &blob);
	assert_true(certificate_is_one(blob.data, blob.size));
	if (certificate_parse(blob.data, blob.size, &certificate, &err) < 0) {
		fail_msg("%s", err.msg);
	}
	assert_int_equal(certificate.serial, 42);
	assert_string_equal(certificate.id, "ann's");
	assert_string_equal(certificate.command, "date");
	assert_string_equal(certificate.source[0], "192.0.2.0/24");
	assert_true(certificate.pty);
	assert_false(certificate.port_forwarding || certificate.agent_forwarding ||
		certificate.x11_forwarding);
	assert_string_equal(certificate_principal(&certificate, names), "staff");
	assert_null(certificate_principal(&certificate, NULL));
	assert_int_equal(certificate_verify(&certificate, blob.data, blob.size, &err), 0);
	assert_int_equal(
		blob_check_key(certificate.kind, certificate.key, certificate.key_size, &err), 0);

	assert_true(certificate_is_valid(&certificate, "192.0.2.9", 1000, &reason));
	assert_true(certificate_is_valid(&certificate, "192.0.2.9", 1999, &reason));
	assert_false(certificate_is_valid(&certificate, "192.0.2.9", 999, &reason));
	assert_string_equal(reason, "certificate_not_yet");
	assert_false(certificate_is_valid(&certificate, "192.0.2.9", 2000, &reason));
	assert_string_equal(reason, "certificate_expired");
	assert_false(certificate_is_valid(&certificate, "192.0.3.9", 1500, &reason));
	assert_string_equal(reason, "certificate_from");
	certificate_fini(&certificate);
}

static void a_changed_byte_breaks_the_signature(void **state)
{
	cleanup(buf_fini) struct buf blob = {0};
	size_t parsed = 0;

	bake(&good, &blob);
	for (size_t i = 0; i < blob.size; i++) {
		struct certificate certificate = {0};
		struct err err = {0};
		blob.data[i] ^= 1;
		if (certificate_parse(blob.data, blob.size, &certificate, &err) == 0) {
			parsed++;
			if (certificate_verify(&certificate, blob.data, blob.size, &err) == 0) {
				fail_msg("byte %zu may be changed", i);
			}
			certificate_fini(&certificate);
		}
		blob.data[i] ^= 1;
	}
	assert_true(parsed > 100); /* the key, names and times were among them */
}

static void every_shorter_blob_is_refused(void **state)
{
	cleanup(buf_fini) struct buf blob = {0};

	bake(&good, &blob);
	for (size_t size = 0; size < blob.size; size++) {
		struct certificate certificate = {0};
		struct err err = {0};
		cleanup_free uint8_t *copy = malloc(size ? size : 1);
		assert_non_null(copy);
		memcpy(copy, blob.data, size);
		assert_int_equal(certificate_parse(copy, size, &certificate, &err), -EINVAL);
		assert_true(err.msg[0]);
	}
}

static void a_malformed_certificate_is_refused_whole(void **state)
{
	static char wide[CERTIFICATE_MAX_PRINCIPALS * 5 + 5];
	struct recipe recipes[32];
	const struct {
		const char *says;
		int code;
		struct recipe recipe;
	} rows[] = {
		{"type", EINVAL, {.type = "ssh-ed25519"}},
		{"type", EINVAL, {.type = "ssh-dss-cert-v01@openssh.com"}},
		{"type", EINVAL, {.type = "-cert-v01@openssh.com"}},
		{"type", EINVAL, {.type = "ssh-ed25519-cert-v00@openssh.com"}},
		{"key's data", EINVAL, {.key_bytes = 31}},
		{"key's data", EINVAL, {.key_bytes = 33}},
		{"not one of a user", EINVAL, {.kind = 2}},
		{"not one of a user", EINVAL, {.kind = 257}},
		{"id", EINVAL, {.id = TEXT("a\0b")}},
		{"id", EINVAL, {.id = TEXT("a\nb")}},
		{"names no principal", EINVAL, {.principals = {"", 0}}},
		{"list of principals", EINVAL, {.principals = TEXT(S("\0"))}},
		{"list of principals", EINVAL, {.principals = TEXT(S("\x04") "ann")}},
		{"list of principals", EINVAL,
			{.principals = TEXT(S("\x03") "ann"
						      "\0\0")}},
		{"list of principals", EINVAL, {.principals = TEXT(S("\x03") "a\0n")}},
		{"list of principals", EINVAL, {.principals = {wide, sizeof(wide)}}},
		{"\"what\", which is not enforced", ENOTSUP,
			{.critical = TEXT(S("\x04") "what" S("\0"))}},
		{"\"verify-required\", which is not enforced", ENOTSUP,
			{.critical = TEXT(S("\x0f") "verify-required" S("\0"))}},
		{"\"permit-pty\", which is not enforced", ENOTSUP, {.critical = TEXT(FLAG_PTY)}},
		{"critical options", EINVAL, {.critical = TEXT(COMMAND COMMAND)}},
		{"critical options", EINVAL, {.critical = TEXT(COMMAND "\0")}},
		{"critical options", EINVAL, {.critical = TEXT(S("\0") S("\0"))}},
		{"force-command", EINVAL, {.critical = TEXT(S("\x0d") "force-command" S("\0"))}},
		{"force-command", EINVAL,
			{.critical = TEXT(S("\x0d") "force-command" S("\x04") "date")}},
		{"force-command", EINVAL,
			{.critical = TEXT(S("\x0d") "force-command" S("\x04") S("\0"))}},
		{"force-command", EINVAL,
			{.critical = TEXT(S("\x0d") "force-command" S("\x09") S("\x04") "date\0")}},
		{"no list of networks", EINVAL,
			{.critical = TEXT(S("\x0e") "source-address" S("\x07") S("\x03") "::/")}},
		{"no list of networks", EINVAL,
			{.critical = TEXT(
				 S("\x0e") "source-address" S("\x10") S("\x0c") "192.0.2.1/24")}},
		{"no list of networks", EINVAL,
			{.critical = TEXT(
				 S("\x0e") "source-address" S("\x0d") S("\x09") "10.0.0.*,")}},
		{"list of extensions", EINVAL, {.extensions = TEXT(FLAG_PTY FLAG_PTY)}},
		{"permit-pty", EINVAL, {.extensions = TEXT(S("\x0a") "permit-pty" S("\x01") "x")}},
		{"goes on after its end", EINVAL, {.tail = TEXT("\0")}},
	};

	assert_true(ARRAY_SIZE(rows) <= ARRAY_SIZE(recipes));
	for (size_t i = 0; i + 4 < sizeof(wide); i += 5) {
		wide[i + 3] = 1;
		wide[i + 4] = 'x';
	}
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct recipe *change = &rows[i].recipe;
		struct certificate certificate = {0};
		struct err err = {0};
		recipes[i] = good;
		recipes[i].type = change->type ? change->type : good.type;
		recipes[i].key_bytes = change->key_bytes ? change->key_bytes : good.key_bytes;
		recipes[i].kind = change->kind ? change->kind : good.kind;
		recipes[i].id = change->id.data ? change->id : good.id;
		recipes[i].principals =
			change->principals.data ? change->principals : good.principals;
		recipes[i].critical = change->critical;
		recipes[i].extensions =
			change->extensions.data ? change->extensions : good.extensions;
		recipes[i].tail = change->tail;
		int r = parse(&recipes[i], &certificate, &err);
		if (r != -rows[i].code || !strstr(err.msg, rows[i].says)) {
			fail_msg("row %zu (%s): %d %s", i, rows[i].says, r, err.msg);
		}
	}
}

static void an_authority_is_a_plain_key(void **state)
{
	static const struct {
		const char *type, *says;
	} rows[] = {
		{"ssh-ed25519-cert-v01@openssh.com", "authority is malformed"},
		{"ssh-dss", "authority is malformed"},
		{"ssh-rsa", "RSA key is malformed"},
		{"ecdsa-sha2-nistp256", "data is malformed"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct recipe recipe = good;
		struct certificate certificate = {0};
		struct err err = {0};
		recipe.ca_type = rows[i].type;
		assert_int_equal(parse(&recipe, &certificate, &err), -EINVAL);
		if (!strstr(err.msg, rows[i].says)) {
			fail_msg("%s: %s", rows[i].type, err.msg);
		}
	}
}

static void the_stricter_of_line_and_certificate_counts(void **state)
{
	static const struct {
		bool line, certificate, both;
	} rows[] = {{true, true, true}, {true, false, false}, {false, true, false}};
	struct err err = {0};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct recipe recipe = good;
		struct certificate certificate = {0};
		struct key_options options = {.pty = rows[i].line, .agent_forwarding = true};
		recipe.extensions = rows[i].certificate ? TEXT(FLAG_PTY FLAG_PORTS) : TEXT("");
		assert_int_equal(parse(&recipe, &certificate, &err), 0);
		assert_int_equal(certificate_restrict(&certificate, &options, &err), 0);
		assert_int_equal(options.pty, rows[i].both);
		assert_false(options.agent_forwarding || options.port_forwarding);
		assert_null(options.command);
		certificate_fini(&certificate);
	}
}

static void forced_commands_must_agree(void **state)
{
	struct recipe recipe = good;
	struct certificate certificate = {0};
	struct key_options none = {0};
	struct key_options same = {.command = (char[]){"date"}};
	struct key_options other = {.command = (char[]){"id"}};
	struct err err = {0};

	recipe.critical = TEXT(COMMAND);
	assert_int_equal(parse(&recipe, &certificate, &err), 0);
	assert_int_equal(certificate_restrict(&certificate, &none, &err), 0);
	assert_string_equal(none.command, "date");
	free(none.command);
	assert_int_equal(certificate_restrict(&certificate, &same, &err), 0);
	assert_int_equal(certificate_restrict(&certificate, &other, &err), -EPERM);
	assert_string_equal(other.command, "id");
	certificate_fini(&certificate);
}

/* ---- revoked keys ---- */

static void revoked_keys_are_found(void **state)
{
	static const char key64[] =
		"AAAAC3NzaC1lZDI1NTE5AAAAIHszQaL2FJaCEHlfkUD6rSx3GgM9V1D+58SaQWv/W/u6";
	static const char print[] = "SHA256:aGwy0ZzXHZRnL+6wi4onqirjg2cOGGWQ2i0SHv0MgnU";
	const struct {
		const char *before, *entry, *after;
		int found;
	} rows[] = {
		{"", "", "", 0},
		{"# nobody\n\n", "", "", 0},
		{"ssh-ed25519 ", key64, "", 1},
		{"  ssh-ed25519\t", key64, " lost in a train\n", 1},
		{"", print, "", 1},
		{"# one\n", print, " left\n# two\n", 1},
		{"# ", print, "\n", 0},
		{"SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n", "", "", 0},
		{"SHA256:", "short", "", -EINVAL},
		{print, "\n", "nonsense\n", -EINVAL},
		{"ssh-ed25519-cert-v01@openssh.com ", key64, "", -EINVAL},
		{"restrict ssh-ed25519 ", key64, "", -EINVAL},
		{"ssh-rsa ", key64, "", -EINVAL},
		{"ssh-ed25519 ", "!!!!", "", -EINVAL},
		{print, "\r\n", "", -EINVAL},
		{"SSHKRL\n", "", "", -ENOTSUP},
	};
	cleanup_free uint8_t *key = NULL;
	struct err err = {0};
	size_t size = 0;

	assert_int_equal(blob_decode(key64, strlen(key64), &key, &size, &err), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[512];
		(void)snprintf(
			text, sizeof(text), "%s%s%s", rows[i].before, rows[i].entry, rows[i].after);
		int r = revoked_find(text, strlen(text), key, size, &err);
		if (r != rows[i].found) {
			fail_msg("row %zu: %d %s", i, r, r < 0 ? err.msg : "");
		}
	}
	/* A NUL hides nothing. */
	assert_int_equal(revoked_find("#\0\n", 3, key, size, &err), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_certificate_says_what_its_authority_wrote),
		cmocka_unit_test(a_changed_byte_breaks_the_signature),
		cmocka_unit_test(every_shorter_blob_is_refused),
		cmocka_unit_test(a_malformed_certificate_is_refused_whole),
		cmocka_unit_test(an_authority_is_a_plain_key),
		cmocka_unit_test(the_stricter_of_line_and_certificate_counts),
		cmocka_unit_test(forced_commands_must_agree),
		cmocka_unit_test(revoked_keys_are_found),
	};
	if (sodium_init() < 0) {
		return 1;
	}
	(void)crypto_sign_keypair(ca_public, ca_secret);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
