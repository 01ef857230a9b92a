#include "sshd/watch.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

static uint64_t get_number(const uint8_t *at, size_t bytes)
{
	uint64_t value = 0;

	for (size_t i = 0; i < bytes; i++) {
		value |= (uint64_t)at[i] << (8 * i);
	}
	return value;
}

static void put_number(uint8_t *at, uint64_t value, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		at[i] = (uint8_t)(value >> (8 * i));
	}
}

int watch_parse(const void *packet, size_t size, struct watch_record *ret)
{
	const uint8_t *bytes = packet;
	struct watch_record record = {0};

	if (size == 0) {
		return -EPROTO;
	}
	switch (bytes[0]) {
	case WATCH_SIZE:
		if (size != 5) {
			return -EPROTO;
		}
		record.size.ws_row = (unsigned short)get_number(bytes + 1, 2);
		record.size.ws_col = (unsigned short)get_number(bytes + 3, 2);
		break;
	case WATCH_DATA:
		if (size < 2 || size > WATCH_RECORD_MAX) {
			return -EPROTO;
		}
		record.data = bytes + 1;
		record.data_size = size - 1;
		break;
	case WATCH_LOST:
		if (size != 9) {
			return -EPROTO;
		}
		record.lost = get_number(bytes + 1, 8);
		break;
	case WATCH_END:
	case WATCH_FULL:
		if (size != 1) {
			return -EPROTO;
		}
		break;
	default:
		return -EPROTO;
	}
	record.kind = bytes[0];
	*ret = record;
	return 0;
}

int watch_send(int socket, const struct watch_record *record)
{
	uint8_t packet[WATCH_RECORD_MAX];
	size_t size = 1;

	assert(record->data_size <= WATCH_DATA_MAX);
	packet[0] = (uint8_t)record->kind;
	if (record->kind == WATCH_SIZE) {
		put_number(packet + 1, record->size.ws_row, 2);
		put_number(packet + 3, record->size.ws_col, 2);
		size = 5;
	} else if (record->kind == WATCH_LOST) {
		put_number(packet + 1, record->lost, 8);
		size = 9;
	} else if (record->data_size > 0) {
		memcpy(packet + 1, record->data, record->data_size);
		size += record->data_size;
	}
	/* One piece, for net's filter lets no sendmsg() pass. */
	if (send(socket, packet, size, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
		return 0;
	}
	return errno == ENOBUFS || errno == ENOMEM || errno == EINTR ? -EAGAIN : -errno;
}
