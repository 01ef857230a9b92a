/*
 * The options of one line, a list without blanks outside quotes. Whatever is not understood refuses the whole line:
 * an option skipped would be a restriction lost; and no option that has a value may be given twice.
 */
#include "keys/authorized-parts.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/parse.h"
#include "base/strv.h"
#include "keys/address.h"

/* What has been read of one line's options. */
struct reading {
	struct key_options *options;
	bool seen_from;
	struct err *err;
};

/* One option: a switch with its opposite, a word without one, or a value. */
struct option {
	const char *name;
	size_t flag; /* of a switch, in struct key_options */
	int (*set)(struct reading *reading, const char *value); /* of a value */
	enum { OPTION_SWITCH, OPTION_WORD, OPTION_RESTRICT, OPTION_IGNORED, OPTION_VALUE } kind;
};

static int set_command(struct reading *reading, const char *value)
{
	if (reading->options->command) {
		return err_refuse(reading->err, EINVAL, "command= is given twice");
	}
	reading->options->command = strdup(value);
	return reading->options->command ? 0 : err_set(reading->err, ENOMEM, "reading command=");
}

static int set_from(struct reading *reading, const char *value)
{
	if (reading->seen_from) {
		return err_refuse(reading->err, EINVAL, "from= is given twice");
	}
	reading->seen_from = true;
	for (;;) {
		size_t length = strcspn(value, ",");
		cleanup_free char *pattern = strndup(value, length);
		int r = 0;

		if (!pattern) {
			return err_set(reading->err, ENOMEM, "reading from=");
		}
		r = authorized_check_pattern(pattern, reading->err);
		if (r < 0) {
			return r;
		}
		if (strv_consume(&reading->options->from, take_ptr(&pattern)) < 0) {
			return err_set(reading->err, ENOMEM, "reading from=");
		}
		if (value[length] == '\0') {
			return 0;
		}
		value += length + 1;
	}
}

static int set_environment(struct reading *reading, const char *value)
{
	size_t length =
		strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
	cleanup_free char *name = NULL;

	if (length == 0 || value[length] != '=' || isdigit((unsigned char)value[0])) {
		return err_refuse(reading->err, EINVAL, "environment= wants NAME=value");
	}
	name = strndup(value, length);
	if (!name) {
		return err_set(reading->err, ENOMEM, "reading environment=");
	}
	if (strv_getenv(reading->options->environment, name)) {
		return err_refuse(reading->err, EINVAL, "environment=: %s is given twice", name);
	}
	return strv_append(&reading->options->environment, value) < 0
		? err_set(reading->err, ENOMEM, "reading environment=")
		: 0;
}

static int two_digits(const char *text)
{
	return (text[0] - '0') * 10 + (text[1] - '0');
}

/* YYYYMMDD[Z] or YYYYMMDDHHMM[SS][Z]; with Z in UTC, else in this machine's time. */
static bool parse_time(const char *text, time_t *ret)
{
	size_t length = strspn(text, "0123456789");
	bool utc = text[length] == 'Z';
	struct tm tm = {.tm_isdst = -1};
	struct tm asked;
	time_t value = 0;

	if ((length != 8 && length != 12 && length != 14) || text[length + utc] != '\0') {
		return false;
	}
	tm.tm_year = two_digits(text) * 100 + two_digits(text + 2) - 1900;
	tm.tm_mon = two_digits(text + 4) - 1;
	tm.tm_mday = two_digits(text + 6);
	tm.tm_hour = length > 8 ? two_digits(text + 8) : 0;
	tm.tm_min = length > 8 ? two_digits(text + 10) : 0;
	tm.tm_sec = length > 12 ? two_digits(text + 12) : 0;
	asked = tm;
	if (utc) {
		tm.tm_isdst = 0;
	}
	value = utc ? timegm(&tm) : mktime(&tm);
	/*
	 * What the library had to bend (the 30th of February) was not a date. Hours are left out of
	 * the comparison for local time only, where a clock change may have skipped them.
	 */
	if (tm.tm_year != asked.tm_year || tm.tm_mon != asked.tm_mon ||
		tm.tm_mday != asked.tm_mday || asked.tm_hour > 23 || asked.tm_min > 59 ||
		asked.tm_sec > 59) {
		return false;
	}
	*ret = value > 0 ? value : 1; /* 0 stands for "never"; 1970 is over either way */
	return true;
}

static int set_expiry(struct reading *reading, const char *value)
{
	if (reading->options->expiry) {
		return err_refuse(reading->err, EINVAL, "expiry-time= is given twice");
	}
	if (!parse_time(value, &reading->options->expiry)) {
		return err_refuse(reading->err, EINVAL,
			"expiry-time=: \"%s\" is not YYYYMMDD[Z] or YYYYMMDDHHMM[SS][Z]", value);
	}
	return 0;
}

static int set_profile(struct reading *reading, const char *value)
{
	if (reading->options->profile) {
		return err_refuse(reading->err, EINVAL, "profile= is given twice");
	}
	if (!parse_is_name(value)) {
		return err_refuse(reading->err, EINVAL, "profile=: \"%s\" is not a name", value);
	}
	reading->options->profile = strdup(value);
	return reading->options->profile ? 0 : err_set(reading->err, ENOMEM, "reading profile=");
}

static int set_principals(struct reading *reading, const char *value)
{
	if (reading->options->principals) {
		return err_refuse(reading->err, EINVAL, "principals= is given twice");
	}
	for (;;) {
		size_t length = strcspn(value, ",");
		cleanup_free char *name = strndup(value, length);

		if (length == 0) {
			return err_refuse(reading->err, EINVAL,
				"principals= wants names with commas between them");
		}
		if (!name || strv_consume(&reading->options->principals, take_ptr(&name)) < 0) {
			return err_set(reading->err, ENOMEM, "reading principals=");
		}
		if (value[length] == '\0') {
			return 0;
		}
		value += length + 1;
	}
}

/* "host:port", or for listening a port alone. */
static int add_permit(
	struct reading *reading, const char *name, bool alone, const char *value, char ***list)
{
	cleanup_free char *pattern = NULL;

	if (asprintf(&pattern, "%s%s", alone && !strchr(value, ':') ? "*:" : "", value) < 0) {
		pattern = NULL;
		return err_set(reading->err, ENOMEM, "reading %s=", name);
	}
	if (!address_pattern_is_valid(pattern)) {
		return err_refuse(
			reading->err, EINVAL, "%s=: \"%s\" is not host:port", name, value);
	}
	return strv_consume(list, take_ptr(&pattern)) < 0
		? err_set(reading->err, ENOMEM, "reading %s=", name)
		: 0;
}

static int set_permit_open(struct reading *reading, const char *value)
{
	return add_permit(reading, "permitopen", false, value, &reading->options->permit_open);
}

static int set_permit_listen(struct reading *reading, const char *value)
{
	return add_permit(reading, "permitlisten", true, value, &reading->options->permit_listen);
}

static const struct option options[] = {
	{"restrict", .kind = OPTION_RESTRICT},
	{"pty", offsetof(struct key_options, pty), .kind = OPTION_SWITCH},
	{"port-forwarding", offsetof(struct key_options, port_forwarding), .kind = OPTION_SWITCH},
	{"agent-forwarding", offsetof(struct key_options, agent_forwarding), .kind = OPTION_SWITCH},
	{"X11-forwarding", offsetof(struct key_options, x11_forwarding), .kind = OPTION_SWITCH},
	{"cert-authority", offsetof(struct key_options, cert_authority), .kind = OPTION_WORD},
	{"user-rc", .kind = OPTION_IGNORED}, /* there is no such file here, so both ways are kept */
	{"command", .set = set_command, .kind = OPTION_VALUE},
	{"from", .set = set_from, .kind = OPTION_VALUE},
	{"environment", .set = set_environment, .kind = OPTION_VALUE},
	{"expiry-time", .set = set_expiry, .kind = OPTION_VALUE},
	{"principals", .set = set_principals, .kind = OPTION_VALUE},
	{"profile", .set = set_profile, .kind = OPTION_VALUE},
	{"permitopen", .set = set_permit_open, .kind = OPTION_VALUE},
	{"permitlisten", .set = set_permit_listen, .kind = OPTION_VALUE},
};

/* sshd's, which we do not enforce: a key that relies on one of them is not used at all. */
static const char *const not_enforced[] = {"tunnel", "no-touch-required", "verify-required"};

static int set_switch(struct reading *reading, const struct option *option, bool on)
{
	struct key_options *key = reading->options;

	switch (option->kind) {
	case OPTION_SWITCH:
	case OPTION_WORD:
		*(bool *)((char *)key + option->flag) = on;
		return 0;
	case OPTION_RESTRICT:
		key->restricted = true;
		key->pty = key->port_forwarding = key->agent_forwarding = key->x11_forwarding =
			false;
		return 0;
	case OPTION_IGNORED:
	case OPTION_VALUE:
		break;
	}
	return 0;
}

static bool equals(const char *name, size_t length, const char *word)
{
	return strlen(word) == length && strncasecmp(name, word, length) == 0;
}

static const struct option *find_option(const char *name, size_t length)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		if (equals(name, length, options[i].name)) {
			return &options[i];
		}
	}
	return NULL;
}

static int refuse_option(struct reading *reading, const char *name, size_t length)
{
	for (size_t i = 0; i < ARRAY_SIZE(not_enforced); i++) {
		if (equals(name, length, not_enforced[i])) {
			return err_refuse(reading->err, EINVAL,
				"option \"%s\" is not enforced by this server, so the key is not "
				"used",
				not_enforced[i]);
		}
	}
	return err_refuse(reading->err, EINVAL, "unknown option \"%.*s\"",
		(int)(length < 64 ? length : 64), name);
}

/*
 * Reads ="..." at *at and moves behind it. Inside, \" is a quote and every other backslash stands for
 * itself, as in sshd. The caller frees *ret.
 */
static int take_value(struct reading *reading, const char **at, const char *name, char **ret)
{
	const char *from = *at;
	cleanup_free char *value = NULL;
	size_t used = 0;

	if (from[0] != '=' || from[1] != '"') {
		return err_refuse(reading->err, EINVAL,
			"option %s wants a value in quotes: %s=\"...\"", name, name);
	}
	from += 2;
	value = malloc(strlen(from) + 1);
	if (!value) {
		return err_set(reading->err, ENOMEM, "reading %s=", name);
	}
	for (; *from && *from != '"'; from++) {
		from += from[0] == '\\' && from[1] == '"';
		value[used++] = *from;
	}
	if (*from != '"') {
		return err_refuse(reading->err, EINVAL, "the quote of %s= is not closed", name);
	}
	value[used] = '\0';
	*at = from + 1;
	*ret = take_ptr(&value);
	return 0;
}

/* Reads one option at *at and moves behind it. */
static int take_option(struct reading *reading, const char **at)
{
	const char *name = *at;
	size_t length =
		strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-@._");
	const struct option *option = find_option(name, length);
	cleanup_free char *value = NULL;

	*at += length;
	if (option && option->kind == OPTION_VALUE) {
		int r = take_value(reading, at, option->name, &value);
		return r < 0 ? r : option->set(reading, value);
	}
	if (option) {
		return set_switch(reading, option, true);
	}
	if (length > 3 && strncasecmp(name, "no-", 3) == 0) {
		option = find_option(name + 3, length - 3);
		if (option && (option->kind == OPTION_SWITCH || option->kind == OPTION_IGNORED)) {
			return set_switch(reading, option, false);
		}
	}
	return refuse_option(reading, name, length);
}

int authorized_take_options(const char **at, struct key_options *key, struct err *err)
{
	struct reading reading = {.options = key, .err = err};

	for (;;) {
		int r = take_option(&reading, at);
		if (r < 0) {
			return r;
		}
		if (**at == ' ' || **at == '\t') {
			return 0;
		}
		if (**at != ',') {
			return err_refuse(err, EINVAL,
				**at ? "options are separated by commas"
				     : "no key behind the options");
		}
		(*at)++;
	}
}

/* ---- two keys at once ---- */

static int merge_text(char **into, const char *other, const char *what, struct err *err)
{
	if (!other || (*into && strcmp(*into, other) == 0)) {
		return 0;
	}
	if (*into) {
		return err_refuse(
			err, EPERM, "the keys that were used have different options %s", what);
	}
	*into = strdup(other);
	return *into ? 0 : err_set(err, ENOMEM, "reading keys");
}

static bool lists_are_equal(char *const *a, char *const *b)
{
	size_t i = 0;

	for (; a[i] && b[i]; i++) {
		if (strcmp(a[i], b[i]) != 0) {
			return false;
		}
	}
	return !a[i] && !b[i];
}

static int merge_list(char ***into, char *const *other, const char *what, struct err *err)
{
	if (!other || (*into && lists_are_equal(*into, other))) {
		return 0;
	}
	if (*into) {
		return err_refuse(
			err, EPERM, "the keys that were used have different options %s", what);
	}
	return strv_copy(other, into) < 0 ? err_set(err, ENOMEM, "reading keys") : 0;
}

int authorized_options_merge(
	struct key_options *into, const struct key_options *other, struct err *err)
{
	into->pty = into->pty && other->pty;
	into->port_forwarding = into->port_forwarding && other->port_forwarding;
	into->agent_forwarding = into->agent_forwarding && other->agent_forwarding;
	into->x11_forwarding = into->x11_forwarding && other->x11_forwarding;
	int r = merge_text(&into->command, other->command, "command", err);
	r = r ? r : merge_text(&into->profile, other->profile, "profile", err);
	r = r ? r : merge_list(&into->permit_open, other->permit_open, "permitopen", err);
	r = r ? r : merge_list(&into->permit_listen, other->permit_listen, "permitlisten", err);
	return r ? r : merge_list(&into->environment, other->environment, "environment", err);
}
