/*
 * What a program inside asks the proxy for: SOCKS 5 (RFC 1928, CONNECT without authentication) or
 * HTTP CONNECT, by what has come so far. Every byte is hostile. Needs no C library.
 */
#pragma once

#include "backends/linux/netd/address.h"

#define REQUEST_SIZE 4096 /* a longer one is refused */

enum request_state {
	REQUEST_MORE, /* not all there yet */
	REQUEST_GREETED, /* SOCKS: the greeting; answer {5, 0} and read on behind it */
	REQUEST_COMPLETE,
	REQUEST_BAD, /* neither of the two, or a malformed one */
	REQUEST_NO_METHOD, /* SOCKS: it insists on a login; HTTP: another method than CONNECT */
};

enum request_kind { REQUEST_UNKNOWN, REQUEST_SOCKS, REQUEST_HTTP };

struct request {
	enum request_kind kind;
	bool greeted; /* SOCKS: the greeting is behind us */
	bool is_name;
	char name[NAME_SIZE];
	struct address address;
	uint16_t port;
};

/*
 * Reads on with all bytes since the last REQUEST_GREETED. *ret_used: how many of them the request
 * took; what follows is for the other side.
 */
enum request_state request_read(
	struct request *request, const uint8_t *data, size_t size, size_t *ret_used);
