/*
 * A measurement that a user has asked for: the subsystem cloche-probe.
 *
 * The testkit measures a fresh sandbox of the login's profile, as it did before the first login, and its report
 * for somebody who is confined goes to the channel. It is a child of the monitor, which alone knows the login, can
 * launch what a session would get, and dies with the connection. What comes back is bytes, bounded and not read;
 * the exit status says what came out.
 *
 * None of the connection's sandboxes is touched, and nothing of the user's reaches the testkit but the choice
 * between text and JSON: the channel's input is closed at once.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "sshd/wire.h"

struct monitor;
struct session;

/* There is one at most, as there is for each user. */
struct monitor_probe {
	int pidfd; /* of the testkit; -1: none is under way */
	int report; /* comes from here; -1: no more of it is wanted */
	int out, err; /* the channel's */
	int place; /* in the roster; negative: not listed */
	uint32_t channel;
	bool closed; /* the client has closed the channel */
	struct buf text; /* of the report */
	uint64_t began, end_at; /* by io_now_usec(); end_at: UINT64_MAX once it was killed */
	const char *cause; /* static: why it is being ended; NULL: it goes on */
	char notice[192]; /* to the user, with cause */
};

void monitor_probe_init(struct monitor_probe *probe);

/* Does a subsystem of this name mean a measurement? */
bool monitor_probe_is_name(const char *name);

/* Starts one for session, which has no command yet and gets none, and answers. name as above. */
void monitor_probe_start(struct monitor *monitor, struct session *session, const char *name);

/* Sees to the one under way, if there is: call after every poll. */
void monitor_probe_step(struct monitor *monitor, uint64_t now);

/* Begins its end: SIGTERM, so that it can clean up, and soon SIGKILL. The first cause stays. */
void monitor_probe_end(struct monitor *monitor, const char *cause, const char *notice);

/* The client has closed a channel. */
void monitor_probe_close(struct monitor *monitor, uint32_t channel);

/* Ends it if the operator has said so in the roster. */
void monitor_probe_look_at_roster(struct monitor *monitor);
