#include "testkit/evidence.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/audit.h>
#include <mqueue.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/io.h"
#include "testkit/look.h"

#if defined(__x86_64__)
#define OWN_ARCH AUDIT_ARCH_X86_64
#else
#define OWN_ARCH AUDIT_ARCH_AARCH64
#endif

#define MIB (UINT64_C(1) << 20)

void look_detail(struct look *look, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(look->outcome->detail, sizeof(look->outcome->detail), format, args);
	va_end(args);
}

void look_conclude(struct look *look, bool seen, enum evidence_level level)
{
	look->outcome->evidence = seen ? EVIDENCE_SEEN : EVIDENCE_UNSEEN;
	look->outcome->level = level;
}

bool look_is_done(const struct look *look)
{
	return look->answer->claim == CLAIM_DONE;
}

bool look_has_setting(const struct look *look, const char *name)
{
	char key[64];
	const struct buf *job = &look->context->canary->settings;

	(void)snprintf(key, sizeof(key), "set %s ", name);
	return job->size > 0 && memmem(job->data, job->size, key, strlen(key));
}

bool look_reached(const struct look *look)
{
	return look->context->canary->reached[probe_index(look->probe)];
}

bool look_text_is(const struct look *look, const char *text)
{
	size_t size = look->answer->size;

	while (size > 0 &&
		(look->answer->text[size - 1] == '\n' || !look->answer->text[size - 1])) {
		size--;
	}
	return size == strlen(text) && memcmp(look->answer->text, text, size) == 0;
}

/* Without any eyes of the host's a right token is proof, a wrong one a lie, a refusal only a word. */
void look_token(struct look *look, const char *token)
{
	if (look_is_done(look)) {
		look_conclude(look, look_text_is(look, token), LEVEL_TOKEN);
	}
}

static void own_token(struct look *look, const char *arg)
{
	char token[CANARY_TOKEN];

	look_token(look, canary_token(look->context->canary, arg ? arg : look->probe->id, token));
}

static void ground_token_of(struct look *look, const char *arg)
{
	char token[CANARY_TOKEN];

	look_token(look, ground_token(look->context->ground, 0, arg, token));
}

/* A listener of ours heard of it. arg: the setting that says where it listens. */
static void message(struct look *look, const char *arg)
{
	if (look_has_setting(look, arg)) {
		look_conclude(look, look_reached(look), LEVEL_EVENT);
	}
}

/* Both: the canary heard, and the client knows what it answered. */
static void message_and_token(struct look *look, const char *arg)
{
	message(look, arg);
	if (!look_reached(look)) {
		own_token(look, NULL);
		if (look->outcome->evidence == EVIDENCE_NONE && look_has_setting(look, arg)) {
			look_conclude(look, false, LEVEL_EVENT);
		}
	}
}

/* The kernel told us that the file was read. */
static void secret(struct look *look, const char *arg)
{
	char token[CANARY_TOKEN];
	bool known = look->context->canary->inotify >= 0;

	(void)canary_token(look->context->canary, look->probe->id, token);
	(void)arg;
	if (look_is_done(look) && look_text_is(look, token)) {
		look_conclude(look, true, look_reached(look) ? LEVEL_EVENT : LEVEL_TOKEN);
	} else if (known) {
		look_conclude(look, look_reached(look), LEVEL_EVENT);
	}
}

static void opened(struct look *look, const char *arg)
{
	(void)arg;
	if (look->context->canary->inotify >= 0) {
		look_conclude(look, look_reached(look), LEVEL_EVENT);
	}
}

/* ---- files, before and after ---- */

enum change {
	CHANGE_EXISTS,
	CHANGE_GONE,
	CHANGE_CONTENT, /* no longer what was planted */
	CHANGE_MODE,
	CHANGE_TIME,
};

static bool file_changed(const struct look *look, const char *path, enum change change)
{
	char token[CANARY_TOKEN];
	cleanup_free char *text = NULL;
	struct stat info;
	bool there = lstat(path, &info) == 0;

	switch (change) {
	case CHANGE_EXISTS:
		return there;
	case CHANGE_GONE:
		return !there;
	case CHANGE_CONTENT:
		(void)canary_token(look->context->canary, look->probe->id, token);
		return io_read_file(AT_FDCWD, path, 65536, &text, NULL) == 0 &&
			strcmp(text, token) != 0;
	case CHANGE_MODE:
		return there && (info.st_mode & 0777) == 0600;
	case CHANGE_TIME:
		return there && info.st_mtime == 1;
	}
	return false;
}

static const struct {
	const char *probe;
	const char *path; /* below the run's readable place */
	enum change change;
} file_changes[] = {
	{"F.create", "write/F.create", CHANGE_EXISTS},
	{"F.overwrite", "write/F.overwrite", CHANGE_CONTENT},
	{"F.append", "write/F.append", CHANGE_CONTENT},
	{"F.truncate", "write/F.truncate", CHANGE_CONTENT},
	{"F.unlink", "write/F.unlink", CHANGE_GONE},
	{"F.rename", "write/F.renamed", CHANGE_EXISTS},
	{"F.mkdir", "write/F.mkdir", CHANGE_EXISTS},
	{"F.symlink", "write/F.symlink", CHANGE_EXISTS},
	{"F.chmod", "mine/F.chmod", CHANGE_MODE},
	{"F.times", "mine/F.times", CHANGE_TIME},
	{"F.mmap", "write/F.mmap", CHANGE_CONTENT},
	{"F.tmpfile", "write/F.tmpfile", CHANGE_EXISTS},
};

static void changed(struct look *look, const char *arg)
{
	char path[192];

	(void)arg;
	for (size_t i = 0; i < ARRAY_SIZE(file_changes); i++) {
		if (strcmp(file_changes[i].probe, look->probe->id) == 0) {
			(void)snprintf(path, sizeof(path), "%s/%s", look->context->canary->read,
				file_changes[i].path);
			look_conclude(look, file_changed(look, path, file_changes[i].change),
				LEVEL_COMPARED);
		}
	}
}

static void scope_changed(struct look *look, const char *arg)
{
	char path[192];

	(void)snprintf(path, sizeof(path), "%s/%s", look->context->canary->scope, look->probe->id);
	look_conclude(look,
		file_changed(look, path, strcmp(arg, "new") == 0 ? CHANGE_EXISTS : CHANGE_CONTENT),
		LEVEL_COMPARED);
}

/* The names it leaves in shared places. arg: the directory. */
static void left(struct look *look, const char *arg)
{
	char path[128];

	(void)snprintf(
		path, sizeof(path), "%s/%s.%s", arg, look->context->canary->leave, look->probe->id);
	look_conclude(look, file_changed(look, path, CHANGE_EXISTS), LEVEL_COMPARED);
}

static void scratch(struct look *look, const char *arg)
{
	const struct canary *canary = look->context->canary;

	(void)arg;
	if (canary->inotify >= 0) {
		look_conclude(look, canary->created[0] || canary->created[1], LEVEL_EVENT);
	}
}

static void leaked_directory(struct look *look, const char *arg)
{
	char path[128];

	(void)arg;
	(void)snprintf(path, sizeof(path), "%s/leak/F.dirfd", look->context->ground->root);
	look_conclude(look, unlink(path) == 0, LEVEL_COMPARED);
}

static void leaked_file(struct look *look, const char *arg)
{
	struct stat info;
	char path[128];

	(void)arg;
	(void)snprintf(path, sizeof(path), "%s/leak/file", look->context->ground->root);
	if (stat(path, &info) == 0) {
		look_conclude(look, info.st_size > 0, LEVEL_COMPARED);
		(void)!truncate(path, 0);
	}
}

static void locked(struct look *look, const char *arg)
{
	(void)arg;
	if (look->context->canary->lock_sampled) {
		look_conclude(look, look->context->canary->lock_taken, LEVEL_EVENT);
	}
}

static void system_file(struct look *look, const char *arg)
{
	cleanup_close int fd = open(arg, O_RDONLY | O_CLOEXEC);
	char text[128];
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text)) : -1;

	if (look_is_done(look) && n > 0) {
		size_t size = look->answer->size < (size_t)n ? look->answer->size : (size_t)n;
		look_conclude(
			look, size > 0 && memcmp(text, look->answer->text, size) == 0, LEVEL_TOKEN);
	}
}

/* ---- network ---- */

static void links(struct look *look, const char *arg)
{
	struct if_nameindex *list = if_nameindex();
	char text[PROTOCOL_MAX_TEXT + 1] = "";
	size_t used = 0;
	size_t count = 0;

	(void)arg;
	for (struct if_nameindex *at = list; at && at->if_index; at++) {
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s ", at->if_name);
		count++;
		if (used >= sizeof(text)) {
			break;
		}
	}
	if_freenameindex(list);
	if (count > 1 && look_is_done(look)) {
		look_conclude(look,
			look->answer->size == strlen(text) &&
				memcmp(look->answer->text, text, look->answer->size) == 0,
			LEVEL_TOKEN);
	}
}

static void route(struct look *look, const char *arg)
{
	(void)arg;
	if (look->context->run->outside.route >= 0) {
		look_conclude(look, look->context->run->outside.route == 0, LEVEL_STATE);
	}
}

/* ---- processes ---- */

static void signals(struct look *look, const char *arg)
{
	look_conclude(look, canary_signals(look->context->canary, (unsigned)(arg[0] - '0')) > 0,
		LEVEL_EVENT);
}

static void group_signals(struct look *look, const char *arg)
{
	(void)arg;
	look_conclude(look, canary_group_signals(look->context->canary) > 0, LEVEL_EVENT);
}

static void priority(struct look *look, const char *arg)
{
	pid_t pid = strcmp(arg, "victim") == 0 ? look->context->canary->victim
					       : look->context->canary->companion;
	int own = getpriority(PRIO_PROCESS, 0);

	errno = 0;
	int theirs = getpriority(PRIO_PROCESS, (id_t)pid);
	if (pid > 0 && errno == 0) {
		look_conclude(look, theirs != own, LEVEL_STATE);
	}
}

static void traced(struct look *look, const char *arg)
{
	(void)arg;
	if (look->context->canary->trace_sampled) {
		look_conclude(look, look->context->canary->traced, LEVEL_STATE);
	}
}

static void victim_name(struct look *look, const char *arg)
{
	char token[CANARY_TOKEN];

	(void)arg;
	(void)canary_token(look->context->canary, "P.see", token);
	token[15] = '\0'; /* what a thread name holds */
	look_token(look, token);
}

static void victim_limit(struct look *look, const char *arg)
{
	char text[16];

	(void)arg;
	(void)snprintf(text, sizeof(text), "%u", look->context->canary->victim_limit);
	look_token(look, text);
}

/* ---- queues and memory ---- */

static void shm_used(struct look *look, const char *arg)
{
	struct shmid_ds info;
	char token[CANARY_TOKEN];

	(void)arg;
	(void)canary_token(look->context->canary, "I.shm", token);
	if (look->context->canary->shm >= 0 &&
		shmctl(look->context->canary->shm, IPC_STAT, &info) == 0) {
		look_conclude(look,
			(look_is_done(look) && look_text_is(look, token)) ||
				info.shm_lpid != getpid(),
			LEVEL_STATE);
	}
}

static void shm_written(struct look *look, const char *arg)
{
	const struct canary *canary = look->context->canary;
	char *at = canary->shm >= 0 ? shmat(canary->shm, NULL, SHM_RDONLY) : NULL;

	(void)arg;
	if (at && at != (void *)-1) { // NOLINT
		look_conclude(look, memcmp(at + 64, canary->fence, strlen(canary->fence)) == 0,
			LEVEL_COMPARED);
		(void)shmdt(at);
	}
}

static void msg_arrived(struct look *look, const char *arg)
{
	struct msqid_ds info;

	(void)arg;
	if (look->context->canary->msg >= 0 &&
		msgctl(look->context->canary->msg, IPC_STAT, &info) == 0) {
		look_conclude(look, info.msg_qnum > 0, LEVEL_STATE);
	}
}

static void sem_raised(struct look *look, const char *arg)
{
	int value = look->context->canary->sem >= 0 ? semctl(look->context->canary->sem, 0, GETVAL)
						    : -1;

	(void)arg;
	if (value >= 0) {
		look_conclude(look, value > 0, LEVEL_STATE);
	}
}

static void mq_arrived(struct look *look, const char *arg)
{
	struct mq_attr attributes;

	(void)arg;
	if (look->context->canary->mq >= 0 &&
		mq_getattr(look->context->canary->mq, &attributes) == 0) {
		look_conclude(look, attributes.mq_curmsgs > 0, LEVEL_STATE);
	}
}

/* ---- system calls: what the filter says by itself ---- */

static const struct {
	const char *probe;
	uint32_t arch;
	int number;
	uint64_t args[6];
} doors[] = {
	{"K.userns", OWN_ARCH, SYS_unshare, {0x10000000}},
	{"K.clone-userns", OWN_ARCH, SYS_clone, {0x10000011}},
	{"K.clone3-userns", OWN_ARCH, SYS_clone3, {0}},
	{"K.userns-mount", OWN_ARCH, SYS_unshare, {0x10020000}},
	{"K.userns-net", OWN_ARCH, SYS_unshare, {0x50000000}},
	{"K.uring", OWN_ARCH, SYS_io_uring_setup, {1}},
	{"K.uffd", OWN_ARCH, SYS_userfaultfd, {1 | O_CLOEXEC}},
	{"K.perf", OWN_ARCH, SYS_perf_event_open, {0, 0, UINT64_MAX, UINT64_MAX, 0}},
	{"K.bpf", OWN_ARCH, SYS_bpf, {0}},
	{"K.add-key", OWN_ARCH, SYS_add_key, {0}},
	{"K.keyctl", OWN_ARCH, SYS_keyctl, {0}},
	{"K.alg", OWN_ARCH, SYS_socket, {38, 5, 0}},
	{"K.vsock", OWN_ARCH, SYS_socket, {40, 1, 0}},
	{"K.netlink-audit", OWN_ARCH, SYS_socket, {16, 3, 9}},
	{"K.netlink-uevent", OWN_ARCH, SYS_socket, {16, 3, 15}},
	{"K.netlink-netfilter", OWN_ARCH, SYS_socket, {16, 3, 12}},
	{"K.packet", OWN_ARCH, SYS_socket, {17, 3, 0}},
#if defined(__x86_64__)
	{"K.int80", AUDIT_ARCH_I386, 20, {0}},
	{"K.int80-socket", AUDIT_ARCH_I386, 102, {1}},
	{"K.x32", AUDIT_ARCH_X86_64, 0x40000000 | SYS_getpid, {0}},
	{"K.ldt", OWN_ARCH, SYS_modify_ldt, {0}},
#endif
	{"K.mount", OWN_ARCH, SYS_mount, {0}},
	{"K.fsopen", OWN_ARCH, SYS_fsopen, {0}},
	{"K.open-tree", OWN_ARCH, SYS_open_tree, {0}},
	{"K.move-mount", OWN_ARCH, SYS_move_mount, {0}},
	{"K.setns", OWN_ARCH, SYS_setns, {UINT64_MAX}},
	{"K.pivot", OWN_ARCH, SYS_pivot_root, {0}},
	{"K.handle", OWN_ARCH, SYS_name_to_handle_at, {0}},
	{"K.personality", OWN_ARCH, SYS_personality, {0x0400000}},
	{"K.process-vm", OWN_ARCH, SYS_process_vm_readv, {0}},
	{"K.ptrace", OWN_ARCH, SYS_ptrace, {0}},
	{"K.fanotify", OWN_ARCH, SYS_fanotify_init, {0x200}},
	{"K.numa", OWN_ARCH, SYS_migrate_pages, {0}},
	{"K.memfd-secret", OWN_ARCH, 447, {0}},
	{"K.syslog", OWN_ARCH, SYS_syslog, {10}},
	{"K.quota", OWN_ARCH, SYS_quotactl, {UINT64_MAX}},
	{"X.self", OWN_ARCH, SYS_execve, {0}},
	{"X.shell", OWN_ARCH, SYS_execve, {0}},
	{"X.linker", OWN_ARCH, SYS_execve, {0}},
	{"X.memfd", OWN_ARCH, SYS_execveat, {0}},
	{"X.tmp", OWN_ARCH, SYS_execve, {0}},
	{"D.push-door", OWN_ARCH, SYS_ioctl, {0, TIOCSTI}},
	{"D.linux-door", OWN_ARCH, SYS_ioctl, {0, 0x541c}},
};

/* Whether the call is let through: 1, 0, or -1 when that cannot be read. */
static int ask_filter(const struct look *look)
{
	for (size_t i = 0; i < ARRAY_SIZE(doors); i++) {
		if (strcmp(doors[i].probe, look->probe->id) == 0) {
			return outside_allows(&look->context->run->outside, doors[i].arch,
				doors[i].number, doors[i].args);
		}
	}
	return -1;
}

void look_door(struct look *look, int allowed)
{
	if (allowed == 0) {
		look_conclude(look, false, LEVEL_STATE);
		look_detail(look, "the filter refuses it");
	} else if (allowed == 1 && look_is_done(look)) {
		look_conclude(look, true, LEVEL_STATE);
		look_detail(look, "no filter stops it");
	}
}

static void door(struct look *look, const char *arg)
{
	(void)arg;
	look_door(look, ask_filter(look));
}

/* Another kernel's client opened a file beside it, and the host was told. */
static bool sees_place(const struct look *look)
{
	const struct run *run = look->context->run;

	return run->machine.kernel == MACHINE_OTHER &&
		look->context->canary->reached[probe_index(probe_find("F.scope-read"))];
}

/* Where the filter cannot be read, whether the program's file was opened tells as much. */
static void exec_door(struct look *look, const char *arg)
{
	char path[160];
	bool known = false;

	door(look, arg);
	(void)snprintf(path, sizeof(path), "%s/%s", look->context->canary->read, look->probe->id);
	if (look->outcome->evidence == EVIDENCE_NONE && look->context->canary->inotify >= 0 &&
		(look_reached(look) ||
			(!look_is_done(look) &&
				(sees_place(look) ||
					outside_same_object(
						look->context->run->outside.pid, path, &known))))) {
		look_conclude(look, look_reached(look), LEVEL_EVENT);
	}
}

static void userns_door(struct look *look, const char *arg)
{
	door(look, arg);
	if (look->outcome->evidence == EVIDENCE_NONE &&
		look->context->run->outside.user_namespaces == 0) {
		look_conclude(look, false, LEVEL_STATE);
		look_detail(look, "user.max_user_namespaces is 0");
	}
}

/* The client is a process of the host's, or another kernel has it. That none was found is neither. */
static void same_kernel(struct look *look, const char *arg)
{
	const struct run *run = look->context->run;

	(void)arg;
	if (run->outside.found || run->machine.kernel == MACHINE_HOST) {
		look_conclude(look, true, LEVEL_STATE);
	} else if (run->machine.kernel == MACHINE_OTHER) {
		look_conclude(look, false, LEVEL_STATE);
	}
	look_detail(look, "%s", run->machine.text);
}

/* ---- terminal ---- */

/* Bytes pushed come back from the slave's queue, bytes written from the master. */
static void terminal(struct look *look, const char *arg)
{
	const struct canary *canary = look->context->canary;
	bool seen = arg[0] == 'p' ? memchr(canary->pushed, arg[1], canary->pushed_size) != NULL
				  : memchr(canary->written, arg[1], canary->written_size) != NULL;

	if (look->context->ground->terminal_slave >= 0) {
		look_conclude(look, seen, LEVEL_EVENT);
	}
}

/* ---- what is like the host's ---- */

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

/* ---- what a session left ---- */

static void fresh_file(struct look *look, const char *arg)
{
	char path[96];

	ground_token_of(look, look->context->canary->fresh);
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
	ground_token_of(look, look->context->canary->fresh);
}

static void fresh_sysv(struct look *look, const char *arg)
{
	const struct outside *ours = look->context->own;
	const struct outside *theirs = &look->context->run->outside;

	fresh_token(look, arg);
	if (look->outcome->evidence == EVIDENCE_NONE && theirs->found &&
		theirs->namespaces[OUTSIDE_IPC] != ours->namespaces[OUTSIDE_IPC]) {
		look_conclude(look, false, LEVEL_STATE);
		look_detail(look, "it has an IPC namespace of its own");
	}
}

/* ---- states, read by the host alone ---- */

static void shares_namespace(struct look *look, const char *arg)
{
	const struct outside *theirs = &look->context->run->outside;
	size_t which = (size_t)(arg[0] - '0');

	if (theirs->found && theirs->namespaces[which]) {
		look_conclude(look,
			theirs->namespaces[which] == look->context->own->namespaces[which],
			LEVEL_STATE);
		look_detail(look, "inode %" PRIu64, theirs->namespaces[which]);
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
	if (!before || !before->found || !theirs->found) {
		return;
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

static void root_state(struct look *look, const char *arg)
{
	(void)arg;
	look_conclude(look, look->context->run->outside.root_is_ours, LEVEL_STATE);
}

static bool keeps_files(const char *type)
{
	static const char *const others[] = {"proc", "sysfs", "devpts", "mqueue", "cgroup",
		"cgroup2", "devtmpfs", "debugfs", "tracefs", "securityfs", "bpf", "pstore",
		"hugetlbfs", "configfs", "fusectl", "binfmt_misc", "autofs", "nsfs"};

	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		if (strcmp(type, others[i]) == 0) {
			return false;
		}
	}
	return true;
}

/* Where the plan itself lets writes through to the host. */
static bool is_writable_place(const struct target *target, const char *path)
{
	STRV_FOREACH (place, target->spec.writable) {
		size_t length = strlen(*place);
		if (strncmp(path, *place, length) == 0 && (!path[length] || path[length] == '/')) {
			return true;
		}
	}
	return target->spec.allow_temp && strcmp(path, "/tmp") == 0;
}

/*
 * Is a directory of this very mount what lies at its target? Another mount may cover it, and a
 * bound device node is not a place for files.
 */
static bool is_reachable_place(const struct outside *theirs, const struct outside_mount *mount)
{
	char path[256];
	struct stat info;

	(void)snprintf(path, sizeof(path), "/proc/%d/root%s", theirs->pid, mount->target);
	return stat(path, &info) == 0 && S_ISDIR(info.st_mode) &&
		(info.st_dev == makedev(mount->major, mount->minor) ||
			strcmp(mount->type, "btrfs") == 0); /* whose files have other numbers */
}

/* A writable mount inside that shows a file system the host has mounted too. */
static void mount_flags(struct look *look, const char *arg)
{
	const struct outside *ours = look->context->own;
	const struct outside *theirs = &look->context->run->outside;
	bool seen = false;

	(void)arg;
	for (size_t i = 0; i < theirs->mount_count && !seen; i++) {
		const struct outside_mount *mount = &theirs->mounts[i];
		if (!mount->writable || !keeps_files(mount->type)) {
			continue;
		}
		for (size_t j = 0; j < ours->mount_count && !seen; j++) {
			seen = ours->mounts[j].major == mount->major &&
				ours->mounts[j].minor == mount->minor;
		}
		seen = seen && is_reachable_place(theirs, mount) &&
			!is_writable_place(look->context->target, mount->target);
		if (seen) {
			look_detail(look, "%.120s is writable", mount->target);
		}
	}
	if (theirs->mount_count) {
		look_conclude(look, seen, LEVEL_STATE);
	}
}

/* Every path the plan takes out: is it the host's object that lies there? */
static void deny_mask(struct look *look, const char *arg)
{
	char **paths = look->context->target->spec.read_deny;
	bool any = false;
	bool seen = false;

	(void)arg;
	STRV_FOREACH (path, paths) {
		bool known = false;
		seen |= outside_same_object(look->context->run->outside.pid, *path, &known);
		any |= known;
	}
	if (any) {
		look_conclude(look, seen, LEVEL_STATE);
	}
}

static void caps_state(struct look *look, const char *arg)
{
	static const char *const names[] = {
		"inheritable", "permitted", "effective", "bounding", "ambient"};
	const struct outside *theirs = &look->context->run->outside;
	bool seen = false;

	(void)arg;
	for (size_t i = 0; i < ARRAY_SIZE(names) && !seen; i++) {
		seen = theirs->caps[i] != 0;
		if (seen) {
			look_detail(look, "%s %016" PRIx64, names[i], theirs->caps[i]);
		}
	}
	look_conclude(look, seen, LEVEL_STATE);
}

static void nnp_state(struct look *look, const char *arg)
{
	(void)arg;
	look_conclude(look, !look->context->run->outside.no_new_privs, LEVEL_STATE);
}

static void map_state(struct look *look, const char *arg)
{
	(void)arg;
	look_conclude(look, look->context->run->outside.maps_host_root, LEVEL_STATE);
}

static void group_state(struct look *look, const char *arg)
{
	(void)arg;
	if (geteuid() == 0) {
		look_conclude(look, look->context->run->outside.launcher_group, LEVEL_STATE);
	}
}

static void user_state(struct look *look, const char *arg)
{
	(void)arg;
	look_conclude(look, look->context->run->outside.uid == 0, LEVEL_STATE);
	look_detail(look, "uid %u", look->context->run->outside.uid);
}

static void user_namespace_state(struct look *look, const char *arg)
{
	const struct outside *theirs = &look->context->run->outside;

	(void)arg;
	if (theirs->user_namespaces >= 0) {
		look_conclude(look, theirs->user_namespaces > 0, LEVEL_STATE);
		look_detail(look, "user.max_user_namespaces is %" PRId64, theirs->user_namespaces);
	}
}

static void filter_state(struct look *look, const char *arg)
{
	(void)arg;
	if (look->context->run->outside.seccomp >= 0) {
		look_conclude(look, look->context->run->outside.seccomp == 0, LEVEL_STATE);
		look_detail(look, "Seccomp %d, %zu filters", look->context->run->outside.seccomp,
			look->context->run->outside.filter_count);
	}
}

/* Calls that say what a filter does with what it does not know. */
static void filter_call(struct look *look, const char *arg)
{
	static const uint64_t none[6];
	const struct outside *theirs = &look->context->run->outside;
	int allowed = arg[0] == 'd' ? outside_allows(theirs, OWN_ARCH, 1999, none)
		: arg[0] == 'i'     ? outside_allows(theirs, AUDIT_ARCH_I386, 20, none)
				    : outside_allows(theirs, OWN_ARCH, 0x40000000 | 39, none);

	if (allowed >= 0) {
		look_conclude(look, allowed == 1, LEVEL_STATE);
	}
}

static void device_state(struct look *look, const char *arg)
{
	const struct outside *theirs = &look->context->run->outside;

	(void)arg;
	look_conclude(look, theirs->devices > 0, LEVEL_STATE);
	if (theirs->devices) {
		look_detail(look, "%u: %.100s", theirs->devices, theirs->device_text);
	}
}

static void session_state(struct look *look, const char *arg)
{
	const struct outside *theirs = &look->context->run->outside;

	(void)arg;
	look_conclude(look,
		theirs->session == getsid(0) ||
			(look->context->own->terminal != 0 &&
				theirs->terminal == look->context->own->terminal),
		LEVEL_STATE);
}

static void environment_state(struct look *look, const char *arg)
{
	const struct evidence_context *context = look->context;
	static const char *const tokens[] = {"env", "listed"};
	char token[CANARY_TOKEN];
	bool seen = false;
	bool known = false;

	(void)arg;
	for (size_t i = 0; i < ARRAY_SIZE(tokens); i++) {
		(void)ground_token(context->ground, 0, tokens[i], token);
		seen |= context->run->outside.found
			? outside_environment_has(context->run->outside.pid, token, &known)
			: machine_holds(&context->run->machine, token, &known);
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

/* ---- limits ---- */

static void limit_state(struct look *look, const char *arg)
{
	const struct outside *theirs = &look->context->run->outside;
	const struct limits *limits = look->context->limits;
	const struct {
		char name;
		uint64_t declared, found, slack;
	} table[] = {
		{'m', limits->memory, theirs->memory_limit, 4096},
		{'t', limits->tasks, theirs->tasks_limit,
			16}, /* init and the like are counted too */
		{'c', limits->cpu_milli, theirs->cpu_limit, 10},
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (table[i].name != arg[0]) {
			continue;
		}
		look_conclude(look,
			table[i].found == 0 ||
				(table[i].declared &&
					table[i].found > table[i].declared + table[i].slack),
			LEVEL_STATE);
		look_detail(look, "declared %" PRIu64 ", in force %" PRIu64 "%s", table[i].declared,
			table[i].found, table[i].found ? "" : " (none)");
	}
}

/* May a process with these ids and no kernel capability write to it, by its mode? */
static bool may_write(const struct outside *theirs, const struct stat *info)
{
	return (info->st_uid == theirs->uid && (info->st_mode & S_IWUSR)) ||
		(info->st_gid == theirs->gid && (info->st_mode & S_IWGRP)) ||
		(info->st_mode & S_IWOTH);
}

#define FILL_MAX_ENTRIES 4096
#define FILL_MAX_DEPTH 8

/* Is there a directory or file in this file system that may be written to? Unknown counts as yes. */
static bool may_fill(const struct outside *theirs, int parent, const char *name, dev_t device,
	unsigned depth, unsigned *entries)
{
	struct stat info;
	struct dirent *entry = NULL;
	bool found = false;
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);

	if (!list || depth > FILL_MAX_DEPTH || fstat(fd, &info) < 0) {
		found = true;
	} else if (info.st_dev == device) {
		found = may_write(theirs, &info);
		while (!found && (entry = readdir(list))) {
			if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
				continue;
			}
			found = ++*entries > FILL_MAX_ENTRIES ||
				fstatat(fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) < 0 ||
				(S_ISREG(info.st_mode) && may_write(theirs, &info)) ||
				(S_ISDIR(info.st_mode) &&
					may_fill(theirs, fd, entry->d_name, device, depth + 1,
						entries));
		}
	}
	if (list) {
		(void)closedir(list);
	} else if (fd >= 0) {
		(void)close(fd);
	}
	return found;
}

/* A tmpfs of root's own, with nothing in it that the session may write to, has no room for it. */
static bool has_room(
	const struct outside *theirs, const struct outside_mount *mount, const char *path)
{
	const dev_t device = makedev(mount->major, mount->minor);
	unsigned entries = 0;

	return theirs->uid == 0 || theirs->caps[2] != 0 || strcmp(mount->type, "tmpfs") != 0 ||
		may_fill(theirs, AT_FDCWD, path, device, 0, &entries);
}

/*
 * The room of every writable place that is not bound to something of a fixed size. The scope that we
 * added is no place of the profile's: one with scopes of its own does not declare a bound.
 */
static bool measure_room(const struct outside *theirs, const struct ground *ground,
	uint64_t *ret_room, char *where, size_t size)
{
	uint64_t room = 0;
	char scope[96];

	(void)snprintf(scope, sizeof(scope), "%s/scope", ground->root);

	for (size_t i = 0; i < theirs->mount_count; i++) {
		const struct outside_mount *mount = &theirs->mounts[i];
		char path[256];
		struct statvfs space;
		bool counted = false;
		if (!mount->writable || !keeps_files(mount->type) ||
			strcmp(mount->type, "overlay") == 0 || strcmp(mount->target, scope) == 0) {
			continue; /* an overlay's upper layer lies in one of the others */
		}
		(void)snprintf(path, sizeof(path), "/proc/%d/root%s", theirs->pid, mount->target);
		for (size_t j = 0; j < i; j++) {
			counted |= theirs->mounts[j].major == mount->major &&
				theirs->mounts[j].minor == mount->minor &&
				theirs->mounts[j].writable;
		}
		if (counted || !is_reachable_place(theirs, mount) ||
			!has_room(theirs, mount, path) || statvfs(path, &space) < 0) {
			continue;
		}
		if (strcmp(mount->type, "tmpfs") != 0) {
			(void)snprintf(
				where, size, "%.80s is a writable %s", mount->target, mount->type);
			return false;
		}
		room += (uint64_t)space.f_blocks * space.f_frsize;
		if (space.f_blocks == 0) {
			(void)snprintf(where, size, "%.80s has no size", mount->target);
			return false;
		}
	}
	*ret_room = room;
	return true;
}

static void disk_state(struct look *look, const char *arg)
{
	const struct limits *limits = look->context->limits;
	const struct outside *theirs = &look->context->run->outside;
	uint64_t room = 0;
	char where[128] = "";

	(void)arg;
	if (theirs->mount_count == 0) {
		return;
	}
	if (!measure_room(theirs, look->context->ground, &room, where, sizeof(where))) {
		look_conclude(look, true, LEVEL_STATE);
		look_detail(look, "%s", where);
		return;
	}
	look_conclude(look, limits->disk && room > limits->disk + MIB, LEVEL_STATE);
	look_detail(look, "declared %" PRIu64 ", room %" PRIu64, limits->disk, room);
}

static uint64_t leading_number(const struct answer *answer)
{
	return strtoull((const char *)answer->text, NULL, 10);
}

/* In the control nobody lies: our own program, outside. Its word is that the machine can do it. */
static bool control_word(struct look *look)
{
	if (look->context->control) {
		if (look_is_done(look)) {
			look_conclude(look, true, LEVEL_CLAIM);
		}
		return true;
	}
	return false;
}

static void memory_used(struct look *look, const char *arg)
{
	uint64_t peak = look->context->run->memory_peak;
	uint64_t limit = look->context->limits->memory;

	(void)arg;
	if (!control_word(look) && peak && limit) {
		look_conclude(look, peak > limit + limit / 20, LEVEL_EVENT);
		look_detail(look, "peak %" PRIu64 " of %" PRIu64, peak, limit);
	}
}

static void tasks_used(struct look *look, const char *arg)
{
	uint64_t limit = look->context->limits->tasks;
	uint64_t made = leading_number(look->answer);
	uint64_t in_force = look->context->run->outside.tasks_limit;

	(void)arg;
	if (!control_word(look) && limit && in_force) {
		look_conclude(look, made > limit + 4 || in_force > limit + 16, LEVEL_STATE);
		look_detail(look, "%" PRIu64 " made, limit %" PRIu64, made, limit);
	}
}

/* The budget is refilled each tenth of a second: one refill more than the share fits in. */
static void cpu_used(struct look *look, const char *arg)
{
	uint64_t limit = look->context->limits->cpu_milli;
	const struct run *run = look->context->run;
	const bool control = look->context->control;
	const char *second = strchr((const char *)look->answer->text, ' ');
	uint64_t told = second ? strtoull(second + 1, NULL, 10) : 0;
	uint64_t wall = control ? told : run->cpu_wall_usec / 1000;
	uint64_t used = control ? leading_number(look->answer) : run->cpu_used_usec;
	uint64_t allowed = limit * (wall + 100);

	(void)arg;
	if (limit && wall && used) {
		look_conclude(look, used > allowed + allowed / 10, LEVEL_EVENT);
		look_detail(look, "%" PRIu64 " us in %" PRIu64 " ms", used, wall);
	}
}

static void disk_used(struct look *look, const char *arg)
{
	uint64_t written = leading_number(look->answer);
	uint64_t limit = look->context->limits->disk;

	if (!control_word(look) && limit) {
		disk_state(look, arg);
		if (look->outcome->evidence != EVIDENCE_NONE) {
			look_conclude(look,
				written > limit || look->outcome->evidence == EVIDENCE_SEEN,
				LEVEL_STATE);
			look_detail(look, "%" PRIu64 " written, limit %" PRIu64, written, limit);
		}
	}
}

static void time_used(struct look *look, const char *arg)
{
	const struct run *run = look->context->run;
	uint64_t lived = (run->ended_usec - run->started_usec) / 1000;

	(void)arg;
	if (!control_word(look)) {
		look_conclude(look, run->ended || run->timed_out, LEVEL_EVENT);
		look_detail(look, "lived %" PRIu64 " ms", lived);
	}
}

/* ---- the table ---- */

static const struct evidence_row evidence_table[] = {
	{"N.tcp4", message_and_token, "tcp4"},
	{"N.tcp6", message_and_token, "tcp6"},
	{"N.udp4", message, "udp4"},
	{"N.udp6", message, "udp6"},
	{"N.alias", message_and_token, "alias"},
	{"N.own", message_and_token, "own"},
	{"N.zero", message_and_token, "tcp4"},
	{"N.mapped", message_and_token, "tcp4"},
	{"N.fastopen", message_and_token, "tcp4"},
	{"N.mptcp", message_and_token, "tcp4"},
	{"N.int80", message_and_token, "tcp4"},
	{"N.listen", message, "listen"},
	{"N.route", route, NULL},
	{"N.links", links, NULL},
	{"N.namespace", shares_namespace, "0"},
	{"F.read-tmp", secret, NULL},
	{"F.read-home", secret, NULL},
	{"F.read-opath", secret, NULL},
	{"F.read-climb", secret, NULL},
	{"F.read-proc-root", secret, NULL},
	{"F.deny", secret, NULL},
	{"F.deny-alias", secret, NULL},
	{"F.deny-list", opened, NULL},
	{"F.deny-mask", deny_mask, NULL},
	{"F.scope-read", secret, NULL},
	{"F.read-system", system_file, "/usr/lib/os-release"},
	{"F.create", changed, NULL},
	{"F.overwrite", changed, NULL},
	{"F.append", changed, NULL},
	{"F.truncate", changed, NULL},
	{"F.unlink", changed, NULL},
	{"F.rename", changed, NULL},
	{"F.mkdir", changed, NULL},
	{"F.symlink", changed, NULL},
	{"F.chmod", changed, NULL},
	{"F.times", changed, NULL},
	{"F.mmap", changed, NULL},
	{"F.tmpfile", changed, NULL},
	{"F.fifo", message, "meet"},
	{"F.flock", locked, NULL},
	{"F.tmp-private", left, "/tmp"},
	{"F.vartmp-private", left, "/var/tmp"},
	{"F.shm-private", left, "/dev/shm"},
	{"F.scope-create", scope_changed, "new"},
	{"F.scope-overwrite", scope_changed, "changed"},
	{"F.scratch", scratch, NULL},
	{"F.dirfd", leaked_directory, NULL},
	{"F.rofd", leaked_file, NULL},
	{"F.root", root_state, NULL},
	{"F.namespace", shares_namespace, "4"},
	{"V.namespace", shares_namespace, "5"},
	{"F.mount-flags", mount_flags, NULL},
	{"X.self", exec_door, NULL},
	{"X.shell", door, NULL},
	{"X.linker", door, NULL},
	{"X.memfd", door, NULL},
	{"X.tmp", door, NULL},
	{"P.see", victim_name, NULL},
	{"P.kill", signals, "0"},
	{"P.tgkill", signals, "1"},
	{"P.queue", signals, "2"},
	{"P.pidfd-signal", signals, "3"},
	{"P.group", group_signals, NULL},
	{"P.group-nice", priority, "companion"},
	{"P.nice", priority, "victim"},
	{"P.seize", traced, NULL},
	{"P.vm-read", own_token, "victim"},
	{"P.mem", own_token, "victim"},
	{"P.getfd", own_token, "P.getfd"},
	{"P.limit", victim_limit, NULL},
	{"P.namespace", shares_namespace, "1"},
	{"I.shm", shm_used, NULL},
	{"I.shm-write", shm_written, NULL},
	{"I.msg", msg_arrived, NULL},
	{"I.sem", sem_raised, NULL},
	{"I.mq", mq_arrived, NULL},
	{"I.unix-path", message_and_token, "unix.path"},
	{"I.unix-tmp", message_and_token, "unix.tmp"},
	{"I.unix-abstract", message_and_token, "unix.abstract"},
	{"I.unix-datagram", message, "unix.datagram"},
	{"I.unix-abstract-datagram", message, "unix.abstract.datagram"},
	{"I.shm-file", own_token, "I.shm-file"},
	{"I.key-session", ground_token_of, "key"},
	{"I.key-number", ground_token_of, "key"},
	{"I.namespace", shares_namespace, "2"},
	{"K.filter", filter_state, NULL},
	{"K.filter-default", filter_call, "default"},
	{"K.filter-i386", filter_call, "i386"},
	{"K.filter-x32", filter_call, "x32"},
	{"K.userns", userns_door, NULL},
	{"K.clone-userns", userns_door, NULL},
	{"K.clone3-userns", userns_door, NULL},
	{"K.userns-mount", userns_door, NULL},
	{"K.userns-net", userns_door, NULL},
	{"K.uring", door, NULL},
	{"K.uffd", door, NULL},
	{"K.perf", door, NULL},
	{"K.bpf", door, NULL},
	{"K.add-key", door, NULL},
	{"K.keyctl", door, NULL},
	{"K.alg", door, NULL},
	{"K.vsock", door, NULL},
	{"K.netlink-audit", door, NULL},
	{"K.netlink-uevent", door, NULL},
	{"K.netlink-netfilter", door, NULL},
	{"K.packet", door, NULL},
	{"K.int80", door, NULL},
	{"K.int80-socket", door, NULL},
	{"K.x32", door, NULL},
	{"K.mount", door, NULL},
	{"K.fsopen", door, NULL},
	{"K.open-tree", door, NULL},
	{"K.move-mount", door, NULL},
	{"K.setns", door, NULL},
	{"K.pivot", door, NULL},
	{"K.handle", door, NULL},
	{"K.personality", door, NULL},
	{"K.process-vm", door, NULL},
	{"K.ptrace", door, NULL},
	{"K.fanotify", door, NULL},
	{"K.numa", door, NULL},
	{"K.memfd-secret", door, NULL},
	{"K.ldt", door, NULL},
	{"K.syslog", door, NULL},
	{"K.quota", door, NULL},
	{"K.same-kernel", same_kernel, NULL},
	{"V.caps", caps_state, NULL},
	{"V.nnp", nnp_state, NULL},
	{"V.host-root", map_state, NULL},
	{"V.same-user", user_state, NULL},
	{"V.groups", group_state, NULL},
	{"V.user-namespaces", user_namespace_state, NULL},
	{"D.list", device_state, NULL},
	{"D.planted", opened, NULL},
	{"D.push", terminal, "p\xa1"},
	{"D.push-high", terminal, "p\xa2"},
	{"D.tty", terminal, "w\xa3"},
	{"D.pts", terminal, "w\xa4"},
	{"D.push-door", door, NULL},
	{"D.linux-door", door, NULL},
	{"D.session", session_state, NULL},
	{"L.hostname", like_hostname, NULL},
	{"L.uts", shares_namespace, "3"},
	{"L.machine", like_file, "/etc/machine-id"},
	{"L.cmdline", like_file, "/proc/cmdline"},
	{"L.boot-id", like_file, "/proc/sys/kernel/random/boot_id"},
	{"L.version", like_file, "/proc/version"},
	{"L.cgroup", like_cgroup, NULL},
	{"L.cgroup-namespace", shares_namespace, "6"},
	{"L.users", like_file, "/etc/passwd"},
	{"L.pid1", like_file, "/proc/1/cmdline"},
	{"L.kallsyms", like_file, "/proc/kallsyms"},
	{"L.modules", like_file, "/proc/modules"},
	{"L.interrupts", like_start, "/proc/interrupts"},
	{"L.env", ground_token_of, "env"},
	{"L.env-listed", ground_token_of, "listed"},
	{"L.env-host", environment_state, NULL},
	{"L.fds", held_descriptors, NULL},
	{"L.fds-host", descriptor_state, NULL},
	{"S.tmp", fresh_file, "/tmp"},
	{"S.vartmp", fresh_file, "/var/tmp"},
	{"S.shm", fresh_file, "/dev/shm"},
	{"S.home", fresh_token, NULL},
	{"S.key", fresh_token, NULL},
	{"S.sysv", fresh_sysv, NULL},
	{"S.namespaces", sessions_share, NULL},
	{"R.memory-limit", limit_state, "m"},
	{"R.tasks-limit", limit_state, "t"},
	{"R.cpu-limit", limit_state, "c"},
	{"R.disk-limit", disk_state, NULL},
	{"R.memory", memory_used, NULL},
	{"R.tasks", tasks_used, NULL},
	{"R.cpu", cpu_used, NULL},
	{"R.disk", disk_used, NULL},
	{"R.time", time_used, NULL},
	{NULL, NULL, NULL},
};

/* text: what counts as evidence, where all rows of a table are alike. */
static const struct {
	const struct evidence_row *rows;
	const char *text;
} tables[] = {
	{evidence_table, NULL},
	{evidence_filter, "E3: the session's filter, dumped from it and evaluated by the host"},
	{evidence_doors, "E3: the session's filter, asked about the very call that was tried"},
	{evidence_posture, "E3: its limits, mounts and tasks, read from outside"},
	{evidence_regress, "E2: the canary was reached; E3: its filter, sets and mounts"},
	{evidence_peers, "E1: the other session's token; E3: what parts the two"},
};

static const struct evidence_row *find_row(const struct probe *probe)
{
	for (size_t t = 0; t < ARRAY_SIZE(tables); t++) {
		for (const struct evidence_row *row = tables[t].rows; row->probe; row++) {
			if (strcmp(row->probe, probe->id) == 0) {
				return row;
			}
		}
	}
	return NULL;
}

bool evidence_exists(const struct probe *probe)
{
	/* A token alone proves what was done, but not that something was not. */
	static void (*const words_only[])(struct look *, const char *) = {own_token,
		ground_token_of, victim_name, victim_limit, fresh_token, system_file, links,
		like_file, like_start, like_hostname, like_cgroup, held_descriptors};

	const struct evidence_row *row = find_row(probe);
	bool eyes = row != NULL;

	for (size_t i = 0; eyes && i < ARRAY_SIZE(words_only); i++) {
		eyes = row->look != words_only[i];
	}
	return eyes;
}

/* What each kind of looking finds, in words; `explain` shows them. */
static const struct {
	void (*look)(struct look *look, const char *arg);
	const char *text;
} evidence_texts[] = {
	{message, "E2: the canary's listener, pipe or queue got the message"},
	{message_and_token, "E2: the canary got the connection; E1: its token came back"},
	{secret, "E1: the secret came back; E2: inotify saw the file being read"},
	{opened, "E2: inotify saw the canary being opened"},
	{deny_mask, "E3: the object behind the path, seen from outside, is the host's own"},
	{system_file, "E1: the bytes are those of the host's file"},
	{changed, "E4: the canary file before and after"},
	{scope_changed, "E4: the offered place before and after"},
	{left, "E4: the name lies in the host's directory afterwards"},
	{locked, "E2: the host could not lock its own file meanwhile"},
	{scratch, "E2: inotify saw no name appear in the host's places"},
	{leaked_directory, "E4: the file lies in the host's directory afterwards"},
	{leaked_file, "E4: the size of the host's file before and after"},
	{root_state, "E3: device and inode of its root, read from outside"},
	{mount_flags, "E3: its table of mounts, read from outside"},
	{exec_door, "E2: inotify saw the program being opened; E3: the filter decides the call"},
	{door, "E3: the filter, read by the host, decides the call"},
	{userns_door, "E3: the filter decides the call; user.max_user_namespaces inside"},
	{victim_name, "E1: the name of a canary process came back"},
	{victim_limit, "E1: a limit set for a canary process came back"},
	{signals, "E2: the canary process counted the signal"},
	{group_signals, "E2: the companion in the process group counted the signal"},
	{priority, "E3: the priority of the canary process, read by the host"},
	{traced, "E3: the canary process had a tracer, as the host read it"},
	{own_token, "E1: a token that only the canary held came back"},
	{ground_token_of, "E1: a token that only the launcher held came back"},
	{shares_namespace, "E3: the namespace's number in /proc, compared by the host"},
	{sessions_share, "E3: namespace numbers of two sessions, compared by the host"},
	{shm_used, "E3: the kernel's record of who attached last"},
	{shm_written, "E4: the segment's content before and after"},
	{msg_arrived, "E3: the number of messages in the queue"},
	{sem_raised, "E3: the value of the semaphore"},
	{mq_arrived, "E3: the number of messages in the queue"},
	{filter_state, "E3: the seccomp line of its status, read from outside"},
	{filter_call, "E3: the filter, read by the host, decides the call"},
	{same_kernel,
		"E3: the client is a process of the host's, or its memory is another kernel's"},
	{caps_state, "E3: its capability sets, read from outside"},
	{nnp_state, "E3: the NoNewPrivs line of its status, read from outside"},
	{map_state, "E3: its user namespace's map, read from outside"},
	{user_state, "E3: its user, read from outside"},
	{group_state, "E3: its groups, read from outside"},
	{user_namespace_state, "E3: user.max_user_namespaces in its user namespace"},
	{device_state, "E3: the nodes in its /dev, listed from outside"},
	{terminal, "E2: bytes came out of the canary terminal"},
	{session_state, "E3: its session number, read from outside"},
	{like_hostname, "E1: the host's own name came back"},
	{like_file, "E1: the bytes are those of the host's file"},
	{like_start, "E1: the bytes are those of the host's file"},
	{like_cgroup, "E1: the path is the one the host reads"},
	{environment_state, "E3: its environment, read from outside"},
	{held_descriptors, "E1: the client lists descriptors that the launcher left open"},
	{descriptor_state, "E3: its descriptors, compared with the launcher's from outside"},
	{links, "E1: the names and addresses are the host's own"},
	{route, "E3: the same question asked in its network namespace"},
	{fresh_file, "E4: the file of the session before, looked for on the host too"},
	{fresh_token, "E1: the token that the session before left came back"},
	{fresh_sysv, "E3: the segment that the session before left, looked up by the host"},
	{limit_state, "E3: the limits of its control group"},
	{disk_state, "E3: the sizes of its writable mounts"},
	{memory_used, "E3: the most its control group has used"},
	{tasks_used, "E3: the limit of its control group, with the count the client reached"},
	{cpu_used, "E2: the processor time that the host saw it use"},
	{disk_used, "E3: the sizes of its writable mounts, with what the client could write"},
	{time_used, "E2: whether it was still there after the limit"},
};

const char *evidence_text(const struct probe *probe)
{
	const struct evidence_row *row = find_row(probe);

	for (size_t i = 0; row && i < ARRAY_SIZE(evidence_texts); i++) {
		if (evidence_texts[i].look == row->look) {
			return evidence_texts[i].text;
		}
	}
	for (size_t t = 1; row && t < ARRAY_SIZE(tables); t++) {
		for (const struct evidence_row *at = tables[t].rows; at->probe; at++) {
			if (at == row) {
				return tables[t].text;
			}
		}
	}
	if (probe->flags & PROBE_SSH) {
		return "E2: what arrived or stayed at the host; E1: what came back over the "
		       "connection";
	}
	return "E0: the client's word alone, which never decides a promise";
}

static void say_errno(struct look *look)
{
	if (look->outcome->detail[0] || !look->outcome->error) {
		return;
	}
	if (look->outcome->claim == CLAIM_KILLED) {
		look_detail(look, "killed by signal %d", look->outcome->error);
	} else if (look->outcome->claim != CLAIM_TIMEOUT) {
		look_detail(look, "%s", strerror(look->outcome->error));
	}
}

/* Of another kernel's client the host sees the limits around that kernel, and its memory. */
static bool is_visible(const struct run *run, const char *id)
{
	static const char *const ids[] = {
		"R.memory-limit", "R.tasks-limit", "R.cpu-limit", "L.env-host"};
	bool listed = false;

	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		listed |= strcmp(ids[i], id) == 0;
	}
	return run->outside.found || (listed && run->outside.group);
}

void evidence_collect(const struct evidence_context *context, struct outcome *ret)
{
	for (size_t i = 0; i < probe_count; i++) {
		const struct answer *answer = &context->run->answers[i];
		struct look look = {context, &probe_table[i], answer, &ret[i]};
		bool state = probe_table[i].flags & PROBE_STATE;
		if (state ? !is_visible(context->run, probe_table[i].id) : !answer->asked) {
			continue;
		}
		ret[i] = (struct outcome){.claim = answer->claim,
			.error = answer->error,
			.missing = !state && !answer->answered};
		const struct evidence_row *row = find_row(&probe_table[i]);
		if (row) {
			row->look(&look, row->arg);
		}
		say_errno(&look);
	}
}
