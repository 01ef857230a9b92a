#include "testkit/beside.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "backends/vm/protocol.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/proc.h"
#include "base/strv.h"
#include "testkit/eye.h"

#define LOOK_MS 20000 /* a guest that is translated, on a busy host */
#define EXEC_TRIES 20
#define EXEC_PAUSE_USEC 100000
#define SAID_MAX 100 /* of what runsc says about it, repeated to people */

/* What an eye says; of runsc also what it says itself, and how it ends. */
struct saying {
	struct buf text, errors;
	int code;
};

static void saying_fini(struct saying *saying)
{
	buf_fini(&saying->text);
	buf_fini(&saying->errors);
}

/* What there is now. *fd is -1 when there will be no more. */
static int take_chunk(int *fd, struct buf *ret)
{
	char data[VM_SEEN_CHUNK];
	ssize_t n = read(*fd, data, sizeof(data));

	if (n < 0) {
		return errno == EINTR || errno == EAGAIN ? 0 : -errno;
	}
	if (n == 0) {
		*fd = -1;
	}
	buf_put(ret, data, (size_t)n);
	return ret->failed ? -ENOMEM : ret->size > EYE_MAX ? -EFBIG : 0;
}

/* Everything until the end of both, of which -1 is none, or until it is too much or too late. */
static int read_saying(int text, int errors, struct saying *ret)
{
	uint64_t until = io_now_usec() + LOOK_MS * UINT64_C(1000);
	int r = 0;

	while (r == 0 && (text >= 0 || errors >= 0)) {
		struct pollfd waits[] = {
			{.fd = text, .events = POLLIN}, {.fd = errors, .events = POLLIN}};
		uint64_t now = io_now_usec();
		if (now >= until) {
			return -ETIMEDOUT;
		}
		if (poll(waits, ARRAY_SIZE(waits), (int)((until - now) / 1000 + 1)) > 0) {
			r = waits[0].revents ? take_chunk(&text, &ret->text) : 0;
			r = r == 0 && waits[1].revents ? take_chunk(&errors, &ret->errors) : r;
		}
	}
	return r;
}

/* The window lies in the tree that QEMU, whose memory is the guest's, is in. */
static int ask_guest(pid_t qemu, char **look, struct saying *ret, struct err *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char words[VM_LOOK_MAX];
	cleanup_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int length = snprintf(words, sizeof(words), "%s\n%s\n%s\n", look[0], look[1], look[2]);
	int r = 0;

	(void)snprintf(
		address.sun_path, sizeof(address.sun_path), "/proc/%d/root" VM_LOOK_PATH, qemu);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		send(fd, words, (size_t)length, MSG_NOSIGNAL) != length) {
		return err_set(err, errno, "asking at the guest's window");
	}
	r = read_saying(fd, -1, ret);
	return r < 0 ? err_set(err, -r, "the guest's window, after %zu bytes", ret->text.size) : 0;
}

/* The words of a process's command line. */
static int read_words(pid_t pid, char ***ret)
{
	cleanup_free char *text = NULL;
	char path[32];
	size_t size = 0;
	int r = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	r = io_read_file(AT_FDCWD, path, 65536, &text, &size);
	for (size_t at = 0; r == 0 && at < size; at += strlen(text + at) + 1) {
		r = strv_append(ret, text + at);
	}
	return r;
}

/*
 * The sandbox process of runsc names, in its own arguments, where its state is and (last) which
 * container it is. exec needs the former to find the latter.
 */
static int exec_words(const char *runsc, char **boot, char ***ret)
{
	static const char *const kept[] = {"--root=", "--rootless="};
	static const char *const exec[] = {"exec", "--user=0:0", "--cap=CAP_SYS_PTRACE",
		"--cap=CAP_SYS_RESOURCE", "--cap=CAP_DAC_READ_SEARCH", "--cap=CAP_DAC_OVERRIDE",
		NULL};
	const char *container = NULL;
	int r = strv_append(ret, runsc);

	STRV_FOREACH (word, boot) {
		for (size_t i = 0; r == 0 && i < ARRAY_SIZE(kept); i++) {
			r = strncmp(*word, kept[i], strlen(kept[i])) == 0 ? strv_append(ret, *word)
									  : 0;
		}
		container = *word;
	}
	for (size_t i = 0; r == 0 && exec[i]; i++) {
		r = strv_append(ret, exec[i]);
	}
	return r < 0 || !container ? -ENOMEM : strv_append(ret, container);
}

/* The words of runsc exec, with an eye for what is to be run. */
static int find_words(const struct machine *machine, char **look, char ***ret, struct err *err)
{
	cleanup(strv_freep) char **boot = NULL;
	int r = read_words(machine->memory, &boot);

	if (r < 0) {
		return err_set(err, -r, "reading the arguments of runsc %d", machine->memory);
	}
	if (!boot) {
		return err_refuse(err, ESRCH, "runsc %d shows no arguments", machine->memory);
	}
	r = exec_words(machine->engine, boot, ret);
	STRV_FOREACH (word, look) {
		r = r < 0 ? r : strv_append(ret, *word);
	}
	return r < 0 ? err_set(err, -r, "asking runsc") : 0;
}

static int make_pipe(int *ret_in, int *ret_out)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0) {
		return -errno;
	}
	*ret_in = ends[0];
	*ret_out = ends[1];
	return 0;
}

static int run_exec(char *const *argv, struct saying *ret, struct err *err)
{
	static const char *const env[] = {
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL};
	cleanup_close int in = -1;
	cleanup_close int out = -1;
	cleanup_close int errors_in = -1;
	cleanup_close int errors_out = -1;
	cleanup_close int child = -1;
	int status = 0;
	int r = make_pipe(&in, &out);

	r = r < 0 ? r : make_pipe(&errors_in, &errors_out);
	child = r < 0 ? r
		      : proc_spawn(argv, (char *const *)(uintptr_t)env,
				(const int[3]){-1, out, errors_out}, NULL);
	close_fdp(&out);
	close_fdp(&errors_out);
	if (child < 0) {
		return err_set(err, -child, "starting %s", argv[0]);
	}
	r = read_saying(in, errors_in, ret);
	if (proc_wait(child, r < 0 ? 0 : LOOK_MS, &status) < 0) {
		(void)proc_signal(child, SIGKILL);
		(void)proc_wait(child, -1, &status);
	}
	ret->code = proc_exit_code(status);
	return r < 0 ? err_set(err, -r, "runsc exec, after %zu bytes", ret->text.size) : 0;
}

static int ask_runsc(
	const struct machine *machine, char **look, struct saying *ret, struct err *err)
{
	cleanup(strv_freep) char **argv = NULL;
	int r = find_words(machine, look, &argv, err);

	r = r < 0 ? r : run_exec(argv, ret, err);
	/* The client may be quicker than runsc in noting that it runs: till then, exec is refused. */
	for (int i = 0; i < EXEC_TRIES && r == 0 && ret->text.size == 0; i++) {
		(void)usleep(EXEC_PAUSE_USEC);
		saying_fini(ret);
		r = run_exec(argv, ret, err);
	}
	return r;
}

/* Why it is nothing that can be read: how much came, and the first that was said instead. */
static int refuse(const struct machine *machine, struct saying *saying, struct err *err)
{
	char escaped[SAID_MAX];

	if (machine->guest) {
		return err_refuse(err, EBADMSG,
			"the eye in the guest wrote %zu bytes, which are no report",
			saying->text.size);
	}
	buf_put_u8(&saying->errors, 0);
	if (saying->errors.failed) {
		return err_set(err, ENOMEM, "reading what runsc says");
	}
	((char *)saying->errors.data)[strcspn((char *)saying->errors.data, "\n")] = '\0';
	return err_refuse(err, EBADMSG,
		"runsc exec ended with %d after %zu bytes, which are no report; it said: %s",
		saying->code, saying->text.size,
		log_escape((char *)saying->errors.data, escaped, sizeof(escaped)));
}

int beside_look(const struct machine *machine, const char *eye, const char *name, const char *scope,
	struct outside *ret, struct err *err)
{
	char *look[] = {
		(char *)(uintptr_t)eye, (char *)(uintptr_t)name, (char *)(uintptr_t)scope, NULL};
	cleanup(saying_fini) struct saying saying = {0};
	int r = 0;

	if (machine->memory <= 0) {
		return err_refuse(
			err, ESRCH, "no process is known that holds the session's memory");
	}
	r = machine->guest ? ask_guest(machine->memory, look, &saying, err)
			   : ask_runsc(machine, look, &saying, err);
	if (r < 0) {
		return r;
	}
	r = eye_parse((const char *)saying.text.data, saying.text.size, ret);
	if (r < 0) {
		return refuse(machine, &saying, err);
	}
	if (!machine->guest) {
		ret->root_is_ours = -1; /* runsc put the eye into the session's own tree */
	}
	return 0;
}
