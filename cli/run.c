#include "cli/cli.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "backends/backend.h"
#include "base/io.h"
#include "base/proc.h"
#include "cli/choices.h"
#include "cli/export.h"
#include "cli/relay.h"

/* Compiled, and ready to be shown or started. */
struct compiled {
	struct host host;
	const struct backend *backend;
	const struct backend *begun; /* something of it is there ahead of the plan; or NULL */
	struct plan *plan;
};

/* Why nobody takes it: one sentence for one backend, else a line for each. */
static int refuse(
	const struct cli_options *options, const struct compiled *compiled, const struct err *err)
{
	cleanup(choices_fini) struct choices choices = {0};
	bool named = options->spec.backend && strcmp(options->spec.backend, "auto") != 0;

	if (err->code != ENOTSUP || named || !backends[1] ||
		backend_weigh(backends, &options->spec, &compiled->host, options->without, &choices,
			NULL) < 0) {
		return cli_fail(CLI_LAUNCH, "refused: %s", err->msg);
	}
	(void)cli_fail(CLI_LAUNCH, "refused: no backend can do it");
	cli_choices_complain(&choices);
	return CLI_LAUNCH;
}

/* Nobody chose it, and it is not the usual one: that is said, and why. */
static void warn_of_fallback(const struct cli_options *options, const struct compiled *compiled)
{
	cleanup(plan_freep) struct plan *plan = NULL;
	struct err err = {0};

	if (options->quiet || options->spec.backend || compiled->backend == backends[0]) {
		return;
	}
	if (backends[0]->probe(&compiled->host, &err) == 0) {
		(void)backend_compile(backends[0], &options->spec, &compiled->host,
			options->without, &plan, &err);
	}
	cli_warn("%s is used instead of %s: %s", compiled->backend->name, backends[0]->name,
		err.msg);
}

/* The first steps of the backend to be expected need no plan: they are taken while it is made. */
static void begin(const struct cli_options *options, struct relay *relay, struct compiled *ret)
{
	const char *name = options->spec.backend;
	const struct backend *expected = name ? backend_find(backends, name) : backends[0];

	if (expected && (expected->begin || expected->prepare) &&
		relay_hold_signals(relay, NULL) == 0) {
		ret->begun = expected;
	}
	if (ret->begun && expected->begin) {
		expected->begin();
	}
}

static void prepare(const struct cli_options *options, const struct compiled *compiled)
{
	if (compiled->begun && compiled->begun->prepare) {
		compiled->begun->prepare(&options->spec, &compiled->host, options->without);
	}
}

/* Of what is begun, what nobody took. */
static void forget(const struct compiled *compiled)
{
	if (compiled->begun && compiled->begun->forget) {
		compiled->begun->forget();
	}
}

/* relay: for a plan that is to be started; else NULL. */
static int compile(const struct cli_options *options, struct relay *relay, struct compiled *ret)
{
	struct err err = {0};
	int r = 0;

	if (relay) {
		begin(options, relay, ret);
	}
	r = host_probe(&ret->host, &err);
	if (r == 0) {
		prepare(options, ret);
	}
	if (r == 0) {
		r = backend_choose(backends, &options->spec, &ret->host, options->without,
			&ret->backend, &ret->plan, &err);
	}
	if (r == -EINVAL) {
		return cli_fail(CLI_USAGE, "%s", err.msg);
	}
	return r < 0 ? refuse(options, ret, &err) : 0;
}

/* A plan does not look at the host's files. What its start would refuse of them is said beforehand. */
static void warn_of_owners(const struct plan *plan)
{
	struct stat owner;

	for (size_t i = 0; plan && i < plan->mount_count; i++) {
		const struct plan_mount *mount = &plan->mounts[i];
		if (!(mount->flags & PLAN_IDMAP) || stat(mount->source, &owner) < 0 ||
			(mount->kind == PLAN_MOUNT_OVERLAY && owner.st_uid == 0)) {
			continue;
		}
		if (owner.st_uid == 0 || owner.st_gid == 0) {
			cli_warn("this plan cannot be run here: %s belongs to root or root's "
				 "group; give it to another user and group (chown), or use write: "
				 "ephemeral",
				mount->source);
		}
	}
}

/* A backend that is named shows its plan whether it can run here or not; the latter is said. */
static int preview(const struct cli_options *options, struct compiled *ret)
{
	const char *name = options->spec.backend;
	const struct backend *backend = name ? backend_find(backends, name) : NULL;
	struct err err = {0};
	int r = 0;

	if (!backend) {
		return compile(options, NULL, ret);
	}
	ret->backend = backend;
	r = host_probe(&ret->host, &err);
	r = r < 0 ? r : spec_validate(&options->spec, &err);
	if (r == 0) {
		r = backend_compile(
			backend, &options->spec, &ret->host, options->without, &ret->plan, &err);
		r = r < 0 ? err_wrap(&err, "%s", name) : 0;
	}
	if (r == -EINVAL) {
		return cli_fail(CLI_USAGE, "%s", err.msg);
	}
	if (r < 0) {
		return refuse(options, ret, &err);
	}
	if (!options->quiet && backend->probe(&ret->host, &err) < 0) {
		cli_warn("%s cannot be run here: %s", name, err.msg);
	}
	return 0;
}

/* Was it asked for? Then its absence is worth a line; the rest is in `plan`. */
static bool is_asked(const struct spec *spec, enum capability capability)
{
	return capability_set_has(spec_capabilities(spec), capability);
}

/* What is missing is said before anything runs. */
static void warn(const struct cli_options *options, const struct plan *plan)
{
	for (unsigned i = 0; plan_layer_names[i]; i++) {
		if (plan->without >> i & 1) {
			cli_warn("the layer '%s' is LEFT OUT of this sandbox", plan_layer_names[i]);
		}
	}
	for (size_t i = 0; i < plan->caveat_count && !options->quiet; i++) {
		const struct caveat *caveat = &plan->caveats[i];
		if (caveat->severity == CAVEAT_MISSING &&
			is_asked(&options->spec, caveat->capability)) {
			cli_warn("%s: %s", caveat->code, caveat->text);
		}
	}
}

/* The exit code for how it ended, with a line where the code alone would puzzle. */
static int exit_code(int r, const struct sandbox_exit *ended, const struct plan *plan)
{
	if (r == -ETIMEDOUT || (r == 0 && ended->timed_out)) {
		return cli_fail(CLI_TIMEOUT, "the time limit of %llu s is over",
			(unsigned long long)plan->timeout);
	}
	if (r == -EPIPE) {
		return cli_fail(128 + SIGKILL, "the sandbox was killed from outside");
	}
	if (r < 0) {
		return cli_fail(CLI_FAILED, "watching the sandbox: %s", strerror(-r));
	}
	return proc_exit_code(ended->status);
}

/* What it took, for who asked. 0 where nobody counts. */
static void tell_usage(uint64_t start_usec, struct sandbox *sandbox)
{
	struct sandbox_usage usage = {0};
	char text[160] = "";
	size_t used = 0;

	sandbox->backend->usage(sandbox, &usage);
	used = (size_t)snprintf(text, sizeof(text), "started in %.2f s", (double)start_usec / 1e6);
	if (usage.boot_usec > 0) {
		used += (size_t)snprintf(text + used, sizeof(text) - used,
			", of it the guest's boot %.2f s", (double)usage.boot_usec / 1e6);
	}
	if (usage.cpu_usec > 0) {
		used += (size_t)snprintf(text + used, sizeof(text) - used,
			"; processor time %.2f s", (double)usage.cpu_usec / 1e6);
	}
	if (usage.memory_peak > 0) {
		(void)snprintf(text + used, sizeof(text) - used, "; at most %llu MiB of memory",
			(unsigned long long)((usage.memory_peak + (1 << 20) - 1) >> 20));
	}
	(void)cli_fail(CLI_OK, "%s", text);
}

static int run(const struct compiled *compiled, struct relay *relay, bool verbose)
{
	const struct backend *backend = compiled->backend;
	struct sandbox *sandbox = NULL;
	struct sandbox_exit ended = {0};
	struct err err = {0};
	uint64_t began = io_now_usec();
	int r = 0;

	r = relay_open(relay, backend->no_file_streams, &err);
	if (r == 0) {
		r = backend->start(compiled->plan, &compiled->host, &relay->io, &sandbox, &err);
	}
	if (r < 0) {
		return cli_fail(CLI_LAUNCH, "%s", err.msg);
	}
	began = io_now_usec() - began;
	r = relay_run(relay, sandbox, compiled->plan->timeout, &ended);
	sandbox->leaving = true;
	if (verbose) {
		tell_usage(began, sandbox);
	}
	backend->destroy(sandbox);
	return exit_code(r, &ended, compiled->plan);
}

int command_run(int argc, char **argv)
{
	cleanup(cli_options_fini) struct cli_options options = {0};
	cleanup(relay_fini) struct relay relay;
	struct compiled compiled = {0};
	int r = cli_options_parse(argc, argv, CLI_COMMAND, &options);

	relay_init(&relay);
	if (r >= 0) {
		return r;
	}
	if (options.json || options.format) {
		return cli_fail(CLI_USAGE, "run prints nothing; `cloche plan --json` does");
	}
	options.spec.unsealed = true;
	r = compile(&options, &relay, &compiled);
	if (compiled.backend != compiled.begun) {
		forget(&compiled);
	}
	if (r == 0) {
		warn_of_fallback(&options, &compiled);
		warn(&options, compiled.plan);
		r = run(&compiled, &relay, options.verbose);
	}
	forget(&compiled);
	plan_free(compiled.plan);
	return r;
}

int command_plan(int argc, char **argv)
{
	cleanup(cli_options_fini) struct cli_options options = {0};
	struct compiled compiled = {0};
	const char *format = "text";
	int r = cli_options_parse(argc, argv, CLI_COMMAND, &options);

	if (r >= 0) {
		return r;
	}
	if (options.format) {
		format = options.format;
	} else if (options.json) {
		format = "json";
	}
	r = cli_export_check(format);
	r = r ? r : preview(&options, &compiled);
	if (r == 0 && !options.quiet) {
		warn_of_owners(compiled.plan);
		warn_of_owners(compiled.plan->jail);
	}
	r = r ? r : cli_export(format, compiled.plan, &options.spec, &compiled.host);
	plan_free(compiled.plan);
	return cli_flush() ? r : CLI_FAILED;
}
