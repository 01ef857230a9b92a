/*
 * What a watcher of a session hears: one record a packet of a SOCK_SEQPACKET pair, whose other
 * end the net process of that session writes to. Net has talked to the network: a watcher takes
 * nothing of it for more than it is.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

#define WATCH_DATA_MAX 16384
#define WATCH_RECORD_MAX (WATCH_DATA_MAX + 1)

enum watch_kind {
	WATCH_SIZE = 'S', /* rows, columns: two little-endian u16 */
	WATCH_DATA = 'D', /* what the session printed; never empty */
	WATCH_LOST = 'L', /* how many bytes of it did not fit, since the last record: u64 */
	WATCH_END = 'E', /* it has ended */
	WATCH_FULL = 'F', /* it is watched by as many as may */
};

struct watch_record {
	enum watch_kind kind;
	struct winsize size;
	const uint8_t *data; /* of the packet */
	size_t data_size;
	uint64_t lost;
};

/* Reads a packet. 0, or -EPROTO. */
int watch_parse(const void *packet, size_t size, struct watch_record *ret);

/*
 * Sends one without waiting; of record->data at most WATCH_DATA_MAX bytes. 0; -EAGAIN when there
 * is no room; another negative errno when nobody is there any more.
 */
int watch_send(int socket, const struct watch_record *record);
