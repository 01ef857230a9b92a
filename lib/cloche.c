/*
 * The public face: our own objects under names that stay. What is global below us is this. The log
 * level, which only programs set. The descriptors of cloche-init and of the keeper, made at the first
 * start. The launcher's stack and arguments between clone and exec, which exist once. The last two are
 * why starts hold one lock from beginning to end; everything else works on what it is given.
 */
#include "lib/cloche.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "backends/backend.h"
#include "base/io.h"
#include "cloche-config.h"

#define PUBLIC __attribute__((visibility("default")))

_Static_assert(sizeof(struct cloche_error) == sizeof(struct err), "the same with public names");

struct cloche_spec {
	struct spec spec;
};

struct cloche_host {
	struct host host;
};

struct cloche_plan {
	const struct backend *backend;
	struct plan *plan;
};

struct cloche_sandbox {
	const struct backend *backend;
	struct sandbox *sandbox;
	uint64_t give_up; /* when the time limit is over and nobody has said so; 0: no limit */
	bool over; /* status and result are what the end was */
	int result, status;
};

/* The sandbox keeps its time limit itself; this long after it, it is not believed any more. */
#define GIVE_UP_USEC UINT64_C(5000000)

static pthread_mutex_t starting = PTHREAD_MUTEX_INITIALIZER;

static int tell(struct cloche_error *error, int r, const struct err *err)
{
	if (error && r < 0) {
		error->code = -r;
		(void)snprintf(error->message, sizeof(error->message), "%s",
			*err->msg ? err->msg : strerror(-r));
	}
	return r;
}

PUBLIC const char *cloche_version(void)
{
	return CLOCHE_VERSION;
}

PUBLIC const char *cloche_capability_name(size_t number)
{
	return number < CAPABILITY_COUNT ? capability_name((enum capability)number) : NULL;
}

PUBLIC const char *cloche_capability_description(size_t number)
{
	return number < CAPABILITY_COUNT ? capability_describe((enum capability)number) : NULL;
}

/* ---- specs ---- */

PUBLIC int cloche_spec_new(struct cloche_spec **ret_spec)
{
	struct cloche_spec *spec = malloc(sizeof(*spec));

	if (!spec) {
		return -ENOMEM;
	}
	spec_init(&spec->spec);
	*ret_spec = spec;
	return 0;
}

PUBLIC void cloche_spec_free(struct cloche_spec *spec)
{
	if (spec) {
		spec_fini(&spec->spec);
		free(spec);
	}
}

PUBLIC int cloche_spec_add_argument(struct cloche_spec *spec, const char *word)
{
	return strv_append(&spec->spec.args, word);
}

PUBLIC int cloche_spec_set(
	struct cloche_spec *spec, const char *key, const char *value, struct cloche_error *error)
{
	const struct spec_key *found = spec_find_key(key);
	const char *nearest = found ? NULL : spec_suggest_key(key);
	struct err err = {0};
	int r = 0;

	if (!found) {
		r = err_refuse(&err, EINVAL, "a spec has no key '%s'%s%s%s", key,
			nearest ? "; did you mean '" : "", nearest ? nearest : "",
			nearest ? "'?" : "");
	} else {
		r = spec_set(&spec->spec, found, value, &err);
	}
	return tell(error, r, &err);
}

PUBLIC int cloche_spec_parse(
	const char *json, struct cloche_spec **ret_spec, struct cloche_error *error)
{
	struct cloche_spec *spec = NULL;
	struct err err = {0};
	int r = cloche_spec_new(&spec);

	r = r < 0 ? r : spec_from_json(json, &spec->spec, &err);
	if (r < 0) {
		cloche_spec_free(spec);
		return tell(error, r, &err);
	}
	*ret_spec = spec;
	return 0;
}

PUBLIC int cloche_spec_to_json(const struct cloche_spec *spec, char **ret_json)
{
	char *json = spec_to_json(&spec->spec);

	if (!json) {
		return -ENOMEM;
	}
	*ret_json = json;
	return 0;
}

/* ---- this machine ---- */

PUBLIC int cloche_host_new(struct cloche_host **ret_host, struct cloche_error *error)
{
	struct cloche_host *host = calloc(1, sizeof(*host));
	struct err err = {0};
	int r = host ? host_probe(&host->host, &err) : -ENOMEM;

	if (r < 0) {
		free(host);
		return tell(error, r, &err);
	}
	*ret_host = host;
	return 0;
}

PUBLIC void cloche_host_free(struct cloche_host *host)
{
	free(host);
}

PUBLIC const char *cloche_backend_name(size_t number)
{
	for (size_t i = 0; backends[i]; i++) {
		if (i == number) {
			return backends[i]->name;
		}
	}
	return NULL;
}

PUBLIC int cloche_backend_probe(
	const struct cloche_host *host, const char *backend, struct cloche_error *error)
{
	const struct backend *found = backend_find(backends, backend);
	struct err err = {0};
	int r = found ? found->probe(&host->host, &err)
		      : err_refuse(&err, ENOENT, "there is no backend '%s'", backend);

	return tell(error, r, &err);
}

/* ---- plans ---- */

PUBLIC int cloche_plan_new(const struct cloche_spec *spec, const struct cloche_host *host,
	struct cloche_plan **ret_plan, struct cloche_error *error)
{
	struct cloche_plan *plan = calloc(1, sizeof(*plan));
	struct err err = {0};
	int r = plan ? backend_choose(backends, &spec->spec, &host->host, 0, &plan->backend,
			       &plan->plan, &err)
		     : -ENOMEM;

	if (r < 0) {
		free(plan);
		return tell(error, r, &err);
	}
	*ret_plan = plan;
	return 0;
}

PUBLIC void cloche_plan_free(struct cloche_plan *plan)
{
	if (plan) {
		plan_free(plan->plan);
		free(plan);
	}
}

PUBLIC const char *cloche_plan_backend(const struct cloche_plan *plan)
{
	return plan->plan->backend;
}

PUBLIC const char *cloche_plan_digest(const struct cloche_plan *plan)
{
	return plan->plan->digest;
}

PUBLIC const char *cloche_plan_kernel(const struct cloche_plan *plan)
{
	return plan_kernel_name(plan->plan->kernel);
}

PUBLIC bool cloche_plan_keeps(const struct cloche_plan *plan, const char *capability)
{
	enum capability found = CAPABILITY_COUNT;

	return capability_parse(capability, &found, NULL) == 0 &&
		capability_set_has(plan->plan->uses, found);
}

PUBLIC bool cloche_plan_caveat(
	const struct cloche_plan *plan, size_t number, struct cloche_caveat *ret_caveat)
{
	const struct caveat *caveat = &plan->plan->caveats[number];

	if (number >= plan->plan->caveat_count) {
		return false;
	}
	*ret_caveat = (struct cloche_caveat){
		.code = caveat->code,
		.capability = caveat->capability < CAPABILITY_COUNT
			? capability_name(caveat->capability)
			: NULL,
		.severity = caveat_severity_name(caveat->severity),
		.text = caveat->text,
		.remedy = caveat->remedy,
	};
	return true;
}

PUBLIC int cloche_plan_to_json(const struct cloche_plan *plan, char **ret_json)
{
	char *json = plan_to_json(plan->plan);

	if (!json) {
		return -ENOMEM;
	}
	*ret_json = json;
	return 0;
}

PUBLIC void cloche_plan_print(const struct cloche_plan *plan, FILE *out)
{
	plan_print(plan->plan, out);
}

/* ---- running ---- */

PUBLIC int cloche_start(const struct cloche_plan *plan, const struct cloche_host *host,
	const int fds[3], struct cloche_sandbox **ret_sandbox, struct cloche_error *error)
{
	struct cloche_sandbox *sandbox = calloc(1, sizeof(*sandbox));
	const struct sandbox_stdio io = {.fds = {fds[0], fds[1], fds[2]}};
	struct err err = {0};

	if (!sandbox) {
		return tell(error, -ENOMEM, &err);
	}
	sandbox->backend = plan->backend;
	(void)pthread_mutex_lock(&starting);
	int r = plan->backend->start(plan->plan, &host->host, &io, &sandbox->sandbox, &err);
	(void)pthread_mutex_unlock(&starting);
	if (r < 0) {
		free(sandbox);
		return tell(error, r, &err);
	}
	if (plan->plan->timeout) {
		sandbox->give_up =
			io_now_usec() + plan->plan->timeout * UINT64_C(1000000) + GIVE_UP_USEC;
	}
	*ret_sandbox = sandbox;
	return 0;
}

PUBLIC int cloche_event_fd(const struct cloche_sandbox *sandbox)
{
	return sandbox->sandbox->event;
}

PUBLIC int cloche_signal(struct cloche_sandbox *sandbox, int signo)
{
	return sandbox->backend->signal(sandbox->sandbox, signo);
}

/* Looks once. True when it is over, which then stays. */
static bool look(struct cloche_sandbox *sandbox, uint64_t now)
{
	struct sandbox_exit ended = {0};
	int r = sandbox->over ? 0 : sandbox->backend->poll_exit(sandbox->sandbox, &ended);

	if (r != 0) {
		sandbox->over = true;
		sandbox->status = ended.status;
		sandbox->result = r < 0 ? r : ended.timed_out ? -ETIMEDOUT : 0;
	} else if (!sandbox->over && sandbox->give_up && now >= sandbox->give_up) {
		sandbox->over = true;
		sandbox->result = -ETIMEDOUT;
	}
	return sandbox->over;
}

PUBLIC int cloche_wait(struct cloche_sandbox *sandbox, int timeout_ms, int *ret_status)
{
	uint64_t now = io_now_usec();
	uint64_t end = timeout_ms < 0 ? UINT64_MAX : now + (uint64_t)timeout_ms * 1000;

	while (!look(sandbox, now)) {
		struct pollfd fd = {.fd = sandbox->sandbox->event, .events = POLLIN};
		uint64_t next = sandbox->give_up && sandbox->give_up < end ? sandbox->give_up : end;
		if (now >= end) {
			return -EAGAIN;
		}
		uint64_t left = (next - now + 999) / 1000;
		if (poll(&fd, 1, left > INT_MAX ? -1 : (int)left) < 0 && errno != EINTR) {
			return -errno;
		}
		now = io_now_usec();
	}
	if (sandbox->result == 0) {
		*ret_status = sandbox->status;
	}
	return sandbox->result;
}

PUBLIC void cloche_sandbox_free(struct cloche_sandbox *sandbox)
{
	if (sandbox) {
		sandbox->backend->destroy(sandbox->sandbox);
		free(sandbox);
	}
}
