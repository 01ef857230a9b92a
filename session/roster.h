/*
 * The sessions of this server, listed where all its processes see them.
 *
 * A monitor enters and takes out its own; the listener takes out what a dead monitor left. A row is
 * claimed before it is written and shown after it is whole, and readers make sure that it did not change
 * while they copied it. Which session is to end is written by the listener alone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ROSTER_MAX 65536
#define ROSTER_REASON 112

struct roster;

/* What there is to know about a session. Texts are cut to fit. */
struct roster_row {
	char id[32]; /* "CONN.CHANNEL", as in the audit log; never used twice */
	char user[72], address[48], profile[72], backend[24], kind[16], plan[72];
	int32_t monitor; /* pid */
	bool pty;
	int64_t started; /* seconds since 1970 */
};

/* An empty list for this process and its children. 0 or -errno. */
int roster_new(struct roster **ret);
struct roster *roster_free(struct roster *roster);

/* Monitor: enters a session of its slot. Its place, or -EAGAIN when the list is full. */
int roster_add(struct roster *roster, size_t slot, const struct roster_row *row);
void roster_remove(struct roster *roster, size_t place);

/* Monitor: is the session to end? reason has ROSTER_REASON bytes. */
bool roster_must_end(const struct roster *roster, size_t place, char *reason);

/* Listener: forgets what the monitor of slot left. */
void roster_drop(struct roster *roster, size_t slot);

/* Monitor: does somebody ask to watch the session? Then who, and what the answer is to be marked with. */
bool roster_take_watch(struct roster *roster, size_t place, uint32_t *ret_token, uint32_t *ret_uid);

/* The next row from *position (0 at first) on. False at the end. */
bool roster_next(const struct roster *roster, size_t *position, struct roster_row *ret);

/*
 * Listener: the session is to end; its monitor, of *ret_slot, is to be told. -ENOENT: there is none
 * of that id; -EALREADY: it was told before.
 */
int roster_end(struct roster *roster, const char *id, const char *reason, size_t *ret_slot);

/*
 * Listener: somebody of this uid asks to watch the session; its monitor, of *ret_slot, is to be told.
 * token is not 0. -ENOENT: there is none of that id; -EBUSY: the monitor has not seen the one before.
 */
int roster_watch(
	struct roster *roster, const char *id, uint32_t token, uint32_t uid, size_t *ret_slot);
