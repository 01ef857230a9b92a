/*
 * `why`, asked by the user: as a subsystem of the connection, which is told of all that was
 * refused on it, and inside a session, which is told of its own alone: what one session came up
 * to must not be a message to the next. In a shared sandbox they are together anyway.
 */
#include "sshd/monitor-state.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/io.h"

static void tell(struct monitor *monitor, struct session_door *door, uint32_t channel)
{
	cleanup_free char *text = NULL;
	size_t size = 0;
	FILE *memory = open_memstream(&text, &size);

	if (memory) {
		refusals_print(&monitor->why, channel, monitor->context.login.profile, memory);
	}
	if (memory && fclose(memory) == 0) {
		door_tell(door, text, size);
	}
}

void monitor_answer_doors(struct monitor *monitor)
{
	uint64_t now = io_now_usec();

	if (door_accept(&monitor->shared.door, now)) {
		for (size_t i = 0; i < monitor->session_count; i++) {
			session_tell_use(&monitor->context, monitor->sessions[i]);
		}
		tell(monitor, &monitor->shared.door, REFUSALS_ALL);
	}
	for (size_t i = 0; i < monitor->session_count; i++) {
		struct session *session = monitor->sessions[i];
		struct session_door *door = session_door(session);
		if (door && door_accept(door, now)) {
			session_tell_use(&monitor->context, session);
			tell(monitor, door, session->channel);
		}
	}
}
