#include "keys/revoked.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "keys/blob.h"
#include "keys/fingerprint.h"

#define BLANKS " \t"
#define MAX_LINE 16384
#define FINGERPRINT_LENGTH 50 /* SHA256: and 43 characters */

static const char krl_magic[] = "SSHKRL\n";

/* Reads one line, which holds no NUL. 1 when it is the key. */
static int try_line(
	const char *line, const char *print, const uint8_t *key, size_t key_size, struct err *err)
{
	cleanup_free uint8_t *blob = NULL;
	size_t blob_size = 0;
	const char *at = line + strspn(line, BLANKS);
	size_t length = strcspn(at, BLANKS);

	if (*at == '\0' || *at == '#') {
		return 0;
	}
	if (strncmp(at, "SHA256:", 7) == 0) {
		return length == FINGERPRINT_LENGTH
			? strncmp(at, print, length) == 0
			: err_refuse(err, EINVAL, "a fingerprint is SHA256: and 43 characters");
	}
	const struct blob_kind *kind = blob_find_kind(at, length);
	if (!kind) {
		return err_refuse(err, EINVAL,
			"neither a fingerprint (SHA256:...) nor a key of a known type; for a "
			"certificate list the key it is about");
	}
	at += length;
	at += strspn(at, BLANKS);
	int r = blob_decode(at, strcspn(at, BLANKS), &blob, &blob_size, err);
	r = r ? r : blob_check_key(kind, blob, blob_size, err);
	return r ? r : blob_size == key_size && memcmp(blob, key, key_size) == 0;
}

int revoked_find(
	const char *text, size_t size, const uint8_t *key, size_t key_size, struct err *err)
{
	char print[64];
	const char *end = text + size;
	unsigned number = 0;
	int found = 0;

	if (size >= strlen(krl_magic) && memcmp(text, krl_magic, strlen(krl_magic)) == 0) {
		return err_refuse(err, ENOTSUP,
			"is a KRL of ssh-keygen -k, which is not read here; list the keys or "
			"their fingerprints, one a line");
	}
	(void)fingerprint_format(key, key_size, print, sizeof(print));
	/* To the end even when it is found, so that a bad list is said for every key. */
	while (text < end) {
		const char *feed = memchr(text, '\n', (size_t)(end - text));
		size_t length = (size_t)((feed ? feed : end) - text);
		cleanup_free char *line = NULL;
		int r = 0;

		number++;
		if (length > MAX_LINE || memchr(text, '\0', length)) {
			return err_refuse(err, EINVAL, "line %u is too long or has a NUL", number);
		}
		line = strndup(text, length);
		r = line ? try_line(line, print, key, key_size, err)
			 : err_set(err, ENOMEM, "reading revoked keys");
		if (r < 0) {
			return err_wrap(err, "line %u", number);
		}
		found = found || r > 0;
		text += length + 1;
	}
	return found;
}
