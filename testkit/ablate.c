#include "testkit/ablate.h"

#include <assert.h>
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "cloche-config.h"

#define ALL_LAYERS ((PLAN_LAYER_NET_RULES << 1) - 1)

/* How layers hang together, and what is to be said where one of them stands alone. */
static const struct layer {
	uint32_t bit;
	uint32_t rests_on; /* without it this one does not exist */
	bool takes_along; /* what rests on it has to be left out by name */
	const char *alone; /* why it may stand alone, and what was done */
} layers[] = {
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
};
static_assert(PLAN_LAYER_NET_RULES == 1 << (ARRAY_SIZE(layers) - 1), "one row a layer, in order");

static const char *const class_names[] = {
	[ABLATION_OPEN] = "none",
	[ABLATION_ONE] = "one",
	[ABLATION_SEVERAL] = "several",
	[ABLATION_ALWAYS] = "always",
	[ABLATION_NOTHING] = "untried",
};
static_assert(ARRAY_SIZE(class_names) == ABLATION_CLASSES, "one name each");

/* ---- which plans ---- */

static uint32_t resting_on(uint32_t bit)
{
	uint32_t found = 0;

	for (size_t i = 0; i < ARRAY_SIZE(layers); i++) {
		found |= layers[i].rests_on & bit ? layers[i].bit : 0;
	}
	return found;
}

static uint32_t taken_along(const struct layer *layer)
{
	return layer->takes_along ? resting_on(layer->bit) : 0;
}

static uint32_t only(uint32_t kept)
{
	return ALL_LAYERS & ~kept;
}

static const struct ablation_trial *find_trial(const struct ablation *ablation, uint32_t without)
{
	for (size_t i = 0; i < ablation->trial_count; i++) {
		if (ablation->trials[i].without == without) {
			return &ablation->trials[i];
		}
	}
	return NULL;
}

static void add_trial(struct ablation *ablation, uint32_t without)
{
	if (!find_trial(ablation, without)) {
		assert(ablation->trial_count < ABLATION_MAX_TRIALS);
		ablation->trials[ablation->trial_count++].without = without;
	}
}

static void choose_trials(struct ablation *ablation)
{
	add_trial(ablation, 0);
	add_trial(ablation, ALL_LAYERS);
	for (size_t i = 0; i < ARRAY_SIZE(layers); i++) {
		const struct layer *layer = &layers[i];
		add_trial(ablation, taken_along(layer));
		add_trial(ablation, taken_along(layer) | layer->bit);
		add_trial(ablation, only(layer->rests_on));
		add_trial(ablation, only(layer->rests_on | layer->bit));
	}
}

/* ---- what it means ---- */

static enum ablation_seen seen(const struct ablation *ablation, uint32_t without, size_t probe)
{
	const struct ablation_trial *trial = find_trial(ablation, without);

	return trial && trial->ran ? (enum ablation_seen)trial->seen[probe] : SEEN_NOTHING;
}

static void weigh(struct ablation *ablation, size_t probe)
{
	struct ablation_probe *result = &ablation->probes[probe];
	uint32_t needs = 0;

	for (size_t i = 0; i < ARRAY_SIZE(layers); i++) {
		const struct layer *layer = &layers[i];
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
	for (size_t i = 0; i < ARRAY_SIZE(layers); i++) {
		if (!(needs & resting_on(layers[i].bit))) {
			result->needs |= needs & layers[i].bit;
		}
	}
}

void ablation_conclude(struct ablation *ablation, const uint8_t *control)
{
	for (size_t i = 0; i < probe_count; i++) {
		struct ablation_probe *result = &ablation->probes[i];
		*result = (struct ablation_probe){0};
		if (seen(ablation, 0, i) == SEEN_THROUGH) {
			result->class = ABLATION_OPEN;
			continue;
		}
		weigh(ablation, i);
		result->class = result->needs                           ? ABLATION_ONE
			: seen(ablation, ALL_LAYERS, i) == SEEN_THROUGH ? ABLATION_SEVERAL
			: control[i] == SEEN_THROUGH                    ? ABLATION_ALWAYS
									: ABLATION_NOTHING;
	}
}

/* ---- the measurements ---- */

static enum ablation_seen see(enum observation observed)
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
		trial->seen[i] =
			(uint8_t)see(judge_observe(&probe_table[i], &measurement.inside[i]));
	}
	measurement_fini(&measurement);
}

/* Controls once, in the same place: they are the same for every plan. */
static int take_controls(struct target *target, struct ground *ground,
	const struct measure_options *how, struct measurement *ret, struct err *err)
{
	struct capability_set declared = {0};

	capability_set_add(&declared, CAPABILITY_RES_TIME);
	return measure(target, ground, declared, how, ret, err);
}

int ablate(struct target *target, struct ground *ground, const struct ablation_options *options,
	struct ablation *ret, struct err *err)
{
	struct measure_options how = {
		.quick = options->quick, .skip = PROBE_LIMIT, .timeout_ms = options->timeout_ms};
	const uint64_t began = io_now_usec();
	struct measurement first = {0};
	uint8_t control[CANARY_MAX_PROBES] = {0};
	int r = 0;

	assert(probe_count <= CANARY_MAX_PROBES);
	memset(ret, 0, sizeof(*ret));
	ret->layers = ALL_LAYERS;
	choose_trials(ret);
	r = take_controls(target, ground, &how, &first, err);
	how.control = first.control;
	for (size_t i = 0; r == 0 && i < probe_count; i++) {
		control[i] = (uint8_t)see(judge_observe(&probe_table[i], &first.control[i]));
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
		ablation_conclude(ret, control);
		ret->usec = io_now_usec() - began;
	}
	return r;
}

/* ---- reports ---- */

/* "dev mount", or what stands for none. */
static const char *layer_list(uint32_t bits, const char *none, char *out, size_t size)
{
	size_t used = 0;

	out[0] = '\0';
	for (size_t i = 0; plan_layer_names[i]; i++) {
		if (bits & (UINT32_C(1) << i) && used < size) {
			used += (size_t)snprintf(out + used, size - used, "%s%s", used ? " " : "",
				plan_layer_names[i]);
		}
	}
	return used ? out : none;
}

static bool was_tried(const struct ablation *ablation, size_t probe)
{
	return seen(ablation, 0, probe) != SEEN_NOTHING ||
		ablation->probes[probe].class != ABLATION_NOTHING;
}

static size_t count_needing(const struct ablation *ablation, uint32_t bit)
{
	size_t count = 0;

	for (size_t i = 0; i < probe_count; i++) {
		count += (ablation->probes[i].needs & bit) != 0;
	}
	return count;
}

static size_t count_class(const struct ablation *ablation, enum ablation_class class)
{
	size_t count = 0;

	for (size_t i = 0; i < probe_count; i++) {
		count += was_tried(ablation, i) && ablation->probes[i].class == class;
	}
	return count;
}

static void print_faults(const struct ablation *ablation, const char *before, FILE *out)
{
	char text[300];

	for (size_t i = 0; i < ablation->trial_count; i++) {
		const struct ablation_trial *trial = &ablation->trials[i];
		if (!trial->ran) {
			(void)fprintf(out, "%swithout %s: no measurement: %s\n", before,
				layer_list(trial->without, "nothing", text, sizeof(text)),
				trial->fault);
		}
	}
}

void ablation_text(const struct ablation *ablation, FILE *out)
{
	char needs[300];
	char enough[300];

	(void)fprintf(out, "%-25s %-8s %-20s %s\n", "probe", "stopped", "needs", "enough alone");
	for (size_t i = 0; i < probe_count; i++) {
		const struct ablation_probe *probe = &ablation->probes[i];
		if (was_tried(ablation, i)) {
			(void)fprintf(out, "%-25s %-8s %-20s %s\n", probe_table[i].id,
				class_names[probe->class],
				layer_list(probe->needs, "-", needs, sizeof(needs)),
				layer_list(probe->enough, "-", enough, sizeof(enough)));
		}
	}
	(void)fprintf(out, "\nsingle points of failure:\n");
	for (size_t i = 0; i < ARRAY_SIZE(layers); i++) {
		size_t count = count_needing(ablation, layers[i].bit);
		if (count) {
			(void)fprintf(out, "  %-14s %zu probes\n", plan_layer_names[i], count);
		}
	}
	print_faults(ablation, "", out);
	(void)fprintf(
		out, "%zu plans in %.1f s\n", ablation->trial_count, (double)ablation->usec / 1e6);
}

static json_t *list_json(uint32_t bits)
{
	json_t *list = json_array();

	for (size_t i = 0; plan_layer_names[i]; i++) {
		if (bits & (UINT32_C(1) << i)) {
			(void)json_array_append_new(list, json_string(plan_layer_names[i]));
		}
	}
	return list;
}

static json_t *ablated_json(const struct ablation *ablation)
{
	json_t *list = json_array();

	for (size_t i = 0; i < probe_count; i++) {
		const struct ablation_probe *probe = &ablation->probes[i];
		if (was_tried(ablation, i)) {
			(void)json_array_append_new(list,
				json_pack("{s:s, s:s, s:s, s:o, s:o}", "id", probe_table[i].id,
					"what", probe_table[i].what, "stopped",
					class_names[probe->class], "needs", list_json(probe->needs),
					"enough", list_json(probe->enough)));
		}
	}
	return list;
}

static json_t *trials_json(const struct ablation *ablation)
{
	json_t *list = json_array();

	for (size_t i = 0; i < ablation->trial_count; i++) {
		const struct ablation_trial *trial = &ablation->trials[i];
		(void)json_array_append_new(list,
			json_pack("{s:o, s:b, s:s}", "without", list_json(trial->without), "ran",
				trial->ran, "fault", trial->fault));
	}
	return list;
}

int ablation_json(const struct ablation *ablation, const char *profile, FILE *out)
{
	uint32_t alone = 0;
	json_t *root = NULL;
	int r = 0;

	for (size_t i = 0; i < probe_count; i++) {
		alone |= ablation->probes[i].needs;
	}
	root = json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:I}", "schema", "cloche.ablation/1",
		"version", CLOCHE_VERSION, "profile", profile, "single_points", list_json(alone),
		"probes", ablated_json(ablation), "plans", trials_json(ablation), "usec",
		(json_int_t)ablation->usec);
	r = root ? json_dumpf(root, out, JSON_INDENT(2)) : -1;
	json_decref(root);
	(void)fputc('\n', out);
	return r < 0 ? -ENOMEM : 0;
}

static void markdown_probes(const struct ablation *ablation, uint32_t bit, FILE *out)
{
	const char *gap = "";

	for (size_t i = 0; i < probe_count; i++) {
		if (ablation->probes[i].needs & bit) {
			(void)fprintf(out, "%s%s", gap, probe_table[i].id);
			gap = ", ";
		}
	}
}

static void markdown_class(const struct ablation *ablation, enum ablation_class class, FILE *out)
{
	char text[300];

	for (size_t i = 0; i < probe_count; i++) {
		const struct ablation_probe *probe = &ablation->probes[i];
		if (was_tried(ablation, i) && probe->class == class) {
			(void)fprintf(out, "| %s | %s | %s | ", probe_table[i].id,
				probe_table[i].what, class_names[class]);
			(void)fprintf(
				out, "%s | ", layer_list(probe->needs, "", text, sizeof(text)));
			(void)fprintf(
				out, "%s |\n", layer_list(probe->enough, "", text, sizeof(text)));
		}
	}
}

void ablation_markdown(const struct ablation *ablation, const char *profile, FILE *out)
{
	(void)fprintf(out, "## Profile `%s`\n\n", profile);
	for (size_t i = 0; i < ABLATION_CLASSES; i++) {
		(void)fprintf(out, "%s%s: %zu", i ? ", " : "Probes stopped by ", class_names[i],
			count_class(ablation, (enum ablation_class)i));
	}
	(void)fprintf(out,
		".\n\n### Single points of failure\n\n| layer | probes | why it is alone, "
		"and what was done |\n|---|---|---|\n");
	for (size_t i = 0; i < ARRAY_SIZE(layers); i++) {
		if (count_needing(ablation, layers[i].bit)) {
			(void)fprintf(out, "| %s | ", plan_layer_names[i]);
			markdown_probes(ablation, layers[i].bit, out);
			(void)fprintf(out, " | %s |\n", layers[i].alone);
		}
	}
	(void)fprintf(out,
		"\n### All probes\n\n| probe | tries to | stopped by | needs | each "
		"enough alone |\n|---|---|---|---|---|\n");
	for (size_t i = 0; i < ABLATION_CLASSES; i++) {
		markdown_class(ablation, (enum ablation_class)i, out);
	}
	(void)fputc('\n', out);
	print_faults(ablation, "- ", out);
}
