#include "testkit/client/client.h"

#include <linux/time_types.h>

/* The compiler calls these four by itself; it must not turn their loops into calls of them. */
#define NO_IDIOM __attribute__((optimize("no-tree-loop-distribute-patterns")))
#if defined(__clang__)
#undef NO_IDIOM
#define NO_IDIOM __attribute__((no_builtin))
#endif

NO_IDIOM void *memcpy(void *to, const void *from, size_t size)
{
	char *out = to;
	const char *in = from;

	for (size_t i = 0; i < size; i++) {
		out[i] = in[i];
	}
	return to;
}

NO_IDIOM void *memset(void *to, int value, size_t size)
{
	char *out = to;

	for (size_t i = 0; i < size; i++) {
		out[i] = (char)value;
	}
	return to;
}

NO_IDIOM void *memmove(void *to, const void *from, size_t size)
{
	char *out = to;
	const char *in = from;

	if (out < in) {
		return memcpy(to, from, size);
	}
	while (size-- > 0) {
		out[size] = in[size];
	}
	return to;
}

NO_IDIOM int memcmp(const void *a, const void *b, size_t size)
{
	const unsigned char *one = a;
	const unsigned char *two = b;

	for (size_t i = 0; i < size; i++) {
		if (one[i] != two[i]) {
			return one[i] - two[i];
		}
	}
	return 0;
}

NO_IDIOM size_t text_length(const char *text)
{
	size_t length = 0;

	while (text[length]) {
		length++;
	}
	return length;
}

bool text_same(const char *a, const char *b)
{
	size_t length = text_length(a);

	return length == text_length(b) && memcmp(a, b, length) == 0;
}

bool text_starts(const char *text, const char *prefix)
{
	size_t length = text_length(prefix);

	return text_length(text) >= length && memcmp(text, prefix, length) == 0;
}

const char *text_find(const char *data, size_t size, const char *part)
{
	size_t length = text_length(part);

	for (size_t i = 0; length > 0 && i + length <= size; i++) {
		if (memcmp(data + i, part, length) == 0) {
			return data + i;
		}
	}
	return NULL;
}

char *text_add(char *at, const char *end, const char *text)
{
	while (*text && at + 1 < end) {
		*at++ = *text++;
	}
	if (at < end) {
		*at = '\0';
	}
	return at;
}

char *text_add_number(char *at, const char *end, uint64_t number)
{
	char digits[24];
	char *digit = digits + sizeof(digits) - 1;

	*digit = '\0';
	do {
		*--digit = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	return text_add(at, end, digit);
}

char *text_join(char *out, size_t size, const char *a, const char *b, const char *c)
{
	char *at = text_add(out, out + size, a);

	at = text_add(at, out + size, b);
	(void)text_add(at, out + size, c);
	return out;
}

uint64_t text_number(const char *text, const char **ret_end)
{
	uint64_t number = 0;

	while (*text >= '0' && *text <= '9') {
		number = number * 10 + (uint64_t)(*text++ - '0');
	}
	if (ret_end) {
		*ret_end = text;
	}
	return number;
}

void result_done_bytes(struct result *result, const void *data, size_t size)
{
	size = size < sizeof(result->text) ? size : sizeof(result->text);
	memcpy(result->text, data, size);
	result->size = (uint32_t)size;
	result->error = 0;
	result->claim = CLAIM_DONE;
}

void result_done(struct result *result, const char *text)
{
	result_done_bytes(result, text, text_length(text));
}

void result_add(struct result *result, const char *text)
{
	size_t room = sizeof(result->text) - result->size;
	size_t size = text_length(text);

	size = size < room ? size : room;
	memcpy(result->text + result->size, text, size);
	result->size += (uint32_t)size;
}

void result_add_number(struct result *result, uint64_t number)
{
	char text[24];

	(void)text_add_number(text, text + sizeof(text), number);
	result_add(result, text);
}

void result_from(struct result *result, long answer)
{
	if (answer >= 0) {
		result_done(result, "");
		return;
	}
	result->claim = CLAIM_REFUSED;
	result->error = (int32_t)-answer;
}

void result_absent(struct result *result, long answer)
{
	result->claim = CLAIM_ABSENT;
	result->error = (int32_t)(answer < 0 ? -answer : 0);
}

long file_open(const char *path, int flags)
{
	return sys(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC | O_NONBLOCK, 0600);
}

long file_read(const char *path, char *data, size_t size)
{
	long fd = file_open(path, O_RDONLY);
	size_t length = 0;
	long n = 0;

	data[0] = '\0';
	if (fd < 0) {
		return fd;
	}
	while (length + 1 < size) {
		n = sys(SYS_read, fd, data + length, size - 1 - length);
		if (n <= 0) {
			break;
		}
		length += (size_t)n;
	}
	(void)sys(SYS_close, fd);
	data[length] = '\0';
	return n < 0 && length == 0 ? n : (long)length;
}

long file_write(const char *path, int flags, const char *text)
{
	long fd = file_open(path, O_WRONLY | flags);
	long n = fd;

	if (fd >= 0) {
		n = sys(SYS_write, fd, text, text_length(text));
		(void)sys(SYS_close, fd);
	}
	return n;
}

void pause_ms(unsigned ms)
{
	struct __kernel_timespec time = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000LL};

	(void)sys(SYS_nanosleep, &time, NULL);
}

uint64_t now_ms(void)
{
	struct __kernel_timespec time = {0};

	(void)sys(SYS_clock_gettime, 1, &time);
	return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

long process_fork(void)
{
	return sys(SYS_clone, 17 /* SIGCHLD */, 0, 0, 0, 0);
}

long process_wait(long pid)
{
	int status = 0;
	long r = 0;

	do {
		r = sys(SYS_wait4, pid, &status, 0x40000000 /* __WALL */, NULL);
	} while (r == -EINTR);
	return r < 0 ? r : status;
}

void process_exit(int code)
{
	for (;;) {
		(void)sys(SYS_exit_group, code);
	}
}
