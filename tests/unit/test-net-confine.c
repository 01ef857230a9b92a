#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "backends/linux/arch.h"
#include "backends/linux/bpf.h"
#include "backends/linux/net-filter.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/strv.h"
#include "sshd/net-confine.h"
#include "tests/test.h"

#define ALLOW SECCOMP_RET_ALLOW
#define DENY (SECCOMP_RET_ERRNO | EPERM)
#define KILL SECCOMP_RET_KILL_PROCESS

static uint32_t judge(uint32_t arch, int number, const uint64_t args[6])
{
	struct seccomp_data data = {.nr = number, .arch = arch};
	uint32_t action = 0;
	size_t count = 0;
	const struct sock_filter *program = net_filter_program(&count);

	memcpy(data.args, args, sizeof(data.args));
	assert_int_equal(filter_evaluate(program, count, &data, &action), 0);
	return action;
}

static void the_filter_lets_through_what_the_table_says(void **state)
{
	static const struct {
		const char *name;
		int number;
		uint64_t args[6];
		uint32_t expected;
	} rows[] = {
		{"read", SYS_read, {0}, ALLOW},
		{"recvmsg", SYS_recvmsg, {0}, ALLOW},
		{"sendto", SYS_sendto, {0}, ALLOW},
		{"sendmsg, which can carry descriptors", SYS_sendmsg, {0}, DENY},
		{"sendmmsg", SYS_sendmmsg, {0}, DENY},
		{"exit_group", SYS_exit_group, {0}, ALLOW},
		{"TIOCSWINSZ", SYS_ioctl, {3, TIOCSWINSZ}, ALLOW},
		{"TIOCSWINSZ with a high half", SYS_ioctl, {3, TIOCSWINSZ | 1ull << 32}, ALLOW},
		{"TIOCSTI", SYS_ioctl, {3, TIOCSTI}, DENY},
		{"TIOCSTI with a high half", SYS_ioctl, {3, TIOCSTI | 1ull << 32}, DENY},
		{"F_SETPIPE_SZ", SYS_fcntl, {3, F_SETPIPE_SZ}, ALLOW},
		{"F_SETOWN", SYS_fcntl, {3, F_SETOWN}, DENY},
		{"F_DUPFD", SYS_fcntl, {3, F_DUPFD}, DENY},
		{"TCP_QUICKACK", SYS_setsockopt, {3, 6, TCP_QUICKACK}, ALLOW},
		{"TCP_ULP", SYS_setsockopt, {3, 6, TCP_ULP}, DENY},
		{"anonymous memory", SYS_mmap, {0, 4096, PROT_READ | PROT_WRITE}, ALLOW},
		{"executable memory", SYS_mmap, {0, 4096, PROT_READ | PROT_EXEC}, DENY},
		{"making memory executable", SYS_mprotect, {0, 4096, PROT_EXEC}, DENY},
		{"openat", SYS_openat, {0}, DENY},
		{"kill", SYS_kill, {0}, DENY},
		{"tgkill", SYS_tgkill, {0}, DENY},
		{"prctl", SYS_prctl, {0}, DENY},
		{"setresuid", SYS_setresuid, {0}, DENY},
		{"dup", SYS_dup, {0}, DENY},
		{"clone", SYS_clone, {0}, KILL},
		{"clone3", SYS_clone3, {0}, KILL},
		{"execve", SYS_execve, {0}, KILL},
		{"socket", SYS_socket, {0}, KILL},
		{"connect", SYS_connect, {0}, KILL},
		{"bind", SYS_bind, {0}, KILL},
		{"accept4", SYS_accept4, {0}, KILL},
		{"ptrace", SYS_ptrace, {0}, KILL},
		{"io_uring_setup", SYS_io_uring_setup, {0}, KILL},
		{"a number of tomorrow", 4000, {0}, DENY},
		{"the x32 read", 0x40000000, {0}, KILL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		print_message("%s\n", rows[i].name);
		assert_int_equal(
			judge(NATIVE_ARCH, rows[i].number, rows[i].args), rows[i].expected);
	}
}

static void a_foreign_architecture_is_death(void **state)
{
	const uint64_t none[6] = {0};

	assert_int_equal(judge(AUDIT_ARCH_I386, 3, none), KILL);
}

/* What the confined child tries. Each returns 0 when it is refused as it should be. */
static int open_fails(void)
{
	return open("/etc/passwd", O_RDONLY) < 0 && open("/", O_RDONLY) < 0 &&
			open(".", O_RDONLY) < 0 && open("..", O_RDONLY) < 0
		? 0
		: 1;
}

static int create_fails(void)
{
	return open("/x", O_CREAT | O_WRONLY, 0600) < 0 ? 0 : 1;
}

static int executable_memory_fails(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
			MAP_FAILED
		? 0
		: 1;
}

static int signal_fails(void)
{
	return syscall(SYS_kill, 1, 0) < 0 && syscall(SYS_kill, getppid(), 0) < 0 ? 0 : 1;
}

static int memory_and_clock_work(void)
{
	char *memory = malloc(1 << 20);
	int r = memory && io_now_usec() > 0 ? 0 : 1;

	free(memory);
	return r;
}

static int fork_dies(void)
{
	return (int)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
}

static int socket_dies(void)
{
	return (int)syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
}

static int exec_dies(void)
{
	return (int)syscall(SYS_execve, "/bin/true", NULL, NULL);
}

static const struct {
	const char *name;
	int (*attempt)(void);
	bool dies;
} attempts[] = {
	{"open", open_fails, false},
	{"create", create_fails, false},
	{"executable memory", executable_memory_fails, false},
	{"signals", signal_fails, false},
	{"memory and clock", memory_and_clock_work, false},
	{"fork", fork_dies, true},
	{"socket", socket_dies, true},
	{"exec", exec_dies, true},
};

/* Confines itself as the zygote and then as a net process. */
static void run_confined(int (*attempt)(void), const char *directory)
{
	struct net_options options = {.uid = geteuid() == 0 ? 64001 : (uid_t)-1,
		.gid = 64001,
		.empty_dir = (char *)(uintptr_t)directory};
	char **lost = NULL;
	struct err err = {0};

	if (net_confine_zygote(&options, &lost, &err) < 0 || net_confine(&options, &err) < 0) {
		(void)!write(2, err.msg, strlen(err.msg));
		_exit(99);
	}
	_exit(attempt());
}

static void a_confined_process_can_do_nothing_but_its_work(void **state)
{
	char directory[] = "/tmp/cloche-net-XXXXXX";

	assert_non_null(mkdtemp(directory));
	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++) {
		int status = 0;
		print_message("%s\n", attempts[i].name);
		pid_t pid = fork();
		if (pid == 0) {
			run_confined(attempts[i].attempt, directory);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (attempts[i].dies) {
			assert_true(WIFSIGNALED(status));
			assert_int_equal(WTERMSIG(status), SIGSYS);
		} else {
			assert_true(WIFEXITED(status));
			assert_int_equal(WEXITSTATUS(status), 0);
		}
	}
	(void)rmdir(directory);
}

static void root_is_refused_as_the_user_of_net(void **state)
{
	struct net_options options = {.uid = 0, .gid = 0, .empty_dir = (char[]){"/run"}};
	char **lost = NULL;
	struct err err = {0};
	int status = 0;

	if (geteuid() != 0) {
		return;
	}
	pid_t pid = fork();
	if (pid == 0) {
		_exit(net_confine_zygote(&options, &lost, &err) == -EINVAL ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_filter_lets_through_what_the_table_says),
		cmocka_unit_test(a_foreign_architecture_is_death),
		cmocka_unit_test(a_confined_process_can_do_nothing_but_its_work),
		cmocka_unit_test(root_is_refused_as_the_user_of_net),
	};

	return cmocka_run_group_tests_name("net-confine", tests, NULL, NULL);
}
