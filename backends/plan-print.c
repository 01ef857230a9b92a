/*
 * A plan for people: 80 columns, always the same order. Text from outside is escaped, and cut with
 * "..." where it would not fit; plan_to_json() has all of it.
 */
#include "backends/plan.h"

#include <string.h>

#include "backends/linux/filter.h"
#include "base/log.h"
#include "base/strv.h"

#define WIDTH 80
#define INDENT 13

/* "memory       1.5 GiB": a name and what stands beside it. */
static void print_field(FILE *out, const char *name, const char *value)
{
	char text[4 * WIDTH];
	size_t room = WIDTH - INDENT;

	log_escape(value ? value : "-", text, sizeof(text));
	if (strlen(text) > room) {
		(void)strcpy(text + room - 3, "...");
	}
	(void)fprintf(out, "%-*s%s\n", INDENT, name, text);
}

/* Words wrapped behind a name. */
static void print_words(FILE *out, const char *name, const char *words)
{
	size_t column = 0;

	(void)fprintf(out, "%-*s", INDENT, name);
	while (*words) {
		size_t length = strcspn(words, " ");
		if (column > 0 && INDENT + column + 1 + length > WIDTH) {
			(void)fprintf(out, "\n%*s", INDENT, "");
			column = 0;
		}
		(void)fprintf(out, "%s%.*s", column ? " " : "", (int)length, words);
		column += length + (column > 0);
		words += length;
		words += strspn(words, " ");
	}
	(void)fputc('\n', out);
}

/* A list, one a line, the name before the first. */
static void print_list(FILE *out, const char *name, char *const *list)
{
	for (size_t i = 0; list && list[i]; i++) {
		print_field(out, i ? "" : name, list[i]);
	}
}

static const char *format_bytes(uint64_t bytes, char *text, size_t size)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	unsigned unit = 0;

	while (bytes >= 1024 && bytes % 1024 == 0 && unit + 1 < ARRAY_SIZE(units)) {
		bytes /= 1024;
		unit++;
	}
	(void)snprintf(text, size, "%llu %s", (unsigned long long)bytes, units[unit]);
	return text;
}

static void print_head(const struct plan *plan, FILE *out)
{
	char text[160];

	(void)snprintf(text, sizeof(text), "%s%s", plan->backend,
		plan->executable_here ? "" : " (cannot run on this host)");
	print_field(out, "backend", text);
	print_field(out, "kernel", plan_kernel_name(plan->kernel));
	print_field(out, "digest", *plan->digest ? plan->digest : "-");
	print_list(out, "command", plan->argv);
	if (plan->shared) {
		print_field(out, "shared", "with the other sessions of its connection");
	}
	print_field(out, "directory", plan->dir);
	(void)snprintf(text, sizeof(text), "%s, uid %u, gid %u, on %s",
		plan->user ? plan->user : "-", plan->uid, plan->gid,
		plan->hostname ? plan->hostname : "-");
	print_field(out, "identity", text);
}

/* What a foreign tool is given besides its arguments. */
static void print_tool(const struct plan *plan, FILE *out)
{
	if (!plan->command) {
		return;
	}
	(void)fputc('\n', out);
	print_list(out, "tool", plan->command);
	print_list(out, "tool's env", plan->tool_env);
	for (size_t i = 0; i < plan->file_count; i++) {
		char line[160];
		(void)snprintf(line, sizeof(line), "{dir}/%s %04o %zu bytes (--json has them)",
			plan->files[i].name, plan->files[i].mode, strlen(plan->files[i].content));
		print_field(out, i ? "" : "tool reads", line);
	}
	for (size_t i = 0; i < plan->step_count; i++) {
		print_list(out, plan_when_name(plan->steps[i].when), plan->steps[i].argv);
	}
}

static void print_promises(const struct plan *plan, FILE *out)
{
	char names[1024];

	(void)fputc('\n', out);
	print_words(out, "keeps", capability_set_format(plan->uses, names, sizeof(names)));
	for (unsigned i = 0; plan_layer_names[i]; i++) {
		if (plan->without >> i & 1) {
			print_field(out, "LEFT OUT", plan_layer_names[i]);
		}
	}
	for (size_t i = 0; i < plan->caveat_count; i++) {
		const struct caveat *caveat = &plan->caveats[i];
		print_field(out, i ? "" : "caveats", caveat->code);
		(void)snprintf(names, sizeof(names), "[%s] %s%s%s",
			caveat_severity_name(caveat->severity), caveat->text,
			caveat->remedy ? "; " : "", caveat->remedy ? caveat->remedy : "");
		print_words(out, "", names);
	}
}

static void format_bits(
	uint32_t bits, const char *const *names, size_t count, char *text, size_t size)
{
	size_t used = 0;

	*text = '\0';
	for (size_t i = 0; i < count && used < size; i++) {
		if (bits >> i & 1) {
			used += (size_t)snprintf(
				text + used, size - used, "%s%s", used ? "," : "", names[i]);
		}
	}
}

/* What is particular to the kind, behind source and target. */
static void format_mount_detail(const struct plan_mount *mount, char *text, size_t size)
{
	char bytes[32];

	*text = '\0';
	if (mount->kind == PLAN_MOUNT_TMPFS && mount->size) {
		(void)snprintf(text, size, " %s, %llu inodes, %04o",
			format_bytes(mount->size, bytes, sizeof(bytes)),
			(unsigned long long)mount->inodes, mount->mode);
	} else if (mount->kind == PLAN_MOUNT_FILE) {
		(void)snprintf(text, size, " %zu bytes, %04o",
			mount->content ? strlen(mount->content) : 0, mount->mode);
	} else if (mount->mode) {
		(void)snprintf(text, size, " %04o", mount->mode);
	}
}

static void print_mount(const struct plan_mount *mount, FILE *out)
{
	static const char *const short_flags[] = {"ro", "nosuid", "nodev", "noexec", "optional",
		"user", "idmap", "inside", "follow", "in-root"};
	bool moved = mount->source && strcmp(mount->source, mount->target) != 0;
	char flags[64];
	char detail[80];
	cleanup_free char *line = NULL;

	format_bits(mount->flags, short_flags, ARRAY_SIZE(short_flags), flags, sizeof(flags));
	format_mount_detail(mount, detail, sizeof(detail));
	if (asprintf(&line, "%s%s%s%s%s%s", mount->target, moved ? " = " : "",
		    moved ? mount->source : "", *flags ? " " : "", flags, detail) < 0) {
		line = NULL;
		return;
	}
	print_field(out, plan_mount_kind_name(mount->kind), line);
}

static void print_files(const struct plan *plan, FILE *out)
{
	(void)fputs("\nfiles, in the order they are put in place\n", out);
	for (size_t i = 0; i < plan->mount_count; i++) {
		print_mount(&plan->mounts[i], out);
	}
}

static void print_landlock(const struct plan_landlock *landlock, FILE *out)
{
	char text[160];

	if (landlock->abi == 0) {
		print_field(out, "landlock", "none");
		return;
	}
	(void)snprintf(text, sizeof(text), "ABI %d, handles fs 0x%llx net 0x%llx, scopes 0x%llx",
		landlock->abi, (unsigned long long)landlock->handled_fs,
		(unsigned long long)landlock->handled_net, (unsigned long long)landlock->scoped);
	print_field(out, "landlock", text);
	for (size_t i = 0; i < landlock->rule_count; i++) {
		cleanup_free char *line = NULL;
		if (asprintf(&line, "0x%-5llx %s", (unsigned long long)landlock->rules[i].access,
			    landlock->rules[i].path) < 0) {
			line = NULL;
			return;
		}
		print_field(out, "", line);
	}
}

static void print_filter(const struct plan *plan, FILE *out)
{
	cleanup(strv_freep) char **rules = NULL;
	char text[160];

	if (!plan->filter) {
		print_field(out, "filter", "none");
		return;
	}
	if (filter_list(plan->filter, &rules) < 0) {
		return;
	}
	(void)snprintf(text, sizeof(text), "%s, %zu rules (--json lists them)%s",
		filter_name(plan->filter), strv_length(rules), plan->no_exec ? ", one execve" : "");
	print_field(out, "filter", text);
	print_field(out, "", filter_digest_hex(plan->filter));
}

/* Rules are for reading: line by line, tabs as blanks. */
static void print_rules(FILE *out, const char *name, const char *rules)
{
	for (const char *line = rules; line && *line;) {
		size_t length = strcspn(line, "\n");
		size_t tabs = strspn(line, "\t");
		char text[160];
		(void)snprintf(text, sizeof(text), "%*s%.*s", (int)(2 * tabs), "",
			(int)(length - tabs), line + tabs);
		print_field(out, line == rules ? name : "", text);
		line += length + (line[length] == '\n');
	}
}

static void print_net(const struct plan *plan, FILE *out)
{
	if (!plan_has_way_out(plan)) {
		return;
	}
	(void)fputs("\nthe way out of its network\n", out);
	if (plan->net.pool) {
		print_field(out, "addresses", plan->net.pool);
	}
	if (plan->net.resolver) {
		print_field(out, "resolver", "127.0.0.1:53, of the host's /etc/resolv.conf");
	}
	if (plan->net.proxy) {
		print_field(out, "proxy", "127.0.0.1:1080, SOCKS 5 and HTTP CONNECT, to");
		print_list(out, "", plan->net.proxy);
	}
	print_rules(out, "rules inside", plan->net.rules);
	print_rules(out, "on the host", plan->net.host_rules);
}

static void print_kernel(const struct plan *plan, FILE *out)
{
	static const char *const names[] = {"user", "mount", "pid", "net", "ipc", "uts", "cgroup"};
	char text[160];

	(void)fputc('\n', out);
	format_bits(plan->namespaces, names, ARRAY_SIZE(names), text, sizeof(text));
	print_field(out, "namespaces", *text ? text : "none");
	for (size_t i = 0; i < plan->id_map_count; i++) {
		const struct plan_id_map *map = &plan->uid_map[i];
		if (map->own) {
			(void)snprintf(
				text, sizeof(text), "%u inside is the caller's own", map->inside);
		} else {
			(void)snprintf(text, sizeof(text),
				"%u to %u inside are the session's range from %u on", map->inside,
				map->inside + map->count - 1, map->offset);
		}
		print_field(out, i ? "" : "ids", text);
	}
	print_list(out, "sysctls", plan->sysctls);
	print_landlock(&plan->landlock, out);
	print_filter(plan, out);
}

static void print_limit(FILE *out, const char *name, uint64_t value, const char *text, int cgroup)
{
	char line[96];

	if (value == 0) {
		return;
	}
	if (cgroup > 0) {
		(void)snprintf(line, sizeof(line), "%s (cgroup v%d)", text, cgroup);
	} else {
		(void)snprintf(line, sizeof(line), "%s", text);
	}
	print_field(out, name, line);
}

static void print_limits(const struct plan *plan, FILE *out)
{
	char text[64];

	(void)fputc('\n', out);
	(void)snprintf(text, sizeof(text), "%llu.%03u", (unsigned long long)plan->cpu_milli / 1000,
		(unsigned)(plan->cpu_milli % 1000));
	print_limit(out, "cpus", plan->cpu_milli, text, plan->cgroup_version[2]);
	print_limit(out, "memory", plan->memory, format_bytes(plan->memory, text, sizeof(text)),
		plan->cgroup_version[0]);
	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)plan->pids);
	print_limit(out, "pids", plan->pids, text, plan->cgroup_version[1]);
	print_limit(out, "disk", plan->disk, format_bytes(plan->disk, text, sizeof(text)), 0);
	(void)snprintf(text, sizeof(text), "%llu s", (unsigned long long)plan->timeout);
	print_limit(out, "time", plan->timeout, text, 0);
	for (size_t i = 0; i < plan->rlimit_count; i++) {
		const struct plan_rlimit *limit = &plan->rlimits[i];
		char line[96];
		if (limit->soft == UINT64_MAX) {
			(void)snprintf(line, sizeof(line), "%s unlimited", limit->name);
		} else {
			(void)snprintf(line, sizeof(line), "%s %llu", limit->name,
				(unsigned long long)limit->soft);
		}
		print_field(out, i ? "" : "rlimits", line);
	}
}

void plan_print(const struct plan *plan, FILE *out)
{
	print_head(plan, out);
	print_promises(plan, out);
	print_files(plan, out);
	print_kernel(plan, out);
	print_net(plan, out);
	print_limits(plan, out);
	print_tool(plan, out);
	(void)fputc('\n', out);
	print_list(out, "environment", plan->env);
}
