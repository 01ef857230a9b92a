/*
 * Who is let in: the listener asks before it takes a connection, and tells how connections ended.
 * Nothing that came over the network is looked at but the address of the peer.
 */
#pragma once

#include "session/audit.h"
#include "session/config.h"
#include "session/limits.h"
#include "session/penalties.h"

#define DOORMAN_TEXT 192

/* One line of the log for many drops of a kind. */
struct doorman_tally {
	uint64_t count, since;
};

struct doorman {
	struct penalties *penalties; /* owned */
	struct limits *limits; /* borrowed */
	struct doorman_tally busy, waiting;
};

/* 0 or negative errno. End with doorman_fini(), which accepts a zeroed one. */
int doorman_init(struct doorman *doorman, struct limits *limits);
void doorman_fini(struct doorman *doorman);

/* The numbers of the configuration as the tables want them. */
struct penalty_rules doorman_rules(const struct config *config);

/*
 * May a connection from source come in? If not, text (DOORMAN_TEXT bytes) is the line for the client,
 * and log and audit have been told, as far as they are not flooded. dice: a random number, 0 to 99.
 */
bool doorman_admits(struct doorman *doorman, const struct config *config, struct audit *audit,
	const struct source *source, uint32_t dice, char *text);

/* A monitor has ended with this wait status; source is whom it served. */
void doorman_learn(struct doorman *doorman, const struct config *config, struct audit *audit,
	const struct source *source, int status);

/* What monitors have noted since the last time. To be called before asking, and when they wake us. */
void doorman_hear(struct doorman *doorman, const struct config *config, struct audit *audit);
