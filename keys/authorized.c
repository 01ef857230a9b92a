/*
 * A line is either
 *
 *	algorithm base64 [comment]
 *	options algorithm base64 [comment]
 *
 * where options is a list without blanks outside quotes. Whatever is not understood refuses the
 * whole line: an option skipped would be a restriction lost. For the same reason a line that is too
 * long is dropped whole (the tail of a split one would read as a key without restrictions), and no
 * option that has a value may be given twice.
 */
#include "keys/authorized.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <netinet/in.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/parse.h"
#include "base/strv.h"
#include "keys/address.h"
#include "keys/blob.h"

#define BLANKS " \t"

/* ---- from= ---- */

struct address {
	int family;
	uint8_t bytes[16];
	unsigned bits; /* 32 or 128; of a network, the length of its prefix */
};

static bool parse_address(const char *text, struct address *ret)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct address address = {.family = AF_INET, .bits = 32};

	if (inet_pton(AF_INET, text, address.bytes) != 1) {
		address = (struct address){.family = AF_INET6, .bits = 128};
		if (inet_pton(AF_INET6, text, address.bytes) != 1) {
			return false;
		}
		if (memcmp(address.bytes, mapped, sizeof(mapped)) == 0) {
			/* ::ffff:192.0.2.1 is 192.0.2.1: a rule for one must not miss the other. */
			memmove(address.bytes, address.bytes + 12, 4);
			memset(address.bytes + 4, 0, 12);
			address.family = AF_INET;
			address.bits = 32;
		}
	}
	*ret = address;
	return true;
}

static bool bit_of(const struct address *address, unsigned bit)
{
	return address->bytes[bit / 8] >> (7 - bit % 8) & 1;
}

/* "address/bits" or an address alone. Bits set behind the prefix are a mistake, as in sshd. */
static bool parse_network(const char *text, struct address *ret)
{
	char host[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t length = slash ? (size_t)(slash - text) : strlen(text);
	struct address network;
	uint64_t bits = 0;
	unsigned full = 0;

	if (length >= sizeof(host)) {
		return false;
	}
	memcpy(host, text, length);
	host[length] = '\0';
	if (!parse_address(host, &network)) {
		return false;
	}
	full = network.bits;
	if (slash) {
		/* The prefix of a mapped address counts the 96 bits that were taken off. */
		unsigned shift = network.family == AF_INET && strchr(host, ':') ? 96 : 0;
		if (parse_range(slash + 1, shift, full + shift, &bits) < 0) {
			return false;
		}
		network.bits = (unsigned)bits - shift;
	}
	for (unsigned i = network.bits; i < full; i++) {
		if (bit_of(&network, i)) {
			return false;
		}
	}
	*ret = network;
	return true;
}

static bool network_contains(const struct address *network, const struct address *address)
{
	if (network->family != address->family) {
		return false;
	}
	for (unsigned i = 0; i < network->bits; i++) {
		if (bit_of(network, i) != bit_of(address, i)) {
			return false;
		}
	}
	return true;
}

/* A pattern over written addresses: hexadecimal digits, dots, colons, * and ?, one wild at least. */
static bool is_glob(const char *pattern)
{
	return *pattern && pattern[strspn(pattern, "0123456789abcdefABCDEF.:*?")] == '\0' &&
		strpbrk(pattern, "*?");
}

static int check_pattern(const char *pattern, struct err *err)
{
	struct address network;
	const char *body = pattern + (*pattern == '!');

	if (is_glob(body) || parse_network(body, &network)) {
		return 0;
	}
	if (strchr(body, '/')) {
		return err_refuse(err, EINVAL,
			"from=: \"%s\" is not a network (192.0.2.0/24, 2001:db8::/32; no bits set "
			"behind the prefix)",
			body);
	}
	return err_refuse(err, EINVAL,
		"from=: \"%s\" is neither an address nor a pattern over addresses (host names are "
		"not "
		"looked up)",
		body);
}

bool authorized_is_network(const char *text)
{
	struct address network;

	return parse_network(text, &network);
}

bool authorized_match_address(char *const *patterns, const char *address)
{
	struct address client;
	char text[INET6_ADDRSTRLEN + 1];
	size_t length = strcspn(address, "%"); /* a zone is no part of the address */
	bool found = false;

	if (length >= sizeof(text)) {
		return false;
	}
	memcpy(text, address, length);
	text[length] = '\0';
	/* Globs see the one canonical form, whatever form the caller had. */
	if (!parse_address(text, &client) ||
		!inet_ntop(client.family, client.bytes, text, sizeof(text))) {
		return false;
	}
	for (; patterns && *patterns; patterns++) {
		bool negated = **patterns == '!';
		const char *body = *patterns + negated;
		struct address network;
		bool match = false;

		if (check_pattern(*patterns, NULL) < 0) {
			return false;
		}
		match = parse_network(body, &network)
			? network_contains(&network, &client)
			: fnmatch(body, text, FNM_CASEFOLD | FNM_NOESCAPE) == 0;
		if (match && negated) {
			return false;
		}
		found = found || match;
	}
	return found;
}

/* ---- options ---- */

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
		r = check_pattern(pattern, reading->err);
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

/* Reads the options, which end at a blank, and moves *at behind them. */
static int take_options(const char **at, struct key_options *key, struct err *err)
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

/* ---- lines ---- */

void authorized_key_fini(struct authorized_key *key)
{
	free(key->algorithm);
	free(key->blob);
	free(key->comment);
	free(key->options.command);
	key->options.from = strv_free(key->options.from);
	key->options.permit_open = strv_free(key->options.permit_open);
	key->options.permit_listen = strv_free(key->options.permit_listen);
	key->options.principals = strv_free(key->options.principals);
	key->options.environment = strv_free(key->options.environment);
	free(key->options.profile);
	*key = (struct authorized_key){0};
}

static int check_bytes(const char *line, struct err *err)
{
	size_t length = strnlen(line, AUTHORIZED_MAX_LINE + 1);

	if (length > AUTHORIZED_MAX_LINE) {
		return err_refuse(
			err, EINVAL, "the line is longer than %d bytes", AUTHORIZED_MAX_LINE);
	}
	for (const char *at = line; *at; at++) {
		if (*at == '\r') {
			return err_refuse(err, EINVAL,
				"the line has a carriage return; the file must have Unix line "
				"ends");
		}
		if (((unsigned char)*at < 0x20 && *at != '\t') || *at == 0x7f) {
			return err_refuse(err, EINVAL, "the line has a control byte, \\x%02x",
				(unsigned)(unsigned char)*at);
		}
	}
	return 0;
}

/* Reads "base64 [comment]". */
static int parse_key(
	const char *at, const struct blob_kind *kind, struct authorized_key *key, struct err *err)
{
	size_t length = 0;
	int r = 0;

	at += strspn(at, BLANKS);
	length = strcspn(at, BLANKS);
	r = blob_decode(at, length, &key->blob, &key->blob_size, err);
	if (r < 0) {
		return r;
	}
	r = blob_check_key(kind, key->blob, key->blob_size, err);
	if (r < 0) {
		return r;
	}
	at += length;
	at += strspn(at, BLANKS);
	key->algorithm = strdup(kind->name);
	if (!key->algorithm || (*at && !(key->comment = strdup(at)))) {
		return err_set(err, ENOMEM, "reading a key");
	}
	return 0;
}

/* Does the word look like a type of key, though not one of ours? No option begins like this. */
static bool looks_like_kind(const char *word)
{
	return strncmp(word, "ssh-", 4) == 0 || strncmp(word, "ecdsa-", 6) == 0 ||
		strncmp(word, "sk-", 3) == 0;
}

static int parse_parts(const char *at, struct authorized_key *key, struct err *err)
{
	size_t length = strcspn(at, BLANKS);
	const struct blob_kind *kind = blob_find_kind(at, length);

	if (!kind && !looks_like_kind(at)) {
		int r = take_options(&at, &key->options, err);
		if (r < 0) {
			return r;
		}
		at += strspn(at, BLANKS);
		length = strcspn(at, BLANKS);
		kind = blob_find_kind(at, length);
	}
	if (!kind) {
		return err_refuse(err, EINVAL, "\"%.*s\" is not a type of key that is accepted",
			(int)(length < 64 ? length : 64), at);
	}
	return parse_key(at + length, kind, key, err);
}

int authorized_parse_line(const char *line, struct authorized_key *ret, struct err *err)
{
	struct authorized_key key = {.options = {.pty = true,
					     .port_forwarding = true,
					     .agent_forwarding = true,
					     .x11_forwarding = true}};
	const char *at = line + strspn(line, BLANKS);
	int r = 0;

	if (*at == '\0' || *at == '#') {
		return 0;
	}
	r = check_bytes(line, err);
	if (r == 0) {
		r = parse_parts(at, &key, err);
	}
	if (r == 0 && key.options.principals && !key.options.cert_authority) {
		r = err_refuse(err, EINVAL, "principals= says nothing without cert-authority");
	}
	if (r < 0) {
		authorized_key_fini(&key);
		return r;
	}
	*ret = key;
	return 1;
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

/* ---- files ---- */

struct search {
	const uint8_t *blob;
	size_t blob_size;
	const char *address;
	time_t now;
	char *const
		*principals; /* of a certificate: its authority is looked for, else a plain key */
	const char *login;
	const char *reason;
};

/* Does the line's list have one of the certificate's principals? Without a list, the login name counts. */
static bool has_principal(const struct key_options *key, const struct search *search)
{
	for (char *const *name = search->principals; *name; name++) {
		if (key->principals ? strv_contains(key->principals, *name)
				    : strcmp(*name, search->login) == 0) {
			return true;
		}
	}
	return false;
}

static bool may_be_used(const struct key_options *key, struct search *search)
{
	/* The key of an authority opens nothing by itself, and a plain key is no authority. */
	if (key->cert_authority != (search->principals != NULL)) {
		return false;
	}
	if (search->principals && !has_principal(key, search)) {
		search->reason = "principal";
		return false;
	}
	if (key->expiry && key->expiry < search->now) {
		search->reason = "expired";
		return false;
	}
	if (key->from && !authorized_match_address(key->from, search->address)) {
		search->reason = "from";
		return false;
	}
	return true;
}

/* Looks at one line of length bytes, which may hold NULs. 1 and *ret when it is the key and serves. */
static int try_line(const char *line, size_t length, struct search *search,
	struct authorized_key *ret, struct err *err)
{
	struct authorized_key key = {0};
	cleanup_free char *copy = NULL;
	int r = 0;

	if (length > AUTHORIZED_MAX_LINE) {
		return err_refuse(
			err, EINVAL, "the line is longer than %d bytes", AUTHORIZED_MAX_LINE);
	}
	if (memchr(line, '\0', length)) {
		return err_refuse(err, EINVAL, "the line has a NUL byte");
	}
	copy = strndup(line, length);
	if (!copy) {
		return err_set(err, ENOMEM, "reading keys");
	}
	r = authorized_parse_line(copy, &key, err);
	if (r <= 0) {
		return r;
	}
	if (key.blob_size == search->blob_size &&
		memcmp(key.blob, search->blob, key.blob_size) == 0 &&
		may_be_used(&key.options, search)) {
		*ret = key;
		return 1;
	}
	authorized_key_fini(&key);
	return 0;
}

static bool is_blank(const char *line, size_t length)
{
	while (length > 0 && (*line == ' ' || *line == '\t')) {
		line++;
		length--;
	}
	return length == 0 || *line == '#';
}

static int find(const char *text, size_t size, struct search *search,
	void (*complain)(void *data, unsigned line, const char *message), void *data,
	struct authorized_key *ret, const char **ret_reason)
{
	const char *end = text + size;
	unsigned number = 0;
	unsigned keys = 0;

	while (text < end) {
		const char *feed = memchr(text, '\n', (size_t)(end - text));
		size_t length = (size_t)((feed ? feed : end) - text);
		struct err err = {0};
		int r = 0;

		number++;
		if (!is_blank(text, length)) {
			if (keys++ == AUTHORIZED_MAX_KEYS) {
				if (complain) {
					complain(data, number,
						"too many keys; the rest is not read");
				}
				break;
			}
			r = try_line(text, length, search, ret, &err);
		}
		if (r > 0 || r == -ENOMEM) {
			return r;
		}
		if (r < 0 && complain) {
			complain(data, number, err.msg);
		}
		text += length + 1;
	}
	*ret_reason = search->reason;
	return 0;
}

int authorized_find(const char *text, size_t size, const uint8_t *blob, size_t blob_size,
	const char *address, time_t now,
	void (*complain)(void *data, unsigned line, const char *message), void *data,
	struct authorized_key *ret, const char **ret_reason)
{
	struct search search = {blob, blob_size, address, now, .reason = "no such key"};

	return find(text, size, &search, complain, data, ret, ret_reason);
}

int authorized_find_authority(const char *text, size_t size,
	const struct authorized_question *question,
	void (*complain)(void *data, unsigned line, const char *message), void *data,
	struct authorized_key *ret, const char **ret_reason)
{
	struct search search = {question->blob, question->blob_size, question->address,
		question->now, question->principals, question->login, "no such key"};

	return find(text, size, &search, complain, data, ret, ret_reason);
}
