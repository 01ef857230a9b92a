/*
 * Making the server's own key. A library apart, so that the monitor links nothing that reads one.
 */
#pragma once

#include "base/err.h"

/*
 * Makes an Ed25519 key: path gets the private half in OpenSSH's format (mode 0600), path.pub the
 * public one (mode 0644). Neither may exist; on failure neither is left behind.
 *
 * Returns 0 or negative errno with err.
 */
int hostkey_generate(const char *path, struct err *err);
