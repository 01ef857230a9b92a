/*
 * The users of a configuration. What a user's keys say together is checked here, so that nobody is left with
 * a way in that cannot be gone through, or with one that is too short.
 */
#include "session/config-loading.h"

#include <errno.h>
#include <string.h>

#include "base/parse.h"
#include "base/strv.h"
#include "session/methods.h"

#define MAX_USERS 16384

static void check_methods(
	struct loading *loading, const struct config_user *user, const struct node *name)
{
	const char *fault = NULL;
	const char *chain = "";

	if (user->methods && user->guest) {
		fault = "asks for something, and the user is a guest";
		chain = user->methods[0];
	}
	STRV_FOREACH (item, user->methods) {
		struct methods methods = {.count = 0};
		if (!fault && methods_parse(*item, &methods, NULL) == 0) {
			fault = config_methods_fault(user, &methods);
			chain = *item;
		}
	}
	if (fault) {
		report_add(&loading->report, name->start, name->end, "user %s: method %s %s",
			user->name, chain, fault);
	}
	if (user->totp && !user->methods) {
		report_add(&loading->report, name->start, name->end,
			"user %s has a totp line and no methods, so it would never be asked for; "
			"say which, such as methods: [keyboard-interactive]",
			user->name);
	}
	if (user->totp && strcmp(user->name, "*") == 0) {
		report_add(&loading->report, name->start, name->end,
			"a totp line is one person's, and \"*\" is everybody");
	}
}

static void load_user(struct loading *loading, const struct node *name, const struct node *body)
{
	struct config *config = &loading->config;
	struct config_user *user = &config->users[config->user_count++];
	const struct target target = {"a user", config_user_keys, user, NULL, &loading->report};
	const struct node *profile_node = loading_find(body, "profile");
	const struct node *guest_node = loading_find(body, "guest");
	const struct config_profile *profile = NULL;

	user->name = strdup(name->text);
	if (!user->name || config_keys_preset(config_user_keys, user) < 0) {
		loading->error = -ENOMEM;
		return;
	}
	loading_apply(loading, &target, body);
	if (loading->error || !user->profile) {
		return;
	}
	check_methods(loading, user, name);
	user->own_keys = loading_find(body, "authorized_keys");
	user->own_cas = loading_find(body, "trusted_ca_keys");
	user->own_principals = loading_find(body, "authorized_principals");
	if (!user->own_keys &&
		loading_is_fatal(
			loading, strv_copy(config->authorized_keys, &user->authorized_keys))) {
		return;
	}
	profile = loading_use_profile(loading, user->profile, profile_node ? profile_node : name);
	if (profile && user->guest && !profile->guest) {
		report_add(&loading->report, guest_node->start, guest_node->end,
			"user %s may not be a guest: profile %s has no \"guest: yes\"", user->name,
			profile->name);
	}
}

void loading_read_users(struct loading *loading)
{
	const struct node *section = loading_section(&loading->report, loading->root, "users");
	size_t count = section ? section->count / 2 : 0;

	if (count == 0 && report_is_clean(&loading->report)) {
		report_add(&loading->report, (struct place){0, 0}, (struct place){0, 0},
			"there are no users, so nobody could log in; say who may, with \"*\" for "
			"everyone");
	}
	if (count > MAX_USERS) {
		report_add(&loading->report, section->start, section->start, "more than %d users",
			MAX_USERS);
		return;
	}
	loading->config.users = calloc(count ? count : 1, sizeof(*loading->config.users));
	if (!loading->config.users) {
		loading->error = -ENOMEM;
		return;
	}
	for (size_t i = 0; i < count && !loading->error; i++) {
		const struct node *name = section->items[2 * i];
		const struct node *body = section->items[2 * i + 1];
		if (strcmp(name->text, "*") != 0 && !parse_is_name(name->text)) {
			loading_complain(&loading->report, name,
				"not a login name (1 to 64 of letters, digits, '.', '_' and '-'), "
				"and not \"*\"");
		} else if (body->kind == NODE_MAP) {
			load_user(loading, name, body);
		} else if (body->kind != NODE_BAD) {
			report_add_hidden(&loading->report, name->start, name->end,
				"user %s wants keys and values ({} for none)", name->text);
		}
	}
}
