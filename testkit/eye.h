/*
 * An eye beside the session: a program of ours, run by the backend in the kernel that serves the
 * session but outside of what confines it there. Where that kernel is not the host's it reads what the
 * host itself reads of its own processes, and writes it as text:
 *
 *	eye NAME SCOPE
 *
 * Whoever has taken over that kernel can make the eye say anything; so can whoever has taken over the
 * host's. That the kernel is another one is not asked of it: see machine.h.
 */
#pragma once

#include <stddef.h>

#include "base/buf.h"
#include "testkit/outside.h"

#define EYE_MAX (256U << 10) /* bytes of text */
#define EYE_MOUNTS_MAX 512
#define EYE_FILTER_MAX 4096 /* instructions, the kernel's BPF_MAXINSNS */

/* The program, linked in. */
extern const unsigned char eye_program[];
extern const size_t eye_size;

/* What outside_read() found, as text behind what is in ret. */
void eye_write(const struct outside *outside, struct buf *ret);

/*
 * The reverse, of text from another kernel. 0 and *ret, elsewhere and with no pid, for the caller to
 * outside_fini(); -EBADMSG when it is not such a text.
 */
int eye_parse(const char *text, size_t size, struct outside *ret);
