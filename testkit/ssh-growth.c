/*
 * What many logins leave with the server that they went to: descriptors, processes, mounts.
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/strv.h"
#include "testkit/run.h"
#include "testkit/ssh-attempt.h"

#define LOGINS 4
#define LOGINS_MS 2000 /* no more logins after that: a machine may have to boot for each */
#define SETTLE_MS 3000 /* for what is on its way out */

/* What a server and all that descends from it have. */
struct growth {
	long descriptors, processes, mounts, memory_kib;
};

static long count_entries(const char *path)
{
	DIR *directory = opendir(path);
	long count = 0;

	while (directory && readdir(directory)) {
		count++;
	}
	if (directory) {
		(void)closedir(directory);
	}
	return count;
}

static long count_lines(const char *path)
{
	cleanup_free char *text = NULL;
	long count = 0;

	if (io_read_file(AT_FDCWD, path, 4 << 20, &text, NULL) < 0) {
		return 0;
	}
	for (const char *at = text; (at = strchr(at, '\n')); at++) {
		count++;
	}
	return count;
}

static long resident_kib(pid_t pid)
{
	cleanup_free char *status = NULL;
	char path[48];

	(void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (io_read_file(AT_FDCWD, path, 65536, &status, NULL) < 0) {
		return 0;
	}
	const char *line = strstr(status, "\nVmRSS:");
	return line ? strtol(line + strlen("\nVmRSS:"), NULL, 10) : 0;
}

static struct growth look_at(pid_t server)
{
	cleanup(ssh_processes_fini) struct ssh_processes all = {0};
	struct growth ret = {0};
	char path[48];

	(void)ssh_processes_read(&all);
	for (size_t i = 0; i < all.count; i++) {
		if (!ssh_processes_below(&all, all.list[i].pid, server)) {
			continue;
		}
		(void)snprintf(path, sizeof(path), "/proc/%d/fd", all.list[i].pid);
		ret.descriptors += count_entries(path);
		ret.memory_kib += resident_kib(all.list[i].pid);
		ret.processes++;
	}
	(void)snprintf(path, sizeof(path), "/proc/%d/mountinfo", server);
	ret.mounts = count_lines(path);
	return ret;
}

/* ---- the probe ---- */

static bool has_grown(const struct growth *before, const struct growth *after, long logins)
{
	return after->descriptors - before->descriptors >= logins ||
		after->processes - before->processes >= logins ||
		after->mounts - before->mounts >= logins;
}

static void conclude_growth(struct ssh_attempt *attempt, const struct growth *before,
	const struct growth *after, long logins)
{
	bool grown = has_grown(before, after, logins);

	ssh_claim(attempt, grown);
	ssh_conclude(attempt, grown, LEVEL_COMPARED);
	ssh_say(attempt,
		"by %ld logins: %+ld descriptors, %+ld processes, %+ld mounts, %+ld KiB of memory",
		logins, after->descriptors - before->descriptors,
		after->processes - before->processes, after->mounts - before->mounts,
		after->memory_kib - before->memory_kib);
}

/* A server that leaks: we, for a moment. */
static void leak(struct ssh_attempt *attempt)
{
	struct growth before = look_at(getpid());
	int fds[LOGINS];

	for (size_t i = 0; i < LOGINS; i++) {
		fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	}
	struct growth after = look_at(getpid());
	conclude_growth(attempt, &before, &after, LOGINS);
	for (size_t i = 0; i < LOGINS; i++) {
		close_fdp(&fds[i]);
	}
}

void ssh_try_growth(struct ssh_attempt *attempt)
{
	uint64_t until = io_now_usec() + LOGINS_MS * 1000;
	struct growth before = {0};
	struct growth after = {0};
	const pid_t server = attempt->pass->server.listener;
	long logins = 0;

	if (ssh_is_control(attempt)) {
		leak(attempt);
		return;
	}
	/* The first one is for what a server makes once and keeps. */
	(void)ssh_run_command(attempt, NULL, "echo in", false);
	if (server <= 0 || !attempt->out || !strstr(attempt->out, "in\n")) {
		ssh_decline(attempt, "the server's processes cannot be seen from here");
		return;
	}
	(void)usleep(200 * 1000); /* for that one's end */
	before = look_at(server);
	while (logins < LOGINS && (logins < 2 || io_now_usec() < until) && !run_interrupted()) {
		(void)ssh_run_command(attempt, NULL, "true", false);
		logins++;
	}
	until = io_now_usec() + SETTLE_MS * 1000;
	do {
		after = look_at(server);
	} while (has_grown(&before, &after, logins) && io_now_usec() < until &&
		usleep(50 * 1000) == 0);
	conclude_growth(attempt, &before, &after, logins);
}
