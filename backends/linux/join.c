/*
 * The launcher's half of joining a shared sandbox: each thing that joins has a socket of its own to
 * cloche-init, and ends with it.
 */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "backends/linux/launcher.h"
#include "backends/linux/sandbox.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/proc.h"

/* The image of what joins has no mounts: those are there. */
static int make_image(const struct plan *plan, struct err *err)
{
	cleanup_free struct image_source *absent = calloc(plan->mount_count + 1, sizeof(*absent));

	if (!absent) {
		return err_set(err, ENOMEM, "joining the sandbox");
	}
	for (size_t i = 0; i < plan->mount_count; i++) {
		absent[i].absent = true;
	}
	return launcher_image(plan, absent, err);
}

/* Sends message with a new socket, the image and the streams. Returns our end, or negative errno. */
static int ask(struct sandbox *sandbox, const struct plan *plan, struct image_message *message,
	const struct sandbox_stdio *io, struct err *err)
{
	cleanup_close int image = make_image(plan, err);
	cleanup_close int ours = -1;
	cleanup_close int theirs = -1;
	int pair[2];
	int fds[5];
	size_t count = 2;

	if (image < 0) {
		return image;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		return err_set(err, errno, "joining the sandbox");
	}
	ours = pair[0];
	theirs = pair[1];
	fds[0] = theirs;
	fds[1] = image;
	for (int i = 0; i < 3; i++) {
		if (io && !io->pty && io->fds[i] >= 0) {
			message->flags |= 1U << i;
			fds[count++] = io->fds[i];
		}
	}
	if (io && io->pty) {
		message->flags |= 8;
		message->size = io->size;
	}
	if (plan->no_exec) {
		io_random(message->key, sizeof(message->key));
	}
	message->type = IMAGE_JOIN;
	int r = io_send(sandbox->event, message, sizeof(*message), fds, count);
	explicit_bzero(message->key, sizeof(message->key));
	return r < 0 ? err_set(err, -r, "joining the sandbox") : take_fd(&ours);
}

int launcher_join(struct sandbox *sandbox, const struct plan *plan, const struct sandbox_stdio *io,
	struct sandbox **ret_joined, struct err *err)
{
	struct image_message message = {.number = IMAGE_JOIN_COMMAND};
	struct native_sandbox *holder = launcher_native(sandbox);
	cleanup_free struct native_sandbox *made = calloc(1, sizeof(*made));
	cleanup_close int event = -1;

	assert(plan->shared && !holder->joined);
	if (!made) {
		return err_set(err, ENOMEM, "joining the sandbox");
	}
	event = ask(sandbox, plan, &message, io, err);
	if (event < 0) {
		return event;
	}
	int r = launcher_await(event, &made->base.pty, NULL, err);
	if (r == -ETIMEDOUT) {
		/*
		 * cloche-init waits for an exec that does not come. What joins is the session's user by then,
		 * and a program inside can have stopped it: nobody in there keeps limits or obeys any more.
		 */
		(void)proc_signal(sandbox->pidfd, SIGKILL);
	}
	if (r < 0) {
		return r;
	}
	made->base.backend = sandbox->backend;
	memcpy(made->base.id, sandbox->id, sizeof(made->base.id));
	made->base.pidfd = -1;
	made->base.pid = sandbox->pid;
	made->base.event = take_fd(&event);
	made->joined = holder;
	made->door = -1;
	*ret_joined = &take_ptr(&made)->base;
	return 0;
}

int launcher_join_alone(struct sandbox *sandbox, const struct plan *plan,
	const struct sandbox_stdio *io, struct sandbox **ret_joined, struct err *err)
{
	int r = launcher_join(sandbox, plan, io, ret_joined, err);

	if (r < 0) {
		launcher_destroy(sandbox);
		return r;
	}
	launcher_native(*ret_joined)->alone = true;
	return 0;
}

int launcher_open_socket(struct sandbox *sandbox, const struct plan *plan, enum sandbox_socket kind,
	const struct sockaddr *address, socklen_t size, int *ret_event, struct err *err)
{
	static const enum image_join kinds[] = {
		[SANDBOX_CONNECT] = IMAGE_JOIN_CONNECT,
		[SANDBOX_LISTEN] = IMAGE_JOIN_LISTEN,
		[SANDBOX_LISTEN_PRIVATE] = IMAGE_JOIN_LISTEN_PRIVATE,
	};
	struct image_message message = {.number = kinds[kind], .tree_count = size};

	assert(launcher_native(sandbox) && plan->shared);
	if (size > sizeof(message.text)) {
		return err_refuse(err, EINVAL, "that address is too long");
	}
	memcpy(message.text, address, size);
	int event = ask(sandbox, plan, &message, NULL, err);
	if (event < 0) {
		return event;
	}
	*ret_event = event;
	return 0;
}

/* What comes out of a sandbox is looked at before it is used: a stream socket and nothing else. */
static bool is_stream(int fd)
{
	int type = 0;
	socklen_t size = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

int backend_take_socket(int event, int *ret_fd)
{
	struct image_message message = {0};
	cleanup_close int fd = -1;
	size_t count = 0;
	ssize_t n = io_receive(event, &message, sizeof(message), &fd, 1, &count, MSG_DONTWAIT);

	if (n == -EAGAIN) {
		return 0;
	}
	if (n != (ssize_t)sizeof(message)) {
		return n < 0 ? (int)n : -EPIPE;
	}
	if (message.type == IMAGE_FAILED) {
		return message.number > 0 && message.number < 4096 ? -(int)message.number : -EPROTO;
	}
	if (message.type != IMAGE_STARTED || count == 0 || !is_stream(fd)) {
		return -EPROTO;
	}
	*ret_fd = take_fd(&fd);
	return 1;
}
