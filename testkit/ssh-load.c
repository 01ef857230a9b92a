/*
 * What one client can make a server hold: bytes that nobody reads, sessions that nobody ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/proc.h"
#include "base/strv.h"
#include "testkit/run.h"
#include "testkit/ssh-attempt.h"

#define KIB_HELD (32U << 10) /* more than any window: who holds that much holds all of it */
#define FLOOD_MS 1000 /* to take it in */
#define SAMPLE_USEC 50000
#define GONE_MS 5000 /* for what was killed */
#define MANY 20 /* twice what servers permit a connection unless told otherwise */

/* ---- bytes ---- */

/* KiB of memory of its own; 0 when it cannot be read, or is gone. */
static unsigned long held_by(pid_t pid)
{
	cleanup_free char *text = NULL;
	char path[48];
	const char *at = NULL;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (io_read_file(AT_FDCWD, path, 1 << 16, &text, NULL) == 0) {
		at = strstr(text, "\nRssAnon:");
	}
	return at ? strtoul(at + strlen("\nRssAnon:"), NULL, 10) : 0;
}

/* Of the server's processes, or of all below root where there is no server. */
static unsigned long held_below(const struct ssh_server *server, pid_t root)
{
	cleanup(ssh_processes_fini) struct ssh_processes all = {0};
	unsigned long sum = 0;

	(void)ssh_processes_read(&all);
	for (size_t i = 0; i < all.count; i++) {
		if (ssh_processes_below(&all, all.list[i].pid, root) &&
			(!server->listener || ssh_server_runs(server, all.list[i].pid))) {
			sum += held_by(all.list[i].pid);
		}
	}
	return sum;
}

/* What the control started, which nobody else ends. */
static void end_below(pid_t root)
{
	cleanup(ssh_processes_fini) struct ssh_processes all = {0};

	(void)ssh_processes_read(&all);
	for (size_t i = 0; i < all.count; i++) {
		if (all.list[i].pid != root && ssh_processes_below(&all, all.list[i].pid, root)) {
			(void)kill(all.list[i].pid, SIGKILL);
		}
	}
}

/* From the first byte on, which is not read either. */
static void watch_flood(struct ssh_attempt *attempt, const struct ssh_program *program)
{
	const struct ssh_server *server = &attempt->pass->server;
	const pid_t root = ssh_is_control(attempt) ? program->pid : server->listener;
	struct pollfd first = {.fd = program->out, .events = POLLIN};
	unsigned long most = 0;

	if (!ssh_is_control(attempt) &&
		(poll(&first, 1, SSH_PATIENCE_MS) != 1 || !(first.revents & POLLIN))) {
		ssh_decline(attempt, "there is no command that writes");
		return;
	}
	const unsigned long before = ssh_is_control(attempt) ? 0 : held_below(server, root);
	uint64_t until = io_now_usec() + FLOOD_MS * 1000;
	while (most < before + KIB_HELD && io_now_usec() < until && !run_interrupted()) {
		const unsigned long now = held_below(server, root);
		most = now > most ? now : most;
		canary_serve(attempt->canary);
		(void)usleep(SAMPLE_USEC);
	}
	if (most == 0) {
		ssh_decline(attempt, "the server's memory cannot be read from here");
		return;
	}
	ssh_conclude(attempt, most >= before + KIB_HELD, LEVEL_STATE);
	ssh_say(attempt, "%lu KiB more than before", most > before ? most - before : 0);
}

void ssh_try_flood(struct ssh_attempt *attempt)
{
	/* One that wants the end before it writes the beginning holds everything. */
	static const char hold[] = "head -c 67108864 /dev/zero | tail -n 1 | sleep 3";
	cleanup(strv_freep) char **words = ssh_command_words(
		attempt, NULL, ssh_is_control(attempt) ? hold : "head -c 268435456 /dev/zero");
	struct ssh_program program;

	if (!ssh_is_control(attempt) && !attempt->pass->server.listener) {
		ssh_decline(attempt, "the server's processes are not to be seen from here");
		return;
	}
	if (words && ssh_start(words, false, &program) == 0) {
		watch_flood(attempt, &program);
		if (ssh_is_control(attempt)) {
			end_below(program.pid);
		}
		ssh_end(&program, NULL);
	}
}

/* ---- sessions ---- */

struct crowd {
	char argument[32];
	struct ssh_program clients[MANY];
	unsigned came;
};

/* Those that we may end, until they are gone. */
static void end_sleeps(const char *argument)
{
	uint64_t until = io_now_usec() + GONE_MS * 1000;

	while (ssh_end_sleeps(argument) > 0 && io_now_usec() < until) {
		(void)usleep(SSH_STEP_MS * 1000);
	}
}

/* One after the other, until one does not come. */
static void crowd_in(struct ssh_attempt *attempt, const char *path, struct crowd *crowd)
{
	static char single[] = "-oControlMaster=no";
	static char alone[] = "-oProxyCommand=false"; /* instead of a connection of its own */
	char control[200];
	char command[80];
	char *const options[] = {control, single, alone, NULL};

	(void)snprintf(control, sizeof(control), "-oControlPath=%s", path);
	(void)snprintf(command, sizeof(command), "echo up; sleep %s; true", crowd->argument);
	while (crowd->came < MANY && !run_interrupted()) {
		cleanup(strv_freep) char **words = ssh_words(attempt, options, command);
		struct ssh_program *client = &crowd->clients[crowd->came];
		if (!words || ssh_start(words, false, client) < 0) {
			return;
		}
		ssh_forget(attempt);
		ssh_read(attempt, client, "up", SSH_PATIENCE_MS);
		if (!attempt->out || !strstr(attempt->out, "up")) {
			ssh_end(client, NULL);
			return;
		}
		crowd->came++;
	}
}

static void open_sessions(struct ssh_attempt *attempt, struct crowd *crowd)
{
	static char master[] = "-M";
	static char only[] = "-N";
	static char option[] = "-S";
	char path[160];
	char *const options[] = {master, only, option, path, NULL};
	uint64_t until = io_now_usec() + SSH_PATIENCE_MS * 1000;
	struct ssh_program program;

	(void)snprintf(path, sizeof(path), "%s/many", attempt->canary->tmp);
	cleanup(strv_freep) char **words = ssh_words(attempt, options, NULL);
	if (!words || ssh_start(words, false, &program) < 0) {
		return;
	}
	while (access(path, F_OK) < 0 && ssh_is_alive(&program) && io_now_usec() < until) {
		(void)usleep(SSH_STEP_MS * 1000);
	}
	crowd_in(attempt, path, crowd);
	const unsigned seen = ssh_count_sleeps(crowd->argument);
	if (crowd->came > 0) {
		ssh_claim(attempt, crowd->came == MANY);
		ssh_conclude(attempt, crowd->came == MANY, seen ? LEVEL_STATE : LEVEL_TOKEN);
		ssh_say(attempt, "%u at once, %u of them seen by the host%s", crowd->came, seen,
			crowd->came < MANY ? "; no more were let in" : "");
	}
	end_sleeps(crowd->argument);
	ssh_end(&program, NULL);
	for (unsigned i = 0; i < crowd->came; i++) {
		ssh_end(&crowd->clients[i], NULL);
	}
	(void)unlink(path);
}

/* A shell of our own that nobody counts the children of. */
static void open_children(struct ssh_attempt *attempt, const char *argument)
{
	char command[160];
	struct ssh_program program;
	cleanup(strv_freep) char **words = NULL;
	unsigned seen = 0;
	uint64_t until = io_now_usec() + SSH_PATIENCE_MS * 1000;

	(void)snprintf(command, sizeof(command),
		"i=0; while [ $i -lt %d ]; do sleep %s & i=$((i + 1)); done; wait", MANY, argument);
	words = ssh_command_words(attempt, NULL, command);
	if (!words || ssh_start(words, false, &program) < 0) {
		return;
	}
	while (seen < MANY && io_now_usec() < until && !run_interrupted()) {
		(void)usleep(SSH_STEP_MS * 1000);
		seen = ssh_count_sleeps(argument);
	}
	ssh_claim(attempt, seen >= MANY);
	ssh_conclude(attempt, seen >= MANY, LEVEL_STATE);
	end_sleeps(argument);
	ssh_end(&program, NULL);
}

void ssh_try_many(struct ssh_attempt *attempt)
{
	struct crowd crowd = {.came = 0};

	ssh_choose_sleep(crowd.argument);
	if (ssh_is_control(attempt)) {
		open_children(attempt, crowd.argument);
	} else {
		open_sessions(attempt, &crowd);
	}
}
