#include "cli/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>

#include "base/cleanup.h"
#include "base/io.h"

#define FLOW_SIZE 65536
#define CALLER_CHUNK 4096 /* what a descriptor of the caller takes without blocking, once ready */
#define DRAIN_MS 100 /* of silence after the end, when something still holds the terminal open */
#define GIVE_UP_USEC 2000000

/* One direction. */
struct flow {
	int from, to;
	bool own_to; /* ours, and to be closed at the end of from */
	bool ended; /* nothing comes any more */
	int full; /* errno: the disk took no more of it */
	size_t start, end;
	uint8_t data[FLOW_SIZE];
};

static bool has_data(const struct flow *flow)
{
	return flow->start < flow->end;
}

void relay_init(struct relay *relay)
{
	*relay = (struct relay){.io.fds = {-1, -1, -1},
		.inner = {-1, -1, -1},
		.outer = {-1, -1, -1},
		.signals = -1};
}

void relay_fini(struct relay *relay)
{
	for (int i = 0; i < 3; i++) {
		close_fdp(&relay->inner[i]);
		close_fdp(&relay->outer[i]);
	}
	close_fdp(&relay->signals);
}

/* The devices that hold no state and lead nowhere: null, zero, full, random, urandom. */
static bool is_harmless_device(dev_t device)
{
	static const unsigned minors[] = {3, 5, 7, 8, 9};

	for (size_t i = 0; i < ARRAY_SIZE(minors); i++) {
		if (device == makedev(1, minors[i])) {
			return true;
		}
	}
	return false;
}

static int make_pipe(struct relay *relay, int fd, struct err *err)
{
	int ends[2];
	int ours = fd == 0 ? 1 : 0; /* we write its standard input and read the others */

	if (pipe2(ends, O_CLOEXEC) < 0) {
		return err_set(err, errno, "making a pipe");
	}
	relay->inner[fd] = relay->io.fds[fd] = ends[!ours];
	relay->outer[fd] = ends[ours];
	if (io_set_nonblocking(ends[ours], true) < 0) {
		return err_set(err, errno, "setting up a pipe");
	}
	return 0;
}

/* Both outputs in one file: they share a pipe, which keeps their order. */
static bool is_same_output(const struct relay *relay, int fd, const struct stat *file)
{
	struct stat other;

	return fd == 2 && relay->inner[1] >= 0 && fstat(1, &other) == 0 &&
		other.st_dev == file->st_dev && other.st_ino == file->st_ino;
}

static int open_file(struct relay *relay, int fd, const struct stat *file, struct err *err)
{
	if (is_same_output(relay, fd, file)) {
		relay->io.fds[fd] = relay->io.fds[1];
		return 0;
	}
	relay->file_input |= fd == 0;
	return make_pipe(relay, fd, err);
}

static int open_stream(struct relay *relay, int fd, bool no_files, struct err *err)
{
	struct stat stat;

	if (fstat(fd, &stat) < 0) {
		relay->io.fds[fd] = -1; /* closed: /dev/null of the sandbox */
		return 0;
	}
	if (S_ISDIR(stat.st_mode)) {
		return err_refuse(err, EINVAL,
			"descriptor %d is a directory: the command could leave by it", fd);
	}
	if (S_ISREG(stat.st_mode) && no_files) {
		return open_file(relay, fd, &stat, err);
	}
	if (S_ISREG(stat.st_mode) || S_ISFIFO(stat.st_mode) ||
		(S_ISCHR(stat.st_mode) && is_harmless_device(stat.st_rdev))) {
		relay->io.fds[fd] = fd;
		return 0;
	}
	return make_pipe(relay, fd, err);
}

/*
 * Signals that people and supervisors send; blocked here and read from a descriptor. Before the
 * start, so that none can end us and leave a sandbox; the sandbox's own mask is empty all the same.
 */
int relay_hold_signals(struct relay *relay, struct err *err)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH};
	sigset_t set;

	(void)sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		(void)sigaddset(&set, numbers[i]);
	}
	if (relay->signals >= 0) {
		return 0;
	}
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0) {
		return err_set(err, errno, "blocking signals");
	}
	relay->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return relay->signals < 0 ? err_set(err, errno, "making a signal descriptor") : 0;
}

int relay_open(struct relay *relay, bool no_files, struct err *err)
{
	int r = relay_hold_signals(relay, err);

	if (r < 0) {
		return r;
	}
	/* A terminal of its own only where both ends are one: output that goes elsewhere must not
	 * get a terminal's line ends. */
	if (isatty(0) && isatty(1)) {
		relay->io.pty = true;
		(void)ioctl(0, TIOCGWINSZ, &relay->io.size);
		return 0;
	}
	for (int fd = 0; fd < 3; fd++) {
		r = open_stream(relay, fd, no_files, err);
		if (r < 0) {
			return r;
		}
	}
	return 0;
}

/* Reads once. The end of the stream, or of the terminal's last user (EIO), is an end. */
static void flow_read(struct flow *flow)
{
	ssize_t n = 0;

	if (!has_data(flow)) {
		flow->start = flow->end = 0;
	}
	n = read(flow->from, flow->data + flow->end, sizeof(flow->data) - flow->end);
	if (n > 0) {
		flow->end += (size_t)n;
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		flow->ended = true;
	}
}

/* Writes once. A reader that is gone ends the flow: the command gets EPIPE in its turn. */
static void flow_write(struct flow *flow)
{
	size_t size = flow->end - flow->start;
	ssize_t n = 0;

	if (!flow->own_to && size > CALLER_CHUNK) {
		size = CALLER_CHUNK;
	}
	n = write(flow->to, flow->data + flow->start, size);
	if (n > 0) {
		flow->start += (size_t)n;
	} else if (errno != EAGAIN && errno != EINTR) {
		flow->full = errno == ENOSPC || errno == EDQUOT ? errno : 0;
		flow->ended = true;
		flow->start = flow->end = 0;
	}
}

/* Everything relay_run() looks after. */
struct loop {
	struct relay *relay;
	struct sandbox *sandbox;
	bool exited;
	int result; /* of poll_exit(), once exited */
	struct sandbox_exit exit;
	uint64_t give_up; /* io_now_usec() of it; 0: never */
	struct flow flows[3];
	size_t count;
};

static void add_flow(struct loop *loop, int from, int to, bool own_to)
{
	struct flow *flow = &loop->flows[loop->count++];

	flow->from = from;
	flow->to = to;
	flow->own_to = own_to;
	flow->ended = false;
	flow->full = 0;
	flow->start = flow->end = 0;
}

static void add_flows(struct loop *loop)
{
	struct relay *relay = loop->relay;

	if (relay->io.pty) {
		(void)io_set_nonblocking(loop->sandbox->pty, true);
		add_flow(loop, 0, loop->sandbox->pty, false);
		add_flow(loop, loop->sandbox->pty, 1, false);
		return;
	}
	if (relay->outer[0] >= 0) {
		add_flow(loop, 0, relay->outer[0], true);
	}
	for (int fd = 1; fd < 3; fd++) {
		if (relay->outer[fd] >= 0) {
			add_flow(loop, relay->outer[fd], fd, false);
		}
	}
}

static bool is_input(const struct flow *flow)
{
	return flow->from == 0;
}

/* Finished: nothing comes and nothing is left. Input that is finished closes the command's. */
static bool is_done(const struct loop *loop, struct flow *flow)
{
	if (!flow->ended || has_data(flow)) {
		return false;
	}
	if (flow->own_to && flow->to >= 0) {
		close_fdp(&loop->relay->outer[0]);
		flow->to = -1;
	}
	if (!is_input(flow) && flow->from >= 0 && !loop->relay->io.pty) {
		/* Nobody reads any more: the command must notice. */
		for (int fd = 1; fd < 3; fd++) {
			if (loop->relay->outer[fd] == flow->from) {
				close_fdp(&loop->relay->outer[fd]);
			}
		}
		flow->from = -1;
	}
	return true;
}

static void pass_signals(struct loop *loop)
{
	struct signalfd_siginfo info;

	while (read(loop->relay->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		int signo = (int)info.ssi_signo;
		if (signo != SIGWINCH) {
			(void)loop->sandbox->backend->signal(loop->sandbox, signo);
		} else if (loop->relay->io.pty &&
			ioctl(0, TIOCGWINSZ, &loop->relay->io.size) == 0) {
			(void)ioctl(loop->sandbox->pty, TIOCSWINSZ, &loop->relay->io.size);
		}
	}
}

static void ask_for_exit(struct loop *loop)
{
	int r = loop->sandbox->backend->poll_exit(loop->sandbox, &loop->exit);

	if (r != 0) {
		loop->exited = true;
		loop->result = r < 0 ? r : 0;
	}
}

static int wait_ms(const struct loop *loop)
{
	uint64_t now = io_now_usec();

	if (loop->exited) {
		return DRAIN_MS;
	}
	if (loop->give_up == 0) {
		return -1;
	}
	return now >= loop->give_up ? 0 : (int)((loop->give_up - now) / 1000 + 1);
}

/* What to poll for: at most one entry a flow, as a flow is either read or written. */
static size_t fill_polls(struct loop *loop, struct pollfd *polls, struct flow **ret_flows)
{
	size_t used = 0;

	for (size_t i = 0; i < loop->count; i++) {
		struct flow *flow = &loop->flows[i];
		if (is_done(loop, flow) || (loop->exited && is_input(flow))) {
			continue;
		}
		ret_flows[used] = flow;
		polls[used++] = has_data(flow)
			? (struct pollfd){.fd = flow->to, .events = POLLOUT}
			: (struct pollfd){.fd = flow->from, .events = POLLIN};
	}
	return used;
}

/* 1: go on. 0: all is done. Negative: -ETIMEDOUT or another errno. */
static int step(struct loop *loop)
{
	struct pollfd polls[5];
	struct flow *flows[3];
	size_t used = fill_polls(loop, polls, flows);
	int ready = 0;

	if (loop->exited && used == 0) {
		return 0;
	}
	polls[used] = (struct pollfd){.fd = loop->relay->signals, .events = POLLIN};
	polls[used + 1] =
		(struct pollfd){.fd = loop->exited ? -1 : loop->sandbox->event, .events = POLLIN};
	ready = poll(polls, used + 2, wait_ms(loop));
	if (ready < 0) {
		return errno == EINTR ? 1 : -errno;
	}
	if (ready == 0) {
		return loop->exited ? 0 : -ETIMEDOUT;
	}
	for (size_t i = 0; i < used; i++) {
		if (polls[i].revents && has_data(flows[i])) {
			flow_write(flows[i]);
		} else if (polls[i].revents) {
			flow_read(flows[i]);
		}
	}
	if (polls[used].revents) {
		pass_signals(loop);
	}
	if (polls[used + 1].revents) {
		ask_for_exit(loop);
	}
	return 1;
}

static int run_loop(struct loop *loop)
{
	int r = 0;

	add_flows(loop);
	do {
		r = step(loop);
	} while (r > 0);
	/* The command may have ended by then and not know. */
	for (size_t i = 0; r == 0 && i < loop->count; i++) {
		r = -loop->flows[i].full;
	}
	return r < 0 ? r : loop->result;
}

/* The next reader of the same file is to find what the command has not read. */
static void give_back(const struct loop *loop)
{
	int waiting = 0;

	for (size_t i = 0; loop->relay->file_input && i < loop->count; i++) {
		const struct flow *flow = &loop->flows[i];
		if (is_input(flow) && ioctl(loop->relay->inner[0], FIONREAD, &waiting) == 0) {
			(void)lseek(0, -(off_t)(flow->end - flow->start) - waiting, SEEK_CUR);
		}
	}
}

int relay_run(
	struct relay *relay, struct sandbox *sandbox, uint64_t timeout, struct sandbox_exit *ret)
{
	cleanup_free struct loop *loop = malloc(sizeof(*loop));
	struct termios before;
	bool raw = false;
	int r = 0;

	/* The command has its copies: ours would keep its end of the pipes open. Of a file's pipe it
	 * tells what was not taken. */
	for (int fd = relay->file_input ? 1 : 0; fd < 3; fd++) {
		close_fdp(&relay->inner[fd]);
	}
	if (!loop) {
		return -ENOMEM;
	}
	/* Only now: what ignores a signal would pass that on to what it starts. */
	(void)signal(SIGPIPE, SIG_IGN);
	loop->relay = relay;
	loop->sandbox = sandbox;
	loop->exited = false;
	loop->result = 0;
	loop->count = 0;
	loop->give_up = timeout ? io_now_usec() + timeout * 1000000 + GIVE_UP_USEC : 0;
	if (relay->io.pty && tcgetattr(0, &before) == 0) {
		struct termios bare = before;
		cfmakeraw(&bare);
		raw = tcsetattr(0, TCSADRAIN, &bare) == 0;
	}
	r = run_loop(loop);
	give_back(loop);
	if (raw) {
		(void)tcsetattr(0, TCSADRAIN, &before);
	}
	if (r == 0) {
		*ret = loop->exit;
	}
	return r;
}
