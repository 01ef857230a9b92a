#include <assert.h>
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "base/cleanup.h"
#include "cloche-config.h"
#include "testkit/ablate.h"

static const char *const class_names[] = {
	[ABLATION_OPEN] = "none",
	[ABLATION_ONE] = "one",
	[ABLATION_SEVERAL] = "several",
	[ABLATION_ALWAYS] = "always",
	[ABLATION_NOTHING] = "untried",
};
static_assert(ARRAY_SIZE(class_names) == ABLATION_CLASSES, "one name each");

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
		count += ablation->probes[i].tried && ablation->probes[i].class == class;
	}
	return count;
}

/* Where the user namespace was not asked about, and why. */
static void print_unasked(const struct ablation *ablation, FILE *out)
{
	const char *gap = "";

	for (size_t i = 0; !ablation->apart_fault[0] && i < probe_count; i++) {
		if (ablation->probes[i].unasked) {
			(void)fprintf(out, "%s%s",
				*gap ? gap
				     : "not asked of the layer user, where the host's evidence "
				       "would take "
				       "rights over the first user namespace, control groups or a "
				       "time limit: ",
				probe_table[i].id);
			gap = ", ";
		}
	}
	(void)fputs(*gap ? ".\n" : "", out);
}

static void print_faults(const struct ablation *ablation, const char *before, FILE *out)
{
	char text[300];

	if (ablation->apart_fault[0]) {
		(void)fprintf(
			out, "%swithout user: no measurement: %s\n", before, ablation->apart_fault);
	}
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
		if (ablation->probes[i].tried) {
			(void)fprintf(out, "%-25s %-8s %-20s %s\n", probe_table[i].id,
				class_names[probe->class],
				layer_list(probe->needs, "-", needs, sizeof(needs)),
				layer_list(probe->enough, "-", enough, sizeof(enough)));
		}
	}
	(void)fprintf(out, "\nsingle points of failure:\n");
	for (size_t i = 0; i < ablation_layer_count; i++) {
		size_t count = count_needing(ablation, ablation_layers[i].bit);
		if (count) {
			(void)fprintf(out, "  %-14s %zu probes\n", plan_layer_names[i], count);
		}
	}
	print_unasked(ablation, out);
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
		if (ablation->probes[i].tried) {
			(void)json_array_append_new(list,
				json_pack("{s:s, s:s, s:s, s:o, s:o, s:b}", "id", probe_table[i].id,
					"what", probe_table[i].what, "stopped",
					class_names[probe->class], "needs", list_json(probe->needs),
					"enough", list_json(probe->enough), "user_unasked",
					(int)probe->unasked));
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
			json_pack("{s:o, s:b, s:b, s:s}", "without", list_json(trial->without),
				"apart", trial->apart, "ran", trial->ran, "fault", trial->fault));
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
	root = json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:I}", "schema", "cloche.ablation/1",
		"version", CLOCHE_VERSION, "profile", profile, "apart_fault", ablation->apart_fault,
		"single_points", list_json(alone), "probes", ablated_json(ablation), "plans",
		trials_json(ablation), "usec", (json_int_t)ablation->usec);
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
		if (ablation->probes[i].tried && probe->class == class) {
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
	for (size_t i = 0; i < ablation_layer_count; i++) {
		if (count_needing(ablation, ablation_layers[i].bit)) {
			(void)fprintf(out, "| %s | ", plan_layer_names[i]);
			markdown_probes(ablation, ablation_layers[i].bit, out);
			(void)fprintf(out, " | %s |\n", ablation_layers[i].alone);
		}
	}
	(void)fprintf(out,
		"\n### All probes\n\n| probe | tries to | stopped by | needs | each "
		"enough alone |\n|---|---|---|---|---|\n");
	for (size_t i = 0; i < ABLATION_CLASSES; i++) {
		markdown_class(ablation, (enum ablation_class)i, out);
	}
	(void)fputc('\n', out);
	print_unasked(ablation, out);
	print_faults(ablation, "- ", out);
}
