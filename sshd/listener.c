/*
 * One loop over the listening sockets, the zygote's control socket and four signals.
 *
 * What belongs to a configuration (struct service) is made as a whole, and replaced as a whole by
 * SIGHUP: first the new one is complete, then the old one goes. Connections that exist keep the one
 * they were forked with.
 *
 * Stopping has three steps: no new connections and a drain time; then sessions are ended with a
 * word to their users; then whatever is left is killed. SIGINT begins with the second.
 */
#include "sshd/listener-state.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "backends/backend.h"
#include "backends/linux/launcher.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "cloche-config.h"
#include "session/audit.h"
#include "session/limits.h"
#include "sshd/control.h"
#include "sshd/doorman.h"
#include "sshd/monitor.h"
#include "sshd/notify.h"
#include "sshd/proof.h"
#include "sshd/sockets.h"
#include "sshd/zygote.h"

#define USEC UINT64_C(1000000)
#define ZYGOTE_RETRY_USEC USEC
#define PAUSE_USEC (USEC / 10) /* after accept or fork had no room */
#define STOP_USEC (5 * USEC)
#define SWEEP_USEC USEC
#define ACCEPTS_A_TURN 16
#define FIXED_FDS 3 /* signals, notes of monitors, and their answers */

/* ---- connections ---- */

/*
 * In a monitor: what is the listener's is closed. Named one by one, because what is shared on
 * purpose stays (the program of pid 1, in memory once for all sessions); there is nothing else,
 * since what we were started with was closed at the beginning.
 */
void listener_close(const struct listener *listener)
{
	sockets_close_fds(&listener->service.sockets);
	(void)close(listener->service.zygote.control);
	(void)close(listener->signals);
	(void)close(listener->interrupts);
	(void)close(listener->watch);
	control_close_fds(&listener->control);
}

static void run_monitor(const struct listener *listener, size_t slot, int socket, int client)
{
	const struct service *service = &listener->service;
	struct audit audit = service->audit;
	const struct monitor_options options = {
		.config = &service->config,
		.host = &listener->host,
		.backends = backends,
		.gates = service->gates,
		.audit = &audit,
		.limits = listener->limits,
		.slot = slot,
		.roster = listener->roster,
		.penalties = listener->doorman.penalties,
		.socket = socket,
		.join = listener->watch_monitors,
		.client = client,
	};
	char ident[32];
	sigset_t set;

	(void)prctl(PR_SET_NAME, "cloche-monitor");
	/* Out of the terminal's reach: a Ctrl-C is for the listener. */
	(void)setsid();
	/* The C library opens its log socket anew; its old number may become somebody else's. */
	closelog();
	(void)snprintf(ident, sizeof(ident), "cloche-sshd[%d]", (int)getpid());
	log_init(listener->to_syslog ? "cloche-sshd" : ident, listener->log_level);
	listener_close(listener);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	(void)sigprocmask(SIG_SETMASK, &set, NULL);
	_exit(monitor_run(&options));
}

/* Tells a client that is not served why, as far as it listens. It has not been read from. */
static void turn_away(int client, const char *text)
{
	(void)send(client, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL);
	(void)shutdown(client, SHUT_WR);
}

static int remember_monitor(struct listener *listener, size_t slot, pid_t pid)
{
	listener->monitors[slot] = pid;
	listener->slots = slot >= listener->slots ? slot + 1 : listener->slots;
	return 0;
}

/* The net process is asked for first: it takes longer to get ready than the monitor does. */
static int serve(struct listener *listener, int client, size_t slot)
{
	cleanup_close int monitor_end = -1;
	cleanup_close int net_end = -1;

	int r = monitor_make_pair(&monitor_end, &net_end);
	r = r ? r : zygote_connect(&listener->service.zygote, client, net_end);
	if (r < 0) {
		return r;
	}
	pid_t pid = fork();
	if (pid < 0) {
		return -errno;
	}
	if (pid == 0) {
		close_fdp(&net_end);
		run_monitor(listener, slot, monitor_end, client);
	}
	return remember_monitor(listener, slot, pid);
}

static void take_connection(struct listener *listener, int client)
{
	struct service *service = &listener->service;
	struct source source = source_of_peer(client);
	char text[DOORMAN_TEXT];
	uint32_t dice = 0;

	io_random(&dice, sizeof(dice));
	if (!doorman_admits(&listener->doorman, &service->config, &service->audit, &source,
		    dice % 100, text)) {
		turn_away(client, text);
		return;
	}
	int slot = limits_take_slot(listener->limits, &source);
	int r = slot < 0 ? slot : serve(listener, client, (size_t)slot);
	if (r < 0) {
		log_error("a connection cannot be served: %s", strerror(-r));
		turn_away(client, "The server has no room; try again later\r\n");
		listener->pause_until = io_now_usec() + PAUSE_USEC;
		if (slot >= 0) {
			(void)limits_drop_slot(listener->limits, (size_t)slot);
		}
		return;
	}
	listener->accepted = true;
}

static void accept_some(struct listener *listener, int fd)
{
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		cleanup_close int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
		if (client < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
				errno == ENOBUFS) {
				log_error("accept: %s", strerror(errno));
				listener->pause_until = io_now_usec() + PAUSE_USEC;
			}
			return;
		}
		take_connection(listener, client);
		if (listener->options->debug || io_now_usec() < listener->pause_until) {
			return;
		}
	}
}

/* ---- children ---- */

static void lose_zygote(struct listener *listener, int status)
{
	log_error("the net process ended (%s %d); it is started again",
		WIFSIGNALED(status) ? "signal" : "status",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	zygote_close(&listener->service.zygote);
	listener->service.zygote.pid = 0;
	listener->zygote_retry = io_now_usec();
}

static void lose_monitor(struct listener *listener, size_t slot, pid_t pid, int status)
{
	struct service *service = &listener->service;
	struct source source = limits_source(listener->limits, slot);

	/* While the slot still says who it was. */
	doorman_hear(&listener->doorman, &service->config, &service->audit);
	doorman_learn(&listener->doorman, &service->config, &service->audit, &source, status);
	roster_drop(listener->roster, slot);
	uint32_t sessions = limits_drop_slot(listener->limits, slot);
	listener->monitors[slot] = 0;
	if (WIFEXITED(status) && sessions == 0) {
		return;
	}
	/*
	 * Its sandboxes end with it; what they leave on the host is taken away a moment later. A
	 * sweep that is due is not put off, or deaths in a row would keep it from ever coming.
	 */
	listener->sweep_last = io_now_usec() + SWEEP_USEC;
	if (listener->sweep_at == UINT64_MAX) {
		listener->sweep_at = listener->sweep_last;
	}
	log_error("monitor %d died (%s %d) with %u sessions", (int)pid,
		WIFSIGNALED(status) ? "signal" : "status",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), sessions);
	listener_audit(&listener->service, "monitor_died",
		json_pack("{s:i, s:i, s:i}", "monitor", (int)pid, "wait_status", status, "sessions",
			(int)sessions));
}

static void reap(struct listener *listener)
{
	int status = 0;
	pid_t pid = 0;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == listener->service.zygote.pid) {
			lose_zygote(listener, status);
			continue;
		}
		if (control_reap(&listener->control, pid)) {
			continue;
		}
		for (size_t slot = 0; slot < listener->slots; slot++) {
			if (listener->monitors[slot] == pid) {
				lose_monitor(listener, slot, pid, status);
				break;
			}
		}
	}
}

size_t listener_signal_monitors(const struct listener *listener, int signo)
{
	size_t count = 0;

	for (size_t slot = 0; slot < listener->slots; slot++) {
		/* Not reaped yet, so the pid is still this child's. */
		if (listener->monitors[slot] > 0) {
			count++;
			if (signo) {
				(void)kill(listener->monitors[slot], signo);
			}
		}
	}
	return count;
}

static void revive_zygote(struct listener *listener)
{
	struct err err = {0};

	if (listener->service.zygote.pid > 0 || io_now_usec() < listener->zygote_retry) {
		return;
	}
	listener->zygote_retry = io_now_usec() + ZYGOTE_RETRY_USEC;
	if (listener_start_zygote(
		    listener, &listener->service.config, &listener->service.zygote, &err) < 0) {
		log_error("%s", err.msg);
	}
}

/* ---- stopping ---- */

static void advance(struct listener *listener, enum stop_step step)
{
	static const int signals[] = {0, SIGUSR1, SIGTERM, SIGKILL};
	uint64_t drain = listener->service.config.drain * USEC;

	listener->step = step;
	listener->step_ends = io_now_usec() + (step == DRAINING ? drain : STOP_USEC);
	size_t left = listener_signal_monitors(listener, signals[step]);
	if (left > 0) {
		log_info(step == DRAINING        ? "connections left: %zu; waiting for them to end"
				: step == ENDING ? "connections left: %zu; they are ended now"
						 : "connections left: %zu; they had to be killed",
			left);
	}
}

void listener_begin_stop(struct listener *listener, enum stop_step step, const char *why)
{
	if (listener->step == RUNNING) {
		log_info("stopping: %s", why);
		notify_send("STOPPING=1");
		listener_audit(
			&listener->service, "server_stop", json_pack("{s:s}", "reason", why));
		sockets_close(&listener->service.sockets);
	}
	bool endless = listener->step == DRAINING && listener->step_ends == UINT64_MAX;
	advance(listener, step > listener->step || endless ? step : ENDING);
}

static void on_signals(struct listener *listener)
{
	struct signalfd_siginfo info;

	while (read(listener->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGCHLD:
			reap(listener);
			break;
		case SIGHUP:
			if (listener->step == RUNNING) {
				listener_reload(listener);
			}
			break;
		case SIGINT:
			listener_begin_stop(listener, ENDING, "interrupt");
			break;
		default:
			listener_begin_stop(listener,
				listener->step == RUNNING || listener->step_ends == UINT64_MAX
					? DRAINING
					: ENDING,
				"told to end");
		}
	}
}

static void watch_clock(struct listener *listener)
{
	uint64_t now = io_now_usec();

	if (now >= listener->sweep_at) {
		listener->sweep_at = now < listener->sweep_last ? listener->sweep_last : UINT64_MAX;
		(void)backend_sweep(&listener->host);
	}
	if (listener->step == RUNNING) {
		revive_zygote(listener);
		if (listener->options->debug && listener->accepted &&
			listener->service.sockets.count > 0) {
			sockets_close(&listener->service.sockets);
		}
		return;
	}
	if (now >= listener->step_ends && listener->step < KILLING) {
		advance(listener, listener->step + 1);
	}
}

/* ---- the loop ---- */

static int next_timeout(const struct listener *listener, bool accepting)
{
	uint64_t now = io_now_usec();
	uint64_t wanted = UINT64_MAX;

	if (listener->step != RUNNING) {
		wanted = listener->step_ends;
	} else if (listener->service.zygote.pid == 0) {
		wanted = listener->zygote_retry;
	} else if (!accepting) {
		wanted = listener->pause_until;
	}
	uint64_t next = wanted < listener->sweep_at ? wanted : listener->sweep_at;
	if (next == UINT64_MAX) {
		return -1;
	}
	return next > now ? (int)((next - now) / 1000 + 1) : 0;
}

static void turn(struct listener *listener)
{
	struct pollfd control[1 + CONTROL_HELPERS];
	struct pollfd fds[FIXED_FDS + SOCKETS_MAX + ARRAY_SIZE(control)] = {
		{.fd = listener->signals, .events = POLLIN},
		{.fd = limits_event_fd(listener->limits), .events = POLLIN},
		{.fd = listener->watch, .events = POLLIN},
	};
	struct sockets *sockets = &listener->service.sockets;
	bool accepting = listener->service.zygote.ready && io_now_usec() >= listener->pause_until;
	nfds_t count = FIXED_FDS;

	for (size_t i = 0; i < sockets->count && accepting; i++) {
		fds[count++] = (struct pollfd){.fd = sockets->items[i].fd, .events = POLLIN};
	}
	const nfds_t first_control = count;
	count += listener_poll_control(listener, control);
	memcpy(fds + first_control, control, sizeof(control));
	if (poll(fds, count, next_timeout(listener, accepting)) < 0 && errno != EINTR) {
		log_error("poll: %s", strerror(errno));
		return;
	}
	if (fds[1].revents) {
		doorman_hear(
			&listener->doorman, &listener->service.config, &listener->service.audit);
	}
	if (fds[2].revents) {
		listener_hear_watch(listener);
	}
	listener_step_control(listener, fds + first_control);
	for (size_t i = FIXED_FDS; i < first_control && listener->step == RUNNING; i++) {
		if (fds[i].revents) {
			accept_some(listener, fds[i].fd);
		}
	}
	/* Last: a reload replaces the sockets that were just looked at. */
	if (fds[0].revents) {
		on_signals(listener);
	}
	watch_clock(listener);
}

static bool is_over(const struct listener *listener)
{
	bool served = listener->options->debug && listener->accepted;

	return (listener->step != RUNNING || served) && listener_signal_monitors(listener, 0) == 0;
}

static int make_tables(struct listener *listener, const struct config *config)
{
	size_t slots = config->max_connections && config->max_connections < LIMITS_MAX_SLOTS
		? (size_t)config->max_connections
		: LIMITS_MAX_SLOTS;

	/* Room to grow by a reload; what is not used takes no memory. */
	slots = slots < 4096 ? 4096 : slots;
	listener->monitors = calloc(slots, sizeof(*listener->monitors));
	int r = listener->monitors ? limits_new(slots, &listener->limits) : -ENOMEM;
	r = r ? r : roster_new(&listener->roster);
	return r ? r : doorman_init(&listener->doorman, listener->limits);
}

static int make_signals(struct listener *listener)
{
	sigset_t stop;
	sigset_t set;

	sigemptyset(&stop);
	sigaddset(&stop, SIGTERM);
	sigaddset(&stop, SIGINT);
	set = stop;
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0) {
		return -errno;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	listener->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	listener->interrupts = signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK);
	return listener->signals < 0 || listener->interrupts < 0 ? -errno : 0;
}

/* Passwords and keys pass through us and our monitors: no core file, and nobody looks in. */
static void harden(void)
{
	const struct rlimit none = {0, 0};
	struct rlimit files;

	(void)setrlimit(RLIMIT_CORE, &none);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	if (geteuid() == 0) {
		/* Not without root: then id maps are written by us, which this would forbid. */
		(void)prctl(PR_SET_DUMPABLE, 0);
	} else {
		log_warning("not root: one uid for all sessions, net processes keep our uid, "
			    "and limits that need cgroups hold only where those are delegated");
	}
}

static int set_up(struct listener *listener, struct config *config, struct err *err)
{
	/* Nothing that our parent forgot to close goes any further. */
	int handed = notify_listen_fds();
	if (handed < 0) {
		return err_refuse(err, -handed,
			"LISTEN_FDS is not the number of sockets that were handed over");
	}
	listener->handed = (size_t)handed;
	(void)syscall(SYS_close_range, 3 + (unsigned)handed, ~0U, 0);
	int r = make_signals(listener);
	if (r < 0 || (r = make_tables(listener, config)) < 0) {
		return err_set(err, -r, "starting");
	}
	r = host_probe(&listener->host, err);
	if (r < 0) {
		return r;
	}
	harden();
	/* Once for all monitors, which inherit it. */
	r = launcher_warm();
	if (r < 0) {
		return err_set(err, -r, "the program of pid 1");
	}
	int swept = backend_sweep(&listener->host);
	if (swept > 0) {
		log_info("removed %d things an earlier server left", swept);
	}
	r = listener_service_init(listener, config, NULL, &listener->service, err);
	r = r ? r : listener_open_watch(listener, err);
	return r ? r : listener_open_control(listener, err);
}

static void tear_down(struct listener *listener)
{
	control_stop(&listener->control);
	zygote_stop(&listener->service.zygote);
	listener_service_fini(&listener->service);
	(void)backend_sweep(&listener->host);
	doorman_fini(&listener->doorman);
	listener->roster = roster_free(listener->roster);
	listener->limits = limits_free(listener->limits);
	free(listener->monitors);
	close_fdp(&listener->signals);
	close_fdp(&listener->interrupts);
	close_fdp(&listener->watch);
	close_fdp(&listener->watch_monitors);
}

int listener_run(const struct options *options, struct config *config, bool to_syslog)
{
	struct listener listener = {
		.options = options,
		.to_syslog = to_syslog,
		.signals = -1,
		.interrupts = -1,
		.watch = -1,
		.watch_monitors = -1,
		.sweep_at = UINT64_MAX,
		.service = {.audit = {.fd = -1}, .zygote = {.control = -1}},
	};
	struct err err = {0};

	control_init(&listener.control);
	listener_apply_log_level(&listener, config);
	int r = set_up(&listener, config, &err);
	if (r < 0) {
		log_error("%s", err.msg);
		config_fini(config);
		tear_down(&listener);
		return 1;
	}
	listener_audit(&listener.service, "server_start",
		json_pack(
			"{s:s, s:b}", "version", CLOCHE_VERSION, "proof", (int)!options->no_proof));
	listener_say_open(&listener);
	notify_send("READY=1");
	while (!is_over(&listener)) {
		turn(&listener);
	}
	tear_down(&listener);
	log_info("stopped");
	return 0;
}
