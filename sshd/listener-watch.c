/*
 * Watching a session. Only its monitor can ask its net process for a copy of what is printed, and
 * only the listener knows who asks: so the wish goes to the monitor by the roster, and the
 * answer, with a socket, comes back on one pair that all monitors share. It is handed to the
 * process that serves the one who asked.
 *
 * Whether the uid may watch is decided by the monitor, which may have to look up names for it and
 * hold up nobody else.
 */
#include "sshd/listener-state.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/io.h"
#include "base/log.h"
#include "sshd/monitor.h"

#define PAUSE_USEC UINT64_C(1000000) /* between two of those who may change nothing */

int listener_open_watch(struct listener *listener, struct err *err)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
		return err_set(err, errno, "a socket for monitors");
	}
	listener->watch = pair[0];
	listener->watch_monitors = pair[1];
	return 0;
}

static void tell(struct listener *listener, size_t i, int code, const char *text, int socket)
{
	struct control_helper_slot *slot = &listener->control.helpers[i];
	struct control_answer answer = {.code = code};

	(void)snprintf(answer.text, sizeof(answer.text), "%s", text);
	log_info("uid %u says join %s: %s", (unsigned)slot->uid, slot->id,
		code < 0 ? answer.text : "done");
	listener_audit(&listener->service, "control",
		json_pack("{s:s, s:o, s:n, s:I, s:b}", "do", "join", "target", audit_text(slot->id),
			"reason", "uid", (json_int_t)slot->uid, "ok", code >= 0));
	control_reply(&listener->control, i, &answer, socket);
	slot->token = 0;
}

/* The log is everybody's: who may not end sessions may not fill it either. */
static bool is_too_soon(struct listener *listener, const struct control_helper_slot *slot)
{
	uint64_t now = io_now_usec();

	if (slot->may_change) {
		return false;
	}
	if (now < listener->watch_again) {
		return true;
	}
	listener->watch_again = now + PAUSE_USEC;
	return false;
}

void listener_join(struct listener *listener, size_t i, const struct control_request *request)
{
	struct control_helper_slot *slot = &listener->control.helpers[i];
	struct control_answer busy = {.code = -EAGAIN, .text = "try again in a second"};
	size_t monitor = 0;

	if (slot->token || is_too_soon(listener, slot)) {
		control_reply(&listener->control, i, &busy, -1);
		return;
	}
	listener->watch_token += listener->watch_token == UINT32_MAX ? 2 : 1;
	slot->token = listener->watch_token;
	(void)snprintf(slot->id, sizeof(slot->id), "%s", request->id);
	int r = roster_watch(listener->roster, request->id, slot->token, slot->uid, &monitor);
	if (r == -EBUSY) {
		tell(listener, i, r, "somebody else begins to watch it; try again", -1);
	} else if (r < 0 || monitor >= listener->slots || listener->monitors[monitor] <= 0) {
		tell(listener, i, -ENOENT, "there is no such session", -1);
	} else {
		/* Not reaped yet, so the pid is still this child's. */
		(void)kill(listener->monitors[monitor], SIGUSR2);
	}
}

/* Whose wish it was may be gone, and the socket with it. */
static void pass_on(struct listener *listener, const struct monitor_join *answer, int socket)
{
	for (size_t i = 0; i < CONTROL_HELPERS; i++) {
		const struct control_helper_slot *slot = &listener->control.helpers[i];
		if (slot->pid > 0 && slot->token && slot->token == answer->token &&
			strcmp(slot->id, answer->id) == 0) {
			tell(listener, i, answer->code, answer->text, socket);
			return;
		}
	}
}

void listener_hear_watch(struct listener *listener)
{
	for (;;) {
		struct monitor_join answer = {0};
		cleanup_close int socket = -1;
		size_t count = 0;
		ssize_t n = io_receive(
			listener->watch, &answer, sizeof(answer), &socket, 1, &count, MSG_DONTWAIT);
		if (n == -EAGAIN) {
			return;
		}
		if (n != (ssize_t)sizeof(answer) || (answer.code == 0) != (count == 1)) {
			log_error("a monitor gave an answer that is none");
			return;
		}
		answer.id[sizeof(answer.id) - 1] = '\0';
		answer.text[sizeof(answer.text) - 1] = '\0';
		pass_on(listener, &answer, socket);
	}
}
