/*
 * What Linux backends decide alike, whoever does the work: native and those that run a foreign tool
 * (bubblewrap, gvisor, docker, ...). Each looks at spec, host and plan->without only.
 */
#pragma once

#include "backends/host.h"
#include "backends/plan.h"
#include "backends/promise.h"
#include "backends/spec.h"

/* How a backend compiles. */
struct foreign_compiler {
	const char *backend; /* its name */
	enum plan_kernel kernel;
	/* What the backend cannot do, before there is a plan. NULL: fill refuses. */
	int (*refuse)(const struct spec *spec, const struct host *host, uint32_t without,
		struct err *err);
	/* Fills in an empty plan of this backend, and seals it. */
	int (*fill)(const struct spec *spec, const struct host *host, struct plan *plan,
		struct err *err);
};

/* As backend->compile: validates, refuses, and fills a plan that is executable here. */
int foreign_compile(const struct foreign_compiler *with, const struct spec *spec,
	const struct host *host, uint32_t without, struct plan **ret_plan, struct err *err);

/* The namespaces that the spec and the layers left out ask for. */
void foreign_namespaces(const struct spec *spec, struct plan *plan);

/*
 * The session's user inside (1000), and the map: a range of its own where the host has one to give,
 * else our own id.
 */
void foreign_identity(const struct host *host, struct plan *plan);

/* Adds what plan->env lacks of PATH, HOME, USER, LOGNAME and SHELL, and sorts it. 0 or -ENOMEM. */
int foreign_defaults(const char *path, const char *home, const char *shell, struct plan *plan);

/*
 * The session's environment: the spec's, scrubbed, with PATH, HOME, USER, LOGNAME and SHELL where
 * they are missing, sorted. plan->user must be set (foreign_command()). 0 or -ENOMEM.
 */
int foreign_environment(const struct spec *spec, const char *home, struct plan *plan);

/* argv, host name, user, and the directory: the spec's, or start. 0 or -ENOMEM. */
int foreign_command(const struct spec *spec, const char *start, struct plan *plan);

/*
 * The limits a process has by itself. After foreign_identity(): RLIMIT_NPROC is only right where the
 * ids are the session's own.
 */
void foreign_rlimits(const struct spec *spec, struct plan *plan);

/*
 * Memory, tasks, processors and time, with the version of the control group that will keep each
 * (0: none) and a caveat where nothing does. A limit is promised when something that the kernel
 * reads back enforces it. After foreign_rlimits(). For a backend whose daemon keeps the limits this
 * is not the function. 0 or -ENOMEM.
 */
int foreign_limits(const struct spec *spec, const struct host *host, struct plan *plan);

/*
 * plan_seal(), unless the spec has it left out: putting all of a plan in words and hashing them is half of what a
 * compile costs. 0 or -ENOMEM.
 */
int foreign_seal(const struct spec *spec, struct plan *plan);

/*
 * The caveats that follow from the spec and from sharing this kernel, whoever made the sandbox. Last,
 * since some follow from the plan. 0 or -ENOMEM.
 */
int foreign_notes(const struct spec *spec, const struct host *host, struct plan *plan);

/*
 * Runs a tool to ask it something (its help, its version), as probe() may: argv[0] looked for as a
 * keeper does, env (NULL: empty) for an environment, both streams in output, the rest thrown away. Returns its exit
 * status, -ENOENT when there is no such tool, -ETIMEDOUT, or another negative errno.
 */
int foreign_ask(
	char *const argv[], char *const env[], int timeout_ms, char *output, size_t output_size);

/*
 * The same for a question (one word, argv[1]) whose answer follows from the tool's program alone: an
 * answer given with exit status 0 is remembered (answers.h), and the tool not run again for it.
 */
int foreign_ask_once(char *const argv[], int timeout_ms, char *output, size_t output_size);

/*
 * On a host with merged /usr: "/usr" for what is or lies below /bin, /sbin, /lib, /lib32, /lib64 or
 * /libx32, which are links there; what to put before path for the place itself. Else "".
 */
const char *foreign_usr(const struct host *host, const char *path);

/* Those links, NULL-terminated. */
extern const char *const foreign_usr_links[];

/*
 * text from outside (an argument, a variable, a path) for a place where placeholders are filled in:
 * what looks like one comes out as it was. Caller frees. NULL: no memory.
 */
char *foreign_literal(const char *text);
