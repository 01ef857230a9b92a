/*
 * What a terminal may be shown of somebody who is not trusted: text, colours, and where it
 * stands. A terminal obeys its input, and answers some of it as if its user had typed: what makes
 * one answer, changes its title, clipboard, keyboard or size, or reaches its printer, does not
 * come through.
 *
 * It is a list of what may pass, not of what may not: a sequence that nobody here has heard of is
 * dropped. What comes out, put in again, comes out the same.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define TERMINAL_SEQUENCE 64 /* bytes between "ESC [" and the final one; a longer one is dropped */
#define TERMINAL_STRING 65536 /* bytes of a string after which it is taken to have ended */

/* A zeroed one is good. */
struct terminal_filter {
	bool ascii; /* the terminal does not read UTF-8: other characters become "?" */
	bool alternate; /* what came through has switched to the other screen, and not back */
	uint64_t dropped; /* control sequences that did not come through */
	/* private */
	enum {
		TERMINAL_GROUND,
		TERMINAL_CHARACTER, /* within one of more than a byte */
		TERMINAL_ESCAPE, /* after ESC */
		TERMINAL_DESIGNATE, /* after ESC and a byte of 0x20 to 0x2f */
		TERMINAL_CONTROL, /* after "ESC [" */
		TERMINAL_TEXT, /* within a string that ends with a line: OSC */
		TERMINAL_STRINGS, /* within one that does not: DCS, SOS, PM, APC, a title of screen(1) */
	} state;
	uint8_t kept[TERMINAL_SEQUENCE];
	size_t length; /* of kept; more than there is room for: too long */
	size_t wanted; /* bytes of the character that begins in kept */
};

/*
 * Appends what may be shown of data to out. A sequence that is cut by the end of data goes on
 * with the next call. Memory trouble is kept in out->failed.
 */
void terminal_filter(
	struct terminal_filter *filter, const void *data, size_t size, struct buf *out);
