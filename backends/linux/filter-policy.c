#include "backends/linux/filter-policy.h"

#include <linux/netlink.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/cleanup.h"

/*
 * Worked out from what a shell, compilers, interpreters, editors, debuggers, package managers and
 * databases call on Debian 12, not from what could be harmful: what nobody needs stays out, known
 * or not.
 *
 * Choices that are not obvious:
 *   - int arguments are compared on 32 bits, because that is all the kernel looks at. A filter that
 *     compares 64 is walked round by setting a high bit (CVE-2019-7303, CVE-2019-10063).
 *   - clone3 is ABSENT: its flags are behind a pointer, which a filter cannot follow, and libc falls
 *     back to clone, whose flags are in a register. For the same reason io_uring is out: what is
 *     put into a ring never meets the filter.
 *   - socket() names families, types and protocols that exist for us; AF_VSOCK is in no network
 *     namespace, AF_ALG wrote to the page cache of others (CVE-2026-31431), MPTCP goes round
 *     Landlock's port rules. A protocol is part of the rule, not only the family.
 *   - ptrace is allowed: gdb and strace are wanted, the pid and user namespaces hold what it can
 *     reach, and taking off a tracee's filter wants CAP_SYS_ADMIN. process_vm_* and pidfd_getfd are
 *     not needed for that.
 *   - extended attributes take room on the disk and no right to write that Landlock knows of, some
 *     file systems any number of them on one file: in a home that is full they are not set.
 *   - chmod with set-uid bits is allowed: tar, cp -p and dpkg do it, and mounts are nosuid.
 *   - set*uid is allowed: without capabilities it changes between ids one has already.
 *   - seccomp, prctl and Landlock are allowed: a browser inside may confine itself further.
 *   - Kernel AIO is out: fs.aio-max-nr is one number for the whole host, and one session could
 *     take all of it. Programs that know it (databases) go on with threads when there is none.
 *   - personality may only be asked for, reset, or told not to randomise (gdb).
 */

#define ARG32(number, bits)                                                                        \
	{                                                                                          \
		.arg = (number), .mask = UINT32_MAX, .value = (uint32_t)(bits)                     \
	}
#define MASKED(number, bits, wanted)                                                               \
	{                                                                                          \
		.arg = (number), .mask = (bits), .value = (wanted)                                 \
	}
#define KEY(number, word)                                                                          \
	{                                                                                          \
		.arg = (number), .mask = UINT64_MAX, .value = FILTER_KEY_WORD(word)                \
	}

#define ALLOW(call, why)                                                                           \
	{                                                                                          \
		.name = (call), .verdict = FILTER_ALLOW, .variants = FILTER_ALWAYS,                \
		.reason = (why)                                                                    \
	}
#define ALLOW_NUMBER(call, nr, why)                                                                \
	{                                                                                          \
		.name = (call), .number = (nr), .verdict = FILTER_ALLOW,                           \
		.variants = FILTER_ALWAYS, .reason = (why)                                         \
	}
#define ALLOW_IF(call, why, ...)                                                                   \
	{                                                                                          \
		.name = (call), .verdict = FILTER_ALLOW, .variants = FILTER_ALWAYS,                \
		.conditions = {__VA_ARGS__}, .reason = (why)                                       \
	}
/* Not where a home is full. */
#define ALLOW_ROOM(call, nr, why)                                                                  \
	{                                                                                          \
		.name = (call), .number = (nr), .verdict = FILTER_ALLOW, .variants = FILTER_ROOM,  \
		.reason = (why)                                                                    \
	}
#define REFUSE(call, why)                                                                          \
	{                                                                                          \
		.name = (call), .verdict = FILTER_REFUSE, .variants = FILTER_ALWAYS,               \
		.reason = (why)                                                                    \
	}
#define REFUSE_NUMBER(call, nr, why)                                                               \
	{                                                                                          \
		.name = (call), .number = (nr), .verdict = FILTER_REFUSE,                          \
		.variants = FILTER_ALWAYS, .reason = (why)                                         \
	}
#define REFUSE_IF(call, why, ...)                                                                  \
	{                                                                                          \
		.name = (call), .verdict = FILTER_REFUSE, .variants = FILTER_ALWAYS,               \
		.conditions = {__VA_ARGS__}, .reason = (why)                                       \
	}
#define ABSENT(call, why)                                                                          \
	{                                                                                          \
		.name = (call), .verdict = FILTER_ABSENT, .variants = FILTER_ALWAYS,               \
		.reason = (why)                                                                    \
	}

/* Every namespace bit clone(2) can carry. */
#define NAMESPACE_BITS UINT64_C(0x7e020000)

#define TYPE_BITS 0xf /* SOCK_TYPE_MASK: the rest are SOCK_CLOEXEC and SOCK_NONBLOCK */
#define SOCKET(family, type, protocol)                                                             \
	ALLOW_IF("socket", "sockets", ARG32(0, family), MASKED(1, TYPE_BITS, type),                \
		ARG32(2, protocol))

const struct filter_rule filter_policy[] = {

	/* files and directories */
	ALLOW("read", "files"),
	ALLOW("write", "files"),
	ALLOW("open", "files"),
	ALLOW("close", "files"),
	ALLOW("stat", "files"),
	ALLOW("fstat", "files"),
	ALLOW("lstat", "files"),
	ALLOW("newfstatat", "files"),
	ALLOW("lseek", "files"),
	ALLOW("pread64", "files"),
	ALLOW("pwrite64", "files"),
	ALLOW("readv", "files"),
	ALLOW("writev", "files"),
	ALLOW("preadv", "files"),
	ALLOW("pwritev", "files"),
	ALLOW("preadv2", "files"),
	ALLOW("pwritev2", "files"),
	ALLOW("access", "files"),
	ALLOW("faccessat", "files"),
	ALLOW("faccessat2", "files"),
	ALLOW("openat", "files"),
	ALLOW("openat2", "files"),
	ALLOW("creat", "files"),
	ALLOW("dup", "files"),
	ALLOW("dup2", "files"),
	ALLOW("dup3", "files"),
	ALLOW("fcntl", "files"),
	ALLOW("flock", "files"),
	ALLOW("fsync", "files"),
	ALLOW("fdatasync", "files"),
	ALLOW("sync", "files"),
	ALLOW("syncfs", "files"),
	ALLOW("sync_file_range", "files"),
	ALLOW("truncate", "files"),
	ALLOW("ftruncate", "files"),
	ALLOW("fallocate", "files"),
	ALLOW("fadvise64", "files"),
	ALLOW("readahead", "files"),
	ALLOW("getdents", "files"),
	ALLOW("getdents64", "files"),
	ALLOW("getcwd", "files"),
	ALLOW("chdir", "files"),
	ALLOW("fchdir", "files"),
	ALLOW("rename", "files"),
	ALLOW("renameat", "files"),
	ALLOW("renameat2", "files"),
	ALLOW("mkdir", "files"),
	ALLOW("mkdirat", "files"),
	ALLOW("rmdir", "files"),
	ALLOW("link", "files"),
	ALLOW("linkat", "files"),
	ALLOW("unlink", "files"),
	ALLOW("unlinkat", "files"),
	ALLOW("symlink", "files"),
	ALLOW("symlinkat", "files"),
	ALLOW("readlink", "files"),
	ALLOW("readlinkat", "files"),
	ALLOW("chmod", "files"),
	ALLOW("fchmod", "files"),
	ALLOW("fchmodat", "files"),
	ALLOW("fchmodat2", "files"),
	ALLOW("chown", "files"),
	ALLOW("fchown", "files"),
	ALLOW("lchown", "files"),
	ALLOW("fchownat", "files"),
	ALLOW("umask", "files"),
	ALLOW("utime", "files"),
	ALLOW("utimes", "files"),
	ALLOW("futimesat", "files"),
	ALLOW("utimensat", "files"),
	ALLOW("statfs", "files"),
	ALLOW("fstatfs", "files"),
	ALLOW("statx", "files"),
	ALLOW("copy_file_range", "files"),
	ALLOW("sendfile", "files"),
	ALLOW("splice", "files"),
	ALLOW("tee", "files"),
	ALLOW("vmsplice", "files"),
	ALLOW("cachestat", "files"),
	ALLOW("close_range", "files"),
	ALLOW_ROOM("setxattr", 0, "files"),
	ALLOW_ROOM("lsetxattr", 0, "files"),
	ALLOW_ROOM("fsetxattr", 0, "files"),
	ALLOW("getxattr", "files"),
	ALLOW("lgetxattr", "files"),
	ALLOW("fgetxattr", "files"),
	ALLOW("listxattr", "files"),
	ALLOW("llistxattr", "files"),
	ALLOW("flistxattr", "files"),
	ALLOW("removexattr", "files"),
	ALLOW("lremovexattr", "files"),
	ALLOW("fremovexattr", "files"),
	ALLOW_ROOM("setxattrat", 463, "files"),
	ALLOW_NUMBER("getxattrat", 464, "files"),
	ALLOW_NUMBER("listxattrat", 465, "files"),
	ALLOW_NUMBER("removexattrat", 466, "files"),
	ALLOW_IF("mknod", "no device nodes", MASKED(1, S_IFMT, 0)),
	ALLOW_IF("mknod", "no device nodes", MASKED(1, S_IFMT, S_IFREG)),
	ALLOW_IF("mknod", "no device nodes", MASKED(1, S_IFMT, S_IFIFO)),
	ALLOW_IF("mknod", "no device nodes", MASKED(1, S_IFMT, S_IFSOCK)),
	ALLOW_IF("mknodat", "no device nodes", MASKED(2, S_IFMT, 0)),
	ALLOW_IF("mknodat", "no device nodes", MASKED(2, S_IFMT, S_IFREG)),
	ALLOW_IF("mknodat", "no device nodes", MASKED(2, S_IFMT, S_IFIFO)),
	ALLOW_IF("mknodat", "no device nodes", MASKED(2, S_IFMT, S_IFSOCK)),

	/* memory */
	ALLOW("mmap", "memory"),
	ALLOW("mprotect", "memory"),
	ALLOW("munmap", "memory"),
	ALLOW("brk", "memory"),
	ALLOW("mremap", "memory"),
	ALLOW("msync", "memory"),
	ALLOW("mincore", "memory"),
	ALLOW("madvise", "memory"),
	ALLOW("mlock", "memory"),
	ALLOW("mlock2", "memory"),
	ALLOW("munlock", "memory"),
	ALLOW("mlockall", "memory"),
	ALLOW("munlockall", "memory"),
	ALLOW("remap_file_pages", "memory"),
	ALLOW("pkey_alloc", "memory"),
	ALLOW("pkey_free", "memory"),
	ALLOW("pkey_mprotect", "memory"),
	ALLOW("get_mempolicy", "memory"),
	ALLOW("membarrier", "memory"),
	ALLOW("memfd_create", "memory"),
	ALLOW("map_shadow_stack", "memory"),
	ALLOW_NUMBER("mseal", 462, "memory"),

	/* processes and threads */
	ALLOW("fork", "processes"),
	ALLOW("vfork", "processes"),
	ALLOW("exit", "processes"),
	ALLOW("exit_group", "processes"),
	ALLOW("wait4", "processes"),
	ALLOW("waitid", "processes"),
	ALLOW("getpid", "processes"),
	ALLOW("getppid", "processes"),
	ALLOW("gettid", "processes"),
	ALLOW("getpgid", "processes"),
	ALLOW("getpgrp", "processes"),
	ALLOW("setpgid", "processes"),
	ALLOW("getsid", "processes"),
	ALLOW("setsid", "processes"),
	ALLOW("set_tid_address", "processes"),
	ALLOW("set_robust_list", "processes"),
	ALLOW("get_robust_list", "processes"),
	ALLOW("rseq", "processes"),
	ALLOW("arch_prctl", "processes"),
	ALLOW("prctl", "processes"),
	ALLOW("prlimit64", "processes"),
	ALLOW("getrlimit", "processes"),
	ALLOW("setrlimit", "processes"),
	ALLOW("getrusage", "processes"),
	ALLOW("times", "processes"),
	ALLOW("getpriority", "processes"),
	ALLOW("setpriority", "processes"),
	ALLOW("ioprio_get", "processes"),
	ALLOW("ioprio_set", "processes"),
	ALLOW("sched_yield", "processes"),
	ALLOW("sched_getaffinity", "processes"),
	ALLOW("sched_setaffinity", "processes"),
	ALLOW("sched_getparam", "processes"),
	ALLOW("sched_setparam", "processes"),
	ALLOW("sched_getscheduler", "processes"),
	ALLOW("sched_setscheduler", "processes"),
	ALLOW("sched_get_priority_max", "processes"),
	ALLOW("sched_get_priority_min", "processes"),
	ALLOW("sched_rr_get_interval", "processes"),
	ALLOW("sched_getattr", "processes"),
	ALLOW("sched_setattr", "processes"),
	ALLOW("getcpu", "processes"),
	ALLOW("ptrace", "processes"),
	ALLOW("uname", "processes"),
	ALLOW("sysinfo", "processes"),
	ALLOW("getrandom", "processes"),
	ALLOW_IF("clone", "no new namespaces", MASKED(0, NAMESPACE_BITS, 0)),
	ABSENT("clone3", "flags behind a pointer; libc falls back to clone"),
	{.name = "execve",
		.verdict = FILTER_ALLOW,
		.variants = FILTER_EXEC,
		.reason = "running programs"},
	{.name = "execve",
		.verdict = FILTER_ALLOW,
		.variants = FILTER_KEYED,
		.conditions = {KEY(3, 0), KEY(4, 1), KEY(5, 2)},
		.reason = "the one that starts the session"},
	{.name = "execveat",
		.verdict = FILTER_ALLOW,
		.variants = FILTER_EXEC,
		.reason = "running programs"},
	ALLOW_IF("personality", "ask, reset, or not randomise", ARG32(0, 0)),
	ALLOW_IF("personality", "ask, reset, or not randomise", ARG32(0, ADDR_NO_RANDOMIZE)),
	ALLOW_IF("personality", "ask, reset, or not randomise", ARG32(0, 0xffffffff)),

	/* who one is */
	ALLOW("getuid", "ids"),
	ALLOW("geteuid", "ids"),
	ALLOW("getgid", "ids"),
	ALLOW("getegid", "ids"),
	ALLOW("getresuid", "ids"),
	ALLOW("getresgid", "ids"),
	ALLOW("getgroups", "ids"),
	ALLOW("setuid", "ids"),
	ALLOW("setgid", "ids"),
	ALLOW("setreuid", "ids"),
	ALLOW("setregid", "ids"),
	ALLOW("setresuid", "ids"),
	ALLOW("setresgid", "ids"),
	ALLOW("setfsuid", "ids"),
	ALLOW("setfsgid", "ids"),
	ALLOW("setgroups", "ids"),
	ALLOW("capget", "ids"),
	ALLOW("capset", "ids"),

	/* confining oneself further */
	ALLOW("seccomp", "self-confinement"),
	ALLOW("landlock_create_ruleset", "self-confinement"),
	ALLOW("landlock_add_rule", "self-confinement"),
	ALLOW("landlock_restrict_self", "self-confinement"),

	/* signals */
	ALLOW("rt_sigaction", "signals"),
	ALLOW("rt_sigprocmask", "signals"),
	ALLOW("rt_sigreturn", "signals"),
	ALLOW("rt_sigpending", "signals"),
	ALLOW("rt_sigsuspend", "signals"),
	ALLOW("rt_sigtimedwait", "signals"),
	ALLOW("rt_sigqueueinfo", "signals"),
	ALLOW("rt_tgsigqueueinfo", "signals"),
	ALLOW("sigaltstack", "signals"),
	ALLOW("kill", "signals"),
	ALLOW("tkill", "signals"),
	ALLOW("tgkill", "signals"),
	ALLOW("pause", "signals"),
	ALLOW("restart_syscall", "signals"),
	ALLOW("signalfd", "signals"),
	ALLOW("signalfd4", "signals"),
	ALLOW("pidfd_open", "signals"),
	ALLOW("pidfd_send_signal", "signals"),

	/* time */
	ALLOW("nanosleep", "time"),
	ALLOW("clock_nanosleep", "time"),
	ALLOW("clock_gettime", "time"),
	ALLOW("clock_getres", "time"),
	ALLOW("gettimeofday", "time"),
	ALLOW("time", "time"),
	ALLOW("alarm", "time"),
	ALLOW("getitimer", "time"),
	ALLOW("setitimer", "time"),
	ALLOW("timer_create", "time"),
	ALLOW("timer_settime", "time"),
	ALLOW("timer_gettime", "time"),
	ALLOW("timer_getoverrun", "time"),
	ALLOW("timer_delete", "time"),
	ALLOW("timerfd_create", "time"),
	ALLOW("timerfd_settime", "time"),
	ALLOW("timerfd_gettime", "time"),

	/* waiting and events */
	ALLOW("poll", "events"),
	ALLOW("ppoll", "events"),
	ALLOW("select", "events"),
	ALLOW("pselect6", "events"),
	ALLOW("epoll_create", "events"),
	ALLOW("epoll_create1", "events"),
	ALLOW("epoll_ctl", "events"),
	ALLOW("epoll_wait", "events"),
	ALLOW("epoll_pwait", "events"),
	ALLOW("epoll_pwait2", "events"),
	ALLOW("eventfd", "events"),
	ALLOW("eventfd2", "events"),
	ALLOW("inotify_init", "events"),
	ALLOW("inotify_init1", "events"),
	ALLOW("inotify_add_watch", "events"),
	ALLOW("inotify_rm_watch", "events"),
	ABSENT("io_setup", "its quota is the host's; threads do"),
	ABSENT("io_destroy", "goes with io_setup"),
	ABSENT("io_submit", "goes with io_setup"),
	ABSENT("io_cancel", "goes with io_setup"),
	ABSENT("io_getevents", "goes with io_setup"),
	ABSENT("io_pgetevents", "goes with io_setup"),

	/* talking to one another; System V and POSIX queues are in an ipc namespace */
	ALLOW("pipe", "ipc"),
	ALLOW("pipe2", "ipc"),
	ALLOW("futex", "ipc"),
	ALLOW("futex_waitv", "ipc"),
	ALLOW("futex_wake", "ipc"),
	ALLOW("futex_wait", "ipc"),
	ALLOW("futex_requeue", "ipc"),
	ALLOW("shmget", "ipc"),
	ALLOW("shmat", "ipc"),
	ALLOW("shmctl", "ipc"),
	ALLOW("shmdt", "ipc"),
	ALLOW("semget", "ipc"),
	ALLOW("semop", "ipc"),
	ALLOW("semtimedop", "ipc"),
	ALLOW("semctl", "ipc"),
	ALLOW("msgget", "ipc"),
	ALLOW("msgsnd", "ipc"),
	ALLOW("msgrcv", "ipc"),
	ALLOW("msgctl", "ipc"),
	ALLOW("mq_open", "ipc"),
	ALLOW("mq_unlink", "ipc"),
	ALLOW("mq_timedsend", "ipc"),
	ALLOW("mq_timedreceive", "ipc"),
	ALLOW("mq_notify", "ipc"),
	ALLOW("mq_getsetattr", "ipc"),

	/* sockets */
	ALLOW_IF("socket", "sockets", ARG32(0, AF_UNIX)),
	SOCKET(AF_INET, SOCK_STREAM, 0),
	SOCKET(AF_INET, SOCK_STREAM, IPPROTO_TCP),
	SOCKET(AF_INET, SOCK_DGRAM, 0),
	SOCKET(AF_INET, SOCK_DGRAM, IPPROTO_UDP),
	SOCKET(AF_INET, SOCK_DGRAM, IPPROTO_ICMP),
	SOCKET(AF_INET6, SOCK_STREAM, 0),
	SOCKET(AF_INET6, SOCK_STREAM, IPPROTO_TCP),
	SOCKET(AF_INET6, SOCK_DGRAM, 0),
	SOCKET(AF_INET6, SOCK_DGRAM, IPPROTO_UDP),
	SOCKET(AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6),
	ALLOW_IF("socket", "names and addresses of links", ARG32(0, AF_NETLINK),
		ARG32(2, NETLINK_ROUTE)),
	ALLOW_IF("socketpair", "sockets", ARG32(0, AF_UNIX)),
	ALLOW("connect", "sockets"),
	ALLOW("accept", "sockets"),
	ALLOW("accept4", "sockets"),
	ALLOW("bind", "sockets"),
	ALLOW("listen", "sockets"),
	ALLOW("shutdown", "sockets"),
	ALLOW("getsockname", "sockets"),
	ALLOW("getpeername", "sockets"),
	ALLOW("setsockopt", "sockets"),
	ALLOW("getsockopt", "sockets"),
	ALLOW("sendto", "sockets"),
	ALLOW("recvfrom", "sockets"),
	ALLOW("sendmsg", "sockets"),
	ALLOW("recvmsg", "sockets"),
	ALLOW("sendmmsg", "sockets"),
	ALLOW("recvmmsg", "sockets"),

	/* devices: all requests but those that speak for the terminal or swap its line discipline */
	REFUSE_IF("ioctl", "types for the reader of the terminal", ARG32(1, TIOCSTI)),
	REFUSE_IF("ioctl", "pastes on a console", ARG32(1, TIOCLINUX)),
	REFUSE_IF("ioctl", "loads line disciplines", ARG32(1, TIOCSETD)),
	REFUSE_IF("ioctl", "takes the console's output", ARG32(1, TIOCCONS)),
	ALLOW("ioctl", "devices and terminals"),

	/* namespaces and the mount tree are the launcher's */
	REFUSE("unshare", "the tree and the namespaces are fixed"),
	REFUSE("setns", "the tree and the namespaces are fixed"),
	REFUSE("mount", "the tree and the namespaces are fixed"),
	REFUSE("umount2", "the tree and the namespaces are fixed"),
	REFUSE("pivot_root", "the tree and the namespaces are fixed"),
	REFUSE("chroot", "the tree and the namespaces are fixed"),
	REFUSE("move_mount", "the tree and the namespaces are fixed"),
	REFUSE("open_tree", "the tree and the namespaces are fixed"),
	REFUSE("fsopen", "the tree and the namespaces are fixed"),
	REFUSE("fsconfig", "the tree and the namespaces are fixed"),
	REFUSE("fsmount", "the tree and the namespaces are fixed"),
	REFUSE("fspick", "the tree and the namespaces are fixed"),
	REFUSE("mount_setattr", "the tree and the namespaces are fixed"),
	REFUSE_NUMBER("statmount", 457, "the tree and the namespaces are fixed"),
	REFUSE_NUMBER("listmount", 458, "the tree and the namespaces are fixed"),
	REFUSE_NUMBER("open_tree_attr", 467, "the tree and the namespaces are fixed"),

	/* keyrings are in no namespace */
	REFUSE("keyctl", "keyrings are shared with the host"),
	REFUSE("add_key", "keyrings are shared with the host"),
	REFUSE("request_key", "keyrings are shared with the host"),

	/* kernel machinery */
	REFUSE("bpf", "large kernel surface that a session does not need"),
	REFUSE("perf_event_open", "large kernel surface that a session does not need"),
	REFUSE("userfaultfd", "large kernel surface that a session does not need"),
	REFUSE("io_uring_setup", "large kernel surface that a session does not need"),
	REFUSE("io_uring_enter", "large kernel surface that a session does not need"),
	REFUSE("io_uring_register", "large kernel surface that a session does not need"),
	REFUSE("fanotify_init", "large kernel surface that a session does not need"),
	REFUSE("fanotify_mark", "large kernel surface that a session does not need"),
	REFUSE("lookup_dcookie", "large kernel surface that a session does not need"),
	REFUSE("nfsservctl", "large kernel surface that a session does not need"),
	REFUSE("uselib", "large kernel surface that a session does not need"),
	REFUSE("_sysctl", "large kernel surface that a session does not need"),
	REFUSE("sysfs", "large kernel surface that a session does not need"),
	REFUSE("ustat", "large kernel surface that a session does not need"),

	/* files by handle go round every path rule */
	REFUSE("name_to_handle_at", "goes round path rules"),
	REFUSE("open_by_handle_at", "goes round path rules"),

	/* other processes' memory and descriptors */
	REFUSE("process_vm_readv", "reaches into other processes"),
	REFUSE("process_vm_writev", "reaches into other processes"),
	REFUSE("process_madvise", "reaches into other processes"),
	REFUSE("process_mrelease", "reaches into other processes"),
	REFUSE("pidfd_getfd", "reaches into other processes"),
	REFUSE("kcmp", "reaches into other processes"),
	REFUSE("memfd_secret", "reaches into other processes"),

	/* where memory lies */
	REFUSE("move_pages", "moves memory of the machine"),
	REFUSE("migrate_pages", "moves memory of the machine"),
	REFUSE("mbind", "moves memory of the machine"),
	REFUSE("set_mempolicy", "moves memory of the machine"),
	REFUSE("set_mempolicy_home_node", "moves memory of the machine"),

	/* the machine */
	REFUSE("kexec_load", "belongs to the machine"),
	REFUSE("kexec_file_load", "belongs to the machine"),
	REFUSE("init_module", "belongs to the machine"),
	REFUSE("finit_module", "belongs to the machine"),
	REFUSE("delete_module", "belongs to the machine"),
	REFUSE("create_module", "belongs to the machine"),
	REFUSE("query_module", "belongs to the machine"),
	REFUSE("get_kernel_syms", "belongs to the machine"),
	REFUSE("acct", "belongs to the machine"),
	REFUSE("swapon", "belongs to the machine"),
	REFUSE("swapoff", "belongs to the machine"),
	REFUSE("reboot", "belongs to the machine"),
	REFUSE("quotactl", "belongs to the machine"),
	REFUSE("quotactl_fd", "belongs to the machine"),
	REFUSE("settimeofday", "belongs to the machine"),
	REFUSE("clock_settime", "belongs to the machine"),
	REFUSE("clock_adjtime", "belongs to the machine"),
	REFUSE("adjtimex", "belongs to the machine"),
	REFUSE("sethostname", "belongs to the machine"),
	REFUSE("setdomainname", "belongs to the machine"),
	REFUSE("syslog", "belongs to the machine"),
	REFUSE("vhangup", "belongs to the machine"),
	REFUSE("iopl", "belongs to the machine"),
	REFUSE("ioperm", "belongs to the machine"),
	REFUSE("modify_ldt", "belongs to the machine"),

	{.name = NULL},
};

const size_t filter_policy_count = ARRAY_SIZE(filter_policy) - 1;
