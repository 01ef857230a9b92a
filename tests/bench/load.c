/*
 * A light client, so that what is measured is the server: one process a worker, TCP_NODELAY, no
 * agent, no configuration files, curve25519 with whatever server.
 *
 *	load -p PORT -u USER -i KEY [-n COUNT] [-P PARALLEL] [-c COMMAND] [--cipher NAME]
 *	     [--bytes N] [--tsv] connect|exec|idle|up|down
 *
 * connect	COUNT times: connect, log in, run COMMAND, disconnect
 * exec		COUNT times: run COMMAND on the worker's open connection
 * idle		opens COUNT sessions running COMMAND (cat), says so, holds them until its input ends
 * up, down	COUNT times: BYTES to "cat >/dev/null", or from "head -c BYTES /dev/zero"
 *
 * Prints one JSON object; with --tsv before it one line a try: microseconds of TCP and key exchange,
 * login, session, and in all.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <libssh/libssh.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/parse.h"

#define CHUNK 131032
#define TIMEOUT_SECONDS 60L

/* One try, in microseconds, as a worker sends it to its parent in one write. */
struct record {
	uint64_t kex, login, session, total, bytes;
};

static struct {
	const char *host, *user, *key_file, *command, *cipher, *mode;
	uint64_t port, count, parallel, bytes;
	bool tsv;
} load = {.host = "127.0.0.1", .count = 1, .parallel = 1, .bytes = 256 << 20};

static ssh_key key;

static void fail(const char *what, ssh_session session)
{
	fprintf(stderr, "load: %s: %s\n", what, session ? ssh_get_error(session) : strerror(errno));
	exit(1);
}

static int dial(void)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)load.port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const int on = 1;

	if (fd < 0 || inet_pton(AF_INET, load.host, &address.sin_addr) != 1 ||
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
		connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		fail("connecting", NULL);
	}
	return fd;
}

static ssh_session make_session(int fd)
{
	ssh_session session = ssh_new();
	const bool no = false;
	const long timeout = TIMEOUT_SECONDS;

	if (!session) {
		fail("no memory", NULL);
	}
	(void)ssh_options_set(session, SSH_OPTIONS_PROCESS_CONFIG, &no);
	(void)ssh_options_set(session, SSH_OPTIONS_HOST, load.host);
	(void)ssh_options_set(session, SSH_OPTIONS_USER, load.user);
	(void)ssh_options_set(session, SSH_OPTIONS_FD, &fd);
	(void)ssh_options_set(session, SSH_OPTIONS_TIMEOUT, &timeout);
	(void)ssh_options_set(session, SSH_OPTIONS_KEY_EXCHANGE,
		"curve25519-sha256,curve25519-sha256@libssh.org");
	if (load.cipher &&
		(ssh_options_set(session, SSH_OPTIONS_CIPHERS_C_S, load.cipher) < 0 ||
			ssh_options_set(session, SSH_OPTIONS_CIPHERS_S_C, load.cipher) < 0)) {
		fail("no such cipher", session);
	}
	return session;
}

/* Connects and logs in; fills the first two phases. */
static ssh_session log_in(struct record *record)
{
	uint64_t begin = io_now_usec();
	ssh_session session = make_session(dial());

	if (ssh_connect(session) != SSH_OK) {
		fail("key exchange", session);
	}
	record->kex = io_now_usec() - begin;
	if (ssh_userauth_publickey(session, NULL, key) != SSH_AUTH_SUCCESS) {
		fail("login", session);
	}
	record->login = io_now_usec() - begin - record->kex;
	return session;
}

static void log_out(ssh_session session)
{
	int fd = ssh_get_fd(session);

	ssh_disconnect(session);
	(void)close(fd); /* libssh leaves a descriptor it was given open */
	ssh_free(session);
}

static ssh_channel start(ssh_session session, const char *command)
{
	ssh_channel channel = ssh_channel_new(session);

	if (!channel || ssh_channel_open_session(channel) != SSH_OK ||
		ssh_channel_request_exec(channel, command) != SSH_OK) {
		fail("starting a session", session);
	}
	return channel;
}

/* Reads to the end and checks the exit status. */
static uint64_t finish(ssh_session session, ssh_channel channel)
{
	static char data[CHUNK];
	uint64_t bytes = 0;
	int n = 0;

	while ((n = ssh_channel_read(channel, data, sizeof(data), 0)) > 0) {
		bytes += (uint64_t)n;
	}
	if (n < 0) {
		fail("reading", session);
	}
	if (ssh_channel_get_exit_status(channel) != 0) {
		fprintf(stderr, "load: exit status %d\n", ssh_channel_get_exit_status(channel));
		exit(1);
	}
	(void)ssh_channel_close(channel);
	ssh_channel_free(channel);
	return bytes;
}

static void run_command(ssh_session session, struct record *record)
{
	uint64_t begin = io_now_usec();
	ssh_channel channel = start(session, load.command);

	(void)finish(session, channel);
	record->session = io_now_usec() - begin;
}

static void upload(ssh_session session, struct record *record)
{
	static char data[CHUNK];
	uint64_t begin = io_now_usec();
	ssh_channel channel = start(session, "exec cat >/dev/null");

	while (record->bytes < load.bytes) {
		int n = ssh_channel_write(channel, data, sizeof(data));
		if (n <= 0) {
			fail("writing", session);
		}
		record->bytes += (uint64_t)n;
	}
	(void)ssh_channel_send_eof(channel);
	(void)finish(session, channel);
	record->session = io_now_usec() - begin;
}

static void download(ssh_session session, struct record *record)
{
	char command[64];
	uint64_t begin = io_now_usec();

	(void)snprintf(command, sizeof(command), "exec head -c %llu /dev/zero",
		(unsigned long long)load.bytes);
	record->bytes = finish(session, start(session, command));
	record->session = io_now_usec() - begin;
}

static const struct {
	const char *name;
	void (*run)(ssh_session session, struct record *record);
	bool reconnects;
} modes[] = {
	{"connect", run_command, true},
	{"exec", run_command, false},
	{"up", upload, false},
	{"down", download, false},
};

/* A worker: count tries, one record each. */
static void work(size_t mode, uint64_t count, int out)
{
	struct record first = {0};
	ssh_session session = modes[mode].reconnects ? NULL : log_in(&first);

	for (uint64_t i = 0; i < count; i++) {
		struct record record = {0};
		uint64_t begin = io_now_usec();
		if (modes[mode].reconnects) {
			session = log_in(&record);
		}
		modes[mode].run(session, &record);
		record.total = io_now_usec() - begin;
		if (modes[mode].reconnects) {
			log_out(session);
		}
		if (io_write_all(out, &record, sizeof(record)) < 0) {
			exit(1);
		}
	}
	if (!modes[mode].reconnects) {
		log_out(session);
	}
	_exit(0);
}

static int compare(const void *a, const void *b)
{
	const struct record *first = a;
	const struct record *second = b;

	return first->total < second->total ? -1 : first->total > second->total;
}

static double milliseconds(uint64_t usec)
{
	return (double)usec / 1000;
}

static void print_results(struct record *records, size_t count, uint64_t elapsed)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < count; i++) {
		bytes += records[i].bytes;
		if (load.tsv) {
			printf("%llu\t%llu\t%llu\t%llu\n", (unsigned long long)records[i].kex,
				(unsigned long long)records[i].login,
				(unsigned long long)records[i].session,
				(unsigned long long)records[i].total);
		}
	}
	qsort(records, count, sizeof(records[0]), compare);
	printf("{\"mode\": \"%s\", \"count\": %zu, \"parallel\": %llu, \"median_ms\": %.3f, "
	       "\"p10_ms\": %.3f, \"p90_ms\": %.3f, \"per_second\": %.2f, "
	       "\"mib_per_second\": %.1f}\n",
		load.mode, count, (unsigned long long)load.parallel,
		milliseconds(records[count / 2].total), milliseconds(records[count / 10].total),
		milliseconds(records[count * 9 / 10].total), (double)count * 1e6 / (double)elapsed,
		(double)bytes / (1 << 20) / ((double)elapsed / 1e6));
}

static int measure(size_t mode)
{
	cleanup_free struct record *records = calloc(load.count, sizeof(*records));
	uint64_t begin = io_now_usec();
	size_t got = 0;
	int out[2];
	int failed = 0;

	if (!records || pipe(out) < 0) {
		fail("starting", NULL);
	}
	for (uint64_t i = 0; i < load.parallel; i++) {
		uint64_t share = load.count / load.parallel + (i < load.count % load.parallel);
		if (fork() == 0) {
			(void)close(out[0]);
			work(mode, share, out[1]);
		}
	}
	(void)close(out[1]);
	while (got < load.count && io_read_all(out[0], &records[got], sizeof(*records)) == 0) {
		got++;
	}
	uint64_t elapsed = io_now_usec() - begin;
	for (int status = 0; wait(&status) > 0;) {
		failed |= status;
	}
	if (failed || got < load.count) {
		fprintf(stderr, "load: %zu of %llu succeeded\n", got,
			(unsigned long long)load.count);
		return 1;
	}
	print_results(records, got, elapsed);
	return 0;
}

/* Opens sessions one after another and holds them until standard input ends. */
static int hold(void)
{
	uint64_t begin = io_now_usec();
	char byte = 0;

	for (uint64_t i = 0; i < load.count; i++) {
		struct record record = {0};
		(void)start(log_in(&record), load.command);
	}
	printf("{\"mode\": \"idle\", \"count\": %llu, \"per_second\": %.2f}\n",
		(unsigned long long)load.count,
		(double)load.count * 1e6 / (double)(io_now_usec() - begin));
	(void)fflush(stdout);
	while (read(0, &byte, 1) > 0) {
	}
	return 0;
}

static int usage(void)
{
	fprintf(stderr,
		"usage: load -p PORT -u USER -i KEY [-n COUNT] [-P PARALLEL] [-c COMMAND]\n"
		"            [--cipher NAME] [--bytes N] [--tsv] connect|exec|idle|up|down\n");
	return 2;
}

static int parse_number(const char *text, uint64_t max, uint64_t *ret)
{
	if (parse_size(text, ret) < 0 || *ret < 1 || *ret > max) {
		fprintf(stderr, "load: %s is not a number from 1 to %llu\n", text,
			(unsigned long long)max);
		return -1;
	}
	return 0;
}

static int parse_options(int argc, char **argv)
{
	static const struct option options[] = {
		{"host", required_argument, NULL, 'h'},
		{"port", required_argument, NULL, 'p'},
		{"user", required_argument, NULL, 'u'},
		{"key", required_argument, NULL, 'i'},
		{"connections", required_argument, NULL, 'n'},
		{"parallel", required_argument, NULL, 'P'},
		{"command", required_argument, NULL, 'c'},
		{"mode", required_argument, NULL, 'm'},
		{"cipher", required_argument, NULL, 'C'},
		{"bytes", required_argument, NULL, 'b'},
		{"tsv", no_argument, NULL, 't'},
		{NULL, 0, NULL, 0},
	};
	int r = 0;

	for (int option; r == 0 &&
		(option = getopt_long(argc, argv, "p:u:i:n:P:c:", options, NULL)) != -1;) {
		switch (option) {
		case 'h':
			load.host = optarg;
			break;
		case 'p':
			r = parse_number(optarg, UINT16_MAX, &load.port);
			break;
		case 'u':
			load.user = optarg;
			break;
		case 'i':
			load.key_file = optarg;
			break;
		case 'n':
			r = parse_number(optarg, 1000000, &load.count);
			break;
		case 'P':
			r = parse_number(optarg, 1000, &load.parallel);
			break;
		case 'c':
			load.command = optarg;
			break;
		case 'm':
			load.mode = optarg;
			break;
		case 'C':
			load.cipher = optarg;
			break;
		case 'b':
			r = parse_number(optarg, 1ull << 40, &load.bytes);
			break;
		case 't':
			load.tsv = true;
			break;
		default:
			r = -1;
			break;
		}
	}
	if (!load.mode && optind < argc) {
		load.mode = argv[optind++];
	}
	return r < 0 || optind < argc || !load.mode || !load.port || !load.user || !load.key_file
		? -1
		: 0;
}

int main(int argc, char **argv)
{
	if (parse_options(argc, argv) < 0) {
		return usage();
	}
	if (ssh_init() != SSH_OK ||
		ssh_pki_import_privkey_file(load.key_file, NULL, NULL, NULL, &key) != SSH_OK) {
		fprintf(stderr, "load: cannot read the key %s\n", load.key_file);
		return 2;
	}
	if (strcmp(load.mode, "idle") == 0) {
		load.command = load.command ? load.command : "exec cat";
		return hold();
	}
	load.command = load.command ? load.command : "true";
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		if (strcmp(load.mode, modes[i].name) == 0) {
			return measure(i);
		}
	}
	return usage();
}
