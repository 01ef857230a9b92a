#include "session/record.h"

#include <errno.h>

static json_t *list_capabilities(struct capability_set set)
{
	enum capability list[CAPABILITY_COUNT];
	size_t count = capability_set_list(set, list);
	json_t *array = json_array();

	for (size_t i = 0; array && i < count; i++) {
		(void)json_array_append_new(array, json_string(capability_name(list[i])));
	}
	return array;
}

static json_t *list_caveats(const struct plan *plan)
{
	json_t *array = json_array();

	for (size_t i = 0; array && i < plan->caveat_count; i++) {
		(void)json_array_append_new(array, audit_text(plan->caveats[i].code));
	}
	return array;
}

int record_start(const struct session_context *context, const struct session *session,
	enum policy_kind kind, const char *command, const struct plan *plan, struct err *err)
{
	const struct policy_login *login = &context->login;
	bool forced = login->key && login->key->command;
	json_t *fields = json_pack(
		"{s:i, s:o, s:o, s:o, s:s, s:o, s:b, s:b, s:s, s:s, s:o, s:o, s:o}", "channel",
		(int)session->channel, "user", audit_text(login->name), "identity",
		audit_text(login->identity), "profile", audit_text(login->profile->name), "kind",
		policy_kind_name(kind), "command", audit_text(command), "forced", (int)forced,
		"pty", (int)session->pty, "backend", plan->backend, "plan", plan->digest, "uses",
		list_capabilities(plan->uses), "caveats", list_caveats(plan), "proof",
		context->gate->measured ? audit_text(context->gate->proof) : json_null());

	if (!fields) {
		return err_set(err, ENOMEM, "making a line of the audit log");
	}
	return audit_event(context->audit, "session_start", fields, err);
}

void record_refused(
	const struct session_context *context, const struct session *session, const struct err *err)
{
	json_t *fields = json_pack("{s:i, s:o, s:o, s:o}", "channel", (int)session->channel, "user",
		audit_text(context->login.name), "profile",
		audit_text(context->login.profile->name), "reason", audit_text(err->msg));

	refusals_add(context->refusals, session->channel, "session", 1, err->msg);
	/* What is refused needs no line on the disk before it; a failing log is said elsewhere. */
	(void)audit_event(context->audit, "session_refused", fields, NULL);
}

void record_limit(
	const struct session_context *context, const struct session *session, const char *limit)
{
	json_t *fields = json_pack("{s:i, s:s}", "channel", (int)session->channel, "limit", limit);

	(void)audit_event(context->audit, "limit_hit", fields, NULL);
}

void record_end(const struct session_context *context, const struct session *session,
	const struct session_news *news, const char *cause, const struct sandbox_usage *usage,
	uint64_t now)
{
	json_t *fields = json_pack(
		"{s:i, s:s, s:s, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "channel",
		(int)session->channel, "sandbox", session->sandbox->id, "cause", cause, "status",
		news->signal[0] ? json_null() : json_integer(news->status), "signal",
		news->signal[0] ? json_string(news->signal) : json_null(), "duration_usec",
		(json_int_t)(now - session->started), "cpu_usec", (json_int_t)usage->cpu_usec,
		"memory_peak", (json_int_t)usage->memory_peak, "pids_peak",
		(json_int_t)usage->pids_peak, "disk_used", (json_int_t)usage->disk_used,
		"oom_kills", (json_int_t)usage->oom_kills, "pids_refused",
		(json_int_t)usage->pids_refused, "boot_usec", (json_int_t)usage->boot_usec);

	(void)audit_event(context->audit, "session_end", fields, NULL);
}
