#include "session/algorithms.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/strv.h"

static const char *const kex[] = {"curve25519-sha256", "curve25519-sha256@libssh.org",
	"ecdh-sha2-nistp256", "ecdh-sha2-nistp384", "ecdh-sha2-nistp521",
	"diffie-hellman-group18-sha512", "diffie-hellman-group16-sha512",
	"diffie-hellman-group14-sha256", "diffie-hellman-group-exchange-sha256", NULL};
static const char *const ciphers[] = {"aes256-gcm@openssh.com", "aes128-gcm@openssh.com",
	"chacha20-poly1305@openssh.com", "aes256-ctr", "aes192-ctr", "aes128-ctr", NULL};
static const char *const macs[] = {"hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com",
	"hmac-sha2-256", "hmac-sha2-512", NULL};
static const char *const host_keys[] = {"ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256",
	"ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", NULL};
static const char *const user_keys[] = {"ssh-ed25519", "sk-ssh-ed25519@openssh.com",
	"ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
	"sk-ecdsa-sha2-nistp256@openssh.com", "rsa-sha2-512", "rsa-sha2-256",
	"ssh-ed25519-cert-v01@openssh.com", "sk-ssh-ed25519-cert-v01@openssh.com",
	"ecdsa-sha2-nistp256-cert-v01@openssh.com", "ecdsa-sha2-nistp384-cert-v01@openssh.com",
	"ecdsa-sha2-nistp521-cert-v01@openssh.com", "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
	"rsa-sha2-512-cert-v01@openssh.com", "rsa-sha2-256-cert-v01@openssh.com", NULL};

const char *const *algorithms_known(enum algorithm_kind kind)
{
	static const char *const *const kinds[] = {
		[ALGORITHM_KEX] = kex,
		[ALGORITHM_CIPHER] = ciphers,
		[ALGORITHM_MAC] = macs,
		[ALGORITHM_HOST_KEY] = host_keys,
		[ALGORITHM_USER_KEY] = user_keys,
	};
	_Static_assert(ARRAY_SIZE(kinds) == ALGORITHM_KINDS, "one list a kind");

	return kinds[kind];
}

static int refuse(enum algorithm_kind kind, const char *name, struct err *err)
{
	cleanup_free char *all = strv_join((char **)(uintptr_t)algorithms_known(kind), ", ");

	return err_refuse(err, EINVAL, "'%.64s' is not known here, or too weak; known: %s", name,
		all ? all : "");
}

int algorithms_check(enum algorithm_kind kind, const char *list, struct err *err)
{
	cleanup(strv_freep) char **seen = NULL;

	while (*list) {
		size_t length = strcspn(list, ",");
		cleanup_free char *name = strndup(list, length);
		if (!name) {
			return err_set(err, ENOMEM, "algorithms");
		}
		if (!strv_contains((char **)(uintptr_t)algorithms_known(kind), name)) {
			return refuse(kind, name, err);
		}
		if (strv_contains(seen, name)) {
			return err_refuse(err, EINVAL, "'%s' is there twice", name);
		}
		if (strv_append(&seen, name) < 0) {
			return err_set(err, ENOMEM, "algorithms");
		}
		list += length;
		list += *list == ',';
	}
	return 0;
}
