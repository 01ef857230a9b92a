/*
 * The few things cloche-init needs from a C library. It has none: nothing of the host's, and
 * nothing that runs before its own first line, is in the sandbox.
 */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/cleanup.h"

/* syscall(2) itself, with errno, is in rt.c; kernel.h builds on it. */

/* What the program is; rt.c calls it on a fresh stack. */
void init_main(void) __attribute__((noreturn));

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

#define RT(name, ...) syscall(SYS_##name, __VA_ARGS__)
