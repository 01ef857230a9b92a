#include "testkit/calls.h"

#include <linux/audit.h>
#include <stdio.h>
#include <string.h>

#include "testkit/outside.h"

#define X32_BIT 0x40000000
#define ALL UINT64_MAX

/* Flags of unshare(2) and clone(2). */
#define NEW_NS 0x00020000U
#define NEW_CGROUP 0x02000000U
#define NEW_UTS 0x04000000U
#define NEW_IPC 0x08000000U
#define NEW_USER 0x10000000U
#define NEW_PID 0x20000000U
#define NEW_NET 0x40000000U
#define NEW_TIME 0x00000080U

/* Numbers: the kernel's syscall_64.tbl and syscall_32.tbl. */
const struct dangerous_call dangerous_calls[] = {
	{"modules", "init_module", 175, 128, {0}},
	{"modules", "finit_module", 313, 350, {0}},
	{"modules", "delete_module", 176, 129, {0}},
	{"modules", "create_module", 174, 127, {0}},

	{"boot", "reboot", 169, 88, {0xfee1dead, 672274793, 0x1234567}},
	{"boot", "kexec_load", 246, 283, {0}},
	{"boot", "kexec_file_load", 320, -1, {0}},
	{"boot", "swapon", 167, 87, {0}},
	{"boot", "swapoff", 168, 115, {0}},

	{"clock", "settimeofday", 164, 79, {0}},
	{"clock", "stime", -1, 25, {0}},
	{"clock", "clock_settime", 227, 264, {0}},
	{"clock", "adjtimex", 159, 124, {0}},
	{"clock", "clock_adjtime", 305, 343, {0}},

	{"admin", "acct", 163, 51, {0}},
	{"admin", "quotactl", 179, 131, {0}},
	{"admin", "quotactl_fd", 443, 443, {0}},
	{"admin", "sethostname", 170, 74, {0}},
	{"admin", "setdomainname", 171, 121, {0}},
	{"admin", "syslog(READ_ALL)", 103, 103, {3}},
	{"admin", "vhangup", 153, 111, {0}},
	{"admin", "nfsservctl", 180, 169, {0}},
	{"admin", "fanotify_init", 300, 338, {0x200}},
	{"admin", "lookup_dcookie", 212, 253, {0}},

	{"mount", "mount", 165, 21, {0}},
	{"mount", "umount2", 166, 52, {0}},
	{"mount", "umount", -1, 22, {0}},
	{"mount", "pivot_root", 155, 217, {0}},
	{"mount", "chroot", 161, 61, {0}},
	{"mount", "fsopen", 430, 430, {0}},
	{"mount", "fsconfig", 431, 431, {0}},
	{"mount", "fsmount", 432, 432, {0}},
	{"mount", "fspick", 433, 433, {0}},
	{"mount", "open_tree", 428, 428, {0}},
	{"mount", "move_mount", 429, 429, {0}},
	{"mount", "mount_setattr", 442, 442, {0}},
	{"mount", "open_tree_attr", 467, 467, {0}},

	{"namespaces", "unshare(USER)", 272, 310, {NEW_USER}},
	{"namespaces", "unshare(NS)", 272, 310, {NEW_NS}},
	{"namespaces", "unshare(NET)", 272, 310, {NEW_NET}},
	{"namespaces", "unshare(PID)", 272, 310, {NEW_PID}},
	{"namespaces", "unshare(IPC)", 272, 310, {NEW_IPC}},
	{"namespaces", "unshare(UTS)", 272, 310, {NEW_UTS}},
	{"namespaces", "unshare(CGROUP)", 272, 310, {NEW_CGROUP}},
	{"namespaces", "unshare(TIME)", 272, 310, {NEW_TIME}},
	{"namespaces", "unshare(USER, high bits)", 272, 310, {UINT64_C(1) << 32 | NEW_USER}},
	{"namespaces", "clone(USER)", 56, 120, {NEW_USER | 17}},
	{"namespaces", "clone(NS)", 56, 120, {NEW_NS | 17}},
	{"namespaces", "clone(NET)", 56, 120, {NEW_NET | 17}},
	{"namespaces", "clone(PID)", 56, 120, {NEW_PID | 17}},
	{"namespaces", "clone(USER, high bits)", 56, 120, {UINT64_C(1) << 32 | NEW_USER | 17}},
	{"namespaces", "clone3", 435, 435, {0}},
	{"namespaces", "setns", 308, 346, {ALL}},

	{"keys", "add_key", 248, 286, {0}},
	{"keys", "request_key", 249, 287, {0}},
	{"keys", "keyctl", 250, 288, {0}},
	{"keys", "keyctl(JOIN_SESSION)", 250, 288, {1}},
	{"keys", "keyctl(READ)", 250, 288, {11}},

	{"memory", "process_vm_readv", 310, 347, {0}},
	{"memory", "process_vm_writev", 311, 348, {0}},
	{"memory", "kcmp", 312, 349, {0}},
	{"memory", "pidfd_getfd", 438, 438, {0}},
	{"memory", "migrate_pages", 256, 294, {0}},
	{"memory", "move_pages", 279, 317, {0}},

	{"attack", "bpf", 321, 357, {0}},
	{"attack", "bpf(PROG_LOAD)", 321, 357, {5}},
	{"attack", "perf_event_open", 298, 336, {0}},
	{"attack", "userfaultfd", 323, 374, {0}},
	{"attack", "userfaultfd(USER_MODE_ONLY)", 323, 374, {1}},
	{"attack", "io_uring_setup", 425, 425, {1}},
	{"attack", "io_uring_enter", 426, 426, {0}},
	{"attack", "io_uring_register", 427, 427, {0}},

	{"ports", "iopl", 172, 110, {3}},
	{"ports", "ioperm", 173, 101, {0}},
	{"ports", "modify_ldt", 154, 123, {1}},
	{"ports", "vm86", -1, 166, {0}},
	{"ports", "vm86old", -1, 113, {0}},

	{"handles", "name_to_handle_at", 303, 341, {0}},
	{"handles", "open_by_handle_at", 304, 342, {0}},

	{"obsolete", "uselib", 134, 86, {0}},
	{"obsolete", "ustat", 136, 62, {0}},
	{"obsolete", "sysfs", 139, 135, {0}},
	{"obsolete", "_sysctl", 156, 149, {0}},
	{"obsolete", "get_kernel_syms", 177, 130, {0}},
	{"obsolete", "query_module", 178, 167, {0}},
	{"obsolete", "afs_syscall", 183, 137, {0}},
	{"obsolete", "vserver", 236, 273, {0}},

	{"personality", "personality(READ_IMPLIES_EXEC)", 135, 136, {0x0400000}},
	{"personality", "personality(ADDR_COMPAT_LAYOUT)", 135, 136, {0x0200000}},
	{"personality", "personality(MMAP_PAGE_ZERO)", 135, 136, {0x0100000}},

	{"terminal", "ioctl(TIOCSTI)", 16, 54, {0, 0x5412}},
	{"terminal", "ioctl(TIOCSTI, high bits)", 16, 54, {0, UINT64_C(1) << 32 | 0x5412}},
	{"terminal", "ioctl(TIOCLINUX)", 16, 54, {0, 0x541c}},
	{"terminal", "ioctl(TIOCLINUX, high bits)", 16, 54, {0, UINT64_C(1) << 32 | 0x541c}},

	{"sockets", "socket(AX25)", 41, 359, {3, 2}},
	{"sockets", "socket(KEY)", 41, 359, {15, 3, 2}},
	{"sockets", "socket(PACKET)", 41, 359, {17, 3}},
	{"sockets", "socket(RDS)", 41, 359, {21, 5}},
	{"sockets", "socket(CAN)", 41, 359, {29, 3, 1}},
	{"sockets", "socket(TIPC)", 41, 359, {30, 1}},
	{"sockets", "socket(BLUETOOTH)", 41, 359, {31, 3}},
	{"sockets", "socket(RXRPC)", 41, 359, {33, 2, 2}},
	{"sockets", "socket(ALG)", 41, 359, {38, 5}},
	{"sockets", "socket(NFC)", 41, 359, {39, 3}},
	{"sockets", "socket(VSOCK)", 41, 359, {40, 1}},
	{"sockets", "socket(VSOCK, high bits)", 41, 359, {UINT64_C(1) << 32 | 40, 1}},
	{"sockets", "socket(KCM)", 41, 359, {41, 2}},
	{"sockets", "socket(QIPCRTR)", 41, 359, {42, 2}},
	{"sockets", "socket(SMC)", 41, 359, {43, 1}},
	{"sockets", "socket(XDP)", 41, 359, {44, 3}},
	{"sockets", "socketcall(SOCKET)", -1, 102, {1}},

	{"netlink", "socket(NETLINK, USERSOCK)", 41, 359, {16, 3, 2}},
	{"netlink", "socket(NETLINK, XFRM)", 41, 359, {16, 3, 6}},
	{"netlink", "socket(NETLINK, AUDIT)", 41, 359, {16, 3, 9}},
	{"netlink", "socket(NETLINK, NETFILTER)", 41, 359, {16, 3, 12}},
	{"netlink", "socket(NETLINK, KOBJECT_UEVENT)", 41, 359, {16, 3, 15}},
	{"netlink", "socket(NETLINK, CRYPTO)", 41, 359, {16, 3, 21}},

	{NULL, NULL, 0, 0, {0}},
};

const char *call_abi_name(enum call_abi abi)
{
	static const char *const names[] = {"x86_64", "i386", "x32"};

	return names[abi];
}

int calls_allow(
	const struct outside *outside, enum call_abi abi, int number, const uint64_t args[6])
{
	if (number < 0) {
		return 0;
	}
	return outside_allows(outside, abi == ABI_I386 ? AUDIT_ARCH_I386 : AUDIT_ARCH_X86_64,
		abi == ABI_X32 ? number | X32_BIT : number, args);
}

int calls_let_through(
	const struct outside *outside, const char *group, enum call_abi abi, char *out, size_t size)
{
	int count = 0;
	size_t used = 0;

	if (size > 0) {
		out[0] = '\0';
	}
	for (const struct dangerous_call *call = dangerous_calls; call->name; call++) {
		int allowed = strcmp(call->group, group) == 0
			? calls_allow(outside, abi,
				  abi == ABI_I386 ? call->number_i386 : call->number, call->args)
			: 0;
		if (allowed < 0) {
			return -1;
		}
		if (allowed && used < size) {
			used += (size_t)snprintf(
				out + used, size - used, "%s%s", count ? " " : "", call->name);
		}
		count += allowed;
	}
	return count;
}

int calls_count_open(const struct outside *outside, enum call_abi abi, int count)
{
	static const uint64_t none[6];
	int open = 0;

	for (int i = 0; i < count; i++) {
		int allowed = calls_allow(outside, abi, i, none);
		if (allowed < 0) {
			return -1;
		}
		open += allowed;
	}
	return open;
}
