#include "session/roster.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

struct place {
	atomic_uint owner; /* slot + 1; 0: free */
	atomic_uint shown; /* counts up; odd: the row is whole */
	atomic_uint end; /* the value of shown that is to end; 0: none */
	atomic_uint watch_shown; /* the value of shown that is to be watched; */
	atomic_ullong watch; /* the token in the upper half, the uid in the lower; 0: by nobody */
	struct roster_row row;
	char reason[ROSTER_REASON];
};

struct roster {
	atomic_size_t used; /* places below this one have been taken at least once */
	struct place places[ROSTER_MAX];
};

int roster_new(struct roster **ret)
{
	/* Untouched pages cost nothing, and low places are taken first. */
	struct roster *roster = mmap(NULL, sizeof(*roster), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (roster == MAP_FAILED) {
		return -errno;
	}
	*ret = roster;
	return 0;
}

struct roster *roster_free(struct roster *roster)
{
	if (roster) {
		(void)munmap(roster, sizeof(*roster));
	}
	return NULL;
}

static bool is_whole(unsigned shown)
{
	return shown % 2 == 1;
}

static void hide(struct place *place)
{
	if (is_whole(atomic_load(&place->shown))) {
		atomic_fetch_add(&place->shown, 1);
	}
}

int roster_add(struct roster *roster, size_t slot, const struct roster_row *row)
{
	for (size_t i = 0; i < ROSTER_MAX; i++) {
		struct place *place = &roster->places[i];
		unsigned none = 0;
		if (!atomic_compare_exchange_strong(&place->owner, &none, (unsigned)slot + 1)) {
			continue;
		}
		place->row = *row;
		atomic_store(&place->watch, 0);
		atomic_fetch_add(&place->shown, 1);
		size_t used = atomic_load(&roster->used);
		while (used < i + 1 && !atomic_compare_exchange_weak(&roster->used, &used, i + 1)) {
		}
		return (int)i;
	}
	return -EAGAIN;
}

void roster_remove(struct roster *roster, size_t place)
{
	assert(place < ROSTER_MAX);
	hide(&roster->places[place]);
	atomic_store(&roster->places[place].owner, 0);
}

bool roster_must_end(const struct roster *roster, size_t place, char *reason)
{
	const struct place *at = &roster->places[place];

	assert(place < ROSTER_MAX);
	if (atomic_load(&at->end) != atomic_load(&at->shown)) {
		return false;
	}
	memcpy(reason, at->reason, ROSTER_REASON);
	reason[ROSTER_REASON - 1] = '\0';
	return true;
}

bool roster_take_watch(struct roster *roster, size_t place, uint32_t *ret_token, uint32_t *ret_uid)
{
	struct place *at = &roster->places[place];

	assert(place < ROSTER_MAX);
	if (atomic_load(&at->watch_shown) != atomic_load(&at->shown)) {
		return false;
	}
	unsigned long long watch = atomic_exchange(&at->watch, 0);
	*ret_token = (uint32_t)(watch >> 32);
	*ret_uid = (uint32_t)watch;
	return watch != 0;
}

void roster_drop(struct roster *roster, size_t slot)
{
	for (size_t i = 0; i < atomic_load(&roster->used); i++) {
		if (atomic_load(&roster->places[i].owner) == (unsigned)slot + 1) {
			roster_remove(roster, i);
		}
	}
}

/* A copy that holds together; *ret_shown is which. */
static bool copy(const struct place *place, struct roster_row *ret, unsigned *ret_shown)
{
	unsigned shown = atomic_load(&place->shown);

	if (!is_whole(shown)) {
		return false;
	}
	*ret = place->row;
	atomic_thread_fence(memory_order_acquire);
	*ret_shown = shown;
	return atomic_load(&place->shown) == shown;
}

bool roster_next(const struct roster *roster, size_t *position, struct roster_row *ret)
{
	while (*position < atomic_load(&roster->used)) {
		unsigned shown = 0;
		if (copy(&roster->places[(*position)++], ret, &shown)) {
			return true;
		}
	}
	return false;
}

/* The place of the session of that id; *ret_shown and *ret_slot are its own. NULL: there is none. */
static struct place *find(
	struct roster *roster, const char *id, unsigned *ret_shown, size_t *ret_slot)
{
	for (size_t i = 0; i < atomic_load(&roster->used); i++) {
		struct place *place = &roster->places[i];
		unsigned owner = atomic_load(&place->owner);
		struct roster_row row;
		if (owner && copy(place, &row, ret_shown) && strcmp(row.id, id) == 0) {
			*ret_slot = owner - 1;
			return place;
		}
	}
	return NULL;
}

int roster_end(struct roster *roster, const char *id, const char *reason, size_t *ret_slot)
{
	unsigned shown = 0;
	struct place *place = find(roster, id, &shown, ret_slot);

	if (!place) {
		return -ENOENT;
	}
	if (atomic_load(&place->end) == shown) {
		return -EALREADY;
	}
	(void)snprintf(place->reason, sizeof(place->reason), "%s", reason);
	/* If the session has gone in the meantime, this is a row that never comes again. */
	atomic_store(&place->end, shown);
	return 0;
}

int roster_watch(
	struct roster *roster, const char *id, uint32_t token, uint32_t uid, size_t *ret_slot)
{
	unsigned shown = 0;
	struct place *place = find(roster, id, &shown, ret_slot);

	assert(token);
	if (!place) {
		return -ENOENT;
	}
	if (atomic_load(&place->watch_shown) == shown && atomic_load(&place->watch) != 0) {
		return -EBUSY;
	}
	atomic_store(&place->watch, (unsigned long long)token << 32 | uid);
	/* Last: whoever takes it must find what was written before. */
	atomic_store(&place->watch_shown, shown);
	return 0;
}
