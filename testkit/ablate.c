#include "testkit/ablate.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"

#define ALL_LAYERS ((PLAN_LAYER_NET_RULES << 1) - 1)

/* What is left out wherever the question is the user namespace: what rests on it, and what is not there. */
#define APART (PLAN_LAYER_USER_LIMITS | PLAN_LAYER_CGROUP)

enum seen { SEEN_NOTHING, SEEN_STOPPED, SEEN_THROUGH };

const struct ablation_layer ablation_layers[] = {
	{PLAN_LAYER_LANDLOCK, PLAN_LAYER_NO_NEW_PRIVS, false,
		"A second wall by design; the mounts stand before it."},
	{PLAN_LAYER_FILTER, PLAN_LAYER_NO_NEW_PRIVS, false,
		"Calls into parts of the kernel that no namespace covers can be refused nowhere "
		"else, "
		"and K.* asks for the call, not for harm: most need a capability as well, which "
		"the "
		"session lacks. A filter that does not load is a refused session; the proof before "
		"a "
		"profile opens reads it back from the running process and evaluates it."},
	{PLAN_LAYER_CGROUP, 0, false,
		"The kernel bounds a group's memory and processor time nowhere else, and its own "
		"control group namespace goes with it. Limits are read back after they were "
		"written; "
		"a host without the controller loses the promise, not only the limit."},
	{PLAN_LAYER_RLIMITS, 0, false,
		"Behind the control group for tasks. Core files it forbids alone: they would "
		"lie in the session's own scratch space, or go where the host's core_pattern "
		"says."},
	{PLAN_LAYER_NO_NEW_PRIVS, 0, true,
		"The bit itself is looked at; what it prevents has more walls (every mount is "
		"nosuid, ids outside the session's range do not exist inside). Landlock and filter "
		"cannot be had without it, so that forgetting it refuses the session."},
	{PLAN_LAYER_CAPS, 0, false,
		"The sets themselves are looked at; they count in the session's own user "
		"namespace only, whose ids lead to nobody, and the filter refuses most calls "
		"that use them."},
	{PLAN_LAYER_KEYRING, 0, false, "Behind the filter, which has no call for keys."},
	{PLAN_LAYER_SESSION, 0, false,
		"Leaving the launcher's session is what takes its terminal away; pushing input "
		"into "
		"it is refused by the filter as well (D.push: several). The server has no "
		"terminal, "
		"so this matters to `cloche run` alone."},
	{PLAN_LAYER_MASKS, PLAN_LAYER_MOUNT, false,
		"Files of /proc that all may read. Landlock cannot take a file out of an allowed "
		"tree. A mask that cannot be mounted refuses the session."},
	{PLAN_LAYER_CLOSE_FDS, 0, false,
		"An open descriptor is a permission, and nothing behind it looks again at most "
		"kinds "
		"(Landlock does at reopening and at directories: F.rofd, F.dirfd). The server "
		"opens "
		"all of its own close-on-exec besides, which this layer does not count."},
	{PLAN_LAYER_NET, 0, false,
		"Programs need sockets inside, so the filter lets stream and datagram sockets be, "
		"and "
		"Landlock's port rules know TCP only. The namespace must exist before the command "
		"is "
		"run; the proof before a profile opens compares it with the host's."},
	{PLAN_LAYER_PID, 0, false,
		"Signals stop at Landlock too, tracing and memory at the filter. The sight of a "
		"process, its limits and its priority are left alone; the victim has the "
		"client's own user id on purpose, and a real one has another."},
	{PLAN_LAYER_IPC, 0, false,
		"The canaries are open to all on purpose; real objects have an owner and a mode, "
		"which another user id meets. POSIX queues and abstract sockets have a second "
		"wall."},
	{PLAN_LAYER_MOUNT, 0, false,
		"What all may read on the host, only the tree hides. Landlock's rules are made "
		"with "
		"the tree and widen with it when it is left out, so this line is stricter than a "
		"mistake in one mount would be; the rest are modes of files and another user id. "
		"The "
		"old root is unmounted before the command runs, or the session is refused."},
	{PLAN_LAYER_USER_LIMITS, 0, false,
		"The number itself is looked at; making a namespace stops at the filter too "
		"(K.userns: "
		"several)."},
	{PLAN_LAYER_DEV, PLAN_LAYER_MOUNT, false,
		"A shared /dev brings shared memory and nodes with it, and Landlock's rules follow "
		"the tree. Ours is built from six nodes by name; the device canary is in another "
		"tree and has nodev before it."},
	{PLAN_LAYER_ENV, 0, false,
		"What stands in the environment has been handed over. It is made from a list, "
		"never "
		"copied and cleaned."},
	{PLAN_LAYER_UTS, 0, false, "A name that the kernel gives to whoever asks. Little is lost."},
	{PLAN_LAYER_READ_ONLY, PLAN_LAYER_MOUNT, false,
		"The flag of the mount itself is looked at. Writing stops at Landlock as well, "
		"which knows neither chmod nor utimes: those take the owner, whom the canary "
		"has the client be on purpose."},
	{PLAN_LAYER_READ_DENY, PLAN_LAYER_MOUNT, false,
		"Landlock cannot take a path out of an allowed tree. A mask that cannot be mounted "
		"refuses the session, and by default none of these paths is readable at all."},
	{PLAN_LAYER_DISK, PLAN_LAYER_MOUNT, false,
		"The size itself is looked at; the same pages count against the memory limit."},
	{PLAN_LAYER_TIME, 0, false,
		"The launcher's clock, outside. A session that it does not end still ends with its "
		"connection."},
	{PLAN_LAYER_NET_RULES, PLAN_LAYER_NET, false,
		"Whether the rules hold is tried with a packet before the command starts. The "
		"host's own table refuses its addresses again, but by the name of the link, "
		"which a plan without rules does not give: this line has both walls away."},
	{PLAN_LAYER_USER, 0, true,
		"The namespace, its map and its ids are looked at: without it two sessions are one "
		"user, with one quota (C.*). What a mapped root could do stops at the other "
		"layers. "
		"No plan goes without: the launcher refuses to start one whose root would be "
		"anybody outside, and the proof before a profile opens asks for both."},
};
const size_t ablation_layer_count = ARRAY_SIZE(ablation_layers);
static_assert(
	PLAN_LAYER_USER == 1 << (ARRAY_SIZE(ablation_layers) - 1), "one row a layer, in order");

/* ---- which plans ---- */

static uint32_t resting_on(uint32_t bit)
{
	uint32_t found = 0;

	for (size_t i = 0; i < ablation_layer_count; i++) {
		found |= ablation_layers[i].rests_on & bit ? ablation_layers[i].bit : 0;
	}
	return found;
}

static uint32_t taken_along(const struct ablation_layer *layer)
{
	return layer->takes_along ? resting_on(layer->bit) : 0;
}

static uint32_t only(uint32_t kept)
{
	return ALL_LAYERS & ~kept;
}

static const struct ablation_trial *find_trial(
	const struct ablation *ablation, uint32_t without, bool apart)
{
	for (size_t i = 0; i < ablation->trial_count; i++) {
		if (ablation->trials[i].without == without && ablation->trials[i].apart == apart) {
			return &ablation->trials[i];
		}
	}
	return NULL;
}

static void add_trial(struct ablation *ablation, uint32_t without)
{
	if (!find_trial(ablation, without, false)) {
		assert(ablation->trial_count < ABLATION_MAX_TRIALS);
		ablation->trials[ablation->trial_count++].without = without;
	}
}

static void choose_trials(struct ablation *ablation)
{
	add_trial(ablation, 0);
	add_trial(ablation, ALL_LAYERS);
	for (size_t i = 0; i < ablation_layer_count; i++) {
		const struct ablation_layer *layer = &ablation_layers[i];
		if (layer->bit == PLAN_LAYER_USER) {
			continue; /* ablate_apart() */
		}
		add_trial(ablation, taken_along(layer));
		add_trial(ablation, taken_along(layer) | layer->bit);
		add_trial(ablation, only(layer->rests_on));
		add_trial(ablation, only(layer->rests_on | layer->bit));
	}
}

/* ---- what it means ---- */

static enum seen see(enum observation observed)
{
	switch (observed) {
	case OBSERVED_OPEN:
	case OBSERVED_CLAIM_OPEN:
	case OBSERVED_LEAK:
		return SEEN_THROUGH;
	case OBSERVED_SHUT:
	case OBSERVED_KILLED:
	case OBSERVED_VIRTUAL:
	case OBSERVED_CLAIM_ONLY:
		return SEEN_STOPPED;
	default:
		return SEEN_NOTHING;
	}
}

static enum observation observed(
	const struct ablation *ablation, uint32_t without, bool apart, size_t probe)
{
	const struct ablation_trial *trial = find_trial(ablation, without, apart);

	return trial && trial->ran ? (enum observation)trial->observed[probe] : OBSERVED_NOT_RUN;
}

static enum seen seen(const struct ablation *ablation, uint32_t without, size_t probe)
{
	return see(observed(ablation, without, false, probe));
}

static bool is_claim(enum observation observation)
{
	return observation == OBSERVED_CLAIM_ONLY || observation == OBSERVED_CLAIM_OPEN;
}

/* A client's word does not stand for what the host sees elsewhere. */
static enum seen seen_apart(const struct ablation *ablation, uint32_t without, size_t probe)
{
	enum observation found = observed(ablation, without, true, probe);

	return is_claim(found) && !is_claim(observed(ablation, 0, false, probe)) ? SEEN_NOTHING
										 : see(found);
}

static void weigh(const struct ablation *ablation, size_t probe, struct ablation_probe *result)
{
	uint32_t needs = 0;

	for (size_t i = 0; i < ablation_layer_count; i++) {
		const struct ablation_layer *layer = &ablation_layers[i];
		uint32_t along = taken_along(layer);
		if (seen(ablation, along | layer->bit, probe) == SEEN_THROUGH &&
			seen(ablation, along, probe) == SEEN_STOPPED) {
			needs |= layer->bit;
		}
		if (seen(ablation, only(layer->rests_on | layer->bit), probe) == SEEN_STOPPED &&
			seen(ablation, only(layer->rests_on), probe) == SEEN_THROUGH) {
			result->enough |= layer->bit;
		}
	}
	/* Where a part is needed its foundation is too, which is no news. */
	for (size_t i = 0; i < ablation_layer_count; i++) {
		if (!(needs & resting_on(ablation_layers[i].bit))) {
			result->needs |= needs & ablation_layers[i].bit;
		}
	}
}

static void weigh_user(const struct ablation *ablation, size_t probe, struct ablation_probe *result)
{
	enum seen with = seen_apart(ablation, APART, probe);
	enum seen without = seen_apart(ablation, APART | PLAN_LAYER_USER, probe);

	result->unasked = result->tried && (with == SEEN_NOTHING || without == SEEN_NOTHING);
	if (with == SEEN_STOPPED && without == SEEN_THROUGH) {
		result->needs |= PLAN_LAYER_USER;
	}
	if (seen_apart(ablation, ALL_LAYERS, probe) == SEEN_STOPPED &&
		seen_apart(ablation, ALL_LAYERS | PLAN_LAYER_USER, probe) == SEEN_THROUGH) {
		result->enough |= PLAN_LAYER_USER;
	}
}

static enum ablation_class classify(
	const struct ablation *ablation, size_t probe, uint32_t needs, enum seen control)
{
	if (needs) {
		return ABLATION_ONE;
	}
	if (seen(ablation, ALL_LAYERS, probe) == SEEN_THROUGH ||
		seen_apart(ablation, ALL_LAYERS | PLAN_LAYER_USER, probe) == SEEN_THROUGH) {
		return ABLATION_SEVERAL;
	}
	return control == SEEN_THROUGH ? ABLATION_ALWAYS : ABLATION_NOTHING;
}

void ablation_conclude(struct ablation *ablation, const uint8_t *control)
{
	for (size_t i = 0; i < probe_count; i++) {
		struct ablation_probe *result = &ablation->probes[i];
		*result = (struct ablation_probe){0};
		if (seen(ablation, 0, i) == SEEN_THROUGH) {
			result->class = ABLATION_OPEN;
			result->tried = true;
			continue;
		}
		result->tried = seen(ablation, 0, i) != SEEN_NOTHING;
		weigh(ablation, i, result);
		weigh_user(ablation, i, result);
		result->class =
			classify(ablation, i, result->needs, see((enum observation)control[i]));
		result->tried |= result->class != ABLATION_NOTHING;
	}
}

/* ---- the measurements ---- */

/* Outliving a time limit takes its time, and only one layer ends anything: ask where that differs. */
static bool wants_time(uint32_t without)
{
	return without == 0 || without == ALL_LAYERS || without == PLAN_LAYER_TIME ||
		without == only(PLAN_LAYER_TIME);
}

static void run_trial(struct target *target, struct ground *ground,
	const struct measure_options *options, struct ablation_trial *trial)
{
	struct capability_set declared = {0};
	struct measurement measurement = {0};
	struct err err = {0};
	int r = 0;

	if (wants_time(trial->without)) {
		capability_set_add(&declared, CAPABILITY_RES_TIME);
	}
	target->without = trial->without;
	target->plan = plan_free(target->plan);
	r = target->backend->compile(
		&target->spec, &target->host, trial->without, &target->plan, &err);
	r = r < 0 ? r : measure(target, ground, declared, options, &measurement, &err);
	if (r < 0 || measurement.code == 2) {
		(void)snprintf(trial->fault, sizeof(trial->fault), "%.150s",
			r < 0 ? err.msg : measurement.client.fault);
		measurement_fini(&measurement);
		return;
	}
	trial->ran = true;
	for (size_t i = 0; i < probe_count; i++) {
		/* Not held against the control: that one has no user namespace to be root in. */
		trial->observed[i] =
			(uint8_t)judge_observe(&probe_table[i], &measurement.inside[i]);
	}
	measurement_fini(&measurement);
}

static struct measure_options measuring(const struct ablation_options *options)
{
	return (struct measure_options){
		.quick = options->quick, .skip = PROBE_LIMIT, .timeout_ms = options->timeout_ms};
}

/* Controls once, in the same place: they are the same for every plan. */
static int take_controls(struct target *target, struct ground *ground,
	const struct measure_options *how, struct measurement *ret, struct err *err)
{
	struct capability_set declared = {0};

	capability_set_add(&declared, CAPABILITY_RES_TIME);
	return measure(target, ground, declared, how, ret, err);
}

int ablate_apart(struct target *target, struct ground *ground,
	const struct ablation_options *options, struct ablation_apart *ret, struct err *err)
{
	/* The last one is the barest, so that whatever it may leave behind nobody meets. */
	static const uint32_t plans[ABLATION_APART_TRIALS] = {
		APART, ALL_LAYERS, APART | PLAN_LAYER_USER, ALL_LAYERS | PLAN_LAYER_USER};
	struct measure_options how = measuring(options);
	struct measurement first = {0};
	int r = take_controls(target, ground, &how, &first, err);

	how.control = first.control;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(plans); i++) {
		ret->trials[i] = (struct ablation_trial){.without = plans[i], .apart = true};
		run_trial(target, ground, &how, &ret->trials[i]);
		r = run_interrupted() ? err_refuse(err, EINTR, "interrupted") : 0;
	}
	measurement_fini(&first);
	return r;
}

/* What comes from another process is taken as far as it can be meant. */
static void add_apart(struct ablation *ablation, const struct ablation_apart *apart)
{
	(void)snprintf(
		ablation->apart_fault, sizeof(ablation->apart_fault), "%.159s", apart->fault);
	for (size_t i = 0; !apart->fault[0] && i < ABLATION_APART_TRIALS; i++) {
		assert(ablation->trial_count < ABLATION_MAX_TRIALS);
		ablation->trials[ablation->trial_count] = apart->trials[i];
		ablation->trials[ablation->trial_count++].apart = true;
	}
}

int ablate(struct target *target, struct ground *ground, const struct ablation_options *options,
	const struct ablation_apart *apart, struct ablation *ret, struct err *err)
{
	struct measure_options how = measuring(options);
	const uint64_t began = io_now_usec();
	struct measurement first = {0};
	uint8_t control[CANARY_MAX_PROBES] = {0};
	int r = 0;

	assert(probe_count <= CANARY_MAX_PROBES);
	memset(ret, 0, sizeof(*ret));
	ret->layers = ALL_LAYERS | PLAN_LAYER_USER;
	choose_trials(ret);
	r = take_controls(target, ground, &how, &first, err);
	how.control = first.control;
	for (size_t i = 0; r == 0 && i < probe_count; i++) {
		control[i] = (uint8_t)judge_observe(&probe_table[i], &first.control[i]);
	}
	for (size_t i = 0; r == 0 && i < ret->trial_count; i++) {
		if (io_now_usec() - began > UINT64_C(1000000) * options->seconds) {
			r = err_refuse(err, ETIMEDOUT,
				"after %zu of %zu plans the time was up (%u s); --quick asks less",
				i, ret->trial_count, options->seconds);
			break;
		}
		run_trial(target, ground, &how, &ret->trials[i]);
		if (options->progress) {
			(void)fputc(ret->trials[i].ran ? '.' : '!', options->progress);
			(void)fflush(options->progress);
		}
		r = run_interrupted() ? err_refuse(err, EINTR, "interrupted") : 0;
	}
	if (options->progress) {
		(void)fputc('\n', options->progress);
	}
	measurement_fini(&first);
	if (r == 0) {
		add_apart(ret, apart);
		ablation_conclude(ret, control);
		ret->usec = io_now_usec() - began;
	}
	return r;
}
