#include "session/config-schema.h"

#include <assert.h>
#include <string.h>

#include "base/parse.h"
#include "session/config-values.h"

#define DAY UINT64_C(86400)

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
	{"listen", CONFIG_LIST, FIELD(listen), .read = config_read_listen,
		.preset = "127.0.0.1:2222", .help = "addresses and ports to listen on"},
	{"host_keys", CONFIG_LIST, FIELD(host_keys), .read = config_read_path, .path = true,
		.preset = "/etc/cloche/host_ed25519", .help = "private host keys"},
	{"authorized_keys", CONFIG_LIST, FIELD(authorized_keys), .read = config_read_keys_path,
		.path = true, .preset = "/etc/cloche/authorized_keys",
		.help = "key files of users that name none of their own; %u is the login name"},
	{"trusted_ca_keys", CONFIG_LIST, FIELD(trusted_ca_keys), .read = config_read_path,
		.path = true, .preset_says = "none",
		.help = "files of keys that sign users' certificates"},
	{"revoked_keys", CONFIG_LIST, FIELD(revoked_keys), .read = config_read_path, .path = true,
		.preset_says = "none", .help = "files of keys and fingerprints that open nothing"},
	{"authorized_principals", CONFIG_LIST, FIELD(authorized_principals),
		.read = config_read_principal, .preset = "%u",
		.help = "a certificate must name one of these; %u is the login name"},
	{"totp_key", CONFIG_TEXT, FIELD(totp_key), .read = config_read_path, .path = true,
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
	{"penalty_overflow", CONFIG_TEXT, FIELD(penalty_overflow), .read = config_read_overflow,
		.preset = "permissive",
		.help = "when there are more: permissive forgets one, deny-all refuses everybody"},
	{"penalty_exempt", CONFIG_LIST, FIELD(penalty_exempt), .read = config_read_network,
		.preset_says = "none", .help = "networks without penalties"},
	{"max_sessions", CONFIG_COUNT, FIELD(max_sessions), .min = 1, .max = 1000, .preset = "10",
		.help = "sessions of one connection"},
	{"max_connections", CONFIG_COUNT, FIELD(max_connections), .min = 1, .max = 65536,
		.preset = "1000", .help = "connections at once"},
	{"max_total_sessions", CONFIG_COUNT, FIELD(max_total_sessions), .min = 1, .max = 65536,
		.preset = "500", .help = "sessions at once"},
	{"max_user_sessions", CONFIG_COUNT, FIELD(max_user_sessions), .min = 1, .max = 65536,
		.preset = "128", .help = "sessions of one user at once"},
	{"max_probes", CONFIG_COUNT, FIELD(max_probes), .min = 1, .max = 64, .preset = "2",
		.help = "measurements at once that users have asked for"},
	{"probe_timeout", CONFIG_DURATION, FIELD(probe_timeout), .min = 1, .max = 600,
		.preset = "30s", .help = "the longest such a measurement may take"},
	{"keepalive_interval", CONFIG_DURATION, FIELD(keepalive_interval), .max = DAY,
		.preset = "1m",
		.help = "a client that is silent this long is asked whether it lives; 0: never"},
	{"keepalive_count", CONFIG_COUNT, FIELD(keepalive_count), .min = 1, .max = 100,
		.preset = "3", .help = "questions without an answer that end the connection"},
	{"drain", CONFIG_DURATION, FIELD(drain), .max = DAY, .preset = "30s",
		.help = "time sessions get to end after SIGTERM"},
	{"banner", CONFIG_TEXT, FIELD(banner), .read = config_read_text, .unset = "none",
		.preset = "none", .help = "text shown before login"},
	{"audit_log", CONFIG_TEXT, FIELD(audit_log), .read = config_read_log_path, .path = true,
		.unset = "none", .preset = "-",
		.help = "file the audit lines go to; -: standard error"},
	{"state_dir", CONFIG_TEXT, FIELD(state_dir), .read = config_read_path, .path = true,
		.preset = "/var/lib/cloche", .help = "directory for proofs and locks"},
	{"empty_dir", CONFIG_TEXT, FIELD(empty_dir), .read = config_read_path, .path = true,
		.preset = "/run/cloche/empty",
		.help = "empty directory, the root of processes that talk to clients"},
	{"homes", CONFIG_TEXT, FIELD(homes), .read = config_read_path, .path = true,
		.preset = "/var/lib/cloche/homes",
		.help = "directory of the home directories that last"},
	{"control", CONFIG_TEXT, FIELD(control), .read = config_read_control, .unset = "none",
		.preset = "auto", .help = "socket by which the server is asked and told"},
	{"control_group", CONFIG_TEXT, FIELD(control_group), .read = config_read_name,
		.unset = "none", .preset = "none",
		.help = "group that may ask there, and change nothing"},
	{"join_notice", CONFIG_BOOL, FIELD(join_notice), .preset = "yes",
		.help = "who is watched (cloche join) is told so"},
	/* A number nobody is given: Debian reserves 65000 to 65533 and systemd leaves this part free. */
	{"net_user", CONFIG_TEXT, FIELD(net_user), .read = config_read_plain_user,
		.preset = "65522", .help = "user, or uid, of the processes that talk to clients"},
	{"authorize", CONFIG_LIST, FIELD(authorize), .read = config_read_line,
		.preset_says = "none",
		.help = "command, with arguments, that is asked before each login is let in"},
	{"authorize_timeout", CONFIG_DURATION, FIELD(authorize_timeout), .min = 1, .max = 60,
		.preset = "5s", .help = "time it has to answer"},
	/* The one beside net_user's. */
	{"authorize_user", CONFIG_TEXT, FIELD(authorize_user), .read = config_read_plain_user,
		.preset = "65521", .help = "user, or uid, that it runs as"},
	{"log_level", CONFIG_TEXT, FIELD(log_level), .read = config_read_log_level,
		.preset = "info", .help = "error, warning, info or debug"},
	{"kex", CONFIG_TEXT, FIELD(kex), .read = config_read_alg_kex, .unset = "default",
		.preset = "default", .help = "key exchange algorithms"},
	{"ciphers", CONFIG_TEXT, FIELD(ciphers), .read = config_read_alg_ciphers,
		.unset = "default", .preset = "default", .help = "ciphers"},
	{"macs", CONFIG_TEXT, FIELD(macs), .read = config_read_alg_macs, .unset = "default",
		.preset = "default", .help = "message authentication codes"},
	{"host_key_algorithms", CONFIG_TEXT, FIELD(host_key_algorithms),
		.read = config_read_alg_host_keys, .unset = "default", .preset = "default",
		.help = "algorithms of host keys"},
	{"public_key_algorithms", CONFIG_TEXT, FIELD(public_key_algorithms),
		.read = config_read_alg_user_keys, .unset = "default", .preset = "default",
		.help = "algorithms of users' keys"},
	{"proof", CONFIG_BOOL, FIELD(proof), .preset = "yes",
		.help = "measure each profile before it opens"},
	{.name = NULL},
};

#undef FIELD
#define FIELD(name) offsetof(struct config_profile, name)

const struct config_key config_profile_keys[] = {
	{"inherit", CONFIG_INHERIT, .read = config_read_name, .unset = "none", .preset = "none",
		.help = "profile that gives what is not said here; built in: tight, lab, agent"},
	{"description", CONFIG_TEXT, FIELD(description), .read = config_read_line,
		.preset_says = "none", .help = "one line for people"},
	{"guest", CONFIG_BOOL, FIELD(guest), .preset = "no",
		.help = "logins without a credential may use it"},
	{"idle_timeout", CONFIG_DURATION, FIELD(idle_timeout), .max = 31 * DAY, .preset = "0",
		.help = "a session in which nothing moves this long ends; 0: never"},
	{"warning", CONFIG_DURATION, FIELD(warning), .max = 3600, .preset = "1m",
		.help = "the user is told this long before a time limit; 0: not told"},
	{"accept_env", CONFIG_LIST, FIELD(accept_env), .read = config_read_glob,
		.preset = "TERM,LANG,LC_*", .help = "variables the client may set"},
	{"motd", CONFIG_TEXT, FIELD(motd), .read = config_read_text, .unset = "none",
		.preset = "none", .help = "shown before a shell on a terminal: auto, or a text"},
	{"home_mode", CONFIG_TEXT, FIELD(home_mode), .read = config_read_home_mode,
		.preset = "ephemeral",
		.help = "ephemeral: each session has a fresh home directory; persistent: each user "
			"has one that lasts"},
	{"home_quota", CONFIG_SIZE, FIELD(home_quota), .max = UINT64_C(1) << 50, .preset = "0",
		.help = "what a home directory that lasts may take on the disk; 0: no limit"},
	{"share", CONFIG_TEXT, FIELD(share), .read = config_read_share, .preset = "session",
		.help = "session: each has a sandbox of its own; connection: those of one "
			"connection "
			"meet in one"},
	{"forward", CONFIG_LIST, FIELD(forward), .read = config_read_forward, .preset_says = "none",
		.help = "kinds of forwarding that are offered: local (-L, -D, -W), remote (-R), "
			"agent "
			"(-A)"},
	{"permit_open", CONFIG_LIST, FIELD(permit_open), .read = config_read_address,
		.preset = "*:*",
		.help = "HOST:PORT that local forwarding may reach, inside; * for any"},
	{"permit_listen", CONFIG_LIST, FIELD(permit_listen), .read = config_read_address,
		.preset = "*:*",
		.help = "HOST:PORT that remote forwarding may listen on, inside; * for any"},
	{"sessions", CONFIG_LIST, FIELD(sessions), .read = config_read_kind,
		.preset = "shell,exec,sftp",
		.help = "kinds of sessions that are offered: shell, exec, sftp, probe"},
	{"sftp", CONFIG_TEXT, FIELD(sftp), .read = config_read_sftp, .preset = "yes",
		.help = "yes, read-only or no: the sftp subsystem, run inside the sandbox"},
	{"sftp_server", CONFIG_TEXT, FIELD(sftp_server), .read = config_read_path, .unset = "auto",
		.preset = "auto", .help = "path of sftp-server inside"},
	{"sftp_allow", CONFIG_LIST, FIELD(sftp_allow), .read = config_read_sftp_request,
		.preset_says = "all",
		.help = "sftp requests that are answered; all others are refused"},
	{"sftp_deny", CONFIG_LIST, FIELD(sftp_deny), .read = config_read_sftp_request,
		.preset_says = "none", .help = "sftp requests that are refused"},
	{.name = NULL},
};

#undef FIELD
#define FIELD(name) offsetof(struct config_user, name)

const struct config_key config_user_keys[] = {
	{"profile", CONFIG_TEXT, FIELD(profile), .read = config_read_name, .preset = "default",
		.help = "profile of the user's sessions"},
	{"authorized_keys", CONFIG_LIST, FIELD(authorized_keys), .read = config_read_keys_path,
		.preset_says = "the server's", .help = "key files; [] for none"},
	{"trusted_ca_keys", CONFIG_LIST, FIELD(trusted_ca_keys), .read = config_read_path,
		.preset_says = "the server's",
		.help = "files of keys that sign this user's certificates; [] for none"},
	{"authorized_principals", CONFIG_LIST, FIELD(authorized_principals),
		.read = config_read_principal, .preset_says = "the server's",
		.help = "this user's certificates must name one of these; [] for none"},
	{"revoked_keys", CONFIG_LIST, FIELD(revoked_keys), .read = config_read_path,
		.preset_says = "none", .help = "besides the server's: keys that open nothing here"},
	{"password", CONFIG_TEXT, FIELD(password), .read = config_read_password,
		.preset_says = "none", .help = "line made by cloche passwd"},
	{"totp", CONFIG_TEXT, FIELD(totp), .read = config_read_totp, .preset_says = "none",
		.help = "line made by cloche totp"},
	{"methods", CONFIG_LIST, FIELD(methods), .read = config_read_methods,
		.preset_says = "any one method",
		.help = "chains of methods, one of which must be gone through: publickey,password"},
	{"guest", CONFIG_BOOL, FIELD(guest), .preset = "no",
		.help = "no credential is asked, if the profile allows it too"},
	{"max_sessions", CONFIG_COUNT, FIELD(max_sessions), .max = 65536, .preset = "0",
		.help = "sessions of this user at once; 0: the server's max_user_sessions"},
	{"groups", CONFIG_LIST, FIELD(groups), .read = config_read_name, .preset_says = "none",
		.help = "groups this user is in, for rules"},
	{.name = NULL},
};

#undef FIELD
#define FIELD(name) offsetof(struct config_when, name)

const struct config_key config_when_keys[] = {
	{"user", CONFIG_LIST, FIELD(user), .read = config_read_pattern, .preset_says = "anybody",
		.help = "patterns for the login name; ! before one that must not match"},
	{"group", CONFIG_LIST, FIELD(group), .read = config_read_pattern, .preset_says = "any",
		.help = "patterns for the groups of the user"},
	{"address", CONFIG_LIST, FIELD(address), .read = config_read_not_network,
		.preset_says = "anywhere", .help = "networks that the client is in"},
	{"key", CONFIG_LIST, FIELD(key), .read = config_read_fingerprint, .preset_says = "any",
		.help = "fingerprints of the key that was used"},
	{"authority", CONFIG_LIST, FIELD(authority), .read = config_read_fingerprint,
		.preset_says = "any", .help = "fingerprints of what signed the certificate"},
	{"principal", CONFIG_LIST, FIELD(principal), .read = config_read_principal_pattern,
		.preset_says = "any", .help = "patterns for the principals of the certificate"},
	{.name = NULL},
};

#undef FIELD
#define FIELD(name) offsetof(struct config_rule, name)

/* Those of over are called as in a profile, and read alike: a test compares them. */
const struct config_key config_rule_keys[] = {
	{"name", CONFIG_TEXT, FIELD(name), .read = config_read_name,
		.preset_says = "it must be said", .help = "name of the rule, for the audit log"},
	{"when", CONFIG_SECTION, .preset_says = "it must be said",
		.help = "conditions, all of which must hold"},
	{"refuse", CONFIG_BOOL, FIELD(refuse), .preset_says = "no",
		.help = "these logins are refused"},
	{"profile", CONFIG_TEXT, FIELD(profile), .read = config_read_name,
		.preset_says = "the key's, or the user's", .help = "profile of the sessions"},
	{"methods", CONFIG_LIST, FIELD(methods), .read = config_read_methods,
		.preset_says = "the user's", .help = "chains of methods"},
	{"max_sessions", CONFIG_COUNT, FIELD(max_sessions), .min = 1, .max = 65536,
		.preset_says = "the user's", .help = "sessions of the user at once"},
	{"timeout", CONFIG_DURATION, FIELD(over.spec.timeout), .min = 1, .max = 366 * DAY,
		.preset_says = "the profile's", .help = "a session is ended after this long"},
	{"idle_timeout", CONFIG_DURATION, FIELD(over.idle_timeout), .max = 31 * DAY,
		.preset_says = "the profile's", .help = "as in a profile"},
	{"warning", CONFIG_DURATION, FIELD(over.warning), .max = 3600,
		.preset_says = "the profile's", .help = "as in a profile"},
	{"accept_env", CONFIG_LIST, FIELD(over.accept_env), .read = config_read_glob,
		.preset_says = "the profile's", .help = "as in a profile"},
	{"motd", CONFIG_TEXT, FIELD(over.motd), .read = config_read_text, .unset = "none",
		.preset_says = "the profile's", .help = "as in a profile"},
	{"forward", CONFIG_LIST, FIELD(over.forward), .read = config_read_forward,
		.preset_says = "the profile's", .help = "as in a profile"},
	{"permit_open", CONFIG_LIST, FIELD(over.permit_open), .read = config_read_address,
		.preset_says = "the profile's", .help = "as in a profile"},
	{"permit_listen", CONFIG_LIST, FIELD(over.permit_listen), .read = config_read_address,
		.preset_says = "the profile's", .help = "as in a profile"},
	{"sessions", CONFIG_LIST, FIELD(over.sessions), .read = config_read_kind,
		.preset_says = "the profile's", .help = "as in a profile"},
	{"sftp", CONFIG_TEXT, FIELD(over.sftp), .read = config_read_sftp,
		.preset_says = "the profile's", .help = "as in a profile"},
	{"sftp_allow", CONFIG_LIST, FIELD(over.sftp_allow), .read = config_read_sftp_request,
		.preset_says = "the profile's", .help = "as in a profile"},
	{"sftp_deny", CONFIG_LIST, FIELD(over.sftp_deny), .read = config_read_sftp_request,
		.preset_says = "the profile's", .help = "as in a profile"},
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
