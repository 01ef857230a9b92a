/*
 * Two ways out, and no third. A link: a pair of virtual Ethernet devices whose inner end is in a
 * namespace that the sandbox does not own, so that the rules loaded there before it starts are not
 * its to change; they die with it, and nothing per session is left in the host's tables. A proxy:
 * sockets inside that cloche-netd serves from the host's namespace, for hosts listed by name.
 *
 * outbound has a link and the host's resolvers. egress has the proxy, and a link when it lists IPv4
 * networks or lets somebody in; names are resolved by the proxy alone, so that there is no question
 * of DNS to be filtered. The host's own table is the same for all sessions: it forwards for links,
 * hides their addresses behind the host's, lets nothing in, nothing across, and nothing to itself,
 * which it sees before anybody's port forwarding has changed where a packet goes.
 */
#include "backends/native-net.h"

#include <errno.h>
#include <string.h>

#include "backends/linux/netd/rules.h"
#include "backends/linux/subnet.h"
#include "base/buf.h"

/* The same as address_is_denied(); a test compares them. */
#define DENIED                                                                                     \
	"0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, "       \
	"192.0.0.0/24, 192.168.0.0/16, 224.0.0.0/4, 240.0.0.0/4"

/* At once, of a session through its link: the host's table of connections is everybody's. */
#define MAX_FLOWS "1024"

/* cl-: links of sessions; cx-: links whose rules were left out on request. */
static const char host_rules[] =
	"table inet cloche\n"
	"delete table inet cloche\n"
	"table inet cloche {\n"
	"\tchain arrive {\n"
	"\t\ttype filter hook prerouting priority mangle; policy accept;\n"
	"\t\tiifname \"cl-*\" meta nfproto ipv6 drop\n"
	"\t\tiifname \"cl-*\" fib saddr . iif oif missing drop\n"
	"\t\tiifname \"cl-*\" ct state established,related accept\n"
	"\t\tiifname \"cl-*\" fib daddr type { local, broadcast, multicast } drop\n"
	"\t}\n"
	"\tchain to_host {\n"
	"\t\ttype filter hook input priority -10; policy accept;\n"
	"\t\tiifname \"cl-*\" ct state established,related accept\n"
	"\t\tiifname \"cl-*\" drop\n"
	"\t}\n"
	"\tchain across {\n"
	"\t\ttype filter hook forward priority -10; policy accept;\n"
	"\t\tiifname \"cl-*\" oifname \"cl-*\" drop\n"
	"\t\toifname \"cl-*\" ct state established,related accept\n"
	"\t\toifname \"cl-*\" drop\n"
	"\t}\n"
	"\tchain leave {\n"
	"\t\ttype nat hook postrouting priority srcnat; policy accept;\n"
	"\t\tip saddr " SUBNET_POOL " oifname != { \"cl-*\", \"cx-*\", \"lo\" } masquerade\n"
	"\t}\n"
	"}\n";

static void put_head(struct buf *out)
{
	buf_printf(out,
		"table inet cloche {\n"
		"\tset denied {\n"
		"\t\ttype ipv4_addr; flags interval\n"
		"\t\telements = { " DENIED " }\n"
		"\t}\n"
		"\tset host {\n"
		"\t\ttype ipv4_addr\n"
		"\t\telements = { {host} }\n"
		"\t}\n"
		"\tchain out {\n"
		"\t\ttype filter hook output priority filter; policy drop;\n"
		"\t\toifname \"lo\" accept\n"
		"\t\tmeta nfproto ipv6 reject with icmpx admin-prohibited\n"
		"\t\tip saddr != {address} drop\n"
		"\t\tct state established accept\n"
		"\t\tip daddr @host reject with icmpx admin-prohibited\n"
		"\t\tct count over " MAX_FLOWS " reject with icmpx admin-prohibited\n");
}

/* What egress lists; the host's addresses have been refused before. */
static void put_networks(struct buf *out, const struct rule *rules, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct rule *rule = &rules[i];
		const uint8_t *at = rule->network.bytes;
		if (rule->kind != RULE_NETWORK || rule->network.family != 4) {
			continue;
		}
		buf_printf(out, "\t\tip daddr %u.%u.%u.%u/%u meta l4proto { tcp, udp } ", at[0],
			at[1], at[2], at[3], rule->bits);
		if (rule->port) {
			buf_printf(out, "th dport %u ", rule->port);
		}
		buf_printf(out, "accept\n");
	}
}

/* The rest of the way out, and the way in. */
static void put_tail(struct buf *out, const struct spec *spec)
{
	if (spec->net == NET_OUTBOUND) {
		buf_printf(out,
			"\t\tip daddr @denied reject with icmpx admin-prohibited\n"
			"\t\tmeta l4proto { tcp, udp } accept\n");
	}
	buf_printf(out,
		"\t\treject with icmpx admin-prohibited\n"
		"\t}\n"
		"\tchain in {\n"
		"\t\ttype filter hook input priority filter; policy drop;\n"
		"\t\tiifname \"lo\" accept\n"
		"\t\tct state established,related accept\n");
	if (spec->inbound) {
		buf_printf(out, "\t\tiifname \"eth0\" ip saddr {gateway} tcp dport { ");
		for (size_t i = 0; spec->inbound[i]; i++) {
			buf_printf(out, "%s%s", i ? ", " : "", spec->inbound[i]);
		}
		buf_printf(out, " } accept\n");
	}
	buf_printf(out,
		"\t}\n"
		"\tchain across {\n"
		"\t\ttype filter hook forward priority filter; policy drop;\n"
		"\t}\n"
		"}\n");
}

static int make_link(
	const struct spec *spec, const struct rule *rules, size_t count, struct plan *plan)
{
	struct buf text = {0};

	plan->net.pool = strdup(SUBNET_POOL);
	plan->net.host_rules = strdup(host_rules);
	if (!(plan->without & PLAN_LAYER_NET_RULES)) {
		put_head(&text);
		put_networks(&text, rules, count);
		put_tail(&text, spec);
		buf_put_u8(&text, 0);
		plan->net.rules = text.failed ? NULL : strdup((const char *)text.data);
		buf_fini(&text);
		if (!plan->net.rules) {
			return -ENOMEM;
		}
	}
	return plan->net.pool && plan->net.host_rules ? 0 : -ENOMEM;
}

static int make_proxy(const struct spec *spec, struct plan *plan)
{
	if (plan->without & PLAN_LAYER_NET_RULES) {
		return strv_append(&plan->net.proxy, "*");
	}
	return strv_copy(spec->egress, &plan->net.proxy);
}

/* Reads all rules, or says which cannot be read. */
static int read_rules(
	const struct spec *spec, struct rule *rules, size_t *ret_count, struct err *err)
{
	size_t count = strv_length(spec->egress);

	if (count > RULES_MAX) {
		return err_refuse(err, EINVAL, "egress: at most %d rules", RULES_MAX);
	}
	for (size_t i = 0; i < count; i++) {
		const char *problem = rule_parse(spec->egress[i], &rules[i]);
		if (problem) {
			return err_refuse(
				err, EINVAL, "egress: '%s': %s", spec->egress[i], problem);
		}
	}
	*ret_count = count;
	return 0;
}

static bool lists_network4(const struct rule *rules, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (rules[i].kind == RULE_NETWORK && rules[i].network.family == 4) {
			return true;
		}
	}
	return false;
}

static int check_host(const char *what, bool link, const struct host *host, struct err *err)
{
	if (!host->root) {
		return err_refuse(err, ENOTSUP,
			"%s: a network with a way out needs root; use net: disable, or start as "
			"root",
			what);
	}
	if (link && !host->nft) {
		return err_refuse(err, ENOTSUP,
			"%s: the rules are loaded by nft, and there is no /usr/sbin/nft here "
			"(apt-get install nftables)",
			what);
	}
	return 0;
}

static int note(const struct spec *spec, struct plan *plan)
{
	const struct {
		bool holds;
		const char *caveat;
	} table[] = {
		{plan->net.pool != NULL, "net.link.no_ipv6"},
		{plan->net.pool != NULL, "net.link.forwarding"},
		{spec->net == NET_OUTBOUND, "net.outbound.not_a_filter"},
		{plan->net.resolver, "net.outbound.resolver"},
		{plan->net.proxy != NULL, "net.egress.names_by_proxy"},
		{spec->inbound != NULL, "net.inbound.from_host"},
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(table); i++) {
		r = table[i].holds ? plan_add_caveat(plan, table[i].caveat) : 0;
	}
	return r;
}

int native_net_compile(
	const struct spec *spec, const struct host *host, struct plan *plan, struct err *err)
{
	cleanup_free struct rule *rules = calloc(RULES_MAX, sizeof(*rules));
	const char *what = spec->net == NET_OUTBOUND ? "net.outbound" : "net.egress";
	size_t count = 0;
	bool link = false;
	int r = rules ? read_rules(spec, rules, &count, err) : -ENOMEM;

	if (r < 0) {
		return r;
	}
	if (spec->net == NET_ENABLE && spec->inbound) {
		return err_refuse(err, ENOTSUP,
			"net.inbound: with net: enable the session listens on the host's own "
			"network, where nothing limits it; use net: outbound or egress");
	}
	link = spec->net == NET_OUTBOUND || spec->inbound || lists_network4(rules, count) ||
		(spec->net == NET_EGRESS && plan->without & PLAN_LAYER_NET_RULES);
	if ((spec->net != NET_OUTBOUND && spec->net != NET_EGRESS) || (!link && count == 0)) {
		return 0;
	}
	r = check_host(what, link, host, err);
	if (r < 0 || !(plan->namespaces & PLAN_NS_NET)) {
		return r;
	}
	plan->net.resolver = spec->net == NET_OUTBOUND;
	r = link ? make_link(spec, rules, count, plan) : 0;
	r = r == 0 && spec->net == NET_EGRESS && count > 0 ? make_proxy(spec, plan) : r;
	return r < 0 ? r : note(spec, plan);
}

int native_net_environment(const struct plan *plan, char ***env)
{
	static const struct {
		const char *name, *value;
	} variables[] = {
		/* The proxy has no GET of its own: plain HTTP goes through SOCKS, which all know. */
		{"http_proxy", "socks5h://127.0.0.1:1080"},
		{"HTTP_PROXY", "socks5h://127.0.0.1:1080"},
		{"https_proxy", "http://127.0.0.1:1080"},
		{"HTTPS_PROXY", "http://127.0.0.1:1080"},
		{"all_proxy", "socks5h://127.0.0.1:1080"},
		{"ALL_PROXY", "socks5h://127.0.0.1:1080"},
		{"no_proxy", "localhost,127.0.0.1"},
		{"NO_PROXY", "localhost,127.0.0.1"},
	};
	int r = 0;

	for (size_t i = 0; r == 0 && plan->net.proxy && i < ARRAY_SIZE(variables); i++) {
		if (!strv_getenv(*env, variables[i].name)) {
			r = strv_setenv(env, variables[i].name, variables[i].value);
		}
	}
	strv_sort(*env);
	return r;
}
