/*
 * Resource probes. Each has a budget the host gives it, a little above the declared limit, or a
 * small one of its own where nothing is declared; none can hurt the machine.
 */
#include "testkit/client/client.h"

#include <linux/mman.h>

#define MIB (UINT64_C(1) << 20)

static uint64_t budget(const char *name, uint64_t otherwise)
{
	return job_has(name) ? job_number(name) : otherwise;
}

/* Touches pages up to the budget. Over the limit the kernel kills us, which is the proof. */
static void resource_memory(struct result *result)
{
	uint64_t size = budget("budget.memory", 256 * MIB);
	long at = sys(SYS_mmap, NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at < 0 && at > -4096) {
		result_from(result, at);
		return;
	}
	for (uint64_t i = 0; i < size; i += 4096) {
		((volatile char *)at)[i] = 1;
	}
	result_done(result, "");
	result_add_number(result, size);
}

/* Forks up to the budget; the children wait and end with us. */
static void resource_tasks(struct result *result)
{
	static long children[8192];
	uint64_t most = budget("budget.tasks", 64);
	uint64_t count = 0;
	long r = 0;

	most = most < 8192 ? most : 8192;
	for (; count < most; count++) {
		r = process_fork();
		if (r == 0) {
			pause_ms(5000);
			process_exit(0);
		}
		if (r < 0) {
			break;
		}
		children[count] = r;
	}
	for (uint64_t i = 0; i < count; i++) {
		(void)sys(SYS_kill, children[i], 9);
	}
	for (uint64_t i = 0; i < count; i++) {
		(void)process_wait(children[i]);
	}
	result_from(result, r < 0 ? r : 0);
	result_add_number(result, count);
}

/* Spins on as many processors as there are and one more. The host reads what it cost. */
static void resource_cpu(struct result *result)
{
	uint64_t spinners = budget("budget.spinners", 2);
	uint64_t until = now_ms() + 300;
	long pids[16];

	spinners = spinners < 16 ? spinners : 16;
	for (uint64_t i = 0; i < spinners; i++) {
		pids[i] = process_fork();
		if (pids[i] == 0) {
			while (now_ms() < until) {
			}
			process_exit(0);
		}
	}
	struct {
		long seconds, micro;
	} usage[18] = {0};
	for (uint64_t i = 0; i < spinners; i++) {
		if (pids[i] > 0) {
			(void)process_wait(pids[i]);
		}
	}
	(void)sys(SYS_getrusage, -1 /* CHILDREN */, usage);
	result_done(result, "");
	result_add_number(result,
		(uint64_t)(usage[0].seconds + usage[1].seconds) * 1000000 +
			(uint64_t)(usage[0].micro + usage[1].micro));
	result_add(result, " ");
	result_add_number(result, now_ms() + 300 - until);
}

/* Writes to a throw-away place up to the budget, then removes it. */
static void resource_disk(struct result *result)
{
	static char block[65536];
	static char path[400];
	const char *home = "";
	uint64_t size = budget("budget.disk", 16 * MIB);
	uint64_t written = 0;
	long fd = -1;
	long n = 0;

	for (char **env = client_env; *env; env++) {
		home = text_starts(*env, "HOME=") ? *env + 5 : home;
	}
	for (int i = 0; i < 2 && fd < 0; i++) {
		(void)text_join(
			path, sizeof(path), i ? home : "/tmp", "/.fill.", job_text("leave"));
		fd = file_open(path, O_WRONLY | O_CREAT | O_EXCL);
	}
	memset(block, 'x', sizeof(block));
	while (fd >= 0 && written < size) {
		n = sys(SYS_write, fd, block, sizeof(block));
		if (n <= 0) {
			break;
		}
		written += (uint64_t)n;
	}
	(void)sys(SYS_unlinkat, AT_FDCWD, path, 0);
	result_from(result, fd < 0 ? fd : n < 0 ? n : 0);
	result_add_number(result, written);
}

/* Outlives its time, if it may. */
static void resource_time(struct result *result)
{
	uint64_t ms = budget("budget.time", 100);

	pause_ms((unsigned)ms);
	result_done(result, "");
	result_add_number(result, ms);
}

const struct client_probe probes_resources[] = {
	{"R.memory", resource_memory},
	{"R.tasks", resource_tasks},
	{"R.cpu", resource_cpu},
	{"R.disk", resource_disk},
	{"R.time", resource_time},
	{NULL, NULL},
};
