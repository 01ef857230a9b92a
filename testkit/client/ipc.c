/*
 * Probes of what processes share without files: System V and POSIX queues and memory, sockets,
 * keyrings. The objects are the host's own canaries, found by key, name or path told on stdin.
 */
#include "testkit/client/client.h"

#include <linux/ipc.h>
#include <linux/mqueue.h>
#include <linux/msg.h>
#include <linux/sem.h>
#include <linux/un.h>
#include <sys/socket.h>

static void done_text(struct result *result, long n, const char *text, size_t size)
{
	if (n < 0) {
		result_from(result, n);
		return;
	}
	result_done_bytes(result, text, size < text_length(text) ? size : text_length(text));
}

static void ipc_shm(struct result *result)
{
	long id = sys(SYS_shmget, job_number("shm"), 0, 0);
	long at = id < 0 ? id : sys(SYS_shmat, id, NULL, 010000 /* SHM_RDONLY */);

	if (at < 0 && at > -4096) {
		result_from(result, at);
		return;
	}
	done_text(result, 0, (const char *)at, 32);
}

static void ipc_shm_write(struct result *result)
{
	long id = sys(SYS_shmget, job_number("shm"), 0, 0);
	long at = id < 0 ? id : sys(SYS_shmat, id, NULL, 0);
	const char *text = mark("I.shm-write");

	if (at < 0 && at > -4096) {
		result_from(result, at);
		return;
	}
	memcpy((char *)at + 64, text, text_length(text) + 1);
	result_done(result, "");
}

struct message {
	long type;
	char text[64];
};

static void ipc_msg(struct result *result)
{
	struct message message = {.type = 7};
	long id = sys(SYS_msgget, job_number("msg"), 0);
	const char *text = mark("I.msg");

	memcpy(message.text, text, text_length(text) + 1);
	result_from(result,
		id < 0 ? id
		       : sys(SYS_msgsnd, id, &message, sizeof(message.text), 04000 /* NOWAIT */));
}

static void ipc_sem(struct result *result)
{
	struct sembuf operation = {.sem_num = 0, .sem_op = 1, .sem_flg = 04000};
	long id = sys(SYS_semget, job_number("sem"), 0, 0);

	result_from(result, id < 0 ? id : sys(SYS_semtimedop, id, &operation, 1, NULL));
}

static void ipc_mq(struct result *result)
{
	const char *text = mark("I.mq");
	long fd = sys(SYS_mq_open, job_text("mq"), O_WRONLY | O_NONBLOCK, 0, NULL);

	result_from(
		result, fd < 0 ? fd : sys(SYS_mq_timedsend, fd, text, text_length(text), 0, NULL));
}

static unsigned unix_address(struct sockaddr_un *address, const char *path, bool abstract)
{
	unsigned offset = offsetof(struct sockaddr_un, sun_path) + (abstract ? 1 : 0);
	char *at = (char *)address + offset;
	char *end = address->sun_path + sizeof(address->sun_path);

	address->sun_family = AF_UNIX;
	return (unsigned)(text_add(at, end, path) - (char *)address) + (abstract ? 0 : 1);
}

void unix_exchange(struct result *result, const char *path, bool abstract, const char *id)
{
	struct sockaddr_un address = {0};
	unsigned size = unix_address(&address, path, abstract);
	long wait[2] = {0, 250000};
	long fd = sys(SYS_socket, AF_UNIX, SOCK_STREAM, 0);
	char answer[64];
	char line[80];
	long n = fd < 0 ? fd : sys(SYS_connect, fd, &address, size);

	if (n >= 0) {
		(void)sys(SYS_setsockopt, fd, SOL_SOCKET, SO_RCVTIMEO, wait, sizeof(wait));
		(void)text_join(line, sizeof(line), mark(id), "\n", "");
		n = sys(SYS_sendto, fd, line, text_length(line), 0x4000, NULL, 0);
	}
	if (n >= 0) {
		n = sys(SYS_recvfrom, fd, answer, sizeof(answer), 0, NULL, NULL);
	}
	if (n < 0) {
		result_from(result, n);
		return;
	}
	result_done_bytes(result, answer, (size_t)n);
}

static void unix_datagram(struct result *result, const char *path, bool abstract, const char *id)
{
	struct sockaddr_un address = {0};
	unsigned size = unix_address(&address, path, abstract);
	long fd = sys(SYS_socket, AF_UNIX, SOCK_DGRAM, 0);
	const char *text = mark(id);

	result_from(result,
		fd < 0 ? fd : sys(SYS_sendto, fd, text, text_length(text), 0x4040, &address, size));
}

static void ipc_unix_path(struct result *result)
{
	unix_exchange(result, job_text("unix.path"), false, "I.unix-path");
}

static void ipc_unix_tmp(struct result *result)
{
	unix_exchange(result, job_text("unix.tmp"), false, "I.unix-tmp");
}

static void ipc_unix_abstract(struct result *result)
{
	unix_exchange(result, job_text("unix.abstract"), true, "I.unix-abstract");
}

static void ipc_unix_datagram(struct result *result)
{
	unix_datagram(result, job_text("unix.datagram"), false, "I.unix-datagram");
}

static void ipc_unix_abstract_datagram(struct result *result)
{
	unix_datagram(result, job_text("unix.abstract.datagram"), true, "I.unix-abstract-datagram");
}

static void ipc_shm_file(struct result *result)
{
	char path[96];
	char text[64];
	long n = file_read(text_join(path, sizeof(path), "/dev/shm/", job_text("pshm"), ""), text,
		sizeof(text));

	done_text(result, n, text, sizeof(text));
}

/* Looks for the canary key below one of the special keyrings (session -3, user -4) and reads it. */
static void read_key(struct result *result, long keyring)
{
	char payload[64] = "";
	long key = sys(SYS_keyctl, 10 /* SEARCH */, keyring, "user", job_text("key"), 0);
	long n = key < 0 ? key : sys(SYS_keyctl, 11 /* READ */, key, payload, sizeof(payload) - 1);

	done_text(result, n, payload, sizeof(payload));
}

static void ipc_key_session(struct result *result)
{
	read_key(result, -3);
}

static void ipc_key_number(struct result *result)
{
	char payload[64] = "";
	long n = sys(SYS_keyctl, 11, job_number("key.number"), payload, sizeof(payload) - 1);

	done_text(result, n, payload, sizeof(payload));
}

static void ipc_key_list(struct result *result)
{
	static char table[65536];
	long n = file_read("/proc/keys", table, sizeof(table));

	if (n >= 0 && text_find(table, (size_t)n, job_text("key"))) {
		result_done(result, "listed");
		return;
	}
	result_from(result, n < 0 ? n : -ENOENT);
}

static void ipc_sysv_list(struct result *result)
{
	static char table[65536];
	char key[24];
	long n = file_read("/proc/sysvipc/shm", table, sizeof(table));

	(void)text_add_number(key, key + sizeof(key), job_number("shm"));
	if (n >= 0 && text_find(table, (size_t)n, key)) {
		result_done(result, "listed");
		return;
	}
	result_from(result, n < 0 ? n : -ENOENT);
}

/* A key in our own session keyring, which the next session looks for. */
static void fresh_key(struct result *result)
{
	char payload[64] = "";
	const char *name = job_text("fresh");
	const char *token = job_text("fresh.token");
	long n = 0;

	if (job_number("plant")) {
		result_from(result, sys(SYS_add_key, "user", name, token, text_length(token), -3));
		return;
	}
	n = sys(SYS_keyctl, 10, -3, "user", name, 0);
	n = n < 0 ? n : sys(SYS_keyctl, 11, n, payload, sizeof(payload) - 1);
	done_text(result, n, payload, sizeof(payload));
}

/* A System V segment that outlives its maker. */
static void fresh_sysv(struct result *result)
{
	long id = sys(SYS_shmget, job_number("fresh.shm"), job_number("plant") ? 4096 : 0,
		job_number("plant") ? 01666 /* IPC_CREAT */ : 0);
	long at = id < 0 ? id : sys(SYS_shmat, id, NULL, 0);
	const char *token = job_text("fresh.token");

	if (at < 0 && at > -4096) {
		result_from(result, at);
		return;
	}
	if (job_number("plant")) {
		memcpy((char *)at, token, text_length(token) + 1);
		result_done(result, "");
		return;
	}
	done_text(result, 0, (const char *)at, 64);
}

const struct client_probe probes_ipc[] = {
	{"I.shm", ipc_shm},
	{"I.shm-write", ipc_shm_write},
	{"I.msg", ipc_msg},
	{"I.sem", ipc_sem},
	{"I.mq", ipc_mq},
	{"I.unix-path", ipc_unix_path},
	{"I.unix-tmp", ipc_unix_tmp},
	{"I.unix-abstract", ipc_unix_abstract},
	{"I.unix-datagram", ipc_unix_datagram},
	{"I.unix-abstract-datagram", ipc_unix_abstract_datagram},
	{"I.shm-file", ipc_shm_file},
	{"I.key-session", ipc_key_session},
	{"I.key-number", ipc_key_number},
	{"I.key-list", ipc_key_list},
	{"I.sysv-list", ipc_sysv_list},
	{"S.key", fresh_key},
	{"S.sysv", fresh_sysv},
	{NULL, NULL},
};
