/*
 * cloche-testkit-host: measures what a target confines.
 *
 * The work is done in a child that leads a session of its own with the canary terminal as its
 * controlling one, so that launchers inherit exactly what they should not hand on. The first
 * process only waits, and passes signals on.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sodium.h>

#include "backends/backend.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/proc.h"
#include "cloche-config.h"
#include "session/config.h"
#include "session/policy.h"
#include "testkit/ablate.h"
#include "testkit/catalogue.h"
#include "testkit/measure.h"
#include "testkit/outer.h"
#include "testkit/report.h"

#define EXIT_SETUP 2
#define MAX_KEYS 64
#define ABLATION_SECONDS 600
#define CLIENT_NAME "cloche-testkit-client"

#define MAX_OUTPUTS 8

/* One report to write. */
struct output {
	const struct report_format *format;
	const char *path; /* NULL: standard output */
	FILE *file; /* open from before the measurement on */
};

struct given {
	const struct spec_key *key;
	const char *value;
};

struct options {
	const char *targets[REPORT_MAX_COLUMNS];
	size_t target_count;
	const char *profile, *config, *identity, *client, *only, *canaries, *backend;
	struct output outputs[MAX_OUTPUTS];
	size_t output_count;
	bool quick, brief, list, help, version, any_spec, ablate;
	struct capability_set declare;
	bool declares;
	uint32_t without;
	uint64_t timeout; /* seconds */
	struct given given[128];
	size_t given_count;
};

/* ---- options ---- */

static int set_target(struct options *options, const char *value, struct err *err)
{
	if (options->target_count == ARRAY_SIZE(options->targets)) {
		return err_refuse(err, EINVAL, "a report has room for %zu targets",
			ARRAY_SIZE(options->targets));
	}
	options->targets[options->target_count++] = value;
	return 0;
}

static int set_profile(struct options *options, const char *value, struct err *err)
{
	(void)err;
	options->profile = value;
	return 0;
}

static int set_config(struct options *options, const char *value, struct err *err)
{
	(void)err;
	options->config = value;
	return 0;
}

static int set_format(struct options *options, const char *value, struct err *err)
{
	const struct report_format *format = report_format_find(value);

	if (!format) {
		return err_refuse(err, EINVAL,
			"--format is text, json, ndjson, tap, junit, sarif, markdown or html, not "
			"'%s'",
			value);
	}
	if (options->output_count == ARRAY_SIZE(options->outputs)) {
		return err_refuse(err, EINVAL, "too many formats");
	}
	options->outputs[options->output_count++] = (struct output){.format = format};
	return 0;
}

/* Where the format before goes. */
static int set_output(struct options *options, const char *value, struct err *err)
{
	int r = options->output_count ? 0 : set_format(options, "text", err);

	if (r == 0 && options->outputs[options->output_count - 1].path) {
		return err_refuse(err, EINVAL, "each --output needs a --format before it");
	}
	if (r == 0) {
		options->outputs[options->output_count - 1].path = value;
	}
	return r;
}

static int set_quick(struct options *options, const char *value, struct err *err)
{
	(void)value;
	(void)err;
	options->quick = true;
	return 0;
}

static int set_proof(struct options *options, const char *value, struct err *err)
{
	(void)value;
	(void)err;
	options->quick = options->brief = true;
	return 0;
}

static int set_timeout(struct options *options, const char *value, struct err *err)
{
	if (parse_duration(value, &options->timeout) < 0 || options->timeout == 0 ||
		options->timeout > 3600) {
		return err_refuse(
			err, EINVAL, "--run-timeout is 1s to 1h, such as 30s, not '%s'", value);
	}
	return 0;
}

static int set_probe(struct options *options, const char *value, struct err *err)
{
	if (!probe_find(value)) {
		return err_refuse(err, EINVAL, "no probe is called '%s'; --list names them", value);
	}
	options->only = value;
	return 0;
}

static int set_list(struct options *options, const char *value, struct err *err)
{
	(void)value;
	(void)err;
	options->list = true;
	return 0;
}

static int set_declare(struct options *options, const char *value, struct err *err)
{
	options->declares = true;
	return strcmp(value, "none") == 0 ? 0 : capability_set_parse(value, &options->declare, err);
}

static int set_identity(struct options *options, const char *value, struct err *err)
{
	(void)err;
	options->identity = value;
	return 0;
}

static int set_client(struct options *options, const char *value, struct err *err)
{
	(void)err;
	options->client = value;
	return 0;
}

static int set_canaries(struct options *options, const char *value, struct err *err)
{
	if (value[0] != '/') {
		return err_refuse(err, EINVAL, "--canary-dir is an absolute path");
	}
	options->canaries = value;
	return 0;
}

static int add_layer(struct options *options, const char *name, struct err *err)
{
	for (unsigned i = 0; plan_layer_names[i]; i++) {
		if (strcmp(plan_layer_names[i], name) == 0) {
			options->without |= UINT32_C(1) << i;
			return 0;
		}
	}
	return err_refuse(err, EINVAL, "no layer is called '%s'", name);
}

static int set_without(struct options *options, const char *value, struct err *err)
{
	cleanup_free char *copy = strdup(value);
	char *rest = copy;
	int r = copy ? 0 : -ENOMEM;

	for (char *name = NULL; r == 0 && (name = strsep(&rest, ","));) {
		r = add_layer(options, name, err);
	}
	return r;
}

static int set_help(struct options *options, const char *value, struct err *err)
{
	(void)value;
	(void)err;
	options->help = true;
	return 0;
}

static int set_version(struct options *options, const char *value, struct err *err)
{
	(void)value;
	(void)err;
	options->version = true;
	return 0;
}

static const struct {
	const char *name;
	char letter;
	const char *argument; /* NULL: none */
	const char *help;
	int (*set)(struct options *options, const char *value, struct err *err);
} option_table[] = {
	{"target", 't', "TARGET",
		"none, a backend's name, backend (the profile's), exec:ARGV... or "
		"ssh://user@host:port; several give a column each",
		set_target},
	{"profile", 'p', "NAME", "measure this profile of the configuration", set_profile},
	{"config", 'f', "FILE", "where profiles are; without it the built-in ones", set_config},
	{"declare", 'd', "CAPABILITIES",
		"what to hold the target to, instead of its plan's promises", set_declare},
	{"format", 'F', "FORMAT",
		"text, json, ndjson, tap, junit, sarif, markdown or html; may be repeated",
		set_format},
	{"output", 'o', "FILE", "where the format before goes, instead of standard output",
		set_output},
	{"quick", 'q', NULL, "only the probes that judge, none that takes its time", set_quick},
	{"proof", 0, NULL, "like --quick, and report only what was declared", set_proof},
	{"probe", 'P', "ID", "one probe only", set_probe},
	{"list", 'l', NULL, "list the probes", set_list},
	{"run-timeout", 0, "TIME", "the longest a run of the client may take", set_timeout},
	{"identity", 'i', "FILE", "key file for ssh", set_identity},
	{"client", 0, "FILE", "the client to run", set_client},
	{"canary-dir", 0, "DIR", "where the canaries lie; a place that the target can see",
		set_canaries},
	{"without", 0, "LAYER,...", "leave layers of the plan out; what is declared stays",
		set_without},
	{"help", 'h', NULL, "show this", set_help},
	{"version", 'V', NULL, "show the version", set_version},
};

struct getopt_tables {
	struct option options[ARRAY_SIZE(option_table) + MAX_KEYS + 1];
	char names[MAX_KEYS][32];
	char letters[ARRAY_SIZE(option_table) * 2 + 2];
};

static void make_tables(struct getopt_tables *tables)
{
	size_t used = 0;
	size_t letter = 0;

	tables->letters[letter++] = ':';
	for (size_t i = 0; i < ARRAY_SIZE(option_table); i++) {
		tables->options[used++] = (struct option){option_table[i].name,
			option_table[i].argument ? required_argument : no_argument, NULL,
			1000 + (int)i};
		if (option_table[i].letter) {
			tables->letters[letter++] = option_table[i].letter;
		}
		if (option_table[i].letter && option_table[i].argument) {
			tables->letters[letter++] = ':';
		}
	}
	for (size_t i = 0; spec_keys[i].name && i < MAX_KEYS; i++) {
		char *name = tables->names[i];
		(void)snprintf(name, sizeof(tables->names[i]), "%s", spec_keys[i].name);
		for (char *c = name; (c = strchr(c, '_'));) {
			*c = '-';
		}
		tables->options[used++] = (struct option){name,
			spec_keys[i].type == SPEC_BOOL ? optional_argument : required_argument,
			NULL, 2000 + (int)i};
	}
}

static int take_option(struct options *options, int c, struct err *err)
{
	if (c >= 2000) {
		if (options->given_count == ARRAY_SIZE(options->given)) {
			return err_refuse(err, EINVAL, "too many options");
		}
		options->given[options->given_count++] =
			(struct given){&spec_keys[c - 2000], optarg ? optarg : "yes"};
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(option_table); i++) {
		if (c == 1000 + (int)i || (option_table[i].letter && c == option_table[i].letter)) {
			return option_table[i].set(options, optarg, err);
		}
	}
	return err_refuse(
		err, EINVAL, "option %s", c == ':' ? "needs an argument" : "is not known");
}

static bool has_format(const struct options *options, const char *name)
{
	return options->output_count > 0 && strcmp(options->outputs[0].format->name, name) == 0;
}

static int check_ablate(struct options *options, struct err *err)
{
	int r = options->target_count ? 0 : set_target(options, "native", err);

	if (r == 0 && options->target_count > 1) {
		return err_refuse(err, EINVAL, "ablate takes one target");
	}
	if (r == 0 &&
		(options->output_count > 1 ||
			(options->output_count == 1 &&
				(options->outputs[0].path ||
					!(has_format(options, "text") ||
						has_format(options, "json") ||
						has_format(options, "markdown")))))) {
		return err_refuse(err, EINVAL,
			"ablate writes one of text, json or markdown to standard output");
	}
	if (r == 0 && (options->only || options->without || options->declares)) {
		return err_refuse(err, EINVAL, "ablate chooses probes and layers itself");
	}
	return r;
}

static int parse_options(int argc, char **argv, struct options *ret, struct err *err)
{
	static struct getopt_tables tables;
	int c = 0;

	if (argc > 1 && strcmp(argv[1], "ablate") == 0) {
		ret->ablate = true;
		argc--;
		argv++;
	}
	make_tables(&tables);
	opterr = 0;
	while ((c = getopt_long(argc, argv, tables.letters, tables.options, NULL)) != -1) {
		int r = take_option(ret, c, err);
		if (r < 0) {
			return c == '?' || c == ':' ? err_wrap(err, "%s", argv[optind - 1]) : r;
		}
	}
	if (optind < argc) {
		return err_refuse(err, EINVAL, "'%s' is no option", argv[optind]);
	}
	if (ret->ablate && check_ablate(ret, err) < 0) {
		return -EINVAL;
	}
	if (!ret->target_count && !ret->list && !ret->help && !ret->version) {
		return err_refuse(err, EINVAL,
			"--target is missing: none, a backend's name, backend (the profile's), "
			"exec:ARGV... or ssh://user@host:port");
	}
	return 0;
}

static void print_help(void)
{
	(void)printf(
		"usage: cloche-testkit-host --target TARGET [OPTION...] [spec options]\n"
		"       cloche-testkit-host list [--group=GROUP] [--capability=NAME] [--json]\n"
		"       cloche-testkit-host explain PROBE...\n"
		"       cloche-testkit-host ablate [--profile NAME] [OPTION...] [spec options]\n\n"
		"Measures what a target confines. Exit status: 0 as declared, 1 violated,\n"
		"2 usage or set-up, 3 something declared could not be decided here.\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(option_table); i++) {
		char name[48];
		(void)snprintf(name, sizeof(name), "--%s%s%s", option_table[i].name,
			option_table[i].argument ? "=" : "",
			option_table[i].argument ? option_table[i].argument : "");
		(void)printf("  %s%c%s %-26s %s\n", option_table[i].letter ? "-" : " ",
			option_table[i].letter ? option_table[i].letter : ' ',
			option_table[i].letter ? "," : " ", name, option_table[i].help);
	}
	(void)printf(
		"\nThe options of `cloche run` (--net, --write, --memory, ...) change the spec.\n");
}

/* ---- what is declared ---- */

static int apply_given(const struct options *options, struct spec *spec, struct err *err)
{
	for (size_t i = 0; i < options->given_count; i++) {
		int r = spec_set(spec, options->given[i].key, options->given[i].value, err);
		if (r < 0) {
			return r;
		}
	}
	return 0;
}

static int spec_of_profile(const struct options *options, struct spec *ret, struct err *err)
{
	static char program[] = "true";
	char *argv[] = {program, NULL};
	const char *name = options->profile ? options->profile : "default";
	const struct config_profile *profile = NULL;
	struct config config = {0};
	int r = config_load(options->config, stderr, &config);

	if (r < 0) {
		return err_refuse(err, -r, "the configuration cannot be used");
	}
	profile = config_find_profile(&config, name);
	if (!profile && !options->config) {
		/* One that configurations inherit from, and the default one happens not to. */
		config_fini(&config);
		config = (struct config){0};
		profile = config_load_builtin(name, &config) == 0
			? config_find_profile(&config, name)
			: NULL;
	}
	r = profile ? policy_trial_spec(profile, argv, ret)
		    : err_refuse(err, ENOENT, "there is no profile '%s'", name);
	config_fini(&config);
	return r;
}

static int make_spec(const struct options *options, struct spec *ret, struct err *err)
{
	int r = 0;

	if (options->profile || options->config || options->given_count == 0) {
		r = spec_of_profile(options, ret, err);
	} else {
		spec_init(ret);
		r = strv_append(&ret->args, "true");
	}
	return r < 0 ? r : apply_given(options, ret, err);
}

/* ---- places ---- */

static int find_client(const struct options *options, char *path, size_t size, struct err *err)
{
	ssize_t n = 0;
	char own[256];

	if (options->client) {
		(void)snprintf(path, size, "%s", options->client);
		return access(path, X_OK) == 0
			? 0
			: err_set(err, errno, "the client %s", options->client);
	}
	n = readlink("/proc/self/exe", own, sizeof(own) - 1);
	if (n > 0) {
		own[n] = '\0';
		*strrchr(own, '/') = '\0';
		if (snprintf(path, size, "%s/" CLIENT_NAME, own) < (int)size &&
			access(path, X_OK) == 0) {
			return 0;
		}
	}
	(void)snprintf(path, size, "%s/" CLIENT_NAME, CLOCHE_LIBEXECDIR);
	return access(path, X_OK) == 0 ? 0
				       : err_set(err, errno, "finding " CLIENT_NAME " (%s)", path);
}

/* Sandboxes have places of their own for /tmp and /var/tmp; the canaries lie where they might look. */
static const char *canary_parent(const struct options *options)
{
	static const char *const places[] = {"/srv", "/opt", "/var/lib", "/var/tmp"};

	if (options->canaries) {
		return options->canaries;
	}
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		if (access(places[i], W_OK | X_OK) == 0) {
			return places[i];
		}
	}
	return "/tmp";
}

/* ---- the measurement ---- */

/* A target and what became of it. */
struct column {
	struct target target;
	struct measurement measurement;
};

static bool is_event_format(const struct output *output)
{
	return output->format == report_format_find("ndjson");
}

static int open_outputs(struct options *options, struct err *err)
{
	bool taken = false;
	int r = options->output_count ? 0 : set_format(options, "text", err);

	for (size_t i = 0; r == 0 && i < options->output_count; i++) {
		struct output *output = &options->outputs[i];
		if (!output->path && taken) {
			return err_refuse(err, EINVAL,
				"two reports for standard output; --output FILE after one of them "
				"takes it elsewhere");
		}
		taken |= !output->path;
		output->file = output->path ? fopen(output->path, "we") : stdout;
		r = output->file ? 0 : err_set(err, errno, "opening %s", output->path);
	}
	return r;
}

static int write_outputs(const struct options *options, const struct report *report)
{
	int r = 0;

	for (size_t i = 0; i < options->output_count; i++) {
		const struct output *output = &options->outputs[i];
		int written = output->format->write(report, output->file);
		if (written < 0 || fflush(output->file) != 0 || ferror(output->file)) {
			log_error("writing %s", output->path ? output->path : "the report");
			r = -EIO;
		}
	}
	return r;
}

static void close_outputs(const struct options *options)
{
	for (size_t i = 0; i < options->output_count; i++) {
		if (options->outputs[i].path && options->outputs[i].file) {
			(void)fclose(options->outputs[i].file);
		}
	}
}

/* The control of the first target, judged as if it were one: what there is without any sandbox. */
static int add_control(
	const struct column *first, struct target *ret_target, struct measurement *ret)
{
	ret_target->kind = TARGET_NONE;
	ret->control = calloc(probe_count, sizeof(ret->control[0]));
	ret->inside = calloc(probe_count, sizeof(ret->inside[0]));
	ret->verdicts = calloc(probe_count, sizeof(ret->verdicts[0]));
	if (!ret->control || !ret->inside || !ret->verdicts) {
		return -ENOMEM;
	}
	memcpy(ret->control, first->measurement.control, probe_count * sizeof(ret->control[0]));
	memcpy(ret->inside, first->measurement.control, probe_count * sizeof(ret->inside[0]));
	judge_all((struct capability_set){0}, ret->control, ret->inside, ret->verdicts,
		&ret->judgement);
	return 0;
}

static int print_report(const struct options *options, const struct column *columns)
{
	struct report_column views[REPORT_MAX_COLUMNS + 1] = {0};
	struct report report = {.columns = views, .count = options->target_count + 1};
	struct measurement none = {0};
	struct target nothing = {0};
	bool colour = !options->outputs[0].path && isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
	int r = add_control(&columns[0], &nothing, &none);

	for (size_t i = 0; i < report.count; i++) {
		bool automatic = i == options->target_count;
		views[i] = (struct report_column){
			.header = {.target = automatic ? "none" : options->targets[i],
				.profile = automatic ? NULL : options->profile,
				.details = automatic ? &nothing : &columns[i].target,
				.brief = options->brief,
				.colour = colour},
			.measurement = automatic ? &none : &columns[i].measurement,
			.automatic = automatic,
		};
	}
	r = r < 0 ? r : write_outputs(options, &report);
	measurement_fini(&none);
	return r;
}

/* ---- what happens meanwhile ---- */

struct watcher {
	const struct options *options;
	const char *target;
	bool terminal;
	size_t asked, answered;
};

static void show_progress(struct watcher *watcher, const struct run_event *event)
{
	char name[40];

	if (event->probe) {
		watcher->answered++;
	} else {
		watcher->asked = event->asked;
		watcher->answered = 0;
	}
	(void)fprintf(stderr, "\r\033[K%s, %s: %zu of %zu %.32s",
		log_escape(watcher->target, name, sizeof(name)),
		event->control ? "control" : "inside", watcher->answered, watcher->asked,
		event->probe ? event->probe : "");
}

static void take_event(const struct run_event *event, void *context)
{
	struct watcher *watcher = context;

	for (size_t i = 0; i < watcher->options->output_count; i++) {
		if (is_event_format(&watcher->options->outputs[i])) {
			report_event(event, watcher->options->outputs[i].file);
		}
	}
	if (watcher->terminal) {
		show_progress(watcher, event);
	}
}

/* Whether the target's promises come from a plan of ours. */
static bool has_plan(const struct options *options, const struct target *target)
{
	return target->kind == TARGET_PLAN || options->profile || options->config;
}

static int prepare(const struct options *options, struct target *target,
	const struct ground *ground, struct capability_set *ret_declared, struct err *err)
{
	struct spec spec = {0};
	int r = 0;

	*ret_declared = options->declare;
	if (!has_plan(options, target)) {
		return 0;
	}
	r = make_spec(options, &spec, err);
	if (r == 0) {
		bool named = spec.backend && strcmp(spec.backend, "auto") != 0;
		r = target_prepare(target, &spec,
			target->backend ? target->backend->name
				: named ? spec.backend
					: backends[0]->name,
			ground, err);
	}
	spec_fini(&spec);
	if (r == 0 && !options->declares) {
		*ret_declared = target->declared;
	}
	return r;
}

static int measure_target(const struct options *options, const char *name, struct column *column,
	struct ground *ground, struct err *err)
{
	struct watcher watcher = {
		.options = options, .target = name, .terminal = isatty(STDERR_FILENO) == 1};
	const struct run_watch watch = {take_event, &watcher};
	struct measure_options how = {
		.quick = options->quick,
		.only = options->only,
		.timeout_ms = (unsigned)(options->timeout ? options->timeout * 1000
				: options->quick          ? 8000
							  : 30000),
		.watch = &watch,
	};
	struct capability_set declared = {0};
	int r = target_parse(name, options->identity, &column->target, err);

	column->target.without = options->without;
	r = r < 0 ? r : prepare(options, &column->target, ground, &declared, err);
	r = r < 0 ? r : measure(&column->target, ground, declared, &how, &column->measurement, err);
	if (watcher.terminal) {
		(void)fputs("\r\033[K", stderr);
	}
	if (r == 0 && column->measurement.code == EXIT_SETUP) {
		log_error("%s", column->measurement.client.fault);
	}
	return r;
}

/* The worst of several: set-up, then violated, then inconclusive. */
static int join_codes(int code, int other)
{
	static const int order[] = {EXIT_SETUP, 1, 3};

	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		if (code == order[i] || other == order[i]) {
			return order[i];
		}
	}
	return 0;
}

static int measure_and_report(struct options *options, struct ground *ground, struct err *err)
{
	cleanup_free struct column *columns = calloc(options->target_count, sizeof(columns[0]));
	int code = 0;
	int r = columns ? open_outputs(options, err) : err_set(err, ENOMEM, "measuring");

	for (size_t i = 0; r == 0 && i < options->target_count; i++) {
		r = measure_target(options, options->targets[i], &columns[i], ground, err);
		code = join_codes(code, columns[i].measurement.code);
	}
	if (r == 0 && print_report(options, columns) < 0) {
		code = EXIT_SETUP;
	}
	close_outputs(options);
	for (size_t i = 0; columns && i < options->target_count; i++) {
		measurement_fini(&columns[i].measurement);
		target_fini(&columns[i].target);
	}
	return r < 0 ? r : code;
}

/* ---- layers taken away ---- */

static int print_ablation(
	const struct options *options, const struct ablation *ablation, FILE *out, struct err *err)
{
	const char *profile = options->profile ? options->profile : "default";
	int r = 0;

	if (has_format(options, "json")) {
		r = ablation_json(ablation, profile, out);
	} else if (has_format(options, "markdown")) {
		ablation_markdown(ablation, profile, out);
	} else {
		ablation_text(ablation, out);
	}
	if (r < 0 || fflush(out) != 0) {
		return err_set(err, r < 0 ? -r : errno, "writing the report");
	}
	return 0;
}

static int ablate_target(
	const struct options *options, struct ground *ground, const int streams[3], struct err *err)
{
	cleanup_fclose FILE *progress = fdopen(streams[2], "w");
	cleanup_fclose FILE *out = fdopen(streams[1], "w");
	cleanup_free struct ablation *ablation = calloc(1, sizeof(*ablation));
	const struct ablation_options how = {
		.quick = options->quick,
		.timeout_ms = options->timeout ? (unsigned)options->timeout * 1000 : 15000,
		.seconds = ABLATION_SECONDS,
		.progress = progress && isatty(streams[2]) ? progress : NULL,
	};
	struct capability_set declared = {0};
	struct target target = {0};
	int r = ablation && out ? target_parse(options->targets[0], options->identity, &target, err)
				: err_set(err, ENOMEM, "taking layers away");

	r = r < 0 ? r : prepare(options, &target, ground, &declared, err);
	if (r == 0 && (target.kind != TARGET_PLAN || target.backend != &backend_native)) {
		r = err_refuse(err, EINVAL, "ablate takes layers from plans of native");
	}
	r = r < 0 ? r : ablate(&target, ground, &how, ablation, err);
	r = r < 0 ? r : print_ablation(options, ablation, out, err);
	if (r < 0 && progress) {
		(void)fprintf(progress, "cloche-testkit-host: %s\n", err->msg);
	}
	target_fini(&target);
	return r < 0 ? EXIT_SETUP : 0;
}

static void on_signal(int signo)
{
	(void)signo;
	run_interrupt();
}

/* A capability in the inheritable set gives nobody anything by itself, and should not be handed on. */
static void mark_inheritable(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	if (syscall(SYS_capget, &header, data) == 0) {
		data[CAP_LEASE / 32].inheritable |= UINT32_C(1) << CAP_LEASE % 32;
		(void)syscall(SYS_capset, &header, data);
	}
}

/* Marks of ours that a launcher should take off: a session, a group, ignored signals. */
static void become_host(void)
{
	struct sigaction action = {.sa_handler = on_signal};
	gid_t group = OUTSIDE_GROUP;

	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	(void)setsid();
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGTTOU, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	/* Group signals of our own probes reach launchers too, which are to live on. */
	(void)signal(SIGUSR1, SIG_IGN);
	(void)sigaction(SIGTERM, &action, NULL);
	(void)sigaction(SIGINT, &action, NULL);
	if (geteuid() == 0) {
		(void)setgroups(1, &group);
		mark_inheritable();
	}
}

/* Paths that a second sandbox may hide are opened before, and named by descriptor. */
static int enter_outer(const struct options *options, struct options *ret, char *client,
	size_t size, int streams[3], struct err *err)
{
	static char config[32];
	int fd = open(client, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		return err_set(err, errno, "opening %s", client);
	}
	(void)snprintf(client, size, "/proc/self/fd/%d", fd);
	*ret = *options;
	if (options->config) {
		fd = open(options->config, O_RDONLY | O_CLOEXEC);
		if (fd < 0) {
			return err_set(err, errno, "opening %s", options->config);
		}
		(void)snprintf(config, sizeof(config), "/proc/self/fd/%d", fd);
		ret->config = config;
	}
	ret->canaries = OUTER_CANARIES;
	return outer_enter(streams, err);
}

static int host(struct options *options)
{
	struct options inside = *options;
	struct err err = {0};
	struct ground ground = {0};
	int streams[3] = {-1, -1, -1};
	char client[128];
	int r = find_client(options, client, sizeof(client), &err);

	if (r == 0 && options->ablate) {
		r = enter_outer(options, &inside, client, sizeof(client), streams, &err);
	}
	become_host();
	r = r < 0 ? r : ground_init(&ground, canary_parent(&inside), client, &err);
	if (r == 0) {
		r = inside.ablate ? ablate_target(&inside, &ground, streams, &err)
				  : measure_and_report(&inside, &ground, &err);
	}
	ground_fini(&ground);
	if (r < 0) {
		log_error("%s", err.msg[0] ? err.msg : strerror(-r));
		return EXIT_SETUP;
	}
	return r;
}

static pid_t host_pid;

static void pass_on(int signo)
{
	(void)kill(host_pid, signo == SIGINT ? SIGTERM : signo);
}

/* The first process: stays in the caller's session and waits. */
static int run_host(struct options *options)
{
	struct sigaction action = {.sa_handler = pass_on, .sa_flags = SA_RESTART};
	int status = 0;

	host_pid = fork();
	if (host_pid == 0) {
		exit(host(options));
	}
	if (host_pid < 0) {
		log_error("fork: %s", strerror(errno));
		return EXIT_SETUP;
	}
	(void)sigaction(SIGTERM, &action, NULL);
	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGHUP, &action, NULL);
	while (waitpid(host_pid, &status, 0) < 0 && errno == EINTR) {
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_SETUP;
}

/* What there is besides a measurement. Each gets its own name as argv[0]. */
static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} commands[] = {
	{"list", catalogue_list},
	{"explain", catalogue_explain},
};

int main(int argc, char **argv)
{
	struct options options = {0};
	struct err err = {0};

	log_init("cloche-testkit-host", LOG_LEVEL_INFO);
	for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(commands); i++) {
		if (strcmp(argv[1], commands[i].name) == 0) {
			return commands[i].run(argc - 1, argv + 1);
		}
	}
	if (sodium_init() < 0 || parse_options(argc, argv, &options, &err) < 0) {
		log_error("%s", err.msg);
		return EXIT_SETUP;
	}
	if (options.help) {
		print_help();
		return 0;
	}
	if (options.version) {
		(void)printf("cloche-testkit-host %s\n", CLOCHE_VERSION);
		return 0;
	}
	if (options.list) {
		optind = 0; /* it reads options anew */
		return catalogue_list(1, argv);
	}
	return run_host(&options);
}
