/*
 * Several processes append to one file. O_APPEND and a single write(2) a line keep lines whole. A
 * full disk can still cut a line short; it cannot be taken back, because others may have written
 * behind it. So the cut is remembered in shared memory, and whoever writes next ends the torn line
 * first: a reader loses that one line and no other.
 */
#include "session/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"

#define MAX_TEXT 1024

static int check_file(int fd, const char *path, struct err *err)
{
	struct stat status;

	if (fstat(fd, &status) < 0) {
		return err_set(err, errno, "audit log %s", path);
	}
	if (!S_ISREG(status.st_mode) && !S_ISCHR(status.st_mode)) {
		return err_refuse(err, EINVAL, "audit log %s: not a regular file", path);
	}
	if (S_ISREG(status.st_mode) && status.st_uid != geteuid()) {
		return err_refuse(err, EPERM, "audit log %s belongs to uid %u, not to us (%u)",
			path, (unsigned)status.st_uid, (unsigned)geteuid());
	}
	if (S_ISREG(status.st_mode) && (status.st_mode & 022)) {
		return err_refuse(err, EPERM, "audit log %s can be written by others; chmod 600 %s",
			path, path);
	}
	return 0;
}

int audit_init(struct audit *audit, const char *path, struct err *err)
{
	cleanup_close int fd = -1;

	*audit = (struct audit){.fd = -1};
	if (!path) {
		return 0;
	}
	if (strcmp(path, "-") == 0) {
		fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	} else {
		fd = open(path,
			O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY |
				O_NONBLOCK,
			0600);
	}
	if (fd < 0) {
		return err_set(err, errno, "opening the audit log %s", path);
	}
	int r = strcmp(path, "-") == 0 ? 0 : check_file(fd, path, err);
	if (r < 0) {
		return r;
	}
	void *shared = mmap(NULL, sizeof(*audit->torn), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED) {
		return err_set(err, errno, "memory shared by the writers of the audit log");
	}
	audit->torn = shared;
	audit->fd = take_fd(&fd);
	return 0;
}

void audit_fini(struct audit *audit)
{
	close_fdp(&audit->fd);
	if (audit->torn) {
		(void)munmap(audit->torn, sizeof(*audit->torn));
		audit->torn = NULL;
	}
}

void audit_begin(struct audit *audit)
{
	uint8_t random[8];

	io_random(random, sizeof(random));
	io_hex(random, sizeof(random), audit->conn);
	audit->seq = 0;
}

json_t *audit_text(const char *text)
{
	char safe[MAX_TEXT];

	if (!text) {
		return json_null();
	}
	return json_string(log_escape(text, safe, sizeof(safe)));
}

static void format_now(char *text, size_t size)
{
	struct timespec now;
	struct tm parts;
	char seconds[32];

	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)gmtime_r(&now.tv_sec, &parts);
	(void)strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &parts);
	(void)snprintf(text, size, "%s.%06ldZ", seconds, now.tv_nsec / 1000);
}

static int write_line(struct audit *audit, char *line, size_t size)
{
	char feed[] = "\n";
	struct iovec parts[] = {
		{.iov_base = feed, .iov_len = 1},
		{.iov_base = line, .iov_len = size},
	};
	bool torn = atomic_exchange(audit->torn, false);
	size_t first = torn ? 0 : 1;
	ssize_t want = (ssize_t)(size + (torn ? 1 : 0));
	ssize_t n = 0;

	do {
		n = writev(audit->fd, parts + first, (int)(2 - first));
	} while (n < 0 && errno == EINTR);
	if (n == want) {
		return 0;
	}
	int code = n < 0 ? errno : ENOSPC;
	if (torn || n > 0) {
		atomic_store(audit->torn, true);
	}
	return -code;
}

static json_t *make_event(struct audit *audit, const char *event)
{
	char now[64];

	format_now(now, sizeof(now));
	json_t *line = json_pack(
		"{s:i, s:s, s:s, s:i}", "v", 1, "ts", now, "event", event, "pid", (int)getpid());
	if (line && audit->conn[0]) {
		int r = json_object_set_new(line, "conn", json_string(audit->conn));
		r |= json_object_set_new(line, "seq", json_integer((json_int_t)audit->seq + 1));
		if (r) {
			json_decref(line);
			return NULL;
		}
	}
	return line;
}

int audit_event(struct audit *audit, const char *event, json_t *fields, struct err *err)
{
	cleanup_free char *text = NULL;

	if (audit->fd < 0) {
		json_decref(fields);
		return 0;
	}
	json_t *line = make_event(audit, event);
	int r = line ? 0 : -1;
	if (r == 0 && fields) {
		r = json_object_update(line, fields);
	}
	if (r == 0) {
		text = json_dumps(line, JSON_COMPACT);
	}
	json_decref(fields);
	json_decref(line);
	if (!text) {
		audit->failing = true;
		return err_set(err, ENOMEM, "making a line of the audit log");
	}
	/* The terminating NUL gives its place to the line feed. */
	size_t size = strlen(text);
	text[size] = '\n';
	r = write_line(audit, text, size + 1);
	audit->failing = r < 0;
	if (r < 0) {
		return err_set(err, -r, "the audit log cannot be written");
	}
	audit->seq++;
	return 0;
}
