/*
 * macOS: a profile for sandbox-exec(1), and the arguments that go with it. Compiled anywhere, started
 * on macOS alone.
 *
 * The last rule that matches an operation decides, so the order of the profile is the policy:
 *
 *	base       everything allowed (broad reads), or everything denied and what programs need to
 *		   start allowed (readable)
 *	processes, Mach, network
 *	writes     all denied but terminals and sinks, then the writable places
 *	denials    last: nothing behind them opens what they close
 *
 * No text from outside stands in the profile. Paths and names travel as arguments (-D NAME=VALUE) and
 * the profile says (param "NAME"), so that no quote or parenthesis in them can end a rule.
 *
 * A path is compared with the real path of a file. Two traps are known to the text alone: /tmp, /var
 * and /etc are links into /private, and /System/Volumes/Data has all that is writable a second time
 * (firmlinks). Denials are written for both spellings; grants for the first alone.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "backends/elsewhere.h"
#include "backends/foreign.h"
#include "base/buf.h"

#define SHELL                                                                                      \
	"/bin/bash" /* not /bin/sh: that one starts another program, which no_exec would stop */
#define WORK "{dir}/work"
#define DATA "/System/Volumes/Data"

static const struct elsewhere where = {
	.backend = "seatbelt",
	.system = "macOS",
	.path = "/usr/bin:/bin:/usr/sbin:/sbin",
	.homes = "/Users",
	.shell = "/bin/zsh",
};

struct builder {
	const struct spec *spec;
	struct plan *plan;
	struct buf profile;
	char **params; /* "-D", "NAME=VALUE", ... */
	size_t writes, reads, denials, above, services;
	bool scoped; /* readable: deny by default */
	bool clone; /* the working directory is a clone of the host's */
	bool failed;
	bool by_proxy; /* some of egress is not on the loopback: a proxy keeps it */
};

#define say(b, ...) buf_printf(&(b)->profile, __VA_ARGS__)

/* value may have placeholders; what came from outside has been through foreign_literal(). */
static void add_param(struct builder *b, const char *name, size_t number, const char *value)
{
	b->failed |= strv_append(&b->params, "-D") < 0 ||
		strv_appendf(&b->params, "%s_%zu=%s", name, number, value) < 0;
}

/* Has this value been given for such a name already? */
static bool has_param(const struct builder *b, const char *name, const char *value)
{
	size_t length = strlen(name);

	for (size_t i = 0; b->params && b->params[i]; i++) {
		const char *text = b->params[i];
		const char *equals = strchr(text, '=');
		if (equals && strncmp(text, name, length) == 0 && text[length] == '_' &&
			strcmp(equals + 1, value) == 0) {
			return true;
		}
	}
	return false;
}

/* The path as the kernel knows it, as far as text can say. The caller frees it; NULL: no memory. */
static char *canonical(const char *path)
{
	static const char *const links[] = {"/tmp", "/var", "/etc"};
	char *text = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
		if (elsewhere_is_below(path, links[i])) {
			return asprintf(&text, "/private%s", path) < 0 ? NULL : text;
		}
	}
	return strdup(path);
}

static void add_path(struct builder *b, const char *name, size_t *count, const char *path)
{
	cleanup_free char *real = canonical(path);
	cleanup_free char *text = real ? foreign_literal(real) : NULL;

	b->failed |= !text;
	if (text && !has_param(b, name, text)) {
		add_param(b, name, (*count)++, text);
	}
}

/* The directories above a path, but for /. */
static void add_above(struct builder *b, const char *path)
{
	cleanup_free char *text = canonical(path);

	b->failed |= !text;
	for (char *slash = text ? strrchr(text, '/') : NULL; slash && slash != text;
		slash = strrchr(text, '/')) {
		*slash = '\0';
		add_path(b, "ABOVE", &b->above, text);
	}
}

static void collect_places(struct builder *b)
{
	const struct spec *spec = b->spec;

	for (size_t i = 0; spec->writable && spec->writable[i]; i++) {
		add_path(b, "WRITE", &b->writes, spec->writable[i]);
	}
	if (spec->allow_temp) {
		add_path(b, "WRITE", &b->writes, "/tmp");
		add_path(b, "WRITE", &b->writes, "/var/folders");
	}
	for (size_t i = 0; spec->readable && spec->readable[i]; i++) {
		add_path(b, "READ", &b->reads, spec->readable[i]);
	}
	for (size_t i = 0; spec->read_deny && spec->read_deny[i]; i++) {
		add_path(b, "DENY", &b->denials, spec->read_deny[i]);
	}
	/* A command given by its path is one of the things that must be readable. */
	if (b->scoped && spec->args[0][0] == '/') {
		add_path(b, "READ", &b->reads, spec->args[0]);
	}
	if (b->clone) {
		add_param(b, "WORK", 0, WORK);
	}
}

/* " (subpath (param \"WRITE_0\"))" for each of count. */
static void say_each(struct builder *b, const char *filter, const char *name, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		say(b, "\n\t(%s (param \"%s_%zu\"))", filter, name, i);
	}
}

/* The same for the second spelling. */
static void say_each_data(struct builder *b, const char *filter, const char *name, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		say(b, "\n\t(%s (string-append \"" DATA "\" (param \"%s_%zu\")))", filter, name, i);
	}
}

/* What any program needs to start, of the system's own. */
static const char runtime[] = "\n\t(subpath \"/bin\") (subpath \"/sbin\") (subpath \"/System\")"
			      "\n\t(subpath \"/usr/bin\") (subpath \"/usr/lib\")"
			      "\n\t(subpath \"/usr/libexec\") (subpath \"/usr/sbin\")"
			      "\n\t(subpath \"/usr/share\") (subpath \"/private/var/db/dyld\")"
			      "\n\t(subpath \"/private/var/db/timezone\")"
			      "\n\t(subpath \"/private/var/select\")"
			      "\n\t(literal \"/private/etc/localtime\")"
			      "\n\t(literal \"/private/etc/hosts\")"
			      "\n\t(literal \"/private/etc/passwd\")"
			      "\n\t(literal \"/private/etc/group\")"
			      "\n\t(literal \"/private/etc/services\")"
			      "\n\t(literal \"/private/etc/protocols\")"
			      "\n\t(subpath \"/private/etc/ssl\")"
			      "\n\t(literal \"/private/var/run/resolv.conf\")";

static const char terminals[] = "\n\t(literal \"/dev/tty\") (literal \"/dev/ptmx\")"
				"\n\t(regex #\"^/dev/ttys[0-9]+$\")";

static void say_scoped_base(struct builder *b)
{
	say(b,
		"; Everything is denied but what follows; the last rule that matches decides.\n"
		"(deny default)\n"
		"(allow process-fork)\n"
		"(allow sysctl-read)\n"
		"(allow pseudo-tty)\n"
		"(allow file-read* file-map-executable process-exec*");
	say(b, "%s)\n", runtime);
	say(b,
		"; /System has the users' files below it a second time.\n"
		"(deny file-read* file-map-executable process-exec* (subpath \"" DATA "\"))\n"
		"(allow file-read* (literal \"/\") (subpath \"/dev/fd\")\n"
		"\t(literal \"/dev/null\") (literal \"/dev/zero\")\n"
		"\t(literal \"/dev/random\") (literal \"/dev/urandom\"))\n"
		"(allow file-read-metadata\n"
		"\t(literal \"/tmp\") (literal \"/var\") (literal \"/etc\") (literal \"/usr\")\n"
		"\t(literal \"/dev\") (literal \"/private\") (literal \"/private/tmp\")\n"
		"\t(literal \"/private/var\") (literal \"/private/etc\"))\n"
		"(allow file-read* file-ioctl");
	say(b, "%s)\n", terminals);
}

/* The listed places, and the directories above them as far as a path's walk looks at them. */
static void say_scopes(struct builder *b)
{
	if (b->reads + b->writes + b->clone > 0) {
		say(b, "(allow file-read* file-map-executable process-exec*");
		say_each(b, "subpath", "READ", b->reads);
		say_each(b, "subpath", "WRITE", b->writes);
		say_each(b, "subpath", "WORK", b->clone);
		say(b, ")\n");
	}
	if (b->above > 0) {
		say(b, "(allow file-read-metadata");
		say_each(b, "literal", "ABOVE", b->above);
		say(b, ")\n");
	}
}

static void say_base(struct builder *b)
{
	say(b, "(version 1)\n");
	if (b->scoped) {
		say_scoped_base(b);
		say_scopes(b);
	} else {
		say(b,
			"; Everything is allowed but what follows; the last rule that matches "
			"decides.\n(allow default)\n");
	}
	say(b,
		"(deny signal process-info*)\n"
		"(allow signal process-info* (target same-sandbox))\n"
		"(deny mach-priv-task-port)\n");
}

static bool has_trust_services(const struct builder *b)
{
	return b->spec->net == NET_ENABLE || b->spec->net == NET_OUTBOUND || b->by_proxy;
}

/* Without the three that check certificates no TLS client of the system works. */
static void say_mach(struct builder *b)
{
	for (size_t i = 0; b->spec->mach_allow && b->spec->mach_allow[i]; i++) {
		cleanup_free char *name = foreign_literal(b->spec->mach_allow[i]);
		b->failed |= !name;
		add_param(b, "MACH", b->services++, name ? name : "");
	}
	say(b, "(deny mach-lookup)\n");
	if (b->services > 0) {
		say(b, "(allow mach-lookup");
		say_each(b, "global-name", "MACH", b->services);
		say(b, ")\n");
	}
	if (has_trust_services(b)) {
		say(b,
			"(allow mach-lookup\n\t(global-name \"com.apple.SecurityServer\")\n"
			"\t(global-name \"com.apple.trustd\")\n"
			"\t(global-name \"com.apple.trustd.agent\"))\n");
	}
}

/* "localhost", "localhost:8080": what the profile itself can tell apart. */
static bool is_local_rule(const char *rule)
{
	return strcmp(rule, "localhost") == 0 || strncmp(rule, "localhost:", 10) == 0;
}

static void say_egress(struct builder *b)
{
	for (size_t i = 0; b->spec->egress && b->spec->egress[i]; i++) {
		const char *rule = b->spec->egress[i];
		if (is_local_rule(rule)) {
			say(b, "(allow network-outbound (remote ip \"%s%s\"))\n", rule,
				strchr(rule, ':') ? "" : ":*");
		}
	}
	if (b->by_proxy) {
		say(b,
			"; The proxy, which keeps the list.\n"
			"(allow network-outbound (remote ip \"localhost:{port:egress}\"))\n");
	}
}

static void say_inbound(struct builder *b)
{
	for (size_t i = 0; b->spec->inbound && b->spec->inbound[i]; i++) {
		say(b, "(allow network-bind network-inbound (local ip \"*:%s\"))\n",
			b->spec->inbound[i]);
	}
}

/*
 * Sockets with a path are network to this kernel. Those of the host (agents, container engines) stay
 * closed in every mode; the resolver's is opened where names are resolved by the session itself.
 */
static void say_net(struct builder *b)
{
	const struct spec *spec = b->spec;
	bool out = spec->net == NET_ENABLE || spec->net == NET_OUTBOUND;

	say(b, "(deny network*)\n");
	if (spec->net != NET_DISABLE) {
		say(b, "(allow system-socket)\n");
	}
	if (out) {
		say(b,
			"(allow network-outbound (remote ip \"*:*\")\n"
			"\t(literal \"/private/var/run/mDNSResponder\"))\n");
	}
	if (out && (spec->net == NET_OUTBOUND || spec->inbound)) {
		say(b, "(allow network-bind (local ip \"localhost:*\"))\n");
	} else if (out) {
		say(b, "(allow network-bind network-inbound (local ip \"*:*\"))\n");
	}
	say_egress(b);
	say_inbound(b);
}

static void say_writes(struct builder *b)
{
	say(b,
		"(deny file-write* (subpath \"/\"))\n"
		"(allow file-write-data (literal \"/dev/null\") (literal \"/dev/zero\")");
	say(b, "%s)\n", terminals);
	if (b->writes + b->clone == 0) {
		return;
	}
	say(b, "(allow file-write*");
	say_each(b, "subpath", "WRITE", b->writes);
	say_each(b, "subpath", "WORK", b->clone);
	say(b, ")\n");
	say(b, "(deny file-write-unlink");
	say_each(b, "literal", "WRITE", b->writes);
	say_each(b, "literal", "WORK", b->clone);
	say(b, ")\n(deny file-write-setugid)\n");
}

/* Where the program's own path is known, it and what starts it are all that may be executed. */
static void say_no_exec(struct builder *b)
{
	size_t count = 0;

	if (!b->spec->no_exec) {
		return;
	}
	add_path(b, "PROGRAM", &count, b->spec->args[0]);
	say(b,
		"(deny process-exec*)\n"
		"(allow process-exec* (literal (param \"PROGRAM_0\"))\n"
		"\t(literal \"" SHELL "\") (literal \"/usr/bin/env\"))\n");
}

/*
 * Disks and memory hold every file without its path. Directories above a denied path must stay where
 * they are: renamed, they would give what is below them another path.
 */
static void say_denials(struct builder *b)
{
	say(b,
		"(deny file-read* file-write* (regex #\"^/dev/r?disk[0-9]\")\n"
		"\t(regex #\"^/dev/bpf[0-9]\") (literal \"/dev/mem\") (literal \"/dev/kmem\"))\n");
	if (b->denials == 0) {
		return;
	}
	say(b, "(deny file* process-exec*");
	say_each(b, "subpath", "DENY", b->denials);
	say_each_data(b, "subpath", "DENY", b->denials);
	say(b, ")\n");
	if (b->above > 0) {
		say(b, "(deny file-write-unlink");
		say_each(b, "literal", "ABOVE", b->above);
		say_each_data(b, "literal", "ABOVE", b->above);
		say(b, ")\n");
	}
}

static void write_profile(struct builder *b)
{
	const struct spec *spec = b->spec;

	collect_places(b);
	for (size_t i = 0; spec->read_deny && spec->read_deny[i]; i++) {
		add_above(b, spec->read_deny[i]);
	}
	for (size_t i = 0; b->scoped && spec->readable[i]; i++) {
		add_above(b, spec->readable[i]);
	}
	for (size_t i = 0; b->scoped && spec->writable && spec->writable[i]; i++) {
		add_above(b, spec->writable[i]);
	}
	say_base(b);
	say_mach(b);
	say_net(b);
	say_writes(b);
	say_no_exec(b);
	say_denials(b);
	buf_put_u8(&b->profile, '\0');
	b->failed |= b->profile.failed;
}

/* ---- around the profile ---- */

static int refuse_spelling(const char *what, const char *path, struct err *err)
{
	if (path && elsewhere_is_below(path, DATA)) {
		return err_refuse(err, ENOTSUP,
			"%s: '%s' is a second spelling; write the path as it is without " DATA,
			what, path);
	}
	return 0;
}

static int check_paths(const struct spec *spec, struct err *err)
{
	const struct {
		const char *name;
		char *const *list;
	} lists[] = {{"writable", spec->writable}, {"readable", spec->readable},
		{"read_deny", spec->read_deny}};
	int r = refuse_spelling("dir", spec->dir, err);

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(lists); i++) {
		for (size_t j = 0; r == 0 && lists[i].list && lists[i].list[j]; j++) {
			r = refuse_spelling(lists[i].name, lists[i].list[j], err);
		}
	}
	return r;
}

/* What this system cannot do at all. */
static int refuse_unsupported(const struct spec *spec, struct err *err)
{
	if (spec->root != ROOT_HOST) {
		return err_refuse(err, ENOTSUP,
			"root: on macOS a process sees the host's files; use root: host with "
			"readable, or "
			"the backend apple-container");
	}
	if (spec->ids == IDS_RANGE) {
		return err_refuse(err, ENOTSUP,
			"ids: range: macOS has no ids for a session alone; use ids: single");
	}
	if (spec->no_exec && spec->args[0][0] != '/') {
		return err_refuse(err, ENOTSUP,
			"no_exec: give the command by its full path; '%s' would be looked up",
			spec->args[0]);
	}
	if (spec->dir && spec->readable && !elsewhere_is_covered(spec->dir, spec->readable) &&
		!elsewhere_is_covered(spec->dir, spec->writable) &&
		!(spec->allow_temp && elsewhere_is_below(spec->dir, "/tmp"))) {
		return err_refuse(err, ENOTSUP,
			"dir: '%s' is below none of the readable and writable paths; home and /tmp "
			"are the "
			"host's here, list them",
			spec->dir);
	}
	return 0;
}

/* The clone is made before the start and goes with the sandbox's directory. */
static int add_clone(struct builder *b, struct err *err)
{
	char work[] = WORK;
	char *make[] = {(char[]){"/bin/mkdir"}, (char[]){"-m"}, (char[]){"0700"}, work, NULL};
	char *copy[] = {(char[]){"/bin/cp"}, (char[]){"-cRp"}, (char[]){"--"}, NULL, work, NULL};
	cleanup_free char *real = b->spec->dir ? canonical(b->spec->dir) : NULL;
	cleanup_free char *dir = real ? foreign_literal(real) : NULL;

	if (b->spec->dir && !dir) {
		return err_set(err, ENOMEM, "compiling the plan");
	}
	copy[3] = dir;
	return plan_add_step(b->plan, PLAN_BEFORE, dir ? copy : make) < 0
		? err_set(err, ENOMEM, "compiling the plan")
		: 0;
}

/* Root would stay root: nothing here takes its powers away. */
static int add_root_check(struct plan *plan)
{
	char *check[] = {(char[]){SHELL}, (char[]){"-c"},
		(char[]){"[ \"$(/usr/bin/id -u)\" -ne 0 ] || { echo \"root's sessions would be "
			 "root's\" >&2; exit 1; }"},
		NULL};

	return plan_add_step(plan, PLAN_BEFORE, check);
}

static int write_command(struct builder *b, struct err *err)
{
	static const char *const proxies[] = {"http_proxy=http://localhost:{port:egress}",
		"https_proxy=http://localhost:{port:egress}",
		"ALL_PROXY=socks5h://localhost:{port:egress}"};
	struct plan *plan = b->plan;
	cleanup(strv_freep) char **extra = NULL;
	cleanup_free char *dir = NULL;
	const char *const words[] = {"/usr/bin/sandbox-exec", "-f", "{dir}/profile.sb"};
	int r = plan_add_file(plan, "profile.sb", (const char *)b->profile.data, 0600);

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(words); i++) {
		r = strv_append(&plan->command, words[i]);
	}
	for (size_t i = 0; r == 0 && b->params && b->params[i]; i++) {
		r = strv_append(&plan->command, b->params[i]);
	}
	for (size_t i = 0; r == 0 && b->by_proxy && i < ARRAY_SIZE(proxies); i++) {
		r = strv_append(&extra, proxies[i]);
	}
	r = r < 0 ? r : add_root_check(plan);
	if (r < 0) {
		return err_set(err, ENOMEM, "compiling the plan");
	}
	dir = b->clone ? strdup(WORK) : foreign_literal(plan->dir);
	return dir ? elsewhere_add_session(plan, SHELL, dir, extra, err)
		   : err_set(err, ENOMEM, "compiling the plan");
}

static int choose_dir(struct builder *b)
{
	const struct spec *spec = b->spec;

	if (b->clone) {
		b->plan->dir = strdup(WORK);
	} else {
		b->plan->dir = canonical(spec->dir ? spec->dir : spec->home ? spec->home : "/");
	}
	return b->plan->dir ? 0 : -ENOMEM;
}

static int end(const struct builder *b, struct err *err)
{
	const struct spec *spec = b->spec;
	const bool local = spec->net == NET_EGRESS && !b->by_proxy;
	const struct elsewhere_promise promises[] = {
		{CAPABILITY_NET_DISABLE, spec->net == NET_DISABLE, true},
		{CAPABILITY_NET_ENABLE, spec->net == NET_ENABLE, true},
		{CAPABILITY_NET_OUTBOUND, spec->net == NET_OUTBOUND, true},
		{CAPABILITY_NET_EGRESS, spec->net == NET_EGRESS, local},
		{CAPABILITY_NET_INBOUND, spec->inbound != NULL, true},
		{CAPABILITY_FS_READ_HOST, !b->scoped, true},
		{CAPABILITY_FS_READ_SCOPE, b->scoped, true},
		{CAPABILITY_FS_READ_DENY, spec->read_deny != NULL, true},
		{CAPABILITY_FS_WRITE_DENY, spec->write == WRITE_NONE, true},
		{CAPABILITY_FS_WRITE_SCOPE,
			spec->write == WRITE_SCOPE || spec->write == WRITE_OVERLAY, true},
		{CAPABILITY_FS_WRITE_EPHEMERAL, spec->write == WRITE_EPHEMERAL, true},
		{CAPABILITY_ENV_SCRUB, spec->env_allow || spec->env_deny, true},
		{CAPABILITY_MACH_RESTRICT, true, true},
	};
	const struct elsewhere_note notes[] = {
		{true, "seatbelt.single_uid"},
		{true, "seatbelt.paths.as_text"},
		{true, "seatbelt.sockets.by_path_denied"},
		{b->scoped, "seatbelt.profile.by_release"},
		{b->scoped, "fs.read_scope.runtime_added"},
		{spec->read_deny != NULL, "seatbelt.read_deny.hard_links"},
		{spec->net == NET_DISABLE, "seatbelt.net.loopback_denied"},
		{spec->net == NET_OUTBOUND, "seatbelt.outbound.any_host"},
		{b->by_proxy, "seatbelt.egress.by_proxy"},
		{has_trust_services(b), "seatbelt.trust_services"},
		{b->writes > 0, "fs.write_scope.hard_links"},
		{b->writes > 0, "fs.write_scope.disk_unbounded"},
		{b->clone, "seatbelt.ephemeral.clone"},
		{spec->write == WRITE_OVERLAY, "seatbelt.overlay.denied"},
		{spec->no_exec, "seatbelt.no_exec.by_path"},
		{spec->cpu_milli > 0, "seatbelt.cpu.unlimited"},
		{spec->memory > 0, "seatbelt.memory.unlimited"},
		{spec->pids > 0, "seatbelt.pids.unlimited"},
		{spec->disk > 0, "seatbelt.disk.unlimited"},
		{spec->timeout > 0, "seatbelt.time.orphans"},
		{spec->hostname != NULL, "seatbelt.hostname"},
	};

	return elsewhere_end(&where, spec, promises, ARRAY_SIZE(promises), notes, ARRAY_SIZE(notes),
		b->plan, err);
}

static int build(struct builder *b, struct err *err)
{
	int r = choose_dir(b);

	if (r == 0) {
		write_profile(b);
		r = b->failed ? -ENOMEM : 0;
	}
	if (r < 0) {
		return err_set(err, ENOMEM, "compiling the plan");
	}
	r = b->clone ? add_clone(b, err) : 0;
	r = r < 0 ? r : write_command(b, err);
	return r < 0 ? r : end(b, err);
}

static int fill(const struct spec *spec, struct plan *plan, struct err *err)
{
	struct builder b = {.spec = spec,
		.plan = plan,
		.scoped = spec->readable != NULL,
		.clone = spec->write == WRITE_EPHEMERAL};

	for (size_t i = 0; spec->egress && spec->egress[i]; i++) {
		b.by_proxy |= !is_local_rule(spec->egress[i]);
	}
	int r = build(&b, err);
	buf_fini(&b.profile);
	strv_free(b.params);
	return r;
}

static int seatbelt_compile(const struct spec *spec, const struct host *host, uint32_t without,
	struct plan **ret_plan, struct err *err)
{
	static const struct elsewhere_compiler how = {
		&where, {check_paths, refuse_unsupported}, fill};

	(void)host; /* not the system this is for */
	return elsewhere_compile(&how, spec, without, ret_plan, err);
}

static int seatbelt_probe(const struct host *host, struct err *err)
{
	return elsewhere_refuse(&where, err);
}

#define HAS(name) (UINT64_C(1) << CAPABILITY_##name)

const struct backend backend_seatbelt = {
	.name = "seatbelt",
	.summary = "a macOS sandbox profile for sandbox-exec; compiled here, run on macOS",
	.enforces = {HAS(NET_DISABLE) | HAS(NET_ENABLE) | HAS(NET_OUTBOUND) | HAS(NET_EGRESS) |
		HAS(NET_INBOUND) | HAS(FS_READ_HOST) | HAS(FS_READ_SCOPE) | HAS(FS_READ_DENY) |
		HAS(FS_WRITE_DENY) | HAS(FS_WRITE_SCOPE) | HAS(FS_WRITE_EPHEMERAL) |
		HAS(ENV_SCRUB) | HAS(MACH_RESTRICT)},
	.probe = seatbelt_probe,
	.compile = seatbelt_compile,
	.start = elsewhere_start,
	.signal = elsewhere_signal,
	.poll_exit = elsewhere_poll_exit,
	.usage = elsewhere_usage,
	.destroy = elsewhere_destroy,
};
