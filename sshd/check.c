#include "sshd/check.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/parse.h"
#include "base/proc.h"
#include "base/strv.h"
#include "session/policy.h"

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
	}
	return failed;
}

struct question {
	char *user, *address;
};

static void question_fini(struct question *question)
{
	free(question->user);
	free(question->address);
}

/* sshd's other keys are accepted, and play no part in who gets what here. */
static int set_question(struct question *question, const char *key, const char *value)
{
	static const char *const others[] = {"host", "laddr", "lport", "rdomain", "invalid-user"};
	char **field = strcmp(key, "user") == 0 ? &question->user
		: strcmp(key, "addr") == 0      ? &question->address
						: NULL;

	if (field) {
		free(*field);
		*field = strdup(value);
		return *field ? 0 : -ENOMEM;
	}
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		if (strcmp(others[i], key) == 0) {
			return 0;
		}
	}
	return -EINVAL;
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
				"-C %s: \"%s\" is not understood; user=NAME,addr=ADDRESS is", text,
				part);
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
	const struct config_profile *profile, const char *name, FILE *out)
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
		user->guest && profile->guest ? "yes" : "no");
}

static int answer(const struct config *config, const struct host *host,
	const struct backend *const list[], const struct session_gate *gates,
	const struct question *question, FILE *out, struct err *err)
{
	cleanup(plan_freep) struct plan *plan = NULL;
	const struct policy_request request = {.kind = POLICY_SHELL, .pty = true, .term = "xterm"};
	struct policy_login login = {.config = config, .name = question->user};
	const struct backend *backend = NULL;
	struct spec spec = {0};

	login.address = question->address ? question->address : "192.0.2.1";
	login.user =
		parse_is_name(question->user) ? config_find_user(config, question->user) : NULL;
	if (!login.user) {
		return err_refuse(
			err, ENOENT, "%s: nobody of that name may log in", question->user);
	}
	int r = policy_find_profile(config, login.user, NULL, &login.profile, err);
	if (r < 0) {
		return r;
	}
	(void)fprintf(out, "user: %s\nentry: \"%s\"\nprofile: %s\n", login.name, login.user->name,
		login.profile->name);
	print_ways_in(config, login.user, login.profile, login.name, out);
	if (gates) {
		const struct session_gate *gate = &gates[login.profile - config->profiles];
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
