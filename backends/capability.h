/*
 * The promises a sandbox can make. One table in capability.c owns names, descriptions and kinds.
 *
 * A capability here is never one of the kernel's CAP_*.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* The first 17 mean exactly what isobox means by these names; the rest are ours. */
enum capability {
	CAPABILITY_NET_DISABLE,
	CAPABILITY_NET_ENABLE,
	CAPABILITY_NET_OUTBOUND,
	CAPABILITY_FS_READ_HOST,
	CAPABILITY_FS_READ_SCOPE,
	CAPABILITY_FS_READ_DENY,
	CAPABILITY_FS_WRITE_DENY,
	CAPABILITY_FS_WRITE_SCOPE,
	CAPABILITY_FS_WRITE_EPHEMERAL,
	CAPABILITY_ENV_SCRUB,
	CAPABILITY_PROC_NO_EXEC,
	CAPABILITY_KERNEL_ISOLATION,
	CAPABILITY_IPC_RESTRICT,
	CAPABILITY_MACH_RESTRICT,
	CAPABILITY_RES_CPU,
	CAPABILITY_RES_MEMORY,
	CAPABILITY_RES_PIDS,
	CAPABILITY_NET_EGRESS,
	CAPABILITY_NET_INBOUND,
	CAPABILITY_RES_DISK,
	CAPABILITY_RES_TIME,
	CAPABILITY_PROC_ISOLATION,
	CAPABILITY_KERNEL_FILTER,
	CAPABILITY_PRIV_NONE,
	CAPABILITY_DEV_MINIMAL,
	CAPABILITY_TTY_ISOLATE,
	CAPABILITY_HOST_CONCEAL,
	CAPABILITY_SESSION_FRESH,
	CAPABILITY_DENIAL_LOG,
	CAPABILITY_COUNT,
};

/* A grant opens something (net.enable); a restriction closes something (net.disable). */
enum capability_kind { CAPABILITY_GRANT, CAPABILITY_RESTRICTION };

const char *capability_name(enum capability capability);
const char *capability_describe(enum capability capability);
enum capability_kind capability_kind(enum capability capability);

/* 0 and *ret, or -EINVAL with the nearest name suggested in err. */
int capability_parse(const char *name, enum capability *ret, struct err *err);

/* A set; the zero value is empty. A plain value: assign it, compare .bits. */
struct capability_set {
	uint64_t bits;
};

static inline struct capability_set capability_set_of(enum capability capability)
{
	return (struct capability_set){UINT64_C(1) << capability};
}

static inline bool capability_set_has(struct capability_set set, enum capability capability)
{
	return set.bits >> capability & 1;
}

static inline void capability_set_add(struct capability_set *set, enum capability capability)
{
	set->bits |= UINT64_C(1) << capability;
}

static inline void capability_set_remove(struct capability_set *set, enum capability capability)
{
	set->bits &= ~(UINT64_C(1) << capability);
}

static inline struct capability_set capability_set_union(
	struct capability_set a, struct capability_set b)
{
	return (struct capability_set){a.bits | b.bits};
}

static inline struct capability_set capability_set_intersect(
	struct capability_set a, struct capability_set b)
{
	return (struct capability_set){a.bits & b.bits};
}

/* What is in a and not in b. */
static inline struct capability_set capability_set_sub(
	struct capability_set a, struct capability_set b)
{
	return (struct capability_set){a.bits & ~b.bits};
}

static inline size_t capability_set_len(struct capability_set set)
{
	return (size_t)__builtin_popcountll(set.bits);
}

/*
 * The members, sorted by name (not by number), in ret_list; room for CAPABILITY_COUNT. Returns how
 * many.
 */
size_t capability_set_list(struct capability_set set, enum capability ret_list[CAPABILITY_COUNT]);

/* The names sorted and joined by ", " ("none" when empty), cut to size. Returns text. */
char *capability_set_format(struct capability_set set, char *text, size_t size);

/*
 * Reads "name,name" (blanks around commas allowed). 0, or -EINVAL with err naming the bad one.
 */
int capability_set_parse(const char *text, struct capability_set *ret, struct err *err);

/* The names every backend of the seed's three systems can keep; what `strict` permits. */
struct capability_set capability_set_portable(void);
