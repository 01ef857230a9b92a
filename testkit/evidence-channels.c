/*
 * What two sessions share without meaning to, and what an ended one leaves to the next: see
 * client/channels.c for what is tried.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "testkit/evidence-peers.h"

#define QUOTA_HELD 48 /* what the peer holds of it, as in client/channels.c */

/* ---- the two at once ---- */

/*
 * A file that was planted for the two of them. Where only one of them sees it, others may be shared
 * all the same, and nothing was tried on those.
 */
static void by_shared_file(struct look *look, const char *arg)
{
	const struct peer *peer = look_peer(look);

	(void)arg;
	look_peer_token(look, NULL);
	if (look->outcome->evidence != EVIDENCE_NONE || !peer) {
		return;
	}
	if (look_both_see(look, peer->shared) == 0) {
		if (look_both_see(look, "/usr/bin") == 0) {
			look_conclude(look, false, LEVEL_STATE);
			look_detail(look, "they see no file in common");
		} else {
			look_detail(look, "not the canary, but other files are seen by both");
		}
	}
}

static void changed_file(struct look *look, const char *arg)
{
	const struct peer *peer = look_peer(look);
	cleanup_free char *text = NULL;

	(void)arg;
	if (peer && io_read_file(AT_FDCWD, peer->shared, 4096, &text, NULL) == 0) {
		look_conclude(look, strcmp(text, peer->token) != 0, LEVEL_COMPARED);
	}
}

/* The signals that wait for processes of its user, in its user namespace; -1: not known. */
static int64_t pending_signals(pid_t pid)
{
	cleanup_free char *status = NULL;
	char path[40];
	const char *line = NULL;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (pid <= 0 || io_read_file(AT_FDCWD, path, 65536, &status, NULL) < 0) {
		return -1;
	}
	line = strstr(status, "\nSigQ:\t");
	return line ? strtoll(line + strlen("\nSigQ:\t"), NULL, 10) : -1;
}

static void counted_together(struct look *look, const char *arg)
{
	const struct peer *peer = look_peer(look);
	const pid_t own = look->context->run->outside.pid;

	(void)arg;
	if (!peer) {
		return;
	}
	int64_t one = pending_signals(own);
	int64_t other = pending_signals(peer->holder);
	if (look_peers_have_kernels(look)) {
		look_conclude(look, false, LEVEL_STATE);
		look_detail(look, "each has a kernel of its own");
	} else if (one >= 0 && other >= QUOTA_HELD) {
		look_conclude(look, one >= QUOTA_HELD, LEVEL_STATE);
		look_detail(look,
			"%" PRId64 " signals count against it, %" PRId64 " against the other", one,
			other);
	}
}

static pid_t process_of(const struct run *run)
{
	return run->outside.pid > 0 ? run->outside.pid : run->machine.memory;
}

/* The numbers are the client's word; that one processor may be taken from the other is ours. */
static void felt_load(struct look *look, const char *arg)
{
	const struct peer *peer = look_peer(look);
	unsigned long ms[4] = {0};
	char text[96] = "";
	cpu_set_t one;
	cpu_set_t other;

	(void)arg;
	if (!peer || !look_is_done(look)) {
		return;
	}
	(void)snprintf(text, sizeof(text), "%.*s", (int)look->answer->size,
		(const char *)look->answer->text);
	if (sscanf(text, "%9lu %9lu %9lu %9lu", &ms[0], &ms[1], &ms[2], &ms[3]) == 4) {
		look_detail(look,
			"at worst 10 ms took %.1f ms alone, %.1f beside a load; a MiB %.1f, %.1f",
			(double)ms[0] / 1000, (double)ms[2] / 1000, (double)ms[1] / 1000,
			(double)ms[3] / 1000);
	}
	if (process_of(look->context->run) > 0 && process_of(&peer->run) > 0 &&
		sched_getaffinity(process_of(look->context->run), sizeof(one), &one) == 0 &&
		sched_getaffinity(process_of(&peer->run), sizeof(other), &other) == 0) {
		CPU_AND(&one, &one, &other);
		look_conclude(look, CPU_COUNT(&one) > 0, LEVEL_STATE);
	}
}

/* The next line of a map (inside, outside, count): numbers of the host's. False at its end. */
static bool next_range(const char **map, uint64_t *ret_begin, uint64_t *ret_end)
{
	uint64_t count = 0;

	if (sscanf(*map, "%*u %" SCNu64 " %" SCNu64, ret_begin, &count) != 2) {
		return false;
	}
	*ret_end = *ret_begin + count;
	*map += strcspn(*map, "\n");
	*map += **map == '\n';
	return true;
}

static bool maps_overlap(const char *one, const char *other)
{
	uint64_t begin = 0;
	uint64_t end = 0;
	uint64_t first = 0;
	uint64_t last = 0;

	while (next_range(&one, &begin, &end)) {
		for (const char *row = other; next_range(&row, &first, &last);) {
			if (begin < last && first < end) {
				return true;
			}
		}
	}
	return false;
}

static void overlapping_ids(struct look *look, const char *arg)
{
	static const char *const maps[] = {"uid_map", "gid_map"};
	const struct peer *peer = look_peer(look);
	const pid_t own = look->context->run->outside.pid;
	bool overlap = false;

	(void)arg;
	if (!peer || own <= 0 || peer->run.outside.pid <= 0) {
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(maps); i++) {
		cleanup_free char *one = NULL;
		cleanup_free char *other = NULL;
		char path[40];
		(void)snprintf(path, sizeof(path), "/proc/%d/%s", own, maps[i]);
		int r = io_read_file(AT_FDCWD, path, 16384, &one, NULL);
		(void)snprintf(path, sizeof(path), "/proc/%d/%s", peer->run.outside.pid, maps[i]);
		r = r < 0 ? r : io_read_file(AT_FDCWD, path, 16384, &other, NULL);
		if (r < 0) {
			return;
		}
		overlap |= maps_overlap(one, other);
	}
	look_conclude(look, overlap, LEVEL_STATE);
}

/* Files of the host that say who was there, as the session sees them. */
static void records_of_the_host(struct look *look, const char *arg)
{
	static const char *const paths[] = {
		"/run/utmp", "/var/log/wtmp", "/var/log/lastlog", "/var/log/btmp"};
	const pid_t pid = look->context->run->outside.pid;
	char text[96] = "";
	bool any = false;

	(void)arg;
	if (!look_peer(look)) {
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		bool known = false;
		if (access(paths[i], F_OK) == 0 && outside_same_object(pid, paths[i], &known)) {
			size_t used = strlen(text);
			(void)snprintf(text + used, sizeof(text) - used, " %s", paths[i]);
		}
		any |= known;
	}
	if (any) {
		look_conclude(look, text[0] != '\0', LEVEL_STATE);
		look_detail(look, "%s%s", text[0] ? "the host's:" : "none of them", text);
	}
}

/* ---- one after the other ---- */

/* A process that the session before has left, or a lock that it holds. */
static void leftover_process(struct look *look, const char *arg)
{
	char title[16];
	pid_t pid = outside_find(canary_fresh_title(look->context->canary->fresh, title));

	(void)arg;
	/* Of a process in another kernel the host would see nothing. */
	if (pid > 0 ||
		(look->context->run->outside.found && !look->context->run->outside.elsewhere)) {
		look_conclude(look, pid > 0, LEVEL_STATE);
	}
}

static void leftover_lock(struct look *look, const char *arg)
{
	char path[96];

	(void)arg;
	(void)snprintf(path, sizeof(path), "%s/read/%s", look->context->ground->root,
		look->context->canary->fresh);
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		look_conclude(look, flock(fd, LOCK_EX | LOCK_NB) < 0, LEVEL_EVENT);
	}
}

/* Is there a directory of the control group of that line ("3:memory:/path") still? */
static bool group_is_there(const char *line, size_t size)
{
	static const char *const roots[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
	const char *name = memchr(line, ':', size);
	const char *path = name ? memchr(name + 1, ':', size - (size_t)(name + 1 - line)) : NULL;
	char place[4400];
	bool there = false;

	if (!path) {
		return false;
	}
	int names = (int)(path - name - 1);
	int length = (int)(size - (size_t)(path + 1 - line));
	(void)snprintf(
		place, sizeof(place), "/sys/fs/cgroup/%.*s%.*s", names, name + 1, length, path + 1);
	there = names > 0 && access(place, F_OK) == 0;
	for (size_t i = 0; names == 0 && i < ARRAY_SIZE(roots); i++) {
		(void)snprintf(place, sizeof(place), "%s%.*s", roots[i], length, path + 1);
		there |= access(place, F_OK) == 0;
	}
	return there;
}

/* Of the groups that the ended session did not share with us: is one there, or used again? */
static void used_again(struct look *look, const char *arg)
{
	const struct outside *before = look->context->before;
	const struct outside *now = &look->context->run->outside;

	(void)arg;
	if (!look_peer(look) || !before || !before->found || !now->found || now->elsewhere ||
		!now->cgroup[0]) {
		return;
	}
	bool same = strcmp(before->cgroup, now->cgroup) == 0;
	bool there = false;
	for (const char *line = before->cgroup; *line && !same && !there;) {
		size_t size = strcspn(line, "\n");
		char text[4096];
		(void)snprintf(text, sizeof(text), "%.*s\n", (int)size, line);
		there = !strstr(look->context->own->cgroup, text) && !strstr(now->cgroup, text) &&
			group_is_there(line, size);
		line += size + (line[size] == '\n');
	}
	look_conclude(look, same || there, LEVEL_STATE);
	look_detail(look,
		same            ? "the group of the session before"
			: there ? "the group of the session before is still there"
				: "another group");
}

/* Places of the host whose files are run later, in the session's tree and writable there. */
static void places_of_later(struct look *look, const char *arg)
{
	static const char *const paths[] = {"/etc/cron.d", "/etc/cron.daily", "/var/spool/cron",
		"/var/spool/at", "/etc/profile.d", "/etc/systemd/system", "/etc/init.d"};
	const pid_t pid = look->context->run->outside.pid;
	bool any = false;
	bool seen = false;

	(void)arg;
	for (size_t i = 0; i < ARRAY_SIZE(paths) && !seen; i++) {
		char path[64];
		struct statvfs info;
		bool known = false;
		(void)snprintf(path, sizeof(path), "/proc/%d/root%s", pid, paths[i]);
		seen = access(paths[i], F_OK) == 0 && outside_same_object(pid, paths[i], &known) &&
			statvfs(path, &info) == 0 && !(info.f_flag & ST_RDONLY);
		any |= known;
		if (seen) {
			look_detail(look, "%s is the host's, and its mount writable", paths[i]);
		}
	}
	if (any) {
		look_conclude(look, seen, LEVEL_STATE);
	}
}

static const struct evidence_row rows[] = {
	{"C.lock-channel", by_shared_file, NULL},
	{"C.inotify-channel", by_shared_file, NULL},
	{"C.ld-cache", changed_file, NULL},
	{"C.quota", counted_together, NULL},
	{"C.cpu-mem", felt_load, NULL},
	{"C.idrange", overlapping_ids, NULL},
	{"C.history-shared", records_of_the_host, NULL},
	{"C.reuse", used_again, NULL},
	{"S.process", leftover_process, NULL},
	{"S.lock", leftover_lock, NULL},
	{"S.spool", places_of_later, NULL},
	{NULL, NULL, NULL},
};

static const struct evidence_kind kinds[] = {
	{by_shared_file,
		"E1: the 64 bits that the other session sent; E3: they see no file in common",
		false},
	{changed_file, "E4: the bytes of the file, before and after", false},
	{counted_together, "E3: the count of waiting signals in the status of both", false},
	{felt_load, "E3: the processors that both may use; E0: the times that the client measured",
		false},
	{overlapping_ids, "E3: the maps of users and groups of both, read from outside", false},
	{records_of_the_host, "E3: the files, compared with the host's own from outside", false},
	{used_again, "E3: the control groups of both sessions, read from outside", false},
	{leftover_process, "E3: a process of that name, looked for on the host", false},
	{leftover_lock, "E2: the host tried to take the lock itself", false},
	{places_of_later, "E3: the places and how they are mounted, read from outside", false},
	{NULL, NULL, false},
};

const struct evidence_table evidence_channels = {rows, kinds, NULL};
