/*
 * Privilege probes: what a session could become. The rest of this group is read by the host from
 * outside and needs no word of ours.
 */
#include "testkit/client/client.h"

static void privilege_setuid(struct result *result)
{
	result_from(result, sys(SYS_setresuid, 0, 0, 0));
	if (result->claim == CLAIM_DONE && job_number("root")) {
		result_absent(result, 0); /* we were root to begin with */
	}
}

static void privilege_nnp(struct result *result)
{
	long on = sys(SYS_prctl, 39 /* PR_GET_NO_NEW_PRIVS */, 0, 0, 0, 0);

	result_from(result, on == 1 ? -EPERM : on);
}

static void privilege_limit(struct result *result)
{
	uint64_t limit[2] = {0};
	long r = sys(SYS_prlimit64, 0, 4 /* CORE */, NULL, limit);

	result_from(result, r < 0 ? r : limit[1] == 0 ? -EPERM : 0);
	if (result->claim == CLAIM_DONE) {
		result_add_number(result, limit[1]);
	}
}

const struct client_probe probes_privilege[] = {
	{"V.setuid", privilege_setuid},
	{"V.nnp-claim", privilege_nnp},
	{"V.core", privilege_limit},
	{NULL, NULL},
};
