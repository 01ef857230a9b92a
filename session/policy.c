#include "session/policy.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/strv.h"
#include "keys/address.h"
#include "session/sftp.h"

static const char default_path[] = "/usr/local/bin:/usr/bin:/bin";

/* Set by us, from facts the client has no say in. */
static const char *const own_names[] = {"HOME", "USER", "LOGNAME", "SHELL", "PATH", "PWD", "MAIL",
	"SSH_*", "LD_*",
	/* What makes a shell or an interpreter run something else first: a forced command must stay
	 * the one that is run, whatever accept_env says. */
	"BASH_*", "BASHOPTS", "SHELLOPTS", "ENV", "PS4", "IFS", "CDPATH", "GLOBIGNORE",
	"PROMPT_COMMAND", "PYTHON*", "PERL5*", "PERLLIB", "RUBY*", "NODE_OPTIONS", "GCONV_PATH",
	"LOCPATH", "NLSPATH", "TZDIR", "HOSTALIASES", "RES_OPTIONS", "MALLOC_*", "GLIBC_TUNABLES",
	NULL};

const char *policy_kind_name(enum policy_kind kind)
{
	static const char *const names[] = {
		[POLICY_SHELL] = "shell",
		[POLICY_EXEC] = "exec",
		[POLICY_SUBSYSTEM] = "subsystem",
		[POLICY_SANDBOX] = "sandbox",
	};
	return names[kind];
}

int policy_find_profile(const struct config *config, const struct config_user *user,
	const char *rule, const struct key_options *key, const struct config_profile **ret,
	struct err *err)
{
	const char *name = rule ? rule : key && key->profile ? key->profile : user->profile;
	const struct config_profile *profile = name ? config_find_profile(config, name) : NULL;

	if (!profile) {
		return err_refuse(err, ENOENT, "there is no profile \"%s\"", name ? name : "");
	}
	*ret = profile;
	return 0;
}

static bool is_env_name(const char *name)
{
	size_t length =
		strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

	return length > 0 && length <= 64 && !name[length] && !(name[0] >= '0' && name[0] <= '9');
}

bool policy_accepts_env(const struct config_profile *profile, const char *name, const char *value)
{
	return is_env_name(name) && strlen(value) <= POLICY_MAX_ENV_VALUE &&
		!strv_matches((char **)(uintptr_t)own_names, name) &&
		strv_matches(profile->accept_env, name);
}

bool policy_accepts_term(const char *term)
{
	size_t length =
		strspn(term, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-._");

	return length > 0 && length <= 64 && !term[length];
}

static bool key_permits(
	const struct key_options *key, enum policy_forward kind, const char *host, uint32_t port)
{
	char *const *list = kind == POLICY_FORWARD_LOCAL ? key->permit_open : key->permit_listen;

	if (kind == POLICY_FORWARD_AGENT) {
		return key->agent_forwarding;
	}
	return key->port_forwarding && (!list || address_matches(list, host, port));
}

int policy_check_forward(const struct policy_login *login, enum policy_forward kind,
	const char *host, uint32_t port, struct err *err)
{
	static const char *const names[] = {
		[POLICY_FORWARD_LOCAL] = "local",
		[POLICY_FORWARD_REMOTE] = "remote",
		[POLICY_FORWARD_AGENT] = "agent",
	};
	const struct config_profile *profile = login->profile;
	char *const *list =
		kind == POLICY_FORWARD_LOCAL ? profile->permit_open : profile->permit_listen;

	if (!strv_contains(profile->forward, names[kind])) {
		return err_refuse(err, EPERM, "profile %s does not offer %s forwarding",
			profile->name, names[kind]);
	}
	if (login->key && !key_permits(login->key, kind, host, port)) {
		return err_refuse(
			err, EPERM, "the key that was used does not permit this forwarding");
	}
	if (kind == POLICY_FORWARD_AGENT) {
		return 0;
	}
	if (!policy_shares(profile)) {
		return err_refuse(err, EPERM,
			"ports are forwarded to the sandbox of a connection: profile %s needs "
			"share: connection",
			profile->name);
	}
	if (!address_matches(list, host, port)) {
		return err_refuse(err, EPERM, "profile %s does not permit %s:%u", profile->name,
			host, (unsigned)port);
	}
	return 0;
}

bool policy_shares(const struct config_profile *profile)
{
	return profile->share && strcmp(profile->share, "connection") == 0;
}

bool policy_allows_pty(const struct policy_login *login)
{
	return !login->key || login->key->pty;
}

/* What spec.h says of a shell that is not named. */
static const char *find_shell(const struct spec *spec)
{
	if (spec->shell) {
		return spec->shell;
	}
	return spec->root == ROOT_HOST && access("/bin/bash", X_OK) == 0 ? "/bin/bash" : "/bin/sh";
}

static int set_command(struct spec *spec, const char *shell, const char *command)
{
	spec->args = strv_free(spec->args);
	int r = strv_append(&spec->args, shell);
	r = r ? r : strv_append(&spec->args, command ? "-c" : "-l");
	return r || !command ? r : strv_append(&spec->args, command);
}

/*
 * The name of the client's host is of use inside ("who am I logged in from"); our own address and
 * both ports are not, and they would give every session another digest. So the ports are 0 and we
 * are the unspecified address; programs that ask whether these variables are there, or for the
 * first word, get what they look for.
 */
static int set_connection(const struct policy_login *login, char ***env)
{
	char text[160];
	const char *any = strchr(login->address, ':') ? "::" : "0.0.0.0";

	(void)snprintf(text, sizeof(text), "%s 0 0", login->address);
	int r = strv_setenv(env, "SSH_CLIENT", text);
	(void)snprintf(text, sizeof(text), "%s 0 %s 0", login->address, any);
	return r ? r : strv_setenv(env, "SSH_CONNECTION", text);
}

static int merge_env(char ***env, char *const *more)
{
	for (; more && *more; more++) {
		cleanup_free char *name = strdup(*more);
		if (!name) {
			return -ENOMEM;
		}
		char *equals = strchr(name, '=');
		if (!equals) {
			continue;
		}
		*equals = '\0';
		int r = strv_setenv(env, name, equals + 1);
		if (r < 0) {
			return r;
		}
	}
	return 0;
}

/* Later ones win: ours, the client's, the profile's, the key's, and what only we can know. */
static int set_environment(const struct policy_login *login, const struct policy_request *request,
	const char *shell, const char *original, struct spec *spec)
{
	cleanup(strv_freep) char **env = NULL;
	char home[80];
	int r = 0;

	(void)snprintf(home, sizeof(home), "/home/%s", spec->user);
	const struct {
		const char *name, *value;
	} base[] = {
		{"HOME", spec->home ? spec->home : home},
		{"USER", spec->user},
		{"LOGNAME", spec->user},
		{"SHELL", shell},
		{"PATH", default_path},
		{"LANG", "C.UTF-8"},
		{"TERM", request->pty ? request->term : NULL},
	};
	const struct {
		const char *name, *value;
	} facts[] = {
		{"SSH_TTY", request->pty ? "/dev/pts/0" : NULL},
		{"SSH_ORIGINAL_COMMAND", original},
		{"SSH_AUTH_SOCK", request->agent},
	};
	for (size_t i = 0; i < ARRAY_SIZE(base) && r == 0; i++) {
		r = base[i].value ? strv_setenv(&env, base[i].name, base[i].value) : 0;
	}
	r = r ? r : merge_env(&env, request->env);
	r = r ? r : merge_env(&env, spec->env);
	r = r ? r : merge_env(&env, login->key ? login->key->environment : NULL);
	r = r ? r : set_connection(login, &env);
	for (size_t i = 0; i < ARRAY_SIZE(facts) && r == 0; i++) {
		r = facts[i].value ? strv_setenv(&env, facts[i].name, facts[i].value) : 0;
	}
	if (r == 0) {
		strv_free(spec->env);
		spec->env = take_ptr(&env);
	}
	return r;
}

/* A session of this kind, or a forced command in its place, is sftp. */
static bool is_sftp(const struct policy_request *request, const char *forced)
{
	return forced ? strcmp(forced, SFTP_INTERNAL) == 0
		      : request->kind == POLICY_SUBSYSTEM && strcmp(request->command, "sftp") == 0;
}

/* A forced command is what the key's owner is meant to have, whatever the profile offers. */
static int check_kind(const struct policy_login *login, const struct policy_request *request,
	const char *forced, struct err *err)
{
	const char *kind = is_sftp(request, forced) ? "sftp" : policy_kind_name(request->kind);
	cleanup_free char *offered = NULL;

	if (forced || request->kind == POLICY_SANDBOX ||
		strv_contains(login->profile->sessions, kind)) {
		return 0;
	}
	if (request->kind == POLICY_SUBSYSTEM && !is_sftp(request, forced)) {
		return err_refuse(err, ENOTSUP, "there is no such subsystem here");
	}
	offered = strv_join(login->profile->sessions, ", ");
	return err_refuse(err, ENOTSUP, "profile %s offers no %s session%s%s", login->profile->name,
		kind, offered && *offered ? "; it offers: " : "", offered ? offered : "");
}

int policy_check_probe(const struct policy_login *login, struct err *err)
{
	return strv_contains(login->profile->sessions, "probe")
		? 0
		: err_refuse(err, ENOTSUP, "profile %s does not let its users measure it",
			  login->profile->name);
}

static int fill_spec(const struct policy_login *login, const struct policy_request *request,
	const char *forced, struct spec *spec, struct err *err)
{
	const char *command = forced ? forced : request->command;
	int r = 0;

	spec->why = true;
	spec->share = policy_shares(login->profile) ? SHARE_CONNECTION
		: request->agent                    ? SHARE_ALONE
						    : SHARE_NONE;
	if (!spec->user) {
		spec->user = strdup(login->name);
	}
	if (spec->home_source) {
		char *source = NULL;
		r = config_keys_path(spec->home_source, login->name, &source);
		if (r < 0) {
			return r;
		}
		free(spec->home_source);
		spec->home_source = source;
	}
	cleanup_free char *shell = strdup(find_shell(spec));
	if (!spec->user || !shell) {
		return -ENOMEM;
	}
	if (is_sftp(request, forced)) {
		spec->args = strv_free(spec->args);
		r = sftp_command(login->profile, &spec->args, err);
	} else {
		r = set_command(spec, shell, command);
	}
	return r ? r
		 : set_environment(login, request, shell, forced ? request->command : NULL, spec);
}

int policy_spec(const struct policy_login *login, const struct policy_request *request,
	struct spec *ret, struct err *err)
{
	const char *forced = login->key ? login->key->command : NULL;
	struct spec spec = {0};

	int r = check_kind(login, request, forced, err);
	if (r < 0) {
		return r;
	}
	r = spec_copy(&login->profile->spec, &spec);
	if (r < 0) {
		return err_set(err, -r, "copying the profile");
	}
	r = fill_spec(login, request, forced, &spec, err);
	if (r < 0) {
		spec_fini(&spec);
		return r == -ENOTSUP ? r : err_set(err, -r, "filling in the profile");
	}
	*ret = spec;
	return 0;
}

int policy_trial_spec(const struct config_profile *profile, char *const *argv, struct spec *ret)
{
	struct spec spec = {0};
	int r = spec_copy(&profile->spec, &spec);

	if (r < 0) {
		return r;
	}
	spec.share = policy_shares(profile) ? SHARE_CONNECTION : SHARE_NONE;
	spec.why = true; /* as sessions have it */
	spec.args = strv_free(spec.args);
	r = strv_copy(argv, &spec.args);
	if (r == 0 && !strv_getenv(spec.env, "PATH")) {
		r = strv_setenv(&spec.env, "PATH", default_path);
	}
	if (r < 0) {
		spec_fini(&spec);
		return r;
	}
	*ret = spec;
	return 0;
}
