/*
 * Options of `run` and `plan`: one for each key of spec_keys, and a few of our own. What is said is
 * collected first and applied over the profile afterwards, so that the order of --profile and the
 * rest does not matter.
 */
#include "cli/cli.h"

#include <assert.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "backends/plan.h"
#include "base/parse.h"
#include "session/config.h"

#define MAX_KEYS 64

/* Ours start where the keys end. */
enum own_option {
	OPTION_PROFILE = MAX_KEYS,
	OPTION_CONFIG,
	OPTION_WITHOUT,
	OPTION_JSON,
	OPTION_FORMAT,
	OPTION_PROBES,
	OPTION_QUIET,
	OPTION_VERBOSE,
	OPTION_END,
};

static const struct {
	const char *name, *metavar, *help;
} own_options[] = {
	[OPTION_PROFILE - MAX_KEYS] = {"profile", "NAME",
		"start from this profile of the configuration"},
	[OPTION_CONFIG - MAX_KEYS] = {"config", "FILE",
		"where profiles are; without it the built-in configuration"},
	[OPTION_WITHOUT - MAX_KEYS] = {"without", "LAYER,...",
		"leave a layer of the sandbox out, to see what it was for; never for real use"},
	[OPTION_JSON - MAX_KEYS] = {"json", NULL, "all but run: print JSON"},
	[OPTION_FORMAT - MAX_KEYS] = {"format", "FORMAT",
		"plan: text, json, oci, seccomp-json, sbpl or argv"},
	[OPTION_PROBES - MAX_KEYS] = {"probes", NULL, "caps: the probes that decide each"},
	[OPTION_QUIET - MAX_KEYS] = {"quiet", NULL, "do not warn about caveats"},
	[OPTION_VERBOSE - MAX_KEYS] = {"verbose", NULL,
		"run: at the end, say how long the start took and what was used"},
};
static_assert(ARRAY_SIZE(own_options) == OPTION_END - MAX_KEYS, "one row an option");

/* One option as given. */
struct given {
	int option;
	const char *value; /* borrowed from argv */
};

struct line {
	struct given given[256];
	size_t count;
	char names[MAX_KEYS][24]; /* of keys, with '-' */
	struct option options[MAX_KEYS + ARRAY_SIZE(own_options) + 1];
};

static void make_options(struct line *line)
{
	size_t used = 0;

	for (size_t i = 0; spec_keys[i].name; i++) {
		char *name = line->names[i];
		(void)snprintf(name, sizeof(line->names[i]), "%s", spec_keys[i].name);
		for (char *c = name; (c = strchr(c, '_'));) {
			*c = '-';
		}
		line->options[used++] = (struct option){name,
			spec_keys[i].type == SPEC_BOOL ? optional_argument : required_argument,
			NULL, (int)i + 1};
	}
	for (size_t i = 0; i < ARRAY_SIZE(own_options); i++) {
		line->options[used++] = (struct option){own_options[i].name,
			own_options[i].metavar ? required_argument : no_argument, NULL,
			MAX_KEYS + (int)i + 1};
	}
}

static int refuse_option(const char *command, int c, const char *text)
{
	const char *nearest = NULL;
	char name[64];

	if (c == ':') {
		return cli_fail(CLI_USAGE, "%s: %s needs a value", command, text);
	}
	(void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(text, "="), text);
	nearest = spec_suggest_key(name + strspn(name, "-"));
	if (nearest) {
		(void)snprintf(name, sizeof(name), "%s", nearest);
		for (char *at = name; (at = strchr(at, '_'));) {
			*at = '-';
		}
		return cli_fail(
			CLI_USAGE, "%s: %s is no option; did you mean --%s?", command, text, name);
	}
	return cli_fail(CLI_USAGE, "%s: %s is no option; `cloche help %s` lists them", command,
		text, command);
}

/* 0 and the options in *line, or an exit code. */
static int collect(int argc, char **argv, struct line *line)
{
	int c = 0;

	make_options(line);
	opterr = 0;
	/* '+': the first word that is no option begins the command. */
	while ((c = getopt_long(argc, argv, "+:", line->options, NULL)) != -1) {
		if (c == '?' || c == ':') {
			return refuse_option(argv[0], c, argv[optind - 1]);
		}
		if (line->count == ARRAY_SIZE(line->given)) {
			return cli_fail(CLI_USAGE, "more than %zu options", line->count);
		}
		line->given[line->count++] = (struct given){c - 1, optarg};
	}
	return 0;
}

static const char *last_value(const struct line *line, int option)
{
	const char *value = NULL;

	for (size_t i = 0; i < line->count; i++) {
		if (line->given[i].option == option) {
			value = line->given[i].value;
		}
	}
	return value;
}

static bool was_given(const struct line *line, const char *key)
{
	for (size_t i = 0; i < line->count; i++) {
		int option = line->given[i].option;
		if (option < MAX_KEYS && strcmp(spec_keys[option].name, key) == 0) {
			return true;
		}
	}
	return false;
}

/* Without a file: a profile of the configuration that stands for one, else a built-in one. */
static int load_config(const char *path, const char *profile, struct config *ret)
{
	int r = config_load(path, stderr, ret);

	if (r == 0 && !path && !config_find_profile(ret, profile)) {
		struct config builtin = {0};
		r = config_load_builtin(profile, &builtin);
		if (r == 0) {
			config_fini(ret);
			*ret = builtin;
		}
		return r == -ENOENT ? 0 : r;
	}
	return r;
}

static int load_profile(const struct line *line, struct spec *spec)
{
	const char *name = last_value(line, OPTION_PROFILE);
	const char *path = last_value(line, OPTION_CONFIG);
	const struct config_profile *profile = NULL;
	struct config config = {0};
	int r = 0;

	if (!name) {
		return path ? cli_fail(CLI_USAGE, "--config needs --profile") : 0;
	}
	if (load_config(path, name, &config) < 0) {
		return CLI_USAGE;
	}
	profile = config_find_profile(&config, name);
	if (!profile) {
		r = cli_fail(CLI_USAGE, "%s has no profile '%s'",
			path ? path : "the built-in configuration", name);
	} else if (spec_copy(&profile->spec, spec) < 0) {
		r = cli_fail(CLI_LAUNCH, "out of memory");
	}
	config_fini(&config);
	return r;
}

/* Variables that speak of the caller's account and places: inside they would be wrong. */
static const char *const outside_variables[] = {
	"HOME", "LOGNAME", "MAIL", "OLDPWD", "PWD", "SHELL", "TMPDIR", "USER", "XDG_RUNTIME_DIR"};

static bool is_inherited(const char *variable)
{
	size_t length = strcspn(variable, "=");

	if (length == 0 || variable[length] != '=') {
		return false;
	}
	for (size_t i = 0; i < ARRAY_SIZE(outside_variables); i++) {
		if (strlen(outside_variables[i]) == length &&
			strncmp(outside_variables[i], variable, length) == 0) {
			return false;
		}
	}
	return true;
}

/* The caller's environment, then what the profile sets: later entries win. */
static int inherit_environment(struct spec *spec)
{
	cleanup(strv_freep) char **list = NULL;

	STRV_FOREACH (variable, environ) {
		if (is_inherited(*variable) && strv_append(&list, *variable) < 0) {
			return cli_fail(CLI_LAUNCH, "out of memory");
		}
	}
	STRV_FOREACH (variable, spec->env) {
		if (strv_append(&list, *variable) < 0) {
			return cli_fail(CLI_LAUNCH, "out of memory");
		}
	}
	strv_free(spec->env);
	spec->env = take_ptr(&list);
	return 0;
}

/* Host paths may be relative: to where the caller is. What is absolute stays as it was said. */
static int make_absolute(const char *text, char path[PATH_MAX])
{
	size_t used = 0;

	if (text[0] == '/' || parse_is_windows_path(text)) {
		return snprintf(path, PATH_MAX, "%s", text) < PATH_MAX ? 0 : -1;
	}
	if (realpath(text, path)) {
		return 0;
	}
	if (!getcwd(path, PATH_MAX)) {
		return -1;
	}
	used = strlen(path);
	return snprintf(path + used, PATH_MAX - used, "/%s", text) < (int)(PATH_MAX - used) ? 0
											    : -1;
}

static int set_key(struct spec *spec, const struct spec_key *key, const char *text)
{
	bool host_path = key->type == SPEC_PATHS || strcmp(key->name, "root_path") == 0;
	char path[PATH_MAX];
	cleanup_free char *variable = NULL;
	struct err err = {0};

	if (!text) {
		text = "yes"; /* --no-exec alone */
	}
	if (host_path && *text) {
		if (make_absolute(text, path) < 0) {
			return cli_fail(CLI_USAGE, "%s: '%s' is too long", key->name, text);
		}
		text = path;
	}
	if (strcmp(key->name, "env") == 0 && *text && !strchr(text, '=')) {
		const char *value = getenv(text);
		if (!value) {
			return cli_fail(
				CLI_USAGE, "--env %s: there is no such variable here", text);
		}
		if (asprintf(&variable, "%s=%s", text, value) < 0) {
			return cli_fail(CLI_LAUNCH, "out of memory");
		}
		text = variable;
	}
	if (spec_set(spec, key, text, &err) < 0) {
		return cli_fail(CLI_USAGE, "%s", err.msg);
	}
	return 0;
}

static int add_layers(const char *text, uint32_t *without)
{
	cleanup_free char *copy = strdup(text);

	for (char *rest = copy, *name = NULL; (name = strsep(&rest, ","));) {
		unsigned bit = 0;
		while (plan_layer_names[bit] && strcmp(plan_layer_names[bit], name) != 0) {
			bit++;
		}
		if (!plan_layer_names[bit]) {
			cleanup_free char *all =
				strv_join((char *const *)(size_t)plan_layer_names, ", ");
			return cli_fail(CLI_USAGE,
				"--without: there is no layer '%s'; there are: %s", name,
				all ? all : "");
		}
		if (UINT32_C(1) << bit == PLAN_LAYER_USER) {
			return cli_fail(CLI_USAGE,
				"--without: 'user' keeps a session from being the host's root; "
				"only cloche-testkit-host ablate leaves it out, in a second "
				"sandbox");
		}
		*without |= UINT32_C(1) << bit;
	}
	return copy ? 0 : cli_fail(CLI_LAUNCH, "out of memory");
}

static int apply(const struct line *line, struct cli_options *options)
{
	for (size_t i = 0; i < line->count; i++) {
		const struct given *given = &line->given[i];
		int r = 0;
		if (given->option < MAX_KEYS) {
			r = set_key(&options->spec, &spec_keys[given->option], given->value);
		} else if (given->option == OPTION_WITHOUT) {
			r = add_layers(given->value, &options->without);
		}
		options->json |= given->option == OPTION_JSON;
		options->quiet |= given->option == OPTION_QUIET;
		options->verbose |= given->option == OPTION_VERBOSE;
		options->probes |= given->option == OPTION_PROBES;
		options->has_spec |= given->option < MAX_KEYS || given->option == OPTION_PROFILE;
		if (r != 0) {
			return r;
		}
	}
	return 0;
}

/* --writable alone means scope, --egress alone means net egress: nothing else could be meant. */
static void imply(const struct line *line, struct spec *spec)
{
	if (was_given(line, "writable") && !was_given(line, "write") && spec->write == WRITE_NONE) {
		spec->write = WRITE_SCOPE;
	}
	if (was_given(line, "egress") && !was_given(line, "net") && spec->net == NET_DISABLE) {
		spec->net = NET_EGRESS;
	}
}

static bool is_below_one_of(const char *path, char *const *list)
{
	for (size_t i = 0; list && list[i]; i++) {
		size_t length = strlen(list[i]);
		if (strncmp(path, list[i], length) == 0 && (path[length] == '/' || !path[length])) {
			return true;
		}
	}
	return false;
}

/* Whoever lets the command see where they are wants it to start there. */
static void choose_dir(struct spec *spec)
{
	cleanup_free char *here = spec->dir ? NULL : getcwd(NULL, 0);

	if (here && spec->root == ROOT_HOST &&
		(is_below_one_of(here, spec->readable) || is_below_one_of(here, spec->writable))) {
		spec->dir = take_ptr(&here);
	}
}

int cli_options_parse(int argc, char **argv, enum cli_wants wants, struct cli_options *ret)
{
	struct cli_options options = {0};
	struct line line = {0};
	int r = collect(argc, argv, &line);

	spec_init(&options.spec);
	if (r == 0) {
		r = load_profile(&line, &options.spec);
	}
	if (r == 0) {
		r = inherit_environment(&options.spec);
	}
	if (r == 0) {
		r = apply(&line, &options);
	}
	if (r == 0) {
		imply(&line, &options.spec);
		choose_dir(&options.spec);
	}
	for (int i = optind; i < argc && r == 0; i++) {
		r = strv_append(&options.spec.args, argv[i]) < 0
			? cli_fail(CLI_LAUNCH, "out of memory")
			: 0;
	}
	options.has_spec |= optind < argc;
	options.format = last_value(&line, OPTION_FORMAT);
	if (r == 0 && optind >= argc) {
		r = wants == CLI_COMMAND
			? cli_fail(CLI_USAGE,
				  "no command was given; cloche %s [OPTIONS] -- COMMAND", argv[0])
			: strv_append(&options.spec.args, "true") < 0
			? cli_fail(CLI_LAUNCH, "out of memory")
			: 0;
	}
	if (r != 0) {
		cli_options_fini(&options);
		return r;
	}
	*ret = options;
	return -1;
}

void cli_options_fini(struct cli_options *options)
{
	spec_fini(&options->spec);
}

static void print_option(const char *name, const char *metavar, const char *help)
{
	char left[64];
	int length = snprintf(
		left, sizeof(left), "  --%s%s%s", name, metavar ? " " : "", metavar ? metavar : "");

	for (char *c = left; (c = strchr(c, '_'));) {
		*c = '-';
	}
	if (length > 26) {
		(void)printf("%s\n%28s", left, "");
	} else {
		(void)printf("%-28s", left);
	}
	cli_wrap(28, help);
}

void cli_options_help(void)
{
	(void)printf("\nWhat is not said stays tight: no network, no writes, nothing gained.\n\n");
	for (const struct spec_key *key = spec_keys; key->name; key++) {
		print_option(key->name, key->metavar, key->help);
	}
	(void)putchar('\n');
	for (size_t i = 0; i < ARRAY_SIZE(own_options); i++) {
		print_option(own_options[i].name, own_options[i].metavar, own_options[i].help);
	}
	(void)printf("\nThe exit code is the command's; 128+n when it died of signal n, 124 when\n"
		     "--timeout ended it, 125 when it could not be started, 2 for wrong usage.\n");
}
