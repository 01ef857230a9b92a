/*
 * Which evidence could not be had in a run, and what it would take: a verdict that rests on the
 * client's word alone should say why.
 */
#pragma once

#include "testkit/run.h"

/* Appends a line for each gap to *lines. 0 or -ENOMEM. */
int gaps_find(const struct run *run, char ***lines);
