#include "session/shared.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "base/cleanup.h"

#define LISTEN_MS 2000 /* a process is made for it inside; mostly it takes one */

int session_shared_start(struct session_shared *shared, const struct backend *backend,
	struct plan **plan, const struct host *host, struct err *err)
{
	int r = 0;

	assert(!shared->sandbox && (*plan)->shared);
	if (plan_sandbox_digest(*plan, shared->digest) < 0) {
		return err_set(err, ENOMEM, "making the connection's sandbox");
	}
	r = backend->start(*plan, host, NULL, &shared->sandbox, err);
	if (r < 0) {
		return r;
	}
	door_open(&shared->door, backend, shared->sandbox);
	shared->backend = backend;
	shared->plan = take_ptr(plan);
	return 0;
}

int session_shared_check(struct session_shared *shared, const struct plan *plan, struct err *err)
{
	struct sandbox_exit ended = {0};
	char digest[65];

	if (shared->backend->poll_exit(shared->sandbox, &ended) != 0) {
		return err_refuse(err, EPIPE,
			"the sandbox of this connection has ended%s; connect again",
			ended.timed_out ? " with its time limit" : "");
	}
	if (plan_sandbox_digest(plan, digest) < 0) {
		return err_set(err, ENOMEM, "joining the connection's sandbox");
	}
	if (strcmp(digest, shared->digest) != 0) {
		return err_refuse(err, ENOTSUP,
			"this would need another sandbox than the connection has; connect again");
	}
	return 0;
}

int session_shared_listen(
	struct session_shared *shared, const char *path, int *ret_fd, struct err *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	cleanup_close int event = -1;

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	int r = shared->backend->open_socket(shared->sandbox, shared->plan, SANDBOX_LISTEN_PRIVATE,
		(struct sockaddr *)&address, sizeof(address), &event, err);
	if (r < 0) {
		return r;
	}
	struct pollfd wait = {.fd = event, .events = POLLIN};
	r = poll(&wait, 1, LISTEN_MS) == 1 ? backend_take_socket(event, ret_fd) : -ETIMEDOUT;
	return r == 1 ? 0 : err_set(err, r < 0 ? -r : EPROTO, "making the agent's socket");
}

void session_shared_fini(struct session_shared *shared)
{
	door_close(&shared->door);
	if (shared->sandbox) {
		shared->backend->destroy(shared->sandbox);
	}
	plan_free(shared->plan);
	*shared = (struct session_shared){0};
}
