/*
 * The methods of logging in, and chains of them that a user must go through: "publickey,password" is both,
 * in this order.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum method { METHOD_PUBLICKEY, METHOD_PASSWORD, METHOD_INTERACTIVE, METHOD_COUNT };

#define METHODS_MAX 4 /* in one chain */

const char *method_name(enum method method);

struct methods {
	enum method list[METHODS_MAX];
	size_t count;
};

/* Reads a chain. 0, or -EINVAL with err. */
int methods_parse(const char *text, struct methods *ret, struct err *err);

/*
 * What may come next after passed, as bits 1 << method; 0 with *ret_done when a chain is complete. Without
 * chains (NULL) each method is one of its own. Chains are sound: methods_parse() has read them.
 */
unsigned methods_next(char *const *chains, const struct methods *passed, bool *ret_done);

/* Writes the names with commas between them; cut to size. Returns text. */
char *methods_format(const struct methods *methods, char *text, size_t size);
