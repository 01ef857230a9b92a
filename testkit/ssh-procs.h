/*
 * Processes of the host as the H probes look for them: the server that is being measured, if it runs
 * on this host and may be looked at, and what a login of it started.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "testkit/target.h"

/* Who listens at the target's address. */
struct ssh_server {
	pid_t listener; /* 0: not on this host, or not to be seen by us */
	dev_t device; /* of the program it runs */
	ino_t inode;
	char name[64]; /* of that program, without its directory */
};

struct ssh_process {
	pid_t pid, parent;
	uint64_t started; /* in ticks since the machine came up */
};

/* All processes of a moment. */
struct ssh_processes {
	struct ssh_process *list;
	size_t count;
};

/* Looks for it by the listening socket. What cannot be found stays 0. */
void ssh_server_find(const struct target *target, struct ssh_server *ret);

/* Does pid run the server's program, or one whose name begins with its name (sshd-session)? */
bool ssh_server_runs(const struct ssh_server *server, pid_t pid);

/* 0 or -ENOMEM; ssh_processes_fini() in any case. */
int ssh_processes_read(struct ssh_processes *ret);
void ssh_processes_fini(struct ssh_processes *processes);

/* Is pid root, or below it? */
bool ssh_processes_below(const struct ssh_processes *processes, pid_t pid, pid_t root);

pid_t ssh_processes_parent(const struct ssh_processes *processes, pid_t pid);

/* The newest below root whose command line has this in it, started after `after`; 0: none. */
pid_t ssh_processes_newest(const struct ssh_processes *processes, pid_t root, const char *text,
	const struct ssh_processes *before);

/* The inode of a namespace of pid ("mnt"), 0 when it cannot be read. */
uint64_t ssh_namespace(pid_t pid, const char *name);

/* A process whose command line is exactly "sleep ARGUMENT"; 0: none. */
pid_t ssh_find_sleep(const char *argument);

/* How many there are. */
unsigned ssh_count_sleeps(const char *argument);

/* Kills them; how many could be. One that was may still be seen for a moment. */
unsigned ssh_end_sleeps(const char *argument);

/* A time to sleep that nobody else has. */
void ssh_choose_sleep(char out[32]);
