/* Receipts and the signatures on them: nothing but what was signed is taken. */
#include "testkit/receipt.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "keys/armour.h"
#include "keys/hostkey.h"
#include "testkit/report.h"
#include "tests/test.h"

struct scene {
	struct measurement measurement;
	struct target target;
	struct signature_key key;
	char *text;
	size_t size;
};

static void make_key(struct signature_key *key, uint8_t seed)
{
	uint8_t bytes[32];

	memset(bytes, seed, sizeof(bytes));
	(void)crypto_sign_seed_keypair(key->public, key->secret, bytes);
}

/* Brief, so that it is short. */
static char *write_receipt(const struct scene *scene, const char *target,
	const struct signature_key *key, size_t *size)
{
	const struct report_column column = {
		{.target = target, .details = &scene->target, .brief = true}, &scene->measurement,
		false};
	const struct report report = {&column, 1, key};
	char *text = NULL;
	FILE *out = open_memstream(&text, size);

	assert_non_null(out);
	assert_int_equal(report_write_receipt(&report, out), 0);
	assert_int_equal(fclose(out), 0);
	return text;
}

static int set_scene(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	if (!scene) {
		return -1;
	}
	scene->measurement.control = calloc(probe_count, sizeof(struct outcome));
	scene->measurement.inside = calloc(probe_count, sizeof(struct outcome));
	scene->measurement.verdicts = calloc(probe_count, sizeof(struct probe_verdict));
	judge_all(capability_set_of(CAPABILITY_NET_DISABLE), scene->measurement.control,
		scene->measurement.inside, scene->measurement.verdicts,
		&scene->measurement.judgement);
	make_key(&scene->key, 1);
	scene->text = write_receipt(scene, "exec:a {client}", &scene->key, &scene->size);
	*state = scene;
	return 0;
}

static int clear_scene(void **state)
{
	struct scene *scene = *state;

	measurement_fini(&scene->measurement);
	free(scene->text);
	free(scene);
	return 0;
}

/* 1 when it is taken; what is refused is refused in one line. */
static int taken(const char *text, size_t size, uint8_t key[SIGNATURE_PUBLIC])
{
	struct receipt receipt = {0};
	struct err err = {0};
	/* Of its own size, so that a sanitizer sees a read past the end. */
	cleanup_free char *copy = malloc(size ? size : 1);

	assert_non_null(copy);
	memcpy(copy, text, size);
	int r = receipt_parse(copy, size, &receipt, &err);
	if (r < 0) {
		assert_true(r == -EBADMSG || r == -EINVAL);
		assert_true(err.msg[0] && !strchr(err.msg, '\n'));
		return 0;
	}
	if (key) {
		memcpy(key, receipt.key, SIGNATURE_PUBLIC);
	}
	receipt_fini(&receipt);
	return 1;
}

static void what_was_signed_is_read(void **state)
{
	struct scene *scene = *state;
	struct receipt receipt = {0};
	struct err err = {0};

	assert_int_equal(receipt_parse(scene->text, scene->size, &receipt, &err), 0);
	assert_memory_equal(receipt.key, scene->key.public, SIGNATURE_PUBLIC);
	assert_int_equal(receipt.past.count, 1);
	assert_string_equal(receipt.past.targets[0].name, "exec:a {client}");
	assert_true(receipt.past.targets[0].declared[CAPABILITY_NET_DISABLE]);
	assert_int_equal(strlen(receipt.time), strlen("2026-11-22T05:00:00Z"));
	receipt_fini(&receipt);
}

static void no_bit_may_change(void **state)
{
	struct scene *scene = *state;
	size_t body = (size_t)(strchr(scene->text, '\n') - scene->text);

	for (size_t i = 0; i < scene->size; i++) {
		/* Each bit of the signature, one of each byte before it. */
		for (unsigned bit = i > body ? 0 : i % 8; bit < (i > body ? 8 : i % 8 + 1); bit++) {
			scene->text[i] = (char)(scene->text[i] ^ (1 << bit));
			if (taken(scene->text, scene->size, NULL)) {
				fail_msg("byte %zu, bit %u", i, bit);
			}
			scene->text[i] = (char)(scene->text[i] ^ (1 << bit));
		}
	}
	assert_true(taken(scene->text, scene->size, NULL));
}

static void nothing_may_be_missing_or_more(void **state)
{
	struct scene *scene = *state;
	cleanup_free char *more = NULL;
	int length = asprintf(&more, "\n%s\n", scene->text);

	assert_true(length > 0);
	for (size_t i = 0; i < scene->size; i++) {
		assert_false(taken(scene->text, i, NULL));
	}
	assert_false(taken(more, (size_t)length, NULL));
	assert_false(taken(more, (size_t)length - 1, NULL));
	assert_false(taken(more + 1, (size_t)length - 1, NULL));
	assert_true(taken(more + 1, (size_t)length - 2, NULL));
}

/* Line and signature from two receipts, of one key or two. */
static void parts_do_not_mix(void **state)
{
	struct scene *scene = *state;
	struct signature_key other;
	size_t size = 0;

	for (uint8_t seed = 1; seed <= 2; seed++) {
		cleanup_free char *mixed = NULL;
		make_key(&other, seed);
		cleanup_free char *text = write_receipt(scene, "exec:b {client}", &other, &size);
		assert_true(taken(text, size, NULL));
		int length = asprintf(&mixed, "%.*s%s", (int)(strchr(text, '\n') - text), text,
			strchr(scene->text, '\n'));
		assert_true(length > 0);
		assert_false(taken(mixed, (size_t)length, NULL));
	}
}

/* Another's signature is good: whose it is decides whether it means anything. */
static void another_key_is_told_apart(void **state)
{
	struct scene *scene = *state;
	uint8_t signer[SIGNATURE_PUBLIC];
	struct signature_key other;
	size_t size = 0;

	make_key(&other, 2);
	cleanup_free char *text = write_receipt(scene, "exec:a {client}", &other, &size);
	assert_true(taken(text, size, signer));
	assert_memory_equal(signer, other.public, SIGNATURE_PUBLIC);
	assert_memory_not_equal(signer, scene->key.public, SIGNATURE_PUBLIC);
}

/* The public half in the signature exchanged for another's. */
static void the_key_is_what_signed(void **state)
{
	struct scene *scene = *state;
	struct signature_key other;
	cleanup(buf_fini) struct buf blob = {0};
	cleanup(buf_fini) struct buf text = {0};
	const char *signature = strchr(scene->text, '\n') + 1;
	struct err err = {0};

	make_key(&other, 2);
	assert_int_equal(
		armour_unwrap(signature, strlen(signature), "SSH SIGNATURE", &blob, &err), 0);
	/* SSHSIG, version, length, length, name, length. */
	memcpy(blob.data + 6 + 4 + 4 + 4 + 11 + 4, other.public, SIGNATURE_PUBLIC);
	buf_put(&text, scene->text, (size_t)(signature - scene->text));
	armour_wrap(&text, "SSH SIGNATURE", &blob);
	assert_int_equal(text.size, scene->size);
	assert_false(taken((const char *)text.data, text.size, NULL));
}

static void what_was_signed_for_something_else_is_none(void **state)
{
	struct scene *scene = *state;
	static const char *const purposes[] = {"file", "cloche.receipt/2", "", "cloche.receipt/1"};
	size_t line = (size_t)(strchr(scene->text, '\n') - scene->text) + 1;

	for (size_t i = 0; i < ARRAY_SIZE(purposes); i++) {
		cleanup(buf_fini) struct buf text = {0};
		buf_put(&text, scene->text, line);
		signature_make(&scene->key, purposes[i], scene->text, line, &text);
		assert_false(text.failed);
		assert_int_equal(taken((const char *)text.data, text.size, NULL),
			i == ARRAY_SIZE(purposes) - 1);
	}
}

#define TIMED "{\"schema\":\"cloche.receipt/1\",\"time\":\"2026-11-22T05:00:00Z\""

/* Whoever holds the key can sign anything; it still has to be a receipt. */
static void signed_nonsense_is_refused(void **state)
{
	static const char *const lines[] = {"\n", "{}\n", "[]\n", "null\n",
		"{\"schema\":\"cloche.receipt/1\"}\n",
		"{\"schema\":\"cloche.receipt/1\",\"time\":\"now\"}\n", TIMED "}\n",
		TIMED ",\"report\":{}}\n"};
	struct scene *scene = *state;

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		cleanup(buf_fini) struct buf text = {0};
		buf_put(&text, lines[i], strlen(lines[i]));
		signature_make(&scene->key, "cloche.receipt/1", lines[i], strlen(lines[i]), &text);
		assert_false(taken((const char *)text.data, text.size, NULL));
	}
}

static void a_receipt_needs_a_key(void **state)
{
	struct scene *scene = *state;
	const struct report_column column = {
		{.target = "a", .details = &scene->target}, &scene->measurement, false};
	const struct report report = {&column, 1, NULL};

	assert_int_equal(report_write_receipt(&report, stderr), -ENOKEY);
}

/* What `cloche keygen` makes signs, and what is damaged does not. */
static void key_files_are_read(void **state)
{
	char place[] = "/tmp/cloche-receipt.XXXXXX";
	char path[64];
	char public[80];
	struct signature_key key;
	struct signature_key again;
	struct err err = {0};
	uint8_t half[SIGNATURE_PUBLIC];

	(void)state;
	assert_non_null(mkdtemp(place));
	(void)snprintf(path, sizeof(path), "%s/key", place);
	(void)snprintf(public, sizeof(public), "%s.pub", path);
	assert_int_equal(hostkey_generate(path, &err), 0);
	assert_int_equal(signature_load_key(path, geteuid(), &key, &err), 0);

	FILE *file = fopen(path, "re");
	char text[1024] = "";
	size_t size = fread(text, 1, sizeof(text), file);
	(void)fclose(file);
	for (size_t i = 0; i < size; i++) {
		text[i] ^= 1;
		/* A comment may change, the key may not. */
		if (signature_parse_key(text, size, &again, &err) == 0) {
			assert_memory_equal(&again, &key, sizeof(key));
		}
		text[i] ^= 1;
		assert_int_equal(signature_parse_key(text, i, &again, &err), -EINVAL);
	}
	file = fopen(public, "re");
	assert_non_null(fgets(text, sizeof(text), file));
	(void)fclose(file);
	assert_int_equal(signature_parse_public(text, half, &err), 0);
	assert_memory_equal(half, key.public, SIGNATURE_PUBLIC);
	assert_int_equal(signature_parse_public("ssh-rsa AAAA", half, &err), -EINVAL);
	assert_int_equal(signature_parse_public("ssh-ed25519 AAAA", half, &err), -EINVAL);
	assert_int_equal(signature_parse_public("", half, &err), -EINVAL);
	(void)unlink(path);
	(void)unlink(public);
	(void)rmdir(place);
}

int main(void)
{
#define WITH_SCENE(test) cmocka_unit_test_setup_teardown(test, set_scene, clear_scene)
	const struct CMUnitTest tests[] = {
		WITH_SCENE(what_was_signed_is_read),
		WITH_SCENE(no_bit_may_change),
		WITH_SCENE(nothing_may_be_missing_or_more),
		WITH_SCENE(parts_do_not_mix),
		WITH_SCENE(another_key_is_told_apart),
		WITH_SCENE(the_key_is_what_signed),
		WITH_SCENE(what_was_signed_for_something_else_is_none),
		WITH_SCENE(signed_nonsense_is_refused),
		WITH_SCENE(a_receipt_needs_a_key),
		cmocka_unit_test(key_files_are_read),
	};

	if (sodium_init() < 0) {
		return 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
