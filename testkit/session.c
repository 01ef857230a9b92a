#include "testkit/session.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/parse.h"
#include "base/proc.h"

#define TASKS_MAX 8192
#define TABLE_MAX (8 << 20)

struct member {
	pid_t pid, parent;
	bool owner; /* holds the connection, or is the launcher */
};

/* An end of a TCP connection: the last 32 bits of an address are IPv4's, mapped or not. */
struct end_point {
	uint32_t address, port;
};

struct row {
	struct end_point own, other;
	uint64_t inode;
};

static bool read_row(const char *line, struct row *ret)
{
	char own[33] = "";
	char other[33] = "";

	if (sscanf(line, " %*d: %32[0-9A-F]:%x %32[0-9A-F]:%x %*x %*s %*s %*s %*d %*d %" SCNu64,
		    own, &ret->own.port, other, &ret->other.port, &ret->inode) != 5 ||
		strlen(own) < 8 || strlen(other) < 8) {
		return false;
	}
	ret->own.address = (uint32_t)strtoul(own + strlen(own) - 8, NULL, 16);
	ret->other.address = (uint32_t)strtoul(other + strlen(other) - 8, NULL, 16);
	return true;
}

static bool is_other_end(const struct row *one, const struct row *other)
{
	return one->own.port == other->other.port && one->other.port == other->own.port &&
		one->own.address == other->other.address &&
		one->other.address == other->own.address;
}

static bool read_socket(const struct proc_fd *fd, uint64_t *ret)
{
	return sscanf(fd->target, "socket:[%" SCNu64 "]", ret) == 1;
}

static bool is_socket(const struct proc_fd *fd, void *context)
{
	uint64_t number = 0;

	return read_socket(fd, &number) && number == *(const uint64_t *)context;
}

/* The tables of both families as one text. The caller frees it; NULL: there is none. */
static char *read_tables(void)
{
	cleanup_free char *four = NULL;
	cleanup_free char *six = NULL;
	char *both = NULL;

	(void)io_read_file(AT_FDCWD, "/proc/self/net/tcp", TABLE_MAX, &four, NULL);
	(void)io_read_file(AT_FDCWD, "/proc/self/net/tcp6", TABLE_MAX, &six, NULL);
	return asprintf(&both, "%s%s", four ? four : "", six ? six : "") < 0 ? NULL : both;
}

struct search {
	const char *tables;
	struct row row; /* of the client's end */
};

/* Calls match for each row, until it says yes. */
static bool any_row(const char *tables, bool (*match)(const struct row *row, const void *context),
	const void *context, struct row *ret)
{
	for (const char *line = tables; line && *line;) {
		const char *next = strchr(line, '\n');
		if (read_row(line, ret) && match(ret, context)) {
			return true;
		}
		line = next ? next + 1 : NULL;
	}
	return false;
}

static bool has_inode(const struct row *row, const void *context)
{
	return row->inode == *(const uint64_t *)context;
}

static bool ends_at(const struct row *row, const void *context)
{
	return is_other_end(row, context);
}

static bool is_connection(const struct proc_fd *fd, void *context)
{
	struct search *search = context;
	uint64_t inode = 0;

	return read_socket(fd, &inode) &&
		any_row(search->tables, has_inode, &inode, &search->row) &&
		search->row.other.port != 0;
}

/* The number of the socket at the server's end of the connection that client has. */
static bool find_server_end(pid_t client, uint64_t *ret_inode)
{
	cleanup_free char *tables = read_tables();
	struct search search = {.tables = tables};
	struct row row;

	if (!tables || proc_find_fd(client, is_connection, &search) <= 0 ||
		!any_row(tables, ends_at, &search.row, &row)) {
		return false;
	}
	*ret_inode = row.inode;
	return row.inode != 0;
}

/* False for one that is gone or dead. */
static bool read_parent(pid_t pid, pid_t *ret)
{
	cleanup_free char *text = NULL;
	char path[48];
	char state = 'Z';

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (io_read_file(AT_FDCWD, path, 4096, &text, NULL) < 0) {
		return false;
	}
	const char *at = strrchr(text, ')');
	return at && sscanf(at, ") %c %d", &state, ret) == 2 && state != 'Z' && state != 'X';
}

static size_t list_members(struct member *list, pid_t launched, uint64_t inode)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry = NULL;
	size_t count = 0;

	while (proc && count < TASKS_MAX && (entry = readdir(proc))) {
		uint64_t number = 0;
		pid_t parent = 0;
		if (parse_range(entry->d_name, 1, INT32_MAX, &number) < 0 ||
			!read_parent((pid_t)number, &parent)) {
			continue;
		}
		pid_t pid = (pid_t)number;
		bool owner = inode ? proc_find_fd(pid, is_socket, &inode) > 0 : pid == launched;
		list[count++] = (struct member){pid, parent, owner};
	}
	if (proc) {
		(void)closedir(proc);
	}
	return count;
}

static const struct member *find_member(const struct member *list, size_t count, pid_t pid)
{
	for (size_t i = 0; i < count; i++) {
		if (list[i].pid == pid) {
			return &list[i];
		}
	}
	return NULL;
}

/* Generations between a process and the nearest owner above it; 0: it is one, or none is above. */
static unsigned depth_of(const struct member *list, size_t count, const struct member *member)
{
	unsigned depth = 0;

	while (member && !member->owner && depth < 64) {
		member = find_member(list, count, member->parent);
		depth++;
	}
	return member && member->owner ? depth : 0;
}

pid_t session_find(pid_t launched, bool login)
{
	cleanup_free struct member *list = calloc(TASKS_MAX, sizeof(list[0]));
	uint64_t inode = 0;
	unsigned deepest = 0;
	pid_t found = 0;
	size_t count = 0;

	if (!list || (login && !find_server_end(launched, &inode))) {
		return 0;
	}
	count = list_members(list, launched, inode);
	for (size_t i = 0; i < count; i++) {
		unsigned depth = depth_of(list, count, &list[i]);
		if (depth > deepest || (depth > 0 && depth == deepest && list[i].pid > found)) {
			deepest = depth;
			found = list[i].pid;
		}
	}
	return found;
}
