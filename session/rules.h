/*
 * Rules: what is otherwise for some logins, by user, group, address and key. As with Match in sshd_config, all
 * rules that match are in force, and of each setting the first of them that says it; what none of them says is
 * the user's, the key's and the profile's. No effect on anything.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "keys/authorized.h"
#include "session/config.h"

/* Who logs in. All borrowed; what is not known yet, or not there, is NULL and matches no condition. */
struct rules_login {
	const char *name;
	const struct config_user *user;
	const char *address; /* numeric */
	const char *key; /* fingerprint */
	const char *authority; /* fingerprint */
	char *const *principals;
};

/* The first rule that matches and says the setting, or NULL. */
const struct config_rule *rules_find(
	const struct config *config, const struct rules_login *login, const char *setting);

/* Does any rule match? */
bool rules_find_any(const struct config *config, const struct rules_login *login);

/* The rule by which the login is refused, or NULL. An address that cannot be read is refused by any. */
const struct config_rule *rules_find_refusal(
	const struct config *config, const struct rules_login *login);

/*
 * The chains of methods this login has: the user's, or a rule's without those that the user cannot go through,
 * or that would be too short. The caller frees *ret; *ret_closed is set when a rule has left none. 0 or
 * -ENOMEM.
 */
int rules_methods(const struct config *config, const struct rules_login *login, char ***ret,
	bool *ret_closed);

/* What a login has come to. */
struct rules_result {
	const struct config_profile *base; /* as it stands in the configuration */
	struct config_profile profile; /* with what rules say */
	uint64_t max_sessions; /* as config_user's */
	char **applied; /* names of rules that have a part in it */
};

/*
 * key is that of the login, or NULL; profile is the name of one that was chosen above all rules, or NULL. 0 and
 * *ret (fini it), -ENOENT when a profile does not exist, -ENOMEM.
 */
int rules_apply(const struct config *config, const struct rules_login *login,
	const struct key_options *key, const char *profile, struct rules_result *ret,
	struct err *err);
void rules_result_fini(struct rules_result *result); /* accepts a zeroed one */
