/*
 * FreeBSD: a jail of its own for each session. Compiled anywhere, started on FreeBSD alone.
 *
 *	jail.conf	the jail: its root, name, and all it may not do
 *	fstab		what is mounted below its root, in order: what comes later covers what came before
 *	rctl.conf	its limits, there before the jail is
 *	pf.conf		what passes the one interface of a jail with a network of its own
 *	net-up, net-down, root-up, root-down	what takes a shell: names that only a start knows
 *
 * Only the fstab has paths from outside. Its fields end at blanks and know octal escapes: every byte
 * that is not plain becomes one. In jail.conf all values are in single quotes, and a value that could
 * end them is refused. The command, its directory and its variables are arguments.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "backends/elsewhere.h"
#include "backends/foreign.h"
#include "base/buf.h"
#include "base/parse.h"

#define MIB (UINT64_C(1) << 20)
#define DISK_DEFAULT (64 * MIB)
#define NAME "cloche-{id}"
#define ROOT "{dir}/root"
#define NOBODY 65534

static const struct elsewhere where = {
	.backend = "jail",
	.system = "FreeBSD",
	.path = "/sbin:/bin:/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin",
	.homes = "/home",
	.shell = "/bin/sh",
};

struct builder {
	const struct spec *spec;
	struct plan *plan;
	struct buf fstab, conf, rctl, pf;
	char **made; /* directories below the root that mounts need */
	char **targets; /* what is mounted, as seen inside */
	char *home;
	const char *base; /* host directory that the root shows; NULL: only what is listed */
	uint64_t disk;
	bool scoped, clone, persistent;
	bool own_net; /* a network stack with one interface, behind pf */
	bool failed;
};

static const char *const runtime[] = {"/bin", "/lib", "/libexec", "/sbin", "/usr/bin", "/usr/lib",
	"/usr/libexec", "/usr/sbin", "/usr/share"};

/* ---- fstab ---- */

static bool is_plain(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		strchr("/._-+,:=@%", c);
}

static void put_field(struct buf *out, const char *path)
{
	for (; *path; path++) {
		if (is_plain((unsigned char)*path)) {
			buf_put(out, path, 1);
		} else {
			buf_printf(out, "\\%03o", (unsigned char)*path);
		}
	}
}

static void add_mount(struct builder *b, const char *source, const char *target, const char *type,
	const char *options)
{
	put_field(&b->fstab, source);
	buf_printf(&b->fstab, "\t" ROOT);
	put_field(&b->fstab, strcmp(target, "/") == 0 ? "" : target);
	buf_printf(&b->fstab, "\t%s\t%s\t0\t0\n", type, options);
	b->failed |= strv_append(&b->targets, target) < 0;
	if (b->scoped) {
		b->failed |= strv_append(&b->made, target) < 0;
	}
}

static void add_scratch(struct builder *b, const char *target, uint64_t size, const char *mode)
{
	char options[128];

	(void)snprintf(options, sizeof(options), "rw,nosuid,mode=%s,size=%llu", mode,
		(unsigned long long)size);
	add_mount(b, "tmpfs", target, "tmpfs", options);
}

static void mount_base(struct builder *b)
{
	if (b->base && !b->clone) {
		add_mount(b, b->base, "/", "nullfs", "ro,nosuid");
	} else if (b->base) {
		b->failed |= strv_append(&b->targets, "/") < 0; /* root-up makes it */
	}
	for (size_t i = 0; b->scoped && i < ARRAY_SIZE(runtime); i++) {
		if (!elsewhere_is_covered(runtime[i], b->spec->readable) &&
			!elsewhere_is_covered(runtime[i], b->spec->writable)) {
			add_mount(b, runtime[i], runtime[i], "nullfs", "ro,nosuid");
		}
	}
}

/* A list without what lies below another of its entries: mounted twice, the way there could change. */
static bool is_nested(const char *path, char *const *list, size_t index)
{
	for (size_t i = 0; list[i]; i++) {
		bool same = strcmp(list[i], path) == 0;
		if (i != index && elsewhere_is_below(path, list[i]) && (!same || i < index)) {
			return true;
		}
	}
	return false;
}

static void mount_listed(struct builder *b)
{
	const struct spec *spec = b->spec;

	for (size_t i = 0; spec->readable && spec->readable[i]; i++) {
		if (!is_nested(spec->readable[i], spec->readable, i) &&
			!elsewhere_is_covered(spec->readable[i], spec->writable)) {
			add_mount(b, spec->readable[i], spec->readable[i], "nullfs", "ro,nosuid");
		}
	}
	for (size_t i = 0; spec->writable && spec->writable[i]; i++) {
		if (!is_nested(spec->writable[i], spec->writable, i)) {
			add_mount(b, spec->writable[i], spec->writable[i], "nullfs", "rw,nosuid");
			b->persistent = true;
		}
	}
}

/* Is something listed at, above or below path? */
static bool is_listed_near(const struct spec *spec, const char *path)
{
	char *const *const lists[] = {spec->readable, spec->writable};

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		if (elsewhere_is_covered(path, lists[i])) {
			return true;
		}
		for (size_t j = 0; lists[i] && lists[i][j]; j++) {
			if (elsewhere_is_below(lists[i][j], path)) {
				return true;
			}
		}
	}
	return false;
}

static void mount_scratch(struct builder *b)
{
	if (b->spec->allow_temp) {
		add_mount(b, "/tmp", "/tmp", "nullfs", "rw,nosuid");
		b->persistent = true;
	} else {
		add_scratch(b, "/tmp", b->disk / 4, "1777");
	}
	if (b->scoped && !is_listed_near(b->spec, b->home) &&
		!elsewhere_is_covered(b->home, b->targets)) {
		char options[128];
		(void)snprintf(options, sizeof(options),
			"rw,nosuid,mode=700,uid=%d,gid=%d,size=%llu", NOBODY, NOBODY,
			(unsigned long long)b->disk / 4);
		add_mount(b, "tmpfs", b->home, "tmpfs", options);
	} else if (!b->scoped) {
		add_scratch(b, "/var/tmp", b->disk / 4, "1777");
		add_scratch(b, "/var/run", MIB, "755");
	}
}

/* Is there anything at, above or below path to be seen inside? */
static bool is_shown(const struct builder *b, const char *path)
{
	if (elsewhere_is_covered(path, b->targets)) {
		return true;
	}
	for (size_t i = 0; b->targets && b->targets[i]; i++) {
		if (elsewhere_is_below(b->targets[i], path)) {
			return true;
		}
	}
	return false;
}

static void mount_denials(struct builder *b)
{
	char *const *list = b->spec->read_deny;

	for (size_t i = 0; list && list[i]; i++) {
		if (!is_nested(list[i], list, i) && is_shown(b, list[i])) {
			buf_printf(&b->fstab, "{dir}/empty\t" ROOT);
			put_field(&b->fstab, list[i]);
			buf_printf(&b->fstab, "\tnullfs\tro,nosuid\t0\t0\n");
		}
	}
}

/* ---- jail.conf ---- */

/* name = 'value'; where value cannot end its quotes. */
static int put_value(struct builder *b, const char *name, const char *value, struct err *err)
{
	if (strpbrk(value, "'\\\n\r")) {
		return err_refuse(err, ENOTSUP,
			"%s: '%s' has a quote, a backslash or a line's end, which jail.conf has no "
			"safe form for",
			name, value);
	}
	buf_printf(&b->conf, "\t%s = '%s';\n", name, value);
	return 0;
}

static int write_conf(struct builder *b, struct err *err)
{
	static const char closed[] = "\tmount.fstab = '{dir}/fstab';\n"
				     "\tmount.devfs;\n"
				     "\tdevfs_ruleset = 4;\n"
				     "\tenforce_statfs = 2;\n"
				     "\tchildren.max = 0;\n"
				     "\tsecurelevel = 3;\n"
				     "\tsysvmsg = 'new';\n"
				     "\tsysvsem = 'new';\n"
				     "\tsysvshm = 'new';\n"
				     "\tallow.noset_hostname;\n"
				     "\tallow.noraw_sockets;\n"
				     "\tallow.nochflags;\n"
				     "\tallow.nomount;\n"
				     "\tallow.noquotas;\n"
				     "\tallow.nosocket_af;\n"
				     "\tallow.nomlock;\n"
				     "\tallow.noreserved_ports;\n"
				     "\tallow.nounprivileged_proc_debug;\n"
				     "\texec.clean;\n"
				     "\tpersist;\n";
	static const char *const nets[] = {"\tip4 = 'disable';\n\tip6 = 'disable';\n",
		"\tip4 = 'inherit';\n\tip6 = 'inherit';\n", "\tvnet;\n"};
	const struct spec *spec = b->spec;
	int r = 0;

	buf_printf(&b->conf, NAME " {\n");
	r = put_value(b, "path", ROOT, err);
	r = r < 0 ? r : put_value(b, "host.hostname", b->plan->hostname, err);
	buf_printf(&b->conf, "%s", closed);
	buf_printf(&b->conf, "%s}\n", nets[b->own_net ? 2 : spec->net == NET_ENABLE ? 1 : 0]);
	return r;
}

/* ---- limits ---- */

static void write_rctl(struct builder *b)
{
	const struct spec *spec = b->spec;
	const struct {
		const char *resource;
		uint64_t value;
	} rules[] = {{"memoryuse", spec->memory}, {"swapuse", spec->memory},
		{"maxproc", spec->pids}, {"nthr", spec->pids},
		/* Per cent of one processor. */
		{"pcpu", spec->cpu_milli / 10}};

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		if (rules[i].value > 0) {
			buf_printf(&b->rctl, "jail:" NAME ":%s:deny=%llu\n", rules[i].resource,
				(unsigned long long)rules[i].value);
		}
	}
}

/* ---- network ---- */

struct rule {
	char network[48]; /* "192.0.2.0/24" */
	uint64_t port; /* 0: all */
};

/* A literal IPv4 network. Names and the rest have no rule in pf that would stay true. */
static int parse_rule(const char *text, struct rule *ret, struct err *err)
{
	const char *colon = strchr(text, ':');
	size_t length = colon ? (size_t)(colon - text) : strlen(text);
	char address[32];
	char *slash = NULL;
	uint64_t bits = 32;
	struct in_addr parsed;

	*ret = (struct rule){0};
	if (length < sizeof(address)) {
		memcpy(address, text, length);
		address[length] = '\0';
		slash = strchr(address, '/');
		if (slash) {
			*slash = '\0';
		}
		if ((!colon || parse_range(colon + 1, 1, 65535, &ret->port) == 0) &&
			(!slash || parse_range(slash + 1, 0, 32, &bits) == 0) &&
			inet_pton(AF_INET, address, &parsed) == 1) {
			(void)snprintf(ret->network, sizeof(ret->network), "%s/%u", address,
				(unsigned)bits);
			return 0;
		}
	}
	return err_refuse(err, ENOTSUP,
		"egress: '%s' is not an IPv4 network[:port]: pf knows no names, and this jail has "
		"no IPv6",
		text);
}

static const char no_local[] = "block drop in quick on $if inet from any to <local>\n"
			       "block drop in quick on $if inet from any to (self)\n";
static const char all_out[] =
	"pass in quick on $if inet proto { tcp udp icmp } from $inside to any keep state\n";

static int put_egress(struct builder *b, struct err *err)
{
	char *const *list = b->spec->egress;

	for (size_t i = 0; list && list[i]; i++) {
		struct rule rule;
		char port[16] = "";
		int r = parse_rule(list[i], &rule, err);
		if (r < 0) {
			return r;
		}
		if (rule.port) {
			(void)snprintf(port, sizeof(port), " port %u", (unsigned)rule.port);
		}
		buf_printf(&b->pf,
			"pass in quick on $if inet proto { tcp udp } from $inside to %s%s keep "
			"state\n",
			rule.network, port);
	}
	return 0;
}

static int write_pf(struct builder *b, struct err *err)
{
	const struct spec *spec = b->spec;
	int r = 0;

	if (spec->net == NET_OUTBOUND) {
		buf_printf(&b->pf,
			"table <local> const { 0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 "
			"169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.168.0.0/16 198.18.0.0/15 "
			"224.0.0.0/4 240.0.0.0/4 }\n");
	}
	buf_printf(&b->pf,
		"nat on $ext inet from $inside to any -> ($ext)\n"
		"block drop quick on $if inet6 all\n"
		"block drop in quick on $if inet from ! $inside to any\n");
	if (spec->net == NET_EGRESS) {
		r = put_egress(b, err);
	} else {
		buf_printf(&b->pf, "%s%s", spec->net == NET_OUTBOUND ? no_local : "", all_out);
	}
	for (size_t i = 0; spec->inbound && spec->inbound[i]; i++) {
		buf_printf(&b->pf,
			"pass out quick on $if inet proto tcp from any to $inside port %s keep "
			"state\n",
			spec->inbound[i]);
	}
	buf_printf(&b->pf, "block drop quick on $if all\n");
	return r;
}

/*
 * Addresses come from the session's id: a /30 of 100.64.0.0/10. Without the two anchors in the host's
 * pf.conf the rules would be loaded and never looked at, so that is asked first.
 */
static const char net_up[] =
	"set -eu\n"
	"/sbin/pfctl -s info 2>/dev/null | /usr/bin/grep -q '^Status: Enabled'\n"
	"/sbin/pfctl -s rules 2>/dev/null | /usr/bin/grep -q '^anchor \"cloche/\\*\"'\n"
	"/sbin/pfctl -s nat 2>/dev/null | /usr/bin/grep -q '^nat-anchor \"cloche/\\*\"'\n"
	"id='{id}'\n"
	"net=$(( (100 << 24) + (64 << 16) + 0x$(printf %.5s \"$id\") * 4 ))\n"
	"dotted() { echo \"$(($1 >> 24 & 255)).$(($1 >> 16 & 255)).$(($1 >> 8 & 255)).$(($1 & "
	"255))\"; }\n"
	"host=$(dotted $((net + 1)))\n"
	"inside=$(dotted $((net + 2)))\n"
	"a=cla$(printf %.11s \"$id\")\n"
	"b=clb$(printf %.11s \"$id\")\n"
	"ext=$(/sbin/route -n get default | /usr/bin/awk '/interface:/ { print $2 }')\n"
	"/sbin/pfctl -a 'cloche/{id}' -D \"if=$a\" -D \"inside=$inside\" -D \"ext=$ext\" -f "
	"'{dir}/pf.conf'\n"
	"pair=$(/sbin/ifconfig epair create)\n"
	"/sbin/ifconfig \"$pair\" name \"$a\"\n"
	"/sbin/ifconfig \"${pair%a}b\" name \"$b\"\n"
	"/sbin/ifconfig \"$b\" vnet '" NAME "'\n"
	"/sbin/ifconfig \"$a\" inet \"$host/30\" up\n"
	"/sbin/ifconfig -j '" NAME "' lo0 inet 127.0.0.1/8 up\n"
	"/sbin/ifconfig -j '" NAME "' \"$b\" inet \"$inside/30\" up\n"
	"/sbin/route -j '" NAME "' add default \"$host\"\n";

static const char net_down[] = "/sbin/pfctl -a 'cloche/{id}' -F all\n"
			       "/sbin/ifconfig \"cla$(printf %.11s '{id}')\" destroy\n";

/* $1: a directory that is the mount point of a ZFS dataset; $2: how much may be written. */
static const char root_up[] =
	"set -eu\n"
	"ds=$(/sbin/zfs list -H -o name \"$1\")\n"
	"[ \"$(/sbin/zfs get -H -o value mountpoint \"$ds\")\" = \"$1\" ]\n"
	"/sbin/zfs snapshot \"$ds@" NAME "\"\n"
	"/sbin/zfs clone -o mountpoint='" ROOT "' -o setuid=off -o quota=\"$2\" \\\n"
	"\t\"$ds@" NAME "\" \"${ds%%/*}/" NAME "\"\n";

static const char root_down[] = "ds=$(/sbin/zfs list -H -o name \"$1\")\n"
				"/sbin/zfs destroy -f \"${ds%%/*}/" NAME "\"\n"
				"/sbin/zfs destroy \"$ds@" NAME "\"\n";

/* ---- files and steps ---- */

static void add_file(struct builder *b, const char *name, const char *content)
{
	b->failed |= plan_add_file(b->plan, name, content, 0600) < 0;
}

static void add_buf(struct builder *b, const char *name, struct buf *buf)
{
	buf_put_u8(buf, '\0');
	b->failed |= buf->failed;
	if (!b->failed) {
		add_file(b, name, (const char *)buf->data);
	}
}

static void add_step(struct builder *b, enum plan_when when, const char *const words[])
{
	b->failed |= plan_add_step(b->plan, when, (char *const *)(size_t)words) < 0;
}

#define STEP(b, when, ...) add_step(b, when, (const char *const[]){__VA_ARGS__, NULL})

static void add_scoped_root(struct builder *b)
{
	cleanup(strv_freep) char **mkdir = NULL;

	STEP(b, PLAN_BEFORE, "/sbin/mount", "-t", "tmpfs", "-o", "rw,nosuid,mode=755,size=1048576",
		"tmpfs", ROOT);
	b->failed |= strv_append(&mkdir, "/bin/mkdir") < 0 || strv_append(&mkdir, "-p") < 0 ||
		strv_append(&mkdir, ROOT "/dev") < 0;
	for (size_t i = 0; b->made && b->made[i]; i++) {
		cleanup_free char *text = foreign_literal(b->made[i]);
		b->failed |= !text || strv_appendf(&mkdir, ROOT "%s", text) < 0;
	}
	b->failed |= b->failed || plan_add_step(b->plan, PLAN_BEFORE, mkdir) < 0;
}

static void add_steps(struct builder *b)
{
	cleanup_free char *base = b->base ? foreign_literal(b->base) : NULL;
	char quota[24];

	(void)snprintf(quota, sizeof(quota), "%llu", (unsigned long long)b->disk / 2);
	STEP(b, PLAN_BEFORE, "/bin/mkdir", ROOT, "{dir}/empty");
	if (b->rctl.size > 1) {
		STEP(b, PLAN_BEFORE, "/bin/sh", "-c",
			"set -e; while read -r rule; do /usr/bin/rctl -a \"$rule\"; done <\"$0\"",
			"{dir}/rctl.conf");
	}
	if (b->clone) {
		STEP(b, PLAN_BEFORE, "/bin/sh", "{dir}/root-up", base ? base : "", quota);
	} else if (b->scoped) {
		add_scoped_root(b);
	}
	STEP(b, PLAN_BEFORE, "/usr/sbin/jail", "-f", "{dir}/jail.conf", "-c", NAME);
	if (b->own_net) {
		STEP(b, PLAN_BEFORE, "/bin/sh", "{dir}/net-up");
	}
	STEP(b, PLAN_KILL, "/usr/bin/pkill", "-9", "-j", NAME);
	STEP(b, PLAN_AFTER, "/usr/sbin/jail", "-f", "{dir}/jail.conf", "-r", NAME);
	if (b->own_net) {
		STEP(b, PLAN_AFTER, "/bin/sh", "{dir}/net-down");
	}
	if (b->rctl.size > 1) {
		STEP(b, PLAN_AFTER, "/usr/bin/rctl", "-r", "jail:" NAME);
	}
	if (b->clone) {
		STEP(b, PLAN_AFTER, "/bin/sh", "{dir}/root-down", base ? base : "");
	} else if (b->scoped) {
		STEP(b, PLAN_AFTER, "/sbin/umount", ROOT);
	}
}

static void add_files(struct builder *b)
{
	add_buf(b, "jail.conf", &b->conf);
	add_buf(b, "fstab", &b->fstab);
	add_buf(b, "rctl.conf", &b->rctl);
	if (b->own_net) {
		add_buf(b, "pf.conf", &b->pf);
		add_file(b, "net-up", net_up);
		add_file(b, "net-down", net_down);
	}
	if (b->clone) {
		add_file(b, "root-up", root_up);
		add_file(b, "root-down", root_down);
	}
}

static int write_command(struct builder *b, struct err *err)
{
	static const char *const words[] = {"/usr/sbin/jexec", "-u", "nobody", NAME};
	cleanup_free char *dir = foreign_literal(b->plan->dir);

	b->failed |= !dir;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		b->failed |= strv_append(&b->plan->command, words[i]) < 0;
	}
	return b->failed ? err_set(err, ENOMEM, "compiling the plan")
			 : elsewhere_add_session(b->plan, "/bin/sh", dir, NULL, err);
}

/* ---- what is refused ---- */

static int refuse_views(const struct spec *spec, struct err *err)
{
	static const char *const scratch[] = {"/tmp", "/var/tmp", "/var/run"};
	bool throws = spec->write == WRITE_EPHEMERAL || spec->write == WRITE_OVERLAY;

	if (spec->root == ROOT_IMAGE) {
		return err_refuse(err, ENOTSUP,
			"root: image: unpack it into a ZFS dataset and use root: directory");
	}
	if (spec->root == ROOT_DIRECTORY && spec->readable) {
		return err_refuse(err, ENOTSUP,
			"readable: with root: directory that directory is all there is to read; "
			"leave "
			"readable out");
	}
	if (throws && spec->readable) {
		return err_refuse(err, ENOTSUP,
			"write: throw-away writes need a whole root to clone; leave readable out, "
			"or use "
			"root: directory");
	}
	for (size_t i = 0; i < (spec->readable ? 1 : ARRAY_SIZE(scratch)); i++) {
		if (is_listed_near(spec, scratch[i])) {
			return err_refuse(err, ENOTSUP,
				"readable, writable: nothing at, above or below %s can be shown: "
				"the jail has "
				"one of its own; list other places, or allow_temp",
				scratch[i]);
		}
	}
	for (size_t i = 0; spec->read_deny && spec->read_deny[i]; i++) {
		if (elsewhere_is_covered(spec->read_deny[i], spec->writable) ||
			(spec->allow_temp && elsewhere_is_below(spec->read_deny[i], "/tmp"))) {
			return err_refuse(err, ENOTSUP,
				"read_deny: '%s' is in a writable path, where a session could put "
				"a link "
				"for the next one's mount; keep it outside",
				spec->read_deny[i]);
		}
	}
	return 0;
}

static int refuse_unsupported(const struct spec *spec, struct err *err)
{
	if (spec->ids != IDS_AUTO) {
		return err_refuse(err, ENOTSUP,
			"ids: a jail is made by root and its sessions run as nobody; use ids: "
			"auto");
	}
	return refuse_views(spec, err);
}

/* ---- the plan ---- */

static int choose_places(struct builder *b)
{
	const struct spec *spec = b->spec;
	struct plan *plan = b->plan;

	b->scoped = spec->readable != NULL;
	b->base = b->scoped ? NULL : spec->root == ROOT_DIRECTORY ? spec->root_path : "/";
	b->clone = spec->write == WRITE_EPHEMERAL || spec->write == WRITE_OVERLAY;
	b->disk = spec->disk ? spec->disk : DISK_DEFAULT;
	b->own_net = spec->net == NET_OUTBOUND || spec->net == NET_EGRESS || spec->inbound;
	if (spec->home) {
		b->home = strdup(spec->home);
	} else if (asprintf(&b->home, "/home/%s", plan->user) < 0) {
		b->home = NULL;
	}
	plan->disk = b->disk;
	plan->memory = spec->memory;
	plan->pids = spec->pids;
	plan->cpu_milli = spec->cpu_milli;
	plan->uid = plan->gid = NOBODY;
	plan->hostname = strdup(spec->hostname ? spec->hostname : "cloche");
	plan->dir = strdup(spec->dir ? spec->dir : b->scoped && b->home ? b->home : "/");
	return plan->hostname && plan->dir && b->home ? 0 : -ENOMEM;
}

static int end(const struct builder *b, struct err *err)
{
	const struct spec *spec = b->spec;
	const bool limited = spec->memory || spec->pids || spec->cpu_milli;
	const bool own = spec->root == ROOT_DIRECTORY && !b->persistent;
	const bool shared_net = spec->net == NET_ENABLE && !b->own_net;
	const struct elsewhere_promise promises[] = {
		{CAPABILITY_NET_DISABLE, spec->net == NET_DISABLE, true},
		{CAPABILITY_NET_ENABLE, spec->net == NET_ENABLE, true},
		{CAPABILITY_NET_OUTBOUND, spec->net == NET_OUTBOUND, b->own_net},
		{CAPABILITY_NET_EGRESS, spec->net == NET_EGRESS, b->own_net},
		{CAPABILITY_NET_INBOUND, spec->inbound != NULL, b->own_net},
		{CAPABILITY_FS_READ_HOST, !b->scoped && spec->root == ROOT_HOST, true},
		{CAPABILITY_FS_READ_SCOPE, b->scoped || spec->root == ROOT_DIRECTORY, true},
		{CAPABILITY_FS_READ_DENY, spec->read_deny != NULL, true},
		{CAPABILITY_FS_WRITE_DENY, spec->write == WRITE_NONE, true},
		{CAPABILITY_FS_WRITE_SCOPE,
			spec->write == WRITE_SCOPE || spec->write == WRITE_OVERLAY, true},
		{CAPABILITY_FS_WRITE_EPHEMERAL, b->clone, true},
		{CAPABILITY_ENV_SCRUB, spec->env_allow || spec->env_deny, true},
		{CAPABILITY_IPC_RESTRICT, own, !shared_net},
		{CAPABILITY_RES_CPU, spec->cpu_milli > 0, true},
		{CAPABILITY_RES_MEMORY, spec->memory > 0, true},
		{CAPABILITY_RES_PIDS, spec->pids > 0, true},
		{CAPABILITY_RES_DISK, !b->persistent, true},
		{CAPABILITY_RES_TIME, spec->timeout > 0, true},
		{CAPABILITY_PROC_ISOLATION, true, true},
	};
	const struct elsewhere_note notes[] = {
		{true, "jail.single_uid"},
		{limited, "jail.rctl.tunable"},
		{spec->cpu_milli > 0, "jail.cpu.by_percent"},
		{b->own_net, "jail.pf.anchors"},
		{b->own_net, "jail.net.ipv4_only"},
		{spec->net == NET_OUTBOUND, "jail.outbound.no_local"},
		{spec->inbound != NULL, "jail.inbound.from_host"},
		{shared_net, "jail.enable.host_network"},
		{b->base != NULL, "fs.submounts_hidden"},
		{!b->scoped && spec->root == ROOT_HOST, "fs.read_host.sockets_reachable"},
		{b->scoped, "fs.read_scope.runtime_added"},
		{b->scoped, "jail.paths.directories"},
		{spec->read_deny != NULL, "jail.read_deny.directories"},
		{b->persistent, "fs.write_scope.hard_links"},
		{b->persistent, "fs.write_scope.disk_unbounded"},
		{b->persistent, "fs.write_scope.set_id"},
		{b->persistent, "fs.write_scope.shares_sockets"},
		{b->persistent, "jail.write_scope.by_mode"},
		{b->persistent && spec->disk > 0, "jail.disk.scratch_only"},
		{b->clone, "jail.clone.dataset"},
		{spec->no_exec, "jail.no_exec"},
		{spec->mach_allow != NULL, "mach.ignored"},
	};

	return elsewhere_end(&where, spec, promises, ARRAY_SIZE(promises), notes, ARRAY_SIZE(notes),
		b->plan, err);
}

static int build(struct builder *b, struct err *err)
{
	int r = choose_places(b);

	if (r < 0) {
		return err_set(err, ENOMEM, "compiling the plan");
	}
	mount_base(b);
	mount_scratch(b);
	mount_listed(b);
	mount_denials(b);
	write_rctl(b);
	r = write_conf(b, err);
	r = r < 0 || !b->own_net ? r : write_pf(b, err);
	if (r < 0) {
		return r;
	}
	add_steps(b);
	add_files(b);
	r = write_command(b, err);
	return r < 0 ? r : end(b, err);
}

static int fill(const struct spec *spec, struct plan *plan, struct err *err)
{
	struct builder b = {.spec = spec, .plan = plan};
	int r = build(&b, err);

	buf_fini(&b.fstab);
	buf_fini(&b.conf);
	buf_fini(&b.rctl);
	buf_fini(&b.pf);
	strv_free(b.made);
	strv_free(b.targets);
	free(b.home);
	return r;
}

static int jail_compile(const struct spec *spec, const struct host *host, uint32_t without,
	struct plan **ret_plan, struct err *err)
{
	static const struct elsewhere_compiler how = {&where, {refuse_unsupported}, fill};

	(void)host; /* not the system this is for */
	return elsewhere_compile(&how, spec, without, ret_plan, err);
}

static int jail_probe(const struct host *host, struct err *err)
{
	return elsewhere_refuse(&where, err);
}

#define HAS(name) (UINT64_C(1) << CAPABILITY_##name)

const struct backend backend_jail = {
	.name = "jail",
	.summary = "a FreeBSD jail with rctl, pf and nullfs; compiled here, run on FreeBSD",
	.enforces = {HAS(NET_DISABLE) | HAS(NET_ENABLE) | HAS(NET_OUTBOUND) | HAS(NET_EGRESS) |
		HAS(NET_INBOUND) | HAS(FS_READ_HOST) | HAS(FS_READ_SCOPE) | HAS(FS_READ_DENY) |
		HAS(FS_WRITE_DENY) | HAS(FS_WRITE_SCOPE) | HAS(FS_WRITE_EPHEMERAL) |
		HAS(ENV_SCRUB) | HAS(IPC_RESTRICT) | HAS(RES_CPU) | HAS(RES_MEMORY) |
		HAS(RES_PIDS) | HAS(RES_DISK) | HAS(RES_TIME) | HAS(PROC_ISOLATION)},
	.probe = jail_probe,
	.compile = jail_compile,
	.start = elsewhere_start,
	.signal = elsewhere_signal,
	.poll_exit = elsewhere_poll_exit,
	.usage = elsewhere_usage,
	.destroy = elsewhere_destroy,
};
