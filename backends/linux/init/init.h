/*
 * cloche-init: pid 1 of a native sandbox. It has mapped root's powers over its own namespaces and
 * nothing else, holds no memory of the server, and gives the powers up before a byte of the user's
 * runs.
 */
#pragma once

#include "backends/linux/image.h"
#include "backends/linux/init/rt.h"
#include "backends/plan.h"

struct init {
	const struct image *image;
	struct image_message start;
	int stdio[3];
	int trees[IMAGE_MAX_MOUNTS];
	uint32_t tree_count, next_tree;
	int root; /* the new root; -1 before it is there */
	int null; /* O_PATH of /dev/null inside; 0 before it is opened */
	int master, slave;
	bool own_network;
	long child;
	volatile int code; /* errno of the command's failure to start, set by the child */
	char what[200]; /* what is being attempted: the text of a failure */
};

/* The string at an offset of the image, or "" for 0. */
const char *init_string(const struct init *init, uint32_t offset);

/* Says what is being attempted, for the case that it fails. Returns -1, for `return init_fail()`. */
void init_doing(struct init *init, const char *verb, const char *object);

/* mounts.c: the plan's mounts, in order, then the new root becomes the only one. 0 or -1. */
int init_make_mounts(struct init *init);
int init_change_root(struct init *init);

/* confine.c: the last metre, in the process that becomes the command. Never returns. */
void init_become_command(struct init *init) __attribute__((noreturn));

/* confine.c: what is left of cloche-init itself while it waits. 0 or -1. */
int init_confine_self(struct init *init);

static inline bool init_without(const struct init *init, uint32_t layer)
{
	return init->image->without & layer;
}
