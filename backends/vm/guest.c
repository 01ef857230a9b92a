/*
 * cloche-guest: pid 1 of a guest. It makes the guest a place where the native backend can work
 * (modules, the host's files by 9p, /proc, /dev, control groups), starts the session with that very
 * backend, and carries bytes between it and the ports.
 *
 * All that it trusts came with the machine: the kernel, the initramfs, and the session's text, which
 * arrives before any byte of the session's runs. A session that breaks out of the native sandbox
 * owns this kernel and this process, and has QEMU's jail before it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "backends/door.h"
#include "backends/linux/landlock.h"
#include "backends/linux/launcher.h"
#include "backends/vm/flow.h"
#include "backends/vm/look.h"
#include "backends/vm/protocol.h"
#include "backends/vm/session.h"
#include "base/cleanup.h"
#include "base/io.h"

#define ROOT "/newroot"
#define PORT_WAIT_MS 60000

struct guest {
	int ports[VM_PORTS];
	struct sandbox *sandbox;
	struct vm_flow input, output, error;
	struct vm_look look;
	bool pty;
	bool input_known; /* where standard input ends */
	uint64_t input_total;
	bool said_end[3], said_exit;
	struct session_door door; /* of the session's sandbox */
	bool asking; /* for who is in it */
	uint8_t control[sizeof(struct vm_frame) + VM_SESSION_MAX];
	size_t control_used;
};

static struct guest guest = {.ports = {-1, -1, -1}, .look = {.output = -1}};

static void say_bytes(uint32_t type, uint64_t number, uint64_t more, const void *text, size_t size)
{
	struct vm_frame frame = {
		.type = type, .size = (uint32_t)size, .number = number, .more = more};
	uint8_t bytes[sizeof(frame) + VM_SEEN_CHUNK];

	memcpy(bytes, &frame, sizeof(frame));
	if (size) {
		memcpy(bytes + sizeof(frame), text, size);
	}
	(void)io_write_all(guest.ports[VM_PORT_CONTROL], bytes, sizeof(frame) + size);
}

static void say(uint32_t type, uint64_t number, uint64_t more, const char *text)
{
	say_bytes(type, number, more, text, text ? strnlen(text, VM_TEXT_MAX) : 0);
}

/* The relay ends the machine; pid 1 must not end before. */
static void stop(void) __attribute__((noreturn));
static void stop(void)
{
	for (;;) {
		(void)pause();
	}
}

static void fail(int code, const char *text) __attribute__((noreturn));
static void fail(int code, const char *text)
{
	if (guest.ports[VM_PORT_CONTROL] >= 0) {
		say(VM_FAILED, (uint64_t)(code > 0 ? code : EIO), 0, text);
		stop();
	}
	/* The machine ends with -no-reboot, and the relay has read this as its log's last line. */
	(void)dprintf(2, "cloche-guest: %s: %s\n", text, strerror(code));
	(void)reboot(RB_AUTOBOOT);
	stop();
}

static void attach(const char *type, const char *source, const char *target, unsigned long flags,
	const char *options)
{
	char text[160];

	(void)mkdir(target, 0755);
	if (mount(source, target, type, flags, options) < 0) {
		int code = errno;
		(void)snprintf(text, sizeof(text), "mounting %s on %s", type, target);
		fail(code, text);
	}
}

/* The kernel could not open it before there was a /dev: 0, 1 and 2 are nothing yet. */
static void open_console(void)
{
	int fd = 0;

	do {
		fd = open("/dev/console", O_RDWR);
	} while (fd >= 0 && fd < 2);
	if (fd > 2) {
		(void)close(fd);
	}
}

/* In the order of their numbers, which tools/make-guest has given them. */
static void load_modules(void)
{
	for (unsigned i = 10; i < 100; i++) {
		char path[32];
		(void)snprintf(path, sizeof(path), "/modules/%u.ko", i);
		cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0) {
			return;
		}
		if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST) {
			(void)dprintf(2, "cloche-guest: %s: %s\n", path, strerror(errno));
		}
	}
}

static void sleep_ms(long ms)
{
	struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	(void)nanosleep(&left, NULL);
}

/* The ports appear when the host has told the driver of them. */
static void open_ports(void)
{
	for (int i = 0; i < VM_PORTS; i++) {
		char path[32];
		(void)snprintf(path, sizeof(path), "/dev/vport0p%d", i + 1);
		for (int waited = 0; guest.ports[i] < 0 && waited < PORT_WAIT_MS; waited += 5) {
			guest.ports[i] = open(path, O_RDWR | O_CLOEXEC);
			if (guest.ports[i] < 0) {
				sleep_ms(5);
			}
		}
		if (guest.ports[i] < 0) {
			fail(ENODEV, path);
		}
	}
}

/* Reads what control has. The next whole frame is copied out; false: there is none yet. */
static bool next_frame(struct vm_frame *ret, char **ret_text)
{
	const uint8_t *text = NULL;
	ssize_t n = vm_frame_next(guest.control, guest.control_used, false, ret, &text);

	if (n < 0) {
		fail(EPROTO, "the host says something unexpected");
	}
	if (n == 0) {
		ssize_t got = read(guest.ports[VM_PORT_CONTROL], guest.control + guest.control_used,
			sizeof(guest.control) - guest.control_used);
		if (got > 0) {
			guest.control_used += (size_t)got;
			n = vm_frame_next(guest.control, guest.control_used, false, ret, &text);
		} else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
			stop();
		}
	}
	if (n <= 0) {
		return false;
	}
	if (ret_text) {
		*ret_text = strndup((const char *)text, ret->size);
	}
	guest.control_used -= (size_t)n;
	memmove(guest.control, guest.control + n, guest.control_used);
	return true;
}

/*
 * The writable places come by a mount of their own, in the order of the plan, each in a numbered
 * directory.
 */
static void attach_scopes(const struct plan *plan)
{
	unsigned number = 0;

	for (size_t i = 0; i < plan->mount_count; i++) {
		char from[32];
		char target[4200];
		if (!vm_session_is_scope(&plan->mounts[i])) {
			continue;
		}
		if (number == 0) {
			attach("9p", "scopes", "/scopes", MS_NOSUID | MS_NODEV,
				"trans=virtio,version=9p2000.L,msize=262144,access=any,cache=mmap");
		}
		(void)snprintf(from, sizeof(from), "/scopes/%u", number++);
		(void)snprintf(target, sizeof(target), ROOT "%s", plan->mounts[i].source);
		if (mount(from, target, NULL, MS_BIND, NULL) < 0) {
			fail(errno, "mounting a writable place");
		}
	}
}

/* Loose: files of the host that change meanwhile may be seen as they were. */
static void make_root(const struct plan *plan)
{
	attach("9p", "root", ROOT, MS_RDONLY | MS_NOSUID | MS_NODEV,
		"trans=virtio,version=9p2000.L,msize=262144,access=any,cache=loose");
	attach_scopes(plan);
	attach("proc", "proc", ROOT "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	attach("sysfs", "sysfs", ROOT "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	attach("cgroup2", "cgroup2", ROOT "/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	attach("devtmpfs", "dev", ROOT "/dev", MS_NOSUID, NULL);
	attach("devpts", "devpts", ROOT "/dev/pts", MS_NOSUID | MS_NOEXEC, "ptmxmode=0666");
	attach("tmpfs", "run", ROOT "/run", MS_NOSUID | MS_NODEV, "mode=0755,size=1m");
	/* pivot_root() does not work on an initramfs: what the sandbox will leave is above it. */
	if (chdir(ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
		chdir("/") < 0) {
		fail(errno, "changing to the host's files");
	}
}

static void compile(const char *text, struct plan **ret_plan, struct host *ret_host)
{
	struct vm_facts facts;
	struct spec spec;
	struct err err = {0};
	char digest[65];
	uint32_t without = 0;
	int abi = landlock_abi();
	int r = vm_session_parse(text, &spec, &facts, &without, digest, &err);

	if (r == 0) {
		r = vm_session_compile(&spec, &facts, without, ret_plan, &err);
		spec_fini(&spec);
	}
	if (r < 0) {
		fail(-r, err.msg);
	}
	vm_session_host(&facts, ret_host);
	if (abi != facts.landlock_abi) {
		fail(ENOTSUP, "the guest's Landlock is not what the plan was made for");
	}
	if (strcmp((*ret_plan)->digest, digest) != 0) {
		fail(EBADMSG, VM_OTHER_BUILD);
	}
}

static void make_pipe(int *ret_inner, int *ret_outer, bool inner_reads)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0) {
		fail(errno, "making a pipe");
	}
	*ret_inner = ends[!inner_reads];
	*ret_outer = ends[inner_reads];
}

static void start(const struct vm_frame *frame, const struct plan *plan, const struct host *host)
{
	struct sandbox_stdio io = {.fds = {-1, -1, -1}, .pty = frame->number & 1};
	int outer[3] = {-1, -1, -1};
	struct err err = {0};
	int r = 0;

	guest.pty = io.pty;
	vm_size_unpack(frame->more, &io.size);
	for (int i = 0; i < 3 && !io.pty; i++) {
		make_pipe(&io.fds[i], &outer[i], i == 0);
	}
	r = launcher_start(plan, host, &io, &guest.sandbox, &err);
	if (r < 0) {
		fail(-r, err.msg);
	}
	for (int i = 0; i < 3; i++) {
		close_fdp(&io.fds[i]);
	}
	if (io.pty) {
		outer[0] = outer[1] = take_fd(&guest.sandbox->pty);
	}
	door_open(&guest.door, &backend_native, guest.sandbox);
	r = vm_flow_init(&guest.input, guest.ports[VM_PORT_DATA], outer[0], VM_FLOW_OURS);
	r = r < 0 ? r
		  : vm_flow_init(&guest.output, outer[1], guest.ports[VM_PORT_DATA], VM_FLOW_OURS);
	r = r < 0 ? r
		  : vm_flow_init(&guest.error, outer[2], guest.ports[VM_PORT_ERROR], VM_FLOW_OURS);
	if (r < 0) {
		fail(-r, "setting up the streams");
	}
}

/* What cannot be started has written nothing. */
static void begin_look(char *words)
{
	if (!words || guest.look.output >= 0 || vm_look_start(words, &guest.look) < 0) {
		say(VM_SEEN, 1, 0, NULL);
	}
}

static void pass_seen(void)
{
	uint8_t text[VM_SEEN_CHUNK];
	size_t size = vm_look_read(&guest.look, text, sizeof(text));

	say_bytes(VM_SEEN, size == 0, 0, text, size);
}

/* Somebody in the sandbox asks why: the host knows the rest. */
static void pass_question(void)
{
	struct sandbox_usage usage = {0};

	if (guest.asking || !door_accept(&guest.door, io_now_usec())) {
		return;
	}
	guest.asking = true;
	launcher_usage(guest.sandbox, &usage);
	say(VM_WHY, usage.oom_kills & UINT32_MAX, usage.pids_refused & UINT32_MAX, NULL);
}

static void pass_because(const char *text)
{
	if (guest.asking) {
		guest.asking = false;
		door_tell(&guest.door, text ? text : "", text ? strlen(text) : 0);
	}
}

/* Until the next one may ask. */
static int wait_ms(void)
{
	uint64_t now = io_now_usec();
	uint64_t next = guest.asking ? UINT64_MAX : door_deadline(&guest.door, now);

	return next == UINT64_MAX ? -1 : next > now ? (int)((next - now) / 1000) + 1 : 0;
}

static void obey(void)
{
	struct vm_frame frame;
	struct winsize size;
	char *text = NULL;

	for (; next_frame(&frame, &text); free(take_ptr(&text))) {
		switch (frame.type) {
		case VM_LOOK:
			begin_look(text);
			break;
		case VM_BECAUSE:
			pass_because(text);
			break;
		case VM_SIGNAL:
			(void)launcher_signal(guest.sandbox, (int)frame.number);
			break;
		case VM_RESIZE:
			vm_size_unpack(frame.more, &size);
			if (guest.pty) {
				(void)ioctl(guest.output.from, TIOCSWINSZ, &size);
			}
			break;
		case VM_INPUT_END:
			guest.input_known = true;
			guest.input_total = frame.number;
			break;
		default:
			break;
		}
	}
}

static void end_input(void)
{
	if (!guest.pty && guest.input_known && guest.input.to >= 0 &&
		guest.input.given >= guest.input_total) {
		(void)close(guest.input.to);
		guest.input.to = -1;
		guest.input.broken = true;
	}
}

static void end_outputs(void)
{
	const struct vm_flow *const flows[] = {NULL, &guest.output, &guest.error};

	for (int i = 1; i < 3; i++) {
		if (!guest.said_end[i] && flows[i]->ended && vm_flow_is_empty(flows[i])) {
			say(VM_STREAM_END, (uint64_t)i, flows[i]->taken, NULL);
			guest.said_end[i] = true;
		}
	}
}

/* Once the command has ended and all it wrote is on its way, this is the last word. */
static void end_session(bool *ended, struct sandbox_exit *how)
{
	if (!*ended) {
		int r = launcher_poll_exit(guest.sandbox, how);
		if (r < 0) {
			*how = (struct sandbox_exit){.status = SIGKILL};
		}
		*ended = r != 0;
	}
	if (*ended && guest.said_end[1] && guest.said_end[2] && !guest.said_exit) {
		guest.said_exit = true;
		say(VM_EXITED, (uint64_t)how->status, 0, NULL);
		stop();
	}
}

static void carry(void) __attribute__((noreturn));
static void carry(void)
{
	struct sandbox_exit how = {0};
	bool ended = false;

	for (;;) {
		struct pollfd watch[10];
		vm_flow_watch(&guest.input, watch);
		vm_flow_watch(&guest.output, watch + 2);
		vm_flow_watch(&guest.error, watch + 4);
		watch[6] = (struct pollfd){.fd = guest.ports[VM_PORT_CONTROL], .events = POLLIN};
		watch[7] =
			(struct pollfd){.fd = ended ? -1 : guest.sandbox->event, .events = POLLIN};
		watch[8] = (struct pollfd){.fd = guest.look.output, .events = POLLIN};
		watch[9] = ended || guest.asking ? (struct pollfd){.fd = -1}
						 : door_poll(&guest.door, io_now_usec());
		if (poll(watch, ARRAY_SIZE(watch), ended ? -1 : wait_ms()) < 0 && errno != EINTR) {
			fail(errno, "waiting");
		}
		if (watch[9].revents) {
			pass_question();
		}
		if (watch[8].revents) {
			pass_seen();
		}
		if (watch[6].revents) {
			obey();
		}
		vm_flow_move(&guest.input, watch);
		vm_flow_move(&guest.output, watch + 2);
		vm_flow_move(&guest.error, watch + 4);
		end_input();
		end_outputs();
		end_session(&ended, &how);
	}
}

int main(void)
{
	struct vm_frame frame = {0};
	cleanup_free char *text = NULL;
	struct plan *plan = NULL;
	struct host host;

	(void)signal(SIGPIPE, SIG_IGN);
	attach("proc", "proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	attach("devtmpfs", "dev", "/dev", MS_NOSUID, NULL);
	open_console();
	load_modules();
	open_ports();
	say(VM_HELLO, 0, 0, NULL);
	while (!next_frame(&frame, &text)) {
	}
	if (frame.type != VM_SESSION || !text) {
		fail(EPROTO, "the host did not begin with a session");
	}
	if (io_set_nonblocking(guest.ports[VM_PORT_CONTROL], true) < 0) {
		fail(errno, "setting up the control port");
	}
	compile(text, &plan, &host);
	make_root(plan);
	start(&frame, plan, &host);
	say(VM_STARTED, 0, 0, NULL);
	carry();
}
