/*
 * Asking an engine outside of a session: whether it can run here, and what it has for an image.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "backends/containers.h"
#include "backends/foreign.h"
#include "backends/keeper.h"

#define IMAGE_ID "sha256:"
#define TOOL_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define ASK_TIMEOUT_MS 20000

int containers_tool_env(
	const struct engine *engine, const struct host *host, const char *home, char ***ret)
{
	int r = strv_append(ret, "PATH=" TOOL_PATH);

	r = r < 0 ? r : strv_appendf(ret, "HOME=%s", home);
	if (!engine->podman) {
		r = r < 0 ? r : strv_appendf(ret, "DOCKER_HOST=%s", host->docker_host);
		return r < 0 ? r : strv_appendf(ret, "DOCKER_CONFIG=%s", home);
	}
	if (r == 0 && host->containers_conf[0]) {
		r = strv_appendf(ret, "CONTAINERS_CONF=%s", host->containers_conf);
	}
	if (r == 0 && host->containers_storage_conf[0]) {
		r = strv_appendf(ret, "CONTAINERS_STORAGE_CONF=%s", host->containers_storage_conf);
	}
	return r;
}

const char *containers_last_line(char *text)
{
	size_t length = strlen(text);

	while (length > 0 && strchr("\n\r ", text[length - 1])) {
		text[--length] = '\0';
	}
	const char *line = strrchr(text, '\n');
	return line ? line + 1 : text;
}

/* Runs the engine's tool and waits for it. Its exit code, or negative errno. */
static int ask_tool(const struct engine *engine, const struct host *host, const char *const *words,
	char *answer, size_t size)
{
	cleanup(strv_freep) char **argv = NULL;
	cleanup(strv_freep) char **env = NULL;
	int r = containers_tool_env(engine, host, "/", &env);

	*answer = '\0';
	r = r < 0 ? r : strv_append(&argv, engine->tool);
	for (size_t i = 0; r == 0 && words[i]; i++) {
		r = strv_append(&argv, words[i]);
	}
	return r < 0 ? r : foreign_ask(argv, env, ASK_TIMEOUT_MS, answer, size);
}

/* ---- can it run here ---- */

static int probe_socket(const struct host *host, struct err *err)
{
	static const char scheme[] = "unix://";
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *path = host->docker_host + sizeof(scheme) - 1;
	cleanup_close int fd = -1;

	if (strncmp(host->docker_host, scheme, sizeof(scheme) - 1) != 0 ||
		strlen(path) >= sizeof(address.sun_path)) {
		return err_refuse(err, ENOTSUP,
			"DOCKER_HOST is %s: only a daemon on this host will do, by unix:///PATH",
			host->docker_host);
	}
	(void)strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		return err_refuse(err, ENOTSUP,
			"no Docker daemon answers at %s (%s); start dockerd, or say where it is "
			"with DOCKER_HOST",
			path, strerror(errno));
	}
	return 0;
}

int containers_probe(const struct engine *engine, const struct host *host, struct err *err)
{
	char path[KEEPER_TOOL_PATH];

	if (keeper_find_tool(engine->tool, path) < 0) {
		return err_refuse(err, ENOTSUP, "there is no %s here: apt-get install %s",
			engine->tool, engine->podman ? "podman" : "docker.io");
	}
	if (engine->podman && !host->root) {
		return err_refuse(err, ENOTSUP,
			"podman's containers are made by root here: without root their limits "
			"are not kept (use native)");
	}
	return engine->podman ? 0 : probe_socket(host, err);
}

/* ---- the image ---- */

bool containers_is_image_id(const char *image)
{
	size_t prefix = sizeof(IMAGE_ID) - 1;

	return image && strncmp(image, IMAGE_ID, prefix) == 0 && strlen(image) == prefix + 64 &&
		strspn(image + prefix, "0123456789abcdef") == 64;
}

/* The image's id. An image that declares a VOLUME would get a writable place without a bound. */
static int find_image(const struct engine *engine, const struct host *host, const char *name,
	char *id, size_t size, struct err *err)
{
	const char *const words[] = {"image", "inspect", "--format",
		"{{.Id}} {{if .Config.Volumes}}volumes{{else}}plain{{end}}", name, NULL};
	char answer[512];
	char digest[80];
	char kind[16];
	int r = ask_tool(engine, host, words, answer, sizeof(answer));

	if (r < 0) {
		return err_set(err, -r, "asking %s for the image %s", engine->tool, name);
	}
	if (r != 0) {
		return err_refuse(err, ENOTSUP,
			"%s has no image '%s' (%.120s); `./dev image %s` makes one", engine->tool,
			name, containers_last_line(answer), engine->tool);
	}
	if (sscanf(answer, "%79s %15s", digest, kind) != 2) {
		return err_refuse(err, ENOTSUP, "%s speaks of the image %s in words unknown here",
			engine->tool, name);
	}
	if (strcmp(kind, "plain") != 0) {
		return err_refuse(err, ENOTSUP,
			"the image %s declares a VOLUME, a writable place without bounds; build it "
			"without",
			name);
	}
	(void)snprintf(id, size, "%s%s", strncmp(digest, IMAGE_ID, 7) == 0 ? "" : IMAGE_ID, digest);
	return containers_is_image_id(id)
		? 0
		: err_refuse(err, ENOTSUP, "%s gives '%s' for an image's id", engine->tool, digest);
}

/* What compile() refuses anyway is handed on as it is. */
int containers_resolve(const struct engine *engine, const struct spec *spec,
	const struct host *host, struct spec *ret, struct err *err)
{
	const char *name = spec->image ? spec->image : CONTAINERS_IMAGE;
	bool wanted = spec->root != ROOT_DIRECTORY && !spec->root_path;
	char id[96];
	int r = wanted ? containers_probe(engine, host, err) : 0;

	if (r == 0 && wanted) {
		r = find_image(engine, host, name, id, sizeof(id), err);
	}
	if (r < 0) {
		return r;
	}
	if (spec_copy(spec, ret) < 0) {
		return err_set(err, ENOMEM, "resolving the image");
	}
	if (wanted) {
		free(ret->image);
		ret->image = strdup(id);
		ret->root = ROOT_IMAGE;
	}
	if (wanted && !ret->image) {
		spec_fini(ret);
		return err_set(err, ENOMEM, "resolving the image");
	}
	return 0;
}
