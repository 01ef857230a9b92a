/*
 * What two sessions share without meaning to: locks on a file, events of it, quotas of a user,
 * processors, a terminal's number; and what an ended session leaves running. One half is kept by the
 * other session (see peers.c) or planted by the one before, the other half is a probe.
 *
 * The two channels carry the 64 bits of the peer's token without any clock: each lock is a bit at a
 * place of its own, and each open of the file with or without a read is one.
 */
#include "testkit/client/client.h"

#include <sched.h>
#include <sys/stat.h>

#define BITS 64
#define LOCK_PLACE (INT64_C(1) << 40) /* far behind the end: in nobody's way */
#define OFD_GETLK 36
#define OFD_SETLK 37
#define OPENED 0x20
#define READ 0x1
#define CLOSED 0x10
#define QUOTA_SIGNAL 40
#define QUOTA_HELD 48 /* signals that the other session keeps waiting */
#define QUOTA_ALLOWED 24
#define LOAD_BYTES (4U << 20)
#define DAEMON_MS 90000 /* at most, should nobody end it */

static char name_text[64];

/* ---- what the other session does ---- */

static bool bit_of(const char *token, unsigned i)
{
	char digit = token[i / 4];
	unsigned value = (unsigned)(digit >= 'a' ? digit - 'a' + 10 : digit - '0');

	return value >> (3 - i % 4) & 1;
}

static void lock_bits(long fd, const char *token)
{
	for (unsigned i = 0; i < BITS; i++) {
		struct flock lock = {.l_type = F_RDLCK, .l_start = LOCK_PLACE + i, .l_len = 1};
		if (bit_of(token, i)) {
			(void)sys(SYS_fcntl, fd, OFD_SETLK, &lock);
		}
	}
}

static void send_bit(const char *path, bool bit)
{
	char byte = 0;
	long fd = file_open(path, O_RDONLY);

	(void)(bit ? sys(SYS_read, fd, &byte, 1) : 0);
	(void)sys(SYS_close, fd);
}

/* Opened twice before it is closed: here a token begins. */
static void send_begin(const char *path)
{
	char byte = 0;
	long one = file_open(path, O_RDONLY);

	(void)sys(SYS_read, one, &byte, 1);
	long other = file_open(path, O_RDONLY);
	(void)sys(SYS_close, one);
	(void)sys(SYS_close, other);
}

void channel_tick(const char *token)
{
	const char *path = job_text("peer.shared");

	send_begin(path);
	for (unsigned i = 0; i < BITS; i++) {
		send_bit(path, bit_of(token, i));
	}
}

/* Signals that wait count against the user's quota as long as they do. */
static long queue_signal(void)
{
	uint8_t info[128] = {0};
	long pid = sys(SYS_getpid);

	info[0] = QUOTA_SIGNAL;
	info[8] = 0xff; /* si_code: SI_QUEUE, which is -1 */
	info[9] = info[10] = info[11] = 0xff;
	return sys(SYS_rt_sigqueueinfo, pid, QUOTA_SIGNAL, info);
}

static void block_quota_signal(void)
{
	uint64_t mask = UINT64_C(1) << (QUOTA_SIGNAL - 1);

	(void)sys(SYS_rt_sigprocmask, 0 /* SIG_BLOCK */, &mask, NULL, 8);
}

/* A terminal with the token waiting in it; whoever looks for it finds it in our descriptors. */
static void make_terminal(const char *token)
{
	uint32_t termios[16] = {0};
	int unlock = 0;
	long master = file_open("/dev/ptmx", O_RDWR | O_NOCTTY);

	if (master < 0 || sys(SYS_ioctl, master, 0x40045431 /* TIOCSPTLCK */, &unlock) < 0) {
		return;
	}
	(void)sys(SYS_ioctl, master, 0x5441 /* TIOCGPTPEER */, O_RDWR | O_NOCTTY);
	if (sys(SYS_ioctl, master, 0x5401 /* TCGETS */, termios) == 0) {
		termios[3] &= ~0xaU; /* ICANON, ECHO */
		(void)sys(SYS_ioctl, master, 0x5402 /* TCSETS */, termios);
	}
	(void)sys(SYS_write, master, token, text_length(token));
}

void channel_keep(const char *token)
{
	long fd = job_has("peer.shared") ? file_open(job_text("peer.shared"), O_RDONLY) : -1;

	if (fd >= 0) {
		lock_bits(fd, token);
	}
	block_quota_signal();
	for (int i = 0; i < QUOTA_HELD; i++) {
		(void)queue_signal();
	}
	make_terminal(token);
}

__attribute__((noreturn)) static void be_busy(unsigned wait, uint64_t last)
{
	static volatile char memory[LOAD_BYTES];
	uint64_t until = now_ms() + wait + last;

	(void)sys(SYS_prctl, 1 /* PR_SET_PDEATHSIG */, 9, 0, 0, 0);
	pause_ms(wait);
	for (uint32_t at = 0; now_ms() < until; at = (at + 4096) % LOAD_BYTES) {
		memory[at]++;
	}
	process_exit(0);
}

void channel_load(const char *text)
{
	uint64_t wait = text_number(text, &text);
	uint64_t last = text_number(*text ? text + 1 : text, NULL);

	for (uint64_t i = job_number("budget.spinners"); i > 0; i--) {
		if (process_fork() == 0) {
			be_busy((unsigned)wait, last);
		}
	}
}

/* ---- who tries ---- */

/* Does it read what was locked? Asking needs no right to write. */
static void read_locks(struct result *result)
{
	static const char digits[] = "0123456789abcdef";
	char token[BITS / 4 + 1] = "";
	long fd = job_has("peer.shared") ? file_open(job_text("peer.shared"), O_RDONLY) : -ENOENT;
	unsigned set = 0;

	for (unsigned i = 0, value = 0; fd >= 0 && i < BITS; i++) {
		struct flock lock = {.l_type = F_WRLCK, .l_start = LOCK_PLACE + i, .l_len = 1};
		long r = sys(SYS_fcntl, fd, OFD_GETLK, &lock);
		if (r < 0) {
			fd = r;
			break;
		}
		value = value << 1 | (lock.l_type != F_UNLCK);
		set += lock.l_type != F_UNLCK;
		token[i / 4] = digits[value & 15];
	}
	if (fd < 0 || set == 0) {
		result_from(result, fd < 0 ? fd : -ENOMSG);
		return;
	}
	result_done(result, token);
}

/* Takes events until a whole token was there. */
struct receiver {
	bool open, begun, read, begin;
	unsigned count;
	uint64_t bits;
};

static void take_event(struct receiver *receiver, uint32_t mask)
{
	if (mask & OPENED) {
		receiver->begin = receiver->open; /* once more, before it was closed */
		receiver->open = true;
		receiver->read = false;
	}
	if (mask & READ) {
		receiver->read = true;
	}
	if (!(mask & CLOSED) || !receiver->open) {
		return;
	}
	receiver->open = false;
	if (receiver->begin) {
		receiver->begin = false;
		receiver->begun = true;
		receiver->count = 0;
		receiver->bits = 0;
	} else if (receiver->begun && receiver->count < BITS) {
		receiver->bits = receiver->bits << 1 | receiver->read;
		receiver->count++;
	}
}

static void receive(struct receiver *receiver, long fd, unsigned ms)
{
	static char events[4096];
	uint64_t until = now_ms() + ms;

	while (receiver->count < BITS && now_ms() < until) {
		long n = sys(SYS_read, fd, events, sizeof(events));
		if (n <= 0) {
			pause_ms(2);
		}
		/* wd, mask, cookie, length of a name */
		for (long at = 0; at + 16 <= n && receiver->count < BITS;) {
			uint32_t event[4];
			memcpy(event, events + at, sizeof(event));
			take_event(receiver, event[1]);
			at += 16 + (long)event[3];
		}
	}
}

static void read_events(struct result *result)
{
	static const char digits[] = "0123456789abcdef";
	struct receiver receiver = {0};
	char token[BITS / 4 + 1] = "";
	long fd = job_has("peer.shared") ? sys(SYS_inotify_init1, O_CLOEXEC | O_NONBLOCK) : -ENOENT;
	long r = fd < 0
		? fd
		: sys(SYS_inotify_add_watch, fd, job_text("peer.shared"), OPENED | READ | CLOSED);

	if (r < 0) {
		result_from(result, r);
		return;
	}
	receive(&receiver, fd, 1500);
	if (receiver.count < BITS) {
		result_from(result, -ENOMSG);
		return;
	}
	for (unsigned i = 0; i < BITS / 4; i++) {
		token[i] = digits[receiver.bits >> (BITS - 4 - 4 * i) & 15];
	}
	result_done(result, token);
}

/* With a limit below what the other session holds: is there room for one of ours? */
static void share_quota(struct result *result)
{
	uint64_t limit[2] = {QUOTA_ALLOWED, QUOTA_ALLOWED};

	if (!job_has("peer")) {
		result_absent(result, 0);
		return;
	}
	block_quota_signal();
	long r = sys(SYS_prlimit64, 0, 11 /* RLIMIT_SIGPENDING */, limit, NULL);
	r = r < 0 ? r : queue_signal();
	if (r == -EAGAIN) {
		result_done(result, "");
		return;
	}
	result_from(result, r < 0 ? r : -ENOMSG);
}

/* Only if it is the very terminal of the peer's: any other may be somebody's. */
static void read_terminal(struct result *result)
{
	const char *path = job_text("peer.pts");
	char text[64];
	struct stat info;
	long r = 0;

	if (!job_has("peer.pts")) {
		result_absent(result, 0);
		return;
	}
	r = sys(SYS_newfstatat, AT_FDCWD, path, &info, 0);
	if (r == 0 &&
		(info.st_dev != job_number("peer.pts.device") ||
			info.st_ino != job_number("peer.pts.inode"))) {
		r = -ENXIO;
	}
	r = r < 0 ? r : file_open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK);
	r = r < 0 ? r : sys(SYS_read, r, text, sizeof(text));
	if (r < 0) {
		result_from(result, r);
		return;
	}
	result_done_bytes(result, text, (size_t)r);
}

/* A file that the other session has open: changed under its hands? */
static void change_shared(struct result *result)
{
	const char *path = job_text("peer.shared");
	const char *text = mark("C.ld-cache");
	char own[48] = "/proc/self/fd/";
	long fd = job_has("peer.shared") ? file_open(path, O_RDWR) : -ENOENT;

	if (fd < 0 && job_has("peer.shared")) {
		long reader = file_open(path, O_RDONLY);
		(void)text_add_number(own + text_length(own), own + sizeof(own),
			(uint64_t)(reader < 0 ? 0 : reader));
		long again = reader < 0 ? fd : file_open(own, O_RDWR);
		fd = again < 0 ? fd : again;
	}
	result_from(result, fd < 0 ? fd : sys(SYS_write, fd, text, text_length(text)));
}

static uint64_t now_usec(void)
{
	long time[2] = {0, 0};

	(void)sys(SYS_clock_gettime, 1 /* MONOTONIC */, time);
	return (uint64_t)time[0] * 1000000 + (uint64_t)time[1] / 1000;
}

/* The longest that ten milliseconds and a fresh MiB took, in microseconds. */
static void measure_noise(uint64_t ms, uint64_t ret[2])
{
	uint64_t until = now_ms() + ms;

	while (now_ms() < until) {
		uint64_t began = now_usec();
		pause_ms(10);
		uint64_t took = now_usec() - began;
		ret[0] = took > ret[0] ? took : ret[0];
		began = now_usec();
		long at = sys(SYS_mmap, NULL, 1 << 20, 3 /* READ | WRITE */,
			0x22 /* PRIVATE | ANONYMOUS */, -1, 0);
		for (long i = 0; (at > 0 || at < -4095) && i < 1 << 20; i += 4096) {
			((volatile char *)at)[i] = 1;
		}
		took = now_usec() - began;
		ret[1] = took > ret[1] ? took : ret[1];
		(void)sys(SYS_munmap, at, 1 << 20);
	}
}

/* The host has the other session be busy from 60 ms after this has begun. */
static void feel_load(struct result *result)
{
	uint64_t alone[2] = {0};
	uint64_t beside[2] = {0};

	if (!job_has("peer")) {
		result_absent(result, 0);
		return;
	}
	measure_noise(50, alone);
	pause_ms(20);
	measure_noise(80, beside);
	result_done(result, "");
	for (int i = 0; i < 4; i++) {
		result_add(result, i ? " " : "");
		result_add_number(result, i < 2 ? alone[i] : beside[i - 2]);
	}
}

/* ---- what an ended session leaves ---- */

static const char *daemon_name(void)
{
	return text_join(name_text, sizeof(name_text), "s", job_text("fresh"), "");
}

/* Lets go of all, holds a lock, and stays: at most for a while, should nobody end it. */
__attribute__((noreturn)) static void be_daemon(void)
{
	(void)sys(SYS_setsid);
	if (process_fork() != 0) {
		process_exit(0);
	}
	(void)sys(SYS_prctl, 15 /* PR_SET_NAME */, daemon_name(), 0, 0, 0);
	(void)sys(SYS_close_range, 0, 0x7fffffff, 0);
	long fd = file_open(job_text("fresh.shared"), O_RDONLY);
	(void)(fd >= 0 ? sys(SYS_flock, fd, 2 /* LOCK_EX */ | 4) : 0);
	pause_ms(DAEMON_MS);
	process_exit(0);
}

static void leave_process(struct result *result)
{
	char text[32];
	char path[48];
	long n = 0;

	if (job_number("plant")) {
		long pid = process_fork();
		if (pid == 0) {
			be_daemon();
		}
		(void)(pid > 0 ? process_wait(pid) : 0);
		pause_ms(5); /* for it to take its name */
		result_from(result, pid);
		return;
	}
	n = job_number("fresh.pid")
		? file_read(text_join(path, sizeof(path), "/proc/", job_text("fresh.pid"), "/comm"),
			  text, sizeof(text))
		: -ESRCH;
	if (n <= 0) {
		result_from(result, n < 0 ? n : -ESRCH);
		return;
	}
	result_done_bytes(result, text, (size_t)n);
}

static void leave_lock(struct result *result)
{
	long fd = file_open(job_text("fresh.shared"), O_RDONLY);
	long r = fd < 0 ? fd : sys(SYS_flock, fd, 2 | 4);

	if (job_number("plant")) {
		result_from(result, fd < 0 ? fd : 0); /* held by what S.process has left */
		return;
	}
	if (r == -EAGAIN) {
		result_done(result, "");
		return;
	}
	result_from(result, r < 0 ? r : -ENOLCK);
}

static void leave_queue(struct result *result)
{
	static char text[8192];
	long attributes[8] = {0, 2, 64, 0};
	const char *token = job_text("fresh.token");
	bool plant = job_number("plant");
	long fd = sys(SYS_mq_open, job_text("fresh"),
		O_NONBLOCK | (plant ? O_RDWR | O_CREAT : O_RDONLY), 0644, attributes);
	long n = fd;

	if (plant) {
		n = fd < 0 ? fd : sys(SYS_mq_timedsend, fd, token, text_length(token), 0, NULL);
	} else if (fd >= 0) {
		n = sys(SYS_mq_timedreceive, fd, text, sizeof(text), NULL, NULL);
	}
	if (n < 0 || plant) {
		result_from(result, n);
		return;
	}
	result_done_bytes(result, text, (size_t)n);
}

const struct client_probe probes_channels[] = {
	{"C.lock-channel", read_locks},
	{"C.inotify-channel", read_events},
	{"C.quota", share_quota},
	{"C.pty", read_terminal},
	{"C.ld-cache", change_shared},
	{"C.cpu-mem", feel_load},
	{"S.process", leave_process},
	{"S.lock", leave_lock},
	{"S.queue", leave_queue},
	{NULL, NULL},
};
