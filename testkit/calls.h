/*
 * System calls that a sandbox has reasons to refuse, with the arguments that matter, by what they
 * are dangerous for. Evaluated against a filter that was dumped from a live process: nothing here is
 * ever called.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct outside;

/* Numbers are those of x86_64 and of i386; -1: there is none. */
struct dangerous_call {
	const char *group; /* "modules": the probe is K.filter.modules */
	const char *name; /* with what matters of its arguments, for people */
	int number, number_i386;
	uint64_t args[6];
};

extern const struct dangerous_call dangerous_calls[]; /* ends with a NULL name */

enum call_abi { ABI_NATIVE, ABI_I386, ABI_X32, ABI_COUNT };

/* "x86_64", "i386", "x32" */
const char *call_abi_name(enum call_abi abi);

/*
 * How many calls of this group the process's filters let through by this ABI, their names in out;
 * -1: the filters could not be read.
 */
int calls_let_through(const struct outside *outside, const char *group, enum call_abi abi,
	char *out, size_t size);

/* Of the numbers 0 to count - 1, with arguments of zero: how many pass. -1: not known. */
int calls_count_open(const struct outside *outside, enum call_abi abi, int count);

/* Whether one call passes: 1, 0, or -1. The number is the ABI's own, without the bit of x32. */
int calls_allow(
	const struct outside *outside, enum call_abi abi, int number, const uint64_t args[6]);
