/*
 * What holds between the keys of a spec, which capabilities it asks for, and the environment that
 * comes of it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "backends/spec-keys.h"
#include "backends/spec.h"
#include "base/parse.h"

/* The value of a SPEC_CHOICE key, in words. */
static const char *chosen(const struct spec *spec, const char *name)
{
	const struct spec_key *key = spec_find_key(name);

	return key->choices[*(const unsigned *)spec_const_field(spec, key)];
}

static int validate_command(const struct spec *spec, struct err *err)
{
	if (!spec->args) {
		return err_refuse(err, EINVAL, "no command was given");
	}
	if (!*spec->args[0]) {
		return err_refuse(err, EINVAL, "the command's name is empty");
	}
	return 0;
}

static int validate_paths(const struct spec *spec, struct err *err)
{
	struct err why = {0};

	if (spec_check_paths(spec, spec->backend, &why) < 0) {
		return err_refuse(err, EINVAL, "%s", why.msg);
	}
	return 0;
}

static int validate_writes(const struct spec *spec, struct err *err)
{
	bool scoped = spec->write == WRITE_SCOPE || spec->write == WRITE_OVERLAY;

	if (spec->writable && !scoped) {
		return err_refuse(err, EINVAL,
			"writable: needs write scope or overlay; write is %s",
			chosen(spec, "write"));
	}
	if (spec->allow_temp && !scoped) {
		return err_refuse(err, EINVAL,
			"allow_temp: needs write scope or overlay; write is %s",
			chosen(spec, "write"));
	}
	if (spec->home_source && !scoped) {
		return err_refuse(err, EINVAL,
			"a home directory that lasts needs write scope or overlay; write is %s",
			chosen(spec, "write"));
	}
	if (spec->home_source && !spec->readable && spec->root == ROOT_HOST) {
		return err_refuse(err, EINVAL,
			"a home directory that lasts needs a list of what is readable: in the view "
			"of "
			"the whole host there is no place for it");
	}
	if (spec->write == WRITE_SCOPE && !spec->writable && !spec->allow_temp &&
		!spec->home_source) {
		return err_refuse(err, EINVAL,
			"write: scope needs a writable path or allow_temp; write none forbids all");
	}
	return 0;
}

static int validate_net(const struct spec *spec, struct err *err)
{
	if (spec->egress && spec->net != NET_EGRESS) {
		return err_refuse(
			err, EINVAL, "egress: needs net egress; net is %s", chosen(spec, "net"));
	}
	if (spec->inbound && spec->net == NET_DISABLE) {
		return err_refuse(err, EINVAL, "inbound: needs a network; net is disable");
	}
	return 0;
}

bool spec_path_is_below(const char *path, const char *above)
{
	size_t length = strlen(above);

	if (parse_is_windows_path(above)) {
		length -= above[length - 1] == '\\';
		return strncasecmp(path, above, length) == 0 &&
			(path[length] == '\\' || !path[length]);
	}
	if (strcmp(above, "/") == 0) {
		return path[0] == '/';
	}
	return strncmp(path, above, length) == 0 && (path[length] == '/' || !path[length]);
}

bool spec_path_is_covered(const char *path, char *const *list)
{
	for (size_t i = 0; list && list[i]; i++) {
		if (spec_path_is_below(path, list[i])) {
			return true;
		}
	}
	return false;
}

bool spec_backend_is_windows(const char *name)
{
	return name && strcmp(name, "appcontainer") == 0;
}

/* Paths are of the system they will be looked up on: which one, only the named backend says. */
static int validate_path(
	const char *backend, const struct spec_key *key, const char *path, struct err *err)
{
	bool windows = spec_backend_is_windows(backend);

	if (parse_is_windows_path(path) == windows) {
		return 0;
	}
	if (windows) {
		return err_refuse(err, ENOTSUP,
			"%s: '%s' is no path of Windows; backend %s takes those, such as C:\\work",
			key->name, path, backend);
	}
	return err_refuse(err, ENOTSUP,
		"%s: '%s' is a path of Windows, which only backend appcontainer takes", key->name,
		path);
}

int spec_check_paths(const struct spec *spec, const char *backend, struct err *err)
{
	for (const struct spec_key *key = spec_keys; key->name; key++) {
		const void *field = spec_const_field(spec, key);
		int r = 0;
		if (key->type == SPEC_PATH && *(char *const *)field) {
			r = validate_path(backend, key, *(char *const *)field, err);
		}
		for (char *const *at = key->type == SPEC_PATHS ? *(char **const *)field : NULL;
			at && *at && r == 0; at++) {
			r = validate_path(backend, key, *at, err);
		}
		if (r < 0) {
			return r;
		}
	}
	return 0;
}

/* The home directory and /tmp are the sandbox's own: always there, nothing of the host in them. */
static int validate_dir(const struct spec *spec, struct err *err)
{
	char home[128];

	if (strv_contains(spec->readable, "/")) {
		return err_refuse(err, EINVAL,
			"readable: '/' is everything, and that is what no list at all means; leave "
			"it out");
	}
	if (!spec->dir || !spec->readable) {
		return 0;
	}
	(void)snprintf(home, sizeof(home), "/home/%s", spec->user ? spec->user : "user");
	if (spec_path_is_covered(spec->dir, spec->readable) ||
		spec_path_is_covered(spec->dir, spec->writable) ||
		spec_path_is_below(spec->dir, spec->home ? spec->home : home) ||
		spec_path_is_below(spec->dir, "/tmp")) {
		return 0;
	}
	return err_refuse(err, EINVAL, "dir: '%s' is below none of the readable and writable paths",
		spec->dir);
}

static int validate_root(const struct spec *spec, struct err *err)
{
	if (spec->root == ROOT_DIRECTORY && !spec->root_path) {
		return err_refuse(err, EINVAL, "root: directory needs root_path");
	}
	if (spec->root == ROOT_IMAGE && !spec->root_path == !spec->image) {
		return err_refuse(err, EINVAL,
			"root: image needs root_path (a file) or image (a container engine's), "
			"one of them");
	}
	if (spec->root != ROOT_IMAGE && spec->image) {
		return err_refuse(err, EINVAL, "image: needs root image");
	}
	if (spec->root == ROOT_HOST && spec->root_path) {
		return err_refuse(err, EINVAL, "root_path: needs root directory or image");
	}
	return 0;
}

static int validate_strict(const struct spec *spec, struct err *err)
{
	struct capability_set asked = capability_set_union(spec_capabilities(spec), spec->require);
	struct capability_set beyond = capability_set_sub(asked, capability_set_portable());
	char names[256];

	if (!spec->strict || beyond.bits == 0) {
		return 0;
	}
	capability_set_format(beyond, names, sizeof(names));
	return err_refuse(err, EINVAL, "strict: not every system can keep %s%s", names,
		capability_set_has(beyond, CAPABILITY_FS_READ_HOST)
			? "; list what may be read with readable"
			: "");
}

int spec_validate(const struct spec *spec, struct err *err)
{
	static int (*const rules[])(const struct spec *, struct err *) = {
		validate_command,
		spec_check_values,
		validate_paths,
		validate_writes,
		validate_net,
		validate_dir,
		validate_root,
		validate_strict,
	};

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		int r = rules[i](spec, err);
		if (r < 0) {
			return r;
		}
	}
	return 0;
}

static enum capability net_capability(enum net_mode mode)
{
	static const enum capability by_mode[] = {
		[NET_DISABLE] = CAPABILITY_NET_DISABLE,
		[NET_ENABLE] = CAPABILITY_NET_ENABLE,
		[NET_OUTBOUND] = CAPABILITY_NET_OUTBOUND,
		[NET_EGRESS] = CAPABILITY_NET_EGRESS,
	};

	return by_mode[mode];
}

static void add_write_capabilities(enum write_mode mode, struct capability_set *set)
{
	if (mode == WRITE_NONE) {
		capability_set_add(set, CAPABILITY_FS_WRITE_DENY);
	}
	if (mode == WRITE_SCOPE || mode == WRITE_OVERLAY) {
		capability_set_add(set, CAPABILITY_FS_WRITE_SCOPE);
	}
	if (mode == WRITE_EPHEMERAL || mode == WRITE_OVERLAY) {
		capability_set_add(set, CAPABILITY_FS_WRITE_EPHEMERAL);
	}
}

struct capability_set spec_capabilities(const struct spec *spec)
{
	const struct {
		bool asked;
		enum capability capability;
	} rules[] = {
		{true, net_capability(spec->net)},
		{spec->inbound != NULL, CAPABILITY_NET_INBOUND},
		{true, spec->readable ? CAPABILITY_FS_READ_SCOPE : CAPABILITY_FS_READ_HOST},
		{spec->read_deny != NULL, CAPABILITY_FS_READ_DENY},
		{spec->env_allow || spec->env_deny, CAPABILITY_ENV_SCRUB},
		{spec->no_exec, CAPABILITY_PROC_NO_EXEC},
		{spec->mach_allow != NULL, CAPABILITY_MACH_RESTRICT},
		{spec->cpu_milli > 0, CAPABILITY_RES_CPU},
		{spec->memory > 0, CAPABILITY_RES_MEMORY},
		{spec->pids > 0, CAPABILITY_RES_PIDS},
		{spec->disk > 0, CAPABILITY_RES_DISK},
		{spec->timeout > 0, CAPABILITY_RES_TIME},
	};
	struct capability_set set = {0};

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		if (rules[i].asked) {
			capability_set_add(&set, rules[i].capability);
		}
	}
	add_write_capabilities(spec->write, &set);
	return set;
}

/* One variable of spec->env, with the length of its name. */
struct variable {
	char *const *entry;
	size_t length;
};

static int compare_variables(const void *a, const void *b)
{
	const struct variable *left = a;
	const struct variable *right = b;
	size_t shorter = left->length < right->length ? left->length : right->length;
	int order = memcmp(*left->entry, *right->entry, shorter);

	if (order == 0) {
		order = (left->length > right->length) - (left->length < right->length);
	}
	/* Same name: as they came, so that the last one can be taken. */
	return order ? order : (left->entry > right->entry) - (left->entry < right->entry);
}

/* 1 or 0, or -ENOMEM. An allow-list that is there and matches nothing lets nothing through. */
static int is_passed_on(const struct spec *spec, const struct variable *variable)
{
	cleanup_free char *name = NULL;

	if (!spec->env_allow && !spec->env_deny) {
		return 1;
	}
	name = strndup(*variable->entry, variable->length);
	if (!name) {
		return -ENOMEM;
	}
	return (!spec->env_allow || strv_matches(spec->env_allow, name)) &&
		!strv_matches(spec->env_deny, name);
}

int spec_environment(const struct spec *spec, char ***ret)
{
	size_t count = strv_length(spec->env);
	cleanup_free struct variable *variables = calloc(count + 1, sizeof(*variables));
	cleanup_free char **list = calloc(count + 1, sizeof(char *));
	size_t used = 0;

	if (!variables || !list) {
		return -ENOMEM;
	}
	for (size_t i = 0; i < count; i++) {
		variables[i].entry = &spec->env[i];
		variables[i].length = strcspn(spec->env[i], "=");
	}
	qsort(variables, count, sizeof(variables[0]), compare_variables);
	for (size_t i = 0; i < count; i++) {
		bool repeated = i + 1 < count && variables[i].length == variables[i + 1].length &&
			memcmp(*variables[i].entry, *variables[i + 1].entry, variables[i].length) ==
				0;
		int r = repeated ? 0 : is_passed_on(spec, &variables[i]);
		list[used] = r == 1 ? strdup(*variables[i].entry) : NULL;
		if (r < 0 || (r == 1 && !list[used])) {
			while (used > 0) {
				free(list[--used]);
			}
			return -ENOMEM;
		}
		used += r == 1;
	}
	*ret = take_ptr(&list);
	return 0;
}
