/*
 * Inside of the docker and podman backends (containers*.c): one row an engine, and what the files of
 * these backends ask of each other. What the engines do alike is code, where they differ is a row.
 *
 *	containers.c		the rows, what each promises, and the backends
 *	containers-ask.c	asking an engine: can it run here, what is the image's id
 *	containers-http.c	asking docker's daemon itself
 *	containers-plan.c	what a container has: mounts, limits, files
 *	containers-argv.c	the same in the engine's words
 *	containers-run.c	a session's life
 */
#pragma once

#include <jansson.h>

#include "backends/backend.h"

#define CONTAINERS_IMAGE "cloche-base" /* where the spec names none */
#define CONTAINERS_NAME "cloche-{id}" /* of a container */

struct engine {
	const char *name; /* of the backend */
	const char *tool; /* its command line */
	bool podman;
	bool apart; /* creating and starting are two steps, with a look at the runtime between them */
	/* What runs the containers: a runtime that the engine knows by this name, which is also that of
	 * its program. NULL: what the engine takes itself, on this kernel. */
	const char *runtime;
	const char *const *options; /* what create is told beyond the rest */
	const char *const *start; /* what start is told, before the name */
	const char *started; /* how events are asked for past starts, before the name's filter */
	uint32_t layers; /* enum plan_layer: that can be left out */
	struct capability_set enforces;
};

/* The row of a backend's name; NULL: none. */
const struct engine *containers_find(const char *name);

/* What is being put together. All borrowed but plan. */
struct container_builder {
	const struct engine *engine;
	const struct spec *spec;
	const struct host *host;
	struct plan *plan;
	const char *home;
	bool host_sockets, persistent, no_overlay; /* of the paths that are bound */
	bool filtered; /* what runs the container takes a filter */
	bool statx; /* what old runtimes need is preloaded */
	bool failed; /* out of memory */
};

/* ---- containers-ask.c ---- */

/* backend->probe and backend->resolve of an engine. */
int containers_probe(const struct engine *engine, const struct host *host, struct err *err);
int containers_resolve(const struct engine *engine, const struct spec *spec,
	const struct host *host, struct spec *ret, struct err *err);

/*
 * Appends to *ret the tool's own environment: where its engine is, and nothing of the server's user.
 * 0 or -ENOMEM.
 */
int containers_tool_env(
	const struct engine *engine, const struct host *host, const char *home, char ***ret);

/*
 * The program that the engine starts for its runtime, as the engine says now. 0, or negative errno with
 * err saying how the runtime is made known to the engine.
 */
int containers_find_runtime(const struct engine *engine, const struct host *host, char *path,
	size_t size, struct err *err);

/* How an engine is asked, by inspect's --format, which runtime a container is given. */
const char *containers_runtime_format(const struct engine *engine);

/* The last line of text, in place. */
const char *containers_last_line(char *text);

/* Is this an image's id ("sha256:" and 64 digits) and not a name? NULL is none. */
bool containers_is_image_id(const char *image);

/* ---- containers-http.c ---- */

/* A connection to the daemon, which must be on this host (unix:///PATH): a descriptor, or negative errno. */
int containers_connect(const char *docker_host);

/*
 * GETs path from the daemon. Returns the status (200, 404, ...) with its JSON, which may be NULL and is
 * the caller's to json_decref(); or negative errno.
 */
int containers_get(const char *docker_host, const char *path, json_t **ret);

/* The first process of the container called name, or 0. *ret_absent: the daemon says there is none of that name. */
pid_t containers_pid(const char *docker_host, const char *name, bool *ret_absent);

/* ---- containers-plan.c ---- */

/* What an engine cannot do is refused by name. 0 or -ENOTSUP. */
int containers_refuse(
	const struct engine *engine, const struct spec *spec, uint32_t without, struct err *err);

/* Mounts, limits, identity and files of the plan; b->failed on failure. */
void containers_choose(struct container_builder *b);

/* ---- containers-argv.c ---- */

/* The plan's steps, command and tool_env, once the rest of it is set. 0 or -ENOMEM. */
int containers_make_steps(struct container_builder *b, const char *image);

/* ---- containers-run.c: the backend's entries of these names ---- */

int containers_start(const struct plan *plan, const struct host *host,
	const struct sandbox_stdio *io, struct sandbox **ret_sandbox, struct err *err);
int containers_signal(struct sandbox *sandbox, int signo);
int containers_poll_exit(struct sandbox *sandbox, struct sandbox_exit *ret);
void containers_usage(struct sandbox *sandbox, struct sandbox_usage *ret);
void containers_take_door(struct sandbox *sandbox, struct sandbox_door *ret);
void containers_destroy(struct sandbox *sandbox);
