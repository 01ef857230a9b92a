#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#include "base/cleanup.h"

int io_write_all(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size > 0) {
		ssize_t n = write(fd, at, size);
		if (n < 0 && errno == EAGAIN) {
			struct pollfd wait = {.fd = fd, .events = POLLOUT};
			(void)poll(&wait, 1, -1);
			continue;
		}
		if (n < 0 && errno != EINTR) {
			return -errno;
		}
		if (n > 0) {
			at += n;
			size -= (size_t)n;
		}
	}
	return 0;
}

int io_read_all(int fd, void *data, size_t size)
{
	char *at = data;

	while (size > 0) {
		ssize_t n = read(fd, at, size);
		if (n == 0) {
			return -EPIPE;
		}
		if (n < 0 && errno != EINTR) {
			return -errno;
		}
		if (n > 0) {
			at += n;
			size -= (size_t)n;
		}
	}
	return 0;
}

int io_read_fd(int fd, size_t max, char **ret_data, size_t *ret_size)
{
	cleanup_free char *data = NULL;
	size_t room = 4096;
	size_t used = 0;

	for (;;) {
		if (!data || used + 1 >= room) {
			room = data ? room * 2 : room;
			char *grown = realloc(data, room);
			if (!grown) {
				return -ENOMEM;
			}
			data = grown;
		}
		ssize_t n = read(fd, data + used, room - used - 1);
		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0) {
			return -errno;
		}
		if (n == 0) {
			break;
		}
		used += (size_t)n;
		if (used > max) {
			return -EFBIG;
		}
	}
	data[used] = '\0';
	*ret_data = take_ptr(&data);
	if (ret_size) {
		*ret_size = used;
	}
	return 0;
}

int io_read_file(int dirfd, const char *path, size_t max, char **ret_data, size_t *ret_size)
{
	cleanup_close int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0) {
		return -errno;
	}
	return io_read_fd(fd, max, ret_data, ret_size);
}

int io_write_file(int dirfd, const char *path, const char *text)
{
	cleanup_close int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t n = 0;

	if (fd < 0) {
		return -errno;
	}
	n = write(fd, text, strlen(text));
	if (n < 0) {
		return -errno;
	}
	return (size_t)n == strlen(text) ? 0 : -EIO;
}

int io_sealed_memfd(const char *name, const void *data, size_t size)
{
	cleanup_close int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r = 0;

	if (fd < 0) {
		return -errno;
	}
	r = io_write_all(fd, data, size);
	if (r < 0) {
		return r;
	}
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0) {
		return -errno;
	}
	return take_fd(&fd);
}

int io_send(int socket, const void *data, size_t size, const int *fds, size_t count)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * IO_MAX_FDS)];
		struct cmsghdr align;
	} control;
	struct iovec iov = {.iov_base = (void *)(size_t)data, .iov_len = size};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n = 0;

	if (count > IO_MAX_FDS) {
		return -EINVAL;
	}
	if (count > 0) {
		memset(&control, 0, sizeof(control));
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int) * count);
		memcpy(CMSG_DATA(header), fds, sizeof(int) * count);
	}
	/* Without descriptors by the call that can carry none: net has no other. */
	do {
		n = count > 0 ? sendmsg(socket, &message, MSG_NOSIGNAL)
			      : send(socket, data, size, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		return -errno;
	}
	return (size_t)n == size ? 0 : -EMSGSIZE;
}

static void close_all(const int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		(void)close(fds[i]);
	}
}

ssize_t io_receive(
	int socket, void *data, size_t size, int *ret_fds, size_t max, size_t *ret_count, int flags)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * IO_MAX_FDS)];
		struct cmsghdr align;
	} control;
	int got[IO_MAX_FDS];
	size_t count = 0;
	struct iovec iov = {.iov_base = data, .iov_len = size};
	struct msghdr message = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes)};
	bool reset = false;
	ssize_t n = 0;

	do {
		reset = n < 0 && errno == ECONNRESET;
		n = recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
	} while (n < 0 && (errno == EINTR || (errno == ECONNRESET && !reset)));
	if (n < 0) {
		return -errno;
	}
	for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header;
		header = CMSG_NXTHDR(&message, header)) {
		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) {
			continue;
		}
		size_t more = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		if (count + more <= IO_MAX_FDS) {
			memcpy(got + count, CMSG_DATA(header), more * sizeof(int));
			count += more;
		}
	}
	if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || count > max) {
		close_all(got, count);
		return message.msg_flags & MSG_TRUNC ? -EMSGSIZE : -EMFILE;
	}
	if (count > 0) {
		memcpy(ret_fds, got, count * sizeof(int));
	}
	if (ret_count) {
		*ret_count = count;
	}
	return n;
}

int io_set_nonblocking(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0) {
		return -errno;
	}
	flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	return fcntl(fd, F_SETFL, flags) < 0 ? -errno : 0;
}

static void wake_up(int signo)
{
	(void)signo;
}

/* What there was before wake_often(). */
struct woken {
	struct sigaction action;
	sigset_t mask;
};

/* A signal ends a wait in the kernel; again and again, for it may come before the wait has begun. */
static void wake_often(struct woken *before)
{
	const struct itimerval often = {
		.it_interval = {.tv_usec = 1000}, .it_value = {.tv_usec = 1000}};
	const struct sigaction waking = {.sa_handler = wake_up};
	sigset_t alarm;

	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	(void)sigaction(SIGALRM, &waking, &before->action);
	(void)sigprocmask(SIG_UNBLOCK, &alarm, &before->mask);
	(void)setitimer(ITIMER_REAL, &often, NULL);
}

static void wake_no_more(const struct woken *before)
{
	const struct itimerval never = {0};

	(void)setitimer(ITIMER_REAL, &never, NULL);
	(void)sigprocmask(SIG_SETMASK, &before->mask, NULL);
	(void)sigaction(SIGALRM, &before->action, NULL);
}

void io_close_hostile(int *fds, size_t count)
{
	struct woken before;

	wake_often(&before);
	for (size_t i = 0; i < count; i++) {
		close_fdp(&fds[i]);
	}
	wake_no_more(&before);
}

ssize_t io_read_hostile(int fd, void *data, size_t size)
{
	struct woken before;

	wake_often(&before);
	ssize_t n = read(fd, data, size);
	int code = errno;
	wake_no_more(&before);
	errno = code;
	return n;
}

uint64_t io_now_usec(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

char *io_hex(const void *data, size_t size, char *hex)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *bytes = data;

	for (size_t i = 0; i < size; i++) {
		hex[2 * i] = digits[bytes[i] >> 4];
		hex[2 * i + 1] = digits[bytes[i] & 15];
	}
	hex[2 * size] = '\0';
	return hex;
}

void io_random(void *data, size_t size)
{
	unsigned char *at = data;

	while (size > 0) {
		ssize_t n = getrandom(at, size, 0);
		if (n < 0 && errno != EINTR) {
			abort();
		}
		if (n > 0) {
			at += n;
			size -= (size_t)n;
		}
	}
}
