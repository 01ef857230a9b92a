/*
 * What the host sees of one session: what of the server's it holds, how whole its confinement is when
 * it starts, and whether the server's key is in it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/proc.h"
#include "keys/signature.h"
#include "testkit/ssh-attempt.h"

#define MAX_OBJECTS 256
#define MAX_SERVERS 64
#define MAX_SEARCH (UINT64_C(256) << 20) /* bytes of a process's memory that are looked through */
#define SEED 32 /* bytes of an Ed25519 key that are secret */

/* ---- descriptors ---- */

struct object {
	dev_t device;
	ino_t inode;
	int fd;
};

struct objects {
	struct object list[MAX_OBJECTS];
	size_t count;
};

/* Those that all processes share, or that have no identity, are none. */
static bool note_object(const struct proc_fd *fd, void *context)
{
	struct objects *objects = context;
	struct stat info;

	if (strncmp(fd->target, "anon_inode:", 11) != 0 &&
		fstatat(fd->dir, fd->name, &info, 0) == 0 &&
		!(S_ISCHR(info.st_mode) && major(info.st_rdev) == 1)) {
		objects->list[objects->count++] =
			(struct object){info.st_dev, info.st_ino, fd->number};
	}
	return objects->count == MAX_OBJECTS;
}

static bool is_same(const struct object *one, const struct object *other)
{
	return one->device == other->device && one->inode == other->inode;
}

/* Its streams have another end in the server: that one, by whatever number, is no leak. */
static bool is_stream(const struct objects *objects, const struct object *object)
{
	for (size_t i = 0; i < objects->count; i++) {
		if (objects->list[i].fd <= 2 && is_same(&objects->list[i], object)) {
			return true;
		}
	}
	return object->fd <= 2;
}

/* The first of theirs that the server has too; NULL: none. */
static const struct object *find_shared(const struct objects *theirs, const struct objects *servers)
{
	for (size_t i = 0; i < theirs->count; i++) {
		if (is_stream(theirs, &theirs->list[i])) {
			continue;
		}
		for (size_t j = 0; j < servers->count; j++) {
			if (is_same(&theirs->list[i], &servers->list[j])) {
				return &theirs->list[i];
			}
		}
	}
	return NULL;
}

/* The pids that count as the server: those that run its program; for the control ourselves. */
static size_t list_servers(
	const struct ssh_attempt *attempt, const struct ssh_processes *all, pid_t out[MAX_SERVERS])
{
	const struct ssh_server *server = &attempt->pass->server;
	size_t count = 0;

	if (ssh_is_control(attempt)) {
		out[count++] = getpid();
		return count;
	}
	for (size_t i = 0; server->listener && i < all->count && count < MAX_SERVERS; i++) {
		if (ssh_processes_below(all, all->list[i].pid, server->listener) &&
			ssh_server_runs(server, all->list[i].pid)) {
			out[count++] = all->list[i].pid;
		}
	}
	return count;
}

static bool is_one_of(const pid_t *list, size_t count, pid_t pid)
{
	for (size_t i = 0; i < count; i++) {
		if (list[i] == pid) {
			return true;
		}
	}
	return false;
}

/* The first process of its namespace belongs to who made it. */
static bool is_init(pid_t pid)
{
	cleanup_free char *text = NULL;
	char path[48];
	const char *at = NULL;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (io_read_file(AT_FDCWD, path, 1 << 16, &text, NULL) < 0 ||
		!(at = strstr(text, "\nNSpid:"))) {
		return true;
	}
	const char *end = strchr(at + 1, '\n');
	return end && end[-1] == '1' && end[-2] == '\t';
}

/* The sleep, and the shell that started it: each may hold what the other has closed. */
static void compare_objects(struct ssh_attempt *attempt, pid_t pid)
{
	cleanup(ssh_processes_fini) struct ssh_processes all = {0};
	cleanup_free struct objects *servers = calloc(1, sizeof(*servers));
	cleanup_free struct objects *theirs = calloc(1, sizeof(*theirs));
	pid_t list[MAX_SERVERS];
	const struct object *shared = NULL;

	if (!servers || !theirs || ssh_processes_read(&all) < 0) {
		return;
	}
	size_t count = list_servers(attempt, &all, list);
	pid_t parent = ssh_processes_parent(&all, pid);
	for (size_t i = 0; i < count; i++) {
		(void)proc_find_fd(list[i], note_object, servers);
	}
	(void)proc_find_fd(pid, note_object, theirs);
	shared = find_shared(theirs, servers);
	if (!shared && !is_one_of(list, count, parent) && !is_init(parent)) {
		theirs->count = 0;
		(void)proc_find_fd(parent, note_object, theirs);
		shared = find_shared(theirs, servers);
	}
	if (count == 0 || servers->count == 0 || theirs->count == 0) {
		ssh_decline(attempt,
			"the server's descriptors cannot be seen: it is not on this host, or "
			"another user's");
		return;
	}
	ssh_conclude(attempt, shared != NULL, LEVEL_STATE);
	if (shared) {
		ssh_say(attempt, "descriptor %d is inode %" PRIu64 " of the server's", shared->fd,
			(uint64_t)shared->inode);
	} else {
		ssh_say(attempt, "none of %zu that %zu processes of the server hold",
			servers->count, count);
	}
}

void ssh_try_descriptors(struct ssh_attempt *attempt)
{
	char before[200];
	struct ssh_wish wish = {0};
	struct ssh_visit visit;
	/* For the control the host is the server, and lets go of nothing. */
	cleanup_close int held = ssh_is_control(attempt)
		? open(attempt->canary->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
		: -1;

	if (held >= 0) {
		(void)snprintf(before, sizeof(before), "exec 7<%s;", attempt->canary->directory);
		wish.before = before;
	}
	if (ssh_visit(attempt, &wish, &visit)) {
		compare_objects(attempt, visit.pid);
	}
	ssh_leave(&visit);
}

/* ---- its first moment ---- */

/* A line of /proc/PID/status as a number; false when the text has none. */
static bool read_field(const char *text, const char *name, int base, uint64_t *ret)
{
	const char *at = text ? strstr(text, name) : NULL;
	char *end = NULL;

	*ret = at ? strtoull(at + strlen(name), &end, base) : 0;
	return at && end != at + strlen(name);
}

/* What its very first instructions could do that it can no more. In words, or NULL. */
static const char *find_weaker(const char *first, const char *later)
{
	static const struct {
		const char *name;
		int base;
		bool less_is_weaker;
		const char *text;
	} fields[] = {
		{"Seccomp:", 10, true, "its filter came later"},
		{"NoNewPrivs:", 10, true, "new privileges were given up later"},
		{"CapEff:", 16, false, "capabilities were given up later"},
		{"CapBnd:", 16, false, "capabilities were given up later"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		uint64_t was = 0;
		uint64_t is = 0;
		if (read_field(first, fields[i].name, fields[i].base, &was) &&
			read_field(later, fields[i].name, fields[i].base, &is) &&
			(fields[i].less_is_weaker ? was < is : (was & ~is) != 0)) {
			return fields[i].text;
		}
	}
	return NULL;
}

/* Who shares its process namespace and sees the host's tree, which it does not see itself; 0: nobody. */
static pid_t find_helper(const struct ssh_processes *all, pid_t pid)
{
	const uint64_t ours = ssh_namespace(getpid(), "mnt");
	const uint64_t group = ssh_namespace(pid, "pid");
	const bool shares = ssh_namespace(pid, "mnt") == ours;

	for (size_t i = 0; group && !shares && i < all->count; i++) {
		if (ssh_namespace(all->list[i].pid, "pid") == group &&
			ssh_namespace(all->list[i].pid, "mnt") == ours) {
			return all->list[i].pid;
		}
	}
	return 0;
}

void ssh_try_setup(struct ssh_attempt *attempt)
{
	/* Built into the shell, so that it is the very first process that tells. */
	static const char status[] = "while read -r l; do echo \"$l\"; done </proc/self/status;";
	const struct ssh_wish wish = {.before = status};
	cleanup(ssh_processes_fini) struct ssh_processes all = {0};
	cleanup_free char *later = NULL;
	struct ssh_visit visit;
	char path[48];

	if (ssh_visit(attempt, &wish, &visit) && ssh_processes_read(&all) == 0) {
		(void)snprintf(path, sizeof(path), "/proc/%d/status", visit.pid);
		(void)io_read_file(AT_FDCWD, path, 1 << 16, &later, NULL);
		const uint64_t namespace = ssh_namespace(visit.pid, "pid");
		const bool shares = namespace == ssh_namespace(getpid(), "pid");
		const char *weaker = find_weaker(attempt->out, later);
		const pid_t helper = find_helper(&all, visit.pid);
		if (namespace) {
			ssh_conclude(attempt, shares || weaker || helper, LEVEL_STATE);
		} else {
			ssh_decline(attempt, "its namespaces may not be read from here");
		}
		if (shares) {
			ssh_say(attempt, "the processes of the host are around it");
		} else if (helper) {
			ssh_say(attempt, "process %d beside it sees the host's tree", helper);
		} else if (weaker) {
			ssh_say(attempt, "%s", weaker);
		}
	}
	ssh_leave(&visit);
}

/* ---- the server's key ---- */

/* Looks through a range of its memory, in pieces that overlap by what could lie across. */
static bool range_has(int memory, uint64_t from, uint64_t to, const uint8_t *needle, size_t size,
	uint64_t *searched)
{
	uint8_t data[65536];

	while (from < to && *searched < MAX_SEARCH) {
		size_t want = to - from < sizeof(data) ? (size_t)(to - from) : sizeof(data);
		ssize_t n = pread(memory, data, want, (off_t)from);
		bool found = n > 0 && memmem(data, (size_t)n, needle, size);
		explicit_bzero(data, sizeof(data));
		if (found) {
			return true;
		}
		if (n <= (ssize_t)size) {
			return false;
		}
		*searched += (uint64_t)n;
		from += from + (uint64_t)n < to ? (uint64_t)n - size : (uint64_t)n;
	}
	return false;
}

/* Does its memory hold it? *ret_known: some of it could be read. */
static bool memory_has(pid_t pid, const uint8_t *needle, size_t size, bool *ret_known)
{
	char path[48];
	char line[512];
	uint64_t searched = 0;
	bool found = false;

	(void)snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	cleanup_close int memory = open(path, O_RDONLY | O_CLOEXEC);
	(void)snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	FILE *maps = memory >= 0 ? fopen(path, "re") : NULL;
	while (maps && !found && fgets(line, sizeof(line), maps)) {
		uint64_t from = 0;
		uint64_t to = 0;
		char mode[8] = "";
		/* Files that are mapped and cannot be written are on disk for everybody. */
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s", &from, &to, mode) == 3 &&
			mode[0] == 'r' && mode[1] == 'w') {
			found = range_has(memory, from, to, needle, size, &searched);
		}
	}
	if (maps) {
		(void)fclose(maps);
	}
	*ret_known = searched > 0 || found;
	return found;
}

/* A file that it holds open. */
static bool descriptors_have(pid_t pid, const uint8_t *needle, size_t size)
{
	char path[80];
	bool found = false;

	for (int fd = 0; fd < 64 && !found; fd++) {
		cleanup_free char *text = NULL;
		size_t length = 0;
		struct stat info;
		(void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
		if (stat(path, &info) == 0 && S_ISREG(info.st_mode) &&
			io_read_file(AT_FDCWD, path, 1 << 20, &text, &length) == 0) {
			found = memmem(text, length, needle, size) != NULL;
			explicit_bzero(text, length);
		}
	}
	return found;
}

/* The last line of its text: who shows it has read the file. */
static bool read_key_line(const char *path, char out[96])
{
	cleanup_free char *text = NULL;
	size_t size = 0;
	const char *end = NULL;

	out[0] = '\0';
	if (io_read_file(AT_FDCWD, path, 1 << 16, &text, &size) < 0) {
		return false;
	}
	end = strstr(text, "\n-----END");
	const char *line = end ? memrchr(text, '\n', (size_t)(end - text)) : NULL;
	if (line && end - line > 9 && end - line < 90) {
		(void)snprintf(out, 96, "%.*s", (int)(end - line - 1), line + 1);
	}
	explicit_bzero(text, size);
	return out[0] != '\0';
}

/* Of the control the memory is our own, where the key is. */
static void search_key(struct ssh_attempt *attempt, const struct signature_key *key)
{
	const char *path = attempt->offers->host_key;
	char line[96];
	char before[400];
	const struct ssh_wish wish = {.before = before};
	struct ssh_visit visit;
	bool known = false;

	(void)snprintf(before, sizeof(before), "cat '%s' 2>/dev/null;", path);
	bool visited = ssh_visit(attempt, &wish, &visit);
	bool shown = read_key_line(path, line) && attempt->out && strstr(attempt->out, line);
	pid_t pid = ssh_is_control(attempt) ? getpid() : visit.pid;
	bool held = visited && !shown &&
		(memory_has(pid, key->secret, SEED, &known) ||
			descriptors_have(pid, key->secret, SEED));
	if (attempt->out) {
		explicit_bzero(attempt->out, attempt->size);
	}
	explicit_bzero(line, sizeof(line));
	if (shown || held || known) {
		ssh_claim(attempt, shown);
		ssh_conclude(attempt, shown || held, shown ? LEVEL_TOKEN : LEVEL_STATE);
		ssh_say(attempt, "%s",
			shown          ? "its file can be read"
				: held ? "it is in memory"
				       : "");
	}
	ssh_leave(&visit);
}

void ssh_try_host_key(struct ssh_attempt *attempt)
{
	struct signature_key key = {0};
	struct err err;

	if (!attempt->offers->host_key) {
		ssh_decline(attempt, "--host-key did not say which key the server has");
		return;
	}
	if (strchr(attempt->offers->host_key, '\'') ||
		signature_load_key(attempt->offers->host_key, geteuid(), &key, &err) < 0) {
		ssh_decline(attempt,
			"--host-key is no Ed25519 key without a passphrase that we may read");
		return;
	}
	search_key(attempt, &key);
	signature_wipe_key(&key);
}
