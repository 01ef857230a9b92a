/*
 * Windows: one AppContainer for each session, started by a launcher of ours (windows/launcher.c) that
 * reads appcontainer.json and nothing else. Planned here, run on Windows alone, and never executed by
 * us on it.
 *
 * Paths are those of Windows, taken literally (see parse_windows_path()); nothing is looked up here.
 * Names are compared without regard to case, and a name that looks like the short form of another is
 * refused where something is granted, as it may stand for anything.
 *
 * The container has a SID of its own, made of the session's id. Files are opened to it by entries in
 * their access lists, which the launcher notes in a journal before it makes them and takes out again
 * by the same paths from the last to the first.
 */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "backends/backend.h"
#include "backends/elsewhere.h"
#include "backends/emit.h"
#include "base/cleanup.h"
#include "base/parse.h"
#include "base/strv.h"

#define LAUNCHER "cloche-launcher.exe"
#define PLAN_FILE "appcontainer.json"
#define JOURNAL "{dir}\\journal"
#define WINDOWS "C:\\Windows"

static const struct elsewhere where = {
	.backend = "appcontainer",
	.system = "Windows 10 or later",
	.path = WINDOWS "\\System32;" WINDOWS,
	.homes = "C:\\Users",
	.shell = WINDOWS "\\System32\\cmd.exe",
};

/* As in the plan file; ordered so that a denial is put in place after what it is taken out of. */
enum access { ACCESS_TRAVERSE, ACCESS_READ, ACCESS_WRITE, ACCESS_DENY };
static const char *const access_names[] = {"traverse", "read", "write", "deny"};

/* What no session may have entries on with all that is below, whoever asks. */
static const struct {
	const char *path; /* without its drive */
	bool read; /* reading too, not only writing */
} system_paths[] = {
	{"\\", true},
	{"\\Users", true},
	{"\\Windows", true}, /* what may be read of it may be so anyway; its lists are not ours */
	{"\\Program Files", false},
	{"\\Program Files (x86)", false},
	{"\\ProgramData", false},
	{"\\System Volume Information", true},
	{"\\$Recycle.Bin", true},
	{"\\Recovery", true},
	{"\\Boot", true},
	{"\\EFI", true},
};

/* Sessions have none of these at the start; each SID is one network the system may let them use. */
static const struct {
	enum net_mode net;
	const char *sid;
} network_sids[] = {
	{NET_OUTBOUND, "S-1-15-3-1"}, /* internetClient */
	{NET_ENABLE, "S-1-15-3-2"}, /* internetClientServer */
	{NET_ENABLE, "S-1-15-3-3"}, /* privateNetworkClientServer */
};

static const char *const mitigations[] = {"bottom-up-aslr", "high-entropy-aslr", "strict-handles",
	"no-extension-points", "no-fonts", "no-remote-images", "no-low-label-images"};

/* ---- refusals ---- */

/* "PROGRA~1": what it stands for only the file system knows. */
static bool has_short_name(const char *path)
{
	for (const char *at = path; (at = strchr(at, '~')); at++) {
		if (at[1] >= '0' && at[1] <= '9') {
			return true;
		}
	}
	return false;
}

/* For paths without their drive. */
static bool is_below(const char *path, const char *above)
{
	size_t length = strlen(above);

	return strncasecmp(path, above, length) == 0 && (path[length] == '\\' || !path[length]);
}

static bool is_refused_path(const char *path, bool writable, const char **ret_system)
{
	const char *rest = path + 2;

	for (size_t i = 0; i < ARRAY_SIZE(system_paths); i++) {
		const char *system = system_paths[i].path;
		bool same = strcasecmp(rest, system) == 0;
		/* \Users has everybody's directories: below it one's own are to be had. */
		bool alone = strcmp(system, "\\") == 0 || strcmp(system, "\\Users") == 0;
		if ((same || (!alone && is_below(rest, system))) &&
			(writable || system_paths[i].read)) {
			*ret_system = system;
			return true;
		}
	}
	return false;
}

static int refuse_grant(const char *key, const char *path, bool writable, struct err *err)
{
	const char *system = NULL;

	if (has_short_name(path)) {
		return err_refuse(err, ENOTSUP,
			"%s: '%s' has a short name (~1), which may stand for another; write it out",
			key, path);
	}
	if (is_refused_path(path, writable, &system)) {
		return err_refuse(err, ENOTSUP,
			"%s: the access lists of '%s' are the system's (%s); name a directory of "
			"its own",
			key, path, system);
	}
	return 0;
}

static int refuse_grants(const struct spec *spec, struct err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < strv_length(spec->readable); i++) {
		r = refuse_grant("readable", spec->readable[i], false, err);
	}
	for (size_t i = 0; r == 0 && i < strv_length(spec->writable); i++) {
		r = refuse_grant("writable", spec->writable[i], true, err);
	}
	for (size_t i = 0; r == 0 && i < strv_length(spec->read_deny); i++) {
		r = refuse_grant("read_deny", spec->read_deny[i], false, err);
	}
	if (r == 0 && spec->dir && spec->write == WRITE_EPHEMERAL) {
		r = refuse_grant("dir", spec->dir, false, err);
	}
	return r;
}

/* "program.exe" by its whole path: a search would look in the session's own directories first. */
static int refuse_command(const struct spec *spec, struct err *err)
{
	cleanup_free char *clean = NULL;
	const char *program = spec->args[0];
	size_t length = strlen(program);
	int r = parse_windows_path(program, &clean);

	if (r == -ENOMEM) {
		return err_set(err, ENOMEM, "reading the command");
	}
	if (r < 0 || length < 4 || strcasecmp(program + length - 4, ".exe") != 0) {
		return err_refuse(err, ENOTSUP,
			"the command '%s' is not the whole path of an .exe, such as "
			"C:\\Windows\\System32\\cmd.exe",
			program);
	}
	return 0;
}

/* The plan file is text: bytes that are none could not be said in it. */
static int refuse_bytes(const struct spec *spec, struct err *err)
{
	char *const *const lists[] = {spec->args, spec->env};

	for (size_t l = 0; l < ARRAY_SIZE(lists); l++) {
		for (char *const *item = lists[l]; item && *item; item++) {
			for (const char *at = *item; *at;) {
				size_t length = parse_utf8_length(at);
				if (length == 0) {
					return err_refuse(err, ENOTSUP,
						"%s: number %zu is not UTF-8, and Windows has no "
						"other "
						"bytes",
						l ? "env" : "the command",
						(size_t)(item - lists[l]) + 1);
				}
				at += length;
			}
		}
	}
	return 0;
}

static int refuse_unsupported(const struct spec *spec, struct err *err)
{
	if (spec->root != ROOT_HOST) {
		return err_refuse(err, ENOTSUP,
			"root: an AppContainer has the host's files; use root: host and readable");
	}
	if (spec->ids == IDS_RANGE) {
		return err_refuse(err, ENOTSUP,
			"ids: range: there are none on Windows; each session has a SID of its own "
			"(ids: auto)");
	}
	if (spec->pids > 65535) {
		return err_refuse(err, ENOTSUP, "pids: a job counts up to 65535, not %llu",
			(unsigned long long)spec->pids);
	}
	return spec_check_paths(spec, where.backend, err);
}

/* ---- who the session is ---- */

static bool is_variable(const char *entry, const char *name)
{
	size_t length = strlen(name);

	return strncasecmp(entry, name, length) == 0 && entry[length] == '=';
}

/*
 * Windows takes "path" and "PATH" for one name: what env_deny takes out it takes out in any spelling,
 * and of two spellings the one that sorts last stays.
 */
static int fold_environment(const struct spec *spec, struct plan *plan)
{
	cleanup(strv_freep) char **kept = NULL;

	for (size_t i = 0; i < strv_length(plan->env); i++) {
		const char *entry = plan->env[i];
		cleanup_free char *name = strndup(entry, strcspn(entry, "="));
		bool given = strv_contains(spec->env, entry);
		bool out = false;
		if (!name) {
			return -ENOMEM;
		}
		for (size_t p = 0; given && p < strv_length(spec->env_deny); p++) {
			out |= fnmatch(spec->env_deny[p], name, FNM_CASEFOLD) == 0;
		}
		for (size_t j = i + 1; j < strv_length(plan->env); j++) {
			out |= is_variable(plan->env[j], name);
		}
		if (!out && strv_append(&kept, entry) < 0) {
			return -ENOMEM;
		}
	}
	strv_free(plan->env);
	plan->env = take_ptr(&kept);
	return 0;
}

/* Without it programs do not find their own system. */
static int add_system_root(struct plan *plan)
{
	for (size_t i = 0; i < strv_length(plan->env); i++) {
		if (is_variable(plan->env[i], "SystemRoot")) {
			return 0;
		}
	}
	int r = strv_append(&plan->env, "SystemRoot=" WINDOWS);

	if (r == 0) {
		strv_sort(plan->env);
	}
	return r;
}

static bool has_copy(const struct spec *spec)
{
	return spec->write == WRITE_EPHEMERAL && spec->dir;
}

static const char *working_directory(const struct spec *spec)
{
	if (spec->write == WRITE_EPHEMERAL) {
		return spec->dir ? ".\\work" : ".\\temp";
	}
	if (spec->dir) {
		return spec->dir;
	}
	return spec->writable ? spec->writable[0] : spec->readable ? spec->readable[0] : WINDOWS;
}

static bool has_temp(const struct spec *spec)
{
	return spec->allow_temp || (spec->write == WRITE_EPHEMERAL && !spec->dir);
}

/* ---- the access lists ---- */

struct entry {
	enum access access;
	char *path;
};

struct entries {
	struct entry *list;
	size_t count;
};

static void entries_fini(struct entries *entries)
{
	for (size_t i = 0; i < entries->count; i++) {
		free(entries->list[i].path);
	}
	free(entries->list);
}

static int add_entry(struct entries *entries, enum access access, const char *path, size_t length)
{
	struct entry *list = NULL;
	char *copy = NULL;

	for (size_t i = 0; i < entries->count; i++) {
		const struct entry *known = &entries->list[i];
		if (known->access == access && strlen(known->path) == length &&
			strncasecmp(known->path, path, length) == 0) {
			return 0;
		}
	}
	list = reallocarray(entries->list, entries->count + 1, sizeof(*list));
	if (!list) {
		return -ENOMEM;
	}
	entries->list = list;
	copy = strndup(path, length);
	if (!copy) {
		return -ENOMEM;
	}
	entries->list[entries->count++] = (struct entry){access, copy};
	return 0;
}

/* The directories above, but for the drive's own: programs look at them on their way down. */
static int add_way_to(struct entries *entries, const char *path)
{
	int r = 0;

	if (path[0] == '.') {
		return 0;
	}
	for (const char *at = strchr(path + 3, '\\'); at && r == 0; at = strchr(at + 1, '\\')) {
		r = add_entry(entries, ACCESS_TRAVERSE, path, (size_t)(at - path));
	}
	return r;
}

static int add_grants(struct entries *entries, enum access access, char *const *paths)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < strv_length(paths); i++) {
		r = add_entry(entries, access, paths[i], strlen(paths[i]));
	}
	return r;
}

static int add_ways(struct entries *entries, char *const *paths)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < strv_length(paths); i++) {
		r = add_way_to(entries, paths[i]);
	}
	return r;
}

/* A program of the system's is readable as it is, and its lists are not ours to change. */
static bool is_system_program(const char *program)
{
	return spec_path_is_below(program, WINDOWS) ||
		spec_path_is_below(program, "C:\\Program Files") ||
		spec_path_is_below(program, "C:\\Program Files (x86)");
}

static int choose_entries(const struct spec *spec, struct entries *ret)
{
	const char *program = spec->args[0];
	bool listed = !is_system_program(program);
	int r = listed ? add_way_to(ret, program) : 0;

	r = r < 0 ? r : add_ways(ret, spec->readable);
	r = r < 0 ? r : add_ways(ret, spec->writable);
	if (r == 0 && listed) {
		r = add_entry(ret, ACCESS_READ, program, strlen(program));
	}
	r = r < 0 ? r : add_grants(ret, ACCESS_READ, spec->readable);
	r = r < 0 ? r : add_grants(ret, ACCESS_WRITE, spec->writable);
	if (r == 0 && has_copy(spec)) {
		r = add_entry(ret, ACCESS_WRITE, ".\\work", strlen(".\\work"));
	}
	if (r == 0 && has_temp(spec)) {
		r = add_entry(ret, ACCESS_WRITE, ".\\temp", strlen(".\\temp"));
	}
	return r < 0 ? r : add_grants(ret, ACCESS_DENY, spec->read_deny);
}

/* ---- the plan file ---- */

static void put_entries(struct emitter *out, const struct entries *entries)
{
	emit_open(out, '[');
	for (size_t i = 0; i < entries->count; i++) {
		emit_open(out, '{');
		emit_key(out, "access");
		emit_text(out, access_names[entries->list[i].access]);
		emit_key(out, "optional");
		emit_bool(out, entries->list[i].access == ACCESS_TRAVERSE);
		emit_key(out, "path");
		emit_text(out, entries->list[i].path);
		emit_close(out, '}');
	}
	emit_close(out, ']');
}

static void put_capabilities(struct emitter *out, const struct spec *spec)
{
	emit_open(out, '[');
	for (size_t i = 0; i < ARRAY_SIZE(network_sids); i++) {
		if (network_sids[i].net == spec->net) {
			emit_text(out, network_sids[i].sid);
		}
	}
	emit_close(out, ']');
}

static void put_mitigations(struct emitter *out)
{
	emit_open(out, '[');
	for (size_t i = 0; i < ARRAY_SIZE(mitigations); i++) {
		emit_text(out, mitigations[i]);
	}
	emit_close(out, ']');
}

static void put_undo(struct emitter *out, const struct entries *entries)
{
	emit_open(out, '[');
	for (size_t i = entries->count; i > 0; i--) {
		emit_text(out, entries->list[i - 1].path);
	}
	emit_close(out, ']');
}

/* The launcher reads exactly this (windows/planfile.c): what is added here is added there. */
static char *format_plan(
	const struct spec *spec, const struct plan *plan, const struct entries *entries)
{
	struct emitter out = {0};

	emit_open(&out, '{');
	emit_key(&out, "aces");
	put_entries(&out, entries);
	emit_key(&out, "argv");
	emit_list(&out, plan->argv);
	emit_key(&out, "capabilities");
	put_capabilities(&out, spec);
	emit_key(&out, "child_processes");
	emit_bool(&out, !spec->no_exec);
	emit_key(&out, "copy");
	emit_text(&out, has_copy(spec) ? spec->dir : NULL);
	emit_key(&out, "cpu_milli");
	emit_number(&out, plan->cpu_milli);
	emit_key(&out, "dir");
	emit_text(&out, plan->dir);
	emit_key(&out, "env");
	emit_list(&out, plan->env);
	emit_key(&out, "handles");
	emit_text(&out, "stdio");
	emit_key(&out, "loopback");
	emit_bool(&out, false);
	emit_key(&out, "lpac");
	emit_bool(&out, true);
	emit_key(&out, "memory");
	emit_number(&out, plan->memory);
	emit_key(&out, "mitigations");
	put_mitigations(&out);
	emit_key(&out, "pids");
	emit_number(&out, plan->pids);
	emit_key(&out, "profile");
	emit_text(&out, "cloche-{id}");
	emit_key(&out, "schema");
	emit_text(&out, "cloche.appcontainer/1");
	emit_key(&out, "temp");
	emit_bool(&out, has_temp(spec));
	emit_key(&out, "timeout");
	emit_number(&out, plan->timeout);
	emit_key(&out, "ui");
	emit_text(&out, "none");
	emit_key(&out, "undo");
	put_undo(&out, entries);
	emit_close(&out, '}');
	return emit_finish(&out);
}

static int build_command(struct plan *plan)
{
	static char launcher[] = LAUNCHER;
	static char undo[] = "--undo";
	static char journal[] = JOURNAL;
	char *const after[] = {launcher, undo, journal, NULL};
	int r = strv_append(&plan->command, LAUNCHER);

	r = r < 0 ? r : strv_append(&plan->command, "{dir}\\" PLAN_FILE);
	r = r < 0 ? r : plan_add_step(plan, PLAN_AFTER, after);
	return r < 0 ? r : strv_append(&plan->tool_env, "SystemRoot=" WINDOWS);
}

static int conclude(const struct spec *spec, struct plan *plan, struct err *err)
{
	const bool sids = spec->net == NET_ENABLE || spec->net == NET_OUTBOUND;
	const bool changes_lists = spec->readable || spec->writable || spec->read_deny ||
		!is_system_program(spec->args[0]);
	const bool listed = spec->egress != NULL;
	const struct elsewhere_promise promises[] = {
		{CAPABILITY_NET_DISABLE, spec->net == NET_DISABLE, true},
		{CAPABILITY_NET_ENABLE, spec->net == NET_ENABLE, true},
		{CAPABILITY_NET_OUTBOUND, spec->net == NET_OUTBOUND, true},
		{CAPABILITY_NET_EGRESS, spec->net == NET_EGRESS, !listed},
		{CAPABILITY_FS_READ_SCOPE, spec->readable != NULL, true},
		{CAPABILITY_FS_WRITE_DENY, spec->write == WRITE_NONE, true},
		{CAPABILITY_FS_WRITE_SCOPE,
			spec->write == WRITE_SCOPE || spec->write == WRITE_OVERLAY, true},
		{CAPABILITY_FS_WRITE_EPHEMERAL, spec->write == WRITE_EPHEMERAL, true},
		{CAPABILITY_ENV_SCRUB, spec->env_allow || spec->env_deny, true},
		{CAPABILITY_PROC_NO_EXEC, spec->no_exec, true},
		{CAPABILITY_IPC_RESTRICT, true, !sids},
		{CAPABILITY_RES_CPU, spec->cpu_milli > 0, true},
		{CAPABILITY_RES_MEMORY, spec->memory > 0, true},
		{CAPABILITY_RES_PIDS, spec->pids > 0, true},
		{CAPABILITY_RES_TIME, spec->timeout > 0, true},
	};
	const struct elsewhere_note notes[] = {
		{true, "appcontainer.ambient_grants"},
		{changes_lists, "appcontainer.lists_change"},
		{!spec->readable, "appcontainer.no_host_files"},
		{spec->readable != NULL, "fs.read_scope.runtime_added"},
		{spec->read_deny != NULL, "appcontainer.read_deny_best_effort"},
		{spec->write == WRITE_EPHEMERAL, "appcontainer.ephemeral_copy"},
		{spec->write == WRITE_OVERLAY, "appcontainer.overlay_denies"},
		{spec->allow_temp, "appcontainer.temp_is_private"},
		{spec->writable != NULL, "fs.write_scope.hard_links"},
		{spec->writable || spec->disk || has_temp(spec) || has_copy(spec),
			"appcontainer.disk_unbounded"},
		{spec->net == NET_DISABLE, "appcontainer.no_loopback"},
		{spec->net == NET_OUTBOUND, "appcontainer.internet_only"},
		{spec->net == NET_EGRESS && listed, "appcontainer.egress_closed"},
		{sids, "appcontainer.ipc_by_network"},
		{spec->inbound != NULL, "appcontainer.inbound_unlisted"},
		{spec->no_exec, "appcontainer.brokers"},
		{spec->memory > 0, "appcontainer.memory_is_commit"},
		{spec->cpu_milli > 0, "appcontainer.cpu_of_all"},
		{spec->hostname != NULL, "appcontainer.hostname_ignored"},
		{spec->mach_allow != NULL, "mach.ignored"},
		{capability_set_has(spec->require, CAPABILITY_KERNEL_ISOLATION),
			"kernel.isolation.shared"},
	};

	return elsewhere_end(
		&where, spec, promises, ARRAY_SIZE(promises), notes, ARRAY_SIZE(notes), plan, err);
}

static int fill(const struct spec *spec, struct plan *plan, struct err *err)
{
	cleanup(entries_fini) struct entries entries = {0};
	cleanup_free char *text = NULL;
	int r = fold_environment(spec, plan);

	plan->kernel = PLAN_KERNEL_SHARED;
	plan->cpu_milli = spec->cpu_milli;
	plan->memory = spec->memory;
	plan->pids = spec->pids;
	plan->no_exec = spec->no_exec;
	plan->dir = strdup(working_directory(spec));
	r = r < 0 || plan->dir ? r : -ENOMEM;
	r = r < 0 ? r : add_system_root(plan);
	r = r < 0 ? r : choose_entries(spec, &entries);
	if (r == 0 &&
		(entries.count > 1024 || strv_length(plan->env) > 1024 ||
			strv_length(plan->argv) > 1024)) {
		return err_refuse(err, ENOTSUP,
			"the launcher takes 1024 entries, variables and arguments at most");
	}
	text = r < 0 ? NULL : format_plan(spec, plan, &entries);
	if (!text) {
		return r < 0 ? r : -ENOMEM;
	}
	r = plan_add_file(plan, PLAN_FILE, text, 0600);
	r = r < 0 ? r : build_command(plan);
	return r < 0 ? r : conclude(spec, plan, err);
}

static int appcontainer_compile(const struct spec *spec, const struct host *host, uint32_t without,
	struct plan **ret_plan, struct err *err)
{
	static const struct elsewhere_compiler how = {&where,
		{refuse_unsupported, elsewhere_check_placeholders, refuse_command, refuse_bytes,
			refuse_grants},
		fill};

	(void)host; /* not the system this is for */
	return elsewhere_compile(&how, spec, without, ret_plan, err);
}

static int appcontainer_probe(const struct host *host, struct err *err)
{
	(void)host;
	return elsewhere_refuse(&where, err);
}

#define HAS(name) (UINT64_C(1) << CAPABILITY_##name)

const struct backend backend_appcontainer = {
	.name = "appcontainer",
	.summary = "Windows AppContainers with jobs and access lists, by a launcher of cloche",
	.enforces = {HAS(NET_DISABLE) | HAS(NET_ENABLE) | HAS(NET_OUTBOUND) | HAS(NET_EGRESS) |
		HAS(FS_READ_SCOPE) | HAS(FS_WRITE_DENY) | HAS(FS_WRITE_SCOPE) |
		HAS(FS_WRITE_EPHEMERAL) | HAS(ENV_SCRUB) | HAS(PROC_NO_EXEC) | HAS(IPC_RESTRICT) |
		HAS(RES_CPU) | HAS(RES_MEMORY) | HAS(RES_PIDS) | HAS(RES_TIME)},
	.kernel = PLAN_KERNEL_SHARED,
	.probe = appcontainer_probe,
	.compile = appcontainer_compile,
	.start = elsewhere_start,
	.signal = elsewhere_signal,
	.poll_exit = elsewhere_poll_exit,
	.usage = elsewhere_usage,
	.destroy = elsewhere_destroy,
};
