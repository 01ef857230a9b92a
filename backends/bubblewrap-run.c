/* Opens what a plan names, has the keeper start bwrap with it, and tells how it goes. See bubblewrap.h. */
#include "backends/bubblewrap.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "backends/foreign-door.h"
#include "backends/linux/filter.h"
#include "backends/linux/kernel.h"
#include "backends/linux/launcher.h"
#include "backends/runtime.h"
#include "base/buf.h"
#include "base/io.h"
#include "base/parse.h"
#include "base/proc.h"

#define START_FDS 52

static_assert(START_FDS <= KEEPER_MAX_FDS, "a keeper takes what a start has");

/* What is passed first: their numbers must not be 3 (see init/enter.c), where the program itself goes. */
enum channel { CHANNEL_ENTER, CHANNEL_CONTROL, CHANNEL_COMPLAINTS, CHANNEL_ERRORS, CHANNELS };

static const char *const channel_names[CHANNELS] = {"enter", "control", "complaints", "errors"};

/* Everything bwrap inherits, by name. Owned. */
struct start {
	const struct plan *plan;
	const struct sandbox_stdio *io;
	struct keeper_fd fds[START_FDS];
	char names[START_FDS][32];
	size_t count;
	mode_t *kinds; /* of each mount's source: S_IFDIR, S_IFREG for all else, 0: absent */
	int control; /* our end of cloche-init's socket */
	int errors; /* our end of bwrap's standard error */
	bool waved; /* cloche-init need not wait for us */
	struct keeper_ready ready; /* starts while all this is opened */
};

/* The channels have their places, and are opened when there is time. */
static void start_init(struct start *start, const struct plan *plan, const struct sandbox_stdio *io)
{
	*start = (struct start){.plan = plan,
		.io = io,
		.count = CHANNELS,
		.control = -1,
		.errors = -1,
		.ready = {-1, -1, NULL}};
	for (size_t i = 0; i < CHANNELS; i++) {
		start->fds[i] = (struct keeper_fd){.name = channel_names[i], .fd = -1};
	}
}

static void start_close(struct start *start)
{
	for (size_t i = 0; i < start->count; i++) {
		close_fdp(&start->fds[i].fd);
	}
	start->count = 0;
}

static void start_fini(struct start *start)
{
	start_close(start);
	free(start->kinds);
	close_fdp(&start->control);
	close_fdp(&start->errors);
	keeper_ready_fini(&start->ready);
}

/* Takes fd over. number: behind the name, or -1. */
static int add_fd(struct start *start, int fd, const char *name, ssize_t number)
{
	if (start->count == START_FDS) {
		(void)close(fd);
		return -E2BIG;
	}
	char *own = start->names[start->count];
	(void)snprintf(own, sizeof(start->names[0]), "%s", name);
	if (number >= 0) {
		(void)snprintf(own, sizeof(start->names[0]), "%s%zd", name, number);
	}
	start->fds[start->count++] = (struct keeper_fd){.name = own, .fd = fd};
	return 0;
}

static int make_memory(const void *data, size_t size)
{
	cleanup_close int fd = io_sealed_memfd("cloche-bwrap", data, size);

	/* Every one is read from its beginning, and it was written to its end. */
	return fd < 0 ? fd : lseek(fd, 0, SEEK_SET) < 0 ? -errno : take_fd(&fd);
}

static int add_memory(
	struct start *start, const void *data, size_t size, const char *name, ssize_t number)
{
	int fd = make_memory(data, size);

	return fd < 0 ? fd : add_fd(start, fd, name, number);
}

/*
 * A kernel that tells with a message which process sent it, by a pidfd, spares cloche-init to stay what it
 * is until we have looked.
 */
static void wave_on(struct start *start)
{
	int on = 1;

	start->waved =
		setsockopt(start->control, SOL_SOCKET, KERNEL_SO_PASSPIDFD, &on, sizeof(on)) == 0 &&
		io_send(start->control, "g", 1, NULL, 0) == 0;
}

static int open_channels(struct start *start, struct err *err)
{
	/* With a terminal cloche-init takes that. */
	bool given = !start->io->pty && start->io->fds[2] >= 0;
	int pair[2];
	int pipes[2];
	int on = 1;
	int program = make_memory(launcher_init_program, launcher_init_size);

	start->fds[CHANNEL_ENTER].fd = program;
	if (program < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		return err_set(
			err, program < 0 ? -program : errno, "making the way to cloche-init");
	}
	start->control = pair[0];
	start->fds[CHANNEL_CONTROL].fd = pair[1];
	if (setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ||
		pipe2(pipes, O_CLOEXEC) < 0) {
		return err_set(err, errno, "making the way to cloche-init");
	}
	start->errors = pipes[0];
	start->fds[CHANNEL_COMPLAINTS].fd = pipes[1];
	wave_on(start);
	start->fds[CHANNEL_ERRORS].fd = given ? fcntl(start->io->fds[2], F_DUPFD_CLOEXEC, 3)
					      : open("/dev/null", O_RDWR | O_CLOEXEC);
	return start->fds[CHANNEL_ERRORS].fd < 0 ? err_set(err, errno, "passing standard error on")
						 : 0;
}

static int open_mount(struct start *start, size_t number, struct err *err)
{
	const struct plan_mount *mount = &start->plan->mounts[number];
	struct image_source found = {0};
	struct stat seen;
	int fd = -1;
	int r = launcher_open_source(mount, &fd, &found, err);

	if (r < 0 || found.absent) {
		return r;
	}
	if (fstat(fd, &seen) < 0) {
		close_fdp(&fd);
		return err_set(err, errno, "looking at %s", mount->source);
	}
	start->kinds[number] = S_ISDIR(seen.st_mode) ? S_IFDIR : S_IFREG;
	if (mount->kind == PLAN_MOUNT_MASK) {
		close_fdp(&fd);
		return 0;
	}
	r = add_fd(start, fd, "m", (ssize_t)number);
	return r < 0 ? err_refuse(err, E2BIG, "too many paths for bubblewrap") : 0;
}

static int open_mounts(struct start *start, struct err *err)
{
	const struct plan *plan = start->plan;
	int r = 0;

	start->kinds = calloc(plan->mount_count + 1, sizeof(mode_t));
	if (!start->kinds) {
		return err_set(err, ENOMEM, "opening the view");
	}
	for (size_t i = 0; r == 0 && i < plan->mount_count; i++) {
		const struct plan_mount *mount = &plan->mounts[i];
		if (mount->kind == PLAN_MOUNT_BIND || mount->kind == PLAN_MOUNT_MASK) {
			r = open_mount(start, i, err);
		} else if (mount->kind == PLAN_MOUNT_FILE) {
			r = add_memory(
				start, mount->content, strlen(mount->content), "d", (ssize_t)i);
		} else if (mount->kind == PLAN_MOUNT_WHY) {
			r = add_memory(start, image_why_program, image_why_size, "d", (ssize_t)i);
		} else if (mount->kind == PLAN_MOUNT_DOOR) {
			r = add_fd(start, KEEPER_DOOR_PLACE, BUBBLEWRAP_DOOR, -1);
		}
	}
	return r < 0 && !err->code ? err_set(err, -r, "opening the view") : r;
}

/* Where the sources are, for the keeper to make bwrap's tree while we go on. */
static void tell_sources(struct start *start)
{
	char text[8192];
	size_t used = 0;
	const char *list[START_FDS];
	char door[RUNTIME_PATH];
	size_t count = 0;

	for (size_t i = 0; i < start->count; i++) {
		char name[40];

		if (start->names[i][0] != 'm') {
			continue;
		}
		(void)snprintf(name, sizeof(name), "/proc/self/fd/%d", start->fds[i].fd);
		ssize_t length = readlink(name, text + used, sizeof(text) - used);
		if (length <= 0 || (size_t)length >= sizeof(text) - used || text[used] != '/') {
			return;
		}
		text[used + (size_t)length] = '\0';
		list[count++] = text + used;
		used += (size_t)length + 1;
	}
	if (foreign_door_is_in(start->plan) && count < ARRAY_SIZE(list)) {
		/* Not there yet; this is where it will be. */
		cleanup_close int tools = runtime_open("tools", true, door);
		if (tools >= 0) {
			list[count++] = door;
		}
	}
	keeper_narrow(&start->ready, list, count);
}

static int add_filter(struct start *start, struct err *err)
{
	struct sock_filter *program = NULL;
	size_t count = 0;
	int r = 0;

	if (!start->plan->filter) {
		return 0;
	}
	r = filter_program(start->plan->filter, NULL, &program, &count);
	r = r < 0 ? r : add_memory(start, program, count * sizeof(*program), "filter", -1);
	free(program);
	return r < 0 ? err_set(err, -r, "passing the filter on") : 0;
}

/* ---- the arguments ---- */

/* Its network is the keeper's to make; without root that takes bwrap's user namespace. */
static bool is_lone(const struct plan *plan)
{
	return !plan->uid_map[0].own && (plan->namespaces & PLAN_NS_NET);
}

static bool applies(const struct start *start, const char *condition)
{
	static const struct {
		const char *word;
		mode_t kinds;
	} table[] = {{"has:", S_IFDIR | S_IFREG}, {"dir:", S_IFDIR}, {"file:", S_IFREG}};
	uint64_t number = 0;

	if (strcmp(condition, "pipe") == 0) {
		return !start->io->pty;
	}
	if (strcmp(condition, "net") == 0) {
		return !is_lone(start->plan);
	}
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		size_t length = strlen(table[i].word);
		if (strncmp(condition, table[i].word, length) == 0 &&
			parse_u64(condition + length, &number) == 0 &&
			number < start->plan->mount_count) {
			mode_t kind = start->kinds[number];
			return kind != 0 &&
				(table[i].kinds == (S_IFDIR | S_IFREG) || kind == table[i].kinds);
		}
	}
	return strcmp(condition, "always") == 0;
}

static void unescape(char *word)
{
	char *to = word;

	for (; *word; word++) {
		if (*word == '\\' && word[1]) {
			word++;
			*to++ = (char)(*word == 't' ? '\t' : *word == 'n' ? '\n' : *word);
		} else {
			*to++ = *word;
		}
	}
	*to = '\0';
}

static int put_words(const struct start *start, char *line, struct buf *out)
{
	for (char *word = NULL; (word = strsep(&line, "\t"));) {
		unescape(word);
		cleanup_free char *filled = keeper_fill_fds(word, start->fds, start->count);
		if (!filled) {
			return -ENOMEM;
		}
		buf_put(out, filled, strlen(filled) + 1);
	}
	return 0;
}

static const char *find_args(const struct plan *plan)
{
	for (size_t i = 0; i < plan->file_count; i++) {
		if (strcmp(plan->files[i].name, BUBBLEWRAP_ARGS) == 0) {
			return plan->files[i].content;
		}
	}
	return NULL;
}

static int add_args(struct start *start, struct err *err)
{
	cleanup(buf_fini) struct buf out = {0};
	const char *content = find_args(start->plan);
	cleanup_free char *text = content ? strdup(content) : NULL;
	char *rest = text;
	int r = text ? 0 : -ENOMEM;

	for (char *line = NULL; r == 0 && (line = strsep(&rest, "\n"));) {
		char *condition = strsep(&line, "\t");
		if (line && applies(start, condition)) {
			r = put_words(start, line, &out);
		}
	}
	r = r < 0 ? r : out.failed ? -ENOMEM : add_memory(start, out.data, out.size, "args", -1);
	return r < 0 ? err_set(err, -r, "writing bwrap's arguments") : 0;
}

static int run(
	struct bubblewrap *sandbox, struct start *start, const struct host *host, struct err *err)
{
	const struct plan *plan = start->plan;
	bool own = plan->uid_map[0].own;
	struct plan without_files = *plan;
	const struct keeper_start given = {.plan = &without_files,
		.host = host,
		.io = start->io,
		.fds = start->fds,
		.fd_count = start->count,
		.limit_tool = true,
		.become = !own,
		.private_mounts = !own,
		.lone = is_lone(plan),
		.uid = own ? 0 : sandbox->ids.base + plan->uid_map[0].offset,
		.gid = own ? 0 : sandbox->ids.base + plan->uid_map[0].offset,
		.errors = start->fds[CHANNEL_COMPLAINTS].fd,
		.door = foreign_door_is_in(plan) ? &sandbox->door : NULL,
		.ready = &start->ready,
		.hold = sandbox->ids.lock};

	/* What bwrap is told it reads from a descriptor, of which {fd:args} is the text. */
	without_files.file_count = 0;
	if (!own) {
		sandbox->door.uid = given.uid;
		sandbox->door.gid = given.gid;
		sandbox->door.passable = true;
	}
	int r = keeper_start(&given, &sandbox->keeper, err);

	if (r < 0) {
		return r;
	}
	/* Ours must go, or we would wait for our own end of the socket. */
	start_close(start);
	return bubblewrap_await(sandbox,
		&(struct bubblewrap_word){.control = start->control,
			.errors = start->errors,
			.waved = start->waved,
			.program = plan->argv[0]},
		err);
}

int bubblewrap_start(const struct plan *plan, const struct host *host,
	const struct sandbox_stdio *io, struct sandbox **ret_sandbox, struct err *err)
{
	cleanup(start_fini) struct start start;
	struct bubblewrap *sandbox = calloc(1, sizeof(*sandbox));
	int r = 0;

	start_init(&start, plan, io);
	if (!sandbox) {
		return err_set(err, ENOMEM, "starting a sandbox");
	}
	err->code = 0;
	sandbox->base = (struct sandbox){
		.backend = &backend_bubblewrap, .pidfd = -1, .event = -1, .pty = -1};
	sandbox->ids.lock = -1;
	keeper_init(&sandbox->keeper);
	keeper_door_init(&sandbox->door);
	r = keeper_prepare(&start.ready, err);
	if (r == 0 && is_lone(plan)) {
		keeper_net(&start.ready); /* unless it was told ahead of the plan */
	}
	/* As soon as can be: the keeper takes about as long to make the tree as we for what is left. */
	r = r < 0 ? r : open_mounts(&start, err);
	if (r == 0 && !plan->uid_map[0].own) {
		tell_sources(&start);
		r = idrange_take(host, &sandbox->ids, err);
	}
	r = r < 0 ? r : open_channels(&start, err);
	r = r < 0 ? r : add_filter(&start, err);
	r = r < 0 ? r : add_args(&start, err);
	r = r < 0 ? r : run(sandbox, &start, host, err);
	if (r < 0) {
		bubblewrap_destroy(&sandbox->base);
		return r;
	}
	(void)memcpy(sandbox->base.id, sandbox->keeper.id, sizeof(sandbox->base.id));
	sandbox->base.event = sandbox->keeper.socket;
	sandbox->base.pty = take_fd(&sandbox->keeper.pty);
	*ret_sandbox = &sandbox->base;
	return 0;
}

/* ---- while it runs ---- */

static struct bubblewrap *own(struct sandbox *base)
{
	assert(base->backend == &backend_bubblewrap);
	return (struct bubblewrap *)base;
}

/* The command leads its group, and while it lives the group's number is its own. */
int bubblewrap_signal(struct sandbox *base, int signo)
{
	struct pollfd ended = {.fd = own(base)->base.pidfd, .events = POLLIN};

	if (own(base)->gone || poll(&ended, 1, 0) != 0) {
		return -ESRCH;
	}
	return kill(-base->pid, signo) < 0 ? -errno : 0;
}

/*
 * bwrap turns a signal into 128 and its number, which a command may also exit with. The kernel knows
 * which it was; only where both say the same is it believed.
 */
int bubblewrap_poll_exit(struct sandbox *base, struct sandbox_exit *ret)
{
	int r = keeper_poll(&own(base)->keeper);
	int status = 0;

	if (r == 1) {
		*ret = keeper_exit(&own(base)->keeper);
		if (kernel_pidfd_status(base->pidfd, &status) && WIFSIGNALED(status) &&
			proc_exit_code(status) == proc_exit_code(ret->status)) {
			ret->status = status;
		}
	}
	return r;
}

void bubblewrap_usage(struct sandbox *base, struct sandbox_usage *ret)
{
	*ret = (struct sandbox_usage){0};
	cgroup_usage(&own(base)->keeper.cgroup, ret);
}

void bubblewrap_take_door(struct sandbox *base, struct sandbox_door *ret)
{
	keeper_door_take(&own(base)->door, ret);
}

void bubblewrap_destroy(struct sandbox *base)
{
	struct bubblewrap *sandbox = NULL;

	if (!base) {
		return;
	}
	sandbox = own(base);
	close_fdp(&base->pty);
	close_fdp(&base->pidfd);
	(base->leaving ? keeper_leave : keeper_end)(&sandbox->keeper); /* closes base->event */
	idrange_release(&sandbox->ids);
	keeper_door_fini(&sandbox->door);
	free(sandbox);
}
