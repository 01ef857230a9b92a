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
 * Starts one by executing our own program, so that it shares no memory with us. It is not ready
 * yet. 0 or negative errno.
 */
int zygote_start(const struct config *config, unsigned debug, bool to_syslog, struct zygote *ret,
	struct err *err);

/*
 * Reads what it has to say; timeout_ms as poll(2). 1: it is ready; 0: nothing yet; negative errno
 * with err when it cannot work or is gone.
 */
int zygote_wait(struct zygote *zygote, int timeout_ms, struct err *err);

/* Hands it a connection; both descriptors stay the caller's. 0 or negative errno. */
int zygote_connect(struct zygote *zygote, int client, int net);

/* Lets it end. It is the caller's to reap. The connections it has made live on. */
void zygote_close(struct zygote *zygote);

/* The zygote's life, after exec: control is descriptor 3. Returns its exit code. */
int zygote_main(void);
