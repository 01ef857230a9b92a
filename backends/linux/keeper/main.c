/*
 * The keeper: one process of ours beside each foreign tool. It knows what it was sent and nothing of
 * the server: no secrets, no configuration, no descriptor but its own. See backends/keeper.h.
 *
 * Everything it does is bounded: a step that hangs is killed, the dead are waited for only so long.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "backends/linux/keeper/job.h"
#include "backends/linux/keeper/lone.h"
#include "backends/linux/keeper/narrow.h"
#include "backends/linux/keeper/run.h"
#include "backends/linux/keeper/tree.h"
#include "base/io.h"
#include "base/proc.h"
#include "base/strv.h"

#define SOCKET 3
#define LEAVE_MS 100 /* for somebody to exit who has nothing else to do */
#define MAX_NEEDED 128

struct keeper_state {
	struct keeper_job job;
	struct keeper_streams streams;
	struct keeper_tool tool;
	struct keeper_message message; /* the one at hand; large, so not on the stack */
	int dir, held, children;
	int server; /* pidfd of who started us, or -1 */
	int inner; /* a mount namespace whose end nobody is to wait for */
	uint64_t ends_at; /* microseconds; 0: no limit */
	bool timed_out, told;
	bool clear; /* and told so: nothing of the sandbox runs any more */
};

static struct keeper_watch watch_of(struct keeper_state *state, int socket)
{
	return (struct keeper_watch){
		.children = state->children, .socket = socket, .tool = &state->tool};
}

static int say(enum keeper_message_type type, int number, uint32_t flags)
{
	return keeper_head_send(SOCKET,
		(struct keeper_head){.type = type, .number = number, .flags = flags}, NULL, 0);
}

/* With the text that is in its place. */
static void say_text(
	struct keeper_state *state, enum keeper_message_type type, int number, uint32_t serial)
{
	struct keeper_message *message = &state->message;

	message->head = (struct keeper_head){.type = type,
		.number = number,
		.serial = serial,
		.size = (uint32_t)strnlen(message->text, sizeof(message->text))};
	(void)keeper_message_send(SOCKET, message, NULL, 0);
}

/* A step that hangs leaves the directory to the sweep, which tries once more. */
static bool run_steps(struct keeper_state *state, enum plan_when when)
{
	struct keeper_watch watch = watch_of(state, -1);
	bool fine = true;

	for (uint32_t i = 0; i < state->job.step_count; i++) {
		if (state->job.steps[i].when == when) {
			fine &= keeper_run_step(state->job.steps[i].argv, state->job.env,
					KEEPER_STEP_MS, &watch, NULL, 0) != -ETIMEDOUT;
		}
	}
	return fine;
}

/* The last line a failing step printed says more than its exit code. */
static const char *last_line(char *output)
{
	size_t length = strlen(output);

	while (length > 0 && (output[length - 1] == '\n' || output[length - 1] == '\r')) {
		output[--length] = '\0';
	}
	char *line = strrchr(output, '\n');
	return line ? line + 1 : output;
}

static int run_before(struct keeper_state *state, struct err *err)
{
	struct keeper_watch watch = watch_of(state, SOCKET);
	char output[4096] = "";

	for (uint32_t i = 0; i < state->job.step_count; i++) {
		const struct keeper_step *step = &state->job.steps[i];
		if (step->when != PLAN_BEFORE) {
			continue;
		}
		int r = keeper_run_step(step->argv, state->job.env, KEEPER_BEFORE_MS, &watch,
			output, sizeof(output));
		if (r == -ETIMEDOUT) {
			return err_refuse(err, ETIMEDOUT, "step %s: took longer than %d s",
				step->argv[0], KEEPER_BEFORE_MS / 1000);
		}
		if (r != 0) {
			return err_refuse(err, r < 0 ? -r : EIO, "step %s: %s", step->argv[0],
				*output ? last_line(output) : "failed without a word");
		}
	}
	return 0;
}

/*
 * Who was told that nothing runs any more may be about to exit, on the processor that we are on: first
 * that, since somebody waits for it, and then what nobody waits for. Its end of the socket, which closes
 * in the middle of its exit, is closed already when it waits for us.
 */
static void await_leaver(const struct keeper_state *state)
{
	struct pollfd socket = {.fd = SOCKET, .events = 0};
	struct pollfd ended = {.fd = state->server, .events = POLLIN};

	if (poll(&socket, 1, 0) == 0) {
		(void)poll(ended.fd >= 0 ? &ended : &socket, 1, LEAVE_MS);
	}
}

/*
 * All that still runs of the sandbox ends. True when nothing does any more: neither in its group nor among
 * our children, which is what becomes of those whose parents die.
 */
static bool clear(struct keeper_state *state)
{
	struct keeper_watch watch = watch_of(state, -1);

	/* The dead tell us of it, which is sooner than looking whether their group is empty. */
	cgroup_strike(&state->job.cgroup);
	keeper_kill_children(&watch);
	if (cgroup_is_empty(&state->job.cgroup)) {
		return true;
	}
	bool empty = cgroup_kill(&state->job.cgroup) == 0;
	keeper_kill_children(&watch);
	return empty;
}

/* Lets go of everything in the order that leaves nobody running who could make more. */
static int undo(struct keeper_state *state)
{
	struct keeper_watch watch = watch_of(state, -1);
	bool sweeping = state->job.flags & KEEPER_UNDO;
	bool fine = true;

	if (state->tool.running) {
		fine = run_steps(state, PLAN_KILL);
	}
	if (state->tool.running) {
		(void)kill(-state->tool.pid, SIGKILL);
		(void)kill(state->tool.pid, SIGKILL);
	}
	if (!state->clear) {
		(void)clear(state);
		(void)say(KEEPER_GONE, 0, 0);
	}
	await_leaver(state);
	fine &= run_steps(state, PLAN_AFTER);
	keeper_kill_children(&watch);
	int r = cgroup_remove(&state->job.cgroup);
	if (fine || sweeping) {
		int removed = tree_remove(state->dir, state->job.dir);
		r = r < 0 ? r : removed;
	}
	return r < 0 || !fine ? 1 : 0;
}

static int place_fds(struct keeper_state *state, const int *fds, size_t count)
{
	size_t needed = 1 + state->job.fd_count + state->job.group_count +
		!!(state->job.flags & KEEPER_HOLDS);
	struct cgroup *cgroup = &state->job.cgroup;
	size_t at = 0;

	for (int i = 0; i < 3; i++) {
		needed += !!(state->job.flags & (KEEPER_HAS_STDIO << i));
	}
	if (needed != count) {
		return -EPROTO;
	}
	state->dir = fds[at++];
	for (int i = 0; i < 3; i++) {
		state->streams.stdio[i] =
			state->job.flags & (KEEPER_HAS_STDIO << i) ? fds[at++] : -1;
	}
	for (uint32_t i = 0; i < state->job.fd_count; i++) {
		state->streams.named[i] = fds[at++];
	}
	/* Not named any more when they were: the numbers were those of the way here. */
	const int *groups = fds + at;
	if (cgroup->kill >= (int)state->job.group_count) {
		return -EPROTO;
	}
	cgroup->kill = cgroup->kill < 0 ? -1 : groups[cgroup->kill];
	for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
		if (cgroup->dir[i] >= (int)state->job.group_count) {
			return -EPROTO;
		}
		cgroup->dir[i] = cgroup->dir[i] < 0 ? -1 : groups[cgroup->dir[i]];
	}
	state->held = count - at > state->job.group_count ? fds[at + state->job.group_count] : -1;
	return 0;
}

/* While the job is still made. A tool that has no namespace ready makes its own. */
static int make_tree(struct keeper_state *state)
{
	const char *needed[MAX_NEEDED];
	const char *text = state->message.text;
	const char *end = text + state->message.head.size;
	size_t count = 0;

	while (count < state->message.head.flags) {
		size_t length = strnlen(text, (size_t)(end - text));
		if (count == MAX_NEEDED || text + length == end) {
			return -EPROTO;
		}
		needed[count++] = text;
		text += length + 1;
	}
	state->streams.tree = narrow_make(needed, count);
	return state->streams.tree == -ENOTRECOVERABLE ? -ENOTRECOVERABLE : 0;
}

/* One that is not needed costs nobody time: who waits for the job is not here yet. */
static int make_net(struct keeper_state *state)
{
	if (state->streams.net < 0) {
		state->streams.net = lone_make();
	}
	return state->streams.net == -ENOTRECOVERABLE ? -ENOTRECOVERABLE : 0;
}

/* What can be done before the job is there. 1: it is done; 0: this is the job, or nothing we know. */
static int make_ahead(struct keeper_state *state)
{
	int r = 0;

	switch (state->message.head.type) {
	case KEEPER_TREE:
		r = make_tree(state);
		break;
	case KEEPER_NET:
		r = make_net(state);
		break;
	default:
		return 0;
	}
	return r < 0 ? r : 1;
}

static int receive_job(struct keeper_state *state)
{
	int fds[IO_MAX_FDS];
	size_t count = 0;
	cleanup_free char *data = NULL;
	size_t size = 0;
	int n = 0;
	int r = 0;

	do {
		n = keeper_message_receive(SOCKET, &state->message, fds, IO_MAX_FDS, &count, 0);
		r = n > 0 && count == 0 ? make_ahead(state) : 0;
	} while (r > 0);
	if (r < 0) {
		return r;
	}
	if (n <= 0 || state->message.head.type != KEEPER_JOB || count < 2) {
		return -EPROTO;
	}
	cleanup_close int file = fds[0];
	if (lseek(file, 0, SEEK_SET) != 0) {
		return -errno;
	}
	r = io_read_fd(file, KEEPER_JOB_MAX, &data, &size);
	r = r < 0 ? r : keeper_job_get(data, size, &state->job);
	return r < 0 ? r : place_fds(state, fds + 1, count - 1);
}

static void answer(struct keeper_state *state)
{
	struct keeper_watch watch = watch_of(state, SOCKET);
	cleanup(strv_freep) char **argv = NULL;
	int timeout = state->message.head.number;
	uint32_t serial = state->message.head.serial;
	const char *text = state->message.text;
	const char *end = text + state->message.head.size;
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < state->message.head.flags && text < end; i++) {
		size_t length = strnlen(text, (size_t)(end - text));
		r = text + length < end ? strv_append(&argv, text) : -EPROTO;
		text += length + 1;
	}
	state->message.text[0] = '\0';
	r = r == 0 && !argv ? -EPROTO : r;
	r = r < 0 ? r
		  : keeper_run_step(argv, state->job.env, timeout, &watch, state->message.text,
			    sizeof(state->message.text));
	say_text(state, KEEPER_ANSWER, r, serial);
}

/* False when it is time to end. */
static bool obey(struct keeper_state *state)
{
	int fd = -1;
	size_t count = 0;
	int r = keeper_message_receive(SOCKET, &state->message, &fd, 1, &count, MSG_DONTWAIT);

	if (r <= 0) {
		return r == -EAGAIN;
	}
	if (count > 0) {
		close_fdp(&state->inner);
		state->inner = fd;
	}
	switch (state->message.head.type) {
	case KEEPER_SIGNAL:
		if (state->tool.running) {
			(void)kill(-state->tool.pid, state->message.head.number);
		}
		return true;
	case KEEPER_ASK:
		answer(state);
		return true;
	case KEEPER_HOLD:
		return true;
	default:
		return false;
	}
}

static void end_of_time(struct keeper_state *state)
{
	struct keeper_watch watch = watch_of(state, -1);

	state->timed_out = true;
	state->ends_at = 0;
	(void)run_steps(state, PLAN_KILL);
	if (state->tool.running) {
		(void)kill(-state->tool.pid, SIGKILL);
		(void)kill(state->tool.pid, SIGKILL);
	}
	(void)cgroup_kill(&state->job.cgroup);
	keeper_kill_children(&watch);
}

/* Where no step can bring anything to an end that a control group would not. */
static bool is_all_ours(const struct keeper_job *job)
{
	return job->step_count == 0 && job->group_count > 0;
}

static void watch_tool(struct keeper_state *state)
{
	struct pollfd polled[2] = {
		{.fd = SOCKET, .events = POLLIN}, {.fd = state->children, .events = POLLIN}};

	for (;;) {
		uint64_t now = io_now_usec();
		uint64_t left = state->ends_at > now ? (state->ends_at - now) / 1000 + 1 : 0;
		int wait = !state->ends_at ? -1 : (int)(left > 60000 ? 60000 : left);

		(void)poll(polled, 2, wait);
		if (polled[1].revents) {
			struct signalfd_siginfo info;
			(void)!read(state->children, &info, sizeof(info));
			keeper_reap(&state->tool);
		}
		if (polled[0].revents && !obey(state)) {
			return;
		}
		if (state->tool.running && state->ends_at && io_now_usec() >= state->ends_at) {
			end_of_time(state);
		}
		if (!state->tool.running && !state->told) {
			state->told = true;
			state->clear = is_all_ours(&state->job) && clear(state);
			uint32_t flags = (state->timed_out ? KEEPER_TIMED_OUT : 0) |
				(state->clear ? KEEPER_CLEAR : 0);
			if (say(KEEPER_EXITED, state->tool.status, flags) < 0) {
				return;
			}
			state->ends_at = 0;
		}
	}
}

static void close_streams(struct keeper_state *state)
{
	for (int i = 0; i < 3; i++) {
		close_fdp(&state->streams.stdio[i]);
	}
	for (uint32_t i = 0; i < state->job.fd_count; i++) {
		close_fdp(&state->streams.named[i]);
	}
}

static int tell_started(struct keeper_state *state)
{
	struct keeper_head head = {.type = KEEPER_STARTED, .number = state->tool.pid};

	return keeper_head_send(SOCKET, head, &state->tool.pidfd, state->tool.pidfd >= 0);
}

static int keep(struct keeper_state *state)
{
	struct err err = {0};
	int r = run_before(state, &err);

	if (r == 0 && (state->job.flags & KEEPER_LONE)) {
		(void)make_net(state);
		r = state->streams.net < 0
			? err_set(&err, -state->streams.net, "making a network for the tool")
			: 0;
	}
	r = r < 0 ? r : keeper_run_tool(&state->job, &state->streams, &state->tool, &err);
	/* The tool's ends of pipes and terminals must close with the tool. */
	close_streams(state);
	if (r < 0) {
		int left = undo(state);
		(void)snprintf(state->message.text, sizeof(state->message.text), "%s", err.msg);
		say_text(state, KEEPER_FAILED, -r, 0);
		return left;
	}
	if (state->job.timeout > 0 && state->job.timeout < UINT64_MAX / 2000000) {
		state->ends_at = io_now_usec() + state->job.timeout * 1000000;
	}
	if (tell_started(state) == 0) {
		watch_tool(state);
	}
	return undo(state);
}

int main(void)
{
	/* Zeroes, which take no room in the file: it is copied for each keeper. */
	static struct keeper_state state;
	sigset_t mask;

	state.dir = state.held = state.server = state.inner = -1;
	state.streams = (struct keeper_streams){.stdio = {-1, -1, -1}, .tree = -1, .net = -1};
	(void)close(SOCKET + 1); /* the file this program was run from */
	(void)prctl(PR_SET_NAME, "cloche-keeper");
	(void)umask(077);
	/* All others are as they are by default, and so they are for a tool: keeper-birth.c saw to it. */
	(void)signal(SIGPIPE, SIG_IGN);
	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	cgroup_init(&state.job.cgroup);
	if (chdir("/") < 0 || sigprocmask(SIG_SETMASK, &mask, NULL) < 0 ||
		prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) {
		return 1;
	}
	state.server = proc_pidfd(getppid());
	state.children = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (state.children < 0 || fcntl(SOCKET, F_SETFD, FD_CLOEXEC) < 0 ||
		receive_job(&state) < 0) {
		return 1;
	}
	return state.job.flags & KEEPER_UNDO ? undo(&state) : keep(&state);
}
