/*
 * Talking to a service manager: sd_notify(3) and socket activation, without its library.
 */
#pragma once

#include <stddef.h>

/*
 * Sends a state line such as "READY=1" to $NOTIFY_SOCKET. Does nothing without one; trouble is not
 * ours to report.
 */
void notify_send(const char *state);

/* "RELOADING=1" with the clock that goes with it. */
void notify_reloading(void);

/*
 * How many descriptors we were handed, from 3 on, made close-on-exec; what they are is for
 * sockets_adopt() to see. 0 when none, or when they are meant for another process; -EINVAL when the
 * number is none or they are not there, so that nothing else is listened on by mistake. Takes the
 * variables out of the environment.
 */
int notify_listen_fds(void);
