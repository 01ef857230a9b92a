#include "testkit/ssh.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/proc.h"
#include "base/strv.h"
#include "testkit/run.h"

#define MIB (UINT64_C(1) << 20)
#define PATIENCE_MS 6000 /* for a login and what it does */
#define LINGER_MS 3000 /* for what should be gone */
#define STEP_MS 5

/* One probe being tried. */
struct attempt {
	const struct target *target; /* NULL: the control */
	struct canary *canary;
	const struct probe *probe;
	struct outcome *outcome;
	char *out; /* what came from the last command */
	size_t size;
	int code; /* its exit code; -1: it did not end in time */
};

static void say(struct attempt *attempt, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void say(struct attempt *attempt, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(attempt->outcome->detail, sizeof(attempt->outcome->detail), format, args);
	va_end(args);
}

static void claim(struct attempt *attempt, bool done)
{
	attempt->outcome->claim = done ? CLAIM_DONE : CLAIM_REFUSED;
}

static void conclude(struct attempt *attempt, bool seen, enum evidence_level level)
{
	attempt->outcome->evidence = seen ? EVIDENCE_SEEN : EVIDENCE_UNSEEN;
	attempt->outcome->level = level;
}

static bool is_control(const struct attempt *attempt)
{
	return attempt->target == NULL;
}

static bool reached(const struct attempt *attempt)
{
	return attempt->canary->reached[probe_index(attempt->probe)];
}

/* ---- programs ---- */

/* "ssh", the options of this attempt, those of the target, the host, and the command if any. */
static char **ssh_words(const struct attempt *attempt, char *const options[], const char *command)
{
	char **words = NULL;
	size_t count = strv_length(attempt->target->argv);
	int r = strv_append(&words, "ssh");

	for (size_t i = 0; r == 0 && options && options[i]; i++) {
		r = strv_append(&words, options[i]);
	}
	for (size_t i = 1; r == 0 && i + 1 < count; i++) {
		/* A terminal is asked for by those who want one. */
		r = strcmp(attempt->target->argv[i], "-T") == 0
			? 0
			: strv_append(&words, attempt->target->argv[i]);
	}
	r = r == 0 && command ? strv_append(&words, command) : r;
	return r == 0 ? words : strv_free(words);
}

struct program {
	int in, out, pidfd;
	pid_t pid;
};

static void end_program(struct program *program, int *ret_code)
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
static int start_program(char *const words[], bool both, struct program *ret)
{
	cleanup(strv_freep) char **argv = NULL; /* env looks the program up */
	int in[2];
	int out[2];
	int r = strv_append(&argv, "/usr/bin/env");

	*ret = (struct program){-1, -1, -1, 0};
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
static void read_program(struct attempt *attempt, const struct program *program, uint64_t until)
{
	while (io_now_usec() < until && !run_interrupted()) {
		char data[16384];
		ssize_t n = read(program->out, data, sizeof(data));
		struct pollfd wait = {.fd = program->out, .events = POLLIN};
		canary_serve(attempt->canary);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
			return;
		}
		if (n > 0 && attempt->size + (size_t)n <= 4 * MIB) {
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
			(void)poll(&wait, 1, STEP_MS);
		}
	}
}

static void forget_output(struct attempt *attempt)
{
	free(attempt->out);
	attempt->out = NULL;
	attempt->size = 0;
}

static int run_words(struct attempt *attempt, char *const words[], const char *input, bool both)
{
	struct program program;
	int r = words ? start_program(words, both, &program) : -ENOMEM;

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
	read_program(attempt, &program, io_now_usec() + PATIENCE_MS * 1000);
	end_program(&program, &attempt->code);
	return 0;
}

/* The command in the login, or in a shell of our own for the control. */
static int run_command(
	struct attempt *attempt, char *const options[], const char *command, bool both)
{
	cleanup(strv_freep) char **words = NULL;

	if (is_control(attempt)) {
		if (strv_append(&words, "sh") < 0 || strv_append(&words, "-c") < 0 ||
			strv_append(&words, command) < 0) {
			return -ENOMEM;
		}
	} else {
		words = ssh_words(attempt, options, command);
	}
	return run_words(attempt, words, NULL, both);
}

/* ---- what is dialled ---- */

static bool setting(const struct attempt *attempt, const char *name, char *out, size_t size)
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
static void greet_canary(struct attempt *attempt, int fd)
{
	char line[96];
	int length =
		snprintf(line, sizeof(line), "%s %s\n", attempt->canary->fence, attempt->probe->id);
	uint64_t until = io_now_usec() + 1000 * 1000;

	if (fd >= 0 && send(fd, line, (size_t)length, MSG_NOSIGNAL) == length) {
		while (!reached(attempt) && io_now_usec() < until) {
			canary_serve(attempt->canary);
			(void)usleep(STEP_MS * 1000);
		}
	}
}

/* ---- forwarding ---- */

static void local_tcp(struct attempt *attempt)
{
	char port[16] = "";
	char where[40];
	char line[96];
	cleanup(strv_freep) char **words = NULL;
	cleanup_close int fd = -1;

	(void)setting(attempt, "tcp4", port, sizeof(port));
	if (is_control(attempt)) {
		fd = dial_tcp((unsigned)atoi(port));
		greet_canary(attempt, fd);
	} else {
		(void)snprintf(where, sizeof(where), "127.0.0.1:%s", port);
		(void)snprintf(
			line, sizeof(line), "%s %s\n", attempt->canary->fence, attempt->probe->id);
		char option[] = "-W";
		char *options[] = {option, where, NULL};
		words = ssh_words(attempt, options, NULL);
		(void)run_words(attempt, words, line, false);
	}
	claim(attempt, reached(attempt) || attempt->size > 0);
	conclude(attempt, reached(attempt), LEVEL_EVENT);
}

/* A forwarding that stays while we look. Calls look until it says yes, or for a while. */
static void with_forwarding(struct attempt *attempt, char *const options[],
	bool (*look)(struct attempt *attempt, const char *arg), const char *arg)
{
	cleanup(strv_freep) char **words = ssh_words(attempt, options, NULL);
	struct program program;
	uint64_t until = io_now_usec() + PATIENCE_MS / 3 * 1000;
	bool seen = false;
	bool alive = true;
	int status = 0;

	if (!words || start_program(words, false, &program) < 0) {
		return;
	}
	while (!seen && alive && io_now_usec() < until && !run_interrupted()) {
		seen = look(attempt, arg);
		alive = proc_wait(program.pidfd, 0, &status) == -ETIMEDOUT;
		canary_serve(attempt->canary);
		(void)usleep(STEP_MS * 1000);
	}
	claim(attempt, seen || alive);
	conclude(attempt, seen, LEVEL_EVENT);
	if (!alive) {
		close_fdp(&program.pidfd);
	}
	end_program(&program, NULL);
}

static bool look_path(struct attempt *attempt, const char *arg)
{
	cleanup_close int fd = dial_unix(arg);

	greet_canary(attempt, fd);
	return reached(attempt);
}

static void local_path(struct attempt *attempt)
{
	char path[108] = "";
	char own[108];
	char where[256];
	char name[] = "-L";
	char only[] = "-N";
	char *options[] = {name, where, only, NULL};

	(void)setting(attempt, "unix.path", path, sizeof(path));
	if (is_control(attempt)) {
		claim(attempt, look_path(attempt, path));
		conclude(attempt, reached(attempt), LEVEL_EVENT);
		return;
	}
	(void)snprintf(own, sizeof(own), "%s/forward", attempt->canary->tmp);
	(void)snprintf(where, sizeof(where), "%s:%s", own, path);
	with_forwarding(attempt, options, look_path, own);
	/* ssh listens whatever the server will say: only an arrival tells. */
	claim(attempt, reached(attempt));
	(void)unlink(own);
}

static bool look_port(struct attempt *attempt, const char *arg)
{
	cleanup_close int fd = dial_tcp((unsigned)atoi(arg));

	(void)attempt;
	return fd >= 0;
}

static void remote_tcp(struct attempt *attempt)
{
	char port[16];
	char where[64];
	char own[16] = "";
	char name[] = "-R";
	char only[] = "-N";
	char option[] = "-oExitOnForwardFailure=yes";
	char *options[] = {name, where, only, option, NULL};

	(void)setting(attempt, "tcp4", own, sizeof(own));
	if (is_control(attempt)) {
		claim(attempt, true);
		conclude(attempt, look_port(attempt, own), LEVEL_EVENT);
		return;
	}
	(void)snprintf(port, sizeof(port), "%u", attempt->canary->listen_port);
	(void)snprintf(where, sizeof(where), "127.0.0.1:%s:127.0.0.1:%s", port, own);
	with_forwarding(attempt, options, look_port, port);
}

static bool look_socket(struct attempt *attempt, const char *arg)
{
	struct stat info;

	(void)attempt;
	return lstat(arg, &info) == 0 && S_ISSOCK(info.st_mode);
}

static void remote_path(struct attempt *attempt)
{
	char own[108] = "";
	char path[160];
	char where[300];
	char name[] = "-R";
	char only[] = "-N";
	char option[] = "-oExitOnForwardFailure=yes";
	char *options[] = {name, where, only, option, NULL};

	(void)setting(attempt, "unix.path", own, sizeof(own));
	if (is_control(attempt)) {
		claim(attempt, true);
		conclude(attempt, look_socket(attempt, own), LEVEL_EVENT);
		return;
	}
	(void)snprintf(path, sizeof(path), "%s/meet/H.remote-path", attempt->canary->directory);
	(void)snprintf(where, sizeof(where), "%s:%s", path, own);
	with_forwarding(attempt, options, look_socket, path);
	(void)unlink(path);
}

/* ---- what a session is given ---- */

static void cut_line(struct attempt *attempt)
{
	if (attempt->out) {
		attempt->out[strcspn(attempt->out, "\r\n")] = '\0';
	}
}

static void agent(struct attempt *attempt)
{
	char path[108] = "";
	char option[] = "-A";
	char *options[] = {option, NULL};
	cleanup_free char *before =
		getenv("SSH_AUTH_SOCK") ? strdup(getenv("SSH_AUTH_SOCK")) : NULL;

	(void)setting(attempt, "unix.path", path, sizeof(path));
	(void)setenv("SSH_AUTH_SOCK", path, 1);
	(void)run_command(attempt, options, "echo \"$SSH_AUTH_SOCK\"; sleep 0.2", false);
	(void)(before ? setenv("SSH_AUTH_SOCK", before, 1) : unsetenv("SSH_AUTH_SOCK"));
	cut_line(attempt);
	claim(attempt, attempt->out && attempt->out[0] == '/');
	/* The server's socket is gone with the session; its directory's name says where it was. */
	say(attempt, "%.120s", attempt->out ? attempt->out : "");
}

static void x11(struct attempt *attempt)
{
	char option[] = "-Y";
	char *options[] = {option, NULL};

	(void)setenv("DISPLAY", "127.0.0.1:99", 1);
	(void)run_command(attempt, options, "echo \"$DISPLAY\"", false);
	(void)unsetenv("DISPLAY");
	cut_line(attempt);
	claim(attempt, attempt->out && attempt->out[0] != '\0');
	say(attempt, "%.120s", attempt->out ? attempt->out : "");
}

/* A variable that a loader, a shell or a program would act upon, set by the client. */
static void environment(struct attempt *attempt)
{
	char token[CANARY_TOKEN];
	char option[96];
	char *options[] = {option, NULL};

	(void)canary_token(attempt->canary, attempt->probe->id, token);
	(void)snprintf(option, sizeof(option), "-oSetEnv=BASH_ENV=/nonexistent/%s", token);
	(void)setenv("BASH_ENV", option + strlen("-oSetEnv=BASH_ENV="), 1);
	if (!is_control(attempt)) {
		(void)unsetenv("BASH_ENV");
	}
	(void)run_command(attempt, options, "echo \"is $BASH_ENV\"", false);
	(void)unsetenv("BASH_ENV");
	claim(attempt, attempt->out && strstr(attempt->out, token));
	if (attempt->out && strncmp(attempt->out, "is ", 3) == 0) {
		conclude(attempt, strstr(attempt->out, token) != NULL, LEVEL_TOKEN);
	}
}

static void status(struct attempt *attempt)
{
	(void)run_command(attempt, NULL, "exit 7", false);
	claim(attempt, attempt->code == 7);
	conclude(attempt, attempt->code == 7, LEVEL_EVENT);
	say(attempt, "exit code %d of 7", attempt->code);
}

static void streams(struct attempt *attempt)
{
	(void)run_command(attempt, NULL,
		"head -c 1048576 /dev/zero; head -c 1048576 /dev/zero >&2; exit 3", true);
	bool whole = attempt->size == 2 * MIB && attempt->code == 3;
	claim(attempt, whole);
	conclude(attempt, whole, LEVEL_EVENT);
	say(attempt, "%zu of %" PRIu64 " bytes, exit code %d", attempt->size, 2 * MIB,
		attempt->code);
}

/* Its terminal must belong to a devpts of its own. */
static void terminal(struct attempt *attempt)
{
	char option[] = "-tt";
	char *options[] = {option, NULL};
	struct stat info;
	unsigned long long device = 0;

	if (stat("/dev/pts/ptmx", &info) < 0) {
		return;
	}
	if (is_control(attempt)) {
		struct stat own;
		bool there = stat(attempt->canary->ground->terminal_path, &own) == 0;
		claim(attempt, there);
		conclude(attempt, there && own.st_dev == info.st_dev, LEVEL_STATE);
		return;
	}
	(void)run_command(attempt, options, "echo pts=$(stat -c %d \"$(tty)\")=", false);
	const char *at = attempt->out ? strstr(attempt->out, "pts=") : NULL;
	bool found = at && sscanf(at, "pts=%llu=", &device) == 1;
	claim(attempt, found && device == info.st_dev);
	if (found) {
		conclude(attempt, device == info.st_dev, LEVEL_TOKEN);
		say(attempt, "device %llu, the host's is %llu", device,
			(unsigned long long)info.st_dev);
	}
}

/* ---- sftp ---- */

/* The same options in sftp's words. */
static char **sftp_words(const struct attempt *attempt)
{
	char **words = NULL;
	char *const *from = attempt->target->argv;
	size_t count = strv_length(from);
	int r = strv_append(&words, "sftp");

	r = r < 0 ? r : strv_append(&words, "-q");
	r = r < 0 ? r : strv_append(&words, "-b");
	r = r < 0 ? r : strv_append(&words, "-");
	for (size_t i = 1; r == 0 && i + 2 < count; i++) {
		if (strcmp(from[i], "-T") == 0 || strcmp(from[i], "--") == 0) {
			continue;
		}
		if (strcmp(from[i], "-p") == 0) {
			r = strv_appendf(&words, "-oPort=%s", from[++i]);
		} else if (strcmp(from[i], "-l") == 0) {
			r = strv_appendf(&words, "-oUser=%s", from[++i]);
		} else {
			r = strv_append(&words, from[i]);
		}
	}
	r = r < 0 ? r : strv_append(&words, from[count - 2]);
	return r == 0 ? words : strv_free(words);
}

static void sftp_read(struct attempt *attempt)
{
	char token[CANARY_TOKEN];
	char own[160];
	char batch[400];
	char path[160];
	cleanup_free char *text = NULL;
	cleanup(strv_freep) char **words = NULL;

	(void)canary_token(attempt->canary, attempt->probe->id, token);
	(void)snprintf(
		path, sizeof(path), "%s/secret/%s", attempt->canary->directory, attempt->probe->id);
	(void)snprintf(own, sizeof(own), "%s/%s", attempt->canary->tmp, attempt->probe->id);
	if (is_control(attempt)) {
		(void)snprintf(own, sizeof(own), "%s", path);
	} else {
		words = sftp_words(attempt);
		(void)snprintf(batch, sizeof(batch), "get %s %s\n", path, own);
		(void)run_words(attempt, words, batch, false);
	}
	bool got = io_read_file(AT_FDCWD, own, 256, &text, NULL) == 0 && strcmp(text, token) == 0;
	canary_serve(attempt->canary);
	claim(attempt, got);
	conclude(attempt, got || reached(attempt), got ? LEVEL_TOKEN : LEVEL_EVENT);
}

static void sftp_write(struct attempt *attempt)
{
	char batch[400];
	char path[160];
	struct stat info;
	cleanup(strv_freep) char **words = NULL;

	(void)snprintf(
		path, sizeof(path), "%s/write/%s", attempt->canary->read, attempt->probe->id);
	if (is_control(attempt)) {
		cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		claim(attempt, fd >= 0);
	} else {
		words = sftp_words(attempt);
		(void)snprintf(batch, sizeof(batch), "mkdir %s\n", path);
		(void)run_words(attempt, words, batch, false);
		claim(attempt, attempt->code == 0);
	}
	conclude(attempt, lstat(path, &info) == 0, LEVEL_COMPARED);
}

/* ---- what stays ---- */

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

static void conclude_sleep(struct attempt *attempt, const char *argument)
{
	/* The control needs no patience: nobody is to end it. */
	pid_t pid = await_sleep(argument, false, is_control(attempt) ? 200 : LINGER_MS);

	claim(attempt, pid > 0);
	conclude(attempt, pid > 0, LEVEL_STATE);
	if (pid > 0) {
		(void)kill(pid, SIGKILL);
	}
}

/* The client is killed, with no word to the server. */
static void kill_client(struct attempt *attempt)
{
	char argument[32];
	char command[64];
	cleanup(strv_freep) char **words = NULL;
	struct program program;

	choose_sleep(argument);
	(void)snprintf(command, sizeof(command), "sleep %s; true", argument);
	if (is_control(attempt)) {
		if (strv_append(&words, "setsid") < 0 || strv_append(&words, "sh") < 0 ||
			strv_append(&words, "-c") < 0 || strv_append(&words, command) < 0) {
			return;
		}
	} else {
		words = ssh_words(attempt, NULL, command);
	}
	if (!words || start_program(words, false, &program) < 0) {
		return;
	}
	bool came = await_sleep(argument, true, PATIENCE_MS / 2) > 0;
	(void)proc_signal(program.pidfd, SIGKILL);
	end_program(&program, NULL);
	if (came) {
		conclude_sleep(attempt, argument);
	} else {
		claim(attempt, false);
		say(attempt, "its processes cannot be seen from here");
	}
}

/* One that goes into a session of its own and lets go of everything. */
static void leave_daemon(struct attempt *attempt)
{
	char argument[32];
	char command[160];

	choose_sleep(argument);
	(void)snprintf(command, sizeof(command),
		"setsid sleep %s </dev/null >/dev/null 2>&1 & sleep 0.3; echo left", argument);
	(void)run_command(attempt, NULL, command, false);
	if (attempt->out && strstr(attempt->out, "left")) {
		conclude_sleep(attempt, argument);
	}
}

/* Two commands of one connection: are they in the same place? */
static void channels(struct attempt *attempt)
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
		(void)run_command(attempt, options, "readlink /proc/self/ns/mnt", false);
		cut_line(attempt);
		if (i == 0) {
			(void)snprintf(
				first, sizeof(first), "%.60s", attempt->out ? attempt->out : "");
		}
	}
	bool same = first[0] && attempt->out && strcmp(first, attempt->out) == 0;
	claim(attempt, same);
	if (first[0]) {
		conclude(attempt, same, LEVEL_TOKEN);
	}
	if (!is_control(attempt)) {
		words = ssh_words(attempt, last, NULL);
		(void)run_words(attempt, words, NULL, false);
	}
	(void)unlink(path);
}

/* A name that is a path: the login must fail, and nothing be made of it. */
static void user_name(struct attempt *attempt)
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
	if (is_control(attempt)) {
		claim(attempt, mkdir(path, 0700) == 0);
	} else {
		/* The first one given counts, for ssh: ours stands before the target's. */
		(void)run_command(attempt, options, "true", false);
		claim(attempt, attempt->code == 0);
	}
	conclude(attempt, access(path, F_OK) == 0, LEVEL_COMPARED);
	(void)rmdir(path);
}

static const struct {
	const char *probe;
	void (*try)(struct attempt *attempt);
} attempts[] = {
	{"H.local-tcp", local_tcp},
	{"H.local-path", local_path},
	{"H.remote-tcp", remote_tcp},
	{"H.remote-path", remote_path},
	{"H.agent", agent},
	{"H.x11", x11},
	{"H.environment", environment},
	{"H.status", status},
	{"H.streams", streams},
	{"H.terminal", terminal},
	{"H.sftp-read", sftp_read},
	{"H.sftp-write", sftp_write},
	{"H.channels", channels},
	{"H.user-name", user_name},
	{"H.kill-client", kill_client},
	{"H.daemon", leave_daemon},
};

static int try_all(const struct target *target, struct ground *ground, const char *only,
	struct outcome *outcomes, struct err *err)
{
	struct canary canary = {0};
	int r = canary_init(&canary, ground, "cfnone", err);

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(attempts) && !run_interrupted(); i++) {
		const struct probe *probe = probe_find(attempts[i].probe);
		struct attempt attempt = {.target = target, .canary = &canary, .probe = probe};
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
