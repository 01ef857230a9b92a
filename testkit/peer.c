#include "testkit/peer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/strv.h"

static void choose_name(struct peer *peer, struct ground *ground)
{
	uint8_t random[8];
	char hex[17];

	io_random(random, sizeof(random));
	(void)snprintf(peer->name, sizeof(peer->name), "cf%s", io_hex(random, sizeof(random), hex));
	(void)ground_token(ground, 0, peer->name, peer->token);
	(void)snprintf(peer->title, sizeof(peer->title), "p%.14s", peer->name);
}

int peer_start(struct peer *peer, const struct target *target, struct ground *ground,
	unsigned timeout_ms, struct err *err)
{
	cleanup(strv_freep) char **settings = NULL;
	struct run_options options = {.hold = true, .timeout_ms = timeout_ms};
	int r = 0;

	choose_name(peer, ground);
	r = canary_init(&peer->canary, ground, peer->name, err);
	if (r < 0) {
		return r;
	}
	peer->alive = true;
	if (peer_describe(peer, &settings) < 0 ||
		strv_appendf(&settings, "set peer.token %s", peer->token) < 0 ||
		strv_append(&settings, "set hold 1") < 0) {
		return err_set(err, ENOMEM, "starting a second session");
	}
	options.settings = settings;
	r = run_client(target, &peer->canary, &options, &peer->run, err);
	if (r == 0) {
		peer->holder = outside_find(peer->title);
	}
	return r;
}

int peer_describe(const struct peer *peer, char ***settings)
{
	/* One that another kernel has is no process here; that kernel's own is what there is. */
	const pid_t holder = peer->holder > 0 ? peer->holder : peer->run.machine.memory;

	if (strv_appendf(settings, "set peer %s", peer->name) < 0 ||
		strv_appendf(settings, "set peer.key %d", canary_fresh_key(peer->name)) < 0 ||
		strv_appendf(settings, "set peer.port %u", peer->canary.listen_port) < 0 ||
		strv_appendf(settings, "set peer.pid %d", holder) < 0) {
		return -ENOMEM;
	}
	return 0;
}

void peer_stop(struct peer *peer)
{
	if (!peer->alive) {
		return;
	}
	run_fini(&peer->run);
	canary_fini(&peer->canary);
	canary_remove_fresh(peer->name);
	peer->alive = false;
}
