/*
 * The profile is evaluated: tinyscheme reads it behind sbpl.scm, which gives each form its documented
 * meaning, and answers a table of questions. Profiles that were tampered with must be caught by the
 * same tables.
 */
#include "tests/test.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backends/backend.h"
#include "base/buf.h"
#include "base/strv.h"

static struct plan *compile(const char *json)
{
	struct host host = {0}; /* nothing of this host is asked for */
	struct plan *plan = NULL;
	struct spec spec = {0};
	struct err err = {0};

	if (spec_from_json(json, &spec, &err) < 0 ||
		backend_compile(&backend_seatbelt, &spec, &host, 0, &plan, &err) < 0) {
		fail_msg("%s: %s", json, err.msg);
	}
	spec_fini(&spec);
	return plan;
}

static void expect_refusal(const char *json, const char *says)
{
	struct host host = {0};
	struct plan *plan = NULL;
	struct spec spec = {0};
	struct err err = {0};
	int r = spec_from_json(json, &spec, &err);

	r = r < 0 ? r : spec_validate(&spec, &err);
	r = r < 0 ? r : backend_compile(&backend_seatbelt, &spec, &host, 0, &plan, &err);
	if (r == 0 || !strstr(err.msg, says)) {
		fail_msg("%s: %s, not '%s'", json, r ? err.msg : "taken", says);
	}
	spec_fini(&spec);
}

static const char *profile_of(const struct plan *plan)
{
	assert_int_equal(plan->file_count, 1);
	assert_string_equal(plan->files[0].name, "profile.sb");
	return plan->files[0].content;
}

/* ---- the evaluation ---- */

/* A text as the list of its bytes: see sbpl.scm. */
static void put_bytes(struct buf *out, const char *text, size_t length)
{
	buf_printf(out, "'(");
	for (size_t i = 0; i < length; i++) {
		buf_printf(out, "%u ", (unsigned char)text[i]);
	}
	buf_printf(out, ")");
}

/* The -D arguments as sandbox-exec reads them: the name ends at the first '='. */
static void put_params(struct buf *out, char *const *command)
{
	buf_printf(out, "(define params (list");
	for (size_t i = 0; command[i]; i++) {
		if (strcmp(command[i], "/bin/bash") == 0) {
			break;
		}
		if (strcmp(command[i], "-D") == 0) {
			const char *text = command[++i];
			size_t name = strcspn(text, "=");
			buf_printf(out, " (cons ");
			put_bytes(out, text, name);
			buf_printf(out, " ");
			put_bytes(out, text + name + 1, strlen(text + name + 1));
			buf_printf(out, ")");
		}
	}
	buf_printf(out, "))\n");
}

/* One string, read as a reader of Scheme does, from behind its quote; returns what is behind it. */
static const char *put_string(struct buf *out, const char *text)
{
	struct buf bytes = {0};

	for (; *text && *text != '"'; text++) {
		text += *text == '\\';
		buf_put(&bytes, text, 1);
	}
	assert_true(*text == '"');
	put_bytes(out, (const char *)bytes.data, bytes.size);
	buf_fini(&bytes);
	return text + 1;
}

/* The profile with its strings, #"patterns" among them, as lists of bytes, and without comments. */
static void put_profile(struct buf *out, const char *profile)
{
	while (*profile) {
		if (strncmp(profile, "\"localhost:{port:egress}\"", 25) == 0) {
			(void)put_string(out, "localhost:18080\""); /* as a start fills it in */
			profile += 25;
		} else if (*profile == ';') {
			profile += strcspn(profile, "\n");
		} else if (*profile == '"') {
			profile = put_string(out, profile + 1);
		} else {
			buf_put(out, profile, !(profile[0] == '#' && profile[1] == '"'));
			profile++;
		}
	}
}

struct question {
	const char *operation;
	const char *attribute; /* "path", "name", "target", "remote", "local" or NULL */
	const char *value; /* an address as host:port */
	bool allowed;
};

/* All that names an operation: itself, "default", and each beginning of it with a star. */
static void put_names(struct buf *out, const char *operation)
{
	buf_printf(out, "'(%s default", operation);
	for (int i = 1; i <= (int)strlen(operation); i++) {
		buf_printf(out, " %.*s*", i, operation);
	}
	buf_printf(out, ")");
}

static void put_question(struct buf *out, const struct question *question)
{
	const char *value = question->value;
	const char *colon = value ? strrchr(value, ':') : NULL;

	buf_printf(out, "(ask ");
	put_names(out, question->operation);
	buf_printf(out, " (list");
	if (!question->attribute) {
		buf_printf(out, "))\n");
		return;
	}
	buf_printf(out, " (cons '%s ", question->attribute);
	if (strcmp(question->attribute, "target") == 0) {
		buf_printf(out, "'%s", value);
	} else if (strcmp(question->attribute, "remote") == 0 ||
		strcmp(question->attribute, "local") == 0) {
		assert(colon);
		buf_printf(out, "(cons ");
		put_bytes(out, value, (size_t)(colon - value));
		put_bytes(out, colon + 1, strlen(colon + 1));
		buf_printf(out, ")");
	} else {
		put_bytes(out, value, strlen(value));
	}
	buf_printf(out, ")))\n");
}

static void put_prelude(struct buf *out)
{
	char path[512];
	char text[16384];
	size_t length = 0;
	FILE *file = NULL;

	(void)snprintf(path, sizeof(path), "%s/tests/unit/sbpl.scm", getenv("CLOCHE_SOURCE"));
	file = fopen(path, "re");
	if (!file) {
		fail_msg("%s: %s", path, strerror(errno));
	}
	length = fread(text, 1, sizeof(text), file);
	assert_true(length > 0 && length < sizeof(text));
	(void)fclose(file);
	buf_put(out, text, length);
	buf_put(out, "\n", 1);
}

/* How many questions are answered otherwise than expected; the first is described in wrong. */
static int evaluate(const char *profile, char *const *command, const struct question *questions,
	size_t count, char *wrong, size_t size)
{
	char path[] = "/tmp/cloche-sbpl-XXXXXX";
	char shell[128];
	char line[256];
	struct buf program = {0};
	int mistakes = 0;
	FILE *answers = NULL;
	int fd = mkstemp(path);

	put_prelude(&program);
	put_params(&program, command);
	put_profile(&program, profile);
	for (size_t i = 0; i < count; i++) {
		put_question(&program, &questions[i]);
	}
	assert_true(fd >= 0);
	assert_int_equal(write(fd, program.data, program.size), program.size);
	(void)close(fd);
	buf_fini(&program);
	(void)snprintf(shell, sizeof(shell), "tinyscheme %s 2>&1", path);
	answers = popen(shell, "re");
	assert_non_null(answers);
	for (size_t i = 0; i < count; i++) {
		const char *expected = questions[i].allowed ? "allow\n" : "deny\n";
		if (!fgets(line, sizeof(line), answers)) {
			(void)snprintf(line, sizeof(line), "nothing\n");
		}
		if (strcmp(line, expected) != 0 && mistakes++ == 0) {
			(void)snprintf(wrong, size, "%s %s '%s': %s", questions[i].operation,
				questions[i].attribute ? questions[i].attribute : "",
				questions[i].value ? questions[i].value : "", line);
		}
	}
	(void)pclose(answers);
	(void)unlink(path);
	return mistakes;
}

static void expect_answers(const char *json, const struct question *questions, size_t count)
{
	struct plan *plan = compile(json);
	char wrong[512];

	if (evaluate(profile_of(plan), plan->command, questions, count, wrong, sizeof(wrong)) > 0) {
		fail_msg("%s\n%s\n%s", json, wrong, profile_of(plan));
	}
	plan_free(plan);
}

#define EXPECT(json, table) expect_answers(json, table, ARRAY_SIZE(table))

/* ---- tables ---- */

static const char broad[] =
	"{\"args\":[\"/bin/zsh\"],\"write\":\"scope\",\"writable\":[\"/Users/"
	"me/src\",\"/Users/me\"],"
	"\"read_deny\":[\"/Users/me/.ssh\",\"/etc/ssl/private\",\"/Users/me/keys/prod/key\"],"
	"\"mach_allow\":[\"com.apple.system.opendirectoryd.libinfo\"]}";

static const struct question broad_questions[] = {
	{"file-read-data", "path", "/Users/other/notes", true},
	{"file-read-data", "path", "/Users/me/.ssh", false},
	{"file-read-data", "path", "/Users/me/.ssh/id_rsa", false},
	{"file-read-metadata", "path", "/Users/me/.ssh/id_rsa", false},
	{"file-read-data", "path", "/Users/me/.sshd", true},
	{"file-read-data", "path", "/System/Volumes/Data/Users/me/.ssh/id_rsa", false},
	{"file-read-data", "path", "/private/etc/ssl/private/key.pem", false},
	{"process-exec", "path", "/Users/me/.ssh/tool", false},
	{"process-exec", "path", "/bin/ls", true},
	{"file-link", "path", "/Users/me/.ssh/id_rsa", false},
	{"file-clone", "path", "/Users/me/.ssh/id_rsa", false},
	/* writes */
	{"file-write-create", "path", "/Users/me/src/a.c", true},
	{"file-write-data", "path", "/Users/me/notes", true},
	{"file-write-data", "path", "/Users/other/notes", false},
	{"file-write-data", "path", "/Users/mean", false},
	{"file-write-data", "path", "/private/tmp/x", false},
	{"file-write-data", "path", "/System/Volumes/Data/Users/other/notes", false},
	{"file-write-data", "path", "/Users/me/.ssh/authorized_keys", false},
	{"file-write-create", "path", "/Users/me/.ssh", false},
	{"file-write-data", "path", "/dev/null", true},
	{"file-write-unlink", "path", "/dev/null", false},
	{"file-write-data", "path", "/dev/ttys003", true},
	{"file-write-data", "path", "/dev/ttys", false},
	{"file-write-setugid", "path", "/Users/me/src/a", false},
	/* renames */
	{"file-write-unlink", "path", "/Users/me/notes", true},
	{"file-write-unlink", "path", "/Users/me/src/a.c", true},
	{"file-write-unlink", "path", "/Users/me", false},
	{"file-write-unlink", "path", "/Users/me/src", false},
	{"file-write-unlink", "path", "/Users/me/.ssh", false},
	{"file-write-unlink", "path", "/Users", false},
	{"file-write-unlink", "path", "/Users/me/keys", false},
	{"file-write-unlink", "path", "/Users/me/keys/prod", false},
	{"file-write-unlink", "path", "/Users/me/keys/prod/key", false},
	{"file-write-unlink", "path", "/Users/me/keys/prod/other", true},
	{"file-write-unlink", "path", "/System/Volumes/Data/Users/me", false},
	/* disks */
	{"file-read-data", "path", "/dev/disk0", false},
	{"file-read-data", "path", "/dev/rdisk1s2", false},
	{"file-read-data", "path", "/dev/bpf0", false},
	{"file-read-data", "path", "/dev/kmem", false},
	{"file-read-data", "path", "/dev/urandom", true},
	/* processes and Mach */
	{"signal", "target", "same-sandbox", true},
	{"signal", "target", "others", false},
	{"process-info-pidinfo", "target", "others", false},
	{"mach-priv-task-port", NULL, NULL, false},
	{"mach-lookup", "name", "com.apple.system.opendirectoryd.libinfo", true},
	{"mach-lookup", "name", "com.apple.pasteboard.1", false},
	{"mach-lookup", "name", "com.apple.trustd", false},
	/* network */
	{"network-outbound", "remote", "192.0.2.1:443", false},
	{"network-outbound", "remote", "localhost:443", false},
	{"network-outbound", "path", "/private/var/run/docker.sock", false},
	{"network-outbound", "path", "/private/var/run/mDNSResponder", false},
	{"network-bind", "local", "localhost:80", false},
	{"network-inbound", "local", "*:80", false},
};

static void a_broad_profile_answers_as_it_should(void **state)
{
	EXPECT(broad, broad_questions);
}

static void a_scoped_profile_denies_what_is_not_listed(void **state)
{
	static const struct question questions[] = {
		{"file-read-data", "path", "/Users/me/src/a.c", true},
		{"file-read-data", "path", "/Users/me/src/secret/key", false},
		{"file-write-data", "path", "/Users/me/src/a.c", false},
		{"file-read-data", "path", "/Users/me/notes", false},
		{"file-read-metadata", "path", "/Users/me", true},
		{"file-read-data", "path", "/Users/me", false},
		{"file-read-metadata", "path", "/Users/other", false},
		{"file-read-data", "path", "/System/Library/x.dylib", true},
		{"file-read-data", "path", "/System/Volumes/Data/Users/me/notes", false},
		{"file-read-data", "path", "/System/Volumes/Data/Users/me/src/a.c", false},
		{"process-exec", "path", "/System/Volumes/Data/opt/x", false},
		{"file-read-data", "path", "/usr/lib/dyld", true},
		{"file-read-data", "path", "/usr/local/lib/x", false},
		{"file-read-data", "path", "/private/etc/master.passwd", false},
		{"file-read-data", "path", "/private/tmp/x", false},
		{"file-read-data", "path", "/opt/tool/bin/run", true},
		{"process-exec", "path", "/opt/tool/bin/run", true},
		{"process-exec", "path", "/opt/tool/bin/other", false},
		{"process-fork", NULL, NULL, true},
		{"pseudo-tty", NULL, NULL, true},
		{"file-read-data", "path", "/dev/urandom", true},
		{"file-read-data", "path", "/dev/disk0", false},
		{"iokit-open", NULL, NULL, false},
		{"job-creation", NULL, NULL, false},
		{"ipc-posix-shm-read-data", NULL, NULL, false},
		{"mach-lookup", "name", "com.apple.trustd", false},
		{"network-outbound", "remote", "192.0.2.1:443", false},
	};

	EXPECT("{\"args\":[\"/opt/tool/bin/run\"],\"readable\":[\"/Users/me/src\"],"
	       "\"read_deny\":[\"/Users/me/src/secret\"]}",
		questions);
}

static void outbound_opens_and_does_not_listen(void **state)
{
	static const struct question questions[] = {
		{"network-outbound", "remote", "192.0.2.1:443", true},
		{"network-outbound", "path", "/private/var/run/mDNSResponder", true},
		{"network-outbound", "path", "/private/var/run/docker.sock", false},
		{"network-inbound", "local", "*:80", false},
		{"network-inbound", "local", "localhost:80", false},
		{"network-bind", "local", "192.0.2.9:80", false},
		{"network-bind", "local", "localhost:80", true},
		{"system-socket", NULL, NULL, true},
		{"mach-lookup", "name", "com.apple.trustd.agent", true},
		{"mach-lookup", "name", "com.apple.SecurityServer", true},
		{"mach-lookup", "name", "com.apple.cfprefsd.agent", false},
	};

	EXPECT("{\"args\":[\"zsh\"],\"net\":\"outbound\"}", questions);
	EXPECT("{\"args\":[\"zsh\"],\"net\":\"outbound\",\"readable\":[\"/x\"]}", questions);
}

static void enable_listens_and_inbound_limits_it(void **state)
{
	static const struct question enable[] = {
		{"network-outbound", "remote", "192.0.2.1:443", true},
		{"network-inbound", "local", "*:80", true},
		{"network-bind", "local", "192.0.2.9:80", true},
	};
	static const struct question limited[] = {
		{"network-outbound", "remote", "192.0.2.1:443", true},
		{"network-inbound", "local", "*:8080", true},
		{"network-bind", "local", "192.0.2.9:8080", true},
		{"network-inbound", "local", "*:80", false},
		{"network-bind", "local", "192.0.2.9:80", false},
	};

	EXPECT("{\"args\":[\"zsh\"],\"net\":\"enable\"}", enable);
	EXPECT("{\"args\":[\"zsh\"],\"net\":\"enable\",\"inbound\":[\"8080\"]}", limited);
	EXPECT("{\"args\":[\"zsh\"],\"net\":\"outbound\",\"inbound\":[\"8080\"]}", limited);
}

static void egress_reaches_the_proxy_and_listed_local_ports_alone(void **state)
{
	static const struct question local[] = {
		{"network-outbound", "remote", "localhost:5432", true},
		{"network-outbound", "remote", "localhost:5433", false},
		{"network-outbound", "remote", "192.0.2.1:5432", false},
		{"network-outbound", "path", "/private/var/run/mDNSResponder", false},
		{"network-bind", "local", "localhost:80", false},
		{"mach-lookup", "name", "com.apple.trustd", false},
	};
	static const struct question proxy[] = {
		{"network-outbound", "remote", "localhost:18080", true},
		{"network-outbound", "remote", "localhost:5432", false},
		{"network-outbound", "remote", "example.com:443", false},
		{"network-outbound", "path", "/private/var/run/mDNSResponder", false},
		{"mach-lookup", "name", "com.apple.trustd", true},
	};
	static const struct question nothing[] = {
		{"network-outbound", "remote", "localhost:5432", false},
		{"network-outbound", "remote", "192.0.2.1:443", false},
	};

	EXPECT("{\"args\":[\"zsh\"],\"net\":\"egress\",\"egress\":[\"localhost:5432\"]}", local);
	EXPECT("{\"args\":[\"zsh\"],\"net\":\"egress\",\"egress\":[\"example.com:443\"]}", proxy);
	EXPECT("{\"args\":[\"zsh\"],\"net\":\"egress\"}", nothing);
}

static void ephemeral_writes_go_to_the_clone_alone(void **state)
{
	static const struct question questions[] = {
		{"file-write-create", "path", "{dir}/work/a", true},
		{"file-write-unlink", "path", "{dir}/work", false},
		{"file-write-data", "path", "{dir}/profile.sb", false},
		{"file-write-data", "path", "/Users/me/src/a", false},
	};

	EXPECT("{\"args\":[\"zsh\"],\"write\":\"ephemeral\",\"dir\":\"/Users/me/src\"}", questions);
}

static void no_exec_knows_three_paths(void **state)
{
	static const struct question questions[] = {
		{"process-exec", "path", "/opt/run", true},
		{"process-exec", "path", "/bin/bash", true},
		{"process-exec", "path", "/usr/bin/env", true},
		{"process-exec", "path", "/bin/sh", false},
		{"process-exec", "path", "/opt/run2", false},
	};

	EXPECT("{\"args\":[\"/opt/run\"],\"no_exec\":true}", questions);
}

/* ---- hostile texts ---- */

/* Each would end a string, a list or a rule, or be a rule of its own, if it stood in the profile. */
static const char *const hostile[] = {"/a\"b", "/a\\b", "/a\\", "/a)(allow default)",
	"/a\")) (allow default) (deny file-read* (literal \"", "/a;b", "/a b", "/(", "/'#|", "/a=b",
	"/\xc3\xa9\xe2\x82\xac", "/a\xff", "/{dir}", "/{id}x", "/{port:egress}", "/{brace}",
	"/a$(id)`id`", "/%s%n"};

static void hostile_paths_deny_and_grant_what_they_name(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
		struct host host = {0};
		struct spec spec = {0};
		struct plan *plan = NULL;
		struct err err = {0};
		char inside[256];
		char beside[256];
		char wrong[512];
		char written[256];
		const struct question questions[] = {
			{"file-read-data", "path", inside, false},
			{"file-read-data", "path", beside, true},
			{"file-write-data", "path", written, true},
			{"file-write-data", "path", beside, false},
			{"mach-lookup", "name", hostile[i], true},
			{"mach-lookup", "name", "x", false},
		};
		spec_init(&spec);
		spec.write = WRITE_SCOPE;
		assert_int_equal(strv_append(&spec.args, "x"), 0);
		assert_int_equal(strv_append(&spec.read_deny, hostile[i]), 0);
		assert_int_equal(strv_appendf(&spec.writable, "/w%s", hostile[i]), 0);
		assert_int_equal(strv_append(&spec.mach_allow, hostile[i]), 0);
		if (backend_compile(&backend_seatbelt, &spec, &host, 0, &plan, &err) < 0) {
			fail_msg("%s: %s", hostile[i], err.msg);
		}
		(void)snprintf(inside, sizeof(inside), "%s/x", hostile[i]);
		(void)snprintf(beside, sizeof(beside), "%sx", hostile[i]);
		(void)snprintf(written, sizeof(written), "/w%s/x", hostile[i]);
		if (strstr(profile_of(plan), hostile[i] + 1)) {
			/* "(" and the like occur; a text of more than two bytes must not. */
			assert_true(strlen(hostile[i]) < 4 || strstr(hostile[i], "{port:egress}"));
		}
		/* The arguments as a start would fill them in. */
		for (size_t j = 0; plan->command[j]; j++) {
			char *brace = NULL;
			while ((brace = strstr(plan->command[j], "{brace}"))) {
				memmove(brace + 1, brace + 7, strlen(brace + 7) + 1);
				*brace = '\1';
			}
			for (char *c = plan->command[j]; *c; c++) {
				*c = *c == '\1' ? '{' : *c;
			}
		}
		if (evaluate(profile_of(plan), plan->command, questions, ARRAY_SIZE(questions),
			    wrong, sizeof(wrong)) > 0) {
			fail_msg("'%s': %s", hostile[i], wrong);
		}
		plan_free(plan);
		spec_fini(&spec);
	}
}

/* ---- the tables can fail ---- */

/* Takes out the form that begins with start, up to its closing parenthesis. */
static char *without_form(const char *profile, const char *start)
{
	const char *from = strstr(profile, start);
	const char *at = from;
	int depth = 0;
	char *copy = NULL;

	assert_non_null(from);
	do {
		depth += (*at == '(') - (*at == ')');
		at++;
	} while (depth > 0);
	assert_true(asprintf(&copy, "%.*s%s", (int)(from - profile), profile, at) > 0);
	return copy;
}

/* Moves it to the end. */
static char *with_form_last(const char *profile, const char *start)
{
	char *rest = without_form(profile, start);
	const char *from = strstr(profile, start);
	size_t length = strlen(profile) - strlen(rest);
	char *copy = NULL;

	assert_true(asprintf(&copy, "%s%.*s\n", rest, (int)length, from) > 0);
	free(rest);
	return copy;
}

static void a_tampered_profile_is_caught(void **state)
{
	static const struct {
		const char *form;
		bool moved; /* to the end; else dropped */
	} rows[] = {
		{"(deny file-write-unlink\n\t(literal (param \"ABOVE", false},
		{"(deny file-write-unlink\n\t(literal (param \"WRITE", false},
		{"(deny file* process-exec*", false},
		{"(deny file-write* (subpath \"/\"))", false},
		{"(deny file-write* (subpath \"/\"))", true},
		{"(allow file-write*\n", true},
		{"(allow default)", true},
		{"(deny mach-lookup)", false},
		{"(deny mach-lookup)", true},
		{"(deny network*)", false},
		{"(deny file-read* file-write* (regex", false},
		{"(deny file-write-setugid)", false},
		{"(deny signal process-info*)", false},
		{"(deny mach-priv-task-port)", false},
		{"(string-append", false},
	};
	struct plan *plan = compile(broad);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char *tampered = rows[i].moved ? with_form_last(profile_of(plan), rows[i].form)
					       : without_form(profile_of(plan), rows[i].form);
		char wrong[512];
		int mistakes = evaluate(tampered, plan->command, broad_questions,
			ARRAY_SIZE(broad_questions), wrong, sizeof(wrong));
		free(tampered);
		if (mistakes == 0) {
			fail_msg("row %zu was not noticed", i);
		}
	}
	plan_free(plan);
}

/* ---- what the plan says of itself ---- */

/* The seed's statements about this backend: what is kept, and which difference is told. */
static void the_seeds_examples_come_out_as_it_says(void **state)
{
	static const struct {
		const char *json, *uses, *caveats; /* all of these, and none of those with '!' */
	} rows[] = {
		/* "The zero value denies": no net, no writes, broad reads; Mach always. */
		{"{\"args\":[\"true\"]}", "fs.read.host, fs.write.deny, mach.restrict, net.disable",
			"backend.never_executed"},
		{"{\"args\":[\"true\"],\"net\":\"enable\"}",
			"fs.read.host, fs.write.deny, mach.restrict, net.enable",
			"seatbelt.trust_services"},
		/* Mach lookups carved out by name, for getpwnam() */
		{"{\"args\":[\"id\"],\"mach_allow\":[\"com.apple.system.opendirectoryd.libinfo\"]}",
			"fs.read.host, fs.write.deny, mach.restrict, net.disable",
			"!seatbelt.trust_services"},
		/* "WriteOverlay ... ephemeral when the backend can, and denied otherwise" */
		{"{\"args\":[\"true\"],\"write\":\"overlay\",\"writable\":[\"/w\"]}",
			"fs.read.host, fs.write.scope, mach.restrict, net.disable",
			"seatbelt.overlay.denied fs.write_scope.disk_unbounded"},
		{"{\"args\":[\"true\"],\"write\":\"ephemeral\",\"dir\":\"/w\"}",
			"fs.read.host, fs.write.ephemeral, mach.restrict, net.disable",
			"seatbelt.ephemeral.clone"},
		{"{\"args\":[\"true\"],\"readable\":[\"/w\"],\"dir\":\"/w\"}",
			"fs.read.scope, fs.write.deny, mach.restrict, net.disable",
			"fs.read_scope.runtime_added"},
		/* "Backends that cannot cap CPU report a caveat": 1.5 cores, memory */
		{"{\"args\":[\"true\"],\"cpus\":\"1.5\",\"memory\":\"1G\",\"pids\":64}",
			"fs.read.host, fs.write.deny, mach.restrict, net.disable",
			"seatbelt.cpu.unlimited seatbelt.memory.unlimited seatbelt.pids.unlimited"},
		/* best effort, not claimed */
		{"{\"args\":[\"/bin/true\"],\"no_exec\":true}",
			"fs.read.host, fs.write.deny, mach.restrict, net.disable",
			"seatbelt.no_exec.by_path"},
		/* the agent profile: outbound, overlay, temp, credentials denied, secrets scrubbed */
		{"{\"args\":[\"claude\"],\"net\":\"outbound\",\"write\":\"overlay\","
		 "\"writable\":[\"/Users/me/p\"],\"allow_temp\":true,\"read_deny\":[\"/Users/me/"
		 ".ssh\","
		 "\"/Users/me/.aws\"],\"env_deny\":[\"*TOKEN*\",\"*SECRET*\"]}",
			"env.scrub, fs.read.deny, fs.read.host, fs.write.scope, mach.restrict, "
			"net.outbound",
			"seatbelt.outbound.any_host seatbelt.overlay.denied "
			"seatbelt.read_deny.hard_links"},
		{"{\"args\":[\"x\"],\"net\":\"egress\",\"egress\":[\"example.com\"]}",
			"fs.read.host, fs.write.deny, mach.restrict", "seatbelt.egress.by_proxy"},
		{"{\"args\":[\"x\"],\"net\":\"egress\",\"egress\":[\"localhost:1\"]}",
			"fs.read.host, fs.write.deny, mach.restrict, net.egress",
			"!seatbelt.egress.by_proxy"},
		{"{\"args\":[\"x\"],\"timeout\":\"5\",\"disk\":\"1G\",\"hostname\":\"h\"}",
			"fs.read.host, fs.write.deny, mach.restrict, net.disable",
			"seatbelt.time.orphans seatbelt.disk.unlimited seatbelt.hostname"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct plan *plan = compile(rows[i].json);
		char names[512];
		char codes[256];
		assert_string_equal(
			capability_set_format(plan->uses, names, sizeof(names)), rows[i].uses);
		(void)snprintf(codes, sizeof(codes), "%s", rows[i].caveats);
		for (char *code = strtok(codes, " "); code; code = strtok(NULL, " ")) {
			bool unwanted = *code == '!';
			if (plan_has_caveat(plan, code + unwanted) == unwanted) {
				fail_msg("row %zu: %s", i, code);
			}
		}
		assert_false(plan->executable_here);
		assert_true(plan_has_caveat(plan, "backend.never_executed"));
		plan_free(plan);
	}
}

static void refusals_say_what_would_be_right(void **state)
{
	expect_refusal("{\"args\":[\"x\"],\"strict\":true,\"readable\":[\"/w\"],\"memory\":\"1G\"}",
		"strict: seatbelt cannot keep res.memory");
	expect_refusal("{\"args\":[\"x\"],\"strict\":true}", "list what may be read with readable");
	expect_refusal("{\"args\":[\"x\"],\"require\":[\"kernel.isolation\"]}", "kernel.isolation");
	expect_refusal("{\"args\":[\"x\"],\"no_exec\":true}", "full path");
	expect_refusal("{\"args\":[\"x\"],\"ids\":\"range\"}", "ids: single");
	expect_refusal("{\"args\":[\"x\"],\"root\":\"image\",\"root_path\":\"/i\"}", "root: host");
	expect_refusal("{\"args\":[\"A=b\"]}", "env(1)");
	expect_refusal("{\"args\":[\"x\"],\"read_deny\":[\"/System/Volumes/Data/Users/me/.ssh\"]}",
		"without /System/Volumes/Data");
	expect_refusal("{\"args\":[\"x\"],\"read_deny\":[\"/a\\nb\"]}", "control bytes");
	expect_refusal("{\"args\":[\"x\"],\"readable\":[\"/w\"],\"dir\":\"/home/user\"}",
		"below none of the readable");
	expect_refusal("{\"args\":[\"x\"],\"memory\":\"1G\",\"refuse_on\":[\"missing\"]}",
		"seatbelt.memory.unlimited");
}

static void the_session_is_set_up_inside_with_its_variables_alone(void **state)
{
	static const char *const tail[] = {"/bin/bash", "-c", "cd \"$0\" && exec \"$@\"",
		"/private/tmp/{brace}id}", "/usr/bin/env", "-i", "--", "-x=y",
		"B={brace}dir} '\"\n", "HOME=/Users/user", "LOGNAME=user",
		"PATH=/usr/bin:/bin:/usr/sbin:/sbin", "SHELL=/bin/zsh", "USER=user", "echo",
		"{brace}id}", NULL};
	struct plan *plan = compile(
		"{\"args\":[\"echo\",\"{id}\"],\"dir\":\"/tmp/{id}\",\"env\":[\"B={dir} '\\\"\\n\","
		"\"-x=y\",\"SECRET=1\"],\"env_deny\":[\"SECRET\"]}");
	size_t start = strv_length(plan->command) - (ARRAY_SIZE(tail) - 1);

	for (size_t i = 0; tail[i]; i++) {
		assert_string_equal(plan->command[start + i], tail[i]);
	}
	assert_string_equal(plan->command[0], "/usr/bin/sandbox-exec");
	assert_string_equal(plan->command[1], "-f");
	assert_string_equal(plan->command[2], "{dir}/profile.sb");
	assert_null(plan->tool_env);
	assert_null(strstr(profile_of(plan), "SECRET"));
	plan_free(plan);
}

static void the_clone_is_made_by_a_step(void **state)
{
	struct plan *plan =
		compile("{\"args\":[\"x\"],\"write\":\"ephemeral\",\"dir\":\"/var/-x {dir}\"}");

	assert_int_equal(plan->steps[0].when, PLAN_BEFORE);
	assert_string_equal(plan->steps[0].argv[1], "-cRp");
	assert_string_equal(plan->steps[0].argv[3], "/private/var/-x {brace}dir}");
	assert_string_equal(plan->steps[0].argv[4], "{dir}/work");
	assert_string_equal(plan->dir, "{dir}/work");
	plan_free(plan);
}

static void it_is_never_started_nor_chosen_here(void **state)
{
	const struct backend *const list[] = {&backend_seatbelt, NULL};
	const struct backend *chosen = NULL;
	struct host host = {0};
	struct spec spec = {0};
	struct plan *plan = compile("{\"args\":[\"x\"]}");
	struct sandbox *sandbox = NULL;
	struct err err = {0};

	assert_int_equal(backend_seatbelt.probe(&host, &err), -ENOTSUP);
	assert_non_null(strstr(err.msg, "macOS"));
	assert_int_equal(backend_seatbelt.start(plan, &host, NULL, &sandbox, &err), -ENOTSUP);
	assert_null(sandbox);
	plan_free(plan);
	plan = NULL;
	assert_int_equal(spec_from_json("{\"args\":[\"x\"],\"backend\":\"auto\"}", &spec, &err), 0);
	assert_int_equal(backend_choose(list, &spec, &host, 0, &chosen, &plan, &err), -ENOTSUP);
	assert_non_null(strstr(err.msg, "macOS"));
	spec_fini(&spec);
}

static void the_host_does_not_change_the_plan(void **state)
{
	struct host hosts[2];
	char digests[2][65];
	struct spec spec = {0};

	memset(hosts, 0, sizeof(hosts));
	host_init_ideal(&hosts[1], 7);
	hosts[1].root = true;
	assert_int_equal(spec_from_json(broad, &spec, NULL), 0);
	for (size_t i = 0; i < 2; i++) {
		struct plan *plan = NULL;
		assert_int_equal(
			backend_compile(&backend_seatbelt, &spec, &hosts[i], 0, &plan, NULL), 0);
		memcpy(digests[i], plan->digest, sizeof(digests[i]));
		plan_free(plan);
	}
	assert_string_equal(digests[0], digests[1]);
	spec_fini(&spec);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_broad_profile_answers_as_it_should),
		cmocka_unit_test(a_scoped_profile_denies_what_is_not_listed),
		cmocka_unit_test(outbound_opens_and_does_not_listen),
		cmocka_unit_test(enable_listens_and_inbound_limits_it),
		cmocka_unit_test(egress_reaches_the_proxy_and_listed_local_ports_alone),
		cmocka_unit_test(ephemeral_writes_go_to_the_clone_alone),
		cmocka_unit_test(no_exec_knows_three_paths),
		cmocka_unit_test(hostile_paths_deny_and_grant_what_they_name),
		cmocka_unit_test(a_tampered_profile_is_caught),
		cmocka_unit_test(the_seeds_examples_come_out_as_it_says),
		cmocka_unit_test(refusals_say_what_would_be_right),
		cmocka_unit_test(the_session_is_set_up_inside_with_its_variables_alone),
		cmocka_unit_test(the_clone_is_made_by_a_step),
		cmocka_unit_test(it_is_never_started_nor_chosen_here),
		cmocka_unit_test(the_host_does_not_change_the_plan),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
