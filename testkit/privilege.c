#include "testkit/privilege.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

/* What each is for. */
static const struct {
	int capability;
	const char *use;
} needed[] = {
	{CAP_CHOWN, "canaries are given to users nobody is, and to the client's"},
	{CAP_DAC_OVERRIDE, "what they leave is removed"},
	{CAP_DAC_READ_SEARCH, "the tree of a process is looked at"},
	{CAP_FOWNER, "modes of canaries that are another's"},
	{CAP_FSETID, "the canary with a set-id bit"},
	{CAP_IPC_OWNER, "System V objects that clients left"},
	{CAP_KILL, "victims, companions and controls are ended"},
	{CAP_MKNOD, "the canary that is a device node"},
	{CAP_SETGID, "controls and victims become users nobody is"},
	{CAP_SETUID, "the same"},
	{CAP_SYS_ADMIN, "system-call filters are read"},
	{CAP_SYS_PTRACE, "state of processes of other users, and memory of their kernels"},
	{CAP_SYS_RESOURCE, "limits of victims are read and set"},
};

static int read_sets(struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3])
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};

	return syscall(SYS_capget, &head, data) < 0 ? -errno : 0;
}

static int write_sets(const struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3])
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};

	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

void privilege_mark(void)
{
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	if (read_sets(data) == 0) {
		data[CAP_TO_INDEX(CAP_LEASE)].inheritable |= CAP_TO_MASK(CAP_LEASE);
		(void)write_sets(data);
	}
}

int privilege_reduce(struct err *err)
{
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};
	uint32_t kept[_LINUX_CAPABILITY_U32S_3] = {0};
	int r = geteuid() == 0 ? read_sets(data) : 0;

	if (r < 0 || geteuid() != 0) {
		return r < 0 ? err_set(err, -r, "reading capabilities") : 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
		kept[CAP_TO_INDEX(needed[i].capability)] |= CAP_TO_MASK(needed[i].capability);
	}
	for (size_t i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		data[i].effective &= kept[i];
		data[i].permitted &= kept[i];
	}
	r = write_sets(data);
	return r < 0 ? err_set(err, -r, "giving up capabilities") : 0;
}
