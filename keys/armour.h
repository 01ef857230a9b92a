/*
 * OpenSSH's files: base64 in lines between -----BEGIN and -----END, and what it stands for, strings with
 * a 32-bit big-endian length before them (blob.h reads those).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define ARMOUR_ED25519 "ssh-ed25519"

void armour_put_u32(struct buf *buf, uint32_t value);
void armour_put_string(struct buf *buf, const void *data, size_t size);

/* The 32 bytes of an Ed25519 key as a public key is on the wire. */
void armour_put_public(struct buf *buf, const uint8_t *key);

/* Appends data between lines that name it, such as "SSH SIGNATURE", broken as ssh-keygen does. */
void armour_wrap(struct buf *text, const char *name, const struct buf *data);

/*
 * What is between such lines; nothing may stand before or behind, lines may be broken anywhere. It may
 * be secret: free it with buf_wipe(). 0; -EINVAL or -ENOMEM with err.
 */
int armour_unwrap(
	const char *text, size_t size, const char *name, struct buf *ret, struct err *err);
