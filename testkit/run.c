#include "testkit/run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "testkit/beside.h"
#include "testkit/session.h"

#define TICK_MS 2 /* while a probe is sampled */
#define SETTLE_MS 4 /* for what is still on its way after a probe that may have sent something */
#define ALONE_MS 10000 /* for a session to begin that no client of ours is in */
#define ALONE_STEP_MS 50

static volatile sig_atomic_t interrupted;

void run_interrupt(void)
{
	interrupted = 1;
}

bool run_interrupted(void)
{
	return interrupted;
}

static bool is_asked(const struct probe *probe, const struct run_options *options)
{
	if (probe->flags & (PROBE_STATE | PROBE_SSH) || options->hold) {
		return false;
	}
	if (options->only) {
		return probe_is(probe, options->only) && !(probe->flags & PROBE_TIME);
	}
	return (probe->flags & options->mask) == options->match;
}

/*
 * A signal to one's whole group shows whether the launcher's group is one's own. In a login that
 * group is the server's child alone, none of ours is in it, and the signal would end it.
 */
static bool is_pointless(const struct probe *probe, const struct target *target)
{
	return target->kind == TARGET_SSH && strncmp(probe->id, "P.group", 7) == 0;
}

static struct answer *answer_for(struct run *run, const char *id)
{
	const struct probe *probe = probe_find(id);
	struct answer *answer = probe ? &run->answers[probe_index(probe)] : NULL;

	return answer && answer->asked ? answer : NULL;
}

static void take_start(struct run *run, const struct protocol_line *line)
{
	struct answer *answer = answer_for(run, line->id);

	if (answer && !answer->answered) {
		answer->started = true;
		run->current = probe_table[answer - run->answers].id;
		canary_sample(run->canary, run->current);
		if (run->help) {
			run->help->begin(run->current, run->help->context);
		}
		if (strcmp(run->current, "R.cpu") == 0) {
			run->cpu_used_usec = outside_cpu_usec(&run->outside);
			run->cpu_wall_usec = io_now_usec();
		}
	}
}

static void tell(const struct run *run, const struct run_event *event)
{
	if (run->watch) {
		run->watch->take(event, run->watch->context);
	}
}

/* Kernel, privileges, limits: such probes send nothing to anybody, so nothing of theirs is late. */
static bool is_silent(const char *id)
{
	return strchr("KVR", id[0]) && id[1] == '.';
}

/* The first answer counts; a second one is not an answer. */
static void take_result(struct run *run, const struct protocol_line *line)
{
	struct answer *answer = answer_for(run, line->id);

	if (!answer || answer->answered) {
		run->damaged++;
		return;
	}
	canary_sample(run->canary, line->id);
	if (strcmp(line->id, "R.cpu") == 0) {
		uint64_t now = outside_cpu_usec(&run->outside);
		run->cpu_used_usec = now > run->cpu_used_usec ? now - run->cpu_used_usec : 0;
		run->cpu_wall_usec = io_now_usec() - run->cpu_wall_usec;
	}
	if (!is_silent(line->id)) {
		run->reaching_usec = io_now_usec();
	}
	answer->answered = true;
	answer->claim = line->claim;
	answer->error = line->error;
	answer->size = line->size;
	memcpy(answer->text, line->text, line->size);
	run->current = NULL;
	tell(run,
		&(struct run_event){.control = run->control,
			.probe = probe_table[answer - run->answers].id,
			.claim = answer->claim,
			.error = answer->error});
}

static int take_line(const char *text, size_t size, void *context)
{
	struct run *run = context;
	struct protocol_line line;
	int r = protocol_parse(text, size, run->canary->fence, &line);

	if (r < 0) {
		run->damaged++;
		return 0;
	}
	if (r == 0) {
		return 0;
	}
	run->lost += line.sequence > run->next_sequence ? line.sequence - run->next_sequence : 0;
	run->next_sequence = line.sequence + 1;
	switch (line.kind) {
	case PROTOCOL_HELLO:
		run->hello = true;
		break;
	case PROTOCOL_START:
		take_start(run, &line);
		break;
	case PROTOCOL_RESULT:
		take_result(run, &line);
		break;
	case PROTOCOL_END:
		run->ended = true;
		break;
	}
	return 0;
}

/* Reads what there is. False when there will be no more. */
static bool take_output(struct run *run)
{
	char data[16384];
	ssize_t n = read(run->running.out, data, sizeof(data));

	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		return true;
	}
	if (n <= 0) {
		return false;
	}
	run->output += (size_t)n;
	if (run->output > RUN_MAX_OUTPUT) {
		run->flooded = true;
		return false;
	}
	(void)protocol_feed(&run->stream, data, (size_t)n, take_line, run);
	return true;
}

static bool needs_ticks(const struct run *run)
{
	static const char *const ids[] = {"F.flock", "P.seize", "N.listen"};

	for (size_t i = 0; run->current && i < ARRAY_SIZE(ids); i++) {
		if (strcmp(run->current, ids[i]) == 0) {
			return true;
		}
	}
	return false;
}

/* Serves client and canaries until *flag or until. False when the client is gone or too late. */
static bool pump(struct run *run, const bool *flag, uint64_t until)
{
	while (!*flag) {
		struct pollfd fds[CANARY_POLL];
		size_t count = canary_poll(run->canary, fds);
		uint64_t now = io_now_usec();
		int left = now >= until ? 0 : (int)((until - now) / 1000 + 1);
		bool ticks = needs_ticks(run);
		if (now >= until || interrupted) {
			run->timed_out = true;
			return false;
		}
		fds[count++] = (struct pollfd){.fd = run->running.out, .events = POLLIN};
		(void)poll(fds, count, ticks ? TICK_MS : left);
		canary_serve(run->canary);
		if (ticks) {
			canary_sample(run->canary, run->current);
		}
		if (fds[count - 1].revents && !take_output(run)) {
			return *flag;
		}
	}
	return true;
}

static bool send_text(struct run *run, const char *text, size_t size, uint64_t until)
{
	while (size > 0) {
		ssize_t n = write(run->running.in, text, size);
		struct pollfd wait = {.fd = run->running.in, .events = POLLOUT};
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			return false;
		}
		if (n > 0) {
			text += n;
			size -= (size_t)n;
			continue;
		}
		if (io_now_usec() >= until) {
			run->timed_out = true;
			return false;
		}
		(void)poll(&wait, 1, 50);
	}
	return true;
}

static void fault(struct run *run, const char *text)
{
	if (!run->fault[0]) {
		(void)snprintf(run->fault, sizeof(run->fault), "%s", text);
	}
}

static bool greet(struct run *run, uint64_t until)
{
	cleanup(buf_fini) struct buf text = {0};

	buf_printf(
		&text, "set fence %s\nset name %s\nhello\n", run->canary->fence, run->canary->name);
	if (text.failed || !send_text(run, (const char *)text.data, text.size, until) ||
		!pump(run, &run->hello, until)) {
		fault(run,
			run->timed_out ? "the client said nothing in time"
				       : "the client did not come up");
		return false;
	}
	return true;
}

static int send_eye(const struct run *run, struct outside *ret, struct err *err)
{
	const struct ground *ground = run->canary->ground;
	char scope[96];

	(void)snprintf(scope, sizeof(scope), "%s/scope", ground->root);
	return beside_look(&run->machine, ground->eye, run->canary->name, scope, ret, err);
}

/* Before the first probe: the last ones may end that kernel. */
static int look_for_variables(const struct run *run)
{
	static const char *const names[] = {"env", "listed"};
	char token[CANARY_TOKEN];
	bool known = false;
	bool seen = false;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		(void)ground_token(run->canary->ground, 0, names[i], token);
		seen |= machine_holds(&run->machine, token, &known);
	}
	return known ? seen : -1;
}

/* Two limits hold at once; 0 is none. */
static uint64_t tighter(uint64_t one, uint64_t other)
{
	return one && (!other || one < other) ? one : other;
}

/*
 * What the host does not see of a client in another kernel, an eye there does. The control group
 * around that kernel is the host's own, and its limits hold as well.
 */
static void look_beside(struct run *run)
{
	cleanup_free struct outside *host = calloc(1, sizeof(*host));
	struct outside *ret = &run->outside;
	struct err err = {0};

	if (!host) {
		return;
	}
	outside_read_group(run->machine.memory, host);
	if (send_eye(run, ret, &err) < 0) {
		(void)snprintf(run->unseen, sizeof(run->unseen), "no look inside: %.140s", err.msg);
		/* Of a guest the group's limits are the machine's, not the session's. */
		if (!run->machine.guest) {
			outside_read_group(run->machine.memory, ret);
		}
		return;
	}
	ret->group = host->group;
	memcpy(ret->cgroup, host->cgroup, sizeof(ret->cgroup));
	ret->memory_limit = tighter(ret->memory_limit, host->memory_limit);
	ret->tasks_limit = tighter(ret->tasks_limit, host->tasks_limit);
	ret->cpu_limit = tighter(ret->cpu_limit, host->cpu_limit);
}

/* The most the session has used: in a guest of its own, of what it may use there. */
static uint64_t memory_peak(struct run *run)
{
	cleanup_free struct outside *now = NULL;
	uint64_t peak = 0;

	if (run->outside.elsewhere && run->machine.guest) {
		now = calloc(1, sizeof(*now));
		if (now && send_eye(run, now, NULL) == 0) {
			peak = now->memory_peak;
			outside_fini(now);
		}
		return peak;
	}
	return outside_memory_peak(&run->outside);
}

static uint64_t boot_usec(const struct run *run)
{
	struct sandbox *sandbox = run->running.sandbox;
	struct sandbox_usage usage = {0};

	if (sandbox) {
		sandbox->backend->usage(sandbox, &usage);
	}
	return usage.boot_usec;
}

/* No process of that name: is it one of another kernel's, or did it not take the name? */
static void look_elsewhere(struct run *run, bool hurried)
{
	const struct target *target = run->target;
	const struct plan *plan = target->plan;
	bool own = target->kind == TARGET_PLAN && plan->command && plan->command[0];
	pid_t launched = target->kind == TARGET_SSH ? 0 : run->running.pid;

	/* A tool that only asks a daemon or a monitor for the session is no part of it: what the backend
	 * says is its first process is. */
	if (own && plan->kernel != PLAN_KERNEL_SHARED) {
		launched = run->running.sandbox->pid;
	}
	machine_read(launched, run->canary->fence, plan && plan->kernel == PLAN_KERNEL_GUEST,
		&run->machine);
	if (run->machine.kernel == MACHINE_OTHER && !hurried) {
		look_beside(run);
		run->environment = look_for_variables(run);
	}
}

/* While the client waits for its job: who is it, seen from outside? */
static void look(struct run *run, bool hurried)
{
	struct err ignored;
	pid_t pid = outside_find(run->canary->name);

	outside_read(pid, &run->outside);
	if (!run->outside.found) {
		look_elsewhere(run, hurried);
	}
	(void)canary_meet(run->canary, run->outside.pid > 0 ? run->outside.uid : 65533,
		run->outside.pid > 0 ? run->outside.gid : 65533, &ignored);
}

static void ask(struct run *run, const struct run_options *options, struct run_event *begin)
{
	for (const struct probe *probe = probe_table; probe->id; probe++) {
		if (is_asked(probe, options) && !is_pointless(probe, run->target)) {
			run->answers[probe_index(probe)].asked = true;
			begin->asked++;
		}
	}
}

static bool send_job(struct run *run, const struct run_options *options, uint64_t until)
{
	struct buf *job = &run->canary->settings;
	struct run_event begin = {.control = options->control};

	canary_set(run->canary, "plant", "%d", options->plant);
	STRV_FOREACH (line, options->settings) {
		buf_printf(job, "%s\n", *line);
	}
	ask(run, options, &begin);
	for (size_t i = 0; i < probe_count; i++) {
		if (run->answers[i].asked) {
			buf_printf(job, "run %s\n", probe_table[i].id);
		}
	}
	tell(run, &begin);
	buf_printf(job, "go\n");
	return !job->failed && send_text(run, (const char *)job->data, job->size, until);
}

/* The probe under way when the client went took it along. Others without an answer are missing. */
static void note_death(struct run *run)
{
	const struct probe *probe = run->current ? probe_find(run->current) : NULL;
	struct answer *answer = probe ? &run->answers[probe_index(probe)] : NULL;

	if (answer && !run->ended && !answer->answered) {
		answer->answered = true;
		answer->claim = run->timed_out ? CLAIM_TIMEOUT : CLAIM_KILLED;
		answer->error = SIGKILL;
	}
}

static void settle(struct run *run)
{
	bool never = false;
	bool timed_out = run->timed_out;
	uint64_t since = run->ended ? run->reaching_usec : io_now_usec();

	if (run->canary->bare) {
		return; /* nothing is there to be reached */
	}
	(void)pump(run, &never, since + SETTLE_MS * 1000);
	canary_serve(run->canary);
	run->timed_out = timed_out;
	canary_settle(run->canary);
}

/* What only stays says so when it runs: a shell by its line, an sftp server by whatever it answers. */
static bool await_word(struct run *run, uint64_t until)
{
	const bool any = !run->target->delivery.command;
	struct buf said = {0};
	bool found = false;
	bool open = true;

	while (!found && open && said.size < RUN_MAX_OUTPUT && io_now_usec() < until &&
		!interrupted) {
		struct pollfd wait = {.fd = run->running.out, .events = POLLIN};
		char data[4096];
		ssize_t n = poll(&wait, 1, 200) > 0 ? read(wait.fd, data, sizeof(data)) : -1;
		open = !wait.revents || n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
		buf_put(&said, data, n > 0 ? (size_t)n : 0);
		found = said.size > 0 &&
			(any || memmem(said.data, said.size, DELIVER_STAYS, strlen(DELIVER_STAYS)));
	}
	buf_fini(&said);
	return found;
}

/* Two looks in a row that find the same process: what starts something else is on its way. */
static pid_t await_session(struct run *run, uint64_t until)
{
	pid_t before = -1;

	if (!await_word(run, until)) {
		return 0;
	}
	while (io_now_usec() < until && !interrupted) {
		pid_t now = session_find(run->running.pid, run->target->kind == TARGET_SSH);
		if (now == before) {
			return now;
		}
		before = now;
		(void)poll(NULL, 0, ALONE_STEP_MS);
	}
	return 0;
}

/* No client: what it would have tried is missing, and what the host sees is all there is. */
static void watch_alone(struct run *run, const struct run_options *options)
{
	struct run_event begin = {.control = options->control};
	pid_t pid = 0;

	fault(run, "nothing brings the client there: only what the host sees from outside counts");
	ask(run, options, &begin);
	tell(run, &begin);
	run->alone = true;
	run->started_usec = io_now_usec();
	pid = await_session(run, run->started_usec + ALONE_MS * 1000);
	if (pid > 0) {
		outside_read(pid, &run->outside);
	}
	run->ended_usec = io_now_usec();
}

static void converse(struct run *run, const struct run_options *options)
{
	uint64_t until = io_now_usec() + (uint64_t)options->timeout_ms * 1000;

	if (!greet(run, until)) {
		return;
	}
	look(run, options->hurried);
	run->started_usec = io_now_usec();
	if (!send_job(run, options, until) || !pump(run, &run->ended, until)) {
		fault(run,
			run->timed_out         ? "the client did not finish in time"
				: run->flooded ? "the client sent more than it may"
					       : "the client ended before it was done");
	}
	run->ended_usec = io_now_usec();
	run->memory_peak = memory_peak(run);
	run->boot_usec = boot_usec(run);
	note_death(run);
	settle(run);
}

int run_client(const struct target *target, struct canary *canary,
	const struct run_options *options, struct run *ret, struct err *err)
{
	int r = 0;

	memset(ret, 0, sizeof(*ret));
	ret->canary = canary;
	ret->target = target;
	ret->environment = -1;
	ret->watch = options->watch;
	ret->help = options->help;
	ret->control = options->control;
	ret->running = (struct running){.in = -1, .out = -1, .pidfd = -1};
	ret->answers = calloc(probe_count, sizeof(ret->answers[0]));
	if (!ret->answers) {
		return err_set(err, ENOMEM, "running the client");
	}
	r = canary_company(canary, err);
	r = r < 0 ? r : target_start(target, canary, options->seconds, &ret->running, err);
	if (r < 0) {
		return r;
	}
	(void)io_set_nonblocking(ret->running.in, true);
	(void)io_set_nonblocking(ret->running.out, true);
	if (deliver_is_needed(target) && !target->delivery.rung) {
		watch_alone(ret, options);
	} else {
		converse(ret, options);
	}
	return 0;
}

void run_fini(struct run *run)
{
	running_stop(&run->running);
	outside_fini(&run->outside);
	free(run->answers);
	run->answers = NULL;
}
