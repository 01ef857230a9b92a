/*
 * The relay's window: a socket in the jail at which somebody who may see the jail's tree from outside
 * asks what a program beside the session sees (VM_LOOK). One question at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct vm_window {
	int listener, asker; /* -1: none */
};

/* Nobody can ask when it cannot be made: that is no reason for a session not to run. */
void vm_window_open(struct vm_window *window, const char *path);

/* What to poll for. -1: nothing now, as a question is open. */
int vm_window_watch(const struct vm_window *window, bool open_question);

/*
 * When that is readable: the question, with a NUL behind it, in *words of size bytes. False when there
 * is none yet, or none that can be one.
 */
bool vm_window_take(struct vm_window *window, char *words, size_t size);

/* A piece of the answer. Who does not take it as it comes gets no more. */
void vm_window_give(struct vm_window *window, const void *data, size_t size);

/* The answer is complete. */
void vm_window_end(struct vm_window *window);
