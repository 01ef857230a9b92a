#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "backends/gvisor.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/proc.h"

#define HELP_MAX 65536
#define HELP_MS 10000

const char *const gvisor_files[] = {"/lib64", "/usr/lib64", "/etc/alternatives", "/etc/ld.so.cache",
	"/etc/bash.bashrc", "/etc/localtime", "/etc/resolv.conf", "/etc/ssl", "/etc/services",
	NULL};

static struct host_gvisor cached;
static pthread_once_t asked = PTHREAD_ONCE_INIT;

static const char *find_tool(void)
{
	static const char *const places[] = {"/usr/local/sbin/runsc", "/usr/local/bin/runsc",
		"/usr/sbin/runsc", "/usr/bin/runsc", "/sbin/runsc", "/bin/runsc"};

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		if (access(places[i], X_OK) == 0) {
			return places[i];
		}
	}
	return NULL;
}

/* What `runsc flags` prints, on whichever stream. "" when it cannot be run. */
static void read_help(char *text, size_t size)
{
	const char *argv[] = {find_tool(), "flags", NULL};
	static const char *const env[] = {
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL};
	cleanup_close int in = -1;
	cleanup_close int out = -1;
	cleanup_close int child = -1;
	size_t used = 0;
	int status = 0;
	int fds[2];

	text[0] = '\0';
	if (!argv[0] || pipe2(fds, O_CLOEXEC) < 0) {
		return;
	}
	in = fds[0];
	out = fds[1];
	child = proc_spawn((char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)env,
		(const int[3]){-1, out, out}, NULL);
	close_fdp(&out);
	while (child >= 0 && used + 1 < size) {
		struct pollfd wait = {.fd = in, .events = POLLIN};
		ssize_t n =
			poll(&wait, 1, HELP_MS) > 0 ? read(in, text + used, size - 1 - used) : -1;
		if (n <= 0) {
			break;
		}
		used += (size_t)n;
	}
	text[used] = '\0';
	if (child >= 0 && proc_wait(child, HELP_MS, &status) < 0) {
		(void)proc_signal(child, SIGKILL);
		(void)proc_wait(child, -1, &status);
	}
}

static bool has_flag(const char *help, const char *flag)
{
	char line[64];

	(void)snprintf(line, sizeof(line), "\n  -%s", flag);
	return strstr(help, line) != NULL;
}

static void ask(void)
{
	cleanup_free char *help = malloc(HELP_MAX);

	cached.known = true;
	if (!help) {
		return;
	}
	read_help(help, HELP_MAX);
	cached.present = has_flag(help, "platform ") && has_flag(help, "overlay2 ");
	cached.systrap = strstr(help, "systrap") != NULL;
	cached.directfs = has_flag(help, "directfs");
	cached.host_fifo = has_flag(help, "host-fifo");
	cached.oci_seccomp = has_flag(help, "oci-seccomp");
	for (uint32_t i = 0; gvisor_files[i]; i++) {
		cached.files |= access(gvisor_files[i], F_OK) == 0 ? UINT32_C(1) << i : 0;
	}
}

const struct host_gvisor *gvisor_facts(const struct host *host)
{
	if (host->gvisor.known) {
		return &host->gvisor;
	}
	(void)pthread_once(&asked, ask);
	return &cached;
}
