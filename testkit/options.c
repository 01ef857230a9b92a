#include "testkit/options.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <unistd.h>

#include "backends/plan.h"
#include "base/cleanup.h"
#include "base/parse.h"
#include "base/strv.h"
#include "session/config.h"
#include "session/policy.h"
#include "testkit/deliver.h"
#include "testkit/fold.h"
#include "testkit/probes.h"

#define MAX_KEYS 64

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

/* Belongs to the target before it, or names one itself. */
static int set_manifest(struct options *options, const char *value, struct err *err)
{
	size_t count = options->target_count;
	int r = count > 0 && !options->manifests[count - 1] ? 0 : set_target(options, NULL, err);

	if (r == 0) {
		options->manifests[options->target_count - 1] = value;
	}
	return r;
}

static int set_learn(struct options *options, const char *value, struct err *err)
{
	(void)err;
	options->learn = value;
	return 0;
}

static int set_baseline(struct options *options, const char *value, struct err *err)
{
	(void)err;
	options->baseline = value;
	return 0;
}

static int set_sign(struct options *options, const char *value, struct err *err)
{
	(void)err;
	options->sign = value;
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

int options_add_format(struct options *options, const char *value, struct err *err)
{
	const struct report_format *format = report_format_find(value);

	if (!format) {
		return err_refuse(err, EINVAL,
			"--format is text, json, ndjson, tap, junit, sarif, markdown, html, "
			"receipt, caller or caller-json, not '%s'",
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
	int r = options->output_count ? 0 : options_add_format(options, "text", err);

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

static bool names_probe(const char *name)
{
	for (const struct probe *probe = probe_table; probe->id; probe++) {
		if (probe_is(probe, name)) {
			return true;
		}
	}
	return false;
}

static int set_probe(struct options *options, const char *value, struct err *err)
{
	cleanup_free char *copy = strdup(value);
	char *rest = copy;

	for (char *name = NULL; (name = strsep(&rest, ","));) {
		if (!names_probe(name)) {
			return err_refuse(err, EINVAL,
				"no probe is called '%s', and no group; --list names them", name);
		}
	}
	options->only = value;
	return copy ? 0 : -ENOMEM;
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

static int set_peer(struct options *options, const char *value, struct err *err)
{
	(void)err;
	options->peer = value;
	return 0;
}

static int set_host_key(struct options *options, const char *value, struct err *err)
{
	(void)err;
	options->offers.host_key = value;
	return 0;
}

static int set_forced_key(struct options *options, const char *value, struct err *err)
{
	(void)err;
	options->offers.forced_key = value;
	return 0;
}

static int set_broken_user(struct options *options, const char *value, struct err *err)
{
	if (value[0] == '-' || value[0] == '\0') {
		return err_refuse(err, EINVAL, "--broken-user is a name, not '%s'", value);
	}
	options->offers.broken_user = value;
	return 0;
}

static int set_server_log(struct options *options, const char *value, struct err *err)
{
	if (value[0] != '/' || strchr(value, '\'')) {
		return err_refuse(err, EINVAL, "--server-log is an absolute path");
	}
	options->offers.server_log = value;
	return 0;
}

static int set_client(struct options *options, const char *value, struct err *err)
{
	(void)err;
	options->client = value;
	return 0;
}

static int set_client_at(struct options *options, const char *value, struct err *err)
{
	if (!deliver_takes_path(value)) {
		return err_refuse(err, EINVAL,
			"--client-at is an absolute path of letters, digits and ._+- that a shell "
			"leaves alone");
	}
	options->client_at = value;
	return 0;
}

static int set_deliver(struct options *options, const char *value, struct err *err)
{
	char names[80];

	if (!deliver_knows(value)) {
		return err_refuse(err, EINVAL, "--deliver is one of %s, not '%s'",
			deliver_names(names, sizeof(names)), value);
	}
	options->deliver = value;
	return 0;
}

static int set_verbose(struct options *options, const char *value, struct err *err)
{
	(void)value;
	(void)err;
	options->verbose = true;
	return 0;
}

static int set_eye(struct options *options, const char *value, struct err *err)
{
	if (value[0] != '/' || strlen(value) > 80) {
		return err_refuse(err, EINVAL, "--eye is an absolute path of at most 80 bytes");
	}
	options->eye = value;
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
			return options->without & PLAN_LAYER_USER
				? err_refuse(err, EINVAL,
					  "only ablate leaves the layer 'user' out, in a second "
					  "sandbox")
				: 0;
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
	{"config", 'f', "FILE",
		"where profiles are, - for standard input; without it the built-in ones",
		set_config},
	{"declare", 'd', "CAPABILITIES",
		"what to hold the target to, instead of its plan's promises", set_declare},
	{"manifest", 'm', "FILE",
		"what the target before it promises, and which doors of it are known to be open",
		set_manifest},
	{"learn", 0, "FILE", "write what was observed as a manifest", set_learn},
	{"baseline", 'b', "FILE", "a former report in JSON: fail only on what is new",
		set_baseline},
	{"format", 'F', "FORMAT",
		"text, json, ndjson, tap, junit, sarif, markdown, html, receipt, caller or "
		"caller-json; may be repeated",
		options_add_format},
	{"output", 'o', "FILE", "where the format before goes, instead of standard output",
		set_output},
	{"sign", 's', "KEY", "a private key of OpenSSH's; the receipt it signs is a format too",
		set_sign},
	{"quick", 'q', NULL, "only the probes that judge, none that takes its time", set_quick},
	{"proof", 0, NULL, "like --quick, and report only what was declared", set_proof},
	{"probe", 'P', "ID,...", "these probes only, or groups by their letters", set_probe},
	{"list", 'l', NULL, "list the probes", set_list},
	{"run-timeout", 0, "TIME", "the longest a run of the client may take", set_timeout},
	{"identity", 'i', "FILE", "key file for ssh", set_identity},
	{"host-key", 0, "FILE", "the server's own Ed25519 key, to be looked for in a session",
		set_host_key},
	{"forced-key", 0, "FILE", "a key whose line on the server forces a command",
		set_forced_key},
	{"broken-user", 0, "NAME", "a login of the server whose sandbox cannot be made",
		set_broken_user},
	{"server-log", 0, "FILE", "where the server writes what happens", set_server_log},
	{"peer", 0, "TARGET",
		"what the second session is, where two sessions attack each other: another user's "
		"login, say; without it the target again",
		set_peer},
	{"client", 0, "FILE", "the client to run", set_client},
	{"client-at", 0, "PATH", "where a login or a shell finds the client already",
		set_client_at},
	{"deliver", 0, "WAY",
		"how the client comes there, instead of trying all: present, sftp, cat, base64, "
		"printf, memfd or ld.so",
		set_deliver},
	{"verbose", 'v', NULL, "say on standard error how the client came, and what failed before",
		set_verbose},
	{"canary-dir", 0, "DIR", "where the canaries lie; a place that the target can see",
		set_canaries},
	{"eye", 0, "FILE", "a copy of cloche-testkit-eye where a login can read it", set_eye},
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
	return err_refuse(err, EINVAL,
		c == ':' ? "needs a value"
			 : "no such option; --help lists them, `cloche help run` those of a spec");
}

bool options_has_format(const struct options *options, const char *name)
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
					!(options_has_format(options, "text") ||
						options_has_format(options, "json") ||
						options_has_format(options, "markdown")))))) {
		return err_refuse(err, EINVAL,
			"ablate writes one of text, json or markdown to standard output");
	}
	if (r == 0 && (options->only || options->without || options->declares)) {
		return err_refuse(err, EINVAL, "ablate chooses probes and layers itself");
	}
	if (r == 0 &&
		(options->manifests[0] || options->learn || options->baseline || options->sign)) {
		return err_refuse(err, EINVAL,
			"ablate takes no manifest and no baseline, learns none and signs nothing");
	}
	return r;
}

/* A receipt needs a key, and a key is for a receipt, which is all that is printed if nothing else is. */
static int check_receipt(struct options *options, struct err *err)
{
	bool wanted = false;

	if (options->sign && options->output_count == 0) {
		return options_add_format(options, "receipt", err);
	}
	for (size_t i = 0; i < options->output_count; i++) {
		wanted |= strcmp(options->outputs[i].format->name, "receipt") == 0;
	}
	if (wanted && !options->sign) {
		return err_refuse(err, EINVAL, "a receipt is signed: --sign says with which key");
	}
	if (options->sign && !wanted) {
		return err_refuse(err, EINVAL,
			"--sign makes a receipt: say --format receipt, and --output where it goes");
	}
	return 0;
}

int options_parse(int argc, char **argv, struct options *ret, struct err *err)
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
	if (!ret->ablate && check_receipt(ret, err) < 0) {
		return -EINVAL;
	}
	if (ret->learn && ret->target_count > 1) {
		return err_refuse(err, EINVAL, "--learn is for one target");
	}
	return 0;
}

void options_print_help(void)
{
	(void)printf(
		"usage: cloche-testkit-host --target TARGET [OPTION...] [spec options]\n"
		"       cloche-testkit-host list [--group=GROUP] [--capability=NAME] [--json]\n"
		"       cloche-testkit-host explain PROBE|CAPABILITY|WORD...\n"
		"       cloche-testkit-host ablate [--profile NAME] [OPTION...] [spec options]\n"
		"       cloche-testkit-host verify [--key=KEY]... RECEIPT [OTHER]\n\n"
		"Measures what a target confines. Exit status: 0 as declared, 1 violated,\n"
		"2 usage or set-up, 3 something declared could not be decided here.\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(option_table); i++) {
		char name[48];
		char line[256];
		(void)snprintf(name, sizeof(name), "--%s%s%s", option_table[i].name,
			option_table[i].argument ? "=" : "",
			option_table[i].argument ? option_table[i].argument : "");
		(void)snprintf(line, sizeof(line), "  %s%c%s %-26s %s",
			option_table[i].letter ? "-" : " ",
			option_table[i].letter ? option_table[i].letter : ' ',
			option_table[i].letter ? "," : " ", name, option_table[i].help);
		fold(line, 33, stdout);
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
	int r = options->config && strcmp(options->config, "-") == 0
		? config_load_fd(STDIN_FILENO, "standard input", stderr, &config)
		: config_load(options->config, stderr, &config);

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

int options_make_spec(const struct options *options, struct spec *ret, struct err *err)
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
