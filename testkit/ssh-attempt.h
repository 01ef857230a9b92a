/*
 * One probe of a login being tried: what the files of the H probes share.
 */
#pragma once

#include "testkit/canary.h"
#include "testkit/judge.h"
#include "testkit/target.h"

#define SSH_PATIENCE_MS 6000 /* for a login and what it does */
#define SSH_STEP_MS 5

struct ssh_attempt {
	const struct target *target; /* NULL: the control */
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

/* What came of it: for people, by the client's word, by the host's eyes. */
void ssh_say(struct ssh_attempt *attempt, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void ssh_claim(struct ssh_attempt *attempt, bool done);
void ssh_conclude(struct ssh_attempt *attempt, bool seen, enum evidence_level level);

bool ssh_is_control(const struct ssh_attempt *attempt);

/* Did a canary hear of this probe? */
bool ssh_reached(const struct ssh_attempt *attempt);

/*
 * "ssh", the options of this attempt, those of the target, the host, and the command if any. NULL
 * when there is no memory; the caller frees it.
 */
char **ssh_words(const struct ssh_attempt *attempt, char *const options[], const char *command);

/* sftp(1) reading commands from its input, for the same login. NULL: no memory; the caller frees it. */
char **ssh_sftp_words(const struct target *target);

/* both: standard error goes where standard output goes. 0 or negative errno; ssh_end() ends it. */
int ssh_start(char *const words[], bool both, struct ssh_program *ret);

/* Waits a little when the exit code is asked for (-1: none came), and kills what is still there. */
void ssh_end(struct ssh_program *program, int *ret_code);

/* Runs a program to its end, serving the canaries. Its output is the attempt's. */
int ssh_run(struct ssh_attempt *attempt, char *const words[], const char *input, bool both);

/* The command in the login, or in a shell of our own for the control. */
int ssh_run_command(
	struct ssh_attempt *attempt, char *const options[], const char *command, bool both);

/* What the client would be told under this name. False: nothing, or it does not fit. */
bool ssh_setting(const struct ssh_attempt *attempt, const char *name, char *out, size_t size);

/* Ends the output at its first line. */
void ssh_cut_line(struct ssh_attempt *attempt);

/* The probes. */
void ssh_try_local_tcp(struct ssh_attempt *attempt);
void ssh_try_local_path(struct ssh_attempt *attempt);
void ssh_try_remote_tcp(struct ssh_attempt *attempt);
void ssh_try_remote_path(struct ssh_attempt *attempt);
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
