/*
 * What the canary files share among themselves.
 */
#pragma once

#include <poll.h>

#include "testkit/canary.h"

#define CANARY_NOBODY 65533 /* user and group of the controls */
#define CANARY_PREFIX ".cloche-testkit." /* names of our directories begin so */

/* In memory shared with victim and companion; each writes only its counters. */
struct victim_page {
	volatile unsigned signals[CANARY_SIGNALS];
	volatile unsigned group_signals;
	volatile unsigned barriers;
	char token[CANARY_TOKEN];
};

/*
 * What a run has in places that are not ours alone, by its names. Also kept as the name of an empty
 * file, so that it can be removed for a measurement that was killed.
 */
struct traces {
	char leave[24], fresh[24];
	key_t key;
};

/* Keeps the run's names for later. Called before the first such thing is made. */
void canary_note_traces(struct canary *canary);

/* Removes all that goes by these names. */
void canary_remove_traces(const struct traces *traces);

/* Removes what a measurement that was killed has left in parent: a setuid file may be among it. */
void canary_sweep(const char *parent);

/* Below our own directory only, never through a link, never into another file system. */
void canary_remove_tree(const char *path);

/* Makes a file with this text. 0 or negative errno. */
int canary_make_file(const char *path, mode_t mode, const char *text);

/* Makes the run's directories with the files in them. 0 or negative errno. */
int canary_make_places(struct canary *canary, struct err *err);

/* A setuid copy of the client, a device node, a named pipe: some need root, none is needed. */
void canary_make_odd_files(struct canary *canary);

/* Opens the listeners there can be: without IPv6, say, its control will not be open either. */
void canary_listen(struct canary *canary);

/* Takes what they were told, and answers. ready: what canary_poll() has filled in, polled. */
void canary_serve_listeners(struct canary *canary, const struct pollfd *ready);

/* "<fence> <id>": notes who was there. False: somebody else's. */
bool canary_note_message(struct canary *canary, const char *text, size_t size);

/* Ends victim, companion and the process that keeps their group. */
void canary_dismiss(struct canary *canary);
