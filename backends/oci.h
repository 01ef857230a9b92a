/*
 * What an OCI runtime is told: config.json of a bundle (runtime-spec 1.0.2) and the seccomp object in
 * it, which docker and podman read as a file by the same rules. One emitter for runsc, crun and runc;
 * text only, nothing of the host is looked at.
 */
#pragma once

#include <stdint.h>

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
