/*
 * What stays when a session or its client is gone, and what two sessions have in common.
 */
#include <dirent.h>
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

/* A process whose command is exactly this. */
static pid_t find_command(const char *word, const char *argument)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry = NULL;
	pid_t found = 0;
	char wanted[96];
	size_t length = (size_t)snprintf(wanted, sizeof(wanted), "%s%c%s", word, 0, argument) + 1;

	while (proc && !found && (entry = readdir(proc))) {
		char path[48];
		char text[96];
		if (atoi(entry->d_name) <= 0) {
			continue;
		}
		(void)snprintf(path, sizeof(path), "/proc/%.20s/cmdline", entry->d_name);
		cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = fd >= 0 ? read(fd, text, sizeof(text)) : -1;
		if (n == (ssize_t)length && memcmp(text, wanted, length) == 0) {
			found = atoi(entry->d_name);
		}
	}
	if (proc) {
		(void)closedir(proc);
	}
	return found;
}

/* A time to sleep that nobody else has. */
static void choose_sleep(char out[32])
{
	uint32_t random = 0;

	io_random(&random, sizeof(random));
	(void)snprintf(out, 32, "40.%010u", random);
}

/* Waits for it to be there, or to be gone. */
static pid_t await_sleep(const char *argument, bool there, unsigned ms)
{
	uint64_t until = io_now_usec() + (uint64_t)ms * 1000;
	pid_t pid = find_command("sleep", argument);

	while ((pid > 0) != there && io_now_usec() < until && !run_interrupted()) {
		(void)usleep(20000);
		pid = find_command("sleep", argument);
	}
	return pid;
}

static void conclude_sleep(struct ssh_attempt *attempt, const char *argument)
{
	/* The control needs no patience: nobody is to end it. */
	pid_t pid = await_sleep(argument, false, ssh_is_control(attempt) ? 200 : LINGER_MS);

	ssh_claim(attempt, pid > 0);
	ssh_conclude(attempt, pid > 0, LEVEL_STATE);
	if (pid > 0) {
		(void)kill(pid, SIGKILL);
	}
}

/* The client is killed, with no word to the server. */
void ssh_try_kill_client(struct ssh_attempt *attempt)
{
	char argument[32];
	char command[64];
	cleanup(strv_freep) char **words = NULL;
	struct ssh_program program;

	choose_sleep(argument);
	(void)snprintf(command, sizeof(command), "sleep %s; true", argument);
	if (ssh_is_control(attempt)) {
		if (strv_append(&words, "setsid") < 0 || strv_append(&words, "sh") < 0 ||
			strv_append(&words, "-c") < 0 || strv_append(&words, command) < 0) {
			return;
		}
	} else {
		words = ssh_words(attempt, NULL, command);
	}
	if (!words || ssh_start(words, false, &program) < 0) {
		return;
	}
	bool came = await_sleep(argument, true, SSH_PATIENCE_MS / 2) > 0;
	(void)proc_signal(program.pidfd, SIGKILL);
	ssh_end(&program, NULL);
	if (came) {
		conclude_sleep(attempt, argument);
	} else {
		ssh_claim(attempt, false);
		ssh_say(attempt, "its processes cannot be seen from here");
	}
}

/* One that goes into a session of its own and lets go of everything. */
void ssh_try_leave_daemon(struct ssh_attempt *attempt)
{
	char argument[32];
	char command[160];

	choose_sleep(argument);
	(void)snprintf(command, sizeof(command),
		"setsid sleep %s </dev/null >/dev/null 2>&1 & sleep 0.3; echo left", argument);
	(void)ssh_run_command(attempt, NULL, command, false);
	if (attempt->out && strstr(attempt->out, "left")) {
		conclude_sleep(attempt, argument);
	}
}

/* Two commands of one connection: are they in the same place? */
void ssh_try_channels(struct ssh_attempt *attempt)
{
	char path[160];
	char control[200];
	char first[64] = "";
	char master[] = "-oControlMaster=auto";
	char stay[] = "-oControlPersist=5";
	char leave[] = "-Oexit";
	char *options[] = {master, stay, control, NULL};
	char *last[] = {control, leave, NULL};
	cleanup(strv_freep) char **words = NULL;

	(void)snprintf(path, sizeof(path), "%s/mux", attempt->canary->tmp);
	(void)snprintf(control, sizeof(control), "-oControlPath=%s", path);
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
	if (!ssh_is_control(attempt)) {
		words = ssh_words(attempt, last, NULL);
		(void)ssh_run(attempt, words, NULL, false);
	}
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
