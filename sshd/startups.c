#include "sshd/startups.h"

bool startups_drop(const struct startups *startups, uint64_t waiting, uint32_t dice)
{
	if (waiting < startups->begin) {
		return false;
	}
	if (waiting >= startups->full || startups->rate >= 100) {
		return true;
	}
	/* begin <= waiting < full, so full - begin is at least 1. */
	uint64_t chance = (100 - startups->rate) * (waiting - startups->begin) /
			(startups->full - startups->begin) +
		startups->rate;
	return dice < chance;
}
