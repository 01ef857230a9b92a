/*
 * Layers taken away: two second sandboxes, one after the other, and one report. The first has a user
 * namespace around it, for the plans that have none of their own; what is found there comes back
 * through a pipe.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sodium.h>

#include "backends/backend.h"
#include "backends/linux/idrange.h"
#include "backends/linux/ring.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/parse.h"
#include "testkit/ablate.h"
#include "testkit/host.h"
#include "testkit/outer.h"
#include "testkit/run.h"

#define ABLATION_SECONDS 600
#define APART_TIMEOUT_MS 15000

static int print_ablation(
	const struct options *options, const struct ablation *ablation, FILE *out, struct err *err)
{
	const char *profile = options->profile ? options->profile : "default";
	int r = 0;

	if (options_has_format(options, "json")) {
		r = ablation_json(ablation, profile, out);
	} else if (options_has_format(options, "markdown")) {
		ablation_markdown(ablation, profile, out);
	} else {
		ablation_text(ablation, out);
	}
	if (r < 0 || fflush(out) != 0) {
		return err_set(err, r < 0 ? -r : errno, "writing the report");
	}
	return 0;
}

/* A target whose layers can be left out. */
static int prepare_ablation(const struct options *options, const struct ground *ground,
	struct target *ret, struct err *err)
{
	struct capability_set declared = {0};
	int r = target_parse(options->targets[0], options->identity, ret, err);

	r = r < 0 ? r : host_prepare(options, ret, ground, &declared, err);
	if (r == 0 && (ret->kind != TARGET_PLAN || ret->backend != &backend_native)) {
		r = err_refuse(err, EINVAL, "ablate takes layers from plans of native");
	}
	return r;
}

static int ablate_target(const struct options *options, struct ground *ground,
	const struct ablation_apart *apart, const int streams[3], struct err *err)
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
	struct target target = {0};
	int r = ablation && out ? prepare_ablation(options, ground, &target, err)
				: err_set(err, ENOMEM, "taking layers away");

	r = r < 0 ? r : ablate(&target, ground, &how, apart, ablation, err);
	r = r < 0 ? r : print_ablation(options, ablation, out, err);
	if (r < 0 && progress) {
		(void)fprintf(progress, "cloche-testkit-host: %s\n", err->msg);
	}
	target_fini(&target);
	return r < 0 ? HOST_SETUP : 0;
}

/* ---- without a user namespace ---- */

/* In the process that measures there. */
static int measure_apart(const struct options *options, const char *client,
	struct ablation_apart *ret, struct err *err)
{
	const struct ablation_options how = {.quick = options->quick,
		.timeout_ms =
			options->timeout ? (unsigned)options->timeout * 1000 : APART_TIMEOUT_MS};
	struct target target = {0};
	struct ground ground = {0};
	int r = 0;

	host_become();
	r = ground_init(&ground, OUTER_CANARIES, client, err);
	r = r < 0 ? r : prepare_ablation(options, &ground, &target, err);
	r = r < 0 ? r : ablate_apart(&target, &ground, &how, ret, err);
	target_fini(&target);
	ground_fini(&ground);
	return r;
}

static void tell_fault(struct ablation_apart *ret, int code, const struct err *err)
{
	(void)snprintf(
		ret->fault, sizeof(ret->fault), "%.159s", err->msg[0] ? err->msg : strerror(-code));
}

/* The arguments of the process: a pipe, the client, the configuration or "-", and the command line. */
enum { APART_NAME, APART_OUT, APART_CLIENT, APART_CONFIG, APART_ARGV };

static int apart_in_place(int argc, char **argv, struct ablation_apart *ret, struct err *err)
{
	struct options options = {0};
	int r = ring_check(err);

	if (r == 0 && argc <= APART_ARGV) {
		r = err_refuse(err, EINVAL, "run by cloche-testkit-host ablate only");
	}
	if (r == 0 && sodium_init() < 0) {
		r = err_set(err, ENOSYS, "starting libsodium");
	}
	r = r < 0 ? r : options_parse(argc - APART_ARGV, argv + APART_ARGV, &options, err);
	if (r == 0 && strcmp(argv[APART_CONFIG], "-") != 0) {
		options.config = argv[APART_CONFIG];
	}
	return r < 0 ? r : measure_apart(&options, argv[APART_CLIENT], ret, err);
}

int host_ablate_apart(int argc, char **argv)
{
	cleanup_free struct ablation_apart *apart = calloc(1, sizeof(*apart));
	struct err err = {0};
	uint64_t out = 0;
	int r = 0;

	if (argc <= APART_OUT || parse_range(argv[APART_OUT], 3, 1023, &out) < 0 || !apart) {
		log_error("this is a part of cloche-testkit-host ablate");
		return HOST_SETUP;
	}
	/* A layer that is left out may hand on what we hold. */
	for (int fd = 3; fd < 1024; fd++) {
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	}
	r = apart_in_place(argc, argv, apart, &err);
	if (r < 0) {
		tell_fault(apart, r, &err);
	}
	return io_write_all((int)out, apart, sizeof(*apart)) == 0 ? 0 : HOST_SETUP;
}

/* What the process keeps through its exec, by descriptor: paths may lead nowhere there. */
struct kept {
	int program, out, client, config;
	char texts[3][32];
};

static int open_to_keep(const char *path, int flags, char *ret_name, size_t size, struct err *err)
{
	int fd = open(path, flags | O_CLOEXEC);

	if (fd < 0) {
		return err_set(err, errno, "opening %s", path);
	}
	(void)snprintf(ret_name, size, "/proc/self/fd/%d", fd);
	return fd;
}

static int keep(
	const struct options *options, const char *client, struct kept *kept, struct err *err)
{
	char ignored[32];

	(void)snprintf(kept->texts[0], sizeof(kept->texts[0]), "%d", kept->out);
	(void)snprintf(kept->texts[2], sizeof(kept->texts[2]), "-");
	kept->program = open_to_keep("/proc/self/exe", O_PATH, ignored, sizeof(ignored), err);
	kept->client = open_to_keep(client, O_RDONLY, kept->texts[1], sizeof(kept->texts[1]), err);
	kept->config = options->config ? open_to_keep(options->config, O_RDONLY, kept->texts[2],
						 sizeof(kept->texts[2]), err)
				       : -1;
	return kept->program < 0 || kept->client < 0 || (options->config && kept->config < 0)
		? -err->code
		: 0;
}

/*
 * Goes there and becomes ourselves once more: the memory of a process belongs to the user namespace it
 * was started in, and while that is the host's, /proc is closed to it. Returns on failure only.
 */
static int become_apart(const struct options *options, const char *client,
	const struct idrange ranges[OUTER_RANGES], int out, struct err *err)
{
	char *argv[OPTIONS_MAX_ARGUMENTS + APART_ARGV + 2] = {
		options->argv[0], (char[]){HOST_ABLATE_APART}};
	struct kept kept = {.out = out};
	int streams[3] = {-1, -1, -1};
	int r = keep(options, client, &kept, err);

	for (size_t i = 0; i < ARRAY_SIZE(kept.texts); i++) {
		argv[1 + APART_OUT + i] = kept.texts[i];
	}
	for (size_t i = 0; options->argv[i]; i++) {
		if (i == OPTIONS_MAX_ARGUMENTS) {
			return err_refuse(err, E2BIG, "too many arguments");
		}
		argv[1 + APART_ARGV + i] = options->argv[i];
	}
	r = r < 0 ? r : outer_enter_apart(ranges, streams, err);
	if (r < 0) {
		return r;
	}
	(void)fcntl(kept.out, F_SETFD, 0);
	(void)fcntl(kept.client, F_SETFD, 0);
	if (kept.config >= 0) {
		(void)fcntl(kept.config, F_SETFD, 0);
	}
	(void)fexecve(kept.program, argv, environ);
	return err_set(err, errno, "starting again in the second sandbox");
}

/* Waits for the word of such a process; what it does not say is said for it. */
static int have_measured_apart(const struct options *options, const char *client,
	const struct idrange ranges[OUTER_RANGES], struct ablation_apart *ret, struct err *err)
{
	int ends[2];
	pid_t pid = pipe2(ends, O_CLOEXEC) < 0 ? -1 : fork();

	if (pid < 0) {
		return err_set(err, errno, "measuring without a user namespace");
	}
	if (pid == 0) {
		struct pollfd reader = {.fd = ends[1]};
		(void)close(ends[0]);
		/* Who has died before that could be asked for reads no more. */
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || poll(&reader, 1, 0) != 0) {
			_exit(HOST_SETUP);
		}
		int r = become_apart(options, client, ranges, ends[1], err);
		tell_fault(ret, r, err);
		_exit(io_write_all(ends[1], ret, sizeof(*ret)) == 0 ? 0 : HOST_SETUP);
	}
	(void)close(ends[1]);
	int r = io_read_all(ends[0], ret, sizeof(*ret));
	(void)close(ends[0]);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
	}
	ret->fault[sizeof(ret->fault) - 1] = '\0';
	for (size_t i = 0; i < ABLATION_APART_TRIALS; i++) {
		ret->trials[i].fault[sizeof(ret->trials[i].fault) - 1] = '\0';
	}
	return r < 0 ? err_set(err, -r, "measuring without a user namespace") : 0;
}

static void ask_apart(const struct options *options, const char *client, struct ablation_apart *ret)
{
	struct idrange ranges[OUTER_RANGES];
	struct err err = {0};
	int r = outer_take_ranges(ranges, &err);

	if (r == 0) {
		r = have_measured_apart(options, client, ranges, ret, &err);
		for (size_t i = 0; i < OUTER_RANGES; i++) {
			idrange_release(&ranges[i]);
		}
	}
	if (r < 0) {
		*ret = (struct ablation_apart){0};
		tell_fault(ret, r, &err);
	}
}

/* ---- both ---- */

/* Paths that a second sandbox may hide are opened before, and named by descriptor. */
static int enter_outer(const struct options *options, struct options *ret, char *client,
	char *config, size_t size, int streams[3], struct err *err)
{
	char path[128];
	int r = 0;

	(void)snprintf(path, sizeof(path), "%s", client);
	*ret = *options;
	r = open_to_keep(path, O_RDONLY, client, size, err);
	if (r >= 0 && options->config) {
		r = open_to_keep(options->config, O_RDONLY, config, size, err);
		ret->config = config;
	}
	return r < 0 ? r : outer_enter(streams, err);
}

int host_ablate(const struct options *options, const char *client)
{
	cleanup_free struct ablation_apart *apart = calloc(1, sizeof(*apart));
	struct options inside = {0};
	struct ground ground = {0};
	struct err err = {0};
	int streams[3] = {-1, -1, -1};
	char program[128];
	char config[128];
	int r = apart ? 0 : err_set(&err, ENOMEM, "taking layers away");

	(void)snprintf(program, sizeof(program), "%s", client);
	if (r == 0 && geteuid() == 0) {
		ask_apart(options, client, apart);
	}
	r = r < 0 ? r
		  : enter_outer(options, &inside, program, config, sizeof(config), streams, &err);
	host_become();
	r = r < 0 ? r : ground_init(&ground, OUTER_CANARIES, program, &err);
	r = r < 0 ? r : ablate_target(&inside, &ground, apart, streams, &err);
	ground_fini(&ground);
	if (r < 0) {
		log_error("%s", err.msg[0] ? err.msg : strerror(-r));
		return HOST_SETUP;
	}
	return r;
}
