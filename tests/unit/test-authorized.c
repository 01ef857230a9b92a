#include "tests/test.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/strv.h"
#include "keys/authorized.h"
#include "keys/fingerprint.h"

static const char ed25519[] =
	"AAAAC3NzaC1lZDI1NTE5AAAAIHszQaL2FJaCEHlfkUD6rSx3GgM9V1D+58SaQWv/W/u6";

static const char other_ed25519[] =
	"AAAAC3NzaC1lZDI1NTE5AAAAIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g";

static const char rsa_2048[] =
	"AAAAB3NzaC1yc2EAAAADAQABAAABAQC75RrOO6OwgTcNo28vGoACLJ/2mfJD//CT1Leej50bFJJ7aE19"
	"Q2TdN/mH1/jiVLCGCfHau8xZLrWVzVa+ObRC7MQgHZcLgmAH9yt1tsZC1Semgy2uCkYviKdQN2Q9HYY4"
	"+VoHWzwYTX1aMaQpZNUlswNUj9pyKPsL1hwB12pmym5n44rKrkuB9V7F4HKIFHBh6pXVgxreB2hCQviV"
	"tZ2IZaYTTnfYhqxG6v6MypwObcHKtZbSiBITNXFZvOAheHXFvlVDA5QgwkrcsgV8JSaoDW1d+5M1rnoa"
	"4T3ACQxAXMN86ZJerPmZRfchn/eT6mMKd/q6TdJZ8++PuvsDTF6J";

static const char rsa_1024[] =
	"AAAAB3NzaC1yc2EAAAADAQABAAAAgQDyzlj/brkGUNeic8YcWEGWRkCj8v6MdnXvvHM5sw2eRak6hY8i"
	"TeewR/kbynp4OcF/Y1ss1LwUeSYoMmGnzsPc1CMcxItgSJGsqjL/e36D4T+RoDErG3vA37PAThlcsP/7"
	"goEpMhwKNIwjeyKv8Z0mu+3LwHIko2oa+IlP5axGkQ==";

static const char ecdsa_256[] =
	"AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBOrH3DDbZVR0GsH9GTDLFg73nMWa"
	"bOsork5JzbNrdshPlztXNnSHsQPLRZ7pki1vfkDNhkGKQMcHeFJ+/R/zQGo=";

static const char ecdsa_384[] =
	"AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhBJgC3tR/tjkaaV1fmS4orvTg1Cm1"
	"2qCFL2TIJuW4qRVj29Y2RI0nvBq0lGFtiyuUlxujQ2NC6AJo9TlD17fgPQt75yFEeJ4z+MKB2bxMbtDK"
	"4WO9WliedRpC1MVx2g8L2Q==";

static const char ecdsa_521[] =
	"AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAIbmlzdHA1MjEAAACFBAGoHGXmA2Uk915xu5rDACS9b5bs"
	"grzWCGV/W5XwdwKkBFtzoG/prP/A1HRDIXalumjdpZO2lpR2sBqwKuYbeKKuDwCXJmll+Ybq/zz0JS3I"
	"7M57NZLMXn8uk1gZK9Xvh21t+zM2F+IXWTSNzl/8gUjmRzQRdrHnodepPWrULFMdJAV2Ow==";

static const char sk_ed25519[] =
	"AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIHszQaL2FJaCEHlfkUD6rSx3GgM9V1D+58Sa"
	"QWv/W/u6AAAABHNzaDo=";

static const char sk_ecdsa[] =
	"AAAAInNrLWVjZHNhLXNoYTItbmlzdHAyNTZAb3BlbnNzaC5jb20AAAAIbmlzdHAyNTYAAABBBOrH3DDb"
	"ZVR0GsH9GTDLFg73nMWabOsork5JzbNrdshPlztXNnSHsQPLRZ7pki1vfkDNhkGKQMcHeFJ+/R/zQGoA"
	"AAAEc3NoOg==";

static const char certificate[] =
	"AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAxQG9wZW5zc2guY29tAAAAIPAHODBJZR5lP5pFwVAZHK7HYh+w"
	"3rRBBjELt3eNyBAFAAAAIHszQaL2FJaCEHlfkUD6rSx3GgM9V1D+58SaQWv/W/u6AAAAAAAAAAAAAAAB"
	"AAAAAXgAAAAFAAAAAXkAAAAAAAAAAP//////////AAAAAAAAAIIAAAAVcGVybWl0LVgxMS1mb3J3YXJk"
	"aW5nAAAAAAAAABdwZXJtaXQtYWdlbnQtZm9yd2FyZGluZwAAAAAAAAAWcGVybWl0LXBvcnQtZm9yd2Fy"
	"ZGluZwAAAAAAAAAKcGVybWl0LXB0eQAAAAAAAAAOcGVybWl0LXVzZXItcmMAAAAAAAAAAAAAADMAAAAL"
	"c3NoLWVkMjU1MTkAAAAgezNBovYUloIQeV+RQPqtLHcaAz1XUP7nxJpBa/9b+7oAAABTAAAAC3NzaC1l"
	"ZDI1NTE5AAAAQN+dUFGOBBrjKpkQx1g2fi7BZC9gBMTpnw6XyypvJckcjJ3RZhi1xJgcgg2m04fbAyHw"
	"z+8AZlP6rgeaXdReAAY=";

/* Blobs that are wrong in one way each. */
static const char ed_short[] =
	"AAAAC3NzaC1lZDI1NTE5AAAAH3szQaL2FJaCEHlfkUD6rSx3GgM9V1D+58SaQWv/W/s=";

static const char ed_long[] =
	"AAAAC3NzaC1lZDI1NTE5AAAAIXszQaL2FJaCEHlfkUD6rSx3GgM9V1D+58SaQWv/W/u6eA==";

static const char ed_trailing[] =
	"AAAAC3NzaC1lZDI1NTE5AAAAIHszQaL2FJaCEHlfkUD6rSx3GgM9V1D+58SaQWv/W/u6AAAA";

static const char ed_lying_length[] =
	"AAAAC3NzaC1lZDI1NTE5/////3szQaL2FJaCEHlfkUD6rSx3GgM9V1D+58SaQWv/W/u6";

static const char rsa_padded[] =
	"AAAAB3NzaC1yc2EAAAADAQABAAABAgAAu+UazjujsIE3DaNvLxqAAiyf9pnyQ//wk9S3no+dGxSSe2hN"
	"fUNk3Tf5h9f44lSwhgnx2rvMWS61lc1Wvjm0QuzEIB2XC4JgB/crdbbGQtUnpoMtrgpGL4inUDdkPR2G"
	"OPlaB1s8GE19WjGkKWTVJbMDVI/acij7C9YcAddqZspuZ+OKyq5LgfVexeByiBRwYeqV1YMa3gdoQkL4"
	"lbWdiGWmE0532IasRur+jMqcDm3ByrWW0ogSEzVxWbzgIXh1xb5VQwOUIMJK3LIFfCUmqA1tXfuTNa56"
	"GuE9wAkMQFzDfOmSXqz5mUX3IZ/3k+pjCnf6uk3SWfPvj7r7A0xeiQ==";

static const char rsa_negative[] =
	"AAAAB3NzaC1yc2EAAAADAQABAAABALvlGs47o7CBNw2jby8agAIsn/aZ8kP/8JPUt56PnRsUkntoTX1D"
	"ZN03+YfX+OJUsIYJ8dq7zFkutZXNVr45tELsxCAdlwuCYAf3K3W2xkLVJ6aDLa4KRi+Ip1A3ZD0dhjj5"
	"WgdbPBhNfVoxpClk1SWzA1SP2nIo+wvWHAHXambKbmfjisquS4H1XsXgcogUcGHqldWDGt4HaEJC+JW1"
	"nYhlphNOd9iGrEbq/ozKnA5twcq1ltKIEhM1cVm84CF4dcW+VUMDlCDCStyyBXwlJqgNbV37kzWuehrh"
	"PcAJDEBcw3zpkl6s+ZlF9yGf95PqYwp3+rpN0lnz74+6+wNMXok=";

static const char rsa_even_exponent[] =
	"AAAAB3NzaC1yc2EAAAADAQAAAAABAQC75RrOO6OwgTcNo28vGoACLJ/2mfJD//CT1Leej50bFJJ7aE19"
	"Q2TdN/mH1/jiVLCGCfHau8xZLrWVzVa+ObRC7MQgHZcLgmAH9yt1tsZC1Semgy2uCkYviKdQN2Q9HYY4"
	"+VoHWzwYTX1aMaQpZNUlswNUj9pyKPsL1hwB12pmym5n44rKrkuB9V7F4HKIFHBh6pXVgxreB2hCQviV"
	"tZ2IZaYTTnfYhqxG6v6MypwObcHKtZbSiBITNXFZvOAheHXFvlVDA5QgwkrcsgV8JSaoDW1d+5M1rnoa"
	"4T3ACQxAXMN86ZJerPmZRfchn/eT6mMKd/q6TdJZ8++PuvsDTF6J";

static const char rsa_exponent_one[] =
	"AAAAB3NzaC1yc2EAAAABAQAAAQEAu+UazjujsIE3DaNvLxqAAiyf9pnyQ//wk9S3no+dGxSSe2hNfUNk"
	"3Tf5h9f44lSwhgnx2rvMWS61lc1Wvjm0QuzEIB2XC4JgB/crdbbGQtUnpoMtrgpGL4inUDdkPR2GOPla"
	"B1s8GE19WjGkKWTVJbMDVI/acij7C9YcAddqZspuZ+OKyq5LgfVexeByiBRwYeqV1YMa3gdoQkL4lbWd"
	"iGWmE0532IasRur+jMqcDm3ByrWW0ogSEzVxWbzgIXh1xb5VQwOUIMJK3LIFfCUmqA1tXfuTNa56GuE9"
	"wAkMQFzDfOmSXqz5mUX3IZ/3k+pjCnf6uk3SWfPvj7r7A0xeiQ==";

static const char ecdsa_other_curve[] =
	"AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAzODQAAABBBOrH3DDbZVR0GsH9GTDLFg73nMWa"
	"bOsork5JzbNrdshPlztXNnSHsQPLRZ7pki1vfkDNhkGKQMcHeFJ+/R/zQGo=";

static const char ecdsa_compressed[] =
	"AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBAurH3DDbZVR0GsH9GTDLFg73nMWa"
	"bOsork5JzbNrdshPlztXNnSHsQPLRZ7pki1vfkDNhkGKQMcHeFJ+/R/zQGo=";

#define LINE_SIZE (AUTHORIZED_MAX_LINE + 4096)

__attribute__((format(printf, 1, 2))) static char *line_of(const char *format, ...)
{
	static char lines[4][LINE_SIZE];
	static unsigned next;
	char *line = lines[next++ % 4];
	va_list args;

	va_start(args, format);
	assert_true(vsnprintf(line, LINE_SIZE, format, args) < LINE_SIZE);
	va_end(args);
	return line;
}

/* Parses "<options> ssh-ed25519 <key> comment". */
static int parse_options(const char *options, struct authorized_key *key, struct err *err)
{
	return authorized_parse_line(
		line_of("%s ssh-ed25519 %s alice@example", options, ed25519), key, err);
}

static void assert_refused(const char *line, const char *says)
{
	struct authorized_key key = {0};
	struct err err = {0};

	if (authorized_parse_line(line, &key, &err) != -EINVAL || !strstr(err.msg, says)) {
		fail_msg("%.80s: \"%s\" instead of \"%s\"", line, err.msg, says);
	}
}

static void every_type_that_is_accepted_parses(void **state)
{
	static const struct {
		const char *type, *data;
	} rows[] = {
		{"ssh-ed25519", ed25519},
		{"ssh-rsa", rsa_2048},
		{"ecdsa-sha2-nistp256", ecdsa_256},
		{"ecdsa-sha2-nistp384", ecdsa_384},
		{"ecdsa-sha2-nistp521", ecdsa_521},
		{"sk-ssh-ed25519@openssh.com", sk_ed25519},
		{"sk-ecdsa-sha2-nistp256@openssh.com", sk_ecdsa},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct authorized_key key = {0};
		struct err err = {0};
		if (authorized_parse_line(
			    line_of("%s %s", rows[i].type, rows[i].data), &key, &err) != 1) {
			fail_msg("%s: %s", rows[i].type, err.msg);
		}
		assert_string_equal(key.algorithm, rows[i].type);
		assert_null(key.comment);
		assert_true(key.options.pty && key.options.port_forwarding);
		authorized_key_fini(&key);
	}
}

static void keys_that_are_weak_or_broken_are_refused(void **state)
{
	static const struct {
		const char *type, *data, *says;
	} rows[] = {
		{"ssh-rsa", rsa_1024, "an RSA key of 1024 bits"},
		{"ssh-rsa", rsa_padded, "malformed"},
		{"ssh-rsa", rsa_negative, "malformed"},
		{"ssh-rsa", rsa_even_exponent, "malformed"},
		{"ssh-rsa", rsa_exponent_one, "malformed"},
		{"ssh-ed25519", ed_short, "malformed"},
		{"ssh-ed25519", ed_long, "malformed"},
		{"ssh-ed25519", ed_trailing, "goes on after its end"},
		{"ssh-ed25519", ed_lying_length, "malformed"},
		{"ssh-ed25519", rsa_2048, "not of type ssh-ed25519"},
		{"ssh-rsa", ed25519, "not of type ssh-rsa"},
		{"ecdsa-sha2-nistp384", ecdsa_256, "not of type ecdsa-sha2-nistp384"},
		{"ecdsa-sha2-nistp256", ecdsa_other_curve, "malformed"},
		{"ecdsa-sha2-nistp256", ecdsa_compressed, "malformed"},
		{"ssh-ed25519", "AAAA", "not of type"},
		{"ssh-dss", ed25519, "\"ssh-dss\" is not a type of key"},
		{"ssh-ed25519-cert-v01@openssh.com", certificate, "is not a type of key"},
		{"ssh-ed25519", certificate, "not of type"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_refused(line_of("%s %s", rows[i].type, rows[i].data), rows[i].says);
	}
}

static void base64_is_strict(void **state)
{
	char text[sizeof(ed25519) + 8];
	char spare[sizeof(ecdsa_384)];

	assert_refused("ssh-ed25519", "not valid base64");
	assert_refused("ssh-ed25519 ", "not valid base64");
	/* One character gone, one too many, one that is none, padding where none belongs. */
	(void)snprintf(text, sizeof(text), "%.*s", (int)sizeof(ed25519) - 2, ed25519);
	assert_refused(line_of("ssh-ed25519 %s", text), "not valid base64");
	assert_refused(line_of("ssh-ed25519 %sA", ed25519), "not valid base64");
	assert_refused(line_of("ssh-ed25519 %s====", ed25519), "not valid base64");
	(void)snprintf(text, sizeof(text), "%s", ed25519);
	text[20] = '-';
	assert_refused(line_of("ssh-ed25519 %s", text), "not valid base64");
	text[20] = '=';
	assert_refused(line_of("ssh-ed25519 %s", text), "not valid base64");
	/* Bits that no byte needs: a second spelling of the same key. */
	(void)snprintf(spare, sizeof(spare), "%s", ecdsa_384);
	spare[sizeof(spare) - 4]++;
	assert_refused(line_of("ecdsa-sha2-nistp384 %s", spare), "not valid base64");
}

static void blanks_and_comments_are_no_keys(void **state)
{
	static const char *const rows[] = {"", " ", "\t \t", "#", "# ssh-ed25519 AAAA", "  # x"};
	struct authorized_key key = {0};
	struct err err = {0};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(authorized_parse_line(rows[i], &key, &err), 0);
	}
}

static void the_comment_is_the_rest_of_the_line(void **state)
{
	struct authorized_key key = {0};
	struct err err = {0};

	assert_int_equal(authorized_parse_line(
				 line_of(" \tssh-ed25519\t %s  two words", ed25519), &key, &err),
		1);
	assert_string_equal(key.comment, "two words");
	authorized_key_fini(&key);
}

static void options_are_read_as_sshd_reads_them(void **state)
{
	struct authorized_key key = {0};
	struct err err = {0};

	assert_int_equal(
		parse_options("restrict,pty,command=\"echo \\\"a, b\\\" \\n\",from=\"192.0.2.*\","
			      "environment=\"A=1\",environment=\"B=x=y\",expiry-time=\"20300102Z\","
			      "profile=\"lab\"",
			&key, &err),
		1);
	assert_true(key.options.restricted);
	assert_true(key.options.pty);
	assert_false(key.options.port_forwarding);
	/* Only \" is an escape; every other backslash stands for itself. */
	assert_string_equal(key.options.command, "echo \"a, b\" \\n");
	assert_string_equal(key.options.from[0], "192.0.2.*");
	assert_string_equal(strv_getenv(key.options.environment, "A"), "1");
	assert_string_equal(strv_getenv(key.options.environment, "B"), "x=y");
	assert_int_equal(key.options.expiry, 1893542400);
	assert_string_equal(key.options.profile, "lab");
	assert_string_equal(key.comment, "alice@example");
	authorized_key_fini(&key);
}

static void switches_have_opposites_and_the_last_word_counts(void **state)
{
	static const struct {
		const char *options;
		bool pty, port, agent, x11, restricted;
	} rows[] = {
		{"no-pty", false, true, true, true, false},
		{"No-PTY", false, true, true, true, false},
		{"pty", true, true, true, true, false},
		{"no-pty,pty", true, true, true, true, false},
		{"restrict", false, false, false, false, true},
		{"restrict,pty", true, false, false, false, true},
		{"pty,restrict", false, false, false, false, true},
		{"restrict,port-forwarding", false, true, false, false, true},
		{"restrict,agent-forwarding,X11-forwarding", false, false, true, true, true},
		{"no-port-forwarding,no-agent-forwarding,no-X11-forwarding,no-user-rc", true, false,
			false, false, false},
		{"user-rc,no-x11-forwarding", true, true, true, false, false},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct authorized_key key = {0};
		struct err err = {0};
		if (parse_options(rows[i].options, &key, &err) != 1) {
			fail_msg("%s: %s", rows[i].options, err.msg);
		}
		if (key.options.pty != rows[i].pty || key.options.port_forwarding != rows[i].port ||
			key.options.agent_forwarding != rows[i].agent ||
			key.options.x11_forwarding != rows[i].x11 ||
			key.options.restricted != rows[i].restricted) {
			fail_msg("%s is read differently", rows[i].options);
		}
		authorized_key_fini(&key);
	}
}

static void what_is_not_understood_refuses_the_key(void **state)
{
	static const struct {
		const char *options, *says;
	} rows[] = {
		{"frobnicate", "unknown option \"frobnicate\""},
		{"no-frobnicate", "unknown option"},
		{"restrict,frobnicate=\"x\"", "unknown option"},
		{"no-restrict", "unknown option"},
		{"no-command", "unknown option"},
		{"no-", "unknown option"},
		{"no-no-pty", "unknown option"},
		{"no-cert-authority", "unknown option"},
		{"cert-authority=\"yes\"", "separated by commas"},
		{"cert-authority,principals=\"\"", "names with commas"},
		{"cert-authority,principals=\"a,,b\"", "names with commas"},
		{"cert-authority,principals=\"a\",principals=\"b\"", "given twice"},
		{"permitopen=\"host:4294967295\"", "is not host:port"},
		{"permitopen=\"host\"", "is not host:port"},
		{"permitlisten=\"0\"", "is not host:port"},
		{"principals=\"alice\"", "without cert-authority"},
		{"tunnel=\"0\"", "not enforced"},
		{"verify-required", "not enforced"},
		{"no-touch-required", "not enforced"},
		{"restrict,", "unknown option \"\""},
		{",restrict", "unknown option \"\""},
		{"pty,,restrict", "unknown option \"\""},
		{"pty;restrict", "separated by commas"},
		{"pty\"\"", "separated by commas"},
		{"pty=\"yes\"", "separated by commas"},
		{"command", "wants a value in quotes"},
		{"command=ls", "wants a value in quotes"},
		{"command='ls'", "wants a value in quotes"},
		{"command=\"ls", "is not closed"},
		{"command=\"ls\\\"", "is not closed"},
		{"command=\"a\"b", "separated by commas"},
		{"command=\"a\",command=\"a\"", "command= is given twice"},
		{"from=\"192.0.2.1\",from=\"192.0.2.1\"", "from= is given twice"},
		{"expiry-time=\"20300101\",expiry-time=\"20310101\"", "is given twice"},
		{"profile=\"a\",profile=\"a\"", "profile= is given twice"},
		{"environment=\"A=1\",environment=\"A=2\"", "A is given twice"},
		{"environment=\"=1\"", "NAME=value"},
		{"environment=\"A\"", "NAME=value"},
		{"environment=\"A B=1\"", "NAME=value"},
		{"environment=\"1A=1\"", "NAME=value"},
		{"environment=\"\"", "NAME=value"},
		{"profile=\"../x\"", "not a name"},
		{"profile=\"\"", "not a name"},
		{"command=\"a\x01\"", "control byte, \\x01"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_refused(
			line_of("%s ssh-ed25519 %s", rows[i].options, ed25519), rows[i].says);
	}
	assert_refused("restrict", "no key behind the options");
	assert_refused("restrict ", "\"\" is not a type of key");
	assert_refused(line_of("pty restrict ssh-ed25519 %s", ed25519), "not a type of key");
	assert_refused(line_of("ssh-ed25519 %s\r", ed25519), "carriage return");
	assert_refused(line_of("ssh-ed25519 %s a\vb", ed25519), "control byte, \\x0b");
}

static void times_are_dates_that_exist(void **state)
{
	static const struct {
		const char *text;
		time_t value; /* 0: refused */
	} rows[] = {
		{"20300102Z", 1893542400},
		{"203001021530Z", 1893598200},
		{"20300102153007Z", 1893598207},
		{"20300102", 1893531600}, /* below, this machine's time is three hours ahead */
		{"203001021530", 1893587400},
		{"20280229Z", 1835395200},
		{"19700101Z", 1},
		{"19010101Z", 1},
		{"20290229Z", 0},
		{"20300230Z", 0},
		{"20301301Z", 0},
		{"20300001Z", 0},
		{"20300100Z", 0},
		{"203001022400Z", 0},
		{"203001021560Z", 0},
		{"20300102153060Z", 0},
		{"2030010215300Z", 0},
		{"2030010Z", 0},
		{"20300102z", 0},
		{"20300102ZZ", 0},
		{" 20300102", 0},
		{"20300102 ", 0},
		{"2030-01-02", 0},
		{"+2030010", 0},
		{"", 0},
	};
	assert_int_equal(setenv("TZ", "TST-3", 1), 0);
	tzset();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct authorized_key key = {0};
		struct err err = {0};
		int r = parse_options(line_of("expiry-time=\"%s\"", rows[i].text), &key, &err);
		if (r != (rows[i].value ? 1 : -EINVAL) || key.options.expiry != rows[i].value) {
			fail_msg("%s: %d, %lld", rows[i].text, r, (long long)key.options.expiry);
		}
		authorized_key_fini(&key);
	}
	(void)unsetenv("TZ");
	tzset();
}

/* ---- from= ---- */

static void addresses_match_as_patterns_say(void **state)
{
	static const struct {
		const char *from, *address;
		bool match;
	} rows[] = {
		{"192.0.2.7", "192.0.2.7", true},
		{"192.0.2.7", "192.0.2.70", false},
		{"192.0.2.*", "192.0.2.70", true},
		{"192.0.2.?", "192.0.2.70", false},
		{"*", "2001:db8::1", true},
		{"192.0.2.0/24", "192.0.2.255", true},
		{"192.0.2.0/24", "192.0.3.0", false},
		{"192.0.2.128/25", "192.0.2.127", false},
		{"0.0.0.0/0", "203.0.113.1", true},
		{"0.0.0.0/0", "::1", false},
		{"::/0", "192.0.2.1", false},
		{"2001:db8::/32", "2001:db8:ffff::1", true},
		{"2001:db8::/32", "2001:db9::1", false},
		{"2001:db8::/33", "2001:db8:8000::1", false},
		{"::1", "0:0:0:0:0:0:0:1", true},
		{"2001:DB8::1", "2001:db8::1", true},
		{"2001:db8::*", "2001:DB8:0::7", true},
		/* A v4 client on a v6 socket is the same client. */
		{"192.0.2.0/24", "::ffff:192.0.2.9", true},
		{"192.0.2.*", "::ffff:192.0.2.9", true},
		{"!192.0.2.9,*", "::ffff:192.0.2.9", false},
		{"!192.0.2.9,*", "::ffff:c000:209", false},
		{"::ffff:192.0.2.0/120", "192.0.2.9", true},
		{"::ffff:192.0.2.0/120", "192.0.3.9", false},
		{"::ffff:0.0.0.0/96", "198.51.100.1", true},
		{"!192.0.2.9,192.0.2.0/24", "192.0.2.8", true},
		{"!192.0.2.9,192.0.2.0/24", "192.0.2.9", false},
		{"192.0.2.0/24,!192.0.2.9", "192.0.2.9", false},
		{"!192.0.2.0/24", "198.51.100.1", false}, /* only negations: nobody */
		{"fe80::1", "fe80::1%eth0", true},
		{"192.0.2.7", "", false},
		{"*", "not an address", false},
		{"*", "host.example", false},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct authorized_key key = {0};
		struct err err = {0};
		if (parse_options(line_of("from=\"%s\"", rows[i].from), &key, &err) != 1) {
			fail_msg("%s: %s", rows[i].from, err.msg);
		}
		if (authorized_match_address(key.options.from, rows[i].address) != rows[i].match) {
			fail_msg("from=\"%s\" and %s", rows[i].from, rows[i].address);
		}
		authorized_key_fini(&key);
	}
}

static void a_pattern_that_could_not_mean_what_it_says_refuses_the_key(void **state)
{
	static const char *const rows[] = {"", "192.0.2.1,", ",192.0.2.1", "192.0.2.1,,::1",
		"192.0.2.0/33", "192.0.2.0/-1", "192.0.2.0/", "192.0.2.0/24x", "192.0.2.0/ 24",
		"192.0.2.7/24", "2001:db8::/129", "2001:db8::1/64", "::ffff:192.0.2.0/24",
		"::ffff:192.0.2.1/120", "300.0.2.1", "192.0.2", "1.2.3.4.5", "host.example",
		"*.example", "!host.example,*", "!", "!!192.0.2.1", "192.0.2.1 ", "192.0.2.[12]",
		"192.0.2.*/24", "fe80::1%eth0", "/24"};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_refused(line_of("from=\"%s\" ssh-ed25519 %s", rows[i], ed25519), "from=: ");
	}
}

static void a_bad_pattern_or_none_matches_nothing(void **state)
{
	char *none[] = {NULL};
	char bad[] = "192.0.2.0/99";
	char all[] = "*";
	char *mixed[] = {all, bad, NULL};

	assert_false(authorized_match_address(NULL, "192.0.2.1"));
	assert_false(authorized_match_address(none, "192.0.2.1"));
	assert_false(authorized_match_address(mixed, "192.0.2.1"));
}

/* ---- files ---- */

struct complaints {
	unsigned count;
	unsigned line; /* of the last */
	char last[256];
};

static void complain(void *data, unsigned line, const char *message)
{
	struct complaints *complaints = data;

	complaints->count++;
	complaints->line = line;
	(void)snprintf(complaints->last, sizeof(complaints->last), "%s", message);
}

static size_t decode(const char *base64, uint8_t *blob, size_t room)
{
	size_t size = 0;

	assert_int_equal(sodium_base642bin(blob, room, base64, strlen(base64), NULL, &size, NULL,
				 sodium_base64_VARIANT_ORIGINAL),
		0);
	return size;
}

/* Looks for the ed25519 key in text. */
static int find(const char *text, size_t size, const char *address, struct authorized_key *key,
	const char **reason, struct complaints *complaints)
{
	uint8_t blob[512];
	size_t blob_size = decode(ed25519, blob, sizeof(blob));

	*complaints = (struct complaints){0};
	return authorized_find(text, size, blob, blob_size, address, 1800000000, complain,
		complaints, key, reason);
}

static void the_first_line_that_permits_is_used(void **state)
{
	struct authorized_key key = {0};
	struct complaints complaints;
	const char *reason = "";
	cleanup_free char *text = NULL;

	assert_true(asprintf(&text,
			    "# keys\n\nssh-ed25519 %s other\nfrom=\"198.51.100.0/24\" ssh-ed25519 "
			    "%s a\n"
			    "expiry-time=\"20200101Z\" ssh-ed25519 %s b\n"
			    "restrict ssh-ed25519 %s c\nssh-ed25519 %s d",
			    other_ed25519, ed25519, ed25519, ed25519, ed25519) > 0);
	assert_int_equal(find(text, strlen(text), "192.0.2.1", &key, &reason, &complaints), 1);
	assert_string_equal(key.comment, "c");
	assert_true(key.options.restricted);
	authorized_key_fini(&key);
	assert_int_equal(find(text, strlen(text), "198.51.100.1", &key, &reason, &complaints), 1);
	assert_string_equal(key.comment, "a");
	authorized_key_fini(&key);
	assert_int_equal(complaints.count, 0);
}

static void a_refusal_has_its_reason(void **state)
{
	static const struct {
		const char *options, *reason;
	} rows[] = {
		{"expiry-time=\"20200101Z\" ", "expired"},
		{"from=\"198.51.100.0/24\" ", "from"},
	};
	struct authorized_key key = {0};
	struct complaints complaints;
	const char *reason = "";
	char *text = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		text = line_of("%sssh-ed25519 %s\n", rows[i].options, ed25519);
		assert_int_equal(
			find(text, strlen(text), "192.0.2.1", &key, &reason, &complaints), 0);
		assert_string_equal(reason, rows[i].reason);
	}
	text = line_of("ssh-ed25519 %s\n", other_ed25519);
	assert_int_equal(find(text, strlen(text), "192.0.2.1", &key, &reason, &complaints), 0);
	assert_string_equal(reason, "no such key");
	assert_int_equal(find("", 0, "192.0.2.1", &key, &reason, &complaints), 0);
	assert_string_equal(reason, "no such key");
}

static void the_second_of_expiry_still_counts(void **state)
{
	struct authorized_key key = {0};
	uint8_t blob[512];
	size_t size = decode(ed25519, blob, sizeof(blob));
	char *text = line_of("expiry-time=\"20300102Z\" ssh-ed25519 %s\n", ed25519);
	const char *reason = "";

	assert_int_equal(authorized_find(text, strlen(text), blob, size, "192.0.2.1", 1893542400,
				 NULL, NULL, &key, &reason),
		1);
	authorized_key_fini(&key);
	assert_int_equal(authorized_find(text, strlen(text), blob, size, "192.0.2.1", 1893542401,
				 NULL, NULL, &key, &reason),
		0);
	assert_string_equal(reason, "expired");
}

static void a_refused_line_is_named_and_never_used(void **state)
{
	struct authorized_key key = {0};
	struct complaints complaints;
	const char *reason = "";
	char *text = line_of("\nfrobnicate ssh-ed25519 %s\n", ed25519);

	assert_int_equal(find(text, strlen(text), "192.0.2.1", &key, &reason, &complaints), 0);
	assert_string_equal(reason, "no such key");
	assert_int_equal(complaints.count, 1);
	assert_int_equal(complaints.line, 2);
	assert_non_null(strstr(complaints.last, "frobnicate"));
}

/* dropbear, 2026: the tail of a line that was too long was read as a key without restrictions. */
static void a_long_line_is_refused_whole(void **state)
{
	struct authorized_key key = {0};
	struct complaints complaints;
	const char *reason = "";

	/* Try every place the key can have around the limit: it must never be found. */
	for (int pad = AUTHORIZED_MAX_LINE - 200; pad < AUTHORIZED_MAX_LINE + 200; pad++) {
		char *text = line_of("command=\"%*s\" ssh-ed25519 %s", pad, "", ed25519);
		bool fits = strlen(text) <= AUTHORIZED_MAX_LINE;
		assert_int_equal(
			find(text, strlen(text), "192.0.2.1", &key, &reason, &complaints), fits);
		if (fits) {
			assert_int_equal(strlen(key.options.command), pad);
			authorized_key_fini(&key);
		} else {
			assert_int_equal(complaints.count, 1);
			assert_non_null(strstr(complaints.last, "longer than 8192"));
		}
	}
}

static void a_nul_does_not_hide_or_free_a_key(void **state)
{
	struct authorized_key key = {0};
	struct complaints complaints;
	const char *reason = "";
	char text[1024];
	int size = 0;

	/* What stands before the NUL is a whole key, and so is what stands behind it. */
	size = snprintf(
		text, sizeof(text), "ssh-ed25519 %s%cssh-ed25519 %s\n", ed25519, 0, ed25519);
	assert_int_equal(find(text, (size_t)size, "192.0.2.1", &key, &reason, &complaints), 0);
	assert_int_equal(complaints.count, 1);
	assert_non_null(strstr(complaints.last, "NUL"));
	/* The lines after it are still read. */
	size = snprintf(text, sizeof(text), "x%c\nssh-ed25519 %s", 0, ed25519);
	assert_int_equal(find(text, (size_t)size, "192.0.2.1", &key, &reason, &complaints), 1);
	authorized_key_fini(&key);
	assert_int_equal(complaints.count, 1);
}

static void windows_line_ends_are_said_and_refused(void **state)
{
	struct authorized_key key = {0};
	struct complaints complaints;
	const char *reason = "";
	char *text = line_of("ssh-ed25519 %s alice\r\n", ed25519);

	assert_int_equal(find(text, strlen(text), "192.0.2.1", &key, &reason, &complaints), 0);
	assert_non_null(strstr(complaints.last, "carriage return"));
}

static void only_so_many_lines_are_looked_at(void **state)
{
	struct authorized_key key = {0};
	struct complaints complaints;
	const char *reason = "";
	size_t one = strlen(line_of("ssh-ed25519 %s\n", other_ed25519));
	size_t room = (AUTHORIZED_MAX_KEYS + 2) * one;
	cleanup_free char *text = malloc(room + 1);

	assert_non_null(text);
	for (size_t i = 0; i < AUTHORIZED_MAX_KEYS + 1; i++) {
		/* The key we look for is the last that is read, then the first that is not. */
		bool ours = i == AUTHORIZED_MAX_KEYS - 1;
		(void)snprintf(text + i * one, one + 1, "ssh-ed25519 %s\n",
			ours ? ed25519 : other_ed25519);
	}
	size_t size = (AUTHORIZED_MAX_KEYS + 1) * one;
	assert_int_equal(find(text, size, "192.0.2.1", &key, &reason, &complaints), 1);
	authorized_key_fini(&key);
	assert_int_equal(complaints.count, 0);
	memmove(text + one, text, size - one);
	assert_int_equal(find(text, size, "192.0.2.1", &key, &reason, &complaints), 0);
	assert_int_equal(complaints.count, 1);
	assert_non_null(strstr(complaints.last, "too many keys"));
}

static void an_authority_signs_and_opens_nothing_itself(void **state)
{
	static const struct {
		const char *options, *principal, *login;
		int found;
		const char *reason;
	} rows[] = {
		{"cert-authority", "ann", "ann", 1, NULL},
		{"cert-authority", "ann", "bob", 0, "principal"},
		{"cert-authority,principals=\"staff,ann\"", "ann", "bob", 1, NULL},
		{"cert-authority,principals=\"staff\"", "bob", "bob", 0, "principal"},
		{"cert-authority,from=\"10.0.0.0/8\"", "ann", "ann", 0, "from"},
		{"restrict", "ann", "ann", 0, "no such key"},
	};
	uint8_t blob[512];
	size_t size = decode(ed25519, blob, sizeof(blob));

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char *names[] = {(char *)(uintptr_t)rows[i].principal, NULL};
		const struct authorized_question question = {
			blob, size, "192.0.2.1", 1000, names, rows[i].login};
		struct authorized_key key = {0};
		const char *reason = NULL;
		char text[512];
		(void)snprintf(text, sizeof(text), "%s ssh-ed25519 %s\n", rows[i].options, ed25519);
		int r = authorized_find_authority(
			text, strlen(text), &question, NULL, NULL, &key, &reason);
		if (r != rows[i].found || (reason && strcmp(reason, rows[i].reason) != 0)) {
			fail_msg("%s: %d %s", rows[i].options, r, reason ? reason : "");
		}
		authorized_key_fini(&key);
		r = authorized_find(text, strlen(text), blob, size, "192.0.2.1", 1000, NULL, NULL,
			&key, &reason);
		assert_int_equal(r, strcmp(rows[i].options, "restrict") == 0);
		authorized_key_fini(&key);
	}
}

static void two_keys_permit_what_both_permit(void **state)
{
	static const struct {
		const char *one, *two;
		bool agree, pty;
		const char *command;
	} rows[] = {
		{"pty", "pty", true, true, NULL},
		{"no-pty", "pty", true, false, NULL},
		{"pty", "restrict", true, false, NULL},
		{"command=\"a\"", "pty", true, true, "a"},
		{"pty", "command=\"a\"", true, true, "a"},
		{"command=\"a\"", "command=\"a\"", true, true, "a"},
		{"command=\"a\"", "command=\"b\"", false, true, "a"},
		{"profile=\"a\"", "profile=\"b\"", false, true, NULL},
		{"permitopen=\"a:1\"", "permitopen=\"a:1\"", true, true, NULL},
		{"permitopen=\"a:1\"", "permitopen=\"a:2\"", false, true, NULL},
		{"permitopen=\"a:1\"", "permitopen=\"a:1\",permitopen=\"b:1\"", false, true, NULL},
		{"environment=\"A=1\"", "environment=\"A=2\"", false, true, NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct authorized_key one = {0}, two = {0};
		struct err err = {0};
		assert_int_equal(parse_options(rows[i].one, &one, &err), 1);
		assert_int_equal(parse_options(rows[i].two, &two, &err), 1);
		int r = authorized_options_merge(&one.options, &two.options, &err);
		const char *command = one.options.command;
		if (r != (rows[i].agree ? 0 : -EPERM) || one.options.pty != rows[i].pty ||
			!command != !rows[i].command ||
			(command && strcmp(command, rows[i].command) != 0)) {
			fail_msg("row %zu: %d", i, r);
		}
		authorized_key_fini(&one);
		authorized_key_fini(&two);
	}
}

static void fingerprints_are_those_of_openssh(void **state)
{
	uint8_t blob[512];
	size_t size = decode(ed25519, blob, sizeof(blob));
	char text[FINGERPRINT_SIZE];
	char small[8];

	assert_string_equal(fingerprint_format(blob, size, text, sizeof(text)),
		"SHA256:aGwy0ZzXHZRnL+6wi4onqirjg2cOGGWQ2i0SHv0MgnU");
	assert_string_equal(fingerprint_format(blob, size, small, sizeof(small)), "SHA256:");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_that_is_accepted_parses),
		cmocka_unit_test(keys_that_are_weak_or_broken_are_refused),
		cmocka_unit_test(base64_is_strict),
		cmocka_unit_test(blanks_and_comments_are_no_keys),
		cmocka_unit_test(the_comment_is_the_rest_of_the_line),
		cmocka_unit_test(options_are_read_as_sshd_reads_them),
		cmocka_unit_test(switches_have_opposites_and_the_last_word_counts),
		cmocka_unit_test(what_is_not_understood_refuses_the_key),
		cmocka_unit_test(times_are_dates_that_exist),
		cmocka_unit_test(addresses_match_as_patterns_say),
		cmocka_unit_test(a_pattern_that_could_not_mean_what_it_says_refuses_the_key),
		cmocka_unit_test(a_bad_pattern_or_none_matches_nothing),
		cmocka_unit_test(the_first_line_that_permits_is_used),
		cmocka_unit_test(a_refusal_has_its_reason),
		cmocka_unit_test(the_second_of_expiry_still_counts),
		cmocka_unit_test(a_refused_line_is_named_and_never_used),
		cmocka_unit_test(a_long_line_is_refused_whole),
		cmocka_unit_test(a_nul_does_not_hide_or_free_a_key),
		cmocka_unit_test(windows_line_ends_are_said_and_refused),
		cmocka_unit_test(only_so_many_lines_are_looked_at),
		cmocka_unit_test(an_authority_signs_and_opens_nothing_itself),
		cmocka_unit_test(two_keys_permit_what_both_permit),
		cmocka_unit_test(fingerprints_are_those_of_openssh),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
