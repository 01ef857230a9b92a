#include "testkit/target.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/parse.h"
#include "base/proc.h"
#include "testkit/outside.h"

#define CONTROL_UID 65533 /* a user nobody is */
#define STOP_MS 300
#define STOP_DELIVERED_MS 5000

static int add_words(const char *text, struct target *ret)
{
	cleanup_free char *copy = strdup(text);
	char *rest = copy;

	for (char *word = NULL; copy && (word = strsep(&rest, " \t"));) {
		if (*word && strv_append(&ret->argv, word) < 0) {
			return -ENOMEM;
		}
	}
	return copy ? 0 : -ENOMEM;
}

static int parse_exec(const char *text, struct target *ret, struct err *err)
{
	bool found = false;

	if (add_words(text, ret) < 0) {
		return err_set(err, ENOMEM, "reading the target");
	}
	STRV_FOREACH (word, ret->argv) {
		found |= strstr(*word, "{client}") || strstr(*word, "{shell}");
	}
	if (!found) {
		return err_refuse(err, EINVAL,
			"exec: needs a command line with {client} where the client's path belongs, "
			"such as 'exec:bwrap --ro-bind / / {client}', or {shell} where a shell's "
			"command does");
	}
	return 0;
}

static int parse_ssh(const char *text, const char *identity, struct target *ret, struct err *err)
{
	char user[64];
	char host[128];
	char port[8] = "22";
	int used = 0;
	int fields =
		sscanf(text, "%63[^@/:]@%127[^:/]%n:%7[0-9]%n", user, host, &used, port, &used);

	if (fields < 2 || text[used] || user[0] == '-' || host[0] == '-') {
		return err_refuse(err, EINVAL, "'ssh://%s' is not ssh://user@host:port", text);
	}
	const char *const fixed[] = {"ssh", "-T", "-o", "BatchMode=yes", "-o",
		"StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o",
		"LogLevel=ERROR"};
	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++) {
		if (strv_append(&ret->argv, fixed[i]) < 0) {
			return err_set(err, ENOMEM, "reading the target");
		}
	}
	/* In the words that sftp(1) has too. */
	if (strv_appendf(&ret->argv, "-oPort=%s", port) < 0 ||
		strv_appendf(&ret->argv, "-oUser=%s", user) < 0) {
		return err_set(err, ENOMEM, "reading the target");
	}
	if (identity &&
		(strv_append(&ret->argv, "-i") < 0 || strv_append(&ret->argv, identity) < 0 ||
			strv_append(&ret->argv, "-o") < 0 ||
			strv_append(&ret->argv, "IdentitiesOnly=yes") < 0)) {
		return err_set(err, ENOMEM, "reading the target");
	}
	if (strv_append(&ret->argv, "--") < 0 || strv_append(&ret->argv, host) < 0) {
		return err_set(err, ENOMEM, "reading the target");
	}
	return 0;
}

int target_parse(const char *text, const char *identity, struct target *ret, struct err *err)
{
	memset(ret, 0, sizeof(*ret));
	spec_init(&ret->spec);
	if (strcmp(text, "none") == 0) {
		ret->kind = TARGET_NONE;
		return 0;
	}
	ret->backend = backend_find(backends, text);
	if (ret->backend || strcmp(text, "backend") == 0) {
		ret->kind = TARGET_PLAN;
		return 0;
	}
	if (strncmp(text, "exec:", 5) == 0) {
		ret->kind = TARGET_EXEC;
		return parse_exec(text + 5, ret, err);
	}
	if (strncmp(text, "ssh://", 6) == 0) {
		ret->kind = TARGET_SSH;
		return parse_ssh(text + 6, identity, ret, err);
	}
	return err_refuse(err, EINVAL,
		"'%s' is no target; none, backend, a backend's name (cloche backends), "
		"exec:ARGV... or "
		"ssh://user@host:port",
		text);
}

void target_fini(struct target *target)
{
	deliver_fini(target);
	target->argv = strv_free(target->argv);
	target->additions = strv_free(target->additions);
	target->plan = plan_free(target->plan);
	spec_fini(&target->spec);
}

/* ---- a plan ---- */

static int add_path(struct target *target, char ***list, const char *path, const char *what)
{
	if (strv_append(list, path) < 0) {
		return -ENOMEM;
	}
	return strv_appendf(&target->additions, "%s: %s", what, path);
}

/* A name that the deny pattern takes out: its wildcards become letters. */
static void name_for(const char *pattern, char *out, size_t size)
{
	size_t used = 0;

	for (; *pattern && used + 8 < size; pattern++) {
		if (*pattern == '[' || *pattern == '\\') {
			out[0] = '\0';
			return;
		}
		if (*pattern == '*') {
			used += (size_t)snprintf(out + used, size - used, "CANARY");
		} else {
			out[used++] = *pattern == '?' ? 'X' : *pattern;
		}
	}
	out[used] = '\0';
}

/* A variable in the spec that its own lists must take out. */
static int add_listed_variable(struct target *target, const struct ground *ground)
{
	struct spec *spec = &target->spec;
	char token[CANARY_TOKEN];

	if (strv_length(spec->env_deny) > 0) {
		name_for(spec->env_deny[0], target->env_listed, sizeof(target->env_listed));
	} else if (strv_length(spec->env_allow) > 0 &&
		!strv_matches(spec->env_allow, "CLOCHE_LISTED_CANARY")) {
		(void)snprintf(
			target->env_listed, sizeof(target->env_listed), "CLOCHE_LISTED_CANARY");
	}
	if (!target->env_listed[0] || strv_getenv(spec->env, target->env_listed)) {
		target->env_listed[0] = '\0';
		return 0;
	}
	return strv_setenv(
		&spec->env, target->env_listed, ground_token(ground, 0, "listed", token));
}

/*
 * What must be reachable for the measurement, each by the key the profile uses itself: places that a
 * profile's own rules then treat like any other of its kind.
 */
static int add_places(struct target *target, const struct ground *ground)
{
	struct spec *spec = &target->spec;
	/* Where only what is listed can be seen, with or without a list (a container's root). */
	bool listed = strv_length(spec->readable) > 0 ||
		!capability_set_has(target->declared, CAPABILITY_FS_READ_HOST);
	char path[96];
	int r = 0;

	if (listed) {
		(void)snprintf(path, sizeof(path), "%s/read", ground->root);
		r = add_path(target, &spec->readable, path, "readable (client and canaries)");
	}
	if (r == 0 && strv_length(spec->read_deny) > 0) {
		(void)snprintf(path, sizeof(path), "%s/deny", ground->root);
		r = add_path(target, &spec->read_deny, path, "read_deny (canaries)");
		if (r == 0 && listed) {
			/* Something to take it out of. */
			r = add_path(target, &spec->readable, path, "readable (canaries)");
		}
	}
	if (r == 0 && (spec->write == WRITE_SCOPE || spec->write == WRITE_OVERLAY)) {
		(void)snprintf(path, sizeof(path), "%s/scope", ground->root);
		r = add_path(target, &spec->writable, path, "writable (canaries)");
	}
	return r < 0 ? r : add_listed_variable(target, ground);
}

/* In the plan as declared the client has a name that is the same in every run, and so the digest is. */
#define ANY_CLIENT "/cloche-testkit-client"

static int set_command(struct spec *spec, const char *client)
{
	spec->args = strv_free(spec->args);
	return strv_append(&spec->args, client);
}

/* An image's name becomes its id once, so that every run of the client gets the same one. */
static int resolve_names(struct target *target, struct err *err)
{
	struct spec resolved;
	int r = 0;

	if (!target->backend->resolve) {
		return 0;
	}
	r = target->backend->resolve(&target->spec, &target->host, &resolved, err);
	if (r == 0) {
		spec_fini(&target->spec);
		target->spec = resolved;
	}
	return r;
}

int target_prepare(struct target *target, const struct spec *spec, const char *backend,
	const struct ground *ground, struct err *err)
{
	cleanup(plan_freep) struct plan *declared = NULL;
	int r = 0;

	spec_fini(&target->spec);
	r = spec_copy(spec, &target->spec);
	if (r < 0 || set_command(&target->spec, ANY_CLIENT) < 0) {
		return err_set(err, ENOMEM, "copying the spec");
	}
	target->backend = backend_find(backends, backend);
	if (!target->backend) {
		return err_refuse(err, EINVAL, "there is no backend '%s'", backend);
	}
	r = host_probe(&target->host, err);
	r = r < 0 ? r : target->backend->probe(&target->host, err);
	r = r < 0 ? r : resolve_names(target, err);
	/* What is declared is what the whole plan promises, whatever is then left out of it. */
	r = r < 0 ? r : target->backend->compile(&target->spec, &target->host, 0, &declared, err);
	if (r < 0) {
		return r;
	}
	target->declared = declared->uses;
	target->disk = declared->disk;
	(void)snprintf(target->digest, sizeof(target->digest), "%s", declared->digest);
	if (set_command(&target->spec, ground->client) < 0 || add_places(target, ground) < 0) {
		return err_set(err, ENOMEM, "adding the canaries to the spec");
	}
	return target->backend->compile(
		&target->spec, &target->host, target->without, &target->plan, err);
}

/* ---- start ---- */

/* The launcher's side of a child: its user, its group, its standard streams. Never returns. */
static void be_child(const struct target *target, const struct canary *canary, char **argv,
	bool drop, const int fds[2])
{
	char token[CANARY_TOKEN];

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)setpgid(0, canary->anchor);
	if (dup2(fds[0], 0) < 0 || dup2(fds[1], 1) < 0) {
		_exit(127);
	}
	if (target->env_listed[0]) {
		(void)setenv(
			target->env_listed, ground_token(canary->ground, 0, "listed", token), 1);
	}
	if (drop) {
		(void)setenv("HOME", canary->ground->home, 1);
	}
	if (drop && geteuid() == 0) {
		gid_t group = OUTSIDE_GROUP;
		if (setgroups(1, &group) < 0 ||
			setresgid(CONTROL_UID, CONTROL_UID, CONTROL_UID) < 0 ||
			setresuid(CONTROL_UID, CONTROL_UID, CONTROL_UID) < 0) {
			_exit(127);
		}
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	}
	(void)prctl(PR_SET_DUMPABLE, 1);
	(void)execvp(argv[0], argv);
	_exit(127);
}

static int start_child(const struct target *target, const struct canary *canary, char **argv,
	bool drop, struct running *ret, struct err *err)
{
	cleanup_close int in_read = -1;
	cleanup_close int out_write = -1;
	int in[2];
	int out[2];

	if (pipe2(in, O_CLOEXEC) < 0) {
		return err_set(err, errno, "making a pipe");
	}
	in_read = in[0];
	ret->in = in[1];
	if (pipe2(out, O_CLOEXEC) < 0) {
		return err_set(err, errno, "making a pipe");
	}
	ret->out = out[0];
	out_write = out[1];
	ret->pid = fork();
	if (ret->pid == 0) {
		const int fds[2] = {in_read, out_write};
		be_child(target, canary, argv, drop, fds);
	}
	if (ret->pid < 0) {
		ret->pid = 0;
		return err_set(err, errno, "starting the launcher");
	}
	ret->pidfd = proc_pidfd(ret->pid);
	return 0;
}

/* A word of the command line with what stands in braces put in. The caller frees it. */
static char *fill_in(const char *word, const struct target *target, const struct ground *ground)
{
	const struct {
		const char *name, *parent, *sub;
	} places[] = {{"{client}", ground->client, ""}, {"{scope}", ground->root, "/scope"},
		{"{read}", ground->root, "/read"}, {"{deny}", ground->root, "/deny"},
		{"{shell}", target->delivery.command, ""}};
	char *text = strdup(word);

	for (size_t i = 0; i < ARRAY_SIZE(places) && places[i].parent; i++) {
		for (char *mark = NULL; text && (mark = strstr(text, places[i].name));) {
			char *filled = NULL;
			if (asprintf(&filled, "%.*s%s%s%s", (int)(mark - text), text,
				    places[i].parent, places[i].sub,
				    mark + strlen(places[i].name)) < 0) {
				filled = NULL;
			}
			free(text);
			text = filled;
		}
	}
	return text;
}

static int login_words(const struct target *target, char ***ret)
{
	const char *command = target->delivery.command;
	int r = strv_append(ret, target->argv[0]);

	/* -s: a subsystem of the server's instead of a command. */
	r = r < 0 || command ? r : strv_append(ret, "-s");
	for (char **word = target->argv + 1; r == 0 && *word; word++) {
		r = strv_append(ret, *word);
	}
	return r < 0 ? r : strv_append(ret, command ? command : "sftp");
}

int target_words(const struct target *target, const struct ground *ground, char ***ret)
{
	int r = target->kind == TARGET_SSH ? login_words(target, ret) : 0;

	for (char **word = target->argv; r == 0 && target->kind == TARGET_EXEC && *word; word++) {
		char *filled = fill_in(*word, target, ground);
		r = filled ? strv_consume(ret, filled) : -ENOMEM;
	}
	return r;
}

/* A launcher or a login. Where a delivery brings the client, its bytes go first. */
static int start_words(const struct target *target, const struct canary *canary,
	struct running *ret, struct err *err)
{
	const struct delivery *delivery = &target->delivery;
	cleanup(strv_freep) char **argv = NULL;
	int r = target_words(target, canary->ground, &argv);

	if (r < 0) {
		return err_set(err, -r, "building the command line");
	}
	r = start_child(target, canary, argv, false, ret, err);
	if (r == 0 && delivery->size > 0) {
		/* A shell takes away the file of a client that ends with its probe. */
		ret->patience_ms = STOP_DELIVERED_MS;
		r = io_write_all(ret->in, delivery->input, delivery->size);
		/* One that ends before it has all of the client is one where no client comes up. */
		r = r < 0 && r != -EPIPE ? err_set(err, -r, "sending the client") : 0;
	}
	return r;
}

/* Standard error of the sandbox is the launcher's terminal, so that it is there to be misused. */
static int start_plan(const struct target *target, const struct canary *canary, uint64_t seconds,
	struct running *ret, struct err *err)
{
	struct sandbox_stdio io = {.fds = {-1, -1, canary->ground->terminal_slave}};
	cleanup(plan_freep) struct plan *limited = NULL;
	const struct plan *plan = target->plan;
	cleanup_close int in_read = -1;
	cleanup_close int out_write = -1;
	pid_t own = getpgrp();
	int in[2];
	int out[2];
	int r = 0;

	if (seconds) {
		struct spec spec;
		r = spec_copy(&target->spec, &spec);
		if (r < 0) {
			return err_set(err, -r, "copying the spec");
		}
		spec.timeout = seconds;
		r = target->backend->compile(&spec, &target->host, target->without, &limited, err);
		spec_fini(&spec);
		if (r < 0) {
			return r;
		}
		plan = limited;
	}
	if (pipe2(in, O_CLOEXEC) < 0) {
		return err_set(err, errno, "making a pipe");
	}
	in_read = in[0];
	ret->in = in[1];
	if (pipe2(out, O_CLOEXEC) < 0) {
		return err_set(err, errno, "making a pipe");
	}
	ret->out = out[0];
	out_write = out[1];
	io.fds[0] = in_read;
	io.fds[1] = out_write;
	/* For this moment we stand where a careless launcher would: in the companion's group. */
	(void)setpgid(0, canary->anchor);
	r = target->backend->start(plan, &target->host, &io, &ret->sandbox, err);
	(void)setpgid(0, own);
	return r;
}

int target_start(const struct target *target, const struct canary *canary, uint64_t seconds,
	struct running *ret, struct err *err)
{
	char *client[] = {(char *)(uintptr_t)canary->ground->client, NULL};
	int r = 0;

	*ret = (struct running){.in = -1, .out = -1, .pidfd = -1, .patience_ms = STOP_MS};
	switch (target->kind) {
	case TARGET_NONE:
		r = start_child(target, canary, client, true, ret, err);
		break;
	case TARGET_PLAN:
		r = start_plan(target, canary, seconds, ret, err);
		break;
	case TARGET_EXEC:
	case TARGET_SSH:
		r = start_words(target, canary, ret, err);
		break;
	}
	if (r < 0) {
		running_stop(ret);
	}
	return r;
}

void running_stop(struct running *running)
{
	int status = 0;

	close_fdp(&running->in);
	if (running->sandbox) {
		running->sandbox->backend->destroy(running->sandbox);
		running->sandbox = NULL;
	}
	if (running->pid > 0) {
		/* Its input is closed: a launcher that is well ends by itself. */
		if (running->pidfd < 0 ||
			proc_wait(running->pidfd, running->patience_ms, &status) < 0) {
			(void)kill(running->pid, SIGKILL);
			(void)waitpid(running->pid, &status, 0);
		}
		running->pid = 0;
	}
	close_fdp(&running->pidfd);
	close_fdp(&running->out);
}
