/*
 * cloche-init: pid 1 of a native sandbox. It has mapped root's powers over its own namespaces and
 * nothing else, holds no memory of the server, and gives the powers up before a byte of the user's
 * runs.
 */
#pragma once

#include "backends/linux/image.h"
#include "backends/linux/init/rt.h"
#include "backends/plan.h"

struct joined;

struct init {
	const struct image *image;
	struct image_message start;
	int stdio[3];
	int report; /* what the command gets as 3; -1: nothing */
	int trees[IMAGE_MAX_MOUNTS];
	uint32_t tree_count, next_tree;
	int root; /* the new root; -1 before it is there */
	int empty; /* an attached empty directory, for masks; 0 before there is one */
	int null; /* O_PATH of /dev/null inside; 0 before it is opened */
	int master, slave;
	int door; /* listens for `why`; -1: there is none */
	bool own_network;
	long child;
	volatile int code; /* errno of the command's failure to start, set by the child */
	struct joined *joined; /* IMAGE_MAX_JOINED of them; NULL but in a shared sandbox */
	char what[200]; /* what is being attempted: the text of a failure */
};

/* The string at an offset of the image, or "" for 0. */
const char *init_string(const struct init *init, uint32_t offset);

/* Says what is being attempted, for the case that it fails. Returns -1, for `return init_fail()`. */
void init_doing(struct init *init, const char *verb, const char *object);

/* mounts.c: the plan's mounts, in order, then the new root becomes the only one. 0 or -1. */
int init_make_mounts(struct init *init);
int init_change_root(struct init *init);

/*
 * confine.c: the last metre, in the process that becomes the command. Never returns; a failure to run
 * it is left in init->code.
 */
void init_become_command(struct init *init) __attribute__((noreturn));

/* The same without a program at its end: the caller is as confined as the command. 0 or -1. */
int init_become_user(struct init *init);

/* main.c: makes the terminal that init->start asks for. 0 or -1. */
int init_make_terminal(struct init *init);

/* main.c: maps the image in fd as init->image. 0 or -1. */
int init_map_image(struct init *init, int fd);

/* main.c: starts the command of init->image. 0, or -1 with errno. */
int init_start_command(struct init *init);

/* main.c: sends on a socket, with a descriptor unless fd is -1; or with count of them. */
void init_send(int socket, const struct image_message *message, int fd);
void init_send_all(int socket, const struct image_message *message, const int *fds, size_t count);

/*
 * main.c: one message from a socket and its descriptors. Returns its length, 0 at the end, -1 with
 * errno (EMFILE for more than max).
 */
long init_receive(
	int socket, struct image_message *message, int *fds, size_t max, size_t *ret_count);

/* join.c: what has joined a shared sandbox. */
struct joined {
	int control; /* -1: the slot is free */
	long pid;
	bool command; /* else it ends with its answer */
};

/* Starts what message asks for; fds (consumed) came with it. Answers on the first of them. */
void init_join(struct init *init, const struct image_message *message, int *fds, size_t count);

/* A child has ended: is it one of them? */
bool init_joined_ended(struct init *init, long pid, int status);

/* Its socket can be read: a signal to pass on, or its end. */
void init_joined_obey(struct joined *joined);

/* confine.c: what is left of cloche-init itself while it waits. 0 or -1. */
int init_confine_self(struct init *init);

static inline bool init_without(const struct init *init, uint32_t layer)
{
	return init->image->without & layer;
}

/*
 * Execs argv, argv[0] being looked for in the directories of search unless it has a slash. Returns
 * with errno when it could not.
 */
void init_exec(const char *search, char *const argv[], char *const env[], const uint64_t key[3]);

/* "cloche-init enter ...": stack as init_main() got it. */
void enter_main(const long *stack) __attribute__((noreturn));
