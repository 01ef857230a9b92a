/* The word of the command: who it is, and whether its exec succeeded. See bubblewrap.h. */
#include "backends/bubblewrap.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "backends/linux/kernel.h"
#include "base/io.h"
#include "base/proc.h"

#define START_MS 10000

/* bwrap says what it could not do; its last line is the reason. */
static int tell_complaint(const struct bubblewrap_word *from, struct err *err)
{
	char text[2048];
	struct pollfd wait = {.fd = from->errors, .events = POLLIN};
	size_t used = 0;
	ssize_t n = 1;

	while (n > 0 && used + 1 < sizeof(text) && poll(&wait, 1, 500) > 0) {
		n = read(from->errors, text + used, sizeof(text) - 1 - used);
		used += n > 0 ? (size_t)n : 0;
	}
	while (used > 0 && text[used - 1] == '\n') {
		used--;
	}
	text[used] = '\0';
	char *line = strrchr(text, '\n');
	return err_refuse(err, EIO, "step bwrap: %s",
		*text ? (line ? line + 1 : text) : "it ended without a word");
}

/* Who sent a message, as the kernel says it. */
struct sender {
	pid_t pid; /* 0: it says nothing */
	int pidfd; /* owned; -1: this kernel does not say, or it has ended */
};

/* What a sandbox sends is bytes: nothing of these is a descriptor of its. */
static void take_sender(struct msghdr *message, struct sender *ret)
{
	struct ucred credentials;

	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
		header = CMSG_NXTHDR(message, header)) {
		if (header->cmsg_level != SOL_SOCKET) {
			continue;
		}
		if (header->cmsg_type == SCM_CREDENTIALS) {
			memcpy(&credentials, CMSG_DATA(header), sizeof(credentials));
			ret->pid = credentials.pid;
		} else if (header->cmsg_type == KERNEL_SCM_PIDFD) {
			close_fdp(&ret->pidfd);
			memcpy(&ret->pidfd, CMSG_DATA(header), sizeof(ret->pidfd));
			ret->pidfd = ret->pidfd < 0 ? -1 : ret->pidfd;
		}
	}
}

/* One message and who sent it. 1, 0 at the end, or negative errno. */
static int receive_from(int socket, int timeout_ms, void *data, size_t size, struct sender *ret)
{
	union {
		char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {.iov_base = data, .iov_len = size};
	struct msghdr message = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes)};
	struct pollfd wait = {.fd = socket, .events = POLLIN};

	if (poll(&wait, 1, timeout_ms) <= 0) {
		return -ETIMEDOUT;
	}
	ssize_t n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (n <= 0) {
		return n < 0 ? -errno : 0;
	}
	take_sender(&message, ret);
	return 1;
}

/* The sandbox's mounts end with the keeper's handle of them, and not before our exit. */
static void hold_mounts(struct bubblewrap *sandbox)
{
	struct pollfd ended = {.fd = sandbox->base.pidfd, .events = POLLIN};
	char path[40];

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)sandbox->base.pid);
	cleanup_close int mounts = open(path, O_RDONLY | O_CLOEXEC);
	/* While it lives its number is its own. */
	if (mounts >= 0 && poll(&ended, 1, 0) == 0) {
		keeper_hold(&sandbox->keeper, mounts);
	}
}

/*
 * Takes hold of the command: by the pidfd that came with its word, or by its number, which is its own while
 * it waits for our byte.
 */
static int hold_command(struct bubblewrap *sandbox, const struct bubblewrap_word *from,
	struct sender *sender, struct err *err)
{
	sandbox->base.pid = sender->pid;
	sandbox->gone = from->waved && sender->pidfd < 0;
	sandbox->base.pidfd = sender->pidfd >= 0 ? take_fd(&sender->pidfd)
		: sandbox->gone ? fcntl(sandbox->keeper.tool_pidfd, F_DUPFD_CLOEXEC, 3)
				: proc_pidfd(sender->pid);
	if (sandbox->base.pidfd < 0) {
		return err_set(
			err, sandbox->gone ? errno : -sandbox->base.pidfd, "holding the command");
	}
	int r = from->waved ? 0 : io_send(from->control, "g", 1, NULL, 0);
	if (r == 0 && !sandbox->gone) {
		hold_mounts(sandbox);
	}
	return r < 0 ? err_set(err, -r, "waiting for the command") : 0;
}

int bubblewrap_await(
	struct bubblewrap *sandbox, const struct bubblewrap_word *from, struct err *err)
{
	char word = 0;
	int code = 0;
	struct sender sender = {.pidfd = -1};
	int r = receive_from(from->control, START_MS, &word, 1, &sender);

	if (r < 0) {
		return err_set(err, -r, "waiting for bwrap");
	}
	if (r == 0 || word != 'o' || sender.pid <= 0) {
		close_fdp(&sender.pidfd);
		return tell_complaint(from, err);
	}
	r = hold_command(sandbox, from, &sender, err);
	if (r < 0) {
		return r;
	}
	r = receive_from(from->control, START_MS, &code, sizeof(code), &sender);
	close_fdp(&sender.pidfd);
	if (r < 0 && r != -ECONNRESET) {
		return err_set(err, -r, "waiting for the command");
	}
	return r > 0 ? err_set(err, code, "running %s", from->program) : 0;
}
