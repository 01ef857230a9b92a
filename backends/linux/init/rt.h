/*
 * The few things cloche-init needs from a C library. It has none: nothing of the host's, and
 * nothing that runs before its own first line, is in the sandbox.
 */
#pragma once

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/cleanup.h"

/* syscall(2) itself, with errno, is in rt.c; kernel.h builds on it. */

#define RT_VFORK_FLAGS ((long)(CLONE_VM | CLONE_VFORK | SIGCHLD))

/* What the program is; rt.c calls it with the stack as the kernel made it: argc, then argv. */
void init_main(const long *stack) __attribute__((noreturn));

void rt_exit(int code) __attribute__((noreturn));

/* Copies src to dst (size bytes), cut short if need be, always terminated. */
void rt_copy(char *dst, const char *src, size_t size);

/* Appends text at *used. */
void rt_append(char *dst, size_t size, size_t *used, const char *text);

/* Decimal digits of value. */
void rt_append_number(char *dst, size_t size, size_t *used, uint64_t value);

/* "/proc/self/fd/<fd>" in path (at least 32 bytes). Returns path. */
char *rt_fd_path(int fd, char *path);

/* Writes text to the file at path in one write. 0 or -1 with errno. */
int rt_write_file(const char *path, const char *text);

/*
 * vfork(2): the caller is suspended until the child has exec'd or exited. In line, since a return
 * from a function of its own would find that the child has used its stack. Returns the pid, 0 in
 * the child, or a negative errno.
 */
static inline __attribute__((always_inline)) long rt_vfork(void)
{
	long result = 0;
#if defined(__x86_64__)
	register long r10 __asm__("r10") = 0;
	register long r8 __asm__("r8") = 0;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(SYS_clone), "D"(RT_VFORK_FLAGS), "S"(0L), "d"(0L), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
#else
	register long x8 __asm__("x8") = SYS_clone;
	register long x0 __asm__("x0") = RT_VFORK_FLAGS;
	register long x1 __asm__("x1") = 0;
	register long x2 __asm__("x2") = 0;
	register long x3 __asm__("x3") = 0;
	register long x4 __asm__("x4") = 0;

	__asm__ volatile("svc #0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4)
			 : "memory");
	result = x0;
#endif
	return result;
}

/*
 * The sixth argument of a call travels on the stack, where an int leaves the upper half as it was: write
 * it as a long.
 */
#define RT(name, ...) syscall(SYS_##name, __VA_ARGS__)
