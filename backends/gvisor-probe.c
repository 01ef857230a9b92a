#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backends/answers.h"
#include "backends/foreign.h"
#include "backends/gvisor.h"
#include "base/cleanup.h"

#define HOST_TASKS 192 /* threads of runsc itself, generously */
#define HOST_TASKS_EACH 6 /* and for each task inside; five were seen with ptrace */
#define HELP_MS 10000

const char *const gvisor_files[] = {"/lib64", "/usr/lib64", "/lib32", "/usr/lib32", "/libx32",
	"/usr/libx32", "/etc/alternatives", "/etc/ld.so.cache", "/etc/bash.bashrc",
	"/etc/localtime", "/etc/resolv.conf", "/etc/ssl", "/etc/services", NULL};

static struct host_gvisor cached;
static pthread_once_t asked = PTHREAD_ONCE_INIT;

static bool has_flag(const char *help, const char *flag)
{
	char line[64];

	(void)snprintf(line, sizeof(line), "\n  -%s", flag);
	return strstr(help, line) != NULL;
}

static void ask(void)
{
	cleanup_free char *help = malloc(ANSWERS_MAX);
	char name[] = "runsc";
	char question[] = "flags";
	char *argv[] = {name, question, NULL};

	cached.known = true;
	if (!help || foreign_ask_once(argv, HELP_MS, help, ANSWERS_MAX) < 0) {
		return;
	}
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

uint64_t gvisor_host_tasks(uint64_t tasks)
{
	return HOST_TASKS_EACH * tasks + HOST_TASKS;
}
