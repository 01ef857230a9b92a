#include "backends/emit.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "base/parse.h"

/* Puts the comma that the next value needs. Behind a key none is due. */
static void before_value(struct emitter *out)
{
	if (out->comma[out->depth]) {
		buf_put_u8(&out->buf, ',');
	}
	out->comma[out->depth] = true;
}

void emit_open(struct emitter *out, char c)
{
	before_value(out);
	buf_put_u8(&out->buf, (uint8_t)c);
	out->depth++;
	assert(out->depth < EMIT_MAX_DEPTH);
	out->comma[out->depth] = false;
	out->key[out->depth] = NULL;
}

void emit_close(struct emitter *out, char c)
{
	assert(out->depth > 0);
	out->depth--;
	buf_put_u8(&out->buf, (uint8_t)c);
}

/* What stands behind the backslash; 'u': four digits more; 0: the byte stands for itself. */
static char escape_of(unsigned char c)
{
	static const char control[] = "uuuuuuuubtnufruuuuuuuuuuuuuuuuuu";

	return c < 0x20 ? control[c] : (char)(c == '"' || c == '\\' ? c : 0);
}

/* By pieces of a fixed size, not of what needs no escape: much is JSON in JSON. */
static void put_quoted(struct buf *buf, const char *text)
{
	static const char digits[] = "0123456789ABCDEF";
	char piece[512];
	size_t used = 0;

	piece[used++] = '"';
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		char escape = escape_of(c);

		if (used + sizeof("\\u0000") >= sizeof(piece)) {
			buf_put(buf, piece, used);
			used = 0;
		}
		if (!escape) {
			piece[used++] = (char)c;
			continue;
		}
		piece[used++] = '\\';
		piece[used++] = escape;
		if (escape == 'u') {
			piece[used++] = '0';
			piece[used++] = '0';
			piece[used++] = digits[c >> 4];
			piece[used++] = digits[c & 15];
		}
	}
	piece[used++] = '"';
	buf_put(buf, piece, used);
}

void emit_key(struct emitter *out, const char *key)
{
	const char *last = out->key[out->depth];

	assert(!last || strcmp(last, key) < 0);
	out->key[out->depth] = key;
	before_value(out);
	/* Keys are ours and need no escapes. */
	buf_put_u8(&out->buf, '"');
	buf_put(&out->buf, key, strlen(key));
	buf_put(&out->buf, "\":", 2);
	out->comma[out->depth] = false;
}

void emit_text(struct emitter *out, const char *text)
{
	before_value(out);
	if (!text) {
		buf_put(&out->buf, "null", 4);
	} else if (parse_is_utf8(text)) {
		put_quoted(&out->buf, text);
	} else {
		buf_put(&out->buf, "{\"bytes\":\"", 10);
		for (; *text; text++) {
			char hex[3];
			buf_put(&out->buf, io_hex(text, 1, hex), 2);
		}
		buf_put(&out->buf, "\"}", 2);
	}
}

void emit_list(struct emitter *out, char *const *list)
{
	emit_open(out, '[');
	for (size_t i = 0; list && list[i]; i++) {
		emit_text(out, list[i]);
	}
	emit_close(out, ']');
}

void emit_bool(struct emitter *out, bool value)
{
	before_value(out);
	buf_put(&out->buf, value ? "true" : "false", value ? 4 : 5);
}

void emit_number(struct emitter *out, uint64_t value)
{
	char text[24] = "";
	char *digit = text + sizeof(text) - 1;

	if (value == UINT64_MAX) {
		emit_text(out, "unlimited");
		return;
	}
	for (uint64_t left = value; left > 0 || !*digit; left /= 10) {
		*--digit = (char)('0' + left % 10);
	}
	if (value > INT64_MAX) {
		emit_text(out, digit);
		return;
	}
	before_value(out);
	buf_put(&out->buf, digit, strlen(digit));
}

void emit_capabilities(struct emitter *out, struct capability_set set)
{
	enum capability list[CAPABILITY_COUNT];
	size_t count = capability_set_list(set, list);

	emit_open(out, '[');
	for (size_t i = 0; i < count; i++) {
		emit_text(out, capability_name(list[i]));
	}
	emit_close(out, ']');
}

void emit_raw(struct emitter *out, const char *json)
{
	before_value(out);
	buf_put(&out->buf, json, strlen(json));
}

void emit_hex(struct emitter *out, uint64_t value)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "0x%llx", (unsigned long long)value);
	emit_text(out, text);
}

void emit_octal(struct emitter *out, unsigned value)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%04o", value);
	emit_text(out, text);
}

char *emit_finish(struct emitter *out)
{
	char *text = NULL;

	assert(out->depth == 0);
	buf_put_u8(&out->buf, '\0');
	if (out->buf.failed) {
		buf_fini(&out->buf);
		*out = (struct emitter){0};
		return NULL;
	}
	text = (char *)out->buf.data;
	*out = (struct emitter){0};
	return text;
}
