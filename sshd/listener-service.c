/*
 * All that a configuration decides, made as a whole and replaced as a whole: see listener.c.
 */
#include "sshd/listener-state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/strv.h"
#include "cloche-config.h"
#include "sshd/notify.h"
#include "sshd/proof.h"

void listener_service_fini(struct service *service)
{
	zygote_close(&service->zygote);
	sockets_close(&service->sockets);
	audit_fini(&service->audit);
	free(service->gates);
	config_fini(&service->config);
	*service = (struct service){.audit = {.fd = -1}, .zygote = {.control = -1}};
}

void listener_audit(struct service *service, const char *event, json_t *fields)
{
	struct err err = {0};

	if (audit_event(&service->audit, event, fields, &err) < 0) {
		log_error("%s; no session is started until it can", err.msg);
	}
}

int listener_start_zygote(const struct listener *listener, const struct config *config,
	struct zygote *ret, struct err *err)
{
	return zygote_start(config, listener->options->debug, listener->to_syslog, ret, err);
}

static int open_sockets(
	struct listener *listener, struct service *service, struct sockets *old, struct err *err)
{
	if (listener->handed > 0 && !old) {
		int r = sockets_adopt(listener->handed, &service->sockets, err);
		if (r < 0) {
			return r;
		}
		log_info("the service manager handed over %zu socket%s; \"listen\" is not used",
			listener->handed, listener->handed == 1 ? "" : "s");
		return 0;
	}
	if (listener->handed > 0) {
		service->sockets = *old;
		old->count = 0;
		return 0;
	}
	return sockets_open(service->config.listen, old, &service->sockets, err);
}

/* What the sessions of all monitors share, made before there is a monitor. */
static int warm_backends(const struct service *service, struct err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < service->config.profile_count; i++) {
		const struct backend *backend = service->gates[i].backend;
		r = backend && backend->warm ? backend->warm() : 0;
	}
	return r < 0 ? err_set(err, -r, "preparing for sessions") : 0;
}

/*
 * Makes the whole service for config, which it takes over. old is what runs now, or NULL. On
 * failure nothing of it is left, and old is as before.
 */
int listener_service_init(struct listener *listener, struct config *config, struct service *old,
	struct service *ret, struct err *err)
{
	struct service service = {
		.config = *config, .audit = {.fd = -1}, .zygote = {.control = -1}};
	const struct proof_options proof = {
		.config_path = listener_config_path(listener->options),
		.skip = listener->options->no_proof || !config->proof,
		.interrupt = listener->interrupts,
	};

	*config = (struct config){0};
	service.gates = calloc(service.config.profile_count + 1, sizeof(*service.gates));
	int r = service.gates ? 0 : err_set(err, ENOMEM, "starting");
	r = r ? r : audit_init(&service.audit, service.config.audit_log, err);
	r = r ? r : listener_start_zygote(listener, &service.config, &service.zygote, err);
	if (r == 0) {
		r = proof_run(&service.config, &listener->host, backends, &proof, service.gates);
		r = r < 0 ? err_refuse(err, -r, "interrupted while measuring") : 0;
	}
	r = r ? r : warm_backends(&service, err);
	r = r ? r : open_sockets(listener, &service, old ? &old->sockets : NULL, err);
	if (r < 0) {
		listener_service_fini(&service);
		return r;
	}
	*ret = service;
	return 0;
}

void listener_apply_log_level(struct listener *listener, const struct config *config)
{
	static const char *const names[] = {"error", "warning", "info", "debug"};
	enum log_level level = LOG_LEVEL_INFO;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (config->log_level && strcmp(config->log_level, names[i]) == 0) {
			level = (enum log_level)i;
		}
	}
	level = listener->options->quiet ? LOG_LEVEL_ERROR : level;
	listener->log_level = listener->options->debug ? LOG_LEVEL_DEBUG : level;
	log_set_level(listener->log_level);
}

void listener_say_open(struct listener *listener)
{
	struct service *service = &listener->service;
	size_t closed = 0;

	for (size_t i = 0; i < service->config.profile_count; i++) {
		const struct session_gate *gate = &service->gates[i];
		closed += !gate->open;
		listener_audit(service, "profile",
			json_pack("{s:o, s:b, s:o, s:o}", "profile",
				audit_text(service->config.profiles[i].name), "open",
				(int)gate->open, "proof",
				audit_text(gate->measured ? gate->proof : NULL), "reason",
				audit_text(gate->open ? NULL : gate->reason)));
	}
	for (size_t i = 0; i < service->sockets.count; i++) {
		char text[80];
		sockets_format(&service->sockets, i, text, sizeof(text));
		log_info("listening on %s", text);
	}
	if (closed > 0) {
		log_warning(
			"%zu of %zu profiles are closed", closed, service->config.profile_count);
	}
}

/* What a complaint says goes to the log line by line. */
static void log_lines(char *text)
{
	char *rest = text;
	char *line = NULL;

	while ((line = strsep(&rest, "\n"))) {
		if (*line) {
			log_error("%s", line);
		}
	}
}

static int load_again(struct listener *listener, struct config *ret)
{
	cleanup_free char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out) {
		return -ENOMEM;
	}
	int r = listener_load(listener->options, out, ret);
	(void)fclose(out);
	if (r < 0) {
		log_lines(text);
	}
	return r;
}

void listener_reload(struct listener *listener)
{
	struct config config = {0};
	struct service service = {0};
	struct err err = {0};

	notify_reloading();
	int r = load_again(listener, &config);
	if (r < 0) {
		(void)err_refuse(&err, -r, "the new configuration is not good");
	} else {
		r = listener_service_init(listener, &config, &listener->service, &service, &err);
	}
	listener_audit(r < 0 ? &listener->service : &service, "reload",
		json_pack(
			"{s:b, s:o}", "ok", r == 0, "reason", audit_text(r < 0 ? err.msg : NULL)));
	if (r < 0) {
		log_error("reload: %s; the old configuration stays", err.msg);
	} else {
		listener_service_fini(&listener->service);
		listener->service = service;
		listener_apply_log_level(listener, &listener->service.config);
		log_info("configuration read again; sessions are not touched");
		listener_say_open(listener);
	}
	notify_send("READY=1");
}
