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

enum format { FORMAT_TEXT, FORMAT_JSON, FORMAT_TAP, FORMAT_MARKDOWN };
static const char *const format_names[] = {"text", "json", "tap", "markdown"};

struct given {
	const struct spec_key *key;
	const char *value;
};

struct options {
	const char *target, *profile, *config, *identity, *client, *only, *canaries, *backend;
	enum format format;
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
	(void)err;
	options->target = value;
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
	for (size_t i = 0; i < ARRAY_SIZE(format_names); i++) {
		if (strcmp(value, format_names[i]) == 0) {
			options->format = (enum format)i;
			return 0;
		}
	}
	return err_refuse(err, EINVAL,
		"--format is text, json, tap or (of ablate) markdown, not '%s'", value);
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
		"ssh://user@host:port",
		set_target},
	{"profile", 'p', "NAME", "measure this profile of the configuration", set_profile},
	{"config", 'f', "FILE", "where profiles are; without it the built-in ones", set_config},
	{"declare", 'd', "CAPABILITIES",
		"what to hold the target to, instead of its plan's promises", set_declare},
	{"format", 'F', "FORMAT", "text, json or tap; of ablate text, json or markdown",
		set_format},
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
	if (ret->ablate) {
		ret->target = ret->target ? ret->target : "native";
		if (ret->format == FORMAT_TAP) {
			return err_refuse(err, EINVAL, "ablate writes text, json or markdown");
		}
		if (ret->only || ret->without || ret->declares) {
			return err_refuse(err, EINVAL, "ablate chooses probes and layers itself");
		}
	} else if (ret->format == FORMAT_MARKDOWN) {
		return err_refuse(err, EINVAL, "only ablate writes markdown");
	}
	if (!ret->target && !ret->list && !ret->help && !ret->version) {
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

static int print_report(const struct options *options, const struct target *target,
	const struct measurement *measurement)
{
	struct report_header header = {
		.target = options->target,
		.profile = options->profile,
		.details = target,
		.brief = options->brief,
		.colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR"),
	};

	switch (options->format) {
	case FORMAT_TEXT:
		report_text(&header, measurement, stdout);
		break;
	case FORMAT_JSON:
		(void)report_json(&header, measurement, stdout);
		break;
	case FORMAT_TAP:
		report_tap(&header, measurement, stdout);
		break;
	case FORMAT_MARKDOWN: /* refused before */
		break;
	}
	return fflush(stdout) == 0 ? 0 : -EIO;
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

static int measure_and_report(const struct options *options, struct target *target,
	struct ground *ground, struct err *err)
{
	struct measure_options how = {
		.quick = options->quick,
		.only = options->only,
		.timeout_ms = (unsigned)(options->timeout ? options->timeout * 1000
				: options->quick          ? 8000
							  : 30000),
	};
	struct measurement measurement = {0};
	struct capability_set declared = {0};
	int code = EXIT_SETUP;
	int r = prepare(options, target, ground, &declared, err);

	r = r < 0 ? r : measure(target, ground, declared, &how, &measurement, err);
	if (r == 0) {
		r = print_report(options, target, &measurement);
		code = r < 0 ? EXIT_SETUP : measurement.code;
		if (code == EXIT_SETUP) {
			log_error("%s",
				measurement.client.fault[0] ? measurement.client.fault
							    : "writing the report");
		}
	}
	measurement_fini(&measurement);
	return r < 0 ? r : code;
}

/* ---- layers taken away ---- */

static int print_ablation(
	const struct options *options, const struct ablation *ablation, FILE *out, struct err *err)
{
	const char *profile = options->profile ? options->profile : "default";
	int r = 0;

	switch (options->format) {
	case FORMAT_JSON:
		r = ablation_json(ablation, profile, out);
		break;
	case FORMAT_MARKDOWN:
		ablation_markdown(ablation, profile, out);
		break;
	default:
		ablation_text(ablation, out);
		break;
	}
	if (r < 0 || fflush(out) != 0) {
		return err_set(err, r < 0 ? -r : errno, "writing the report");
	}
	return 0;
}

static int ablate_target(const struct options *options, struct target *target,
	struct ground *ground, const int streams[3], struct err *err)
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
	int r = ablation && out ? prepare(options, target, ground, &declared, err)
				: err_set(err, ENOMEM, "taking layers away");

	if (r == 0 && (target->kind != TARGET_PLAN || target->backend != &backend_native)) {
		r = err_refuse(err, EINVAL, "ablate takes layers from plans of native");
	}
	r = r < 0 ? r : ablate(target, ground, &how, ablation, err);
	r = r < 0 ? r : print_ablation(options, ablation, out, err);
	if (r < 0 && progress) {
		(void)fprintf(progress, "cloche-testkit-host: %s\n", err->msg);
	}
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

static int host(const struct options *options)
{
	struct options inside = *options;
	struct err err = {0};
	struct target target = {0};
	struct ground ground = {0};
	int streams[3] = {-1, -1, -1};
	char client[128];
	int r = find_client(options, client, sizeof(client), &err);

	if (r == 0 && options->ablate) {
		r = enter_outer(options, &inside, client, sizeof(client), streams, &err);
	}
	become_host();
	r = r < 0 ? r : target_parse(inside.target, inside.identity, &target, &err);
	target.without = inside.without;
	r = r < 0 ? r : ground_init(&ground, canary_parent(&inside), client, &err);
	if (r == 0) {
		r = inside.ablate ? ablate_target(&inside, &target, &ground, streams, &err)
				  : measure_and_report(&inside, &target, &ground, &err);
	}
	ground_fini(&ground);
	target_fini(&target);
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
static int run_host(const struct options *options)
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
