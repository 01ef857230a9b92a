#include "tests/test.h"

#include <string.h>

#include <libssh/libssh.h>
#include <libssh/server.h>

#include "base/cleanup.h"
#include "session/algorithms.h"

/* Asked one by one: of a list, libssh takes what it knows and says nothing of the rest. */
static void libssh_can_do_all_that_is_known(void **state)
{
	static const enum ssh_bind_options_e options[] = {
		[ALGORITHM_KEX] = SSH_BIND_OPTIONS_KEY_EXCHANGE,
		[ALGORITHM_CIPHER] = SSH_BIND_OPTIONS_CIPHERS_S_C,
		[ALGORITHM_MAC] = SSH_BIND_OPTIONS_HMAC_S_C,
		[ALGORITHM_HOST_KEY] = SSH_BIND_OPTIONS_HOSTKEY_ALGORITHMS,
		[ALGORITHM_USER_KEY] = SSH_BIND_OPTIONS_PUBKEY_ACCEPTED_KEY_TYPES,
	};
	size_t count = 0;

	for (size_t kind = 0; kind < ARRAY_SIZE(options); kind++) {
		const char *const *name = algorithms_known((enum algorithm_kind)kind);
		for (; *name; name++, count++) {
			ssh_bind bind = ssh_bind_new();
			if (ssh_bind_options_set(bind, options[kind], *name) < 0) {
				fail_msg("libssh does not know %s", *name);
			}
			ssh_bind_free(bind);
		}
	}
	assert_true(count > 30);
}

static void what_is_not_known_is_named_with_what_is(void **state)
{
	static const struct {
		enum algorithm_kind kind;
		const char *list, *says;
	} rows[] = {
		{ALGORITHM_KEX, "curve25519-sha256,curve25519-sha265", "curve25519-sha265"},
		{ALGORITHM_KEX, "diffie-hellman-group1-sha1", "known: curve25519-sha256, "},
		{ALGORITHM_CIPHER, "aes256-cbc", "aes256-gcm@openssh.com"},
		{ALGORITHM_MAC, "hmac-sha1", "hmac-sha2-256-etm@openssh.com"},
		{ALGORITHM_MAC, "hmac-sha2-256,hmac-sha2-256", "twice"},
		{ALGORITHM_HOST_KEY, "ssh-rsa", "rsa-sha2-512"},
		{ALGORITHM_USER_KEY, "ssh-dss", "ssh-ed25519"},
	};
	struct err err = {0};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(algorithms_check(rows[i].kind, rows[i].list, &err), -EINVAL);
		assert_non_null(strstr(err.msg, rows[i].says));
	}
	assert_int_equal(algorithms_check(ALGORITHM_KEX,
				 "curve25519-sha256,diffie-hellman-group16-sha512", &err),
		0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(libssh_can_do_all_that_is_known),
		cmocka_unit_test(what_is_not_known_is_named_with_what_is),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
