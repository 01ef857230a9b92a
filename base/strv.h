/*
 * Lists of strings: char ** ended by NULL, where NULL itself is the empty list. Each list owns its
 * strings.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

#define STRV_FOREACH(item, list) for (char **item = (list); item && *item; item++)

/* Number of strings. */
size_t strv_length(char *const *list);

/* Appends a copy of text. 0 or -ENOMEM; on failure the list is as before. */
int strv_append(char ***list, const char *text);

/* Appends text itself, which is freed on failure. */
int strv_consume(char ***list, char *text);

/* Appends a formatted string. 0 or -ENOMEM. */
int strv_appendf(char ***list, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A deep copy in *ret; the caller frees it with strv_free(). 0 or -ENOMEM. */
int strv_copy(char *const *list, char ***ret);

bool strv_contains(char *const *list, const char *text);

/* True when text matches one of the shell patterns in list (fnmatch(3), no flags). */
bool strv_matches(char *const *list, const char *text);

/* Sorts by strcmp. */
void strv_sort(char **list);

/* Joins with separator; the caller frees the result. NULL when out of memory. */
char *strv_join(char *const *list, const char *separator);

/* Frees the list and its strings; accepts NULL; returns NULL. */
char **strv_free(char **list);
DEFINE_CLEANUP(char **, strv_free);

/* For environments: the value of NAME in a list of NAME=VALUE, or NULL. Borrowed. */
const char *strv_getenv(char *const *list, const char *name);

/* For environments: sets NAME to value, replacing an earlier one. 0 or -ENOMEM. */
int strv_setenv(char ***list, const char *name, const char *value);
