/*
 * User certificates of OpenSSH, read and verified by ourselves (PROTOCOL.certkeys, version 01): libssh 0.10
 * checks that the client holds the certified key and looks no further.
 *
 * A certificate is used whole or not at all. Extensions that are not known grant nothing and are passed
 * over, as the format wants it; a critical option that is not enforced here refuses the certificate.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "keys/authorized.h"
#include "keys/blob.h"

#define CERTIFICATE_MAX_PRINCIPALS 256
#define CERTIFICATE_MAX_OPTIONS 64 /* of either kind */

struct certificate {
	const struct blob_kind *kind; /* of the key that is certified */
	uint8_t *key; /* that key, as a plain one on the wire */
	size_t key_size;
	uint64_t serial;
	char *id;
	char **principals; /* one at least */
	uint64_t after, before; /* valid from the first second on and before the second */
	char *command; /* forced, or NULL */
	char **source; /* addresses and networks the client must come from; empty: anywhere */
	bool pty, port_forwarding, agent_forwarding, x11_forwarding;
	const struct blob_kind *ca_kind;
	uint8_t *ca; /* key of the authority that signed it, or says it did */
	size_t ca_size;
	size_t signed_size; /* bytes of the blob that the signature is over */
	uint8_t *signature; /* as on the wire: a name and bytes */
	size_t signature_size;
};

void certificate_fini(struct certificate *certificate);

/* Does the blob begin like a certificate, of whatever type? */
bool certificate_is_one(const uint8_t *data, size_t size);

/*
 * Reads a user certificate. 0 and *ret (the caller's to fini); -EINVAL with err when it is malformed,
 * of a host, names no principal or has an option twice; -ENOTSUP with err naming the critical option that
 * is not enforced here; -ENOMEM. Nothing is verified.
 */
int certificate_parse(const uint8_t *data, size_t size, struct certificate *ret, struct err *err);

/*
 * Is the signature good, over the same data that was parsed, by the key that the certificate names? Whether
 * that key is trusted is the caller's question. 0; -EBADMSG for a bad signature; -ENOTSUP when the
 * authority's key is not Ed25519; err says it.
 */
int certificate_verify(
	const struct certificate *certificate, const uint8_t *data, size_t size, struct err *err);

/* Is it valid now, for a client at this address? False with *ret_reason (static, for the audit log). */
bool certificate_is_valid(const struct certificate *certificate, const char *address, time_t now,
	const char **ret_reason);

/* The first of the certificate's principals that is in names, or NULL. Borrowed. */
const char *certificate_principal(const struct certificate *certificate, char *const *names);

/*
 * Takes from options what the certificate does not permit, and adds its forced command. 0; -EPERM with err
 * when both force a command and not the same; -ENOMEM.
 */
int certificate_restrict(
	const struct certificate *certificate, struct key_options *options, struct err *err);
