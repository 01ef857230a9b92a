/*
 * The operator's command, asked by the monitor. This waits for it, as checking a password waits for Argon2: the
 * connection has nothing else to do, and its processes are its own. When the client goes meanwhile, so does the
 * command.
 */
#include "sshd/monitor-state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/strv.h"
#include "sshd/authorize.h"

static json_t *make_question(const struct monitor *monitor)
{
	const struct auth *auth = &monitor->auth;
	char print[FINGERPRINT_SIZE];
	json_t *principals = json_array();
	json_t *certificate = monitor_describe_certificate(auth);

	if (auth->by_key && auth->certificate.id) {
		STRV_FOREACH (name, auth->certificate.principals) {
			(void)json_array_append_new(principals, audit_text(*name));
		}
		(void)json_object_set(certificate, "principals", principals);
	}
	json_decref(principals);
	if (auth->by_key) {
		(void)fingerprint_format(auth->key.blob, auth->key.blob_size, print, sizeof(print));
	}
	return json_pack("{s:i, s:o, s:o, s:s, s:s, s:i, s:o, s:o, s:s, s:o, s:o, s:s}", "v", 1,
		"user", audit_text(auth->name), "identity", audit_text(monitor->identity), "method",
		auth->method, "address", monitor->address, "port", (int)monitor->port, "key",
		auth->by_key ? json_string(print) : json_null(), "certificate", certificate,
		"profile", auth->profile->name, "rules", monitor_list_rules(auth), "client",
		audit_text(monitor->version), "conn", monitor->options->audit->conn);
}

/* Makes the login what the answer says. 0, or negative errno with err when it says what cannot be. */
static int apply(struct monitor *monitor, const struct authorize_answer *answer, struct err *err)
{
	struct auth *auth = &monitor->auth;

	if (answer->profile[0]) {
		int r = auth_choose_profile(auth, answer->profile, err);
		if (r < 0) {
			return err_wrap(err, "the answer of %s", monitor->config->authorize[0]);
		}
	}
	if (!auth->passed.count && !auth->profile->guest) {
		return err_refuse(err, EPERM, "profile %s takes no guests", auth->profile->name);
	}
	authorize_narrow(answer, monitor->config->max_user_sessions, &auth->result);
	return 0;
}

static void refuse(struct monitor *monitor, const char *event, const char *reason,
	const char *words, uint64_t usec)
{
	const struct auth *auth = &monitor->auth;

	monitor_audit(monitor, event,
		json_pack("{s:o, s:o, s:s, s:o, s:I}", "user", audit_text(auth->name), "identity",
			audit_text(monitor->identity), "method", auth->method, "reason",
			audit_text(reason), "usec", (json_int_t)usec));
	log_info("%s from %s port %u is not let in: %s", auth->name, monitor->address,
		monitor->port, reason);
	monitor_say(monitor, WIRE_AUTH_RESULT, WIRE_NO_CHANNEL, WIRE_AUTH_REFUSED, words);
	monitor_begin_ending(monitor);
}

bool monitor_authorize(struct monitor *monitor)
{
	struct authorize_answer answer = {0};
	char words[sizeof(answer.reason) + 32];
	struct err err = {0};
	uint64_t usec = 0;

	/* The client's socket is not read, only asked whether there is somebody; any signal means stop. */
	const int gone[2] = {monitor->options->client, monitor->signals};

	if (!monitor->config->authorize) {
		return true;
	}
	int r = authorize_ask(monitor->config, make_question(monitor), gone, &answer, &usec, &err);
	if (r == 0 && !answer.allow) {
		monitor->refused = true;
		(void)snprintf(words, sizeof(words), "access denied%s%s",
			answer.reason[0] ? ": " : "", answer.reason);
		refuse(monitor, "authorize_denied",
			answer.reason[0] ? answer.reason : "no reason given", words, usec);
		return false;
	}
	r = r ? r : apply(monitor, &answer, &err);
	if (r < 0) {
		monitor->trouble = true;
		log_error("authorize: %s", err.msg);
		refuse(monitor, "authorize_failed", err.msg,
			"access denied: nobody could say whether you may come in", usec);
		return false;
	}
	monitor_audit(monitor, "authorize_ok",
		json_pack("{s:o, s:o, s:o, s:o, s:I}", "user", audit_text(monitor->auth.name),
			"identity", audit_text(monitor->identity), "external",
			audit_text(answer.identity[0] ? answer.identity : NULL), "profile",
			audit_text(monitor->auth.profile->name), "usec", (json_int_t)usec));
	return true;
}
