#include "tests/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/strv.h"
#include "sshd/notify.h"
#include "sshd/options.h"
#include "sshd/proof.h"
#include "sshd/sockets.h"

/* Splits text at blanks and parses it as a command line. */
static int parse(const char *text, char *copy, size_t size, struct options *ret, struct err *err)
{
	char *argv[32] = {NULL};
	int argc = 0;
	char *rest = copy;
	char *word = NULL;

	(void)snprintf(copy, size, "cloche-sshd %s", text);
	while ((word = strsep(&rest, " ")) && argc < 31) {
		if (*word) {
			argv[argc++] = word;
		}
	}
	*ret = (struct options){0};
	return options_parse(argc, argv, ret, err);
}

static void options_mean_what_sshd_means(void **state)
{
	char copy[256];
	struct options options;
	struct err err = {0};

	assert_int_equal(parse("-Ddde -f /c -p 22 -p2222 -h k1 -h k2 -o a=b -E log --no-proof",
				 copy, sizeof(copy), &options, &err),
		0);
	assert_true(options.foreground && options.to_stderr && options.no_proof);
	assert_int_equal(options.debug, 2);
	assert_string_equal(options.config, "/c");
	assert_string_equal(options.log_file, "log");
	assert_int_equal(strv_length(options.ports), 2);
	assert_string_equal(options.ports[1], "2222");
	assert_int_equal(strv_length(options.host_keys), 2);
	assert_string_equal(options.overrides[0], "a=b");
	assert_false(options.test || options.dump || options.quiet);
	options_fini(&options);
}

static void bad_options_get_one_clear_line(void **state)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{"-x", "-x: no such option"},
		{"--nope", "--nope: no such option"},
		{"-f", "-f needs a value"},
		{"-p 70000", "-p 70000: a port"},
		{"-p ssh", "-p ssh: a port"},
		{"-C user=a", "-C goes with -T"},
		{"extra", "extra: no operand"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char copy[256];
		struct options options;
		struct err err = {0};
		assert_int_equal(parse(rows[i].text, copy, sizeof(copy), &options, &err), -EINVAL);
		assert_non_null(strstr(err.msg, rows[i].says));
		options_fini(&options);
	}
}

static void a_report_names_the_first_promise_that_failed(void **state)
{
#define ENTRY(name, declared, verdict)                                                             \
	"{\"name\":\"" name "\",\"declared\":" declared ",\"verdict\":\"" verdict "\"}"
#define REPORT(entries) "{\"schema\":\"cloche.report/1\",\"capabilities\":[" entries "]}"
	static const struct {
		const char *report;
		int result;
		const char *name;
	} rows[] = {
		{REPORT(""), -ENOENT, ""},
		{REPORT(ENTRY("a", "true", "PASS") "," ENTRY("b", "true", "OVER-RESTRICTED")),
			-ENOENT, ""},
		{REPORT(ENTRY("a", "true", "PASS") "," ENTRY("b", "true", "FAIL")), 0, "b"},
		{REPORT(ENTRY("a", "true", "INCONCLUSIVE")), 0, "a"},
		{REPORT(ENTRY("a", "true", "NOT-TESTED")), 0, "a"},
		{REPORT(ENTRY("a", "false", "UNDECLARED-OPEN")), -ENOENT, ""},
		{REPORT("{\"name\":\"a\",\"declared\":true}"), -EPROTO, ""},
		{"{}", -EPROTO, ""},
		{"", -EPROTO, ""},
		{"[1", -EPROTO, ""},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char name[64] = "";
		assert_int_equal(
			proof_find_failure(rows[i].report, name, sizeof(name)), rows[i].result);
		assert_string_equal(name, rows[i].name);
	}
}

static void addresses_are_numeric_and_ports_may_be_free_ones(void **state)
{
	char *bad[][2] = {
		{(char[]){"localhost:22"}, NULL},
		{(char[]){"127.0.0.1"}, NULL},
		{(char[]){"127.0.0.1:99999"}, NULL},
		{(char[]){"[::1"}, NULL},
		{(char[]){"[]:22"}, NULL},
		{(char[]){":22"}, NULL},
	};
	char *good[] = {(char[]){"127.0.0.1:0"}, NULL};
	struct sockets sockets = {0};
	struct sockets again = {0};
	struct err err = {0};
	char first[64];
	char second[64];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(sockets_open(bad[i], NULL, &sockets, &err), -EINVAL);
		assert_int_equal(sockets.count, 0);
		assert_non_null(strstr(err.msg, bad[i][0]));
	}
	assert_int_equal(sockets_open(NULL, NULL, &sockets, &err), -EINVAL);
	assert_int_equal(sockets_open(good, NULL, &sockets, &err), 0);
	sockets_format(&sockets, 0, first, sizeof(first));
	assert_true(strncmp(first, "127.0.0.1:", 10) == 0 && strcmp(first + 10, "0") != 0);
	/* A reload keeps what has not changed, and with it who waits there. */
	assert_int_equal(sockets_open(good, &sockets, &again, &err), 0);
	sockets_close(&sockets);
	sockets_format(&again, 0, second, sizeof(second));
	assert_string_equal(first, second);
	sockets_close(&again);
}

static void a_port_that_is_taken_is_said(void **state)
{
	char *free_port[] = {(char[]){"127.0.0.1:0"}, NULL};
	struct sockets sockets = {0};
	struct sockets second = {0};
	struct err err = {0};
	char text[64];
	char *taken[] = {text, NULL};

	assert_int_equal(sockets_open(free_port, NULL, &sockets, &err), 0);
	sockets_format(&sockets, 0, text, sizeof(text));
	assert_int_equal(sockets_open(taken, NULL, &second, &err), -EADDRINUSE);
	assert_non_null(strstr(err.msg, text));
	assert_int_equal(second.count, 0);
	sockets_close(&sockets);
}

static void the_service_manager_is_told(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char name[80];
	char heard[128];
	cleanup_close int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)snprintf(name, sizeof(name), "@cloche-test-notify-%d", (int)getpid());
	memcpy(address.sun_path, name, strlen(name));
	address.sun_path[0] = '\0';
	assert_int_equal(
		bind(fd, (const struct sockaddr *)&address,
			(socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
		0);
	assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
	notify_send("READY=1");
	ssize_t n = recv(fd, heard, sizeof(heard) - 1, MSG_DONTWAIT);
	assert_int_equal(n, 7);
	notify_reloading();
	n = recv(fd, heard, sizeof(heard) - 1, MSG_DONTWAIT);
	assert_true(n > 0);
	heard[n] = '\0';
	assert_non_null(strstr(heard, "RELOADING=1\nMONOTONIC_USEC="));
	assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
}

/* In a child, because the descriptors have fixed numbers. */
static int count_handed(const char *pid, const char *count)
{
	pid_t child = fork();
	int status = 0;

	assert_true(child >= 0);
	if (child == 0) {
		char own[16];
		(void)snprintf(own, sizeof(own), "%d", (int)getpid());
		(void)dup2(STDIN_FILENO, 3);
		(void)dup2(STDIN_FILENO, 4);
		(void)setenv("LISTEN_PID", pid ? pid : own, 1);
		(void)setenv("LISTEN_FDS", count, 1);
		int handed = notify_listen_fds();
		bool closed = handed <= 0 || (fcntl(3, F_GETFD) & FD_CLOEXEC);
		_exit(getenv("LISTEN_FDS") || !closed ? 99 : handed & 0xff);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WEXITSTATUS(status);
}

static void sockets_are_taken_only_when_they_are_ours(void **state)
{
	assert_int_equal(count_handed(NULL, "2"), 2);
	assert_int_equal(count_handed("1", "2"), 0);
	assert_int_equal(count_handed("1", "x"), 0);
	assert_int_equal(count_handed(NULL, "-1"), -EINVAL & 0xff);
	assert_int_equal(count_handed(NULL, "1000"), -EINVAL & 0xff);
	assert_int_equal(count_handed(NULL, "x"), -EINVAL & 0xff);
}

/* Adopts fd as the one socket handed over, in a process of its own; what sockets_adopt() says. */
static int adopt(int fd)
{
	struct sockets sockets = {0};
	struct err err = {0};
	int status = 0;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		(void)dup2(fd, 3);
		int r = sockets_adopt(1, &sockets, &err);
		_exit(r == 0 ? (sockets.count == 1 ? 0 : 99) : (err.msg[0] ? -r : 98));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WEXITSTATUS(status);
}

static void only_sockets_that_listen_are_taken(void **state)
{
	cleanup_close int file = open("/dev/null", O_RDWR | O_CLOEXEC);
	cleanup_close int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	cleanup_close int local = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cleanup_close int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(adopt(file), EINVAL);
	assert_int_equal(adopt(udp), EINVAL);
	assert_int_equal(adopt(local), EINVAL);
	assert_int_equal(adopt(tcp), EINVAL);
	assert_int_equal(listen(tcp, 1), 0);
	assert_int_equal(adopt(tcp), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_mean_what_sshd_means),
		cmocka_unit_test(bad_options_get_one_clear_line),
		cmocka_unit_test(a_report_names_the_first_promise_that_failed),
		cmocka_unit_test(addresses_are_numeric_and_ports_may_be_free_ones),
		cmocka_unit_test(a_port_that_is_taken_is_said),
		cmocka_unit_test(the_service_manager_is_told),
		cmocka_unit_test(sockets_are_taken_only_when_they_are_ours),
		cmocka_unit_test(only_sockets_that_listen_are_taken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
