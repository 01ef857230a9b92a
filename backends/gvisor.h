/*
 * gVisor: sessions whose system calls are served by a kernel in user space (runsc), given an OCI
 * bundle of ours. gvisor.c decides, gvisor-view.c says what is seen, gvisor-run.c runs it,
 * gvisor-probe.c asks runsc what it can do.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "backends/backend.h"

/* linux/statx/statx.c as a shared object, for sessions under a runsc that needs it. */
extern const unsigned char gvisor_statx_program[];
extern const size_t gvisor_statx_size;

/* Files of the host that programs look for and that need not be there. NULL-terminated. */
extern const char *const gvisor_files[];

/*
 * What runsc can do, by the words of its own help and never by its version: host->gvisor when that
 * is known, else asked once a process (two short runs of runsc) and kept. Borrowed.
 */
const struct host_gvisor *gvisor_facts(const struct host *host);

/* Runsc itself takes about 40 MiB of a limit. */
#define GVISOR_MEMORY_LEAST (96ULL << 20)

/* What a session of so many tasks is on the host: up to six each, beside the threads of runsc. */
uint64_t gvisor_host_tasks(uint64_t tasks);

/* What the view decided. */
struct gvisor_view {
	bool broad; /* the host's tree is the root */
	bool persistent; /* something of the host's can be written for good */
	bool overlay_root, overlay_all; /* which mounts take throw-away writes */
	bool no_overlay; /* a throw-away layer was asked for that cannot be had */
	bool statx; /* linux/statx/ is preloaded */
	char *home;
	char *start; /* working directory when the spec names none */
};

void gvisor_view_fini(struct gvisor_view *view);

/* Appends mounts, files and caveats to plan. 0 or -ENOMEM. */
int gvisor_view_compile(const struct spec *spec, const struct host *host, struct plan *plan,
	struct gvisor_view *ret);

/* The bundle. It says that there is no terminal: start() says it otherwise where there is one. */
#define GVISOR_CONFIG "config.json"

/* As in struct backend. */
int gvisor_start(const struct plan *plan, const struct host *host, const struct sandbox_stdio *io,
	struct sandbox **ret_sandbox, struct err *err);
int gvisor_signal(struct sandbox *sandbox, int signo);
int gvisor_poll_exit(struct sandbox *sandbox, struct sandbox_exit *ret);
void gvisor_usage(struct sandbox *sandbox, struct sandbox_usage *ret);
void gvisor_take_door(struct sandbox *sandbox, struct sandbox_door *ret);
void gvisor_destroy(struct sandbox *sandbox);
