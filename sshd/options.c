#include "sshd/options.h"

#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <string.h>

#include "base/parse.h"
#include "base/strv.h"

#define OPTION(field) offsetof(struct options, field)
#define LONG_ONLY 256

enum option_kind { OPTION_FLAG, OPTION_COUNT, OPTION_TEXT, OPTION_LIST };

static const struct {
	int letter; /* or from LONG_ONLY on */
	const char *name; /* the long form, or NULL */
	const char *argument;
	enum option_kind kind;
	size_t offset;
	const char *help; /* NULL: not for people */
} table[] = {
	{'D', NULL, NULL, OPTION_FLAG, OPTION(foreground), "stay in the foreground"},
	{'d', NULL, NULL, OPTION_COUNT, OPTION(debug),
		"debug one connection, on stderr; -dd says more"},
	{'e', NULL, NULL, OPTION_FLAG, OPTION(to_stderr), "log on stderr instead of syslog"},
	{'E', NULL, "FILE", OPTION_TEXT, OPTION(log_file), "append the log to FILE"},
	{'f', NULL, "FILE", OPTION_TEXT, OPTION(config),
		"configuration file; \"none\" for the embedded one"},
	{'h', NULL, "FILE", OPTION_LIST, OPTION(host_keys),
		"host key, in place of the configured ones"},
	{'o', NULL, "KEY=VALUE", OPTION_LIST, OPTION(overrides),
		"set a server key of the configuration"},
	{'p', NULL, "PORT", OPTION_LIST, OPTION(ports), "port, in place of the configured ones"},
	{'q', NULL, NULL, OPTION_FLAG, OPTION(quiet), "log errors only"},
	{'V', "version", NULL, OPTION_FLAG, OPTION(version), "print the version"},
	{'t', NULL, NULL, OPTION_FLAG, OPTION(test),
		"check it all, and make a sandbox of each profile"},
	{'T', NULL, NULL, OPTION_FLAG, OPTION(dump),
		"print the settings in effect; with -C a login's"},
	{'C', NULL, "user=NAME,addr=ADDRESS,key=SHA256:...", OPTION_LIST, OPTION(connections),
		"a login for -T"},
	{LONG_ONLY, "help", NULL, OPTION_FLAG, OPTION(help), "print this"},
	{LONG_ONLY + 1, "no-proof", NULL, OPTION_FLAG, OPTION(no_proof),
		"open profiles without measuring them; loud"},
	{LONG_ONLY + 2, "net-zygote", NULL, OPTION_FLAG, OPTION(zygote), NULL},
};

static int store(struct options *options, size_t row, char *value)
{
	char *field = (char *)options + table[row].offset;

	switch (table[row].kind) {
	case OPTION_FLAG:
		*(bool *)field = true;
		return 0;
	case OPTION_COUNT:
		++*(unsigned *)field;
		return 0;
	case OPTION_TEXT:
		*(const char **)field = value;
		return 0;
	case OPTION_LIST:
		return strv_append((char ***)field, value);
	}
	return -EINVAL;
}

static void make_tables(
	char letters[2 * ARRAY_SIZE(table) + 2], struct option names[ARRAY_SIZE(table) + 1])
{
	size_t used = 0;
	size_t count = 0;

	letters[used++] = ':'; /* getopt says nothing itself */
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (table[i].letter < LONG_ONLY) {
			letters[used++] = (char)table[i].letter;
			if (table[i].argument) {
				letters[used++] = ':';
			}
		}
		if (table[i].name) {
			names[count++] = (struct option){.name = table[i].name,
				.has_arg = table[i].argument ? required_argument : no_argument,
				.val = table[i].letter};
		}
	}
	letters[used] = '\0';
	names[count] = (struct option){0};
}

static int check(const struct options *options, struct err *err)
{
	STRV_FOREACH (port, options->ports) {
		uint64_t ignored = 0;
		if (parse_range(*port, 0, 65535, &ignored) < 0) {
			return err_refuse(
				err, EINVAL, "-p %s: a port is a number up to 65535", *port);
		}
	}
	if (options->connections && !options->dump) {
		return err_refuse(err, EINVAL, "-C goes with -T");
	}
	return 0;
}

int options_parse(int argc, char **argv, struct options *ret, struct err *err)
{
	char letters[2 * ARRAY_SIZE(table) + 2];
	struct option names[ARRAY_SIZE(table) + 1];
	int found = 0;

	make_tables(letters, names);
	optind = 0;
	while ((found = getopt_long(argc, argv, letters, names, NULL)) != -1) {
		size_t row = 0;
		if (found == '?' || found == ':') {
			const char *text = optind > 0 && optind <= argc ? argv[optind - 1] : "";
			return err_refuse(err, EINVAL,
				found == ':' ? "%s needs a value; --help lists the options"
					     : "%s: no such option; --help lists them",
				text);
		}
		while (row < ARRAY_SIZE(table) && table[row].letter != found) {
			row++;
		}
		if (store(ret, row, optarg) < 0) {
			return err_set(err, ENOMEM, "reading options");
		}
	}
	if (optind < argc) {
		return err_refuse(err, EINVAL,
			"%s: no operand is expected; --help lists the options", argv[optind]);
	}
	return check(ret, err);
}

void options_fini(struct options *options)
{
	options->connections = strv_free(options->connections);
	options->host_keys = strv_free(options->host_keys);
	options->overrides = strv_free(options->overrides);
	options->ports = strv_free(options->ports);
}

void options_help(FILE *out)
{
	(void)fprintf(out, "usage: cloche-sshd [options]\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		char left[48];
		char letter[3] = {'-', (char)table[i].letter, '\0'};
		if (!table[i].help) {
			continue;
		}
		bool is_short = table[i].letter < LONG_ONLY;
		(void)snprintf(left, sizeof(left), "%s%s%s%s%s%s", is_short ? letter : "",
			is_short && table[i].name ? ", " : "", table[i].name ? "--" : "",
			table[i].name ? table[i].name : "", table[i].argument ? " " : "",
			table[i].argument ? table[i].argument : "");
		(void)fprintf(out, "  %-28s  %s\n", left, table[i].help);
	}
}
