#include "backends/spec.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "backends/linux/netd/rules.h"
#include "backends/plan.h"
#include "backends/spec-keys.h"
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
	[ROOT_IMAGE] = "image",
	NULL,
};

static const char *const id_kinds[] = {
	[IDS_AUTO] = "auto",
	[IDS_RANGE] = "range",
	[IDS_SINGLE] = "single",
	NULL,
};

/* Checks of one value. Each refusal says what would be right. */

/* Paths of Windows are read by its rules on every system; spec_validate() says who may have them. */
static int parse_path(const char *text, char **ret)
{
	return parse_is_windows_path(text) ? parse_windows_path(text, ret)
					   : parse_absolute_path(text, ret);
}

static int check_path(const char *text, struct err *err)
{
	cleanup_free char *clean = NULL;
	int r = parse_path(text, &clean);

	if (r == -ENOMEM) {
		return err_set(err, ENOMEM, "reading a path");
	}
	if (r < 0 && parse_is_windows_path(text)) {
		return err_refuse(err, EINVAL,
			"'%s' is not a plain path of Windows such as C:\\work: no '/', '..', "
			"device names, streams, wildcards, or names ending in a dot or blank",
			text);
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

static int check_image(const char *text, struct err *err)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-/:@";
	size_t length = strlen(text);

	if (length > 255 || strspn(text, allowed) != length || strspn(text, allowed) == 0 ||
		strchr("._-/:@", text[0])) {
		return err_refuse(err, EINVAL,
			"'%s' is not an image: name, name:tag, or sha256: and 64 digits", text);
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

/* Read here as whoever enforces it will read it: a rule that means nothing is refused at once. */
static int check_egress(const char *text, struct err *err)
{
	struct rule rule;
	const char *problem = rule_parse(text, &rule);

	return problem ? err_refuse(err, EINVAL, "'%s': %s", text, problem) : 0;
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
		.help = "with --net=egress: may be reached (host[:port], *.host[:port], "
			"network/bits[:port])"},
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
		.help = "where /usr and the rest come from: host, directory or image"},
	{"root_path", SPEC_PATH, FIELD(root_path), .metavar = "PATH", .check = check_path,
		.help = "with --root=directory or image: the root file system"},
	{"image", SPEC_STRING, FIELD(image), .metavar = "NAME", .check = check_image,
		.help = "with --root=image: a container engine's image, by name or by id "
			"(sha256:...)"},
	{"ids", SPEC_CHOICE, FIELD(ids), id_kinds, .metavar = "KIND",
		.help = "host ids of the session: a range of its own, the caller's single one, or "
			"auto"},
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
		.help = "what keeps the promises; auto: compare all and take the best"},
	{.name = NULL},
};

void *spec_field(struct spec *spec, const struct spec_key *key)
{
	return (char *)spec + key->offset;
}

const void *spec_const_field(const struct spec *spec, const struct spec_key *key)
{
	return (const char *)spec + key->offset;
}

bool spec_key_is_list(const struct spec_key *key)
{
	return key->type == SPEC_PATHS || key->type == SPEC_STRINGS;
}

bool spec_key_is_text(const struct spec_key *key)
{
	return key->type == SPEC_PATH || key->type == SPEC_STRING;
}

bool spec_key_is_number(const struct spec_key *key)
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
	free_ptrp(&spec->home_source);
	for (const struct spec_key *key = spec_keys; key->name; key++) {
		if (spec_key_is_list(key)) {
			spec_clear(spec, key);
		} else if (spec_key_is_text(key)) {
			free_ptrp(spec_field(spec, key));
		}
	}
	spec_init(spec);
}

static int copy_field(const struct spec_key *key, const struct spec *from, struct spec *to)
{
	if (spec_key_is_list(key)) {
		return strv_copy(*(char **const *)spec_const_field(from, key), spec_field(to, key));
	}
	if (spec_key_is_text(key)) {
		const char *text = *(char *const *)spec_const_field(from, key);
		char *copy = text ? strdup(text) : NULL;
		*(char **)spec_field(to, key) = copy;
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
	copy.home_source = NULL;
	for (const struct spec_key *key = spec_keys; key->name; key++) {
		if (spec_key_is_list(key) || spec_key_is_text(key)) {
			*(void **)spec_field(&copy, key) = NULL;
		}
	}
	r = strv_copy(spec->args, &copy.args);
	if (r == 0 && spec->home_source) {
		copy.home_source = strdup(spec->home_source);
		r = copy.home_source ? 0 : -ENOMEM;
	}
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
			*(unsigned *)spec_field(spec, key) = i;
			return 0;
		}
	}
	all = strv_join((char *const *)(size_t)key->choices, ", ");
	return err_refuse(err, EINVAL, "%s: '%s' is not one of %s", key->name, text,
		all ? all : "its values");
}

const char *spec_number_form(enum spec_type type)
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
char *spec_format_number(enum spec_type type, uint64_t value, char *text, size_t size)
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
	spec_format_number(key->type, key->min, min, sizeof(min));
	spec_format_number(key->type, key->max, max, sizeof(max));
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
			r == -ERANGE ? "a number that fits" : spec_number_form(key->type));
	}
	r = check_range(key, value, err);
	if (r < 0) {
		return r;
	}
	*(uint64_t *)spec_field(spec, key) = value;
	return 0;
}

static int set_bool(
	struct spec *spec, const struct spec_key *key, const char *text, struct err *err)
{
	if (parse_bool(text, spec_field(spec, key)) < 0) {
		return err_refuse(err, EINVAL, "%s: '%s' is not yes or no", key->name, text);
	}
	return 0;
}

static int set_capabilities(
	struct spec *spec, const struct spec_key *key, const char *text, struct err *err)
{
	struct capability_set set = {0};
	struct capability_set *field = spec_field(spec, key);

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
		r = parse_path(text, ret);
	} else {
		*ret = strdup(text);
		r = *ret ? 0 : -ENOMEM;
	}
	return r < 0 ? err_set(err, -r, "%s", key->name) : 0;
}

static int set_text(
	struct spec *spec, const struct spec_key *key, const char *text, struct err *err)
{
	char **field = spec_field(spec, key);
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
		r = strv_consume(spec_field(spec, key), item);
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
	if (spec_key_is_list(key)) {
		char ***list = spec_field(spec, key);
		*list = strv_free(*list);
	} else if (key->type == SPEC_CAPABILITIES) {
		*(struct capability_set *)spec_field(spec, key) = (struct capability_set){0};
	}
}

int spec_check_values(const struct spec *spec, struct err *err)
{
	for (const struct spec_key *key = spec_keys; key->name; key++) {
		const void *field = spec_const_field(spec, key);
		int r = 0;
		if (spec_key_is_number(key)) {
			r = check_range(key, *(const uint64_t *)field, err);
		} else if (spec_key_is_text(key) && *(char *const *)field) {
			char *item = NULL;
			r = make_item(key, *(char *const *)field, &item, err);
			free(item);
		}
		for (char *const *at = spec_key_is_list(key) ? *(char **const *)field : NULL;
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
