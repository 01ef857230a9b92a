/*
 * Both ends of the zygote's control socket: the listener's handle, and the first minutes of the
 * zygote itself, before net_zygote_main() takes over.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "session/config.h"

struct zygote {
	pid_t pid; /* 0: none */
	int control; /* -1: none */
	bool ready; /* has said so, and takes connections */
};

/*
 * Starts one by executing our own program, so that it shares no memory with us, and waits until it
 * says that it is ready: host keys read, one handshake made. Makes empty_dir if it is not there. 0
 * or negative errno with err saying what it cannot work with.
 */
int zygote_start(const struct config *config, unsigned debug, bool to_syslog, struct zygote *ret,
	struct err *err);

/* Hands it a connection; both descriptors stay the caller's. 0 or negative errno. */
int zygote_connect(struct zygote *zygote, int client, int net);

/* Lets it end. It is the caller's to reap. The connections it has made live on. */
void zygote_close(struct zygote *zygote);

/* The same, and waits for it; a second later it is killed. */
void zygote_stop(struct zygote *zygote);

/* The zygote's life, after exec: control is descriptor 3. Returns its exit code. */
int zygote_main(void);
