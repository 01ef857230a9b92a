#include "session/config-schema.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/parse.h"
#include "base/strv.h"
#include "keys/address.h"
#include "keys/password.h"
#include "keys/seal.h"
#include "session/algorithms.h"
#include "session/config.h"
#include "session/methods.h"
#include "session/sftp.h"
#include "session/source.h"

#define DAY UINT64_C(86400)
#define MAX_TEXT 1000 /* what one message between our processes has room for */

/* ---- what one text may be ---- */

static int keep(const char *text, char **ret, struct err *err)
{
	*ret = strdup(text);
	return *ret ? 0 : err_set(err, ENOMEM, "reading the configuration");
}

/* Text people read: lines and tabs are fine, other control bytes could move a terminal. */
static int read_text(const char *text, char **ret, struct err *err)
{
	if (strlen(text) > MAX_TEXT) {
		return err_refuse(err, EINVAL, "longer than %d bytes", MAX_TEXT);
	}
	for (const char *at = text; *at; at++) {
		if (iscntrl((unsigned char)*at) && *at != '\n' && *at != '\t') {
			return err_refuse(err, EINVAL, "has a control byte, 0x%02x",
				(unsigned)(unsigned char)*at);
		}
	}
	return keep(text, ret, err);
}

static int read_line(const char *text, char **ret, struct err *err)
{
	if (strpbrk(text, "\n\t")) {
		return err_refuse(err, EINVAL, "must be one line");
	}
	return read_text(text, ret, err);
}

static int read_path(const char *text, char **ret, struct err *err)
{
	int r = parse_absolute_path(text, ret);

	if (r == -ENOMEM) {
		return err_set(err, ENOMEM, "reading a path");
	}
	return r < 0 ? err_refuse(err, EINVAL,
			       "'%s' is not an absolute path without '..' and control bytes", text)
		     : 0;
}

static int read_log_path(const char *text, char **ret, struct err *err)
{
	return strcmp(text, "-") == 0 ? keep(text, ret, err) : read_path(text, ret, err);
}

/* A path that may hold %u, and %% for a percent sign. */
static int read_keys_path(const char *text, char **ret, struct err *err)
{
	for (const char *at = text; *at; at++) {
		if (*at == '%') {
			at++;
			if (*at != 'u' && *at != '%') {
				return err_refuse(err, EINVAL,
					"'%s': after '%%' only 'u' (the login name) or '%%' may "
					"follow",
					text);
			}
		}
	}
	return read_path(text, ret, err);
}

/* What a certificate is made out to: any text; %u, alone, is the login name. */
static int read_principal(const char *text, char **ret, struct err *err)
{
	if (!*text || strlen(text) > 256 || strpbrk(text, ", \t\n") ||
		(strchr(text, '%') && strcmp(text, "%u") != 0)) {
		return err_refuse(err, EINVAL,
			"'%s' is not a principal: a text without blanks, commas and '%%', or %%u "
			"alone",
			text);
	}
	return read_text(text, ret, err);
}

static int read_name(const char *text, char **ret, struct err *err)
{
	if (!parse_is_name(text)) {
		return err_refuse(err, EINVAL,
			"'%s' is not a name: 1 to 64 of letters, digits, '.', '_' and '-', not "
			"beginning with '-' or '.'",
			text);
	}
	return keep(text, ret, err);
}

/* 192.0.2.1:22 or [2001:db8::1]:22. */
static int read_listen(const char *text, char **ret, struct err *err)
{
	char host[INET6_ADDRSTRLEN] = "";
	uint8_t address[sizeof(struct in6_addr)];
	const char *colon = strrchr(text, ':');
	bool brackets = text[0] == '[';
	size_t skip = brackets ? 1 : 0;
	size_t length = colon ? (size_t)(colon - text) : 0;
	uint64_t port = 0;

	if (length > 2 * skip && length - 2 * skip < sizeof(host) &&
		(!brackets || colon[-1] == ']')) {
		memcpy(host, text + skip, length - 2 * skip);
	}
	if (!*host || inet_pton(brackets ? AF_INET6 : AF_INET, host, address) != 1 ||
		parse_range(colon + 1, 0, 65535, &port) < 0) {
		return err_refuse(err, EINVAL,
			"'%s' is not an address and port such as 127.0.0.1:2222 or [::1]:2222",
			text);
	}
	return keep(text, ret, err);
}

/* Not a path from where one is: a server and its clients stand in different places. */
static int read_control(const char *text, char **ret, struct err *err)
{
	if (strlen(text) >= CONFIG_CONTROL_PATH) {
		return err_refuse(err, EINVAL, "longer than a socket's path may be, %d bytes",
			CONFIG_CONTROL_PATH - 1);
	}
	return strcmp(text, "auto") == 0 ? keep(text, ret, err) : read_path(text, ret, err);
}

static int read_net_user(const char *text, char **ret, struct err *err)
{
	uint64_t uid = 0;

	if (parse_u64(text, &uid) == 0 && (uid == 0 || uid >= UINT32_MAX)) {
		return err_refuse(err, EINVAL, "'%s' is not a uid without privileges", text);
	}
	return strcmp(text, "root") == 0
		? err_refuse(err, EINVAL, "the process that talks to clients must not be root")
		: read_name(text, ret, err);
}

/* One of a few words. */
static int read_word(const char *const words[], const char *text, char **ret, struct err *err)
{
	cleanup_free char *all = NULL;

	if (strv_contains((char **)(uintptr_t)words, text)) {
		return keep(text, ret, err);
	}
	all = strv_join((char **)(uintptr_t)words, ", ");
	return err_refuse(
		err, EINVAL, "'%s' is not one of %s", text, all ? all : "the known words");
}

static int read_log_level(const char *text, char **ret, struct err *err)
{
	static const char *const levels[] = {"error", "warning", "info", "debug", NULL};

	return read_word(levels, text, ret, err);
}

static int read_kind(const char *text, char **ret, struct err *err)
{
	static const char *const kinds[] = {"shell", "exec", "sftp", NULL};

	return read_word(kinds, text, ret, err);
}

static int read_forward(const char *text, char **ret, struct err *err)
{
	static const char *const kinds[] = {"local", "remote", "agent", NULL};

	return read_word(kinds, text, ret, err);
}

static int read_address(const char *text, char **ret, struct err *err)
{
	return address_pattern_is_valid(text)
		? keep(text, ret, err)
		: err_refuse(err, EINVAL,
			  "'%s' is not HOST:PORT such as localhost:8080, [::1]:22 or *:443", text);
}

static int read_share(const char *text, char **ret, struct err *err)
{
	static const char *const units[] = {"session", "connection", NULL};

	return read_word(units, text, ret, err);
}

/* What other files call false is no, and true is yes. */
static int read_sftp(const char *text, char **ret, struct err *err)
{
	static const char *const modes[] = {"yes", "read-only", "no", NULL};
	bool on = false;

	if (parse_bool(text, &on) == 0) {
		return keep(on ? "yes" : "no", ret, err);
	}
	return read_word(modes, text, ret, err);
}

static int read_sftp_request(const char *text, char **ret, struct err *err)
{
	return sftp_is_request(text)
		? keep(text, ret, err)
		: err_refuse(err, EINVAL,
			  "'%s' is no request of sftp; `sftp-server -Q requests` lists them", text);
}

static int read_algorithms(enum algorithm_kind kind, const char *text, char **ret, struct err *err)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-.@_,";
	size_t length = strlen(text);

	if (length == 0 || length > 1024 || text[strspn(text, allowed)] || text[0] == ',' ||
		text[length - 1] == ',' || strstr(text, ",,")) {
		return err_refuse(
			err, EINVAL, "'%s' is not a list of algorithms separated by commas", text);
	}
	int r = algorithms_check(kind, text, err);
	return r < 0 ? r : keep(text, ret, err);
}

static int read_alg_kex(const char *text, char **ret, struct err *err)
{
	return read_algorithms(ALGORITHM_KEX, text, ret, err);
}

static int read_alg_ciphers(const char *text, char **ret, struct err *err)
{
	return read_algorithms(ALGORITHM_CIPHER, text, ret, err);
}

static int read_alg_macs(const char *text, char **ret, struct err *err)
{
	return read_algorithms(ALGORITHM_MAC, text, ret, err);
}

static int read_alg_host_keys(const char *text, char **ret, struct err *err)
{
	return read_algorithms(ALGORITHM_HOST_KEY, text, ret, err);
}

static int read_alg_user_keys(const char *text, char **ret, struct err *err)
{
	return read_algorithms(ALGORITHM_USER_KEY, text, ret, err);
}

static int read_glob(const char *text, char **ret, struct err *err)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_*?";

	if (!*text || strlen(text) > 64 || text[strspn(text, allowed)]) {
		return err_refuse(err, EINVAL,
			"'%s' is not a name of a variable (with * and ? for what may vary)", text);
	}
	return keep(text, ret, err);
}

/* The text itself is not repeated: who got here by mistake may have written a password. */
static int read_password(const char *text, char **ret, struct err *err)
{
	if (!password_line_is_valid(text)) {
		return err_refuse(err, EINVAL,
			"not a line of `cloche passwd`, which is how a password gets here");
	}
	return keep(text, ret, err);
}

static int read_overflow(const char *text, char **ret, struct err *err)
{
	static const char *const ways[] = {"permissive", "deny-all", NULL};

	return read_word(ways, text, ret, err);
}

static int read_network(const char *text, char **ret, struct err *err)
{
	return source_network_is_valid(text)
		? keep(text, ret, err)
		: err_refuse(err, EINVAL,
			  "'%s' is not a network such as 192.0.2.0/24 or 2001:db8::1 (no bits set "
			  "behind the prefix)",
			  text);
}

static int read_totp(const char *text, char **ret, struct err *err)
{
	if (!seal_line_is_valid(text)) {
		return err_refuse(err, EINVAL,
			"not a line of `cloche totp`, which is how a secret gets here");
	}
	return keep(text, ret, err);
}

static int read_methods(const char *text, char **ret, struct err *err)
{
	struct methods methods;
	int r = methods_parse(text, &methods, err);

	return r < 0 ? r : keep(text, ret, err);
}

/* ---- the tables ---- */

#define FIELD(name) offsetof(struct config, name)

static_assert(FIELD(startups_rate) == FIELD(startups_begin) + sizeof(uint64_t) &&
		FIELD(startups_full) == FIELD(startups_rate) + sizeof(uint64_t),
	"CONFIG_STARTUPS is three numbers in a row");
static_assert(FIELD(source_bits6) == FIELD(source_bits4) + sizeof(uint64_t),
	"CONFIG_BLOCK is two numbers in a row");

#define PENALTY(word, reason, seconds, words)                                                      \
	{                                                                                          \
		word, CONFIG_DURATION, FIELD(penalty) + (reason) * sizeof(uint64_t),               \
			.max = DAY, .preset = (seconds), .help = "time for: " words "; 0: none"    \
	}

const struct config_key config_server_keys[] = {
	{"listen", CONFIG_LIST, FIELD(listen), .read = read_listen, .preset = "127.0.0.1:2222",
		.help = "addresses and ports to listen on"},
	{"host_keys", CONFIG_LIST, FIELD(host_keys), .read = read_path, .path = true,
		.preset = "/etc/cloche/host_ed25519", .help = "private host keys"},
	{"authorized_keys", CONFIG_LIST, FIELD(authorized_keys), .read = read_keys_path,
		.path = true, .preset = "/etc/cloche/authorized_keys",
		.help = "key files of users that name none of their own; %u is the login name"},
	{"trusted_ca_keys", CONFIG_LIST, FIELD(trusted_ca_keys), .read = read_path, .path = true,
		.preset_says = "none", .help = "files of keys that sign users' certificates"},
	{"revoked_keys", CONFIG_LIST, FIELD(revoked_keys), .read = read_path, .path = true,
		.preset_says = "none", .help = "files of keys and fingerprints that open nothing"},
	{"authorized_principals", CONFIG_LIST, FIELD(authorized_principals), .read = read_principal,
		.preset = "%u",
		.help = "a certificate must name one of these; %u is the login name"},
	{"totp_key", CONFIG_TEXT, FIELD(totp_key), .read = read_path, .path = true,
		.preset = "/etc/cloche/totp.key", .help = "key that opens the totp lines of users"},
	{"login_grace", CONFIG_DURATION, FIELD(login_grace), .min = 1, .max = 3600, .preset = "2m",
		.help = "time a client has to log in"},
	{"max_auth_tries", CONFIG_COUNT, FIELD(max_auth_tries), .min = 1, .max = 100, .preset = "6",
		.help = "failed tries before the connection is closed"},
	{"startups", CONFIG_STARTUPS, FIELD(startups_begin), .min = 1, .max = 65536,
		.preset = "10:30:100",
		.help = "connections not logged in: from begin on rate percent are refused, all at "
			"full"},
	{"source_startups", CONFIG_COUNT, FIELD(source_startups), .max = 65536, .preset = "0",
		.help = "connections of one source that are not logged in; 0: no limit"},
	{"source_block", CONFIG_BLOCK, FIELD(source_bits4), .preset = "32:128",
		.help = "first bits of an IPv4 and of an IPv6 address that make a source"},
	{"penalties", CONFIG_BOOL, FIELD(penalties), .preset = "yes",
		.help = "sources and users that misbehave have to wait"},
	PENALTY("penalty_crash", PENALTY_CRASH, "1m30s",
		"the process that serves the client dies, or lies"),
	PENALTY("penalty_authfail", PENALTY_AUTHFAIL, "5s", "nobody logged in, but tried to"),
	PENALTY("penalty_invaliduser", PENALTY_INVALIDUSER, "5s",
		"the same, as a user there is not"),
	PENALTY("penalty_grace_exceeded", PENALTY_GRACE_EXCEEDED, "10s",
		"nobody logged in within login_grace"),
	PENALTY("penalty_refuseconnection", PENALTY_REFUSECONNECTION, "10s",
		"the configuration refuses the connection"),
	PENALTY("penalty_noauth", PENALTY_NOAUTH, "1s", "gone without trying to log in"),
	PENALTY("penalty_fork_bomb", PENALTY_FORK_BOMB, "5s",
		"a session has hit its limit of tasks"),
	PENALTY("penalty_oom", PENALTY_OOM, "5s",
		"something was killed at a session's memory limit"),
	PENALTY("penalty_session_flood", PENALTY_SESSION_FLOOD, "1s",
		"a session more than there may be"),
	{"penalty_min", CONFIG_DURATION, FIELD(penalty_min), .max = DAY, .preset = "15s",
		.help = "less than this is not enforced"},
	{"penalty_max", CONFIG_DURATION, FIELD(penalty_max), .min = 1, .max = DAY, .preset = "10m",
		.help = "more than this does not come together"},
	{"penalty_sources4", CONFIG_COUNT, FIELD(penalty_sources4), .min = 1,
		.max = PENALTIES_MAX_SOURCES, .preset = "65536",
		.help = "IPv4 sources that are remembered"},
	{"penalty_sources6", CONFIG_COUNT, FIELD(penalty_sources6), .min = 1,
		.max = PENALTIES_MAX_SOURCES, .preset = "65536",
		.help = "IPv6 sources that are remembered"},
	{"penalty_overflow", CONFIG_TEXT, FIELD(penalty_overflow), .read = read_overflow,
		.preset = "permissive",
		.help = "when there are more: permissive forgets one, deny-all refuses everybody"},
	{"penalty_exempt", CONFIG_LIST, FIELD(penalty_exempt), .read = read_network,
		.preset_says = "none", .help = "networks without penalties"},
	{"max_sessions", CONFIG_COUNT, FIELD(max_sessions), .min = 1, .max = 1000, .preset = "10",
		.help = "sessions of one connection"},
	{"max_connections", CONFIG_COUNT, FIELD(max_connections), .min = 1, .max = 65536,
		.preset = "1000", .help = "connections at once"},
	{"max_total_sessions", CONFIG_COUNT, FIELD(max_total_sessions), .min = 1, .max = 65536,
		.preset = "500", .help = "sessions at once"},
	{"max_user_sessions", CONFIG_COUNT, FIELD(max_user_sessions), .min = 1, .max = 65536,
		.preset = "128", .help = "sessions of one user at once"},
	{"keepalive_interval", CONFIG_DURATION, FIELD(keepalive_interval), .max = DAY,
		.preset = "1m",
		.help = "a client that is silent this long is asked whether it lives; 0: never"},
	{"keepalive_count", CONFIG_COUNT, FIELD(keepalive_count), .min = 1, .max = 100,
		.preset = "3", .help = "questions without an answer that end the connection"},
	{"drain", CONFIG_DURATION, FIELD(drain), .max = DAY, .preset = "30s",
		.help = "time sessions get to end after SIGTERM"},
	{"banner", CONFIG_TEXT, FIELD(banner), .read = read_text, .unset = "none", .preset = "none",
		.help = "text shown before login"},
	{"audit_log", CONFIG_TEXT, FIELD(audit_log), .read = read_log_path, .path = true,
		.unset = "none", .preset = "-",
		.help = "file the audit lines go to; -: standard error"},
	{"state_dir", CONFIG_TEXT, FIELD(state_dir), .read = read_path, .path = true,
		.preset = "/var/lib/cloche", .help = "directory for proofs and locks"},
	{"empty_dir", CONFIG_TEXT, FIELD(empty_dir), .read = read_path, .path = true,
		.preset = "/run/cloche/empty",
		.help = "empty directory, the root of processes that talk to clients"},
	{"control", CONFIG_TEXT, FIELD(control), .read = read_control, .unset = "none",
		.preset = "auto", .help = "socket by which the server is asked and told"},
	{"control_group", CONFIG_TEXT, FIELD(control_group), .read = read_name, .unset = "none",
		.preset = "none", .help = "group that may ask there, and change nothing"},
	/* A number nobody is given: Debian reserves 65000 to 65533 and systemd leaves this part free. */
	{"net_user", CONFIG_TEXT, FIELD(net_user), .read = read_net_user, .preset = "65522",
		.help = "user, or uid, of the processes that talk to clients"},
	{"log_level", CONFIG_TEXT, FIELD(log_level), .read = read_log_level, .preset = "info",
		.help = "error, warning, info or debug"},
	{"kex", CONFIG_TEXT, FIELD(kex), .read = read_alg_kex, .unset = "default",
		.preset = "default", .help = "key exchange algorithms"},
	{"ciphers", CONFIG_TEXT, FIELD(ciphers), .read = read_alg_ciphers, .unset = "default",
		.preset = "default", .help = "ciphers"},
	{"macs", CONFIG_TEXT, FIELD(macs), .read = read_alg_macs, .unset = "default",
		.preset = "default", .help = "message authentication codes"},
	{"host_key_algorithms", CONFIG_TEXT, FIELD(host_key_algorithms), .read = read_alg_host_keys,
		.unset = "default", .preset = "default", .help = "algorithms of host keys"},
	{"public_key_algorithms", CONFIG_TEXT, FIELD(public_key_algorithms),
		.read = read_alg_user_keys, .unset = "default", .preset = "default",
		.help = "algorithms of users' keys"},
	{"proof", CONFIG_BOOL, FIELD(proof), .preset = "yes",
		.help = "measure each profile before it opens"},
	{.name = NULL},
};

#undef FIELD
#define FIELD(name) offsetof(struct config_profile, name)

const struct config_key config_profile_keys[] = {
	{"inherit", CONFIG_INHERIT, .read = read_name, .unset = "none", .preset = "none",
		.help = "profile that gives what is not said here; built in: tight, lab, agent"},
	{"description", CONFIG_TEXT, FIELD(description), .read = read_line, .preset_says = "none",
		.help = "one line for people"},
	{"guest", CONFIG_BOOL, FIELD(guest), .preset = "no",
		.help = "logins without a credential may use it"},
	{"idle_timeout", CONFIG_DURATION, FIELD(idle_timeout), .max = 31 * DAY, .preset = "0",
		.help = "a session in which nothing moves this long ends; 0: never"},
	{"warning", CONFIG_DURATION, FIELD(warning), .max = 3600, .preset = "1m",
		.help = "the user is told this long before a time limit; 0: not told"},
	{"accept_env", CONFIG_LIST, FIELD(accept_env), .read = read_glob,
		.preset = "TERM,LANG,LC_*", .help = "variables the client may set"},
	{"motd", CONFIG_TEXT, FIELD(motd), .read = read_text, .unset = "none", .preset = "none",
		.help = "shown before a shell on a terminal: auto, or a text"},
	{"share", CONFIG_TEXT, FIELD(share), .read = read_share, .preset = "session",
		.help = "session: each has a sandbox of its own; connection: those of one "
			"connection "
			"meet in one"},
	{"forward", CONFIG_LIST, FIELD(forward), .read = read_forward, .preset_says = "none",
		.help = "kinds of forwarding that are offered: local (-L, -D, -W), remote (-R), "
			"agent "
			"(-A)"},
	{"permit_open", CONFIG_LIST, FIELD(permit_open), .read = read_address, .preset = "*:*",
		.help = "HOST:PORT that local forwarding may reach, inside; * for any"},
	{"permit_listen", CONFIG_LIST, FIELD(permit_listen), .read = read_address, .preset = "*:*",
		.help = "HOST:PORT that remote forwarding may listen on, inside; * for any"},
	{"sessions", CONFIG_LIST, FIELD(sessions), .read = read_kind, .preset = "shell,exec,sftp",
		.help = "kinds of sessions that are offered: shell, exec, sftp"},
	{"sftp", CONFIG_TEXT, FIELD(sftp), .read = read_sftp, .preset = "yes",
		.help = "yes, read-only or no: the sftp subsystem, run inside the sandbox"},
	{"sftp_server", CONFIG_TEXT, FIELD(sftp_server), .read = read_path, .unset = "auto",
		.preset = "auto", .help = "path of sftp-server inside"},
	{"sftp_allow", CONFIG_LIST, FIELD(sftp_allow), .read = read_sftp_request,
		.preset_says = "all",
		.help = "sftp requests that are answered; all others are refused"},
	{"sftp_deny", CONFIG_LIST, FIELD(sftp_deny), .read = read_sftp_request,
		.preset_says = "none", .help = "sftp requests that are refused"},
	{.name = NULL},
};

#undef FIELD
#define FIELD(name) offsetof(struct config_user, name)

const struct config_key config_user_keys[] = {
	{"profile", CONFIG_TEXT, FIELD(profile), .read = read_name, .preset = "default",
		.help = "profile of the user's sessions"},
	{"authorized_keys", CONFIG_LIST, FIELD(authorized_keys), .read = read_keys_path,
		.preset_says = "the server's", .help = "key files; [] for none"},
	{"trusted_ca_keys", CONFIG_LIST, FIELD(trusted_ca_keys), .read = read_path,
		.preset_says = "the server's",
		.help = "files of keys that sign this user's certificates; [] for none"},
	{"authorized_principals", CONFIG_LIST, FIELD(authorized_principals), .read = read_principal,
		.preset_says = "the server's",
		.help = "this user's certificates must name one of these; [] for none"},
	{"revoked_keys", CONFIG_LIST, FIELD(revoked_keys), .read = read_path, .preset_says = "none",
		.help = "besides the server's: keys that open nothing here"},
	{"password", CONFIG_TEXT, FIELD(password), .read = read_password, .preset_says = "none",
		.help = "line made by cloche passwd"},
	{"totp", CONFIG_TEXT, FIELD(totp), .read = read_totp, .preset_says = "none",
		.help = "line made by cloche totp"},
	{"methods", CONFIG_LIST, FIELD(methods), .read = read_methods,
		.preset_says = "any one method",
		.help = "chains of methods, one of which must be gone through: publickey,password"},
	{"guest", CONFIG_BOOL, FIELD(guest), .preset = "no",
		.help = "no credential is asked, if the profile allows it too"},
	{"max_sessions", CONFIG_COUNT, FIELD(max_sessions), .max = 65536, .preset = "0",
		.help = "sessions of this user at once; 0: the server's max_user_sessions"},
	{.name = NULL},
};

const struct config_key *config_key_find(const struct config_key *keys, const char *name)
{
	for (; keys->name; keys++) {
		if (strcmp(keys->name, name) == 0) {
			return keys;
		}
	}
	return NULL;
}

/* Keeps name in *nearest if it is the best guess so far. */
static void consider(const char *name, const char *typed, const char **nearest, size_t *best)
{
	size_t distance = parse_edit_distance(typed, name, *best);

	/* A short name is not meant by whatever has as few letters. */
	if (distance < *best && distance < strlen(name)) {
		*best = distance;
		*nearest = name;
	}
}

const char *config_key_suggest(
	const struct config_key *keys, const struct spec_key *spec, const char *name)
{
	const char *nearest = NULL;
	size_t best = 4;

	for (; keys->name; keys++) {
		consider(keys->name, name, &nearest, &best);
	}
	for (; spec && spec->name; spec++) {
		consider(spec->name, name, &nearest, &best);
	}
	return nearest;
}

/* ---- values ---- */

static void *field_of(const struct config_key *key, void *base)
{
	return (char *)base + key->offset;
}

static const void *const_field_of(const struct config_key *key, const void *base)
{
	return (const char *)base + key->offset;
}

static int read_item(const struct config_key *key, const char *text, char **ret, struct err *err)
{
	int r = key->read ? key->read(text, ret, err) : keep(text, ret, err);

	return r < 0 ? err_wrap(err, "%s", key->name) : 0;
}

static int set_text(const struct config_key *key, char **field, const char *text, struct err *err)
{
	char *copy = NULL;
	int r = 0;

	if (!key->unset || strcmp(text, key->unset) != 0) {
		r = read_item(key, text, &copy, err);
	}
	if (r == 0) {
		free(*field);
		*field = copy;
	}
	return r;
}

static int append_item(
	const struct config_key *key, char ***field, const char *text, struct err *err)
{
	char *copy = NULL;
	int r = read_item(key, text, &copy, err);

	if (r == 0 && strv_consume(field, copy) < 0) {
		r = err_set(err, ENOMEM, "%s", key->name);
	}
	return r;
}

static int set_number(
	const struct config_key *key, uint64_t *field, const char *text, struct err *err)
{
	bool duration = key->type == CONFIG_DURATION;
	uint64_t value = 0;
	int r = duration ? parse_duration(text, &value) : parse_u64(text, &value);

	if (r == -EINVAL) {
		return err_refuse(err, EINVAL, "%s: '%s' is not %s", key->name, text,
			duration ? "a time such as 90, 90s or 1h30m" : "a whole number");
	}
	if (r < 0 || value < key->min || value > key->max) {
		return err_refuse(err, EINVAL, "%s: '%s' is not from %llu to %llu%s", key->name,
			text, (unsigned long long)key->min, (unsigned long long)key->max,
			duration ? " seconds" : "");
	}
	*field = value;
	return 0;
}

/* begin:rate:full, as sshd's MaxStartups. */
static int set_startups(
	const struct config_key *key, uint64_t field[3], const char *text, struct err *err)
{
	cleanup_free char *copy = strdup(text);
	char *left = copy;
	uint64_t value[3] = {0};
	bool good = true;

	if (!copy) {
		return err_set(err, ENOMEM, "%s", key->name);
	}
	for (size_t i = 0; i < 3; i++) {
		const char *part = strsep(&left, ":");
		good = good && part &&
			parse_range(part, key->min, i == 1 ? 100 : key->max, &value[i]) == 0;
	}
	if (!good || left || value[0] > value[2]) {
		return err_refuse(err, EINVAL,
			"%s: '%s' is not begin:rate:full such as 10:30:100 (rate in percent, begin "
			"at "
			"most full)",
			key->name, text);
	}
	memcpy(field, value, sizeof(value));
	return 0;
}

/* bits4:bits6, as sshd's PerSourceNetBlockSize. */
static int set_block(
	const struct config_key *key, uint64_t field[2], const char *text, struct err *err)
{
	const char *colon = strchr(text, ':');
	cleanup_free char *first = strndup(text, colon ? (size_t)(colon - text) : 0);
	uint64_t bits[2];

	if (!first) {
		return err_set(err, ENOMEM, "%s", key->name);
	}
	if (!colon || parse_range(first, 1, 32, &bits[0]) < 0 ||
		parse_range(colon + 1, 1, 128, &bits[1]) < 0) {
		return err_refuse(err, EINVAL,
			"%s: '%s' is not two numbers of bits such as 32:128 or 24:56", key->name,
			text);
	}
	memcpy(field, bits, sizeof(bits));
	return 0;
}

int config_key_set(const struct config_key *key, void *base, const char *text, struct err *err)
{
	void *field = field_of(key, base);

	switch (key->type) {
	case CONFIG_BOOL:
		return parse_bool(text, field) < 0
			? err_refuse(err, EINVAL, "%s: '%s' is not yes or no", key->name, text)
			: 0;
	case CONFIG_COUNT:
	case CONFIG_DURATION:
		return set_number(key, field, text, err);
	case CONFIG_TEXT:
		return set_text(key, field, text, err);
	case CONFIG_LIST:
		return append_item(key, field, text, err);
	case CONFIG_BLOCK:
		return set_block(key, field, text, err);
	case CONFIG_STARTUPS:
		return set_startups(key, field, text, err);
	case CONFIG_INHERIT:
		break;
	}
	return err_refuse(err, EINVAL, "%s: cannot be set", key->name);
}

int config_key_set_items(
	const struct config_key *key, void *base, const char *text, struct err *err)
{
	if (key->type != CONFIG_LIST) {
		return config_key_set(key, base, text, err);
	}
	while (*text) {
		size_t length = strcspn(text, ",");
		cleanup_free char *item = strndup(text, length);
		int r = item ? config_key_set(key, base, item, err)
			     : err_set(err, ENOMEM, "%s", key->name);
		if (r < 0) {
			return r;
		}
		text += length;
		text += *text == ',';
	}
	return 0;
}

int config_keys_preset(const struct config_key *keys, void *base)
{
	struct err err = {0};

	for (const struct config_key *key = keys; key->name; key++) {
		int r = 0;
		if (key->type != CONFIG_INHERIT && key->preset) {
			r = config_key_set_items(key, base, key->preset, &err);
		}
		if (r < 0) {
			config_keys_clear(keys, base);
			return r;
		}
	}
	return 0;
}

static size_t size_of(const struct config_key *key)
{
	switch (key->type) {
	case CONFIG_BOOL:
		return sizeof(bool);
	case CONFIG_COUNT:
	case CONFIG_DURATION:
		return sizeof(uint64_t);
	case CONFIG_TEXT:
		return sizeof(char *);
	case CONFIG_LIST:
		return sizeof(char **);
	case CONFIG_BLOCK:
		return 2 * sizeof(uint64_t);
	case CONFIG_STARTUPS:
		return 3 * sizeof(uint64_t);
	case CONFIG_INHERIT:
		break;
	}
	return 0;
}

void config_key_clear(const struct config_key *key, void *base)
{
	void *field = field_of(key, base);

	if (key->type == CONFIG_TEXT) {
		free(*(char **)field);
	} else if (key->type == CONFIG_LIST) {
		(void)strv_free(*(char ***)field);
	}
	memset(field, 0, size_of(key));
}

void config_keys_clear(const struct config_key *keys, void *base)
{
	for (; keys->name; keys++) {
		config_key_clear(keys, base);
	}
}

void config_key_move(const struct config_key *key, void *from, void *to)
{
	config_key_clear(key, to);
	memcpy(field_of(key, to), field_of(key, from), size_of(key));
	memset(field_of(key, from), 0, size_of(key));
}

static int copy_key(const struct config_key *key, const void *from, void *to)
{
	const void *source = const_field_of(key, from);
	void *target = field_of(key, to);

	if (key->type == CONFIG_TEXT) {
		const char *text = *(char *const *)source;
		char *copy = text ? strdup(text) : NULL;
		*(char **)target = copy;
		return text && !copy ? -ENOMEM : 0;
	}
	if (key->type == CONFIG_LIST) {
		return strv_copy(*(char **const *)source, target);
	}
	memcpy(target, source, size_of(key));
	return 0;
}

int config_keys_copy(const struct config_key *keys, const void *from, void *to)
{
	for (; keys->name; keys++) {
		int r = copy_key(keys, from, to);
		if (r < 0) {
			return r;
		}
	}
	return 0;
}
