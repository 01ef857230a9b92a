#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "base/parse.h"

static struct {
	char ident[48];
	enum log_level level;
	int fd;
	bool to_syslog;
} state = {.ident = "cloche", .level = LOG_LEVEL_INFO, .fd = STDERR_FILENO};

static const struct {
	const char *name;
	int priority;
} levels[] = {
	[LOG_LEVEL_ERROR] = {"error", LOG_ERR},
	[LOG_LEVEL_WARNING] = {"warning", LOG_WARNING},
	[LOG_LEVEL_INFO] = {"info", LOG_INFO},
	[LOG_LEVEL_DEBUG] = {"debug", LOG_DEBUG},
};

void log_init(const char *ident, enum log_level level)
{
	(void)snprintf(state.ident, sizeof(state.ident), "%s", ident);
	state.level = level;
}

void log_set_level(enum log_level level)
{
	state.level = level;
}

void log_set_fd(int fd)
{
	state.fd = fd;
}

void log_set_syslog(bool on)
{
	state.to_syslog = on;
	if (on) {
		openlog(state.ident, LOG_PID, LOG_AUTH);
	}
}

/* The 8-bit ones too: some terminals obey them where they come as U+0080 to U+009F. */
static bool is_control(const char *text, size_t length)
{
	unsigned char first = (unsigned char)text[0];

	return length == 1 ? first < 0x20 || first == 0x7f
			   : length == 2 && first == 0xc2 && (unsigned char)text[1] < 0xa0;
}

char *log_escape(const char *text, char *out, size_t size)
{
	size_t used = 0;

	while (*text && used + 5 <= size) {
		size_t length = parse_utf8_length(text);
		if (is_control(text, length) || *text == '\\') {
			length = 0;
		}
		if (length == 0) {
			used += (size_t)snprintf(
				out + used, size - used, "\\x%02x", (unsigned)(unsigned char)*text);
			text++;
			continue;
		}
		if (used + length + 1 > size) {
			break;
		}
		memcpy(out + used, text, length);
		used += length;
		text += length;
	}
	out[used] = '\0';
	return out;
}

void log_line(enum log_level level, const char *format, ...)
{
	char raw[2048];
	char safe[4096];
	char line[4300];
	int saved = errno;
	va_list args;

	if (level > state.level) {
		return;
	}
	va_start(args, format);
	(void)vsnprintf(raw, sizeof(raw), format, args);
	va_end(args);
	log_escape(raw, safe, sizeof(safe));
	if (state.to_syslog) {
		syslog(levels[level].priority, "%s", safe);
	} else {
		int length = snprintf(line, sizeof(line), "%s: %s%s%s\n", state.ident,
			level == LOG_LEVEL_INFO ? "" : levels[level].name,
			level == LOG_LEVEL_INFO ? "" : ": ", safe);
		/* One write a line: lines of several processes do not mix. A full disk must not
		 * stop the server, so the result is not looked at. */
		ssize_t ignored = write(state.fd, line, (size_t)length);
		(void)ignored;
	}
	errno = saved;
}
