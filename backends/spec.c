#include "backends/spec.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "backends/emit.h"
#include "backends/plan.h"
#include "base/parse.h"

#define MIB (UINT64_C(1) << 20)

static const char *const net_modes[] = {
	[NET_DISABLE] = "disable",
	[NET_ENABLE] = "enable",
	[NET_OUTBOUND] = "outbound",
	[NET_EGRESS] = "egress",
	NULL,
};

static const char *const write_modes[] = {
	[WRITE_NONE] = "none",
	[WRITE_SCOPE] = "scope",
	[WRITE_EPHEMERAL] = "ephemeral",
	[WRITE_OVERLAY] = "overlay",
	NULL,
};

static const char *const root_kinds[] = {
	[ROOT_HOST] = "host",
	[ROOT_DIRECTORY] = "directory",
	NULL,
};

/* Checks of one value. Each refusal says what would be right. */

static int check_path(const char *text, struct err *err)
{
	cleanup_free char *clean = NULL;
	int r = parse_absolute_path(text, &clean);

	if (r == -ENOMEM) {
		return err_set(err, ENOMEM, "reading a path");
	}
	if (r < 0) {
		return err_refuse(err, EINVAL,
			"'%s' is not an absolute path without '..' and control bytes", text);
	}
	return 0;
}

static int check_variable(const char *text, struct err *err)
{
	size_t name = strcspn(text, "=");

	if (name == 0 || text[name] != '=') {
		return err_refuse(err, EINVAL, "'%s' is not of the form NAME=VALUE", text);
	}
	return 0;
}

/* Is what follows '[' closed, as fnmatch(3) reads it? Returns the length up to the ']', or 0. */
static size_t bracket_length(const char *text)
{
	size_t i = 1;

	i += text[i] == '!' || text[i] == '^';
	i += text[i] == ']';
	for (; text[i]; i++) {
		if (text[i] == ']') {
			return i;
		}
		if (text[i] == '\\' && text[i + 1]) {
			i++;
		}
	}
	return 0;
}

static int check_glob(const char *text, struct err *err)
{
	for (const char *at = text; *at; at++) {
		if (*at == '=') {
			return err_refuse(err, EINVAL,
				"'%s' has a '=': patterns match names of variables, not values",
				text);
		}
		if (*at == '\\' && !*++at) {
			return err_refuse(
				err, EINVAL, "the pattern '%s' ends in a backslash", text);
		}
		if (*at == '[') {
			size_t length = bracket_length(at);
			if (length == 0) {
				return err_refuse(err, EINVAL,
					"the pattern '%s' has a '[' without ']'", text);
			}
			at += length;
		}
	}
	return 0;
}

static int check_name(const char *text, struct err *err)
{
	if (!parse_is_name(text)) {
		return err_refuse(err, EINVAL,
			"'%s' is not a name: 1 to 64 of letters, digits, '.', '_' and '-', not "
			"beginning with '-' or '.'",
			text);
	}
	return 0;
}

static int check_port(const char *text, struct err *err)
{
	uint64_t port = 0;

	if (parse_range(text, 1, 65535, &port) < 0) {
		return err_refuse(err, EINVAL, "'%s' is not a port from 1 to 65535", text);
	}
	return 0;
}

static bool is_address_text(const char *text, size_t length)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789.-_*:[]/";

	return length > 0 && strspn(text, allowed) >= length;
}

/* host[:port], network[/bits][:port], [v6]:port. Names are resolved by whoever enforces this. */
static int check_egress(const char *text, struct err *err)
{
	const char *colon = strrchr(text, ':');
	const char *bracket = strrchr(text, ']');
	bool has_port = colon && (bracket ? colon == bracket + 1 : strchr(text, ':') == colon);
	size_t length = has_port ? (size_t)(colon - text) : strlen(text);

	if (!is_address_text(text, length)) {
		return err_refuse(err, EINVAL,
			"'%s' is not of the form host[:port] or network/bits[:port]", text);
	}
	return has_port ? check_port(colon + 1, err) : 0;
}

/* The codes are a table, so a mistyped one would never refuse anything: it is an error here. */
static int check_refuse_on(const char *text, struct err *err)
{
	size_t length = strlen(text);

	for (enum caveat_severity s = CAVEAT_INFO; s <= CAVEAT_MISSING; s++) {
		if (strcmp(text, caveat_severity_name(s)) == 0) {
			return 0;
		}
	}
	for (const struct caveat_info *info = caveat_table; info->code; info++) {
		bool prefix = length > 2 && strcmp(text + length - 2, ".*") == 0 &&
			strncmp(info->code, text, length - 1) == 0;
		if (prefix || strcmp(info->code, text) == 0) {
			return 0;
		}
	}
	return err_refuse(err, EINVAL,
		"'%s' is no caveat: say info, weaker, missing, a code or 'prefix.*'; `cloche "
		"explain` lists the codes",
		text);
}

#define FIELD(name) offsetof(struct spec, name)

/* In the order help texts show them. */
const struct spec_key spec_keys[] = {
	{"net", SPEC_CHOICE, FIELD(net), net_modes, .metavar = "MODE",
		.help = "network: disable, enable, outbound or egress"},
	{"egress", SPEC_STRINGS, FIELD(egress), .metavar = "HOST[:PORT]", .check = check_egress,
		.help = "with --net=egress: may be reached (host[:port], network/bits[:port])"},
	{"inbound", SPEC_STRINGS, FIELD(inbound), .metavar = "PORT", .check = check_port,
		.help = "port inside that may be reached from outside"},
	{"write", SPEC_CHOICE, FIELD(write), write_modes, .metavar = "MODE",
		.help = "writes: none, scope, ephemeral or overlay"},
	{"writable", SPEC_PATHS, FIELD(writable), .metavar = "PATH", .check = check_path,
		.help = "with --write=scope or overlay: writes below PATH persist on the host"},
	{"readable", SPEC_PATHS, FIELD(readable), .metavar = "PATH", .check = check_path,
		.help = "only this, and what programs need to start, can be read"},
	{"read_deny", SPEC_PATHS, FIELD(read_deny), .metavar = "PATH", .check = check_path,
		.help = "cannot be read, whatever else says so"},
	{"allow_temp", SPEC_BOOL, FIELD(allow_temp),
		.help = "with --write=scope or overlay: the host's /tmp is writable"},
	{"env", SPEC_STRINGS, FIELD(env), .metavar = "NAME=VALUE", .check = check_variable,
		.help = "variable for the command"},
	{"env_allow", SPEC_STRINGS, FIELD(env_allow), .metavar = "GLOB", .check = check_glob,
		.help = "only variables whose name matches are passed on"},
	{"env_deny", SPEC_STRINGS, FIELD(env_deny), .metavar = "GLOB", .check = check_glob,
		.help = "variables whose name matches are taken out; wins over --env-allow"},
	{"no_exec", SPEC_BOOL, FIELD(no_exec), .help = "the command may start no other program"},
	{"mach_allow", SPEC_STRINGS, FIELD(mach_allow), .metavar = "NAME",
		.help = "Mach service that may be looked up (macOS only)"},
	{"cpus", SPEC_MILLI, FIELD(cpu_milli), .metavar = "N", .min = 10, .max = 1024000,
		.help = "processors at most, 0.5 for half a one; 0: no limit"},
	{"memory", SPEC_SIZE, FIELD(memory), .metavar = "SIZE", .min = 4 * MIB, .max = INT64_MAX,
		.help = "memory at most, with K, M, G or T; 0: no limit"},
	{"pids", SPEC_COUNT, FIELD(pids), .metavar = "N", .min = 1, .max = 4194304,
		.help = "processes and threads at most; 0: no limit"},
	{"disk", SPEC_SIZE, FIELD(disk), .metavar = "SIZE", .min = 65536, .max = INT64_MAX,
		.help = "ephemeral writes at most; 0: the backend's default"},
	{"timeout", SPEC_DURATION, FIELD(timeout), .metavar = "TIME", .min = 1, .max = 31622400,
		.help = "wall-clock time at most, as 90 or 1h30m; 0: no limit"},
	{"strict", SPEC_BOOL, FIELD(strict),
		.help = "refuse what is outside the capabilities every system can keep"},
	{"dir", SPEC_PATH, FIELD(dir), .metavar = "PATH", .check = check_path,
		.help = "working directory inside"},
	{"root", SPEC_CHOICE, FIELD(root), root_kinds, .metavar = "KIND",
		.help = "where /usr and the rest come from: host or directory"},
	{"root_path", SPEC_PATH, FIELD(root_path), .metavar = "PATH", .check = check_path,
		.help = "with --root=directory: the root file system"},
	{"hostname", SPEC_STRING, FIELD(hostname), .metavar = "NAME", .check = check_name,
		.help = "host name inside"},
	{"user", SPEC_STRING, FIELD(user), .metavar = "NAME", .check = check_name,
		.help = "login name inside"},
	{"home", SPEC_PATH, FIELD(home), .metavar = "PATH", .check = check_path,
		.help = "home directory inside"},
	{"shell", SPEC_PATH, FIELD(shell), .metavar = "PATH", .check = check_path,
		.help = "login shell inside"},
	{"require", SPEC_CAPABILITIES, FIELD(require), .metavar = "CAPABILITY,...",
		.help = "refuse a plan that does not keep these"},
	{"refuse_on", SPEC_STRINGS, FIELD(refuse_on), .metavar = "CAVEAT", .check = check_refuse_on,
		.help = "refuse a plan with this caveat: a code, 'prefix.*', or a severity and "
			"worse"},
	{"backend", SPEC_STRING, FIELD(backend), .metavar = "NAME", .check = check_name,
		.help = "what keeps the promises; auto: the best there is"},
	{.name = NULL},
};

static void *field_of(struct spec *spec, const struct spec_key *key)
{
	return (char *)spec + key->offset;
}

static const void *const_field_of(const struct spec *spec, const struct spec_key *key)
{
	return (const char *)spec + key->offset;
}

static bool is_list(const struct spec_key *key)
{
	return key->type == SPEC_PATHS || key->type == SPEC_STRINGS;
}

static bool is_text(const struct spec_key *key)
{
	return key->type == SPEC_PATH || key->type == SPEC_STRING;
}

static bool is_number(const struct spec_key *key)
{
	return key->type == SPEC_SIZE || key->type == SPEC_COUNT || key->type == SPEC_MILLI ||
		key->type == SPEC_DURATION;
}

void spec_init(struct spec *spec)
{
	*spec = (struct spec){0};
}

void spec_fini(struct spec *spec)
{
	spec->args = strv_free(spec->args);
	for (const struct spec_key *key = spec_keys; key->name; key++) {
		if (is_list(key)) {
			spec_clear(spec, key);
		} else if (is_text(key)) {
			free_ptrp(field_of(spec, key));
		}
	}
	spec_init(spec);
}

static int copy_field(const struct spec_key *key, const struct spec *from, struct spec *to)
{
	if (is_list(key)) {
		return strv_copy(*(char **const *)const_field_of(from, key), field_of(to, key));
	}
	if (is_text(key)) {
		const char *text = *(char *const *)const_field_of(from, key);
		char *copy = text ? strdup(text) : NULL;
		*(char **)field_of(to, key) = copy;
		return text && !copy ? -ENOMEM : 0;
	}
	return 0;
}

int spec_copy(const struct spec *spec, struct spec *ret)
{
	struct spec copy = *spec;
	int r = 0;

	/* Numbers came along with the assignment; what is owned is emptied first, so that the
	 * half-built copy can be let go. */
	copy.args = NULL;
	for (const struct spec_key *key = spec_keys; key->name; key++) {
		if (is_list(key) || is_text(key)) {
			*(void **)field_of(&copy, key) = NULL;
		}
	}
	r = strv_copy(spec->args, &copy.args);
	for (const struct spec_key *key = spec_keys; key->name && r == 0; key++) {
		r = copy_field(key, spec, &copy);
	}
	if (r < 0) {
		spec_fini(&copy);
		return r;
	}
	*ret = copy;
	return 0;
}

/* As strcmp() == 0, but '-' is '_'. */
static bool same_name(const char *name, const char *with_underscores)
{
	for (; *name && *with_underscores; name++, with_underscores++) {
		if ((*name == '-' ? '_' : *name) != *with_underscores) {
			return false;
		}
	}
	return *name == *with_underscores;
}

const struct spec_key *spec_find_key(const char *name)
{
	for (const struct spec_key *key = spec_keys; key->name; key++) {
		if (same_name(name, key->name)) {
			return key;
		}
	}
	return NULL;
}

const char *spec_suggest_key(const char *name)
{
	const char *nearest = NULL;
	size_t best = 4;

	for (const struct spec_key *key = spec_keys; key->name; key++) {
		size_t distance = parse_edit_distance(name, key->name, best);
		if (distance < best && distance < strlen(key->name)) {
			best = distance;
			nearest = key->name;
		}
	}
	return nearest;
}

static int set_choice(
	struct spec *spec, const struct spec_key *key, const char *text, struct err *err)
{
	cleanup_free char *all = NULL;

	for (unsigned i = 0; key->choices[i]; i++) {
		if (strcmp(text, key->choices[i]) == 0) {
			*(unsigned *)field_of(spec, key) = i;
			return 0;
		}
	}
	all = strv_join((char *const *)(size_t)key->choices, ", ");
	return err_refuse(err, EINVAL, "%s: '%s' is not one of %s", key->name, text,
		all ? all : "its values");
}

static const char *number_form(enum spec_type type)
{
	switch (type) {
	case SPEC_SIZE:
		return "a number of bytes such as 65536, 64K or 2G";
	case SPEC_MILLI:
		return "a number of processors such as 2 or 0.5";
	case SPEC_DURATION:
		return "a time such as 90, 90s or 1h30m";
	default:
		return "a whole number";
	}
}

static int parse_number(enum spec_type type, const char *text, uint64_t *ret)
{
	switch (type) {
	case SPEC_SIZE:
		return parse_size(text, ret);
	case SPEC_MILLI:
		return parse_milli(text, ret);
	case SPEC_DURATION:
		return parse_duration(text, ret);
	default:
		return parse_u64(text, ret);
	}
}

/* A bound as people write it. */
static char *format_number(enum spec_type type, uint64_t value, char *text, size_t size)
{
	if (type == SPEC_MILLI) {
		int length = snprintf(text, size, "%llu.%03u", (unsigned long long)(value / 1000),
			(unsigned)(value % 1000));
		while (length > 0 && text[length - 1] == '0') {
			text[--length] = '\0';
		}
		if (length > 0 && text[length - 1] == '.') {
			text[--length] = '\0';
		}
	} else {
		(void)snprintf(text, size, "%llu", (unsigned long long)value);
	}
	return text;
}

static int check_range(const struct spec_key *key, uint64_t value, struct err *err)
{
	char min[32];
	char max[32];

	if (value == 0 || (value >= key->min && (key->max == 0 || value <= key->max))) {
		return 0;
	}
	format_number(key->type, key->min, min, sizeof(min));
	format_number(key->type, key->max, max, sizeof(max));
	return err_refuse(
		err, EINVAL, "%s: must be 0 (none) or from %s to %s", key->name, min, max);
}

static int set_number(
	struct spec *spec, const struct spec_key *key, const char *text, struct err *err)
{
	uint64_t value = 0;
	int r = parse_number(key->type, text, &value);

	if (r < 0) {
		return err_refuse(err, EINVAL, "%s: '%s' is not %s", key->name, text,
			r == -ERANGE ? "a number that fits" : number_form(key->type));
	}
	r = check_range(key, value, err);
	if (r < 0) {
		return r;
	}
	*(uint64_t *)field_of(spec, key) = value;
	return 0;
}

static int set_bool(
	struct spec *spec, const struct spec_key *key, const char *text, struct err *err)
{
	if (parse_bool(text, field_of(spec, key)) < 0) {
		return err_refuse(err, EINVAL, "%s: '%s' is not yes or no", key->name, text);
	}
	return 0;
}

static int set_capabilities(
	struct spec *spec, const struct spec_key *key, const char *text, struct err *err)
{
	struct capability_set set = {0};
	struct capability_set *field = field_of(spec, key);

	if (capability_set_parse(text, &set, err) < 0) {
		return err_wrap(err, "%s", key->name);
	}
	*field = capability_set_union(*field, set);
	return 0;
}

/* One text or item, checked; paths are cleaned. */
static int make_item(const struct spec_key *key, const char *text, char **ret, struct err *err)
{
	bool path = key->type == SPEC_PATH || key->type == SPEC_PATHS;
	int r = 0;

	if (!text[strspn(text, " \t\r\n")]) {
		return err_refuse(err, EINVAL, "%s: a blank value means nothing", key->name);
	}
	if (key->check && key->check(text, err) < 0) {
		return err_wrap(err, "%s", key->name);
	}
	if (path) {
		r = parse_absolute_path(text, ret);
	} else {
		*ret = strdup(text);
		r = *ret ? 0 : -ENOMEM;
	}
	return r < 0 ? err_set(err, -r, "%s", key->name) : 0;
}

static int set_text(
	struct spec *spec, const struct spec_key *key, const char *text, struct err *err)
{
	char **field = field_of(spec, key);
	char *item = NULL;
	int r = make_item(key, text, &item, err);

	if (r == 0) {
		free(*field);
		*field = item;
	}
	return r;
}

static int append_text(
	struct spec *spec, const struct spec_key *key, const char *text, struct err *err)
{
	char *item = NULL;
	int r = make_item(key, text, &item, err);

	if (r == 0) {
		r = strv_consume(field_of(spec, key), item);
	}
	return r == -ENOMEM ? err_set(err, ENOMEM, "%s", key->name) : r;
}

int spec_set(struct spec *spec, const struct spec_key *key, const char *text, struct err *err)
{
	switch (key->type) {
	case SPEC_CHOICE:
		return set_choice(spec, key, text, err);
	case SPEC_BOOL:
		return set_bool(spec, key, text, err);
	case SPEC_SIZE:
	case SPEC_COUNT:
	case SPEC_MILLI:
	case SPEC_DURATION:
		return set_number(spec, key, text, err);
	case SPEC_STRING:
	case SPEC_PATH:
		return set_text(spec, key, text, err);
	case SPEC_PATHS:
	case SPEC_STRINGS:
		return append_text(spec, key, text, err);
	case SPEC_CAPABILITIES:
		return set_capabilities(spec, key, text, err);
	}
	return err_refuse(err, EINVAL, "%s: cannot be set", key->name);
}

void spec_clear(struct spec *spec, const struct spec_key *key)
{
	if (is_list(key)) {
		char ***list = field_of(spec, key);
		*list = strv_free(*list);
	} else if (key->type == SPEC_CAPABILITIES) {
		*(struct capability_set *)field_of(spec, key) = (struct capability_set){0};
	}
}

/* What spec_set() checks, again: a spec may have been filled by hand. */
static int validate_values(const struct spec *spec, struct err *err)
{
	for (const struct spec_key *key = spec_keys; key->name; key++) {
		const void *field = const_field_of(spec, key);
		int r = 0;
		if (is_number(key)) {
			r = check_range(key, *(const uint64_t *)field, err);
		} else if (is_text(key) && *(char *const *)field) {
			char *item = NULL;
			r = make_item(key, *(char *const *)field, &item, err);
			free(item);
		}
		for (char *const *at = is_list(key) ? *(char **const *)field : NULL;
			at && *at && r == 0; at++) {
			char *item = NULL;
			r = make_item(key, *at, &item, err);
			free(item);
		}
		if (r < 0) {
			return r;
		}
	}
	return 0;
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

static int validate_writes(const struct spec *spec, struct err *err)
{
	bool scoped = spec->write == WRITE_SCOPE || spec->write == WRITE_OVERLAY;

	if (spec->writable && !scoped) {
		return err_refuse(err, EINVAL,
			"writable: needs write scope or overlay; write is %s",
			write_modes[spec->write]);
	}
	if (spec->allow_temp && !scoped) {
		return err_refuse(err, EINVAL,
			"allow_temp: needs write scope or overlay; write is %s",
			write_modes[spec->write]);
	}
	if (spec->write == WRITE_SCOPE && !spec->writable && !spec->allow_temp) {
		return err_refuse(err, EINVAL,
			"write: scope needs a writable path or allow_temp; write none forbids all");
	}
	return 0;
}

static int validate_net(const struct spec *spec, struct err *err)
{
	if (spec->egress && spec->net != NET_EGRESS) {
		return err_refuse(
			err, EINVAL, "egress: needs net egress; net is %s", net_modes[spec->net]);
	}
	if (spec->inbound && spec->net == NET_DISABLE) {
		return err_refuse(err, EINVAL, "inbound: needs a network; net is disable");
	}
	return 0;
}

static bool is_at_or_below(const char *path, const char *above)
{
	size_t length = strlen(above);

	if (strcmp(above, "/") == 0) {
		return true;
	}
	return strncmp(path, above, length) == 0 && (path[length] == '/' || !path[length]);
}

static bool is_covered(const char *path, char *const *list)
{
	for (size_t i = 0; list && list[i]; i++) {
		if (is_at_or_below(path, list[i])) {
			return true;
		}
	}
	return false;
}

/* The home directory and /tmp are the sandbox's own: always there, nothing of the host in them. */
static int validate_dir(const struct spec *spec, struct err *err)
{
	char home[128];

	if (!spec->dir || !spec->readable) {
		return 0;
	}
	(void)snprintf(home, sizeof(home), "/home/%s", spec->user ? spec->user : "user");
	if (is_covered(spec->dir, spec->readable) || is_covered(spec->dir, spec->writable) ||
		is_at_or_below(spec->dir, spec->home ? spec->home : home) ||
		is_at_or_below(spec->dir, "/tmp")) {
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
	if (spec->root != ROOT_DIRECTORY && spec->root_path) {
		return err_refuse(err, EINVAL, "root_path: needs root directory");
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
		validate_values,
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

static bool is_default(const struct spec *spec, const struct spec_key *key)
{
	const void *field = const_field_of(spec, key);

	switch (key->type) {
	case SPEC_CHOICE:
		return *(const unsigned *)field == 0;
	case SPEC_BOOL:
		return !*(const bool *)field;
	case SPEC_CAPABILITIES:
		return ((const struct capability_set *)field)->bits == 0;
	case SPEC_SIZE:
	case SPEC_COUNT:
	case SPEC_MILLI:
	case SPEC_DURATION:
		return *(const uint64_t *)field == 0;
	default:
		return !*(void *const *)field;
	}
}

static void put_capabilities(struct emitter *out, struct capability_set set)
{
	enum capability list[CAPABILITY_COUNT];
	size_t count = capability_set_list(set, list);

	emit_open(out, '[');
	for (size_t i = 0; i < count; i++) {
		emit_text(out, capability_name(list[i]));
	}
	emit_close(out, ']');
}

static void put_value(struct emitter *out, const struct spec *spec, const struct spec_key *key)
{
	const void *field = const_field_of(spec, key);
	char text[32];

	switch (key->type) {
	case SPEC_CHOICE:
		emit_text(out, key->choices[*(const unsigned *)field]);
		break;
	case SPEC_BOOL:
		emit_bool(out, *(const bool *)field);
		break;
	case SPEC_STRING:
	case SPEC_PATH:
		emit_text(out, *(char *const *)field);
		break;
	case SPEC_MILLI:
		emit_text(out,
			format_number(key->type, *(const uint64_t *)field, text, sizeof(text)));
		break;
	case SPEC_SIZE:
	case SPEC_COUNT:
	case SPEC_DURATION:
		emit_number(out, *(const uint64_t *)field);
		break;
	case SPEC_PATHS:
	case SPEC_STRINGS:
		emit_list(out, *(char **const *)field);
		break;
	case SPEC_CAPABILITIES:
		put_capabilities(out, *(const struct capability_set *)field);
		break;
	}
}

/* The command is a key in JSON only: elsewhere it has a place of its own. */
static const struct spec_key args_key = {"args", SPEC_STRINGS, FIELD(args)};

#define JSON_KEYS ARRAY_SIZE(spec_keys) /* args_key takes the place of the end mark */

static int compare_keys(const void *a, const void *b)
{
	const struct spec_key *const *left = a;
	const struct spec_key *const *right = b;

	return strcmp((*left)->name, (*right)->name);
}

char *spec_to_json(const struct spec *spec)
{
	const struct spec_key *sorted[JSON_KEYS] = {&args_key};
	struct emitter out = {0};

	for (size_t i = 1; i < JSON_KEYS; i++) {
		sorted[i] = &spec_keys[i - 1];
	}
	qsort(sorted, JSON_KEYS, sizeof(sorted[0]), compare_keys);
	emit_open(&out, '{');
	for (size_t i = 0; i < JSON_KEYS; i++) {
		if (!is_default(spec, sorted[i])) {
			emit_key(&out, sorted[i]->name);
			put_value(&out, spec, sorted[i]);
		}
	}
	emit_close(&out, '}');
	return emit_finish(&out);
}

static int refuse_type(const struct spec_key *key, const char *wanted, struct err *err)
{
	return err_refuse(err, EINVAL, "%s: must be %s", key->name, wanted);
}

static int set_from_number(
	struct spec *spec, const struct spec_key *key, const json_t *value, struct err *err)
{
	char text[48];

	if (json_is_integer(value)) {
		(void)snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(value));
	} else if (json_is_real(value) && key->type == SPEC_MILLI) {
		(void)snprintf(text, sizeof(text), "%.3f", json_real_value(value));
	} else if (json_is_string(value)) {
		return spec_set(spec, key, json_string_value(value), err);
	} else {
		return refuse_type(key, number_form(key->type), err);
	}
	return spec_set(spec, key, text, err);
}

static int set_from_list(
	struct spec *spec, const struct spec_key *key, const json_t *value, struct err *err)
{
	size_t index = 0;
	const json_t *item = NULL;

	if (!json_is_array(value)) {
		return refuse_type(key, "a list of texts", err);
	}
	json_array_foreach(value, index, item)
	{
		int r = json_is_string(item) ? 0 : refuse_type(key, "a list of texts", err);
		if (r == 0 && key == &args_key) {
			r = strv_append(&spec->args, json_string_value(item));
		} else if (r == 0) {
			r = spec_set(spec, key, json_string_value(item), err);
		}
		if (r < 0) {
			return r == -ENOMEM ? err_set(err, ENOMEM, "%s", key->name) : r;
		}
	}
	return 0;
}

static int set_from_json(
	struct spec *spec, const struct spec_key *key, const json_t *value, struct err *err)
{
	if (key->type == SPEC_BOOL) {
		if (!json_is_boolean(value)) {
			return refuse_type(key, "true or false", err);
		}
		return spec_set(spec, key, json_is_true(value) ? "yes" : "no", err);
	}
	if (is_number(key)) {
		return set_from_number(spec, key, value, err);
	}
	if (is_list(key) || key->type == SPEC_CAPABILITIES) {
		return set_from_list(spec, key, value, err);
	}
	if (!json_is_string(value)) {
		return refuse_type(key, "a text", err);
	}
	return spec_set(spec, key, json_string_value(value), err);
}

static int refuse_unknown(const char *name, struct err *err)
{
	const char *nearest = spec_suggest_key(name);

	if (nearest) {
		return err_refuse(
			err, EINVAL, "a spec has no key '%s'; did you mean '%s'?", name, nearest);
	}
	return err_refuse(err, EINVAL, "a spec has no key '%s'", name);
}

int spec_from_json(const char *text, struct spec *ret, struct err *err)
{
	cleanup(spec_fini) struct spec spec = {0};
	cleanup(json_decrefp) json_t *root = NULL;
	json_error_t error;
	const char *name = NULL;
	json_t *value = NULL;

	root = json_loads(text, JSON_REJECT_DUPLICATES, &error);
	if (!root) {
		return err_refuse(err, EINVAL, "line %d, column %d: %s", error.line, error.column,
			error.text);
	}
	if (!json_is_object(root)) {
		return err_refuse(err, EINVAL, "a spec is a JSON object");
	}
	json_object_foreach(root, name, value)
	{
		const struct spec_key *key =
			strcmp(name, args_key.name) == 0 ? &args_key : spec_find_key(name);
		int r = key ? set_from_json(&spec, key, value, err) : refuse_unknown(name, err);
		if (r < 0) {
			return r;
		}
	}
	*ret = spec;
	spec_init(&spec);
	return 0;
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
