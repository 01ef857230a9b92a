#include "session/limits.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

enum slot_state { SLOT_EMPTY, SLOT_UNAUTHENTICATED, SLOT_AUTHENTICATED };

struct slot {
	atomic_uint state; /* enum slot_state; user is valid once it says authenticated */
	atomic_uint sessions;
	atomic_uint probes; /* measurements */
	atomic_uint notes[PENALTY_COUNT]; /* offences the listener has not taken yet */
	struct source source; /* the listener's; written before the monitor is there */
	char user[72];
};

struct limits {
	size_t room;
	int event; /* eventfd, readable when there are notes */
	atomic_bool noted; /* event was told, and nobody has looked yet */
	atomic_size_t used; /* slots below this one have been taken at least once */
	struct slot slots[];
};

static size_t table_size(size_t slots)
{
	return sizeof(struct limits) + slots * sizeof(struct slot);
}

int limits_new(size_t slots, struct limits **ret)
{
	slots = slots > LIMITS_MAX_SLOTS ? LIMITS_MAX_SLOTS : slots;
	/* Untouched pages cost nothing, and low slots are taken first. */
	struct limits *limits = mmap(NULL, table_size(slots), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (limits == MAP_FAILED) {
		return -errno;
	}
	limits->room = slots;
	limits->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (limits->event < 0) {
		int code = errno;
		(void)munmap(limits, table_size(slots));
		return -code;
	}
	*ret = limits;
	return 0;
}

struct limits *limits_free(struct limits *limits)
{
	if (limits) {
		(void)close(limits->event);
		(void)munmap(limits, table_size(limits->room));
	}
	return NULL;
}

int limits_take_slot(struct limits *limits, const struct source *source)
{
	for (size_t i = 0; i < limits->room; i++) {
		struct slot *slot = &limits->slots[i];
		if (atomic_load(&slot->state) != SLOT_EMPTY) {
			continue;
		}
		slot->user[0] = '\0';
		slot->source = *source;
		atomic_store(&slot->sessions, 0);
		atomic_store(&slot->probes, 0);
		atomic_store(&slot->state, SLOT_UNAUTHENTICATED);
		if (i >= atomic_load(&limits->used)) {
			atomic_store(&limits->used, i + 1);
		}
		return (int)i;
	}
	return -EAGAIN;
}

uint32_t limits_drop_slot(struct limits *limits, size_t slot)
{
	assert(slot < limits->room);
	atomic_store(&limits->slots[slot].state, SLOT_EMPTY);
	atomic_store(&limits->slots[slot].probes, 0);
	return atomic_exchange(&limits->slots[slot].sessions, 0);
}

size_t limits_count_unauthenticated(const struct limits *limits)
{
	size_t count = 0;

	for (size_t i = 0; i < atomic_load(&limits->used); i++) {
		count += atomic_load(&limits->slots[i].state) == SLOT_UNAUTHENTICATED;
	}
	return count;
}

size_t limits_count_source(
	const struct limits *limits, const struct source *block, uint64_t bits4, uint64_t bits6)
{
	size_t count = 0;

	for (size_t i = 0; i < atomic_load(&limits->used); i++) {
		const struct slot *slot = &limits->slots[i];
		if (atomic_load(&slot->state) == SLOT_UNAUTHENTICATED) {
			struct source other = source_mask(slot->source, bits4, bits6);
			count += source_is_equal(&other, block);
		}
	}
	return count;
}

size_t limits_count_connections(const struct limits *limits)
{
	size_t count = 0;

	for (size_t i = 0; i < atomic_load(&limits->used); i++) {
		count += atomic_load(&limits->slots[i].state) != SLOT_EMPTY;
	}
	return count;
}

size_t limits_count_sessions(const struct limits *limits)
{
	size_t count = 0;

	for (size_t i = 0; i < atomic_load(&limits->used); i++) {
		count += atomic_load(&limits->slots[i].sessions);
	}
	return count;
}

static bool is_of(const struct slot *slot, const char *user)
{
	return atomic_load(&slot->state) == SLOT_AUTHENTICATED &&
		strncmp(slot->user, user, sizeof(slot->user)) == 0;
}

static size_t count_user_sessions(const struct limits *limits, const char *user)
{
	size_t count = 0;

	for (size_t i = 0; i < atomic_load(&limits->used); i++) {
		const struct slot *slot = &limits->slots[i];
		count += is_of(slot, user) ? atomic_load(&slot->sessions) : 0;
	}
	return count;
}

void limits_set_user(struct limits *limits, size_t slot, const char *user)
{
	assert(slot < limits->room);
	(void)snprintf(limits->slots[slot].user, sizeof(limits->slots[slot].user), "%s", user);
	/* Others read the name only after they have seen this. */
	atomic_store(&limits->slots[slot].state, SLOT_AUTHENTICATED);
}

int limits_add_session(struct limits *limits, size_t slot, uint64_t max_total, uint64_t max_user,
	const char **ret_reason)
{
	assert(slot < limits->room);
	int r = -EUSERS;

	/* Counted first and looked at afterwards, so that of two at once one sees the other. */
	atomic_fetch_add(&limits->slots[slot].sessions, 1);
	if (max_total && limits_count_sessions(limits) > max_total) {
		r = -EAGAIN;
		*ret_reason = "the server has as many sessions as it may have; try again later";
	} else if (max_user && count_user_sessions(limits, limits->slots[slot].user) > max_user) {
		*ret_reason = "you have as many sessions at once as you may have";
	} else {
		return 0;
	}
	limits_remove_session(limits, slot);
	return r;
}

void limits_remove_session(struct limits *limits, size_t slot)
{
	assert(slot < limits->room);
	atomic_fetch_sub(&limits->slots[slot].sessions, 1);
}

int limits_add_probe(
	struct limits *limits, size_t slot, uint64_t max_total, const char **ret_reason)
{
	const char *user = limits->slots[slot].user;
	size_t all = 0;
	size_t own = 0;

	assert(slot < limits->room);
	/* As above: counted first. */
	atomic_fetch_add(&limits->slots[slot].probes, 1);
	for (size_t i = 0; i < atomic_load(&limits->used); i++) {
		unsigned count = atomic_load(&limits->slots[i].probes);
		all += count;
		own += is_of(&limits->slots[i], user) ? count : 0;
	}
	if (own <= 1 && all <= max_total) {
		return 0;
	}
	limits_remove_probe(limits, slot);
	*ret_reason = own > 1
		? "a measurement that you have asked for is under way"
		: "the server measures for as many users as it may; try again in a moment";
	return own > 1 ? -EUSERS : -EAGAIN;
}

void limits_remove_probe(struct limits *limits, size_t slot)
{
	assert(slot < limits->room);
	atomic_fetch_sub(&limits->slots[slot].probes, 1);
}

/* ---- offences ---- */

void limits_note(struct limits *limits, size_t slot, enum penalty reason)
{
	const uint64_t one = 1;

	assert(slot < limits->room && reason < PENALTY_COUNT);
	atomic_fetch_add(&limits->slots[slot].notes[reason], 1);
	/* Said once until it is heard: a flood must not keep the listener from its work. */
	if (!atomic_exchange(&limits->noted, true)) {
		(void)!write(limits->event, &one, sizeof(one));
	}
}

int limits_event_fd(const struct limits *limits)
{
	return limits->event;
}

bool limits_hear_notes(struct limits *limits)
{
	uint64_t count = 0;

	(void)!read(limits->event, &count, sizeof(count));
	/* Before anything is taken: what is noted from now on is said again. */
	return atomic_exchange(&limits->noted, false);
}

size_t limits_used(const struct limits *limits)
{
	return atomic_load(&limits->used);
}

uint32_t limits_take_note(struct limits *limits, size_t slot, enum penalty reason)
{
	return slot < atomic_load(&limits->used)
		? atomic_exchange(&limits->slots[slot].notes[reason], 0)
		: 0;
}

const char *limits_user(const struct limits *limits, size_t slot)
{
	const struct slot *at = &limits->slots[slot];

	assert(slot < limits->room);
	return atomic_load(&at->state) == SLOT_AUTHENTICATED ? at->user : "";
}

struct source limits_source(const struct limits *limits, size_t slot)
{
	assert(slot < limits->room);
	return limits->slots[slot].source;
}
