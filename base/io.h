/*
 * Descriptors: whole reads and writes, sealed memory files, messages that carry descriptors.
 * All descriptors made here are close-on-exec.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define IO_MAX_FDS 64 /* descriptors one message may carry */

/* Writes all of it, through EINTR and short writes. 0 or negative errno. */
int io_write_all(int fd, const void *data, size_t size);

/* Reads exactly size bytes. 0, -EPIPE when the end came first, or negative errno. */
int io_read_all(int fd, void *data, size_t size);

/*
 * Reads a whole file below dirfd (or by absolute path), at most max bytes; a longer one is
 * -EFBIG. *ret_data is NUL-terminated behind its *ret_size (may be NULL) bytes; the caller frees.
 */
int io_read_file(int dirfd, const char *path, size_t max, char **ret_data, size_t *ret_size);

/* The same from an open descriptor, from its present offset. */
int io_read_fd(int fd, size_t max, char **ret_data, size_t *ret_size);

/* Writes text to an existing file with one write(2), for /proc and cgroup files. */
int io_write_file(int dirfd, const char *path, const char *text);

/* A memory file with this content, sealed against every change. Returns a descriptor. */
int io_sealed_memfd(const char *name, const void *data, size_t size);

/*
 * Sends one message with count (at most IO_MAX_FDS) descriptors, which stay the caller's. Never
 * raises SIGPIPE. 0 or negative errno.
 */
int io_send(int socket, const void *data, size_t size, const int *fds, size_t count);

/*
 * Receives one message of at most size bytes. *ret_fds gets up to max descriptors, the caller's
 * to close; if more came they are closed and the call fails with -EMFILE; a message that did not
 * fit is -EMSGSIZE and its descriptors are closed. flags as recvmsg(2).
 *
 * What the other end has sent is received also when it was closed with messages of ours unread: of that the
 * kernel tells once, as ECONNRESET, and before what was sent (seqpacket sockets; net/unix/af_unix.c).
 *
 * Returns the length, 0 at the end of the stream, or negative errno.
 */
ssize_t io_receive(int socket, void *data, size_t size, int *ret_fds, size_t max, size_t *ret_count,
	int flags);

int io_set_nonblocking(int fd, bool on);

/*
 * Closes count sockets that somebody who is not trusted could write to, and sets them to -1; negative ones are
 * passed over. With a socket go the descriptors that were sent there and never taken, and the last one of a TCP
 * connection with SO_LINGER waits as long as its maker has said, which is as good as for ever.
 *
 * Single-threaded programs only: SIGALRM and the timer of setitimer(2) are borrowed for it.
 */
void io_close_hostile(int *fds, size_t count);

/* As read(2), for such a socket: what is sent with the bytes is closed by whoever reads them. */
ssize_t io_read_hostile(int fd, void *data, size_t size);

/* Monotonic clock, in microseconds. */
uint64_t io_now_usec(void);

/* Fills hex (2 * size + 1 bytes) with lower-case digits. Returns hex. */
char *io_hex(const void *data, size_t size, char *hex);

/* Random bytes from getrandom(2); aborts when the kernel has none to give. */
void io_random(void *data, size_t size);
