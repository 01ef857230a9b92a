/*
 * A line is either
 *
 *	algorithm base64 [comment]
 *	options algorithm base64 [comment]
 *
 * where options is a list without blanks outside quotes. Whatever is not understood refuses the
 * whole line: an option skipped would be a restriction lost. For the same reason a line that is too
 * long is dropped whole (the tail of a split one would read as a key without restrictions), and no
 * option that has a value may be given twice.
 */
#include "keys/authorized-parts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/strv.h"
#include "keys/blob.h"

#define BLANKS " \t"

/* ---- lines ---- */

void authorized_key_fini(struct authorized_key *key)
{
	free(key->algorithm);
	free(key->blob);
	free(key->comment);
	free(key->options.command);
	key->options.from = strv_free(key->options.from);
	key->options.permit_open = strv_free(key->options.permit_open);
	key->options.permit_listen = strv_free(key->options.permit_listen);
	key->options.principals = strv_free(key->options.principals);
	key->options.environment = strv_free(key->options.environment);
	free(key->options.profile);
	*key = (struct authorized_key){0};
}

static int check_bytes(const char *line, struct err *err)
{
	size_t length = strnlen(line, AUTHORIZED_MAX_LINE + 1);

	if (length > AUTHORIZED_MAX_LINE) {
		return err_refuse(
			err, EINVAL, "the line is longer than %d bytes", AUTHORIZED_MAX_LINE);
	}
	for (const char *at = line; *at; at++) {
		if (*at == '\r') {
			return err_refuse(err, EINVAL,
				"the line has a carriage return; the file must have Unix line "
				"ends");
		}
		if (((unsigned char)*at < 0x20 && *at != '\t') || *at == 0x7f) {
			return err_refuse(err, EINVAL, "the line has a control byte, \\x%02x",
				(unsigned)(unsigned char)*at);
		}
	}
	return 0;
}

/* Reads "base64 [comment]". */
static int parse_key(
	const char *at, const struct blob_kind *kind, struct authorized_key *key, struct err *err)
{
	size_t length = 0;
	int r = 0;

	at += strspn(at, BLANKS);
	length = strcspn(at, BLANKS);
	r = blob_decode(at, length, &key->blob, &key->blob_size, err);
	if (r < 0) {
		return r;
	}
	r = blob_check_key(kind, key->blob, key->blob_size, err);
	if (r < 0) {
		return r;
	}
	at += length;
	at += strspn(at, BLANKS);
	key->algorithm = strdup(kind->name);
	if (!key->algorithm || (*at && !(key->comment = strdup(at)))) {
		return err_set(err, ENOMEM, "reading a key");
	}
	return 0;
}

/* Does the word look like a type of key, though not one of ours? No option begins like this. */
static bool looks_like_kind(const char *word)
{
	return strncmp(word, "ssh-", 4) == 0 || strncmp(word, "ecdsa-", 6) == 0 ||
		strncmp(word, "sk-", 3) == 0;
}

static int parse_parts(const char *at, struct authorized_key *key, struct err *err)
{
	size_t length = strcspn(at, BLANKS);
	const struct blob_kind *kind = blob_find_kind(at, length);

	if (!kind && !looks_like_kind(at)) {
		int r = authorized_take_options(&at, &key->options, err);
		if (r < 0) {
			return r;
		}
		at += strspn(at, BLANKS);
		length = strcspn(at, BLANKS);
		kind = blob_find_kind(at, length);
	}
	if (!kind) {
		return err_refuse(err, EINVAL, "\"%.*s\" is not a type of key that is accepted",
			(int)(length < 64 ? length : 64), at);
	}
	return parse_key(at + length, kind, key, err);
}

int authorized_parse_line(const char *line, struct authorized_key *ret, struct err *err)
{
	struct authorized_key key = {.options = {.pty = true,
					     .port_forwarding = true,
					     .agent_forwarding = true,
					     .x11_forwarding = true}};
	const char *at = line + strspn(line, BLANKS);
	int r = 0;

	if (*at == '\0' || *at == '#') {
		return 0;
	}
	r = check_bytes(line, err);
	if (r == 0) {
		r = parse_parts(at, &key, err);
	}
	if (r == 0 && key.options.principals && !key.options.cert_authority) {
		r = err_refuse(err, EINVAL, "principals= says nothing without cert-authority");
	}
	if (r < 0) {
		authorized_key_fini(&key);
		return r;
	}
	*ret = key;
	return 1;
}

/* ---- files ---- */

struct search {
	const uint8_t *blob;
	size_t blob_size;
	const char *address;
	time_t now;
	char *const
		*principals; /* of a certificate: its authority is looked for, else a plain key */
	const char *login;
	const char *reason;
};

/* Does the line's list have one of the certificate's principals? Without a list, the login name counts. */
static bool has_principal(const struct key_options *key, const struct search *search)
{
	for (char *const *name = search->principals; *name; name++) {
		if (key->principals ? strv_contains(key->principals, *name)
				    : strcmp(*name, search->login) == 0) {
			return true;
		}
	}
	return false;
}

static bool may_be_used(const struct key_options *key, struct search *search)
{
	/* The key of an authority opens nothing by itself, and a plain key is no authority. */
	if (key->cert_authority != (search->principals != NULL)) {
		return false;
	}
	if (search->principals && !has_principal(key, search)) {
		search->reason = "principal";
		return false;
	}
	if (key->expiry && key->expiry < search->now) {
		search->reason = "expired";
		return false;
	}
	if (key->from && !authorized_match_address(key->from, search->address)) {
		search->reason = "from";
		return false;
	}
	return true;
}

/* Looks at one line of length bytes, which may hold NULs. 1 and *ret when it is the key and serves. */
static int try_line(const char *line, size_t length, struct search *search,
	struct authorized_key *ret, struct err *err)
{
	struct authorized_key key = {0};
	cleanup_free char *copy = NULL;
	int r = 0;

	if (length > AUTHORIZED_MAX_LINE) {
		return err_refuse(
			err, EINVAL, "the line is longer than %d bytes", AUTHORIZED_MAX_LINE);
	}
	if (memchr(line, '\0', length)) {
		return err_refuse(err, EINVAL, "the line has a NUL byte");
	}
	copy = strndup(line, length);
	if (!copy) {
		return err_set(err, ENOMEM, "reading keys");
	}
	r = authorized_parse_line(copy, &key, err);
	if (r <= 0) {
		return r;
	}
	if (key.blob_size == search->blob_size &&
		memcmp(key.blob, search->blob, key.blob_size) == 0 &&
		may_be_used(&key.options, search)) {
		*ret = key;
		return 1;
	}
	authorized_key_fini(&key);
	return 0;
}

static bool is_blank(const char *line, size_t length)
{
	while (length > 0 && (*line == ' ' || *line == '\t')) {
		line++;
		length--;
	}
	return length == 0 || *line == '#';
}

static int find(const char *text, size_t size, struct search *search,
	void (*complain)(void *data, unsigned line, const char *message), void *data,
	struct authorized_key *ret, const char **ret_reason)
{
	const char *end = text + size;
	unsigned number = 0;
	unsigned keys = 0;

	while (text < end) {
		const char *feed = memchr(text, '\n', (size_t)(end - text));
		size_t length = (size_t)((feed ? feed : end) - text);
		struct err err = {0};
		int r = 0;

		number++;
		if (!is_blank(text, length)) {
			if (keys++ == AUTHORIZED_MAX_KEYS) {
				if (complain) {
					complain(data, number,
						"too many keys; the rest is not read");
				}
				break;
			}
			r = try_line(text, length, search, ret, &err);
		}
		if (r > 0 || r == -ENOMEM) {
			return r;
		}
		if (r < 0 && complain) {
			complain(data, number, err.msg);
		}
		text += length + 1;
	}
	*ret_reason = search->reason;
	return 0;
}

int authorized_find(const char *text, size_t size, const uint8_t *blob, size_t blob_size,
	const char *address, time_t now,
	void (*complain)(void *data, unsigned line, const char *message), void *data,
	struct authorized_key *ret, const char **ret_reason)
{
	struct search search = {blob, blob_size, address, now, .reason = "no such key"};

	return find(text, size, &search, complain, data, ret, ret_reason);
}

int authorized_find_authority(const char *text, size_t size,
	const struct authorized_question *question,
	void (*complain)(void *data, unsigned line, const char *message), void *data,
	struct authorized_key *ret, const char **ret_reason)
{
	struct search search = {question->blob, question->blob_size, question->address,
		question->now, question->principals, question->login, "no such key"};

	return find(text, size, &search, complain, data, ret, ret_reason);
}
