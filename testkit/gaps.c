#include "testkit/gaps.h"

#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/strv.h"

static bool is_alone(const struct run *run)
{
	return run->alone;
}

static bool is_unfound_alone(const struct run *run)
{
	return run->alone && !run->outside.found;
}

static bool is_unfound(const struct run *run)
{
	return !run->alone && !run->outside.found && run->machine.kernel != MACHINE_OTHER;
}

static bool is_elsewhere(const struct run *run)
{
	return !run->outside.found && run->machine.kernel == MACHINE_OTHER;
}

static bool is_filter_unread(const struct run *run)
{
	return run->outside.pid > 0 && run->outside.seccomp != 0 && !run->outside.dumped;
}

/* Another kernel than Linux has no call for it. */
static bool is_filter_unshown(const struct run *run)
{
	return run->outside.elsewhere && run->outside.seccomp != 0 && !run->outside.dumped;
}

static bool are_namespaces_unread(const struct run *run)
{
	for (size_t i = 0; i < OUTSIDE_NAMESPACES; i++) {
		if (run->outside.pid > 0 && !run->outside.namespaces[i]) {
			return true;
		}
	}
	return false;
}

static bool are_mounts_unread(const struct run *run)
{
	return run->outside.found && run->outside.mount_count == 0;
}

static bool is_environment_unread(const struct run *run)
{
	bool known = false;

	if (run->outside.elsewhere) {
		known = run->environment >= 0;
	} else if (run->outside.found) {
		(void)outside_environment_has(run->outside.pid, "cloche", &known);
	}
	return run->outside.found && !known;
}

/* Its root, by which its files, devices and room are looked at. */
static bool is_tree_unread(const struct run *run)
{
	char path[40];

	(void)snprintf(path, sizeof(path), "/proc/%d/root/.", run->outside.pid);
	return run->outside.found && !run->outside.elsewhere && access(path, F_OK) < 0;
}

static bool are_limits_unread(const struct run *run)
{
	return run->outside.found && !run->outside.memory_limit && !run->outside.tasks_limit &&
		!run->outside.cpu_limit;
}

static bool is_group_unmarked(const struct run *run)
{
	(void)run;
	return geteuid() != 0;
}

static bool are_reads_unseen(const struct run *run)
{
	return run->canary->inotify < 0;
}

static bool is_terminal_missing(const struct run *run)
{
	return run->canary->ground->terminal_slave < 0;
}

static bool is_key_missing(const struct run *run)
{
	return run->canary->ground->key == 0;
}

static bool is_victim_other(const struct run *run)
{
	return geteuid() != 0 && run->outside.found && run->outside.uid != geteuid();
}

static const struct {
	bool (*is_missing)(const struct run *run);
	const char *text;
} gaps[] = {
	{is_alone,
		"whatever takes somebody inside: no client could be brought there (--verbose says "
		"what was tried)"},
	{is_unfound_alone,
		"state of the session's processes: none of the host's comes from its connection or "
		"its launcher, as far as may be seen"},
	{is_unfound,
		"state of the session's processes: none is among the host's by the client's name; "
		"the target may hide it, or run elsewhere"},
	{is_elsewhere,
		"state inside: another kernel has it, and only that kernel's limits and "
		"memory were read"},
	{is_filter_unshown,
		"the system-call filter: the kernel that serves the session shows none"},
	{is_filter_unread,
		"the system-call filter: reading it takes CAP_SYS_ADMIN here (root); "
		"calls were decided by trying them"},
	{are_namespaces_unread,
		"all of its namespaces: reading them takes its user or CAP_SYS_PTRACE"},
	{are_mounts_unread, "its mounts: reading them takes its user or CAP_SYS_PTRACE"},
	{is_environment_unread, "its environment: reading it takes its user or CAP_SYS_PTRACE"},
	{is_tree_unread,
		"its files and devices, seen from outside: looking through its root takes "
		"CAP_SYS_PTRACE over it"},
	{are_limits_unread, "limits of its control group: none was found, or none may be read"},
	{is_group_unmarked,
		"the launcher's supplementary group, a setuid program, a device node: "
		"planting them takes root"},
	{is_victim_other,
		"signals between equals: the victim could not be made the client's user without "
		"root"},
	{are_reads_unseen, "reads of the canary files: inotify gave no instance"},
	{is_terminal_missing, "a terminal of the launcher's: none could be made"},
	{is_key_missing, "a key of the launcher's: none could be made"},
};

int gaps_find(const struct run *run, char ***lines)
{
	int r = 0;

	for (size_t i = 0; r == 0 && (run->hello || run->alone) && i < ARRAY_SIZE(gaps); i++) {
		bool inside = gaps[i].is_missing == is_elsewhere && run->unseen[0];
		if (gaps[i].is_missing(run)) {
			r = strv_appendf(lines, "%s%s%s", gaps[i].text, inside ? "; " : "",
				inside ? run->unseen : "");
		}
	}
	return r;
}
