#include "backends/oci.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "backends/emit.h"
#include "base/buf.h"
#include "base/parse.h"
#include "base/strv.h"

#define CPU_PERIOD 100000 /* microseconds, what everybody uses */
#define OOM_SCORE 500 /* rather the session than the server */

/* Text of the session's: a brace in it is written so that no placeholder is read out of it. */
static void emit_foreign(struct emitter *out, const char *text)
{
	struct emitter quoted = {0};
	cleanup(buf_fini) struct buf escaped = {0};
	cleanup_free char *json = NULL;

	emit_text(&quoted, text);
	json = emit_finish(&quoted);
	for (const char *c = json; c && *c; c++) {
		if (*c == '{') {
			buf_put(&escaped, "\\u007B", 6);
		} else {
			buf_put(&escaped, c, 1);
		}
	}
	buf_put_u8(&escaped, '\0');
	out->buf.failed |= !json || escaped.failed;
	emit_raw(out, out->buf.failed ? "" : (const char *)escaped.data);
}

static void emit_foreign_list(struct emitter *out, char *const *list)
{
	emit_open(out, '[');
	for (size_t i = 0; list && list[i]; i++) {
		emit_foreign(out, list[i]);
	}
	emit_close(out, ']');
}

static void emit_words(struct emitter *out, const char *const *list)
{
	emit_open(out, '[');
	for (size_t i = 0; list && list[i]; i++) {
		emit_text(out, list[i]);
	}
	emit_close(out, ']');
}

static void emit_path(struct emitter *out, const char *path)
{
	if (strncmp(path, "{dir}/", 6) == 0) {
		emit_text(out, path);
	} else {
		emit_foreign(out, path);
	}
}

static void emit_option(struct emitter *out, bool holds, const char *option)
{
	if (holds) {
		emit_text(out, option);
	}
}

static void emit_number_option(struct emitter *out, const char *name, unsigned long long value)
{
	char text[48];

	(void)snprintf(text, sizeof(text), "%s=%llu", name, value);
	emit_text(out, text);
}

static void emit_tmpfs_options(
	struct emitter *out, const struct plan *plan, const struct plan_mount *mount)
{
	char mode[16];

	(void)snprintf(mode, sizeof(mode), "mode=%04o", mount->mode);
	emit_text(out, mode);
	if (mount->size > 0) {
		emit_number_option(out, "size", mount->size);
	}
	if (mount->flags & PLAN_USER) {
		emit_number_option(out, "uid", plan->uid);
		emit_number_option(out, "gid", plan->gid);
	}
}

static const struct {
	enum plan_mount_kind kind;
	const char *type;
} types[] = {
	{PLAN_MOUNT_TMPFS, "tmpfs"},
	{PLAN_MOUNT_BIND, "bind"},
	{PLAN_MOUNT_PAGE, "bind"},
	{PLAN_MOUNT_PROC, "proc"},
	{PLAN_MOUNT_DEVPTS, "devpts"},
	{PLAN_MOUNT_MQUEUE, "mqueue"},
};

static const char *type_of(enum plan_mount_kind kind)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (types[i].kind == kind) {
			return types[i].type;
		}
	}
	return NULL;
}

static void emit_mount(struct emitter *out, const struct plan *plan, const struct plan_mount *mount)
{
	const char *type = type_of(mount->kind);
	const bool bind = strcmp(type, "bind") == 0;

	emit_open(out, '{');
	emit_key(out, "destination");
	emit_path(out, mount->target);
	emit_key(out, "options");
	emit_open(out, '[');
	emit_option(out, bind, "rbind");
	emit_option(out, bind, "rprivate");
	emit_option(out, true, mount->flags & PLAN_READ_ONLY ? "ro" : "rw");
	emit_option(out, mount->flags & PLAN_NOSUID, "nosuid");
	emit_option(out, mount->flags & PLAN_NODEV, "nodev");
	emit_option(out, mount->flags & PLAN_NOEXEC, "noexec");
	emit_option(out, mount->kind == PLAN_MOUNT_DEVPTS, "newinstance");
	emit_option(out, mount->kind == PLAN_MOUNT_DEVPTS, "ptmxmode=0666");
	if (mount->kind == PLAN_MOUNT_TMPFS) {
		emit_tmpfs_options(out, plan, mount);
	}
	emit_close(out, ']');
	emit_key(out, "source");
	emit_path(out, bind ? mount->source : type);
	emit_key(out, "type");
	emit_text(out, type);
	emit_close(out, '}');
}

static void emit_mounts(struct emitter *out, const struct plan *plan)
{
	emit_open(out, '[');
	for (size_t i = 0; i < plan->mount_count; i++) {
		if (type_of(plan->mounts[i].kind)) {
			emit_mount(out, plan, &plan->mounts[i]);
		}
	}
	emit_close(out, ']');
}

/* None; with the layer left out, what `runc spec` gives. */
static void emit_process_capabilities(struct emitter *out, const struct plan *plan)
{
	static const char *const sets[] = {
		"ambient", "bounding", "effective", "inheritable", "permitted"};
	static const char *const usual[] = {
		"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE", NULL};
	char *const *list =
		plan->without & PLAN_LAYER_CAPS ? (char *const *)(uintptr_t)usual : NULL;

	emit_open(out, '{');
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		emit_key(out, sets[i]);
		emit_list(out, list);
	}
	emit_close(out, '}');
}

/* 2^63 - 1 where there is no limit: some runtimes read signed numbers. */
static uint64_t signed_limit(uint64_t value)
{
	return value > INT64_MAX ? INT64_MAX : value;
}

static void emit_rlimits(struct emitter *out, const struct plan *plan)
{
	emit_open(out, '[');
	for (size_t i = 0; i < plan->rlimit_count; i++) {
		char name[32] = "RLIMIT_";
		size_t used = strlen(name);

		for (const char *c = plan->rlimits[i].name; *c && used + 1 < sizeof(name); c++) {
			name[used++] = (char)toupper((unsigned char)*c);
		}
		emit_open(out, '{');
		emit_key(out, "hard");
		emit_number(out, signed_limit(plan->rlimits[i].hard));
		emit_key(out, "soft");
		emit_number(out, signed_limit(plan->rlimits[i].soft));
		emit_key(out, "type");
		emit_text(out, name);
		emit_close(out, '}');
	}
	emit_close(out, ']');
}

static void emit_process(struct emitter *out, const struct oci_config *config)
{
	const struct plan *plan = config->plan;

	emit_open(out, '{');
	emit_key(out, "args");
	emit_foreign_list(out, plan->argv);
	emit_key(out, "capabilities");
	emit_process_capabilities(out, plan);
	emit_key(out, "cwd");
	emit_foreign(out, plan->dir);
	emit_key(out, "env");
	emit_foreign_list(out, plan->env);
	emit_key(out, "noNewPrivileges");
	emit_bool(out, !(plan->without & PLAN_LAYER_NO_NEW_PRIVS));
	emit_key(out, "oomScoreAdj");
	emit_number(out, OOM_SCORE);
	emit_key(out, "rlimits");
	emit_rlimits(out, plan);
	emit_key(out, "terminal");
	emit_bool(out, config->terminal);
	emit_key(out, "user");
	emit_open(out, '{');
	emit_key(out, "additionalGids");
	emit_list(out, NULL);
	emit_key(out, "gid");
	emit_number(out, plan->gid);
	emit_key(out, "uid");
	emit_number(out, plan->uid);
	emit_close(out, '}');
	emit_close(out, '}');
}

static void emit_namespaces(struct emitter *out, const char *const *namespaces)
{
	emit_open(out, '[');
	for (size_t i = 0; namespaces && namespaces[i]; i++) {
		emit_open(out, '{');
		emit_key(out, "type");
		emit_text(out, namespaces[i]);
		emit_close(out, '}');
	}
	emit_close(out, ']');
}

static void emit_resources(struct emitter *out, const struct plan *plan)
{
	emit_open(out, '{');
	if (plan->cpu_milli > 0) {
		emit_key(out, "cpu");
		emit_open(out, '{');
		emit_key(out, "period");
		emit_number(out, CPU_PERIOD);
		emit_key(out, "quota");
		emit_number(out, plan->cpu_milli * CPU_PERIOD / 1000);
		emit_close(out, '}');
	}
	if (plan->memory > 0) {
		emit_key(out, "memory");
		emit_open(out, '{');
		emit_key(out, "limit");
		emit_number(out, signed_limit(plan->memory));
		emit_key(out, "swap"); /* memory and swap together */
		emit_number(out, signed_limit(plan->memory));
		emit_close(out, '}');
	}
	if (plan->pids > 0) {
		emit_key(out, "pids");
		emit_open(out, '{');
		emit_key(out, "limit");
		emit_number(out, signed_limit(plan->pids));
		emit_close(out, '}');
	}
	emit_close(out, '}');
}

static void emit_linux(struct emitter *out, const struct oci_config *config)
{
	emit_open(out, '{');
	emit_key(out, "cgroupsPath");
	emit_text(out, config->cgroups_path);
	emit_key(out, "maskedPaths");
	emit_words(out, config->masked);
	emit_key(out, "namespaces");
	emit_namespaces(out, config->namespaces);
	emit_key(out, "readonlyPaths");
	emit_words(out, config->read_only);
	emit_key(out, "resources");
	emit_resources(out, config->plan);
	emit_key(out, "rootfsPropagation");
	emit_text(out, "private");
	if (config->seccomp) {
		emit_key(out, "seccomp");
		emit_raw(out, config->seccomp);
	}
	emit_close(out, '}');
}

static void emit_hooks(struct emitter *out, const char *const *command)
{
	emit_open(out, '{');
	if (command) {
		emit_key(out, "poststart");
		emit_open(out, '[');
		emit_open(out, '{');
		emit_key(out, "args");
		emit_words(out, command);
		emit_key(out, "path");
		emit_text(out, command[0]);
		emit_close(out, '}');
		emit_close(out, ']');
	}
	emit_close(out, '}');
}

/* JSON is UTF-8, arguments of programs are bytes. */
static bool fits(const struct plan *plan)
{
	bool fits = parse_is_utf8(plan->dir) && parse_is_utf8(plan->hostname);

	STRV_FOREACH (item, plan->argv) {
		fits &= parse_is_utf8(*item);
	}
	STRV_FOREACH (item, plan->env) {
		fits &= parse_is_utf8(*item);
	}
	for (size_t i = 0; i < plan->mount_count; i++) {
		const struct plan_mount *mount = &plan->mounts[i];
		fits &= parse_is_utf8(mount->target) &&
			(!mount->source || parse_is_utf8(mount->source));
	}
	return fits;
}

int oci_config_json(const struct oci_config *config, char **ret)
{
	struct emitter writer = {0};
	struct emitter *out = &writer;

	if (!fits(config->plan)) {
		return -EINVAL;
	}
	emit_open(out, '{');
	emit_key(out, "hooks");
	emit_hooks(out, config->started);
	emit_key(out, "hostname");
	emit_foreign(out, config->plan->hostname);
	emit_key(out, "linux");
	emit_linux(out, config);
	emit_key(out, "mounts");
	emit_mounts(out, config->plan);
	emit_key(out, "ociVersion");
	emit_text(out, "1.0.2");
	emit_key(out, "process");
	emit_process(out, config);
	emit_key(out, "root");
	emit_open(out, '{');
	emit_key(out, "path");
	emit_text(out, config->root);
	emit_key(out, "readonly");
	emit_bool(out, config->root_read_only);
	emit_close(out, '}');
	emit_close(out, '}');
	*ret = emit_finish(out);
	return *ret ? 0 : -ENOMEM;
}
