/*
 * How many connections and sessions there are, counted where a crash cannot miscount.
 *
 * The listener maps one table that its monitors share. Each monitor writes one slot of it, its own;
 * the listener empties a slot when it reaps the monitor, so whatever a dead monitor held is given
 * back. Sums are made by looking at all slots.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LIMITS_MAX_SLOTS 65536

struct limits;

/* Maps a table of slots (at most LIMITS_MAX_SLOTS) for this process and its children. 0 or -errno. */
int limits_new(size_t slots, struct limits **ret);
struct limits *limits_free(struct limits *limits);

/* Listener: takes an empty slot. Its number, or -EAGAIN when all are taken. */
int limits_take_slot(struct limits *limits);

/* Listener: empties the slot of a monitor that is gone. Returns how many sessions it still held. */
uint32_t limits_drop_slot(struct limits *limits, size_t slot);

/* Connections that have not authenticated. */
size_t limits_count_unauthenticated(const struct limits *limits);

/* All connections, and all sessions. */
size_t limits_count_connections(const struct limits *limits);
size_t limits_count_sessions(const struct limits *limits);

/* Monitor: its user has authenticated. */
void limits_set_user(struct limits *limits, size_t slot, const char *user);

/*
 * Monitor: one more session, unless that makes more than max_total of all or max_user of this user
 * (0: no limit). 0; -EUSERS with *ret_reason (static, for the user) set. Two that ask at the same
 * moment for the last place may both be refused; never are both let in.
 */
int limits_add_session(struct limits *limits, size_t slot, uint64_t max_total, uint64_t max_user,
	const char **ret_reason);
void limits_remove_session(struct limits *limits, size_t slot);
