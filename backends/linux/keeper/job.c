#include "backends/linux/keeper/job.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/strv.h"

#define MAGIC 0x6b70726bU
#define STRING_MAX (1U << 20)

static void put_list(struct buf *buf, char *const *list)
{
	size_t count = strv_length(list);

	buf_put_u32(buf, (uint32_t)count);
	for (size_t i = 0; i < count; i++) {
		buf_put_string(buf, list[i]);
	}
}

static char **get_list(struct reader *reader)
{
	uint32_t count = reader_u32(reader);
	char **list = NULL;

	if (count > KEEPER_MAX_STRINGS) {
		reader->failed = true;
		return NULL;
	}
	for (uint32_t i = 0; i < count && !reader->failed; i++) {
		char *text = reader_string(reader, STRING_MAX);
		if (!text || strv_consume(&list, text) < 0) {
			reader->failed = true;
		}
	}
	return list;
}

void keeper_job_put(const struct keeper_job *job, struct buf *buf)
{
	buf_put_u32(buf, MAGIC);
	buf_put_u32(buf, job->flags);
	buf_put_string(buf, job->dir);
	buf_put_u32(buf, job->uid);
	buf_put_u32(buf, job->gid);
	buf_put_u64(buf, job->timeout);
	put_list(buf, job->argv);
	put_list(buf, job->env);
	buf_put_u32(buf, job->fd_count);
	buf_put_u32(buf, job->limit_count);
	for (uint32_t i = 0; i < job->limit_count; i++) {
		buf_put_u32(buf, job->limits[i].resource);
		buf_put_u64(buf, job->limits[i].soft);
		buf_put_u64(buf, job->limits[i].hard);
	}
	buf_put_u32(buf, job->step_count);
	for (uint32_t i = 0; i < job->step_count; i++) {
		buf_put_u32(buf, job->steps[i].when);
		put_list(buf, job->steps[i].argv);
	}
	buf_put_blob(buf, &job->cgroup, sizeof(job->cgroup));
	buf_put_u32(buf, job->group_count);
}

static void get_steps(struct reader *reader, struct keeper_job *job)
{
	uint32_t count = reader_u32(reader);

	if (count > KEEPER_MAX_STEPS) {
		reader->failed = true;
	}
	for (uint32_t i = 0; i < count && !reader->failed; i++) {
		uint32_t when = reader_u32(reader);
		job->steps[i].argv = get_list(reader);
		job->step_count = i + 1;
		reader->failed |= when >= PLAN_WHENS || !job->steps[i].argv;
		job->steps[i].when = (enum plan_when)when;
	}
}

int keeper_job_get(const void *data, size_t size, struct keeper_job *ret)
{
	struct reader reader = {.data = data, .left = size};
	const void *blob = NULL;
	size_t length = 0;

	if (reader_u32(&reader) != MAGIC) {
		return -EPROTO;
	}
	ret->flags = reader_u32(&reader);
	ret->dir = reader_string(&reader, sizeof(((struct cgroup *)NULL)->kill_path));
	ret->uid = reader_u32(&reader);
	ret->gid = reader_u32(&reader);
	ret->timeout = reader_u64(&reader);
	ret->argv = get_list(&reader);
	ret->env = get_list(&reader);
	ret->fd_count = reader_u32(&reader);
	ret->limit_count = reader_u32(&reader);
	if (ret->limit_count > PLAN_MAX_RLIMITS || ret->fd_count > KEEPER_MAX_FDS) {
		ret->limit_count = 0;
		return -EPROTO;
	}
	for (uint32_t i = 0; i < ret->limit_count; i++) {
		ret->limits[i].resource = reader_u32(&reader);
		ret->limits[i].soft = reader_u64(&reader);
		ret->limits[i].hard = reader_u64(&reader);
	}
	get_steps(&reader, ret);
	blob = reader_blob(&reader, &length);
	if (blob && length == sizeof(ret->cgroup)) {
		memcpy(&ret->cgroup, blob, length);
	} else {
		reader.failed = true;
	}
	ret->group_count = reader_u32(&reader);
	return reader_done(&reader) && ret->group_count <= CGROUP_CONTROLLERS + 1 ? 0 : -EPROTO;
}

void keeper_job_fini(struct keeper_job *job)
{
	free(job->dir);
	job->dir = NULL;
	job->argv = strv_free(job->argv);
	job->env = strv_free(job->env);
	for (uint32_t i = 0; i < job->step_count; i++) {
		job->steps[i].argv = strv_free(job->steps[i].argv);
	}
	job->step_count = 0;
}

int keeper_find_tool(const char *name, char path[KEEPER_TOOL_PATH])
{
	static const char *const places[] = {"", "/usr/local/sbin/", "/usr/local/bin/",
		"/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/"};
	bool has_slash = strchr(name, '/') != NULL;
	struct stat seen;

	if (strlen(name) > KEEPER_TOOL_PATH - 20) {
		return -ENAMETOOLONG;
	}
	for (size_t i = has_slash ? 0 : 1; i < (has_slash ? 1 : ARRAY_SIZE(places)); i++) {
		(void)snprintf(path, KEEPER_TOOL_PATH, "%s%s", places[i], name);
		if (stat(path, &seen) == 0 && S_ISREG(seen.st_mode) && (seen.st_mode & 0111)) {
			return 0;
		}
	}
	return -ENOENT;
}

int keeper_message_send(
	int socket, const struct keeper_message *message, const int *fds, size_t count)
{
	if (message->head.size > sizeof(message->text)) {
		return -EMSGSIZE;
	}
	return io_send(socket, message, sizeof(message->head) + message->head.size, fds, count);
}

int keeper_head_send(int socket, struct keeper_head head, const int *fds, size_t count)
{
	head.size = 0;
	return io_send(socket, &head, sizeof(head), fds, count);
}

int keeper_message_receive(int socket, struct keeper_message *ret, int *ret_fds, size_t max,
	size_t *ret_count, int flags)
{
	size_t count = 0;
	ssize_t n = io_receive(socket, ret, sizeof(*ret), ret_fds, max, &count, flags);

	*ret_count = 0;
	if (n <= 0) {
		return (int)n;
	}
	if ((size_t)n < sizeof(ret->head) || ret->head.size > sizeof(ret->text) ||
		(size_t)n != sizeof(ret->head) + ret->head.size) {
		for (size_t i = 0; i < count; i++) {
			(void)close(ret_fds[i]);
		}
		return -EPROTO;
	}
	ret->text[ret->head.size < sizeof(ret->text) ? ret->head.size : sizeof(ret->text) - 1] =
		'\0';
	*ret_count = count;
	return 1;
}
