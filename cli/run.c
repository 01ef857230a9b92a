#include "cli/cli.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "backends/backend.h"
#include "base/proc.h"
#include "cli/relay.h"

/* Compiled, and ready to be shown or started. */
struct compiled {
	struct host host;
	const struct backend *backend;
	struct plan *plan;
};

static int compile(const struct cli_options *options, struct compiled *ret)
{
	struct err err = {0};
	int r = host_probe(&ret->host, &err);

	if (r == 0) {
		r = backend_choose(backends, &options->spec, &ret->host, options->without,
			&ret->backend, &ret->plan, &err);
	}
	if (r == -EINVAL) {
		return cli_fail(CLI_USAGE, "%s", err.msg);
	}
	return r < 0 ? cli_fail(CLI_LAUNCH, "refused: %s", err.msg) : 0;
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

static int run(const struct compiled *compiled)
{
	const struct backend *backend = compiled->backend;
	cleanup(relay_fini) struct relay relay;
	struct sandbox *sandbox = NULL;
	struct sandbox_exit ended = {0};
	struct err err = {0};
	int r = 0;

	relay_init(&relay);
	r = relay_open(&relay, &err);
	if (r == 0) {
		r = backend->start(compiled->plan, &compiled->host, &relay.io, &sandbox, &err);
	}
	if (r < 0) {
		return cli_fail(CLI_LAUNCH, "%s", err.msg);
	}
	r = relay_run(&relay, sandbox, compiled->plan->timeout, &ended);
	backend->destroy(sandbox);
	return exit_code(r, &ended, compiled->plan);
}

int command_run(int argc, char **argv)
{
	cleanup(cli_options_fini) struct cli_options options = {0};
	struct compiled compiled = {0};
	int r = cli_options_parse(argc, argv, &options);

	if (r >= 0) {
		return r;
	}
	if (options.json) {
		return cli_fail(CLI_USAGE, "run prints nothing; `cloche plan --json` does");
	}
	r = compile(&options, &compiled);
	if (r == 0) {
		warn(&options, compiled.plan);
		r = run(&compiled);
	}
	plan_free(compiled.plan);
	return r;
}

/*
 * The canonical JSON with the digest put where its name sorts: before "dir". No text from outside
 * can look like that key, as quotes inside texts are escaped.
 */
static int print_json(const struct plan *plan)
{
	cleanup_free char *json = plan_to_json(plan);
	const char *dir = json ? strstr(json, ",\"dir\":") : NULL;

	if (!dir) {
		return cli_fail(CLI_FAILED, "out of memory");
	}
	(void)printf("%.*s,\"digest\":\"%s\"%s\n", (int)(dir - json), json, plan->digest, dir);
	return CLI_OK;
}

int command_plan(int argc, char **argv)
{
	cleanup(cli_options_fini) struct cli_options options = {0};
	struct compiled compiled = {0};
	int r = cli_options_parse(argc, argv, &options);

	if (r >= 0) {
		return r;
	}
	r = compile(&options, &compiled);
	if (r == 0 && options.json) {
		r = print_json(compiled.plan);
	} else if (r == 0) {
		plan_print(compiled.plan, stdout);
	}
	plan_free(compiled.plan);
	return cli_flush() ? r : CLI_FAILED;
}
