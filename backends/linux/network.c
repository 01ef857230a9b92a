#include "backends/linux/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "backends/linux/launcher.h"
#include "backends/linux/links.h"
#include "backends/linux/netd/netd.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/proc.h"
#include "base/strv.h"

#define NFT "/usr/sbin/nft"
#define NFT_TIMEOUT_MS 10000
#define NETD_TIMEOUT_MS 5000
#define INNER_LINK "eth0"
#define EXPERIMENTAL_PROTOCOL 253 /* RFC 3692 */

void network_init(struct network *network)
{
	*network = (struct network){.home = -1,
		.inside = -1,
		.subnet = {.lock = -1},
		.sockets = {-1, -1, -1},
		.helper = -1,
		.control = -1};
}

/* ---- rules ---- */

/* All IPv4 addresses of the namespace we are in, with commas. The caller frees. NULL: no memory. */
static char *list_own_addresses(void)
{
	struct ifaddrs *list = NULL;
	struct buf text = {0};

	buf_printf(&text, "127.0.0.1");
	if (getifaddrs(&list) == 0) {
		for (const struct ifaddrs *at = list; at; at = at->ifa_next) {
			char address[INET_ADDRSTRLEN];
			if (!at->ifa_addr || at->ifa_addr->sa_family != AF_INET) {
				continue;
			}
			(void)inet_ntop(AF_INET,
				&((const struct sockaddr_in *)at->ifa_addr)->sin_addr, address,
				sizeof(address));
			if (strcmp(address, "127.0.0.1") != 0) {
				buf_printf(&text, ", %s", address);
			}
		}
		freeifaddrs(list);
	}
	buf_put_u8(&text, 0);
	if (text.failed) {
		buf_fini(&text);
		return NULL;
	}
	return (char *)text.data;
}

/* The rules with what only this start knows. The caller frees. NULL: no memory. */
static char *fill(const char *rules, const struct subnet *subnet, const char *host)
{
	char address[INET_ADDRSTRLEN];
	char gateway[INET_ADDRSTRLEN];
	const struct {
		const char *name, *value;
	} words[] = {{"{address}", address}, {"{gateway}", gateway}, {"{host}", host}};
	struct buf text = {0};

	(void)inet_ntop(AF_INET, &subnet->address, address, sizeof(address));
	(void)inet_ntop(AF_INET, &subnet->gateway, gateway, sizeof(gateway));
	while (*rules) {
		size_t length = 0;
		for (size_t i = 0; i < ARRAY_SIZE(words) && length == 0; i++) {
			if (strncmp(rules, words[i].name, strlen(words[i].name)) == 0) {
				length = strlen(words[i].name);
				buf_put(&text, words[i].value, strlen(words[i].value));
			}
		}
		if (length == 0) {
			buf_put_u8(&text, (uint8_t)*rules);
			length = 1;
		}
		rules += length;
	}
	buf_put_u8(&text, 0);
	if (text.failed) {
		buf_fini(&text);
		return NULL;
	}
	return (char *)text.data;
}

/* nft's first line of complaint, for the error. */
static void read_complaint(int fd, char *out, size_t size)
{
	ssize_t n = pread(fd, out, size - 1, 0);

	out[n > 0 ? n : 0] = '\0';
	out[strcspn(out, "\n")] = '\0';
}

/* Loads rules into the namespace we are in: all of them or none. */
static int load_rules(const char *rules, struct err *err)
{
	static char program[] = NFT, option[] = "-f", from[] = "-";
	char *argv[] = {program, option, from, NULL};
	cleanup_close int in = io_sealed_memfd("cloche-rules", rules, strlen(rules));
	cleanup_close int out = memfd_create("cloche-nft", MFD_CLOEXEC);
	int fds[3] = {in, -1, out};
	char complaint[160];
	int status = 0;
	cleanup_close int pidfd = -1;
	int r = 0;

	/* What was written there is read from its beginning: to nft no rules at all are fine too. */
	if (in < 0 || out < 0 || lseek(in, 0, SEEK_SET) < 0) {
		return err_set(err, in < 0 ? -in : errno, "preparing rules for " NFT);
	}
	pidfd = proc_spawn(argv, NULL, fds, NULL);
	r = pidfd < 0 ? pidfd : proc_wait(pidfd, NFT_TIMEOUT_MS, &status);

	if (r < 0) {
		if (pidfd >= 0) {
			(void)proc_signal(pidfd, SIGKILL);
			(void)proc_wait(pidfd, -1, &status);
		}
		return err_set(err, -r, "running " NFT);
	}
	if (status != 0) {
		read_complaint(out, complaint, sizeof(complaint));
		return err_refuse(
			err, EPROTO, "loading the session's network rules: %s", complaint);
	}
	return 0;
}

/*
 * Are the rules in force? No plan lets out a protocol that is neither TCP nor UDP, so the kernel must
 * refuse one; the link's other end is still down, and a packet that gets by ends there.
 */
static int prove_rules(const struct subnet *subnet, struct err *err)
{
	const struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {subnet->gateway}};
	cleanup_close int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, EXPERIMENTAL_PROTOCOL);

	if (fd < 0) {
		return err_set(err, errno, "making a socket to try the session's network rules");
	}
	if (sendto(fd, "?", 1, 0, (const struct sockaddr *)&to, sizeof(to)) >= 0 ||
		errno != EPERM) {
		return err_refuse(
			err, EPROTO, "the session's network rules were loaded and have no effect");
	}
	return 0;
}

/* ---- the namespace ---- */

static int open_own_namespace(void)
{
	int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int network_enter(const struct network *network, struct err *err)
{
	if (network->inside >= 0 && setns(network->inside, CLONE_NEWNET) < 0) {
		return err_set(err, errno, "entering the session's network");
	}
	return 0;
}

void network_leave(const struct network *network)
{
	/* To go on in a session's network, taking it for the host's, would be the end of all promises. */
	if (network->home >= 0 && setns(network->home, CLONE_NEWNET) < 0) {
		abort();
	}
}

static int listen_inside(int type, uint16_t port, struct err *err)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr = {htonl(INADDR_LOOPBACK)}};
	cleanup_close int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 ||
		(type == SOCK_STREAM && listen(fd, 64) < 0)) {
		return err_set(err, errno, "listening on 127.0.0.1:%u inside", port);
	}
	return take_fd(&fd);
}

static int make_sockets(const struct plan *plan, struct network *network, struct err *err)
{
	const struct {
		bool wanted;
		int type;
		uint16_t port;
	} table[] = {{plan->net.resolver, SOCK_DGRAM, 53}, {plan->net.resolver, SOCK_STREAM, 53},
		{plan->net.proxy != NULL, SOCK_STREAM, NETD_PROXY_PORT}};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (table[i].wanted) {
			network->sockets[i] = listen_inside(table[i].type, table[i].port, err);
			if (network->sockets[i] < 0) {
				return network->sockets[i];
			}
		}
	}
	return 0;
}

/* A switch of the namespace we are in; one that this kernel does not have needs no switching. */
static int set_switch(const char *family, const char *link, const char *name, const char *value)
{
	char path[96];
	int r = 0;

	(void)snprintf(path, sizeof(path), "/proc/sys/net/%s/conf/%s/%s", family, link, name);
	r = io_write_file(AT_FDCWD, path, value);
	return r == -ENOENT ? 0 : r;
}

/* In the new namespace. Nobody is in it yet, and the rules are there before the link is up. */
static int furnish(
	const struct plan *plan, struct network *network, const char *host, struct err *err)
{
	const struct subnet *subnet = &network->subnet;
	cleanup_free char *rules = NULL;
	int r = links_up("lo", 0, 0);

	if (r < 0) {
		return err_set(err, -r, "bringing the session's loopback up");
	}
	if (plan->net.pool) {
		r = set_switch("ipv6", "default", "disable_ipv6", "1");
		r = r < 0 ? r : links_add_pair(INNER_LINK, network->link, network->home);
		if (r < 0) {
			return err_set(err, -r, "making the session's link");
		}
	}
	if (plan->net.rules) {
		rules = fill(plan->net.rules, subnet, host);
		r = rules ? load_rules(rules, err) : err_set(err, ENOMEM, "making rules");
		if (r < 0) {
			return r;
		}
	}
	if (plan->net.pool) {
		r = links_up(INNER_LINK, subnet->address, subnet->netmask);
		r = r < 0 ? r : links_add_default_route(subnet->gateway);
		if (r < 0) {
			return err_set(err, -r, "giving the session's link its addresses");
		}
	}
	r = plan->net.rules ? prove_rules(subnet, err) : 0;
	if (r < 0) {
		return r;
	}
	return make_sockets(plan, network, err);
}

/* The host's side of the link: last, when there is something behind it. */
static int attach(const struct network *network, struct err *err)
{
	int r = set_switch("ipv6", network->link, "disable_ipv6", "1");

	r = r < 0 ? r : set_switch("ipv4", network->link, "rp_filter", "1");
	r = r < 0 ? r : links_up(network->link, network->subnet.gateway, network->subnet.netmask);
	return r < 0 ? err_set(err, -r, "bringing %s up", network->link) : 0;
}

/* The host's table and its switch: the same for all sessions, and left as they are afterwards. */
static int prepare_host(const struct plan *plan, struct err *err)
{
	int r = load_rules(plan->net.host_rules, err);

	if (r < 0) {
		return r;
	}
	r = io_write_file(AT_FDCWD, "/proc/sys/net/ipv4/ip_forward", "1");
	return r < 0 ? err_set(err, -r, "turning on net.ipv4.ip_forward") : 0;
}

static int make_namespace(const struct plan *plan, struct network *network, struct err *err)
{
	cleanup_free char *host = list_own_addresses();
	int r = 0;

	if (!host) {
		return err_set(err, ENOMEM, "listing the host's addresses");
	}
	network->home = open_own_namespace();
	if (network->home < 0) {
		return err_set(err, -network->home, "opening the host's network namespace");
	}
	if (unshare(CLONE_NEWNET) < 0) {
		return err_set(err, errno, "making the session's network namespace");
	}
	network->inside = open_own_namespace();
	r = network->inside < 0
		? err_set(err, -network->inside, "opening the session's network namespace")
		: furnish(plan, network, host, err);
	network_leave(network);
	return r;
}

int network_prepare(
	const struct plan *plan, const char *id, struct network *network, struct err *err)
{
	int r = 0;

	if (plan->net.pool) {
		(void)snprintf(network->link, sizeof(network->link), "%s-%.12s",
			plan->net.rules ? "cl" : "cx", id);
		r = subnet_take(network->link, &network->subnet, err);
		r = r < 0 ? r : prepare_host(plan, err);
	}
	r = r < 0 ? r : make_namespace(plan, network, err);
	if (r == 0 && plan->net.pool) {
		r = attach(network, err);
	}
	return r;
}

/* ---- cloche-netd ---- */

/* The host's resolvers, as its own programs find them. None is no error: nothing is answered then. */
static void read_resolvers(struct netd_config *config)
{
	cleanup_free char *text = NULL;
	char *rest = NULL;

	if (io_read_file(AT_FDCWD, "/etc/resolv.conf", 65536, &text, NULL) < 0) {
		return;
	}
	rest = text;
	for (char *line = NULL; (line = strsep(&rest, "\n"));) {
		static const char key[] = "nameserver";
		if (strncmp(line, key, sizeof(key) - 1) != 0 ||
			config->resolver_count == NETD_RESOLVERS) {
			continue;
		}
		line += sizeof(key) - 1;
		line += strspn(line, " \t");
		config->resolver_count += address_parse(
			line, strcspn(line, " \t\r"), &config->resolvers[config->resolver_count]);
	}
}

/* The configuration as a sealed file. Returns a descriptor or negative errno. */
static int make_config(const struct plan *plan, uint32_t uid)
{
	cleanup_free struct netd_config *config = calloc(1, sizeof(*config));
	size_t count = strv_length(plan->net.proxy);

	if (!config || count > RULES_MAX) {
		return -ENOMEM;
	}
	config->magic = NETD_MAGIC;
	config->uid = config->gid = uid;
	config->dns = plan->net.resolver;
	config->proxy = plan->net.proxy != NULL;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(plan->net.proxy[i], "*") == 0) {
			config->rules[i].kind = RULE_ANY;
		} else if (rule_parse(plan->net.proxy[i], &config->rules[i])) {
			return -EINVAL;
		}
	}
	config->rule_count = (uint32_t)count;
	read_resolvers(config);
	return io_sealed_memfd("cloche-netd-config", config, sizeof(*config));
}

/* Between fork and exec: system calls only. */
static void become_netd(const int fds[NETD_FDS], int program) __attribute__((noreturn));
static void become_netd(const int fds[NETD_FDS], int program)
{
	static char name[] = "cloche-netd";
	static char *const argv[] = {name, NULL};
	static char *const env[] = {NULL};
	int moved[NETD_FDS + 1];
	const int above = NETD_CONTROL_FD + NETD_FDS + 1;

	for (int i = 0; i <= NETD_FDS; i++) {
		int fd = i < NETD_FDS ? fds[i] : program;
		moved[i] = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, above + NETD_FDS + 1);
	}
	for (int fd = 0; fd < above; fd++) {
		(void)close(fd);
	}
	for (int i = 0; i < NETD_FDS; i++) {
		if (moved[i] >= 0 && dup2(moved[i], NETD_CONTROL_FD + i) < 0) {
			_exit(125);
		}
	}
	(void)syscall(SYS_execveat, moved[NETD_FDS], "", argv, env, AT_EMPTY_PATH);
	_exit(125);
}

/* Waits for the byte that says that it is confined. */
static int await_netd(struct network *network, struct err *err)
{
	struct timeval patience = {.tv_sec = NETD_TIMEOUT_MS / 1000};
	char ready = 0;

	(void)setsockopt(network->control, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	int r = io_read_all(network->control, &ready, 1);
	if (r < 0 || ready != 'r') {
		return err_set(err, r < 0 ? -r : EPROTO, "starting cloche-netd");
	}
	return 0;
}

static int start_netd(
	const struct plan *plan, uint32_t uid, struct network *network, struct err *err)
{
	cleanup_close int program =
		io_sealed_memfd("cloche-netd", launcher_netd_program, launcher_netd_size);
	cleanup_close int config = make_config(plan, uid);
	cleanup_close int theirs = -1;
	int pair[2];
	pid_t pid = 0;

	if (program < 0 || config < 0 ||
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		return err_set(err,
			program < 0          ? -program
				: config < 0 ? -config
					     : errno,
			"preparing cloche-netd");
	}
	network->control = pair[0];
	theirs = pair[1];
	const int fds[NETD_FDS] = {
		theirs, config, network->sockets[0], network->sockets[1], network->sockets[2]};
	pid = fork();
	if (pid == 0) {
		become_netd(fds, program);
	}
	if (pid < 0) {
		return err_set(err, errno, "starting cloche-netd");
	}
	network->helper = proc_pidfd(pid);
	close_fdp(&theirs);
	return await_netd(network, err);
}

static void let_go(struct network *network)
{
	for (size_t i = 0; i < ARRAY_SIZE(network->sockets); i++) {
		close_fdp(&network->sockets[i]);
	}
	close_fdp(&network->inside);
	close_fdp(&network->home);
}

int network_serve(const struct plan *plan, uint32_t uid, struct network *network, struct err *err)
{
	int r = 0;

	if (plan->net.resolver || plan->net.proxy) {
		r = start_netd(plan, uid, network, err);
	}
	let_go(network);
	return r;
}

void network_end(struct network *network)
{
	int status = 0;

	let_go(network);
	close_fdp(&network->control);
	if (network->helper >= 0) {
		(void)proc_signal(network->helper, SIGKILL);
		(void)proc_wait(network->helper, NETD_TIMEOUT_MS, &status);
		close_fdp(&network->helper);
	}
	/* With its namespace it would go by itself, a moment later; its addresses are free now. */
	if (network->link[0]) {
		(void)links_delete(network->link);
		network->link[0] = '\0';
	}
	subnet_release(&network->subnet);
}
