/*
 * What the server forwards, by TCP and by paths, in both directions.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/proc.h"
#include "base/strv.h"
#include "testkit/run.h"
#include "testkit/ssh-attempt.h"

#define FORWARD_MS 2000 /* for what is forwarded to come up */

static int dial_tcp(unsigned port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	cleanup_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0
		? -1
		: take_fd(&fd);
}

static int dial_unix(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	return fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0
		? -1
		: take_fd(&fd);
}

/* Says who is there and waits for the canary to hear of it. */
static void greet_canary(struct ssh_attempt *attempt, int fd)
{
	char line[96];
	int length =
		snprintf(line, sizeof(line), "%s %s\n", attempt->canary->fence, attempt->probe->id);
	uint64_t until = io_now_usec() + 1000 * 1000;

	if (fd >= 0 && send(fd, line, (size_t)length, MSG_NOSIGNAL) == length) {
		while (!ssh_reached(attempt) && io_now_usec() < until) {
			canary_serve(attempt->canary);
			(void)usleep(SSH_STEP_MS * 1000);
		}
	}
}

void ssh_try_local_tcp(struct ssh_attempt *attempt)
{
	char port[16] = "";
	char where[40];
	char line[96];
	cleanup(strv_freep) char **words = NULL;
	cleanup_close int fd = -1;

	(void)ssh_setting(attempt, "tcp4", port, sizeof(port));
	if (ssh_is_control(attempt)) {
		fd = dial_tcp((unsigned)atoi(port));
		greet_canary(attempt, fd);
	} else {
		(void)snprintf(where, sizeof(where), "127.0.0.1:%s", port);
		(void)snprintf(
			line, sizeof(line), "%s %s\n", attempt->canary->fence, attempt->probe->id);
		char option[] = "-W";
		char *options[] = {option, where, NULL};
		words = ssh_words(attempt, options, NULL);
		(void)ssh_run(attempt, words, line, false);
	}
	ssh_claim(attempt, ssh_reached(attempt) || attempt->size > 0);
	ssh_conclude(attempt, ssh_reached(attempt), LEVEL_EVENT);
}

/* A forwarding that stays while we look. Calls look until it says yes, or for a while. */
static void with_forwarding(struct ssh_attempt *attempt, char *const options[],
	bool (*look)(struct ssh_attempt *attempt, const char *arg), const char *arg)
{
	cleanup(strv_freep) char **words = ssh_words(attempt, options, NULL);
	struct ssh_program program;
	uint64_t until = io_now_usec() + FORWARD_MS * 1000;
	bool seen = false;
	bool alive = true;
	int status = 0;

	if (!words || ssh_start(words, false, &program) < 0) {
		return;
	}
	while (!seen && alive && io_now_usec() < until && !run_interrupted()) {
		seen = look(attempt, arg);
		alive = proc_wait(program.pidfd, 0, &status) == -ETIMEDOUT;
		canary_serve(attempt->canary);
		(void)usleep(SSH_STEP_MS * 1000);
	}
	ssh_claim(attempt, seen || alive);
	ssh_conclude(attempt, seen, LEVEL_EVENT);
	if (!alive) {
		close_fdp(&program.pidfd);
	}
	ssh_end(&program, NULL);
}

static bool look_path(struct ssh_attempt *attempt, const char *arg)
{
	cleanup_close int fd = dial_unix(arg);

	greet_canary(attempt, fd);
	return ssh_reached(attempt);
}

void ssh_try_local_path(struct ssh_attempt *attempt)
{
	char path[108] = "";
	char own[108];
	char where[256];
	char name[] = "-L";
	char only[] = "-N";
	char *options[] = {name, where, only, NULL};

	(void)ssh_setting(attempt, "unix.path", path, sizeof(path));
	if (ssh_is_control(attempt)) {
		ssh_claim(attempt, look_path(attempt, path));
		ssh_conclude(attempt, ssh_reached(attempt), LEVEL_EVENT);
		return;
	}
	(void)snprintf(own, sizeof(own), "%s/forward", attempt->canary->tmp);
	(void)snprintf(where, sizeof(where), "%s:%s", own, path);
	with_forwarding(attempt, options, look_path, own);
	/* ssh listens whatever the server will say: only an arrival tells. */
	ssh_claim(attempt, ssh_reached(attempt));
	(void)unlink(own);
}

static bool look_port(struct ssh_attempt *attempt, const char *arg)
{
	cleanup_close int fd = dial_tcp((unsigned)atoi(arg));

	(void)attempt;
	return fd >= 0;
}

void ssh_try_remote_tcp(struct ssh_attempt *attempt)
{
	char port[16];
	char where[64];
	char own[16] = "";
	char name[] = "-R";
	char only[] = "-N";
	char option[] = "-oExitOnForwardFailure=yes";
	char *options[] = {name, where, only, option, NULL};

	(void)ssh_setting(attempt, "tcp4", own, sizeof(own));
	if (ssh_is_control(attempt)) {
		ssh_claim(attempt, true);
		ssh_conclude(attempt, look_port(attempt, own), LEVEL_EVENT);
		return;
	}
	(void)snprintf(port, sizeof(port), "%u", attempt->canary->listen_port);
	(void)snprintf(where, sizeof(where), "127.0.0.1:%s:127.0.0.1:%s", port, own);
	with_forwarding(attempt, options, look_port, port);
}

static bool look_socket(struct ssh_attempt *attempt, const char *arg)
{
	struct stat info;

	(void)attempt;
	return lstat(arg, &info) == 0 && S_ISSOCK(info.st_mode);
}

void ssh_try_remote_path(struct ssh_attempt *attempt)
{
	char own[108] = "";
	char path[160];
	char where[300];
	char name[] = "-R";
	char only[] = "-N";
	char option[] = "-oExitOnForwardFailure=yes";
	char *options[] = {name, where, only, option, NULL};

	(void)ssh_setting(attempt, "unix.path", own, sizeof(own));
	if (ssh_is_control(attempt)) {
		ssh_claim(attempt, true);
		ssh_conclude(attempt, look_socket(attempt, own), LEVEL_EVENT);
		return;
	}
	(void)snprintf(path, sizeof(path), "%s/meet/H.remote-path", attempt->canary->directory);
	(void)snprintf(where, sizeof(where), "%s:%s", path, own);
	with_forwarding(attempt, options, look_socket, path);
	(void)unlink(path);
}
