#include "sshd/monitor-state.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/proc.h"
#include "session/homes.h"
#include "session/record.h"
#include "sshd/testkit.h"

#define MAX_REPORT (48 * 1024) /* some tenfold of what it is, and a pipe has room for it */
#define STOP_USEC (3 * USEC) /* what the testkit has to take its things away */
#define FAILED 2

static const struct {
	const char *subsystem, *format;
} formats[] = {
	{"cloche-probe", "caller"},
	{"cloche-probe json", "caller-json"},
};

/* Exit codes of the testkit, which are the user's too. */
static const struct {
	int code;
	const char *outcome;
} outcomes[] = {
	{0, "as_declared"},
	{1, "violated"},
	{3, "inconclusive"},
};

void monitor_probe_init(struct monitor_probe *probe)
{
	*probe = (struct monitor_probe){
		.pidfd = -1, .report = -1, .out = -1, .err = -1, .place = -1};
}

static const char *format_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		if (strcmp(formats[i].subsystem, name) == 0) {
			return formats[i].format;
		}
	}
	return NULL;
}

bool monitor_probe_is_name(const char *name)
{
	return format_of(name);
}

static const char *outcome_of(int code)
{
	for (size_t i = 0; i < ARRAY_SIZE(outcomes); i++) {
		if (outcomes[i].code == code) {
			return outcomes[i].outcome;
		}
	}
	return "failed";
}

/* ---- the beginning ---- */

/* The profile as this login has it, rules and all, and nothing else of the configuration. */
static int write_profile(const struct policy_login *login)
{
	cleanup_free char *text = NULL;
	cleanup_close int fd = -1;
	size_t size = 0;
	FILE *memory = open_memstream(&text, &size);

	if (!memory) {
		return -ENOMEM;
	}
	config_print_one(login->config, login->profile, memory);
	if (fclose(memory) != 0) {
		return -ENOMEM;
	}
	fd = io_sealed_memfd("profile", text, size);
	explicit_bzero(text, size);
	if (fd >= 0 && lseek(fd, 0, SEEK_SET) < 0) {
		return -errno;
	}
	return take_fd(&fd);
}

static int launch(const struct monitor *monitor, const struct backend *backend, const char *format,
	struct monitor_probe *ret, struct err *err)
{
	const struct policy_login *login = &monitor->context.login;
	char program[TESTKIT_PATH];
	cleanup_close int input = write_profile(login);
	const struct testkit_job job = {
		.program = program,
		.backend = backend->name,
		.profile = login->profile->name,
		.config = "-",
		.format = format,
		.input = input,
	};

	if (testkit_find(program, sizeof(program)) < 0) {
		return err_refuse(err, ENOENT, "the server has no testkit, so nothing is measured");
	}
	int r = input < 0 ? input : testkit_start(&job, &ret->report);
	if (r < 0) {
		return err_set(err, -r, "starting the testkit");
	}
	ret->pidfd = r;
	(void)io_set_nonblocking(ret->report, true);
	return 0;
}

/* The channel's streams. Its input goes nowhere: our end of it is closed before net has the other. */
static int make_streams(struct monitor_probe *probe, struct wire *started, struct err *err)
{
	int pairs[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}};

	for (size_t i = 0; i < 3 && pipe2(pairs[i], O_CLOEXEC | O_NONBLOCK) == 0; i++) {
		started->fds[started->fd_count++] = pairs[i][i == 0 ? 1 : 0];
	}
	close_fdp(&pairs[0][0]);
	probe->out = pairs[1][1];
	probe->err = pairs[2][1];
	return started->fd_count == 3 ? 0 : err_set(err, ENOMEM, "making pipes");
}

/* As with a session, the audit log has it before it is started. */
static int record(const struct monitor *monitor, const struct session *session,
	const struct plan *plan, const char *format, struct err *err)
{
	const struct session_context *context = &monitor->context;
	const struct policy_login *login = &context->login;
	json_t *fields = json_pack("{s:i, s:o, s:o, s:o, s:s, s:s, s:s, s:o}", "channel",
		(int)session->channel, "user", audit_text(login->name), "identity",
		audit_text(login->identity), "profile", audit_text(login->profile->name), "backend",
		plan->backend, "plan", plan->digest, "format", format, "proof",
		context->gate->measured ? audit_text(context->gate->proof) : json_null());

	return fields ? audit_event(context->audit, "probe_start", fields, err)
		      : err_set(err, ENOMEM, "making a line of the audit log");
}

static int start_counted(struct monitor *monitor, const struct session *session, const char *format,
	struct monitor_probe *probe, struct wire *started, struct err *err)
{
	const struct session_context *context = &monitor->context;
	/* Nobody's home stands for the user's, which is not the testkit's to write to. */
	const char *home = context->login.profile->spec.home_source;
	cleanup(plan_freep) struct plan *plan = NULL;
	const struct backend *backend = NULL;
	int r = session_compile(context, &backend, &plan, err);

	r = r == 0 && home ? homes_prepare(home, err) : r;
	r = r < 0 ? r : make_streams(probe, started, err);
	r = r < 0 ? r : record(monitor, session, plan, format, err);
	r = r < 0 ? r : launch(monitor, backend, format, probe, err);
	if (r == 0) {
		probe->place =
			session_enter_roster(context, session->channel, "probe", false, plan);
	}
	return r;
}

/* Counted twice: as a session, and as what there are few of. */
static int start_limited(struct monitor *monitor, const struct session *session, const char *format,
	struct monitor_probe *probe, struct wire *started, struct err *err)
{
	const struct session_context *context = &monitor->context;
	const char *reason = NULL;
	int r = limits_add_probe(
		context->limits, context->slot, monitor->config->max_probes, &reason);

	if (r < 0) {
		record_limit(context, session, "probes");
		if (r == -EUSERS) {
			limits_note(context->limits, context->slot, PENALTY_SESSION_FLOOD);
		}
		return err_refuse(err, EUSERS, "%s", reason);
	}
	r = start_counted(monitor, session, format, probe, started, err);
	if (r < 0) {
		limits_remove_probe(context->limits, context->slot);
	}
	return r;
}

static int start(struct monitor *monitor, const struct session *session, const char *format,
	struct monitor_probe *probe, struct wire *started, struct err *err)
{
	const struct session_context *context = &monitor->context;
	int r = monitor->draining ? err_refuse(err, EAGAIN, "the server is stopping")
				  : policy_check_probe(&context->login, err);

	r = r < 0 ? r : session_admit(context, err);
	if (r < 0) {
		return r;
	}
	r = start_limited(monitor, session, format, probe, started, err);
	if (r < 0) {
		limits_remove_session(context->limits, context->slot);
	}
	return r;
}

static void close_streams(struct monitor_probe *probe)
{
	close_fdp(&probe->out);
	close_fdp(&probe->err);
	close_fdp(&probe->report);
}

void monitor_probe_start(struct monitor *monitor, struct session *session, const char *name)
{
	struct monitor_probe probe;
	struct err err = {0};
	struct wire reply;
	char text[sizeof(err.msg) + 16];

	monitor_probe_init(&probe);
	wire_init(&reply, WIRE_STARTED, session->channel);
	if (start(monitor, session, format_of(name), &probe, &reply, &err) < 0) {
		close_streams(&probe);
		wire_fini(&reply);
		log_warning("measurement for %s refused: %s", monitor->auth.name, err.msg);
		record_refused(&monitor->context, session, &err);
		(void)snprintf(text, sizeof(text), "cloche: %s", err.msg);
		monitor_answer(monitor, session->channel, false, text);
		monitor_note_refusal(monitor);
		return;
	}
	log_info("measurement %u for %s started", session->channel, monitor->auth.name);
	probe.channel = session->channel;
	probe.began = io_now_usec();
	probe.end_at = probe.began + monitor->config->probe_timeout * USEC;
	monitor->probe = probe;
	session->state = SESSION_OVER; /* it has no command, and gets none */
	monitor_send(monitor, &reply);
	wire_fini(&reply);
}

/* ---- the end ---- */

void monitor_probe_end(struct monitor *monitor, const char *cause, const char *notice)
{
	struct monitor_probe *probe = &monitor->probe;

	if (probe->pidfd < 0 || probe->cause) {
		return;
	}
	probe->cause = cause;
	(void)snprintf(probe->notice, sizeof(probe->notice), "%s", notice);
	probe->end_at = io_now_usec() + STOP_USEC;
	close_fdp(&probe->report);
	(void)proc_signal(probe->pidfd, SIGTERM);
}

void monitor_probe_close(struct monitor *monitor, uint32_t channel)
{
	if (monitor->probe.pidfd >= 0 && monitor->probe.channel == channel) {
		monitor->probe.closed = true;
		monitor_probe_end(monitor, "client_closed", "");
	}
}

void monitor_probe_look_at_roster(struct monitor *monitor)
{
	const struct monitor_probe *probe = &monitor->probe;
	char reason[ROSTER_REASON];
	char text[sizeof(probe->notice)];

	if (probe->pidfd >= 0 && probe->place >= 0 &&
		roster_must_end(monitor->context.roster, (size_t)probe->place, reason)) {
		(void)snprintf(text, sizeof(text), "this measurement was ended by the operator%s%s",
			reason[0] ? ": " : "", reason);
		monitor_probe_end(monitor, "killed", text);
	}
}

/* What there is of the report, and no more than that: nobody waits for it. */
static void take_report(struct monitor *monitor)
{
	struct monitor_probe *probe = &monitor->probe;
	char chunk[16384];

	while (probe->report >= 0) {
		ssize_t n = read(probe->report, chunk, sizeof(chunk));
		if (n < 0) {
			return;
		}
		if (n == 0) {
			close_fdp(&probe->report);
			return;
		}
		buf_put(&probe->text, chunk, (size_t)n);
		if (probe->text.failed || probe->text.size > MAX_REPORT) {
			monitor_probe_end(monitor, "too_long", "the report was too long");
		}
	}
}

/* The report goes into the pipe as a whole, or the user is told why there is none. The status. */
static int tell_user(struct monitor_probe *probe, int code)
{
	char text[sizeof(probe->notice) + 16];
	const char *why = probe->cause
		? probe->notice
		: "the measurement came to nothing; the server's log says why";

	if (strcmp(outcome_of(code), "failed") != 0 &&
		write(probe->out, probe->text.data, probe->text.size) ==
			(ssize_t)probe->text.size) {
		return code;
	}
	int length = snprintf(text, sizeof(text), "cloche: %s\n", why);
	(void)!write(probe->err, text, (size_t)length);
	return FAILED;
}

static void finish(struct monitor *monitor, int status, uint64_t now)
{
	const struct session_context *context = &monitor->context;
	struct monitor_probe *probe = &monitor->probe;
	int code = tell_user(probe, probe->cause ? FAILED : proc_exit_code(status));

	/* Before anybody hears of the end: who asks anew at once is not refused for this one. */
	limits_remove_probe(context->limits, context->slot);
	limits_remove_session(context->limits, context->slot);
	if (probe->place >= 0) {
		roster_remove(context->roster, (size_t)probe->place);
	}
	monitor_audit(monitor, "probe_end",
		json_pack("{s:i, s:s, s:i, s:s, s:I}", "channel", (int)probe->channel, "verdict",
			outcome_of(code), "status", code, "cause",
			probe->cause ? probe->cause : "exited", "duration_usec",
			(json_int_t)(now - probe->began)));
	log_info("measurement %u for %s ended: %s%s%s", probe->channel, monitor->auth.name,
		outcome_of(code), probe->cause ? ", " : "", probe->cause ? probe->cause : "");
	if (!probe->closed) {
		monitor_say(monitor, WIRE_EXIT, probe->channel, (uint32_t)code, "");
	}
	close_streams(probe);
	close_fdp(&probe->pidfd);
	buf_fini(&probe->text);
	monitor_probe_init(probe);
}

void monitor_probe_step(struct monitor *monitor, uint64_t now)
{
	struct monitor_probe *probe = &monitor->probe;
	char text[sizeof(probe->notice)];
	int status = 0;

	if (probe->pidfd < 0) {
		return;
	}
	bool ended = proc_wait(probe->pidfd, 0, &status) == 0;
	/* Asked first: what it wrote before it ended is in the pipe. */
	take_report(monitor);
	if (ended) {
		finish(monitor, status, now);
	} else if (now >= probe->end_at && probe->cause) {
		(void)proc_signal(probe->pidfd, SIGKILL);
		probe->end_at = UINT64_MAX;
	} else if (now >= probe->end_at) {
		(void)snprintf(text, sizeof(text), "the measurement was not done within %llu s",
			(unsigned long long)monitor->config->probe_timeout);
		monitor_probe_end(monitor, "timeout", text);
	}
}
