/*
 * The subcommands of cloche. One table in main.c lists them; each is one function that parses its
 * own options and returns an exit code. What goes wrong is said on standard error, in one line.
 */
#pragma once

#include <stdint.h>

#include "backends/spec.h"
#include "base/cleanup.h"

/* Exit codes of our own. A command's code is passed through; 128 + n: it died of signal n. */
enum cli_exit {
	CLI_OK = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_TIMEOUT = 124, /* --timeout ended it */
	CLI_LAUNCH = 125, /* it could not be started */
};

struct command {
	const char *name;
	const char *usage; /* what follows "cloche <name>" */
	const char *summary; /* one line */
	int (*run)(int argc, char **argv); /* argv[0] is the name */
};

extern const struct command commands[]; /* ends with a NULL name */

int command_run(int argc, char **argv);
int command_plan(int argc, char **argv);
int command_caps(int argc, char **argv);
int command_backends(int argc, char **argv);
int command_explain(int argc, char **argv);
int command_doctor(int argc, char **argv);
int command_passwd(int argc, char **argv);
int command_totp(int argc, char **argv);
int command_keygen(int argc, char **argv);
int command_sessions(int argc, char **argv);
int command_penalties(int argc, char **argv);
int command_join(int argc, char **argv);

/* "cloche: <sentence>" on standard error, control bytes escaped. Returns code. */
int cli_fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A warning in the same form. */
void cli_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* For commands that take --json and nothing else. -1: go on, else the exit code. */
int cli_only_json(int argc, char **argv, bool *ret_json);

/* Prints words wrapped to 80 columns, each line after indent blanks; the first is in place. */
void cli_wrap(unsigned indent, const char *words);

/* True when what went to standard output was written; says so when not. */
bool cli_flush(void);

/* What `run`, `plan`, `caps` and `explain` are told on the command line: options.c. */
struct cli_options {
	struct spec spec;
	bool has_spec; /* a command, a profile or a key of a spec was given */
	uint32_t without; /* enum plan_layer bits */
	bool json;
	bool quiet;
	bool verbose;
	bool probes;
	const char *format; /* or NULL; borrowed from the command line */
};

/* With an optional spec, one that is given without a command gets "true" for one. */
enum cli_wants { CLI_COMMAND, CLI_SPEC_OPTIONAL };

/*
 * Parses options and the command behind them; the environment of the caller is put into the spec.
 * Returns -1 and a filled *ret (the caller's to fini), or the exit code when all was said.
 */
int cli_options_parse(int argc, char **argv, enum cli_wants wants, struct cli_options *ret);
void cli_options_fini(struct cli_options *options);

/* Prints every option with its help. */
void cli_options_help(void);
