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

#define RSA_MIN_BITS 2048
#define RSA_MAX_BITS 16384
#define BLANKS " \t"

/* ---- keys as on the wire ---- */

enum key_form { KEY_ED25519, KEY_ECDSA, KEY_RSA, KEY_SK_ED25519, KEY_SK_ECDSA };

struct key_kind {
	const char *name;
	enum key_form form;
	const char *curve; /* for ECDSA */
	size_t point; /* bytes of an uncompressed point */
};

static const struct key_kind key_kinds[] = {
	{"ssh-ed25519", KEY_ED25519, NULL, 0},
	{"ecdsa-sha2-nistp256", KEY_ECDSA, "nistp256", 65},
	{"ecdsa-sha2-nistp384", KEY_ECDSA, "nistp384", 97},
	{"ecdsa-sha2-nistp521", KEY_ECDSA, "nistp521", 133},
	{"ssh-rsa", KEY_RSA, NULL, 0},
	{"sk-ssh-ed25519@openssh.com", KEY_SK_ED25519, NULL, 0},
	{"sk-ecdsa-sha2-nistp256@openssh.com", KEY_SK_ECDSA, "nistp256", 65},
};

static const struct key_kind *find_kind(const char *name, size_t length)
{
	for (size_t i = 0; i < ARRAY_SIZE(key_kinds); i++) {
		if (strlen(key_kinds[i].name) == length &&
			memcmp(key_kinds[i].name, name, length) == 0) {
			return &key_kinds[i];
		}
	}
	return NULL;
}

/* What is left of a blob; SSH numbers are big-endian. */
struct wire {
	const uint8_t *data;
	size_t left;
};

static bool wire_string(struct wire *wire, const uint8_t **ret_data, size_t *ret_size)
{
	size_t size = 0;

	if (wire->left < 4) {
		return false;
	}
	size = (size_t)wire->data[0] << 24 | (size_t)wire->data[1] << 16 |
		(size_t)wire->data[2] << 8 | wire->data[3];
	if (size > wire->left - 4) {
		return false;
	}
	*ret_data = wire->data + 4;
	*ret_size = size;
	wire->data += 4 + size;
	wire->left -= 4 + size;
	return true;
}

/* A string that must be exactly this text. */
static bool wire_text(struct wire *wire, const char *text)
{
	const uint8_t *data = NULL;
	size_t size = 0;

	return wire_string(wire, &data, &size) && size == strlen(text) &&
		memcmp(data, text, size) == 0;
}

static bool wire_sized(struct wire *wire, size_t want, uint8_t first)
{
	const uint8_t *data = NULL;
	size_t size = 0;

	return wire_string(wire, &data, &size) && size == want && (first == 0 || data[0] == first);
}

/*
 * A positive number in its one canonical form: no sign bit, no zero byte that is not needed. In
 * another form it could never equal what a client offers. Gives its bits, and whether it is odd.
 */
static bool wire_number(struct wire *wire, size_t *ret_bits, bool *ret_odd)
{
	const uint8_t *data = NULL;
	size_t size = 0;

	if (!wire_string(wire, &data, &size) || size == 0 || (data[0] & 0x80)) {
		return false;
	}
	if (data[0] == 0) {
		if (size == 1 || !(data[1] & 0x80)) {
			return false;
		}
		data++;
		size--;
	}
	*ret_bits = 8 * size - (size_t)(__builtin_clz(data[0]) - 24);
	*ret_odd = data[size - 1] & 1;
	return true;
}

static int check_rsa(struct wire *wire, struct err *err)
{
	size_t exponent = 0, modulus = 0;
	bool odd_exponent = false, odd_modulus = false;

	if (!wire_number(wire, &exponent, &odd_exponent) ||
		!wire_number(wire, &modulus, &odd_modulus) || !odd_exponent || !odd_modulus ||
		exponent < 2) {
		return err_refuse(err, EINVAL, "the RSA key is malformed");
	}
	if (modulus < RSA_MIN_BITS || modulus > RSA_MAX_BITS) {
		return err_refuse(err, EINVAL, "an RSA key of %zu bits; %d to %d are accepted",
			modulus, RSA_MIN_BITS, RSA_MAX_BITS);
	}
	return 0;
}

static bool body_is_sound(const struct key_kind *kind, struct wire *wire)
{
	const uint8_t *data = NULL;
	size_t size = 0;

	switch (kind->form) {
	case KEY_ED25519:
		return wire_sized(wire, 32, 0);
	case KEY_ECDSA:
		return wire_text(wire, kind->curve) && wire_sized(wire, kind->point, 4);
	case KEY_SK_ED25519:
		return wire_sized(wire, 32, 0) && wire_string(wire, &data, &size) && size > 0;
	case KEY_SK_ECDSA:
		return wire_text(wire, kind->curve) && wire_sized(wire, kind->point, 4) &&
			wire_string(wire, &data, &size) && size > 0;
	case KEY_RSA:
		break;
	}
	return false;
}

/* Is the blob a whole key of this kind and nothing more? */
static int check_blob(
	const struct key_kind *kind, const uint8_t *blob, size_t size, struct err *err)
{
	struct wire wire = {blob, size};

	if (!wire_text(&wire, kind->name)) {
		return err_refuse(err, EINVAL, "the key's data is not of type %s", kind->name);
	}
	if (kind->form == KEY_RSA) {
		int r = check_rsa(&wire, err);
		if (r < 0) {
			return r;
		}
	} else if (!body_is_sound(kind, &wire)) {
		return err_refuse(err, EINVAL, "the key's data is malformed");
	}
	if (wire.left > 0) {
		return err_refuse(err, EINVAL, "the key's data goes on after its end");
	}
	return 0;
}

/* Strict base64: padded, no blanks, no spare bits, nothing behind it. */
static int decode(const char *text, size_t length, struct authorized_key *key, struct err *err)
{
	size_t room = length / 4 * 3 + 3;
	cleanup_free uint8_t *blob = malloc(room);
	size_t size = 0;

	if (!blob) {
		return err_set(err, ENOMEM, "reading a key");
	}
	if (length == 0 || length % 4 != 0 ||
		sodium_base642bin(blob, room, text, length, NULL, &size, NULL,
			sodium_base64_VARIANT_ORIGINAL) < 0) {
		return err_refuse(err, EINVAL, "the key's data is not valid base64");
	}
	key->blob = take_ptr(&blob);
	key->blob_size = size;
	return 0;
}

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

/* One option: either a switch with its opposite, or a value. */
struct option {
	const char *name;
	size_t flag; /* of a switch, in struct key_options */
	int (*set)(struct reading *reading, const char *value); /* of a value */
	enum { OPTION_SWITCH, OPTION_RESTRICT, OPTION_IGNORED, OPTION_VALUE } kind;
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
	{"user-rc", .kind = OPTION_IGNORED}, /* there is no such file here, so both ways are kept */
	{"command", .set = set_command, .kind = OPTION_VALUE},
	{"from", .set = set_from, .kind = OPTION_VALUE},
	{"environment", .set = set_environment, .kind = OPTION_VALUE},
	{"expiry-time", .set = set_expiry, .kind = OPTION_VALUE},
	{"profile", .set = set_profile, .kind = OPTION_VALUE},
	{"permitopen", .set = set_permit_open, .kind = OPTION_VALUE},
	{"permitlisten", .set = set_permit_listen, .kind = OPTION_VALUE},
};

/* sshd's, which we do not enforce: a key that relies on one of them is not used at all. */
static const char *const not_enforced[] = {
	"cert-authority", "principals", "tunnel", "no-touch-required", "verify-required"};

static int set_switch(struct reading *reading, const struct option *option, bool on)
{
	struct key_options *key = reading->options;

	switch (option->kind) {
	case OPTION_SWITCH:
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
	const char *at, const struct key_kind *kind, struct authorized_key *key, struct err *err)
{
	size_t length = 0;
	int r = 0;

	at += strspn(at, BLANKS);
	length = strcspn(at, BLANKS);
	r = decode(at, length, key, err);
	if (r < 0) {
		return r;
	}
	r = check_blob(kind, key->blob, key->blob_size, err);
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
	const struct key_kind *kind = find_kind(at, length);

	if (!kind && !looks_like_kind(at)) {
		int r = take_options(&at, &key->options, err);
		if (r < 0) {
			return r;
		}
		at += strspn(at, BLANKS);
		length = strcspn(at, BLANKS);
		kind = find_kind(at, length);
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
	if (r < 0) {
		authorized_key_fini(&key);
		return r;
	}
	*ret = key;
	return 1;
}

/* ---- files ---- */

struct search {
	const uint8_t *blob;
	size_t blob_size;
	const char *address;
	time_t now;
	const char *reason;
};

static bool may_be_used(const struct key_options *key, struct search *search)
{
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

int authorized_find(const char *text, size_t size, const uint8_t *blob, size_t blob_size,
	const char *address, time_t now,
	void (*complain)(void *data, unsigned line, const char *message), void *data,
	struct authorized_key *ret, const char **ret_reason)
{
	struct search search = {blob, blob_size, address, now, "no such key"};
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
			r = try_line(text, length, &search, ret, &err);
		}
		if (r > 0 || r == -ENOMEM) {
			return r;
		}
		if (r < 0 && complain) {
			complain(data, number, err.msg);
		}
		text += length + 1;
	}
	*ret_reason = search.reason;
	return 0;
}
