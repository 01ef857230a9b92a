#include "sshd/motd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "session/config-schema.h"

static void print_limits(const struct spec *spec, FILE *out)
{
	static const char *const limits[] = {"cpus", "memory", "pids", "disk", "timeout"};
	const char *between = "\r\ncloche: limits: ";

	for (const struct spec_key *key = spec_keys; key->name; key++) {
		for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
			if (strcmp(key->name, limits[i]) == 0 &&
				config_spec_key_is_set(key, spec)) {
				(void)fprintf(out, "%s%s ", between, key->name);
				config_spec_key_print(key, spec, out);
				between = ", ";
			}
		}
	}
}

/* Only what was measured is called so; who runs without measuring is told so elsewhere as well. */
static void print_auto(
	const struct config_profile *profile, const struct session_gate *gate, bool why, FILE *out)
{
	char names[1024];

	(void)fprintf(out, "cloche: profile %s", profile->name);
	(void)capability_set_format(gate->uses, names, sizeof(names));
	if (gate->measured) {
		(void)fprintf(out, "; promised and observed (proof %s): %s", gate->proof, names);
	} else {
		(void)fprintf(out, "; promised, not measured: %s", names);
	}
	print_limits(&profile->spec, out);
	if (why) {
		(void)fputs("\r\ncloche: why says what was refused, if anything", out);
	}
}

/* The client's terminal is in raw mode: it does not return to the left by itself. */
static void print_lines(const char *text, FILE *out)
{
	size_t length = strlen(text);

	while (length > 0 && text[length - 1] == '\n') {
		length--;
	}
	for (size_t i = 0; i < length; i++) {
		(void)fputs(text[i] == '\n' ? "\r\n" : (char[]){text[i], '\0'}, out);
	}
}

int motd_make(
	const struct config_profile *profile, const struct session_gate *gate, bool why, char **ret)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = NULL;

	*ret = NULL;
	if (!profile->motd) {
		return 0;
	}
	out = open_memstream(&text, &size);
	if (!out) {
		return -ENOMEM;
	}
	if (strcmp(profile->motd, "auto") == 0) {
		print_auto(profile, gate, why, out);
	} else {
		print_lines(profile->motd, out);
	}
	if (fclose(out) != 0) {
		free(text);
		return -ENOMEM;
	}
	*ret = text;
	return 0;
}
