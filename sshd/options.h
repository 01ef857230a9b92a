/*
 * The command line. One table gives parser, help and synopsis; where sshd(8) has an option of the
 * same letter, it means the same.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "base/err.h"

struct options {
	bool foreground; /* -D */
	unsigned debug; /* -d, more with each */
	bool to_stderr; /* -e */
	bool quiet; /* -q */
	bool test; /* -t */
	bool dump; /* -T */
	bool version, help;
	bool no_proof;
	bool zygote;
	const char *log_file; /* -E */
	const char *config; /* -f; NULL: the usual place if it is there, else the embedded one */
	char **connections; /* -C, "user=alice,addr=192.0.2.7" */
	char **host_keys; /* -h */
	char **overrides; /* -o */
	char **ports; /* -p */
};

/* Reads argv into a zeroed *ret; its strings are borrowed from argv, its lists are the caller's to
 * free with options_fini(). 0 or -EINVAL with err. */
int options_parse(int argc, char **argv, struct options *ret, struct err *err);
void options_fini(struct options *options);

/* One line an option. */
void options_help(FILE *out);
