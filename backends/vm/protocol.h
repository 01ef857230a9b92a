/*
 * What the two ends of a guest's serial ports say to each other.
 *
 *	server --report--> relay (in the jail, beside QEMU) ==ports== agent (pid 1 of the guest)
 *
 * Three ports: control carries the frames below; data carries standard input one way and standard
 * output (or the terminal) the other, error carries standard error. Data and error are plain bytes;
 * where a stream ends is a number in a control frame, so that a slow stream holds up nothing else.
 *
 * What comes from the guest may come from an attacker who owns its kernel: every frame passes
 * vm_frame_next() and vm_guest_take(), which know how long each may be and when it may come.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/types.h>

#define VM_SESSION_MAX 65536 /* the session's text */
#define VM_TEXT_MAX 200 /* why it failed */
#define VM_LOOK_MAX                                                                                \
	1024 /* the words of a program to run beside the session, each ended by a newline */
#define VM_SEEN_CHUNK 2048 /* of what it writes, in one frame */
#define VM_SEEN_MAX (256U << 10) /* and in all */
#define VM_BECAUSE_MAX 16000 /* of what the server says to `why` */

/*
 * Where the relay listens in the jail, for the testkit: whoever may see the jail's tree from outside
 * (root of the host, by /proc) sends the words in one message, and gets what the program writes.
 */
#define VM_LOOK_PATH "/tmp/look"

/* The relay's descriptors: its report, and the ends that QEMU inherits. */
#define VM_REPORT_FD 3
#define VM_PORT_FD 10 /* and the two behind it */
enum vm_port { VM_PORT_CONTROL, VM_PORT_DATA, VM_PORT_ERROR, VM_PORTS };

enum vm_type {
	/* To the guest */
	VM_SESSION = 1, /* number: 1 with a terminal, more: its size; text: see vm_session_text() */
	VM_SIGNAL, /* number: which */
	VM_RESIZE, /* more: the size */
	VM_INPUT_END, /* number: bytes of standard input in all */
	VM_LOOK, /* text: words of a program to be run in the guest, beside the session */
	/* From the guest, in this order */
	VM_HELLO,
	VM_STARTED,
	VM_FAILED, /* number: errno; text: why. Nothing follows */
	VM_STREAM_END, /* number: 1 or 2; more: bytes in all */
	VM_EXITED, /* number: wait status. Nothing follows */
	VM_SEEN, /* after VM_LOOK. text: what the program wrote; number: 1 when that was the last */
	/*
	 * From the guest: somebody inside asks why. number: programs that were killed at the memory limit, more:
	 * that could not be started at the task limit, both below 2^32. Then to it, text: what the server says, or
	 * nothing. Not before that may it ask again.
	 */
	VM_WHY,
	VM_BECAUSE,
	VM_TYPES,
};

struct vm_frame {
	uint32_t type, size; /* of the text behind it */
	uint64_t number, more;
};

/*
 * Takes the next frame from the start of data. from_guest: which side's frames are legal. Returns
 * the bytes it takes up with *ret_text inside data, 0 when there is not yet a whole frame, or
 * -EBADMSG when there will never be a legal one.
 */
ssize_t vm_frame_next(const uint8_t *data, size_t size, bool from_guest, struct vm_frame *ret,
	const uint8_t **ret_text);

/* What the guest has said so far. Starts zeroed. */
struct vm_guest {
	bool hello, started, failed, exited;
	bool ended[3]; /* streams 1 and 2 */
	uint64_t total[3]; /* their bytes, once ended */
	int status; /* once exited: a wait status that a process can have */
	int code; /* once failed: an errno */
	bool looking; /* set by who sends VM_LOOK: an answer is due */
	uint64_t seen; /* bytes of that answer so far */
	bool asking; /* it has asked why; cleared by who sends VM_BECAUSE */
};

/* Takes note of a frame from the guest. 0, or -EPROTO when it comes at the wrong time or lies. */
int vm_guest_take(struct vm_guest *guest, const struct vm_frame *frame);

/* A terminal's size as a number and back. */
uint64_t vm_size_pack(const struct winsize *size);
void vm_size_unpack(uint64_t packed, struct winsize *ret);

/* Bytes of text that may be shown to an operator: the others become '?'. out is VM_TEXT_MAX + 1. */
void vm_text_clean(const uint8_t *text, size_t size, char *out);

/* The relay to the server, over a SOCK_SEQPACKET pair: STARTED, FAILED, EXITED, WHY. */
struct vm_report {
	uint32_t type;
	int32_t code; /* FAILED: errno; EXITED: 1 when the time was up */
	uint64_t boot_usec; /* STARTED: from QEMU's exec to the command's */
	uint32_t killed, refused; /* WHY: as in the frame */
	char text[VM_TEXT_MAX + 1];
};
