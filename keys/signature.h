/*
 * Signatures over files as ssh-keygen -Y makes and checks them (OpenSSH's PROTOCOL.sshsig), by Ed25519
 * keys alone. What a signature is for is signed with it, so that one made for something else is none.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "keys/fingerprint.h"

#define SIGNATURE_PUBLIC 32
#define SIGNATURE_SECRET 64

struct signature_key {
	uint8_t public[SIGNATURE_PUBLIC];
	uint8_t secret[SIGNATURE_SECRET]; /* seed and public half */
};

/*
 * Reads a private key file of OpenSSH's without a passphrase, readable by owner alone (see
 * keyfile_open()). The caller wipes *ret. 0 or negative errno with err.
 */
int signature_load_key(const char *path, uid_t owner, struct signature_key *ret, struct err *err);

/* The same from text. */
int signature_parse_key(const char *text, size_t size, struct signature_key *ret, struct err *err);

void signature_wipe_key(struct signature_key *key);

/* Appends the signature of data for purpose, armoured. Memory trouble is kept in text->failed. */
void signature_make(const struct signature_key *key, const char *purpose, const void *data,
	size_t size, struct buf *text);

/*
 * Is text a signature of data, made for purpose, in the one form that signature_make() gives? Then *ret
 * is the key that made it; whose that is, and whether it is trusted, is another question. 0; -EBADMSG
 * or -ENOMEM with err.
 */
int signature_check(const char *text, size_t size, const char *purpose, const void *data,
	size_t data_size, uint8_t ret[SIGNATURE_PUBLIC], struct err *err);

/* A line "ssh-ed25519 AAAA... comment". 0 or -EINVAL with err. */
int signature_parse_public(const char *line, uint8_t ret[SIGNATURE_PUBLIC], struct err *err);

/* SHA256:..., as ssh-keygen -l has it. Returns text. */
char *signature_fingerprint(const uint8_t key[SIGNATURE_PUBLIC], char text[FINGERPRINT_SIZE]);
