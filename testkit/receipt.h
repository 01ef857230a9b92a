/*
 * A receipt: one line of JSON (cloche.receipt/1: when, and the whole report), then the signature of that
 * line as ssh-keygen -Y makes and checks it. Who does not have this program can check it too:
 *
 *	head -n 1 FILE | ssh-keygen -Y verify -f SIGNERS -I NAME -n cloche.receipt/1 -s <(tail -n +2 FILE)
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "keys/signature.h"
#include "testkit/past.h"

struct receipt {
	char time[32]; /* "2026-11-22T05:00:00Z" */
	uint8_t key[SIGNATURE_PUBLIC]; /* that signed it: is it one to trust? */
	struct past past;
};

/*
 * Reads a receipt and checks that it is exactly what its key signed. 0 and *ret, for receipt_fini();
 * -EBADMSG when it is not, -EINVAL when what was signed is no receipt; err says more.
 */
int receipt_parse(const char *text, size_t size, struct receipt *ret, struct err *err);

void receipt_fini(struct receipt *receipt);

/* cloche-testkit-host verify [--key=KEY]... FILE [OTHER]. Returns the exit code. */
int receipt_verify(int argc, char **argv);
