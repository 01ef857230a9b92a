#include "session/config-values.h"

#include <arpa/inet.h>
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

#define MAX_TEXT 1000 /* what one message between our processes has room for */

int config_keep(const char *text, char **ret, struct err *err)
{
	*ret = strdup(text);
	return *ret ? 0 : err_set(err, ENOMEM, "reading the configuration");
}

/* Text people read: lines and tabs are fine, other control bytes could move a terminal. */
int config_read_text(const char *text, char **ret, struct err *err)
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
	return config_keep(text, ret, err);
}

int config_read_line(const char *text, char **ret, struct err *err)
{
	if (strpbrk(text, "\n\t")) {
		return err_refuse(err, EINVAL, "must be one line");
	}
	return config_read_text(text, ret, err);
}

int config_read_path(const char *text, char **ret, struct err *err)
{
	int r = parse_absolute_path(text, ret);

	if (r == -ENOMEM) {
		return err_set(err, ENOMEM, "reading a path");
	}
	return r < 0 ? err_refuse(err, EINVAL,
			       "'%s' is not an absolute path without '..' and control bytes", text)
		     : 0;
}

int config_read_log_path(const char *text, char **ret, struct err *err)
{
	return strcmp(text, "-") == 0 ? config_keep(text, ret, err)
				      : config_read_path(text, ret, err);
}

/* A path that may hold %u, and %% for a percent sign. */
int config_read_keys_path(const char *text, char **ret, struct err *err)
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
	return config_read_path(text, ret, err);
}

/* What a certificate is made out to: any text; %u, alone, is the login name. */
int config_read_principal(const char *text, char **ret, struct err *err)
{
	if (!*text || strlen(text) > 256 || strpbrk(text, ", \t\n") ||
		(strchr(text, '%') && strcmp(text, "%u") != 0)) {
		return err_refuse(err, EINVAL,
			"'%s' is not a principal: a text without blanks, commas and '%%', or %%u "
			"alone",
			text);
	}
	return config_read_text(text, ret, err);
}

int config_read_name(const char *text, char **ret, struct err *err)
{
	if (!parse_is_name(text)) {
		return err_refuse(err, EINVAL,
			"'%s' is not a name: 1 to 64 of letters, digits, '.', '_' and '-', not "
			"beginning with '-' or '.'",
			text);
	}
	return config_keep(text, ret, err);
}

/* 192.0.2.1:22 or [2001:db8::1]:22. */
int config_read_listen(const char *text, char **ret, struct err *err)
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
	return config_keep(text, ret, err);
}

/* Not a path from where one is: a server and its clients stand in different places. */
int config_read_control(const char *text, char **ret, struct err *err)
{
	if (strlen(text) >= CONFIG_CONTROL_PATH) {
		return err_refuse(err, EINVAL, "longer than a socket's path may be, %d bytes",
			CONFIG_CONTROL_PATH - 1);
	}
	return strcmp(text, "auto") == 0 ? config_keep(text, ret, err)
					 : config_read_path(text, ret, err);
}

int config_read_plain_user(const char *text, char **ret, struct err *err)
{
	uint64_t uid = 0;

	if (parse_u64(text, &uid) == 0 && (uid == 0 || uid >= UINT32_MAX)) {
		return err_refuse(err, EINVAL, "'%s' is not a uid without privileges", text);
	}
	return strcmp(text, "root") == 0
		? err_refuse(err, EINVAL, "a process that meets strangers must not be root")
		: config_read_name(text, ret, err);
}

/* One of a few words. */
static int read_word(const char *const words[], const char *text, char **ret, struct err *err)
{
	cleanup_free char *all = NULL;

	if (strv_contains((char **)(uintptr_t)words, text)) {
		return config_keep(text, ret, err);
	}
	all = strv_join((char **)(uintptr_t)words, ", ");
	return err_refuse(
		err, EINVAL, "'%s' is not one of %s", text, all ? all : "the known words");
}

int config_read_log_level(const char *text, char **ret, struct err *err)
{
	static const char *const levels[] = {"error", "warning", "info", "debug", NULL};

	return read_word(levels, text, ret, err);
}

int config_read_kind(const char *text, char **ret, struct err *err)
{
	static const char *const kinds[] = {"shell", "exec", "sftp", "probe", NULL};

	return read_word(kinds, text, ret, err);
}

int config_read_forward(const char *text, char **ret, struct err *err)
{
	static const char *const kinds[] = {"local", "remote", "agent", NULL};

	return read_word(kinds, text, ret, err);
}

int config_read_address(const char *text, char **ret, struct err *err)
{
	return address_pattern_is_valid(text)
		? config_keep(text, ret, err)
		: err_refuse(err, EINVAL,
			  "'%s' is not HOST:PORT such as localhost:8080, [::1]:22 or *:443", text);
}

int config_read_share(const char *text, char **ret, struct err *err)
{
	static const char *const units[] = {"session", "connection", NULL};

	return read_word(units, text, ret, err);
}

/* What other files call false is no, and true is yes. */
int config_read_sftp(const char *text, char **ret, struct err *err)
{
	static const char *const modes[] = {"yes", "read-only", "no", NULL};
	bool on = false;

	if (parse_bool(text, &on) == 0) {
		return config_keep(on ? "yes" : "no", ret, err);
	}
	return read_word(modes, text, ret, err);
}

int config_read_sftp_request(const char *text, char **ret, struct err *err)
{
	return sftp_is_request(text)
		? config_keep(text, ret, err)
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
	return r < 0 ? r : config_keep(text, ret, err);
}

int config_read_alg_kex(const char *text, char **ret, struct err *err)
{
	return read_algorithms(ALGORITHM_KEX, text, ret, err);
}

int config_read_alg_ciphers(const char *text, char **ret, struct err *err)
{
	return read_algorithms(ALGORITHM_CIPHER, text, ret, err);
}

int config_read_alg_macs(const char *text, char **ret, struct err *err)
{
	return read_algorithms(ALGORITHM_MAC, text, ret, err);
}

int config_read_alg_host_keys(const char *text, char **ret, struct err *err)
{
	return read_algorithms(ALGORITHM_HOST_KEY, text, ret, err);
}

int config_read_alg_user_keys(const char *text, char **ret, struct err *err)
{
	return read_algorithms(ALGORITHM_USER_KEY, text, ret, err);
}

int config_read_glob(const char *text, char **ret, struct err *err)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_*?";

	if (!*text || strlen(text) > 64 || text[strspn(text, allowed)]) {
		return err_refuse(err, EINVAL,
			"'%s' is not a name of a variable (with * and ? for what may vary)", text);
	}
	return config_keep(text, ret, err);
}

/* The text itself is not repeated: who got here by mistake may have written a password. */
int config_read_password(const char *text, char **ret, struct err *err)
{
	if (!password_line_is_valid(text)) {
		return err_refuse(err, EINVAL,
			"not a line of `cloche passwd`, which is how a password gets here");
	}
	return config_keep(text, ret, err);
}

int config_read_overflow(const char *text, char **ret, struct err *err)
{
	static const char *const ways[] = {"permissive", "deny-all", NULL};

	return read_word(ways, text, ret, err);
}

int config_read_network(const char *text, char **ret, struct err *err)
{
	return source_network_is_valid(text)
		? config_keep(text, ret, err)
		: err_refuse(err, EINVAL,
			  "'%s' is not a network such as 192.0.2.0/24 or 2001:db8::1 (no bits set "
			  "behind the prefix)",
			  text);
}

int config_read_totp(const char *text, char **ret, struct err *err)
{
	if (!seal_line_is_valid(text)) {
		return err_refuse(err, EINVAL,
			"not a line of `cloche totp`, which is how a secret gets here");
	}
	return config_keep(text, ret, err);
}

int config_read_methods(const char *text, char **ret, struct err *err)
{
	struct methods methods;
	int r = methods_parse(text, &methods, err);

	return r < 0 ? r : config_keep(text, ret, err);
}

/* A name with * and ? for what may vary, and ! before it when it must not match. */
int config_read_pattern(const char *text, char **ret, struct err *err)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-*?";
	const char *pattern = text + (*text == '!');

	if (!*pattern || strlen(pattern) > 64 || pattern[strspn(pattern, allowed)]) {
		return err_refuse(err, EINVAL,
			"'%s' is not a name with * and ? for what may vary (and ! before it for "
			"what must not match)",
			text);
	}
	return config_keep(text, ret, err);
}

int config_read_principal_pattern(const char *text, char **ret, struct err *err)
{
	if (!*text || strlen(text) > 256 || strpbrk(text, ", \t\n[]\\")) {
		return err_refuse(err, EINVAL,
			"'%s' is not a principal with * and ? for what may vary: no blanks, "
			"commas, brackets and backslashes",
			text);
	}
	return config_read_text(text, ret, err);
}

int config_read_not_network(const char *text, char **ret, struct err *err)
{
	cleanup_free char *network = NULL;
	int r = config_read_network(text + (*text == '!'), &network, err);

	return r < 0 ? r : config_keep(text, ret, err);
}

int config_read_fingerprint(const char *text, char **ret, struct err *err)
{
	static const char base64[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "0123456789+/";
	static const char head[] = "SHA256:";

	if (strncmp(text, head, strlen(head)) != 0 || strspn(text + strlen(head), base64) != 43 ||
		strlen(text) != strlen(head) + 43) {
		return err_refuse(err, EINVAL,
			"'%s' is not a fingerprint as `ssh-keygen -l` prints it: SHA256: and 43 "
			"characters",
			text);
	}
	return config_keep(text, ret, err);
}

int config_read_home_mode(const char *text, char **ret, struct err *err)
{
	static const char *const modes[] = {"ephemeral", "persistent", NULL};

	return read_word(modes, text, ret, err);
}
