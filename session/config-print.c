#include "session/config.h"

#include <string.h>

#include "base/parse.h"
#include "base/strv.h"
#include "session/config-schema.h"
#include "session/document.h"

static void print_list(char *const *list, FILE *out)
{
	(void)fputc('[', out);
	for (size_t i = 0; list && list[i]; i++) {
		(void)fputs(i ? ", " : "", out);
		document_print_text(list[i], out);
	}
	(void)fputc(']', out);
}

static void print_duration(uint64_t seconds, FILE *out)
{
	static const struct {
		uint64_t seconds;
		char letter;
	} units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};

	if (seconds == 0) {
		(void)fputc('0', out);
	}
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (seconds >= units[i].seconds) {
			(void)fprintf(out, "%llu%c",
				(unsigned long long)(seconds / units[i].seconds), units[i].letter);
			seconds %= units[i].seconds;
		}
	}
}

static void print_size(uint64_t bytes, FILE *out)
{
	static const char suffixes[] = "KMGT";
	char suffix = '\0';

	for (size_t i = 0; i < sizeof(suffixes) - 1 && bytes > 0 && bytes % 1024 == 0; i++) {
		bytes /= 1024;
		suffix = suffixes[i];
	}
	(void)fprintf(out, "%llu%.*s", (unsigned long long)bytes, suffix ? 1 : 0, &suffix);
}

bool config_key_is_set(const struct config_key *key, const void *base)
{
	if (key->type == CONFIG_INHERIT || key->type == CONFIG_SECTION) {
		return false;
	}
	return key->type != CONFIG_TEXT || key->unset ||
		*(char *const *)((const char *)base + key->offset);
}

void config_key_print(const struct config_key *key, const void *base, FILE *out)
{
	const void *field = (const char *)base + key->offset;
	const uint64_t *numbers = field;
	const char *text = NULL;

	switch (key->type) {
	case CONFIG_BOOL:
		(void)fputs(*(const bool *)field ? "yes" : "no", out);
		break;
	case CONFIG_COUNT:
		(void)fprintf(out, "%llu", (unsigned long long)*numbers);
		break;
	case CONFIG_DURATION:
		print_duration(*numbers, out);
		break;
	case CONFIG_SIZE:
		print_size(*numbers, out);
		break;
	case CONFIG_TEXT:
		text = *(char *const *)field;
		document_print_text(text ? text : key->unset, out);
		break;
	case CONFIG_LIST:
		print_list(*(char **const *)field, out);
		break;
	case CONFIG_BLOCK:
		(void)fprintf(out, "%llu:%llu", (unsigned long long)numbers[0],
			(unsigned long long)numbers[1]);
		break;
	case CONFIG_STARTUPS:
		(void)fprintf(out, "%llu:%llu:%llu", (unsigned long long)numbers[0],
			(unsigned long long)numbers[1], (unsigned long long)numbers[2]);
		break;
	case CONFIG_INHERIT:
	case CONFIG_SECTION:
		break;
	}
}

/* ---- the whole ---- */

/* Processors: 1500 thousandths are 1.5. */
static void print_milli(uint64_t milli, FILE *out)
{
	unsigned digits = (unsigned)(milli % 1000);
	int width = 3;

	(void)fprintf(out, "%llu", (unsigned long long)(milli / 1000));
	while (digits > 0 && digits % 10 == 0) {
		digits /= 10;
		width--;
	}
	if (digits > 0) {
		(void)fprintf(out, ".%0*u", width, digits);
	}
}

static void print_number(enum spec_type type, uint64_t number, FILE *out)
{
	if (type == SPEC_SIZE) {
		print_size(number, out);
	} else if (type == SPEC_DURATION) {
		print_duration(number, out);
	} else if (type == SPEC_MILLI) {
		print_milli(number, out);
	} else {
		(void)fprintf(out, "%llu", (unsigned long long)number);
	}
}

static void print_keys(
	const struct config_key *keys, const void *base, const char *indent, FILE *out)
{
	for (; keys->name; keys++) {
		if (config_key_is_set(keys, base)) {
			(void)fprintf(out, "%s%s: ", indent, keys->name);
			config_key_print(keys, base, out);
			(void)fputc('\n', out);
		}
	}
}

static void print_capabilities(struct capability_set set, FILE *out)
{
	enum capability list[CAPABILITY_COUNT];
	size_t count = capability_set_list(set, list);

	(void)fputc('[', out);
	for (size_t i = 0; i < count; i++) {
		(void)fprintf(out, "%s%s", i ? ", " : "", capability_name(list[i]));
	}
	(void)fputc(']', out);
}

bool config_spec_key_is_set(const struct spec_key *key, const struct spec *spec)
{
	const void *field = (const char *)spec + key->offset;

	switch (key->type) {
	case SPEC_CHOICE:
		return *(const unsigned *)field != 0;
	case SPEC_BOOL:
		return *(const bool *)field;
	case SPEC_STRING:
	case SPEC_PATH:
		return *(char *const *)field != NULL;
	case SPEC_PATHS:
	case SPEC_STRINGS:
		return *(char **const *)field && **(char **const *)field;
	case SPEC_SIZE:
	case SPEC_COUNT:
	case SPEC_MILLI:
	case SPEC_DURATION:
		return *(const uint64_t *)field != 0;
	case SPEC_CAPABILITIES:
		return ((const struct capability_set *)field)->bits != 0;
	}
	return false;
}

void config_spec_key_print(const struct spec_key *key, const struct spec *spec, FILE *out)
{
	const void *field = (const char *)spec + key->offset;
	const char *text = NULL;

	switch (key->type) {
	case SPEC_CHOICE:
		(void)fputs(key->choices[*(const unsigned *)field], out);
		break;
	case SPEC_BOOL:
		(void)fputs(*(const bool *)field ? "yes" : "no", out);
		break;
	case SPEC_STRING:
	case SPEC_PATH:
		text = *(char *const *)field;
		document_print_text(text ? text : "none", out);
		break;
	case SPEC_PATHS:
	case SPEC_STRINGS:
		print_list(*(char **const *)field, out);
		break;
	case SPEC_SIZE:
	case SPEC_COUNT:
	case SPEC_MILLI:
	case SPEC_DURATION:
		print_number(key->type, *(const uint64_t *)field, out);
		break;
	case SPEC_CAPABILITIES:
		print_capabilities(*(const struct capability_set *)field, out);
		break;
	}
}

static void print_profile(const struct config_profile *profile, FILE *out)
{
	(void)fputs("  ", out);
	document_print_text(profile->name, out);
	(void)fputs(":\n", out);
	print_keys(config_profile_keys, profile, "    ", out);
	for (const struct spec_key *key = spec_keys; key->name; key++) {
		if (config_spec_key_is_set(key, &profile->spec)) {
			(void)fprintf(out, "    %s: ", key->name);
			config_spec_key_print(key, &profile->spec, out);
			(void)fputc('\n', out);
		}
	}
}

/* Is the key one that the user has from the server? */
static bool follows_server(const struct config_user *user, const struct config_key *key)
{
	return (strcmp(key->name, "authorized_keys") == 0 && !user->own_keys) ||
		(strcmp(key->name, "trusted_ca_keys") == 0 && !user->own_cas) ||
		(strcmp(key->name, "authorized_principals") == 0 && !user->own_principals);
}

static void print_user(const struct config_user *user, FILE *out)
{
	(void)fputs("  ", out);
	document_print_text(user->name, out);
	(void)fputs(":\n", out);
	for (const struct config_key *key = config_user_keys; key->name; key++) {
		if (!follows_server(user, key) && config_key_is_set(key, user)) {
			(void)fprintf(out, "    %s: ", key->name);
			config_key_print(key, user, out);
			(void)fputc('\n', out);
		}
	}
}

static void print_rule(const struct config_rule *rule, FILE *out)
{
	(void)fputs("  - name: ", out);
	document_print_text(rule->name, out);
	(void)fputs("\n    when: {", out);
	const char *comma = "";
	for (const struct config_key *key = config_when_keys; key->name; key++) {
		char *const *list = *(char **const *)((const char *)&rule->when + key->offset);
		if (list) {
			(void)fprintf(out, "%s%s: ", comma, key->name);
			print_list(list, out);
			comma = ", ";
		}
	}
	(void)fputs("}\n", out);
	for (const struct config_key *key = config_rule_keys; key->name; key++) {
		if (strcmp(key->name, "name") != 0 && strv_contains(rule->said, key->name)) {
			(void)fprintf(out, "    %s: ", key->name);
			config_key_print(key, rule, out);
			(void)fputc('\n', out);
		}
	}
}

void config_print_one(const struct config *config, const struct config_profile *profile, FILE *out)
{
	/* Of the server's settings, the only one that a profile's meaning hangs on. */
	if (config->homes) {
		(void)fputs("server:\n  homes: ", out);
		document_print_text(config->homes, out);
		(void)fputs("\n", out);
	}
	(void)fputs("profiles:\n", out);
	print_profile(profile, out);
	(void)fputs("users:\n  nobody:\n    profile: ", out);
	document_print_text(profile->name, out);
	(void)fputc('\n', out);
}

void config_print(const struct config *config, FILE *out)
{
	(void)fputs("server:\n", out);
	print_keys(config_server_keys, config, "  ", out);
	(void)fputs(config->profile_count ? "\nprofiles:\n" : "", out);
	for (size_t i = 0; i < config->profile_count; i++) {
		print_profile(&config->profiles[i], out);
	}
	(void)fputs("\nusers:\n", out);
	for (size_t i = 0; i < config->user_count; i++) {
		print_user(&config->users[i], out);
	}
	(void)fputs(config->rule_count ? "\nrules:\n" : "", out);
	for (size_t i = 0; i < config->rule_count; i++) {
		print_rule(&config->rules[i], out);
	}
}
