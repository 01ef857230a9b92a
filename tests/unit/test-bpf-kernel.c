/*
 * The evaluator of filters against the kernel's own decision: random programs are installed by a
 * child, which then makes random calls, by both ABIs; what it got must be what we say. The child
 * keeps its findings in shared memory and ends by a trap, so that no filter has to let it go.
 */
#include <errno.h>
#include <linux/audit.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/linux/bpf.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "tests/test.h"

#if defined(__x86_64__)

#define PROGRAMS 400
#define CALLS 12
#define MAX_LENGTH 24
#define GETPPID_64 110
#define GETPPID_32 64

struct call {
	bool i386;
	int number;
	uint64_t args[5];
	long answer;
};

struct trial {
	struct sock_filter program[MAX_LENGTH];
	size_t count;
	struct call calls[CALLS];
	volatile int installed; /* errno of the installation, or -1 before it */
	volatile size_t made; /* calls that came back */
};

static unsigned random_below(unsigned limit)
{
	uint32_t value = 0;

	io_random(&value, sizeof(value));
	return value % limit;
}

/* Small numbers meet each other more often than large ones. */
static uint32_t random_word(void)
{
	static const uint32_t words[] = {0, 1, 2, 7, 40, 64, 110, 600, 4095, 0x7fffffff, 0x80000000,
		UINT32_MAX, AUDIT_ARCH_X86_64, AUDIT_ARCH_I386};
	uint32_t value = 0;

	if (random_below(4) > 0) {
		return words[random_below(ARRAY_SIZE(words))];
	}
	io_random(&value, sizeof(value));
	return value;
}

static uint32_t random_action(void)
{
	static const uint32_t actions[] = {SECCOMP_RET_ALLOW, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO,
		SECCOMP_RET_ERRNO | 5, SECCOMP_RET_ERRNO | 4095, SECCOMP_RET_ERRNO | 0xffff,
		SECCOMP_RET_TRACE, SECCOMP_RET_USER_NOTIF, SECCOMP_RET_KILL_THREAD,
		SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_TRAP, 0x12340000};

	return actions[random_below(ARRAY_SIZE(actions))];
}

/* Not the instruction pointer and not the last argument: what they hold is not ours to say. */
static uint32_t random_field(void)
{
	static const uint32_t fields[] = {0, 4, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 0, 4, 16};

	return fields[random_below(ARRAY_SIZE(fields))];
}

static struct sock_filter random_instruction(size_t left)
{
	static const uint16_t alu[] = {BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_OR, BPF_AND, BPF_XOR,
		BPF_LSH, BPF_RSH, BPF_NEG};
	static const uint16_t jumps[] = {BPF_JEQ, BPF_JGE, BPF_JGT, BPF_JSET};
	static const uint16_t sources[] = {BPF_K, BPF_X};
	uint16_t source = sources[random_below(2)];
	uint16_t op = 0;
	uint8_t jt = (uint8_t)random_below((unsigned)left);
	uint8_t jf = (uint8_t)random_below((unsigned)left);

	switch (random_below(12)) {
	case 0:
	case 1:
	case 2:
		return (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, random_field());
	case 3:
		op = alu[random_below(ARRAY_SIZE(alu))];
		return (struct sock_filter)BPF_STMT(BPF_ALU | op | (op == BPF_NEG ? BPF_K : source),
			op == BPF_LSH || op == BPF_RSH ? random_below(40) : random_word());
	case 4:
		return (struct sock_filter)BPF_STMT(BPF_LDX | BPF_IMM, random_word());
	case 5:
		return (struct sock_filter)BPF_STMT(
			BPF_MISC | (random_below(2) ? BPF_TAX : BPF_TXA), 0);
	case 6:
		return (struct sock_filter)BPF_STMT(
			random_below(2) ? BPF_ST : BPF_STX, random_below(17));
	case 7:
		return (struct sock_filter)BPF_STMT(
			(random_below(2) ? BPF_LD : BPF_LDX) | BPF_MEM, random_below(17));
	case 8:
		return (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, random_action());
	case 9:
		return (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0);
	default:
		return (struct sock_filter)BPF_JUMP(
			BPF_JMP | jumps[random_below(4)] | source, random_word(), jt, jf);
	}
}

static void make_trial(struct trial *trial)
{
	memset(trial, 0, sizeof(*trial));
	trial->installed = -1;
	trial->count = 2 + random_below(MAX_LENGTH - 2);
	for (size_t i = 0; i + 1 < trial->count; i++) {
		trial->program[i] = random_instruction(trial->count - 1 - i);
	}
	trial->program[trial->count - 1] = random_below(6)
		? (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, random_action())
		: (struct sock_filter)BPF_STMT(BPF_RET | BPF_A, 0);
	for (size_t i = 0; i < CALLS; i++) {
		struct call *call = &trial->calls[i];
		call->i386 = random_below(4) == 0;
		/* One call that answers, and numbers that no kernel has. */
		call->number = random_below(2) ? 600 + (int)random_below(4000)
			: call->i386           ? GETPPID_32
					       : GETPPID_64;
		for (size_t j = 0; j < ARRAY_SIZE(call->args); j++) {
			uint64_t high = call->i386 ? 0 : random_word();
			call->args[j] = high << 32 | random_word();
		}
	}
}

static long make_call(const struct call *call)
{
	long answer = 0;
	register uint64_t r10 __asm__("r10") = call->args[3];
	register uint64_t r8 __asm__("r8") = call->args[4];

	if (call->i386) {
		__asm__ volatile("int $0x80"
				 : "=a"(answer)
				 : "a"((long)call->number), "b"(call->args[0]), "c"(call->args[1]),
				 "d"(call->args[2]), "S"(call->args[3]), "D"(call->args[4])
				 : "memory", "r8", "r9", "r10", "r11");
		return (int)answer;
	}
	__asm__ volatile("syscall"
			 : "=a"(answer)
			 : "a"((long)call->number), "D"(call->args[0]), "S"(call->args[1]),
			 "d"(call->args[2]), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	return answer;
}

__attribute__((noreturn)) static void run_trial(struct trial *trial)
{
	const struct sock_fprog program = {(unsigned short)trial->count, trial->program};
	const struct rlimit none = {0, 0};

	(void)setrlimit(RLIMIT_CORE, &none);
	(void)signal(SIGILL, SIG_DFL);
	(void)signal(SIGSYS, SIG_DFL);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	trial->installed =
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0 ? errno : 0;
	for (size_t i = 0; trial->installed == 0 && i < CALLS; i++) {
		trial->calls[i].answer = make_call(&trial->calls[i]);
		trial->made = i + 1;
	}
	__builtin_trap();
}

/* What a call brings when the filter says this; false: the caller dies of it. */
static bool expect_answer(const struct call *call, uint32_t action, long *ret_answer)
{
	bool known = call->number == (call->i386 ? GETPPID_32 : GETPPID_64);
	unsigned code = action & SECCOMP_RET_DATA;

	switch (action & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_ALLOW:
		*ret_answer = known ? getpid() : -ENOSYS;
		return true;
	case SECCOMP_RET_ERRNO:
		*ret_answer = -(long)(code < 4095 ? code : 4095);
		return true;
	case SECCOMP_RET_TRACE:
	case SECCOMP_RET_USER_NOTIF:
		*ret_answer = -ENOSYS; /* nobody traces, nobody listens */
		return true;
	default:
		return false;
	}
}

/* The kernel refuses to read scratch words that may not have been written; we have zeros there. */
static bool reads_scratch(const struct trial *trial)
{
	for (size_t i = 0; i < trial->count; i++) {
		if (trial->program[i].code == (BPF_LD | BPF_MEM) ||
			trial->program[i].code == (BPF_LDX | BPF_MEM)) {
			return true;
		}
	}
	return false;
}

static void print_trial(const struct trial *trial)
{
	for (size_t i = 0; i < trial->count; i++) {
		(void)fprintf(stderr, "%2zu: %04x %u %u %08x\n", i, trial->program[i].code,
			trial->program[i].jt, trial->program[i].jf, trial->program[i].k);
	}
}

static unsigned check_calls(const struct trial *trial)
{
	for (size_t i = 0; i < CALLS; i++) {
		const struct call *call = &trial->calls[i];
		struct seccomp_data data = {.nr = call->number,
			.arch = call->i386 ? AUDIT_ARCH_I386 : AUDIT_ARCH_X86_64};
		uint32_t action = 0;
		long expected = 0;
		memcpy(data.args, call->args, sizeof(call->args));
		assert_int_equal(filter_evaluate(trial->program, trial->count, &data, &action), 0);
		bool lives = expect_answer(call, action, &expected);
		if (lives != (trial->made > i) || (lives && call->answer != expected)) {
			print_trial(trial);
			fail_msg("call %zu (%s %d): %08x is said, %s %ld came", i,
				call->i386 ? "i386" : "x86_64", call->number, action,
				trial->made > i ? "answer" : "death", call->answer);
		}
		if (!lives) {
			return (unsigned)i + 1;
		}
	}
	return CALLS;
}

static void the_kernel_decides_alike(void **state)
{
	struct trial *trial = mmap(
		NULL, sizeof(*trial), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned installed = 0;
	unsigned refused = 0;
	unsigned calls = 0;

	(void)state;
	assert_ptr_not_equal(trial, MAP_FAILED);
	for (unsigned i = 0; i < PROGRAMS; i++) {
		const struct seccomp_data nothing = {0};
		uint32_t action = 0;
		make_trial(trial);
		pid_t pid = fork();
		if (pid == 0) {
			run_trial(trial);
		}
		assert_true(pid > 0);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		bool good = filter_evaluate(trial->program, trial->count, &nothing, &action) == 0;
		if (good != (trial->installed == 0) && !(good && reads_scratch(trial))) {
			print_trial(trial);
			fail_msg("%s by us, installation says %d", good ? "taken" : "refused",
				trial->installed);
		}
		refused += trial->installed != 0;
		if (trial->installed == 0) {
			installed++;
			calls += check_calls(trial);
		}
	}
	(void)fprintf(stderr, "%u programs, %u calls alike; %u refused by both\n", installed, calls,
		refused);
	assert_true(installed >= PROGRAMS / 4);
	(void)munmap(trial, sizeof(*trial));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(the_kernel_decides_alike)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void)
{
	(void)fprintf(stderr, "the calls are those of x86_64\n");
	return 77;
}

#endif
