/*
 * What of root's powers the host part keeps for itself.
 */
#pragma once

#include "base/err.h"

/* Puts a power that gives nobody anything by itself into the inheritable set, for launchers to drop. */
void privilege_mark(void);

/*
 * Gives up every capability that planting canaries and looking at processes does not take. For
 * measurements of what others start: a program that root executes has all of root's powers again, so
 * that launchers and ssh are what they would be without us, while a plan of ours is carried out by
 * this very process. Nothing to do without privilege. 0 or negative errno.
 */
int privilege_reduce(struct err *err);
