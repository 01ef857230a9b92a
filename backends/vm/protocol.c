#include "backends/vm/protocol.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#define LAST_SIGNAL 64
#define LAST_ERRNO 4095

static const struct {
	bool known, from_guest;
	uint32_t text_max;
} rules[VM_TYPES] = {
	[VM_SESSION] = {true, false, VM_SESSION_MAX},
	[VM_SIGNAL] = {true, false, 0},
	[VM_RESIZE] = {true, false, 0},
	[VM_INPUT_END] = {true, false, 0},
	[VM_LOOK] = {true, false, VM_LOOK_MAX},
	[VM_HELLO] = {true, true, 0},
	[VM_STARTED] = {true, true, 0},
	[VM_FAILED] = {true, true, VM_TEXT_MAX},
	[VM_STREAM_END] = {true, true, 0},
	[VM_EXITED] = {true, true, 0},
	[VM_SEEN] = {true, true, VM_SEEN_CHUNK},
	[VM_WHY] = {true, true, 0},
	[VM_BECAUSE] = {true, false, VM_BECAUSE_MAX},
};

ssize_t vm_frame_next(const uint8_t *data, size_t size, bool from_guest, struct vm_frame *ret,
	const uint8_t **ret_text)
{
	struct vm_frame frame;

	if (size < sizeof(frame)) {
		return 0;
	}
	memcpy(&frame, data, sizeof(frame));
	if (frame.type >= VM_TYPES || !rules[frame.type].known ||
		rules[frame.type].from_guest != from_guest ||
		frame.size > rules[frame.type].text_max) {
		return -EBADMSG;
	}
	if (size - sizeof(frame) < frame.size) {
		return 0;
	}
	*ret = frame;
	*ret_text = data + sizeof(frame);
	return (ssize_t)(sizeof(frame) + frame.size);
}

/* Exited with a code, or killed by a signal that there is: nothing that waitpid() would not say. */
static bool is_end(uint64_t status)
{
	if (status > 0xffff) {
		return false;
	}
	return WIFEXITED((int)status) ||
		(WIFSIGNALED((int)status) && WTERMSIG((int)status) <= LAST_SIGNAL &&
			status <= 0xff);
}

static int take_stream_end(struct vm_guest *guest, const struct vm_frame *frame)
{
	if (!guest->started || frame->number < 1 || frame->number > 2 ||
		guest->ended[frame->number]) {
		return -EPROTO;
	}
	guest->ended[frame->number] = true;
	guest->total[frame->number] = frame->more;
	return 0;
}

/* Nobody asked for it, or there is no end of it: neither comes from an agent of ours. */
static int take_seen(struct vm_guest *guest, const struct vm_frame *frame)
{
	if (!guest->looking || frame->number > 1 || guest->seen + frame->size > VM_SEEN_MAX) {
		return -EPROTO;
	}
	guest->seen += frame->size;
	guest->looking = frame->number == 0;
	return 0;
}

int vm_guest_take(struct vm_guest *guest, const struct vm_frame *frame)
{
	if (guest->failed || guest->exited) {
		return -EPROTO;
	}
	switch (frame->type) {
	case VM_HELLO:
		if (guest->hello) {
			return -EPROTO;
		}
		guest->hello = true;
		return 0;
	case VM_STARTED:
		if (!guest->hello || guest->started) {
			return -EPROTO;
		}
		guest->started = true;
		return 0;
	case VM_FAILED:
		if (guest->started || frame->number == 0 || frame->number > LAST_ERRNO) {
			return -EPROTO;
		}
		guest->failed = true;
		guest->code = (int)frame->number;
		return 0;
	case VM_STREAM_END:
		return take_stream_end(guest, frame);
	case VM_EXITED:
		if (!guest->ended[1] || !guest->ended[2] || !is_end(frame->number)) {
			return -EPROTO;
		}
		guest->exited = true;
		guest->status = (int)frame->number;
		return 0;
	case VM_SEEN:
		return take_seen(guest, frame);
	case VM_WHY:
		if (!guest->started || guest->asking || frame->number > UINT32_MAX ||
			frame->more > UINT32_MAX) {
			return -EPROTO;
		}
		guest->asking = true;
		return 0;
	default:
		return -EPROTO;
	}
}

uint64_t vm_size_pack(const struct winsize *size)
{
	return (uint64_t)size->ws_row | (uint64_t)size->ws_col << 16 |
		(uint64_t)size->ws_xpixel << 32 | (uint64_t)size->ws_ypixel << 48;
}

void vm_size_unpack(uint64_t packed, struct winsize *ret)
{
	ret->ws_row = (unsigned short)packed;
	ret->ws_col = (unsigned short)(packed >> 16);
	ret->ws_xpixel = (unsigned short)(packed >> 32);
	ret->ws_ypixel = (unsigned short)(packed >> 48);
}

void vm_text_clean(const uint8_t *text, size_t size, char *out)
{
	size_t length = size < VM_TEXT_MAX ? size : VM_TEXT_MAX;

	for (size_t i = 0; i < length; i++) {
		out[i] = text[i] >= ' ' && text[i] < 0x7f ? (char)text[i] : '?';
	}
	out[length] = '\0';
}
