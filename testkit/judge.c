#include "testkit/judge.h"

#include <assert.h>
#include <string.h>

#include "base/cleanup.h"

/*
 * Which probes decide which promise. A promise is kept when no row is broken and at least one row
 * is kept for good: by evidence of the host's own, with a control that showed the door open. Rows
 * whose observation says nothing here (no IPv6, no such device) neither help nor hurt.
 */
const struct judge_rule judge_rules[] = {
	{CAPABILITY_NET_DISABLE, "N.tcp4", EXPECT_SHUT},
	{CAPABILITY_NET_DISABLE, "N.tcp6", EXPECT_SHUT},
	{CAPABILITY_NET_DISABLE, "N.udp4", EXPECT_SHUT},
	{CAPABILITY_NET_DISABLE, "N.udp6", EXPECT_SHUT},
	{CAPABILITY_NET_DISABLE, "N.alias", EXPECT_SHUT},
	{CAPABILITY_NET_DISABLE, "N.own", EXPECT_SHUT},
	{CAPABILITY_NET_DISABLE, "N.zero", EXPECT_SHUT},
	{CAPABILITY_NET_DISABLE, "N.mapped", EXPECT_SHUT},
	{CAPABILITY_NET_DISABLE, "N.fastopen", EXPECT_SHUT},
	{CAPABILITY_NET_DISABLE, "N.mptcp", EXPECT_SHUT},
	{CAPABILITY_NET_DISABLE, "N.int80", EXPECT_SHUT},
	{CAPABILITY_NET_DISABLE, "N.listen", EXPECT_SHUT},
	{CAPABILITY_NET_DISABLE, "N.route", EXPECT_SHUT},
	{CAPABILITY_NET_DISABLE, "N.links", EXPECT_SHUT},
	{CAPABILITY_NET_DISABLE, "N.table", EXPECT_SHUT},
	{CAPABILITY_NET_DISABLE, "N.namespace", EXPECT_SHUT},
	{CAPABILITY_NET_DISABLE, "C.tcp", EXPECT_SHUT},
	{CAPABILITY_NET_DISABLE, "H.local-tcp", EXPECT_SHUT},
	{CAPABILITY_NET_DISABLE, "H.remote-tcp", EXPECT_SHUT},

	{CAPABILITY_NET_ENABLE, "N.tcp4", EXPECT_OPEN},
	{CAPABILITY_NET_ENABLE, "N.listen", EXPECT_OPEN},
	{CAPABILITY_NET_OUTBOUND, "N.route", EXPECT_OPEN},
	{CAPABILITY_NET_OUTBOUND, "N.listen", EXPECT_SHUT},
	{CAPABILITY_NET_OUTBOUND, "N.tcp4", EXPECT_SHUT},
	{CAPABILITY_NET_OUTBOUND, "N.tcp6", EXPECT_SHUT},
	{CAPABILITY_NET_OUTBOUND, "N.udp4", EXPECT_SHUT},
	{CAPABILITY_NET_OUTBOUND, "N.udp6", EXPECT_SHUT},
	{CAPABILITY_NET_OUTBOUND, "N.alias", EXPECT_SHUT},
	{CAPABILITY_NET_OUTBOUND, "N.zero", EXPECT_SHUT},
	{CAPABILITY_NET_OUTBOUND, "N.mapped", EXPECT_SHUT},
	{CAPABILITY_NET_OUTBOUND, "N.mptcp", EXPECT_SHUT},
	{CAPABILITY_NET_OUTBOUND, "N.namespace", EXPECT_SHUT},
	{CAPABILITY_NET_EGRESS, "N.tcp4", EXPECT_SHUT},
	{CAPABILITY_NET_EGRESS, "N.tcp6", EXPECT_SHUT},
	{CAPABILITY_NET_EGRESS, "N.udp4", EXPECT_SHUT},
	{CAPABILITY_NET_EGRESS, "N.udp6", EXPECT_SHUT},
	{CAPABILITY_NET_EGRESS, "N.alias", EXPECT_SHUT},
	{CAPABILITY_NET_EGRESS, "N.own", EXPECT_SHUT},
	{CAPABILITY_NET_EGRESS, "N.zero", EXPECT_SHUT},
	{CAPABILITY_NET_EGRESS, "N.mapped", EXPECT_SHUT},
	{CAPABILITY_NET_EGRESS, "N.mptcp", EXPECT_SHUT},
	{CAPABILITY_NET_EGRESS, "N.listen", EXPECT_SHUT},
	{CAPABILITY_NET_EGRESS, "N.namespace", EXPECT_SHUT},
	{CAPABILITY_NET_INBOUND, "N.listen", EXPECT_SHUT},
	{CAPABILITY_NET_INBOUND, "N.namespace", EXPECT_SHUT},

	{CAPABILITY_FS_READ_HOST, "F.read-home", EXPECT_OPEN},
	{CAPABILITY_FS_READ_SCOPE, "F.scope-read", EXPECT_OPEN},
	{CAPABILITY_FS_READ_SCOPE, "F.read-home", EXPECT_SHUT},
	{CAPABILITY_FS_READ_SCOPE, "F.read-tmp", EXPECT_SHUT},
	{CAPABILITY_FS_READ_SCOPE, "F.read-opath", EXPECT_SHUT},
	{CAPABILITY_FS_READ_SCOPE, "F.read-climb", EXPECT_SHUT},
	{CAPABILITY_FS_READ_SCOPE, "F.read-proc-root", EXPECT_SHUT},
	{CAPABILITY_FS_READ_SCOPE, "F.root", EXPECT_SHUT},
	{CAPABILITY_FS_READ_SCOPE, "H.sftp-read", EXPECT_SHUT},
	{CAPABILITY_FS_READ_DENY, "F.deny", EXPECT_SHUT},
	{CAPABILITY_FS_READ_DENY, "F.deny-alias", EXPECT_SHUT},
	{CAPABILITY_FS_READ_DENY, "F.deny-list", EXPECT_SHUT},
	{CAPABILITY_FS_READ_DENY, "F.deny-mask", EXPECT_SHUT},

	{CAPABILITY_FS_WRITE_DENY, "F.create", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_DENY, "F.overwrite", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_DENY, "F.append", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_DENY, "F.truncate", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_DENY, "F.unlink", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_DENY, "F.rename", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_DENY, "F.mkdir", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_DENY, "F.symlink", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_DENY, "F.chmod", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_DENY, "F.times", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_DENY, "F.mmap", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_DENY, "F.tmpfile", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_DENY, "F.tmp-private", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_DENY, "F.vartmp-private", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_DENY, "F.shm-private", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_DENY, "F.dirfd", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_DENY, "F.rofd", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_DENY, "F.mount-flags", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_DENY, "H.sftp-write", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_DENY, "H.remote-path", EXPECT_SHUT},

	{CAPABILITY_FS_WRITE_SCOPE, "F.scope-create", EXPECT_OPEN},
	{CAPABILITY_FS_WRITE_SCOPE, "F.scope-overwrite", EXPECT_OPEN},
	{CAPABILITY_FS_WRITE_SCOPE, "F.create", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_SCOPE, "F.overwrite", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_SCOPE, "F.truncate", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_SCOPE, "F.unlink", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_SCOPE, "F.rename", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_SCOPE, "F.dirfd", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_SCOPE, "F.rofd", EXPECT_SHUT},

	{CAPABILITY_FS_WRITE_EPHEMERAL, "F.scratch", EXPECT_VIRTUAL},
	{CAPABILITY_FS_WRITE_EPHEMERAL, "F.create", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_EPHEMERAL, "F.overwrite", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_EPHEMERAL, "F.append", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_EPHEMERAL, "F.truncate", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_EPHEMERAL, "F.unlink", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_EPHEMERAL, "F.rename", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_EPHEMERAL, "F.mkdir", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_EPHEMERAL, "F.mmap", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_EPHEMERAL, "F.tmp-private", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_EPHEMERAL, "F.vartmp-private", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_EPHEMERAL, "F.shm-private", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_EPHEMERAL, "F.dirfd", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_EPHEMERAL, "F.rofd", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_EPHEMERAL, "F.mount-flags", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_EPHEMERAL, "H.sftp-write", EXPECT_SHUT},
	{CAPABILITY_FS_WRITE_EPHEMERAL, "H.remote-path", EXPECT_SHUT},

	{CAPABILITY_ENV_SCRUB, "L.env", EXPECT_SHUT},
	{CAPABILITY_ENV_SCRUB, "L.env-listed", EXPECT_SHUT},
	{CAPABILITY_ENV_SCRUB, "L.env-host", EXPECT_SHUT},

	{CAPABILITY_PROC_NO_EXEC, "X.self", EXPECT_SHUT},
	{CAPABILITY_PROC_NO_EXEC, "X.shell", EXPECT_SHUT},
	{CAPABILITY_PROC_NO_EXEC, "X.linker", EXPECT_SHUT},
	{CAPABILITY_PROC_NO_EXEC, "X.memfd", EXPECT_SHUT},
	{CAPABILITY_PROC_NO_EXEC, "X.tmp", EXPECT_SHUT},

	{CAPABILITY_KERNEL_ISOLATION, "K.same-kernel", EXPECT_SHUT},

	{CAPABILITY_IPC_RESTRICT, "I.shm", EXPECT_SHUT},
	{CAPABILITY_IPC_RESTRICT, "I.shm-write", EXPECT_SHUT},
	{CAPABILITY_IPC_RESTRICT, "I.msg", EXPECT_SHUT},
	{CAPABILITY_IPC_RESTRICT, "I.sem", EXPECT_SHUT},
	{CAPABILITY_IPC_RESTRICT, "I.mq", EXPECT_SHUT},
	{CAPABILITY_IPC_RESTRICT, "I.unix-path", EXPECT_SHUT},
	{CAPABILITY_IPC_RESTRICT, "I.unix-tmp", EXPECT_SHUT},
	{CAPABILITY_IPC_RESTRICT, "I.unix-abstract", EXPECT_SHUT},
	{CAPABILITY_IPC_RESTRICT, "I.unix-datagram", EXPECT_SHUT},
	{CAPABILITY_IPC_RESTRICT, "I.unix-abstract-datagram", EXPECT_SHUT},
	{CAPABILITY_IPC_RESTRICT, "I.shm-file", EXPECT_SHUT},
	{CAPABILITY_IPC_RESTRICT, "I.sysv-list", EXPECT_SHUT},
	{CAPABILITY_IPC_RESTRICT, "I.namespace", EXPECT_SHUT},
	{CAPABILITY_IPC_RESTRICT, "C.unix-abstract", EXPECT_SHUT},
	{CAPABILITY_IPC_RESTRICT, "H.local-path", EXPECT_SHUT},
	{CAPABILITY_IPC_RESTRICT, "I.key-session", EXPECT_SHUT},
	{CAPABILITY_IPC_RESTRICT, "I.key-number", EXPECT_SHUT},

	{CAPABILITY_RES_CPU, "R.cpu-limit", EXPECT_SHUT},
	{CAPABILITY_RES_CPU, "R.cpu", EXPECT_SHUT},
	{CAPABILITY_RES_MEMORY, "R.memory-limit", EXPECT_SHUT},
	{CAPABILITY_RES_MEMORY, "R.memory", EXPECT_SHUT},
	{CAPABILITY_RES_PIDS, "R.tasks-limit", EXPECT_SHUT},
	{CAPABILITY_RES_PIDS, "R.tasks", EXPECT_SHUT},
	{CAPABILITY_RES_DISK, "R.disk-limit", EXPECT_SHUT},
	{CAPABILITY_RES_DISK, "R.disk", EXPECT_SHUT},
	{CAPABILITY_RES_TIME, "R.time", EXPECT_SHUT},

	{CAPABILITY_PROC_ISOLATION, "P.see", EXPECT_SHUT},
	{CAPABILITY_PROC_ISOLATION, "P.kill0", EXPECT_SHUT},
	{CAPABILITY_PROC_ISOLATION, "P.kill", EXPECT_SHUT},
	{CAPABILITY_PROC_ISOLATION, "P.tgkill", EXPECT_SHUT},
	{CAPABILITY_PROC_ISOLATION, "P.queue", EXPECT_SHUT},
	{CAPABILITY_PROC_ISOLATION, "P.pidfd-signal", EXPECT_SHUT},
	{CAPABILITY_PROC_ISOLATION, "P.group", EXPECT_SHUT},
	{CAPABILITY_PROC_ISOLATION, "P.group-nice", EXPECT_SHUT},
	{CAPABILITY_PROC_ISOLATION, "P.seize", EXPECT_SHUT},
	{CAPABILITY_PROC_ISOLATION, "P.vm-read", EXPECT_SHUT},
	{CAPABILITY_PROC_ISOLATION, "P.mem", EXPECT_SHUT},
	{CAPABILITY_PROC_ISOLATION, "P.getfd", EXPECT_SHUT},
	{CAPABILITY_PROC_ISOLATION, "P.limit", EXPECT_SHUT},
	{CAPABILITY_PROC_ISOLATION, "P.affinity", EXPECT_SHUT},
	{CAPABILITY_PROC_ISOLATION, "P.kcmp", EXPECT_SHUT},
	{CAPABILITY_PROC_ISOLATION, "P.nice", EXPECT_SHUT},
	{CAPABILITY_PROC_ISOLATION, "P.namespace", EXPECT_SHUT},

	{CAPABILITY_KERNEL_FILTER, "K.filter", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.filter-default", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.filter-i386", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.filter-x32", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.filter.modules", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.filter.boot", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.filter.clock", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.filter.admin", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.filter.mount", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.filter.namespaces", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.filter.keys", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.filter.memory", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.filter.attack", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.filter.ports", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.filter.handles", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.filter.obsolete", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.filter.personality", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.filter.terminal", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.filter.sockets", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.filter.netlink", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.filter.unknown", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.filter.i386", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.filter.x32", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.uring", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.uffd", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.perf", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.bpf", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.add-key", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.keyctl", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.alg", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.vsock", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.netlink-audit", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.netlink-uevent", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.netlink-netfilter", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.packet", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.int80", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.int80-socket", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.x32", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.mount", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.fsopen", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.open-tree", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.move-mount", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.setns", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.pivot", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.handle", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.fanotify", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.numa", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.ldt", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.syslog", EXPECT_SHUT},
	{CAPABILITY_KERNEL_FILTER, "K.quota", EXPECT_SHUT},

	{CAPABILITY_PRIV_NONE, "V.caps", EXPECT_SHUT},
	{CAPABILITY_PRIV_NONE, "V.nnp", EXPECT_SHUT},
	{CAPABILITY_PRIV_NONE, "V.host-root", EXPECT_SHUT},
	{CAPABILITY_PRIV_NONE, "V.groups", EXPECT_SHUT},
	{CAPABILITY_PRIV_NONE, "V.user-namespaces", EXPECT_SHUT},
	{CAPABILITY_PRIV_NONE, "V.setuid-program", EXPECT_SHUT},
	{CAPABILITY_PRIV_NONE, "V.setuid", EXPECT_SHUT},
	{CAPABILITY_PRIV_NONE, "K.userns", EXPECT_SHUT},
	{CAPABILITY_PRIV_NONE, "K.clone-userns", EXPECT_SHUT},
	{CAPABILITY_PRIV_NONE, "K.clone3-userns", EXPECT_SHUT},
	{CAPABILITY_PRIV_NONE, "K.userns-mount", EXPECT_SHUT},
	{CAPABILITY_PRIV_NONE, "K.userns-net", EXPECT_SHUT},

	{CAPABILITY_DEV_MINIMAL, "D.list", EXPECT_SHUT},
	{CAPABILITY_DEV_MINIMAL, "D.planted", EXPECT_SHUT},
	{CAPABILITY_DEV_MINIMAL, "D.fuse", EXPECT_SHUT},
	{CAPABILITY_DEV_MINIMAL, "D.tun", EXPECT_SHUT},
	{CAPABILITY_DEV_MINIMAL, "D.kvm", EXPECT_SHUT},
	{CAPABILITY_DEV_MINIMAL, "D.kmsg", EXPECT_SHUT},

	{CAPABILITY_TTY_ISOLATE, "D.push", EXPECT_SHUT},
	{CAPABILITY_TTY_ISOLATE, "D.push-high", EXPECT_SHUT},
	{CAPABILITY_TTY_ISOLATE, "D.tty", EXPECT_SHUT},
	{CAPABILITY_TTY_ISOLATE, "D.pts", EXPECT_SHUT},
	{CAPABILITY_TTY_ISOLATE, "D.push-door", EXPECT_SHUT},
	{CAPABILITY_TTY_ISOLATE, "D.linux-door", EXPECT_SHUT},
	{CAPABILITY_TTY_ISOLATE, "D.session", EXPECT_SHUT},
	{CAPABILITY_TTY_ISOLATE, "H.terminal", EXPECT_SHUT},

	{CAPABILITY_HOST_CONCEAL, "L.hostname", EXPECT_SHUT},
	{CAPABILITY_HOST_CONCEAL, "L.uts", EXPECT_SHUT},
	{CAPABILITY_HOST_CONCEAL, "L.machine", EXPECT_SHUT},
	{CAPABILITY_HOST_CONCEAL, "L.cgroup", EXPECT_SHUT},
	{CAPABILITY_HOST_CONCEAL, "L.cgroup-namespace", EXPECT_SHUT},
	{CAPABILITY_HOST_CONCEAL, "L.pid1", EXPECT_SHUT},
	{CAPABILITY_HOST_CONCEAL, "L.mounts", EXPECT_SHUT},
	{CAPABILITY_HOST_CONCEAL, "L.cmdline", EXPECT_SHUT},
	{CAPABILITY_HOST_CONCEAL, "L.kallsyms", EXPECT_SHUT},
	{CAPABILITY_HOST_CONCEAL, "L.modules", EXPECT_SHUT},
	{CAPABILITY_HOST_CONCEAL, "L.interrupts", EXPECT_SHUT},
	{CAPABILITY_HOST_CONCEAL, "I.key-session", EXPECT_SHUT},
	{CAPABILITY_HOST_CONCEAL, "I.key-number", EXPECT_SHUT},
	{CAPABILITY_HOST_CONCEAL, "I.key-list", EXPECT_SHUT},

	{CAPABILITY_SESSION_FRESH, "S.tmp", EXPECT_SHUT},
	{CAPABILITY_SESSION_FRESH, "S.vartmp", EXPECT_SHUT},
	{CAPABILITY_SESSION_FRESH, "S.shm", EXPECT_SHUT},
	{CAPABILITY_SESSION_FRESH, "S.home", EXPECT_SHUT},
	{CAPABILITY_SESSION_FRESH, "S.key", EXPECT_SHUT},
	{CAPABILITY_SESSION_FRESH, "S.sysv", EXPECT_SHUT},
	{CAPABILITY_SESSION_FRESH, "S.namespaces", EXPECT_SHUT},
	{CAPABILITY_SESSION_FRESH, "C.see", EXPECT_SHUT},
	{CAPABILITY_SESSION_FRESH, "C.tmp", EXPECT_SHUT},
	{CAPABILITY_SESSION_FRESH, "C.vartmp", EXPECT_SHUT},
	{CAPABILITY_SESSION_FRESH, "C.shm-file", EXPECT_SHUT},
	{CAPABILITY_SESSION_FRESH, "C.home", EXPECT_SHUT},
	{CAPABILITY_SESSION_FRESH, "C.root", EXPECT_SHUT},
	{CAPABILITY_SESSION_FRESH, "C.memory", EXPECT_SHUT},
	{CAPABILITY_SESSION_FRESH, "C.trace", EXPECT_SHUT},
	{CAPABILITY_SESSION_FRESH, "C.signal", EXPECT_SHUT},
	{CAPABILITY_SESSION_FRESH, "C.unix-path", EXPECT_SHUT},
	{CAPABILITY_SESSION_FRESH, "C.sysv", EXPECT_SHUT},
	{CAPABILITY_SESSION_FRESH, "C.message", EXPECT_SHUT},
	{CAPABILITY_SESSION_FRESH, "C.key", EXPECT_SHUT},
	{CAPABILITY_SESSION_FRESH, "C.namespaces", EXPECT_SHUT},
	{CAPABILITY_SESSION_FRESH, "L.fds", EXPECT_SHUT},
	{CAPABILITY_SESSION_FRESH, "L.fds-host", EXPECT_SHUT},
	{CAPABILITY_SESSION_FRESH, "L.cwd", EXPECT_SHUT},
	{CAPABILITY_SESSION_FRESH, "H.kill-client", EXPECT_SHUT},
	{CAPABILITY_SESSION_FRESH, "H.daemon", EXPECT_SHUT},
};
const size_t judge_rule_count = ARRAY_SIZE(judge_rules);

static const char *const observation_names[] = {
	[OBSERVED_NOT_RUN] = "NOT-RUN",
	[OBSERVED_OPEN] = "OPEN",
	[OBSERVED_CLAIM_OPEN] = "CLAIM-OPEN",
	[OBSERVED_SHUT] = "SHUT",
	[OBSERVED_KILLED] = "SHUT-BY-KILL",
	[OBSERVED_VIRTUAL] = "VIRTUAL",
	[OBSERVED_LEAK] = "LEAK",
	[OBSERVED_LYING] = "LYING",
	[OBSERVED_CLAIM_ONLY] = "CLAIM-ONLY",
	[OBSERVED_ABSENT] = "ABSENT",
	[OBSERVED_INCONCLUSIVE] = "INCONCLUSIVE",
	[OBSERVED_UNKNOWN] = "UNKNOWN",
};
static_assert(ARRAY_SIZE(observation_names) == OBSERVED_COUNT, "one name each");

static const char *const verdict_names[] = {
	[VERDICT_PASS] = "PASS",
	[VERDICT_FAIL] = "FAIL",
	[VERDICT_OVER_RESTRICTED] = "OVER-RESTRICTED",
	[VERDICT_INCONCLUSIVE] = "INCONCLUSIVE",
	[VERDICT_UNDECLARED_OPEN] = "UNDECLARED-OPEN",
	[VERDICT_UNDECLARED_SHUT] = "UNDECLARED-SHUT",
	[VERDICT_NOT_TESTED] = "NOT-TESTED",
	[VERDICT_EXPECTED] = "EXPECTED",
};
static_assert(ARRAY_SIZE(verdict_names) == VERDICT_COUNT, "one name each");

const char *observation_name(enum observation observed)
{
	return observation_names[observed];
}

const char *verdict_name(enum verdict verdict)
{
	return verdict_names[verdict];
}

static int find_name(const char *const *names, int count, const char *name)
{
	for (int i = 0; i < count; i++) {
		if (strcmp(names[i], name) == 0) {
			return i;
		}
	}
	return -EINVAL;
}

int observation_parse(const char *name, enum observation *ret)
{
	int i = find_name(observation_names, OBSERVED_COUNT, name);

	*ret = i < 0 ? *ret : (enum observation)i;
	return i < 0 ? i : 0;
}

int verdict_parse(const char *name, enum verdict *ret)
{
	int i = find_name(verdict_names, VERDICT_COUNT, name);

	*ret = i < 0 ? *ret : (enum verdict)i;
	return i < 0 ? i : 0;
}

const char *expectation_name(enum expectation expectation)
{
	static const char *const names[] = {"shut", "open", "virtual"};

	return names[expectation];
}

const char *evidence_name(enum evidence evidence)
{
	static const char *const names[] = {"none", "seen", "unseen"};

	return names[evidence];
}

const char *capability_state_name(enum capability_state state)
{
	static const char *const names[] = {"untested", "kept", "broken", "unclear"};

	return names[state];
}

/* Without a word from the client only the host's eyes count. */
static enum observation observe_state(const struct outcome *outcome)
{
	static const enum observation by_evidence[EVIDENCE_COUNT] = {
		[EVIDENCE_NONE] = OBSERVED_NOT_RUN,
		[EVIDENCE_SEEN] = OBSERVED_OPEN,
		[EVIDENCE_UNSEEN] = OBSERVED_SHUT,
	};

	return by_evidence[outcome->evidence];
}

/* claim by evidence; VIRTUAL is what an impossible success would be called LYING. */
static const enum observation observation_table[CLAIM_COUNT][EVIDENCE_COUNT] = {
	[CLAIM_NOT_RUN] = {OBSERVED_NOT_RUN, OBSERVED_LEAK, OBSERVED_NOT_RUN},
	[CLAIM_DONE] = {OBSERVED_CLAIM_OPEN, OBSERVED_OPEN, OBSERVED_LYING},
	[CLAIM_REFUSED] = {OBSERVED_CLAIM_ONLY, OBSERVED_LEAK, OBSERVED_SHUT},
	[CLAIM_ABSENT] = {OBSERVED_ABSENT, OBSERVED_LEAK, OBSERVED_ABSENT},
	[CLAIM_KILLED] = {OBSERVED_UNKNOWN, OBSERVED_LEAK, OBSERVED_KILLED},
	[CLAIM_TIMEOUT] = {OBSERVED_UNKNOWN, OBSERVED_LEAK, OBSERVED_UNKNOWN},
};

enum observation judge_observe(const struct probe *probe, const struct outcome *outcome)
{
	enum observation observed = OBSERVED_UNKNOWN;

	assert(outcome->claim < CLAIM_COUNT && outcome->evidence < EVIDENCE_COUNT);
	if (probe->flags & PROBE_STATE) {
		return observe_state(outcome);
	}
	if (outcome->missing) {
		return outcome->evidence == EVIDENCE_SEEN ? OBSERVED_LEAK : OBSERVED_UNKNOWN;
	}
	observed = observation_table[outcome->claim][outcome->evidence];
	if (observed == OBSERVED_LYING && probe->flags & PROBE_VIRTUAL) {
		return OBSERVED_VIRTUAL;
	}
	return observed;
}

enum observation judge_compare(enum observation inside, enum observation control)
{
	bool looks_shut = inside == OBSERVED_SHUT || inside == OBSERVED_KILLED ||
		inside == OBSERVED_VIRTUAL || inside == OBSERVED_CLAIM_ONLY ||
		inside == OBSERVED_UNKNOWN;
	bool was_open = control == OBSERVED_OPEN || control == OBSERVED_CLAIM_OPEN;

	return looks_shut && !was_open ? OBSERVED_INCONCLUSIVE : inside;
}

enum verdict judge_expect(enum expectation expectation, enum observation observed)
{
	static const enum verdict table[][OBSERVED_COUNT] = {
		[EXPECT_SHUT] =
			{
				[OBSERVED_NOT_RUN] = VERDICT_NOT_TESTED,
				[OBSERVED_OPEN] = VERDICT_FAIL,
				[OBSERVED_CLAIM_OPEN] = VERDICT_FAIL,
				[OBSERVED_SHUT] = VERDICT_PASS,
				[OBSERVED_KILLED] = VERDICT_PASS,
				[OBSERVED_VIRTUAL] = VERDICT_PASS,
				[OBSERVED_LEAK] = VERDICT_FAIL,
				[OBSERVED_LYING] = VERDICT_FAIL,
				[OBSERVED_CLAIM_ONLY] = VERDICT_INCONCLUSIVE,
				[OBSERVED_ABSENT] = VERDICT_INCONCLUSIVE,
				[OBSERVED_INCONCLUSIVE] = VERDICT_INCONCLUSIVE,
				[OBSERVED_UNKNOWN] = VERDICT_INCONCLUSIVE,
			},
		[EXPECT_OPEN] =
			{
				[OBSERVED_NOT_RUN] = VERDICT_NOT_TESTED,
				[OBSERVED_OPEN] = VERDICT_PASS,
				[OBSERVED_CLAIM_OPEN] = VERDICT_INCONCLUSIVE,
				[OBSERVED_SHUT] = VERDICT_OVER_RESTRICTED,
				[OBSERVED_KILLED] = VERDICT_OVER_RESTRICTED,
				[OBSERVED_VIRTUAL] = VERDICT_OVER_RESTRICTED,
				[OBSERVED_LEAK] = VERDICT_INCONCLUSIVE,
				[OBSERVED_LYING] = VERDICT_FAIL,
				[OBSERVED_CLAIM_ONLY] = VERDICT_OVER_RESTRICTED,
				[OBSERVED_ABSENT] = VERDICT_INCONCLUSIVE,
				[OBSERVED_INCONCLUSIVE] = VERDICT_INCONCLUSIVE,
				[OBSERVED_UNKNOWN] = VERDICT_INCONCLUSIVE,
			},
		[EXPECT_VIRTUAL] =
			{
				[OBSERVED_NOT_RUN] = VERDICT_NOT_TESTED,
				[OBSERVED_OPEN] = VERDICT_FAIL,
				[OBSERVED_CLAIM_OPEN] = VERDICT_INCONCLUSIVE,
				[OBSERVED_SHUT] = VERDICT_OVER_RESTRICTED,
				[OBSERVED_KILLED] = VERDICT_OVER_RESTRICTED,
				[OBSERVED_VIRTUAL] = VERDICT_PASS,
				[OBSERVED_LEAK] = VERDICT_FAIL,
				[OBSERVED_LYING] = VERDICT_FAIL,
				[OBSERVED_CLAIM_ONLY] = VERDICT_OVER_RESTRICTED,
				[OBSERVED_ABSENT] = VERDICT_INCONCLUSIVE,
				[OBSERVED_INCONCLUSIVE] = VERDICT_INCONCLUSIVE,
				[OBSERVED_UNKNOWN] = VERDICT_INCONCLUSIVE,
			},
	};

	return table[expectation][observed];
}

/* The promise nobody made: what is it worth here. */
static enum verdict judge_undeclared(enum capability_kind kind, bool over_restricted_only,
	const struct capability_verdict *result)
{
	bool open = kind == CAPABILITY_GRANT ? result->passed > 0
					     : result->failed > 0 && !over_restricted_only;

	if (open) {
		return VERDICT_UNDECLARED_OPEN;
	}
	return result->passed || result->failed ? VERDICT_UNDECLARED_SHUT : VERDICT_NOT_TESTED;
}

static void conclude(
	enum capability capability, bool over_restricted_only, struct capability_verdict *result)
{
	bool kept = result->passed && !result->missing;

	result->observed = result->failed ? STATE_BROKEN
		: kept                    ? STATE_KEPT
		: result->unclear         ? STATE_UNCLEAR
					  : STATE_UNTESTED;
	if (!result->declared) {
		result->verdict =
			judge_undeclared(capability_kind(capability), over_restricted_only, result);
		return;
	}
	if (result->failed) {
		result->verdict = over_restricted_only ? VERDICT_OVER_RESTRICTED : VERDICT_FAIL;
		return;
	}
	result->verdict = kept ? VERDICT_PASS : VERDICT_INCONCLUSIVE;
}

/* Worst first: what a probe that decides several promises is reported as. */
static int severity(enum verdict verdict)
{
	static const int order[VERDICT_COUNT] = {
		[VERDICT_FAIL] = 6,
		[VERDICT_OVER_RESTRICTED] = 5,
		[VERDICT_PASS] = 4,
		[VERDICT_INCONCLUSIVE] = 3,
		[VERDICT_UNDECLARED_OPEN] = 2,
		[VERDICT_UNDECLARED_SHUT] = 1,
		[VERDICT_NOT_TESTED] = 0,
		[VERDICT_EXPECTED] = 0, /* nothing is expected yet */
	};

	return order[verdict];
}

static void note_probe(struct probe_verdict *probe, const struct judge_rule *rule, bool declared,
	enum verdict verdict)
{
	if (!declared) {
		return;
	}
	if (probe->capability == CAPABILITY_COUNT || severity(verdict) > severity(probe->verdict)) {
		probe->verdict = verdict;
		probe->capability = rule->capability;
		probe->expectation = rule->expectation;
	}
}

static enum verdict undeclared_probe(enum observation observed)
{
	switch (observed) {
	case OBSERVED_OPEN:
	case OBSERVED_CLAIM_OPEN:
	case OBSERVED_LEAK:
	case OBSERVED_LYING:
		return VERDICT_UNDECLARED_OPEN;
	case OBSERVED_SHUT:
	case OBSERVED_KILLED:
	case OBSERVED_VIRTUAL:
		return VERDICT_UNDECLARED_SHUT;
	case OBSERVED_NOT_RUN:
		return VERDICT_NOT_TESTED;
	default:
		return VERDICT_INCONCLUSIVE;
	}
}

static void judge_rule(const struct judge_rule *rule, const struct outcome *inside,
	struct judgement *ret, bool over_restricted_only[CAPABILITY_COUNT])
{
	const struct probe *probe = probe_find(rule->probe);
	struct capability_verdict *result = &ret->capabilities[rule->capability];
	struct probe_verdict *seen = NULL;
	enum verdict verdict = VERDICT_NOT_TESTED;

	assert(probe);
	seen = &ret->probes[probe_index(probe)];
	verdict = judge_expect(rule->expectation, seen->observed);
	note_probe(seen, rule, result->declared, verdict);
	if (verdict == VERDICT_NOT_TESTED) {
		return;
	}
	if (verdict == VERDICT_INCONCLUSIVE) {
		result->unclear++;
		result->missing += inside[probe_index(probe)].missing;
		return;
	}
	if (verdict == VERDICT_FAIL) {
		over_restricted_only[rule->capability] = false;
	}
	result->passed += verdict == VERDICT_PASS;
	result->failed += verdict != VERDICT_PASS;
	if (inside[probe_index(probe)].level > result->level) {
		result->level = inside[probe_index(probe)].level;
	}
}

void judge_all(struct capability_set declared, const struct outcome *control,
	const struct outcome *inside, struct probe_verdict *probes, struct judgement *ret)
{
	bool over_restricted_only[CAPABILITY_COUNT];

	memset(ret, 0, sizeof(*ret));
	ret->probes = probes;
	for (size_t i = 0; i < probe_count; i++) {
		const struct probe *probe = &probe_table[i];
		enum observation outside = judge_observe(probe, &control[i]);
		enum observation observed =
			judge_compare(judge_observe(probe, &inside[i]), outside);
		probes[i] = (struct probe_verdict){
			.observed = observed,
			.control = outside,
			.verdict = undeclared_probe(observed),
			.capability = CAPABILITY_COUNT,
		};
	}
	for (size_t i = 0; i < CAPABILITY_COUNT; i++) {
		ret->capabilities[i].declared = capability_set_has(declared, (enum capability)i);
		over_restricted_only[i] = true;
	}
	for (size_t i = 0; i < judge_rule_count; i++) {
		judge_rule(&judge_rules[i], inside, ret, over_restricted_only);
	}
	for (size_t i = 0; i < CAPABILITY_COUNT; i++) {
		conclude((enum capability)i, over_restricted_only[i], &ret->capabilities[i]);
	}
}

int judge_exit_code(const struct judgement *judgement)
{
	int code = 0;

	for (size_t i = 0; i < CAPABILITY_COUNT; i++) {
		enum verdict verdict = judgement->capabilities[i].verdict;
		if (verdict == VERDICT_FAIL || verdict == VERDICT_OVER_RESTRICTED) {
			return 1;
		}
		if (judgement->capabilities[i].declared && verdict != VERDICT_PASS &&
			verdict != VERDICT_EXPECTED) {
			code = 3;
		}
	}
	return code;
}
