/*
 * A socket of the server's in a tool's directory, which the plan has the tool bind into the sandbox:
 * where `why` asks (PLAN_MOUNT_DOOR with a source below {dir}). It goes with the directory, whoever
 * removes that.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "backends/backend.h"
#include "base/err.h"

#define KEEPER_DOOR_NAME "door" /* below {dir} */
#define KEEPER_PAGE_DIR "page" /* likewise, with the page and the program that reads it */
/*
 * A file of the plan that is put there too, if there is one: each mount costs runsc about a hundredth of a
 * second, so one has to do for both.
 */
#define KEEPER_PAGE_BESIDE "statx.so"

struct keeper_door {
	uid_t uid; /* whose connections are let in, beside root's; -1: ours */
	gid_t gid;
	bool passable; /* who uid is comes there by its path: {dir} and what is above let others through */
	bool is_page; /* a page and not a socket: for a tool that lets no socket in (PLAN_MOUNT_PAGE) */
	int listener; /* what keeper_start() made: non-blocking; -1 */
	int place; /* the same as a path's end, for a tool that mounts by descriptor; -1 */
	int page; /* what it made in their place: open for writing; -1 */
};

/* One that is not there yet, for ourselves. */
void keeper_door_init(struct keeper_door *door);
void keeper_door_fini(struct keeper_door *door);

/* Makes it in the open directory dir, which is nobody else's. 0 or negative errno with err. */
int keeper_door_make(struct keeper_door *door, int dir, struct err *err);

/* As backend->take_door. */
void keeper_door_take(struct keeper_door *door, struct sandbox_door *ret);
