/*
 * Which system calls a session may make: one table, read by the generator that compiles it, by the
 * plan that prints it and by the test that checks every row against the compiled program.
 *
 * What a call gets, in this order:
 *	1. a REFUSE row that matches                    -> EPERM
 *	2. an ALLOW row that matches                    -> the kernel decides
 *	3. no row matched, but the table knows the call -> EPERM
 *	4. the table does not know the call             -> ENOSYS
 *	   (so do foreign ABIs: i386, x32, whatever is not the native one)
 *
 * ENOSYS for the unknown makes libraries fall back to the older call instead of giving up.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum filter_verdict { FILTER_ALLOW, FILTER_REFUSE };

/* (args[arg] & mask) == value. A zero mask ends a row's list. */
struct filter_condition {
	uint64_t mask, value;
	unsigned arg;
};

/* In which variants a row stands. */
enum filter_variant {
	FILTER_DEFAULT = 1 << 0,
	FILTER_NO_EXEC = 1 << 1,
	FILTER_ALWAYS = FILTER_DEFAULT | FILTER_NO_EXEC,
};

#define FILTER_MAX_CONDITIONS 3

struct filter_rule {
	const char *name; /* of the call */
	int number; /* same on every 64-bit ABI, for calls newer than libseccomp; 0: by name */
	enum filter_verdict verdict;
	enum filter_variant variants;
	struct filter_condition conditions[FILTER_MAX_CONDITIONS]; /* all must hold */
	const char *reason;
};

/*
 * Stand in the compiled no-exec variant where the session's key belongs (two halves of each of
 * three 64-bit words); filter_program() replaces them.
 */
#define FILTER_KEY_PLACEHOLDER(word)                                                               \
	((UINT64_C(0xc10c4e00c10c4e80) | (uint64_t)(word)) + ((uint64_t)(word) << 32))

extern const struct filter_rule filter_policy[]; /* ends with a NULL name */
extern const size_t filter_policy_count;

/* Written by the generator: the number of each row's call here, or -1: this machine has it not. */
extern const int filter_policy_numbers[];
