/*
 * The fields of a certificate, all but the last of which are signed:
 *
 *	string name of the type; string nonce; the key's own fields; uint64 serial; uint32 1 for a user;
 *	string id; string principals (strings); uint64 valid after; uint64 valid before;
 *	string critical options, string extensions (both: string name, string data, ...);
 *	string reserved; string key of the authority; string signature
 *
 * The data of an option is empty or again a string.
 */
#include "keys/certificate.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "base/strv.h"

#define USER_CERTIFICATE 1
#define NAME_TAIL "-cert-v01@openssh.com"

void certificate_fini(struct certificate *certificate)
{
	free(certificate->key);
	free(certificate->id);
	free(certificate->command);
	free(certificate->ca);
	free(certificate->signature);
	(void)strv_free(certificate->principals);
	(void)strv_free(certificate->source);
	*certificate = (struct certificate){0};
}

/* What the key is called that a certificate of this name is about; NULL when it names no certificate. */
static const struct blob_kind *find_certified(const uint8_t *name, size_t length)
{
	static const char vendor[] = "@openssh.com";
	size_t tail = strlen(NAME_TAIL);
	char plain[64];

	if (length <= tail || length >= sizeof(plain) - sizeof(vendor) ||
		memcmp(name + length - tail, NAME_TAIL, tail) != 0) {
		return NULL;
	}
	length -= tail;
	memcpy(plain, name, length);
	plain[length] = '\0';
	/* sk-ssh-ed25519-cert-v01@openssh.com is about an sk-ssh-ed25519@openssh.com. */
	if (strncmp(plain, "sk-", 3) == 0) {
		memcpy(plain + length, vendor, sizeof(vendor));
	}
	return blob_find_kind(plain, strlen(plain));
}

bool certificate_is_one(const uint8_t *data, size_t size)
{
	struct blob blob = {data, size};
	const uint8_t *name = NULL;
	size_t length = 0;

	return blob_string(&blob, &name, &length) && find_certified(name, length);
}

static int malformed(struct err *err, const char *what)
{
	return err_refuse(err, EINVAL, "the certificate's %s is malformed", what);
}

/* A string that is text: no NUL and no other control byte in it. */
static int take_text(
	const uint8_t *data, size_t size, char **ret, const char *what, struct err *err)
{
	for (size_t i = 0; i < size; i++) {
		if (data[i] < 0x20 || data[i] == 0x7f) {
			return malformed(err, what);
		}
	}
	*ret = strndup((const char *)data, size);
	return *ret ? 0 : err_set(err, ENOMEM, "reading a certificate");
}

static int take_copy(
	struct blob *blob, uint8_t **ret_data, size_t *ret_size, const char *what, struct err *err)
{
	const uint8_t *data = NULL;
	size_t size = 0;

	if (!blob_string(blob, &data, &size) || size == 0) {
		return malformed(err, what);
	}
	*ret_data = malloc(size);
	if (!*ret_data) {
		return err_set(err, ENOMEM, "reading a certificate");
	}
	memcpy(*ret_data, data, size);
	*ret_size = size;
	return 0;
}

/* ---- options ---- */

static int set_command(struct certificate *certificate, const char *value, struct err *err)
{
	certificate->command = strdup(value);
	return certificate->command ? 0 : err_set(err, ENOMEM, "reading a certificate");
}

static int set_source(struct certificate *certificate, const char *value, struct err *err)
{
	for (;;) {
		size_t length = strcspn(value, ",");
		cleanup_free char *network = strndup(value, length);

		if (!network) {
			return err_set(err, ENOMEM, "reading a certificate");
		}
		if (!authorized_is_network(network)) {
			return err_refuse(err, EINVAL,
				"the certificate's source-address is no list of networks");
		}
		if (strv_consume(&certificate->source, take_ptr(&network)) < 0) {
			return err_set(err, ENOMEM, "reading a certificate");
		}
		if (value[length] == '\0') {
			return 0;
		}
		value += length + 1;
	}
}

struct option {
	const char *name;
	size_t flag; /* of an extension, in struct certificate */
	int (*set)(struct certificate *certificate, const char *value, struct err *err);
};

static const struct option critical_options[] = {
	{"force-command", .set = set_command},
	{"source-address", .set = set_source},
};

static const struct option extensions[] = {
	{"permit-pty", offsetof(struct certificate, pty)},
	{"permit-port-forwarding", offsetof(struct certificate, port_forwarding)},
	{"permit-agent-forwarding", offsetof(struct certificate, agent_forwarding)},
	{"permit-X11-forwarding", offsetof(struct certificate, x11_forwarding)},
};

static const struct option *find_option(
	const struct option *list, size_t count, const uint8_t *name, size_t length)
{
	for (size_t i = 0; i < count; i++) {
		if (strlen(list[i].name) == length && memcmp(list[i].name, name, length) == 0) {
			return &list[i];
		}
	}
	return NULL;
}

static int set_critical(struct certificate *certificate, const uint8_t *name, size_t length,
	struct blob data, struct err *err)
{
	const struct option *option =
		find_option(critical_options, ARRAY_SIZE(critical_options), name, length);
	cleanup_free char *value = NULL;
	const uint8_t *text = NULL;
	size_t size = 0;

	if (!option) {
		return err_refuse(err, ENOTSUP,
			"the certificate has the critical option \"%.*s\", which is not enforced "
			"here",
			(int)(length < 64 ? length : 64), (const char *)name);
	}
	if (!blob_string(&data, &text, &size) || data.left > 0 || size == 0) {
		return malformed(err, option->name);
	}
	int r = take_text(text, size, &value, option->name, err);
	return r < 0 ? r : option->set(certificate, value, err);
}

static int set_extension(struct certificate *certificate, const uint8_t *name, size_t length,
	struct blob data, struct err *err)
{
	const struct option *option = find_option(extensions, ARRAY_SIZE(extensions), name, length);

	if (!option) {
		return 0;
	}
	if (data.left > 0) {
		return malformed(err, option->name);
	}
	*(bool *)((char *)certificate + option->flag) = true;
	return 0;
}

struct seen {
	struct {
		const uint8_t *name;
		size_t length;
	} names[CERTIFICATE_MAX_OPTIONS];
	size_t count;
};

/* False when it was there before, or there are too many. */
static bool see(struct seen *seen, const uint8_t *name, size_t length)
{
	for (size_t i = 0; i < seen->count; i++) {
		if (seen->names[i].length == length &&
			memcmp(seen->names[i].name, name, length) == 0) {
			return false;
		}
	}
	if (length == 0 || seen->count == CERTIFICATE_MAX_OPTIONS) {
		return false;
	}
	seen->names[seen->count].name = name;
	seen->names[seen->count++].length = length;
	return true;
}

static int take_options(
	struct certificate *certificate, struct blob *blob, bool critical, struct err *err)
{
	const char *what = critical ? "list of critical options" : "list of extensions";
	struct seen seen = {.count = 0};
	struct blob list = {0};

	if (!blob_string(blob, &list.data, &list.left)) {
		return malformed(err, what);
	}
	while (list.left > 0) {
		const uint8_t *name = NULL;
		struct blob data = {0};
		size_t length = 0;
		if (!blob_string(&list, &name, &length) ||
			!blob_string(&list, &data.data, &data.left) || !see(&seen, name, length)) {
			return malformed(err, what);
		}
		int r = critical ? set_critical(certificate, name, length, data, err)
				 : set_extension(certificate, name, length, data, err);
		if (r < 0) {
			return r;
		}
	}
	return 0;
}

/* ---- the whole ---- */

/* The key that is certified, put together as it is on the wire when it comes alone. */
static int take_key(struct certificate *certificate, struct blob *blob, struct err *err)
{
	const char *name = certificate->kind->name;
	const uint8_t *begin = blob->data;
	size_t length = strlen(name);
	int r = blob_take_body(certificate->kind, blob, err);

	if (r < 0) {
		return r;
	}
	size_t body = (size_t)(blob->data - begin);
	certificate->key = malloc(4 + length + body);
	if (!certificate->key) {
		return err_set(err, ENOMEM, "reading a certificate");
	}
	memcpy(certificate->key, (const uint8_t[]){0, 0, 0, (uint8_t)length}, 4);
	memcpy(certificate->key + 4, name, length);
	memcpy(certificate->key + 4 + length, begin, body);
	certificate->key_size = 4 + length + body;
	return 0;
}

static int take_principals(struct certificate *certificate, struct blob *blob, struct err *err)
{
	struct blob list = {0};
	size_t count = 0;

	if (!blob_string(blob, &list.data, &list.left)) {
		return malformed(err, "list of principals");
	}
	while (list.left > 0) {
		cleanup_free char *principal = NULL;
		const uint8_t *data = NULL;
		size_t size = 0;
		if (!blob_string(&list, &data, &size) || size == 0 ||
			count++ == CERTIFICATE_MAX_PRINCIPALS) {
			return malformed(err, "list of principals");
		}
		int r = take_text(data, size, &principal, "list of principals", err);
		if (r < 0) {
			return r;
		}
		if (strv_consume(&certificate->principals, take_ptr(&principal)) < 0) {
			return err_set(err, ENOMEM, "reading a certificate");
		}
	}
	/* To sshd of old, none meant everybody. */
	return count == 0 ? err_refuse(err, EINVAL, "the certificate names no principal") : 0;
}

static int take_names(struct certificate *certificate, struct blob *blob, struct err *err)
{
	const uint8_t *id = NULL;
	size_t size = 0;
	uint32_t type = 0;

	if (!blob_u64(blob, &certificate->serial) || !blob_u32(blob, &type)) {
		return malformed(err, "serial number or type");
	}
	if (type != USER_CERTIFICATE) {
		return err_refuse(err, EINVAL, "the certificate is not one of a user");
	}
	if (!blob_string(blob, &id, &size)) {
		return malformed(err, "id");
	}
	int r = take_text(id, size, &certificate->id, "id", err);
	return r < 0 ? r : take_principals(certificate, blob, err);
}

static int take_validity(struct certificate *certificate, struct blob *blob, struct err *err)
{
	if (!blob_u64(blob, &certificate->after) || !blob_u64(blob, &certificate->before)) {
		return malformed(err, "time of validity");
	}
	int r = take_options(certificate, blob, true, err);
	return r < 0 ? r : take_options(certificate, blob, false, err);
}

static int take_authority(struct certificate *certificate, struct blob *blob, struct err *err)
{
	const uint8_t *data = NULL;
	size_t size = 0;
	struct blob name = {0};

	if (!blob_string(blob, &data, &size)) {
		return malformed(err, "reserved field");
	}
	int r = take_copy(blob, &certificate->ca, &certificate->ca_size, "authority", err);
	if (r < 0) {
		return r;
	}
	name = (struct blob){certificate->ca, certificate->ca_size};
	/* Plain keys only: there are no chains of certificates. */
	if (!blob_string(&name, &data, &size) ||
		!(certificate->ca_kind = blob_find_kind((const char *)data, size))) {
		return malformed(err, "authority");
	}
	return blob_check_key(certificate->ca_kind, certificate->ca, certificate->ca_size, err);
}

static int take_all(
	struct certificate *certificate, const uint8_t *data, size_t size, struct err *err)
{
	struct blob blob = {data, size};
	const uint8_t *text = NULL;
	size_t length = 0;

	if (!blob_string(&blob, &text, &length) ||
		!(certificate->kind = find_certified(text, length))) {
		return malformed(err, "type");
	}
	if (!blob_string(&blob, &text, &length)) {
		return malformed(err, "nonce");
	}
	int r = take_key(certificate, &blob, err);
	r = r ? r : take_names(certificate, &blob, err);
	r = r ? r : take_validity(certificate, &blob, err);
	r = r ? r : take_authority(certificate, &blob, err);
	certificate->signed_size = size - blob.left;
	r = r ? r
	      : take_copy(&blob, &certificate->signature, &certificate->signature_size, "signature",
			err);
	if (r == 0 && blob.left > 0) {
		return err_refuse(err, EINVAL, "the certificate goes on after its end");
	}
	return r;
}

int certificate_parse(const uint8_t *data, size_t size, struct certificate *ret, struct err *err)
{
	struct certificate certificate = {0};
	int r = take_all(&certificate, data, size, err);

	if (r < 0) {
		certificate_fini(&certificate);
		return r;
	}
	*ret = certificate;
	return 0;
}

int certificate_verify(
	const struct certificate *certificate, const uint8_t *data, size_t size, struct err *err)
{
	struct blob signature = {certificate->signature, certificate->signature_size};
	struct blob ca = {certificate->ca, certificate->ca_size};
	const uint8_t *key = NULL;
	const uint8_t *bytes = NULL;
	size_t length = 0;

	if (certificate->ca_kind->form != BLOB_ED25519) {
		return err_refuse(err, ENOTSUP,
			"its authority's key is of type %s; only ssh-ed25519 can be verified here",
			certificate->ca_kind->name);
	}
	if (size <= certificate->signed_size || !blob_text(&ca, "ssh-ed25519") ||
		!blob_string(&ca, &key, &length) || length != crypto_sign_PUBLICKEYBYTES ||
		!blob_text(&signature, "ssh-ed25519") ||
		!blob_string(&signature, &bytes, &length) || length != crypto_sign_BYTES ||
		signature.left > 0 ||
		crypto_sign_verify_detached(bytes, data, certificate->signed_size, key) != 0) {
		return err_refuse(err, EBADMSG, "its signature is not its authority's");
	}
	return 0;
}

bool certificate_is_valid(const struct certificate *certificate, const char *address, time_t now,
	const char **ret_reason)
{
	uint64_t second = now < 0 ? 0 : (uint64_t)now;

	if (second < certificate->after) {
		*ret_reason = "certificate_not_yet";
		return false;
	}
	if (second >= certificate->before) {
		*ret_reason = "certificate_expired";
		return false;
	}
	if (certificate->source && !authorized_match_address(certificate->source, address)) {
		*ret_reason = "certificate_from";
		return false;
	}
	return true;
}

const char *certificate_principal(const struct certificate *certificate, char *const *names)
{
	STRV_FOREACH (principal, certificate->principals) {
		if (strv_contains(names, *principal)) {
			return *principal;
		}
	}
	return NULL;
}

int certificate_restrict(
	const struct certificate *certificate, struct key_options *options, struct err *err)
{
	options->pty = options->pty && certificate->pty;
	options->port_forwarding = options->port_forwarding && certificate->port_forwarding;
	options->agent_forwarding = options->agent_forwarding && certificate->agent_forwarding;
	options->x11_forwarding = options->x11_forwarding && certificate->x11_forwarding;
	if (!certificate->command) {
		return 0;
	}
	if (options->command) {
		return strcmp(options->command, certificate->command) == 0
			? 0
			: err_refuse(err, EPERM,
				  "the certificate and the authority's line force different "
				  "commands");
	}
	options->command = strdup(certificate->command);
	return options->command ? 0 : err_set(err, ENOMEM, "reading a certificate");
}
