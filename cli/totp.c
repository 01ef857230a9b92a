#include <errno.h>
#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <unistd.h>

#include "base/parse.h"
#include "cli/cli.h"
#include "keys/seal.h"

#define DEFAULT_KEY "/etc/cloche/totp.key"

/* The line for the configuration, and the address that authenticators read, which has the secret. */
static int print_secret(const char *path, const char *user)
{
	uint8_t key[SEAL_KEY_SIZE];
	uint8_t secret[SEAL_SECRET_SIZE];
	char line[SEAL_LINE_SIZE];
	char base32[SEAL_BASE32_SIZE];
	struct err err = {0};
	int r = seal_make_key(path, &err);

	if (r < 0 && r != -EEXIST) {
		return cli_fail(CLI_FAILED, "%s", err.msg);
	}
	if (seal_load_key(path, geteuid(), key, &err) < 0) {
		return cli_fail(CLI_FAILED, "%s", err.msg);
	}
	randombytes_buf(secret, sizeof(secret));
	seal_make_line(key, secret, line);
	seal_format_base32(secret, base32);
	(void)printf("totp: \"%s\"\n", line);
	(void)printf("otpauth://totp/cloche:%s?secret=%s&issuer=cloche&algorithm=SHA1&digits=6&"
		     "period=30\n",
		user, base32);
	sodium_memzero(key, sizeof(key));
	sodium_memzero(secret, sizeof(secret));
	sodium_memzero(base32, sizeof(base32));
	return cli_flush() ? CLI_OK : CLI_FAILED;
}

int command_totp(int argc, char **argv)
{
	static const struct option longs[] = {{"key", required_argument, NULL, 'k'}, {0}};
	const char *path = DEFAULT_KEY;
	int c = 0;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":k:", longs, NULL)) != -1) {
		if (c != 'k') {
			return cli_fail(CLI_USAGE, "totp takes --key FILE and the user's name");
		}
		path = optarg;
	}
	if (optind != argc - 1 || !parse_is_name(argv[optind])) {
		return cli_fail(CLI_USAGE, "totp wants the name of one user");
	}
	if (sodium_init() < 0) {
		return cli_fail(CLI_FAILED, "libsodium cannot start");
	}
	return print_secret(path, argv[optind]);
}
