/*
 * System calls without a C library: what the client stands on, so that it runs where there is
 * nothing to run on. Every call returns the kernel's own answer, a negative errno on failure.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#include "backends/linux/raw.h"

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
#define sys(...) raw_call(SYS_SHAPE(__VA_ARGS__)(__VA_ARGS__))

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
/* The same with all arguments but the last, which is the frame pointer, all ones. */
static inline long sys_int80_ones(long number)
{
	long result = 0;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(number), "b"(-1L), "c"(-1L), "d"(-1L), "S"(-1L), "D"(-1L)
			 : "memory", "r8", "r9", "r10", "r11");
	return (int)result;
}
#define SYS_HAVE_INT80 1
#else
static inline long sys_int80_ones(long number)
{
	(void)number;
	return -38;
}
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
