/*
 * What the system-call filter lets through, decided from its own program: no call is made, and the
 * client has no say in it. The survey of calls that were made is held against it.
 */
#include <linux/audit.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "testkit/calls.h"
#include "testkit/doors.h"
#include "testkit/look.h"

#if defined(__x86_64__)
#define OWN_ARCH AUDIT_ARCH_X86_64
#define KNOWS_NUMBERS true /* the numbers of calls.c are those of this machine */
#else
#define OWN_ARCH AUDIT_ARCH_AARCH64
#define KNOWS_NUMBERS false
#endif

#define NUMBERS 480 /* a little over the last one that is assigned */

/* One group of dangerous calls, by every ABI of the machine. */
static void filter_group(struct look *look, const char *arg)
{
	const struct outside *theirs = &look->context->run->outside;
	char names[96];
	char text[160] = "";
	size_t used = 0;
	int total = 0;

	for (int abi = 0; KNOWS_NUMBERS && abi < ABI_COUNT; abi++) {
		int count =
			calls_let_through(theirs, arg, (enum call_abi)abi, names, sizeof(names));
		if (count < 0) {
			return;
		}
		if (count > 0 && used < sizeof(text)) {
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s: %.60s",
				used ? "; " : "", call_abi_name((enum call_abi)abi), names);
		}
		total += count;
	}
	if (KNOWS_NUMBERS) {
		look_conclude(look, total > 0, LEVEL_STATE);
		look_detail(look, "%s", total ? text : "none passes, by any ABI");
	}
}

/* Numbers that no kernel of today has: what passes is not known to whoever wrote the filter. */
static void filter_unknown(struct look *look, const char *arg)
{
	static const uint64_t none[6];
	const struct outside *theirs = &look->context->run->outside;
	int open = 0;

	(void)arg;
	for (int number = NUMBERS; number < 512 + 64; number++) {
		/* 512 to 547 belong to x32. */
		int allowed = outside_allows(theirs, OWN_ARCH, number, none);
		if (allowed < 0) {
			return;
		}
		open += allowed;
	}
	look_conclude(look, open > 0, LEVEL_STATE);
	look_detail(look, "%d of %d numbers nobody knows pass", open, 512 + 64 - NUMBERS);
}

/* The other two ABIs as a whole: how many of their calls pass, with arguments of zero. */
static void filter_abi(struct look *look, const char *arg)
{
	const struct outside *theirs = &look->context->run->outside;
	enum call_abi abi = arg[0] == 'i' ? ABI_I386 : ABI_X32;
	int open = KNOWS_NUMBERS ? calls_count_open(theirs, abi, NUMBERS) : -1;

	if (open >= 0) {
		look_conclude(look, open > 0, LEVEL_STATE);
		look_detail(look, "%d of %d numbers pass", open, NUMBERS);
	}
}

/* How large the native door is: informs, judges nothing. */
static void filter_size(struct look *look, const char *arg)
{
	const struct outside *theirs = &look->context->run->outside;
	int open = KNOWS_NUMBERS ? calls_count_open(theirs, ABI_NATIVE, NUMBERS) : -1;

	(void)arg;
	if (open >= 0) {
		look_conclude(look, open == NUMBERS, LEVEL_STATE);
		look_detail(look, "%d of %d numbers pass", open, NUMBERS);
	}
}

/* ---- doors that were tried ---- */

static const struct door *find_door(const char *id)
{
	for (const struct door *door = door_table; door->probe; door++) {
		if (strcmp(door->probe, id) == 0) {
			return door;
		}
	}
	for (const struct door *door = door_sockets; door->probe; door++) {
		if (strcmp(door->probe, id) == 0) {
			return door;
		}
	}
	return NULL;
}

static void tried_door(struct look *look, const char *arg)
{
	const struct door *door = find_door(look->probe->id);

	(void)arg;
	if (door) {
		look_door(look,
			outside_allows(
				&look->context->run->outside, OWN_ARCH, door->number, door->args));
	}
}

static void family_door(struct look *look, const char *arg)
{
	const struct outside *theirs = &look->context->run->outside;
	int open = 0;

	(void)arg;
	for (uint64_t family = 0; family < 48; family++) {
		const uint64_t args[6] = {family, 1};
		int allowed = family == 1 || family == 2 || family == 10 || family == 16
			? 0
			: outside_allows(theirs, OWN_ARCH, SYS_socket, args);
		if (allowed < 0) {
			return;
		}
		open += allowed;
	}
	look_door(look, open > 0);
}

/* ---- the survey ---- */

/*
 * Calls that the kernel lets past every filter, since it makes them itself where a probe stands in a
 * program: uretprobe and, since 6.18, uprobe.
 */
static bool passes_all_filters(enum call_abi abi, int number)
{
	return abi == ABI_NATIVE && (number == 335 || number == 336);
}

static unsigned count_bits(const uint8_t *map)
{
	unsigned count = 0;

	for (size_t i = 0; i < SURVEY_CALLS; i++) {
		count += map[i / 8] >> i % 8 & 1U;
	}
	return count;
}

/*
 * What answered inside that the filter says cannot, and what answered outside but not inside. The
 * control has no capability; where the session has some they are not to be compared.
 */
static void survey(struct look *look, const char *arg)
{
	static const uint64_t ones[6] = {
		UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
	enum call_abi abi = arg[0] == '3' ? ABI_I386 : arg[0] == 'x' ? ABI_X32 : ABI_NATIVE;
	const struct outside *theirs = &look->context->run->outside;
	uint8_t *control = look->context->surveys[abi];
	const uint8_t *map = look->answer->text;
	unsigned impossible = 0;
	unsigned lost = 0;

	if (look->context->control && look_is_done(look)) {
		memcpy(control, map, SURVEY_BYTES);
	}
	if (!look_is_done(look) || look->answer->size != SURVEY_BYTES) {
		look_door(look, calls_allow(theirs, abi, 39, ones));
		return;
	}
	for (int i = 0; i < SURVEY_CALLS; i++) {
		bool open = map[i / 8] >> i % 8 & 1U;
		if (open && !passes_all_filters(abi, i) && calls_allow(theirs, abi, i, ones) == 0) {
			impossible++;
		}
		lost += !open && (control[i / 8] >> i % 8 & 1U);
	}
	look_conclude(look, !impossible, theirs->dumped ? LEVEL_STATE : LEVEL_CLAIM);
	look_detail(look, "%u answer, %u of the control's do not; %u against the filter%s",
		count_bits(map), lost, impossible, theirs->caps[2] ? "; capabilities differ" : "");
}

static const struct evidence_row filter_rows[] = {
	{"K.filter.modules", filter_group, "modules"},
	{"K.filter.boot", filter_group, "boot"},
	{"K.filter.clock", filter_group, "clock"},
	{"K.filter.admin", filter_group, "admin"},
	{"K.filter.mount", filter_group, "mount"},
	{"K.filter.namespaces", filter_group, "namespaces"},
	{"K.filter.keys", filter_group, "keys"},
	{"K.filter.memory", filter_group, "memory"},
	{"K.filter.attack", filter_group, "attack"},
	{"K.filter.ports", filter_group, "ports"},
	{"K.filter.handles", filter_group, "handles"},
	{"K.filter.obsolete", filter_group, "obsolete"},
	{"K.filter.personality", filter_group, "personality"},
	{"K.filter.terminal", filter_group, "terminal"},
	{"K.filter.sockets", filter_group, "sockets"},
	{"K.filter.netlink", filter_group, "netlink"},
	{"K.filter.unknown", filter_unknown, NULL},
	{"K.filter.i386", filter_abi, "i386"},
	{"K.filter.x32", filter_abi, "x32"},
	{"K.filter.size", filter_size, NULL},
	{"K.families", family_door, NULL},
	{"K.survey", survey, "64"},
	{"K.survey-32", survey, "32"},
	{"K.survey-x32", survey, "x32"},
	{NULL, NULL, NULL},
};

const struct evidence_table evidence_filter = {
	filter_rows, NULL, "E3: the session's filter, dumped from it and evaluated by the host"};

/* One row for each of doors.h. */
static const struct evidence_row doors_rows[] = {
	{"K.chroot", tried_door, NULL},
	{"K.umount", tried_door, NULL},
	{"K.fsconfig", tried_door, NULL},
	{"K.mount-setattr", tried_door, NULL},
	{"K.clone3", tried_door, NULL},
	{"K.userns-pid", tried_door, NULL},
	{"K.userns-ipc", tried_door, NULL},
	{"K.userns-uts", tried_door, NULL},
	{"K.userns-cgroup", tried_door, NULL},
	{"K.uring-enter", tried_door, NULL},
	{"K.uring-register", tried_door, NULL},
	{"K.process-madvise", tried_door, NULL},
	{"K.process-mrelease", tried_door, NULL},
	{"K.move-pages", tried_door, NULL},
	{"K.mbind", tried_door, NULL},
	{"K.set-mempolicy", tried_door, NULL},
	{"K.request-key", tried_door, NULL},
	{"K.keyctl-join", tried_door, NULL},
	{"K.kcmp", tried_door, NULL},
	{"K.pidfd-getfd", tried_door, NULL},
	{"K.process-vm-write", tried_door, NULL},
	{"K.bpf-load", tried_door, NULL},
	{"K.clock-settime", tried_door, NULL},
	{"K.settimeofday", tried_door, NULL},
	{"K.adjtimex", tried_door, NULL},
	{"K.quotactl-fd", tried_door, NULL},
	{"K.uffd-any", tried_door, NULL},
	{"K.seccomp-listener", tried_door, NULL},
	{"K.landlock", tried_door, NULL},
	{"K.memfd", tried_door, NULL},
	{"K.vmsplice", tried_door, NULL},
	{"K.netlink-xfrm", tried_door, NULL},
	{"K.netlink-crypto", tried_door, NULL},
	{"K.netlink-generic", tried_door, NULL},
	{"K.netlink-diag", tried_door, NULL},
	{"K.vsock-high", tried_door, NULL},
	{"K.sctp", tried_door, NULL},
	{"K.rxrpc", tried_door, NULL},
	{"K.ping", tried_door, NULL},
	{"K.raw", tried_door, NULL},
	{"K.smc", tried_door, NULL},
	{"K.tipc", tried_door, NULL},
	{"K.can", tried_door, NULL},
	{"K.bluetooth", tried_door, NULL},
	{"REG.CVE-2021-41133", tried_door, NULL},
	{"REG.CVE-2016-0728", tried_door, NULL},
	{"REG.CVE-2026-31431", tried_door, NULL},
	{"REG.CVE-2026-43284", tried_door, NULL},
	{"REG.vsock", tried_door, NULL},
	{"REG.clone3", tried_door, NULL},
	{NULL, NULL, NULL},
};

const struct evidence_table evidence_doors = {
	doors_rows, NULL, "E3: the session's filter, asked about the very call that was tried"};
