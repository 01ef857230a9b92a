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

#include "session/penalties.h"
#include "session/source.h"

#define LIMITS_MAX_SLOTS 65536

struct limits;

/* Maps a table of slots (at most LIMITS_MAX_SLOTS) for this process and its children. 0 or -errno. */
int limits_new(size_t slots, struct limits **ret);
struct limits *limits_free(struct limits *limits);

/* Listener: takes an empty slot for a connection. Its number, or -EAGAIN when all are taken. */
int limits_take_slot(struct limits *limits, const struct source *source);

/* Listener: empties the slot of a monitor that is gone. Returns how many sessions it still held. */
uint32_t limits_drop_slot(struct limits *limits, size_t slot);

/* Connections that have not authenticated. */
size_t limits_count_unauthenticated(const struct limits *limits);

/* Those of them that come from a block (see source_mask()). */
size_t limits_count_source(
	const struct limits *limits, const struct source *block, uint64_t bits4, uint64_t bits6);

/* All connections, and all sessions. */
size_t limits_count_connections(const struct limits *limits);
size_t limits_count_sessions(const struct limits *limits);

/* Monitor: its user has authenticated. */
void limits_set_user(struct limits *limits, size_t slot, const char *user);

/*
 * Monitor: one more session, unless that makes more than max_total of all or max_user of this user
 * (0: no limit). 0; -EAGAIN (of all) or -EUSERS (of the user) with *ret_reason (static, for the user) set. Two that ask at the same
 * moment for the last place may both be refused; never are both let in.
 */
int limits_add_session(struct limits *limits, size_t slot, uint64_t max_total, uint64_t max_user,
	const char **ret_reason);
void limits_remove_session(struct limits *limits, size_t slot);

/*
 * Monitor: one more measurement that a user has asked for, unless that makes more than max_total of all or a second
 * one of this user. Returns as limits_add_session() does.
 */
int limits_add_probe(
	struct limits *limits, size_t slot, uint64_t max_total, const char **ret_reason);
void limits_remove_probe(struct limits *limits, size_t slot);

/*
 * Monitor: a session of this connection has done something there is a penalty for. The listener,
 * which alone knows the penalties, is woken by limits_event_fd().
 */
void limits_note(struct limits *limits, size_t slot, enum penalty reason);

/*
 * Listener: the descriptor to poll; hear_notes() answers whether any slot has notes, and makes the
 * descriptor quiet; then take_note() of each slot and reason, once.
 */
int limits_event_fd(const struct limits *limits);
bool limits_hear_notes(struct limits *limits);
size_t limits_used(const struct limits *limits); /* slots below this one have been taken once */
uint32_t limits_take_note(struct limits *limits, size_t slot, enum penalty reason);

/* Whose a slot is: "" before login. The address it was taken for. */
const char *limits_user(const struct limits *limits, size_t slot);
struct source limits_source(const struct limits *limits, size_t slot);
