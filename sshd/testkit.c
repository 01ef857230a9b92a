#include "sshd/testkit.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/proc.h"
#include "base/strv.h"
#include "cloche-config.h"

/* The directory of our own program, without a slash at the end. */
static int own_directory(char *path, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", path, size - 1);

	if (n <= 0) {
		return -ENOENT;
	}
	path[n] = '\0';
	char *slash = strrchr(path, '/');
	if (!slash) {
		return -ENOENT;
	}
	*slash = '\0';
	return 0;
}

int testkit_find(char *path, size_t size)
{
	char own[TESTKIT_PATH / 2];

	assert(path);
	if (own_directory(own, sizeof(own)) == 0) {
		for (size_t i = 0; i < 2; i++) {
			(void)snprintf(
				path, size, "%s/%s" TESTKIT, own, i == 0 ? "" : "../testkit/");
			if (access(path, X_OK) == 0) {
				return 0;
			}
		}
	}
	(void)snprintf(path, size, "%s/%s", CLOCHE_LIBEXECDIR, TESTKIT);
	return access(path, X_OK) == 0 ? 0 : -ENOENT;
}

static int make_argv(const struct testkit_job *job, char ***ret)
{
	const char *const words[] = {job->program, "--target", job->backend, "--proof", "--format",
		job->format, "--profile", job->profile, job->config ? "--config" : NULL,
		job->config};
	cleanup(strv_freep) char **argv = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(words) && words[i]; i++) {
		if (strv_append(&argv, words[i]) < 0) {
			return -ENOMEM;
		}
	}
	*ret = take_ptr(&argv);
	return 0;
}

int testkit_start(const struct testkit_job *job, int *ret_output)
{
	cleanup(strv_freep) char **argv = NULL;
	cleanup_close int read_end = -1;
	cleanup_close int write_end = -1;
	char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	cleanup_free char *home = NULL;
	const char *own = getenv("HOME");
	char *env[] = {path, NULL, NULL};
	int ends[2];
	int r = make_argv(job, &argv);

	if (r < 0) {
		return r;
	}
	/* What "~" means in a profile is to mean the same there. */
	if (own && asprintf(&home, "HOME=%s", own) < 0) {
		return -ENOMEM;
	}
	env[1] = home;
	if (pipe2(ends, O_CLOEXEC) < 0) {
		return -errno;
	}
	read_end = ends[0];
	write_end = ends[1];
	const int fds[] = {job->input, write_end, STDERR_FILENO};
	r = proc_spawn(argv, env, fds, NULL);
	if (r >= 0) {
		*ret_output = take_fd(&read_end);
	}
	return r;
}
