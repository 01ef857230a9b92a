#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/proc.h"
#include "keys/hostkey.h"
#include "keys/keyfile.h"

#define OTHER 65521 /* a uid that owns nothing on any system; only root can use it */

static char top[64]; /* a directory of our own, mode 0700 */

static const char *in_top(const char *name)
{
	static char paths[4][256];
	static unsigned next;
	char *path = paths[next++ % 4];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", top, name);
	return path;
}

static void make_file(const char *name, mode_t mode)
{
	int fd = -1;

	(void)unlink(in_top(name));
	fd = open(in_top(name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "hello", 5), 5);
	assert_int_equal(fchmod(fd, mode), 0);
	(void)close(fd);
}

/* Runs a shell command with $1 set; its exit code. */
static int run(const char *command, const char *argument)
{
	const char *const argv[] = {"/bin/sh", "-c", command, "sh", argument, NULL};
	const char *const env[] = {"PATH=/usr/bin:/bin", NULL};
	const int fds[3] = {-1, 1, 2};
	int status = -1;
	int pidfd = proc_spawn((char *const *)(size_t)argv, (char *const *)(size_t)env, fds, NULL);

	assert_true(pidfd >= 0);
	assert_int_equal(proc_wait(pidfd, 20000, &status), 0);
	(void)close(pidfd);
	return proc_exit_code(status);
}

static int make_top(void **state)
{
	(void)snprintf(top, sizeof(top), "/tmp/cloche-keyfile-XXXXXX");
	return mkdtemp(top) ? 0 : -1;
}

static int remove_top(void **state)
{
	return run("rm -rf \"$1\"", top);
}

/* Opens and closes; -errno or 0. */
static int try_open(const char *path, int secret, struct err *err)
{
	int fd = keyfile_open(path, geteuid(), secret, err);

	if (fd < 0) {
		return fd;
	}
	(void)close(fd);
	return 0;
}

static void assert_says(const struct err *err, const char *words)
{
	if (!strstr(err->msg, words)) {
		fail_msg("\"%s\" is not in \"%s\"", words, err->msg);
	}
}

static void a_sound_file_is_read(void **state)
{
	struct err err = {0};
	char text[8] = "";
	int fd = -1;

	make_file("plain", 0644);
	fd = keyfile_open(in_top("plain"), geteuid(), 0, &err);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, text, sizeof(text)), 5);
	assert_string_equal(text, "hello");
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	(void)close(fd);
}

static void modes_decide(void **state)
{
	static const struct {
		mode_t mode;
		int secret;
		int result;
		const char *says;
	} rows[] = {
		{0600, 0, 0, ""},
		{0600, 1, 0, ""},
		{0400, 1, 0, ""},
		{0644, 0, 0, ""},
		{0644, 1, -EPERM, "mode 0644) can be read by others"},
		{0640, 1, -EPERM, "chmod go-rwx"},
		{0604, 1, -EPERM, "chmod go-rwx"},
		{0610, 1, -EPERM, "chmod go-rwx"},
		{0620, 0, -EPERM, "mode 0620) can be written by others"},
		{0602, 0, -EPERM, "chmod go-w"},
		{0666, 1, -EPERM, "chmod go-w"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct err err = {0};
		make_file("modes", rows[i].mode);
		if (try_open(in_top("modes"), rows[i].secret, &err) != rows[i].result ||
			!strstr(err.msg, rows[i].says)) {
			fail_msg("row %zu: %s", i, err.msg);
		}
	}
}

static void a_directory_others_can_write_refuses(void **state)
{
	struct err err = {0};

	assert_int_equal(mkdir(in_top("dir"), 0700), 0);
	make_file("dir/file", 0600);
	assert_int_equal(try_open(in_top("dir/file"), 1, &err), 0);
	assert_int_equal(chmod(in_top("dir"), 0770), 0);
	assert_int_equal(try_open(in_top("dir/file"), 0, &err), -EPERM);
	assert_says(&err, in_top("dir"));
	assert_says(&err, "mode 0770");
	assert_says(&err, "chmod go-w");
	/* As with /tmp, nobody can take our file's place in a sticky one. */
	assert_int_equal(chmod(in_top("dir"), 01777), 0);
	assert_int_equal(try_open(in_top("dir/file"), 1, &err), 0);
}

static void a_way_through_dotdot_is_checked_too(void **state)
{
	struct err err = {0};

	assert_int_equal(mkdir(in_top("open"), 0777), 0);
	assert_int_equal(chmod(in_top("open"), 0777), 0);
	make_file("target", 0600);
	assert_int_equal(try_open(in_top("open/../target"), 0, &err), -EPERM);
	assert_says(&err, "/open ");
	assert_int_equal(chmod(in_top("open"), 0755), 0);
	assert_int_equal(try_open(in_top("open/..//./target"), 0, &err), 0);
	assert_int_equal(try_open("/../../etc/passwd", 0, &err), 0);
}

static void links_are_followed_where_all_is_sound(void **state)
{
	struct err err = {0};

	assert_int_equal(mkdir(in_top("a"), 0700), 0);
	assert_int_equal(mkdir(in_top("b"), 0700), 0);
	make_file("b/file", 0600);
	assert_int_equal(symlink("../b/file", in_top("a/relative")), 0);
	assert_int_equal(symlink(in_top("b"), in_top("a/absolute")), 0);
	assert_int_equal(try_open(in_top("a/relative"), 1, &err), 0);
	assert_int_equal(try_open(in_top("a/absolute/file"), 1, &err), 0);
	/* What a link leads through counts as if it had been written. */
	assert_int_equal(chmod(in_top("b"), 0777), 0);
	assert_int_equal(try_open(in_top("a/relative"), 0, &err), -EPERM);
	assert_says(&err, "/b ");
	assert_int_equal(try_open(in_top("a/absolute/file"), 0, &err), -EPERM);
}

static void a_circle_of_links_ends(void **state)
{
	struct err err = {0};

	assert_int_equal(symlink("two", in_top("one")), 0);
	assert_int_equal(symlink("one", in_top("two")), 0);
	assert_int_equal(try_open(in_top("one"), 0, &err), -ELOOP);
	/* Each round adds to the path that is left: it must not run over. */
	assert_int_equal(
		symlink("grow/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", in_top("grow")),
		0);
	assert_int_equal(try_open(in_top("grow"), 0, &err), -ELOOP);
}

static void special_files_are_refused_at_once(void **state)
{
	struct err err = {0};

	assert_int_equal(mkfifo(in_top("fifo"), 0600), 0);
	(void)alarm(5); /* a FIFO opened the wrong way waits for ever */
	assert_int_equal(try_open(in_top("fifo"), 0, &err), -EPERM);
	(void)alarm(0);
	assert_says(&err, "not a regular file");
	assert_int_equal(try_open("/dev/null", 0, &err), -EPERM);
	assert_int_equal(try_open(top, 0, &err), -EISDIR);
	assert_int_equal(try_open("/", 0, &err), -EISDIR);
}

static void missing_and_odd_paths_are_named(void **state)
{
	struct err err = {0};
	char longest[NAME_MAX + 8];

	assert_int_equal(try_open(in_top("no/such"), 0, &err), -ENOENT);
	assert_says(&err, "/no: No such file");
	make_file("leaf", 0600);
	assert_int_equal(try_open(in_top("leaf/below"), 0, &err), -ENOTDIR);
	assert_int_equal(try_open("", 0, &err), -ENOENT);
	memset(longest, 'a', sizeof(longest) - 1);
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(try_open(longest, 0, &err), -ENAMETOOLONG);
}

static void a_relative_path_counts_from_here(void **state)
{
	struct err err = {0};
	char before[256];

	assert_non_null(getcwd(before, sizeof(before)));
	make_file("near", 0600);
	assert_int_equal(chdir(top), 0);
	assert_int_equal(try_open("near", 1, &err), 0);
	assert_int_equal(try_open("./near", 1, &err), 0);
	assert_int_equal(chmod(top, 0777), 0);
	assert_int_equal(try_open("near", 1, &err), -EPERM);
	assert_int_equal(chmod(top, 0700), 0);
	assert_int_equal(chdir(before), 0);
}

static void the_command_that_mends_can_be_pasted(void **state)
{
	struct err err = {0};

	make_file("it's; odd", 0666);
	assert_int_equal(try_open(in_top("it's; odd"), 0, &err), -EPERM);
	assert_says(&err, "chmod go-w '");
	assert_says(&err, "it'\\''s; odd'");
}

static void what_others_own_is_refused(void **state)
{
	struct err err = {0};

	make_file("theirs", 0600);
	if (geteuid() != 0) {
		/* Without root nothing can be given away, so we play the stranger ourselves. */
		assert_int_equal(keyfile_open(in_top("theirs"), OTHER, 0, &err), -EPERM);
		assert_says(&err, "belongs to neither root nor uid 65521");
		return;
	}
	assert_int_equal(chown(in_top("theirs"), OTHER, OTHER), 0);
	assert_int_equal(try_open(in_top("theirs"), 0, &err), -EPERM);
	assert_says(&err, "owner uid 65521");
	assert_says(&err, "chown root");
	/* They are the owner asked for: their own file is theirs. */
	int fd = keyfile_open(in_top("theirs"), OTHER, 1, &err);
	assert_true(fd >= 0);
	(void)close(fd);

	make_file("mine", 0600);
	assert_int_equal(symlink("mine", in_top("their-link")), 0);
	assert_int_equal(lchown(in_top("their-link"), OTHER, OTHER), 0);
	assert_int_equal(try_open(in_top("their-link"), 0, &err), -EPERM);
	assert_says(&err, "chown -h root");

	assert_int_equal(mkdir(in_top("their-dir"), 0755), 0);
	make_file("their-dir/mine", 0600);
	assert_int_equal(chown(in_top("their-dir"), OTHER, OTHER), 0);
	assert_int_equal(try_open(in_top("their-dir/mine"), 0, &err), -EPERM);
}

/* ---- host keys ---- */

static void a_host_key_is_one_that_openssh_reads(void **state)
{
	struct err err = {0};
	struct stat status;
	mode_t mask = umask(0077);

	assert_int_equal(hostkey_generate(in_top("host"), &err), 0);
	(void)umask(mask);
	assert_int_equal(stat(in_top("host"), &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);
	assert_int_equal(stat(in_top("host.pub"), &status), 0);
	assert_int_equal(status.st_mode & 07777, 0644);
	assert_int_equal(try_open(in_top("host"), 1, &err), 0);
	/* ssh-keygen derives the same public key from the private one. */
	assert_int_equal(run("ssh-keygen -y -P '' -f \"$1\" >\"$1.derived\" && "
			     "cut -d' ' -f1,2 \"$1.pub\" | cmp - \"$1.derived\"",
				 in_top("host")),
		0);
}

static void a_host_key_never_replaces_one(void **state)
{
	struct err err = {0};

	make_file("taken", 0600);
	assert_int_equal(hostkey_generate(in_top("taken"), &err), -EEXIST);
	assert_int_equal(access(in_top("taken.pub"), F_OK), -1);
	make_file("half.pub", 0644);
	assert_int_equal(hostkey_generate(in_top("half"), &err), -EEXIST);
	assert_int_equal(access(in_top("half"), F_OK), -1);
	assert_int_equal(symlink("nowhere", in_top("dangling")), 0);
	assert_int_equal(hostkey_generate(in_top("dangling"), &err), -EEXIST);
	assert_int_equal(access(in_top("nowhere"), F_OK), -1);
}

static void two_host_keys_differ(void **state)
{
	struct err err = {0};

	assert_int_equal(hostkey_generate(in_top("k1"), &err), 0);
	assert_int_equal(hostkey_generate(in_top("k2"), &err), 0);
	assert_int_not_equal(run("cmp -s \"$1/k1\" \"$1/k2\"", top), 0);
	assert_int_not_equal(run("cmp -s \"$1/k1.pub\" \"$1/k2.pub\"", top), 0);
}

#define WITH_TOP(test) cmocka_unit_test_setup_teardown(test, make_top, remove_top)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_TOP(a_sound_file_is_read),
		WITH_TOP(modes_decide),
		WITH_TOP(a_directory_others_can_write_refuses),
		WITH_TOP(a_way_through_dotdot_is_checked_too),
		WITH_TOP(links_are_followed_where_all_is_sound),
		WITH_TOP(a_circle_of_links_ends),
		WITH_TOP(special_files_are_refused_at_once),
		WITH_TOP(missing_and_odd_paths_are_named),
		WITH_TOP(a_relative_path_counts_from_here),
		WITH_TOP(the_command_that_mends_can_be_pasted),
		WITH_TOP(what_others_own_is_refused),
		WITH_TOP(a_host_key_is_one_that_openssh_reads),
		WITH_TOP(a_host_key_never_replaces_one),
		WITH_TOP(two_host_keys_differ),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
