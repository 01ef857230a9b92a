#include "backends/linux/init/rt.h"

#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

#include "backends/linux/raw.h"

static int errno_storage;

int *__errno_location(void)
{
	return &errno_storage;
}

#if defined(__x86_64__)
__asm__(".globl _start\n"
	"_start:\n"
	"	xor %ebp, %ebp\n"
	"	mov %rsp, %rdi\n"
	"	and $-16, %rsp\n"
	"	call init_main\n"
	"	hlt\n");
#else
__asm__(".globl _start\n"
	"_start:\n"
	"	mov x29, #0\n"
	"	mov x30, #0\n"
	"	mov x0, sp\n"
	"	bl init_main\n");
#endif

long syscall(long nr, ...)
{
	va_list args;
	long a[6];
	long result = 0;

	va_start(args, nr);
	for (int i = 0; i < 6; i++) {
		a[i] = va_arg(args, long);
	}
	va_end(args);
	result = raw_call(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
	if (result < 0 && result > -4096) {
		errno = (int)-result;
		return -1;
	}
	return result;
}

void rt_exit(int code)
{
	for (;;) {
		(void)RT(exit_group, code);
	}
}

int close(int fd)
{
	return (int)RT(close, fd);
}

/* The compiler calls these by name whatever we write. */
void *memset(void *data, int byte, size_t size)
{
	volatile unsigned char *at = data;

	while (size-- > 0) {
		*at++ = (unsigned char)byte;
	}
	return data;
}

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
	volatile unsigned char *out = to;
	const unsigned char *in = from;

	while (size-- > 0) {
		*out++ = *in++;
	}
	return to;
}

size_t strlen(const char *text)
{
	size_t length = 0;

	while (((const volatile char *)text)[length]) {
		length++;
	}
	return length;
}

int strcmp(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return (unsigned char)*a - (unsigned char)*b;
}

void rt_append(char *dst, size_t size, size_t *used, const char *text)
{
	while (*text && *used + 1 < size) {
		dst[(*used)++] = *text++;
	}
	dst[*used] = '\0';
}

void rt_append_number(char *dst, size_t size, size_t *used, uint64_t value)
{
	char digits[24];
	size_t at = sizeof(digits) - 1;

	digits[at] = '\0';
	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	rt_append(dst, size, used, digits + at);
}

void rt_copy(char *dst, const char *src, size_t size)
{
	size_t used = 0;

	rt_append(dst, size, &used, src);
}

char *rt_fd_path(int fd, char *path)
{
	size_t used = 0;

	rt_append(path, 32, &used, "/proc/self/fd/");
	rt_append_number(path, 32, &used, (uint64_t)fd);
	return path;
}

int rt_write_file(const char *path, const char *text)
{
	cleanup_close int fd = (int)RT(openat, AT_FDCWD, path, O_WRONLY | O_CLOEXEC | O_NOCTTY, 0);

	if (fd < 0) {
		return -1;
	}
	return RT(write, fd, text, strlen(text)) == (long)strlen(text) ? 0 : -1;
}
