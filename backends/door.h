/*
 * Where `why` inside a session asks: a socket in its sandbox that the monitor listens on; or a page that
 * it writes once a second (linux/page.h), of which it never hears anything.
 *
 * What comes there is from the session, and so nothing of it is read. Who connects is told and
 * that is all; the next one is served when that one has hung up, and a second has passed. So a
 * session can make the monitor say its lines once a second, and have one answer wait in memory.
 * (Pages are not written when they are read: to hear of that takes inotify, of which the kernel gives
 * all of root's programs 128 together; and when a limit is reached control groups of v1 tell nobody.)
 */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "backends/backend.h"

/* A zeroed one is closed. */
struct session_door {
	bool open; /* there is one */
	bool busy; /* somebody has been told, and has not hung up */
	int listener, page; /* owned, while it is open; one of them is -1 */
	int peer; /* owned, while it is busy */
	uint64_t again; /* when the next one is served, or the page written */
	uint64_t serial; /* of the page */
};

/* The door of a sandbox that has just been started, if it has one. */
void door_open(struct session_door *door, const struct backend *backend, struct sandbox *sandbox);
void door_close(struct session_door *door);

/* What is to be waited for; fd is -1 when there is nothing. */
struct pollfd door_poll(const struct session_door *door, uint64_t now);

/* When door_poll() wants to be called at the latest; UINT64_MAX: no need. */
uint64_t door_deadline(const struct session_door *door, uint64_t now);

/* Is there a page to be written now? */
bool door_is_due(const struct session_door *door, uint64_t now);

/*
 * Without waiting: notices that somebody has hung up, and lets the next one in. True: that one is
 * there, or a page is due, and is to be told with door_tell().
 */
bool door_accept(struct session_door *door, uint64_t now);
void door_tell(struct session_door *door, const char *text, size_t size);
