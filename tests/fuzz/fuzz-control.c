/*
 * A line to the control socket: what is accepted has the members of its verb and nothing that could
 * move a terminal, and one that is too long is refused.
 */
#include <assert.h>
#include <ctype.h>
#include <stdint.h>
#include <string.h>

#include "sshd/control-request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text, size_t size)
{
	size_t length = strnlen(text, size);

	assert(length < size);
	for (size_t i = 0; i < length; i++) {
		assert(!iscntrl((unsigned char)text[i]));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct control_request request;
	struct err err = {0};

	if (control_request_parse((const char *)data, size, &request, &err) < 0) {
		assert(err.msg[0]);
		return 0;
	}
	assert(size <= CONTROL_MAX_REQUEST && (unsigned)request.verb < CONTROL_VERBS);
	check_text(request.id, sizeof(request.id));
	check_text(request.reason, sizeof(request.reason));
	check_text(request.who, sizeof(request.who));
	assert(!request.id[0] ==
		(request.verb != CONTROL_SHOW && request.verb != CONTROL_KILL &&
			request.verb != CONTROL_JOIN));
	assert(!request.who[0] == (request.verb != CONTROL_CLEAR));
	assert(!request.reason[0] || request.verb == CONTROL_KILL);
	return 0;
}
