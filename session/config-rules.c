/*
 * The rules of a configuration: a list, because their order counts. Checked here is what would make a rule
 * speak of more logins than its writer meant, or of none.
 */
#include "session/config-loading.h"

#include <errno.h>
#include <string.h>

#include "base/strv.h"

#define MAX_RULES 1024

/* The node of a key of the rule, or of the rule's first key. */
static const struct node *place_of(const struct node *body, const char *key)
{
	for (size_t i = 0; i + 1 < body->count; i += 2) {
		if (strcmp(body->items[i]->text, key) == 0) {
			return body->items[i];
		}
	}
	return body->count ? body->items[0] : body;
}

static void complain_at(struct loading *loading, const struct node *node, const char *message)
{
	/* At the place alone: a map can be long. */
	report_add(&loading->report, node->start,
		node->kind == NODE_SCALAR ? node->end : node->start, "%s", message);
}

static void check_condition(
	struct loading *loading, const struct config_key *key, const struct node *name, char **list)
{
	bool positive = false;

	STRV_FOREACH (item, list) {
		positive = positive || **item != '!';
	}
	if (!list) {
		report_add(&loading->report, name->start, name->end,
			"%s has no item, so it would match nothing; leave it out where any will do",
			key->name);
	} else if (!positive) {
		report_add(&loading->report, name->start, name->end,
			"%s has only items with \"!\", so it would match nothing; add what may "
			"match, "
			"such as %s",
			key->name,
			key->read == config_when_keys[0].read ? "\"*\""
							      : "\"0.0.0.0/0\", \"::/0\"");
	}
}

static void read_when(struct loading *loading, const struct node *body, struct config_rule *rule)
{
	const struct target target = {
		"\"when\" of a rule", config_when_keys, &rule->when, NULL, &loading->report};
	const struct node *map = loading_find(body, "when");
	size_t before = loading->report.count + loading->report.dropped;

	if (!map) {
		complain_at(loading, place_of(body, "name"),
			"a rule says with \"when\" whom it is about; {} is everybody");
		return;
	}
	if (map->kind != NODE_MAP) {
		if (map->kind != NODE_BAD) {
			complain_at(loading, place_of(body, "when"), "when wants keys and values");
		}
		return;
	}
	loading_apply(loading, &target, map);
	if (loading->error || loading->report.count + loading->report.dropped != before) {
		return;
	}
	for (size_t i = 0; i + 1 < map->count; i += 2) {
		const struct config_key *key =
			config_key_find(config_when_keys, map->items[i]->text);
		check_condition(loading, key, map->items[i],
			*(char ***)((char *)&rule->when + key->offset));
	}
}

static bool is_name_taken(const struct config *config, const char *name)
{
	for (size_t i = 0; i + 1 < config->rule_count; i++) {
		if (config->rules[i].name && strcmp(config->rules[i].name, name) == 0) {
			return true;
		}
	}
	return false;
}

/* What the keys of one rule say together. */
static void check_rule(
	struct loading *loading, const struct node *body, const struct config_rule *rule)
{
	const struct config_when *when = &rule->when;
	bool methods = strv_contains(rule->said, "methods");

	if (!rule->name) {
		complain_at(loading, place_of(body, "name"),
			"a rule has a \"name\", by which the audit log calls it");
	} else if (is_name_taken(&loading->config, rule->name)) {
		complain_at(
			loading, place_of(body, "name"), "there is a rule of this name already");
	}
	if (methods && !rule->methods) {
		complain_at(loading, place_of(body, "methods"),
			"methods of a rule has one chain at least, or it would open more than the "
			"user's");
	}
	if (methods && (when->key || when->authority || when->principal)) {
		complain_at(loading, place_of(body, "methods"),
			"methods are decided before a key is seen, so this rule would come too "
			"late; "
			"let it depend on user, group and address");
	}
	if (!loading->error && strv_length(rule->said) <= 1) {
		complain_at(loading, place_of(body, "name"), "this rule changes nothing");
	}
	if (rule->profile) {
		(void)loading_use_profile(loading, rule->profile, loading_find(body, "profile"));
	}
}

static void read_rule(struct loading *loading, const struct node *body)
{
	struct config_rule *rule = &loading->config.rules[loading->config.rule_count++];
	const struct target target = {"a rule", config_rule_keys, rule, NULL, &loading->report};

	loading_apply(loading, &target, body);
	for (const struct config_key *key = config_rule_keys; key->name; key++) {
		if (key->type != CONFIG_SECTION && loading_find(body, key->name) &&
			loading_is_fatal(loading, strv_append(&rule->said, key->name))) {
			return;
		}
	}
	if (!loading->error) {
		read_when(loading, body, rule);
	}
	if (!loading->error) {
		check_rule(loading, body, rule);
	}
}

void loading_read_rules(struct loading *loading)
{
	const struct node *list = loading_find(loading->root, "rules");

	if (!list || list->kind == NODE_BAD) {
		return;
	}
	if (list->kind != NODE_LIST) {
		complain_at(loading, list, "rules wants a list: what comes first wins");
		return;
	}
	if (list->count > MAX_RULES) {
		report_add(&loading->report, list->start, list->start, "more than %d rules",
			MAX_RULES);
		return;
	}
	loading->config.rules = calloc(list->count ? list->count : 1, sizeof(struct config_rule));
	if (!loading->config.rules) {
		loading->error = -ENOMEM;
		return;
	}
	for (size_t i = 0; i < list->count && !loading->error; i++) {
		if (list->items[i]->kind == NODE_MAP) {
			read_rule(loading, list->items[i]);
		} else if (list->items[i]->kind != NODE_BAD) {
			complain_at(loading, list->items[i], "a rule has keys and values");
		}
	}
}
