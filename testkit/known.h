/*
 * What is known about a target before it is measured: doors that a manifest or a former report says are
 * open. Such a violation is EXPECTED, so that only what is not known fails; and what is known may run out.
 */
#pragma once

#include "testkit/judge.h"

#define KNOWN_DATE 11 /* "2027-01-31" and its end */

enum known_state {
	KNOWN_UNTESTED, /* nothing was run that could tell */
	KNOWN_OPEN, /* as expected */
	KNOWN_SHUT, /* it is open no more: the entry can go */
	KNOWN_EXPIRED, /* its day is over, so it excuses nothing, and fails by itself */
	KNOWN_DROPPED, /* a promise of the former report that nobody makes now: fails */
	KNOWN_STATES,
};

struct known {
	const struct probe *probe; /* NULL: every probe of capability */
	enum capability capability; /* CAPABILITY_COUNT: every one that probe decides */
	enum verdict verdict; /* the one that is excused */
	char *reason; /* owned */
	char until[KNOWN_DATE]; /* the last day, in UTC; "": without end */
	enum known_state state; /* of known_apply() */
};

struct known_list {
	struct known *items;
	size_t count;
};

/* Appends a copy, of its reason too. 0 or -ENOMEM. */
int known_add(struct known_list *list, const struct known *item);

void known_fini(struct known_list *list);

/*
 * Sets the state of each entry and turns what they excuse into EXPECTED. today is a date like until.
 * True when nothing of the list fails by itself.
 */
bool known_apply(struct known_list *list, const char *today, struct judgement *judgement);

/* The entry because of which the i-th probe is EXPECTED, or NULL. */
const struct known *known_find(const struct known_list *list, size_t probe);

/* "N.tcp4", or "net.disable" for all of it. */
const char *known_name(const struct known *item);

/* It makes the measurement fail. */
bool known_fails(const struct known *item);

/* "open", "shut", "untested", "expired", "dropped". */
const char *known_state_name(enum known_state state);

/* "expected until 2027-01-31: reason", as far as that is known. Returns text. */
char *known_describe(const struct known *item, char *text, size_t size);

/* The day that is so many days from now, in UTC. Returns date. */
char *known_date(int days, char date[KNOWN_DATE]);

/* Is it a day there can be, written as 2027-01-31? */
bool known_is_date(const char *text);
