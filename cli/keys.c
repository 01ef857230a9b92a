#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>

#include "base/io.h"
#include "keys/hostkey.h"
#include "keys/password.h"

#define PASSWORD_MAX 1024

/* Wiped whatever way it goes out of scope. */
struct secret {
	char text[PASSWORD_MAX];
	size_t size;
};

static void secret_wipe(struct secret *secret)
{
	sodium_memzero(secret, sizeof(*secret));
}

/* One line of fd without its end, byte by byte: what follows is not ours to take. */
static int read_line(int fd, struct secret *ret)
{
	ret->size = 0;
	for (;;) {
		char c = 0;
		ssize_t n = read(fd, &c, 1);
		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0) {
			return -errno;
		}
		if (n == 0 || c == '\n') {
			return n == 0 && ret->size == 0 ? -ENODATA : 0;
		}
		if (ret->size == sizeof(ret->text)) {
			return -EMSGSIZE;
		}
		ret->text[ret->size++] = c;
	}
}

/* Asks without echo. ISIG is off: an interrupt would leave the terminal dumb. */
static int ask(int tty, const char *prompt, struct secret *ret)
{
	struct termios before;
	struct termios quiet;
	int r = 0;

	if (tcgetattr(tty, &before) < 0) {
		return -errno;
	}
	quiet = before;
	quiet.c_lflag &= ~(tcflag_t)(ECHO | ISIG);
	quiet.c_lflag |= ECHONL;
	if (tcsetattr(tty, TCSAFLUSH, &quiet) < 0) {
		return -errno;
	}
	r = io_write_all(tty, prompt, strlen(prompt));
	if (r == 0) {
		r = read_line(tty, ret);
	}
	(void)tcsetattr(tty, TCSAFLUSH, &before);
	return r;
}

static int ask_twice(struct secret *ret)
{
	cleanup(secret_wipe) struct secret again = {.size = 0};
	cleanup_close int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	int r = tty < 0 ? -errno : ask(tty, "Password: ", ret);

	if (r == 0) {
		r = ask(tty, "The same again: ", &again);
	}
	if (r == 0 && (again.size != ret->size || memcmp(again.text, ret->text, ret->size) != 0)) {
		return -EKEYREJECTED;
	}
	return r;
}

static int refuse_password(int r)
{
	switch (r) {
	case -EKEYREJECTED:
		return cli_fail(CLI_FAILED, "the two passwords differ");
	case -EMSGSIZE:
		return cli_fail(CLI_FAILED, "the password is longer than %d bytes", PASSWORD_MAX);
	case -ENODATA:
	case -EINVAL:
		return cli_fail(CLI_FAILED, "an empty password is none");
	default:
		return cli_fail(CLI_FAILED, "reading the password: %s", strerror(-r));
	}
}

int command_passwd(int argc, char **argv)
{
	cleanup(secret_wipe) struct secret secret = {.size = 0};
	char line[PASSWORD_LINE_SIZE];
	int r = 0;

	if (argc > 1) {
		return cli_fail(CLI_USAGE,
			"passwd takes no arguments: the password is asked for, or read from "
			"standard input");
	}
	r = isatty(0) ? ask_twice(&secret) : read_line(0, &secret);
	if (r == 0) {
		r = password_make(secret.text, secret.size, line);
	}
	if (r < 0) {
		return refuse_password(r);
	}
	(void)puts(line);
	return cli_flush() ? CLI_OK : CLI_FAILED;
}

int command_keygen(int argc, char **argv)
{
	const char *type = "ed25519";
	const char *path = NULL;
	struct err err = {0};
	int c = 0;

	opterr = 0;
	while ((c = getopt(argc, argv, ":t:f:")) != -1) {
		switch (c) {
		case 't':
			type = optarg;
			break;
		case 'f':
			path = optarg;
			break;
		case ':':
			return cli_fail(CLI_USAGE, "keygen: -%c needs a value", optopt);
		default:
			return cli_fail(
				CLI_USAGE, "keygen: -%c is no option; it takes -t and -f", optopt);
		}
	}
	if (!path || optind < argc) {
		return cli_fail(CLI_USAGE, "keygen: say -f FILE for where the key goes");
	}
	if (strcmp(type, "ed25519") != 0) {
		return cli_fail(CLI_USAGE, "keygen: only ed25519 keys are made, not '%s'", type);
	}
	if (hostkey_generate(path, &err) < 0) {
		return cli_fail(CLI_FAILED, "%s", err.msg);
	}
	(void)printf("%s\n%s.pub\n", path, path);
	return cli_flush() ? CLI_OK : CLI_FAILED;
}
