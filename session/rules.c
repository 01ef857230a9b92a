#include "session/rules.h"

#include <errno.h>
#include <fnmatch.h>
#include <string.h>

#include "base/strv.h"
#include "session/config-schema.h"
#include "session/methods.h"
#include "session/policy.h"
#include "session/source.h"

/* Does any of texts match, and none of them a pattern with "!"? */
static bool match_patterns(char *const *patterns, char *const *texts)
{
	bool found = false;

	for (; texts && *texts; texts++) {
		for (char *const *pattern = patterns; *pattern; pattern++) {
			bool negated = **pattern == '!';
			bool match = fnmatch(*pattern + negated, *texts, 0) == 0;
			if (match && negated) {
				return false;
			}
			found = found || match;
		}
	}
	return found;
}

static bool match_name(char *const *patterns, const char *name)
{
	char *const texts[] = {(char *)(uintptr_t)name, NULL};

	return name && match_patterns(patterns, texts);
}

static bool match_address(char *const *networks, const char *text)
{
	struct source source;
	bool found = false;

	if (!text || source_parse(text, &source) < 0) {
		return false;
	}
	for (; *networks; networks++) {
		bool negated = **networks == '!';
		char *const one[] = {*networks + negated, NULL};
		bool match = source_is_in(&source, one);
		if (match && negated) {
			return false;
		}
		found = found || match;
	}
	return found;
}

/* A principal may begin with "!", so nothing is negated here. */
static bool match_principals(char *const *patterns, char *const *principals)
{
	for (; principals && *principals; principals++) {
		if (strv_matches(patterns, *principals)) {
			return true;
		}
	}
	return false;
}

static bool matches(const struct config_when *when, const struct rules_login *login)
{
	char *const *groups = login->user ? login->user->groups : NULL;

	return (!when->user || match_name(when->user, login->name)) &&
		(!when->group || match_patterns(when->group, groups)) &&
		(!when->address || match_address(when->address, login->address)) &&
		(!when->key || (login->key && strv_contains(when->key, login->key))) &&
		(!when->authority ||
			(login->authority && strv_contains(when->authority, login->authority))) &&
		(!when->principal || match_principals(when->principal, login->principals));
}

const struct config_rule *rules_find(
	const struct config *config, const struct rules_login *login, const char *setting)
{
	for (size_t i = 0; i < config->rule_count; i++) {
		const struct config_rule *rule = &config->rules[i];
		if (strv_contains(rule->said, setting) && matches(&rule->when, login)) {
			return rule;
		}
	}
	return NULL;
}

bool rules_find_any(const struct config *config, const struct rules_login *login)
{
	for (size_t i = 0; i < config->rule_count; i++) {
		if (matches(&config->rules[i].when, login)) {
			return true;
		}
	}
	return false;
}

const struct config_rule *rules_find_refusal(
	const struct config *config, const struct rules_login *login)
{
	const struct config_rule *rule = rules_find(config, login, "refuse");
	struct source source;

	for (size_t i = 0; i < config->rule_count; i++) {
		if (config->rules[i].when.address &&
			(!login->address || source_parse(login->address, &source) < 0)) {
			return &config->rules[i];
		}
	}
	return rule && rule->refuse ? rule : NULL;
}

int rules_methods(
	const struct config *config, const struct rules_login *login, char ***ret, bool *ret_closed)
{
	const struct config_rule *rule = rules_find(config, login, "methods");
	cleanup(strv_freep) char **list = NULL;

	*ret_closed = false;
	if (!rule || !login->user) {
		return strv_copy(login->user ? login->user->methods : NULL, ret);
	}
	STRV_FOREACH (item, rule->methods) {
		struct methods chain;
		if (methods_parse(*item, &chain, NULL) == 0 &&
			!config_methods_fault(login->user, &chain) &&
			strv_append(&list, *item) < 0) {
			return -ENOMEM;
		}
	}
	/* Without one it would be "any method". */
	*ret_closed = !list;
	*ret = take_ptr(&list);
	return 0;
}

void rules_result_fini(struct rules_result *result)
{
	config_profile_fini(&result->profile);
	result->applied = strv_free(result->applied);
	result->base = NULL;
}

static int note(struct rules_result *result, const struct config_rule *rule)
{
	return strv_contains(result->applied, rule->name)
		? 0
		: strv_append(&result->applied, rule->name);
}

/* One setting of the profile, from the first rule that says it. */
static int apply_setting(const struct config *config, const struct rules_login *login,
	const struct config_key *key, struct rules_result *result)
{
	const struct config_rule *rule = rules_find(config, login, key->name);

	if (!rule) {
		return 0;
	}
	int r = config_key_copy(key, &rule->over, &result->profile);
	return r < 0 ? r : note(result, rule);
}

static int apply_all(
	const struct config *config, const struct rules_login *login, struct rules_result *result)
{
	const struct config_rule *limit = rules_find(config, login, "max_sessions");
	const struct config_rule *timeout = rules_find(config, login, "timeout");
	const struct config_rule *methods = rules_find(config, login, "methods");
	int r = 0;

	result->max_sessions = limit ? limit->max_sessions : login->user->max_sessions;
	if (timeout) {
		result->profile.spec.timeout = timeout->over.spec.timeout;
	}
	r = limit ? note(result, limit) : 0;
	r = r == 0 && timeout ? note(result, timeout) : r;
	r = r == 0 && methods ? note(result, methods) : r;
	for (const struct config_key *key = config_profile_keys; key->name && r == 0; key++) {
		/* A rule cannot say the others, so there is none to be found. */
		r = apply_setting(config, login, key, result);
	}
	return r;
}

int rules_apply(const struct config *config, const struct rules_login *login,
	const struct key_options *key, const char *profile, struct rules_result *ret,
	struct err *err)
{
	const struct config_rule *rule = profile ? NULL : rules_find(config, login, "profile");
	struct rules_result result = {0};
	int r = policy_find_profile(
		config, login->user, rule ? rule->profile : profile, key, &result.base, err);

	if (r < 0) {
		return r;
	}
	r = config_profile_copy(result.base, result.base->name, &result.profile);
	r = r == 0 && rule ? note(&result, rule) : r;
	r = r == 0 ? apply_all(config, login, &result) : r;
	if (r < 0) {
		rules_result_fini(&result);
		return err_set(err, -r, "applying rules");
	}
	*ret = result;
	return 0;
}
