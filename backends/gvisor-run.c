/*
 * Runs a plan of gvisor under a keeper. That the program runs inside is told by a FIFO that runsc
 * touches then (the bundle's poststart hook); why it does not, by runsc's log. A terminal's master comes
 * by a socket that has no name in the file system: runsc connects to it through a descriptor.
 *
 * A FIFO and not inotify, whose close waits until the whole machine has let go of it: 10 to 20 ms.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "backends/foreign-door.h"
#include "backends/gvisor.h"
#include "backends/keeper.h"
#include "backends/linux/kernel.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/io.h"

#define START_MS 60000
#define KILL_MS 10000
#define LOOK_MS 100 /* between two looks at the time of a sign */
#define LOG_MAX (1 << 20)

struct gvisor {
	struct sandbox base;
	struct keeper keeper;
	struct keeper_door door;
	bool rootless;
};

static struct gvisor *from(struct sandbox *sandbox)
{
	assert(sandbox->backend == &backend_gvisor);
	return (struct gvisor *)sandbox;
}

/* ---- before ---- */

/* Every path of the spec's must be what it says: no symbolic link may lead elsewhere. */
static int check_path(const char *path, bool must_exist, struct err *err)
{
	struct kernel_open_how how = {
		.flags = O_PATH | O_CLOEXEC, .resolve = KERNEL_RESOLVE_NO_SYMLINKS};
	cleanup_close int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));

	if (fd >= 0 || (errno == ENOENT && !must_exist)) {
		return 0;
	}
	if (errno == ELOOP) {
		return err_refuse(err, ELOOP,
			"%s is or leads through a symbolic link; name the place itself", path);
	}
	return err_set(err, errno, "looking at %s", path);
}

/* What is denied may be missing: its cover is put there all the same. Other errors refuse. */
static int check_paths(const struct plan *plan, struct err *err)
{
	for (size_t i = 0; i < plan->mount_count; i++) {
		const struct plan_mount *mount = &plan->mounts[i];
		bool cover = mount->kind == PLAN_MOUNT_TMPFS && mount->mode == 0 &&
			strncmp(mount->target, "/dev/", 5) != 0 && !(mount->flags & PLAN_FOLLOW);
		bool bind = mount->kind == PLAN_MOUNT_BIND && !(mount->flags & PLAN_FOLLOW);
		int r = cover || bind ? check_path(bind ? mount->source : mount->target, bind, err)
				      : 0;
		if (r < 0) {
			return r;
		}
	}
	return 0;
}

/* Runsc keeps offsets of its own in a regular file, and they begin at 0. */
static int check_streams(const struct sandbox_stdio *io, struct err *err)
{
	struct stat stat;

	for (int i = 0; !io->pty && i < 3; i++) {
		if (io->fds[i] >= 0 && fstat(io->fds[i], &stat) == 0 && S_ISREG(stat.st_mode)) {
			return err_refuse(err, EINVAL,
				"standard stream %d is a regular file, which runsc would use from "
				"its start on; give it a pipe",
				i);
		}
	}
	return 0;
}

/* ---- terminal ---- */

struct console {
	int listener, handle; /* handle: of the socket's inode */
};

static void console_fini(struct console *console)
{
	close_fdp(&console->listener);
	close_fdp(&console->handle);
}

/* A socket with a name for as long as it takes to open a handle of it. */
static int console_make(struct console *ret, struct err *err)
{
	char directory[] = "/tmp/cloche-console.XXXXXX";
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int r = 0;

	ret->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (ret->listener < 0 || !mkdtemp(directory)) {
		return err_set(err, errno, "making the terminal's socket");
	}
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", directory);
	if (bind(ret->listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		listen(ret->listener, 1) < 0) {
		r = err_set(err, errno, "making the terminal's socket");
	}
	if (r == 0) {
		ret->handle = open(address.sun_path, O_PATH | O_CLOEXEC | O_NOFOLLOW);
		r = ret->handle < 0 ? err_set(err, errno, "opening the terminal's socket") : 0;
	}
	(void)unlink(address.sun_path);
	(void)rmdir(directory);
	return r;
}

/* The master, from who connects; only runsc has the handle. 0 while it has not come. */
static int console_take(struct console *console, int *ret_master, struct err *err)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	char name[256];
	struct iovec vector = {name, sizeof(name)};
	struct msghdr message = {.msg_iov = &vector,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};
	cleanup_close int peer = accept4(console->listener, NULL, NULL, SOCK_CLOEXEC);

	if (peer < 0 || recvmsg(peer, &message, MSG_CMSG_CLOEXEC) <= 0) {
		return err_set(err, peer < 0 ? errno : EPIPE, "taking the terminal from runsc");
	}
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
		header->cmsg_len != CMSG_LEN(sizeof(int))) {
		return err_refuse(err, EPROTO, "runsc sent no terminal");
	}
	memcpy(ret_master, CMSG_DATA(header), sizeof(int));
	return 0;
}

/*
 * The plan for this session: with a terminal its bundle says so, and runsc is told where to send the
 * master. Shares everything with plan but what it frees.
 */
struct variant {
	struct plan plan;
	struct plan_file *files;
	char *config;
	char **command;
};

static void variant_fini(struct variant *variant)
{
	free(variant->files);
	free(variant->config);
	strv_free(variant->command);
}

/* A text in the bundle cannot be mistaken for the word: quotes have a backslash in texts. */
static int turn_terminal_on(const char *config, char **ret)
{
	static const char off[] = "\"terminal\":false";
	const char *found = strstr(config, off);
	struct buf out = {0};

	if (!found || strstr(found + 1, off)) {
		return -EINVAL;
	}
	buf_put(&out, config, (size_t)(found - config));
	buf_printf(&out, "\"terminal\":true");
	buf_put(&out, found + sizeof(off) - 1, strlen(found + sizeof(off) - 1) + 1);
	if (out.failed) {
		buf_fini(&out);
		return -ENOMEM;
	}
	*ret = (char *)out.data;
	return 0;
}

static int variant_files(const struct plan *plan, struct variant *ret)
{
	int r = -EINVAL;

	ret->files = calloc(plan->file_count + 1, sizeof(ret->files[0]));
	if (!ret->files) {
		return -ENOMEM;
	}
	ret->plan.files = ret->files;
	for (size_t i = 0; i < plan->file_count; i++) {
		ret->files[i] = plan->files[i];
		if (strcmp(plan->files[i].name, GVISOR_CONFIG) == 0) {
			r = turn_terminal_on(plan->files[i].content, &ret->config);
			ret->files[i].content = ret->config;
		}
	}
	return r;
}

static int variant_make(const struct plan *plan, bool terminal, struct variant *ret)
{
	static const char *const console[] = {"--console-socket", "/proc/self/fd/{fd:console}"};
	int r = 0;

	*ret = (struct variant){.plan = *plan};
	if (!terminal) {
		return 0;
	}
	r = variant_files(plan, ret);
	STRV_FOREACH (word, plan->command) {
		r = r < 0 ? r : strv_append(&ret->command, *word);
		for (size_t i = 0; r == 0 && strcmp(*word, "run") == 0 && i < ARRAY_SIZE(console);
			i++) {
			r = strv_append(&ret->command, console[i]);
		}
	}
	ret->plan.command = ret->command;
	return r;
}

/* ---- start ---- */

/* The last thing runsc had to say. */
static void read_reason(const struct gvisor *gvisor, char *text, size_t size)
{
	cleanup_free char *log = NULL;
	char path[128];
	size_t length = 0;

	(void)snprintf(text, size, "it said nothing");
	(void)snprintf(path, sizeof(path), "%s/log", gvisor->keeper.dir);
	if (io_read_file(AT_FDCWD, path, LOG_MAX, &log, &length) < 0) {
		return;
	}
	for (char *at = log; at && *at;) {
		json_error_t error;
		json_t *line = json_loads(at, JSON_DISABLE_EOF_CHECK, &error);
		const char *message = json_string_value(json_object_get(line, "msg"));

		if (message) {
			(void)snprintf(text, size, "%s", message);
		}
		at = line ? at + error.position : NULL;
		json_decref(line);
	}
}

/* How runsc says that the program runs. */
struct sign {
	int fifo; /* or -1 */
	bool given;
	struct timespec made;
};

/*
 * Named only when it can be read, and never over what is there: a hook that came first has made a
 * plain file.
 */
static int sign_make(const struct gvisor *gvisor, struct sign *ret, struct err *err)
{
	char before[128];
	char path[128];
	struct stat seen;

	(void)snprintf(before, sizeof(before), "%s/starting", gvisor->keeper.dir);
	(void)snprintf(path, sizeof(path), "%s/started", gvisor->keeper.dir);
	if (mkfifo(before, 0600) < 0 ||
		(ret->fifo = open(before, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC)) < 0 ||
		fstat(ret->fifo, &seen) < 0) {
		return err_set(err, errno, "making %s", before);
	}
	ret->made = seen.st_mtim;
	if (renameat2(AT_FDCWD, before, AT_FDCWD, path, RENAME_NOREPLACE) < 0) {
		if (errno != EEXIST) {
			return err_set(err, errno, "making %s", path);
		}
		(void)unlink(before);
		ret->given = true;
	}
	return 0;
}

/*
 * Somebody has opened it for writing and closed it again; or only changed its time, which is all that
 * another touch than coreutils' does.
 */
static bool sign_is_given(struct sign *sign)
{
	struct pollfd now = {.fd = sign->fifo, .events = POLLIN};
	struct stat seen;

	if (!sign->given) {
		sign->given = (poll(&now, 1, 0) > 0 && now.revents) ||
			(fstat(sign->fifo, &seen) == 0 &&
				(seen.st_mtim.tv_sec != sign->made.tv_sec ||
					seen.st_mtim.tv_nsec != sign->made.tv_nsec));
	}
	return sign->given;
}

static void sign_fini(struct sign *sign)
{
	close_fdp(&sign->fifo);
}

struct waiting {
	struct gvisor *gvisor;
	struct console *console;
	struct sign *sign;
	bool terminal;
};

static int refuse_start(struct waiting *waiting, struct err *err)
{
	char reason[320];

	read_reason(waiting->gvisor, reason, sizeof(reason));
	return err_refuse(err, EIO, "runsc did not start the program: %s", reason);
}

/* Until the program runs, and the terminal is here. */
static int await_start(struct waiting *waiting, struct err *err)
{
	struct gvisor *gvisor = waiting->gvisor;
	uint64_t until = io_now_usec() + START_MS * UINT64_C(1000);

	while (!sign_is_given(waiting->sign) || (waiting->terminal && gvisor->base.pty < 0)) {
		/* A sign that was given is there for ever: not to be waited for with the terminal. */
		struct pollfd fds[3] = {
			{.fd = waiting->sign->given ? -1 : waiting->sign->fifo, .events = POLLIN},
			{.fd = gvisor->keeper.socket, .events = POLLIN},
			{.fd = gvisor->base.pty < 0 ? waiting->console->listener : -1,
				.events = POLLIN}};
		uint64_t now = io_now_usec();

		if (now >= until) {
			return err_refuse(
				err, ETIMEDOUT, "runsc did not start the program in time");
		}
		if (poll(fds, ARRAY_SIZE(fds), LOOK_MS) < 0 && errno != EINTR) {
			return err_set(err, errno, "waiting for runsc");
		}
		if (fds[2].revents) {
			int r = console_take(waiting->console, &gvisor->base.pty, err);
			if (r < 0) {
				return r;
			}
		}
		if (fds[1].revents && keeper_poll(&gvisor->keeper) != 0) {
			/* A short program may have run and ended by now. */
			return sign_is_given(waiting->sign) ? 0 : refuse_start(waiting, err);
		}
	}
	return 0;
}

static int begin(struct gvisor *gvisor, const struct plan *plan, const struct host *host,
	const struct sandbox_stdio *io, struct err *err)
{
	cleanup(variant_fini) struct variant variant = {0};
	cleanup(console_fini) struct console console = {-1, -1};
	cleanup(sign_fini) struct sign sign = {.fifo = -1};
	int r = io->pty ? console_make(&console, err) : 0;

	if (r < 0) {
		return r;
	}
	r = variant_make(plan, io->pty, &variant);
	if (r < 0) {
		return err_set(err, -r, "making runsc's bundle");
	}
	struct keeper_fd fd = {"console", console.handle};
	struct keeper_start start = {.plan = &variant.plan,
		.host = host,
		.io = io,
		.fds = &fd,
		.fd_count = io->pty ? 1 : 0,
		.own_terminal = true,
		.wide = true,
		.errors = -1,
		.door = foreign_door_is_in(plan) ? &gvisor->door : NULL,
		.hold = -1};
	r = keeper_start(&start, &gvisor->keeper, err);
	r = r < 0 ? r : sign_make(gvisor, &sign, err);
	if (r < 0) {
		return r;
	}
	struct waiting waiting = {gvisor, &console, &sign, io->pty};
	r = await_start(&waiting, err);
	if (r == 0 && io->pty && ioctl(gvisor->base.pty, TIOCSWINSZ, &io->size) < 0) {
		return err_set(err, errno, "setting the terminal's size");
	}
	return r;
}

int gvisor_start(const struct plan *plan, const struct host *host, const struct sandbox_stdio *io,
	struct sandbox **ret_sandbox, struct err *err)
{
	struct gvisor *gvisor = NULL;
	int r = check_streams(io, err);

	r = r < 0 ? r : check_paths(plan, err);
	if (r < 0) {
		return r;
	}
	gvisor = calloc(1, sizeof(*gvisor));
	if (!gvisor) {
		return err_set(err, ENOMEM, "starting a sandbox");
	}
	gvisor->base =
		(struct sandbox){.backend = &backend_gvisor, .pidfd = -1, .event = -1, .pty = -1};
	gvisor->rootless = !host->root;
	keeper_init(&gvisor->keeper);
	keeper_door_init(&gvisor->door);
	gvisor->door.is_page = true;
	r = begin(gvisor, plan, host, io, err);
	if (r == 0) {
		memcpy(gvisor->base.id, gvisor->keeper.id, sizeof(gvisor->base.id));
		gvisor->base.pid = gvisor->keeper.tool;
		gvisor->base.pidfd = fcntl(gvisor->keeper.tool_pidfd, F_DUPFD_CLOEXEC, 3);
		/* What the keeper had to say has been read when a short program has ended by now. */
		gvisor->base.event = gvisor->keeper.exited
			? eventfd(1, EFD_CLOEXEC)
			: fcntl(gvisor->keeper.socket, F_DUPFD_CLOEXEC, 3);
		if (gvisor->base.pidfd < 0 || gvisor->base.event < 0) {
			r = err_set(err, errno, "starting a sandbox");
		}
	}
	if (r < 0) {
		gvisor_destroy(&gvisor->base);
		return r;
	}
	*ret_sandbox = &gvisor->base;
	return 0;
}

/* ---- life ---- */

/* To all processes inside: runsc knows no process groups from outside. */
int gvisor_signal(struct sandbox *sandbox, int signo)
{
	struct gvisor *gvisor = from(sandbox);
	char number[12];
	const char *rootless = gvisor->rootless ? "--rootless=true" : "--rootless=false";
	const char *argv[] = {
		"runsc", "--root={dir}/state", rootless, "kill", "--all", "{id}", number, NULL};
	int r = 0;

	(void)snprintf(number, sizeof(number), "%d", signo);
	r = keeper_ask(&gvisor->keeper, (char *const *)(uintptr_t)argv, KILL_MS, NULL, 0);
	return r > 0 ? -ESRCH : r;
}

int gvisor_poll_exit(struct sandbox *sandbox, struct sandbox_exit *ret)
{
	struct gvisor *gvisor = from(sandbox);
	int r = keeper_poll(&gvisor->keeper);

	if (r > 0) {
		*ret = keeper_exit(&gvisor->keeper);
	}
	return r;
}

void gvisor_usage(struct sandbox *sandbox, struct sandbox_usage *ret)
{
	*ret = (struct sandbox_usage){0};
	cgroup_usage(&from(sandbox)->keeper.cgroup, ret);
}

void gvisor_take_door(struct sandbox *sandbox, struct sandbox_door *ret)
{
	keeper_door_take(&from(sandbox)->door, ret);
}

void gvisor_destroy(struct sandbox *sandbox)
{
	if (!sandbox) {
		return;
	}
	struct gvisor *gvisor = from(sandbox);

	/* First: the keeper ends when its socket does, and this is a second handle of it. */
	close_fdp(&gvisor->base.event);
	(sandbox->leaving ? keeper_leave : keeper_end)(&gvisor->keeper);
	close_fdp(&gvisor->base.pidfd);
	close_fdp(&gvisor->base.pty);
	keeper_door_fini(&gvisor->door);
	free(gvisor);
}
