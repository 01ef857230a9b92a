/*
 * `plan --format`: a plan, or the part of it that another tool reads. What is printed is what a start
 * would hand over; {id}, {dir} and {fd:NAME} stand for what only a start knows.
 */
#include "cli/export.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "backends/choose.h"
#include "backends/oci.h"
#include "base/strv.h"

/*
 * The canonical JSON with the digest put where its name sorts: before "dir". No text from outside
 * can look like that key, as quotes inside texts are escaped.
 */
static int print_json(const struct plan *plan)
{
	cleanup_free char *json = plan_to_json(plan);
	const char *dir = json ? strstr(json, ",\"dir\":") : NULL;

	if (!dir) {
		return cli_fail(CLI_FAILED, "out of memory");
	}
	(void)printf("%.*s,\"digest\":\"%s\"%s\n", (int)(dir - json), json, plan->digest, dir);
	return CLI_OK;
}

static int print_text(const struct plan *plan)
{
	plan_print(plan, stdout);
	return CLI_OK;
}

static bool has_anything(const struct plan *plan)
{
	return true;
}

/* ---- the argument list ---- */

static bool has_command(const struct plan *plan)
{
	return plan->command != NULL;
}

static bool is_plain(const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789_-+=./:,@%";

	return *word && word[strspn(word, plain)] == '\0';
}

/* A word as a POSIX shell reads it back. */
static void put_quoted(const char *word)
{
	if (is_plain(word)) {
		(void)fputs(word, stdout);
		return;
	}
	(void)putchar('\'');
	for (; *word; word++) {
		(void)fputs(*word == '\'' ? "'\\''" : (char[]){*word, '\0'}, stdout);
	}
	(void)putchar('\'');
}

static int print_argv(const struct plan *plan)
{
	for (size_t i = 0; plan->command[i]; i++) {
		if (i > 0) {
			(void)putchar(' ');
		}
		put_quoted(plan->command[i]);
	}
	(void)putchar('\n');
	return CLI_OK;
}

/* ---- files ---- */

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text);

	return length >= strlen(end) && strcmp(text + length - strlen(end), end) == 0;
}

static const struct plan_file *find_file(const struct plan *plan, const char *end)
{
	for (size_t i = 0; i < plan->file_count; i++) {
		if (ends_with(plan->files[i].name, end)) {
			return &plan->files[i];
		}
	}
	return NULL;
}

static int print_file(const struct plan *plan, const char *end)
{
	const char *text = find_file(plan, end)->content;
	size_t length = strlen(text);

	(void)printf("%s%s", text, length > 0 && text[length - 1] == '\n' ? "" : "\n");
	return CLI_OK;
}

static bool has_oci(const struct plan *plan)
{
	return find_file(plan, "config.json") != NULL;
}

static int print_oci(const struct plan *plan)
{
	return print_file(plan, "config.json");
}

/* Whose tool reads it as a file has it in the plan; whose filter we load ourselves is translated. */
static bool has_seccomp(const struct plan *plan)
{
	return find_file(plan, "seccomp.json") != NULL || plan->filter != NULL;
}

static int print_seccomp(const struct plan *plan)
{
	cleanup_free char *text = NULL;

	if (find_file(plan, "seccomp.json")) {
		return print_file(plan, "seccomp.json");
	}
	text = oci_seccomp_json(plan->no_exec ? OCI_SECCOMP_NO_EXEC : 0);
	if (!text) {
		return cli_fail(CLI_FAILED, "out of memory");
	}
	(void)puts(text);
	return CLI_OK;
}

static bool has_sbpl(const struct plan *plan)
{
	return find_file(plan, ".sb") != NULL;
}

static int print_sbpl(const struct plan *plan)
{
	return print_file(plan, ".sb");
}

static const struct export_format {
	const char *name;
	const char *what; /* "<backend>'s plan has no <what>" */
	bool (*has)(const struct plan *plan);
	int (*print)(const struct plan *plan);
} formats[] = {
	{"text", "text", has_anything, print_text},
	{"json", "JSON", has_anything, print_json},
	{"oci", "OCI bundle", has_oci, print_oci},
	{"seccomp-json", "filter in OCI's form", has_seccomp, print_seccomp},
	{"sbpl", "Seatbelt profile", has_sbpl, print_sbpl},
	{"argv", "argument list of a tool", has_command, print_argv},
};

static const struct export_format *find_format(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		if (strcmp(formats[i].name, name) == 0) {
			return &formats[i];
		}
	}
	return NULL;
}

int cli_export_check(const char *name)
{
	char names[128] = "";

	if (find_format(name)) {
		return CLI_OK;
	}
	for (size_t i = 0, used = 0; i < ARRAY_SIZE(formats) && used < sizeof(names); i++) {
		used += (size_t)snprintf(
			names + used, sizeof(names) - used, "%s%s", i ? ", " : "", formats[i].name);
	}
	return cli_fail(CLI_USAGE, "--format: there is no format '%s'; there are: %s", name, names);
}

/* Who could: every backend whose plan for this spec has what the format shows. */
static int refuse(const struct export_format *format, const struct plan *plan,
	const struct spec *spec, const struct host *host)
{
	cleanup(choices_fini) struct choices choices = {0};
	char names[256] = "";
	size_t used = 0;

	(void)backend_weigh(backends, spec, host, plan->without, &choices, NULL);
	for (size_t i = 0; i < choices.count && used < sizeof(names); i++) {
		if (choices.list[i].plan && format->has(choices.list[i].plan)) {
			used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s",
				used ? ", " : "", choices.list[i].backend->name);
		}
	}
	return cli_fail(CLI_USAGE, "--format %s: %s's plan has no %s; %s%s", format->name,
		plan->backend, format->what,
		*names ? "--backend with one of these has: " : "no backend's has for this spec",
		names);
}

int cli_export(
	const char *name, const struct plan *plan, const struct spec *spec, const struct host *host)
{
	const struct export_format *format = find_format(name);

	assert(format);
	return format->has(plan) ? format->print(plan) : refuse(format, plan, spec, host);
}
