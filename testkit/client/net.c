/*
 * Network probes. Targets are canaries the host bound on its own addresses; routes and links are asked
 * of the kernel. Nothing is ever sent to any other address.
 */
#include "testkit/client/client.h"

#include <linux/in.h>
#include <linux/in6.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#define ANSWER_MS 250

static uint16_t swap16(uint64_t port)
{
	return (uint16_t)((port & 0xff) << 8 | (port >> 8 & 0xff));
}

static struct sockaddr_in address4(uint32_t host, const char *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = swap16(job_number(port))};

	address.sin_addr.s_addr = __builtin_bswap32(host);
	return address;
}

static struct sockaddr_in6 address6(const char *port)
{
	struct sockaddr_in6 address = {
		.sin6_family = AF_INET6, .sin6_port = swap16(job_number(port))};

	address.sin6_addr.s6_addr[15] = 1;
	return address;
}

static void limit_wait(long fd)
{
	long time[2] = {0, ANSWER_MS * 1000L};

	(void)sys(SYS_setsockopt, fd, SOL_SOCKET, SO_RCVTIMEO, time, sizeof(time));
	(void)sys(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDTIMEO, time, sizeof(time));
}

/* Says who we are and brings back what the canary answers. */
static void exchange(struct result *result, long fd, const char *id)
{
	char answer[64];
	char line[80];
	long n = 0;

	(void)text_join(line, sizeof(line), mark(id), "\n", "");
	n = sys(SYS_sendto, fd, line, text_length(line), 0x4000 /* MSG_NOSIGNAL */, NULL, 0);
	if (n >= 0) {
		n = sys(SYS_recvfrom, fd, answer, sizeof(answer), 0, NULL, NULL);
	}
	if (n > 0) {
		result_done_bytes(result, answer, (size_t)n);
		return;
	}
	result_from(result, n);
}

static void stream_to(
	struct result *result, int protocol, const void *address, unsigned size, const char *id)
{
	int family = *(const unsigned short *)address;
	long fd = sys(SYS_socket, family, SOCK_STREAM, protocol);
	long r = fd;

	if (fd >= 0) {
		limit_wait(fd);
		r = sys(SYS_connect, fd, address, size);
	}
	if (r < 0) {
		result_from(result, r);
		return;
	}
	exchange(result, fd, id);
}

static void datagram_to(struct result *result, const void *address, unsigned size, const char *id)
{
	int family = *(const unsigned short *)address;
	long fd = sys(SYS_socket, family, SOCK_DGRAM, 0);
	const char *text = mark(id);
	long n = fd;

	if (fd >= 0) {
		n = sys(SYS_sendto, fd, text, text_length(text), 0, address, size);
	}
	if (n < 0) {
		result_from(result, n);
		return;
	}
	result_done(result, ""); /* it was taken; whether it arrived only the host knows */
}

static void net_tcp4(struct result *result)
{
	struct sockaddr_in address = address4(0x7f000001, "tcp4");

	stream_to(result, 0, &address, sizeof(address), "N.tcp4");
}

static void net_tcp6(struct result *result)
{
	struct sockaddr_in6 address = address6("tcp6");

	stream_to(result, 0, &address, sizeof(address), "N.tcp6");
}

static void net_alias(struct result *result)
{
	struct sockaddr_in address = address4(0x7f000002, "alias");

	stream_to(result, 0, &address, sizeof(address), "N.alias");
}

static void net_own(struct result *result)
{
	struct sockaddr_in address = address4((uint32_t)job_number("own.address"), "own");

	if (!address.sin_port) {
		result_absent(result, 0); /* the host has no such address */
		return;
	}
	stream_to(result, 0, &address, sizeof(address), "N.own");
}

static void net_zero(struct result *result)
{
	struct sockaddr_in address = address4(0, "tcp4");

	stream_to(result, 0, &address, sizeof(address), "N.zero");
}

static void net_mapped(struct result *result)
{
	struct sockaddr_in6 address = address6("tcp4");
	static const uint8_t mapped[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1};

	memcpy(&address.sin6_addr, mapped, sizeof(mapped));
	stream_to(result, 0, &address, sizeof(address), "N.mapped");
}

static void net_mptcp(struct result *result)
{
	struct sockaddr_in address = address4(0x7f000001, "tcp4");

	stream_to(result, 262, &address, sizeof(address), "N.mptcp");
}

static void net_fastopen(struct result *result)
{
	struct sockaddr_in address = address4(0x7f000001, "tcp4");
	long fd = sys(SYS_socket, AF_INET, SOCK_STREAM, 0);
	char line[80];
	long n = fd;

	if (fd >= 0) {
		limit_wait(fd);
		(void)text_join(line, sizeof(line), mark("N.fastopen"), "\n", "");
		n = sys(SYS_sendto, fd, line, text_length(line), 0x20004000, &address,
			sizeof(address));
	}
	if (n < 0) {
		result_from(result, n);
		return;
	}
	n = sys(SYS_recvfrom, fd, line, sizeof(line), 0, NULL, NULL);
	if (n > 0) {
		result_done_bytes(result, line, (size_t)n);
		return;
	}
	result_from(result, n);
}

static void net_udp4(struct result *result)
{
	struct sockaddr_in address = address4(0x7f000001, "udp4");

	datagram_to(result, &address, sizeof(address), "N.udp4");
}

static void net_udp6(struct result *result)
{
	struct sockaddr_in6 address = address6("udp6");

	datagram_to(result, &address, sizeof(address), "N.udp6");
}

/* The 32-bit door: arguments lie in static memory, below 4 GiB. */
static void net_int80(struct result *result)
{
	static struct sockaddr_in address;
	long fd = sys_int80(359, AF_INET, SOCK_STREAM, 0); /* socket of i386 */
	long r = fd;

	if (!SYS_HAVE_INT80) {
		result_absent(result, 0);
		return;
	}
	address = address4(0x7f000001, "tcp4");
	if (fd >= 0) {
		int domain = 0;
		unsigned size = sizeof(domain);
		/* A wrong decoding of the call number would give some other descriptor. */
		r = sys(SYS_getsockopt, fd, SOL_SOCKET, SO_DOMAIN, &domain, &size);
		if (r < 0 || domain != AF_INET) {
			result_absent(result, r);
			return;
		}
		limit_wait(fd);
		r = sys_int80(362, fd, (long)(uintptr_t)&address, sizeof(address));
	}
	if (r < 0) {
		result_from(result, r);
		return;
	}
	exchange(result, fd, "N.int80");
}

/* Listens on the port the host chose; the host dials it while we wait. */
static void net_listen(struct result *result)
{
	struct sockaddr_in address = address4(0x7f000001, "listen");
	long fd = sys(SYS_socket, AF_INET, SOCK_STREAM, 0);
	const char *text = mark("N.listen");
	static const int one = 1;
	long r = fd;

	if (fd >= 0) {
		(void)sys(SYS_setsockopt, fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		r = sys(SYS_bind, fd, &address, sizeof(address));
	}
	if (r >= 0) {
		r = sys(SYS_listen, fd, 4);
	}
	if (r >= 0) {
		limit_wait(fd);
		r = sys(SYS_accept4, fd, NULL, NULL, 0);
		if (r == -EAGAIN) {
			result_done(result, ""); /* we listened, nobody came */
			return;
		}
	}
	if (r >= 0) {
		(void)sys(SYS_sendto, r, text, text_length(text), 0x4000, NULL, 0);
	}
	result_from(result, r);
	if (r >= 0) {
		result_done(result, text);
	}
}

struct route_request {
	struct nlmsghdr header;
	struct rtmsg route;
	struct rtattr attribute;
	uint32_t address;
};

/* Sends a question; the socket for the answers, or a negative errno. */
static long netlink_ask(const void *request, unsigned size)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	long fd = sys(SYS_socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	long n = 0;

	if (fd < 0) {
		return fd;
	}
	limit_wait(fd);
	n = sys(SYS_sendto, fd, request, size, 0, &kernel, sizeof(kernel));
	return n < 0 ? n : fd;
}

/* Whether the kernel knows a way to an address outside: a question, not a packet. */
static void net_route(struct result *result)
{
	struct route_request request = {
		.header = {.nlmsg_len = sizeof(request),
			.nlmsg_type = RTM_GETROUTE,
			.nlmsg_flags = NLM_F_REQUEST},
		.route = {.rtm_family = AF_INET, .rtm_dst_len = 32},
		.attribute = {.rta_len = 8, .rta_type = RTA_DST},
		.address = 0x01010101,
	};
	static char answer[4096] __attribute__((aligned(8)));
	struct nlmsghdr *header = (struct nlmsghdr *)answer;
	long n = netlink_ask(&request, sizeof(request));

	n = n < 0 ? n : sys(SYS_recvfrom, n, answer, sizeof(answer), 0, NULL, NULL);
	if (n >= 0 && header->nlmsg_type == NLMSG_ERROR) {
		n = *(int *)(answer + sizeof(*header));
	}
	result_from(result, n);
}

static void add_link_name(struct result *result, char *message, unsigned length)
{
	unsigned at = sizeof(struct nlmsghdr) + sizeof(struct ifinfomsg);

	while (at + sizeof(struct rtattr) <= length) {
		struct rtattr *attribute = (struct rtattr *)(message + at);
		if (attribute->rta_len < sizeof(*attribute) || at + attribute->rta_len > length) {
			return;
		}
		if (attribute->rta_type == 3 /* IFLA_IFNAME */) {
			result_add(result, message + at + sizeof(*attribute));
			result_add(result, " ");
			return;
		}
		at += (attribute->rta_len + 3U) & ~3U;
	}
}

/* One datagram of the dump. False when it was the last. */
static bool take_links(struct result *result, long fd)
{
	static char answer[32768] __attribute__((aligned(8)));
	long n = sys(SYS_recvfrom, fd, answer, sizeof(answer), 0, NULL, NULL);
	size_t at = 0;

	while (n > 0 && at + sizeof(struct nlmsghdr) <= (size_t)n) {
		struct nlmsghdr *header = (struct nlmsghdr *)(answer + at);
		if (header->nlmsg_len < sizeof(*header) || at + header->nlmsg_len > (size_t)n ||
			header->nlmsg_type != RTM_NEWLINK) {
			return false;
		}
		add_link_name(result, answer + at, header->nlmsg_len);
		at += (header->nlmsg_len + 3U) & ~3U;
	}
	return n > 0;
}

static void net_links(struct result *result)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg info;
	} request = {
		.header = {.nlmsg_len = sizeof(request),
			.nlmsg_type = RTM_GETLINK,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
	};
	long fd = netlink_ask(&request, sizeof(request));

	result_from(result, fd);
	while (fd >= 0 && take_links(result, fd)) {
	}
}

/* Whether the canary's listening socket stands in the table of connections. */
static void net_table(struct result *result)
{
	static char table[262144];
	static const char digits[] = "0123456789ABCDEF";
	uint64_t port = job_number("tcp4");
	char key[32] = " 0100007F:";
	long n = file_read("/proc/net/tcp", table, sizeof(table));

	for (int i = 0; i < 4; i++) {
		key[10 + i] = digits[port >> (12 - 4 * i) & 15];
	}
	key[14] = ' ';
	if (n < 0) {
		result_from(result, n);
	} else if (text_find(table, (size_t)n, key)) {
		result_done(result, "listed");
	} else {
		result_from(result, -ENOENT);
	}
}

const struct client_probe probes_net[] = {
	{"N.tcp4", net_tcp4},
	{"N.tcp6", net_tcp6},
	{"N.udp4", net_udp4},
	{"N.udp6", net_udp6},
	{"N.alias", net_alias},
	{"N.own", net_own},
	{"N.zero", net_zero},
	{"N.mapped", net_mapped},
	{"N.fastopen", net_fastopen},
	{"N.mptcp", net_mptcp},
	{"N.int80", net_int80},
	{"N.listen", net_listen},
	{"N.route", net_route},
	{"N.links", net_links},
	{"N.table", net_table},
	{NULL, NULL},
};
