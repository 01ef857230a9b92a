#include "sshd/auth-code.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/parse.h"
#include "keys/seal.h"
#include "keys/totp.h"

/* The record of a user: the counter of the last code that was taken, in decimal. Locked until closed. */
static int open_record(const struct config *config, const char *name)
{
	char path[1024];

	if (!config->state_dir ||
		snprintf(path, sizeof(path), "%s/totp", config->state_dir) >= (int)sizeof(path) ||
		(mkdir(config->state_dir, 0700) < 0 && errno != EEXIST) ||
		(mkdir(path, 0700) < 0 && errno != EEXIST)) {
		return -ENOENT;
	}
	if (snprintf(path, sizeof(path), "%s/totp/%s", config->state_dir, name) >=
		(int)sizeof(path)) {
		return -ENAMETOOLONG;
	}
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0 && flock(fd, LOCK_EX) < 0) {
		(void)close(fd);
		return -EIO;
	}
	return fd < 0 ? -errno : fd;
}

static int read_record(int fd, uint64_t *ret_last)
{
	char text[32] = "";
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	*ret_last = 0;
	if (n < 0) {
		return -errno;
	}
	/* Empty is a new one; anything else that is no number is not ours to guess about. */
	return n == 0 ? 0 : parse_u64(text, ret_last);
}

static int write_record(int fd, uint64_t counter)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%020llu", (unsigned long long)counter);

	/* Always as long, so that a torn write leaves no shorter number. */
	if (pwrite(fd, text, (size_t)n, 0) != n || fsync(fd) < 0) {
		return -EIO;
	}
	return 0;
}

static bool verify(const struct config *config, const struct config_user *user,
	const uint8_t secret[SEAL_SECRET_SIZE], const char *code, bool count)
{
	cleanup_close int fd = open_record(config, user->name);
	uint64_t last = 0;
	uint64_t counter = 0;

	if (fd < 0 || read_record(fd, &last) < 0) {
		log_error("state_dir/totp/%s cannot be read and written, so no code is accepted",
			user->name);
		return false;
	}
	if (!totp_verify(secret, SEAL_SECRET_SIZE, time(NULL), code, last, &counter) || !count) {
		return false;
	}
	if (write_record(fd, counter) < 0) {
		log_error("state_dir/totp/%s cannot be written, so the code is not accepted",
			user->name);
		return false;
	}
	return true;
}

bool auth_code_verify(const struct config *config, const struct config_user *user, uid_t owner,
	const char *code, bool count)
{
	uint8_t key[SEAL_KEY_SIZE] = {0};
	uint8_t secret[SEAL_SECRET_SIZE] = {0};
	struct err err = {0};
	bool good = false;

	if (!config->totp_key || seal_load_key(config->totp_key, owner, key, &err) < 0) {
		log_error(
			"one-time codes: %s", config->totp_key ? err.msg : "there is no totp_key");
	} else if (seal_open_line(key, user->totp, secret) < 0) {
		log_error("user %s: the totp line was not sealed with %s", user->name,
			config->totp_key);
	} else {
		good = verify(config, user, secret, code, count);
	}
	sodium_memzero(key, sizeof(key));
	sodium_memzero(secret, sizeof(secret));
	return good;
}
