/*
 * Holds the compiled filters against the table they came from, and against the kernel.
 */
#include "tests/test.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/bpf_common.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/linux/arch.h"
#include "backends/linux/bpf.h"
#include "backends/linux/filter-policy.h"
#include "backends/linux/filter.h"
#include "base/cleanup.h"
#include "base/strv.h"

#define REFUSED (SECCOMP_RET_ERRNO | EPERM)
#define UNKNOWN (SECCOMP_RET_ERRNO | ENOSYS)

static const uint64_t key[3] = {
	UINT64_C(0x0123456789abcdef), UINT64_C(0xfedcba9876543210), UINT64_C(0x1122334455667788)};

static const int variants[] = {FILTER_DEFAULT, FILTER_NO_EXEC, FILTER_FULL, FILTER_FULL_NO_EXEC};

struct programs {
	struct sock_filter *program[ARRAY_SIZE(variants)];
	size_t count[ARRAY_SIZE(variants)];
};

static const struct filter *variant(size_t which)
{
	return which < 2 ? filter_get(which) : filter_get_full(which - 2);
}

static int make_programs(void **state)
{
	struct programs *programs = calloc(1, sizeof(*programs));

	for (size_t i = 0; i < ARRAY_SIZE(variants); i++) {
		if (filter_program(variant(i), key, &programs->program[i], &programs->count[i]) <
			0) {
			return -1;
		}
	}
	*state = programs;
	return 0;
}

static int free_programs(void **state)
{
	struct programs *programs = *state;

	for (size_t i = 0; i < ARRAY_SIZE(variants); i++) {
		free(programs->program[i]);
	}
	free(programs);
	return 0;
}

static uint32_t ask_arch(
	struct programs *programs, int which, uint32_t arch, int nr, const uint64_t args[6])
{
	struct seccomp_data data = {.nr = nr, .arch = arch};
	uint32_t action = 1;

	memcpy(data.args, args, sizeof(data.args));
	assert_int_equal(
		filter_evaluate(programs->program[which], programs->count[which], &data, &action),
		0);
	return action;
}

static uint32_t ask(struct programs *programs, int which, int nr, const uint64_t args[6])
{
	return ask_arch(programs, which, NATIVE_ARCH, nr, args);
}

/* Arguments that satisfy a row; what no condition looks at is noise. */
static void satisfy(const struct filter_rule *rule, uint64_t noise, uint64_t args[6])
{
	for (int i = 0; i < 6; i++) {
		args[i] = noise;
	}
	for (int i = 0; i < FILTER_MAX_CONDITIONS && rule->conditions[i].mask; i++) {
		const struct filter_condition *condition = &rule->conditions[i];
		uint64_t value = condition->value;

		for (int word = 0; word < 3; word++) {
			value = condition->value == FILTER_KEY_WORD(word) ? key[word] : value;
		}
		args[condition->arg] = (noise & ~condition->mask) | value;
	}
}

/* What the table says of a call with these arguments, worked out anew. */
static bool matches(const struct filter_rule *rule, const uint64_t args[6])
{
	for (int i = 0; i < FILTER_MAX_CONDITIONS && rule->conditions[i].mask; i++) {
		const struct filter_condition *condition = &rule->conditions[i];
		uint64_t value = condition->value;

		for (int word = 0; word < 3; word++) {
			value = condition->value == FILTER_KEY_WORD(word) ? key[word] : value;
		}
		if ((args[condition->arg] & condition->mask) != value) {
			return false;
		}
	}
	return true;
}

static uint32_t expected(int which, int nr, const uint64_t args[6])
{
	uint32_t result = UNKNOWN;

	for (size_t i = 0; i < filter_policy_count; i++) {
		const struct filter_rule *rule = &filter_policy[i];

		if (filter_policy_numbers[i] != nr || rule->verdict == FILTER_ABSENT) {
			continue;
		}
		if (result == UNKNOWN) {
			result = REFUSED;
		}
		if ((rule->variants & variants[which]) && matches(rule, args)) {
			if (rule->verdict == FILTER_REFUSE) {
				return REFUSED;
			}
			result = SECCOMP_RET_ALLOW;
		}
	}
	return result;
}

static const uint64_t noises[] = {
	0, 1, 2, 0xff, UINT32_MAX, UINT64_C(1) << 32, UINT64_C(0xdeadbeef00000000), UINT64_MAX};

static void every_row_does_what_it_says(void **state)
{
	uint64_t args[6];

	for (size_t row = 0; row < filter_policy_count; row++) {
		const struct filter_rule *rule = &filter_policy[row];
		int nr = filter_policy_numbers[row];

		for (size_t n = 0; nr >= 0 && n < ARRAY_SIZE(noises); n++) {
			for (int which = 0; which < (int)ARRAY_SIZE(variants); which++) {
				satisfy(rule, noises[n], args);
				uint32_t got = ask(*state, which, nr, args);
				if (got != expected(which, nr, args)) {
					fail_msg("row %zu (%s), variant %d, noise %llx: %x", row,
						rule->name, which, (unsigned long long)noises[n],
						got);
				}
			}
		}
	}
}

/* All numbers, also those of no row, with arguments of all kinds: program and table agree. */
static void every_number_agrees_with_the_table(void **state)
{
	uint64_t args[6];
	uint64_t random = 88172645463325252ULL;

	for (int nr = -2; nr < 1200; nr++) {
		for (size_t n = 0; n < ARRAY_SIZE(noises) + 40; n++) {
			for (int i = 0; i < 6; i++) {
				random ^= random << 13;
				random ^= random >> 7;
				random ^= random << 17;
				args[i] = n < ARRAY_SIZE(noises) ? noises[n]
					: n % 2                  ? random % 32
								 : random;
			}
			for (int which = 0; which < (int)ARRAY_SIZE(variants); which++) {
				if (ask(*state, which, nr, args) != expected(which, nr, args)) {
					fail_msg("number %d variant %d", nr, which);
				}
			}
		}
	}
}

/* The numbers themselves come from the C library's headers here, not from libseccomp. */
static const struct {
	const char *what;
	int nr;
	uint64_t args[6];
	uint32_t action;
} cases[] = {
	{"read", SYS_read, {0}, SECCOMP_RET_ALLOW},
	{"openat", SYS_openat, {0}, SECCOMP_RET_ALLOW},
	{"execve", SYS_execve, {0}, SECCOMP_RET_ALLOW},
	{"clone of a process", SYS_clone, {0x11}, SECCOMP_RET_ALLOW},
	{"clone of a thread", SYS_clone, {0x3d0f00}, SECCOMP_RET_ALLOW},
	{"clone3", SYS_clone3, {0}, UNKNOWN},
	{"unshare", SYS_unshare, {CLONE_NEWUSER}, REFUSED},
	{"unshare of nothing", SYS_unshare, {0}, REFUSED},
	{"setns", SYS_setns, {0}, REFUSED},
	{"mount", SYS_mount, {0}, REFUSED},
	{"umount2", SYS_umount2, {0}, REFUSED},
	{"pivot_root", SYS_pivot_root, {0}, REFUSED},
	{"chroot", SYS_chroot, {0}, REFUSED},
	{"open_tree", 428, {0}, REFUSED},
	{"move_mount", 429, {0}, REFUSED},
	{"fsopen", 430, {0}, REFUSED},
	{"fsmount", 432, {0}, REFUSED},
	{"mount_setattr", 442, {0}, REFUSED},
	{"keyctl", SYS_keyctl, {0}, REFUSED},
	{"add_key", SYS_add_key, {0}, REFUSED},
	{"bpf", SYS_bpf, {0}, REFUSED},
	{"perf_event_open", SYS_perf_event_open, {0}, REFUSED},
	{"userfaultfd", SYS_userfaultfd, {0}, REFUSED},
	{"io_uring_setup", 425, {0}, REFUSED},
	{"io_uring_enter", 426, {0}, REFUSED},
	{"kexec_load", SYS_kexec_load, {0}, REFUSED},
	{"init_module", SYS_init_module, {0}, REFUSED},
	{"open_by_handle_at", SYS_open_by_handle_at, {0}, REFUSED},
	{"name_to_handle_at", SYS_name_to_handle_at, {0}, REFUSED},
	{"process_vm_readv", SYS_process_vm_readv, {0}, REFUSED},
	{"pidfd_getfd", 438, {0}, REFUSED},
	{"ptrace", SYS_ptrace, {0}, SECCOMP_RET_ALLOW},
	{"seccomp", SYS_seccomp, {0}, SECCOMP_RET_ALLOW},
	{"landlock_restrict_self", 446, {0}, SECCOMP_RET_ALLOW},
	{"close_range", 436, {0}, SECCOMP_RET_ALLOW},
	{"openat2", 437, {0}, SECCOMP_RET_ALLOW},
	{"faccessat2", 439, {0}, SECCOMP_RET_ALLOW},
	{"epoll_pwait2", 441, {0}, SECCOMP_RET_ALLOW},
	{"futex_waitv", 449, {0}, SECCOMP_RET_ALLOW},
	{"cachestat", 451, {0}, SECCOMP_RET_ALLOW},
	{"fchmodat2", 452, {0}, SECCOMP_RET_ALLOW},
	{"mseal", 462, {0}, SECCOMP_RET_ALLOW},
	{"TCGETS", SYS_ioctl, {0, TCGETS}, SECCOMP_RET_ALLOW},
	{"TIOCSWINSZ", SYS_ioctl, {0, TIOCSWINSZ}, SECCOMP_RET_ALLOW},
	{"TIOCSTI", SYS_ioctl, {0, TIOCSTI}, REFUSED},
	{"TIOCSTI with high bits", SYS_ioctl, {0, TIOCSTI | UINT64_C(1) << 32}, REFUSED},
	{"TIOCSTI with all high bits", SYS_ioctl, {0, TIOCSTI | UINT64_C(~0) << 32}, REFUSED},
	{"TIOCLINUX with high bits", SYS_ioctl, {0, TIOCLINUX | UINT64_C(1) << 63}, REFUSED},
	{"TIOCSETD", SYS_ioctl, {0, TIOCSETD}, REFUSED},
	{"TIOCCONS", SYS_ioctl, {0, TIOCCONS}, REFUSED},
	{"socket unix", SYS_socket, {AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC}, SECCOMP_RET_ALLOW},
	{"socket tcp", SYS_socket, {AF_INET, SOCK_STREAM, 6}, SECCOMP_RET_ALLOW},
	{"socket udp6", SYS_socket, {AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 17}, SECCOMP_RET_ALLOW},
	{"socket mptcp", SYS_socket, {AF_INET, SOCK_STREAM, 262}, REFUSED},
	{"socket mptcp with high bits", SYS_socket, {AF_INET, SOCK_STREAM, 262 | 1ULL << 32},
		REFUSED},
	{"socket sctp", SYS_socket, {AF_INET, SOCK_STREAM, 132}, REFUSED},
	{"socket raw", SYS_socket, {AF_INET, SOCK_RAW, 1}, REFUSED},
	{"socket inet packet", SYS_socket, {AF_INET, SOCK_PACKET, 0}, REFUSED},
	{"socket packet", SYS_socket, {AF_PACKET, SOCK_RAW, 0}, REFUSED},
	{"socket alg", SYS_socket, {38, SOCK_SEQPACKET, 0}, REFUSED},
	{"socket vsock", SYS_socket, {40, SOCK_STREAM, 0}, REFUSED},
	{"socket vsock with high bits", SYS_socket, {40 | 1ULL << 32, SOCK_STREAM, 0}, REFUSED},
	{"socket route", SYS_socket, {AF_NETLINK, SOCK_RAW, 0}, SECCOMP_RET_ALLOW},
	{"socket netfilter", SYS_socket, {AF_NETLINK, SOCK_RAW, 12}, REFUSED},
	{"socket audit", SYS_socket, {AF_NETLINK, SOCK_RAW, 9}, REFUSED},
	{"socketpair unix", SYS_socketpair, {AF_UNIX, SOCK_STREAM}, SECCOMP_RET_ALLOW},
	{"socketpair tipc", SYS_socketpair, {30, SOCK_STREAM}, REFUSED},
	{"mknodat fifo", SYS_mknodat, {0, 0, S_IFIFO | 0600}, SECCOMP_RET_ALLOW},
	{"mknodat socket", SYS_mknodat, {0, 0, S_IFSOCK | 0600}, SECCOMP_RET_ALLOW},
	{"mknodat character device", SYS_mknodat, {0, 0, S_IFCHR | 0600}, REFUSED},
	{"mknodat block device", SYS_mknodat, {0, 0, S_IFBLK | 0600}, REFUSED},
	{"fchmodat set-uid", SYS_fchmodat, {0, 0, 04755}, SECCOMP_RET_ALLOW},
	{"personality asked", SYS_personality, {0xffffffff}, SECCOMP_RET_ALLOW},
	{"personality without random addresses", SYS_personality, {0x40000}, SECCOMP_RET_ALLOW},
	{"personality read implies exec", SYS_personality, {0x400000}, REFUSED},
	{"a number nobody has", 1000, {0}, UNKNOWN},
	{"a negative number", -1, {0}, UNKNOWN},
};

static void the_cases_that_matter_most(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint32_t got = ask(*state, 0, cases[i].nr, cases[i].args);
		if (got != cases[i].action) {
			fail_msg("%s: %x", cases[i].what, got);
		}
	}
}

static void no_namespace_bit_passes_clone(void **state)
{
	static const uint64_t bits[] = {CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
		CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET};

	for (size_t i = 0; i < ARRAY_SIZE(bits); i++) {
		uint64_t args[6] = {bits[i] | 0x11};
		assert_int_equal(ask(*state, 0, SYS_clone, args), REFUSED);
		args[0] |= UINT64_C(0xffffffff) << 32;
		assert_int_equal(ask(*state, 1, SYS_clone, args), REFUSED);
	}
}

/* What takes room on the disk without a right that Landlock knows. */
static void nothing_is_added_to_a_full_home(void **state)
{
	static const int adding[] = {SYS_setxattr, SYS_lsetxattr, SYS_fsetxattr, 463};
	static const int taking[] = {
		SYS_removexattr, SYS_getxattr, SYS_unlinkat, SYS_openat, SYS_fchmod};
	static const uint64_t args[6];

	for (size_t i = 0; i < ARRAY_SIZE(adding); i++) {
		assert_int_equal(ask(*state, 0, adding[i], args), SECCOMP_RET_ALLOW);
		assert_int_equal(ask(*state, 1, adding[i], args), SECCOMP_RET_ALLOW);
		assert_int_equal(ask(*state, 2, adding[i], args), REFUSED);
		assert_int_equal(ask(*state, 3, adding[i], args), REFUSED);
	}
	for (size_t i = 0; i < ARRAY_SIZE(taking); i++) {
		assert_int_equal(ask(*state, 2, taking[i], args), SECCOMP_RET_ALLOW);
	}
	assert_int_equal(ask(*state, 2, SYS_execve, args), SECCOMP_RET_ALLOW);
	assert_int_equal(ask(*state, 3, SYS_execve, args), REFUSED);
	assert_string_equal(filter_name(filter_get_full(false)), "default+full-home");
	assert_string_equal(filter_name(filter_get_full(true)), "default+full-home+no-exec");
	assert_true(filter_is_keyed(filter_get_full(true)));
	assert_false(filter_is_keyed(filter_get_full(false)));
}

static void foreign_machines_get_nothing(void **state)
{
	static const uint32_t machines[] = {AUDIT_ARCH_X86_64, AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64,
		AUDIT_ARCH_ARM, AUDIT_ARCH_RISCV64, AUDIT_ARCH_S390X, AUDIT_ARCH_PPC64LE,
		AUDIT_ARCH_MIPS, 0, UINT32_MAX};
	static const uint64_t args[6];

	for (size_t i = 0; i < ARRAY_SIZE(machines); i++) {
		for (int nr = 0; machines[i] != NATIVE_ARCH && nr < 600; nr++) {
			assert_int_equal(ask_arch(*state, 0, machines[i], nr, args), UNKNOWN);
			assert_int_equal(ask_arch(*state, 1, machines[i], nr, args), UNKNOWN);
		}
	}
}

static void x32_gets_nothing(void **state)
{
	static const uint64_t args[6];

	for (int nr = 0; nr < 600; nr++) {
		assert_int_equal(ask(*state, 0, nr | 0x40000000, args), UNKNOWN);
		assert_int_equal(ask(*state, 1, nr | 0x40000000, args), UNKNOWN);
	}
}

static void only_the_keyed_execve_passes_without_exec(void **state)
{
	uint64_t args[6] = {1, 2, 3, key[0], key[1], key[2]};

	assert_int_equal(ask(*state, 1, SYS_execve, args), SECCOMP_RET_ALLOW);
	assert_int_equal(ask(*state, 1, SYS_execveat, args), REFUSED);
	for (int bit = 0; bit < 192; bit++) {
		uint64_t wrong[6] = {1, 2, 3, key[0], key[1], key[2]};
		wrong[3 + bit / 64] ^= UINT64_C(1) << (bit % 64);
		assert_int_equal(ask(*state, 1, SYS_execve, wrong), REFUSED);
	}
	for (int i = 3; i < 6; i++) {
		args[i] = FILTER_KEY_WORD(i - 3);
	}
	assert_int_equal(ask(*state, 1, SYS_execve, args), REFUSED);
}

static void a_template_without_key_kills(void **state)
{
	struct seccomp_data data = {.nr = SYS_read, .arch = NATIVE_ARCH};
	uint32_t action = 0;
	size_t count;
	const struct sock_filter *program = filter_template(filter_get(true), &count);

	assert_int_equal(filter_evaluate(program, count, &data, &action), 0);
	assert_int_equal(action, SECCOMP_RET_KILL_PROCESS);
}

static void a_key_goes_into_a_fresh_template_only(void **state)
{
	struct programs *programs = *state;
	struct sock_filter *program;
	size_t count;

	assert_int_equal(filter_set_key(programs->program[1], programs->count[1], key), -EINVAL);
	assert_int_equal(filter_set_key(programs->program[0], programs->count[0], key), -EINVAL);
	assert_int_equal(filter_set_key(NULL, 0, key), -EINVAL);
	assert_int_equal(filter_program(filter_get(true), NULL, &program, &count), -EINVAL);
}

static void names_digests_and_lists_tell_variants_apart(void **state)
{
	cleanup(strv_freep) char **plain = NULL;
	cleanup(strv_freep) char **keyed = NULL;

	assert_string_equal(filter_name(filter_get(false)), "default");
	assert_string_equal(filter_name(filter_get(true)), "default+no-exec");
	assert_int_equal(strlen(filter_digest_hex(filter_get(false))), 64);
	assert_string_not_equal(
		filter_digest_hex(filter_get(false)), filter_digest_hex(filter_get(true)));
	assert_int_equal(filter_list(filter_get(false), &plain), 0);
	assert_int_equal(filter_list(filter_get(true), &keyed), 0);
	assert_true(strv_contains(plain, "allow execve"));
	assert_true(strv_contains(plain, "allow clone if arg0 & 0x7e020000 == 0x0"));
	assert_true(strv_contains(plain, "refuse ioctl if arg1 & 0xffffffff == 0x5412"));
	assert_true(strv_contains(plain, "absent clone3"));
	assert_false(strv_contains(keyed, "allow execve"));
	assert_true(strv_contains(
		keyed, "allow execve if arg3 == key and arg4 == key and arg5 == key"));
	assert_true(strv_contains(keyed, "refuse execveat"));
}

static void every_row_has_a_reason(void **state)
{
	for (size_t i = 0; i < filter_policy_count; i++) {
		assert_non_null(filter_policy[i].reason);
		assert_true(filter_policy[i].variants);
	}
}

/* Installs a program in this process. */
static void install(struct programs *programs, int which)
{
	struct sock_fprog program = {
		.len = (unsigned short)programs->count[which], .filter = programs->program[which]};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0) {
		_exit(99);
	}
}

static int run(struct programs *programs, int which, void (*body)(void))
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		install(programs, which);
		body();
		_exit(98);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static char *const true_argv[] = {(char[]){"sh"}, (char[]){"-c"}, (char[]){"exit 42"}, NULL};

static void exec_plainly(void)
{
	char *const env[] = {NULL};

	_exit(syscall(SYS_execve, "/bin/sh", true_argv, env, 0, 0, 0) < 0 && errno == EPERM ? 7
											    : 8);
}

static void exec_with_key(void)
{
	char *const env[] = {NULL};

	(void)syscall(SYS_execve, "/bin/sh", true_argv, env, key[0], key[1], key[2]);
	_exit(8);
}

static void the_kernel_lets_the_keyed_execve_through(void **state)
{
	assert_int_equal(run(*state, 0, exec_plainly), 42);
	assert_int_equal(run(*state, 1, exec_plainly), 7);
	assert_int_equal(run(*state, 1, exec_with_key), 42);
}

static char *const second_argv[] = {
	(char[]){"sh"}, (char[]){"-c"}, (char[]){"/bin/true; exit $?"}, NULL};

static void exec_twice(void)
{
	char *const env[] = {NULL};

	(void)syscall(SYS_execve, "/bin/sh", second_argv, env, key[0], key[1], key[2]);
	_exit(8);
}

static void what_was_started_can_start_nothing(void **state)
{
	assert_int_equal(run(*state, 0, exec_twice), 0);
	assert_int_equal(run(*state, 1, exec_twice), 126);
}

static void try_calls(void)
{
	int bad = 0;

	bad |= !(syscall(SYS_unshare, CLONE_NEWUSER) < 0 && errno == EPERM);
	bad |= !(socket(AF_VSOCK, SOCK_STREAM, 0) < 0 && errno == EPERM) << 1;
	bad |= !(syscall(SYS_clone3, NULL, 0) < 0 && errno == ENOSYS) << 2;
	bad |= !(syscall(1000) < 0 && errno == ENOSYS) << 3;
	bad |= !(syscall(SYS_ioctl, 0, (1UL << 32) | TIOCSTI, "x") < 0 && errno == EPERM) << 4;
	_exit(bad);
}

static void the_kernel_agrees_on_a_few_calls(void **state)
{
	assert_int_equal(run(*state, 0, try_calls), 0);
	assert_int_equal(run(*state, 1, try_calls), 0);
}

#if defined(__x86_64__)
/* The 32-bit door of a 64-bit process: socketcall(2) takes its arguments by pointer. */
static long call_i386(long nr, long a)
{
	long result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(nr), "b"(a)
			 : "memory", "r8", "r9", "r10", "r11");
	return result;
}

static void try_i386(void)
{
	_exit(call_i386(20 /* getpid */, 0) == -ENOSYS ? 7 : 8);
}

static void the_32_bit_door_is_shut(void **state)
{
	assert_int_equal(run(*state, 0, try_i386), 7);
}
#else
static void the_32_bit_door_is_shut(void **state)
{
}
#endif

/* What the kernel would not take, the evaluator must not run. */
static const struct {
	const char *what;
	struct sock_filter program[3];
	size_t count;
} bad_programs[] = {
	{"empty", {{0}}, 0},
	{"no return", {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0)}, 1},
	{"load behind the data", {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64), BPF_STMT(BPF_RET, 0)}, 2},
	{"load across words", {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2), BPF_STMT(BPF_RET, 0)}, 2},
	{"load of a byte", {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0), BPF_STMT(BPF_RET, 0)}, 2},
	{"jump past the end", {BPF_STMT(BPF_JMP | BPF_JA, 1), BPF_STMT(BPF_RET, 0)}, 2},
	{"jump far past the end", {BPF_STMT(BPF_JMP | BPF_JA, ~0U), BPF_STMT(BPF_RET, 0)}, 2},
	{"branch past the end",
		{BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1), BPF_STMT(BPF_RET, 0)}, 2},
	{"scratch out of range", {BPF_STMT(BPF_ST, 16), BPF_STMT(BPF_RET, 0)}, 2},
	{"division by nothing", {BPF_STMT(BPF_ALU | BPF_DIV, 0), BPF_STMT(BPF_RET, 0)}, 2},
	{"shift too far", {BPF_STMT(BPF_ALU | BPF_LSH, 32), BPF_STMT(BPF_RET, 0)}, 2},
	{"high code bits", {{0xff06, 0, 0, 0}, BPF_STMT(BPF_RET, 0)}, 2},
};

static void bad_programs_are_refused(void **state)
{
	struct seccomp_data data = {0};
	uint32_t action;

	for (size_t i = 0; i < ARRAY_SIZE(bad_programs); i++) {
		if (filter_evaluate(bad_programs[i].program, bad_programs[i].count, &data,
			    &action) != -EINVAL) {
			fail_msg("%s", bad_programs[i].what);
		}
	}
}

static void arithmetic_is_the_kernels(void **state)
{
	static const struct sock_filter program[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), /* nr: 7 */
		BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, 6), /* 42 */
		BPF_STMT(BPF_MISC | BPF_TAX, 0),
		BPF_STMT(BPF_ST, 3),
		BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0), /* 84 */
		BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 1), /* 42 */
		BPF_STMT(BPF_ALU | BPF_SUB | BPF_X, 0), /* 0 */
		BPF_STMT(BPF_ALU | BPF_NEG, 0),
		BPF_STMT(BPF_LDX | BPF_MEM, 3),
		BPF_STMT(BPF_ALU | BPF_OR | BPF_X, 0), /* 42 */
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 42, 0, 1),
		BPF_STMT(BPF_RET | BPF_A, 0),
		BPF_STMT(BPF_RET | BPF_K, 1),
	};
	struct seccomp_data data = {.nr = 7};
	uint32_t action = 0;

	assert_int_equal(filter_evaluate(program, ARRAY_SIZE(program), &data, &action), 0);
	assert_int_equal(action, 42);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_does_what_it_says),
		cmocka_unit_test(every_number_agrees_with_the_table),
		cmocka_unit_test(the_cases_that_matter_most),
		cmocka_unit_test(no_namespace_bit_passes_clone),
		cmocka_unit_test(nothing_is_added_to_a_full_home),
		cmocka_unit_test(foreign_machines_get_nothing),
		cmocka_unit_test(x32_gets_nothing),
		cmocka_unit_test(only_the_keyed_execve_passes_without_exec),
		cmocka_unit_test(a_template_without_key_kills),
		cmocka_unit_test(a_key_goes_into_a_fresh_template_only),
		cmocka_unit_test(names_digests_and_lists_tell_variants_apart),
		cmocka_unit_test(every_row_has_a_reason),
		cmocka_unit_test(the_kernel_lets_the_keyed_execve_through),
		cmocka_unit_test(what_was_started_can_start_nothing),
		cmocka_unit_test(the_kernel_agrees_on_a_few_calls),
		cmocka_unit_test(the_32_bit_door_is_shut),
		cmocka_unit_test(bad_programs_are_refused),
		cmocka_unit_test(arithmetic_is_the_kernels),
	};

	return cmocka_run_group_tests(tests, make_programs, free_programs);
}
