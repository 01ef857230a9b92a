#include "tests/test.h"

#include <errno.h>
#include <string.h>

#include "base/strv.h"
#include "session/policy.h"

static char *accept_env[] = {(char[]){"TERM"}, (char[]){"LANG"}, (char[]){"LC_*"}, NULL};
static char *all_kinds[] = {(char[]){"shell"}, (char[]){"exec"}, (char[]){"sftp"}, NULL};
static char *deny[] = {(char[]){"remove"}, (char[]){"rmdir"}, NULL};
static char *sftp_only[] = {(char[]){"sftp"}, NULL};
static char *profile_env[] = {(char[]){"EDITOR=vi"}, (char[]){"LANG=fr_FR.UTF-8"}, NULL};

/* Configurations own their texts; these are never freed. */
static char *text_of(const char *text)
{
	return (char *)(uintptr_t)text;
}

struct fixture {
	struct config_profile profiles[2];
	struct config_user user;
	struct config config;
	struct policy_login login;
};

static int set_up(void **state)
{
	static struct fixture fixture;

	fixture = (struct fixture){
		.profiles =
			{
				{.name = text_of("standard"),
					.accept_env = accept_env,
					.sessions = all_kinds},
				{.name = text_of("other"),
					.accept_env = accept_env,
					.sessions = all_kinds},
			},
		.user = {.name = text_of("*"), .profile = text_of("standard")},
	};
	spec_init(&fixture.profiles[0].spec);
	spec_init(&fixture.profiles[1].spec);
	fixture.config.profiles = fixture.profiles;
	fixture.config.profile_count = 2;
	fixture.config.users = &fixture.user;
	fixture.config.user_count = 1;
	fixture.login = (struct policy_login){
		.config = &fixture.config,
		.user = &fixture.user,
		.profile = &fixture.profiles[0],
		.name = "alice",
		.address = "192.0.2.7",
	};
	*state = &fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	fixture->profiles[0].spec.env = NULL;
	spec_fini(&fixture->profiles[0].spec);
	spec_fini(&fixture->profiles[1].spec);
	return 0;
}

static void a_home_that_lasts_is_named_by_the_login_alone(void **state)
{
	struct fixture *fixture = *state;
	const struct policy_request request = {.kind = POLICY_SHELL};
	struct spec spec;
	struct err err = {0};

	fixture->profiles[0].spec.home_source = strdup("/srv/homes/%u");
	fixture->profiles[0].spec.user = strdup("work");
	assert_int_equal(policy_spec(&fixture->login, &request, &spec, &err), 0);
	assert_string_equal(spec.home_source, "/srv/homes/alice");
	assert_string_equal(spec.user, "work");
	spec_fini(&spec);
	/* What no login can be called, in case one came this far. */
	fixture->login.name = "../bob";
	assert_true(policy_spec(&fixture->login, &request, &spec, &err) < 0);
	fixture->login.name = "alice";
}

static void a_shell_is_a_login_shell_with_a_clean_environment(void **state)
{
	struct fixture *fixture = *state;
	char *sent[] = {text_of("LC_TIME=de_DE.UTF-8"), NULL};
	const struct policy_request request = {
		.kind = POLICY_SHELL, .pty = true, .term = "xterm-256color", .env = sent};
	struct spec spec;
	struct err err = {0};

	fixture->profiles[0].spec.shell = strdup("/bin/sh");
	assert_int_equal(policy_spec(&fixture->login, &request, &spec, &err), 0);
	assert_int_equal(strv_length(spec.args), 2);
	assert_string_equal(spec.args[0], "/bin/sh");
	assert_string_equal(spec.args[1], "-l");
	assert_string_equal(spec.user, "alice");
	static const struct {
		const char *name, *value;
	} rows[] = {
		{"HOME", "/home/alice"},
		{"USER", "alice"},
		{"LOGNAME", "alice"},
		{"SHELL", "/bin/sh"},
		{"TERM", "xterm-256color"},
		{"LC_TIME", "de_DE.UTF-8"},
		{"SSH_TTY", "/dev/pts/0"},
		{"SSH_CLIENT", "192.0.2.7 0 0"},
		{"SSH_CONNECTION", "192.0.2.7 0 0.0.0.0 0"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_non_null(strv_getenv(spec.env, rows[i].name));
		assert_string_equal(strv_getenv(spec.env, rows[i].name), rows[i].value);
	}
	assert_null(strv_getenv(spec.env, "SSH_ORIGINAL_COMMAND"));
	/* These, PATH and LANG, and nothing of our own. */
	assert_int_equal(strv_length(spec.env), ARRAY_SIZE(rows) + 2);
	spec_fini(&spec);
}

static void without_a_terminal_there_is_none_in_the_environment(void **state)
{
	struct fixture *fixture = *state;
	const struct policy_request request = {.kind = POLICY_EXEC, .command = "echo 'a b'"};
	struct spec spec;
	struct err err = {0};

	assert_int_equal(policy_spec(&fixture->login, &request, &spec, &err), 0);
	assert_int_equal(strv_length(spec.args), 3);
	assert_string_equal(spec.args[1], "-c");
	assert_string_equal(spec.args[2], "echo 'a b'");
	assert_null(strv_getenv(spec.env, "SSH_TTY"));
	assert_null(strv_getenv(spec.env, "TERM"));
	spec_fini(&spec);
}

static void the_operator_wins_over_the_client(void **state)
{
	struct fixture *fixture = *state;
	char *key_env[] = {text_of("EDITOR=emacs"), NULL};
	char *sent[] = {text_of("LANG=C"), NULL};
	const struct key_options key = {.pty = true, .environment = key_env};
	const struct policy_request request = {.kind = POLICY_SHELL, .env = sent};
	struct spec spec;
	struct err err = {0};

	fixture->profiles[0].spec.env = profile_env;
	fixture->login.key = &key;
	assert_int_equal(policy_spec(&fixture->login, &request, &spec, &err), 0);
	assert_string_equal(strv_getenv(spec.env, "LANG"), "fr_FR.UTF-8");
	assert_string_equal(strv_getenv(spec.env, "EDITOR"), "emacs");
	spec_fini(&spec);
}

static void a_forced_command_replaces_whatever_was_asked(void **state)
{
	struct fixture *fixture = *state;
	const struct key_options key = {.command = text_of("/bin/backup")};
	static const struct {
		enum policy_kind kind;
		const char *command;
	} rows[] = {
		{POLICY_SHELL, NULL},
		{POLICY_EXEC, "rm -rf ~"},
		{POLICY_SUBSYSTEM, "sftp"},
	};

	fixture->login.key = &key;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct policy_request request = {
			.kind = rows[i].kind, .command = rows[i].command};
		struct spec spec;
		struct err err = {0};
		assert_int_equal(policy_spec(&fixture->login, &request, &spec, &err), 0);
		assert_string_equal(spec.args[1], "-c");
		assert_string_equal(spec.args[2], "/bin/backup");
		const char *original = strv_getenv(spec.env, "SSH_ORIGINAL_COMMAND");
		if (rows[i].command) {
			assert_string_equal(original, rows[i].command);
		} else {
			assert_null(original);
		}
		spec_fini(&spec);
	}
	assert_false(policy_allows_pty(&fixture->login));
}

static void kinds_not_offered_are_refused_in_words(void **state)
{
	struct fixture *fixture = *state;
	const struct policy_request sftp = {.kind = POLICY_SUBSYSTEM, .command = "sftp"};
	const struct policy_request other = {.kind = POLICY_SUBSYSTEM, .command = "netconf"};
	const struct policy_request shell = {.kind = POLICY_SHELL};
	struct spec spec;
	struct err err = {0};

	fixture->profiles[0].sftp = text_of("no");
	assert_int_equal(policy_spec(&fixture->login, &sftp, &spec, &err), -ENOTSUP);
	assert_non_null(strstr(err.msg, "does not offer sftp"));
	fixture->profiles[0].sessions = sftp_only;
	assert_int_equal(policy_spec(&fixture->login, &shell, &spec, &err), -ENOTSUP);
	assert_non_null(strstr(err.msg, "offers no shell session; it offers: sftp"));
	assert_int_equal(policy_spec(&fixture->login, &other, &spec, &err), -ENOTSUP);
	assert_non_null(strstr(err.msg, "no such subsystem"));
}

static void sftp_is_a_program_with_the_profile_s_rules(void **state)
{
	struct fixture *fixture = *state;
	const struct policy_request sftp = {.kind = POLICY_SUBSYSTEM, .command = "sftp"};
	const struct policy_request shell = {.kind = POLICY_SHELL};
	const struct key_options key = {.command = text_of("internal-sftp")};
	struct spec spec;
	struct err err = {0};

	fixture->profiles[0].sftp = text_of("read-only");
	fixture->profiles[0].sftp_server = text_of("/opt/sftp-server");
	fixture->profiles[0].sftp_deny = deny;
	assert_int_equal(policy_spec(&fixture->login, &sftp, &spec, &err), 0);
	cleanup_free char *line = strv_join(spec.args, " ");
	assert_string_equal(line, "/opt/sftp-server -e -R -P remove,rmdir");
	spec_fini(&spec);
	/* As in sshd_config(5): a key that may do nothing else. */
	fixture->login.key = &key;
	fixture->profiles[0].sessions = NULL;
	assert_int_equal(policy_spec(&fixture->login, &shell, &spec, &err), 0);
	assert_string_equal(spec.args[0], "/opt/sftp-server");
	spec_fini(&spec);
}

static void only_listed_names_may_be_sent(void **state)
{
	struct fixture *fixture = *state;
	char *any[] = {text_of("*"), NULL};
	static char long_value[POLICY_MAX_ENV_VALUE + 2];
	const struct config_profile open = {.name = text_of("open"), .accept_env = any};
	const struct config_profile closed = {.name = text_of("closed")};
	const struct config_profile *standard = &fixture->profiles[0];

	memset(long_value, 'x', sizeof(long_value) - 1);
	assert_true(policy_accepts_env(standard, "LANG", "C"));
	assert_true(policy_accepts_env(standard, "LC_ALL", "C"));
	assert_false(policy_accepts_env(standard, "EDITOR", "vi"));
	assert_false(policy_accepts_env(standard, "LC_ALL", long_value));
	assert_false(policy_accepts_env(&closed, "LANG", "C"));
	assert_true(policy_accepts_env(&open, "EDITOR", "vi"));
	static const char *const never[] = {"HOME", "PATH", "SHELL", "USER", "SSH_CLIENT",
		"LD_PRELOAD", "", "A=B", "1A", "A B", "Ä"};
	for (size_t i = 0; i < ARRAY_SIZE(never); i++) {
		assert_false(policy_accepts_env(&open, never[i], "x"));
	}
}

static void terminal_names_are_plain(void **state)
{
	assert_true(policy_accepts_term("xterm-256color"));
	assert_false(policy_accepts_term(""));
	assert_false(policy_accepts_term("x/../y"));
	assert_false(policy_accepts_term("x\ny"));
}

static void a_key_may_name_another_profile(void **state)
{
	struct fixture *fixture = *state;
	char other[] = "other";
	char missing[] = "missing";
	struct key_options key = {.profile = other};
	const struct config_profile *profile = NULL;
	struct err err = {0};

	assert_int_equal(
		policy_find_profile(&fixture->config, &fixture->user, NULL, NULL, &profile, &err),
		0);
	assert_string_equal(profile->name, "standard");
	assert_int_equal(
		policy_find_profile(&fixture->config, &fixture->user, NULL, &key, &profile, &err),
		0);
	assert_string_equal(profile->name, "other");
	key.profile = missing;
	assert_int_equal(
		policy_find_profile(&fixture->config, &fixture->user, NULL, &key, &profile, &err),
		-ENOENT);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_home_that_lasts_is_named_by_the_login_alone),
		CASE(a_shell_is_a_login_shell_with_a_clean_environment),
		CASE(without_a_terminal_there_is_none_in_the_environment),
		CASE(the_operator_wins_over_the_client),
		CASE(a_forced_command_replaces_whatever_was_asked),
		CASE(kinds_not_offered_are_refused_in_words),
		CASE(sftp_is_a_program_with_the_profile_s_rules),
		CASE(only_listed_names_may_be_sent),
		CASE(terminal_names_are_plain),
		CASE(a_key_may_name_another_profile),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
