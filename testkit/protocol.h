/*
 * What client and host say to one another.
 *
 * The host writes plain lines to the client's standard input ("set NAME VALUE", "run ID", "go").
 * The client answers with fenced lines,
 *
 *	@<fence> <sequence> <kind> <fields> *<checksum>
 *
 * which are found inside whatever else a login, a terminal or a launcher prints: the fence is a
 * token made for this run and told only on standard input, the sequence shows lost lines, the
 * checksum shows damaged ones, and a carriage return at the end or text before the '@' does not
 * hurt.
 *
 *	hello <pid> <uid> <gid>		it has read the fence and waits for its job
 *	start <id>			a probe is about to be tried
 *	result <id> <claim> <errno> <hex>	what became of it; hex is "-" when there is nothing
 *	end <count>			all were tried
 *
 * This header is included by the client too, which has no C library.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROTOCOL_MAX_TEXT 240 /* bytes of evidence */
#define PROTOCOL_MAX_ID 32
#define PROTOCOL_MAX_FENCE 32
#define PROTOCOL_MAX_LINE 1024

/* What a survey of system calls brings: a bit for each number that something answered to. */
#define SURVEY_CALLS 512
#define SURVEY_BYTES (SURVEY_CALLS / 8)

enum claim {
	CLAIM_NOT_RUN,
	CLAIM_DONE,
	CLAIM_REFUSED,
	CLAIM_ABSENT, /* what was to be tried does not exist here */
	CLAIM_KILLED, /* the error is the signal */
	CLAIM_TIMEOUT,
	CLAIM_COUNT,
};

enum protocol_kind { PROTOCOL_HELLO, PROTOCOL_START, PROTOCOL_RESULT, PROTOCOL_END };

/* FNV-1a over what stands before " *", 32 bits. */
static inline uint32_t protocol_checksum(const char *data, size_t size)
{
	uint32_t sum = UINT32_C(2166136261);

	for (size_t i = 0; i < size; i++) {
		sum = (sum ^ (uint8_t)data[i]) * UINT32_C(16777619);
	}
	return sum;
}

/* The rest is the host's side: protocol.c. */

struct protocol_line {
	enum protocol_kind kind;
	uint32_t sequence;
	char id[PROTOCOL_MAX_ID + 1]; /* start, result */
	enum claim claim; /* result */
	int error; /* result */
	size_t size; /* result: bytes of text; end: count */
	uint8_t text[PROTOCOL_MAX_TEXT + 1]; /* result; NUL-terminated behind size */
	uint32_t pid, uid, gid; /* hello */
};

/*
 * Reads one line, without its newline. 1 and *ret: it is one of ours; 0: something else (a banner,
 * an echo); -EBADMSG: it carries the fence but is damaged.
 */
int protocol_parse(const char *line, size_t size, const char *fence, struct protocol_line *ret);

/* The text form of a line, newline included, in out. Returns its length. For tests and fakes. */
size_t protocol_format(const struct protocol_line *line, const char *fence, char *out, size_t size);

const char *claim_name(enum claim claim);

/* Cuts a byte stream into lines. Too long ones are dropped whole and counted. */
struct protocol_stream {
	char line[PROTOCOL_MAX_LINE];
	size_t used;
	bool overflow;
	size_t dropped;
};

/*
 * Feeds bytes. Calls take(line, size, context) for each whole line, until it returns a negative
 * value, which is then returned; else 0.
 */
int protocol_feed(struct protocol_stream *stream, const char *data, size_t size,
	int (*take)(const char *line, size_t size, void *context), void *context);
