/*
 * Small strict readers for text from outside. None accepts leading or trailing blanks, signs where
 * none belong, or numbers that do not fit; all return 0 or -EINVAL / -ERANGE and set *ret only on
 * success.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A decimal number. */
int parse_u64(const char *text, uint64_t *ret);

/* A decimal number from min to max. */
int parse_range(const char *text, uint64_t min, uint64_t max, uint64_t *ret);

/* Bytes, with an optional suffix K, M, G or T (powers of 1024), "64K". */
int parse_size(const char *text, uint64_t *ret_bytes);

/* Seconds, with an optional suffix s, m, h or d; parts may follow one another: "1h30m". */
int parse_duration(const char *text, uint64_t *ret_seconds);

/* yes, no, true, false, on, off. */
int parse_bool(const char *text, bool *ret);

/* A number of processors in thousandths: "1.5" gives 1500. At most three decimals. */
int parse_milli(const char *text, uint64_t *ret_milli);

/* True for 1 to 64 of [a-zA-Z0-9._-], not beginning with '-' or '.'. */
bool parse_is_name(const char *text);

/*
 * The length of the UTF-8 character that text begins with (1 to 4), or 0 where it is not valid: an
 * overlong form, a surrogate, above U+10FFFF or cut short.
 */
size_t parse_utf8_length(const char *text);

/* True when all of text is UTF-8. */
bool parse_is_utf8(const char *text);

/*
 * Makes path absolute and lexically clean: no //, no ., no trailing slash; ".." and control bytes
 * are refused. Relative paths are refused. The caller frees *ret.
 */
int parse_absolute_path(const char *path, char **ret);

/*
 * Reads a path of Windows, whatever system this is: a drive and names ("C:\\work\\a b"), taken
 * literally. Makes the letter large and takes out doubled and trailing backslashes. Refused is what
 * Windows would read as something else than it looks like: '/', "." and "..", names that end in a
 * dot or blank, devices (NUL, COM1.txt), streams ("a:b"), wildcards, shares and "\\?\" forms,
 * control bytes, and what is not UTF-8. The caller frees *ret.
 */
int parse_windows_path(const char *path, char **ret);

/* Does text begin as a path of Windows does, with a drive ("C:\")? */
bool parse_is_windows_path(const char *text);

/*
 * How far a and b are apart in single-character edits, at most limit + 1. For "did you mean".
 */
size_t parse_edit_distance(const char *a, const char *b, size_t limit);
