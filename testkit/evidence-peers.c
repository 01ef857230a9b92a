/*
 * What one session reached of another that was alive at the same time. A token of the peer's proves
 * it; that the two are apart in the very thing that was tried proves the opposite.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "testkit/look.h"
#include "testkit/peer.h"

static const struct peer *peer_of(const struct look *look)
{
	const struct peer *peer = look->context->peer;

	return peer && peer->alive && peer->run.hello ? peer : NULL;
}

static void peer_token(struct look *look, const char *arg)
{
	const struct peer *peer = peer_of(look);

	(void)arg;
	if (peer) {
		look_token(look, peer->token);
	}
}

/* Has each of them a kernel to itself? Then they have nothing of a kernel's in common. */
static bool has_own_kernel(const struct look *look)
{
	const struct peer *peer = peer_of(look);
	const struct machine *one = &look->context->run->machine;

	return peer && one->kernel == MACHINE_OTHER && peer->run.machine.kernel == MACHINE_OTHER &&
		one->memory > 0 && peer->run.machine.memory > 0 &&
		one->memory != peer->run.machine.memory;
}

/* Are the two in different namespaces of this kind? */
static bool apart(const struct look *look, size_t which)
{
	const struct peer *peer = peer_of(look);
	const struct outside *one = &look->context->run->outside;

	if (has_own_kernel(look)) {
		return true;
	}
	return !one->elsewhere && peer && one->namespaces[which] &&
		peer->run.outside.namespaces[which] &&
		one->namespaces[which] != peer->run.outside.namespaces[which];
}

/* arg: the digit of the namespace that would part them (enum outside_namespace). */
static void by_namespace(struct look *look, const char *arg)
{
	peer_token(look, NULL);
	if (look->outcome->evidence == EVIDENCE_NONE && apart(look, (size_t)(arg[0] - '0'))) {
		look_conclude(look, false, LEVEL_STATE);
		look_detail(look,
			has_own_kernel(look) ? "each has a kernel of its own"
					     : "their namespaces differ");
	}
}

/* The same for a directory: do both see the same one? */
static void by_place(struct look *look, const char *arg)
{
	const struct peer *peer = peer_of(look);
	char path[64];
	struct stat one;
	struct stat other;

	peer_token(look, NULL);
	if (look->outcome->evidence != EVIDENCE_NONE || !peer || peer->run.outside.pid <= 0 ||
		look->context->run->outside.pid <= 0) {
		return;
	}
	(void)snprintf(path, sizeof(path), "/proc/%d/root%s", look->context->run->outside.pid, arg);
	bool known = stat(path, &one) == 0;
	(void)snprintf(path, sizeof(path), "/proc/%d/root%s", peer->run.outside.pid, arg);
	/* Where one of them has no such place, nothing can be met there. */
	bool same = known && stat(path, &other) == 0 && one.st_dev == other.st_dev &&
		one.st_ino == other.st_ino;
	if (!same && look->context->run->outside.found) {
		look_conclude(look, false, LEVEL_STATE);
		look_detail(look, "%s is not the same directory", arg);
	}
}

static void seen_name(struct look *look, const char *arg)
{
	const struct peer *peer = peer_of(look);

	if (peer) {
		look_token(look, peer->title);
		if (look->outcome->evidence == EVIDENCE_NONE) {
			by_namespace(look, arg);
		}
	}
}

/* Its holder changes its name when it is hit. */
static void hit(struct look *look, const char *arg)
{
	const struct peer *peer = peer_of(look);
	char title[16];

	(void)arg;
	if (peer && peer->holder > 0) {
		(void)snprintf(title, sizeof(title), "%s", peer->title);
		title[0] = PEER_HIT;
		look_conclude(look, outside_find(title) > 0, LEVEL_EVENT);
	} else if (has_own_kernel(look)) {
		look_conclude(look, false, LEVEL_STATE);
		look_detail(look, "each has a kernel of its own");
	}
}

static void share_namespaces(struct look *look, const char *arg)
{
	const struct peer *peer = peer_of(look);
	char text[64] = "";

	if (!peer ||
		(!has_own_kernel(look) &&
			(!peer->run.outside.found || !look->context->run->outside.found))) {
		return;
	}
	for (const char *which = arg; *which; which++) {
		static const char *const names[] = {
			"net", "pid", "ipc", "uts", "mnt", "user", "cgroup"};
		if (!apart(look, (size_t)(*which - '0'))) {
			size_t used = strlen(text);
			(void)snprintf(
				text + used, sizeof(text) - used, "%s ", names[*which - '0']);
		}
	}
	look_conclude(look, text[0] != '\0', LEVEL_STATE);
	if (text[0]) {
		look_detail(look, "shared: %s", text);
	}
}

static void share_group(struct look *look, const char *arg)
{
	const struct peer *peer = peer_of(look);

	(void)arg;
	if (peer && peer->run.outside.found && look->context->run->outside.found) {
		look_conclude(look,
			strcmp(peer->run.outside.cgroup, look->context->run->outside.cgroup) == 0,
			LEVEL_STATE);
	}
}

static void share_user(struct look *look, const char *arg)
{
	const struct peer *peer = peer_of(look);

	(void)arg;
	if (peer && peer->run.outside.pid > 0 && look->context->run->outside.pid > 0) {
		look_conclude(look, peer->run.outside.uid == look->context->run->outside.uid,
			LEVEL_STATE);
		look_detail(look, "users %u and %u", peer->run.outside.uid,
			look->context->run->outside.uid);
	}
}

static const struct evidence_row peers_rows[] = {
	{"C.see", seen_name, "1"},
	{"C.tmp", by_place, "/tmp"},
	{"C.vartmp", by_place, "/var/tmp"},
	{"C.shm-file", by_place, "/dev/shm"},
	{"C.home", peer_token, NULL},
	{"C.root", by_namespace, "1"},
	{"C.memory", by_namespace, "1"},
	{"C.trace", by_namespace, "1"},
	{"C.tcp", by_namespace, "0"},
	{"C.unix-abstract", by_namespace, "0"},
	{"C.unix-path", by_place, "/tmp"},
	{"C.sysv", by_namespace, "2"},
	{"C.message", by_namespace, "2"},
	{"C.key", peer_token, NULL},
	{"C.signal", hit, NULL},
	{"C.namespaces", share_namespaces, "1234"},
	{"C.network", share_namespaces, "0"},
	{"C.user-namespace", share_namespaces, "5"},
	{"C.group", share_group, NULL},
	{"C.user", share_user, NULL},
	{NULL, NULL, NULL},
};

const struct evidence_table evidence_peers = {
	peers_rows, NULL, "E1: the other session's token; E3: what parts the two"};
