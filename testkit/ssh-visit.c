/*
 * A session that stays while we look at it: its command ends in a sleep that nobody else has, by which
 * its process is found on this host.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/proc.h"
#include "base/strv.h"
#include "testkit/run.h"
#include "testkit/ssh-attempt.h"

#define LOOK_MS 20
#define APPEAR_MS 3000 /* for a process of which we know that it runs */
#define HERE "here-it-is"

bool ssh_is_alive(const struct ssh_program *program)
{
	struct pollfd wait = {.fd = program->pidfd, .events = POLLIN};

	return program->pidfd >= 0 && poll(&wait, 1, 0) == 0;
}

pid_t ssh_await_sleep(const char *argument, bool there, unsigned ms)
{
	uint64_t until = io_now_usec() + (uint64_t)ms * 1000;
	pid_t pid = ssh_find_sleep(argument);

	while ((pid > 0) != there && io_now_usec() < until && !run_interrupted()) {
		(void)usleep(LOOK_MS * 1000);
		pid = ssh_find_sleep(argument);
	}
	return pid;
}

/*
 * Waits for its word that it is there, however long a busy machine takes as long as there is a client
 * that could bring it, and then not much longer for its process.
 */
static void await_visit(struct ssh_attempt *attempt, struct ssh_visit *visit)
{
	uint64_t until = io_now_usec() + SSH_PATIENCE_MS * 1000;
	bool heard = false;
	bool alive = true;

	ssh_forget(attempt);
	while (visit->pid == 0 && alive && io_now_usec() < until && !run_interrupted()) {
		/* Asked before we look, so that one who just ended is looked for once more. */
		alive = ssh_is_alive(&visit->program);
		ssh_read(attempt, &visit->program, HERE, LOOK_MS);
		visit->pid = attempt->pass->hidden ? 0 : ssh_find_sleep(visit->argument);
		(void)usleep(visit->pid ? 0 : SSH_STEP_MS * 1000); /* its output may have ended */
		if (!heard && attempt->out && strstr(attempt->out, HERE)) {
			heard = true;
			until = attempt->pass->hidden ? 0 : io_now_usec() + APPEAR_MS * 1000;
		}
	}
	if (visit->pid > 0 && !heard) {
		ssh_read(attempt, &visit->program, HERE, APPEAR_MS);
	}
	attempt->pass->hidden |= heard && visit->pid == 0 && alive;
}

bool ssh_visit(struct ssh_attempt *attempt, const struct ssh_wish *wish, struct ssh_visit *ret)
{
	char command[640];
	cleanup(strv_freep) char **words = NULL;

	*ret = (struct ssh_visit){.program = {-1, -1, -1, 0}};
	ssh_choose_sleep(ret->argument);
	(void)snprintf(command, sizeof(command), "%s echo " HERE "; sleep %s; true",
		wish->before ? wish->before : "", ret->argument);
	words = wish->shell && !ssh_is_control(attempt)
		? ssh_words(attempt, wish->options, NULL)
		: ssh_command_words(attempt, wish->options, command);
	if (!words || ssh_start(words, false, &ret->program) < 0) {
		return false;
	}
	if (wish->shell && !ssh_is_control(attempt)) {
		(void)io_write_all(ret->program.in, command, strlen(command));
		(void)io_write_all(ret->program.in, "\n", 1);
	}
	await_visit(attempt, ret);
	if (ret->pid == 0) {
		ssh_say(attempt,
			ssh_is_alive(&ret->program) ? "its processes cannot be seen from here"
						    : "there is no such session");
	}
	return ret->pid > 0;
}

void ssh_leave(struct ssh_visit *visit)
{
	/* A server that leaves it running is another probe's business: here it would be in the way. */
	const pid_t pid = visit->pid > 0 ? ssh_find_sleep(visit->argument) : 0;

	if (pid > 0) {
		(void)kill(pid, SIGKILL);
	}
	ssh_end(&visit->program, NULL);
}
