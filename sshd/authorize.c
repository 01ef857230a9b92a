#include "sshd/authorize.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "keys/keyfile.h"
#include "sshd/helper.h"
#include "sshd/user.h"

static int ask(const struct config *config, const char *question, const int gone[2],
	struct helper_result *ret, struct err *err)
{
	struct helper helper = {
		.argv = config->authorize,
		.input = question,
		.input_size = strlen(question),
		.timeout = config->authorize_timeout,
		.max_output = AUTHORIZE_MAX_ANSWER,
		.client = gone[0],
		.interrupt = gone[1],
	};
	int r = user_find("authorize_user", config->authorize_user, &helper.uid, &helper.gid, err);

	return r < 0 ? r : helper_run(&helper, ret, err);
}

int authorize_ask(const struct config *config, json_t *question, const int gone[2],
	struct authorize_answer *ret, uint64_t *ret_usec, struct err *err)
{
	cleanup_free char *text = question ? json_dumps(question, JSON_COMPACT) : NULL;
	struct helper_result result = {0};

	json_decref(question);
	*ret_usec = 0;
	if (!text) {
		return err_set(err, ENOMEM, "making a question");
	}
	int r = ask(config, text, gone, &result, err);
	*ret_usec = result.usec;
	if (r == 0) {
		r = authorize_answer_parse(result.output, result.size, ret, err);
		r = r < 0 ? err_wrap(err, "the answer of %s", config->authorize[0]) : 0;
	}
	if (result.complaint[0]) {
		/* The log escapes what it is given. */
		log_warning("%s says: %s", config->authorize[0], result.complaint);
	}
	free(result.output);
	return r;
}

int authorize_check(const struct config *config, struct err *err)
{
	uid_t uid = 0;
	gid_t gid = 0;

	if (!config->authorize) {
		return 0;
	}
	cleanup_close int fd = keyfile_open(config->authorize[0], geteuid(), 0, err);
	if (fd < 0) {
		return err_wrap(err, "authorize");
	}
	if (access(config->authorize[0], X_OK) < 0) {
		return err_set(err, errno, "authorize: %s cannot be run", config->authorize[0]);
	}
	return user_find("authorize_user", config->authorize_user, &uid, &gid, err);
}

/* The smaller of two limits, of which 0 is none. */
static uint64_t narrower(uint64_t a, uint64_t b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

void authorize_narrow(const struct authorize_answer *answer, uint64_t max_user_sessions,
	struct rules_result *result)
{
	const struct authorize_limits *limits = &answer->limits;
	struct config_profile *profile = &result->profile;

	profile->spec.timeout = narrower(profile->spec.timeout, limits->timeout);
	profile->idle_timeout = narrower(profile->idle_timeout, limits->idle_timeout);
	profile->spec.memory = narrower(profile->spec.memory, limits->memory);
	profile->spec.pids = narrower(profile->spec.pids, limits->pids);
	if (limits->max_sessions) {
		uint64_t present = result->max_sessions ? result->max_sessions : max_user_sessions;
		result->max_sessions = narrower(present, limits->max_sessions);
	}
	if (answer->no_forward) {
		profile->forward = strv_free(profile->forward);
	}
}
