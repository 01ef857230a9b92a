/*
 * The control socket of a running server, as its clients see it.
 */
#pragma once

/* Connects to the one that is named, or (NULL) to the usual one. A descriptor, or -1 when all was said. */
int control_connect(const char *wanted);

/* The id that typed begins, if only one does; else NULL, and all was said. The caller frees. */
char *control_find_id(const char *socket, const char *typed);
