#include "backends/linux/netd/request.h"

#include <string.h>

#define SOCKS_VERSION 5
#define SOCKS_CONNECT 1
#define SOCKS_ADDRESS4 1
#define SOCKS_NAME 3
#define SOCKS_ADDRESS6 4

static enum request_state read_greeting(
	struct request *request, const uint8_t *data, size_t size, size_t *ret_used)
{
	if (size < 2 || size < 2U + data[1]) {
		return REQUEST_MORE;
	}
	for (unsigned i = 0; i < data[1]; i++) {
		if (data[2 + i] == 0) {
			request->greeted = true;
			*ret_used = 2U + data[1];
			return REQUEST_GREETED;
		}
	}
	return REQUEST_NO_METHOD;
}

/* A host as text: an address or a name, both strictly. */
static bool take_host(struct request *request, const char *text, size_t length)
{
	if (length > 2 && text[0] == '[' && text[length - 1] == ']') {
		return address_parse(text + 1, length - 2, &request->address) &&
			request->address.family == 6;
	}
	if (address_parse(text, length, &request->address)) {
		return true;
	}
	request->is_name = name_parse(text, length, request->name);
	return request->is_name;
}

static bool take_socks_host(struct request *request, const uint8_t *data, size_t length)
{
	if (data[3] == SOCKS_NAME) {
		return take_host(request, (const char *)data + 5, length - 5);
	}
	request->address = (struct address){.family = data[3] == SOCKS_ADDRESS4 ? 4 : 6};
	memcpy(request->address.bytes, data + 4, length - 4);
	return true;
}

static enum request_state read_socks(
	struct request *request, const uint8_t *data, size_t size, size_t *ret_used)
{
	size_t length = 0; /* up to the port */

	if (size < 5) {
		return size >= 1 && data[0] != SOCKS_VERSION ? REQUEST_BAD : REQUEST_MORE;
	}
	if (data[0] != SOCKS_VERSION || data[1] != SOCKS_CONNECT || data[2] != 0) {
		return REQUEST_BAD;
	}
	length = data[3] == SOCKS_ADDRESS4  ? 8
		: data[3] == SOCKS_ADDRESS6 ? 20
		: data[3] == SOCKS_NAME     ? 5U + data[4]
					    : 0;
	if (length == 0) {
		return REQUEST_BAD;
	}
	if (size < length + 2) {
		return REQUEST_MORE;
	}
	request->port = (uint16_t)(data[length] << 8 | data[length + 1]);
	*ret_used = length + 2;
	return request->port && take_socks_host(request, data, length) ? REQUEST_COMPLETE
								       : REQUEST_BAD;
}

/* The end of the head ("\r\n\r\n"), or 0. *ret_clean: nothing but text and line ends up to there. */
static size_t find_end(const uint8_t *data, size_t size, bool *ret_clean)
{
	*ret_clean = true;
	for (size_t i = 0; i < size; i++) {
		bool ends = data[i] == '\r' && (i + 1 >= size || data[i + 1] == '\n');
		bool ended = data[i] == '\n' && i > 0 && data[i - 1] == '\r';
		*ret_clean = *ret_clean && (data[i] >= 0x20 || data[i] == '\t' || ends || ended) &&
			data[i] != 0x7f;
		if (ended && i >= 3 && data[i - 2] == '\n' && data[i - 3] == '\r') {
			return i + 1;
		}
	}
	return 0;
}

/* "CONNECT host:port HTTP/1.x", up to the end of the line. */
static bool take_line(struct request *request, const char *line, size_t length)
{
	static const char version[] = " HTTP/1.";
	size_t tail = sizeof(version); /* with the last digit */
	size_t colon = 0;

	if (length <= tail || (line[length - 1] != '0' && line[length - 1] != '1')) {
		return false;
	}
	length -= tail;
	for (size_t i = 0; i + 1 < tail; i++) {
		if (line[length + i] != version[i]) {
			return false;
		}
	}
	for (size_t i = 0; i < length; i++) {
		colon = line[i] == ':' ? i : colon;
	}
	if (colon == 0) {
		return false;
	}
	request->port = port_parse(line + colon + 1, length - colon - 1);
	return request->port && take_host(request, line, colon);
}

static enum request_state read_http(
	struct request *request, const uint8_t *data, size_t size, size_t *ret_used)
{
	static const uint8_t method[] = "CONNECT ";
	bool clean = false;
	size_t end = find_end(data, size, &clean);
	size_t line = 0;

	for (size_t i = 0; i < sizeof(method) - 1 && i < size; i++) {
		if (data[i] != method[i]) {
			return data[i] >= 'A' && data[i] <= 'Z' ? REQUEST_NO_METHOD : REQUEST_BAD;
		}
	}
	if (!clean) {
		return REQUEST_BAD;
	}
	if (end == 0) {
		return REQUEST_MORE;
	}
	while (data[line] != '\r') {
		line++;
	}
	*ret_used = end;
	return line >= sizeof(method) &&
			take_line(request, (const char *)data + sizeof(method) - 1,
				line - (sizeof(method) - 1))
		? REQUEST_COMPLETE
		: REQUEST_BAD;
}

enum request_state request_read(
	struct request *request, const uint8_t *data, size_t size, size_t *ret_used)
{
	enum request_state state = REQUEST_MORE;

	*ret_used = 0;
	if (size == 0) {
		return REQUEST_MORE;
	}
	if (request->kind == REQUEST_UNKNOWN) {
		request->kind = data[0] == SOCKS_VERSION ? REQUEST_SOCKS : REQUEST_HTTP;
	}
	if (request->kind == REQUEST_HTTP) {
		state = read_http(request, data, size, ret_used);
	} else if (!request->greeted) {
		state = read_greeting(request, data, size, ret_used);
	} else {
		state = read_socks(request, data, size, ret_used);
	}
	return state == REQUEST_MORE && size >= REQUEST_SIZE ? REQUEST_BAD : state;
}
