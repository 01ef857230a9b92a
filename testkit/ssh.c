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

void ssh_decline(struct ssh_attempt *attempt, const char *why)
{
	*attempt->outcome = (struct outcome){.claim = CLAIM_NOT_RUN};
	ssh_say(attempt, "%s", why);
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

char **ssh_words_by_key(const struct ssh_attempt *attempt, const char *key, char *const options[],
	const char *command)
{
	static const char *const alone[] = {
		"-oIdentitiesOnly=yes", "-oIdentityAgent=none", "-oControlPath=none", "-i", NULL};
	char **own = ssh_words(attempt, options, command);
	char **words = NULL;
	size_t count = strv_length(own);
	int r = count ? strv_append(&words, own[0]) : -ENOMEM;

	for (size_t i = 0; r == 0 && alone[i]; i++) {
		r = strv_append(&words, alone[i]);
	}
	r = r < 0 ? r : strv_append(&words, key);
	for (size_t i = 1; r == 0 && i < count; i++) {
		if (strcmp(own[i], "-i") == 0 && i + 1 < count) {
			i++;
			continue;
		}
		r = strv_append(&words, own[i]);
	}
	strv_free(own);
	return r == 0 ? words : strv_free(words);
}

char **ssh_words_as(const struct ssh_attempt *attempt, const char *user, const char *command)
{
	/* By -l, which takes any text at all. */
	static const char option[] = "-oUser=";
	char flag[] = "-l";
	cleanup_free char *copy = strdup(user);
	char *const options[] = {flag, copy, NULL};
	cleanup(strv_freep) char **own = copy ? ssh_words(attempt, options, command) : NULL;
	char **words = NULL;
	int r = own ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && own[i]; i++) {
		r = strncmp(own[i], option, strlen(option)) == 0 ? 0 : strv_append(&words, own[i]);
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

/* Keeps what is read. False when there is no memory. */
static bool keep(struct ssh_attempt *attempt, const char *data, size_t size)
{
	char *more = NULL;

	if (attempt->size + size > MAX_OUTPUT) {
		return true;
	}
	more = realloc(attempt->out, attempt->size + size + 1);
	if (!more) {
		return false;
	}
	memcpy(more + attempt->size, data, size);
	attempt->out = more;
	attempt->size += size;
	more[attempt->size] = '\0';
	return true;
}

void ssh_read(struct ssh_attempt *attempt, const struct ssh_program *program, const char *text,
	unsigned ms)
{
	uint64_t until = io_now_usec() + (uint64_t)ms * 1000;

	for (;;) {
		char data[16384];
		ssize_t n = read(program->out, data, sizeof(data));
		struct pollfd wait = {.fd = program->out, .events = POLLIN};
		canary_serve(attempt->canary);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) ||
			(n > 0 && !keep(attempt, data, (size_t)n))) {
			return;
		}
		if (n > 0 && text && memmem(attempt->out, attempt->size, text, strlen(text))) {
			return;
		}
		if (n < 0 && (io_now_usec() >= until || run_interrupted())) {
			return;
		}
		if (n < 0) {
			(void)poll(&wait, 1, SSH_STEP_MS);
		}
	}
}

void ssh_forget(struct ssh_attempt *attempt)
{
	free(attempt->out);
	attempt->out = NULL;
	attempt->size = 0;
}

int ssh_run(struct ssh_attempt *attempt, char *const words[], const char *input, bool both)
{
	struct ssh_program program;
	int r = words ? ssh_start(words, both, &program) : -ENOMEM;

	ssh_forget(attempt);
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
	ssh_read(attempt, &program, NULL, SSH_PATIENCE_MS);
	ssh_end(&program, &attempt->code);
	return 0;
}

char **ssh_command_words(
	const struct ssh_attempt *attempt, char *const options[], const char *command)
{
	char **words = NULL;

	if (!ssh_is_control(attempt)) {
		return ssh_words(attempt, options, command);
	}
	if (strv_append(&words, "sh") < 0 || strv_append(&words, "-c") < 0 ||
		strv_append(&words, command) < 0) {
		return strv_free(words);
	}
	return words;
}

int ssh_run_command(
	struct ssh_attempt *attempt, char *const options[], const char *command, bool both)
{
	cleanup(strv_freep) char **words = ssh_command_words(attempt, options, command);

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

#define SSH_BACK "E1: what came back over the connection"
#define SSH_SEEN "E3: what the host reads of the session's processes"

static const struct {
	const char *probe;
	void (*try)(struct ssh_attempt *attempt);
	const char *evidence;
} attempts[] = {
	{"H.local-tcp", ssh_try_local_tcp, "E2: the listener got the connection"},
	{"H.local-path", ssh_try_local_path, "E2: the socket got the connection"},
	{"H.remote-tcp", ssh_try_remote_tcp, "E2: somebody listens on the host's loopback"},
	{"H.remote-path", ssh_try_remote_path, "E2: a socket appears in the host's tree"},
	{"H.remote-over", ssh_try_remote_over, "E2: a socket stands where the host's file was"},
	{"H.agent", ssh_try_agent, "E0: the path of a socket that the session is told"},
	{"H.x11", ssh_try_x11, "E0: the display that the session is told"},
	{"H.environment", ssh_try_environment, SSH_BACK},
	{"H.status", ssh_try_status, SSH_BACK},
	{"H.exit-signal", ssh_try_exit_signal, SSH_BACK},
	{"H.streams", ssh_try_streams, SSH_BACK},
	{"H.terminal", ssh_try_terminal, "E1: its device number, compared with the host's"},
	{"H.terminal-other", ssh_try_terminal_other,
		"E2: the token comes out of the other session's connection"},
	{"H.sftp-read", ssh_try_sftp_read, "E1: the token came back; E2: inotify saw it read"},
	{"H.sftp-write", ssh_try_sftp_write, "E4: the directory is in the host's tree"},
	{"H.sftp-process", ssh_try_sftp_process,
		"E1: a variable that only that process has came back"},
	{"H.channels", ssh_try_channels, SSH_BACK},
	{"H.meet", ssh_try_meet, SSH_BACK},
	{"H.signal", ssh_try_signal, "E1: what the other session counted"},
	{"H.kinds-namespaces", ssh_try_kinds_namespaces, SSH_SEEN},
	{"H.kinds-privileges", ssh_try_kinds_privileges, SSH_SEEN},
	{"H.kinds-filter", ssh_try_kinds_filter,
		"E3: the filters of both as the kernel has them, asked about every call"},
	{"H.setup", ssh_try_setup,
		"E3: its first status against what the host reads later, and who is beside it"},
	{"H.descriptors", ssh_try_descriptors,
		"E3: device and inode of its descriptors and of the server's"},
	{"H.host-key", ssh_try_host_key,
		"E3: its memory and files, looked through for the key; E1: the key's file came "
		"back"},
	{"H.user-name", ssh_try_user_name, "E4: a directory of that name"},
	{"H.kill-client", ssh_try_kill_client, SSH_SEEN},
	{"H.resist", ssh_try_resist, SSH_SEEN},
	{"H.daemon", ssh_try_leave_daemon, SSH_SEEN},
	{"H.flood", ssh_try_flood, "E3: what the server's processes hold in memory"},
	{"H.many", ssh_try_many, "E3: how many of them run at once"},
	{"H.forced", ssh_try_forced, SSH_BACK},
	{"H.fail-closed", ssh_try_fail_closed, "E1: what came back; E4: a directory it made"},
	{"H.log-read", ssh_try_log_read, "E1: the log's last line came back"},
	{"H.log-lines", ssh_try_log_lines, "E2: the line stands in the log"},
	{"C.agent", ssh_try_pair_agent,
		"E2: an agent of the host's is told a word by the other login"},
	{"C.listener", ssh_try_pair_listener, "E2: the listener got the connection"},
	{"E.growth", ssh_try_growth,
		"E4: descriptors, processes and mounts of the server, before and after"},
};

const char *ssh_evidence(const struct probe *probe)
{
	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++) {
		if (strcmp(attempts[i].probe, probe->id) == 0) {
			return attempts[i].evidence;
		}
	}
	return NULL;
}

/* What was not tried, or could not be seen, is said beside the other evidence that is missing. */
static int note_gap(const struct ssh_attempt *attempt, char ***gaps)
{
	const struct outcome *outcome = attempt->outcome;

	if (outcome->claim != CLAIM_NOT_RUN || outcome->evidence != EVIDENCE_NONE ||
		!outcome->detail[0]) {
		return 0;
	}
	return strv_appendf(gaps, "%s: %s", attempt->probe->id, outcome->detail);
}

/* gaps: NULL for controls, which are there to be had. */
static int try_all(struct ssh_attempt attempt, struct ground *ground, const char *only,
	struct outcome *outcomes, char ***gaps, struct err *err)
{
	struct canary canary = {0};
	int r = canary_init(&canary, ground, "cfnone", err);

	attempt.canary = &canary;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(attempts) && !run_interrupted(); i++) {
		attempt.probe = probe_find(attempts[i].probe);
		if (only && !probe_is(attempt.probe, only)) {
			continue;
		}
		attempt.outcome = &outcomes[probe_index(attempt.probe)];
		*attempt.outcome = (struct outcome){0};
		attempts[i].try(&attempt);
		ssh_forget(&attempt);
		if (gaps && note_gap(&attempt, gaps) < 0) {
			r = err_set(err, ENOMEM, "measuring a login");
		}
	}
	ssh_kinds_free(attempt.pass->kinds);
	canary_fini(&canary);
	return r;
}

int ssh_measure(const struct target *target, struct ground *ground, const char *only,
	struct outcome *control, struct outcome *inside, char ***gaps, struct err *err)
{
	struct ssh_pass outer = {0};
	struct ssh_pass inner = {0};
	struct ssh_attempt attempt = {.offers = &target->offers, .pass = &outer};
	int r = try_all(attempt, ground, only, control, NULL, err);

	if (r < 0) {
		return r;
	}
	ssh_server_find(target, &inner.server);
	attempt.target = target;
	attempt.pass = &inner;
	return try_all(attempt, ground, only, inside, gaps, err);
}
