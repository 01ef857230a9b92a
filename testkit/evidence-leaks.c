/*
 * What is known inside of the host, and of the session before.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "testkit/look.h"

static void compare_file(struct look *look, const char *path, size_t most)
{
	char text[PROTOCOL_MAX_TEXT];
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text)) : -1;
	size_t size = look->answer->size < most ? look->answer->size : most;

	if (look_is_done(look) && n > 0) {
		look_conclude(look,
			size > 0 && size <= (size_t)n &&
				memcmp(text, look->answer->text, size) == 0,
			LEVEL_TOKEN);
		/* Not the value: a report is read by others. */
		look_detail(look,
			look->outcome->evidence == EVIDENCE_SEEN ? "same as the host's"
								 : "not the host's");
	}
}

static void like_file(struct look *look, const char *arg)
{
	compare_file(look, arg, PROTOCOL_MAX_TEXT);
}

/* A file whose numbers change all the time: its first line is enough. */
static void like_start(struct look *look, const char *arg)
{
	compare_file(look, arg, 24);
}

static void like_hostname(struct look *look, const char *arg)
{
	char name[65] = "";

	(void)arg;
	(void)gethostname(name, sizeof(name) - 1);
	if (look_is_done(look)) {
		look_conclude(look, look_text_is(look, name), LEVEL_TOKEN);
		look_detail(look,
			look->outcome->evidence == EVIDENCE_SEEN ? "same as the host's"
								 : "not the host's");
	}
}

/* In the root group on both sides there is nothing to conceal. */
static void like_cgroup(struct look *look, const char *arg)
{
	const char *host = look->context->run->outside.cgroup;
	bool in_root = true;

	(void)arg;
	for (const char *line = host; *line;) {
		const char *end = line + strcspn(line, "\n");
		in_root &= end > line && end[-1] == '/';
		line = *end ? end + 1 : end;
	}
	if (look_is_done(look) && *host && !in_root) {
		size_t size = look->answer->size < strlen(host) ? look->answer->size : strlen(host);
		look_conclude(
			look, size > 0 && memcmp(host, look->answer->text, size) == 0, LEVEL_TOKEN);
	}
}

static void held_descriptors(struct look *look, const char *arg)
{
	const int fds[] = {look->context->ground->dir_fd, look->context->ground->file_fd};
	char key[64];
	bool seen = false;

	(void)arg;
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		struct stat info;
		if (fds[i] >= 0 && fstat(fds[i], &info) == 0) {
			(void)snprintf(key, sizeof(key), ":%" PRIu64 " ", (uint64_t)info.st_ino);
			seen |= memmem(look->answer->text, look->answer->size, key, strlen(key)) !=
				NULL;
		}
	}
	if (look_is_done(look)) {
		look_conclude(look, seen, LEVEL_TOKEN);
	}
}

static void fresh_file(struct look *look, const char *arg)
{
	char path[96];

	look_ground_token(look, look->context->canary->fresh);
	if (look->outcome->evidence == EVIDENCE_NONE && arg) {
		(void)snprintf(
			path, sizeof(path), "%s/.%s.fresh", arg, look->context->canary->fresh);
		if (access(path, F_OK) < 0) {
			look_conclude(look, false, LEVEL_COMPARED);
			look_detail(look, "the host has no trace of it");
		}
	}
}

static void fresh_token(struct look *look, const char *arg)
{
	(void)arg;
	look_ground_token(look, look->context->canary->fresh);
}

static void fresh_ipc(struct look *look, const char *arg)
{
	const struct outside *ours = look->context->own;
	const struct outside *theirs = &look->context->run->outside;

	fresh_token(look, arg);
	if (look->outcome->evidence == EVIDENCE_NONE && theirs->found &&
		(theirs->elsewhere ||
			theirs->namespaces[OUTSIDE_IPC] != ours->namespaces[OUTSIDE_IPC])) {
		look_conclude(look, false, LEVEL_STATE);
		look_detail(look,
			theirs->elsewhere ? "it has a kernel of its own"
					  : "it has an IPC namespace of its own");
	}
}

static void sessions_share(struct look *look, const char *arg)
{
	static const enum outside_namespace compared[] = {
		OUTSIDE_MNT, OUTSIDE_PID, OUTSIDE_IPC, OUTSIDE_UTS};
	const struct outside *theirs = &look->context->run->outside;
	const struct outside *before = look->context->before;
	bool shared = false;

	(void)arg;
	if (!before || !before->found || !theirs->found || theirs->elsewhere) {
		return; /* numbers of two kernels say nothing */
	}
	for (size_t i = 0; i < ARRAY_SIZE(compared); i++) {
		shared |= theirs->namespaces[compared[i]] == before->namespaces[compared[i]];
	}
	/* A number may be used again once its namespace is gone: the host's own would be a third. */
	for (size_t i = 0; shared && i < ARRAY_SIZE(compared); i++) {
		shared = theirs->namespaces[compared[i]] ==
			look->context->own->namespaces[compared[i]];
	}
	look_conclude(look, shared, LEVEL_STATE);
}

static void environment_state(struct look *look, const char *arg)
{
	const struct evidence_context *context = look->context;
	static const char *const tokens[] = {"env", "listed"};
	char token[CANARY_TOKEN];
	bool seen = false;
	bool known = false;

	(void)arg;
	if (context->run->outside.pid <= 0) {
		known = context->run->environment >= 0;
		seen = context->run->environment > 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(tokens) && context->run->outside.pid > 0; i++) {
		(void)ground_token(context->ground, 0, tokens[i], token);
		seen |= outside_environment_has(context->run->outside.pid, token, &known);
	}
	if (known) {
		look_conclude(look, seen, LEVEL_STATE);
	}
}

static void descriptor_state(struct look *look, const char *arg)
{
	const struct ground *ground = look->context->ground;
	bool known = false;
	bool seen = outside_holds(look->context->run->outside.pid, ground->dir_fd, &known);

	(void)arg;
	seen |= outside_holds(look->context->run->outside.pid, ground->file_fd, &known);
	if (known) {
		look_conclude(look, seen, LEVEL_STATE);
	}
}

static const struct evidence_row rows[] = {
	{"L.hostname", like_hostname, NULL},
	{"L.uts", look_shares_namespace, "3"},
	{"L.machine", like_file, "/etc/machine-id"},
	{"L.cmdline", like_file, "/proc/cmdline"},
	{"L.boot-id", like_file, "/proc/sys/kernel/random/boot_id"},
	{"L.version", like_file, "/proc/version"},
	{"L.cgroup", like_cgroup, NULL},
	{"L.cgroup-namespace", look_shares_namespace, "6"},
	{"L.users", like_file, "/etc/passwd"},
	{"L.pid1", like_file, "/proc/1/cmdline"},
	{"L.kallsyms", like_file, "/proc/kallsyms"},
	{"L.modules", like_file, "/proc/modules"},
	{"L.interrupts", like_start, "/proc/interrupts"},
	{"L.env", look_ground_token, "env"},
	{"L.env-listed", look_ground_token, "listed"},
	{"L.env-host", environment_state, NULL},
	{"L.fds", held_descriptors, NULL},
	{"L.fds-host", descriptor_state, NULL},
	{"S.tmp", fresh_file, "/tmp"},
	{"S.vartmp", fresh_file, "/var/tmp"},
	{"S.shm", fresh_file, "/dev/shm"},
	{"S.home", fresh_token, NULL},
	{"S.key", fresh_token, NULL},
	{"S.sysv", fresh_ipc, NULL},
	{"S.queue", fresh_ipc, NULL},
	{"S.namespaces", sessions_share, NULL},
	{NULL, NULL, NULL},
};

static const struct evidence_kind kinds[] = {
	{sessions_share, "E3: namespace numbers of two sessions, compared by the host", false},
	{like_hostname, "E1: the host's own name came back", true},
	{like_file, "E1: the bytes are those of the host's file", true},
	{like_start, "E1: the bytes are those of the host's file", true},
	{like_cgroup, "E1: the path is the one the host reads", true},
	{environment_state, "E3: its environment, read from outside", false},
	{held_descriptors, "E1: the client lists descriptors that the launcher left open", true},
	{descriptor_state, "E3: its descriptors, compared with the launcher's from outside", false},
	{fresh_file, "E4: the file of the session before, looked for on the host too", false},
	{fresh_token, "E1: the token that the session before left came back", true},
	{fresh_ipc, "E1: the token that the session before left came back; E3: its IPC namespace",
		false},
	{NULL, NULL, false},
};

const struct evidence_table evidence_leaks = {rows, kinds, NULL};
