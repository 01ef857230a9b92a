/*
 * Which process of this machine is the session of a login, when no client of ours is there to be
 * found by its name.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/*
 * launched: the ssh client, or the launcher of an exec: target. Of a login the processes count that
 * come from those which hold the server's end of its connection, of a launcher those that come from
 * it: the one with the most generations in between, and of several the youngest. 0: there is none,
 * or it is not ours to see.
 */
pid_t session_find(pid_t launched, bool login);
