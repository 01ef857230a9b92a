/*
 * Passwords: Argon2id by libsodium, nothing else.
 *
 * All lines have one cost (libsodium's "interactive": 64 MiB, two passes), so that a login with an
 * unknown name can be made to take just as long as one with a wrong password.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define PASSWORD_LINE_SIZE 128

/* Makes the line for the configuration. 0, -EINVAL for an empty password, or -ENOMEM. */
int password_make(const char *password, size_t size, char line[PASSWORD_LINE_SIZE]);

/*
 * Is this the password? line NULL (an unknown user, or one without a password), or one that
 * password_line_is_valid() refuses, does the same work and says no; so does an empty password.
 * password is not wiped here; the caller does.
 */
bool password_verify(const char *line, const char *password, size_t size);

/* Is line one that password_make() could have made? */
bool password_line_is_valid(const char *line);
