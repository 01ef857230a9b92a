#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/log.h"
#include "cloche-config.h"
#include "testkit/report.h"

static json_t *level_json(enum evidence_level level)
{
	return json_sprintf("E%d", (int)level);
}

/* What was run and has a say about the capability. */
static json_t *deciding_json(const struct measurement *measurement, enum capability capability)
{
	json_t *list = json_array();

	for (size_t i = 0; i < judge_rule_count; i++) {
		const struct probe *probe = probe_find(judge_rules[i].probe);
		if (judge_rules[i].capability == capability &&
			measurement->verdicts[probe_index(probe)].observed != OBSERVED_NOT_RUN) {
			(void)json_array_append_new(list, json_string(probe->id));
		}
	}
	return list;
}

static json_t *capabilities_json(
	const struct report_header *header, const struct measurement *measurement)
{
	json_t *list = json_array();

	for (size_t i = 0; i < CAPABILITY_COUNT; i++) {
		const struct capability_verdict *result = &measurement->judgement.capabilities[i];
		if (header->brief && !result->declared) {
			continue;
		}
		(void)json_array_append_new(list,
			json_pack("{s:s, s:b, s:s, s:s, s:o, s:o, s:i, s:i, s:i}", "name",
				capability_name((enum capability)i), "declared", result->declared,
				"observed", capability_state_name(result->observed), "verdict",
				verdict_name(result->verdict), "level", level_json(result->level),
				"probes", deciding_json(measurement, (enum capability)i), "kept",
				(int)result->passed, "broken", (int)result->failed, "unclear",
				(int)result->unclear));
	}
	return list;
}

static json_t *probe_json(const struct measurement *measurement, size_t i)
{
	const struct outcome *inside = &measurement->inside[i];
	const struct probe_verdict *verdict = &measurement->verdicts[i];
	bool decides = verdict->capability < CAPABILITY_COUNT;
	char text[400];

	return json_pack("{s:s, s:s, s:s, s:s, s:i, s:s, s:o, s:s, s:s, s:s, s:s, s:s*, s:s}", "id",
		probe_table[i].id, "group", probe_group(&probe_table[i]), "what",
		probe_table[i].what, "claim",
		probe_table[i].flags & PROBE_STATE ? "none" : claim_name(inside->claim), "errno",
		inside->error, "evidence", evidence_name(inside->evidence), "level",
		level_json(inside->level), "control", observation_name(verdict->control),
		"observed", observation_name(verdict->observed), "expected",
		decides ? expectation_name(verdict->expectation) : "none", "verdict",
		verdict_name(verdict->verdict), "capability",
		decides ? capability_name(verdict->capability) : NULL, "detail",
		log_escape(inside->detail, text, sizeof(text)));
}

static json_t *probes_json(
	const struct report_header *header, const struct measurement *measurement)
{
	json_t *list = json_array();

	for (size_t i = 0; i < probe_count; i++) {
		const struct probe_verdict *verdict = &measurement->verdicts[i];
		if (report_was_run(verdict) &&
			(!header->brief || report_speaks_against(verdict->verdict) ||
				verdict->verdict == VERDICT_EXPECTED)) {
			(void)json_array_append_new(list, probe_json(measurement, i));
		}
	}
	return list;
}

/* What a manifest or a former report said, and what became of it. */
static json_t *known_json(const struct measurement *measurement)
{
	json_t *list = json_array();
	char reason[700];

	for (size_t i = 0; i < measurement->known.count; i++) {
		const struct known *item = &measurement->known.items[i];
		(void)json_array_append_new(list,
			json_pack("{s:s*, s:s*, s:s, s:s*, s:s}", "probe",
				item->probe ? item->probe->id : NULL, "capability",
				item->capability < CAPABILITY_COUNT
					? capability_name(item->capability)
					: NULL,
				"reason", log_escape(item->reason, reason, sizeof(reason)), "until",
				item->until[0] ? item->until : NULL, "state",
				known_state_name(item->state)));
	}
	return list;
}

static json_t *target_json(const struct report_header *header)
{
	const struct target *target = header->details;
	json_t *additions = json_array();
	struct utsname name = {0};
	char text[1024];
	char profile[128];

	(void)uname(&name);
	STRV_FOREACH (item, target->additions) {
		(void)json_array_append_new(
			additions, json_string(log_escape(*item, text, sizeof(text))));
	}
	return json_pack("{s:s, s:s*, s:s*, s:s*, s:s, s:o}", "name",
		log_escape(header->target, text, sizeof(text)), "profile",
		header->profile ? log_escape(header->profile, profile, sizeof(profile)) : NULL,
		"plan", target->plan ? target->digest : NULL, "measured_plan",
		target->plan ? target->plan->digest : NULL, "kernel", name.release, "additions",
		additions);
}

static json_t *lines_json(char **lines)
{
	json_t *list = json_array();
	char text[400];

	STRV_FOREACH (line, lines) {
		(void)json_array_append_new(
			list, json_string(log_escape(*line, text, sizeof(text))));
	}
	return list;
}

static json_t *column_json(
	const struct report_header *header, const struct measurement *measurement)
{
	char fault[400];

	json_t *root = json_pack("{s:s, s:s, s:o, s:o, s:o, s:{s:b, s:b, s:i, s:i, s:s}, s:I, s:I, "
				 "s:i, s:o, s:o, s:o}",
		"schema", "cloche.report/1", "version", CLOCHE_VERSION, "target",
		target_json(header), "capabilities", capabilities_json(header, measurement),
		"probes", probes_json(header, measurement), "client", "came",
		measurement->client.hello, "finished", measurement->client.ended, "lost",
		(int)measurement->client.lost, "damaged", (int)measurement->client.damaged, "fault",
		log_escape(measurement->client.fault, fault, sizeof(fault)), "inside_usec",
		(json_int_t)measurement->inside_usec, "total_usec",
		(json_int_t)measurement->total_usec, "exit", measurement->code, "no_evidence",
		lines_json(measurement->gaps), "left", lines_json(measurement->changes.left),
		"meanwhile", lines_json(measurement->changes.meanwhile));

	if (measurement->end_usec > 0) {
		(void)json_object_set_new(
			root, "end_usec", json_integer((json_int_t)measurement->end_usec));
	}
	if (measurement->boot_usec > 0) {
		(void)json_object_set_new(
			root, "boot_usec", json_integer((json_int_t)measurement->boot_usec));
	}
	if (measurement->known.count > 0) {
		(void)json_object_set_new(root, "known", known_json(measurement));
	}
	return root;
}

static int print_root(json_t *root, bool brief, FILE *out)
{
	int r = root ? json_dumpf(root, out, brief ? JSON_COMPACT : JSON_INDENT(2)) : -1;

	json_decref(root);
	(void)fputc('\n', out);
	return r < 0 ? -ENOMEM : 0;
}

int report_json(
	const struct report_header *header, const struct measurement *measurement, FILE *out)
{
	return print_root(column_json(header, measurement), header->brief, out);
}

json_t *report_to_json(const struct report *report)
{
	json_t *root = column_json(&report->columns[0].header, report->columns[0].measurement);
	json_t *others = json_array();

	for (size_t i = 1; i < report->count; i++) {
		if (!report->columns[i].automatic) {
			(void)json_array_append_new(others,
				column_json(&report->columns[i].header,
					report->columns[i].measurement));
		}
	}
	if (json_array_size(others) > 0) {
		(void)json_object_set(root, "others", others);
	}
	json_decref(others);
	return root;
}

int report_write_json(const struct report *report, FILE *out)
{
	return print_root(report_to_json(report), report->columns[0].header.brief, out);
}

/* ---- NDJSON: one event a line, written when it happens ---- */

static int print_event(json_t *event, FILE *out)
{
	int r = event ? json_dumpf(event, out, JSON_COMPACT) : -1;

	json_decref(event);
	(void)fputc('\n', out);
	return r < 0 || fflush(out) != 0 ? -EIO : 0;
}

void report_event(const struct run_event *event, FILE *out)
{
	const char *part = event->control ? "control" : "inside";

	(void)print_event(event->probe ? json_pack("{s:s, s:s, s:s, s:s, s:i}", "event", "answer",
						 "run", part, "probe", event->probe, "claim",
						 claim_name(event->claim), "errno", event->error)
				       : json_pack("{s:s, s:s, s:i}", "event", "run", "run", part,
						 "asked", (int)event->asked),
		out);
}

/* Named parts of a list, one a line, each with what it is. */
static int print_items(json_t *list, const char *kind, FILE *out)
{
	size_t i = 0;
	json_t *item = NULL;
	int r = list ? 0 : -ENOMEM;

	json_array_foreach(list, i, item)
	{
		(void)json_object_set_new(item, "event", json_string(kind));
		r = r < 0 ? r : print_event(json_incref(item), out);
	}
	json_decref(list);
	return r;
}

int report_write_ndjson(const struct report *report, FILE *out)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < report->count; i++) {
		const struct report_header *header = &report->columns[i].header;
		const struct measurement *measurement = report->columns[i].measurement;
		if (report->columns[i].automatic) {
			continue;
		}
		r = print_event(json_pack("{s:s, s:s, s:o}", "event", "target", "schema",
					"cloche.events/1", "target", target_json(header)),
			out);
		r = r < 0 ? r : print_items(probes_json(header, measurement), "probe", out);
		r = r < 0 ? r
			  : print_items(capabilities_json(header, measurement), "capability", out);
		r = r < 0 ? r : print_items(known_json(measurement), "known", out);
		r = r < 0 ? r
			  : print_event(json_pack("{s:s, s:i, s:I}", "event", "end", "exit",
						measurement->code, "total_usec",
						(json_int_t)measurement->total_usec),
				    out);
	}
	return r;
}
