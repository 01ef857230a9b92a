/*
 * The process that listens. It parses nothing that comes from the network: it accepts, forks a
 * monitor, hands the connection to the zygote, and counts.
 */
#pragma once

#include <signal.h>

#include "session/config.h"
#include "sshd/options.h"

/*
 * The configuration that the command line asks for: the file, then -o, -h and -p. Complaints go to
 * out. *ret is the caller's to config_fini(). 0 or negative errno.
 */
int listener_load(const struct options *options, FILE *out, struct config *ret);

/* The file that options name, or the usual one if it is there; NULL for the embedded default. */
const char *listener_config_path(const struct options *options);

/* Serves until told to stop. Consumes config. to_syslog: where the log goes. An exit code. */
int listener_run(const struct options *options, struct config *config, bool to_syslog);
