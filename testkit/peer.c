#include "testkit/peer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/proc.h"
#include "base/strv.h"
#include "testkit/canary-parts.h"

/* The load beside which the other session measures: after so many ms, for so many. */
#define LOAD_LINE "load 60 110\n"

static void choose_name(struct peer *peer, struct ground *ground)
{
	uint8_t random[8];
	char hex[17];

	io_random(random, sizeof(random));
	(void)snprintf(peer->name, sizeof(peer->name), "cf%s", io_hex(random, sizeof(random), hex));
	(void)ground_token(ground, 0, peer->name, peer->token);
	(void)snprintf(peer->title, sizeof(peer->title), "p%.14s", peer->name);
	(void)snprintf(peer->shared, sizeof(peer->shared), "%s/read/%s", ground->root, peer->name);
}

/* A terminal by its number in some devpts. The last one counts. */
static bool note_terminal(const struct proc_fd *fd, void *context)
{
	struct peer *peer = context;
	struct stat info;

	if (strncmp(fd->target, "/dev/pts/", 9) == 0 && fd->target[9] >= '0' &&
		fd->target[9] <= '9' && fstatat(fd->dir, fd->name, &info, 0) == 0 &&
		S_ISCHR(info.st_mode)) {
		(void)snprintf(peer->terminal, sizeof(peer->terminal), "%s", fd->target);
		peer->terminal_device = info.st_dev;
		peer->terminal_inode = info.st_ino;
	}
	return false;
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
	r = canary_make_file(peer->shared, 0666, peer->token);
	if (r < 0) {
		return err_set(err, -r, "planting %s", peer->shared);
	}
	if (peer_describe(peer, &settings) < 0 ||
		strv_appendf(&settings, "set peer.token %s", peer->token) < 0 ||
		strv_appendf(&settings, "set budget.spinners %ld",
			sysconf(_SC_NPROCESSORS_ONLN) + 1) < 0 ||
		strv_append(&settings, "set hold 1") < 0) {
		return err_set(err, ENOMEM, "starting a second session");
	}
	options.settings = settings;
	r = run_client(target, &peer->canary, &options, &peer->run, err);
	if (r == 0) {
		peer->holder = outside_find(peer->title);
		(void)proc_find_fd(peer->holder, note_terminal, peer);
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
		strv_appendf(settings, "set peer.shared %s", peer->shared) < 0 ||
		strv_appendf(settings, "set peer.pid %d", holder) < 0) {
		return -ENOMEM;
	}
	if (!peer->terminal[0]) {
		return 0;
	}
	return strv_appendf(settings, "set peer.pts %s", peer->terminal) < 0 ||
			strv_appendf(settings, "set peer.pts.device %" PRIu64,
				peer->terminal_device) < 0 ||
			strv_appendf(
				settings, "set peer.pts.inode %" PRIu64, peer->terminal_inode) < 0
		? -ENOMEM
		: 0;
}

void peer_help(const char *probe, void *context)
{
	struct peer *peer = context;

	/* Once: a client that is not ours may begin as often as it likes. */
	if (!peer->loaded && strcmp(probe, "C.cpu-mem") == 0) {
		peer->loaded = true;
		(void)!write(peer->run.running.in, LOAD_LINE, strlen(LOAD_LINE));
	}
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
