/*
 * Network, processes, queues and memory: what arrived at the canaries.
 */
#include <errno.h>
#include <mqueue.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <unistd.h>

#include "testkit/look.h"

static void links(struct look *look, const char *arg)
{
	struct if_nameindex *list = if_nameindex();
	char text[PROTOCOL_MAX_TEXT + 1] = "";
	size_t used = 0;
	size_t count = 0;

	(void)arg;
	for (struct if_nameindex *at = list; at && at->if_index; at++) {
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s ", at->if_name);
		count++;
		if (used >= sizeof(text)) {
			break;
		}
	}
	if_freenameindex(list);
	/* Everybody has a loopback: where the host has nothing else, there is nothing to be read. */
	if (look_is_done(look)) {
		look_conclude(look,
			count > 1 && look->answer->size == strlen(text) &&
				memcmp(look->answer->text, text, look->answer->size) == 0,
			LEVEL_TOKEN);
	}
}

static void route(struct look *look, const char *arg)
{
	(void)arg;
	if (look->context->run->outside.route >= 0) {
		look_conclude(look, look->context->run->outside.route == 0, LEVEL_STATE);
	}
}

/* None counted says something only once they have counted all there was. */
static void conclude_signals(struct look *look, unsigned count)
{
	if (count > 0 || canary_counted(look->context->canary)) {
		look_conclude(look, count > 0, LEVEL_EVENT);
	}
}

static void signals(struct look *look, const char *arg)
{
	conclude_signals(look, canary_signals(look->context->canary, (unsigned)(arg[0] - '0')));
}

static void group_signals(struct look *look, const char *arg)
{
	(void)arg;
	conclude_signals(look, canary_group_signals(look->context->canary));
}

static void priority(struct look *look, const char *arg)
{
	pid_t pid = strcmp(arg, "victim") == 0 ? look->context->canary->victim
					       : look->context->canary->companion;
	int own = getpriority(PRIO_PROCESS, 0);

	errno = 0;
	int theirs = getpriority(PRIO_PROCESS, (id_t)pid);
	if (pid > 0 && errno == 0) {
		look_conclude(look, theirs != own, LEVEL_STATE);
	}
}

static void traced(struct look *look, const char *arg)
{
	(void)arg;
	if (look->context->canary->trace_sampled) {
		look_conclude(look, look->context->canary->traced, LEVEL_STATE);
	}
}

static void victim_name(struct look *look, const char *arg)
{
	char token[CANARY_TOKEN];

	(void)arg;
	(void)canary_token(look->context->canary, "P.see", token);
	token[15] = '\0'; /* what a thread name holds */
	look_token(look, token);
}

static void victim_limit(struct look *look, const char *arg)
{
	char text[16];

	(void)arg;
	(void)snprintf(text, sizeof(text), "%u", look->context->canary->victim_limit);
	look_token(look, text);
}

static void shm_used(struct look *look, const char *arg)
{
	struct shmid_ds info;
	char token[CANARY_TOKEN];

	(void)arg;
	(void)canary_token(look->context->canary, "I.shm", token);
	if (look->context->canary->shm >= 0 &&
		shmctl(look->context->canary->shm, IPC_STAT, &info) == 0) {
		look_conclude(look,
			(look_is_done(look) && look_text_is(look, token)) ||
				info.shm_lpid != getpid(),
			LEVEL_STATE);
	}
}

static void shm_written(struct look *look, const char *arg)
{
	const struct canary *canary = look->context->canary;
	char *at = canary->shm >= 0 ? shmat(canary->shm, NULL, SHM_RDONLY) : NULL;

	(void)arg;
	if (at && at != (void *)-1) { // NOLINT
		look_conclude(look, memcmp(at + 64, canary->fence, strlen(canary->fence)) == 0,
			LEVEL_COMPARED);
		(void)shmdt(at);
	}
}

static void msg_arrived(struct look *look, const char *arg)
{
	struct msqid_ds info;

	(void)arg;
	if (look->context->canary->msg >= 0 &&
		msgctl(look->context->canary->msg, IPC_STAT, &info) == 0) {
		look_conclude(look, info.msg_qnum > 0, LEVEL_STATE);
	}
}

static void sem_raised(struct look *look, const char *arg)
{
	int value = look->context->canary->sem >= 0 ? semctl(look->context->canary->sem, 0, GETVAL)
						    : -1;

	(void)arg;
	if (value >= 0) {
		look_conclude(look, value > 0, LEVEL_STATE);
	}
}

static void mq_arrived(struct look *look, const char *arg)
{
	struct mq_attr attributes;

	(void)arg;
	if (look->context->canary->mq >= 0 &&
		mq_getattr(look->context->canary->mq, &attributes) == 0) {
		look_conclude(look, attributes.mq_curmsgs > 0, LEVEL_STATE);
	}
}

static const struct evidence_row rows[] = {
	{"N.tcp4", look_message_and_token, "tcp4"},
	{"N.tcp6", look_message_and_token, "tcp6"},
	{"N.udp4", look_message, "udp4"},
	{"N.udp6", look_message, "udp6"},
	{"N.alias", look_message_and_token, "alias"},
	{"N.own", look_message_and_token, "own"},
	{"N.zero", look_message_and_token, "tcp4"},
	{"N.mapped", look_message_and_token, "tcp4"},
	{"N.fastopen", look_message_and_token, "tcp4"},
	{"N.mptcp", look_message_and_token, "tcp4"},
	{"N.int80", look_message_and_token, "tcp4"},
	{"N.listen", look_message, "listen"},
	{"N.route", route, NULL},
	{"N.links", links, NULL},
	{"N.namespace", look_shares_namespace, "0"},
	{"P.see", victim_name, NULL},
	{"P.kill", signals, "0"},
	{"P.tgkill", signals, "1"},
	{"P.queue", signals, "2"},
	{"P.pidfd-signal", signals, "3"},
	{"P.group", group_signals, NULL},
	{"P.group-nice", priority, "companion"},
	{"P.nice", priority, "victim"},
	{"P.seize", traced, NULL},
	{"P.vm-read", look_own_token, "victim"},
	{"P.mem", look_own_token, "victim"},
	{"P.getfd", look_own_token, "P.getfd"},
	{"P.limit", victim_limit, NULL},
	{"P.namespace", look_shares_namespace, "1"},
	{"I.shm", shm_used, NULL},
	{"I.shm-write", shm_written, NULL},
	{"I.msg", msg_arrived, NULL},
	{"I.sem", sem_raised, NULL},
	{"I.mq", mq_arrived, NULL},
	{"I.unix-path", look_message_and_token, "unix.path"},
	{"I.unix-tmp", look_message_and_token, "unix.tmp"},
	{"I.unix-abstract", look_message_and_token, "unix.abstract"},
	{"I.unix-datagram", look_message, "unix.datagram"},
	{"I.unix-abstract-datagram", look_message, "unix.abstract.datagram"},
	{"I.shm-file", look_own_token, "I.shm-file"},
	{"I.key-session", look_ground_token, "key"},
	{"I.key-number", look_ground_token, "key"},
	{"I.namespace", look_shares_namespace, "2"},
	{NULL, NULL, NULL},
};

static const struct evidence_kind kinds[] = {
	{victim_name, "E1: the name of a canary process came back", true},
	{victim_limit, "E1: a limit set for a canary process came back", true},
	{signals, "E2: the canary process counted the signal", false},
	{group_signals, "E2: the companion in the process group counted the signal", false},
	{priority, "E3: the priority of the canary process, read by the host", false},
	{traced, "E3: the canary process had a tracer, as the host read it", false},
	{shm_used, "E3: the kernel's record of who attached last", false},
	{shm_written, "E4: the segment's content before and after", false},
	{msg_arrived, "E3: the number of messages in the queue", false},
	{sem_raised, "E3: the value of the semaphore", false},
	{mq_arrived, "E3: the number of messages in the queue", false},
	{links, "E1: the names and addresses are the host's own", true},
	{route, "E3: the same question asked in its network namespace", false},
	{NULL, NULL, false},
};

const struct evidence_table evidence_objects = {rows, kinds, NULL};
