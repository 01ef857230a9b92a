#include "testkit/measure.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/strv.h"
#include "testkit/calls.h"
#include "testkit/gaps.h"
#include "testkit/peer.h"
#include "testkit/ssh.h"

#define MIB (UINT64_C(1) << 20)
#define TIME_OVER_MS 600 /* what the client tries to live beyond its limit */
#define TIME_WAITED                                                                                \
	5 /* seconds; a limit that is not ours to set is waited for when it is no longer */

/* A pair of sessions in one target: the first leaves things, the second looks and does the rest. */
struct pass {
	const struct target *target;
	const struct measure_options *options;
	struct ground *ground;
	const struct outside *own;
	const struct limits *limits;
	bool control, with_time;
	char fresh[24];
	key_t fresh_shm;
	char **settings;
	struct outcome *outcomes;
	struct measure_client *client; /* NULL for controls */
	char ***gaps; /* the same */
	uint8_t (*surveys)[SURVEY_BYTES];
	uint64_t usec, boot_usec, end_usec;
};

/* Are all that were asked for by name of this kind? */
static bool is_only(const struct measure_options *options, unsigned flags)
{
	bool all = options->only != NULL;

	for (size_t i = 0; all && i < probe_count; i++) {
		all = !probe_is(&probe_table[i], options->only) || probe_table[i].flags & flags;
	}
	return all;
}

/* Is one of them? */
static bool has_named(const struct measure_options *options, unsigned flags)
{
	bool any = false;

	for (size_t i = 0; options->only && !any && i < probe_count; i++) {
		any = probe_is(&probe_table[i], options->only) && probe_table[i].flags & flags;
	}
	return any;
}

/* A guest whose instructions are translated is that much slower. */
#define GUEST_PATIENCE 5

static unsigned patience(const struct pass *pass)
{
	const struct plan *plan = pass->target->plan;

	return pass->options->timeout_ms *
		(plan && plan->kernel == PLAN_KERNEL_GUEST ? GUEST_PATIENCE : 1);
}

static struct run_options main_options(const struct pass *pass)
{
	unsigned quick = pass->options->quick ? PROBE_QUICK : 0;

	return (struct run_options){
		.mask = PROBE_TIME | quick | pass->options->skip,
		.match = quick,
		.only = pass->options->only,
		.timeout_ms = patience(pass),
		.settings = pass->settings,
		.watch = pass->options->watch,
		.control = pass->control,
	};
}

static struct run_options plant_options(const struct pass *pass)
{
	struct run_options options = main_options(pass);

	options.mask |= PROBE_FRESH;
	options.match |= PROBE_FRESH;
	options.plant = true;
	return options;
}

/* What the next session is told of a process that the one before has left, if it has. */
static int describe_leftover(struct pass *pass, struct err *err)
{
	char title[16];
	pid_t pid = outside_find(canary_fresh_title(pass->fresh, title));

	return pid > 0 && strv_appendf(&pass->settings, "set fresh.pid %d", pid) < 0
		? err_set(err, ENOMEM, "measuring")
		: 0;
}

/* One session that leaves things. What the host saw of it is kept in *ret_before. */
static int plant(struct pass *pass, struct outside *ret_before, struct err *err)
{
	struct run_options options = plant_options(pass);
	struct canary canary = {0};
	struct run run = {0};
	int r = canary_init_bare(&canary, pass->ground, pass->fresh, err);

	r = r < 0 ? r : run_client(pass->target, &canary, &options, &run, err);
	if (r == 0) {
		*ret_before = run.outside;
		run.outside = (struct outside){0};
	}
	run_fini(&run);
	canary_fini(&canary);
	return r < 0 ? r : describe_leftover(pass, err);
}

static void note_client(struct measure_client *client, const struct run *run)
{
	if (client) {
		client->hello = run->hello;
		client->ended = run->ended;
		client->lost += run->lost;
		client->damaged += run->damaged;
		(void)snprintf(client->fault, sizeof(client->fault), "%s", run->fault);
	}
}

static int look(struct pass *pass, const struct outside *before, struct peer *peer, struct err *err)
{
	struct run_options options = main_options(pass);
	const struct run_help help = {peer_help, peer};
	struct canary canary = {0};
	struct run run = {0};
	int r = canary_init(&canary, pass->ground, pass->fresh, err);

	options.help = peer ? &help : NULL;
	r = r < 0 ? r : run_client(pass->target, &canary, &options, &run, err);
	if (r == 0) {
		const struct evidence_context context = {&run, &canary, pass->ground, pass->target,
			pass->own, before, pass->limits, pass->control, peer, pass->surveys};
		evidence_collect(&context, pass->outcomes);
		note_client(pass->client, &run);
		r = pass->gaps && gaps_find(&run, pass->gaps) < 0
			? err_set(err, ENOMEM, "measuring")
			: 0;
		pass->usec = run.ended_usec - run.started_usec;
		pass->boot_usec = run.boot_usec;
	}
	uint64_t ending = io_now_usec();
	run_fini(&run);
	pass->end_usec = io_now_usec() - ending;
	canary_fini(&canary);
	return r;
}

/* Full runs have a second session at their side; it ends after the first. */
static int look_with_peer(struct pass *pass, const struct outside *before, struct err *err)
{
	bool wanted =
		pass->options->only ? has_named(pass->options, PROBE_PEER) : !pass->options->quick;
	cleanup_free struct peer *peer = calloc(1, sizeof(*peer));
	int r = peer ? 0 : err_set(err, ENOMEM, "measuring");

	if (r == 0 && wanted) {
		const struct target *other =
			pass->control || !pass->options->peer ? pass->target : pass->options->peer;
		r = peer_start(peer, other, pass->ground, patience(pass), err);
		if (r == 0 && peer_describe(peer, &pass->settings) < 0) {
			r = err_set(err, ENOMEM, "measuring");
		}
	}
	r = r < 0 ? r : look(pass, before, wanted ? peer : NULL, err);
	if (peer) {
		peer_stop(peer);
	}
	return r;
}

/* Who else starts the client sets its limit, too: a server for its logins, a launcher. */
static bool has_own_limit(const struct target *target)
{
	return target->kind == TARGET_SSH || target->kind == TARGET_EXEC;
}

/*
 * How many seconds the session with a time limit has. 0, with why as what became of it, where that
 * is somebody else's to say and is not known, or is too long to be waited for.
 */
static unsigned time_limit_of(const struct target *target, struct outcome *why)
{
	const struct plan *plan = target->plan;
	uint64_t declared = plan ? target->spec.timeout : 0;

	if (!has_own_limit(target)) {
		/* A kernel of the session's own starts within that time, too. */
		return plan && plan->kernel == PLAN_KERNEL_USER ? 4 : 1;
	}
	if (declared > 0 && declared <= TIME_WAITED) {
		return (unsigned)declared;
	}
	/* Asked for and not answered: what was never asked for is not in a report. */
	*why = (struct outcome){.claim = CLAIM_NOT_RUN, .missing = true};
	if (declared) {
		(void)snprintf(why->detail, sizeof(why->detail),
			"not tried: %llu s are declared, which cannot be shortened from here, and "
			"no more than %d s are waited for",
			(unsigned long long)declared, TIME_WAITED);
	} else {
		(void)snprintf(why->detail, sizeof(why->detail),
			"not tried: this target has a limit of its own, which is not known here");
	}
	return 0;
}

/*
 * A session with a short time limit, and the one probe that tries to outlive it. A login's time
 * begins before its client has come, which then gets its usual patience.
 */
static int outlive(struct pass *pass, struct err *err)
{
	cleanup_free struct outcome *outcomes = calloc(probe_count, sizeof(outcomes[0]));
	cleanup(strv_freep) char **settings = NULL;
	size_t index = probe_index(probe_find("R.time"));
	const unsigned seconds = time_limit_of(pass->target, &pass->outcomes[index]);
	const unsigned budget = seconds * 1000 + TIME_OVER_MS;
	struct run_options options = {
		.mask = PROBE_TIME, .match = PROBE_TIME, .timeout_ms = budget + 1000};
	struct canary canary = {0};
	struct run run = {0};
	int r = 0;

	if (seconds == 0) {
		return 0;
	}
	options.timeout_ms += has_own_limit(pass->target) ? patience(pass) : 0;
	if (!outcomes ||
		strv_appendf(&settings, "set budget.time %u", pass->control ? 20 : budget) < 0 ||
		strv_appendf(&settings, "set timeout %u", budget + 500) < 0) {
		return err_set(err, ENOMEM, "trying to outlive the time limit");
	}
	options.settings = settings;
	options.seconds = pass->control ? 0 : seconds;
	options.hurried = true;
	r = canary_init_bare(&canary, pass->ground, pass->fresh, err);
	r = r < 0 ? r : run_client(pass->target, &canary, &options, &run, err);
	if (r == 0) {
		const struct evidence_context context = {&run, &canary, pass->ground, pass->target,
			pass->own, NULL, pass->limits, pass->control, NULL, pass->surveys};
		evidence_collect(&context, outcomes);
		pass->outcomes[index] = outcomes[index];
	}
	run_fini(&run);
	canary_fini(&canary);
	return r;
}

static int choose_names(struct pass *pass, struct err *err)
{
	uint8_t random[8];
	char hex[17];

	io_random(random, sizeof(random));
	(void)snprintf(pass->fresh, sizeof(pass->fresh), "cf%s", io_hex(random, 8, hex));
	pass->fresh_shm = canary_fresh_key(pass->fresh);
	return strv_appendf(&pass->settings, "set fresh.shm %d", pass->fresh_shm) < 0 ||
			strv_appendf(&pass->settings, "set fresh.shared %s/read/%s",
				pass->ground->root, pass->fresh) < 0
		? err_set(err, ENOMEM, "choosing names")
		: 0;
}

static uint64_t available_memory(void)
{
	return (uint64_t)sysconf(_SC_AVPHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}

/*
 * A login has its profile's places and none of ours: what would be granted or denied there cannot be
 * tried.
 */
static int withdraw_places(struct pass *pass)
{
	static const char *const names[] = {"scope", "scope.read", "deny"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strv_appendf(&pass->settings, "set %s ", names[i]) < 0) {
			return -ENOMEM;
		}
	}
	return 0;
}

/* A little over the declared limit; nothing that could hurt the machine, nothing without limit. */
static int set_budgets(struct pass *pass, struct err *err)
{
	const struct limits *limits = pass->limits;
	const uint64_t memory = limits->memory ? limits->memory + limits->memory / 10 : 256 * MIB;
	const uint64_t disk = limits->disk ? limits->disk + MIB : 16 * MIB;
	const uint64_t room = available_memory() / 4;
	const struct {
		const char *name;
		uint64_t value;
	} budgets[] = {
		{"budget.memory", memory},
		{"budget.disk", disk},
		{"budget.tasks", limits->tasks ? limits->tasks + 8 : 64},
		{"budget.spinners", (uint64_t)sysconf(_SC_NPROCESSORS_ONLN) + 1},
		{"timeout", 4000},
	};

	for (size_t i = 0; i < ARRAY_SIZE(budgets); i++) {
		uint64_t value = i < 2 && budgets[i].value > room ? room : budgets[i].value;
		if (strv_appendf(&pass->settings, "set %s %llu", budgets[i].name,
			    (unsigned long long)value) < 0) {
			return err_set(err, ENOMEM, "setting budgets");
		}
	}
	if (!pass->control && pass->target->kind == TARGET_SSH && pass->target->plan &&
		withdraw_places(pass) < 0) {
		return err_set(err, ENOMEM, "setting budgets");
	}
	if (pass->target->env_listed[0] &&
		strv_appendf(&pass->settings, "set env.listed %s", pass->target->env_listed) < 0) {
		return err_set(err, ENOMEM, "setting budgets");
	}
	return 0;
}

static int run_pass(struct pass *pass, struct err *err)
{
	cleanup(outside_finip) struct outside *before = calloc(1, sizeof(*before));
	bool fresh = !pass->options->only || has_named(pass->options, PROBE_FRESH) ||
		strcmp(pass->options->only, "S.namespaces") == 0;
	int r = before ? choose_names(pass, err) : err_set(err, ENOMEM, "measuring");

	r = r < 0 ? r : set_budgets(pass, err);
	r = r < 0 || !fresh ? r : canary_make_fresh(pass->ground, pass->fresh, err);
	if (r == 0 && fresh) {
		r = plant(pass, before, err);
	}
	if (r == 0 && !is_only(pass->options, PROBE_TIME)) {
		r = look_with_peer(pass, fresh ? before : NULL, err);
	}
	if (r == 0 && pass->with_time) {
		r = outlive(pass, err);
	}
	canary_remove_fresh(pass->fresh);
	pass->settings = strv_free(pass->settings);
	outside_fini(before);
	free(take_ptr(&before));
	return run_interrupted() ? err_refuse(err, EINTR, "interrupted") : r;
}

static struct limits limits_of(const struct target *target)
{
	const struct plan *plan = target->plan;

	if (!plan) {
		return (struct limits){0};
	}
	return (struct limits){
		.memory = target->spec.memory,
		.tasks = target->spec.pids,
		.cpu_milli = target->spec.cpu_milli,
		.disk = target->disk,
	};
}

static int allocate(struct measurement *ret)
{
	ret->control = calloc(probe_count, sizeof(ret->control[0]));
	ret->inside = calloc(probe_count, sizeof(ret->inside[0]));
	ret->verdicts = calloc(probe_count, sizeof(ret->verdicts[0]));
	return ret->control && ret->inside && ret->verdicts ? 0 : -ENOMEM;
}

void measurement_fini(struct measurement *measurement)
{
	free(measurement->control);
	free(measurement->inside);
	free(measurement->verdicts);
	known_fini(&measurement->known);
	strv_free(measurement->gaps);
	strv_free(measurement->changes.left);
	strv_free(measurement->changes.meanwhile);
	*measurement = (struct measurement){0};
}

/* The control is the same client with the same canaries and no sandbox. */
static void init_control(const struct target *target, struct target *control)
{
	memset(control, 0, sizeof(*control));
	control->kind = TARGET_NONE;
	control->spec.read_deny = target->spec.read_deny; /* borrowed, to compare the same paths */
	(void)snprintf(control->env_listed, sizeof(control->env_listed), "%s", target->env_listed);
}

static int measure_both(const struct target *target, struct ground *ground,
	struct capability_set declared, const struct measure_options *options,
	struct measurement *ret, struct err *err)
{
	uint64_t began = io_now_usec();
	cleanup_free struct outside *own = calloc(1, sizeof(*own));
	uint8_t surveys[ABI_COUNT][SURVEY_BYTES] = {0};
	struct target control;
	struct pass pass = {
		.target = &control,
		.options = options,
		.ground = ground,
		.own = own,
		.limits = &ret->limits,
		.control = true,
		.surveys = surveys,
		.with_time = capability_set_has(declared, CAPABILITY_RES_TIME) &&
			(!options->only || has_named(options, PROBE_TIME)),
	};
	int r = 0;

	memset(ret, 0, sizeof(*ret));
	if (!own || allocate(ret) < 0) {
		return err_set(err, ENOMEM, "measuring");
	}
	ret->limits = limits_of(target);
	init_control(target, &control);
	outside_read(getpid(), own);
	pass.outcomes = ret->control;
	if (options->control) {
		memcpy(ret->control, options->control, probe_count * sizeof(ret->control[0]));
	} else {
		r = run_pass(&pass, err);
	}
	if (r < 0) {
		(void)err_wrap(err, "the control outside");
	} else {
		pass.target = target;
		pass.control = false;
		pass.outcomes = ret->inside;
		pass.client = &ret->client;
		pass.gaps = &ret->gaps;
		r = run_pass(&pass, err);
	}
	outside_fini(own);
	if (r == 0 && target->kind == TARGET_SSH &&
		(options->only ? has_named(options, PROBE_SSH) : !options->quick)) {
		r = ssh_measure(
			target, ground, options->only, ret->control, ret->inside, &ret->gaps, err);
	}
	if (r < 0) {
		return r;
	}
	ret->inside_usec = pass.usec;
	ret->boot_usec = pass.boot_usec;
	ret->end_usec = pass.end_usec;
	ret->total_usec = io_now_usec() - began;
	judge_all(declared, ret->control, ret->inside, ret->verdicts, &ret->judgement);
	ret->code = judge_exit_code(&ret->judgement);
	if (!ret->client.hello && !is_only(options, PROBE_TIME)) {
		ret->code = 2;
	}
	return 0;
}

int measure(const struct target *target, struct ground *ground, struct capability_set declared,
	const struct measure_options *options, struct measurement *ret, struct err *err)
{
	cleanup(snapshot_fini) struct snapshot before = {0};
	int r = options->police ? snapshot_take(&before, options->quick) : 0;

	if (r < 0) {
		memset(ret, 0, sizeof(*ret));
		return err_set(err, -r, "reading what the host is like");
	}
	r = measure_both(target, ground, declared, options, ret, err);
	if (r == 0 && options->police) {
		r = snapshot_compare(&before, ground, options->quick, &ret->changes);
		if (r < 0) {
			return err_set(err, -r, "comparing the host with what it was like");
		}
		ret->code = ret->changes.left ? 2 : ret->code;
	}
	return r;
}
