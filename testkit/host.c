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
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sodium.h>

#include "backends/backend.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/proc.h"
#include "cloche-config.h"
#include "testkit/catalogue.h"
#include "testkit/host.h"
#include "testkit/manifest.h"
#include "testkit/measure.h"
#include "testkit/options.h"
#include "testkit/past.h"
#include "testkit/privilege.h"
#include "testkit/progress.h"
#include "testkit/receipt.h"
#include "testkit/report.h"

#define CLIENT_NAME "cloche-testkit-client"

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
const char *host_canary_parent(const struct options *options)
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
	const char *name;
	struct manifest manifest;
	const struct past_target *before; /* in the baseline, or NULL */
	struct target target;
	struct measurement measurement;
};

static int open_outputs(struct options *options, struct err *err)
{
	bool taken = false;
	int r = options->output_count ? 0 : options_add_format(options, "text", err);

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

/* no-color.org: set to anything but nothing. */
static bool wants_colour(const struct output *output)
{
	const char *no = getenv("NO_COLOR");

	return isatty(fileno(output->file)) == 1 && !(no && *no);
}

static int write_outputs(
	const struct options *options, struct report_column *columns, const struct report *report)
{
	int r = 0;

	for (size_t i = 0; i < options->output_count; i++) {
		const struct output *output = &options->outputs[i];
		for (size_t c = 0; c < report->count; c++) {
			columns[c].header.colour = wants_colour(output);
		}
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

/* The key is in memory only when all targets are gone. */
static int load_key(const struct options *options, struct signature_key *key)
{
	struct err err = {0};
	int r = options->sign ? signature_load_key(options->sign, geteuid(), key, &err) : 0;

	if (r < 0) {
		log_error("%s", err.msg);
	}
	return r;
}

static int print_report(const struct options *options, const struct column *columns)
{
	struct report_column views[REPORT_MAX_COLUMNS + 1] = {0};
	struct signature_key key = {0};
	struct report report = {.columns = views,
		.count = options->target_count + 1,
		.key = options->sign ? &key : NULL};
	struct measurement none = {0};
	struct target nothing = {0};
	int r = add_control(&columns[0], &nothing, &none);

	for (size_t i = 0; i < report.count; i++) {
		bool automatic = i == options->target_count;
		views[i] = (struct report_column){
			.header = {.target = automatic ? "none" : columns[i].name,
				.profile = automatic ? NULL : options->profile,
				.details = automatic ? &nothing : &columns[i].target,
				.brief = options->brief},
			.measurement = automatic ? &none : &columns[i].measurement,
			.automatic = automatic,
		};
	}
	r = r < 0 ? r : load_key(options, &key);
	r = r < 0 ? r : write_outputs(options, views, &report);
	signature_wipe_key(&key);
	measurement_fini(&none);
	return r;
}

/* Whether the target's promises come from a plan of ours. */
static bool has_plan(const struct options *options, const struct target *target)
{
	return target->kind == TARGET_PLAN || options->profile || options->config;
}

int host_prepare(const struct options *options, struct target *target, const struct ground *ground,
	struct capability_set *ret_declared, struct err *err)
{
	struct spec spec = {0};
	int r = 0;

	*ret_declared = options->declare;
	if (!has_plan(options, target)) {
		return 0;
	}
	r = options_make_spec(options, &spec, err);
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

/* ---- what is known before ---- */

static int load_manifest(
	const struct options *options, size_t i, struct column *column, struct err *err)
{
	int r = manifest_load(options->manifests[i], stderr, &column->manifest, err);

	if (r == 0 && column->manifest.declares && options->declares) {
		r = err_refuse(err, EINVAL, "%s says what is promised, and so does --declare",
			options->manifests[i]);
	}
	column->name = options->targets[i] ? options->targets[i] : column->manifest.target;
	if (r == 0 && !column->name) {
		r = err_refuse(err, EINVAL, "%s names no target; say --target before --manifest",
			options->manifests[i]);
	}
	return r;
}

/* Everything that is read before the first target is started, so that mistakes cost no time. */
static int load_known(
	const struct options *options, struct column *columns, struct past *past, struct err *err)
{
	struct signature_key key = {0};
	int r = options->sign ? signature_load_key(options->sign, geteuid(), &key, err) : 0;

	signature_wipe_key(&key);
	r = r == 0 && options->baseline ? past_load(options->baseline, past, err) : r;

	for (size_t i = 0; r == 0 && i < options->target_count; i++) {
		columns[i].name = options->targets[i];
		r = options->manifests[i] ? load_manifest(options, i, &columns[i], err) : 0;
		if (r == 0 && options->baseline) {
			columns[i].before =
				past_find(past, columns[i].name, options->target_count == 1);
			r = columns[i].before ? 0
					      : err_refuse(err, ENOENT, "%s has no target %s",
							options->baseline, columns[i].name);
		}
	}
	if (r == 0 && options->learn && access(options->learn, F_OK) == 0) {
		r = err_refuse(err, EEXIST, "%s is there already, and stays", options->learn);
	}
	return r;
}

/* Turns what is known into verdicts. */
static int use_known(struct column *column, struct capability_set declared, struct err *err)
{
	struct measurement *measurement = &column->measurement;
	char today[KNOWN_DATE];

	measurement->known = column->manifest.openings;
	column->manifest.openings = (struct known_list){0};
	if (column->before && past_to_known(column->before, declared, &measurement->known) < 0) {
		return err_set(err, ENOMEM, "comparing with the baseline");
	}
	bool good = known_apply(&measurement->known, known_date(0, today), &measurement->judgement);
	if (measurement->code != HOST_SETUP) {
		measurement->code = good ? judge_exit_code(&measurement->judgement) : 1;
	}
	return 0;
}

static int learn(const struct options *options, const struct column *column)
{
	cleanup_fclose FILE *out = fopen(options->learn, "wxe");

	if (out) {
		manifest_write(column->name, &column->measurement, out);
	}
	if (!out || fflush(out) != 0 || ferror(out)) {
		log_error("writing %s: %s", options->learn, strerror(errno));
		return -EIO;
	}
	return 0;
}

/* How the client comes to a target that leaves that to us, said in the report and to those who ask. */
static int bring_client(const struct options *options, struct target *target, const char *name,
	const struct ground *ground, struct err *err)
{
	const struct deliver_options how = {.only = options->deliver, .at = options->client_at};
	const struct delivery *delivery = &target->delivery;
	int r = deliver_is_needed(target) ? deliver_client(target, ground, &how, err) : 0;

	STRV_FOREACH (failure, options->verbose ? delivery->failures : NULL) {
		log_info("%s: no client by %s", name, *failure);
	}
	if (r == 0 && delivery->rung && options->verbose) {
		log_info("%s: the client comes by %s", name, delivery->rung);
	}
	if (r == 0 && deliver_is_needed(target) &&
		strv_appendf(&target->additions, "client: %s",
			delivery->rung ? delivery->rung : "none could be brought there") < 0) {
		r = err_set(err, ENOMEM, "measuring");
	}
	return r;
}

/* The second session's target, which is not held to anything. */
static int prepare_peer(const struct options *options, struct target *target, struct target *ret,
	const struct ground *ground, struct err *err)
{
	struct capability_set ignored;
	int r = target_parse(options->peer, options->identity, ret, err);

	if (r == 0 && ret->kind == TARGET_PLAN) {
		r = host_prepare(options, ret, ground, &ignored, err);
	}
	r = r < 0 ? r : bring_client(options, ret, options->peer, ground, err);
	if (r == 0 && strv_appendf(&target->additions, "second session: %s", options->peer) < 0) {
		r = err_set(err, ENOMEM, "measuring");
	}
	return r;
}

static int measure_target(const struct options *options, struct column *column,
	struct ground *ground, struct err *err)
{
	struct progress progress = {
		.options = options, .target = column->name, .terminal = isatty(STDERR_FILENO) == 1};
	const struct run_watch watch = {progress_take, &progress};
	struct measure_options how = {
		.quick = options->quick,
		.only = options->only,
		.timeout_ms = (unsigned)(options->timeout ? options->timeout * 1000
				: options->quick          ? 8000
							  : 30000),
		.watch = &watch,
		.police = true,
	};
	cleanup(target_fini) struct target peer = {0};
	struct capability_set declared = {0};
	int r = target_parse(column->name, options->identity, &column->target, err);

	column->target.without = options->without;
	column->target.offers = options->offers;
	r = r < 0 ? r : host_prepare(options, &column->target, ground, &declared, err);
	r = r < 0 ? r : bring_client(options, &column->target, column->name, ground, err);
	if (r == 0 && options->peer) {
		r = prepare_peer(options, &column->target, &peer, ground, err);
		how.peer = &peer;
	}
	if (column->manifest.declares) {
		declared = column->manifest.promises;
	}
	r = r < 0 ? r : measure(&column->target, ground, declared, &how, &column->measurement, err);
	progress_end(&progress);
	if (r == 0 && column->measurement.code == HOST_SETUP &&
		column->measurement.client.fault[0]) {
		log_error("%s", column->measurement.client.fault);
	}
	STRV_FOREACH (line, column->measurement.changes.left) {
		log_error("left at the host: %s", *line);
	}
	return r < 0 ? r : use_known(column, declared, err);
}

/* The worst of several: set-up, then violated, then inconclusive. */
static int join_codes(int code, int other)
{
	static const int order[] = {HOST_SETUP, 1, 3};

	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		if (code == order[i] || other == order[i]) {
			return order[i];
		}
	}
	return 0;
}

/* A plan is carried out by this process, and compiling one asks the host for what it can do. */
static bool takes_all_powers(const struct options *options, const struct column *columns)
{
	bool takes = options->profile || options->config;

	for (size_t i = 0; i <= options->target_count; i++) {
		const char *name = i < options->target_count ? columns[i].name : options->peer;
		takes |= name && strcmp(name, "none") != 0 && strncmp(name, "exec:", 5) != 0 &&
			strncmp(name, "ssh://", 6) != 0;
	}
	return takes;
}

static int measure_and_report(struct options *options, struct ground *ground, struct err *err)
{
	cleanup_free struct column *columns = calloc(options->target_count, sizeof(columns[0]));
	struct past past = {0};
	int code = 0;
	int r = columns ? load_known(options, columns, &past, err)
			: err_set(err, ENOMEM, "measuring");

	r = r < 0 ? r : open_outputs(options, err);
	if (r == 0 && !takes_all_powers(options, columns)) {
		r = privilege_reduce(err);
	}

	for (size_t i = 0; r == 0 && i < options->target_count; i++) {
		r = measure_target(options, &columns[i], ground, err);
		code = join_codes(code, columns[i].measurement.code);
	}
	if (r == 0 && print_report(options, columns) < 0) {
		code = HOST_SETUP;
	}
	if (r == 0 && options->learn && code != HOST_SETUP && learn(options, &columns[0]) < 0) {
		code = HOST_SETUP;
	}
	close_outputs(options);
	for (size_t i = 0; columns && i < options->target_count; i++) {
		measurement_fini(&columns[i].measurement);
		target_fini(&columns[i].target);
		manifest_fini(&columns[i].manifest);
	}
	past_fini(&past);
	return r < 0 ? r : code;
}

static void on_signal(int signo)
{
	(void)signo;
	run_interrupt();
}

/* Marks of ours that a launcher should take off: a session, a group, ignored signals. */
void host_become(void)
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
		privilege_mark();
	}
}

static int host(struct options *options)
{
	struct err err = {0};
	struct ground ground = {0};
	char client[128];
	int r = find_client(options, client, sizeof(client), &err);

	if (r == 0 && options->ablate) {
		return host_ablate(options, client);
	}
	host_become();
	r = r < 0 ? r : ground_init(&ground, host_canary_parent(options), client, &err);
	if (r == 0 && options->eye) {
		(void)snprintf(ground.eye, sizeof(ground.eye), "%s", options->eye);
	}
	r = r < 0 ? r : measure_and_report(options, &ground, &err);
	ground_fini(&ground);
	if (r < 0) {
		log_error("%s", err.msg[0] ? err.msg : strerror(-r));
		return HOST_SETUP;
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
		return HOST_SETUP;
	}
	(void)sigaction(SIGTERM, &action, NULL);
	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGHUP, &action, NULL);
	while (waitpid(host_pid, &status, 0) < 0 && errno == EINTR) {
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : HOST_SETUP;
}

/* What there is besides a measurement. Each gets its own name as argv[0]. */
static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} commands[] = {
	{"list", catalogue_list},
	{"explain", catalogue_explain},
	{"verify", receipt_verify},
	{HOST_ABLATE_APART, host_ablate_apart},
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
	options.argv = argv;
	if (sodium_init() < 0 || options_parse(argc, argv, &options, &err) < 0) {
		log_error("%s", err.msg);
		return HOST_SETUP;
	}
	if (options.help) {
		options_print_help();
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
