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
#include "base/proc.h"
#include "base/strv.h"
#include "testkit/eye.h"

#define LOOK_MS 20000 /* a guest that is translated, on a busy host */
#define EXEC_TRIES 20
#define EXEC_PAUSE_USEC 100000

/* Everything until the end of it, or until it is too much or too late. */
static int read_answer(int fd, struct buf *ret)
{
	uint64_t until = io_now_usec() + LOOK_MS * UINT64_C(1000);

	for (;;) {
		char data[VM_SEEN_CHUNK];
		struct pollfd wait = {.fd = fd, .events = POLLIN};
		uint64_t now = io_now_usec();
		ssize_t n = 0;
		if (now >= until || ret->size > EYE_MAX) {
			return now >= until ? -ETIMEDOUT : -EFBIG;
		}
		(void)poll(&wait, 1, (int)((until - now) / 1000 + 1));
		n = wait.revents ? read(fd, data, sizeof(data)) : -1;
		if (n == 0) {
			return ret->failed ? -ENOMEM : 0;
		}
		if (n > 0) {
			buf_put(ret, data, (size_t)n);
		} else if (wait.revents && errno != EINTR && errno != EAGAIN) {
			return -errno;
		}
	}
}

/* The window lies in the tree that QEMU, whose memory is the guest's, is in. */
static int ask_guest(
	pid_t qemu, const char *eye, const char *name, const char *scope, struct buf *ret)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char words[VM_LOOK_MAX];
	cleanup_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int length = snprintf(words, sizeof(words), "%s\n%s\n%s\n", eye, name, scope);

	(void)snprintf(
		address.sun_path, sizeof(address.sun_path), "/proc/%d/root" VM_LOOK_PATH, qemu);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		send(fd, words, (size_t)length, MSG_NOSIGNAL) != length) {
		return -errno;
	}
	return read_answer(fd, ret);
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

static int ask_runsc(const struct machine *machine, const char *eye, const char *name,
	const char *scope, struct buf *ret)
{
	static const char *const env[] = {
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL};
	cleanup(strv_freep) char **boot = NULL;
	cleanup(strv_freep) char **argv = NULL;
	cleanup_close int in = -1;
	cleanup_close int out = -1;
	cleanup_close int child = -1;
	int ends[2];
	int status = 0;
	int r = read_words(machine->memory, &boot);

	r = r < 0 ? r : exec_words(machine->engine, boot, &argv);
	r = r < 0 ? r : strv_append(&argv, eye);
	r = r < 0 ? r : strv_append(&argv, name);
	r = r < 0 ? r : strv_append(&argv, scope);
	if (r < 0 || pipe2(ends, O_CLOEXEC) < 0) {
		return r < 0 ? r : -errno;
	}
	in = ends[0];
	out = ends[1];
	child = proc_spawn(argv, (char *const *)(uintptr_t)env, (const int[3]){-1, out, -1}, NULL);
	close_fdp(&out);
	if (child < 0) {
		return child;
	}
	r = read_answer(in, ret);
	if (proc_wait(child, r < 0 ? 0 : LOOK_MS, &status) < 0) {
		(void)proc_signal(child, SIGKILL);
		(void)proc_wait(child, -1, &status);
	}
	return r;
}

int beside_look(const struct machine *machine, const char *eye, const char *name, const char *scope,
	struct outside *ret)
{
	cleanup(buf_fini) struct buf text = {0};
	int r = 0;

	if (machine->memory <= 0) {
		return -ESRCH;
	}
	r = machine->guest ? ask_guest(machine->memory, eye, name, scope, &text)
			   : ask_runsc(machine, eye, name, scope, &text);
	/* The client may be quicker than runsc in noting that it runs: till then, exec is refused. */
	for (int i = 0; i < EXEC_TRIES && r == 0 && !machine->guest && text.size == 0; i++) {
		(void)usleep(EXEC_PAUSE_USEC);
		r = ask_runsc(machine, eye, name, scope, &text);
	}
	r = r < 0 ? r : eye_parse((const char *)text.data, text.size, ret);
	if (r == 0 && !machine->guest) {
		ret->root_is_ours = -1; /* runsc put the eye into the session's own tree */
	}
	return r;
}
