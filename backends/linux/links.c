#include "backends/linux/links.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <net/route.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"

/* One request, built up attribute by attribute; 512 bytes are three times what is needed. */
struct request {
	struct nlmsghdr header;
	struct ifinfomsg link;
	char attributes[512];
};

static struct rtattr *put(
	struct request *request, unsigned short type, const void *data, size_t size)
{
	struct rtattr *attribute =
		(struct rtattr *)((char *)request + NLMSG_ALIGN(request->header.nlmsg_len));

	attribute->rta_type = type;
	attribute->rta_len = (unsigned short)RTA_LENGTH(size);
	if (size > 0) {
		memcpy(RTA_DATA(attribute), data, size);
	}
	request->header.nlmsg_len =
		NLMSG_ALIGN(request->header.nlmsg_len) + (uint32_t)RTA_SPACE(size);
	return attribute;
}

/* Ends a nest: all that was put since is inside it. */
static void end_nest(struct request *request, struct rtattr *nest)
{
	nest->rta_len =
		(unsigned short)((char *)request + request->header.nlmsg_len - (char *)nest);
}

static void begin(struct request *request, uint16_t type, uint16_t flags)
{
	*request = (struct request){
		.header = {
			.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)),
			.nlmsg_type = type,
			.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags),
			.nlmsg_seq = 1,
		}};
}

/* Sends it and reads the kernel's answer. 0 or negative errno. */
static int ask(const struct request *request)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	char answer[4096] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct nlmsghdr *header = (struct nlmsghdr *)answer;
	cleanup_close int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	ssize_t n = 0;
	int code = 0;

	if (fd < 0 ||
		sendto(fd, request, request->header.nlmsg_len, 0, (struct sockaddr *)&kernel,
			sizeof(kernel)) < 0) {
		return -errno;
	}
	do {
		n = recv(fd, answer, sizeof(answer), 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		return -errno;
	}
	if ((size_t)n < NLMSG_LENGTH(sizeof(code)) || header->nlmsg_type != NLMSG_ERROR) {
		return -EPROTO;
	}
	memcpy(&code, NLMSG_DATA(header), sizeof(code));
	return code;
}

int links_add_pair(const char *name, const char *peer, int peer_ns)
{
	static const char kind[] = "veth";
	struct ifinfomsg none = {0};
	struct request request;

	begin(&request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
	put(&request, IFLA_IFNAME, name, strlen(name) + 1);
	struct rtattr *info = put(&request, IFLA_LINKINFO, NULL, 0);
	put(&request, IFLA_INFO_KIND, kind, sizeof(kind));
	struct rtattr *data = put(&request, IFLA_INFO_DATA, NULL, 0);
	/* The peer's attributes follow a header of their own. */
	struct rtattr *other = put(&request, VETH_INFO_PEER, &none, sizeof(none));
	put(&request, IFLA_IFNAME, peer, strlen(peer) + 1);
	put(&request, IFLA_NET_NS_FD, &peer_ns, sizeof(peer_ns));
	end_nest(&request, other);
	end_nest(&request, data);
	end_nest(&request, info);
	return ask(&request);
}

int links_delete(const char *name)
{
	struct request request;

	begin(&request, RTM_DELLINK, 0);
	put(&request, IFLA_IFNAME, name, strlen(name) + 1);
	return ask(&request);
}

static int set_address(int fd, unsigned long what, struct ifreq *request, in_addr_t address)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {address}};

	memcpy(&request->ifr_addr, &in, sizeof(in));
	return ioctl(fd, what, request) < 0 ? -errno : 0;
}

int links_up(const char *name, in_addr_t address, in_addr_t netmask)
{
	cleanup_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = {0};
	int r = 0;

	if (fd < 0) {
		return -errno;
	}
	(void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (address) {
		r = set_address(fd, SIOCSIFADDR, &request, address);
		r = r < 0 ? r : set_address(fd, SIOCSIFNETMASK, &request, netmask);
	}
	if (r < 0) {
		return r;
	}
	if (ioctl(fd, SIOCGIFFLAGS, &request) < 0) {
		return -errno;
	}
	request.ifr_flags |= IFF_UP;
	return ioctl(fd, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
}

int links_add_default_route(in_addr_t gateway)
{
	cleanup_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in any = {.sin_family = AF_INET};
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {gateway}};
	struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};

	memcpy(&route.rt_dst, &any, sizeof(any));
	memcpy(&route.rt_genmask, &any, sizeof(any));
	memcpy(&route.rt_gateway, &to, sizeof(to));
	return fd < 0 || ioctl(fd, SIOCADDRT, &route) < 0 ? -errno : 0;
}
