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

/* The record of a user, see struct record: in decimal, with blanks between. Locked until closed. */
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

/*
 * Whoever comes this far with a wrong code has the first half of the login already, and a million codes are
 * tried in a day from one address. After FREE_FAILURES in a row none is accepted for a while, which doubles
 * with each one more: some two dozen a day are left. Nobody can do that to a user without that first half.
 */
#define FREE_FAILURES 5
#define FIRST_PAUSE 30 /* seconds */
#define MOST_DOUBLINGS 7

struct record {
	uint64_t last; /* counter of the code that was used last */
	uint64_t failures; /* in a row, since then */
	uint64_t failed_at; /* seconds of the clock */
};

static int read_record(int fd, struct record *ret)
{
	uint64_t *const fields[] = {&ret->last, &ret->failures, &ret->failed_at};
	char text[96] = "";
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	char *rest = text;
	size_t count = 0;

	*ret = (struct record){0};
	if (n <= 0) {
		return n < 0 ? -errno : 0; /* empty is a new one */
	}
	/* Anything else that is no number is not ours to guess about. */
	for (char *word = NULL; (word = strsep(&rest, " ")); count++) {
		if (count == ARRAY_SIZE(fields) || parse_u64(word, fields[count]) < 0) {
			return -EBADMSG;
		}
	}
	/* One number was all there was before failures were counted. */
	return count == 1 || count == ARRAY_SIZE(fields) ? 0 : -EBADMSG;
}

static int write_record(int fd, const struct record *record)
{
	char text[96];
	int n = snprintf(text, sizeof(text), "%020llu %020llu %020llu",
		(unsigned long long)record->last, (unsigned long long)record->failures,
		(unsigned long long)record->failed_at);

	/* Always as long, so that a torn write leaves no shorter number. */
	return pwrite(fd, text, (size_t)n, 0) == n ? 0 : -EIO;
}

static bool must_wait(const struct record *record, uint64_t now)
{
	uint64_t more = record->failures - FREE_FAILURES;

	return record->failures >= FREE_FAILURES && now >= record->failed_at &&
		now - record->failed_at < (uint64_t)FIRST_PAUSE
			<< (more < MOST_DOUBLINGS ? more : MOST_DOUBLINGS);
}

/* No fsync here: how long it took would tell that the password beside the code was right. */
static void note_failure(int fd, struct record *record, uint64_t now, const char *name)
{
	record->failures++;
	record->failed_at = now;
	if (write_record(fd, record) < 0) {
		log_error("state_dir/totp/%s cannot be written", name);
	}
	if (record->failures >= FREE_FAILURES) {
		log_warning("user %s: %llu wrong codes in a row behind a good credential; for a "
			    "while none is accepted",
			name, (unsigned long long)record->failures);
	}
}

static bool verify(const struct config *config, const struct config_user *user,
	const uint8_t secret[SEAL_SECRET_SIZE], const char *code, bool count, bool proven)
{
	cleanup_close int fd = open_record(config, user->name);
	uint64_t now = (uint64_t)time(NULL);
	struct record record;
	uint64_t counter = 0;

	if (fd < 0 || read_record(fd, &record) < 0) {
		log_error("state_dir/totp/%s cannot be read and written, so no code is accepted",
			user->name);
		return false;
	}
	bool waits = must_wait(&record, now);
	bool good = totp_verify(secret, SEAL_SECRET_SIZE, (time_t)now, code, record.last, &counter);
	if (waits || !count) {
		return false;
	}
	if (!good && proven) {
		note_failure(fd, &record, now, user->name);
	}
	if (!good) {
		return false;
	}
	record = (struct record){.last = counter};
	if (write_record(fd, &record) < 0 || fsync(fd) < 0) {
		log_error("state_dir/totp/%s cannot be written, so the code is not accepted",
			user->name);
		return false;
	}
	return true;
}

bool auth_code_verify(const struct config *config, const struct config_user *user, uid_t owner,
	const char *code, bool count, bool proven)
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
		good = verify(config, user, secret, code, count, proven);
	}
	sodium_memzero(key, sizeof(key));
	sodium_memzero(secret, sizeof(secret));
	return good;
}
