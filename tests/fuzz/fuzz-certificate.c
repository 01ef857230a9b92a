/*
 * Certificates, and what one that was read must be: a key that stands by itself, an authority, names without
 * control bytes, and a signed part that is inside. The same bytes are read as a list of revoked keys.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/strv.h"
#include "keys/certificate.h"
#include "keys/revoked.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct certificate *certificate, const uint8_t *data, size_t size)
{
	struct key_options options = {.pty = true};
	const char *reason = NULL;
	struct err err = {0};
	int r = 0;

	assert(certificate_is_one(data, size));
	assert(certificate->signed_size > certificate->key_size && certificate->signed_size < size);
	assert(strv_length(certificate->principals) > 0);
	assert(blob_check_key(certificate->kind, certificate->key, certificate->key_size, &err) ==
		0);
	assert(blob_check_key(certificate->ca_kind, certificate->ca, certificate->ca_size, &err) ==
		0);
	STRV_FOREACH (network, certificate->source) {
		assert(authorized_is_network(*network));
	}
	assert(certificate_principal(certificate, certificate->principals) ==
		certificate->principals[0]);
	assert(certificate_is_valid(certificate, "192.0.2.1", 1800000000, &reason) || reason);
	r = certificate_verify(certificate, data, size, &err);
	assert(r == 0 || r == -EBADMSG || r == -ENOTSUP);
	r = certificate_restrict(certificate, &options, &err);
	assert(r == 0 && options.pty == certificate->pty);
	assert(!options.command == !certificate->command);
	free(options.command);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t key[51] = {
		0, 0, 0, 11, 's', 's', 'h', '-', 'e', 'd', '2', '5', '5', '1', '9', 0, 0, 0, 32};
	struct certificate certificate = {0};
	struct err err = {0};
	int r = certificate_parse(data, size, &certificate, &err);

	if (r == 0) {
		check(&certificate, data, size);
		certificate_fini(&certificate);
	} else {
		assert((r == -EINVAL || r == -ENOTSUP) && err.msg[0]);
	}
	r = revoked_find((const char *)data, size, key, sizeof(key), &err);
	assert(r == 0 || r == 1 || ((r == -EINVAL || r == -ENOTSUP) && err.msg[0]));
	return 0;
}
