/*
 * Calls tried in a form that does nothing when they are let through: a bad pointer, a handle that
 * does not exist, a clock nobody has. One table for both sides: the client makes the call, the host
 * asks the session's filter about the very same numbers.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#define DOOR_BAD UINT64_MAX /* a pointer, descriptor or process that is none */
#define DOOR_USERNS UINT64_C(0x10000000) /* CLONE_NEWUSER */

struct door {
	const char *probe;
	int number;
	uint64_t args[6];
};

/* Calls whose numbers older headers lack are alike on all 64-bit machines. */
static const struct door door_table[] = {
	{"K.chroot", SYS_chroot, {DOOR_BAD}},
	{"K.umount", SYS_umount2, {DOOR_BAD, 0}},
	{"K.fsconfig", 431, {DOOR_BAD, 0, 0, 0, 0}},
	{"K.mount-setattr", 442, {DOOR_BAD, DOOR_BAD, 0, 0, 0}},
	{"K.clone3", 435, {DOOR_BAD, 64}},
	{"K.userns-pid", SYS_unshare, {DOOR_USERNS | 0x20000000}},
	{"K.userns-ipc", SYS_unshare, {DOOR_USERNS | 0x08000000}},
	{"K.userns-uts", SYS_unshare, {DOOR_USERNS | 0x04000000}},
	{"K.userns-cgroup", SYS_unshare, {DOOR_USERNS | 0x02000000}},
	{"K.uring-enter", 426, {DOOR_BAD, 0, 0, 0, 0, 0}},
	{"K.uring-register", 427, {DOOR_BAD, DOOR_BAD, 0, 0}},
	{"K.process-madvise", 440, {DOOR_BAD, DOOR_BAD, 1, 0, 0}},
	{"K.process-mrelease", 448, {DOOR_BAD, 0}},
	{"K.move-pages", SYS_move_pages, {0, 1, DOOR_BAD, 0, 0, DOOR_BAD}},
	{"K.mbind", SYS_mbind, {0, 0, DOOR_BAD, 0, 0, DOOR_BAD}},
	{"K.set-mempolicy", SYS_set_mempolicy, {DOOR_BAD, 0, 0}},
	{"K.request-key", SYS_request_key, {DOOR_BAD, DOOR_BAD, 0, 0}},
	{"K.keyctl-join", SYS_keyctl, {1, DOOR_BAD}},
	{"K.kcmp", SYS_kcmp, {DOOR_BAD, DOOR_BAD, DOOR_BAD, 0, 0}},
	{"K.pidfd-getfd", 438, {DOOR_BAD, DOOR_BAD, DOOR_BAD}},
	{"K.process-vm-write", SYS_process_vm_writev, {DOOR_BAD, 0, 0, 0, 0, 0}},
	{"K.bpf-load", SYS_bpf, {5, DOOR_BAD, 0xffff}},
	{"K.clock-settime", SYS_clock_settime, {4095, DOOR_BAD}},
	{"K.settimeofday", SYS_settimeofday, {DOOR_BAD, 0}},
	{"K.adjtimex", SYS_adjtimex, {DOOR_BAD}},
	{"K.quotactl-fd", 443, {DOOR_BAD, 0, 0, 0}},
	{"K.uffd-any", SYS_userfaultfd, {DOOR_BAD}},
	{"K.seccomp-listener", SYS_seccomp, {1, 8, DOOR_BAD}},
	{"K.landlock", 444, {0, 0, 1}},
	{"K.memfd", SYS_memfd_create, {DOOR_BAD, 0}},
	{"K.vmsplice", SYS_vmsplice, {DOOR_BAD, DOOR_BAD, 1, 0}},

	{"REG.clone3", 435, {DOOR_BAD, 64}},
	{"REG.CVE-2021-41133", 442, {DOOR_BAD, DOOR_BAD, 0, 0, 0}},
	{"REG.CVE-2016-0728", SYS_keyctl, {1, DOOR_BAD}},
	{NULL, 0, {0}},
};

/* Sockets that are made and closed, never used. */
static const struct door door_sockets[] = {
	{"K.netlink-xfrm", SYS_socket, {16, 3, 6}},
	{"K.netlink-crypto", SYS_socket, {16, 3, 21}},
	{"K.netlink-generic", SYS_socket, {16, 3, 16}},
	{"K.netlink-diag", SYS_socket, {16, 3, 4}},
	{"K.vsock-high", SYS_socket, {UINT64_C(1) << 32 | 40, 1, 0}},
	{"K.sctp", SYS_socket, {2, 1, 132}},
	{"K.rxrpc", SYS_socket, {33, 2, 2}},
	{"K.ping", SYS_socket, {2, 2, 1}},
	{"K.raw", SYS_socket, {2, 3, 1}},
	{"K.smc", SYS_socket, {43, 1, 0}},
	{"K.tipc", SYS_socket, {30, 1, 0}},
	{"K.can", SYS_socket, {29, 3, 1}},
	{"K.bluetooth", SYS_socket, {31, 3, 1}},
	{"REG.CVE-2026-31431", SYS_socket, {38, 5, 0}},
	{"REG.CVE-2026-43284", SYS_socket, {16, 3, 6}},
	{"REG.vsock", SYS_socket, {40, 1, 0}},
	{NULL, 0, {0}},
};
