#include "session/config.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/parse.h"
#include "base/strv.h"
#include "keys/keyfile.h"
#include "session/config-schema.h"
#include "session/document.h"

void config_profile_fini(struct config_profile *profile)
{
	free(profile->name);
	spec_fini(&profile->spec);
	config_keys_clear(config_profile_keys, profile);
	*profile = (struct config_profile){0};
}

int config_profile_init(struct config_profile *profile, const char *name)
{
	*profile = (struct config_profile){0};
	spec_init(&profile->spec);
	profile->name = strdup(name);
	return profile->name ? config_keys_preset(config_profile_keys, profile) : -ENOMEM;
}

int config_profile_copy(
	const struct config_profile *from, const char *name, struct config_profile *ret)
{
	int r = 0;

	*ret = (struct config_profile){0};
	ret->name = strdup(name);
	if (!ret->name) {
		return -ENOMEM;
	}
	r = spec_copy(&from->spec, &ret->spec);
	return r < 0 ? r : config_keys_copy(config_profile_keys, from, ret);
}

static void user_fini(struct config_user *user)
{
	free(user->name);
	config_keys_clear(config_user_keys, user);
	*user = (struct config_user){0};
}

void config_rule_fini(struct config_rule *rule)
{
	config_keys_clear(config_rule_keys, rule);
	config_keys_clear(config_when_keys, &rule->when);
	rule->said = strv_free(rule->said);
	*rule = (struct config_rule){0};
}

void config_fini(struct config *config)
{
	for (size_t i = 0; i < config->profile_count; i++) {
		config_profile_fini(&config->profiles[i]);
	}
	for (size_t i = 0; i < config->user_count; i++) {
		user_fini(&config->users[i]);
	}
	for (size_t i = 0; i < config->rule_count; i++) {
		config_rule_fini(&config->rules[i]);
	}
	free(config->profiles);
	free(config->users);
	free(config->rules);
	config_keys_clear(config_server_keys, config);
	*config = (struct config){0};
}

const struct config_profile *config_find_profile(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->profile_count; i++) {
		if (strcmp(config->profiles[i].name, name) == 0) {
			return &config->profiles[i];
		}
	}
	return NULL;
}

int config_set_home(const struct config *config, struct config_profile *profile)
{
	char *source = NULL;

	if (profile->home_mode && config->homes && strcmp(profile->home_mode, "persistent") == 0 &&
		asprintf(&source, "%s/%%u", config->homes) < 0) {
		return -ENOMEM;
	}
	free(profile->spec.home_source);
	profile->spec.home_source = source;
	profile->spec.home_quota = source ? profile->home_quota : 0;
	return 0;
}

char *const *config_user_cas(const struct config *config, const struct config_user *user)
{
	return user->own_cas ? user->trusted_ca_keys : config->trusted_ca_keys;
}

char *const *config_user_principals(const struct config *config, const struct config_user *user)
{
	return user->own_principals ? user->authorized_principals : config->authorized_principals;
}

const char *config_methods_fault(const struct config_user *user, const struct methods *chain)
{
	bool second = user->password || chain->count > 1;

	for (size_t i = 0; i < chain->count; i++) {
		if (chain->list[i] == METHOD_PASSWORD && !user->password) {
			return "asks for a password, and the user has none";
		}
		if (chain->list[i] == METHOD_INTERACTIVE && !user->password && !user->totp) {
			return "is keyboard-interactive, and the user has neither password nor "
			       "totp";
		}
		if (chain->list[i] == METHOD_INTERACTIVE && !second) {
			return "asks for a code alone, which is no login";
		}
	}
	return NULL;
}

const struct config_user *config_find_user(const struct config *config, const char *name)
{
	const struct config_user *everyone = NULL;

	for (size_t i = 0; i < config->user_count; i++) {
		const struct config_user *user = &config->users[i];
		if (strcmp(user->name, "*") == 0) {
			everyone = user; /* also for someone who calls himself "*" */
		} else if (strcmp(user->name, name) == 0) {
			return user;
		}
	}
	return everyone;
}

int config_keys_path(const char *pattern, const char *login, char **ret)
{
	size_t room = strlen(pattern) + 1;
	char *path = NULL;
	char *end = NULL;

	if (!parse_is_name(login)) {
		return -EINVAL;
	}
	for (const char *at = pattern; (at = strchr(at, '%')); at += 2) {
		if (at[1] != 'u' && at[1] != '%') {
			return -EINVAL;
		}
		room += strlen(login);
	}
	path = malloc(room);
	if (!path) {
		return -ENOMEM;
	}
	end = path;
	for (const char *at = pattern; *at; at++) {
		if (*at == '%' && *++at == 'u') {
			end = stpcpy(end, login);
		} else {
			*end++ = *at;
		}
	}
	*end = '\0';
	*ret = path;
	return 0;
}

bool config_control_path(const char *setting, char path[CONFIG_CONTROL_PATH])
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	int length = 0;

	memset(path, 0, CONFIG_CONTROL_PATH);
	if (!setting) {
		return false;
	}
	if (strcmp(setting, "auto") != 0) {
		length = snprintf(path, CONFIG_CONTROL_PATH, "%s", setting);
	} else if (geteuid() == 0) {
		length = snprintf(path, CONFIG_CONTROL_PATH, "/run/cloche/control.sock");
	} else if (runtime && *runtime == '/') {
		length = snprintf(path, CONFIG_CONTROL_PATH, "%s/cloche/control.sock", runtime);
	}
	return length > 0 && length < CONFIG_CONTROL_PATH;
}

/* ---- files ---- */

static bool has_passwords(const struct config *config)
{
	for (size_t i = 0; i < config->user_count; i++) {
		if (config->users[i].password || config->users[i].totp) {
			return true;
		}
	}
	return false;
}

/* The text is wiped: it may hold password lines. */
int config_load_fd(int fd, const char *path, FILE *out, struct config *ret)
{
	struct config config = {0};
	struct stat status;
	char *text = NULL;
	size_t size = 0;
	int r = io_read_fd(fd, DOCUMENT_MAX_SIZE, &text, &size);

	if (r < 0 || fstat(fd, &status) < 0) {
		r = r < 0 ? r : -errno;
		free(text);
		if (out) {
			(void)fprintf(out, "%s: error: cannot be read: %s\n", path,
				r == -EFBIG ? "larger than 1 MiB" : strerror(-r));
		}
		return r;
	}
	r = config_parse(text, size, path, out, &config);
	explicit_bzero(text, size);
	free(text);
	if (r == 0 && has_passwords(&config) && (status.st_mode & 077)) {
		if (out) {
			(void)fprintf(out,
				"%s: error: has password lines and can be read by others (mode "
				"%04o); mend "
				"it with: chmod go-rwx %s\n",
				path, (unsigned)status.st_mode & 07777, path);
		}
		config_fini(&config);
		return -EPERM;
	}
	if (r == 0) {
		*ret = config;
	}
	return r;
}

int config_load(const char *path, FILE *out, struct config *ret)
{
	cleanup_close int fd = -1;
	struct err err = {0};

	if (!path || !*path) {
		return config_parse(config_default_text, strlen(config_default_text),
			"built-in configuration", out, ret);
	}
	fd = keyfile_open(path, geteuid(), 0, &err);
	if (fd < 0) {
		if (out) {
			(void)fprintf(out, "%s: error: %s\n", path, err.msg);
		}
		return fd;
	}
	return config_load_fd(fd, path, out, ret);
}

int config_load_builtin(const char *name, struct config *ret)
{
	cleanup_free char *text = NULL;

	if (!parse_is_name(name)) {
		return -ENOENT;
	}
	int length =
		asprintf(&text, "profiles: {%s: {inherit: %s}}\nusers: {nobody: {profile: %s}}\n",
			name, name, name);
	if (length < 0) {
		return -ENOMEM;
	}
	int r = config_parse(text, (size_t)length, "built-in profiles", NULL, ret);
	return r == -EINVAL ? -ENOENT : r;
}

/* ---- -o ---- */

/* Users who name no key files follow the server's list. 0 or -ENOMEM. */
static int follow_authorized_keys(struct config *config)
{
	for (size_t i = 0; i < config->user_count; i++) {
		struct config_user *user = &config->users[i];
		if (!user->own_keys) {
			user->authorized_keys = strv_free(user->authorized_keys);
			int r = strv_copy(config->authorized_keys, &user->authorized_keys);
			if (r < 0) {
				return r;
			}
		}
	}
	return 0;
}

/* The key that name stands for, '-' and '_' alike; NULL with err. */
static const struct config_key *find_server_key(const char *name, struct err *err)
{
	const struct config_key *key = NULL;
	cleanup_free char *copy = strdup(name);
	const char *nearest = NULL;

	if (!copy) {
		(void)err_set(err, ENOMEM, "reading an option");
		return NULL;
	}
	for (char *at = copy; *at; at++) {
		*at = *at == '-' ? '_' : *at;
	}
	key = config_key_find(config_server_keys, copy);
	if (!key) {
		nearest = config_key_suggest(config_server_keys, NULL, copy);
		(void)err_refuse(err, EINVAL, "there is no server key \"%s\"%s%s%s", name,
			nearest ? "; did you mean \"" : "", nearest ? nearest : "",
			nearest ? "\"?" : "");
	}
	return key;
}

/* Sets a key of paths, where relative ones count from the working directory. */
static int set_paths(
	const struct config_key *key, struct config *scratch, const char *text, struct err *err)
{
	cleanup_free char *here = getcwd(NULL, 0);
	bool list = key->type == CONFIG_LIST;

	while (*text) {
		size_t length = list ? strcspn(text, ",") : strlen(text);
		bool relative = *text != '/' && here && length > 0;
		cleanup_free char *path = NULL;
		int r = asprintf(&path, "%s%s%.*s", relative ? here : "", relative ? "/" : "",
			(int)length, text);

		r = r < 0 ? err_set(err, ENOMEM, "reading an option")
			  : config_key_set(key, scratch, path, err);
		if (r < 0) {
			return r;
		}
		text += length;
		text += *text == ',';
	}
	return 0;
}

static bool is_path(const struct config_key *key, const char *text)
{
	return key->path && strcmp(text, "-") != 0 &&
		(!key->unset || strcmp(text, key->unset) != 0);
}

int config_override(struct config *config, const char *assignment, struct err *err)
{
	const char *equals = strchr(assignment, '=');
	bool add = equals && equals > assignment && equals[-1] == '+';
	size_t length = equals ? (size_t)(equals - assignment) - add : 0;
	cleanup_free char *name = strndup(assignment, length);
	const struct config_key *key = NULL;
	struct config scratch = {0};
	int r = 0;

	if (!name) {
		return err_set(err, ENOMEM, "reading an option");
	}
	if (length == 0 || !parse_is_utf8(assignment)) {
		return err_refuse(err, EINVAL, "'%s' is not of the form key=value", assignment);
	}
	key = find_server_key(name, err);
	if (!key) {
		return -EINVAL;
	}
	if (add && key->type != CONFIG_LIST) {
		return err_refuse(err, EINVAL, "%s: only lists can be added to", key->name);
	}
	if (add) {
		r = config_keys_copy(config_server_keys, config, &scratch);
	}
	if (r == 0) {
		r = is_path(key, equals + 1) ? set_paths(key, &scratch, equals + 1, err)
					     : config_key_set_items(key, &scratch, equals + 1, err);
	}
	if (r == 0) {
		config_key_move(key, &scratch, config);
	}
	config_keys_clear(config_server_keys, &scratch);
	for (size_t i = 0; i < config->profile_count && r == 0; i++) {
		r = config_set_home(config, &config->profiles[i]);
	}
	return r < 0 ? r : follow_authorized_keys(config);
}
