/*
 * What there is to try, in words: `list` and `explain`. All of it comes from the tables that the
 * measurement itself uses.
 */
#pragma once

/*
 * The probes, one a line, or as JSON with --json. --group takes a group's letter or its words,
 * --capability one that the probe helps to decide. Returns an exit code: 0, or 2 on wrong usage.
 */
int catalogue_list(int argc, char **argv);

/* Each of the probes named, in full. Returns an exit code: 0, or 2 on wrong usage. */
int catalogue_explain(int argc, char **argv);
