/*
 * What net asks about who it is, until somebody has logged in. sshd/auth.h decides; here the answers are
 * worded, and what follows from them is done.
 */
#include "sshd/monitor-state.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <libssh/libssh.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/strv.h"

/* Methods as libssh counts them. */
static unsigned methods_for_net(unsigned methods)
{
	static const unsigned bits[] = {
		[METHOD_PUBLICKEY] = SSH_AUTH_METHOD_PUBLICKEY,
		[METHOD_PASSWORD] = SSH_AUTH_METHOD_PASSWORD,
		[METHOD_INTERACTIVE] = SSH_AUTH_METHOD_INTERACTIVE,
	};
	unsigned result = 0;

	for (size_t i = 0; i < ARRAY_SIZE(bits); i++) {
		result |= methods & (1u << i) ? bits[i] : 0;
	}
	return result;
}

void monitor_on_hello(struct monitor *monitor, const struct wire *wire)
{
	const struct config *config = monitor->config;
	struct wire_welcome welcome = {
		.max_auth_tries = (uint32_t)config->max_auth_tries,
		.max_sessions = (uint32_t)config->max_sessions,
		.keepalive_interval = (uint32_t)config->keepalive_interval,
		.keepalive_count = (uint32_t)config->keepalive_count,
		.methods = methods_for_net(auth_offered(config)),
	};
	struct wire reply;

	(void)snprintf(monitor->version, sizeof(monitor->version), "%s", wire->text);
	(void)snprintf(
		welcome.banner, sizeof(welcome.banner), "%s", config->banner ? config->banner : "");
	if (wire_welcome_pack(&welcome, &reply) < 0) {
		monitor_drop(monitor, "out_of_memory");
		return;
	}
	monitor->state = WIRE_STATE_AUTH;
	monitor_send(monitor, &reply);
	wire_fini(&reply);
}

static const struct session_gate *find_gate(
	const struct monitor *monitor, const struct config_profile *profile)
{
	return &monitor->options->gates[profile - monitor->config->profiles];
}

json_t *monitor_describe_certificate(const struct auth *auth)
{
	const struct certificate *certificate = &auth->certificate;
	char print[FINGERPRINT_SIZE];

	if (!auth->by_key || !certificate->id) {
		return json_null();
	}
	(void)fingerprint_format(certificate->ca, certificate->ca_size, print, sizeof(print));
	return json_pack("{s:o, s:o, s:o, s:s}", "id", audit_text(certificate->id), "serial",
		json_sprintf("%llu", (unsigned long long)certificate->serial), "principal",
		audit_text(auth->principal), "ca", print);
}

json_t *monitor_list_rules(const struct auth *auth)
{
	json_t *array = json_array();

	STRV_FOREACH (name, auth->result.applied) {
		(void)json_array_append_new(array, audit_text(*name));
	}
	return array;
}

static void log_in(struct monitor *monitor)
{
	struct auth *auth = &monitor->auth;
	char print[64] = "";
	bool vouched = auth->by_key && auth->certificate.id;

	monitor->context = (struct session_context){
		.login =
			{
				.config = monitor->config,
				.user = auth->user,
				.profile = auth->profile,
				.key = auth->by_key ? &auth->key.options : NULL,
				.max_sessions = auth->result.max_sessions,
				.name = auth->name,
				.identity = monitor->identity,
				.address = monitor->address,
			},
		.host = monitor->options->host,
		.backends = monitor->options->backends,
		.gate = find_gate(monitor, auth->result.base),
		.audit = monitor->options->audit,
		.limits = monitor->options->limits,
		.slot = monitor->options->slot,
		.penalties = monitor->options->penalties,
		.roster = monitor->options->roster,
		.refusals = &monitor->why,
		.shared = &monitor->shared,
		.home = &monitor->home,
	};
	if (auth->by_key) {
		(void)fingerprint_format(auth->key.blob, auth->key.blob_size, print, sizeof(print));
	}
	monitor_audit(monitor, "auth_ok",
		json_pack("{s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:o}", "user",
			audit_text(auth->name), "identity", audit_text(monitor->identity), "method",
			auth->method, "key", audit_text(print[0] ? print : NULL), "certificate",
			monitor_describe_certificate(auth), "profile",
			audit_text(auth->profile->name), "rules", monitor_list_rules(auth),
			"client", audit_text(monitor->version)));
	log_info("%s logged in from %s port %u by %s%s%s%s%s, profile %s", auth->name,
		monitor->address, monitor->port, auth->method, print[0] ? " " : "", print,
		vouched ? " with certificate " : "", vouched ? auth->certificate.id : "",
		auth->profile->name);
	limits_set_user(monitor->options->limits, monitor->options->slot, auth->name);
	monitor->state = WIRE_STATE_OPEN;
	monitor->deadline = UINT64_MAX;
	monitor->logged_in = true;
}

static void send_auth(struct monitor *monitor, enum wire_auth result, uint32_t flags)
{
	struct wire wire;

	wire_init(&wire, WIRE_AUTH_RESULT, WIRE_NO_CHANNEL);
	wire.number = result;
	wire.flags = flags;
	monitor_send(monitor, &wire);
}

static void answer_auth(struct monitor *monitor, enum auth_answer answer, bool query)
{
	struct auth *auth = &monitor->auth;

	if (answer == AUTH_YES && query) {
		monitor_say(monitor, WIRE_AUTH_RESULT, WIRE_NO_CHANNEL, WIRE_AUTH_KEY_WOULD_DO, "");
		return;
	}
	if (answer == AUTH_YES) {
		(void)auth_format_identity(auth, monitor->identity, sizeof(monitor->identity));
		if (!monitor_authorize(monitor)) {
			return;
		}
		log_in(monitor);
		monitor_say(monitor, WIRE_AUTH_RESULT, WIRE_NO_CHANNEL, WIRE_AUTH_OK, "");
		return;
	}
	if (answer == AUTH_PARTIAL) {
		monitor_audit(monitor, "auth_partial",
			json_pack("{s:o, s:s}", "user", audit_text(auth->name), "method",
				auth->method));
		send_auth(monitor, WIRE_AUTH_PARTIAL, methods_for_net(auth->next));
		return;
	}
	if (answer == AUTH_PROMPT) {
		send_auth(monitor, WIRE_AUTH_PROMPT, auth->prompts);
		return;
	}
	if (answer == AUTH_NAME_CHANGED) {
		monitor_break_rule(monitor, "change of user name");
		return;
	}
	if (auth->tries > 0) {
		bool ruled = auth->refused_by && strcmp(auth->reason, "rule") == 0;
		monitor_audit(monitor, "auth_refused",
			json_pack("{s:o, s:s, s:s, s:o, s:I}", "user", audit_text(auth->name),
				"method", auth->method ? auth->method : "none", "reason",
				auth->reason, "rule",
				audit_text(ruled ? auth->refused_by->name : NULL), "tries",
				(json_int_t)auth->tries));
		log_info("refused %s from %s port %u: %s (%llu of %llu tries)",
			auth->name[0] ? auth->name : "a name that cannot be one", monitor->address,
			monitor->port, auth->reason, (unsigned long long)auth->tries,
			(unsigned long long)monitor->config->max_auth_tries);
	}
	if (answer == AUTH_TOO_MANY) {
		monitor_say(monitor, WIRE_AUTH_RESULT, WIRE_NO_CHANNEL, WIRE_AUTH_TOO_MANY, "");
		monitor_begin_ending(monitor);
		return;
	}
	monitor_say(monitor, WIRE_AUTH_RESULT, WIRE_NO_CHANNEL, WIRE_AUTH_DENIED, "");
}

void monitor_on_auth_none(struct monitor *monitor, const struct wire *wire)
{
	answer_auth(monitor, auth_check_none(&monitor->auth, wire->user), false);
}

void monitor_on_auth_query(struct monitor *monitor, const struct wire *wire)
{
	answer_auth(monitor,
		auth_check_key(&monitor->auth, wire->user, wire->data, wire->data_size, false),
		true);
}

void monitor_on_auth_key(struct monitor *monitor, const struct wire *wire)
{
	answer_auth(monitor,
		auth_check_key(&monitor->auth, wire->user, wire->data, wire->data_size, true),
		false);
}

void monitor_on_auth_password(struct monitor *monitor, const struct wire *wire)
{
	answer_auth(monitor,
		auth_check_password(
			&monitor->auth, wire->user, (const char *)wire->data, wire->data_size),
		false);
}

void monitor_on_auth_ask(struct monitor *monitor, const struct wire *wire)
{
	static_assert((int)AUTH_PROMPT_PASSWORD == WIRE_PROMPT_PASSWORD &&
			(int)AUTH_PROMPT_CODE == WIRE_PROMPT_CODE,
		"prompts are sent as they are");
	answer_auth(monitor, auth_ask(&monitor->auth, wire->user), false);
}

void monitor_on_auth_answer(struct monitor *monitor, const struct wire *wire)
{
	answer_auth(monitor,
		auth_check_answer(&monitor->auth, wire->user, (const char *)wire->data,
			wire->data_size, wire->text),
		false);
}
