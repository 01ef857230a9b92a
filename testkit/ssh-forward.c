/*
 * What the server forwards, by TCP and by paths, in both directions.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/strv.h"
#include "testkit/run.h"
#include "testkit/ssh-attempt.h"

#define FORWARD_MS 6000 /* for what the server forwards to come up */
#define GREET_MS 3000 /* for a connection to get through it */

/* What is seen of a forwarding: it is not up yet, it brought us there, or it did not. */
enum look { LOOK_WAIT, LOOK_SEEN, LOOK_REFUSED };

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

/* Says who is there and waits for the canary to hear of it, or for the other end to be closed. */
static void greet_canary(struct ssh_attempt *attempt, int fd)
{
	char line[96];
	char answer[64];
	int length =
		snprintf(line, sizeof(line), "%s %s\n", attempt->canary->fence, attempt->probe->id);
	uint64_t until = io_now_usec() + GREET_MS * 1000;

	if (fd < 0 || send(fd, line, (size_t)length, MSG_NOSIGNAL) != length) {
		return;
	}
	while (io_now_usec() < until) {
		/* Asked before we look, so that what came just before the end counts. */
		const bool closed = recv(fd, answer, sizeof(answer), MSG_DONTWAIT) == 0;
		canary_serve(attempt->canary);
		if (ssh_reached(attempt) || closed) {
			return;
		}
		(void)usleep(SSH_STEP_MS * 1000);
	}
}

void ssh_dial_canary(struct ssh_attempt *attempt)
{
	char port[16] = "";

	(void)ssh_setting(attempt, "tcp4", port, sizeof(port));
	cleanup_close int fd = dial_tcp((unsigned)atoi(port));
	greet_canary(attempt, fd);
}

void ssh_try_local_tcp(struct ssh_attempt *attempt)
{
	char port[16] = "";
	char where[40];
	char line[96];
	cleanup(strv_freep) char **words = NULL;

	(void)ssh_setting(attempt, "tcp4", port, sizeof(port));
	if (ssh_is_control(attempt)) {
		ssh_dial_canary(attempt);
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

/* A forwarding that stays while we look, until it is up and through, or refused, or ms are over. */
static void with_forwarding(struct ssh_attempt *attempt, char *const options[],
	enum look (*look)(struct ssh_attempt *attempt, const char *arg), const char *arg,
	unsigned ms)
{
	cleanup(strv_freep) char **words = ssh_words(attempt, options, NULL);
	struct ssh_program program;
	uint64_t until = io_now_usec() + (uint64_t)ms * 1000;
	enum look seen = LOOK_WAIT;
	bool alive = true;

	if (!words || ssh_start(words, false, &program) < 0) {
		return;
	}
	while (seen == LOOK_WAIT && alive && io_now_usec() < until && !run_interrupted()) {
		alive = ssh_is_alive(&program);
		seen = look(attempt, arg);
		canary_serve(attempt->canary);
		(void)usleep(SSH_STEP_MS * 1000);
	}
	ssh_claim(attempt, seen == LOOK_SEEN || alive);
	ssh_conclude(attempt, seen == LOOK_SEEN, LEVEL_EVENT);
	ssh_end(&program, NULL);
}

static enum look look_path(struct ssh_attempt *attempt, const char *arg)
{
	cleanup_close int fd = dial_unix(arg);

	greet_canary(attempt, fd);
	return ssh_reached(attempt) ? LOOK_SEEN : fd >= 0 ? LOOK_REFUSED : LOOK_WAIT;
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
		ssh_claim(attempt, look_path(attempt, path) == LOOK_SEEN);
		ssh_conclude(attempt, ssh_reached(attempt), LEVEL_EVENT);
		return;
	}
	(void)snprintf(own, sizeof(own), "%s/forward", attempt->canary->tmp);
	(void)snprintf(where, sizeof(where), "%s:%s", own, path);
	with_forwarding(attempt, options, look_path, own, SSH_PATIENCE_MS);
	/* ssh listens whatever the server will say: only an arrival tells. */
	ssh_claim(attempt, ssh_reached(attempt));
	(void)unlink(own);
}

/* -R for something that must be there, or ssh ends. */
static void with_remote(struct ssh_attempt *attempt, char *where,
	enum look (*look)(struct ssh_attempt *attempt, const char *arg), const char *arg)
{
	char name[] = "-R";
	char only[] = "-N";
	char option[] = "-oExitOnForwardFailure=yes";
	char *options[] = {name, where, only, option, NULL};

	with_forwarding(attempt, options, look, arg, FORWARD_MS);
}

static enum look look_port(struct ssh_attempt *attempt, const char *arg)
{
	cleanup_close int fd = dial_tcp((unsigned)atoi(arg));

	(void)attempt;
	return fd >= 0 ? LOOK_SEEN : LOOK_WAIT;
}

void ssh_try_remote_tcp(struct ssh_attempt *attempt)
{
	char port[16];
	char where[64];
	char own[16] = "";

	(void)ssh_setting(attempt, "tcp4", own, sizeof(own));
	if (ssh_is_control(attempt)) {
		ssh_claim(attempt, true);
		ssh_conclude(attempt, look_port(attempt, own) == LOOK_SEEN, LEVEL_EVENT);
		return;
	}
	(void)snprintf(port, sizeof(port), "%u", attempt->canary->listen_port);
	(void)snprintf(where, sizeof(where), "127.0.0.1:%s:127.0.0.1:%s", port, own);
	with_remote(attempt, where, look_port, port);
}

static enum look look_socket(struct ssh_attempt *attempt, const char *arg)
{
	struct stat info;

	(void)attempt;
	return lstat(arg, &info) == 0 && S_ISSOCK(info.st_mode) ? LOOK_SEEN : LOOK_WAIT;
}

void ssh_try_remote_path(struct ssh_attempt *attempt)
{
	char own[108] = "";
	char path[160];
	char where[300];

	(void)ssh_setting(attempt, "unix.path", own, sizeof(own));
	if (ssh_is_control(attempt)) {
		ssh_claim(attempt, true);
		ssh_conclude(attempt, look_socket(attempt, own) == LOOK_SEEN, LEVEL_EVENT);
		return;
	}
	(void)snprintf(path, sizeof(path), "%s/meet/H.remote-path", attempt->canary->directory);
	(void)snprintf(where, sizeof(where), "%s:%s", path, own);
	with_remote(attempt, where, look_socket, path);
	(void)unlink(path);
}

/* Nobody listens there: it is enough that the file is one no more. */
static bool put_socket_over(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || strlen(path) >= sizeof(address.sun_path)) {
		return false;
	}
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	return unlink(path) == 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
}

void ssh_try_remote_over(struct ssh_attempt *attempt)
{
	char own[108] = "";
	char path[160];
	char where[300];

	(void)ssh_setting(attempt, "unix.path", own, sizeof(own));
	(void)snprintf(path, sizeof(path), "%s/meet/H.remote-over", attempt->canary->directory);
	cleanup_close int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (file < 0) {
		return;
	}
	if (ssh_is_control(attempt)) {
		ssh_claim(attempt, put_socket_over(path));
		ssh_conclude(attempt, look_socket(attempt, path) == LOOK_SEEN, LEVEL_EVENT);
	} else {
		(void)snprintf(where, sizeof(where), "%s:%s", path, own);
		with_remote(attempt, where, look_socket, path);
	}
	(void)unlink(path);
}
