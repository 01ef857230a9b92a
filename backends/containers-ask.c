/*
 * Asking an engine outside of a session: whether it can run here, and what it has for an image.
 */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backends/answers.h"
#include "backends/containers.h"
#include "backends/foreign.h"
#include "backends/keeper.h"
#include "base/io.h"

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
	cleanup_close int fd = containers_connect(host->docker_host);

	if (fd == -EINVAL) {
		return err_refuse(err, ENOTSUP,
			"DOCKER_HOST is %s: only a daemon on this host will do, by unix:///PATH",
			host->docker_host);
	}
	if (fd < 0) {
		return err_refuse(err, ENOTSUP, "no Docker daemon answers at %s (%s); %s",
			host->docker_host + strlen("unix://"), strerror(-fd),
			fd == -EACCES ? "only root and the socket's group may ask it: run the "
					"server as root"
				      : "start dockerd, or say where it is with DOCKER_HOST");
	}
	return 0;
}

const char *containers_runtime_format(const struct engine *engine)
{
	return engine->podman ? "{{.OCIRuntime}}" : "{{.HostConfig.Runtime}}";
}

/* Podman finds its runtimes by itself; docker's daemon knows those of its settings. */
int containers_find_runtime(const struct engine *engine, const struct host *host, char *path,
	size_t size, struct err *err)
{
	char format[64];
	char answer[1024];
	const char *const docker[] = {"info", "--format", format, NULL};
	const char *const podman[] = {"--runtime", engine->runtime, "info", "--format",
		"{{.Host.OCIRuntime.Path}}", NULL};
	const char *line = NULL;
	const char *program = NULL;
	int r = 0;

	(void)snprintf(
		format, sizeof(format), "{{(index .Runtimes \"%s\").Path}}", engine->runtime);
	r = ask_tool(engine, host, engine->podman ? podman : docker, answer, sizeof(answer));
	line = containers_last_line(answer);
	program = strrchr(line, '/');
	if (r == 0 && program && strcmp(program + 1, engine->runtime) == 0 && strlen(line) < size) {
		(void)strcpy(path, line);
		return 0;
	}
	return err_refuse(err, ENOTSUP,
		"%s has no runtime %s (it says '%.80s'); apt-get install %s%s", engine->tool,
		engine->runtime, line, engine->runtime,
		engine->podman ? ""
			       : ", and name its path under runtimes in the daemon's daemon.json");
}

int containers_probe(const struct engine *engine, const struct host *host, struct err *err)
{
	char runtime[256];
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
	if (!engine->podman) {
		int r = probe_socket(host, err);
		if (r < 0) {
			return r;
		}
	}
	return engine->runtime
		? containers_find_runtime(engine, host, runtime, sizeof(runtime), err)
		: 0;
}

/* ---- the image ---- */

bool containers_is_image_id(const char *image)
{
	size_t prefix = sizeof(IMAGE_ID) - 1;

	return image && strncmp(image, IMAGE_ID, prefix) == 0 && strlen(image) == prefix + 64 &&
		strspn(image + prefix, "0123456789abcdef") == 64;
}

/*
 * Podman's store, as a key. What it knows of images by name is in one file, which it replaces with each
 * change; where that is follows from podman's program and its configuration.
 */
static bool find_store(
	const struct engine *engine, const struct host *host, struct answers_key *ret)
{
	const char *const confs[] = {host->containers_storage_conf, "/etc/containers/storage.conf",
		"/usr/share/containers/storage.conf"};
	const char *const words[] = {
		"info", "--format", "{{.Store.GraphRoot}} {{.Store.GraphDriverName}}", NULL};
	struct answers_key conf = {""};
	struct answers_key program;
	struct answers_key both;
	char tool[KEEPER_TOOL_PATH];
	char answer[512];
	char root[256];
	char driver[32];
	char path[320];
	size_t i = 0;

	while (i < ARRAY_SIZE(confs) && (!confs[i][0] || access(confs[i], F_OK) < 0)) {
		i++;
	}
	if (keeper_find_tool(engine->tool, tool) < 0 || !answers_key(tool, &program) ||
		(i < ARRAY_SIZE(confs) && !answers_key(confs[i], &conf))) {
		return false;
	}
	int n = snprintf(both.text, sizeof(both.text), "%s%s%s\n", program.text, conf.text,
		host->containers_conf);
	if (n < 0 || n >= (int)sizeof(both.text)) {
		return false;
	}
	if (!answers_recall("podman-store", &both, answer, sizeof(answer))) {
		if (ask_tool(engine, host, words, answer, sizeof(answer)) != 0) {
			return false;
		}
		answers_keep("podman-store", &both, answer);
	}
	if (sscanf(answer, "%255s %31s", root, driver) != 2) {
		return false;
	}
	(void)snprintf(path, sizeof(path), "%s/%s-images/images.json", root, driver);
	return answers_key(path, ret);
}

/*
 * "ID plain", or "ID volumes" where the image declares a VOLUME: in answer, or why there is none. The
 * exit status of the tool, or what stands for it. Podman is asked once until its images change.
 */
static int ask_podman(const struct engine *engine, const struct host *host, const char *name,
	char *answer, size_t size)
{
	const char *const words[] = {"image", "inspect", "--format",
		"{{.Id}} {{if .Config.Volumes}}volumes{{else}}plain{{end}}", name, NULL};
	unsigned char hash[crypto_generichash_BYTES_MIN];
	char question[64] = "podman-image-";
	struct answers_key key;
	bool known = find_store(engine, host, &key);

	(void)crypto_generichash(
		hash, sizeof(hash), (const unsigned char *)name, strlen(name), NULL, 0);
	(void)io_hex(hash, sizeof(hash), question + strlen(question));
	if (known && answers_recall(question, &key, answer, size)) {
		return 0;
	}
	int r = ask_tool(engine, host, words, answer, size);
	if (known && r == 0) {
		answers_keep(question, &key, answer);
	}
	return r;
}

static int ask_docker(const struct host *host, const char *name, char *answer, size_t size)
{
	char path[512];
	json_t *image = NULL;

	(void)snprintf(answer, size, "it does not answer");
	int r = snprintf(path, sizeof(path), "/images/%s/json", name) < (int)sizeof(path)
		? containers_get(host->docker_host, path, &image)
		: -EINVAL;
	if (image) {
		const char *id = json_string_value(json_object_get(image, "Id"));
		const char *why = json_string_value(json_object_get(image, "message"));
		json_t *config = json_object_get(image, "Config");
		bool plain = json_object_size(json_object_get(config, "Volumes")) == 0;
		(void)snprintf(answer, size, "%s %s",
			id            ? id
				: why ? why
				      : "",
			id ? (plain ? "plain" : "volumes") : "");
	}
	json_decref(image);
	return r == 200 ? 0 : r;
}

static int ask_image(const struct engine *engine, const struct host *host, const char *name,
	char *answer, size_t size)
{
	return engine->podman ? ask_podman(engine, host, name, answer, size)
			      : ask_docker(host, name, answer, size);
}

/* Does the engine say of an image that it does not have it, and not that it cannot work? */
static bool says_absent(const char *answer)
{
	static const char *const words[] = {"o such image", "o such object", "image not known"};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strstr(answer, words[i])) {
			return true;
		}
	}
	return false;
}

/* An engine that did not say what an image is: r as of ask_tool(). One line: what, where, the remedy. */
static int refuse_answer(const struct engine *engine, const struct host *host, const char *image,
	int r, char *answer, struct err *err)
{
	const char *where = !engine->podman        ? host->docker_host
		: host->containers_storage_conf[0] ? host->containers_storage_conf
						   : "/etc/containers/storage.conf";

	if (r == -ETIMEDOUT) {
		return err_refuse(err, ENOTSUP,
			"%s (%s) does not answer within %d s; see what holds it with: %s info",
			engine->tool, where, ASK_TIMEOUT_MS / 1000, engine->tool);
	}
	if (r < 0) {
		return err_set(err, -r, "asking %s for the image %s", engine->tool, image);
	}
	if (says_absent(answer)) {
		return err_refuse(err, ENOTSUP,
			"%s (%s) has no image '%s'; `./dev image %s` makes one", engine->tool,
			where, image, engine->tool);
	}
	return err_refuse(err, ENOTSUP,
		"%s (%s) does not work: %.120s; mend that until '%s info' answers", engine->tool,
		where, containers_last_line(answer), engine->tool);
}

/* The image's id. An image that declares a VOLUME would get a writable place without a bound. */
static int find_image(const struct engine *engine, const struct host *host, const char *name,
	char *id, size_t size, struct err *err)
{
	char answer[512];
	char digest[80];
	char kind[16];
	int r = ask_image(engine, host, name, answer, sizeof(answer));

	if (r != 0) {
		return refuse_answer(engine, host, name, r, answer, err);
	}
	if (sscanf(containers_last_line(answer), "%79s %15s", digest, kind) != 2) {
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
