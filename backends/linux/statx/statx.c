/*
 * Preloaded into programs that run under a runsc of 2022, which answers EINVAL to AT_NO_AUTOMOUNT: ls
 * and stat of coreutils 9 pass that flag always. Under gVisor nothing is mounted by being looked at,
 * so that leaving the flag out changes nothing else. No C library but the caller's errno.
 */
#include <sys/syscall.h>

#define NO_AUTOMOUNT 0x800 /* linux/fcntl.h: AT_NO_AUTOMOUNT */

int *__errno_location(void); // NOLINT: glibc's and musl's own name

int statx(int dir, const char *path, int flags, unsigned mask, void *ret);
int fstatat(int dir, const char *path, void *ret, int flags);
int fstatat64(int dir, const char *path, void *ret, int flags);

static long call(long number, long dir, const char *path, long third, long fourth, void *fifth)
{
#if defined(__x86_64__)
	register long r10 __asm__("r10") = fourth;
	register void *r8 __asm__("r8") = fifth;
	long result = 0;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(dir), "S"(path), "d"(third), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	return result;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = dir;
	register const char *x1 __asm__("x1") = path;
	register long x2 __asm__("x2") = third;
	register long x3 __asm__("x3") = fourth;
	register void *x4 __asm__("x4") = fifth;

	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4)
			 : "memory");
	return x0;
#else
#error "name this machine's way into the kernel"
#endif
}

static int finish(long result)
{
	if (result < 0) {
		*__errno_location() = (int)-result;
		return -1;
	}
	return (int)result;
}

int statx(int dir, const char *path, int flags, unsigned mask, void *ret)
{
	return finish(call(SYS_statx, dir, path, flags & ~NO_AUTOMOUNT, mask, ret));
}

int fstatat(int dir, const char *path, void *ret, int flags)
{
	return finish(call(SYS_newfstatat, dir, path, (long)ret, flags & ~NO_AUTOMOUNT, (void *)0));
}

int fstatat64(int dir, const char *path, void *ret, int flags)
{
	return fstatat(dir, path, ret, flags);
}
