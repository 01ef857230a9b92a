/*
 * The launcher: does what a native plan says. Single-threaded callers only, since it forks without
 * exec for a moment.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "backends/backend.h"
#include "backends/linux/image-make.h"
#include "backends/linux/image-make.h"
#include "base/buf.h"

/* cloche-init's program, linked in. */
extern const unsigned char launcher_init_program[];
extern const size_t launcher_init_size;

/* And cloche-netd's. */
extern const unsigned char launcher_netd_program[];
extern const size_t launcher_netd_size;

int launcher_start(const struct plan *plan, const struct host *host, const struct sandbox_stdio *io,
	struct sandbox **ret_sandbox, struct err *err);
int launcher_signal(struct sandbox *sandbox, int signo);
int launcher_poll_exit(struct sandbox *sandbox, struct sandbox_exit *ret);
void launcher_usage(struct sandbox *sandbox, struct sandbox_usage *ret);
void launcher_destroy(struct sandbox *sandbox);

/* join.c: backend->join and backend->open_socket. */
int launcher_join(struct sandbox *sandbox, const struct plan *plan, const struct sandbox_stdio *io,
	struct sandbox **ret_joined, struct err *err);
int launcher_open_socket(struct sandbox *sandbox, const struct plan *plan, enum sandbox_socket kind,
	const struct sockaddr *address, socklen_t size, int *ret_event, struct err *err);

/* backend->take_door. */
void launcher_take_door(struct sandbox *sandbox, struct sandbox_door *ret);

/*
 * What cloche-init answers on a socket of its own: waits for STARTED. *ret_fd and *ret_door (the
 * caller's; the latter may be NULL) are the terminal and the door that came with it, or -1. 0 or negative errno.
 */
int launcher_await(int socket, int *ret_fd, int *ret_door, struct err *err);

/* The launch image of plan as a sealed memory file; sources as for image_make(). */
int launcher_image(const struct plan *plan, const struct image_source *sources, struct err *err);

/*
 * Makes the sealed memory file that cloche-init is run from, once a process. Call it before a fork
 * so that the children share it; launcher_start() does it otherwise. 0 or negative errno.
 */
int launcher_warm(void);

/*
 * Opens the host path a mount of a plan comes from, once, O_PATH: what a session may have written
 * must not lead elsewhere, so no symbolic link is followed (PLAN_FOLLOW: the system's own are;
 * PLAN_IN_ROOT: within content). One that does not exist is ret->absent where the mount says that is
 * fine. 0 or negative errno.
 */
int launcher_open_source(
	const struct plan_mount *mount, int *ret_fd, struct image_source *ret, struct err *err);
