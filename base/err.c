#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void append_code(struct err *err, int code)
{
	size_t used = strlen(err->msg);

	/* strerror_r() is another function in each C library. This one is for threads too, in glibc and in musl. */
	(void)snprintf(err->msg + used, sizeof(err->msg) - used, ": %s", strerror(code));
}

/* Writes the words; returns what the caller returns. */
__attribute__((format(printf, 3, 0))) static int put(
	struct err *err, int code, const char *format, va_list args)
{
	code = code ? code : EINVAL;
	if (err) {
		err->code = code;
		(void)vsnprintf(err->msg, sizeof(err->msg), format, args);
	}
	return -code;
}

int err_set(struct err *err, int code, const char *format, ...)
{
	va_list args;
	int r;

	va_start(args, format);
	r = put(err, code, format, args);
	va_end(args);
	if (err && code) {
		append_code(err, code);
	}
	return r;
}

int err_refuse(struct err *err, int code, const char *format, ...)
{
	va_list args;
	int r;

	va_start(args, format);
	r = put(err, code, format, args);
	va_end(args);
	return r;
}

int err_wrap(struct err *err, const char *format, ...)
{
	char context[sizeof(err->msg)];
	char both[2 * sizeof(err->msg) + 4];
	va_list args;

	if (!err) {
		return -EINVAL;
	}
	va_start(args, format);
	(void)vsnprintf(context, sizeof(context), format, args);
	va_end(args);
	(void)snprintf(both, sizeof(both), "%s: %s", context, err->msg);
	(void)memccpy(err->msg, both, '\0', sizeof(err->msg) - 1);
	err->msg[sizeof(err->msg) - 1] = '\0';
	return err->code ? -err->code : -EINVAL;
}
