/*
 * Safe because: the directory is root's (or ours) alone from its first moment, and so is all above
 * it, so that what the tool binds is what was made here; the socket's own mode lets in the session's
 * user and nobody else, whoever finds its path; and a session that connects is shown, of who listens
 * there (SO_PEERCRED, SO_PEERPIDFD, SO_PEERGROUPS), a process that has ended, without groups. A page
 * is only ever written here, and nothing that a session does to it is heard.
 */
#include "backends/keeper-door.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "backends/linux/image-make.h"
#include "backends/linux/kernel.h"
#include "backends/linux/nursery.h"
#include "backends/linux/page.h"
#include "backends/linux/raw.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/proc.h"

#define WAITING 4 /* the rest are told to try again, or wait to be let in */
#define LISTEN_MS 5000

void keeper_door_init(struct keeper_door *door)
{
	*door = (struct keeper_door){
		.uid = (uid_t)-1, .gid = (gid_t)-1, .listener = -1, .place = -1, .page = -1};
}

void keeper_door_fini(struct keeper_door *door)
{
	close_fdp(&door->listener);
	close_fdp(&door->place);
	close_fdp(&door->page);
}

void keeper_door_take(struct keeper_door *door, struct sandbox_door *ret)
{
	ret->listener = take_fd(&door->listener);
	ret->page = take_fd(&door->page);
}

/* Of a child that shares our memory. */
struct listening {
	struct nursery nursery;
	int socket;
	bool root;
	volatile long result;
};

static __attribute__((no_sanitize("address", "undefined"))) void listen_and_end(const void *data)
{
	struct listening *mine = (struct listening *)(uintptr_t)data;
	long r = mine->root ? raw_call(SYS_setgroups, 0, 0, 0, 0, 0, 0) : 0;

	mine->result = r < 0 ? r : raw_call(SYS_listen, mine->socket, WAITING, 0, 0, 0, 0);
	for (;;) {
		(void)raw_call(SYS_exit_group, 0, 0, 0, 0, 0, 0);
	}
}

/* Who has called listen() is whom the kernel shows to those who connect. */
static int listen_elsewhere(int socket)
{
	struct listening *mine = calloc(1, sizeof(*mine));
	cleanup_close int pidfd = -1;
	int made = -1;
	const struct kernel_clone_args args = {
		.flags = CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)&made, .exit_signal = SIGCHLD};
	sigset_t all;
	sigset_t before;
	int status = 0;

	if (!mine) {
		return -ENOMEM;
	}
	mine->socket = socket;
	mine->root = geteuid() == 0;
	/* No handler of ours may run in the child. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	long r = nursery_clone(&mine->nursery, args, listen_and_end, mine);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r >= 0) {
		pidfd = made;
		r = nursery_await(&mine->nursery, NULL);
		if (r < 0) {
			return (int)r; /* somebody may still use it: left to him */
		}
		(void)proc_wait(pidfd, LISTEN_MS, &status);
		r = mine->result;
	}
	free(mine);
	return (int)r;
}

/* Names still cannot be listed there, and what has them is 0700 where it is not meant for others. */
static int let_through(int dir)
{
	cleanup_close int at = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat seen;

	for (int i = 0; i < 3; i++) {
		if (at < 0 || fstat(at, &seen) < 0 ||
			((seen.st_mode & 0011) != 0011 &&
				fchmod(at, (seen.st_mode & 07777) | 0011) < 0)) {
			return -errno;
		}
		int above = openat(at, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close_fdp(&at);
		at = above;
	}
	return 0;
}

/* By a path that says nothing: getpeername() shows it to who connects. */
static int bind_in(int socket, int dir)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	(void)snprintf(address.sun_path, sizeof(address.sun_path),
		"/proc/self/fd/%d/" KEEPER_DOOR_NAME, dir);
	return bind(socket, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
}

static int give_to(const struct keeper_door *door, int dir)
{
	bool other = door->uid != (uid_t)-1;

	if (fchmodat(dir, KEEPER_DOOR_NAME, 0600, 0) < 0 ||
		(other &&
			fchownat(dir, KEEPER_DOOR_NAME, door->uid, door->gid, AT_SYMLINK_NOFOLLOW) <
				0)) {
		return -errno;
	}
	return door->passable ? let_through(dir) : 0;
}

/* Below dir, where nobody else can have made anything. */
static int make_file(int dir, const char *name, mode_t mode)
{
	int fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0 || fchmod(fd, mode) < 0) {
		int code = errno;
		close_fdp(&fd);
		return -code;
	}
	return fd;
}

static int make_folder(int dir, const char *name)
{
	return mkdirat(dir, name, 0700) < 0 || fchmodat(dir, name, 0755, 0) < 0 ? -errno : 0;
}

/* Its length is what it will be: a reader's kernel need not hear of another one. */
static int make_page(struct keeper_door *door, int dir)
{
	cleanup_close int program = -1;
	int r = make_folder(dir, KEEPER_PAGE_DIR);

	r = r < 0 ? r : make_folder(dir, KEEPER_PAGE_DIR "/bin");
	if (r < 0) {
		return r;
	}
	program = make_file(dir, KEEPER_PAGE_DIR "/bin/why", 0555);
	r = program < 0 ? program : io_write_all(program, image_why_program, image_why_size);
	if (r < 0) {
		return r;
	}
	if (linkat(dir, KEEPER_PAGE_BESIDE, dir, KEEPER_PAGE_DIR "/" KEEPER_PAGE_BESIDE, 0) < 0 &&
		errno != ENOENT) {
		return -errno;
	}
	door->page = make_file(dir, KEEPER_PAGE_DIR "/why", 0444);
	return door->page < 0                                    ? door->page
		: ftruncate(door->page, sizeof(struct page)) < 0 ? -errno
								 : 0;
}

static int make_door(struct keeper_door *door, int dir)
{
	cleanup_close int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	cleanup_close int place = -1;
	int r = listener < 0 ? -errno : bind_in(listener, dir);

	r = r < 0 ? r : give_to(door, dir);
	r = r < 0 ? r : listen_elsewhere(listener);
	if (r == 0) {
		place = openat(dir, KEEPER_DOOR_NAME, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		r = place < 0 ? -errno : 0;
	}
	if (r == 0) {
		door->listener = take_fd(&listener);
		door->place = take_fd(&place);
	}
	return r;
}

int keeper_door_make(struct keeper_door *door, int dir, struct err *err)
{
	int r = door->is_page ? make_page(door, dir) : make_door(door, dir);

	return r < 0 ? err_set(err, -r, "making the place where `why` asks") : 0;
}
