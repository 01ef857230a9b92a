/*
 * Kernel interfaces newer than Debian 12's headers: our own constants over syscall(2). Sources are
 * the uapi headers of Linux 6.18 and the man pages named at each group.
 */
#pragma once

#include <linux/sched.h>
#include <linux/types.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "backends/linux/raw.h"

/* clone3(2) */
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif
#ifndef CLONE_CLEAR_SIGHAND
#define CLONE_CLEAR_SIGHAND 0x100000000ULL
#endif
#ifndef CLONE_NEWCGROUP
#define CLONE_NEWCGROUP 0x02000000
#endif

struct kernel_clone_args {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
		set_tid_size, cgroup;
};

static inline long kernel_clone3(struct kernel_clone_args *args)
{
	return syscall(SYS_clone3, args, sizeof(*args));
}

/*
 * clone3 with a stack of the child's own (args->stack set), on which it calls run(data); run never
 * returns. For CLONE_VM without CLONE_VFORK: nothing is copied, and both go on at once.
 */
static inline long kernel_clone3_run(
	struct kernel_clone_args *args, void (*run)(const void *data), const void *data)
{
#if defined(__x86_64__)
	long result = 0;
	register void (*r12)(const void *) __asm__("r12") = run;
	register const void *r13 __asm__("r13") = data;

	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "mov %%r13, %%rdi\n\t"
			 "call *%%r12\n\t"
			 "hlt\n"
			 "1:"
			 : "=a"(result)
			 : "a"(SYS_clone3), "D"(args), "S"(sizeof(*args)), "r"(r12), "r"(r13)
			 : "rcx", "r11", "memory");
	return result;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = SYS_clone3;
	register long x0 __asm__("x0") = (long)args;
	register long x1 __asm__("x1") = sizeof(*args);
	register void (*x19)(const void *) __asm__("x19") = run;
	register const void *x20 __asm__("x20") = data;

	__asm__ volatile("svc #0\n\t"
			 "cbnz x0, 1f\n\t"
			 "mov x29, #0\n\t"
			 "mov x0, x20\n\t"
			 "blr x19\n\t"
			 "brk #1\n"
			 "1:"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x19), "r"(x20)
			 : "memory", "cc");
	return x0;
#else
#error "clone3 with a stack is written for x86-64 and arm64 only"
#endif
}

/* ioprio_set(2): the class is above the level. */
#define KERNEL_IOPRIO_WHO_PROCESS 1
#define KERNEL_IOPRIO_CLASS_SHIFT 13
#define KERNEL_IOPRIO_CLASS_RT 1

/*
 * sched_setscheduler(2), setpriority(2), ioprio_set(2), personality(2): the caller runs as an ordinary
 * process again, whatever started us. A real-time server (chrt -r, ionice -c 1) would hand its place
 * before everybody to what runs inside, and the kernel lets no real-time process into a cpu group of v1
 * (EINVAL); one without address randomisation (setarch -R, a debugger) would hand that on. Only ever gives
 * up something, so it needs no power: what runs behind the others (chrt -i, nice) stays there, since
 * coming back from there would need one.
 */
static inline int kernel_be_ordinary(void)
{
	int nobody_special = 0; /* struct sched_param */
	long policy = syscall(SYS_sched_getscheduler, 0);

	if (policy != SCHED_OTHER && policy != SCHED_BATCH && policy != SCHED_IDLE &&
		syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, &nobody_special) < 0) {
		return -1;
	}
	/* A kernel without them has no such classes to give up. */
	if (syscall(SYS_ioprio_get, KERNEL_IOPRIO_WHO_PROCESS, 0) >> KERNEL_IOPRIO_CLASS_SHIFT ==
			KERNEL_IOPRIO_CLASS_RT &&
		syscall(SYS_ioprio_set, KERNEL_IOPRIO_WHO_PROCESS, 0, 0) < 0) {
		return -1;
	}
	(void)syscall(SYS_personality, 0); /* PER_LINUX */
	/* The call itself answers with 20 less the nice value; 0 below is PRIO_PROCESS. */
	return syscall(SYS_getpriority, 0, 0) > 20 ? (int)syscall(SYS_setpriority, 0, 0, 0) : 0;
}

/* PIDFD_GET_INFO of pidfd_open(2), whose exit status came with Linux 6.15 */
#define KERNEL_PIDFD_INFO_EXIT (UINT64_C(1) << 3)
struct kernel_pidfd_info {
	uint64_t mask, cgroup;
	uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
	int32_t exit_code;
};
#define KERNEL_PIDFD_GET_INFO _IOWR(0xff, 11, struct kernel_pidfd_info)

/* How a process has ended that somebody else has waited for. False where the kernel does not tell. */
static inline bool kernel_pidfd_status(int pidfd, int *ret_status)
{
	struct kernel_pidfd_info info = {.mask = KERNEL_PIDFD_INFO_EXIT};

	if (syscall(SYS_ioctl, pidfd, KERNEL_PIDFD_GET_INFO, &info) < 0 ||
		!(info.mask & KERNEL_PIDFD_INFO_EXIT)) {
		return false;
	}
	*ret_status = info.exit_code;
	return true;
}

/* A pidfd of who sent a message, beside its credentials; Linux 6.5. */
#define KERNEL_SO_PASSPIDFD 76
#define KERNEL_SCM_PIDFD 4

/* open_tree(2), move_mount(2), mount_setattr(2), fsopen(2) */
#define KERNEL_OPEN_TREE_CLONE 1
#define KERNEL_OPEN_TREE_CLOEXEC 02000000
#define KERNEL_AT_RECURSIVE 0x8000
#define KERNEL_MOVE_MOUNT_F_EMPTY_PATH 0x00000004
#define KERNEL_MOVE_MOUNT_T_EMPTY_PATH 0x00000040
#define KERNEL_FSOPEN_CLOEXEC 1
#define KERNEL_FSMOUNT_CLOEXEC 1
#define KERNEL_FSCONFIG_SET_FLAG 0
#define KERNEL_FSCONFIG_SET_STRING 1
#define KERNEL_FSCONFIG_SET_FD 5
#define KERNEL_FSCONFIG_CMD_CREATE 6
#define KERNEL_MOUNT_ATTR_RDONLY 0x00000001
#define KERNEL_MOUNT_ATTR_NOSUID 0x00000002
#define KERNEL_MOUNT_ATTR_NODEV 0x00000004
#define KERNEL_MOUNT_ATTR_NOEXEC 0x00000008
#define KERNEL_MOUNT_ATTR_NOATIME 0x00000010
#define KERNEL_MOUNT_ATTR_IDMAP 0x00100000
#define KERNEL_MOUNT_ATTR_NOSYMFOLLOW 0x00200000

struct kernel_mount_attr {
	uint64_t attr_set, attr_clr, propagation, userns_fd;
};

static inline int kernel_open_tree(int dirfd, const char *path, unsigned flags)
{
	return (int)syscall(SYS_open_tree, dirfd, path, flags);
}

static inline int kernel_move_mount(
	int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
	return (int)syscall(SYS_move_mount, from_fd, from, to_fd, to, flags);
}

static inline int kernel_mount_setattr(
	int dirfd, const char *path, unsigned flags, struct kernel_mount_attr *attr)
{
	return (int)syscall(SYS_mount_setattr, dirfd, path, flags, attr, sizeof(*attr));
}

static inline int kernel_fsopen(const char *name, unsigned flags)
{
	return (int)syscall(SYS_fsopen, name, flags);
}

static inline int kernel_fsconfig(
	int fd, unsigned command, const char *key, const void *value, int aux)
{
	return (int)syscall(SYS_fsconfig, fd, command, key, value, aux);
}

static inline int kernel_fsmount(int fd, unsigned flags, unsigned attributes)
{
	return (int)syscall(SYS_fsmount, fd, flags, attributes);
}

/* openat2(2) */
#define KERNEL_RESOLVE_NO_XDEV 0x01
#define KERNEL_RESOLVE_NO_MAGICLINKS 0x02
#define KERNEL_RESOLVE_NO_SYMLINKS 0x04
#define KERNEL_RESOLVE_BENEATH 0x08
#define KERNEL_RESOLVE_IN_ROOT 0x10

struct kernel_open_how {
	uint64_t flags, mode, resolve;
};

static inline int kernel_openat2(
	int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
	struct kernel_open_how how = {.flags = flags, .mode = mode, .resolve = resolve};
	return (int)syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
}

/* landlock(7) */
#define KERNEL_LANDLOCK_CREATE_RULESET_VERSION 1
#define KERNEL_LANDLOCK_RULE_PATH_BENEATH 1
#define KERNEL_LANDLOCK_RULE_NET_PORT 2
#define KERNEL_LL_EXECUTE (1ULL << 0)
#define KERNEL_LL_WRITE_FILE (1ULL << 1)
#define KERNEL_LL_READ_FILE (1ULL << 2)
#define KERNEL_LL_READ_DIR (1ULL << 3)
#define KERNEL_LL_REMOVE_DIR (1ULL << 4)
#define KERNEL_LL_REMOVE_FILE (1ULL << 5)
#define KERNEL_LL_MAKE_CHAR (1ULL << 6)
#define KERNEL_LL_MAKE_DIR (1ULL << 7)
#define KERNEL_LL_MAKE_REG (1ULL << 8)
#define KERNEL_LL_MAKE_SOCK (1ULL << 9)
#define KERNEL_LL_MAKE_FIFO (1ULL << 10)
#define KERNEL_LL_MAKE_BLOCK (1ULL << 11)
#define KERNEL_LL_MAKE_SYM (1ULL << 12)
#define KERNEL_LL_REFER (1ULL << 13) /* ABI 2 */
#define KERNEL_LL_TRUNCATE (1ULL << 14) /* ABI 3 */
#define KERNEL_LL_IOCTL_DEV (1ULL << 15) /* ABI 5 */
#define KERNEL_LL_NET_BIND_TCP (1ULL << 0) /* ABI 4 */
#define KERNEL_LL_NET_CONNECT_TCP (1ULL << 1) /* ABI 4 */
#define KERNEL_LL_SCOPE_ABSTRACT (1ULL << 0) /* ABI 6 */
#define KERNEL_LL_SCOPE_SIGNAL (1ULL << 1) /* ABI 6 */
#define KERNEL_LL_RESTRICT_LOG_NEW_EXEC_ON 2 /* ABI 7 */

struct kernel_landlock_ruleset_attr {
	uint64_t handled_access_fs, handled_access_net, scoped;
};

struct kernel_landlock_path_beneath {
	uint64_t allowed_access;
	int32_t parent_fd;
} __attribute__((packed));
