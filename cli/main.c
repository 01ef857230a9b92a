#include "cli/cli.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/parse.h"
#include "cloche-config.h"

static int command_help(int argc, char **argv);

const struct command commands[] = {
	{"run", "[OPTIONS] [--] COMMAND [ARGUMENT...]", "run a command in a fresh sandbox",
		command_run},
	{"plan", "[OPTIONS] [--] COMMAND [ARGUMENT...]", "show what run would do, without doing it",
		command_plan},
	{"caps", "[--json | --probes] [OPTIONS [--] COMMAND...]",
		"list the capabilities, and which backend keeps them", command_caps},
	{"backends", "[--json]", "list the backends, and whether they can run here",
		command_backends},
	{"explain", "[CAPABILITY | CAVEAT | LAYER] | OPTIONS [--] COMMAND...",
		"say what a name means, or who would run a command and why", command_explain},
	{"doctor", "[--json]", "say what this host can do, and how to mend what it cannot",
		command_doctor},
	{"totp", "[--key FILE] USER", "make a secret for one-time codes", command_totp},
	{"passwd", "", "make a password line for the configuration", command_passwd},
	{"keygen", "[-t ed25519] -f FILE", "make a host key", command_keygen},
	{"sessions", "[show ID | kill ID [--reason TEXT] | drain] [--json] [--socket PATH]",
		"list the sessions of a running server, end one, or let it drain",
		command_sessions},
	{"join", "--read-only [--raw] [--socket PATH] ID",
		"watch what a session of a running server prints", command_join},
	{"penalties", "[--json] [--clear ADDRESS | --clear USER | --clear all] [--socket PATH]",
		"list who has to wait before the server serves them again", command_penalties},
	{"help", "[COMMAND]", "say how to use a command", command_help},
	{.name = NULL},
};

__attribute__((format(printf, 2, 0))) static void say(
	const char *kind, const char *format, va_list args)
{
	char text[1024];
	char clean[2048];

	(void)vsnprintf(text, sizeof(text), format, args);
	(void)fflush(stdout);
	(void)fprintf(stderr, "cloche: %s%s\n", kind, log_escape(text, clean, sizeof(clean)));
}

int cli_fail(int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say("", format, args);
	va_end(args);
	return code;
}

void cli_warn(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say("warning: ", format, args);
	va_end(args);
}

int cli_only_json(int argc, char **argv, bool *ret_json)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'}, {.name = NULL}};
	int c = 0;

	*ret_json = false;
	opterr = 0;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c != 'j') {
			return cli_fail(CLI_USAGE, "%s: %s is no option; it takes --json", argv[0],
				argv[optind - 1]);
		}
		*ret_json = true;
	}
	if (optind < argc) {
		return cli_fail(CLI_USAGE, "%s takes no argument '%s'", argv[0], argv[optind]);
	}
	return -1;
}

void cli_wrap(unsigned indent, const char *words)
{
	unsigned column = indent;

	while (*words) {
		size_t length = strcspn(words, " ");
		if (column > indent && column + 1 + length > 80) {
			(void)printf("\n%*s", (int)indent, "");
			column = indent;
		}
		(void)printf("%s%.*s", column > indent ? " " : "", (int)length, words);
		column += (unsigned)length + (column > indent);
		words += length;
		words += strspn(words, " ");
	}
	(void)putchar('\n');
}

bool cli_flush(void)
{
	if (fflush(stdout) != 0 || ferror(stdout)) {
		cli_warn("standard output: %s", strerror(errno));
		return false;
	}
	return true;
}

static const struct command *find_command(const char *name)
{
	for (const struct command *command = commands; command->name; command++) {
		if (strcmp(command->name, name) == 0) {
			return command;
		}
	}
	return NULL;
}

static int refuse_command(const char *name)
{
	const char *nearest = NULL;
	size_t best = 3;

	for (const struct command *command = commands; command->name; command++) {
		size_t distance = parse_edit_distance(name, command->name, best);
		if (distance < best) {
			best = distance;
			nearest = command->name;
		}
	}
	if (nearest) {
		return cli_fail(
			CLI_USAGE, "there is no command '%s'; did you mean '%s'?", name, nearest);
	}
	return cli_fail(CLI_USAGE, "there is no command '%s'; `cloche help` lists them", name);
}

static int print_overview(void)
{
	(void)printf(
		"usage: cloche COMMAND ...\n\n"
		"Runs commands in fresh sandboxes, and says beforehand what they promise.\n\n");
	for (const struct command *command = commands; command->name; command++) {
		(void)printf("  %-10s %s\n", command->name, command->summary);
	}
	(void)printf("\n  cloche help COMMAND   its options\n"
		     "  cloche --version      the version\n");
	return cli_flush() ? CLI_OK : CLI_FAILED;
}

static int command_help(int argc, char **argv)
{
	const struct command *command = NULL;

	if (argc < 2) {
		return print_overview();
	}
	command = find_command(argv[1]);
	if (!command) {
		return refuse_command(argv[1]);
	}
	int indent = printf("usage: cloche %s ", command->name);
	cli_wrap((unsigned)indent, command->usage);
	(void)printf("\n%s.\n", command->summary);
	if (command->run == command_run || command->run == command_plan) {
		cli_options_help();
	} else if (command->run == command_caps || command->run == command_explain) {
		(void)printf("\nOPTIONS are those of a spec: `cloche help run` lists them.\n");
	}
	return cli_flush() ? CLI_OK : CLI_FAILED;
}

int main(int argc, char **argv)
{
	char *help[] = {(char[]){"help"}, NULL};
	const struct command *command = NULL;

	if (argc < 2) {
		(void)print_overview();
		return CLI_USAGE;
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		(void)puts("cloche " CLOCHE_VERSION);
		return cli_flush() ? CLI_OK : CLI_FAILED;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		return command_help(1, help);
	}
	command = find_command(argv[1]);
	if (!command) {
		return refuse_command(argv[1]);
	}
	if (argc > 2 && strcmp(argv[2], "--help") == 0) {
		char *ask[] = {help[0], argv[1], NULL};
		return command_help(2, ask);
	}
	return command->run(argc - 1, argv + 1);
}
