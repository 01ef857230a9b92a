/*
 * The bubblewrap backend: the view of native_view_compile(), the names, limits and filter of the
 * native backend, put in place by bwrap(1). bubblewrap.c says whether it can be used, bubblewrap-plan.c
 * what bwrap will be told, bubblewrap-run.c starts it, bubblewrap-word.c waits for the command's word.
 *
 * What bwrap is told is a file of the plan, one operation a line:
 *
 *	CONDITION TAB ARGUMENT TAB ARGUMENT ...
 *
 * "always"; "pipe" where there is no terminal; "net" where bwrap is to make the session's network itself
 * (as root the keeper has made it by then: the kernel takes long over one); "has:N" where the source of
 * mount N exists, "file:N" and "dir:N" where it is one. A start opens every source once ({fd:mN}), drops
 * what does not apply, and hands the rest to bwrap --args. bwrap opens no path of the host's but
 * /dev/null, and its command line names none.
 *
 * As root bwrap itself runs as one id out of the session's own range, without a capability: what
 * goes wrong in it goes wrong as nobody. One id is mapped inside.
 *
 * The last program of ours in the sandbox is "cloche-init enter" (init/enter.c), which bwrap execs
 * from a sealed memory file behind its filter: it says which process the command is and whether its
 * exec succeeded, and keeps bwrap out of the command's process group.
 */
#pragma once

#include "backends/backend.h"
#include "backends/keeper.h"
#include "backends/linux/idrange.h"

#define BUBBLEWRAP_ARGS "bwrap.args"
#define BUBBLEWRAP_DOOR "door"

struct bubblewrap {
	struct sandbox base; /* pid and pidfd are the command's; event is the keeper's socket */
	struct keeper keeper;
	struct keeper_door door;
	struct idrange ids;
	bool gone; /* the command had ended before it could be held: base.pidfd is bwrap's */
};

/* Where the word of the command comes from. Borrowed. */
struct bubblewrap_word {
	int control; /* our end of cloche-init's socket */
	int errors; /* our end of bwrap's standard error */
	bool waved; /* cloche-init need not wait for us */
	const char *program; /* for what is told of it */
};

/*
 * Waits until the command has been exec'd, and takes hold of it: its pid and pidfd are base's then. 0, or
 * negative errno with err saying what bwrap or the exec said.
 */
int bubblewrap_await(
	struct bubblewrap *sandbox, const struct bubblewrap_word *from, struct err *err);

/* As in struct backend. */
int bubblewrap_compile(const struct spec *spec, const struct host *host, uint32_t without,
	struct plan **ret_plan, struct err *err);
int bubblewrap_start(const struct plan *plan, const struct host *host,
	const struct sandbox_stdio *io, struct sandbox **ret_sandbox, struct err *err);
int bubblewrap_signal(struct sandbox *base, int signo);
int bubblewrap_poll_exit(struct sandbox *base, struct sandbox_exit *ret);
void bubblewrap_usage(struct sandbox *base, struct sandbox_usage *ret);
void bubblewrap_take_door(struct sandbox *base, struct sandbox_door *ret);
void bubblewrap_destroy(struct sandbox *base);
