/*
 * The listener's own: what its parts share. listener.c has the loop, listener-config.c reads the configuration,
 * listener-service.c makes what it decides, listener-control.c answers the control socket,
 * listener-watch.c those who want to watch.
 */
#pragma once

#include <poll.h>
#include <sys/types.h>

#include "backends/backend.h"
#include "base/log.h"
#include "session/audit.h"
#include "session/limits.h"
#include "sshd/control.h"
#include "sshd/doorman.h"
#include "sshd/listener.h"
#include "sshd/sockets.h"
#include "sshd/zygote.h"

enum stop_step { RUNNING, DRAINING, ENDING, KILLING };

/* All that a configuration decides. */
struct service {
	struct config config;
	struct session_gate *gates;
	struct audit audit;
	struct sockets sockets;
	struct zygote zygote;
};

struct listener {
	const struct options *options;
	bool to_syslog;
	enum log_level log_level;
	struct host host;
	struct service service;
	struct limits *limits;
	struct roster *roster;
	struct control control;
	pid_t *monitors; /* by slot; 0: none */
	size_t slots; /* slots below this one have been used */
	int watch; /* what monitors answer those who want to watch, */
	int watch_monitors; /* and their end of it */
	uint32_t watch_token; /* the last one */
	uint64_t watch_again; /* when somebody who may change nothing may ask again */
	int signals;
	int interrupts; /* readable when told to stop; only polled, never read */
	size_t handed; /* sockets that a service manager gave us */
	bool accepted; /* for -d */
	enum stop_step step;
	uint64_t step_ends;
	uint64_t pause_until; /* no accept before */
	uint64_t zygote_retry;
	uint64_t sweep_at; /* UINT64_MAX: nothing to sweep */
	uint64_t sweep_last; /* when what the last dead monitor left can be swept */
	struct doorman doorman;
};

/* Ends what a configuration has made. */
void listener_service_fini(struct service *service);

/* Makes all that config decides; config is taken over on success. old: what serves now, or NULL. */
int listener_service_init(struct listener *listener, struct config *config, struct service *old,
	struct service *ret, struct err *err);

/* An event of the server itself; fields are consumed. */
void listener_audit(struct service *service, const char *event, json_t *fields);

/* The process that net processes are forked from. 0, or negative errno with err. */
int listener_start_zygote(const struct listener *listener, const struct config *config,
	struct zygote *ret, struct err *err);

void listener_apply_log_level(struct listener *listener, const struct config *config);

/* Says on the log and to the audit log that we listen, and which profiles are closed. */
void listener_say_open(struct listener *listener);

/* SIGHUP: the configuration is read again; what cannot be used changes nothing. */
void listener_reload(struct listener *listener);

/* In a child: closes what is the listener's alone. */
void listener_close(const struct listener *listener);

/* Sends signo (0: none) to all monitors; returns how many there are. */
size_t listener_signal_monitors(const struct listener *listener, int signo);

/* Begins to stop, or goes on with it. */
void listener_begin_stop(struct listener *listener, enum stop_step step, const char *why);

/* What of the control socket is to be polled, what came of it, and its beginning. */
nfds_t listener_poll_control(const struct listener *listener, struct pollfd *fds);
void listener_step_control(struct listener *listener, const struct pollfd *fds);
int listener_open_control(struct listener *listener, struct err *err);

/* listener-watch.c: its beginning, one that helper i asks for, and what monitors have answered. */
int listener_open_watch(struct listener *listener, struct err *err);
void listener_join(struct listener *listener, size_t i, const struct control_request *request);
void listener_hear_watch(struct listener *listener);
