#include "backends/vm/kit.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "cloche-config.h"

#define MANIFEST_MAX 1024

int vm_kit_parse(const char *text, struct host_guest *ret)
{
	int version = 0;
	int used = 0;

	if (sscanf(text,
		    "cloche-guest %d\nrelease %64[a-zA-Z0-9.+~_-]\nlandlock %d\ndigest "
		    "%64[0-9a-f]\n%n",
		    &version, ret->release, &ret->landlock_abi, ret->digest, &used) != 4 ||
		version != VM_KIT_VERSION || text[used] != '\0' || strlen(ret->digest) != 64 ||
		ret->landlock_abi < 0 || ret->landlock_abi > 99) {
		return -EINVAL;
	}
	return 0;
}

#if defined(__x86_64__)
#define CPUID_VMX (1U << 5) /* leaf 1, ecx */
#define CPUID_SVM (1U << 2) /* leaf 0x80000001, ecx */

static bool has_virtual_machines(void)
{
	unsigned a = 0, b = 0, c = 0, d = 0;

	return (__get_cpuid(1, &a, &b, &c, &d) && (c & CPUID_VMX)) ||
		(__get_cpuid(0x80000001, &a, &b, &c, &d) && (c & CPUID_SVM));
}
#else
static bool has_virtual_machines(void)
{
	return false;
}
#endif

/* QEMU opens it as an id of the session's, which is in no group. Without root it is our own. */
static bool is_open_to_sessions(int fd)
{
	struct stat seen;

	return fstat(fd, &seen) == 0 && (geteuid() != 0 || (seen.st_mode & 06) == 06);
}

/*
 * The device may be there and of no use: in a container without the right, in a guest without
 * nesting. So a machine and a processor are made. Even that proves too little where the hypervisor
 * below emulates them (seen: both succeed, and the machine hangs in its first second): what the
 * processor says of itself must agree.
 */
static bool has_kvm(void)
{
	cleanup_close int kvm = has_virtual_machines() ? open("/dev/kvm", O_RDWR | O_CLOEXEC) : -1;
	cleanup_close int machine =
		kvm < 0 || !is_open_to_sessions(kvm) ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);
	cleanup_close int processor = machine < 0 ? -1 : ioctl(machine, KVM_CREATE_VCPU, 0);

	return processor >= 0;
}

/* Nobody but root and ourselves may be able to change what machines boot. */
static bool is_ours(int fd)
{
	struct stat seen;

	return fstat(fd, &seen) == 0 && (seen.st_uid == 0 || seen.st_uid == geteuid()) &&
		!(seen.st_mode & 022);
}

static int read_kit(const char *dir, struct host_guest *ret)
{
	static const char *const files[] = {"manifest", "kernel", "initrd", "relay"};
	cleanup_close int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_free char *text = NULL;

	if (fd < 0) {
		return -errno;
	}
	if (!is_ours(fd)) {
		return -EPERM;
	}
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		cleanup_close int file = openat(fd, files[i], O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		if (file < 0) {
			return -errno;
		}
		if (!is_ours(file)) {
			return -EPERM;
		}
	}
	if (io_read_file(fd, "manifest", MANIFEST_MAX, &text, NULL) < 0) {
		return -EINVAL;
	}
	return vm_kit_parse(text, ret);
}

void vm_kit_probe(struct host_guest *ret)
{
	const char *dir = getenv(VM_KIT_VARIABLE);
	int r = 0;

	*ret = (struct host_guest){0};
	if (!dir || dir[0] != '/') {
		dir = CLOCHE_GUESTDIR;
	}
	r = strlen(dir) < sizeof(ret->dir) ? read_kit(dir, ret) : -ENAMETOOLONG;
	if (r < 0) {
		*ret = (struct host_guest){0};
		(void)snprintf(ret->missing, sizeof(ret->missing), "%.120s: %s", dir,
			r == -EPERM            ? "others can write to it"
				: r == -EINVAL ? "the manifest is of another version"
					       : strerror(-r));
		return;
	}
	(void)snprintf(ret->dir, sizeof(ret->dir), "%s", dir);
	ret->kvm = has_kvm();
}
