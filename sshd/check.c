#include "sshd/check.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/parse.h"
#include "base/proc.h"
#include "base/strv.h"
#include "session/config-schema.h"
#include "session/config-values.h"
#include "session/home-watch.h"
#include "session/homes.h"
#include "session/policy.h"
#include "session/rules.h"
#include "session/source.h"

#define TRIAL_USEC (UINT64_C(10) * 1000000)

/* Waits for the trial command. 0 when it exited with 0. */
static int wait_trial(struct sandbox *sandbox, struct err *err)
{
	uint64_t deadline = io_now_usec() + TRIAL_USEC;
	struct sandbox_exit ended = {0};
	struct pollfd event = {.fd = sandbox->event, .events = POLLIN};
	int r = 0;

	while ((r = sandbox->backend->poll_exit(sandbox, &ended)) == 0) {
		if (io_now_usec() >= deadline) {
			return err_refuse(err, ETIMEDOUT, "its command did not end in time");
		}
		(void)poll(&event, 1, 100);
	}
	if (r < 0) {
		return err_set(err, -r, "its sandbox died");
	}
	if (ended.status != 0) {
		return err_refuse(
			err, EIO, "its command ended with %d", proc_exit_code(ended.status));
	}
	return 0;
}

static int try_profile(const struct config_profile *profile, const struct host *host,
	const struct backend *const list[], struct err *err)
{
	cleanup(plan_freep) struct plan *plan = NULL;
	const struct sandbox_stdio io = {.fds = {-1, -1, -1}};
	char program[] = "true";
	char *argv[] = {program, NULL};
	const struct backend *backend = NULL;
	struct sandbox *sandbox = NULL;
	struct spec spec = {0};

	if (policy_trial_spec(profile, argv, &spec) < 0) {
		return err_set(err, ENOMEM, "copying it");
	}
	int r = spec_validate(&spec, err);
	r = r == 0 && spec.home_source ? homes_prepare(spec.home_source, err) : r;
	r = r ? r : backend_choose(list, &spec, host, 0, &backend, &plan, err);
	spec_fini(&spec);
	r = r ? r : backend->start(plan, host, &io, &sandbox, err);
	if (r < 0) {
		return r;
	}
	r = wait_trial(sandbox, err);
	backend->destroy(sandbox);
	return r;
}

unsigned check_profiles(const struct config *config, const struct host *host,
	const struct backend *const list[], FILE *out)
{
	unsigned failed = 0;

	for (size_t i = 0; i < config->profile_count; i++) {
		struct err err = {0};
		int r = try_profile(&config->profiles[i], host, list, &err);
		failed += r < 0;
		(void)fprintf(out, "profile %s: %s\n", config->profiles[i].name,
			r < 0 ? err.msg : "a sandbox of it was made and ran");
		if (config->profiles[i].spec.home_quota) {
			(void)fprintf(out, "profile %s: the limit of its home directories is %s\n",
				config->profiles[i].name, home_quota_kind(config->homes));
		}
	}
	return failed;
}

struct question {
	char *user, *address, *key, *authority;
	char **principals;
};

static void question_fini(struct question *question)
{
	free(question->user);
	free(question->address);
	free(question->key);
	free(question->authority);
	strv_free(question->principals);
}

static int set_text(char **field, const char *value)
{
	free(*field);
	*field = strdup(value);
	return *field ? 0 : -ENOMEM;
}

/* A fingerprint that is none would match no rule, and nobody would see why. */
static int set_fingerprint(char **field, const char *value)
{
	char *copy = NULL;
	int r = config_read_fingerprint(value, &copy, NULL);

	if (r == 0) {
		free(*field);
		*field = copy;
	}
	return r;
}

/* sshd's other keys are accepted, and play no part in who gets what here. */
static int set_question(struct question *question, const char *key, const char *value)
{
	static const char *const others[] = {
		"host", "laddr", "lport", "rdomain", "invalid-user", NULL};
	struct source source;

	if (strcmp(key, "user") == 0) {
		return set_text(&question->user, value);
	}
	if (strcmp(key, "addr") == 0) {
		return source_parse(value, &source) < 0 ? -EINVAL
							: set_text(&question->address, value);
	}
	if (strcmp(key, "key") == 0) {
		return set_fingerprint(&question->key, value);
	}
	if (strcmp(key, "authority") == 0) {
		return set_fingerprint(&question->authority, value);
	}
	if (strcmp(key, "principal") == 0) {
		return strv_append(&question->principals, value);
	}
	return strv_contains((char **)(uintptr_t)others, key) ? 0 : -EINVAL;
}

static int parse_question(const char *text, struct question *ret, struct err *err)
{
	cleanup_free char *copy = strdup(text);
	char *rest = copy;
	char *part = NULL;

	if (!copy) {
		return err_set(err, ENOMEM, "-C");
	}
	while ((part = strsep(&rest, ","))) {
		char *value = strchr(part, '=');
		if (value) {
			*value++ = '\0';
		}
		if (!value || set_question(ret, part, value) < 0) {
			return err_refuse(err, EINVAL,
				"-C: \"%s%s%.64s\" is not understood; user=NAME, addr=ADDRESS, "
				"key=SHA256:..., authority=SHA256:... and principal=TEXT are",
				part, value ? "=" : "", value ? value : "");
		}
	}
	if (!ret->user) {
		return err_refuse(err, EINVAL, "-C %s: user= is missing", text);
	}
	return 0;
}

static void print_plan(const struct plan *plan, FILE *out)
{
	char names[1024];

	(void)fprintf(out, "backend: %s\nplan: %s\nuses: %s\n", plan->backend, plan->digest,
		capability_set_format(plan->uses, names, sizeof(names)));
	(void)fprintf(out, plan->caveat_count ? "caveats:\n" : "caveats: none\n");
	for (size_t i = 0; i < plan->caveat_count; i++) {
		const struct caveat *caveat = &plan->caveats[i];
		(void)fprintf(out, "  %s (%s): %s\n", caveat->code,
			caveat_severity_name(caveat->severity), caveat->text);
	}
}

static void print_ways_in(const struct config *config, const struct config_user *user,
	const char *name, bool guest, FILE *out)
{
	STRV_FOREACH (pattern, user->authorized_keys) {
		cleanup_free char *path = NULL;
		if (config_keys_path(*pattern, name, &path) == 0) {
			(void)fprintf(out, "authorized_keys: %s\n", path);
		}
	}
	STRV_FOREACH (path, (char **)(uintptr_t)config_user_cas(config, user)) {
		(void)fprintf(out, "trusted_ca_keys: %s\n", *path);
	}
	STRV_FOREACH (item, (char **)(uintptr_t)config_user_principals(config, user)) {
		(void)fprintf(
			out, "authorized_principal: %s\n", strcmp(*item, "%u") == 0 ? name : *item);
	}
	(void)fprintf(out, "password: %s\nguest: %s\n", user->password ? "yes" : "no",
		guest ? "yes" : "no");
}

/* Which rule says what, in the words of the file. */
static void print_rules(const struct config *config, const struct rules_login *login, FILE *out)
{
	if (config->rule_count > 0 && !rules_find_any(config, login)) {
		(void)fprintf(out, "rules: none matches\n");
	}
	for (const struct config_key *key = config_rule_keys; key->name; key++) {
		const struct config_rule *rule = rules_find(config, login, key->name);
		if (!rule || strcmp(key->name, "name") == 0) {
			continue;
		}
		(void)fprintf(out, "rule %s: %s: ", rule->name, key->name);
		config_key_print(key, rule, out);
		(void)fputc('\n', out);
	}
}

static void print_methods(const struct config *config, const struct rules_login *login, FILE *out)
{
	cleanup(strv_freep) char **chains = NULL;
	bool closed = false;

	if (rules_methods(config, login, &chains, &closed) < 0) {
		return;
	}
	cleanup_free char *text = strv_join(chains, " or ");
	(void)fprintf(out, "methods: %s\n",
		closed                  ? "none that this user can go through"
			: text && *text ? text
					: "any one");
}

static int answer(const struct config *config, const struct host *host,
	const struct backend *const list[], const struct session_gate *gates,
	const struct question *question, FILE *out, struct err *err)
{
	cleanup(plan_freep) struct plan *plan = NULL;
	const struct policy_request request = {.kind = POLICY_SHELL, .pty = true, .term = "xterm"};
	cleanup(rules_result_fini) struct rules_result result = {0};
	struct policy_login login = {.config = config, .name = question->user};
	struct rules_login facts = {.name = question->user,
		.key = question->key,
		.authority = question->authority,
		.principals = question->principals};
	const struct backend *backend = NULL;
	struct spec spec = {0};

	login.address = question->address ? question->address : "192.0.2.1";
	facts.address = login.address;
	login.user =
		parse_is_name(question->user) ? config_find_user(config, question->user) : NULL;
	if (!login.user) {
		return err_refuse(
			err, ENOENT, "%s: nobody of that name may log in", question->user);
	}
	facts.user = login.user;
	(void)fprintf(out, "user: %s\nentry: \"%s\"\n", login.name, login.user->name);
	print_rules(config, &facts, out);
	const struct config_rule *refusal = rules_find_refusal(config, &facts);
	if (refusal) {
		(void)fprintf(out, "refused: by rule %s\n", refusal->name);
		return 0;
	}
	int r = rules_apply(config, &facts, NULL, NULL, &result, err);
	if (r < 0) {
		return r;
	}
	login.profile = &result.profile;
	login.max_sessions = result.max_sessions;
	(void)fprintf(out, "profile: %s\n", login.profile->name);
	print_methods(config, &facts, out);
	/* A rule that asks for methods asks guests as well. */
	bool guest =
		login.user->guest && login.profile->guest && !rules_find(config, &facts, "methods");
	print_ways_in(config, login.user, login.name, guest, out);
	if (gates) {
		const struct session_gate *gate = &gates[result.base - config->profiles];
		(void)fprintf(out, "proof: %s\n", gate->measured ? gate->proof : gate->reason);
	}
	r = policy_spec(&login, &request, &spec, err);
	if (r < 0) {
		return r;
	}
	r = spec_validate(&spec, err);
	r = r ? r : backend_choose(list, &spec, host, 0, &backend, &plan, err);
	spec_fini(&spec);
	if (r == 0) {
		print_plan(plan, out);
	}
	return r;
}

int check_login(const struct config *config, const struct host *host,
	const struct backend *const list[], const struct session_gate *gates, const char *text,
	FILE *out, struct err *err)
{
	cleanup(question_fini) struct question question = {0};
	int r = parse_question(text, &question, err);

	return r < 0 ? r : answer(config, host, list, gates, &question, out, err);
}
