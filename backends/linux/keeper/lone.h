#pragma once

/*
 * Makes a network namespace with nothing in it but its loopback, which is up. Made by root it is owned by
 * the host's user namespace, so that no privilege inside a sandbox reaches it. The caller stays in its own.
 * Takes root, and a process with one thread.
 *
 * Returns the namespace's descriptor; -ENOTRECOVERABLE when the caller is in it and cannot come back;
 * another negative errno when nothing has changed.
 */
int lone_make(void);
