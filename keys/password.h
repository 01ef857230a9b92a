/*
 * Passwords: Argon2id by libsodium, nothing else.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define PASSWORD_LINE_SIZE 128

/* Makes the line for the configuration. 0 or -ENOMEM. */
int password_make(const char *password, size_t size, char line[PASSWORD_LINE_SIZE]);

/*
 * Is this the password? line NULL (an unknown user, or one without a password) does the same work
 * and says no. password is not wiped here; the caller does.
 */
bool password_verify(const char *line, const char *password, size_t size);

/* Is line one that password_make() could have made? */
bool password_line_is_valid(const char *line);
