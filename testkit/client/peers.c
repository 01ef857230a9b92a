/*
 * Two sessions at once. One of them, the peer, is told to hold: a process of it keeps what another
 * session must not reach, and answers whoever gets through. The other tries each.
 *
 * The peer's memory is found at the same address in both, since the client is not moved about.
 */
#include "testkit/client/client.h"

#include <linux/mman.h>
#include <linux/in.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#define HIT_SIGNAL 12 /* SIGUSR2 */
#define TICK_NS 25000000

static char peer_token[32]; /* in the peer alone */
static char path_text[256];

static const char *name_of(const char *before, const char *after)
{
	return text_join(path_text, sizeof(path_text), before, job_text("peer"), after);
}

static const char *home(void)
{
	for (char **env = client_env; *env; env++) {
		if (text_starts(*env, "HOME=")) {
			return *env + 5;
		}
	}
	return "/nonexistent";
}

/* ---- the peer ---- */

static void leave_file(const char *before, const char *after)
{
	long fd = sys(SYS_openat, AT_FDCWD, name_of(before, after),
		O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd >= 0) {
		(void)sys(SYS_write, fd, peer_token, text_length(peer_token));
		(void)sys(SYS_fchmod, fd, 0644);
		(void)sys(SYS_close, fd);
	}
}

/* Who gets a signal says so in the one place the host always sees: its name. */
static void take_hit(int signo)
{
	(void)signo;
	(void)sys(SYS_prctl, 15 /* PR_SET_NAME */, name_of("h", ""), 0, 0, 0);
}

#if defined(__x86_64__)
/* What the kernel returns to when a handler ends. */
__asm__(".globl peer_restore\npeer_restore:\n	mov $15, %eax\n	syscall\n");
void peer_restore(void);
#define PEER_RESTORE ((long)(uintptr_t)peer_restore)
#else
#define PEER_RESTORE 0L
#endif

static void count_hits(void)
{
	/* handler, SA_RESTART | SA_RESTORER, restorer, mask */
	long action[4] = {(long)(uintptr_t)take_hit, 0x14000000, PEER_RESTORE, 0};

	(void)sys(SYS_rt_sigaction, HIT_SIGNAL, action, NULL, 8);
}

static long listen_at(const void *address, unsigned size)
{
	long fd = sys(SYS_socket, *(const unsigned short *)address, SOCK_STREAM | SOCK_CLOEXEC, 0);
	static const int one = 1;

	if (fd < 0) {
		return fd;
	}
	(void)sys(SYS_setsockopt, fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (sys(SYS_bind, fd, address, size) < 0 || sys(SYS_listen, fd, 8) < 0) {
		(void)sys(SYS_close, fd);
		return -1;
	}
	return fd;
}

static long listen_unix(const char *path, bool abstract)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char *end = address.sun_path + sizeof(address.sun_path);
	unsigned size =
		(unsigned)(text_add(address.sun_path + abstract, end, path) - (char *)&address) +
		!abstract;
	long fd = listen_at(&address, size);

	if (fd >= 0 && !abstract) {
		(void)sys(SYS_fchmodat, AT_FDCWD, path, 0666);
	}
	return fd;
}

static struct sockaddr_in loopback(void)
{
	uint64_t port = job_number("peer.port");
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = (uint16_t)((port & 0xff) << 8 | port >> 8)};

	address.sin_addr.s_addr = 0x0100007f;
	return address;
}

static void leave_queues(void)
{
	long key = (long)job_number("peer.key");
	long id = sys(SYS_shmget, key, 4096, 01666 /* IPC_CREAT */);
	long at = id < 0 ? id : sys(SYS_shmat, id, NULL, 0);
	struct {
		long type;
		char text[32];
	} message = {.type = 7};

	if (at >= 0 || at < -4095) {
		memcpy((char *)at, peer_token, sizeof(peer_token));
	}
	memcpy(message.text, peer_token, sizeof(message.text));
	id = sys(SYS_msgget, key, 01666);
	if (id >= 0) {
		(void)sys(SYS_msgsnd, id, &message, sizeof(message.text), 04000);
	}
	(void)sys(SYS_add_key, "user", job_text("peer"), peer_token, text_length(peer_token), -3);
}

/* Answers for ever: the process ends with the client, whose child it is. */
static void hold(long ready)
{
	struct sockaddr_in address = loopback();
	struct pollfd {
		int fd;
		short events, revents;
	} wait[3] = {{(int)listen_unix(name_of("peer-", ""), true), 1, 0},
		{(int)listen_unix(name_of("/tmp/.", ".sock"), false), 1, 0},
		{(int)listen_at(&address, sizeof(address)), 1, 0}};

	(void)sys(SYS_prctl, 1 /* PR_SET_PDEATHSIG */, 9, 0, 0, 0);
	(void)sys(SYS_prctl, 15 /* PR_SET_NAME */, name_of("p", ""), 0, 0, 0);
	(void)text_add(peer_token, peer_token + sizeof(peer_token), job_text("peer.token"));
	count_hits();
	leave_file("/tmp/.", ".fresh");
	leave_file("/var/tmp/.", ".fresh");
	leave_file("/dev/shm/.", ".fresh");
	(void)text_join(path_text, sizeof(path_text), home(), "/.", job_text("peer"));
	long fd = file_open(path_text, O_WRONLY | O_CREAT | O_EXCL);
	if (fd >= 0) {
		(void)sys(SYS_write, fd, peer_token, text_length(peer_token));
	}
	leave_queues();
	fd = file_open(client_path, O_RDONLY);
	(void)(fd >= 0 ? sys(SYS_flock, fd, 2 /* LOCK_EX */ | 4) : 0);
	channel_keep(peer_token);
	(void)sys(SYS_write, ready, "r", 1);
	for (;;) {
		long step[2] = {0, TICK_NS};
		(void)sys(SYS_ppoll, wait, 3, job_has("peer.shared") ? step : NULL, NULL, 0);
		if (job_has("peer.shared")) {
			channel_tick(peer_token);
		}
		for (int i = 0; i < 3; i++) {
			long peer = wait[i].fd >= 0 && wait[i].revents
				? sys(SYS_accept4, wait[i].fd, NULL, NULL, O_CLOEXEC)
				: -1;
			if (peer >= 0) {
				(void)sys(SYS_sendto, peer, peer_token, text_length(peer_token),
					0x4000, NULL, 0);
				(void)sys(SYS_close, peer);
			}
		}
	}
}

void peer_start(void)
{
	int ends[2] = {-1, -1};
	char byte = 0;

	if (sys(SYS_pipe2, ends, O_CLOEXEC) < 0) {
		return;
	}
	if (process_fork() == 0) {
		hold(ends[1]);
	}
	(void)sys(SYS_close, ends[1]);
	(void)sys(SYS_read, ends[0], &byte, 1);
	(void)sys(SYS_close, ends[0]);
}

/* ---- who tries ---- */

static void bring(struct result *result, const char *path)
{
	char text[64];
	long n = job_has("peer") ? file_read(path, text, sizeof(text)) : -ENOENT;

	if (n < 0) {
		result_from(result, n);
		return;
	}
	result_done_bytes(result, text, (size_t)n);
}

static void peer_tmp(struct result *result)
{
	bring(result, name_of("/tmp/.", ".fresh"));
}

static void peer_vartmp(struct result *result)
{
	bring(result, name_of("/var/tmp/.", ".fresh"));
}

static void peer_shm_file(struct result *result)
{
	bring(result, name_of("/dev/shm/.", ".fresh"));
}

static void peer_home(struct result *result)
{
	bring(result, text_join(path_text, sizeof(path_text), home(), "/.", job_text("peer")));
}

static const char *peer_file(const char *name)
{
	return text_join(path_text, sizeof(path_text), "/proc/", job_text("peer.pid"), name);
}

static void peer_see(struct result *result)
{
	char name[32];
	long n = file_read(peer_file("/comm"), name, sizeof(name));

	if (n <= 0) {
		result_from(result, n < 0 ? n : -ENOENT);
		return;
	}
	result_done_bytes(result, name, (size_t)n - 1);
}

static void peer_root(struct result *result)
{
	static char inner[128];

	(void)text_join(inner, sizeof(inner), "/root/tmp/.", job_text("peer"), ".fresh");
	bring(result, peer_file(inner));
}

static void peer_signal(struct result *result)
{
	if (job_number("peer.pid") == 0) {
		result_absent(result, 0); /* nobody knows its number, and 0 is ourselves */
		return;
	}
	result_from(result, sys(SYS_kill, job_number("peer.pid"), HIT_SIGNAL));
	pause_ms(5); /* for it to say so */
}

static void from_memory(struct result *result, long n, const char *text)
{
	if (n < 0) {
		result_from(result, n);
		return;
	}
	result_done(result, text);
}

static void peer_memory(struct result *result)
{
	char text[sizeof(peer_token)] = "";
	struct iovec local = {text, sizeof(text) - 1};
	struct iovec remote = {peer_token, sizeof(text) - 1};

	from_memory(result,
		sys(SYS_process_vm_readv, job_number("peer.pid"), &local, 1, &remote, 1, 0), text);
}

static void peer_trace(struct result *result)
{
	char text[sizeof(peer_token)] = "";
	long pid = (long)job_number("peer.pid");
	long r = sys(SYS_ptrace, 0x4206 /* SEIZE */, pid, 0, 0);
	long fd = r < 0 ? r : file_open(peer_file("/mem"), O_RDONLY);

	r = fd < 0 ? fd : sys(SYS_pread64, fd, text, sizeof(text) - 1, (long)(uintptr_t)peer_token);
	from_memory(result, r, text);
}

static void exchange(struct result *result, const void *address, unsigned size)
{
	char text[64];
	long wait[2] = {0, 250000};
	long fd = sys(SYS_socket, *(const unsigned short *)address, SOCK_STREAM, 0);
	long n = fd < 0 ? fd : sys(SYS_connect, fd, address, size);

	if (n >= 0) {
		(void)sys(SYS_setsockopt, fd, SOL_SOCKET, SO_RCVTIMEO, wait, sizeof(wait));
		n = sys(SYS_recvfrom, fd, text, sizeof(text), 0, NULL, NULL);
	}
	if (n < 0) {
		result_from(result, n);
		return;
	}
	result_done_bytes(result, text, (size_t)n);
}

static void peer_tcp(struct result *result)
{
	struct sockaddr_in address = loopback();

	exchange(result, &address, sizeof(address));
}

static void to_unix(struct result *result, const char *path, bool abstract)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char *end = address.sun_path + sizeof(address.sun_path);
	char *at = text_add(address.sun_path + abstract, end, path);

	exchange(result, &address, (unsigned)(at - (char *)&address) + !abstract);
}

static void peer_abstract(struct result *result)
{
	to_unix(result, name_of("peer-", ""), true);
}

static void peer_path(struct result *result)
{
	to_unix(result, name_of("/tmp/.", ".sock"), false);
}

static void peer_shm(struct result *result)
{
	long id = sys(SYS_shmget, job_number("peer.key"), 0, 0);
	long at = id < 0 ? id : sys(SYS_shmat, id, NULL, 010000 /* SHM_RDONLY */);

	if (at < 0 && at > -4096) {
		result_from(result, at);
		return;
	}
	result_done(result, (const char *)at);
}

static void peer_message(struct result *result)
{
	struct {
		long type;
		char text[32];
	} message = {0};
	long id = sys(SYS_msgget, job_number("peer.key"), 0);
	long n = id < 0
		? id
		: sys(SYS_msgrcv, id, &message, sizeof(message.text), 0, 04000 /* NOWAIT */);

	from_memory(result, n, message.text);
}

static void peer_keyring(struct result *result)
{
	char payload[64] = "";
	long key = sys(SYS_keyctl, 10 /* SEARCH */, -3L, "user", job_text("peer"), 0);
	long n = key < 0 ? key : sys(SYS_keyctl, 11 /* READ */, key, payload, sizeof(payload) - 1);

	from_memory(result, n, payload);
}

/* Both have the same program; a lock on it is a bit that one can send to the other. */
static void peer_lock(struct result *result)
{
	long fd = file_open(client_path, O_RDONLY);
	long r = fd < 0 ? fd : sys(SYS_flock, fd, 2 | 4);

	if (r == -EAGAIN) {
		result_done(result, "");
		return;
	}
	result_from(result, r < 0 ? r : -ENOENT);
}

const struct client_probe probes_peers[] = {
	{"C.see", peer_see},
	{"C.tmp", peer_tmp},
	{"C.vartmp", peer_vartmp},
	{"C.shm-file", peer_shm_file},
	{"C.home", peer_home},
	{"C.root", peer_root},
	{"C.memory", peer_memory},
	{"C.trace", peer_trace},
	{"C.tcp", peer_tcp},
	{"C.unix-abstract", peer_abstract},
	{"C.unix-path", peer_path},
	{"C.sysv", peer_shm},
	{"C.message", peer_message},
	{"C.key", peer_keyring},
	{"C.lock", peer_lock},
	{"C.signal", peer_signal},
	{NULL, NULL},
};
