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
 * How many listening sockets we were handed, from descriptor 3 on, made close-on-exec. 0 when none,
 * or when they are meant for another process. Takes the variables out of the environment.
 */
size_t notify_listen_fds(void);
