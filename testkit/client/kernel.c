/*
 * Kernel doors: calls that a filter should refuse. Each one is made in a form that does nothing
 * when it is allowed: a bad pointer, a handle that does not exist, an object that dies with us.
 * EFAULT, EBADF, EINVAL and the like therefore mean "the call was let through".
 */
#include "testkit/client/client.h"

#include <linux/sched.h>
#include <sys/socket.h>

/* Refused means refused by policy; any other answer came from behind the door. */
static void from_door(struct result *result, long answer)
{
	if (answer == -EPERM || answer == -EACCES || answer == -ENOSYS) {
		result_from(result, answer);
		return;
	}
	result_done(result, "");
	result->error = (int32_t)(answer < 0 ? -answer : 0);
}

static void kernel_userns(struct result *result)
{
	result_from(result, sys(SYS_unshare, CLONE_NEWUSER));
}

static void kernel_clone_userns(struct result *result)
{
	long pid = sys(SYS_clone, CLONE_NEWUSER | 17, 0, 0, 0, 0);

	if (pid == 0) {
		process_exit(0);
	}
	result_from(result, pid < 0 ? pid : process_wait(pid));
}

static void kernel_clone3_userns(struct result *result)
{
	uint64_t args[11] = {CLONE_NEWUSER, 0, 0, 0, 17};
	long pid = sys(SYS_clone3, args, sizeof(args));

	if (pid == 0) {
		process_exit(0);
	}
	result_from(result, pid < 0 ? pid : process_wait(pid));
}

/* What a nested user namespace would be good for: mounts of one's own. */
static void kernel_userns_mount(struct result *result)
{
	long r = sys(SYS_unshare, CLONE_NEWUSER | CLONE_NEWNS);

	if (r >= 0) {
		r = sys(SYS_mount, "probe", "/", "tmpfs", 0, NULL);
	}
	result_from(result, r);
}

static void kernel_userns_net(struct result *result)
{
	long r = sys(SYS_unshare, CLONE_NEWUSER | CLONE_NEWNET);

	if (r >= 0) {
		r = sys(SYS_socket, 17 /* AF_PACKET */, SOCK_RAW, 0);
	}
	result_from(result, r);
}

static void kernel_uring(struct result *result)
{
	static uint32_t params[32];

	result_from(result, sys(SYS_io_uring_setup, 1, params));
}

static void kernel_uffd(struct result *result)
{
	result_from(result, sys(SYS_userfaultfd, 1 | O_CLOEXEC));
}

static void kernel_perf(struct result *result)
{
	static uint32_t attribute[32] = {1 /* SOFTWARE */, 128};

	attribute[10] = 1 << 5 | 1 << 6; /* exclude_kernel, exclude_hv */
	result_from(result, sys(SYS_perf_event_open, attribute, 0, -1, -1, 0));
}

static void kernel_bpf(struct result *result)
{
	from_door(result, sys(SYS_bpf, 0 /* MAP_CREATE */, (void *)-1L, 0xffff));
}

static void kernel_add_key(struct result *result)
{
	from_door(result, sys(SYS_add_key, (void *)-1L, (void *)-1L, NULL, 0, -2));
}

static void kernel_keyctl(struct result *result)
{
	from_door(result, sys(SYS_keyctl, 0 /* GET_KEYRING_ID */, -2, 0));
}

static void socket_family(struct result *result, long family, long type, long protocol)
{
	long fd = sys(SYS_socket, family, type, protocol);

	if (fd == -EAFNOSUPPORT || fd == -EPROTONOSUPPORT || fd == -ESOCKTNOSUPPORT) {
		result_absent(result, fd);
		return;
	}
	result_from(result, fd);
}

static void kernel_alg(struct result *result)
{
	socket_family(result, 38, SOCK_SEQPACKET, 0);
}

static void kernel_vsock(struct result *result)
{
	socket_family(result, 40, SOCK_STREAM, 0);
}

static void kernel_netlink_audit(struct result *result)
{
	socket_family(result, 16, SOCK_RAW, 9);
}

static void kernel_netlink_uevent(struct result *result)
{
	socket_family(result, 16, SOCK_RAW, 15);
}

static void kernel_netlink_netfilter(struct result *result)
{
	socket_family(result, 16, SOCK_RAW, 12);
}

static void kernel_packet(struct result *result)
{
	socket_family(result, 17, SOCK_RAW, 0);
}

static void kernel_int80(struct result *result)
{
	long pid = sys_int80(20 /* getpid of i386 */, 0, 0, 0);

	if (!SYS_HAVE_INT80) {
		result_absent(result, 0);
		return;
	}
	if (pid >= 0 && pid != sys(SYS_getpid)) {
		result_absent(result, -EIO); /* decoded as something else */
		return;
	}
	result_from(result, pid);
}

bool is_stream_socket(long fd)
{
	int type = 0;
	int size = sizeof(type);

	return sys(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 &&
		type == SOCK_STREAM;
}

static void kernel_int80_socket(struct result *result)
{
	static uint32_t arguments[3] = {AF_UNIX, SOCK_STREAM, 0};
	long fd = sys_int80(102 /* socketcall */, 1, (long)(uintptr_t)arguments, 0);

	if (!SYS_HAVE_INT80) {
		result_absent(result, 0);
		return;
	}
	if (fd >= 0 && !is_stream_socket(fd)) {
		result_absent(result, -EIO); /* decoded as something else */
		return;
	}
	result_from(result, fd);
}

static void kernel_x32(struct result *result)
{
#if defined(__x86_64__)
	result_from(result, sys(0x40000000L | SYS_getpid));
#else
	result_absent(result, 0);
#endif
}

static void kernel_mount(struct result *result)
{
	from_door(result, sys(SYS_mount, NULL, (void *)-1L, NULL, 0, NULL));
}

static void kernel_fsopen(struct result *result)
{
	from_door(result, sys(SYS_fsopen, (void *)-1L, 0));
}

static void kernel_open_tree(struct result *result)
{
	from_door(result, sys(SYS_open_tree, -1, (void *)-1L, 0));
}

static void kernel_move_mount(struct result *result)
{
	from_door(result, sys(SYS_move_mount, -1, (void *)-1L, -1, (void *)-1L, 0));
}

static void kernel_setns(struct result *result)
{
	from_door(result, sys(SYS_setns, -1, 0));
}

static void kernel_pivot(struct result *result)
{
	from_door(result, sys(SYS_pivot_root, (void *)-1L, (void *)-1L));
}

static void kernel_handle(struct result *result)
{
	from_door(result, sys(SYS_name_to_handle_at, -1, (void *)-1L, NULL, NULL, 0));
}

static void kernel_personality(struct result *result)
{
	from_door(result, sys(SYS_personality, 0x0400000 /* READ_IMPLIES_EXEC */));
}

static void kernel_process_vm(struct result *result)
{
	from_door(result, sys(SYS_process_vm_readv, sys(SYS_getpid), NULL, 0, NULL, 0, 0));
}

static void kernel_ptrace(struct result *result)
{
	from_door(result, sys(SYS_ptrace, 0 /* TRACEME */, 0, 0, 0));
}

static void kernel_fanotify(struct result *result)
{
	/* 0x200 FAN_REPORT_FID: the form users without privilege have. */
	from_door(result, sys(SYS_fanotify_init, 0x200, 0));
}

static void kernel_numa(struct result *result)
{
	from_door(result, sys(SYS_migrate_pages, 0, 0, NULL, NULL));
}

static void kernel_memfd_secret(struct result *result)
{
	long fd = sys(447 /* memfd_secret */, 0);

	result_from(result, fd);
}

static void kernel_ldt(struct result *result)
{
#if defined(__x86_64__)
	from_door(result, sys(SYS_modify_ldt, 0, (void *)-1L, 0));
#else
	result_absent(result, 0);
#endif
}

static void kernel_syslog(struct result *result)
{
	from_door(result, sys(SYS_syslog, 10 /* SIZE_BUFFER */, NULL, 0));
}

static void kernel_quota(struct result *result)
{
	from_door(result, sys(SYS_quotactl, -1, NULL, 0, NULL));
}

const struct client_probe probes_kernel[] = {
	{"K.userns", kernel_userns},
	{"K.clone-userns", kernel_clone_userns},
	{"K.clone3-userns", kernel_clone3_userns},
	{"K.userns-mount", kernel_userns_mount},
	{"K.userns-net", kernel_userns_net},
	{"K.uring", kernel_uring},
	{"K.uffd", kernel_uffd},
	{"K.perf", kernel_perf},
	{"K.bpf", kernel_bpf},
	{"K.add-key", kernel_add_key},
	{"K.keyctl", kernel_keyctl},
	{"K.alg", kernel_alg},
	{"K.vsock", kernel_vsock},
	{"K.netlink-audit", kernel_netlink_audit},
	{"K.netlink-uevent", kernel_netlink_uevent},
	{"K.netlink-netfilter", kernel_netlink_netfilter},
	{"K.packet", kernel_packet},
	{"K.int80", kernel_int80},
	{"K.int80-socket", kernel_int80_socket},
	{"K.x32", kernel_x32},
	{"K.mount", kernel_mount},
	{"K.fsopen", kernel_fsopen},
	{"K.open-tree", kernel_open_tree},
	{"K.move-mount", kernel_move_mount},
	{"K.setns", kernel_setns},
	{"K.pivot", kernel_pivot},
	{"K.handle", kernel_handle},
	{"K.personality", kernel_personality},
	{"K.process-vm", kernel_process_vm},
	{"K.ptrace", kernel_ptrace},
	{"K.fanotify", kernel_fanotify},
	{"K.numa", kernel_numa},
	{"K.memfd-secret", kernel_memfd_secret},
	{"K.ldt", kernel_ldt},
	{"K.syslog", kernel_syslog},
	{"K.quota", kernel_quota},
	{NULL, NULL},
};
