/*
 * cloche-netd: one a session with a network, started by the launcher, ended with the sandbox.
 *
 * Two services, on sockets that only the sandbox can reach. DNS: every datagram, and every byte of a
 * connection, goes to the host's resolver and back, unread. Proxy: SOCKS 5 and HTTP CONNECT; a name
 * must be on the list, is resolved here, and each address it has is judged before it is connected
 * to, by number, so that an answer cannot lead to what the name was not listed for. What the rules
 * do not say is refused.
 *
 * It has no C library and allocates nothing: what a session can make it hold is the size of these
 * tables. Before the first byte from inside it has the session's id, no capability, no new
 * privileges, and a filter with some twenty system calls.
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include "backends/linux/arch.h"
#include "backends/linux/init/rt.h"
#include "backends/linux/netd/dns.h"
#include "backends/linux/netd/netd.h"
#include "backends/linux/netd/request.h"

#define X32_BIT 0x40000000U

#define MAX_STREAMS 64
#define MAX_QUESTIONS 64
#define MAX_ADDRESSES 8
#define PIPE_SIZE 16384
#define DNS_PORT 53
#define REQUEST_MS 15000
#define CONNECT_MS 10000
#define RESOLVE_MS 2500 /* one try */
#define RESOLVE_TRIES 4
#define QUESTION_MS 8000
#define BACKLOG_FDS (4 + MAX_QUESTIONS + 2 * MAX_STREAMS)

enum stream_state { STREAM_FREE, STREAM_REQUEST, STREAM_RESOLVE, STREAM_CONNECT, STREAM_RELAY };

/* Bytes on their way in one direction. */
struct pipe {
	uint8_t data[PIPE_SIZE];
	size_t at, size;
	bool ended; /* nothing more comes in */
	bool told; /* and the other side knows */
};

struct stream {
	enum stream_state state;
	int client, server, question;
	uint64_t deadline; /* 0: none */
	struct request request;
	struct address addresses[MAX_ADDRESSES];
	unsigned address_count, next_address;
	bool refused; /* an address was there and may not be reached */
	uint16_t type, id; /* of the question under way */
	unsigned tries;
	struct pipe up, down;
};

/* A datagram passed on, whose answer is awaited. */
struct question {
	int fd; /* -1: free */
	struct sockaddr_in from;
	uint64_t deadline;
};

static const struct netd_config *config;
static struct stream streams[MAX_STREAMS];
static struct question questions[MAX_QUESTIONS];
static unsigned preferred; /* the resolver that answers */

static void die(int code) __attribute__((noreturn));
static void die(int code)
{
	rt_exit(code);
}

static uint64_t now_ms(void)
{
	struct timespec now = {0};

	(void)RT(clock_gettime, CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void close_fd(int *fd)
{
	if (*fd >= 0) {
		(void)RT(close, *fd);
		*fd = -1;
	}
}

/* An address as the kernel takes it. Returns its size. */
static unsigned to_socket_address(
	const struct address *address, uint16_t port, struct sockaddr_in6 *out)
{
	struct sockaddr_in *out4 = (struct sockaddr_in *)out;
	uint16_t wire = (uint16_t)(port << 8 | port >> 8);

	memset(out, 0, sizeof(*out));
	if (address->family == 4) {
		out4->sin_family = AF_INET;
		out4->sin_port = wire;
		memcpy(&out4->sin_addr, address->bytes, 4);
		return sizeof(*out4);
	}
	out->sin6_family = AF_INET6;
	out->sin6_port = wire;
	memcpy(&out->sin6_addr, address->bytes, 16);
	return sizeof(*out);
}

/* A socket connected, or being connected, to address. -1 on failure. */
static int reach(const struct address *address, uint16_t port, int type)
{
	struct sockaddr_in6 to;
	unsigned size = to_socket_address(address, port, &to);
	int fd = (int)RT(socket, address->family == 4 ? AF_INET : AF_INET6,
		type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0 && RT(connect, fd, &to, size) < 0 && errno != EINPROGRESS) {
		close_fd(&fd);
	}
	return fd;
}

/* Nobody can bind to an address but the host that has it: so this is one of ours, never a target. */
static bool is_own(const struct address *address)
{
	struct sockaddr_in6 at;
	unsigned size = to_socket_address(address, 0, &at);
	int fd = (int)RT(
		socket, address->family == 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool own = fd < 0 || RT(bind, fd, &at, size) == 0;

	close_fd(&fd);
	return own;
}

static bool is_unrestricted(void)
{
	return config->rule_count == 1 && config->rules[0].kind == RULE_ANY;
}

/* May this address be connected to, on behalf of a listed name or asked for by number? */
static bool may_reach(const struct address *address, uint16_t port, bool by_name)
{
	if (is_unrestricted()) {
		return true;
	}
	if (!rules_permit_address(config->rules, config->rule_count, address, port) &&
		(!by_name || address_is_denied(address))) {
		return false;
	}
	return !is_own(address);
}

/* ---- streams ---- */

static void end_stream(struct stream *stream)
{
	close_fd(&stream->client);
	close_fd(&stream->server);
	close_fd(&stream->question);
	stream->state = STREAM_FREE;
}

/* Throws the first used bytes of a pipe away. */
static void consume(struct pipe *pipe, size_t used)
{
	pipe->at += used;
	if (pipe->at == pipe->size) {
		pipe->at = pipe->size = 0;
	}
}

static void say(struct stream *stream, const void *data, size_t size)
{
	(void)RT(sendto, stream->client, data, size, MSG_NOSIGNAL | MSG_DONTWAIT, NULL, 0);
}

/* SOCKS 5 reply codes; of HTTP a status line each. */
enum reply { REPLY_DONE = 0, REPLY_DENIED = 2, REPLY_UNREACHABLE = 4, REPLY_BAD = 7 };

static void reply(struct stream *stream, enum reply what)
{
	static const struct {
		enum reply what;
		const char *line;
	} lines[] = {
		{REPLY_DONE, "HTTP/1.1 200 Connected\r\n\r\n"},
		{REPLY_DENIED,
			"HTTP/1.1 403 Not on the list\r\nContent-Length: 0\r\nConnection: "
			"close\r\n\r\n"},
		{REPLY_UNREACHABLE,
			"HTTP/1.1 502 Not reachable\r\nContent-Length: 0\r\nConnection: "
			"close\r\n\r\n"},
		{REPLY_BAD,
			"HTTP/1.1 405 Only CONNECT\r\nContent-Length: 0\r\nConnection: "
			"close\r\n\r\n"},
	};
	const uint8_t socks[10] = {5, (uint8_t)what, 0, 1};

	if (stream->request.kind == REQUEST_SOCKS && stream->request.greeted) {
		say(stream, socks, sizeof(socks));
	}
	for (size_t i = 0; stream->request.kind == REQUEST_HTTP && i < ARRAY_SIZE(lines); i++) {
		if (lines[i].what == what) {
			say(stream, lines[i].line, strlen(lines[i].line));
		}
	}
}

static void give_up(struct stream *stream, enum reply what)
{
	reply(stream, what);
	end_stream(stream);
}

/* Begins to connect to the next address that may be reached; ends the stream when none is left. */
static void connect_next(struct stream *stream)
{
	close_fd(&stream->server);
	while (stream->next_address < stream->address_count) {
		const struct address *address = &stream->addresses[stream->next_address++];
		if (!may_reach(address, stream->request.port, stream->request.is_name)) {
			stream->refused = true;
			continue;
		}
		stream->server = reach(address, stream->request.port, SOCK_STREAM);
		if (stream->server >= 0) {
			stream->state = STREAM_CONNECT;
			stream->deadline = now_ms() + CONNECT_MS;
			return;
		}
	}
	give_up(stream, stream->refused ? REPLY_DENIED : REPLY_UNREACHABLE);
}

/* Asks the preferred resolver; the next one when it does not answer in time. */
static void ask(struct stream *stream)
{
	uint8_t query[DNS_QUERY_SIZE];
	size_t size = 0;

	close_fd(&stream->question);
	if (stream->tries++ >= RESOLVE_TRIES || config->resolver_count == 0) {
		give_up(stream, REPLY_UNREACHABLE);
		return;
	}
	(void)RT(getrandom, &stream->id, sizeof(stream->id), 0);
	size = dns_write_query(query, stream->id, stream->request.name, stream->type);
	stream->question =
		reach(&config->resolvers[preferred % config->resolver_count], DNS_PORT, SOCK_DGRAM);
	if (stream->question >= 0) {
		(void)RT(sendto, stream->question, query, size, MSG_NOSIGNAL, NULL, 0);
	}
	stream->state = STREAM_RESOLVE;
	stream->deadline = now_ms() + RESOLVE_MS;
}

static void hear_answer(struct stream *stream)
{
	uint8_t data[2048];
	long n = RT(recvfrom, stream->question, data, sizeof(data), 0, NULL, NULL);
	int count = 0;

	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR) {
			preferred++; /* nobody is there */
			ask(stream);
		}
		return;
	}
	count = dns_read_answer(data, (size_t)n, stream->id, stream->request.name, stream->type,
		stream->addresses, MAX_ADDRESSES);
	if (count < 0) {
		return;
	}
	if (count == 0 && stream->type == DNS_TYPE_A) {
		stream->type = DNS_TYPE_AAAA;
		stream->tries = 0;
		ask(stream);
		return;
	}
	close_fd(&stream->question);
	stream->address_count = (unsigned)count;
	connect_next(stream);
}

/* The request is complete: is it on the list? */
static void decide(struct stream *stream)
{
	const struct request *request = &stream->request;

	if (!request->is_name) {
		stream->addresses[0] = request->address;
		stream->address_count = 1;
		connect_next(stream);
	} else if (rules_permit_name(
			   config->rules, config->rule_count, request->name, request->port)) {
		stream->type = DNS_TYPE_A;
		ask(stream);
	} else {
		give_up(stream, REPLY_DENIED);
	}
}

static void read_request(struct stream *stream)
{
	static const uint8_t welcome[2] = {5, 0};
	struct pipe *up = &stream->up;
	size_t used = 0;
	long n = RT(recvfrom, stream->client, up->data + up->size, REQUEST_SIZE - up->size, 0, NULL,
		NULL);

	if (n <= 0) {
		if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
			end_stream(stream);
		}
		return;
	}
	up->size += (size_t)n;
	for (;;) {
		enum request_state state =
			request_read(&stream->request, up->data + up->at, up->size - up->at, &used);
		if (state == REQUEST_MORE && up->size == REQUEST_SIZE) {
			state = REQUEST_BAD;
		}
		consume(up, used);
		if (state == REQUEST_GREETED) {
			say(stream, welcome, sizeof(welcome));
			continue;
		}
		if (state == REQUEST_COMPLETE) {
			decide(stream);
		} else if (state != REQUEST_MORE) {
			give_up(stream, REPLY_BAD);
		}
		return;
	}
}

static void start_relay(struct stream *stream)
{
	int problem = 0;
	unsigned size = sizeof(problem);

	if (RT(getsockopt, stream->server, SOL_SOCKET, SO_ERROR, &problem, &size) < 0 || problem) {
		connect_next(stream);
		return;
	}
	if (stream->request.kind != REQUEST_UNKNOWN) {
		reply(stream, REPLY_DONE);
	}
	stream->state = STREAM_RELAY;
	stream->deadline = 0;
}

/* Reads what fits and writes what can be written. False when the connection is broken. */
static bool move(struct pipe *pipe, int from, int to, short can_read, short can_write)
{
	if (can_read && pipe->size == 0 && !pipe->ended) {
		long n = RT(
			recvfrom, from, pipe->data, sizeof(pipe->data), MSG_DONTWAIT, NULL, NULL);
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			return false;
		}
		pipe->ended = n == 0;
		pipe->size = n > 0 ? (size_t)n : 0;
		can_write = 1;
	}
	if (can_write && pipe->at < pipe->size) {
		long n = RT(sendto, to, pipe->data + pipe->at, pipe->size - pipe->at,
			MSG_NOSIGNAL | MSG_DONTWAIT, NULL, 0);
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			return false;
		}
		consume(pipe, n > 0 ? (size_t)n : 0);
	}
	if (pipe->ended && pipe->size == 0 && !pipe->told) {
		(void)RT(shutdown, to, SHUT_WR);
		pipe->told = true;
	}
	return true;
}

static void relay(struct stream *stream, short client, short server)
{
	const short in = POLLIN | POLLHUP | POLLERR;
	const short out = POLLOUT | POLLHUP | POLLERR;

	if (!move(&stream->up, stream->client, stream->server, (short)(client & in),
		    (short)(server & out)) ||
		!move(&stream->down, stream->server, stream->client, (short)(server & in),
			(short)(client & out)) ||
		(stream->up.told && stream->down.told)) {
		end_stream(stream);
	}
}

static struct stream *free_stream(void)
{
	for (size_t i = 0; i < MAX_STREAMS; i++) {
		if (streams[i].state == STREAM_FREE) {
			return &streams[i];
		}
	}
	return NULL;
}

/* Takes a connection; with direct it goes to the resolver as it is. */
static void take_stream(int listener, bool direct)
{
	struct stream *stream = free_stream();
	int fd = stream ? (int)RT(accept4, listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK) : -1;

	if (fd < 0) {
		return;
	}
	stream->client = fd;
	stream->server = stream->question = -1;
	stream->request = (struct request){0};
	stream->address_count = stream->next_address = stream->tries = 0;
	stream->refused = false;
	stream->up.at = stream->up.size = stream->down.at = stream->down.size = 0;
	stream->up.ended = stream->up.told = stream->down.ended = stream->down.told = false;
	stream->state = STREAM_REQUEST;
	stream->deadline = now_ms() + REQUEST_MS;
	if (direct) {
		stream->server = config->resolver_count == 0
			? -1
			: reach(&config->resolvers[preferred % config->resolver_count], DNS_PORT,
				  SOCK_STREAM);
		stream->state = STREAM_CONNECT;
		if (stream->server < 0) {
			end_stream(stream);
		}
	}
}

/* Nothing came in time. */
static void expire_stream(struct stream *stream)
{
	if (stream->state == STREAM_RESOLVE) {
		preferred++;
		ask(stream);
	} else if (stream->state == STREAM_CONNECT) {
		connect_next(stream);
	} else {
		end_stream(stream);
	}
}

/* ---- datagrams ---- */

static void pass_question_on(void)
{
	uint8_t data[4096];
	struct sockaddr_in from = {0};
	unsigned size = sizeof(from);
	long n = RT(recvfrom, NETD_DNS_DATAGRAM_FD, data, sizeof(data), MSG_DONTWAIT, &from, &size);

	if (n <= 0 || config->resolver_count == 0) {
		return;
	}
	for (size_t i = 0; i < MAX_QUESTIONS; i++) {
		struct question *question = &questions[i];
		if (question->fd < 0) {
			question->fd = reach(&config->resolvers[preferred % config->resolver_count],
				DNS_PORT, SOCK_DGRAM);
			question->from = from;
			question->deadline = now_ms() + QUESTION_MS;
			if (question->fd >= 0) {
				(void)RT(sendto, question->fd, data, n, MSG_NOSIGNAL, NULL, 0);
			}
			return;
		}
	}
}

static void pass_answer_back(struct question *question)
{
	uint8_t data[4096];
	long n = RT(recvfrom, question->fd, data, sizeof(data), MSG_DONTWAIT, NULL, NULL);

	if (n > 0) {
		(void)RT(sendto, NETD_DNS_DATAGRAM_FD, data, n, MSG_NOSIGNAL | MSG_DONTWAIT,
			&question->from, sizeof(question->from));
	} else if (errno != EAGAIN) {
		preferred++;
	}
	close_fd(&question->fd);
}

/* ---- the loop ---- */

static struct pollfd watched[BACKLOG_FDS];

static size_t watch(size_t count, int fd, int what)
{
	watched[count] = (struct pollfd){.fd = fd, .events = (short)what};
	return count + 1;
}

/* Both ends of a stream, in this order; -1 is one that nothing is expected of. */
static size_t watch_stream(const struct stream *stream, size_t count)
{
	const struct pipe *up = &stream->up;
	const struct pipe *down = &stream->down;
	int client = -1, server = -1, from_client = 0, from_server = 0;

	switch (stream->state) {
	case STREAM_REQUEST:
		client = stream->client;
		from_client = POLLIN;
		break;
	case STREAM_RESOLVE:
		server = stream->question;
		from_server = POLLIN;
		break;
	case STREAM_CONNECT:
		server = stream->server;
		from_server = POLLOUT;
		break;
	case STREAM_RELAY:
		from_client =
			(up->size == 0 && !up->ended ? POLLIN : 0) | (down->size > 0 ? POLLOUT : 0);
		from_server = (down->size == 0 && !down->ended ? POLLIN : 0) |
			(up->size > 0 ? POLLOUT : 0);
		client = from_client ? stream->client : -1;
		server = from_server ? stream->server : -1;
		break;
	case STREAM_FREE:
		break;
	}
	count = watch(count, client, from_client);
	return watch(count, server, from_server);
}

static size_t prepare(uint64_t *ret_deadline)
{
	bool room = free_stream() != NULL;
	size_t count = watch(0, NETD_CONTROL_FD, POLLIN);

	*ret_deadline = 0;
	count = watch(count, config->dns ? NETD_DNS_DATAGRAM_FD : -1, POLLIN);
	count = watch(count, config->dns && room ? NETD_DNS_STREAM_FD : -1, POLLIN);
	count = watch(count, config->proxy && room ? NETD_PROXY_FD : -1, POLLIN);
	for (size_t i = 0; i < MAX_QUESTIONS; i++) {
		uint64_t deadline = questions[i].fd >= 0 ? questions[i].deadline : 0;
		count = watch(count, questions[i].fd, POLLIN);
		*ret_deadline = deadline && (!*ret_deadline || deadline < *ret_deadline)
			? deadline
			: *ret_deadline;
	}
	for (size_t i = 0; i < MAX_STREAMS; i++) {
		uint64_t deadline = streams[i].state != STREAM_FREE ? streams[i].deadline : 0;
		count = watch_stream(&streams[i], count);
		*ret_deadline = deadline && (!*ret_deadline || deadline < *ret_deadline)
			? deadline
			: *ret_deadline;
	}
	return count;
}

static void serve_stream(struct stream *stream, short client, short server, uint64_t now)
{
	enum stream_state state = stream->state;

	if (state == STREAM_REQUEST && client) {
		read_request(stream);
	} else if (state == STREAM_RESOLVE && server) {
		hear_answer(stream);
	} else if (state == STREAM_CONNECT && server) {
		start_relay(stream);
	} else if (state == STREAM_RELAY && (client || server)) {
		relay(stream, client, server);
	} else if (state != STREAM_FREE && stream->deadline && now >= stream->deadline) {
		expire_stream(stream);
	}
}

static void serve_questions(uint64_t now)
{
	for (size_t i = 0; i < MAX_QUESTIONS; i++) {
		if (questions[i].fd >= 0 && watched[4 + i].revents) {
			pass_answer_back(&questions[i]);
		} else if (questions[i].fd >= 0 && now >= questions[i].deadline) {
			preferred++;
			close_fd(&questions[i].fd);
		}
	}
}

static void serve(void) __attribute__((noreturn));
static void serve(void)
{
	for (;;) {
		uint64_t deadline = 0;
		size_t count = prepare(&deadline);
		uint64_t now = now_ms();
		uint64_t left = deadline > now ? deadline - now : 0;
		struct timespec wait = {
			.tv_sec = (time_t)(left / 1000), .tv_nsec = (long)(left % 1000) * 1000000};
		(void)RT(ppoll, watched, count, deadline ? &wait : NULL, NULL, 8);
		if (watched[0].revents) {
			die(0); /* the sandbox, or who made it, is gone */
		}
		now = now_ms();
		/* Before anything new is accepted: what was watched is what is looked at. */
		for (size_t i = 0; i < MAX_STREAMS; i++) {
			const struct pollfd *ends = &watched[4 + MAX_QUESTIONS + 2 * i];
			serve_stream(&streams[i], ends[0].revents, ends[1].revents, now);
		}
		serve_questions(now);
		if (watched[1].revents) {
			pass_question_on();
		}
		if (watched[2].revents) {
			take_stream(NETD_DNS_STREAM_FD, true);
		}
		if (watched[3].revents) {
			take_stream(NETD_PROXY_FD, false);
		}
	}
}

/* ---- the beginning ---- */

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ANSWER(what) BPF_STMT(BPF_RET | BPF_K, what)
#define ALLOW(number) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), ANSWER(SECCOMP_RET_ALLOW)

/* What is not named kills: nothing of ours gets there. */
static int filter(void)
{
	struct sock_filter code[] = {
		LOAD(arch),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE_ARCH, 1, 0),
		ANSWER(SECCOMP_RET_KILL_PROCESS),
		LOAD(nr),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1),
		ANSWER(SECCOMP_RET_KILL_PROCESS),
		ALLOW(SYS_recvfrom),
		ALLOW(SYS_sendto),
		ALLOW(SYS_ppoll),
		ALLOW(SYS_clock_gettime),
		ALLOW(SYS_close),
		ALLOW(SYS_connect),
		ALLOW(SYS_bind),
		ALLOW(SYS_accept4),
		ALLOW(SYS_getsockopt),
		ALLOW(SYS_shutdown),
		ALLOW(SYS_getrandom),
		ALLOW(SYS_exit_group),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 1, 0),
		ANSWER(SECCOMP_RET_KILL_PROCESS),
		LOAD(args[0]),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 0, 3),
		/* datagrams and streams only: nothing raw */
		LOAD(args[1]),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xf),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, SOCK_DGRAM, 0, 1),
		ANSWER(SECCOMP_RET_KILL_PROCESS),
		ANSWER(SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = ARRAY_SIZE(code), .filter = code};

	return (int)RT(seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {{0}};

	return (int)RT(capset, &header, none);
}

static bool confine(void)
{
	struct rlimit files = {BACKLOG_FDS + 16, BACKLOG_FDS + 16};
	struct rlimit no = {0};
	bool root = RT(geteuid, 0) == 0;

	for (long number = 0; root && RT(prctl, PR_CAPBSET_DROP, number, 0, 0, 0) == 0; number++) {
	}
	if (root &&
		(RT(setgroups, 0, NULL) < 0 ||
			RT(setresgid, config->gid, config->gid, config->gid) < 0 ||
			RT(setresuid, config->uid, config->uid, config->uid) < 0 ||
			RT(geteuid, 0) == 0)) {
		return false;
	}
	/* After the change of identity, which clears it. */
	return drop_capabilities() == 0 && RT(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 &&
		RT(prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 &&
		RT(prlimit64, 0, RLIMIT_NOFILE, &files, NULL) == 0 &&
		RT(prlimit64, 0, RLIMIT_CORE, &no, NULL) == 0 &&
		RT(prlimit64, 0, RLIMIT_NPROC, &no, NULL) == 0 &&
		RT(prlimit64, 0, RLIMIT_FSIZE, &no, NULL) == 0 &&
		RT(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && filter() == 0;
}

static bool read_config(void)
{
	long at = RT(mmap, NULL, sizeof(*config), PROT_READ, MAP_PRIVATE, NETD_CONFIG_FD, 0L);

	if (at == -1) {
		return false;
	}
	config = (const struct netd_config *)at;
	return config->magic == NETD_MAGIC && config->resolver_count <= NETD_RESOLVERS &&
		config->rule_count <= RULES_MAX;
}

void init_main(const long *stack)
{
	(void)stack;
	for (size_t i = 0; i < MAX_STREAMS; i++) {
		streams[i].client = streams[i].server = streams[i].question = -1;
	}
	for (size_t i = 0; i < MAX_QUESTIONS; i++) {
		questions[i].fd = -1;
	}
	if (!read_config() || !confine()) {
		die(125);
	}
	(void)RT(close, NETD_CONFIG_FD);
	(void)RT(sendto, NETD_CONTROL_FD, "r", 1, MSG_NOSIGNAL, NULL, 0);
	serve();
}
