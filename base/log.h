/*
 * One line for people, on standard error, a file or syslog.
 *
 * Programs log, libraries do not. Control bytes and whatever is not UTF-8 are written as \xNN, so
 * no text from outside can forge a line.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Names the program at the head of each line, e.g. "cloche-sshd[17]". Copies ident. */
void log_init(const char *ident, enum log_level level);

/* Changes how much is said. */
void log_set_level(enum log_level level);

/* Sends lines to fd from now on; borrowed, and it must stay open. The default is 2. */
void log_set_fd(int fd);

/* Sends lines to syslog(3), facility auth, instead of a descriptor. */
void log_set_syslog(bool on);

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

/*
 * Copies text to out (size bytes, at least 5) with control bytes, backslashes, DEL and bytes that
 * are not valid UTF-8 as \xNN. Cut short where it does not fit; always terminated. Returns out.
 */
char *log_escape(const char *text, char *out, size_t size);
