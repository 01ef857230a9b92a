/*
 * authorized_keys, and what a line that was accepted must be: a key that is found again by its own blob,
 * under a NUL-free text of bounded length.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/strv.h"
#include "keys/authorized.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void complain(void *data, unsigned line, const char *message)
{
	assert(line > 0 && *message);
	++*(unsigned *)data;
}

/* A line with cert-authority is found by a certificate of the right principal only. */
static void check_authority(const char *line, const struct authorized_key *key)
{
	char *names[] = {(char[]){"nobody"}, NULL};
	const struct authorized_question question = {key->blob, key->blob_size, "192.0.2.1",
		1800000000, key->options.principals ? key->options.principals : names, "nobody"};
	struct authorized_key found = {0};
	const char *reason = NULL;
	int r = authorized_find_authority(
		line, strlen(line), &question, NULL, NULL, &found, &reason);

	assert(r == 0 || key->options.cert_authority);
	assert(r == 1 || !key->options.cert_authority || key->options.from || key->options.expiry);
	if (r == 1) {
		authorized_key_fini(&found);
	}
}

/* What an accepted key may do must follow from what its line says. */
static void check_key(const char *line, const struct authorized_key *key)
{
	struct authorized_key found = {0};
	const char *reason = NULL;
	const struct key_options *options = &key->options;
	int r = 0;

	assert(strlen(line) <= AUTHORIZED_MAX_LINE);
	assert(key->blob_size > 4 && strstr(line, key->algorithm));
	assert(!options->command || strcasestr(line, "command=\""));
	assert(!options->from || (*options->from && strcasestr(line, "from=\"")));
	assert(!options->expiry || strcasestr(line, "expiry-time=\""));
	assert(!options->restricted || strcasestr(line, "restrict"));
	(void)authorized_match_address(options->from, "192.0.2.1");
	(void)authorized_match_address(options->from, "::ffff:192.0.2.1");
	(void)authorized_match_address(options->from, "2001:db8::1");

	check_authority(line, key);
	r = authorized_find(line, strlen(line), key->blob, key->blob_size, "192.0.2.1", 1800000000,
		NULL, NULL, &found, &reason);
	if (r == 1) {
		authorized_key_fini(&found);
	} else {
		/* Only its own restrictions may keep it from being used. */
		assert(r == 0 && (options->from || options->expiry || options->cert_authority));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t blob[51] = {
		0, 0, 0, 11, 's', 's', 'h', '-', 'e', 'd', '2', '5', '5', '1', '9', 0, 0, 0, 32};
	struct authorized_key key = {0};
	struct err err = {0};
	const char *reason = NULL;
	unsigned complaints = 0;
	char *text = malloc(size + 1);
	int r = 0;

	if (!text) {
		return 0;
	}
	memcpy(text, data, size);
	text[size] = '\0';
	r = authorized_find(text, size, blob, sizeof(blob), "192.0.2.1", 1800000000, complain,
		&complaints, &key, &reason);
	assert(r == 0 || r == 1);
	assert(r == 1 || reason);
	if (r == 1) {
		authorized_key_fini(&key);
	}
	/* The first line on its own. */
	text[strcspn(text, "\n")] = '\0';
	r = authorized_parse_line(text, &key, &err);
	assert(r == 0 || r == 1 || (r < 0 && err.msg[0]));
	if (r == 1) {
		check_key(text, &key);
		authorized_key_fini(&key);
	}
	free(text);
	return 0;
}
