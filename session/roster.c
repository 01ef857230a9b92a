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

int roster_end(struct roster *roster, const char *id, const char *reason, size_t *ret_slot)
{
	for (size_t i = 0; i < atomic_load(&roster->used); i++) {
		struct place *place = &roster->places[i];
		unsigned owner = atomic_load(&place->owner);
		struct roster_row row;
		unsigned shown = 0;
		if (!owner || !copy(place, &row, &shown) || strcmp(row.id, id) != 0) {
			continue;
		}
		if (atomic_load(&place->end) == shown) {
			return -EALREADY;
		}
		(void)snprintf(place->reason, sizeof(place->reason), "%s", reason);
		/* If the session has gone in the meantime, this is a row that never comes again. */
		atomic_store(&place->end, shown);
		*ret_slot = owner - 1;
		return 0;
	}
	return -ENOENT;
}
