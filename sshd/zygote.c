#include "sshd/zygote.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/strv.h"
#include "sshd/net.h"
#include "sshd/user.h"

#define CONTROL_FD 3
#define READY_MS 15000
#define MAX_TEXT 4096
#define MAX_OPTIONS 65536

extern char **environ;

/* The first message: everything net_zygote_main() is told. Strings, so that none is on a command
 * line. "" stands for NULL. */
static void pack_options(
	const struct config *config, unsigned debug, bool to_syslog, struct buf *ret)
{
	buf_put_u32(ret, debug);
	buf_put_u32(ret, to_syslog);
	buf_put_string(ret, config->net_user);
	buf_put_string(ret, config->empty_dir);
	buf_put_string(ret, config->kex);
	buf_put_string(ret, config->ciphers);
	buf_put_string(ret, config->macs);
	buf_put_string(ret, config->host_key_algorithms);
	buf_put_string(ret, config->public_key_algorithms);
	buf_put_u32(ret, (uint32_t)strv_length(config->host_keys));
	STRV_FOREACH (key, config->host_keys) {
		buf_put_string(ret, *key);
	}
}

/* Nothing of our environment is for it, but for the switches of a sanitizer build. */
static char **make_environment(void)
{
	char **env = NULL;

	STRV_FOREACH (entry, environ) {
		if (strstr(*entry, "SAN_OPTIONS=")) {
			(void)strv_append(&env, *entry);
		}
	}
	return env;
}

static void run_zygote(int control, char **env)
{
	static char *const none[] = {NULL};
	char name[] = "cloche-sshd";
	char option[] = "--net-zygote";
	char *argv[] = {name, option, NULL};
	sigset_t set;

	/* Not of our session: a Ctrl-C is for the listener, who knows in which order to end. */
	(void)setsid();
	if (dup2(control, CONTROL_FD) < 0 ||
		(control == CONTROL_FD && fcntl(CONTROL_FD, F_SETFD, 0) < 0)) {
		_exit(127);
	}
	(void)syscall(SYS_close_range, CONTROL_FD + 1, ~0U, 0);
	sigemptyset(&set);
	(void)sigprocmask(SIG_SETMASK, &set, NULL);
	(void)signal(SIGHUP, SIG_DFL);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)execve("/proc/self/exe", argv, env ? env : none);
	_exit(127);
}

/* The root of net processes, and what is above it: root's, and nobody else's to write. */
static int make_empty_dir(const char *path, struct err *err)
{
	cleanup_free char *copy = path ? strdup(path) : NULL;

	if (!copy || geteuid() != 0) {
		return 0;
	}
	for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(copy, 0755) < 0 && errno != EEXIST) {
			return err_set(err, errno, "empty_dir: %s", copy);
		}
		*slash = '/';
	}
	return mkdir(copy, 0755) < 0 && errno != EEXIST ? err_set(err, errno, "empty_dir: %s", copy)
							: 0;
}

static int begin_zygote(const struct config *config, unsigned debug, bool to_syslog,
	struct zygote *ret, struct err *err)
{
	cleanup(buf_fini) struct buf buf = {0};
	cleanup(strv_freep) char **env = make_environment();
	cleanup_close int ours = -1;
	cleanup_close int theirs = -1;
	int pair[2];

	int r = make_empty_dir(config->empty_dir, err);
	if (r < 0) {
		return r;
	}
	pack_options(config, debug, to_syslog, &buf);
	if (buf.failed || buf.size > MAX_OPTIONS) {
		return err_set(err, ENOMEM, "options of the net process");
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		return err_set(err, errno, "socket of the net process");
	}
	ours = pair[0];
	theirs = pair[1];
	r = io_send(ours, buf.data, buf.size, NULL, 0);
	if (r < 0) {
		return err_set(err, -r, "options of the net process");
	}
	pid_t pid = fork();
	if (pid < 0) {
		return err_set(err, errno, "starting the net process");
	}
	if (pid == 0) {
		run_zygote(theirs, env);
	}
	*ret = (struct zygote){.pid = pid, .control = take_fd(&ours)};
	return 0;
}

/* What it has to say first. */
static int wait_zygote(struct zygote *zygote, struct err *err)
{
	char text[MAX_TEXT + 1];
	struct pollfd wait = {.fd = zygote->control, .events = POLLIN};
	size_t fds = 0;

	int r = poll(&wait, 1, READY_MS);
	if (r < 0) {
		return err_set(err, errno, "waiting for the net process");
	}
	if (r == 0) {
		return err_refuse(err, ETIMEDOUT, "the net process did not get ready");
	}
	ssize_t n = io_receive(zygote->control, text, MAX_TEXT, NULL, 0, &fds, 0);
	if (n <= 0) {
		return err_refuse(err, EPIPE, "the net process ended without a word");
	}
	text[n] = '\0';
	if (text[0] != 'R') {
		return err_refuse(err, EINVAL, "the net process cannot start: %s",
			text[0] == 'E' ? text + 1 : "it speaks another language");
	}
	zygote->ready = true;
	return 0;
}

int zygote_start(const struct config *config, unsigned debug, bool to_syslog, struct zygote *ret,
	struct err *err)
{
	struct zygote zygote = {.control = -1};
	int r = begin_zygote(config, debug, to_syslog, &zygote, err);

	if (r < 0) {
		return r;
	}
	r = wait_zygote(&zygote, err);
	if (r < 0) {
		zygote_stop(&zygote);
		return r;
	}
	*ret = zygote;
	return 0;
}

void zygote_stop(struct zygote *zygote)
{
	zygote_close(zygote);
	if (zygote->pid <= 0) {
		return;
	}
	for (int i = 0; i < 100; i++) {
		if (waitpid(zygote->pid, NULL, WNOHANG) != 0) {
			zygote->pid = 0;
			return;
		}
		(void)poll(NULL, 0, 10);
	}
	(void)kill(zygote->pid, SIGKILL);
	(void)waitpid(zygote->pid, NULL, 0);
	zygote->pid = 0;
}

int zygote_connect(struct zygote *zygote, int client, int net)
{
	const int fds[] = {client, net};

	return io_send(zygote->control, "C", 1, fds, 2);
}

void zygote_close(struct zygote *zygote)
{
	close_fdp(&zygote->control);
	zygote->ready = false;
}

/* ---- in the zygote ---- */

static char *read_text(struct reader *reader)
{
	char *text = reader_string(reader, MAX_TEXT);

	if (text && !*text) {
		free(text);
		return NULL;
	}
	return text;
}

struct wishes {
	struct net_options net;
	char *net_user;
	uint32_t debug, to_syslog;
};

static int unpack_options(const void *data, size_t size, struct wishes *ret)
{
	struct reader reader = {.data = data, .left = size};

	ret->debug = reader_u32(&reader);
	ret->to_syslog = reader_u32(&reader);
	ret->net_user = read_text(&reader);
	ret->net.empty_dir = read_text(&reader);
	ret->net.kex = read_text(&reader);
	ret->net.ciphers = read_text(&reader);
	ret->net.macs = read_text(&reader);
	ret->net.host_key_algorithms = read_text(&reader);
	ret->net.public_key_algorithms = read_text(&reader);
	for (uint32_t keys = reader_u32(&reader); keys > 0 && !reader.failed; keys--) {
		char *key = reader_string(&reader, MAX_TEXT);
		if (!key || strv_consume(&ret->net.host_keys, key) < 0) {
			return -ENOMEM;
		}
	}
	ret->net.debug = ret->debug > 2;
	return reader_done(&reader) ? 0 : -EPROTO;
}

static int say_error(const struct err *err)
{
	char text[sizeof(err->msg) + 1];

	(void)snprintf(text, sizeof(text), "E%s", err->msg);
	(void)io_send(CONTROL_FD, text, strlen(text), NULL, 0);
	return 1;
}

static void begin_log(const struct wishes *wishes)
{
	enum log_level level = wishes->debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO;

	log_init("cloche-net", level);
	log_set_syslog(wishes->to_syslog);
}

int zygote_main(void)
{
	static struct wishes wishes; /* lives as long as the process */
	static char data[MAX_OPTIONS];
	struct err err = {0};
	size_t fds = 0;

	(void)prctl(PR_SET_NAME, "cloche-zygote");
	if (fcntl(CONTROL_FD, F_SETFD, FD_CLOEXEC) < 0) {
		(void)fprintf(stderr, "--net-zygote is for cloche-sshd itself\n");
		return 2;
	}
	ssize_t n = io_receive(CONTROL_FD, data, sizeof(data), NULL, 0, &fds, 0);
	if (n <= 0 || unpack_options(data, (size_t)n, &wishes) < 0) {
		(void)err_refuse(&err, EPROTO, "its options could not be read");
		return say_error(&err);
	}
	begin_log(&wishes);
	if (user_find("net_user", wishes.net_user, &wishes.net.uid, &wishes.net.gid, &err) < 0) {
		return say_error(&err);
	}
	return net_zygote_main(&wishes.net, CONTROL_FD);
}
