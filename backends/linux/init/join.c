/*
 * A shared sandbox: commands that join it, and sockets that are made in its network for somebody
 * outside. Whatever joins goes the same last metre as the command of any sandbox; a socket is made by
 * a process that has gone it, so that it can reach what a command could and nothing else.
 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "backends/linux/init/init.h"

#define BACKLOG 64

static void answer_failure(int control, const struct init *init, int code)
{
	struct image_message message = {.type = IMAGE_FAILED, .number = (uint32_t)code};

	rt_copy(message.step, "join", sizeof(message.step));
	rt_copy(message.text, init->what, sizeof(message.text));
	init_send(control, &message, -1);
}

static struct joined *find_slot(struct init *init)
{
	for (size_t i = 0; i < IMAGE_MAX_JOINED; i++) {
		if (init->joined[i].control < 0) {
			return &init->joined[i];
		}
	}
	return NULL;
}

/* Our own copy of a name's directory part: 0 when it has one. */
static int make_parent(struct sockaddr_un *address)
{
	size_t slash = strlen(address->sun_path);

	while (slash > 0 && address->sun_path[slash] != '/') {
		slash--;
	}
	if (slash == 0) {
		errno = EINVAL;
		return -1;
	}
	address->sun_path[slash] = '\0';
	long made = RT(mkdirat, AT_FDCWD, address->sun_path, 0700);
	address->sun_path[slash] = '/';
	return (int)made;
}

static long make_socket(struct init *init)
{
	struct sockaddr_un address = {0}; /* the largest of those that may come */
	enum image_join kind = init->start.number;
	uint32_t size = init->start.tree_count;
	int yes = 1;

	if (size < sizeof(sa_family_t) || size > sizeof(address)) {
		errno = EINVAL;
		return -1;
	}
	memcpy(&address, init->start.text, size);
	long fd = RT(socket, address.sun_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		return -1;
	}
	if (kind == IMAGE_JOIN_CONNECT) {
		return RT(connect, fd, &address, size) < 0 ? -1 : fd;
	}
	if (kind == IMAGE_JOIN_LISTEN_PRIVATE) {
		if (make_parent(&address) < 0) {
			return -1;
		}
		(void)RT(umask, 0177);
	}
	(void)RT(setsockopt, fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	return RT(bind, fd, &address, size) < 0 || RT(listen, fd, BACKLOG) < 0 ? -1 : fd;
}

/* A process of its own, since connecting can take long; its standard input is the answer's socket. */
static void join_socket(struct init *init, struct joined *slot)
{
	init->stdio[0] = slot->control;
	init_doing(init, "making a socket", "");
	slot->pid = RT(clone, SIGCHLD, 0, 0, 0, 0);
	if (slot->pid == 0) {
		struct image_message done = {.type = IMAGE_STARTED};
		long fd = init_become_user(init) < 0 ? -1 : make_socket(init);
		if (fd < 0) {
			answer_failure(0, init, errno);
		} else {
			init_send(0, &done, (int)fd);
		}
		rt_exit(0);
	}
	init->stdio[0] = -1;
}

static void join_command(struct init *init, struct joined *slot)
{
	struct image_message started = {.type = IMAGE_STARTED};

	slot->command = true;
	if (init_make_terminal(init) < 0 || init_start_command(init) < 0) {
		/* One that ran and could not exec is there to be reaped. */
		slot->pid = init->child > 0 ? init->child : -1;
		answer_failure(slot->control, init, errno);
		return;
	}
	slot->pid = init->child;
	init_send(slot->control, &started, init->master);
}

/* control, image, and the streams that flags speak of. 0 or -1. */
static int unpack(struct init *joining, int *fds, size_t count)
{
	size_t next = 2;

	if (count < 2 || init_map_image(joining, fds[1]) < 0) {
		errno = EBADMSG;
		return -1;
	}
	for (int i = 0; i < 3; i++) {
		joining->stdio[i] =
			(joining->start.flags >> i & 1) && next < count ? fds[next++] : -1;
	}
	return 0;
}

void init_join(struct init *init, const struct image_message *message, int *fds, size_t count)
{
	static struct init joining;
	struct joined *slot = find_slot(init);

	joining = (struct init){.start = *message,
		.stdio = {-1, -1, -1},
		.report = -1,
		.root = -1,
		.master = -1,
		.slave = -1,
		.door = -1};
	init_doing(&joining, "joining the sandbox", "");
	if (!slot || unpack(&joining, fds, count) < 0) {
		answer_failure(fds[0], &joining, slot ? errno : EAGAIN);
		(void)close(fds[0]);
	} else {
		*slot = (struct joined){.control = fds[0], .pid = -1};
		if (message->number == IMAGE_JOIN_COMMAND) {
			join_command(&joining, slot);
		} else {
			join_socket(&joining, slot);
		}
		if (slot->pid < 0) {
			close_fdp(&slot->control);
		}
	}
	/* The key of the one exec ends here. */
	memset(joining.start.key, 0, sizeof(joining.start.key));
	if (joining.image) {
		(void)RT(munmap, joining.image, joining.image->size);
	}
	close_fdp(&joining.master);
	close_fdp(&joining.slave);
	for (size_t i = 1; i < count; i++) {
		(void)close(fds[i]);
	}
}

bool init_joined_ended(struct init *init, long pid, int status)
{
	for (size_t i = 0; i < IMAGE_MAX_JOINED; i++) {
		struct joined *joined = &init->joined[i];
		if (joined->control >= 0 && joined->pid == pid) {
			struct image_message message = {
				.type = IMAGE_EXITED, .number = (uint32_t)status};
			init_send(joined->control, &message, -1);
			close_fdp(&joined->control);
			return true;
		}
	}
	return false;
}

void init_joined_obey(struct joined *joined)
{
	struct image_message message = {0};
	size_t count = 0;
	long n = init_receive(joined->control, &message, NULL, 0, &count);

	if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
		return;
	}
	bool ended = n <= 0;
	int signo = ended ? SIGKILL : (int)message.number;
	if (!ended && (message.type != IMAGE_SIGNAL || message.number > 64)) {
		return;
	}
	/* The whole process group, as a terminal would; the command alone if it has left it. */
	if (RT(kill, -joined->pid, signo) < 0) {
		(void)RT(kill, joined->pid, signo);
	}
	if (ended) {
		close_fdp(&joined->control);
	}
}
