/*
 * The server's side of a keeper: makes the directory and the control groups, hands both over with
 * the job, and talks to it. What has to survive the server is in linux/keeper/.
 *
 * Ownership over time: the directory and the groups are locked (flock) by descriptors that server
 * and keeper share, so that a sweep takes neither while one of the two lives.
 */
#include "backends/keeper.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "backends/linux/keeper/job.h"
#include "backends/linux/keeper/tree.h"
#include "backends/linux/kernel.h"
#include "backends/runtime.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/parse.h"
#include "base/proc.h"
#include "base/strv.h"

#define LOCK_ATTEMPTS 16
#define FILE_MAX (2U << 20)

/* What is made before there is a keeper to own it. */
struct making {
	const struct keeper_start *start;
	struct keeper *keeper;
	struct keeper_job job;
	int dir; /* locked */
	int slave; /* of the terminal */
	int fds[IO_MAX_FDS]; /* borrowed, in the job's order */
	size_t fd_count;
};

void keeper_init(struct keeper *keeper)
{
	*keeper = (struct keeper){.socket = -1, .pidfd = -1, .tool_pidfd = -1, .pty = -1};
	cgroup_init(&keeper->cgroup);
}

/* --- The directory -------------------------------------------------------------------------- */

static bool is_still_named(int root, const char *name, int fd)
{
	struct stat named;
	struct stat opened;

	return fstatat(root, name, &named, AT_SYMLINK_NOFOLLOW) == 0 && fstat(fd, &opened) == 0 &&
		named.st_ino == opened.st_ino && named.st_dev == opened.st_dev;
}

/* A sweep may take it between mkdir and lock; then it is made anew. */
static int make_directory(struct keeper *keeper, int *ret_fd, struct err *err)
{
	char path[RUNTIME_PATH];
	cleanup_close int root = runtime_open("tools", true, path);

	if (root < 0) {
		return err_set(err, -root,
			"opening the directory for tools (it and its parent "
			"must belong to this user, and nobody else may write to them)");
	}
	(void)snprintf(keeper->dir, sizeof(keeper->dir), "%s/%s", path, keeper->id);
	for (int i = 0; i < LOCK_ATTEMPTS; i++) {
		if (mkdirat(root, keeper->id, 0700) < 0 && !(i > 0 && errno == EEXIST)) {
			return err_set(err, errno, "making %s", keeper->dir);
		}
		cleanup_close int fd =
			openat(root, keeper->id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 &&
			is_still_named(root, keeper->id, fd)) {
			*ret_fd = take_fd(&fd);
			return 0;
		}
		(void)poll(NULL, 0, 1);
	}
	return err_set(err, EBUSY, "locking %s", keeper->dir);
}

/* --- Placeholders --------------------------------------------------------------------------- */

struct filler {
	const char *id, *dir;
	const struct keeper_fd *fds;
	size_t fd_count;
};

/* Appends what stands at text for something else, and returns its length there; 0: nothing. */
static size_t put_filled(const struct filler *filler, const char *text, struct buf *out)
{
	const struct {
		const char *name, *value;
	} fixed[] = {{"{id}", filler->id}, {"{dir}", filler->dir}, {"{brace}", "{"}};

	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++) {
		size_t length = strlen(fixed[i].name);
		if (fixed[i].value && strncmp(text, fixed[i].name, length) == 0) {
			buf_printf(out, "%s", fixed[i].value);
			return length;
		}
	}
	for (size_t i = 0; i < filler->fd_count && strncmp(text, "{fd:", 4) == 0; i++) {
		size_t length = strlen(filler->fds[i].name);
		if (strncmp(text + 4, filler->fds[i].name, length) == 0 &&
			text[4 + length] == '}') {
			buf_printf(out, "%zu", 3 + i);
			return length + 5;
		}
	}
	return 0;
}

static char *fill(const struct filler *filler, const char *text)
{
	struct buf out = {0};

	while (*text) {
		size_t plain = strcspn(text, "{");
		buf_put(&out, text, plain);
		text += plain;
		size_t length = *text ? put_filled(filler, text, &out) : 0;
		if (*text && length == 0) {
			buf_put(&out, text, 1);
			length = 1;
		}
		text += length;
	}
	buf_put(&out, "", 1);
	if (out.failed) {
		buf_fini(&out);
		return NULL;
	}
	return (char *)out.data;
}

char *keeper_fill(const char *text, const struct keeper *keeper)
{
	const struct filler filler = {.id = keeper->id, .dir = keeper->dir};

	return fill(&filler, text);
}

char *keeper_fill_fds(const char *text, const struct keeper_fd *fds, size_t count)
{
	const struct filler filler = {.fds = fds, .fd_count = count};

	return fill(&filler, text);
}

static int fill_list(const struct filler *filler, char *const *list, char ***ret)
{
	for (size_t i = 0; list && list[i]; i++) {
		char *text = fill(filler, list[i]);
		if (!text || strv_consume(ret, text) < 0) {
			return -ENOMEM;
		}
	}
	return 0;
}

/* --- The job -------------------------------------------------------------------------------- */

/* A name that leads nowhere else, and not to a file of ours (those begin with a dot). */
static bool is_file_name(const char *name)
{
	return parse_is_name(name) && strlen(name) < 64;
}

/* What is to be in the file: text with its placeholders filled in, or the bytes that base64 stands for. */
static int make_content(const struct filler *filler, const struct plan_file *file, char **ret,
	size_t *ret_size, struct err *err)
{
	cleanup_free char *content =
		file->base64 ? strdup(file->content) : fill(filler, file->content);
	size_t length = content ? strlen(content) : 0;

	if (!content) {
		return -ENOMEM;
	}
	if (length > FILE_MAX) {
		return err_refuse(err, EFBIG, "%s is too large", file->name);
	}
	/* In its place: bytes take less room than their text. */
	if (file->base64 &&
		sodium_base642bin((unsigned char *)content, length, file->content, length, NULL,
			&length, NULL, sodium_base64_VARIANT_ORIGINAL) != 0) {
		return err_refuse(err, EINVAL, "%s is not base64", file->name);
	}
	*ret_size = length;
	*ret = take_ptr(&content);
	return 0;
}

static int make_folder(struct making *making, const struct plan_file *file, struct err *err)
{
	const mode_t mode = file->mode & 0777;

	if (mkdirat(making->dir, file->name, 0700) < 0 ||
		(mode != 0700 && fchmodat(making->dir, file->name, mode, 0) < 0)) {
		return err_set(err, errno, "making %s", file->name);
	}
	return 0;
}

static int write_file(struct making *making, const struct filler *filler,
	const struct plan_file *file, struct err *err)
{
	cleanup_free char *content = NULL;
	cleanup_close int fd = -1;
	const mode_t kind = file->mode & ~(mode_t)0777;
	size_t size = 0;
	int r = 0;

	if (!is_file_name(file->name) || (kind != 0 && kind != S_IFDIR)) {
		return err_refuse(
			err, EINVAL, "a file of the plan has a name or a mode that is not allowed");
	}
	if (kind == S_IFDIR) {
		return make_folder(making, file, err);
	}
	r = make_content(filler, file, &content, &size, err);
	if (r < 0) {
		return r;
	}
	fd = openat(making->dir, file->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		0600);
	r = fd < 0 ? -errno : io_write_all(fd, content, size);
	if (r == 0 && file->mode != 0600 && fchmod(fd, file->mode) < 0) {
		r = -errno;
	}
	return r < 0 ? err_set(err, -r, "writing %s", file->name) : 0;
}

static int write_files(struct making *making, const struct filler *filler, struct err *err)
{
	const struct plan *plan = making->start->plan;
	int r = 0;

	for (size_t i = 0; r == 0 && i < plan->file_count; i++) {
		r = write_file(making, filler, &plan->files[i], err);
	}
	return r;
}

/* What a sweep will do when all of us are dead. Written before anything is run. */
static int write_undo(struct making *making, struct err *err)
{
	struct keeper_job undo = {
		.flags = KEEPER_UNDO, .dir = making->job.dir, .env = making->job.env};
	cleanup(buf_fini) struct buf data = {0};
	cleanup_close int fd = -1;
	int r = 0;

	cgroup_init(&undo.cgroup);
	for (uint32_t i = 0; i < making->job.step_count; i++) {
		if (making->job.steps[i].when == PLAN_AFTER) {
			undo.steps[undo.step_count++] = making->job.steps[i];
		}
	}
	keeper_job_put(&undo, &data);
	fd = openat(making->dir, KEEPER_UNDO_FILE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	r = data.failed ? -ENOMEM : fd < 0 ? -errno : io_write_all(fd, data.data, data.size);
	return r < 0 ? err_set(err, -r, "writing down how to undo the tool") : 0;
}

static int fill_job(struct making *making, const struct filler *filler, struct err *err)
{
	const struct keeper_start *start = making->start;
	const struct plan *plan = start->plan;
	struct keeper_job *job = &making->job;
	int r = 0;

	if (plan->step_count > KEEPER_MAX_STEPS || start->fd_count > KEEPER_MAX_FDS ||
		!plan->command || !plan->command[0]) {
		return err_refuse(err, E2BIG, "the plan has no command, or too many steps");
	}
	job->dir = strdup(making->keeper->dir);
	job->timeout = plan->timeout;
	job->uid = start->uid;
	job->gid = start->gid;
	job->flags |= start->become ? KEEPER_BECOME : 0;
	job->flags |= start->private_mounts ? KEEPER_PRIVATE : 0;
	job->flags |= start->lone ? KEEPER_LONE : 0;
	job->flags |= start->wide ? KEEPER_WIDE : 0;
	job->fd_count = (uint32_t)start->fd_count;
	r = job->dir ? fill_list(filler, plan->command, &job->argv) : -ENOMEM;
	r = r < 0 ? r : fill_list(filler, plan->tool_env, &job->env);
	for (size_t i = 0; r == 0 && i < plan->step_count; i++) {
		job->steps[i].when = plan->steps[i].when;
		job->step_count = (uint32_t)i + 1;
		r = fill_list(filler, plan->steps[i].argv, &job->steps[i].argv);
	}
	for (size_t i = 0; start->limit_tool && i < plan->rlimit_count; i++) {
		job->limits[job->limit_count++] =
			(struct keeper_limit){.resource = (uint32_t)plan->rlimits[i].resource,
				.soft = plan->rlimits[i].soft,
				.hard = plan->rlimits[i].hard};
	}
	return r < 0 ? err_set(err, -r, "filling in the plan") : 0;
}

static int make_groups(struct making *making, struct err *err)
{
	const struct plan *plan = making->start->plan;
	struct cgroup_limits limits = {
		.memory = plan->cgroup_version[CGROUP_MEMORY] ? plan->memory : 0,
		.pids = plan->cgroup_version[CGROUP_PIDS] ? plan->pids : 0,
		.cpu_milli = plan->cgroup_version[CGROUP_CPU] ? plan->cpu_milli : 0};

	if (making->start->no_cgroup || (plan->without & PLAN_LAYER_CGROUP)) {
		return 0;
	}
	return cgroup_create(
		making->start->host, making->keeper->id, &limits, &making->keeper->cgroup, err);
}

static int make_terminal(struct making *making, struct err *err)
{
	cleanup_close int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	cleanup_close int slave = -1;
	int unlock = 0;

	if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0) {
		return err_set(err, errno, "making a terminal");
	}
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0 || ioctl(slave, TIOCSWINSZ, &making->start->io->size) < 0) {
		return err_set(err, errno, "opening the terminal");
	}
	if (making->start->become &&
		(fchown(slave, making->start->uid, (gid_t)-1) < 0 || fchmod(slave, 0600) < 0)) {
		return err_set(err, errno, "giving the terminal away");
	}
	making->keeper->pty = take_fd(&master);
	making->slave = take_fd(&slave);
	return 0;
}

static void add_fd(struct making *making, int fd)
{
	assert(making->fd_count < IO_MAX_FDS);
	making->fds[making->fd_count++] = fd;
}

static void add_streams(struct making *making)
{
	const struct sandbox_stdio *io = making->start->io;

	for (int i = 0; i < 3; i++) {
		int fd = io->pty ? making->slave : io->fds[i];
		fd = i == 2 && making->start->errors >= 0 ? making->start->errors : fd;
		if (fd >= 0) {
			making->job.flags |= KEEPER_HAS_STDIO << i;
			add_fd(making, fd);
		}
	}
	making->job.flags |= making->slave >= 0 ? KEEPER_TERMINAL : 0;
}

/* Groups that share a directory share a descriptor; the job says which is which. */
static void add_groups(struct making *making)
{
	const struct cgroup *real = &making->keeper->cgroup;
	struct cgroup *sent = &making->job.cgroup;
	const int *from[CGROUP_CONTROLLERS + 1] = {&real->kill};
	int *to[CGROUP_CONTROLLERS + 1] = {&sent->kill};

	*sent = *real;
	for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
		from[i + 1] = &real->dir[i];
		to[i + 1] = &sent->dir[i];
	}
	for (int i = 0; i <= CGROUP_CONTROLLERS; i++) {
		for (int j = 0; j < i && *from[i] >= 0; j++) {
			if (*from[j] == *from[i]) {
				*to[i] = *to[j];
				goto next;
			}
		}
		if (*from[i] >= 0) {
			*to[i] = (int)making->job.group_count++;
			add_fd(making, *from[i]);
		}
	next:;
	}
}

static int send_job(
	int socket, const struct keeper_job *job, const int *fds, size_t count, struct err *err)
{
	cleanup(buf_fini) struct buf data = {0};
	cleanup_close int file = -1;
	int all[IO_MAX_FDS];
	int r = 0;

	keeper_job_put(job, &data);
	if (data.failed || count + 1 > IO_MAX_FDS) {
		return err_set(err, ENOMEM, "writing the keeper's job");
	}
	file = data.size > KEEPER_JOB_MAX ? -E2BIG
					  : io_sealed_memfd("cloche-job", data.data, data.size);
	if (file < 0) {
		return err_set(err, -file, "writing the keeper's job");
	}
	all[0] = file;
	memcpy(all + 1, fds, count * sizeof(int));
	r = keeper_head_send(socket, (struct keeper_head){.type = KEEPER_JOB}, all, count + 1);
	return r < 0 ? err_set(err, -r, "sending the keeper its job") : 0;
}

/* --- What it says ---------------------------------------------------------------------------- */

/*
 * The next message, within timeout_ms (0: only what is there). 1, 0 when there is none, -EPIPE when
 * the keeper is gone.
 */
static int next_message(
	struct keeper *keeper, int timeout_ms, struct keeper_message *ret, int *ret_fd)
{
	struct pollfd wait = {.fd = keeper->socket, .events = POLLIN};
	size_t count = 0;
	int fd = -1;

	if (keeper->socket < 0) {
		return -EPIPE;
	}
	if (timeout_ms > 0 && poll(&wait, 1, timeout_ms) < 0 && errno != EINTR) {
		return -errno;
	}
	int r = keeper_message_receive(keeper->socket, ret, &fd, 1, &count, MSG_DONTWAIT);
	cleanup_close int got = count > 0 ? fd : -1;
	if (r <= 0) {
		return r == -EAGAIN ? 0 : -EPIPE;
	}
	if (ret->head.type == KEEPER_EXITED) {
		keeper->exited = true;
		keeper->status = ret->head.number;
		keeper->timed_out = ret->head.flags & KEEPER_TIMED_OUT;
		keeper->clear = ret->head.flags & KEEPER_CLEAR;
	}
	if (ret_fd) {
		*ret_fd = take_fd(&got);
	}
	return 1;
}

static int await_started(struct keeper *keeper, const struct plan *plan, struct err *err)
{
	cleanup_free struct keeper_message *message = malloc(sizeof(*message));
	uint64_t bound = KEEPER_KILL_MS;
	int fd = -1;
	int r = 0;

	if (!message) {
		return err_set(err, ENOMEM, "starting a tool");
	}
	for (size_t i = 0; i < plan->step_count; i++) {
		bound += plan->steps[i].when == PLAN_BEFORE ? KEEPER_BEFORE_MS : KEEPER_STEP_MS;
	}
	uint64_t end = io_now_usec() + bound * 1000;
	do {
		uint64_t now = io_now_usec();
		r = now < end ? next_message(keeper, (int)((end - now) / 1000) + 1, message, &fd)
			      : -ETIMEDOUT;
		/* A start that failed is undone before it is told of. */
	} while (r == 0 || (r > 0 && message->head.type == KEEPER_GONE));
	if (r < 0) {
		return err_set(err, -r, "waiting for the tool to start");
	}
	if (message->head.type == KEEPER_FAILED) {
		return err_refuse(err, message->head.number, "%s", message->text);
	}
	if (message->head.type != KEEPER_STARTED || fd < 0) {
		close_fdp(&fd);
		return err_set(err, EPROTO, "the keeper said something unexpected");
	}
	keeper->tool = message->head.number;
	keeper->tool_pidfd = fd;
	return 0;
}

static int start(struct making *making, struct keeper_ready *ready, struct err *err)
{
	const struct keeper_start *given = making->start;
	struct keeper *keeper = making->keeper;
	const struct filler filler = {.id = keeper->id,
		.dir = keeper->dir,
		.fds = given->fds,
		.fd_count = given->fd_count};
	int r = make_directory(keeper, &making->dir, err);

	r = r < 0 ? r : fill_job(making, &filler, err);
	r = r < 0 ? r : write_undo(making, err);
	r = r < 0 ? r : write_files(making, &filler, err);
	r = r < 0 || !given->door ? r : keeper_door_make(given->door, making->dir, err);
	r = r < 0 ? r : make_groups(making, err);
	if (r == 0 && given->io->pty && !given->own_terminal) {
		r = make_terminal(making, err);
	}
	if (r < 0) {
		return r;
	}
	keeper->socket = take_fd(&ready->socket);
	keeper->pidfd = take_fd(&ready->pidfd);
	add_fd(making, making->dir);
	add_streams(making);
	for (size_t i = 0; i < given->fd_count; i++) {
		bool door = given->fds[i].fd == KEEPER_DOOR_PLACE && given->door;
		add_fd(making, door ? given->door->place : given->fds[i].fd);
	}
	add_groups(making);
	if (given->hold >= 0) {
		making->job.flags |= KEEPER_HOLDS;
		add_fd(making, given->hold);
	}
	r = send_job(keeper->socket, &making->job, making->fds, making->fd_count, err);
	if (r < 0) {
		int code = keeper_ready_failed(ready);
		return code ? err_set(err, code, "starting the keeper") : r;
	}
	return await_started(keeper, given->plan, err);
}

int keeper_start(const struct keeper_start *given, struct keeper *ret, struct err *err)
{
	struct keeper keeper;
	struct making making = {.start = given, .keeper = &keeper, .dir = -1, .slave = -1};
	cleanup(keeper_ready_fini) struct keeper_ready fresh = {.socket = -1, .pidfd = -1};
	struct keeper_ready *ready = given->ready ? given->ready : &fresh;
	unsigned char id[16];
	int r = 0;

	keeper_init(&keeper);
	cgroup_init(&making.job.cgroup);
	io_random(id, sizeof(id));
	(void)io_hex(id, sizeof(id), keeper.id);
	/* First: it starts while the rest is made. */
	r = ready->socket < 0 ? keeper_prepare(ready, err) : 0;
	r = r < 0 ? r : start(&making, ready, err);
	keeper_job_fini(&making.job);
	close_fdp(&making.slave);
	/* From here on the lock is the keeper's alone, or nobody's. */
	close_fdp(&making.dir);
	if (r < 0) {
		keeper_end(&keeper);
		return r;
	}
	*ret = keeper;
	return 0;
}

/* --- While it lives ------------------------------------------------------------------------- */

int keeper_poll(struct keeper *keeper)
{
	struct keeper_message message;
	int r = 0;

	while (!keeper->exited && (r = next_message(keeper, 0, &message, NULL)) > 0) {
	}
	return keeper->exited ? 1 : r;
}

struct sandbox_exit keeper_exit(const struct keeper *keeper)
{
	return (struct sandbox_exit){.status = keeper->status, .timed_out = keeper->timed_out};
}

static int send_question(struct keeper *keeper, char *const argv[], int timeout_ms)
{
	cleanup_free struct keeper_message *message = malloc(sizeof(*message));
	size_t used = 0;

	if (!message) {
		return -ENOMEM;
	}
	message->head = (struct keeper_head){
		.type = KEEPER_ASK, .number = timeout_ms, .serial = ++keeper->serial};
	for (size_t i = 0; argv[i]; i++) {
		cleanup_free char *text = keeper_fill(argv[i], keeper);
		size_t length = text ? strlen(text) + 1 : 0;
		if (!text || used + length >= sizeof(message->text)) {
			return text ? -E2BIG : -ENOMEM;
		}
		memcpy(message->text + used, text, length);
		used += length;
		message->head.flags++;
	}
	message->head.size = (uint32_t)used;
	return keeper_message_send(keeper->socket, message, NULL, 0);
}

int keeper_ask(
	struct keeper *keeper, char *const argv[], int timeout_ms, char *output, size_t output_size)
{
	cleanup_free struct keeper_message *message = malloc(sizeof(*message));
	uint64_t end = 0;
	int r = 0;

	if (!message) {
		return -ENOMEM;
	}
	timeout_ms =
		timeout_ms < 0 || timeout_ms > KEEPER_BEFORE_MS ? KEEPER_BEFORE_MS : timeout_ms;
	r = keeper->socket < 0 ? -EPIPE : send_question(keeper, argv, timeout_ms);
	if (r < 0) {
		return r;
	}
	/* The keeper keeps the time; ours is for a keeper that hangs. */
	end = io_now_usec() + ((uint64_t)timeout_ms + KEEPER_KILL_MS) * 1000;
	for (;;) {
		uint64_t now = io_now_usec();
		r = now < end ? next_message(keeper, (int)((end - now) / 1000) + 1, message, NULL)
			      : -ETIMEDOUT;
		if (r < 0) {
			return r;
		}
		if (r > 0 && message->head.type == KEEPER_ANSWER &&
			message->head.serial == keeper->serial) {
			break;
		}
	}
	if (output && output_size > 0) {
		(void)snprintf(output, output_size, "%s", message->text);
	}
	return message->head.number;
}

void keeper_hold(struct keeper *keeper, int fd)
{
	if (keeper->socket >= 0) {
		(void)keeper_head_send(
			keeper->socket, (struct keeper_head){.type = KEEPER_HOLD}, &fd, 1);
	}
}

int keeper_signal(struct keeper *keeper, int signo)
{
	struct keeper_head head = {.type = KEEPER_SIGNAL, .number = signo};

	return keeper->socket < 0 ? -EPIPE : keeper_head_send(keeper->socket, head, NULL, 0);
}

/* --- The end -------------------------------------------------------------------------------- */

static int undo_bound(uint32_t steps)
{
	return (int)steps * KEEPER_STEP_MS + 4 * KEEPER_KILL_MS;
}

/*
 * Takes one directory without an owner and has a keeper of its own undo it. True when it is gone.
 */
static bool undo_directory(int root, const char *root_path, const char *name)
{
	cleanup_free char *data = NULL;
	cleanup(keeper_ready_fini) struct keeper_ready ready = {.socket = -1, .pidfd = -1};
	struct keeper_job job = {0};
	char path[sizeof(((struct keeper *)NULL)->dir)];
	size_t size = 0;
	int status = 0;
	cleanup_close int dir = openat(root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (dir < 0 || flock(dir, LOCK_EX | LOCK_NB) < 0 || !is_still_named(root, name, dir)) {
		return false;
	}
	cgroup_init(&job.cgroup);
	if (io_read_file(dir, KEEPER_UNDO_FILE, KEEPER_JOB_MAX, &data, &size) < 0 ||
		keeper_job_get(data, size, &job) < 0) {
		/* It died before it wrote that down, and so before it ran anything. */
		keeper_job_fini(&job);
		(void)snprintf(path, sizeof(path), "%s/%s", root_path, name);
		return tree_remove(dir, path) == 0;
	}
	if (keeper_prepare(&ready, NULL) == 0 && send_job(ready.socket, &job, &dir, 1, NULL) == 0) {
		(void)proc_wait(ready.pidfd, undo_bound(job.step_count), &status);
		close_fdp(&ready.pidfd);
	}
	keeper_job_fini(&job);
	return faccessat(root, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0;
}

void keeper_end(struct keeper *keeper)
{
	char path[RUNTIME_PATH];
	int status = -1;

	if (!keeper->id[0]) {
		return;
	}
	close_fdp(&keeper->socket); /* which says END better than a message that may not fit */
	close_fdp(&keeper->pty);
	if (keeper->pidfd >= 0) {
		if (proc_wait(keeper->pidfd, undo_bound(2 * KEEPER_MAX_STEPS), &status) ==
			-ETIMEDOUT) {
			(void)proc_signal(keeper->pidfd, SIGKILL);
			(void)proc_wait(keeper->pidfd, KEEPER_KILL_MS, &status);
		}
		close_fdp(&keeper->pidfd);
	}
	if (status != 0) {
		/* There was none, or it did not come to the end. */
		(void)cgroup_kill(&keeper->cgroup);
		(void)cgroup_remove(&keeper->cgroup);
		cleanup_close int root = runtime_open("tools", false, path);
		if (root >= 0 && keeper->dir[0]) {
			(void)undo_directory(root, path, keeper->id);
		}
	}
	cgroup_close(&keeper->cgroup);
	close_fdp(&keeper->tool_pidfd);
	keeper_init(keeper);
}

void keeper_leave(struct keeper *keeper)
{
	cleanup_free struct keeper_message *message = malloc(sizeof(*message));
	uint64_t end = io_now_usec() + (uint64_t)4 * KEEPER_KILL_MS * 1000;
	bool gone = keeper->clear;
	int r = 0;

	/* Our end of speech is its time to end; it can still be heard. */
	if (!message || !keeper->exited || keeper->socket < 0 ||
		shutdown(keeper->socket, SHUT_WR) < 0) {
		keeper_end(keeper);
		return;
	}
	while (!gone && r >= 0) {
		uint64_t now = io_now_usec();
		r = now < end ? next_message(keeper, (int)((end - now) / 1000) + 1, message, NULL)
			      : -ETIMEDOUT;
		gone = r > 0 && message->head.type == KEEPER_GONE;
	}
	if (!gone) {
		keeper_end(keeper);
		return;
	}
	/* Our exit closes the socket: the keeper goes on then, and not before, on our processor. */
	close_fdp(&keeper->pty);
	close_fdp(&keeper->pidfd);
	cgroup_close(&keeper->cgroup);
	close_fdp(&keeper->tool_pidfd);
	keeper_init(keeper);
}

int keeper_sweep(const struct host *host)
{
	char path[RUNTIME_PATH];
	cleanup_close int root = runtime_open("tools", false, path);
	int count = 0;

	(void)host;
	if (root < 0) {
		return root == -ENOENT ? 0 : root;
	}
	DIR *list = fdopendir(fcntl(root, F_DUPFD_CLOEXEC, 3));
	if (!list) {
		return -errno;
	}
	for (struct dirent *entry = NULL; (entry = readdir(list));) {
		if (entry->d_name[0] != '.') {
			count += undo_directory(root, path, entry->d_name);
		}
	}
	(void)closedir(list);
	return count;
}
