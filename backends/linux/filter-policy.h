/*
 * Which system calls a session may make: one table, read by the generator that compiles it, by the
 * plan that prints it and by the test that holds every row against the compiled program.
 *
 * What a call gets, in this order:
 *	1. a REFUSE row that matches                           -> EPERM
 *	2. an ALLOW row that matches                           -> the kernel goes on
 *	3. the table has the call, but no row of it matches    -> EPERM
 *	4. the table has it not, or only as an ABSENT row      -> ENOSYS
 *	   and so for foreign ABIs: i386, x32, whatever is not the native one
 *
 * ENOSYS for the unknown makes libraries fall back to the older call instead of giving up.
 */
#pragma once

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum filter_verdict { FILTER_ALLOW, FILTER_REFUSE, FILTER_ABSENT };

/* (args[arg] & mask) == value. A zero mask ends a row's list. */
struct filter_condition {
	unsigned arg;
	uint64_t mask, value;
};

/* In which variants a row stands. */
enum filter_variant {
	FILTER_DEFAULT = 1 << 0,
	FILTER_NO_EXEC = 1 << 1,
	FILTER_FULL = 1 << 2, /* for a home that is full: what Landlock lets through there is not */
	FILTER_FULL_NO_EXEC = 1 << 3,
	FILTER_EXEC = FILTER_DEFAULT | FILTER_FULL,
	FILTER_KEYED = FILTER_NO_EXEC | FILTER_FULL_NO_EXEC,
	FILTER_ROOM = FILTER_DEFAULT | FILTER_NO_EXEC,
	FILTER_ALWAYS = FILTER_EXEC | FILTER_KEYED,
};

#define FILTER_MAX_CONDITIONS 3

struct filter_rule {
	const char *name; /* of the call */
	int number; /* for calls newer than libseccomp, alike on all 64-bit ABIs; 0: by name */
	enum filter_verdict verdict;
	int variants; /* enum filter_variant */
	struct filter_condition conditions[FILTER_MAX_CONDITIONS]; /* all must hold */
	const char *reason;
};

extern const struct filter_rule filter_policy[]; /* ends with a NULL name */
extern const size_t filter_policy_count; /* rows without that end */

/* Written by the generator: the number of each row's call here; -1: this machine has it not. */
extern const int filter_policy_numbers[];

/*
 * A no-exec variant is a template: these six values stand where the halves of the session's key
 * belong (word 0 low, word 0 high, word 1 low, ...), and its first instruction kills. Only
 * filter_set_key() makes a program of it, so one that was never keyed runs nothing.
 */
#define FILTER_KEY_HALVES 6
#define FILTER_KEY_HALF(index) (UINT32_C(0xc10c4e50) + (uint32_t)(index))
#define FILTER_KEY_WORD(word)                                                                      \
	((uint64_t)FILTER_KEY_HALF(2 * (word) + 1) << 32 | FILTER_KEY_HALF(2 * (word)))

/* A compiled variant, also written by the generator. */
struct filter {
	const char *name;
	enum filter_variant variant;
	bool keyed;
	char digest[65];
	const struct sock_filter *program;
	size_t count;
};
extern const struct filter filter_compiled[4]; /* default, no-exec, and both for a full home */
