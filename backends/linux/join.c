/*
 * The launcher's half of joining a shared sandbox: each thing that joins has a socket of its own to
 * cloche-init, and ends with it.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "backends/linux/launcher.h"
#include "base/cleanup.h"
#include "base/io.h"

struct native_joined {
	struct sandbox base;
	struct sandbox *sandbox; /* that it joined; borrowed */
	bool exited;
	struct sandbox_exit how;
};

static const struct backend joined_table;

static struct native_joined *joined(struct sandbox *sandbox)
{
	assert(sandbox->backend == &joined_table);
	return (struct native_joined *)sandbox;
}

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
	cleanup_free struct native_joined *made = calloc(1, sizeof(*made));
	cleanup_close int event = -1;

	assert(sandbox->backend == &backend_native && plan->shared);
	if (!made) {
		return err_set(err, ENOMEM, "joining the sandbox");
	}
	event = ask(sandbox, plan, &message, io, err);
	if (event < 0) {
		return event;
	}
	int r = launcher_await(event, &made->base.pty, err);
	if (r < 0) {
		return r;
	}
	made->base.backend = &joined_table;
	memcpy(made->base.id, sandbox->id, sizeof(made->base.id));
	made->base.pidfd = -1;
	made->base.event = take_fd(&event);
	made->sandbox = sandbox;
	*ret_joined = &take_ptr(&made)->base;
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

	assert(sandbox->backend == &backend_native && plan->shared);
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

static int joined_signal(struct sandbox *base, int signo)
{
	struct image_message message = {.type = IMAGE_SIGNAL, .number = (uint32_t)signo};

	return io_send(joined(base)->base.event, &message, sizeof(message), NULL, 0);
}

static int joined_poll_exit(struct sandbox *base, struct sandbox_exit *ret)
{
	struct native_joined *self = joined(base);
	struct image_message message = {0};

	if (!self->exited) {
		ssize_t n = io_receive(
			base->event, &message, sizeof(message), NULL, 0, NULL, MSG_DONTWAIT);
		if (n == -EAGAIN) {
			return 0;
		}
		if (n != (ssize_t)sizeof(message) || message.type != IMAGE_EXITED) {
			return -EPIPE;
		}
		self->exited = true;
		self->how.status = (int)message.number;
	}
	*ret = self->how;
	return 1;
}

/* All that joined share one account. */
static void joined_usage(struct sandbox *base, struct sandbox_usage *ret)
{
	struct sandbox *sandbox = joined(base)->sandbox;

	sandbox->backend->usage(sandbox, ret);
}

static void joined_destroy(struct sandbox *base)
{
	struct native_joined *self = base ? joined(base) : NULL;

	if (self) {
		close_fdp(&self->base.event);
		close_fdp(&self->base.pty);
		free(self);
	}
}

static const struct backend joined_table = {
	.name = "native",
	.summary = "a command in a shared sandbox",
	.signal = joined_signal,
	.poll_exit = joined_poll_exit,
	.usage = joined_usage,
	.destroy = joined_destroy,
};
