#include "backends/linux/landlock.h"

#include <errno.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "backends/linux/kernel.h"

/*
 * The applying half makes system calls by number and uses nothing of libc but errno: cloche-init
 * has no libc. On 64-bit machines the kernel's struct stat is libc's.
 */

#define NEWEST_ABI 7

#define READ_RIGHTS (KERNEL_LL_EXECUTE | KERNEL_LL_READ_FILE | KERNEL_LL_READ_DIR)
#define WRITE_RIGHTS                                                                               \
	(KERNEL_LL_WRITE_FILE | KERNEL_LL_REMOVE_DIR | KERNEL_LL_REMOVE_FILE |                     \
		KERNEL_LL_MAKE_DIR | KERNEL_LL_MAKE_REG | KERNEL_LL_MAKE_SOCK |                    \
		KERNEL_LL_MAKE_FIFO | KERNEL_LL_MAKE_SYM | KERNEL_LL_REFER | KERNEL_LL_TRUNCATE)
#define DEVICE_RIGHTS                                                                              \
	(KERNEL_LL_READ_FILE | KERNEL_LL_WRITE_FILE | KERNEL_LL_TRUNCATE | KERNEL_LL_IOCTL_DEV)
#define FILE_RIGHTS                                                                                \
	(KERNEL_LL_EXECUTE | KERNEL_LL_READ_FILE | KERNEL_LL_WRITE_FILE | KERNEL_LL_TRUNCATE |     \
		KERNEL_LL_IOCTL_DEV)

/* What each ABI added to the one before it. */
static const struct {
	uint64_t fs, net, scoped;
} added[NEWEST_ABI + 1] = {
	[1] = {.fs = (KERNEL_LL_MAKE_SYM << 1) - 1}, /* the first thirteen */
	[2] = {.fs = KERNEL_LL_REFER},
	[3] = {.fs = KERNEL_LL_TRUNCATE},
	[4] = {.net = KERNEL_LL_NET_BIND_TCP | KERNEL_LL_NET_CONNECT_TCP},
	[5] = {.fs = KERNEL_LL_IOCTL_DEV},
	[6] = {.scoped = KERNEL_LL_SCOPE_ABSTRACT | KERNEL_LL_SCOPE_SIGNAL},
};

void landlock_compile(int abi, bool no_tcp, struct plan_landlock *ret)
{
	ret->abi = abi < 0 ? 0 : abi > NEWEST_ABI ? NEWEST_ABI : abi;
	ret->handled_fs = ret->handled_net = ret->scoped = 0;
	for (int i = 1; i <= ret->abi; i++) {
		ret->handled_fs |= added[i].fs;
		ret->handled_net |= no_tcp ? added[i].net : 0;
		ret->scoped |= added[i].scoped;
	}
}

uint64_t landlock_access_all(int abi)
{
	struct plan_landlock landlock = {0};

	landlock_compile(abi, false, &landlock);
	return landlock.handled_fs;
}

uint64_t landlock_access_read(int abi)
{
	return landlock_access_all(abi) & READ_RIGHTS;
}

uint64_t landlock_access_write(int abi)
{
	return landlock_access_all(abi) & WRITE_RIGHTS;
}

uint64_t landlock_access_device(int abi)
{
	return landlock_access_all(abi) & DEVICE_RIGHTS;
}

uint64_t landlock_access_for_file(void)
{
	return FILE_RIGHTS;
}

int landlock_abi(void)
{
	long abi = syscall(
		SYS_landlock_create_ruleset, NULL, 0, KERNEL_LANDLOCK_CREATE_RULESET_VERSION);

	return abi < 0 ? 0 : (int)abi;
}

int landlock_begin(uint64_t fs, uint64_t net, uint64_t scoped)
{
	struct kernel_landlock_ruleset_attr attr = {
		.handled_access_fs = fs, .handled_access_net = net, .scoped = scoped};
	/* Old kernels know a shorter struct, and refuse a longer one only if its end is not 0. */
	long fd = syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);

	return fd < 0 ? -errno : (int)fd;
}

int landlock_allow(int ruleset, int path_fd, uint64_t access)
{
	struct kernel_landlock_path_beneath rule = {.allowed_access = access, .parent_fd = path_fd};
	struct stat status;

	if (syscall(SYS_fstat, path_fd, &status) < 0) {
		return -errno;
	}
	if (!S_ISDIR(status.st_mode)) {
		rule.allowed_access &= FILE_RIGHTS; /* others are EINVAL */
	}
	if (rule.allowed_access == 0) {
		return 0; /* an empty rule is ENOMSG, and says nothing */
	}
	if (syscall(SYS_landlock_add_rule, ruleset, KERNEL_LANDLOCK_RULE_PATH_BENEATH, &rule, 0) <
		0) {
		return -errno;
	}
	return 0;
}

int landlock_enforce(int ruleset, int abi)
{
	unsigned flags = abi >= 7 ? KERNEL_LL_RESTRICT_LOG_NEW_EXEC_ON : 0;
	int r = 0;

	if (syscall(SYS_landlock_restrict_self, ruleset, flags) < 0) {
		r = -errno;
	}
	(void)syscall(SYS_close, ruleset);
	return r;
}
