/*
 * What an OCI runtime is told: config.json of a bundle (runtime-spec 1.0.2) and the seccomp object in
 * it, which docker and podman read as a file by the same rules. One emitter for runsc, crun and runc;
 * text only, nothing of the host is looked at.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "backends/plan.h"

enum oci_seccomp_flag {
	/*
	 * No execve at all. Only a runtime that starts the program without a system call of the
	 * session's (runsc) can use that; runc and crun would be refused themselves.
	 */
	OCI_SECCOMP_NO_EXEC = 1 << 0,
	/*
	 * For runsc of 2022, which answers every refusal with EPERM. libc goes on without clone3() when
	 * it gets ENOSYS, and that is what a "trace" without a tracer gives. A tracer inside could let
	 * the call through, to a kernel that does not serve it. And what all others call pselect6 is
	 * pselect there.
	 */
	OCI_SECCOMP_OLD_RUNSC = 1 << 1,
};

/*
 * The policy of backends/linux/filter-policy.c as an OCI seccomp object (docker run
 * --security-opt seccomp=FILE; the "linux.seccomp" of a bundle). The caller frees it. NULL: no memory.
 *
 * The same calls are let through, on the same arguments. Two answers differ, because the format has
 * one default action and no order among its rules: a socket() of a good family with a bad type or
 * protocol gets ENOSYS, not EPERM, and a foreign ABI is killed by libseccomp.
 *
 * flags: 0, or of enum oci_seccomp_flag.
 */
char *oci_seccomp_json(uint32_t flags);

/*
 * What config.json says, besides what the plan has itself: argv, env, dir, hostname, uid, gid, rlimits,
 * mounts (TMPFS, BIND, PROC, DEVPTS, MQUEUE, in their order; a BIND whose source begins with "{dir}/"
 * is ours, all other text is kept from looking like a placeholder), memory, pids and processors. All
 * borrowed.
 */
struct oci_config {
	const struct plan *plan;
	const char *root; /* as in "root.path" */
	bool root_read_only;
	bool terminal;
	const char *seccomp; /* oci_seccomp_json(), or NULL */
	const char *const *namespaces; /* "pid", ...; NULL-terminated */
	const char *const *masked; /* paths that become empty; NULL-terminated */
	const char *const *read_only; /* paths; NULL-terminated */
	const char *cgroups_path;
	const char *const
		*started; /* a command the runtime runs when the program is started, or NULL */
};

/*
 * One JSON object in canonical form. Everything that a runtime would otherwise choose is said: user,
 * terminal, limits, masked and read-only paths, host name, cgroup path, score for the killer. The
 * caller frees *ret. 0, -ENOMEM, or -EINVAL for text that is not UTF-8, which JSON cannot carry.
 */
int oci_config_json(const struct oci_config *config, char **ret);
