/*
 * What stays when a session or its client is gone, and what two sessions have in common.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/proc.h"
#include "base/strv.h"
#include "testkit/run.h"
#include "testkit/ssh-attempt.h"

#define LINGER_MS 3000 /* for what should be gone */

static void conclude_sleep(struct ssh_attempt *attempt, const char *argument)
{
	/* The control needs no patience: nobody is to end it. */
	pid_t pid = ssh_await_sleep(argument, false, ssh_is_control(attempt) ? 200 : LINGER_MS);

	ssh_claim(attempt, pid > 0);
	ssh_conclude(attempt, pid > 0, LEVEL_STATE);
	if (pid > 0) {
		(void)kill(pid, SIGKILL);
	}
}

/* The client is killed, with no word to the server, while `before` and a sleep run. */
static void kill_client(struct ssh_attempt *attempt, const char *before)
{
	const struct ssh_wish wish = {.before = before};
	struct ssh_visit visit;
	bool came = ssh_visit(attempt, &wish, &visit);

	if (visit.program.pidfd >= 0) {
		(void)proc_signal(visit.program.pidfd, SIGKILL);
	}
	ssh_end(&visit.program, NULL);
	if (came) {
		conclude_sleep(attempt, visit.argument);
	} else {
		ssh_claim(attempt, false);
	}
}

void ssh_try_kill_client(struct ssh_attempt *attempt)
{
	kill_client(attempt, NULL);
}

/* The same by one who hears no signal that can be refused. */
void ssh_try_resist(struct ssh_attempt *attempt)
{
	kill_client(attempt, "trap '' HUP TERM INT QUIT PIPE USR1 USR2 TSTP ALRM;");
}

/* One that goes into a session of its own and lets go of everything. */
void ssh_try_leave_daemon(struct ssh_attempt *attempt)
{
	char argument[32];
	char command[160];
	cleanup(strv_freep) char **words = NULL;
	struct ssh_program program;
	int ignored = 0;

	ssh_choose_sleep(argument);
	(void)snprintf(command, sizeof(command),
		"setsid sleep %s </dev/null >/dev/null 2>&1 & sleep 0.3; echo left", argument);
	words = ssh_command_words(attempt, NULL, command);
	if (!words || ssh_start(words, false, &program) < 0) {
		return;
	}
	/* Not to its end: there are sessions that last as long as what they left. */
	ssh_read(attempt, &program, "left", SSH_PATIENCE_MS);
	ssh_end(&program, &ignored);
	if (attempt->out && strstr(attempt->out, "left")) {
		conclude_sleep(attempt, argument);
	}
}

/* The master of a connection that others use, and what ends it; both words are the caller's. */
static char **share(
	char path[160], char words[4][200], const struct ssh_attempt *attempt, char *options[5])
{
	(void)snprintf(path, 160, "%s/mux", attempt->canary->tmp);
	(void)snprintf(words[0], 200, "-oControlPath=%s", path);
	(void)snprintf(words[1], 200, "-oControlMaster=auto");
	(void)snprintf(words[2], 200, "-oControlPersist=10");
	(void)snprintf(words[3], 200, "-Oexit");
	for (size_t i = 0; i < 3; i++) {
		options[i] = words[i];
	}
	options[3] = NULL;
	return options;
}

static void end_sharing(struct ssh_attempt *attempt, const char *path, char words[4][200])
{
	char *last[] = {words[0], words[3], NULL};
	cleanup(strv_freep) char **argv = NULL;

	if (!ssh_is_control(attempt)) {
		argv = ssh_words(attempt, last, NULL);
		(void)ssh_run(attempt, argv, NULL, false);
	}
	(void)unlink(path);
}

/* Two commands of one connection: are they in the same place? */
void ssh_try_channels(struct ssh_attempt *attempt)
{
	char path[160];
	char text[4][200];
	char first[64] = "";
	char *options[5];

	(void)share(path, text, attempt, options);
	for (int i = 0; i < 2; i++) {
		(void)ssh_run_command(attempt, options, "readlink /proc/self/ns/mnt", false);
		ssh_cut_line(attempt);
		if (i == 0) {
			(void)snprintf(
				first, sizeof(first), "%.60s", attempt->out ? attempt->out : "");
		}
	}
	bool same = first[0] && attempt->out && strcmp(first, attempt->out) == 0;
	ssh_claim(attempt, same);
	if (first[0]) {
		ssh_conclude(attempt, same, LEVEL_TOKEN);
	}
	end_sharing(attempt, path, text);
}

/* Two commands of one connection at the same time: a file of the first, and its process. */
void ssh_try_meet(struct ssh_attempt *attempt)
{
	char path[160];
	char text[4][200];
	char token[CANARY_TOKEN];
	char before[160];
	char command[320];
	char *options[5];
	const struct ssh_wish wish = {
		.options = share(path, text, attempt, options), .before = before};
	struct ssh_visit visit;

	(void)canary_token(attempt->canary, attempt->probe->id, token);
	(void)snprintf(before, sizeof(before), "echo %s >/tmp/%s;", token, token);
	bool there = ssh_visit(attempt, &wish, &visit);
	/* Where its process cannot be seen from here the second can look all the same. */
	(void)snprintf(command, sizeof(command),
		"cat /tmp/%s 2>/dev/null; grep -lsz '^%s$' /proc/[0-9]*/cmdline | sed "
		"s/^/process=/; "
		"echo looked",
		token, visit.argument);
	if (there || ssh_is_alive(&visit.program)) {
		(void)ssh_run_command(attempt, options, command, false);
	}
	bool file = attempt->out && strstr(attempt->out, token);
	bool process = attempt->out && strstr(attempt->out, "process=");
	ssh_claim(attempt, file || process);
	if (attempt->out && strstr(attempt->out, "looked")) {
		ssh_conclude(attempt, file || process, LEVEL_TOKEN);
		ssh_say(attempt, "the other's %s%s%s", file ? "file" : "",
			file && process ? " and " : "",
			process        ? "process"
				: file ? ""
				       : "nothing");
	}
	end_sharing(attempt, path, text);
	ssh_leave(&visit);
	/* Where /tmp is the host's the first one had no time to remove it. */
	(void)snprintf(path, sizeof(path), "/tmp/%s", token);
	(void)unlink(path);
}

/* A name that is a path: the login must fail, and nothing be made of it. */
void ssh_try_user_name(struct ssh_attempt *attempt)
{
	char token[CANARY_TOKEN];
	char name[64];
	char option[80];
	char path[64];
	char *options[] = {option, NULL};

	(void)canary_token(attempt->canary, attempt->probe->id, token);
	(void)snprintf(name, sizeof(name), "../../../../../tmp/%s", token);
	(void)snprintf(path, sizeof(path), "/tmp/%s", token);
	(void)snprintf(option, sizeof(option), "-oUser=%s", name);
	if (ssh_is_control(attempt)) {
		ssh_claim(attempt, mkdir(path, 0700) == 0);
	} else {
		/* The first one given counts, for ssh: ours stands before the target's. */
		(void)ssh_run_command(attempt, options, "true", false);
		ssh_claim(attempt, attempt->code == 0);
	}
	ssh_conclude(attempt, access(path, F_OK) == 0, LEVEL_COMPARED);
	(void)rmdir(path);
}
