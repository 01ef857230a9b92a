/*
 * System calls and programs that were tried: what the filter by itself makes of the very call.
 */
#include <fcntl.h>
#include <linux/audit.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "testkit/look.h"

#if defined(__x86_64__)
#define OWN_ARCH AUDIT_ARCH_X86_64
#else
#define OWN_ARCH AUDIT_ARCH_AARCH64
#endif

static const struct {
	const char *probe;
	uint32_t arch;
	int number;
	uint64_t args[6];
} doors[] = {
	{"K.userns", OWN_ARCH, SYS_unshare, {0x10000000}},
	{"K.clone-userns", OWN_ARCH, SYS_clone, {0x10000011}},
	{"K.clone3-userns", OWN_ARCH, SYS_clone3, {0}},
	{"K.userns-mount", OWN_ARCH, SYS_unshare, {0x10020000}},
	{"K.userns-net", OWN_ARCH, SYS_unshare, {0x50000000}},
	{"K.uring", OWN_ARCH, SYS_io_uring_setup, {1}},
	{"K.uffd", OWN_ARCH, SYS_userfaultfd, {1 | O_CLOEXEC}},
	{"K.perf", OWN_ARCH, SYS_perf_event_open, {0, 0, UINT64_MAX, UINT64_MAX, 0}},
	{"K.bpf", OWN_ARCH, SYS_bpf, {0}},
	{"K.add-key", OWN_ARCH, SYS_add_key, {0}},
	{"K.keyctl", OWN_ARCH, SYS_keyctl, {0}},
	{"K.alg", OWN_ARCH, SYS_socket, {38, 5, 0}},
	{"K.vsock", OWN_ARCH, SYS_socket, {40, 1, 0}},
	{"K.netlink-audit", OWN_ARCH, SYS_socket, {16, 3, 9}},
	{"K.netlink-uevent", OWN_ARCH, SYS_socket, {16, 3, 15}},
	{"K.netlink-netfilter", OWN_ARCH, SYS_socket, {16, 3, 12}},
	{"K.packet", OWN_ARCH, SYS_socket, {17, 3, 0}},
#if defined(__x86_64__)
	{"K.int80", AUDIT_ARCH_I386, 20, {0}},
	{"K.int80-socket", AUDIT_ARCH_I386, 102, {1}},
	{"K.x32", AUDIT_ARCH_X86_64, 0x40000000 | SYS_getpid, {0}},
	{"K.ldt", OWN_ARCH, SYS_modify_ldt, {0}},
#endif
	{"K.mount", OWN_ARCH, SYS_mount, {0}},
	{"K.fsopen", OWN_ARCH, SYS_fsopen, {0}},
	{"K.open-tree", OWN_ARCH, SYS_open_tree, {0}},
	{"K.move-mount", OWN_ARCH, SYS_move_mount, {0}},
	{"K.setns", OWN_ARCH, SYS_setns, {UINT64_MAX}},
	{"K.pivot", OWN_ARCH, SYS_pivot_root, {0}},
	{"K.handle", OWN_ARCH, SYS_name_to_handle_at, {0}},
	{"K.personality", OWN_ARCH, SYS_personality, {0x0400000}},
	{"K.process-vm", OWN_ARCH, SYS_process_vm_readv, {0}},
	{"K.ptrace", OWN_ARCH, SYS_ptrace, {0}},
	{"K.fanotify", OWN_ARCH, SYS_fanotify_init, {0x200}},
	{"K.numa", OWN_ARCH, SYS_migrate_pages, {0}},
	{"K.memfd-secret", OWN_ARCH, 447, {0}},
	{"K.syslog", OWN_ARCH, SYS_syslog, {10}},
	{"K.quota", OWN_ARCH, SYS_quotactl, {UINT64_MAX}},
	{"X.self", OWN_ARCH, SYS_execve, {0}},
	{"X.shell", OWN_ARCH, SYS_execve, {0}},
	{"X.linker", OWN_ARCH, SYS_execve, {0}},
	{"X.memfd", OWN_ARCH, SYS_execveat, {0}},
	{"X.tmp", OWN_ARCH, SYS_execve, {0}},
	{"D.push-door", OWN_ARCH, SYS_ioctl, {0, TIOCSTI}},
	{"D.linux-door", OWN_ARCH, SYS_ioctl, {0, 0x541c}},
};

/* Whether the call is let through: 1, 0, or -1 when that cannot be read. */
static int ask_filter(const struct look *look)
{
	for (size_t i = 0; i < ARRAY_SIZE(doors); i++) {
		if (strcmp(doors[i].probe, look->probe->id) == 0) {
			return outside_allows(&look->context->run->outside, doors[i].arch,
				doors[i].number, doors[i].args);
		}
	}
	return -1;
}

void look_door(struct look *look, int allowed)
{
	if (allowed == 0) {
		look_conclude(look, false, LEVEL_STATE);
		look_detail(look, "the filter refuses it");
	} else if (allowed == 1 && look_is_done(look)) {
		look_conclude(look, true, LEVEL_STATE);
		look_detail(look, "no filter stops it");
	}
}

void look_filter_door(struct look *look, const char *arg)
{
	(void)arg;
	look_door(look, ask_filter(look));
}

/* Another kernel's client opened a file beside it, and the host was told. */
static bool sees_place(const struct look *look)
{
	const struct run *run = look->context->run;

	return run->machine.kernel == MACHINE_OTHER &&
		look->context->canary->reached[probe_index(probe_find("F.scope-read"))];
}

/* Where the filter cannot be read, whether the program's file was opened tells as much. */
static void exec_door(struct look *look, const char *arg)
{
	char path[160];
	bool known = false;

	look_filter_door(look, arg);
	(void)snprintf(path, sizeof(path), "%s/%s", look->context->canary->read, look->probe->id);
	if (look->outcome->evidence == EVIDENCE_NONE && look->context->canary->inotify >= 0 &&
		(look_reached(look) ||
			(!look_is_done(look) &&
				(sees_place(look) ||
					outside_same_object(
						look->context->run->outside.pid, path, &known))))) {
		look_conclude(look, look_reached(look), LEVEL_EVENT);
	}
}

static void userns_door(struct look *look, const char *arg)
{
	look_filter_door(look, arg);
	if (look->outcome->evidence == EVIDENCE_NONE &&
		look->context->run->outside.user_namespaces == 0) {
		look_conclude(look, false, LEVEL_STATE);
		look_detail(look, "user.max_user_namespaces is 0");
	}
}

/* The client is a process of the host's, or another kernel has it. That none was found is neither. */
static void same_kernel(struct look *look, const char *arg)
{
	const struct run *run = look->context->run;

	(void)arg;
	if ((run->outside.found && !run->outside.elsewhere) ||
		run->machine.kernel == MACHINE_HOST) {
		look_conclude(look, true, LEVEL_STATE);
	} else if (run->machine.kernel == MACHINE_OTHER) {
		look_conclude(look, false, LEVEL_STATE);
	}
	look_detail(look, "%s", run->machine.text);
}

static void filter_state(struct look *look, const char *arg)
{
	(void)arg;
	if (look->context->run->outside.seccomp >= 0) {
		look_conclude(look, look->context->run->outside.seccomp == 0, LEVEL_STATE);
		look_detail(look, "Seccomp %d, %zu filters", look->context->run->outside.seccomp,
			look->context->run->outside.filter_count);
	}
}

/* Calls that say what a filter does with what it does not know. */
static void filter_call(struct look *look, const char *arg)
{
	static const uint64_t none[6];
	const struct outside *theirs = &look->context->run->outside;
	int allowed = arg[0] == 'd' ? outside_allows(theirs, OWN_ARCH, 1999, none)
		: arg[0] == 'i'     ? outside_allows(theirs, AUDIT_ARCH_I386, 20, none)
				    : outside_allows(theirs, OWN_ARCH, 0x40000000 | 39, none);

	if (allowed >= 0) {
		look_conclude(look, allowed == 1, LEVEL_STATE);
	}
}

static const struct evidence_row rows[] = {
	{"X.self", exec_door, NULL},
	{"X.shell", look_filter_door, NULL},
	{"X.linker", look_filter_door, NULL},
	{"X.memfd", look_filter_door, NULL},
	{"X.tmp", look_filter_door, NULL},
	{"K.filter", filter_state, NULL},
	{"K.filter-default", filter_call, "default"},
	{"K.filter-i386", filter_call, "i386"},
	{"K.filter-x32", filter_call, "x32"},
	{"K.userns", userns_door, NULL},
	{"K.clone-userns", userns_door, NULL},
	{"K.clone3-userns", userns_door, NULL},
	{"K.userns-mount", userns_door, NULL},
	{"K.userns-net", userns_door, NULL},
	{"K.uring", look_filter_door, NULL},
	{"K.uffd", look_filter_door, NULL},
	{"K.perf", look_filter_door, NULL},
	{"K.bpf", look_filter_door, NULL},
	{"K.add-key", look_filter_door, NULL},
	{"K.keyctl", look_filter_door, NULL},
	{"K.alg", look_filter_door, NULL},
	{"K.vsock", look_filter_door, NULL},
	{"K.netlink-audit", look_filter_door, NULL},
	{"K.netlink-uevent", look_filter_door, NULL},
	{"K.netlink-netfilter", look_filter_door, NULL},
	{"K.packet", look_filter_door, NULL},
	{"K.int80", look_filter_door, NULL},
	{"K.int80-socket", look_filter_door, NULL},
	{"K.x32", look_filter_door, NULL},
	{"K.mount", look_filter_door, NULL},
	{"K.fsopen", look_filter_door, NULL},
	{"K.open-tree", look_filter_door, NULL},
	{"K.move-mount", look_filter_door, NULL},
	{"K.setns", look_filter_door, NULL},
	{"K.pivot", look_filter_door, NULL},
	{"K.handle", look_filter_door, NULL},
	{"K.personality", look_filter_door, NULL},
	{"K.process-vm", look_filter_door, NULL},
	{"K.ptrace", look_filter_door, NULL},
	{"K.fanotify", look_filter_door, NULL},
	{"K.numa", look_filter_door, NULL},
	{"K.memfd-secret", look_filter_door, NULL},
	{"K.ldt", look_filter_door, NULL},
	{"K.syslog", look_filter_door, NULL},
	{"K.quota", look_filter_door, NULL},
	{"K.same-kernel", same_kernel, NULL},
	{NULL, NULL, NULL},
};

static const struct evidence_kind kinds[] = {
	{exec_door, "E2: inotify saw the program being opened; E3: the filter decides the call",
		false},
	{look_filter_door, "E3: the filter, read by the host, decides the call", false},
	{userns_door, "E3: the filter decides the call; user.max_user_namespaces inside", false},
	{filter_state, "E3: the seccomp line of its status, read from outside", false},
	{filter_call, "E3: the filter, read by the host, decides the call", false},
	{same_kernel,
		"E3: the client is a process of the host's, or its memory is another kernel's",
		false},
	{NULL, NULL, false},
};

const struct evidence_table evidence_calls = {rows, kinds, NULL};
