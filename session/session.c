#include "session/session.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/strv.h"
#include "session/home-watch.h"
#include "session/record.h"
#include "session/signals.h"
#include "session/use.h"

#define USEC UINT64_C(1000000)
#define LIMIT_GRACE_MS 2000
#define HOME_GRACE_MS 500 /* shorter: whoever is over writes on meanwhile */
/* Room for a burst, so that a fast command and net need fewer turns; only used pages count. */
#define PIPE_SIZE (256 * 1024)

int session_new(uint32_t channel, struct session **ret)
{
	struct session *session = calloc(1, sizeof(*session));

	if (!session) {
		return -ENOMEM;
	}
	session->channel = channel;
	session->agent = -1;
	session->place = -1;
	session->size = (struct winsize){.ws_row = 24, .ws_col = 80};
	*ret = session;
	return 0;
}

int session_set_env(const struct session_context *context, struct session *session,
	const char *name, const char *value)
{
	if (!policy_accepts_env(context->login.profile, name, value)) {
		char text[128];
		(void)snprintf(text, sizeof(text), "the variable %s is not taken", name);
		refusals_add(context->refusals, session->channel, "accept_env", 1, text);
		return -EPERM;
	}
	if (!strv_getenv(session->env, name) && strv_length(session->env) >= POLICY_MAX_ENV) {
		return -E2BIG;
	}
	return strv_setenv(&session->env, name, value);
}

int session_set_pty(const struct session_context *context, struct session *session,
	const char *term, const struct winsize *size)
{
	if (!policy_allows_pty(&context->login)) {
		refusals_add(context->refusals, session->channel, "pty", 1,
			"profile or key give no terminal");
		return -EPERM;
	}
	session->pty = true;
	session->size = *size;
	(void)snprintf(session->term, sizeof(session->term), "%s",
		policy_accepts_term(term) ? term : "dumb");
	return 0;
}

int session_set_agent(const struct session_context *context, struct session *session)
{
	unsigned char name[8];
	char hex[2 * sizeof(name) + 1];
	struct err err = {0};

	if (policy_check_forward(&context->login, POLICY_FORWARD_AGENT, "", 0, &err) < 0) {
		refusals_add(context->refusals, session->channel, "forward", 1, err.msg);
		return -EPERM;
	}
	io_random(name, sizeof(name));
	(void)snprintf(session->agent_path, sizeof(session->agent_path), "/tmp/ssh-%s/agent",
		io_hex(name, sizeof(name), hex));
	return 0;
}

/* Three pipes; theirs are the sandbox's ends. */
static int make_pipes(int theirs[3], int ours[3], struct err *err)
{
	for (int i = 0; i < 3; i++) {
		int pair[2];
		if (pipe2(pair, O_CLOEXEC) < 0) {
			return err_set(err, errno, "making pipes");
		}
		theirs[i] = pair[i == 0 ? 0 : 1];
		ours[i] = pair[i == 0 ? 1 : 0];
		if (i < 2) {
			(void)fcntl(pair[0], F_SETPIPE_SZ, PIPE_SIZE);
		}
	}
	return 0;
}

static void close_three(int fds[3])
{
	for (int i = 0; i < 3; i++) {
		close_fdp(&fds[i]);
	}
}

/* A user whose sessions went over their limits again and again waits, wherever they come from. */
static int check_penalty(const struct session_context *context, struct err *err)
{
	enum penalty reason = PENALTY_COUNT;
	uint64_t seconds = 0;

	if (context->login.config->penalties) {
		seconds = penalties_check_user(
			context->penalties, context->login.name, io_now_usec(), &reason);
	}
	return seconds
		? err_refuse(err, EUSERS,
			  "your sessions went over their limits too often (%s); try again in %llu "
			  "seconds",
			  penalty_name(reason), (unsigned long long)seconds)
		: 0;
}

static int add_to_limits(const struct session_context *context, const char **ret_reason)
{
	const struct config *config = context->login.config;
	uint64_t max_user = context->login.max_sessions ? context->login.max_sessions
							: config->max_user_sessions;

	int r = limits_add_session(
		context->limits, context->slot, config->max_total_sessions, max_user, ret_reason);
	if (r == -EUSERS) {
		limits_note(context->limits, context->slot, PENALTY_SESSION_FLOOD);
	}
	return r;
}

/* Is the profile open, and does this plan keep all that was measured for it? */
static int check_gate(const struct session_gate *gate, const struct plan *plan, struct err *err)
{
	char names[512];
	struct capability_set lost = capability_set_sub(gate->uses, plan->uses);

	if (gate->measured && lost.bits) {
		return err_refuse(err, ENOTSUP,
			"this session's plan lacks what was measured for the profile: %s",
			capability_set_format(lost, names, sizeof(names)));
	}
	return 0;
}

/*
 * The profile's backend was chosen, asked whether it can run here, and measured when the server
 * started: no session asks again, and none gets another one.
 */
static int compile(const struct session_context *context, const struct spec *spec,
	const struct backend **ret_backend, struct plan **ret_plan, struct err *err)
{
	const struct backend *chosen = context->gate->backend;

	if (!chosen) {
		return backend_choose(
			context->backends, spec, context->host, 0, ret_backend, ret_plan, err);
	}
	int r = backend_compile(chosen, spec, context->host, 0, ret_plan, err);
	if (r < 0) {
		return err_wrap(err, "%s", chosen->name);
	}
	*ret_backend = chosen;
	return 0;
}

/*
 * Makes the home directory that lasts, and finds out whether it is full. What joins a sandbox has the home that the
 * sandbox has.
 */
static int look_at_home(
	const struct session_context *context, struct session *session, struct err *err)
{
	const struct policy_login *login = &context->login;
	const struct spec *spec = &login->profile->spec;
	cleanup_free char *path = NULL;

	if (!spec->home_source) {
		return 0;
	}
	if (policy_shares(login->profile) && context->shared->sandbox) {
		session->home_full = context->shared->home_full;
		return 0;
	}
	int r = config_keys_path(spec->home_source, login->name, &path);
	if (r < 0) {
		return err_set(err, -r, "finding the home directory");
	}
	return home_watch_begin(context->home, path, spec->home_quota, &session->home_full, err);
}

static int make_plan(const struct session_context *context, const struct session *session,
	enum policy_kind kind, const char *command, const struct backend **ret_backend,
	struct plan **ret_plan, struct err *err)
{
	struct spec spec = {0};
	const struct policy_request request = {
		.kind = kind,
		.command = command,
		.pty = session->pty,
		.term = session->term,
		.agent = session->agent_path[0] ? session->agent_path : NULL,
		.env = session->env,
	};
	int r = policy_spec(&context->login, &request, &spec, err);

	if (r < 0) {
		return r;
	}
	spec.home_full = session->home_full;
	r = spec_validate(&spec, err);
	r = r ? r : compile(context, &spec, ret_backend, ret_plan, err);
	spec_fini(&spec);
	return r;
}

/* A sandbox to join, from a plan whose command is nobody's. */
static int make_shared(const struct session_context *context, const struct session *session,
	struct session_shared *shared, struct err *err)
{
	cleanup(plan_freep) struct plan *plan = NULL;
	const struct backend *backend = NULL;
	int r = make_plan(context, session, POLICY_SANDBOX, NULL, &backend, &plan, err);

	r = r < 0 ? r : check_gate(context->gate, plan, err);
	r = r < 0 ? r : session_shared_start(shared, backend, &plan, context->host, err);
	if (r == 0) {
		shared->home_full = session->home_full;
	}
	return r;
}

int session_admit(const struct session_context *context, struct err *err)
{
	const char *reason = NULL;

	if (!context->gate->open) {
		return err_refuse(err, ENOTSUP, "%s", context->gate->reason);
	}
	int r = check_penalty(context, err);
	if (r < 0) {
		return r;
	}
	r = add_to_limits(context, &reason);
	return r < 0 ? err_refuse(err, EUSERS, "%s", reason) : 0;
}

int session_compile(const struct session_context *context, const struct backend **ret_backend,
	struct plan **ret_plan, struct err *err)
{
	const struct session nobody = {.agent = -1};
	cleanup(plan_freep) struct plan *plan = NULL;
	int r = make_plan(context, &nobody, POLICY_SANDBOX, NULL, ret_backend, &plan, err);

	r = r < 0 ? r : check_gate(context->gate, plan, err);
	if (r == 0) {
		*ret_plan = take_ptr(&plan);
	}
	return r;
}

int session_share(const struct session_context *context, struct err *err)
{
	struct session nobody = {.agent = -1};

	if (context->shared->sandbox) {
		return 0;
	}
	/* It counts like a session, since it can be there without any. */
	int r = session_admit(context, err);
	if (r < 0) {
		return r;
	}
	r = look_at_home(context, &nobody, err);
	r = r < 0 ? r : make_shared(context, &nobody, context->shared, err);
	if (r < 0) {
		limits_remove_session(context->limits, context->slot);
	}
	return r;
}

void session_unshare(const struct session_context *context)
{
	if (context->shared && context->shared->sandbox) {
		session_shared_fini(context->shared);
		limits_remove_session(context->limits, context->slot);
	}
}

/* The agent's socket is there before the command that is to find it. */
static int join_shared(const struct session_context *context, struct session *session,
	const struct plan *plan, const struct sandbox_stdio *io, struct err *err)
{
	bool connection = policy_shares(context->login.profile);
	struct session_shared *shared = connection ? context->shared : &session->own;
	int r = connection ? session_share(context, err)
			   : make_shared(context, session, shared, err);

	r = r < 0 ? r : session_shared_check(shared, plan, err);
	if (r == 0 && session->agent_path[0]) {
		r = session_shared_listen(shared, session->agent_path, &session->agent, err);
	}
	return r < 0 ? r : shared->backend->join(shared->sandbox, plan, io, &session->sandbox, err);
}

static int start_sandbox(const struct session_context *context, struct session *session,
	const struct plan *plan, int ret_fds[3], size_t *ret_count, struct err *err)
{
	int ours[3] = {-1, -1, -1};
	struct sandbox_stdio io = {
		.fds = {-1, -1, -1},
		.pty = session->pty,
		.size = session->size,
	};
	int r = session->pty ? 0 : make_pipes(io.fds, ours, err);

	if (r == 0 && plan->shared) {
		r = join_shared(context, session, plan, &io, err);
	} else if (r == 0) {
		r = session->backend->start(plan, context->host, &io, &session->sandbox, err);
		if (r == 0) {
			door_open(&session->door, session->backend, session->sandbox);
		}
	}
	close_three(io.fds);
	if (r < 0) {
		close_three(ours);
		return r;
	}
	if (session->pty) {
		/* Nobody but net keeps it: when net is gone, the shell gets its hang-up. */
		ret_fds[0] = take_fd(&session->sandbox->pty);
		*ret_count = 1;
	} else {
		memcpy(ret_fds, ours, sizeof(ours));
		*ret_count = 3;
	}
	return 0;
}

static void begin_clock(const struct session_context *context, struct session *session)
{
	const struct config_profile *profile = context->login.profile;

	session->started = io_now_usec();
	session->active = session->started;
	session->timeout = profile->spec.timeout * USEC;
	session->idle_timeout = profile->idle_timeout * USEC;
	session->warning = profile->warning * USEC;
	session->deaf = session->deaf || (context->login.key && context->login.key->command);
	session->state = SESSION_RUNNING;
}

int session_enter_roster(const struct session_context *context, uint32_t channel, const char *kind,
	bool pty, const struct plan *plan)
{
	const struct policy_login *login = &context->login;
	struct roster_row row = {.monitor = getpid(), .pty = pty, .started = time(NULL)};

	if (!context->roster) {
		return -1;
	}
	(void)snprintf(row.id, sizeof(row.id), "%s.%u", context->audit->conn, channel);
	(void)snprintf(row.user, sizeof(row.user), "%s", login->name);
	(void)snprintf(row.address, sizeof(row.address), "%s", login->address);
	(void)snprintf(row.profile, sizeof(row.profile), "%s", login->profile->name);
	(void)snprintf(row.backend, sizeof(row.backend), "%s", plan->backend);
	(void)snprintf(row.kind, sizeof(row.kind), "%s", kind);
	(void)snprintf(row.plan, sizeof(row.plan), "%s", plan->digest);
	return roster_add(context->roster, context->slot, &row);
}

/* What is said when the home is full: how to get out of it. */
static void tell_home(const struct session_context *context, struct session *session)
{
	char use[96];

	if (!session->home_full) {
		return;
	}
	(void)snprintf(session->notice, sizeof(session->notice),
		"your home directory is full, %s: remove files, and log in again; nothing can be "
		"written there until then",
		home_watch_describe(context->home, use, sizeof(use)));
	record_limit(context, session, "home_quota");
	refusals_add(context->refusals, session->channel, "home_quota", 1, session->notice);
}

static int start_checked(const struct session_context *context, struct session *session,
	enum policy_kind kind, const char *command, int ret_fds[3], size_t *ret_count,
	struct err *err)
{
	cleanup(plan_freep) struct plan *plan = NULL;

	if (!context->gate->open) {
		return err_refuse(err, ENOTSUP, "%s", context->gate->reason);
	}
	int r = look_at_home(context, session, err);
	r = r ? r : make_plan(context, session, kind, command, &session->backend, &plan, err);
	r = r ? r : check_gate(context->gate, plan, err);
	r = r ? r : record_start(context, session, kind, command, plan, err);
	if (r < 0) {
		return r;
	}
	r = start_sandbox(context, session, plan, ret_fds, ret_count, err);
	if (r < 0) {
		io_close_hostile(&session->agent, 1);
		session_shared_fini(&session->own);
	} else {
		session->place = session_enter_roster(
			context, session->channel, policy_kind_name(kind), session->pty, plan);
		use_begin(session, plan);
		tell_home(context, session);
	}
	return r < 0 ? err_wrap(err, "the sandbox could not be made") : 0;
}

int session_start(const struct session_context *context, struct session *session,
	enum policy_kind kind, const char *command, int ret_fds[3], size_t *ret_count,
	struct err *err)
{
	const char *reason = NULL;

	assert(session->state == SESSION_OPEN);
	int r = check_penalty(context, err);
	if (r < 0) {
		record_limit(context, session, "penalties");
		record_refused(context, session, err);
		return r;
	}
	r = add_to_limits(context, &reason);
	if (r < 0) {
		(void)err_refuse(err, EUSERS, "%s", reason);
		record_limit(context, session, "sessions");
		record_refused(context, session, err);
		return r;
	}
	r = start_checked(context, session, kind, command, ret_fds, ret_count, err);
	if (r < 0) {
		limits_remove_session(context->limits, context->slot);
		record_refused(context, session, err);
		return r;
	}
	session->deaf = kind == POLICY_SUBSYSTEM;
	begin_clock(context, session);
	return 0;
}

int session_signal(struct session *session, const char *name)
{
	int number = signals_number(name);

	if (number && session->sandbox && !session->deaf) {
		(void)session->backend->signal(session->sandbox, number);
	}
	return number ? 0 : -EINVAL;
}

void session_tell_use(const struct session_context *context, struct session *session)
{
	struct sandbox_usage usage = {0};

	if (session->state == SESSION_RUNNING && !session->notice[0]) {
		session->backend->usage(session->sandbox, &usage);
		use_tell(context, session, &usage, session->notice, sizeof(session->notice));
	}
}

void session_touch(const struct session_context *context, struct session *session)
{
	session->active = io_now_usec();
	session->warned_idle = false;
	session_tell_use(context, session);
}

struct session_door *session_door(struct session *session)
{
	return session->own.door.open ? &session->own.door
		: session->door.open  ? &session->door
				      : NULL;
}

void session_end(struct session *session, const char *cause, unsigned grace_ms, const char *notice)
{
	uint64_t end_at = io_now_usec() + (uint64_t)grace_ms * 1000;

	if (session->state == SESSION_RUNNING) {
		session->state = SESSION_ENDING;
		session->cause = cause;
		session->end_at = end_at;
		(void)snprintf(
			session->notice, sizeof(session->notice), "%s", notice ? notice : "");
		(void)session->backend->signal(session->sandbox, SIGHUP);
		(void)session->backend->signal(session->sandbox, SIGTERM);
		(void)session->backend->signal(session->sandbox, SIGCONT);
	} else if (session->state == SESSION_ENDING && end_at < session->end_at) {
		session->end_at = end_at;
	}
}

bool session_end_for_home(const struct session_context *context, struct session *session)
{
	char use[96];
	char text[sizeof(session->notice)];

	if (session->state != SESSION_RUNNING || session->home_full) {
		return false;
	}
	(void)snprintf(text, sizeof(text),
		"your home directory is full, %s: this session ends; log in again to remove files",
		home_watch_describe(context->home, use, sizeof(use)));
	record_limit(context, session, "home_quota");
	refusals_add(context->refusals, session->channel, "home_quota", 1, text);
	session_end(session, "home_quota", HOME_GRACE_MS, text);
	return true;
}

void session_warn_of_home(const struct session_context *context, struct session *session)
{
	char use[96];

	if (session->state == SESSION_RUNNING && !session->notice[0]) {
		(void)snprintf(session->notice, sizeof(session->notice),
			"your home directory is nearly full: %s; over its limit sessions end",
			home_watch_describe(context->home, use, sizeof(use)));
	}
}

void session_look_at_roster(const struct session_context *context, struct session *session)
{
	char reason[ROSTER_REASON];
	char text[sizeof(session->notice)];

	if (session->place >= 0 &&
		roster_must_end(context->roster, (size_t)session->place, reason)) {
		(void)snprintf(text, sizeof(text), "this session was ended by the operator%s%s",
			reason[0] ? ": " : "", reason);
		session_end(session, "killed", LIMIT_GRACE_MS, text);
	}
}

int session_event_fd(const struct session *session)
{
	return session->sandbox && session->state != SESSION_OVER ? session->sandbox->event : -1;
}

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* When a limit of length limit, counted from since, has its next moment. */
static uint64_t limit_deadline(uint64_t since, uint64_t limit, uint64_t warning, bool warned)
{
	if (!limit) {
		return UINT64_MAX;
	}
	return since + (warning && warning < limit && !warned ? limit - warning : limit);
}

uint64_t session_deadline(const struct session *session)
{
	if (session->notice[0]) {
		return 0;
	}
	switch (session->state) {
	case SESSION_RUNNING:
		return min(limit_deadline(session->started, session->timeout, session->warning,
				   session->warned_time),
			limit_deadline(session->active, session->idle_timeout, session->warning,
				session->warned_idle));
	case SESSION_ENDING:
		return session->end_at;
	case SESSION_OVER:
		return session->sandbox ? 0 : UINT64_MAX;
	case SESSION_OPEN:
		break;
	}
	return UINT64_MAX;
}

static void format_time(uint64_t usec, char *text, size_t size)
{
	uint64_t seconds = (usec + USEC / 2) / USEC;

	if (seconds >= 120 && seconds % 60 == 0) {
		(void)snprintf(text, size, "%llu minutes", (unsigned long long)(seconds / 60));
	} else {
		(void)snprintf(text, size, "%llu second%s", (unsigned long long)seconds,
			seconds == 1 ? "" : "s");
	}
}

/* One limit against the clock: says the warning once, and ends the session at the limit. */
static void watch_limit(const struct session_context *context, struct session *session,
	uint64_t now, uint64_t since, uint64_t limit, bool *warned, const char *cause,
	const char *words)
{
	char left[32];
	char whole[32];
	char text[160];

	if (session->state != SESSION_RUNNING ||
		now < limit_deadline(since, limit, session->warning, *warned)) {
		return;
	}
	format_time(limit, whole, sizeof(whole));
	if (now >= since + limit) {
		(void)snprintf(
			text, sizeof(text), "%s of %s reached; this session ends", words, whole);
		record_limit(context, session, cause);
		refusals_add(context->refusals, session->channel, "res.time", 1, text);
		session_end(session, cause, LIMIT_GRACE_MS, text);
		return;
	}
	*warned = true;
	format_time(since + limit - now, left, sizeof(left));
	(void)snprintf(session->notice, sizeof(session->notice),
		"%s of %s: this session ends in %s", words, whole, left);
}

/* A time limit is kept by the sandbox too, so its end may be the first we hear of it. */
static const char *find_cause(const struct session *session, int result, int status,
	const struct sandbox_usage *usage, uint64_t now)
{
	bool killed = result < 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);

	if (session->cause) {
		return session->cause;
	}
	if (killed && session->timeout && now + USEC / 2 >= session->started + session->timeout) {
		return "timeout";
	}
	if (killed && usage->oom_kills > 0) {
		return "oom";
	}
	if (result < 0) {
		return "sandbox_died";
	}
	return WIFSIGNALED(status) ? "signal" : "exited";
}

static const char *notice_of_cause(const char *cause)
{
	static const struct {
		const char *cause, *text;
	} rows[] = {
		{"oom", "the memory limit of this session was reached, and it was ended"},
		{"timeout", "the time limit of this session was reached, and it was ended"},
		{"sandbox_died", "the sandbox of this session died"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (strcmp(rows[i].cause, cause) == 0) {
			return rows[i].text;
		}
	}
	return "";
}

/* Kills what is left of it and gives its place back. */
static void let_go(const struct session_context *context, struct session *session)
{
	door_close(&session->door);
	session->backend->destroy(session->sandbox);
	session->sandbox = NULL;
	if (session->place >= 0) {
		roster_remove(context->roster, (size_t)session->place);
		session->place = -1;
	}
	io_close_hostile(&session->agent, 1);
	session_shared_fini(&session->own);
	limits_remove_session(context->limits, context->slot);
}

/*
 * The command's end, in words. The sandbox itself is let go at the next step, so that the client has
 * its exit status before the clean-up. result and ended as from poll_exit(); 0: we end it, unasked.
 */
static void finish(const struct session_context *context, struct session *session, int result,
	const struct sandbox_exit *ended, struct session_news *news)
{
	struct sandbox_usage usage = {0};
	uint64_t now = io_now_usec();
	int status = result > 0 ? ended->status : SIGKILL;

	session->backend->usage(session->sandbox, &usage);
	const char *cause = find_cause(session, result, status, &usage, now);
	*news = (struct session_news){.kind = SESSION_ENDED, .signal = ""};
	if (WIFSIGNALED(status)) {
		news->signal = signals_name(WTERMSIG(status));
		news->core = WCOREDUMP(status);
	} else {
		news->status = (uint32_t)WEXITSTATUS(status);
	}
	use_tell(context, session, &usage, news->text, sizeof(news->text));
	if (!session->cause && notice_of_cause(cause)[0]) {
		(void)snprintf(news->text, sizeof(news->text), "%s", notice_of_cause(cause));
	}
	if (usage.oom_kills > 0) {
		record_limit(context, session, "memory");
		limits_note(context->limits, context->slot, PENALTY_OOM);
	}
	if (usage.pids_refused > 0) {
		record_limit(context, session, "pids");
		limits_note(context->limits, context->slot, PENALTY_FORK_BOMB);
	}
	record_end(context, session, news, cause, &usage, now);
	session->state = SESSION_OVER;
}

struct session_news session_step(
	const struct session_context *context, struct session *session, uint64_t now)
{
	struct session_news news = {.kind = SESSION_NO_NEWS, .signal = ""};
	struct sandbox_exit ended = {0};

	if (!session->sandbox) {
		return news;
	}
	if (session->state == SESSION_OVER) {
		let_go(context, session);
		return news;
	}
	watch_limit(context, session, now, session->started, session->timeout,
		&session->warned_time, "timeout", "time limit");
	watch_limit(context, session, now, session->active, session->idle_timeout,
		&session->warned_idle, "idle", "idle limit");
	if (session->notice[0]) {
		news.kind = SESSION_NOTICE;
		(void)snprintf(news.text, sizeof(news.text), "%s", session->notice);
		session->notice[0] = '\0';
		return news;
	}
	int r = session->backend->poll_exit(session->sandbox, &ended);
	if (r != 0) {
		finish(context, session, r, &ended, &news);
	} else if (session->state == SESSION_ENDING && now >= session->end_at) {
		finish(context, session, 0, &ended, &news);
	}
	return news;
}

void session_free(const struct session_context *context, struct session *session)
{
	struct session_news ignored;
	struct sandbox_exit ended = {0};

	if (!session) {
		return;
	}
	if (session->sandbox && session->state != SESSION_OVER) {
		session->cause = session->cause ? session->cause : "client_gone";
		finish(context, session, 0, &ended, &ignored);
	}
	if (session->sandbox) {
		let_go(context, session);
	}
	strv_free(session->env);
	free(session);
}
