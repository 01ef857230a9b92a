#include "backends/answers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "backends/runtime.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/parse.h"

#define FOLDER "answers"
#define FRESH_SECONDS 2

/*
 * The time of the last status change is set by the kernel alone: who changes a file in place cannot
 * put it back. A file that has only just changed may do so again within a tick of that clock, so it
 * has no key yet.
 */
bool answers_key(const char *path, struct answers_key *ret)
{
	struct stat seen;
	struct timespec now;

	if (stat(path, &seen) < 0 || clock_gettime(CLOCK_REALTIME, &now) < 0 ||
		(now.tv_sec >= seen.st_ctim.tv_sec &&
			now.tv_sec - seen.st_ctim.tv_sec < FRESH_SECONDS)) {
		return false;
	}
	int n = snprintf(ret->text, sizeof(ret->text),
		"1 %s %llu %llu %lld %lld.%09ld %lld.%09ld\n", path,
		(unsigned long long)seen.st_dev, (unsigned long long)seen.st_ino,
		(long long)seen.st_size, (long long)seen.st_mtim.tv_sec, seen.st_mtim.tv_nsec,
		(long long)seen.st_ctim.tv_sec, seen.st_ctim.tv_nsec);
	return n > 0 && n < (int)sizeof(ret->text);
}

bool answers_recall(const char *question, const struct answers_key *key, char *text, size_t size)
{
	char folder[RUNTIME_PATH];
	cleanup_free char *data = NULL;
	cleanup_close int directory = runtime_open(FOLDER, false, folder);
	cleanup_close int fd = -1;
	size_t length = strlen(key->text);

	if (directory < 0 || !parse_is_name(question)) {
		return false;
	}
	fd = openat(directory, question, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || io_read_fd(fd, ANSWERS_MAX + sizeof(*key), &data, NULL) < 0 ||
		strncmp(data, key->text, length) != 0) {
		return false;
	}
	(void)snprintf(text, size, "%s", data + length);
	return true;
}

void answers_keep(const char *question, const struct answers_key *key, const char *text)
{
	char folder[RUNTIME_PATH];
	char name[80];
	cleanup_close int directory = runtime_open(FOLDER, true, folder);
	cleanup_close int fd = -1;

	if (directory < 0 || !parse_is_name(question) || strlen(text) > ANSWERS_MAX) {
		return;
	}
	/* A name of its own, so that nobody ever reads half of it. */
	(void)snprintf(name, sizeof(name), "%s.%d", question, (int)getpid());
	(void)unlinkat(directory, name, 0);
	fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0) {
		return;
	}
	if (io_write_all(fd, key->text, strlen(key->text)) < 0 ||
		io_write_all(fd, text, strlen(text)) < 0 ||
		renameat(directory, name, directory, question) < 0) {
		(void)unlinkat(directory, name, 0);
	}
}
