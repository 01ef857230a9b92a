/*
 * The launcher's half of image.h: a plan becomes an image.
 */
#pragma once

#include "backends/linux/image.h"
#include "backends/plan.h"
#include "base/buf.h"

/* What was found where a mount of the plan takes its source from; one per mount, same order. */
struct image_source {
	bool absent; /* optional, and not there: left out */
	bool has_tree; /* a descriptor is sent for it */
	uint64_t device, inode;
};

/* The program of PLAN_MOUNT_WHY, linked in. */
extern const unsigned char image_why_program[];
extern const size_t image_why_size;

/* Fills a fresh buf. 0 or -E2BIG when the plan does not fit. */
int image_make(const struct plan *plan, const struct image_source *sources, struct buf *ret);
