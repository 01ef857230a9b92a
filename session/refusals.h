/*
 * What was refused on one connection, or limited in its sessions: the last of it, for the user who asks
 * why. Only what the server itself sees is here; what the kernel refuses a program inside is told to
 * that program alone.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "session/config.h"

#define REFUSALS_KEPT 16
#define REFUSALS_ALL UINT32_MAX

struct refusal {
	time_t at; /* the last time */
	uint32_t channel;
	uint64_t times;
	char what[32]; /* the capability, or the key of the configuration, that stands behind it */
	char text[200];
};

/* An emptied one is good. The oldest goes when there are REFUSALS_KEPT. */
struct refusals {
	struct refusal list[REFUSALS_KEPT];
	size_t count;
};

/* Notes one; the same again is counted. refusals may be NULL. */
void refusals_add(struct refusals *refusals, uint32_t channel, const char *what, uint64_t times,
	const char *text);

/*
 * Prints those of a channel, or all of the connection, the newest last, each with the line of the profile that stands behind it where there is
 * one; and what this cannot tell. Control characters, which come from clients, are printed as "?".
 */
void refusals_print(const struct refusals *refusals, uint32_t channel,
	const struct config_profile *profile, FILE *out);
