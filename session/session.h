/*
 * One session's life: one channel, one request, one fresh sandbox, until it ends.
 *
 *	OPEN --session_start()--> RUNNING --limit, client gone, server stops--> ENDING --> OVER
 *	                             |                                                      ^
 *	                             +----------------- the command ends -------------------+
 *
 * Nothing here blocks longer than starting or destroying a sandbox takes. The owner polls
 * session_event_fd() and the clock, and asks session_step() for news.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include "backends/backend.h"
#include "session/audit.h"
#include "backends/door.h"
#include "session/home-watch.h"
#include "session/limits.h"
#include "session/policy.h"
#include "session/refusals.h"
#include "session/roster.h"
#include "session/shared.h"

/* Whether a profile may be used, and what was measured. */
struct session_gate {
	bool open;
	bool measured; /* false with open: the operator said not to measure */
	char proof[17]; /* names the measurement in the audit log; "" without one */
	struct capability_set uses; /* what was promised and, if measured, observed */
	const struct backend *backend; /* whose plan that was; NULL: chosen for each session */
	char reason[640]; /* why it is closed, for the user */
};

/* What all sessions of a connection share. All borrowed. */
struct session_context {
	struct policy_login login;
	const struct host *host;
	const struct backend *const *backends;
	const struct session_gate *gate;
	struct audit *audit;
	struct limits *limits;
	size_t slot;
	const struct penalties *penalties;
	struct roster *roster;
	struct refusals *refusals; /* of the connection, for the user */
	struct session_shared *shared; /* the connection's one sandbox, where the profile shares */
	struct home_watch *home; /* the login's home directory, where it is limited */
};

enum session_state { SESSION_OPEN, SESSION_RUNNING, SESSION_ENDING, SESSION_OVER };

struct session {
	uint32_t channel;
	enum session_state state;
	/* what was asked for before the start */
	char **env;
	bool pty;
	char term[65];
	struct winsize size;
	char agent_path[64]; /* inside; "": no agent */
	/* what runs */
	int agent; /* listening socket of the agent, to be accepted from; -1: none */
	struct session_shared own; /* a sandbox to join that is nobody else's */
	struct session_door door; /* of its sandbox, if that is no shared one */
	const struct backend *backend;
	struct sandbox *sandbox;
	int place; /* in the roster; -1: not listed */
	bool deaf; /* forced command or subsystem: the client's signals are not passed on */
	uint64_t timeout, idle_timeout, warning; /* microseconds; 0: none */
	uint64_t started, active, end_at; /* by io_now_usec() */
	bool warned_time, warned_idle;
	uint64_t told_killed, told_refused; /* of sandbox_usage, what the user knows of */
	const char *cause; /* static; NULL: the command ended by itself */
	char notice[256]; /* to be told to the user, or "" */
	bool closed; /* the owner wants it forgotten once it is over */
	bool home_full; /* the home directory takes more than its limit, and cannot be written */
};

/* Something to tell the client. */
struct session_news {
	enum { SESSION_NO_NEWS, SESSION_NOTICE, SESSION_ENDED } kind;
	char text[256]; /* NOTICE */
	uint32_t status; /* ENDED: the exit status, where signal is "" */
	const char *signal; /* ENDED: "KILL", or "" */
	bool core;
};

int session_new(uint32_t channel, struct session **ret); /* 0 or -ENOMEM */

/* Destroys what still runs and gives its place back. Accepts NULL. */
void session_free(const struct session_context *context, struct session *session);

/* Before the start: a variable, a terminal. 0; -EPERM when policy says no; -E2BIG; -ENOMEM. */
int session_set_env(const struct session_context *context, struct session *session,
	const char *name, const char *value);
int session_set_pty(const struct session_context *context, struct session *session,
	const char *term, const struct winsize *size);
/* The client's agent is to be reached from inside: once started, session->agent is the listener. */
int session_set_agent(const struct session_context *context, struct session *session);

/*
 * Makes the connection's one sandbox, if it is not there, for what is forwarded to it. 0, or negative
 * errno with err fit for the user.
 */
int session_share(const struct session_context *context, struct err *err);

/* Ends it, after the last session. */
void session_unshare(const struct session_context *context);

/*
 * Of what counts as a session and is none: may it begin now? It is counted then, until the caller says
 * limits_remove_session(). 0, or negative errno with err fit for the user.
 */
int session_admit(const struct session_context *context, struct err *err);

/*
 * The plan of this login's sandboxes, whatever command runs in them, on the backend that sessions get. The caller
 * frees *ret_plan with plan_free(). 0, or negative errno with err fit for the user.
 */
int session_compile(const struct session_context *context, const struct backend **ret_backend,
	struct plan **ret_plan, struct err *err);

/*
 * Lists it for the operator, until the caller says roster_remove(). Its place; negative when it is not listed: a
 * list that is full is no reason to refuse what limits permit.
 */
int session_enter_roster(const struct session_context *context, uint32_t channel, const char *kind,
	bool pty, const struct plan *plan);

/*
 * Starts the command in a fresh sandbox, after the audit log has the plan. On success *ret_count
 * descriptors are the caller's: one terminal master, or stdin's write end, stdout's and stderr's
 * read ends. On failure nothing runs and err is fit for the user.
 */
int session_start(const struct session_context *context, struct session *session,
	enum policy_kind kind, const char *command, int ret_fds[3], size_t *ret_count,
	struct err *err);

/* The client's signal, by its SSH name ("TERM"). Unknown ones are ignored: 0 or -EINVAL. */
int session_signal(struct session *session, const char *name);

/*
 * Input came: the idle time begins anew, and whoever types is told what has happened at a limit
 * meanwhile.
 */
void session_touch(const struct session_context *context, struct session *session);

/* What it came up to in its limits meanwhile is told, and noted for `why`. */
void session_tell_use(const struct session_context *context, struct session *session);

/* The door that is this session's alone, or NULL. */
struct session_door *session_door(struct session *session);

/*
 * Begins the end: hang-up now, and after grace_ms whatever is left is killed. cause (static) goes to
 * the audit log, notice (may be NULL) to the user. The first cause stays.
 */
void session_end(struct session *session, const char *cause, unsigned grace_ms, const char *notice);

/*
 * The home directory takes more than its limit: whoever can write there is ended. True when one was.
 */
bool session_end_for_home(const struct session_context *context, struct session *session);

/* Says once that the home directory is nearly full. */
void session_warn_of_home(const struct session_context *context, struct session *session);

/* Ends it if the operator has said so in the roster. */
void session_look_at_roster(const struct session_context *context, struct session *session);

/* To poll for input: -1 when nothing runs. */
int session_event_fd(const struct session *session);

/* When session_step() wants to be called at the latest; UINT64_MAX: no need. */
uint64_t session_deadline(const struct session *session);

/* Looks at sandbox and clock. Call until it says SESSION_NO_NEWS. */
struct session_news session_step(
	const struct session_context *context, struct session *session, uint64_t now);
