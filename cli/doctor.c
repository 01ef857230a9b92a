#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "backends/emit.h"
#include "backends/host.h"
#include "backends/linux/quota.h"
#include "base/cleanup.h"

#define DETAIL 280 /* a path of struct host and a few words */

/* One thing to look at. */
struct finding {
	const char *name; /* also the JSON key */
	/* Is it as it should be? detail (never NULL) may be filled, DETAIL bytes. */
	bool (*look)(const struct host *host, char *detail);
	const char *means; /* what is lost without it */
	const char *fix;
};

static bool look_root(const struct host *host, char *detail)
{
	return host->root;
}

static bool look_user_namespaces(const struct host *host, char *detail)
{
	return host->user_namespaces;
}

static bool look_proc(const struct host *host, char *detail)
{
	return host->proc_mountable;
}

static bool look_overlay(const struct host *host, char *detail)
{
	return host->overlay;
}

static bool look_into_cgroup(const struct host *host, char *detail)
{
	return host->clone_into_cgroup;
}

static bool look_landlock(const struct host *host, char *detail)
{
	if (host->landlock_abi > 0) {
		(void)snprintf(detail, DETAIL, "ABI %d", host->landlock_abi);
	}
	return host->landlock_abi > 0;
}

static bool look_landlock_recent(const struct host *host, char *detail)
{
	return host->landlock_abi >= 6;
}

static bool look_landlock_log(const struct host *host, char *detail)
{
	return host->audit_landlock;
}

static bool look_tiocsti(const struct host *host, char *detail)
{
	return !host->legacy_tiocsti;
}

static bool look_controller(const struct host *host, enum cgroup_controller which, char *detail)
{
	const struct host_cgroup *cgroup = &host->cgroup[which];

	if (cgroup->version > 0) {
		(void)snprintf(detail, DETAIL, "v%d, %s", cgroup->version, cgroup->path);
	}
	return cgroup->version > 0;
}

static bool look_memory(const struct host *host, char *detail)
{
	return look_controller(host, CGROUP_MEMORY, detail);
}

static bool look_pids(const struct host *host, char *detail)
{
	return look_controller(host, CGROUP_PIDS, detail);
}

static bool look_cpu(const struct host *host, char *detail)
{
	return look_controller(host, CGROUP_CPU, detail);
}

static bool look_cgroup_kill(const struct host *host, char *detail)
{
	if (*host->cgroup_kill) {
		(void)snprintf(detail, DETAIL, "%s", host->cgroup_kill);
	}
	return *host->cgroup_kill;
}

static bool look_ids(const struct host *host, char *detail)
{
	if (host->id_count > 0) {
		(void)snprintf(detail, DETAIL, "%u sessions, from %u on", host->id_count / 65536,
			host->id_base);
	}
	return host->id_count > 0;
}

/* Of the default place; a server with another one says it itself (cloche-sshd -t). */
static bool look_home_quota(const struct host *host, char *detail)
{
	static const char *const places[] = {
		"/var/lib/cloche/homes", "/var/lib/cloche", "/var/lib"};
	int r = -ENOENT;

	for (size_t i = 0; i < ARRAY_SIZE(places) && r == -ENOENT; i++) {
		cleanup_close int fd = open(places[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = fd < 0 ? -errno : quota_probe(fd);
		(void)snprintf(detail, DETAIL, "%s", places[i]);
	}
	return r == 0;
}

static const struct finding findings[] = {
	{"user_namespaces", look_user_namespaces, "the native backend cannot run at all",
		"as root: sysctl user.max_user_namespaces=15000 "
		"kernel.unprivileged_userns_clone=1; on Ubuntu also "
		"kernel.apparmor_restrict_unprivileged_userns=0"},
	{"proc_mountable", look_proc, "the native backend cannot run at all",
		"in a container: run it with an unmasked /proc; under systemd: without "
		"ProtectKernelTunables= and ProtectKernelLogs="},
	{"overlay", look_overlay, "no fs.write.ephemeral and no write overlay",
		"modprobe overlay; without root a kernel from 5.11 on"},
	{"root", look_root,
		"one user id for all sessions (session.fresh is weaker), control groups only where "
		"delegated",
		"run as root: the server gives up all it does not need"},
	{"id_ranges", look_ids, "one user id for all sessions (session.fresh is weaker)",
		"run as root; keep ids above 603979776 out of /etc/subuid and /etc/subgid"},
	{"cgroup_memory", look_memory, "no res.memory",
		"as root: mount a control group tree with the memory controller; else a systemd "
		"unit with Delegate=memory pids cpu"},
	{"cgroup_pids", look_pids, "no res.pids by control group; with own ids RLIMIT_NPROC helps",
		"the same for the pids controller"},
	{"cgroup_cpu", look_cpu, "no res.cpu", "the same for the cpu controller"},
	{"cgroup_kill", look_cgroup_kill,
		"a session is ended through its first process, not in one stroke",
		"mount the v2 tree; a kernel from 5.14 on"},
	{"clone_into_cgroup", look_into_cgroup,
		"a sandbox joins its control groups just after its birth, before any of its code "
		"runs",
		"a kernel from 5.7 on with control groups v2"},
	{"landlock", look_landlock, "files are guarded by mounts alone, with no second layer",
		"boot with lsm=landlock,...; a kernel from 5.13 on"},
	{"landlock_scopes", look_landlock_recent,
		"signals, abstract sockets and TCP ports are kept apart by namespaces alone",
		"a kernel from 6.12 on"},
	{"landlock_log", look_landlock_log, "no denial.log for files",
		"a kernel from 6.15 on with audit, as root"},
	{"home_quota", look_home_quota,
		"the limit of home directories that last (home_quota) is counted while sessions "
		"run, "
		"and can be passed for seconds; the file system does not keep it",
		"ext4 (made with -O quota,project) or xfs, mounted with prjquota, for the homes; "
		"as root"},
	{"no_legacy_tiocsti", look_tiocsti,
		"the host's terminals accept pushed input; sandboxes have terminals of their own "
		"and the filter refuses it, so nothing of tty.isolate is lost",
		"sysctl dev.tty.legacy_tiocsti=0"},
};

static int print_json(const struct host *host)
{
	struct emitter out = {0};
	cleanup_free char *text = NULL;

	emit_open(&out, '{');
	emit_key(&out, "findings");
	emit_open(&out, '[');
	for (size_t i = 0; i < ARRAY_SIZE(findings); i++) {
		char detail[DETAIL] = "";
		bool good = findings[i].look(host, detail);
		emit_open(&out, '{');
		emit_key(&out, "detail");
		emit_text(&out, *detail ? detail : NULL);
		emit_key(&out, "fix");
		emit_text(&out, findings[i].fix);
		emit_key(&out, "good");
		emit_bool(&out, good);
		emit_key(&out, "name");
		emit_text(&out, findings[i].name);
		emit_key(&out, "without");
		emit_text(&out, findings[i].means);
		emit_close(&out, '}');
	}
	emit_close(&out, ']');
	emit_key(&out, "kernel");
	emit_text(&out, host->release);
	emit_key(&out, "machine");
	emit_text(&out, host->machine);
	emit_key(&out, "processors");
	emit_number(&out, host->processors);
	emit_key(&out, "schema");
	emit_text(&out, "cloche.doctor/1");
	emit_close(&out, '}');
	text = emit_finish(&out);
	if (!text) {
		return cli_fail(CLI_FAILED, "out of memory");
	}
	(void)puts(text);
	return CLI_OK;
}

static void print_findings(const struct host *host)
{
	unsigned lacking = 0;

	(void)printf(
		"Linux %s, %s, %u processors\n\n", host->release, host->machine, host->processors);
	for (size_t i = 0; i < ARRAY_SIZE(findings); i++) {
		char detail[DETAIL] = "";
		bool good = findings[i].look(host, detail);
		(void)printf("%-4s %s", good ? "yes" : "no", findings[i].name);
		if (*detail) {
			(void)printf("%*s%s", 19 - (int)strlen(findings[i].name), "", detail);
		}
		(void)putchar('\n');
		if (!good) {
			(void)printf("%5swithout it: ", "");
			cli_wrap(17, findings[i].means);
			(void)printf("%5smend it:    ", "");
			cli_wrap(17, findings[i].fix);
			lacking++;
		}
	}
	if (lacking == 0) {
		(void)printf("\nNothing is missing.\n");
	}
}

int command_doctor(int argc, char **argv)
{
	struct host host = {0};
	struct err err = {0};
	bool json = false;
	int r = cli_only_json(argc, argv, &json);

	if (r >= 0) {
		return r;
	}
	if (host_probe(&host, &err) < 0 || host_probe_deep(&host, &err) < 0) {
		return cli_fail(CLI_FAILED, "%s", err.msg);
	}
	r = CLI_OK;
	if (json) {
		r = print_json(&host);
	} else {
		print_findings(&host);
	}
	/* Without these two nothing can run: scripts may want to know. */
	if (!host.user_namespaces || !host.proc_mountable) {
		r = CLI_FAILED;
	}
	return cli_flush() ? r : CLI_FAILED;
}
