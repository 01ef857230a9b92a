/*
 * What spec.c, spec-json.c and spec-rules.c share about keys and the fields behind them. Of no use elsewhere.
 */
#pragma once

#include "backends/spec.h"

/* The field of a key. */
void *spec_field(struct spec *spec, const struct spec_key *key);
const void *spec_const_field(const struct spec *spec, const struct spec_key *key);

bool spec_key_is_list(const struct spec_key *key); /* char ** */
bool spec_key_is_text(const struct spec_key *key); /* char * */
bool spec_key_is_number(const struct spec_key *key); /* uint64_t */

/* What a number of this type looks like, for people: "a whole number". */
const char *spec_number_form(enum spec_type type);

/* value as spec_set() takes it. Returns text. */
char *spec_format_number(enum spec_type type, uint64_t value, char *text, size_t size);

/*
 * Checks every value as spec_set() does: a spec may have been filled by hand. 0, or -EINVAL /
 * -ENOMEM with err.
 */
int spec_check_values(const struct spec *spec, struct err *err);
