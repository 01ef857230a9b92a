/*
 * One probe of a login being tried: what the files of the H probes share.
 */
#pragma once

#include "testkit/canary.h"
#include "testkit/judge.h"
#include "testkit/ssh-procs.h"
#include "testkit/target.h"

#define SSH_PATIENCE_MS                                                                            \
	20000 /* for a login and what it does, on a machine that has much else to do */
#define SSH_STEP_MS 5

struct ssh_kinds;

/* What is found out once for all probes of the control, or of the target. */
struct ssh_pass {
	struct ssh_server server;
	bool hidden; /* a session's processes were waited for in vain */
	struct ssh_kinds *kinds; /* of ssh-kinds.c, or NULL */
};

struct ssh_attempt {
	const struct target *target; /* NULL: the control */
	const struct target_offers
		*offers; /* what the server's owner gave us for this, control or not */
	struct ssh_pass *pass;
	struct canary *canary;
	const struct probe *probe;
	struct outcome *outcome;
	char *out; /* what came from the last command */
	size_t size;
	int code; /* its exit code; -1: it did not end in time */
};

/* A program of the host's that is being talked to. */
struct ssh_program {
	int in, out, pidfd;
	pid_t pid;
};

/* What kind of session is wanted. */
struct ssh_wish {
	char *const *options; /* of ssh, or NULL */
	const char *before; /* what runs first, ending in ';', or NULL */
	bool shell; /* by the input of a shell instead of a command */
};

/* A session that stays; its process is a sleep. */
struct ssh_visit {
	struct ssh_program program;
	char argument[32];
	pid_t pid;
};

/* What came of it: for people, by the client's word, by the host's eyes. */
void ssh_say(struct ssh_attempt *attempt, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void ssh_claim(struct ssh_attempt *attempt, bool done);
void ssh_conclude(struct ssh_attempt *attempt, bool seen, enum evidence_level level);

/* Not tried, and why: asked for, as far as reports go, and without an answer. */
void ssh_decline(struct ssh_attempt *attempt, const char *why);

bool ssh_is_control(const struct ssh_attempt *attempt);

/* Did a canary hear of this probe? */
bool ssh_reached(const struct ssh_attempt *attempt);

/*
 * "ssh", the options of this attempt, those of the target, the host, and the command if any. NULL
 * when there is no memory; the caller frees it.
 */
char **ssh_words(const struct ssh_attempt *attempt, char *const options[], const char *command);

/* The same by this key alone. */
char **ssh_words_by_key(const struct ssh_attempt *attempt, const char *key, char *const options[],
	const char *command);

/* The same as another user. */
char **ssh_words_as(const struct ssh_attempt *attempt, const char *user, const char *command);

/* sftp(1) reading commands from its input, for the same login. NULL: no memory; the caller frees it. */
char **ssh_sftp_words(const struct target *target);

/* both: standard error goes where standard output goes. 0 or negative errno; ssh_end() ends it. */
int ssh_start(char *const words[], bool both, struct ssh_program *ret);

/* Waits a little when the exit code is asked for (-1: none came), and kills what is still there. */
void ssh_end(struct ssh_program *program, int *ret_code);

/* Runs a program to its end, serving the canaries. Its output is the attempt's. */
int ssh_run(struct ssh_attempt *attempt, char *const words[], const char *input, bool both);

/*
 * Takes the output of a program, serving the canaries: to its end, until it has text (unless NULL), or
 * for ms at most.
 */
void ssh_read(struct ssh_attempt *attempt, const struct ssh_program *program, const char *text,
	unsigned ms);

/* Does it still run? It stays to be waited for. */
bool ssh_is_alive(const struct ssh_program *program);

/*
 * Starts such a session (for the control a shell of our own) and waits for its process; what it wrote
 * till then is the attempt's output. False when there is none, and it is said why; ssh_leave() in any
 * case.
 */
bool ssh_visit(struct ssh_attempt *attempt, const struct ssh_wish *wish, struct ssh_visit *ret);
void ssh_leave(struct ssh_visit *visit);

/* Waits for a process that sleeps this long to be there, or to be gone. The last one seen, or 0. */
pid_t ssh_await_sleep(const char *argument, bool there, unsigned ms);

/* The words of the command in the login, or in a shell of our own for the control. NULL: no memory. */
char **ssh_command_words(
	const struct ssh_attempt *attempt, char *const options[], const char *command);

/* Runs these. */
int ssh_run_command(
	struct ssh_attempt *attempt, char *const options[], const char *command, bool both);

/* What the client would be told under this name. False: nothing, or it does not fit. */
bool ssh_setting(const struct ssh_attempt *attempt, const char *name, char *out, size_t size);

/* Drops the output there is. */
void ssh_forget(struct ssh_attempt *attempt);

/* Connects to the canary's listener on the loopback from here, and waits for it to hear. */
void ssh_dial_canary(struct ssh_attempt *attempt);

/* Ends the output at its first line. */
void ssh_cut_line(struct ssh_attempt *attempt);

/* The probes. */
void ssh_try_local_tcp(struct ssh_attempt *attempt);
void ssh_try_local_path(struct ssh_attempt *attempt);
void ssh_try_remote_tcp(struct ssh_attempt *attempt);
void ssh_try_remote_path(struct ssh_attempt *attempt);
void ssh_try_remote_over(struct ssh_attempt *attempt);
void ssh_try_agent(struct ssh_attempt *attempt);
void ssh_try_x11(struct ssh_attempt *attempt);
void ssh_try_environment(struct ssh_attempt *attempt);
void ssh_try_status(struct ssh_attempt *attempt);
void ssh_try_streams(struct ssh_attempt *attempt);
void ssh_try_terminal(struct ssh_attempt *attempt);
void ssh_try_sftp_read(struct ssh_attempt *attempt);
void ssh_try_sftp_write(struct ssh_attempt *attempt);
void ssh_try_channels(struct ssh_attempt *attempt);
void ssh_try_user_name(struct ssh_attempt *attempt);
void ssh_try_kill_client(struct ssh_attempt *attempt);
void ssh_try_leave_daemon(struct ssh_attempt *attempt);
void ssh_try_resist(struct ssh_attempt *attempt);
void ssh_try_meet(struct ssh_attempt *attempt);
void ssh_try_exit_signal(struct ssh_attempt *attempt);
void ssh_try_terminal_other(struct ssh_attempt *attempt);
void ssh_try_sftp_process(struct ssh_attempt *attempt);
void ssh_try_kinds_namespaces(struct ssh_attempt *attempt);
void ssh_try_kinds_privileges(struct ssh_attempt *attempt);
void ssh_try_kinds_filter(struct ssh_attempt *attempt);
void ssh_try_descriptors(struct ssh_attempt *attempt);
void ssh_try_setup(struct ssh_attempt *attempt);
void ssh_try_host_key(struct ssh_attempt *attempt);
void ssh_try_signal(struct ssh_attempt *attempt);
void ssh_try_flood(struct ssh_attempt *attempt);
void ssh_try_many(struct ssh_attempt *attempt);
void ssh_try_forced(struct ssh_attempt *attempt);
void ssh_try_fail_closed(struct ssh_attempt *attempt);
void ssh_try_log_read(struct ssh_attempt *attempt);
void ssh_try_log_lines(struct ssh_attempt *attempt);
void ssh_try_pair_agent(struct ssh_attempt *attempt);
void ssh_try_pair_listener(struct ssh_attempt *attempt);
void ssh_try_growth(struct ssh_attempt *attempt);

/* Frees what ssh_pass.kinds has; accepts NULL. */
void ssh_kinds_free(struct ssh_kinds *kinds);
