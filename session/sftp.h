/*
 * The sftp subsystem: OpenSSH's sftp-server, run inside the session's sandbox like any other
 * command. We parse none of its protocol.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "session/config.h"

/* What a forced command says to mean sftp, as in sshd_config(5). */
#define SFTP_INTERNAL "internal-sftp"

/* Is name one that sftp-server knows as a request (sftp-server -Q requests)? */
bool sftp_is_request(const char *name);

/*
 * The command line of the profile's sftp-server, appended to *ret, which is the caller's. 0;
 * -ENOTSUP with err in words for the user when the profile does not offer sftp; -ENOMEM.
 */
int sftp_command(const struct config_profile *profile, char ***ret, struct err *err);
