/*
 * Keys that must not be used any more: a plain list, one a line. A line is a fingerprint (SHA256:...) or a
 * public key as in authorized_keys, without options; a comment may follow either.
 *
 * What cannot be read might have been the key that is asked about: such a list revokes everything.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/*
 * Is the key (a plain one, not a certificate) in the list of size bytes? 1 when it is, 0 when it is not;
 * -ENOTSUP with err for OpenSSH's binary form (KRL), -EINVAL with err naming the line that cannot be
 * read; -ENOMEM.
 */
int revoked_find(
	const char *text, size_t size, const uint8_t *key, size_t key_size, struct err *err);
