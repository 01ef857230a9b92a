#include "testkit/receipt.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "testkit/report.h"

#define PURPOSE "cloche.receipt/1"
#define TIME_FORM "%Y-%m-%dT%H:%M:%SZ"
#define MAX_KEYS 64
#define EXIT_WORSE 1
#define EXIT_USAGE 2
#define EXIT_UNKNOWN 3

/* ---- writing ---- */

static char *line_of(const struct report *report)
{
	char now[32];
	time_t seconds = time(NULL);
	struct tm parts;
	json_t *root = NULL;
	char *line = NULL;

	(void)gmtime_r(&seconds, &parts);
	(void)strftime(now, sizeof(now), TIME_FORM, &parts);
	root = json_pack("{s:s, s:s, s:o}", "schema", PURPOSE, "time", now, "report",
		report_to_json(report));
	line = root ? json_dumps(root, JSON_COMPACT) : NULL;
	json_decref(root);
	return line;
}

int report_write_receipt(const struct report *report, FILE *out)
{
	cleanup(buf_fini) struct buf text = {0};
	char *line = report->key ? line_of(report) : NULL;

	if (!report->key) {
		return -ENOKEY;
	}
	if (!line) {
		return -ENOMEM;
	}
	/* Without control bytes in it, JSON is one line. */
	buf_printf(&text, "%s\n", line);
	free(line);
	if (!text.failed) {
		signature_make(report->key, PURPOSE, text.data, text.size, &text);
	}
	if (text.failed) {
		return -ENOMEM;
	}
	return fwrite(text.data, 1, text.size, out) == text.size ? 0 : -EIO;
}

/* ---- reading ---- */

void receipt_fini(struct receipt *receipt)
{
	past_fini(&receipt->past);
	*receipt = (struct receipt){0};
}

static int take_time(const json_t *root, struct receipt *ret, struct err *err)
{
	const char *text = json_string_value(json_object_get(root, "time"));
	struct tm parts = {0};
	const char *end = text ? strptime(text, TIME_FORM, &parts) : NULL;

	if (!end || *end || strlen(text) >= sizeof(ret->time)) {
		return err_refuse(err, EINVAL, "'time' is missing, or no time");
	}
	(void)snprintf(ret->time, sizeof(ret->time), "%s", text);
	return 0;
}

static int take_line(const char *text, size_t size, struct receipt *ret, struct err *err)
{
	json_error_t error;
	json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
	const char *schema = json_string_value(json_object_get(root, "schema"));
	int r = 0;

	if (!root) {
		return err_refuse(err, EINVAL, "line %d, column %d: %s", error.line, error.column,
			error.text);
	}
	if (!schema || strcmp(schema, PURPOSE) != 0) {
		r = err_refuse(err, EINVAL, "it is no receipt of the form " PURPOSE);
	}
	r = r < 0 ? r : take_time(root, ret, err);
	r = r < 0 ? r : past_read(root, &ret->past, err);
	json_decref(root);
	return r;
}

/* Nothing of the line is looked at before its signature. */
int receipt_parse(const char *text, size_t size, struct receipt *ret, struct err *err)
{
	const char *end = memchr(text, '\n', size);
	size_t line = end ? (size_t)(end - text) + 1 : 0;
	struct receipt receipt = {0};
	int r = 0;

	if (!end) {
		return err_refuse(err, EBADMSG, "there is no whole signature");
	}
	r = signature_check(text + line, size - line, PURPOSE, text, line, receipt.key, err);
	r = r < 0 ? r : take_line(text, line, &receipt, err);
	if (r < 0) {
		receipt_fini(&receipt);
		return r;
	}
	*ret = receipt;
	return 0;
}

static int load(const char *path, struct receipt *ret, struct err *err)
{
	cleanup_free char *text = NULL;
	size_t size = 0;
	int r = io_read_file(AT_FDCWD, path, PAST_MAX_SIZE, &text, &size);

	if (r < 0) {
		return err_set(err, -r, "reading %s", path);
	}
	r = receipt_parse(text, size, ret, err);
	return r < 0 ? err_wrap(err, "%s", path) : 0;
}

/* ---- keys to trust ---- */

struct trust {
	char prints[MAX_KEYS][FINGERPRINT_SIZE];
	size_t count;
};

static int trust_print(struct trust *trust, const char *print, struct err *err)
{
	/* SHA256: and the 43 characters of 32 bytes. */
	if (trust->count == MAX_KEYS || strlen(print) != 50) {
		return err_refuse(err, EINVAL, "%.60s is no fingerprint, or one too many", print);
	}
	(void)snprintf(trust->prints[trust->count++], FINGERPRINT_SIZE, "%s", print);
	return 0;
}

static int trust_file(struct trust *trust, const char *path, struct err *err)
{
	cleanup_free char *text = NULL;
	char *rest = NULL;
	size_t size = 0;
	size_t before = trust->count;
	int r = io_read_file(AT_FDCWD, path, 1 << 16, &text, &size);

	if (r < 0) {
		return err_set(err, -r, "reading %s", path);
	}
	rest = text;
	for (char *line = NULL; r == 0 && (line = strsep(&rest, "\n"));) {
		uint8_t key[SIGNATURE_PUBLIC];
		char print[FINGERPRINT_SIZE];
		if (*line == '\0' || *line == '#') {
			continue;
		}
		r = signature_parse_public(line, key, err);
		r = r < 0 ? err_wrap(err, "%s", path)
			  : trust_print(trust, signature_fingerprint(key, print), err);
	}
	if (r == 0 && trust->count == before) {
		r = err_refuse(err, EINVAL, "%s holds no public key", path);
	}
	return r;
}

static bool is_trusted(const struct trust *trust, const char *print)
{
	for (size_t i = 0; i < trust->count; i++) {
		if (strcmp(trust->prints[i], print) == 0) {
			return true;
		}
	}
	return false;
}

/* ---- what is said ---- */

static void describe_target(const struct past_target *target)
{
	unsigned counts[VERDICT_COUNT] = {0};

	for (size_t i = 0; i < CAPABILITY_COUNT; i++) {
		counts[target->capabilities[i]]++;
	}
	(void)printf("  target %s\n    cloche %s, kernel %s%s%s\n    %u as declared, %u violated, "
		     "%u expected, %u inconclusive\n",
		target->name, target->version, target->kernel, *target->plan ? "\n    plan " : "",
		target->plan, counts[VERDICT_PASS],
		counts[VERDICT_FAIL] + counts[VERDICT_OVER_RESTRICTED], counts[VERDICT_EXPECTED],
		counts[VERDICT_INCONCLUSIVE]);
}

/* 0: by a key that is trusted; EXIT_UNKNOWN: by one of which nothing is known; EXIT_WORSE: by another. */
static int describe(const char *path, const struct receipt *receipt, const struct trust *trust)
{
	char print[FINGERPRINT_SIZE];
	bool trusted = is_trusted(trust, signature_fingerprint(receipt->key, print));

	if (trust->count > 0 && !trusted) {
		log_error("%s: signed by %s, which is not the key given", path, print);
		return EXIT_WORSE;
	}
	(void)printf("%s: signed by %s\n", path, print);
	if (!trusted) {
		(void)printf(
			"  UNPINNED: anybody can sign with their own key; name the one to trust "
			"by --key\n");
	}
	(void)printf("  made %s\n", receipt->time);
	for (size_t i = 0; i < receipt->past.count; i++) {
		describe_target(&receipt->past.targets[i]);
	}
	return trusted ? 0 : EXIT_UNKNOWN;
}

/* How much of receipt is worse than it was in other. */
static size_t compare(const struct receipt *receipt, const struct receipt *other)
{
	bool only = receipt->past.count == 1;
	size_t worse = 0;

	for (size_t i = 0; i < receipt->past.count; i++) {
		const struct past_target *now = &receipt->past.targets[i];
		const struct past_target *then = past_find_read(&other->past, now->name, only);
		(void)printf("changes of %s since %s\n", now->name, other->time);
		if (then) {
			worse += past_compare(then, now, stdout);
		} else {
			(void)printf("  it was not measured then\n");
		}
	}
	for (size_t i = 0; i < other->past.count; i++) {
		const char *name = other->past.targets[i].name;
		if (!past_find_read(&receipt->past, name, other->past.count == 1)) {
			(void)printf("%s is measured no more  (worse)\n", name);
			worse++;
		}
	}
	(void)printf("%zu for the worse\n", worse);
	return worse;
}

static int verify(char **paths, size_t count, const struct trust *trust, struct err *err)
{
	struct receipt receipts[2] = {0};
	int code = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < count; i++) {
		r = load(paths[i], &receipts[i], err);
	}
	for (size_t i = 0; r == 0 && code != EXIT_WORSE && i < count; i++) {
		int one = describe(paths[i], &receipts[i], trust);
		code = one == 0 ? code : one;
	}
	if (r == 0 && code != EXIT_WORSE && count == 2 && compare(&receipts[0], &receipts[1]) > 0) {
		code = EXIT_WORSE;
	}
	receipt_fini(&receipts[0]);
	receipt_fini(&receipts[1]);
	if (r == 0 && fflush(stdout) != 0) {
		r = err_set(err, errno, "writing");
	}
	return r == -EBADMSG ? EXIT_WORSE : r < 0 ? EXIT_USAGE : code;
}

int receipt_verify(int argc, char **argv)
{
	static const struct option options[] = {
		{"key", required_argument, NULL, 'k'},
		{NULL, 0, NULL, 0},
	};
	struct trust trust = {0};
	struct err err = {0};
	int code = EXIT_USAGE;
	int c = 0;
	int r = sodium_init() < 0 ? err_refuse(&err, EIO, "libsodium does not start") : 0;

	opterr = 0;
	while (r == 0 && (c = getopt_long(argc, argv, ":k:", options, NULL)) != -1) {
		r = c != 'k' ? err_refuse(&err, EINVAL, "verify knows --key=FILE alone")
			: strncmp(optarg, "SHA256:", 7) == 0 ? trust_print(&trust, optarg, &err)
							     : trust_file(&trust, optarg, &err);
	}
	if (r == 0 && (argc - optind < 1 || argc - optind > 2)) {
		r = err_refuse(&err, EINVAL, "verify takes a receipt, or two to compare");
	}
	if (r == 0) {
		code = verify(argv + optind, (size_t)(argc - optind), &trust, &err);
	}
	if (err.msg[0]) {
		log_error("%s", err.msg);
	}
	return code;
}
