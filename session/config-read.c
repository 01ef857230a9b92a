/*
 * From text to configuration: document.c makes a tree, config-schema.c says what each key may be, and
 * this puts the values where they belong. Nothing stops at the first mistake: each is put on the report
 * and the next value is looked at.
 */
#include "session/config.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "backends/backend.h"
#include "base/cleanup.h"
#include "base/parse.h"
#include "base/strv.h"
#include "session/config-loading.h"
#include "session/home.h"

#define MAX_PROFILES 256

static void loading_fini(struct loading *loading)
{
	for (size_t i = 0; i < loading->definition_count; i++) {
		config_profile_fini(&loading->definitions[i].profile);
	}
	free(loading->definitions);
	(void)node_free(loading->root);
	(void)node_free(loading->builtin_root);
	report_fini(&loading->report);
	report_fini(&loading->builtin_report);
	config_fini(&loading->config);
}

bool loading_is_fatal(struct loading *loading, int r)
{
	if (r == -ENOMEM) {
		loading->error = r;
	}
	return r == -ENOMEM;
}

void loading_complain(struct report *report, const struct node *node, const char *message)
{
	report_add(report, node->start, node->end, "%s", message);
}

const struct node *loading_find(const struct node *map, const char *key)
{
	for (size_t i = 0; map && i + 1 < map->count; i += 2) {
		if (strcmp(map->items[i]->text, key) == 0) {
			return map->items[i + 1];
		}
	}
	return NULL;
}

static bool is_password(const char *name)
{
	return strcmp(name, "totp") == 0 || parse_edit_distance(name, "password", 3) <= 3;
}

static void complain_unknown(const struct target *target, const struct node *key)
{
	const char *nearest =
		config_key_suggest(target->keys, target->spec ? spec_keys : NULL, key->text);
	const char *head = nearest ? "; did you mean \"" : "";
	const char *tail = nearest ? "\"?" : "";

	/* What stands behind a mistyped "password" is not for a log. */
	(is_password(key->text) ? report_add_hidden : report_add)(target->report, key->start,
		key->end, "unknown key \"%s\" in %s%s%s%s", key->text, target->what, head,
		nearest ? nearest : "", tail);
}

/* Is the value one text (or, with list, a list of texts)? Complains where not. */
static bool check_shape(
	const struct target *target, const struct node *key, const struct node *value, bool list)
{
	bool good = true;

	if (value->kind == NODE_BAD) {
		return false;
	}
	if (value->kind == NODE_SCALAR && value->empty) {
		report_add(target->report, key->start, key->end, "%s has no value", key->text);
		return false;
	}
	if (list && value->kind != NODE_LIST) {
		/* At the key, and without the value: it may be a password in the wrong place. */
		report_add_hidden(target->report, key->start, key->end,
			"%s wants a list: [ITEM, ITEM]", key->text);
		return false;
	}
	if (!list && value->kind != NODE_SCALAR) {
		report_add_hidden(
			target->report, key->start, key->end, "%s wants a single value", key->text);
		return false;
	}
	for (size_t i = 0; list && i < value->count; i++) {
		const struct node *item = value->items[i];
		if (item->kind != NODE_SCALAR || item->empty) {
			if (item->kind != NODE_BAD) {
				report_add(target->report, item->start, item->end,
					"an item of %s is a single value", key->text);
			}
			good = false;
		}
	}
	return good;
}

/* Puts a refused value on the report, at its place. True when memory ran out. */
static bool refuse_value(struct loading *loading, const struct target *target,
	const struct node *key, const struct node *value, const struct err *err)
{
	if (loading_is_fatal(loading, -err->code)) {
		return true;
	}
	if (is_password(key->text)) {
		report_add_hidden(target->report, key->start, key->end, "%s", err->msg);
	} else {
		loading_complain(target->report, value, err->msg);
	}
	return false;
}

static void set_own(struct loading *loading, const struct target *target,
	const struct config_key *key, const struct node *name, const struct node *value)
{
	bool list = key->type == CONFIG_LIST;
	struct err err = {0};

	if (key->type == CONFIG_SECTION || !check_shape(target, name, value, list) ||
		key->type == CONFIG_INHERIT) {
		return;
	}
	if (!list) {
		if (config_key_set(key, target->base, value->text, &err) < 0) {
			(void)refuse_value(loading, target, name, value, &err);
		}
		return;
	}
	config_key_clear(key, target->base);
	for (size_t i = 0; i < value->count; i++) {
		if (config_key_set(key, target->base, value->items[i]->text, &err) < 0 &&
			refuse_value(loading, target, name, value->items[i], &err)) {
			return;
		}
	}
}

static bool spec_key_is_list(const struct spec_key *key)
{
	return key->type == SPEC_PATHS || key->type == SPEC_STRINGS ||
		key->type == SPEC_CAPABILITIES;
}

/* One item of a list. Only a denial may begin with "~/": too wide a one takes nothing from us. */
static int add_item(
	struct spec *spec, const struct spec_key *key, const char *text, struct err *err)
{
	cleanup(strv_freep) char **list = NULL;

	if (strcmp(key->name, "read_deny") != 0) {
		return spec_set(spec, key, text, err);
	}
	int r = home_expand(text, &list);
	if (r < 0) {
		return r == -ENOENT ? err_refuse(err, EINVAL,
					      "'%s': whoever runs this has no home directory", text)
				    : err_set(err, -r, "reading a list of paths");
	}
	STRV_FOREACH (path, list) {
		r = r < 0 ? r : spec_set(spec, key, *path, err);
	}
	return r;
}

static int set_one(struct spec *spec, const struct spec_key *key, const char *text, struct err *err)
{
	int r = spec_set(spec, key, text, err);

	/* To the model it is any name: who there is, only programs with backends in them know. */
	if (r == 0 && strcmp(key->name, "backend") == 0) {
		r = backend_check_name(backends, text, err);
		return r < 0 ? err_wrap(err, "%s", key->name) : 0;
	}
	return r;
}

static void set_spec(struct loading *loading, const struct target *target,
	const struct spec_key *key, const struct node *name, const struct node *value)
{
	bool list = spec_key_is_list(key);
	struct err err = {0};

	if (!check_shape(target, name, value, list)) {
		return;
	}
	if (!list) {
		if (set_one(target->spec, key, value->text, &err) < 0) {
			(void)refuse_value(loading, target, name, value, &err);
		}
		return;
	}
	spec_clear(target->spec, key); /* a list replaces what was inherited */
	for (size_t i = 0; i < value->count; i++) {
		if (add_item(target->spec, key, value->items[i]->text, &err) < 0 &&
			refuse_value(loading, target, name, value->items[i], &err)) {
			return;
		}
	}
}

void loading_apply(struct loading *loading, const struct target *target, const struct node *map)
{
	for (size_t i = 0; i + 1 < map->count && !loading->error; i += 2) {
		const struct node *name = map->items[i];
		const struct node *value = map->items[i + 1];
		const struct config_key *key = config_key_find(target->keys, name->text);
		const struct spec_key *spec_key = target->spec ? spec_find_key(name->text) : NULL;

		/* The command line's spelling with '-' is another key here, or duplicates could hide. */
		if (spec_key && strcmp(spec_key->name, name->text) != 0) {
			spec_key = NULL;
		}
		if (key) {
			set_own(loading, target, key, name, value);
		} else if (spec_key) {
			set_spec(loading, target, spec_key, name, value);
		} else {
			complain_unknown(target, name);
		}
	}
}

const struct node *loading_section(struct report *report, const struct node *root, const char *name)
{
	const struct node *section = loading_find(root, name);

	if (section && section->kind != NODE_MAP) {
		if (section->kind != NODE_BAD) {
			report_add(report, section->start, section->start,
				"%s wants keys and values", name);
		}
		return NULL;
	}
	return section;
}

/* ---- profiles ---- */

static void define_profiles(
	struct loading *loading, struct report *report, const struct node *section, bool builtin)
{
	for (size_t i = 0; section && i + 1 < section->count; i += 2) {
		const struct node *name = section->items[i];
		const struct node *body = section->items[i + 1];

		if (!parse_is_name(name->text)) {
			loading_complain(report, name, "not a name for a profile");
		} else if (body->kind == NODE_MAP) {
			loading->definitions[loading->definition_count++] = (struct definition){
				.name = name, .body = body, .report = report, .builtin = builtin};
		} else if (body->kind != NODE_BAD) {
			report_add(report, name->start, name->end,
				"profile %s wants keys and values ({} for none)", name->text);
		}
	}
}

/*
 * The definition that a name stands for when it is used by user (NULL: not by a profile). A profile that
 * inherits its own name means the built-in one.
 */
static struct definition *find_definition(
	struct loading *loading, const char *name, const struct definition *user)
{
	for (size_t i = 0; i < loading->definition_count; i++) {
		struct definition *definition = &loading->definitions[i];
		if (definition != user && strcmp(definition->name->text, name) == 0) {
			return definition;
		}
	}
	return NULL;
}

static void complain_no_profile(
	struct loading *loading, struct report *report, const struct node *node, const char *name)
{
	const char *nearest = NULL;
	size_t best = 4;

	for (size_t i = 0; i < loading->definition_count; i++) {
		const char *other = loading->definitions[i].name->text;
		size_t distance = parse_edit_distance(name, other, best);
		if (distance < best && distance < strlen(other)) {
			best = distance;
			nearest = other;
		}
	}
	report_add(report, node->start, node->end, "there is no profile \"%s\"%s%s%s", name,
		nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
}

/* Checks what the keys of one profile say together. */
static void check_spec(struct loading *loading, const struct definition *definition)
{
	struct spec spec;
	struct err err = {0};
	int r = spec_copy(&definition->profile.spec, &spec);

	if (loading_is_fatal(loading, r)) {
		return;
	}
	/* The command comes with the session; any will do here. */
	r = spec.args ? 0 : strv_append(&spec.args, "/bin/sh");
	if (r == 0) {
		r = spec_validate(&spec, &err);
	}
	spec_fini(&spec);
	if (r < 0 && !loading_is_fatal(loading, r)) {
		report_add(definition->report, definition->name->start, definition->name->end,
			"profile %s: %s", definition->name->text, err.msg);
	}
}

/* A limit that nothing would keep; also one that came with what the profile inherits. */
static void check_home_quota(const struct definition *definition)
{
	const struct node *value = loading_find(definition->body, "home_quota");
	const struct node *place = value ? value : definition->name;

	if (definition->profile.home_quota && !definition->profile.spec.home_source) {
		report_add(definition->report, place->start, place->end,
			"profile %s: home_quota: needs home_mode: persistent; without it disk "
			"is the limit, and home_quota: 0 takes an inherited one away",
			definition->name->text);
	}
}

static void resolve(struct loading *loading, struct definition *definition);

/* What the profile starts from: another one, or the tight spec that a zeroed one is. */
static int inherit(struct loading *loading, struct definition *definition)
{
	const struct node *value = loading_find(definition->body, "inherit");
	const char *name = definition->name->text;
	struct definition *parent = NULL;

	if (!value || value->kind != NODE_SCALAR || value->empty ||
		strcmp(value->text, "none") == 0) {
		return config_profile_init(&definition->profile, name);
	}
	parent = find_definition(loading, value->text, definition);
	if (!parent) {
		complain_no_profile(loading, definition->report, value, value->text);
		return config_profile_init(&definition->profile, name);
	}
	if (parent->state == RESOLVING) {
		report_add(definition->report, value->start, value->end,
			"profile %s inherits from itself in the end", name);
		return config_profile_init(&definition->profile, name);
	}
	resolve(loading, parent);
	return loading->error ? loading->error
			      : config_profile_copy(&parent->profile, name, &definition->profile);
}

static void resolve(struct loading *loading, struct definition *definition)
{
	struct target target = {"a profile", config_profile_keys, &definition->profile,
		&definition->profile.spec, definition->report};
	size_t before = definition->report->count + definition->report->dropped;

	if (definition->state != FRESH || loading->error) {
		return;
	}
	definition->state = RESOLVING;
	if (loading_is_fatal(loading, inherit(loading, definition))) {
		return;
	}
	loading_apply(loading, &target, definition->body);
	if (!loading->error &&
		loading_is_fatal(
			loading, config_set_home(&loading->config, &definition->profile))) {
		return;
	}
	if (!loading->error && definition->report->count + definition->report->dropped == before) {
		check_spec(loading, definition);
		check_home_quota(definition);
	}
	definition->state = RESOLVED;
}

/* Adds what a definition has come to to the configuration. */
static void add_profile(struct loading *loading, const struct definition *definition)
{
	struct config *config = &loading->config;
	struct config_profile *profile = &config->profiles[config->profile_count];

	config->profile_count++;
	(void)loading_is_fatal(loading,
		config_profile_copy(&definition->profile, definition->name->text, profile));
}

/* Reads the profiles of the file and those that are built in. */
static void load_profiles(struct loading *loading)
{
	const struct node *own = loading_section(&loading->report, loading->root, "profiles");
	const struct node *builtin =
		loading_section(&loading->builtin_report, loading->builtin_root, "profiles");
	size_t room = (own ? own->count / 2 : 0) + builtin->count / 2;

	if (room > MAX_PROFILES) {
		report_add(&loading->report, own->start, own->start, "more than %d profiles",
			MAX_PROFILES);
		own = NULL;
	}
	loading->definitions = calloc(room, sizeof(*loading->definitions));
	loading->config.profiles = calloc(room, sizeof(*loading->config.profiles));
	if (!loading->definitions || !loading->config.profiles) {
		loading->error = -ENOMEM;
		return;
	}
	define_profiles(loading, &loading->report, own, false);
	define_profiles(loading, &loading->builtin_report, builtin, true);
	for (size_t i = 0; i < loading->definition_count && !loading->error; i++) {
		resolve(loading, &loading->definitions[i]);
	}
	for (size_t i = 0; i < loading->definition_count && !loading->error; i++) {
		if (!loading->definitions[i].builtin) {
			add_profile(loading, &loading->definitions[i]);
		}
	}
}

const struct config_profile *loading_use_profile(
	struct loading *loading, const char *name, const struct node *place)
{
	const struct config_profile *profile = config_find_profile(&loading->config, name);
	const struct definition *definition = NULL;

	if (profile) {
		return profile;
	}
	definition = find_definition(loading, name, NULL);
	if (!definition) {
		complain_no_profile(loading, &loading->report, place, name);
		return NULL;
	}
	add_profile(loading, definition);
	return loading->error ? NULL : config_find_profile(&loading->config, name);
}

/* ---- the whole ---- */

/* What the keys of the server say together. */
static void check_server(struct loading *loading, const struct node *server)
{
	const struct config *config = &loading->config;
	const struct node *command = loading_find(server, "authorize");
	const struct node *user = loading_find(server, "authorize_user");

	if (config->authorize && config->authorize[0][0] != '/') {
		report_add(&loading->report, command->start, command->start,
			"authorize begins with the absolute path of a program: no shell looks for "
			"it");
	}
	if (config->authorize && strcmp(config->authorize_user, config->net_user) == 0) {
		const struct node *place = user ? user : command;
		report_add(&loading->report, place->start, place->start,
			"authorize_user must not be net_user: who takes over a process that talks "
			"to "
			"clients could answer for the command");
	}
}

static void check_sections(struct loading *loading)
{
	static const struct config_key sections[] = {
		{"server"}, {"profiles"}, {"users"}, {"rules"}, {.name = NULL}};
	const struct target target = {"the file (server, profiles, users, rules)", sections, NULL,
		NULL, &loading->report};

	for (size_t i = 0; i + 1 < loading->root->count; i += 2) {
		if (!config_key_find(sections, loading->root->items[i]->text)) {
			complain_unknown(&target, loading->root->items[i]);
		}
	}
}

static void load(struct loading *loading)
{
	const struct target target = {
		"server", config_server_keys, &loading->config, NULL, &loading->report};
	const struct node *server = NULL;

	if (loading_is_fatal(loading, document_parse(&loading->report, &loading->root)) ||
		loading_is_fatal(loading,
			document_parse(&loading->builtin_report, &loading->builtin_root)) ||
		loading_is_fatal(
			loading, config_keys_preset(config_server_keys, &loading->config)) ||
		!loading->root) {
		return;
	}
	if (loading->root->kind != NODE_MAP) {
		if (loading->root->kind != NODE_BAD) {
			loading_complain(&loading->report, loading->root,
				"a configuration has the keys server, profiles, users and rules");
		}
		return;
	}
	check_sections(loading);
	server = loading_section(&loading->report, loading->root, "server");
	if (server) {
		loading_apply(loading, &target, server);
	}
	if (server && !loading->error && loading->config.authorize_user &&
		loading->config.net_user) {
		check_server(loading, server);
	}
	if (!loading->error) {
		load_profiles(loading);
	}
	if (!loading->error) {
		loading_read_users(loading);
	}
	if (!loading->error) {
		loading_read_rules(loading);
	}
	/* What is built in is part of the program: a mistake in it is ours. */
	assert(loading->error || report_is_clean(&loading->builtin_report));
}

int config_parse(const char *text, size_t size, const char *name, FILE *out, struct config *ret)
{
	struct loading loading = {0};
	int r = 0;

	report_init(&loading.report, name, text, size);
	report_init(&loading.builtin_report, "built-in profiles", config_builtin_text,
		strlen(config_builtin_text));
	load(&loading);
	r = loading.error;
	if (r == 0 && !report_is_clean(&loading.report)) {
		report_print(&loading.report, out);
		r = -EINVAL;
	}
	if (r == 0) {
		*ret = loading.config;
		loading.config = (struct config){0};
	} else if (r == -ENOMEM && out) {
		(void)fprintf(out, "%s: error: out of memory\n", name);
	}
	loading_fini(&loading);
	return r;
}
