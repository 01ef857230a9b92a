/*
 * More kernel doors: rows of doors.h, the survey of every system call, and its 32-bit and x32 twins.
 * All survey calls have arguments of all ones, which no call takes for anything real; what could do
 * something even so is left out.
 */
#include "testkit/client/client.h"

#include <linux/mman.h>
#include <sys/socket.h>

#include "testkit/doors.h"

static const struct door *find_door(const struct door *table)
{
	while (table->probe && !text_same(table->probe, client_probe_id)) {
		table++;
	}
	return table;
}

static long knock(const struct door *door)
{
	const uint64_t *args = door->args;

	return sys(door->number, args[0], args[1], args[2], args[3], args[4], args[5]);
}

void surface_door(struct result *result)
{
	long answer = knock(find_door(door_table));

	/* Other errors than these come from behind the door. */
	if (answer == -EPERM || answer == -EACCES || answer == -ENOSYS) {
		result_from(result, answer);
		return;
	}
	result_done(result, "");
	result->error = (int32_t)(answer < 0 ? -answer : 0);
}

/* For namespaces: only a success is one. */
static void surface_namespace(struct result *result)
{
	result_from(result, knock(find_door(door_table)));
}

void surface_socket(struct result *result)
{
	long fd = knock(find_door(door_sockets));

	if (fd == -EAFNOSUPPORT || fd == -EPROTONOSUPPORT || fd == -ESOCKTNOSUPPORT) {
		result_absent(result, fd);
		return;
	}
	result_from(result, fd);
}

/* Every address family but the ordinary ones; the names of those that can be had. */
static void surface_families(struct result *result)
{
	static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET};
	long last = -EAFNOSUPPORT;

	for (long family = 0; family < 48; family++) {
		if (family == AF_UNIX || family == AF_INET || family == AF_INET6 || family == 16) {
			continue;
		}
		for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
			long fd = sys(SYS_socket, family, types[i], 0);
			if (fd >= 0) {
				(void)sys(SYS_close, fd);
				result->claim = CLAIM_DONE;
				result_add_number(result, (uint64_t)family);
				result_add(result, " ");
				break;
			}
			last = fd == -EPERM || fd == -EACCES || fd == -ENOSYS ? fd : last;
		}
	}
	if (result->claim != CLAIM_DONE) {
		result_from(result, last);
	}
}

/* ---- the survey ---- */

enum abi { ABI_64, ABI_32, ABI_X32 };

/*
 * Not called, even with arguments of all ones: what ends or stops the caller, makes another of it,
 * signals, makes objects by number, writes out all disks, or could end the machine.
 */
static const uint16_t left_out_64[] = {15, 23, 29, 30, 34, 35, 56, 57, 58, 60, 61, 62, 64, 67, 68,
	95, 127, 128, 129, 130, 153, 162, 169, 200, 219, 230, 231, 234, 247, 270, 271, 297, 424};
static const uint16_t left_out_32[] = {1, 2, 7, 26, 29, 36, 37, 60, 72, 82, 88, 111, 114, 117, 119,
	120, 142, 162, 173, 175, 176, 177, 178, 179, 190, 238, 252, 270, 284, 308, 309, 335, 393,
	395, 399, 413, 414, 421, 424};

static bool is_left_out(enum abi abi, unsigned number)
{
	const uint16_t *list = abi == ABI_32 ? left_out_32 : left_out_64;
	size_t count = abi == ABI_32 ? sizeof(left_out_32) / sizeof(left_out_32[0])
				     : sizeof(left_out_64) / sizeof(left_out_64[0]);

	/* x32 has numbers of its own from 512 on; below them they are those of 64 bits. */
	for (size_t i = 0; i < count; i++) {
		if (list[i] == number) {
			return true;
		}
	}
	return false;
}

static long call_all_ones(enum abi abi, long number)
{
	if (abi == ABI_32) {
		return sys_int80_ones(number);
	}
	return sys(abi == ABI_X32 ? number | 0x40000000L : number, -1L, -1L, -1L, -1L, -1L, -1L);
}

/* In a process of its own: whatever it does to itself is gone with it. */
static long survey_one(volatile long *answer, enum abi abi, unsigned number)
{
	static const long timer[4] = {0, 0, 0, 200000};
	long pid = 0;

	*answer = -ENOSYS; /* what a call that kills leaves behind */
	pid = process_fork();
	if (pid == 0) {
		(void)sys(SYS_setitimer, 0, timer, NULL);
		*answer = call_all_ones(abi, number);
		process_exit(0);
	}
	if (pid < 0) {
		return pid;
	}
	(void)process_wait(pid);
	return *answer;
}

static void survey(struct result *result, enum abi abi)
{
	volatile long *answer = (volatile long *)sys(
		SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint8_t open[SURVEY_BYTES] = {0};
	unsigned count = 0;

	if ((uintptr_t)answer > (uintptr_t)-4096) {
		result_from(result, (long)answer);
		return;
	}
	for (unsigned number = 0; number < SURVEY_CALLS; number++) {
		long r = is_left_out(abi, number) ? -ENOSYS : survey_one(answer, abi, number);
		if (r != -EPERM && r != -ENOSYS && r != -EACCES) {
			open[number / 8] |= (uint8_t)(1U << number % 8);
			count++;
		}
	}
	if (count == 0) {
		result_from(result, -ENOSYS);
		return;
	}
	result_done_bytes(result, open, sizeof(open));
}

static void survey_64(struct result *result)
{
	survey(result, ABI_64);
}

static void survey_32(struct result *result)
{
	if (!SYS_HAVE_INT80) {
		result_absent(result, 0);
		return;
	}
	survey(result, ABI_32);
}

static void survey_x32(struct result *result)
{
	if (!SYS_HAVE_INT80) {
		result_absent(result, 0);
		return;
	}
	survey(result, ABI_X32);
}

const struct client_probe probes_surface[] = {
	{"K.chroot", surface_door},
	{"K.umount", surface_door},
	{"K.fsconfig", surface_door},
	{"K.mount-setattr", surface_door},
	{"K.clone3", surface_door},
	{"K.userns-pid", surface_namespace},
	{"K.userns-ipc", surface_namespace},
	{"K.userns-uts", surface_namespace},
	{"K.userns-cgroup", surface_namespace},
	{"K.uring-enter", surface_door},
	{"K.uring-register", surface_door},
	{"K.process-madvise", surface_door},
	{"K.process-mrelease", surface_door},
	{"K.move-pages", surface_door},
	{"K.mbind", surface_door},
	{"K.set-mempolicy", surface_door},
	{"K.request-key", surface_door},
	{"K.keyctl-join", surface_door},
	{"K.kcmp", surface_door},
	{"K.pidfd-getfd", surface_door},
	{"K.process-vm-write", surface_door},
	{"K.bpf-load", surface_door},
	{"K.clock-settime", surface_door},
	{"K.settimeofday", surface_door},
	{"K.adjtimex", surface_door},
	{"K.quotactl-fd", surface_door},
	{"K.uffd-any", surface_door},
	{"K.seccomp-listener", surface_door},
	{"K.landlock", surface_door},
	{"K.memfd", surface_door},
	{"K.vmsplice", surface_door},
	{"K.netlink-xfrm", surface_socket},
	{"K.netlink-crypto", surface_socket},
	{"K.netlink-generic", surface_socket},
	{"K.netlink-diag", surface_socket},
	{"K.vsock-high", surface_socket},
	{"K.sctp", surface_socket},
	{"K.rxrpc", surface_socket},
	{"K.ping", surface_socket},
	{"K.raw", surface_socket},
	{"K.smc", surface_socket},
	{"K.tipc", surface_socket},
	{"K.can", surface_socket},
	{"K.bluetooth", surface_socket},
	{"K.families", surface_families},
	{"K.survey", survey_64},
	{"K.survey-32", survey_32},
	{"K.survey-x32", survey_x32},
	{NULL, NULL},
};
