/*
 * What one session reached of another that was alive at the same time. A token of the peer's proves
 * it; that the two are apart in the very thing that was tried proves the opposite.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "testkit/evidence-peers.h"

const struct peer *look_peer(const struct look *look)
{
	const struct peer *peer = look->context->peer;

	return peer && peer->alive && peer->run.hello ? peer : NULL;
}

void look_peer_token(struct look *look, const char *arg)
{
	const struct peer *peer = look_peer(look);

	(void)arg;
	if (peer) {
		look_token(look, peer->token);
	}
}

bool look_peers_have_kernels(const struct look *look)
{
	const struct peer *peer = look_peer(look);
	const struct machine *one = &look->context->run->machine;

	return peer && one->kernel == MACHINE_OTHER && peer->run.machine.kernel == MACHINE_OTHER &&
		one->memory > 0 && peer->run.machine.memory > 0 &&
		one->memory != peer->run.machine.memory;
}

/* Are the two in different namespaces of this kind? */
static bool apart(const struct look *look, size_t which)
{
	const struct peer *peer = look_peer(look);
	const struct outside *one = &look->context->run->outside;

	if (look_peers_have_kernels(look)) {
		return true;
	}
	return !one->elsewhere && peer && one->namespaces[which] &&
		peer->run.outside.namespaces[which] &&
		one->namespaces[which] != peer->run.outside.namespaces[which];
}

/* arg: the digit of the namespace that would part them (enum outside_namespace). */
static void by_namespace(struct look *look, const char *arg)
{
	look_peer_token(look, NULL);
	if (look->outcome->evidence == EVIDENCE_NONE && apart(look, (size_t)(arg[0] - '0'))) {
		look_conclude(look, false, LEVEL_STATE);
		look_detail(look,
			look_peers_have_kernels(look) ? "each has a kernel of its own"
						      : "their namespaces differ");
	}
}

static bool stat_in(pid_t pid, const char *path, struct stat *ret)
{
	char inner[160];

	(void)snprintf(inner, sizeof(inner), "/proc/%d/root%s", pid, path);
	return stat(inner, ret) == 0;
}

int look_both_see(const struct look *look, const char *path)
{
	const struct peer *peer = look_peer(look);
	const struct outside *own = &look->context->run->outside;
	struct stat one;
	struct stat other;

	if (!peer || peer->run.outside.pid <= 0 || own->pid <= 0 || !own->found ||
		!stat_in(own->pid, "/", &one) || !stat_in(peer->run.outside.pid, "/", &other)) {
		return -1;
	}
	/* Where one of them has no such place, nothing can be met there. */
	return stat_in(own->pid, path, &one) && stat_in(peer->run.outside.pid, path, &other) &&
		one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

/* The same for a directory: do both see the same one? */
static void by_place(struct look *look, const char *arg)
{
	look_peer_token(look, NULL);
	if (look->outcome->evidence == EVIDENCE_NONE && look_both_see(look, arg) == 0) {
		look_conclude(look, false, LEVEL_STATE);
		look_detail(look, "%s is not the same directory", arg);
	}
}

static void seen_name(struct look *look, const char *arg)
{
	const struct peer *peer = look_peer(look);

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
	const struct peer *peer = look_peer(look);
	char title[16];

	(void)arg;
	if (peer && peer->holder > 0) {
		(void)snprintf(title, sizeof(title), "%s", peer->title);
		title[0] = PEER_HIT;
		look_conclude(look, outside_find(title) > 0, LEVEL_EVENT);
	} else if (look_peers_have_kernels(look)) {
		look_conclude(look, false, LEVEL_STATE);
		look_detail(look, "each has a kernel of its own");
	}
}

static void share_namespaces(struct look *look, const char *arg)
{
	const struct peer *peer = look_peer(look);
	char text[64] = "";

	if (!peer ||
		(!look_peers_have_kernels(look) &&
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

/* Of two lines of /proc/<pid>/cgroup: is the first one's group around the second one's? */
static bool is_around(const char *line, size_t size, const char *other, size_t other_size)
{
	const char *path = memchr(line, '/', size);
	bool is_root = path && path + 1 == line + size;

	return path && !is_root && other_size > size && memcmp(line, other, size) == 0 &&
		other[size] == '/';
}

/* A group that is around the other one's in some hierarchy takes its share from above. */
static bool have_nested_groups(const char *one, const char *other)
{
	while (*one && *other) {
		size_t size = strcspn(one, "\n");
		size_t other_size = strcspn(other, "\n");
		if (is_around(one, size, other, other_size) ||
			is_around(other, other_size, one, size)) {
			return true;
		}
		one += size + (one[size] == '\n');
		other += other_size + (other[other_size] == '\n');
	}
	return false;
}

static void share_group(struct look *look, const char *arg)
{
	const struct peer *peer = look_peer(look);

	(void)arg;
	if (peer && peer->run.outside.found && look->context->run->outside.found) {
		const char *one = look->context->run->outside.cgroup;
		const char *other = peer->run.outside.cgroup;
		bool nested = have_nested_groups(one, other);
		look_conclude(look, strcmp(one, other) == 0 || nested, LEVEL_STATE);
		if (nested) {
			look_detail(look, "one's group is around the other's");
		}
	}
}

static void share_user(struct look *look, const char *arg)
{
	const struct peer *peer = look_peer(look);

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
	{"C.home", look_peer_token, NULL},
	{"C.root", by_namespace, "1"},
	{"C.memory", by_namespace, "1"},
	{"C.trace", by_namespace, "1"},
	{"C.tcp", by_namespace, "0"},
	{"C.unix-abstract", by_namespace, "0"},
	{"C.unix-path", by_place, "/tmp"},
	{"C.sysv", by_namespace, "2"},
	{"C.message", by_namespace, "2"},
	{"C.key", look_peer_token, NULL},
	{"C.pty", by_place, "/dev/pts"},
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
