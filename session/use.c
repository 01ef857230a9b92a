#include "session/use.h"

#include <stdio.h>

void use_begin(struct session *session, const struct plan *plan)
{
	struct sandbox_usage usage = {0};

	if (plan->shared) {
		session->backend->usage(session->sandbox, &usage);
		session->told_killed = usage.oom_kills;
		session->told_refused = usage.pids_refused;
	}
}

void use_tell(const struct session_context *context, struct session *session,
	const struct sandbox_usage *usage, char *text, size_t size)
{
	uint64_t killed = usage->oom_kills - session->told_killed;
	uint64_t refused = usage->pids_refused - session->told_refused;

	if (usage->oom_kills > session->told_killed) {
		(void)snprintf(text, size, "%llu program%s killed at this session's memory limit",
			(unsigned long long)killed, killed == 1 ? " was" : "s were");
		refusals_add(context->refusals, session->channel, "res.memory", killed,
			"a program was killed at the memory limit");
		session->told_killed = usage->oom_kills;
	}
	if (usage->pids_refused > session->told_refused) {
		if (!text[0]) {
			(void)snprintf(text, size,
				"%llu attempt%s to start a program failed at this session's task "
				"limit",
				(unsigned long long)refused, refused == 1 ? "" : "s");
		}
		refusals_add(context->refusals, session->channel, "res.pids", refused,
			"a program could not be started at the task limit");
		session->told_refused = usage->pids_refused;
	}
}
