/*
 * cloche-relay: the command of the jail that QEMU runs in. It starts QEMU, gives the guest its
 * session, carries the session's streams, and ends as the session's command has ended:
 *
 *	cloche-relay SECONDS SESSION-FILE -- QEMU...
 *
 * It reads what a hostile guest may have sent, so it lives where QEMU lives: in the jail, with the
 * powers of nobody. Its standard streams are the session's; a terminal there is put into raw mode,
 * and the one that programs see is made in the guest. Signals for the session arrive here.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "backends/linux/image.h"
#include "backends/vm/flow.h"
#include "backends/vm/protocol.h"
#include "backends/vm/window.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/parse.h"

#define BOOT_SECONDS 120
#define LAST_WORDS_SECONDS 10 /* for streams whose end was announced */
/* Of control by a guest, as the kernel counts: 768 a frame without text. With 212992 we would wait. */
#define UNREAD_MAX 131072

struct relay {
	int ports[VM_PORTS]; /* our ends */
	int log; /* what QEMU and the guest's kernel say */
	int signals;
	pid_t qemu;
	bool pty, hung_up;
	uint64_t seconds; /* the session's time limit; 0: none */
	uint64_t born, deadline; /* microseconds; deadline 0: none */
	struct vm_guest guest;
	struct vm_window window;
	struct vm_flow input, output, error;
	bool said_input_end, said_pipe;
	int why; /* to the socket of the server's in the jail, while the guest asks; or -1 */
	char because[VM_BECAUSE_MAX + 1]; /* what came from there */
	size_t because_used;
	uint8_t control[sizeof(struct vm_frame) + VM_SEEN_CHUNK];
	size_t control_used;
	char last[VM_TEXT_MAX + 1]; /* the log's last line */
};

static struct relay relay = {.why = -1};

static void report(uint32_t type, int code, const char *text)
{
	struct vm_report message = {.type = type, .code = code};

	message.boot_usec = io_now_usec() - relay.born;
	(void)snprintf(message.text, sizeof(message.text), "%s", text);
	(void)send(VM_REPORT_FD, &message, sizeof(message), MSG_NOSIGNAL);
}

/* Before the session has begun. The server tells the reason; nobody sees the code. */
static void fail(int code, const char *text) __attribute__((noreturn));
static void fail(int code, const char *text)
{
	report(VM_FAILED, code, text);
	_exit(125);
}

static void end_by_signal(int signo) __attribute__((noreturn));
static void end_by_signal(int signo)
{
	sigset_t all;

	(void)signal(signo, SIG_DFL);
	(void)sigfillset(&all);
	(void)raise(signo);
	(void)sigprocmask(SIG_UNBLOCK, &all, NULL);
	_exit(128 + signo);
}

/* As the command has ended, so do we; the jail's first process ends QEMU. */
static void end(int status) __attribute__((noreturn));
static void end(int status)
{
	if (WIFSIGNALED(status)) {
		end_by_signal(WTERMSIG(status));
	}
	_exit(WEXITSTATUS(status));
}

/* A session's guest that reads no more would have us wait for it, and not look at the clock: it is ended. */
static bool is_deaf(void)
{
	int unread = 0;

	return relay.guest.started &&
		(ioctl(relay.ports[VM_PORT_CONTROL], SIOCOUTQ, &unread) < 0 || unread > UNREAD_MAX);
}

static void say(uint32_t type, uint64_t number, uint64_t more, const char *text)
{
	struct vm_frame frame = {.type = type, .number = number, .more = more};

	if (is_deaf()) {
		relay.hung_up = true;
		return;
	}
	frame.size = text ? (uint32_t)strlen(text) : 0;
	if (io_write_all(relay.ports[VM_PORT_CONTROL], &frame, sizeof(frame)) < 0 ||
		(text && io_write_all(relay.ports[VM_PORT_CONTROL], text, frame.size) < 0)) {
		relay.hung_up = true;
	}
}

static void keep_line(const char *text, size_t size)
{
	static char line[VM_TEXT_MAX];
	static size_t used;

	for (size_t i = 0; i < size; i++) {
		if (text[i] != '\n' && text[i] != '\r') {
			if (used < sizeof(line)) {
				line[used++] = text[i];
			}
			continue;
		}
		if (used > 0) {
			vm_text_clean((const uint8_t *)line, used, relay.last);
		}
		used = 0;
	}
}

static void read_log(void)
{
	char text[4096];
	ssize_t n = read(relay.log, text, sizeof(text));

	if (n > 0) {
		keep_line(text, (size_t)n);
	} else if (n == 0) {
		close_fdp(&relay.log);
	}
}

/* Between fork and exec. Its own session: the signals that come to our group are not QEMU's. */
static void be_qemu(char **argv, const int *theirs, int log) __attribute__((noreturn));
static void be_qemu(char **argv, const int *theirs, int log)
{
	sigset_t none;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	bool fine = null >= 0 && dup2(null, 0) == 0 && dup2(log, 1) == 1 && dup2(log, 2) == 2;

	for (int i = 0; i < VM_PORTS; i++) {
		/* They are above all of these numbers: see open_ports(). */
		fine = fine && dup2(theirs[i], VM_PORT_FD + i) >= 0;
	}
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)setsid();
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	if (fine) {
		(void)execv(argv[0], argv);
	}
	(void)dprintf(2, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static int high(int fd)
{
	int moved = fcntl(fd, F_DUPFD_CLOEXEC, VM_PORT_FD + VM_PORTS);

	if (moved < 0) {
		fail(errno, "opening the ports");
	}
	(void)close(fd);
	return moved;
}

static void start_qemu(char **argv)
{
	int theirs[VM_PORTS];
	int log[2];

	for (int i = 0; i < VM_PORTS; i++) {
		int pair[2];
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
			fail(errno, "opening the ports");
		}
		relay.ports[i] = high(pair[0]);
		theirs[i] = high(pair[1]);
	}
	if (pipe2(log, O_CLOEXEC) < 0) {
		fail(errno, "opening QEMU's log");
	}
	relay.log = high(log[0]);
	log[1] = high(log[1]);
	(void)io_set_nonblocking(relay.log, true);
	relay.born = io_now_usec();
	relay.qemu = fork();
	if (relay.qemu == 0) {
		be_qemu(argv, theirs, log[1]);
	}
	if (relay.qemu < 0) {
		fail(errno, "starting QEMU");
	}
	for (int i = 0; i < VM_PORTS; i++) {
		(void)close(theirs[i]);
	}
	(void)close(log[1]);
}

/* All but what cannot be caught, what stops us alone, and what faults of our own would send. */
static void open_signals(void)
{
	static const int own[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP,
		SIGSYS, SIGABRT, SIGTTIN, SIGTTOU, SIGPIPE};
	sigset_t set;

	(void)sigfillset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
		(void)sigdelset(&set, own[i]);
	}
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGTTOU, SIG_IGN);
	(void)signal(SIGTTIN, SIG_IGN);
	relay.signals = sigprocmask(SIG_BLOCK, &set, NULL) < 0
		? -1
		: signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (relay.signals < 0) {
		fail(errno, "taking signals");
	}
}

static uint64_t terminal_size(void)
{
	struct winsize size = {0};

	(void)ioctl(0, TIOCGWINSZ, &size);
	return vm_size_pack(&size);
}

/* Line editing, echo and ^C are the guest's terminal's. */
static void open_terminal(void)
{
	struct termios raw;

	relay.pty = tcgetattr(0, &raw) == 0;
	if (relay.pty) {
		cfmakeraw(&raw);
		if (tcsetattr(0, TCSANOW, &raw) < 0) {
			fail(errno, "setting the terminal");
		}
	}
}

static void on_started(void)
{
	report(VM_STARTED, 0, "");
	relay.deadline = relay.seconds ? io_now_usec() + relay.seconds * 1000000 : 0;
}

static void on_exited(void)
{
	uint64_t last = io_now_usec() + LAST_WORDS_SECONDS * UINT64_C(1000000);

	report(VM_EXITED, 0, "");
	/* Only a guest that lies about its streams lets us come to that. */
	if (!relay.deadline || last < relay.deadline) {
		relay.deadline = last;
	}
}

/* What the server has said, or nothing. */
static void pass_because(void)
{
	relay.guest.asking = false;
	relay.because[relay.because_used] = '\0';
	say(VM_BECAUSE, 0, 0, relay.because);
}

/* The server reads nothing, and says its words to one at a time, once a second. */
static void read_why(void)
{
	ssize_t n = read(
		relay.why, relay.because + relay.because_used, VM_BECAUSE_MAX - relay.because_used);

	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		return;
	}
	relay.because_used += n > 0 ? (size_t)n : 0;
	if (n <= 0 || relay.because_used == VM_BECAUSE_MAX) {
		close_fdp(&relay.why);
		pass_because();
	}
}

/*
 * The server reads what we report when it looks at what was used, as it does before it says anything. One waits
 * there at most: where nobody listens a guest can ask without end, and report() waits for room.
 */
static void report_limits(const struct vm_frame *frame)
{
	struct vm_report message = {.type = VM_WHY,
		.killed = (uint32_t)frame->number,
		.refused = (uint32_t)frame->more};
	int unread = 0;

	if (ioctl(VM_REPORT_FD, SIOCOUTQ, &unread) == 0 && unread == 0) {
		(void)send(VM_REPORT_FD, &message, sizeof(message), MSG_NOSIGNAL | MSG_DONTWAIT);
	}
}

static void ask_why(const struct vm_frame *frame)
{
	static const struct sockaddr_un address = {
		.sun_family = AF_UNIX, .sun_path = IMAGE_WHY_SOCKET};

	report_limits(frame);
	relay.because_used = 0;
	relay.why = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (relay.why < 0 ||
		connect(relay.why, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		close_fdp(&relay.why);
		pass_because();
	}
}

static void take_frame(const struct vm_frame *frame, const uint8_t *text)
{
	char clean[VM_TEXT_MAX + 1];

	if (vm_guest_take(&relay.guest, frame) < 0) {
		relay.hung_up = true;
		return;
	}
	switch (frame->type) {
	case VM_FAILED:
		vm_text_clean(text, frame->size, clean);
		fail(relay.guest.code, clean);
	case VM_STARTED:
		on_started();
		break;
	case VM_EXITED:
		on_exited();
		break;
	case VM_SEEN:
		vm_window_give(&relay.window, text, frame->size);
		if (!relay.guest.looking) {
			vm_window_end(&relay.window);
		}
		break;
	case VM_WHY:
		ask_why(frame);
		break;
	default:
		break;
	}
}

/* Somebody outside wants to see: the guest is asked. */
static void pass_question(void)
{
	char words[VM_LOOK_MAX + 1];

	if (vm_window_take(&relay.window, words, sizeof(words))) {
		relay.guest.looking = true;
		relay.guest.seen = 0;
		say(VM_LOOK, 0, 0, words);
	}
}

static void read_control(void)
{
	struct vm_frame frame;
	const uint8_t *text = NULL;
	ssize_t n = recv(relay.ports[VM_PORT_CONTROL], relay.control + relay.control_used,
		sizeof(relay.control) - relay.control_used, MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		relay.hung_up = true;
		return;
	}
	relay.control_used += n > 0 ? (size_t)n : 0;
	while (!relay.hung_up) {
		n = vm_frame_next(relay.control, relay.control_used, true, &frame, &text);
		if (n <= 0) {
			relay.hung_up = n < 0;
			return;
		}
		take_frame(&frame, text);
		relay.control_used -= (size_t)n;
		memmove(relay.control, relay.control + n, relay.control_used);
	}
}

static void pass_signals(void)
{
	struct signalfd_siginfo info;

	while (read(relay.signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		int signo = (int)info.ssi_signo;
		if (signo == SIGCHLD) {
			relay.hung_up |= waitpid(relay.qemu, NULL, WNOHANG) == relay.qemu;
		} else if (signo == SIGWINCH && relay.pty) {
			say(VM_RESIZE, 0, terminal_size(), NULL);
		} else if (relay.guest.started) {
			say(VM_SIGNAL, (uint64_t)signo, 0, NULL);
		}
	}
}

/* What the guest has to be told of our side of the streams. */
static void tell_ends(void)
{
	if (!relay.said_input_end && relay.input.ended && vm_flow_is_empty(&relay.input)) {
		relay.said_input_end = true;
		say(relay.pty ? VM_SIGNAL : VM_INPUT_END, relay.pty ? SIGHUP : relay.input.taken, 0,
			NULL);
	}
	if (!relay.said_pipe && relay.output.broken) {
		/* Who writes to a pipe that nobody reads is told so. */
		relay.said_pipe = true;
		say(VM_SIGNAL, relay.pty ? SIGHUP : SIGPIPE, 0, NULL);
	}
}

static bool is_complete(int stream, const struct vm_flow *flow)
{
	return flow->ended || flow->given >= relay.guest.total[stream];
}

/* Ends us when it is time to. */
static void end_if_over(void)
{
	bool late = relay.deadline && io_now_usec() >= relay.deadline;

	if (!relay.guest.started) {
		if (relay.hung_up || late) {
			char text[VM_TEXT_MAX + 1];
			(void)snprintf(text, sizeof(text), "the guest %s: %.150s",
				late ? "did not boot in time" : "did not boot", relay.last);
			fail(late ? ETIMEDOUT : EIO, text);
		}
		return;
	}
	if (relay.guest.exited) {
		if (late || relay.hung_up ||
			(is_complete(1, &relay.output) && is_complete(2, &relay.error))) {
			end(relay.guest.status);
		}
		return;
	}
	if (late) {
		report(VM_EXITED, 1, "");
		end_by_signal(SIGKILL);
	}
	if (relay.hung_up) {
		end_by_signal(SIGKILL);
	}
}

static int wait_ms(void)
{
	uint64_t now = relay.deadline ? io_now_usec() : 0;

	if (!relay.deadline) {
		return -1;
	}
	return now >= relay.deadline ? 0 : (int)((relay.deadline - now) / 1000 % 3600000) + 1;
}

static void carry(void) __attribute__((noreturn));
static void carry(void)
{
	for (;;) {
		struct pollfd watch[11];
		vm_flow_watch(&relay.input, watch);
		vm_flow_watch(&relay.output, watch + 2);
		vm_flow_watch(&relay.error, watch + 4);
		if (!relay.guest.started) {
			watch[0].fd = -1;
		}
		watch[6] = (struct pollfd){.fd = relay.ports[VM_PORT_CONTROL], .events = POLLIN};
		watch[7] = (struct pollfd){.fd = relay.signals, .events = POLLIN};
		watch[8] = (struct pollfd){.fd = relay.log, .events = POLLIN};
		watch[9] = (struct pollfd){
			.fd = vm_window_watch(&relay.window,
				relay.guest.looking || !relay.guest.started || relay.guest.exited),
			.events = POLLIN};
		watch[10] = (struct pollfd){.fd = relay.why, .events = POLLIN};
		(void)poll(watch, ARRAY_SIZE(watch), wait_ms());
		vm_flow_move(&relay.input, watch);
		vm_flow_move(&relay.output, watch + 2);
		vm_flow_move(&relay.error, watch + 4);
		if (watch[6].revents) {
			read_control();
		}
		if (watch[7].revents) {
			pass_signals();
		}
		if (watch[8].revents) {
			read_log();
		}
		if (watch[9].revents) {
			pass_question();
		}
		if (watch[10].revents && relay.why >= 0) {
			read_why();
		}
		if (relay.guest.started && !relay.guest.exited) {
			tell_ends();
		}
		end_if_over();
	}
}

static void open_streams(void)
{
	int r = vm_flow_init(&relay.input, 0, relay.ports[VM_PORT_DATA], VM_FLOW_FROM_FOREIGN);

	r = r < 0 ? r
		  : vm_flow_init(&relay.output, relay.ports[VM_PORT_DATA], 1, VM_FLOW_TO_FOREIGN);
	r = r < 0 ? r
		  : vm_flow_init(&relay.error, relay.ports[VM_PORT_ERROR], 2, VM_FLOW_TO_FOREIGN);
	if (r < 0) {
		fail(-r, "opening the streams");
	}
}

int main(int argc, char **argv)
{
	cleanup_free char *session = NULL;

	/* Nobody but the server starts this. */
	if (argc < 5 || parse_u64(argv[1], &relay.seconds) < 0 || strcmp(argv[3], "--") != 0) {
		(void)fprintf(stderr, "usage: cloche-relay SECONDS SESSION-FILE -- QEMU...\n");
		return 125;
	}
	(void)fcntl(VM_REPORT_FD, F_SETFD, FD_CLOEXEC);
	if (io_read_file(AT_FDCWD, argv[2], VM_SESSION_MAX, &session, NULL) < 0) {
		fail(errno, "reading the session");
	}
	open_signals();
	open_terminal();
	start_qemu(argv + 4);
	open_streams();
	vm_window_open(&relay.window, VM_LOOK_PATH);
	relay.deadline = relay.born + BOOT_SECONDS * UINT64_C(1000000);
	say(VM_SESSION, relay.pty, relay.pty ? terminal_size() : 0, session);
	carry();
}
