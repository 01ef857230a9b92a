#include "testkit/ssh-procs.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/proc.h"

#define MAX_HOLDERS 16
#define LISTENING 0x0a /* as /proc/net/tcp has it */

/* ---- the processes of a moment ---- */

static int add(struct ssh_processes *processes, const struct ssh_process *process)
{
	struct ssh_process *more = processes->list;

	if (processes->count % 256 == 0) {
		more = realloc(more, (processes->count + 256) * sizeof(*more));
	}
	if (!more) {
		return -ENOMEM;
	}
	processes->list = more;
	processes->list[processes->count++] = *process;
	return 0;
}

/* One that went meanwhile is none. */
static bool read_stat(const char *name, struct ssh_process *ret)
{
	char path[48];
	cleanup_free char *text = NULL;
	const char *at = NULL;

	(void)snprintf(path, sizeof(path), "/proc/%.20s/stat", name);
	if (io_read_file(AT_FDCWD, path, 4096, &text, NULL) < 0 || !(at = strrchr(text, ')'))) {
		return false;
	}
	ret->pid = atoi(name);
	/* After the name: state, parent, and the time of its start as the twentieth. */
	return sscanf(at,
		       ") %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d "
		       "%*d %lu",
		       &ret->parent, &ret->started) == 2;
}

int ssh_processes_read(struct ssh_processes *ret)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry = NULL;
	int r = 0;

	*ret = (struct ssh_processes){0};
	while (proc && r == 0 && (entry = readdir(proc))) {
		struct ssh_process process = {0};
		if (isdigit((unsigned char)entry->d_name[0]) &&
			read_stat(entry->d_name, &process)) {
			r = add(ret, &process);
		}
	}
	if (proc) {
		(void)closedir(proc);
	}
	return r;
}

void ssh_processes_fini(struct ssh_processes *processes)
{
	free(processes->list);
	*processes = (struct ssh_processes){0};
}

static const struct ssh_process *find(const struct ssh_processes *processes, pid_t pid)
{
	for (size_t i = 0; i < processes->count; i++) {
		if (processes->list[i].pid == pid) {
			return &processes->list[i];
		}
	}
	return NULL;
}

pid_t ssh_processes_parent(const struct ssh_processes *processes, pid_t pid)
{
	const struct ssh_process *process = find(processes, pid);

	return process ? process->parent : 0;
}

bool ssh_processes_below(const struct ssh_processes *processes, pid_t pid, pid_t root)
{
	/* A number that was used again while we read could close a circle. */
	for (size_t steps = 0; pid > 0 && steps <= processes->count; steps++) {
		if (pid == root) {
			return true;
		}
		pid = ssh_processes_parent(processes, pid);
	}
	return false;
}

/* The words of its command line, with blanks between them. */
static size_t read_command(pid_t pid, char *out, size_t size)
{
	char path[48];
	ssize_t n = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd >= 0 ? read(fd, out, size - 1) : -1;
	out[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

pid_t ssh_processes_newest(const struct ssh_processes *processes, pid_t root, const char *text,
	const struct ssh_processes *before)
{
	const struct ssh_process *newest = NULL;

	for (size_t i = 0; i < processes->count; i++) {
		const struct ssh_process *process = &processes->list[i];
		char command[4096];
		size_t size = 0;
		if (find(before, process->pid) ||
			!ssh_processes_below(processes, process->pid, root)) {
			continue;
		}
		size = read_command(process->pid, command, sizeof(command));
		if (memmem(command, size, text, strlen(text)) &&
			(!newest || process->started > newest->started ||
				(process->started == newest->started &&
					process->pid > newest->pid))) {
			newest = process;
		}
	}
	return newest ? newest->pid : 0;
}

uint64_t ssh_namespace(pid_t pid, const char *name)
{
	char path[64];
	struct stat info;

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, name);
	return stat(path, &info) == 0 ? info.st_ino : 0;
}

/* ---- the server ---- */

/* The inode of a socket that listens at this port, in one of the tables; 0: none. */
static unsigned long find_listening(const char *table, unsigned port)
{
	FILE *file = fopen(table, "re");
	char line[512];
	unsigned long found = 0;

	while (file && !found && fgets(line, sizeof(line), file)) {
		unsigned at = 0;
		unsigned state = 0;
		unsigned long inode = 0;
		if (sscanf(line,
			    "%*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*d %*d %lu",
			    &at, &state, &inode) == 3 &&
			at == port && state == LISTENING) {
			found = inode;
		}
	}
	if (file) {
		(void)fclose(file);
	}
	return found;
}

static bool is_socket(const struct proc_fd *fd, void *context)
{
	return strcmp(fd->target, context) == 0;
}

/* Of those who hold it the one that was not given it by another of them. */
static pid_t find_holder(const char *socket)
{
	cleanup(ssh_processes_fini) struct ssh_processes all = {0};
	pid_t holders[MAX_HOLDERS];
	size_t count = 0;

	(void)ssh_processes_read(&all);
	for (size_t i = 0; i < all.count && count < MAX_HOLDERS; i++) {
		if (proc_find_fd(all.list[i].pid, is_socket, (void *)(uintptr_t)socket) > 0) {
			holders[count++] = all.list[i].pid;
		}
	}
	for (size_t i = 0; i < count; i++) {
		pid_t parent = ssh_processes_parent(&all, holders[i]);
		bool given = false;
		for (size_t j = 0; j < count; j++) {
			given |= holders[j] == parent;
		}
		if (!given) {
			return holders[i];
		}
	}
	return 0;
}

static bool is_here(const char *host)
{
	static const char *const names[] = {"127.0.0.1", "localhost", "::1"};
	bool here = false;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		here |= strcmp(host, names[i]) == 0;
	}
	return here;
}

void ssh_server_find(const struct target *target, struct ssh_server *ret)
{
	const size_t count = strv_length(target->argv);
	unsigned long inode = 0;
	unsigned port = 22;
	char socket[48];
	char path[64];
	char program[256];
	struct stat info;

	*ret = (struct ssh_server){0};
	STRV_FOREACH (word, target->argv) {
		(void)sscanf(*word, "-oPort=%u", &port);
	}
	if (count < 1 || !is_here(target->argv[count - 1])) {
		return;
	}
	inode = find_listening("/proc/net/tcp", port);
	inode = inode ? inode : find_listening("/proc/net/tcp6", port);
	(void)snprintf(socket, sizeof(socket), "socket:[%lu]", inode);
	pid_t listener = inode ? find_holder(socket) : 0;
	(void)snprintf(path, sizeof(path), "/proc/%d/exe", listener);
	ssize_t n = listener ? readlink(path, program, sizeof(program) - 1) : -1;
	if (n > 0 && stat(path, &info) == 0) {
		program[n] = '\0';
		const char *slash = strrchr(program, '/');
		(void)snprintf(ret->name, sizeof(ret->name), "%.60s", slash ? slash + 1 : program);
		ret->device = info.st_dev;
		ret->inode = info.st_ino;
		ret->listener = listener;
	}
}

bool ssh_server_runs(const struct ssh_server *server, pid_t pid)
{
	char path[64];
	char program[256];
	struct stat info;

	(void)snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	if (stat(path, &info) < 0) {
		return false;
	}
	if (info.st_dev == server->device && info.st_ino == server->inode) {
		return true;
	}
	ssize_t n = readlink(path, program, sizeof(program) - 1);
	program[n > 0 ? n : 0] = '\0';
	const char *slash = strrchr(program, '/');
	return slash && strncmp(slash + 1, server->name, strlen(server->name)) == 0;
}

/* ---- a session's own process ---- */

/* The next one in /proc, or 0. */
static pid_t next_sleep(DIR *proc, const char *argument)
{
	struct dirent *entry = NULL;
	char wanted[96];
	size_t length = (size_t)snprintf(wanted, sizeof(wanted), "sleep%c%s", 0, argument) + 1;

	while (proc && (entry = readdir(proc))) {
		char text[96];
		if (atoi(entry->d_name) > 0 &&
			read_command(atoi(entry->d_name), text, sizeof(text)) == length &&
			memcmp(text, wanted, length) == 0) {
			return atoi(entry->d_name);
		}
	}
	return 0;
}

static unsigned walk_sleeps(const char *argument, bool end)
{
	DIR *proc = opendir("/proc");
	unsigned count = 0;

	for (pid_t pid = 0; (pid = next_sleep(proc, argument)) > 0;) {
		count += !end || kill(pid, SIGKILL) == 0;
	}
	if (proc) {
		(void)closedir(proc);
	}
	return count;
}

pid_t ssh_find_sleep(const char *argument)
{
	DIR *proc = opendir("/proc");
	pid_t pid = next_sleep(proc, argument);

	if (proc) {
		(void)closedir(proc);
	}
	return pid;
}

unsigned ssh_count_sleeps(const char *argument)
{
	return walk_sleeps(argument, false);
}

unsigned ssh_end_sleeps(const char *argument)
{
	return walk_sleeps(argument, true);
}

void ssh_choose_sleep(char out[32])
{
	uint32_t random = 0;

	io_random(&random, sizeof(random));
	(void)snprintf(out, 32, "40.%010u", random);
}
