/*
 * What the operator asks by the control socket, done by the listener. Who asks and what for has been read and checked
 * by a process of its own (control.c).
 */
#include "sshd/listener-state.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "base/log.h"

static void prepare_helper(void *data)
{
	const struct listener *listener = data;

	closelog();
	(void)close(listener->watch_monitors);
	listener_close(listener);
}

/* The clock of a drain that an operator asked for runs only after SIGTERM. */
static void drain_without_end(struct listener *listener)
{
	if (listener->step == RUNNING) {
		listener_begin_stop(listener, DRAINING, "drain");
		listener->step_ends = UINT64_MAX;
	}
}

static int kill_session(
	struct listener *listener, const struct control_request *request, struct err *err)
{
	size_t slot = 0;
	int r = roster_end(listener->roster, request->id, request->reason, &slot);

	if (r == -EALREADY) {
		return err_refuse(err, EALREADY, "it is being ended already");
	}
	if (r < 0 || slot >= listener->slots || listener->monitors[slot] <= 0) {
		return err_refuse(err, ENOENT, "there is no such session");
	}
	/* Not reaped yet, so the pid is still this child's. */
	(void)kill(listener->monitors[slot], SIGUSR2);
	return 1;
}

static int clear_penalties(
	struct listener *listener, const struct control_request *request, struct err *err)
{
	const struct penalty_rules rules = doorman_rules(&listener->service.config);
	bool all = strcmp(request->who, "all") == 0;
	struct source source;
	bool address = !all && source_parse(request->who, &source) == 0;
	size_t count = penalties_clear(listener->doorman.penalties, &rules,
		address ? &source : NULL, all || address ? NULL : request->who);

	return count || all ? (int)count : err_refuse(err, ENOENT, "nobody of that name waits");
}

/* How many it was about, or negative errno. */
static int obey(struct listener *listener, const struct control_request *request, struct err *err)
{
	switch (request->verb) {
	case CONTROL_KILL:
		return kill_session(listener, request, err);
	case CONTROL_DRAIN:
		drain_without_end(listener);
		return (int)listener_signal_monitors(listener, 0);
	case CONTROL_CLEAR:
		return clear_penalties(listener, request, err);
	default:
		return err_refuse(err, EINVAL, "this needs no listener");
	}
}

static void serve_helper(struct listener *listener, size_t i)
{
	static const char *const names[CONTROL_VERBS] = {
		[CONTROL_KILL] = "kill", [CONTROL_DRAIN] = "drain", [CONTROL_CLEAR] = "clear"};
	struct control_request request;
	struct control_answer answer = {0};
	struct err err = {0};

	if (control_receive(&listener->control, i, &request) <= 0) {
		return;
	}
	if (request.verb == CONTROL_JOIN) {
		listener_join(listener, i, &request);
		return;
	}
	uid_t uid = listener->control.helpers[i].uid;
	answer.code = obey(listener, &request, &err);
	if (answer.code >= 0) {
		answer.count = (uint32_t)answer.code;
	}
	(void)snprintf(answer.text, sizeof(answer.text), "%.*s", (int)sizeof(answer.text) - 1,
		answer.code < 0 ? err.msg : "");
	const char *target = request.id[0] ? request.id : request.who;
	const char *verb = names[request.verb] ? names[request.verb] : "unknown";
	log_info("uid %u says %s %s: %s", (unsigned)uid, verb, target,
		answer.code < 0 ? err.msg : "done");
	listener_audit(&listener->service, "control",
		json_pack("{s:s, s:o, s:o, s:I, s:b}", "do", verb, "target", audit_text(target),
			"reason", audit_text(request.reason[0] ? request.reason : NULL), "uid",
			(json_int_t)uid, "ok", answer.code >= 0));
	control_reply(&listener->control, i, &answer, -1);
}

nfds_t listener_poll_control(const struct listener *listener, struct pollfd *fds)
{
	const struct control *control = &listener->control;

	fds[0] = (struct pollfd){
		.fd = control_has_room(control) ? control->fd : -1, .events = POLLIN};
	for (size_t i = 0; i < CONTROL_HELPERS; i++) {
		fds[1 + i] = (struct pollfd){.fd = control->helpers[i].ask, .events = POLLIN};
	}
	return 1 + CONTROL_HELPERS;
}

void listener_step_control(struct listener *listener, const struct pollfd *fds)
{
	for (size_t i = 0; i < CONTROL_HELPERS; i++) {
		if (fds[1 + i].revents) {
			serve_helper(listener, i);
		}
	}
	if (fds[0].revents) {
		const struct control_helper helper = {
			.draining = listener->step != RUNNING,
			.roster = listener->roster,
			.limits = listener->limits,
			.penalties = listener->doorman.penalties,
		};
		doorman_hear(
			&listener->doorman, &listener->service.config, &listener->service.audit);
		control_accept(&listener->control, helper, prepare_helper, listener);
	}
}

/* Without one that was asked for by name we do not start; the usual one may be another server's. */
int listener_open_control(struct listener *listener, struct err *err)
{
	const struct config *config = &listener->service.config;
	int r = control_open(config, &listener->control, err);

	if (r < 0 && strcmp(config->control, "auto") == 0) {
		log_warning("%s; this server has no control socket", err->msg);
		return 0;
	}
	return r;
}
