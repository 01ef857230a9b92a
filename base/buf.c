#include "base/buf.h"

#include <endian.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void buf_fini(struct buf *buf)
{
	free(buf->data);
	*buf = (struct buf){0};
}

void buf_wipe(struct buf *buf)
{
	if (buf->data) {
		explicit_bzero(buf->data, buf->room);
	}
	buf_fini(buf);
}

static bool make_room(struct buf *buf, size_t size)
{
	size_t need = 0;
	size_t room = buf->room ? buf->room : 256;
	uint8_t *grown = NULL;

	if (buf->failed || __builtin_add_overflow(buf->size, size, &need)) {
		buf->failed = true;
		return false;
	}
	if (need <= buf->room) {
		return true;
	}
	while (room < need) {
		room *= 2;
	}
	/* Not realloc: what is left behind might be a secret, and must not be. */
	grown = malloc(room);
	if (!grown) {
		buf->failed = true;
		return false;
	}
	if (buf->data) {
		memcpy(grown, buf->data, buf->size);
		explicit_bzero(buf->data, buf->size);
		free(buf->data);
	}
	buf->data = grown;
	buf->room = room;
	return true;
}

void buf_put(struct buf *buf, const void *data, size_t size)
{
	if (size > 0 && make_room(buf, size)) {
		memcpy(buf->data + buf->size, data, size);
		buf->size += size;
	}
}

void buf_put_u32(struct buf *buf, uint32_t value)
{
	uint32_t little = htole32(value);
	buf_put(buf, &little, sizeof(little));
}

void buf_put_u64(struct buf *buf, uint64_t value)
{
	uint64_t little = htole64(value);
	buf_put(buf, &little, sizeof(little));
}

void buf_put_blob(struct buf *buf, const void *data, size_t size)
{
	if (size > UINT32_MAX) {
		buf->failed = true;
		return;
	}
	buf_put_u32(buf, (uint32_t)size);
	buf_put(buf, data, size);
}

void buf_put_string(struct buf *buf, const char *text)
{
	buf_put_blob(buf, text ? text : "", text ? strlen(text) : 0);
}

void buf_printf(struct buf *buf, const char *format, ...)
{
	char *text = NULL;
	va_list args;
	int length = 0;

	va_start(args, format);
	length = vasprintf(&text, format, args);
	va_end(args);
	if (length < 0) {
		buf->failed = true;
		return;
	}
	buf_put(buf, text, (size_t)length);
	free(text);
}

static const void *take(struct reader *reader, size_t size)
{
	const void *data = reader->data;

	if (reader->failed || size > reader->left) {
		reader->failed = true;
		return NULL;
	}
	reader->data += size;
	reader->left -= size;
	return data;
}

uint8_t reader_u8(struct reader *reader)
{
	const uint8_t *data = take(reader, 1);
	return data ? *data : 0;
}

uint32_t reader_u32(struct reader *reader)
{
	uint32_t value = 0;
	const void *data = take(reader, sizeof(value));

	if (data) {
		memcpy(&value, data, sizeof(value));
	}
	return le32toh(value);
}

uint64_t reader_u64(struct reader *reader)
{
	uint64_t value = 0;
	const void *data = take(reader, sizeof(value));

	if (data) {
		memcpy(&value, data, sizeof(value));
	}
	return le64toh(value);
}

const void *reader_blob(struct reader *reader, size_t *ret_size)
{
	size_t size = reader_u32(reader);
	const void *data = take(reader, size);

	*ret_size = data ? size : 0;
	return data;
}

char *reader_string(struct reader *reader, size_t max)
{
	size_t size = 0;
	const void *data = reader_blob(reader, &size);
	char *text = NULL;

	if (!data || size > max || memchr(data, '\0', size)) {
		reader->failed = true;
		return NULL;
	}
	text = strndup(data, size);
	reader->failed |= !text;
	return text;
}

bool reader_done(const struct reader *reader)
{
	return !reader->failed && reader->left == 0;
}
