/*
 * Two logins at once: does one of them reach what the server forwards into the other?
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/strv.h"
#include "testkit/run.h"
#include "testkit/ssh-attempt.h"

#define MAX_TALKS 8
#define HEARING_MS 1000 /* for what is on its way when the other login says that it met somebody */

/*
 * Run in a login: connects to a path or to a port of its loopback, says a line and waits a moment for
 * an answer. Prints "met" when there was somebody, "none" when not, nothing without perl and python.
 */
#define DIAL                                                                                       \
	"if command -v perl >/dev/null 2>&1; then perl -MSocket -e '($p,$m)=@ARGV;"                \
	"if($p=~m{^/}){socket(S,PF_UNIX,SOCK_STREAM,0);$a=pack_sockaddr_un($p)}"                   \
	"else{socket(S,PF_INET,SOCK_STREAM,0);$a=pack_sockaddr_in($p,inet_aton(\"127.0.0.1\"))}"   \
	"if(connect(S,$a)){print \"met\\n\";$|=1;if($m){syswrite(S,\"$m\\n\");alarm "              \
	"1;sysread(S,$b,1)}}"                                                                      \
	"else{print \"none\\n\"}' %s '%s'; else python3 -c 'import socket,sys\np=sys.argv[1]\n"    \
	"u=p[0]==\"/\"\ns=socket.socket(socket.AF_UNIX if u else socket.AF_INET)\ntry:\n"          \
	" s.connect(p if u else (\"127.0.0.1\",int(p)))\n print(\"met\",flush=True)\n"             \
	" s.sendall(sys.argv[2].encode()+b\"\\n\")\n s.settimeout(1)\n s.recv(1)\n"                \
	"except (ConnectionError,FileNotFoundError,PermissionError):\n print(\"none\")\n"          \
	"except OSError:\n pass' %s '%s'; fi"

/* ---- an agent of ours ---- */

/* It has no keys: whatever it is asked it refuses. What counts is who came. */
struct agent {
	int fd;
	int talks[MAX_TALKS];
	unsigned came;
	const char *line; /* what the other login would say, or NULL */
	bool heard; /* it did */
	char path[108];
};

static void agent_fini(struct agent *agent)
{
	close_fdp(&agent->fd);
	for (size_t i = 0; i < MAX_TALKS; i++) {
		close_fdp(&agent->talks[i]);
	}
	(void)unlink(agent->path);
}

static int agent_init(struct agent *agent, const char *directory)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	*agent = (struct agent){.fd = -1};
	for (size_t i = 0; i < MAX_TALKS; i++) {
		agent->talks[i] = -1;
	}
	(void)snprintf(agent->path, sizeof(agent->path), "%s/agent", directory);
	memcpy(address.sun_path, agent->path, sizeof(address.sun_path));
	agent->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return agent->fd < 0 || bind(agent->fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
			listen(agent->fd, MAX_TALKS) < 0
		? -errno
		: 0;
}

static void agent_serve(struct agent *agent)
{
	static const uint8_t failure[] = {0, 0, 0, 1, 5};
	uint8_t text[4096];
	int fd = accept4(agent->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0) {
		close_fdp(&agent->talks[agent->came % MAX_TALKS]);
		agent->talks[agent->came++ % MAX_TALKS] = fd;
	}
	for (size_t i = 0; i < MAX_TALKS; i++) {
		ssize_t n =
			agent->talks[i] >= 0 ? recv(agent->talks[i], text, sizeof(text), 0) : -1;
		if (n > 0) {
			agent->heard |= agent->line &&
				memmem(text, (size_t)n, agent->line, strlen(agent->line));
			(void)send(agent->talks[i], failure, sizeof(failure), MSG_NOSIGNAL);
		} else if (n == 0) {
			close_fdp(&agent->talks[i]);
		}
	}
}

/* ---- two logins ---- */

/* Reads what a login prints until text is there, or it ends. False: it did not come. */
static bool await_text(struct ssh_attempt *attempt, const struct ssh_program *program,
	struct agent *agent, const char *text, char *out, size_t size)
{
	uint64_t until = io_now_usec() + SSH_PATIENCE_MS * 1000;
	size_t used = 0;

	out[0] = '\0';
	while (!strstr(out, text) && io_now_usec() < until && !run_interrupted()) {
		struct pollfd wait = {.fd = program->out, .events = POLLIN};
		ssize_t n = used + 1 < size ? read(program->out, out + used, size - 1 - used) : 0;
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
			return false;
		}
		used += n > 0 ? (size_t)n : 0;
		out[used] = '\0';
		canary_serve(attempt->canary);
		agent_serve(agent);
		if (n < 0) {
			(void)poll(&wait, 1, SSH_STEP_MS);
		}
	}
	return strstr(out, text) != NULL;
}

static bool is_plain(const char *text)
{
	return *text &&
		text[strspn(text,
			"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
			"/._-")] == '\0';
}

/*
 * The other login dials where, and says line. True: it says that somebody was there; *ret_tried
 * that it had the means to try.
 */
static bool dial_from_login(struct ssh_attempt *attempt, struct agent *agent, const char *where,
	const char *line, bool *ret_tried)
{
	cleanup_free char *command = NULL;
	cleanup(strv_freep) char **words = NULL;
	struct ssh_program program;
	char out[512];
	bool met = false;

	if (asprintf(&command, DIAL "; echo over", where, line, where, line) < 0) {
		command = NULL;
		return false;
	}
	words = ssh_words(attempt, NULL, command);
	if (words && ssh_start(words, false, &program) == 0) {
		(void)await_text(attempt, &program, agent, "over", out, sizeof(out));
		met = strstr(out, "met\n") != NULL;
		*ret_tried = met || strstr(out, "none\n") != NULL;
		ssh_end(&program, NULL);
	}
	return met;
}

/*
 * A login into which something is forwarded. It prints where, dials that itself, so that it is known
 * to be there, and stays until its input ends. False, and nothing is concluded, when it is not there.
 */
static bool start_first(struct ssh_attempt *attempt, struct agent *agent, char *const options[],
	const char *where, struct ssh_program *ret, char *out, size_t size)
{
	cleanup_free char *command = NULL;
	cleanup(strv_freep) char **words = NULL;

	if (asprintf(&command, "printf 'at=%%s=\\n' %s; " DIAL "; echo ready; read -r line", where,
		    where, "", where, "") < 0) {
		command = NULL;
		return false;
	}
	words = ssh_words(attempt, options, command);
	if (!words || ssh_start(words, false, ret) < 0) {
		return false;
	}
	return await_text(attempt, ret, agent, "ready\n", out, size) && strstr(out, "met\n");
}

static bool was_heard(const struct ssh_attempt *attempt, const struct agent *agent)
{
	return ssh_reached(attempt) || agent->heard;
}

static void conclude_pair(struct ssh_attempt *attempt, struct agent *agent, const char *where)
{
	char line[96];
	bool tried = false;

	(void)snprintf(line, sizeof(line), "%s %s", attempt->canary->fence, attempt->probe->id);
	agent->line = line;
	bool met = dial_from_login(attempt, agent, where, line, &tried);
	uint64_t until = io_now_usec() + (met ? HEARING_MS : 0) * 1000;
	do {
		canary_serve(attempt->canary);
		agent_serve(agent);
	} while (!was_heard(attempt, agent) && io_now_usec() < until &&
		usleep(SSH_STEP_MS * 1000) == 0);
	agent->line = NULL;
	ssh_claim(attempt, met);
	if (tried || was_heard(attempt, agent)) {
		ssh_conclude(attempt, was_heard(attempt, agent), LEVEL_EVENT);
	}
}

static void say_absent(struct ssh_attempt *attempt, const char *what)
{
	attempt->outcome->claim = CLAIM_ABSENT;
	ssh_say(attempt, "%s is not forwarded into a login, or cannot be dialled there", what);
}

static void try_agent(struct ssh_attempt *attempt, struct agent *agent)
{
	cleanup_free char *former =
		getenv("SSH_AUTH_SOCK") ? strdup(getenv("SSH_AUTH_SOCK")) : NULL;
	struct ssh_program first = {-1, -1, -1, 0};
	char option[] = "-A";
	char *options[] = {option, NULL};
	char out[1024] = "";
	char where[108] = "";

	(void)setenv("SSH_AUTH_SOCK", agent->path, 1);
	bool there = start_first(
		attempt, agent, options, "\"$SSH_AUTH_SOCK\"", &first, out, sizeof(out));
	(void)(former ? setenv("SSH_AUTH_SOCK", former, 1) : unsetenv("SSH_AUTH_SOCK"));
	const char *at = strstr(out, "at=");
	if (there && at && sscanf(at, "at=%107[^=\n]", where) == 1 && is_plain(where)) {
		conclude_pair(attempt, agent, where);
	} else {
		say_absent(attempt, "an agent");
	}
	ssh_end(&first, NULL);
}

void ssh_try_pair_agent(struct ssh_attempt *attempt)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct agent agent;

	if (agent_init(&agent, attempt->canary->tmp) == 0 && ssh_is_control(attempt)) {
		cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		memcpy(address.sun_path, agent.path, sizeof(address.sun_path));
		ssh_claim(attempt, connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
		agent_serve(&agent);
		ssh_conclude(attempt, agent.came > 0, LEVEL_EVENT);
	} else if (agent.fd >= 0) {
		try_agent(attempt, &agent);
	}
	agent_fini(&agent);
}

/* A port of the first login's loopback that leads to a canary of ours. */
void ssh_try_pair_listener(struct ssh_attempt *attempt)
{
	struct agent nobody;
	struct ssh_program first = {-1, -1, -1, 0};
	char own[16] = "";
	char port[16];
	char where[64];
	char out[1024];
	char name[] = "-R";
	char option[] = "-oExitOnForwardFailure=yes";
	char *options[] = {name, where, option, NULL};

	if (ssh_is_control(attempt)) {
		ssh_dial_canary(attempt);
		ssh_claim(attempt, ssh_reached(attempt));
		ssh_conclude(attempt, ssh_reached(attempt), LEVEL_EVENT);
		return;
	}
	(void)ssh_setting(attempt, "tcp4", own, sizeof(own));
	(void)snprintf(port, sizeof(port), "%u", attempt->canary->listen_port);
	(void)snprintf(where, sizeof(where), "127.0.0.1:%s:127.0.0.1:%s", port, own);
	(void)agent_init(&nobody, attempt->canary->tmp);
	if (start_first(attempt, &nobody, options, port, &first, out, sizeof(out))) {
		conclude_pair(attempt, &nobody, port);
	} else {
		say_absent(attempt, "a port");
	}
	ssh_end(&first, NULL);
	agent_fini(&nobody);
}
