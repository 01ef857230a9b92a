/*
 * Docker's daemon asked without its command line, which takes a process and 25 ms a question. One
 * question a connection, in HTTP/1.0, so that the end of the answer is the end of the stream. Used for
 * looking only: what changes anything goes by the command line, as the plan shows it.
 */
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "backends/containers.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/io.h"

#define ANSWER_MAX (4U << 20)
#define ASK_TIMEOUT_MS 20000

int containers_connect(const char *docker_host)
{
	static const char scheme[] = "unix://";
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *path = docker_host + sizeof(scheme) - 1;
	cleanup_close int fd = -1;

	if (strncmp(docker_host, scheme, sizeof(scheme) - 1) != 0 ||
		strlen(path) >= sizeof(address.sun_path)) {
		return -EINVAL;
	}
	(void)strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		return -errno;
	}
	return take_fd(&fd);
}

/* All there is to read until the end. 0 or negative errno. */
static int read_answer(int fd, struct buf *ret)
{
	uint64_t end = io_now_usec() + ASK_TIMEOUT_MS * UINT64_C(1000);
	char part[16384];
	ssize_t n = 1;

	while (n > 0) {
		struct pollfd wait = {.fd = fd, .events = POLLIN};
		uint64_t now = io_now_usec();
		if (now >= end || poll(&wait, 1, (int)((end - now) / 1000 + 1)) == 0) {
			return -ETIMEDOUT;
		}
		n = read(fd, part, sizeof(part));
		if (n < 0 && errno == EINTR) {
			n = 1;
			continue;
		}
		buf_put(ret, part, n > 0 ? (size_t)n : 0);
		if (ret->failed || ret->size > ANSWER_MAX) {
			return -E2BIG;
		}
	}
	buf_put(ret, "", 1);
	return n < 0 ? -errno : ret->failed ? -ENOMEM : 0;
}

/* A path from outside may hold what would end the line of a request. */
static bool is_plain(const char *path)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789/_-.:@";

	return *path && path[strspn(path, plain)] == '\0';
}

int containers_get(const char *docker_host, const char *path, json_t **ret)
{
	cleanup(buf_fini) struct buf answer = {0};
	cleanup_free char *request = NULL;
	cleanup_close int fd = is_plain(path) ? containers_connect(docker_host) : -EINVAL;
	const char *body = NULL;
	int code = 0;

	*ret = NULL;
	if (fd < 0) {
		return fd;
	}
	if (asprintf(&request, "GET %s HTTP/1.0\r\nHost: docker\r\n\r\n", path) < 0) {
		request = NULL;
		return -ENOMEM;
	}
	int r = io_write_all(fd, request, strlen(request));
	r = r < 0 ? r : read_answer(fd, &answer);
	if (r < 0) {
		return r;
	}
	body = strstr((const char *)answer.data, "\r\n\r\n");
	if (!body || sscanf((const char *)answer.data, "HTTP/1.%*1[01] %3d", &code) != 1) {
		return -EPROTO;
	}
	*ret = json_loads(body + 4, 0, NULL);
	return code == 200 && !*ret ? -EPROTO : code;
}

pid_t containers_pid(const char *docker_host, const char *name, bool *ret_absent)
{
	char path[96];
	json_t *answer = NULL;
	pid_t pid = 0;

	(void)snprintf(path, sizeof(path), "/containers/%s/json", name);
	int code = containers_get(docker_host, path, &answer);
	if (code == 200) {
		json_t *state = json_object_get(answer, "State");
		json_int_t number = json_integer_value(json_object_get(state, "Pid"));
		bool runs = json_is_true(json_object_get(state, "Running"));
		pid = runs && number > 0 && number <= INT32_MAX ? (pid_t)number : 0;
	}
	json_decref(answer);
	*ret_absent = code == 404;
	return pid;
}
