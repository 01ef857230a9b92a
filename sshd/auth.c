/*
 * Unknown user, wrong key and wrong password must look alike and take alike. They look alike because
 * the client hears the same word in all cases. They take alike because an unknown user's key is
 * looked for in the files of a stand-in, an unknown user's password is checked against nothing with
 * all of Argon2's work, and every failure is answered at one of a few moments, so that what small
 * difference is left disappears in the rounding.
 */
#include "sshd/auth.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/strv.h"
#include "keys/keyfile.h"
#include "keys/password.h"

#define ROUND_USEC 5000
#define MAX_KEY_QUERIES 100
#define MAX_KEY_FILE (1024 * 1024)

void auth_init(struct auth *auth, const struct config *config, const char *address)
{
	*auth = (struct auth){.config = config, .address = address, .owner = geteuid()};
}

void auth_fini(struct auth *auth)
{
	authorized_key_fini(&auth->key);
	auth->key = (struct authorized_key){0};
}

uint64_t auth_round_time(uint64_t usec)
{
	return (usec / ROUND_USEC + 1) * ROUND_USEC;
}

static void wait_until(uint64_t deadline)
{
	struct timespec until = {
		.tv_sec = (time_t)(deadline / 1000000),
		.tv_nsec = (long)(deadline % 1000000) * 1000,
	};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) {
	}
}

/* The first name stays; as sshd, we end a connection that changes its mind. */
static bool take_name(struct auth *auth, const char *user)
{
	const char *name = parse_is_name(user) ? user : "";

	if (auth->named) {
		return strcmp(auth->name, name) == 0;
	}
	auth->named = true;
	(void)snprintf(auth->name, sizeof(auth->name), "%s", name);
	auth->user = name[0] ? config_find_user(auth->config, name) : NULL;
	return true;
}

static enum auth_answer refuse(struct auth *auth, const char *reason, uint64_t began)
{
	auth->reason = reason;
	auth->tries++;
	wait_until(began + auth_round_time(io_now_usec() - began));
	return auth->tries >= auth->config->max_auth_tries ? AUTH_TOO_MANY : AUTH_NO;
}

enum auth_answer auth_check_none(struct auth *auth, const char *user)
{
	uint64_t began = io_now_usec();
	struct err err = {0};

	if (!take_name(auth, user)) {
		return AUTH_NAME_CHANGED;
	}
	auth->method = "none";
	if (auth->user && auth->user->guest &&
		policy_find_profile(auth->config, auth->user, NULL, &auth->profile, &err) == 0 &&
		auth->profile->guest) {
		return AUTH_YES;
	}
	if (auth->none_tries++ > 0) {
		return refuse(auth, "no_credential", began);
	}
	/* Clients begin with this one to learn what there is. */
	auth->reason = "no_credential";
	return AUTH_NO;
}

#define COMPLAINTS 3 /* lines of one file that are named in the log, each time it is read */

struct complaints {
	const char *path;
	unsigned count;
};

static void complain(void *data, unsigned line, const char *message)
{
	struct complaints *complaints = data;

	if (complaints->count++ < COMPLAINTS) {
		log_warning("%s:%u: %s", complaints->path, line, message);
	}
}

/* 1 with *ret, 0 with *ret_reason. A file that cannot be used is logged and holds no key. */
static int find_in_file(const struct auth *auth, const char *pattern, const char *name,
	const uint8_t *blob, size_t blob_size, struct authorized_key *ret, const char **ret_reason)
{
	cleanup_free char *path = NULL;
	cleanup_free char *text = NULL;
	cleanup_close int fd = -1;
	size_t size = 0;
	struct err err = {0};

	/* name has passed parse_is_name(), so it cannot climb out of a directory. */
	if (config_keys_path(pattern, name, &path) < 0) {
		return 0;
	}
	fd = keyfile_open(path, auth->owner, 0, &err);
	if (fd == -ENOENT) {
		log_debug("%s", err.msg);
		return 0;
	}
	if (fd < 0) {
		log_warning("%s", err.msg);
		return 0;
	}
	int r = io_read_fd(fd, MAX_KEY_FILE, &text, &size);
	if (r < 0) {
		log_warning("%s: %s", path, strerror(-r));
		return 0;
	}
	struct complaints complaints = {.path = path};
	r = authorized_find(text, size, blob, blob_size, auth->address, time(NULL), complain,
		&complaints, ret, ret_reason);
	if (complaints.count > COMPLAINTS) {
		log_warning(
			"%s: %u more lines cannot be used", path, complaints.count - COMPLAINTS);
	}
	return r > 0;
}

/* Whose files an unknown user's key is looked for in, so that looking takes as long. */
static const struct config_user *find_stand_in(const struct config *config)
{
	for (size_t i = 0; i < config->user_count; i++) {
		if (config->users[i].authorized_keys) {
			return &config->users[i];
		}
	}
	return NULL;
}

static const char *look_for_key(struct auth *auth, const uint8_t *blob, size_t size)
{
	const struct config_user *user = auth->user ? auth->user : find_stand_in(auth->config);
	const char *name = auth->user ? auth->name : "nobody";
	const char *reason = "no such key";

	STRV_FOREACH (file, user ? user->authorized_keys : NULL) {
		struct authorized_key key = {0};
		if (!find_in_file(auth, *file, name, blob, size, &key, &reason)) {
			continue;
		}
		if (!auth->user) {
			authorized_key_fini(&key);
			break;
		}
		auth_fini(auth);
		auth->key = key;
		return NULL;
	}
	return auth->user ? reason : "unknown_user";
}

enum auth_answer auth_check_key(
	struct auth *auth, const char *user, const uint8_t *blob, size_t size, bool signed_)
{
	uint64_t began = io_now_usec();
	struct err err = {0};

	if (!take_name(auth, user)) {
		return AUTH_NAME_CHANGED;
	}
	auth->method = "publickey";
	/* A key that would do costs no try; asking for it for ever costs the connection. */
	if (!signed_ && auth->key_queries++ >= MAX_KEY_QUERIES) {
		auth->reason = "key_queries";
		return AUTH_TOO_MANY;
	}
	const char *reason = look_for_key(auth, blob, size);
	if (reason) {
		return refuse(auth, reason, began);
	}
	if (policy_find_profile(
		    auth->config, auth->user, &auth->key.options, &auth->profile, &err) < 0) {
		log_error("user %s: %s", auth->name, err.msg);
		auth_fini(auth);
		return refuse(auth, "no_profile", began);
	}
	auth->by_key = signed_;
	return AUTH_YES;
}

enum auth_answer auth_check_password(
	struct auth *auth, const char *user, const char *password, size_t size)
{
	uint64_t began = io_now_usec();
	struct err err = {0};

	if (!take_name(auth, user)) {
		return AUTH_NAME_CHANGED;
	}
	auth->method = "password";
	/* tries bounds this as well; here for whoever changes how tries are counted. */
	if (auth->password_tries++ >= auth->config->max_auth_tries) {
		return AUTH_TOO_MANY;
	}
	const char *line = auth->user ? auth->user->password : NULL;
	bool good = password_verify(line, password, size);
	if (!good) {
		return refuse(auth, auth->user ? "wrong_password" : "unknown_user", began);
	}
	if (policy_find_profile(auth->config, auth->user, NULL, &auth->profile, &err) < 0) {
		log_error("user %s: %s", auth->name, err.msg);
		return refuse(auth, "no_profile", began);
	}
	return AUTH_YES;
}
