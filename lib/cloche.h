/*
 * libcloche: compile what a command may do into a plan, look at the plan, run it. See cloche(3).
 *
 * All objects are opaque. What a ..._new() or ret_ parameter gives is the caller's, to be given to
 * the ..._free() of its kind (NULL is accepted); other pointers are borrowed and live as long as the
 * object they came from. Functions that can fail return 0 or a negative errno and take a struct
 * cloche_error, which may be NULL and counts only after a failure. The library neither logs nor exits.
 *
 * Different threads may use different objects at the same time; hosts and plans may be shared by
 * threads that only read them. A sandbox belongs to one thread at a time. Starts are made one after
 * the other.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

struct cloche_error {
	int code; /* a positive errno value */
	char message[508]; /* one sentence: what, and what would be right */
};

const char *cloche_version(void);

/* ---- capabilities ---- */

/* Names and meanings by number from 0; NULL behind the last. Static. */
const char *cloche_capability_name(size_t number);
const char *cloche_capability_description(size_t number);

/* ---- specs: what is asked for; a new one asks for nothing ---- */

struct cloche_spec;

int cloche_spec_new(struct cloche_spec **ret_spec);
void cloche_spec_free(struct cloche_spec *spec);

/* Appends one word of the command; the first is the program, found by PATH inside. */
int cloche_spec_add_argument(struct cloche_spec *spec, const char *word);

/*
 * Sets a key of the sandbox as cloche.yaml(5) lists them, from text: "net", "outbound". Lists are
 * appended to, an item a call. On failure the spec is as before. -EINVAL: no such key, or value.
 */
int cloche_spec_set(
	struct cloche_spec *spec, const char *key, const char *value, struct cloche_error *error);

/* From and to JSON, the same keys and "args". The caller free()s *ret_json. */
int cloche_spec_parse(const char *json, struct cloche_spec **ret_spec, struct cloche_error *error);
int cloche_spec_to_json(const struct cloche_spec *spec, char **ret_json);

/* ---- this machine ---- */

struct cloche_host;

/* Asks what it can do, once. Changes nothing. */
int cloche_host_new(struct cloche_host **ret_host, struct cloche_error *error);
void cloche_host_free(struct cloche_host *host);

/* Names of backends by number from 0, best first; NULL behind the last. Static. */
const char *cloche_backend_name(size_t number);

/* Can it run here? 0, or -ENOTSUP with error saying what is missing; -ENOENT: no such backend. */
int cloche_backend_probe(
	const struct cloche_host *host, const char *backend, struct cloche_error *error);

/* ---- plans ---- */

struct cloche_plan;

/*
 * Compiles spec for the backend it names, for the best ("auto"), or for the first that will do.
 * Nothing is started. -EINVAL: a bad spec. -ENOTSUP: no backend takes it, error says why.
 */
int cloche_plan_new(const struct cloche_spec *spec, const struct cloche_host *host,
	struct cloche_plan **ret_plan, struct cloche_error *error);
void cloche_plan_free(struct cloche_plan *plan);

const char *cloche_plan_backend(const struct cloche_plan *plan);
const char *cloche_plan_digest(const struct cloche_plan *plan); /* 64 hex digits */

/* "shared", "user-kernel" or "separate-guest": whose kernel serves the command. */
const char *cloche_plan_kernel(const struct cloche_plan *plan);

/* Does the plan keep this capability? False for names there are not. */
bool cloche_plan_keeps(const struct cloche_plan *plan, const char *capability);

/* How the plan falls short of the spec; texts are borrowed, remedy and capability may be NULL. */
struct cloche_caveat {
	const char *code, *capability, *severity, *text, *remedy;
};

/* By number from 0; false behind the last. */
bool cloche_plan_caveat(
	const struct cloche_plan *plan, size_t number, struct cloche_caveat *ret_caveat);

/* The canonical JSON, all that will be executed; the caller free()s it. And text for people. */
int cloche_plan_to_json(const struct cloche_plan *plan, char **ret_json);
void cloche_plan_print(const struct cloche_plan *plan, FILE *out);

/* ---- running ---- */

struct cloche_sandbox;

/*
 * Runs the plan's command in a fresh sandbox. fds are its standard input, output and error: borrowed,
 * -1 for /dev/null. The gvisor backend refuses regular files. Returns when the program has been exec'd; on failure nothing is left running.
 */
int cloche_start(const struct cloche_plan *plan, const struct cloche_host *host, const int fds[3],
	struct cloche_sandbox **ret_sandbox, struct cloche_error *error);

/* To poll for input: readable when cloche_wait() has something to say. Borrowed. */
int cloche_event_fd(const struct cloche_sandbox *sandbox);

/* Sends a signal to the command's process group. */
int cloche_signal(struct cloche_sandbox *sandbox, int signo);

/*
 * Waits at most timeout_ms (-1: for ever) for the command's end. 0 and *ret_status as of waitpid(2);
 * -EAGAIN: not yet; -ETIMEDOUT: the plan's time limit ended it; -EPIPE: the sandbox was killed.
 */
int cloche_wait(struct cloche_sandbox *sandbox, int timeout_ms, int *ret_status);

/* Kills what still runs and removes what was made. Accepts NULL. */
void cloche_sandbox_free(struct cloche_sandbox *sandbox);

#ifdef __cplusplus
}
#endif
