#include "testkit/ssh.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/proc.h"
#include "base/strv.h"
#include "testkit/run.h"
#include "testkit/ssh-attempt.h"

#define MAX_OUTPUT (4U << 20)

void ssh_say(struct ssh_attempt *attempt, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(attempt->outcome->detail, sizeof(attempt->outcome->detail), format, args);
	va_end(args);
}

void ssh_claim(struct ssh_attempt *attempt, bool done)
{
	attempt->outcome->claim = done ? CLAIM_DONE : CLAIM_REFUSED;
}

void ssh_conclude(struct ssh_attempt *attempt, bool seen, enum evidence_level level)
{
	attempt->outcome->evidence = seen ? EVIDENCE_SEEN : EVIDENCE_UNSEEN;
	attempt->outcome->level = level;
}

bool ssh_is_control(const struct ssh_attempt *attempt)
{
	return attempt->target == NULL;
}

bool ssh_reached(const struct ssh_attempt *attempt)
{
	return attempt->canary->reached[probe_index(attempt->probe)];
}

/* "ssh", the options of this attempt, those of the target, the host, and the command if any. */
char **ssh_words(const struct ssh_attempt *attempt, char *const options[], const char *command)
{
	char **words = NULL;
	char *const *from = attempt->target->argv;
	int r = strv_append(&words, "ssh");

	for (size_t i = 0; r == 0 && options && options[i]; i++) {
		r = strv_append(&words, options[i]);
	}
	for (size_t i = 1; r == 0 && from[i]; i++) {
		/* A terminal is asked for by those who want one. */
		r = strcmp(from[i], "-T") == 0 ? 0 : strv_append(&words, from[i]);
	}
	r = r == 0 && command ? strv_append(&words, command) : r;
	return r == 0 ? words : strv_free(words);
}

char **ssh_sftp_words(const struct target *target)
{
	static const char *const first[] = {"sftp", "-q", "-b", "-"};
	char **words = NULL;
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(first); i++) {
		r = strv_append(&words, first[i]);
	}
	for (size_t i = 1; r == 0 && target->argv[i]; i++) {
		r = strcmp(target->argv[i], "-T") == 0 ? 0 : strv_append(&words, target->argv[i]);
	}
	return r == 0 ? words : strv_free(words);
}

void ssh_end(struct ssh_program *program, int *ret_code)
{
	int status = 0;

	close_fdp(&program->in);
	if (program->pidfd >= 0) {
		bool ended = proc_wait(program->pidfd, ret_code ? 500 : 0, &status) == 0;
		if (!ended) {
			(void)proc_signal(program->pidfd, SIGKILL);
			(void)proc_wait(program->pidfd, 1000, &status);
		}
		if (ret_code) {
			*ret_code = ended && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
		}
	}
	close_fdp(&program->pidfd);
	close_fdp(&program->out);
}

/* both: standard error goes where standard output goes. */
int ssh_start(char *const words[], bool both, struct ssh_program *ret)
{
	cleanup(strv_freep) char **argv = NULL; /* env looks the program up */
	int in[2];
	int out[2];
	int r = strv_append(&argv, "/usr/bin/env");

	*ret = (struct ssh_program){-1, -1, -1, 0};
	for (; r == 0 && *words; words++) {
		r = strv_append(&argv, *words);
	}
	if (r < 0) {
		return r;
	}
	if (pipe2(in, O_CLOEXEC) < 0) {
		return -errno;
	}
	if (pipe2(out, O_CLOEXEC) < 0) {
		(void)close(in[0]);
		(void)close(in[1]);
		return -errno;
	}
	const int fds[3] = {in[0], out[1], both ? out[1] : -1};
	ret->pidfd = proc_spawn(argv, environ, fds, &ret->pid);
	(void)close(in[0]);
	(void)close(out[1]);
	ret->in = in[1];
	ret->out = out[0];
	(void)io_set_nonblocking(ret->out, true);
	return ret->pidfd < 0 ? ret->pidfd : 0;
}

/* Reads until the end or until then, serving the canaries meanwhile. */
static void read_program(
	struct ssh_attempt *attempt, const struct ssh_program *program, uint64_t until)
{
	while (io_now_usec() < until && !run_interrupted()) {
		char data[16384];
		ssize_t n = read(program->out, data, sizeof(data));
		struct pollfd wait = {.fd = program->out, .events = POLLIN};
		canary_serve(attempt->canary);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
			return;
		}
		if (n > 0 && attempt->size + (size_t)n <= MAX_OUTPUT) {
			char *more = realloc(attempt->out, attempt->size + (size_t)n + 1);
			if (!more) {
				return;
			}
			memcpy(more + attempt->size, data, (size_t)n);
			attempt->out = more;
			attempt->size += (size_t)n;
			more[attempt->size] = '\0';
		}
		if (n < 0) {
			(void)poll(&wait, 1, SSH_STEP_MS);
		}
	}
}

static void forget_output(struct ssh_attempt *attempt)
{
	free(attempt->out);
	attempt->out = NULL;
	attempt->size = 0;
}

int ssh_run(struct ssh_attempt *attempt, char *const words[], const char *input, bool both)
{
	struct ssh_program program;
	int r = words ? ssh_start(words, both, &program) : -ENOMEM;

	forget_output(attempt);
	attempt->code = -1;
	if (r < 0) {
		return r;
	}
	if (input) {
		(void)io_write_all(program.in, input, strlen(input));
	}
	if (!both || !input) {
		close_fdp(&program.in);
	}
	read_program(attempt, &program, io_now_usec() + SSH_PATIENCE_MS * 1000);
	ssh_end(&program, &attempt->code);
	return 0;
}

/* The command in the login, or in a shell of our own for the control. */
int ssh_run_command(
	struct ssh_attempt *attempt, char *const options[], const char *command, bool both)
{
	cleanup(strv_freep) char **words = NULL;

	if (ssh_is_control(attempt)) {
		if (strv_append(&words, "sh") < 0 || strv_append(&words, "-c") < 0 ||
			strv_append(&words, command) < 0) {
			return -ENOMEM;
		}
	} else {
		words = ssh_words(attempt, options, command);
	}
	return ssh_run(attempt, words, NULL, both);
}

bool ssh_setting(const struct ssh_attempt *attempt, const char *name, char *out, size_t size)
{
	char key[64];
	const struct buf *job = &attempt->canary->settings;
	int length = snprintf(key, sizeof(key), "set %s ", name);
	const char *at = job->size ? memmem(job->data, job->size, key, (size_t)length) : NULL;
	size_t rest = at ? job->size - (size_t)(at - (const char *)job->data) - (size_t)length : 0;
	const char *end = at ? memchr(at + length, '\n', rest) : NULL;

	return end &&
		snprintf(out, size, "%.*s", (int)(end - at - length), at + length) < (int)size;
}

void ssh_cut_line(struct ssh_attempt *attempt)
{
	if (attempt->out) {
		attempt->out[strcspn(attempt->out, "\r\n")] = '\0';
	}
}

static const struct {
	const char *probe;
	void (*try)(struct ssh_attempt *attempt);
} attempts[] = {
	{"H.local-tcp", ssh_try_local_tcp},
	{"H.local-path", ssh_try_local_path},
	{"H.remote-tcp", ssh_try_remote_tcp},
	{"H.remote-path", ssh_try_remote_path},
	{"H.agent", ssh_try_agent},
	{"H.x11", ssh_try_x11},
	{"H.environment", ssh_try_environment},
	{"H.status", ssh_try_status},
	{"H.streams", ssh_try_streams},
	{"H.terminal", ssh_try_terminal},
	{"H.sftp-read", ssh_try_sftp_read},
	{"H.sftp-write", ssh_try_sftp_write},
	{"H.channels", ssh_try_channels},
	{"H.user-name", ssh_try_user_name},
	{"H.kill-client", ssh_try_kill_client},
	{"H.daemon", ssh_try_leave_daemon},
};

static int try_all(const struct target *target, struct ground *ground, const char *only,
	struct outcome *outcomes, struct err *err)
{
	struct canary canary = {0};
	int r = canary_init(&canary, ground, "cfnone", err);

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(attempts) && !run_interrupted(); i++) {
		const struct probe *probe = probe_find(attempts[i].probe);
		struct ssh_attempt attempt = {.target = target, .canary = &canary, .probe = probe};
		if (only && strcmp(only, probe->id) != 0) {
			continue;
		}
		attempt.outcome = &outcomes[probe_index(probe)];
		*attempt.outcome = (struct outcome){0};
		attempts[i].try(&attempt);
		forget_output(&attempt);
	}
	canary_fini(&canary);
	return r;
}

int ssh_measure(const struct target *target, struct ground *ground, const char *only,
	struct outcome *control, struct outcome *inside, struct err *err)
{
	int r = try_all(NULL, ground, only, control, err);

	return r < 0 ? r : try_all(target, ground, only, inside, err);
}
