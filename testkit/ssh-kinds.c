/*
 * Whether every kind of channel ends in the same confinement: a command, a command on a terminal, a
 * shell, sftp. The host reads what each of them is and compares it with the command's.
 */
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/strv.h"
#include "testkit/outside.h"
#include "testkit/ssh-attempt.h"

#define MAX_CALL 512 /* numbers above are nobody's yet */

enum kind { KIND_COMMAND, KIND_TERMINAL, KIND_SHELL, KIND_SFTP, KIND_COUNT };

static const char *const kind_names[KIND_COUNT] = {"a command", "a terminal", "a shell", "sftp"};

struct ssh_kinds {
	bool known[KIND_COUNT];
	struct outside seen[KIND_COUNT];
};

void ssh_kinds_free(struct ssh_kinds *kinds)
{
	for (size_t i = 0; kinds && i < KIND_COUNT; i++) {
		outside_fini(&kinds->seen[i]);
	}
	free(kinds);
}

static void note(struct ssh_kinds *kinds, enum kind kind, pid_t pid)
{
	outside_read(pid, &kinds->seen[kind]);
	kinds->known[kind] = kinds->seen[kind].found;
}

/* ---- the target ---- */

static void visit_kind(struct ssh_attempt *attempt, enum kind kind)
{
	static char terminal[] = "-tt";
	char *const options[] = {terminal, NULL};
	const struct ssh_wish wish = {
		.options = kind == KIND_TERMINAL ? options : NULL, .shell = kind == KIND_SHELL};
	struct ssh_visit visit;

	if (ssh_visit(attempt, &wish, &visit)) {
		note(attempt->pass->kinds, kind, visit.pid);
	}
	ssh_leave(&visit);
}

/* It says hello when it is there, and then waits for us. */
static void visit_sftp(struct ssh_attempt *attempt)
{
	static const char hello[] = {0, 0, 0, 5, 1, 0, 0, 0, 3};
	static char subsystem[] = "-s";
	char *const options[] = {subsystem, NULL};
	const pid_t listener = attempt->pass->server.listener;
	cleanup(ssh_processes_fini) struct ssh_processes before = {0};
	cleanup(ssh_processes_fini) struct ssh_processes now = {0};
	cleanup(strv_freep) char **words = ssh_words(attempt, options, "sftp");
	struct ssh_program program;

	if (listener == 0 || ssh_processes_read(&before) < 0 || !words ||
		ssh_start(words, false, &program) < 0) {
		return;
	}
	(void)io_write_all(program.in, hello, sizeof(hello));
	ssh_forget(attempt);
	ssh_read(attempt, &program, "", SSH_PATIENCE_MS);
	pid_t pid = attempt->size > 0 && ssh_processes_read(&now) == 0
		? ssh_processes_newest(&now, listener, "sftp", &before)
		: 0;
	if (pid > 0) {
		note(attempt->pass->kinds, KIND_SFTP, pid);
	}
	ssh_end(&program, NULL);
}

/* ---- the control ---- */

/* Refuses one call that nothing makes. */
static bool install_filter(void)
{
	struct sock_filter program[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_uselib, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog filter = {ARRAY_SIZE(program), program};

	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

/* A child that is a little confined, or not at all. It writes a byte when it is ready, and stays. */
static pid_t start_child(bool confined)
{
	cleanup_close int ready = -1;
	char byte = 0;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0) {
		return 0;
	}
	ready = ends[0];
	pid_t pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (confined) {
			(void)unshare(CLONE_NEWUTS | (geteuid() == 0 ? 0 : CLONE_NEWUSER));
			(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
			(void)install_filter();
		}
		(void)!write(ends[1], &byte, 1);
		for (;;) {
			(void)pause();
		}
	}
	(void)close(ends[1]);
	(void)!read(ready, &byte, 1);
	return pid > 0 ? pid : 0;
}

static void look_at_children(struct ssh_kinds *kinds)
{
	const pid_t children[] = {
		[KIND_COMMAND] = start_child(true), [KIND_TERMINAL] = start_child(false)};

	for (size_t i = 0; i < ARRAY_SIZE(children); i++) {
		if (children[i] > 0) {
			note(kinds, (enum kind)i, children[i]);
			(void)kill(children[i], SIGKILL);
			(void)waitpid(children[i], NULL, 0);
		}
	}
}

/* ---- both ---- */

/* Once a pass. NULL when there is no memory. */
static const struct ssh_kinds *look_at_kinds(struct ssh_attempt *attempt)
{
	if (attempt->pass->kinds) {
		return attempt->pass->kinds;
	}
	attempt->pass->kinds = calloc(1, sizeof(*attempt->pass->kinds));
	if (!attempt->pass->kinds) {
		return NULL;
	}
	if (ssh_is_control(attempt)) {
		look_at_children(attempt->pass->kinds);
		return attempt->pass->kinds;
	}
	for (enum kind kind = KIND_COMMAND; kind < KIND_SFTP; kind++) {
		visit_kind(attempt, kind);
	}
	if (attempt->pass->kinds->known[KIND_COMMAND]) {
		visit_sftp(attempt);
	}
	return attempt->pass->kinds;
}

/* What the other has and the command has not, in words; "" when it is nothing. False: who knows. */
typedef bool compare_fn(
	const struct outside *command, const struct outside *other, char *out, size_t size);

static bool compare_namespaces(
	const struct outside *command, const struct outside *other, char *out, size_t size)
{
	static const char *const names[OUTSIDE_NAMESPACES] = {
		"net", "pid", "ipc", "uts", "mnt", "user", "cgroup"};

	for (size_t i = 0; i < OUTSIDE_NAMESPACES; i++) {
		size_t used = strlen(out);
		if (other->namespaces[i] == other->beside[i] && other->namespaces[i] &&
			command->namespaces[i] != command->beside[i]) {
			(void)snprintf(out + used, size - used, " %s", names[i]);
		}
	}
	return true;
}

static bool compare_privileges(
	const struct outside *command, const struct outside *other, char *out, size_t size)
{
	static const char *const names[] = {
		"inheritable", "permitted", "effective", "bounding", "ambient"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		size_t used = strlen(out);
		if (other->caps[i] & ~command->caps[i]) {
			(void)snprintf(out + used, size - used, " %s", names[i]);
		}
	}
	size_t used = strlen(out);
	(void)snprintf(out + used, size - used, "%s%s",
		command->no_new_privs == 1 && other->no_new_privs == 0 ? " new-privileges" : "",
		other->uid == 0 && command->uid != 0 ? " root" : "");
	return command->no_new_privs >= 0 && other->no_new_privs >= 0;
}

static bool compare_filters(
	const struct outside *command, const struct outside *other, char *out, size_t size)
{
	static const uint64_t none[6] = {0};
	unsigned more = 0;

	for (int number = 0; number < MAX_CALL; number++) {
		more += outside_allows(other, AUDIT_ARCH_X86_64, number, none) == 1 &&
			outside_allows(command, AUDIT_ARCH_X86_64, number, none) == 0;
	}
	if (more > 0) {
		(void)snprintf(out, size, " %u calls", more);
	} else if (command->seccomp == 2 && other->seccomp == 0) {
		(void)snprintf(out, size, " everything, without a filter");
	}
	return out[0] || (command->dumped && other->dumped);
}

static void compare_kinds(struct ssh_attempt *attempt, compare_fn *compare, const char *verb)
{
	const struct ssh_kinds *kinds = look_at_kinds(attempt);
	char text[160] = "";
	char looked[96] = "";
	unsigned others = 0;

	for (size_t i = KIND_TERMINAL; kinds && i < KIND_COUNT; i++) {
		char more[64] = "";
		size_t used = strlen(text);
		size_t size = strlen(looked);
		if (!kinds->known[KIND_COMMAND] || !kinds->known[i] ||
			!compare(&kinds->seen[KIND_COMMAND], &kinds->seen[i], more, sizeof(more))) {
			continue;
		}
		others++;
		(void)snprintf(looked + size, sizeof(looked) - size, "%s%s", size ? ", " : "",
			kind_names[i]);
		if (more[0]) {
			(void)snprintf(text + used, sizeof(text) - used, "%s%s %s%s",
				used ? "; " : "", kind_names[i], verb, more);
		}
	}
	if (others == 0) {
		ssh_decline(attempt, "the processes of its sessions cannot be read from here");
		return;
	}
	ssh_conclude(attempt, text[0] != '\0', LEVEL_STATE);
	if (text[0]) {
		ssh_say(attempt, "%s", text);
	} else {
		ssh_say(attempt, "%s: like a command", looked);
	}
}

void ssh_try_kinds_namespaces(struct ssh_attempt *attempt)
{
	compare_kinds(attempt, compare_namespaces, "shares with the host");
}

void ssh_try_kinds_privileges(struct ssh_attempt *attempt)
{
	compare_kinds(attempt, compare_privileges, "has");
}

void ssh_try_kinds_filter(struct ssh_attempt *attempt)
{
	compare_kinds(attempt, compare_filters, "may make");
}
