/*
 * The control socket: who may use it, and the helpers that serve its clients. The listener polls what
 * is here, does what the helpers ask, and never waits.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "session/config.h"
#include "sshd/control-answer.h"

#define CONTROL_HELPERS 8
#define CONTROL_RESERVED 2 /* of them, for those who may change something */

struct control {
	int fd; /* -1: there is none */
	char path[CONFIG_CONTROL_PATH];
	dev_t device; /* of the socket's file, so that only ours is removed */
	ino_t inode;
	gid_t group; /* may look; (gid_t)-1: nobody else */
	struct control_helper_slot {
		pid_t pid; /* 0: not in use */
		int ask; /* our end; -1: it has closed its own */
		uid_t uid; /* whom it serves */
		bool may_change;
		uint32_t token; /* of the answer that is awaited from a monitor; 0: none */
		char id[32]; /* the session it asked for */
	} helpers[CONTROL_HELPERS];
};

void control_init(struct control *control);

/*
 * Listens where config says. A socket that a live server listens on is not taken from it: -EADDRINUSE.
 * A path in a directory that others can write to is refused. 0 (also when config wants none) or
 * negative errno.
 */
int control_open(const struct config *config, struct control *ret, struct err *err);

/* Closes it and removes the file, if it is still ours. Helpers go on. */
void control_close(struct control *control);

/* The same, and ends the helpers: the server stops. */
void control_stop(struct control *control);

/* In a child with other things to do: only the descriptors. */
void control_close_fds(const struct control *control);

/*
 * A connection from fd: whoever may is served by a helper, which run forks off and does not return
 * from. helper is what it gets, but for its descriptors and rights.
 */
void control_accept(struct control *control, struct control_helper helper,
	void (*prepare)(void *data), void *data);

/* Is there room for another helper? */
bool control_has_room(const struct control *control);

/* One request from helper i. 1 and *ret; 0: none; negative: it is gone, and its end is closed. */
int control_receive(struct control *control, size_t i, struct control_request *ret);
/* socket (-1: none) goes along, and stays the caller's. */
void control_reply(
	const struct control *control, size_t i, const struct control_answer *answer, int socket);

/* A child has ended: true if it was a helper. */
bool control_reap(struct control *control, pid_t pid);
