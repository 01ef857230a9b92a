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
#include "keys/revoked.h"
#include "sshd/auth-code.h"

#define ROUND_USEC 5000
#define MAX_KEY_QUERIES 100
#define MAX_KEY_FILE (1024 * 1024)

void auth_init(struct auth *auth, const struct config *config, const char *address)
{
	*auth = (struct auth){.config = config, .address = address, .owner = geteuid()};
}

static void drop_key(struct auth *auth)
{
	authorized_key_fini(&auth->key);
	certificate_fini(&auth->certificate);
	auth->principal = NULL;
}

void auth_fini(struct auth *auth)
{
	drop_key(auth);
	rules_result_fini(&auth->result);
	auth->methods = strv_free(auth->methods);
	auth->profile = NULL;
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

/* What rules ask about, with room for what it points to. */
struct facts {
	struct rules_login login;
	char key[FINGERPRINT_SIZE], authority[FINGERPRINT_SIZE];
};

/* key and certificate may be NULL. */
static const struct rules_login *list_facts(const struct auth *auth,
	const struct authorized_key *key, const struct certificate *certificate,
	struct facts *facts)
{
	facts->login = (struct rules_login){
		.name = auth->name, .user = auth->user, .address = auth->address};
	if (key) {
		facts->login.key = fingerprint_format(
			key->blob, key->blob_size, facts->key, sizeof(facts->key));
	}
	if (key && certificate && certificate->id) {
		facts->login.authority = fingerprint_format(certificate->ca, certificate->ca_size,
			facts->authority, sizeof(facts->authority));
		facts->login.principals = certificate->principals;
	}
	return &facts->login;
}

/* What rules say before a credential is seen: nothing at all to whom they refuse. */
static void ask_rules(struct auth *auth)
{
	struct facts facts;
	const struct rules_login *login = list_facts(auth, NULL, NULL, &facts);

	auth->refused_by = rules_find_refusal(auth->config, login);
	auth->ruled = rules_find(auth->config, login, "methods");
	if (rules_methods(auth->config, login, &auth->methods, &auth->closed) < 0) {
		auth->closed = true;
	}
	if (auth->refused_by) {
		auth->user = NULL;
	}
}

/* A key that comes after the login's own chooses nothing any more, but may be one that nobody comes in with. */
static const char *refuse_second(
	struct auth *auth, const struct authorized_key *key, const struct certificate *certificate)
{
	struct facts facts;

	auth->refused_by =
		rules_find_refusal(auth->config, list_facts(auth, key, certificate, &facts));
	return auth->refused_by ? "rule" : NULL;
}

/* The login's profile, as rules, key and user have it. NULL, or why there is none. */
static const char *choose_profile(
	struct auth *auth, const struct authorized_key *key, const struct certificate *certificate)
{
	struct facts facts;
	const struct rules_login *login = list_facts(auth, key, certificate, &facts);
	struct err err = {0};

	auth->refused_by = rules_find_refusal(auth->config, login);
	if (auth->refused_by) {
		return "rule";
	}
	rules_result_fini(&auth->result);
	auth->profile = NULL;
	if (rules_apply(auth->config, login, key ? &key->options : NULL, NULL, &auth->result,
		    &err) < 0) {
		log_error("user %s: %s", auth->name, err.msg);
		return "no_profile";
	}
	auth->profile = &auth->result.profile;
	return NULL;
}

int auth_choose_profile(struct auth *auth, const char *name, struct err *err)
{
	const struct authorized_key *key = auth->by_key ? &auth->key : NULL;
	struct rules_result result = {0};
	struct facts facts;
	const struct rules_login *login =
		list_facts(auth, key, key ? &auth->certificate : NULL, &facts);
	int r = rules_apply(auth->config, login, key ? &key->options : NULL, name, &result, err);

	if (r < 0) {
		return r;
	}
	rules_result_fini(&auth->result);
	auth->result = result;
	return 0;
}

char *auth_format_identity(const struct auth *auth, char *text, size_t size)
{
	char print[FINGERPRINT_SIZE];

	if (auth->by_key && auth->certificate.id) {
		(void)snprintf(text, size, "certificate:%s", auth->certificate.id);
	} else if (auth->by_key) {
		(void)snprintf(text, size, "key:%s",
			fingerprint_format(
				auth->key.blob, auth->key.blob_size, print, sizeof(print)));
	} else {
		(void)snprintf(text, size, "%s:%s", auth->passed.count > 0 ? "password" : "guest",
			auth->name);
	}
	return text;
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
	if (auth->user) {
		ask_rules(auth);
	}
	return true;
}

static enum auth_answer refuse(struct auth *auth, const char *reason, uint64_t began)
{
	bool barred = !auth->user && auth->refused_by;

	auth->reason = barred ? "rule" : auth->closed ? "rule_leaves_no_method" : reason;
	auth->tries++;
	wait_until(began + auth_round_time(io_now_usec() - began));
	return auth->tries >= auth->config->max_auth_tries ? AUTH_TOO_MANY : AUTH_NO;
}

enum auth_answer auth_check_none(struct auth *auth, const char *user)
{
	uint64_t began = io_now_usec();

	if (!take_name(auth, user)) {
		return AUTH_NAME_CHANGED;
	}
	auth->method = "none";
	/* A rule that asks for methods asks guests as well. */
	if (auth->user && auth->user->guest && !auth->ruled && !choose_profile(auth, NULL, NULL) &&
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

/* Reads a file that decides who gets in. False, with it said on the log, when it cannot be used. */
static bool read_file(
	const struct auth *auth, const char *path, bool optional, char **ret_text, size_t *ret_size)
{
	cleanup_close int fd = -1;
	struct err err = {0};

	fd = keyfile_open(path, auth->owner, 0, &err);
	if (fd == -ENOENT && optional) {
		log_debug("%s", err.msg);
		return false;
	}
	if (fd < 0) {
		log_warning("%s", err.msg);
		return false;
	}
	int r = io_read_fd(fd, MAX_KEY_FILE, ret_text, ret_size);
	if (r < 0) {
		log_warning("%s: %s", path, strerror(-r));
		return false;
	}
	return true;
}

/* What the client has offered. */
struct offer {
	const uint8_t *blob; /* a key, or a certificate */
	size_t size;
	const uint8_t *key; /* the key, in either case */
	size_t key_size;
	const struct certificate *certificate; /* or NULL */
};

/*
 * A line for the offer in a file of keys, or with authority a line for the certificate's authority. 1 with
 * *ret, 0 with *ret_reason. A file that cannot be used holds no key.
 */
static int find_in_file(const struct auth *auth, const char *path, const char *name,
	const struct offer *offer, bool authority, struct authorized_key *ret,
	const char **ret_reason)
{
	const struct certificate *certificate = offer->certificate;
	struct complaints complaints = {.path = path};
	cleanup_free char *text = NULL;
	size_t size = 0;
	int r = 0;

	if (!read_file(auth, path, !authority, &text, &size)) {
		return 0;
	}
	if (certificate && !authority) {
		const struct authorized_question question = {certificate->ca, certificate->ca_size,
			auth->address, time(NULL), certificate->principals, name};
		r = authorized_find_authority(
			text, size, &question, complain, &complaints, ret, ret_reason);
	} else {
		r = authorized_find(text, size, authority ? certificate->ca : offer->key,
			authority ? certificate->ca_size : offer->key_size, auth->address,
			time(NULL), complain, &complaints, ret, ret_reason);
	}
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
	return config->user_count ? &config->users[0] : NULL;
}

/* Is the key, or the authority, in one of the lists? A list that cannot be read has them all. */
static bool is_revoked(const struct auth *auth, char *const *paths, const struct offer *offer)
{
	const struct certificate *certificate = offer->certificate;
	bool found = false;

	STRV_FOREACH (path, (char **)(uintptr_t)paths) {
		cleanup_free char *text = NULL;
		struct err err = {0};
		size_t size = 0;
		if (!read_file(auth, *path, false, &text, &size)) {
			log_error("revoked_keys %s: cannot be read, so no key is accepted", *path);
			return true;
		}
		int r = revoked_find(text, size, offer->key, offer->key_size, &err);
		if (r == 0 && certificate) {
			r = revoked_find(text, size, certificate->ca, certificate->ca_size, &err);
		}
		if (r < 0) {
			log_error("revoked_keys %s: %s; no key is accepted", *path, err.msg);
		}
		found = found || r != 0;
	}
	return found;
}

static char *const *user_principals(
	const struct auth *auth, const struct config_user *user, const char *name, char ***ret)
{
	char *const *list = config_user_principals(auth->config, user);

	STRV_FOREACH (item, (char **)(uintptr_t)list) {
		if (strv_append(ret, strcmp(*item, "%u") == 0 ? name : *item) < 0) {
			return NULL;
		}
	}
	return *ret;
}

/* In the files of authorities that the user's certificates may come from. */
static int find_authority(const struct auth *auth, const struct config_user *user, const char *name,
	const struct offer *offer, struct authorized_key *ret, const char **ret_reason)
{
	cleanup(strv_freep) char **names = NULL;

	STRV_FOREACH (path, (char **)(uintptr_t)config_user_cas(auth->config, user)) {
		if (!find_in_file(auth, *path, name, offer, true, ret, ret_reason)) {
			continue;
		}
		if (certificate_principal(
			    offer->certificate, user_principals(auth, user, name, &names))) {
			return 1;
		}
		authorized_key_fini(ret);
		*ret_reason = "principal";
		return 0;
	}
	return 0;
}

/* A line for the offer, wherever the user may have one. 1 with *ret, 0 with *ret_reason. */
static int find_line(const struct auth *auth, const struct config_user *user, const char *name,
	const struct offer *offer, struct authorized_key *ret, const char **ret_reason)
{
	if (offer->certificate && find_authority(auth, user, name, offer, ret, ret_reason)) {
		return 1;
	}
	STRV_FOREACH (pattern, user->authorized_keys) {
		cleanup_free char *path = NULL;
		const char *reason = NULL;
		/* name has passed parse_is_name(), so it cannot climb out of a directory. */
		if (config_keys_path(*pattern, name, &path) < 0) {
			continue;
		}
		if (find_in_file(auth, path, name, offer, false, ret, &reason)) {
			return 1;
		}
		*ret_reason =
			reason && strcmp(*ret_reason, "no such key") == 0 ? reason : *ret_reason;
	}
	return 0;
}

/*
 * What stands against a certificate whose authority is trusted, or NULL. key is the authority's line, whose
 * options become what the certificate leaves of them.
 */
static const char *check_certificate(
	const struct auth *auth, const struct offer *offer, struct authorized_key *key)
{
	const struct certificate *certificate = offer->certificate;
	const char *reason = NULL;
	struct err err = {0};
	char print[FINGERPRINT_SIZE];
	int r = certificate_verify(certificate, offer->blob, offer->size, &err);

	if (r == 0 && !certificate_is_valid(certificate, auth->address, time(NULL), &reason)) {
		return reason;
	}
	if (r == 0) {
		r = certificate_restrict(certificate, &key->options, &err);
	}
	if (r < 0) {
		/* Said at length only for authorities of ours: others' certificates cost nothing. */
		log_warning("certificate \"%s\" of authority %s is refused: %s", certificate->id,
			fingerprint_format(
				certificate->ca, certificate->ca_size, print, sizeof(print)),
			err.msg);
		return r == -ENOTSUP  ? "certificate_authority_type"
			: r == -EPERM ? "certificate_command"
				      : "certificate_signature";
	}
	return NULL;
}

/* Puts the offered key in the place of its authority's. */
static int put_key(const struct offer *offer, struct authorized_key *key)
{
	uint8_t *blob = malloc(offer->key_size);

	if (!blob) {
		return -ENOMEM;
	}
	memcpy(blob, offer->key, offer->key_size);
	free(key->blob);
	key->blob = blob;
	key->blob_size = offer->key_size;
	return 0;
}

/* The principal for which the certificate is accepted: one that was asked for, else what the line has. */
static const char *accepted_principal(const struct auth *auth, const struct config_user *user,
	const struct certificate *certificate, const struct authorized_key *key)
{
	cleanup(strv_freep) char **names = NULL;
	const char *found = NULL;

	if (key->options.cert_authority && key->options.principals) {
		return certificate_principal(certificate, key->options.principals);
	}
	if (key->options.cert_authority) {
		return auth->name;
	}
	/* Of the certificate's own list, so it outlives names. */
	found = certificate_principal(certificate, user_principals(auth, user, auth->name, &names));
	return found;
}

/* A key that may be used, and what vouched for it. */
struct candidate {
	struct authorized_key key;
	struct certificate certificate; /* id NULL: none */
	const char *principal;
};

static void candidate_fini(struct candidate *candidate)
{
	authorized_key_fini(&candidate->key);
	certificate_fini(&candidate->certificate);
}

static const char *look_for_offer(
	const struct auth *auth, const struct offer *offer, struct candidate *ret)
{
	const struct config_user *user = auth->user ? auth->user : find_stand_in(auth->config);
	const char *name = auth->user ? auth->name : "nobody";
	const char *reason = "no such key";
	struct authorized_key key = {0};

	if (!user) {
		return "unknown_user";
	}
	bool revoked = is_revoked(auth, auth->config->revoked_keys, offer);
	revoked = is_revoked(auth, user->revoked_keys, offer) || revoked;
	bool found = find_line(auth, user, name, offer, &key, &reason);
	if (found && offer->certificate) {
		reason = check_certificate(auth, offer, &key);
		found = !reason && put_key(offer, &key) == 0;
	}
	if (!auth->user || revoked || !found) {
		authorized_key_fini(&key);
		return !auth->user ? "unknown_user" : revoked ? "revoked" : reason;
	}
	ret->key = key;
	if (offer->certificate) {
		ret->principal = accepted_principal(auth, user, offer->certificate, &key);
	}
	return NULL;
}

static const char *look_for_key(
	const struct auth *auth, const uint8_t *blob, size_t size, struct candidate *ret)
{
	struct offer offer = {blob, size, blob, size, NULL};
	struct certificate certificate = {0};
	struct err err = {0};

	if (!certificate_is_one(blob, size)) {
		return look_for_offer(auth, &offer, ret);
	}
	int r = certificate_parse(blob, size, &certificate, &err);
	if (r < 0) {
		log_info("a certificate for %s is refused: %s", auth->name, err.msg);
		return !auth->user      ? "unknown_user"
			: r == -ENOTSUP ? "certificate_option"
					: "certificate_malformed";
	}
	offer.key = certificate.key;
	offer.key_size = certificate.key_size;
	offer.certificate = &certificate;
	const char *reason = look_for_offer(auth, &offer, ret);
	if (reason) {
		certificate_fini(&certificate);
	} else {
		ret->certificate = certificate;
	}
	return reason;
}

/* Has a key been passed with already? A second step wants a second key. */
static bool was_used(const struct auth *auth, const char *print)
{
	for (size_t i = 0; i < auth->used_key_count; i++) {
		if (strcmp(auth->used_keys[i], print) == 0) {
			return true;
		}
	}
	return false;
}

/* Makes the candidate's restrictions part of the login. NULL, or why they cannot be. */
static const char *take_key(struct auth *auth, struct candidate *candidate, const char *print)
{
	struct err err = {0};

	if (auth->by_key) {
		/* The first key stays the login's; the second can only take away. */
		if (authorized_options_merge(&auth->key.options, &candidate->key.options, &err) <
			0) {
			log_warning("user %s: %s", auth->name, err.msg);
			return "keys_disagree";
		}
	} else {
		drop_key(auth);
		auth->key = candidate->key;
		auth->certificate = candidate->certificate;
		auth->principal = candidate->principal;
		*candidate = (struct candidate){0};
	}
	(void)snprintf(auth->used_keys[auth->used_key_count++], FINGERPRINT_SIZE, "%s", print);
	auth->by_key = true;
	return NULL;
}

/* May the method come now? Who is unknown may try everything once. */
static bool may_come(const struct auth *auth, enum method method)
{
	bool done = false;
	unsigned next = methods_next(auth->methods, &auth->passed, &done);

	return !done && !auth->closed && (next & (1u << method)) != 0;
}

/* One method more is passed: is that all? */
static enum auth_answer pass(struct auth *auth, enum method method, uint64_t began)
{
	bool done = false;

	auth->passed.list[auth->passed.count++] = method;
	auth->next = methods_next(auth->methods, &auth->passed, &done);
	if (!done) {
		return AUTH_PARTIAL;
	}
	const char *reason = choose_profile(
		auth, auth->by_key ? &auth->key : NULL, auth->by_key ? &auth->certificate : NULL);
	if (reason) {
		auth->passed.count = 0;
		auth->used_key_count = 0;
		auth->by_key = false;
		return refuse(auth, reason, began);
	}
	auth->method = methods_format(&auth->passed, auth->chain, sizeof(auth->chain));
	return AUTH_YES;
}

static enum auth_answer try_key(
	struct auth *auth, struct candidate *candidate, bool signed_, uint64_t began)
{
	char print[FINGERPRINT_SIZE];

	(void)fingerprint_format(
		candidate->key.blob, candidate->key.blob_size, print, sizeof(print));
	if (was_used(auth, print)) {
		return refuse(auth, "key_used_twice", began);
	}
	/* The first key is the login's. */
	const char *reason = auth->by_key
		? refuse_second(auth, &candidate->key, &candidate->certificate)
		: choose_profile(auth, &candidate->key, &candidate->certificate);
	if (reason) {
		return refuse(auth, reason, began);
	}
	if (!signed_) {
		return AUTH_YES;
	}
	reason = take_key(auth, candidate, print);
	return reason ? refuse(auth, reason, began) : pass(auth, METHOD_PUBLICKEY, began);
}

enum auth_answer auth_check_key(
	struct auth *auth, const char *user, const uint8_t *blob, size_t size, bool signed_)
{
	cleanup(candidate_fini) struct candidate candidate = {0};
	uint64_t began = io_now_usec();

	auth->prompts = 0;
	if (!take_name(auth, user)) {
		return AUTH_NAME_CHANGED;
	}
	auth->method = "publickey";
	/* A key that would do costs no try; asking for it for ever costs the connection. */
	if (!signed_ && auth->key_queries++ >= MAX_KEY_QUERIES) {
		auth->reason = "key_queries";
		return AUTH_TOO_MANY;
	}
	const char *reason = look_for_key(auth, blob, size, &candidate);
	if (!reason && !may_come(auth, METHOD_PUBLICKEY)) {
		reason = "method_not_now";
	}
	return reason ? refuse(auth, reason, began) : try_key(auth, &candidate, signed_, began);
}

enum auth_answer auth_check_password(
	struct auth *auth, const char *user, const char *password, size_t size)
{
	uint64_t began = io_now_usec();

	auth->prompts = 0;
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
	if (!may_come(auth, METHOD_PASSWORD)) {
		return refuse(auth, "method_not_now", began);
	}
	return pass(auth, METHOD_PASSWORD, began);
}

/* ---- keyboard-interactive ---- */

static bool has_passed(const struct auth *auth, enum method method)
{
	for (size_t i = 0; i < auth->passed.count; i++) {
		if (auth->passed.list[i] == method) {
			return true;
		}
	}
	return false;
}

/* What this user has to answer: all there is, but no password twice. */
static unsigned find_due(const struct auth *auth)
{
	const struct config_user *user = auth->user;

	if (!user || !may_come(auth, METHOD_INTERACTIVE)) {
		return 0;
	}
	return (user->password && !has_passed(auth, METHOD_PASSWORD) ? AUTH_PROMPT_PASSWORD : 0) |
		(user->totp ? AUTH_PROMPT_CODE : 0);
}

/* What anybody might have to answer. */
static unsigned find_common(const struct config *config)
{
	unsigned prompts = 0;

	for (size_t i = 0; i < config->user_count; i++) {
		prompts |= (config->users[i].password ? AUTH_PROMPT_PASSWORD : 0) |
			(config->users[i].totp ? AUTH_PROMPT_CODE : 0);
	}
	return prompts;
}

unsigned auth_offered(const struct config *config)
{
	unsigned offered = 1u << METHOD_PUBLICKEY;

	for (size_t i = 0; i < config->user_count; i++) {
		const struct config_user *user = &config->users[i];
		offered |= user->password ? 1u << METHOD_PASSWORD : 0;
		/* A second way to ask for the same password is offered to those who wanted it. */
		STRV_FOREACH (chain, user->methods) {
			offered |= strstr(*chain, method_name(METHOD_INTERACTIVE))
				? 1u << METHOD_INTERACTIVE
				: 0;
		}
	}
	for (size_t i = 0; i < config->rule_count; i++) {
		STRV_FOREACH (chain, config->rules[i].methods) {
			offered |= strstr(*chain, method_name(METHOD_INTERACTIVE))
				? 1u << METHOD_INTERACTIVE
				: 0;
		}
	}
	return offered;
}

enum auth_answer auth_ask(struct auth *auth, const char *user)
{
	uint64_t began = io_now_usec();

	auth->prompts = 0;
	if (!take_name(auth, user)) {
		return AUTH_NAME_CHANGED;
	}
	auth->method = "keyboard-interactive";
	/* Asking costs nothing here; an answer costs a try. */
	if (auth->asked++ >= MAX_KEY_QUERIES) {
		auth->reason = "questions";
		return AUTH_TOO_MANY;
	}
	auth->prompts = auth->passed.count > 0 ? find_due(auth) : find_common(auth->config);
	if (auth->prompts == 0 || !(auth_offered(auth->config) & (1u << METHOD_INTERACTIVE))) {
		auth->prompts = 0;
		return refuse(auth, "method_not_now", began);
	}
	return AUTH_PROMPT;
}

enum auth_answer auth_check_answer(
	struct auth *auth, const char *user, const char *password, size_t size, const char *code)
{
	uint64_t began = io_now_usec();
	unsigned prompts = auth->prompts;

	auth->prompts = 0;
	if (!take_name(auth, user)) {
		return AUTH_NAME_CHANGED;
	}
	auth->method = "keyboard-interactive";
	if (prompts == 0) {
		return refuse(auth, "method_not_now", began);
	}
	unsigned due = find_due(auth);
	const char *line = auth->user ? auth->user->password : NULL;
	bool good = due != 0;
	bool proven = auth->passed.count > 0 || (due & AUTH_PROMPT_PASSWORD);
	const char *reason = !auth->user ? "unknown_user" : "method_not_now";
	/* The work is done for everybody who was asked, and what is due decides. */
	if ((prompts & AUTH_PROMPT_PASSWORD) && !password_verify(line, password, size) &&
		(due & AUTH_PROMPT_PASSWORD)) {
		good = false;
		reason = "wrong_password";
	}
	if ((due & AUTH_PROMPT_CODE) &&
		!auth_code_verify(auth->config, auth->user, auth->owner, code, good, proven) &&
		good) {
		good = false;
		reason = "wrong_code";
	}
	return good ? pass(auth, METHOD_INTERACTIVE, began) : refuse(auth, reason, began);
}
