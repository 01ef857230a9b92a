/* Whether bwrap can be used, and the backend's table. See bubblewrap.h. */
#include "backends/bubblewrap.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/foreign.h"

#define ASK_MS 5000

/* Options that a bwrap must have; Debian 12's 0.8.0 has all. */
static const char *const needed_options[] = {"--args", "--bind-fd", "--ro-bind-fd",
	"--disable-userns", "--size", "--perms", "--seccomp", "--die-with-parent", "--file"};

static int bubblewrap_probe(const struct host *host, struct err *err)
{
	char name[] = "bwrap";
	char option[] = "--help";
	char *argv[] = {name, option, NULL};
	char path[KEEPER_TOOL_PATH];
	char help[16384];
	struct stat seen;

	if (!host->user_namespaces || !host->proc_mountable) {
		return err_refuse(err, ENOTSUP,
			"bwrap needs user namespaces and a /proc that can be mounted in them");
	}
	if (keeper_find_tool(name, path) < 0 || stat(path, &seen) < 0) {
		return err_refuse(err, ENOTSUP, "bwrap is not installed (package bubblewrap)");
	}
	if (seen.st_mode & (S_ISUID | S_ISGID)) {
		return err_refuse(err, ENOTSUP,
			"%s is set-user-id, which changes what its options mean: chmod u-s it",
			path);
	}
	int r = foreign_ask_once(argv, ASK_MS, help, sizeof(help));
	if (r != 0) {
		return err_refuse(err, ENOTSUP, "%s --help does not answer", path);
	}
	for (size_t i = 0; i < ARRAY_SIZE(needed_options); i++) {
		if (!strstr(help, needed_options[i])) {
			return err_refuse(err, ENOTSUP,
				"%s has no %s; take bubblewrap 0.8.0 or newer", path,
				needed_options[i]);
		}
	}
	return 0;
}

/* Nearly every plan has a network of its own. */
static void bubblewrap_begin(void)
{
	keeper_ahead();
	if (geteuid() == 0) {
		keeper_net(NULL);
	}
}

#define HAS(name) (UINT64_C(1) << CAPABILITY_##name)

const struct backend backend_bubblewrap = {
	.name = "bubblewrap",
	.summary = "bwrap, with our view, filter and control groups",
	.enforces = {HAS(NET_DISABLE) | HAS(NET_ENABLE) | HAS(FS_READ_HOST) | HAS(FS_READ_SCOPE) |
		HAS(FS_READ_DENY) | HAS(FS_WRITE_DENY) | HAS(FS_WRITE_SCOPE) |
		HAS(FS_WRITE_EPHEMERAL) | HAS(ENV_SCRUB) | HAS(IPC_RESTRICT) | HAS(RES_CPU) |
		HAS(RES_MEMORY) | HAS(RES_PIDS) | HAS(RES_DISK) | HAS(RES_TIME) |
		HAS(PROC_ISOLATION) | HAS(KERNEL_FILTER) | HAS(PRIV_NONE) | HAS(DEV_MINIMAL) |
		HAS(TTY_ISOLATE) | HAS(HOST_CONCEAL) | HAS(SESSION_FRESH)},
	.kernel = PLAN_KERNEL_SHARED,
	.probe = bubblewrap_probe,
	.compile = bubblewrap_compile,
	.warm = keeper_warm,
	.begin = bubblewrap_begin,
	.forget = keeper_forget,
	.start = bubblewrap_start,
	.signal = bubblewrap_signal,
	.poll_exit = bubblewrap_poll_exit,
	.usage = bubblewrap_usage,
	.take_door = bubblewrap_take_door,
	.destroy = bubblewrap_destroy,
};
