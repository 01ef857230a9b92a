/*
 * One way to keep promises. One file fills one const table. compile() is data to data and runs
 * anywhere, unprivileged; start() has all the effects.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "backends/capability.h"
#include "backends/host.h"
#include "backends/plan.h"
#include "backends/spec.h"
#include "base/err.h"

/* What the command's standard streams are. Descriptors are borrowed. */
struct sandbox_stdio {
	int fds[3]; /* -1: /dev/null of the sandbox. Not looked at when pty is set */
	bool pty; /* a terminal of the sandbox's own; its master is in sandbox->pty */
	struct winsize size;
	/* For a helper of a backend of ours: the command gets this one as 3. NULL for a session. */
	const int *report;
};

/* What a session used, as far as the host can tell; 0 where it cannot. */
struct sandbox_usage {
	uint64_t cpu_usec, memory_peak, pids_peak, disk_used;
	uint64_t oom_kills, pids_refused;
	uint64_t boot_usec; /* of a guest, until its command ran */
};

/* How the command ended. */
struct sandbox_exit {
	int status; /* as waitpid(2) */
	bool timed_out; /* the plan's wall-clock limit ended it */
};

/* A running sandbox. Backends put it first in a struct of their own. */
struct sandbox {
	const struct backend *backend;
	char id[33]; /* 128 random bits, hex: names everything made on the host for it */
	int pidfd; /* of the sandbox's first process; owned */
	pid_t pid; /* the same, for the testkit's outside view */
	int event; /* readable when poll_exit() has something to say; owned */
	int pty; /* master of the terminal, or -1; owned; take_fd() it to hand it on */
	/*
	 * Set by a process that exits behind destroy() of a command that has ended: it then need not
	 * wait for what is left when nothing of the sandbox runs any more but is to be removed.
	 */
	bool leaving;
};

/* A socket of the sandbox's own network, for somebody outside. */
enum sandbox_socket {
	SANDBOX_CONNECT, /* a stream socket connected to the address */
	SANDBOX_LISTEN, /* one that listens there */
	SANDBOX_LISTEN_PRIVATE, /* AF_UNIX: the same, in a directory made for it with mode 0700 */
};

/* What a session with `why` has of the server's. -1: not this one. */
struct sandbox_door {
	int listener; /* the socket it connects to, listening and non-blocking */
	int page; /* the file it reads, open for writing (linux/page.h) */
};

struct backend {
	const char *name;
	const char *summary;
	struct capability_set enforces; /* what it can keep in its best configuration */
	enum plan_kernel kernel; /* whose kernel serves its sessions, at best */

	bool keeps_home; /* spec.home_source can be had */
	/* It reads and writes a regular file from its start on, wherever the caller was in it: start()
	 * refuses one as a standard stream. */
	bool no_file_streams;

	/* Can this host run it now? On refusal err says what is missing and the fix. Changes
	 * nothing, but that the answer of a tool may be remembered (answers.h). */
	int (*probe)(const struct host *host, struct err *err);

	/*
	 * Optional: puts what the names in a spec stand for on this host now (an image's id) in their
	 * place, in a copy for the caller to spec_fini(). backend_compile() calls it before compile(),
	 * which looks at nothing and takes names as they are. No effect on the host; may run a tool.
	 */
	int (*resolve)(const struct spec *spec, const struct host *host, struct spec *ret,
		struct err *err);

	/*
	 * Turns a valid spec into a sealed plan. No effect on the host. without: enum plan_layer bits
	 * to leave out. Free *ret_plan with plan_free().
	 */
	int (*compile)(const struct spec *spec, const struct host *host, uint32_t without,
		struct plan **ret_plan, struct err *err);

	/* Optional: makes what all starts share, for a process that will have many. 0 or negative errno. */
	int (*warm)(void);

	/*
	 * Optional, for callers with one thread: begins what any start() begins with, before anything is
	 * known of host or spec. start() takes it; forget() ends what nobody took. Cannot fail.
	 */
	void (*begin)(void);

	/*
	 * Optional, for callers with one thread: begins what start() of a plan for such a spec would
	 * have to begin with, since one is likely to come. start() takes it where it fits. forget() ends
	 * what nobody took. Neither can fail: what is not there is made by start().
	 */
	void (*prepare)(const struct spec *spec, const struct host *host, uint32_t without);
	void (*forget)(void);

	/*
	 * Does what the plan says; returns when the command's program has been exec'd inside. On
	 * failure nothing is left running or mounted, and err names the step.
	 */
	int (*start)(const struct plan *plan, const struct host *host,
		const struct sandbox_stdio *io, struct sandbox **ret_sandbox, struct err *err);

	/* Sends a signal to the command's process group. 0 or negative errno. */
	int (*signal)(struct sandbox *sandbox, int signo);

	/*
	 * Without blocking: 1 and *ret when the command has ended, 0 when it has not, -EPIPE when the
	 * sandbox died without saying how.
	 */
	int (*poll_exit)(struct sandbox *sandbox, struct sandbox_exit *ret);

	/* What it used so far. */
	void (*usage)(struct sandbox *sandbox, struct sandbox_usage *ret);

	/* Kills what still runs, waits for it, removes what was made, frees. Accepts NULL. */
	void (*destroy)(struct sandbox *sandbox);

	/*
	 * Optional. start() of a plan with `shared`, and io NULL, makes a sandbox without a command;
	 * this runs one in it, confined as the plan says. The plan must have the sandbox's
	 * plan_sandbox_digest(). *ret_joined stands for the command alone; destroying it ends the
	 * command, and it must be destroyed before the sandbox.
	 */
	int (*join)(struct sandbox *sandbox, const struct plan *plan,
		const struct sandbox_stdio *io, struct sandbox **ret_joined, struct err *err);

	/*
	 * Optional, for shared sandboxes: a process as confined as the plan's command makes a socket.
	 * *ret_event, the caller's, is readable when backend_take_socket() has the answer; closing it gives
	 * up. 0 or negative errno.
	 */
	int (*open_socket)(struct sandbox *sandbox, const struct plan *plan,
		enum sandbox_socket kind, const struct sockaddr *address, socklen_t size,
		int *ret_event, struct err *err);

	/*
	 * Optional: where `why` inside asks or reads; the caller's, once. What connects there is the session: nothing it
	 * sends is to be trusted.
	 */
	void (*take_door)(struct sandbox *sandbox, struct sandbox_door *ret);
};

/*
 * Without blocking, for the event of open_socket(): 1 and *ret_fd, which is a stream socket and the
 * caller's; 0 when there is no answer yet; negative errno of the attempt.
 */
int backend_take_socket(int event, int *ret_fd);

/* registry.c: best first, NULL last. */
extern const struct backend *const backends[];
extern const struct backend backend_native;
extern const struct backend backend_bubblewrap;
extern const struct backend backend_appcontainer, backend_apple_container;
extern const struct backend backend_gvisor;
extern const struct backend backend_docker, backend_docker_runsc;
extern const struct backend backend_podman, backend_podman_runsc;

/* For other systems: compiled here, never started here. */
extern const struct backend backend_seatbelt;
extern const struct backend backend_jail;
extern const struct backend backend_microvm;

/* The backend called name, or NULL. */
const struct backend *backend_find(const struct backend *const list[], const char *name);

/*
 * Whether a spec may name name as its backend: one of list, or "auto". 0, or -ENOTSUP with err naming
 * the nearest or, where none is near, all.
 */
int backend_check_name(const struct backend *const list[], const char *name, struct err *err);

/*
 * Compiles spec for one backend, without asking whether it can run here, and refuses a plan that
 * fails require or refuse_on, that lacks a restriction asked for and does not say so, or that
 * promises more than the backend can keep. The spec must be valid. The caller frees *ret_plan. 0 or
 * negative errno.
 */
int backend_compile(const struct backend *backend, const struct spec *spec, const struct host *host,
	uint32_t without, struct plan **ret_plan, struct err *err);

/*
 * Chooses a backend of list and compiles spec for it. spec->backend says how: a name takes that one
 * or none; NULL takes the first of list that backend_compile() accepts and this host can run, with
 * what it lacks in its caveats; "auto" takes the best of all, as backend_weigh() in choose.h ranks
 * them. Only backends whose plan would be taken are asked whether they can run here. The caller
 * frees *ret_plan. Returns 0, -ENOTSUP with err naming for each backend what was missing, or another
 * negative errno.
 */
int backend_choose(const struct backend *const list[], const struct spec *spec,
	const struct host *host, uint32_t without, const struct backend **ret_backend,
	struct plan **ret_plan, struct err *err);

/* Removes what crashed launchers left on this host (cgroups, id locks). Returns how many things. */
int backend_sweep(const struct host *host);
