/*
 * System calls without a C library: what the client stands on, so that it runs where there is
 * nothing to run on. Every call returns the kernel's own answer, a negative errno on failure.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

static inline long sys_call6(long number, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long result = 0;
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;
	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
#else
#error "the client knows x86-64 and aarch64"
#endif
}

#define SYS_ARGS_0(n) (n), 0, 0, 0, 0, 0, 0
#define SYS_ARGS_1(n, a) (n), (long)(a), 0, 0, 0, 0, 0
#define SYS_ARGS_2(n, a, b) (n), (long)(a), (long)(b), 0, 0, 0, 0
#define SYS_ARGS_3(n, a, b, c) (n), (long)(a), (long)(b), (long)(c), 0, 0, 0
#define SYS_ARGS_4(n, a, b, c, d) (n), (long)(a), (long)(b), (long)(c), (long)(d), 0, 0
#define SYS_ARGS_5(n, a, b, c, d, e) (n), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0
#define SYS_ARGS_6(n, a, b, c, d, e, f)                                                            \
	(n), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f)
#define SYS_PICK(a, b, c, d, e, f, g, name, ...) name
#define SYS_SHAPE(...)                                                                             \
	SYS_PICK(__VA_ARGS__, SYS_ARGS_6, SYS_ARGS_5, SYS_ARGS_4, SYS_ARGS_3, SYS_ARGS_2,          \
		SYS_ARGS_1, SYS_ARGS_0, )

/* sys(SYS_openat, AT_FDCWD, path, flags): any number of arguments up to six. */
#define sys(...) sys_call6(SYS_SHAPE(__VA_ARGS__)(__VA_ARGS__))

#if defined(__x86_64__)
/*
 * The same kernel by its 32-bit door. Pointers must lie below 4 GiB, which holds for static data:
 * the client is not position-independent.
 */
static inline long sys_int80(long number, long a, long b, long c)
{
	long result = 0;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(number), "b"(a), "c"(b), "d"(c)
			 : "memory", "r8", "r9", "r10", "r11");
	return (int)result;
}
#define SYS_HAVE_INT80 1
#else
#define SYS_HAVE_INT80 0
static inline long sys_int80(long number, long a, long b, long c)
{
	(void)number;
	(void)a;
	(void)b;
	(void)c;
	return -38;
}
#endif
