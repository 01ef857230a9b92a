#include "backends/linux/net-filter.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "backends/linux/arch.h"
#include "base/cleanup.h"

#define X32_BIT 0x40000000u
#define DENY (SECCOMP_RET_ERRNO | EPERM)
#define MAX_VALUES 6

/* How the lower half of one argument decides whether a call is allowed. */
enum rule_test {
	ALWAYS,
	ONE_OF, /* the argument is one of the values */
	WITHOUT, /* the argument has none of the bits of values[0] */
};

struct rule {
	int number;
	enum rule_test test;
	unsigned argument;
	uint32_t values[MAX_VALUES]; /* ended by a 0 that is not the first */
};

static const struct rule allowed[] = {
	/* bytes between the descriptors it has; recvmsg brings the sandbox's, and without sendmsg none goes back */
	{SYS_read},
	{SYS_write},
	{SYS_readv},
	{SYS_writev},
	{SYS_recvfrom},
	{SYS_sendto},
	{SYS_recvmsg},
	{SYS_close},
	{SYS_shutdown},
	{SYS_ppoll},
#ifdef SYS_poll
	{SYS_poll},
#endif
	{SYS_fstat},
	{SYS_fcntl, ONE_OF, 1, {F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_SETPIPE_SZ, F_GETPIPE_SZ}},
	{SYS_ioctl, ONE_OF, 1, {TIOCSWINSZ}},
	{SYS_getsockopt},
	{SYS_setsockopt, ONE_OF, 2, {TCP_NODELAY, TCP_QUICKACK}},
	/* memory, never executable */
	{SYS_brk},
	{SYS_mmap, WITHOUT, 2, {PROT_EXEC}},
	{SYS_mprotect, WITHOUT, 2, {PROT_EXEC}},
	{SYS_munmap},
	{SYS_mremap},
	{SYS_madvise},
	/* clock, randomness, who am I, waiting */
	{SYS_clock_gettime},
	{SYS_clock_nanosleep},
	{SYS_gettimeofday},
#ifdef SYS_time
	{SYS_time},
#endif
	{SYS_nanosleep},
	{SYS_setitimer},
	{SYS_getrandom},
	{SYS_getpid},
	{SYS_gettid},
	{SYS_getuid},
	{SYS_geteuid},
	{SYS_futex},
	{SYS_sched_yield},
	/* signals to itself are handled, none are sent */
	{SYS_rt_sigaction},
	{SYS_rt_sigprocmask},
	{SYS_rt_sigreturn},
	{SYS_sigaltstack},
	{SYS_restart_syscall},
	{SYS_exit},
	{SYS_exit_group},
};

/* Nothing of ours, of libssh or of libc gets here: whoever does is not us any more. */
static const int deadly[] = {
#ifdef SYS_fork
	SYS_fork,
	SYS_vfork,
#endif
	SYS_clone,
	SYS_clone3,
	SYS_execve,
	SYS_execveat,
	SYS_unshare,
	SYS_setns,
	SYS_socket,
	SYS_socketpair,
	SYS_connect,
	SYS_bind,
	SYS_listen,
	SYS_accept,
	SYS_accept4,
	SYS_ptrace,
	SYS_process_vm_readv,
	SYS_process_vm_writev,
	SYS_pidfd_open,
	SYS_pidfd_getfd,
	SYS_pidfd_send_signal,
	SYS_kcmp,
	SYS_io_uring_setup,
	SYS_io_uring_enter,
	SYS_io_uring_register,
	SYS_bpf,
	SYS_userfaultfd,
	SYS_perf_event_open,
	SYS_memfd_create,
	SYS_keyctl,
	SYS_add_key,
	SYS_request_key,
	SYS_mount,
	SYS_umount2,
	SYS_pivot_root,
	SYS_chroot,
	SYS_move_mount,
	SYS_open_tree,
	SYS_fsopen,
	SYS_fsmount,
	SYS_fsconfig,
	SYS_open_by_handle_at,
	SYS_name_to_handle_at,
	SYS_init_module,
	SYS_finit_module,
	SYS_delete_module,
	SYS_kexec_load,
	SYS_reboot,
	SYS_shmget,
	SYS_shmat,
	SYS_msgget,
	SYS_semget,
};

struct program {
	struct sock_filter code[512];
	size_t count;
};

static void put(struct program *program, uint16_t code, uint32_t k, uint8_t yes, uint8_t no)
{
	assert(program->count < ARRAY_SIZE(program->code));
	program->code[program->count++] = (struct sock_filter){code, yes, no, k};
}

static void put_load(struct program *program, size_t offset)
{
	put(program, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void put_return(struct program *program, uint32_t action)
{
	put(program, BPF_RET | BPF_K, action, 0, 0);
}

static uint8_t value_count(const struct rule *rule)
{
	uint8_t count = 1;

	while (count < MAX_VALUES && rule->values[count]) {
		count++;
	}
	return count;
}

/*
 * Allows the call where its argument passes. Only the lower half of an argument is looked at,
 * because for these calls the kernel takes an int there.
 */
static void put_rule(struct program *program, const struct rule *rule)
{
	uint8_t values = value_count(rule);

	if (rule->test == ALWAYS) {
		put(program, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)rule->number, 0, 1);
		put_return(program, SECCOMP_RET_ALLOW);
		return;
	}
	/* Every path below returns, so the number need not be loaded again. */
	put(program, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)rule->number, 0, (uint8_t)(values + 3));
	put_load(program, offsetof(struct seccomp_data, args) + rule->argument * sizeof(uint64_t));
	if (rule->test == WITHOUT) {
		put(program, BPF_JMP | BPF_JSET | BPF_K, rule->values[0], 0, 1);
	} else {
		for (uint8_t i = 0; i < values; i++) {
			put(program, BPF_JMP | BPF_JEQ | BPF_K, rule->values[i],
				(uint8_t)(values - i), 0);
		}
	}
	put_return(program, DENY);
	put_return(program, SECCOMP_RET_ALLOW);
}

static void build(struct program *program)
{
	put_load(program, offsetof(struct seccomp_data, arch));
	put(program, BPF_JMP | BPF_JEQ | BPF_K, NATIVE_ARCH, 1, 0);
	put_return(program, SECCOMP_RET_KILL_PROCESS);
	put_load(program, offsetof(struct seccomp_data, nr));
	put(program, BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1);
	put_return(program, SECCOMP_RET_KILL_PROCESS);
	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++) {
		put_rule(program, &allowed[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(deadly); i++) {
		put(program, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)deadly[i], 0, 1);
		put_return(program, SECCOMP_RET_KILL_PROCESS);
	}
	put_return(program, DENY);
}

const struct sock_filter *net_filter_program(size_t *ret_count)
{
	static struct program program;

	if (program.count == 0) {
		build(&program);
	}
	*ret_count = program.count;
	return program.code;
}

int net_filter_install(struct err *err)
{
	size_t count = 0;
	const struct sock_filter *code = net_filter_program(&count);
	struct sock_fprog program = {
		.len = (unsigned short)count, .filter = (struct sock_filter *)(uintptr_t)code};

	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0) {
		return err_set(err, errno, "installing the system-call filter");
	}
	return 0;
}
