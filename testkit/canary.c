#include "testkit/canary.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "testkit/canary-parts.h"

void canary_set(struct canary *canary, const char *name, const char *format, ...)
{
	char value[512];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(value, sizeof(value), format, args);
	va_end(args);
	buf_printf(&canary->settings, "set %s %s\n", name, value);
}

char *canary_token(const struct canary *canary, const char *id, char *out)
{
	return ground_token(canary->ground, canary->ground->runs, id, out);
}

static void make_sysv(struct canary *canary)
{
	char token[CANARY_TOKEN];
	void *at = NULL;

	canary->shm = shmget(canary->ipc_key, 4096, IPC_CREAT | IPC_EXCL | 0666);
	canary->msg = msgget(canary->ipc_key, IPC_CREAT | IPC_EXCL | 0666);
	canary->sem = semget(canary->ipc_key, 1, IPC_CREAT | IPC_EXCL | 0666);
	if (canary->shm >= 0) {
		at = shmat(canary->shm, NULL, 0);
		if (at != (void *)-1) { // NOLINT
			memcpy(at, canary_token(canary, "I.shm", token), CANARY_TOKEN);
			(void)shmdt(at);
		}
	}
	canary_set(canary, "shm", "%d", canary->ipc_key);
	canary_set(canary, "msg", "%d", canary->ipc_key);
	canary_set(canary, "sem", "%d", canary->ipc_key);
}

static void make_posix(struct canary *canary)
{
	struct mq_attr attributes = {.mq_maxmsg = 4, .mq_msgsize = 128};
	char token[CANARY_TOKEN];
	char path[64];
	mode_t mask = umask(0);

	(void)snprintf(path, sizeof(path), "/%s", canary->leave);
	canary->mq = mq_open(
		path, O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK | O_CLOEXEC, 0666, &attributes);
	(void)umask(mask);
	if (canary->mq >= 0) {
		canary_set(canary, "mq", "%s", canary->leave);
	}
	(void)snprintf(path, sizeof(path), "/dev/shm/%s", canary->leave);
	if (canary_make_file(path, 0644, canary_token(canary, "I.shm-file", token)) == 0) {
		canary_set(canary, "pshm", "%s", canary->leave);
	}
}

/* Closing one takes the kernel tens of milliseconds: it is kept for the next run instead. */
static void unwatch(struct canary *canary)
{
	char events[4096];

	for (size_t i = 0; i < ARRAY_SIZE(canary->watches) && canary->inotify >= 0; i++) {
		if (canary->watches[i] > 0) {
			(void)inotify_rm_watch(canary->inotify, canary->watches[i]);
		}
	}
	if (canary->inotify >= 0 && canary->ground->inotify < 0) {
		while (read(canary->inotify, events, sizeof(events)) > 0) {
		}
		canary->ground->inotify = take_fd(&canary->inotify);
	}
	close_fdp(&canary->inotify);
}

static void watch(struct canary *canary)
{
	char path[128];
	const char *const read_places[] = {path, canary->tmp, canary->deny, canary->read};

	(void)snprintf(path, sizeof(path), "%s/secret", canary->directory);
	canary->inotify = canary->ground->inotify;
	canary->ground->inotify = -1;
	if (canary->inotify < 0) {
		canary->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	}
	for (size_t i = 0; i < ARRAY_SIZE(read_places); i++) {
		canary->watches[i] =
			inotify_add_watch(canary->inotify, read_places[i], IN_OPEN | IN_ACCESS);
	}
	canary->watches[4] = inotify_add_watch(canary->inotify, "/tmp", IN_CREATE);
	canary->watches[5] = inotify_add_watch(canary->inotify, canary->ground->home, IN_CREATE);
}

static void set_descriptor(struct canary *canary, const char *name, int fd)
{
	struct stat info;

	if (fd >= 0 && fstat(fd, &info) == 0) {
		canary_set(canary, name, "%u:%u:%llu", major(info.st_dev), minor(info.st_dev),
			(unsigned long long)info.st_ino);
	}
}

static void set_names(struct canary *canary)
{
	const struct ground *ground = canary->ground;
	char token[CANARY_TOKEN];

	canary_set(canary, "leave", "%s", canary->leave);
	canary_set(canary, "fresh", "%s", canary->fresh);
	canary_set(canary, "env", "%s", ground->env_name);
	if (ground->mount_word[0]) {
		canary_set(canary, "mount.word", "%s", ground->mount_word);
	}
	canary_set(canary, "fresh.token", "%s", ground_token(ground, 0, canary->fresh, token));
	if (ground->key) {
		canary_set(canary, "key", "%s", ground->key_name);
		canary_set(canary, "key.number", "%d", ground->key);
	}
	if (ground->terminal_slave >= 0) {
		canary_set(canary, "tty", "%u", ground->terminal_number);
		canary_set(canary, "pts", "%s", ground->terminal_path);
	}
	set_descriptor(canary, "fd.dir", ground->dir_fd);
	set_descriptor(canary, "fd.file", ground->file_fd);
}

static void empty(struct canary *canary)
{
	memset(canary, 0, sizeof(*canary));
	for (size_t i = 0; i < CANARY_LISTENERS; i++) {
		canary->listeners[i].fd = -1;
	}
	for (size_t i = 0; i < CANARY_CONNECTIONS; i++) {
		canary->connections[i].fd = -1;
	}
	canary->fifo = canary->lock = canary->inotify = canary->dial = -1;
	canary->shm = canary->msg = canary->sem = canary->mq = -1;
}

/* Names alone: nothing is planted yet. */
static int begin(struct canary *canary, struct ground *ground, const char *fresh, struct err *err)
{
	uint8_t random[8];
	uint32_t key = 0;
	char hex[17];

	empty(canary);
	canary->ground = ground;
	ground->runs++;
	io_random(random, sizeof(random));
	(void)snprintf(canary->fence, sizeof(canary->fence), "%s", io_hex(random, 8, hex));
	io_random(random, sizeof(random));
	(void)snprintf(canary->name, sizeof(canary->name), "ck%.12s", io_hex(random, 8, hex));
	io_random(random, sizeof(random));
	(void)snprintf(canary->leave, sizeof(canary->leave), "ck%.16s", io_hex(random, 8, hex));
	(void)snprintf(canary->fresh, sizeof(canary->fresh), "%s", fresh);
	io_random(&key, sizeof(key));
	canary->ipc_key = (key_t)(key & 0x3ffffffe) + 1;
	canary->page = mmap(NULL, sizeof(*canary->page), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (canary->page == MAP_FAILED) {
		canary->page = NULL;
		return err_set(err, errno, "mapping the victim's page");
	}
	canary_note_traces(canary);
	return 0;
}

int canary_init_bare(
	struct canary *canary, struct ground *ground, const char *fresh, struct err *err)
{
	int r = begin(canary, ground, fresh, err);

	if (r < 0) {
		return r;
	}
	canary->bare = true;
	set_names(canary);
	return canary->settings.failed ? err_set(err, ENOMEM, "writing the job") : 0;
}

int canary_init(struct canary *canary, struct ground *ground, const char *fresh, struct err *err)
{
	int r = begin(canary, ground, fresh, err);

	r = r < 0 ? r : canary_make_places(canary, err);
	if (r < 0) {
		return r;
	}
	(void)canary_token(canary, "victim", canary->page->token);
	canary_make_odd_files(canary);
	canary_listen(canary);
	make_sysv(canary);
	make_posix(canary);
	set_names(canary);
	watch(canary);
	return canary->settings.failed ? err_set(err, ENOMEM, "writing the job") : 0;
}

void canary_fini(struct canary *canary)
{
	struct traces traces = {.fresh = "none"};

	if (!canary->ground) {
		return;
	}
	canary_dismiss(canary);
	for (size_t i = 0; i < CANARY_LISTENERS; i++) {
		close_fdp(&canary->listeners[i].fd);
	}
	for (size_t i = 0; i < CANARY_CONNECTIONS; i++) {
		close_fdp(&canary->connections[i].fd);
	}
	close_fdp(&canary->fifo);
	close_fdp(&canary->lock);
	unwatch(canary);
	close_fdp(&canary->dial);
	if (canary->mq >= 0) {
		(void)mq_close(canary->mq);
	}
	/* Not the fresh ones: the next session is to look for them. */
	traces.key = canary->ipc_key;
	(void)snprintf(traces.leave, sizeof(traces.leave), "%s", canary->leave);
	canary_remove_traces(&traces);
	if (canary->page) {
		(void)munmap(canary->page, sizeof(*canary->page));
	}
	buf_fini(&canary->settings);
	empty(canary);
}

static void note_event(struct canary *canary, const struct inotify_event *event)
{
	const struct probe *probe = NULL;

	if (event->mask & IN_CREATE) {
		bool ours = event->len && event->name[0] == '.' &&
			strcmp(event->name + 1, canary->leave) == 0;
		canary->created[0] |= ours && event->wd == canary->watches[4];
		canary->created[1] |= ours && event->wd == canary->watches[5];
		return;
	}
	if (event->mask & IN_ISDIR) {
		probe = event->wd == canary->watches[2] ? probe_find("F.deny-list") : NULL;
	} else if (event->len) {
		probe = probe_find(event->name);
	}
	if (probe && strchr("FDXRH", probe->id[0])) {
		canary->reached[probe_index(probe)] = true;
	}
}

static void serve_inotify(struct canary *canary)
{
	char events[4096] __attribute__((aligned(8)));
	ssize_t n = 0;

	while ((n = read(canary->inotify, events, sizeof(events))) > 0) {
		for (ssize_t at = 0; at < n;) {
			struct inotify_event *event = (struct inotify_event *)(events + at);
			note_event(canary, event);
			at += (ssize_t)(sizeof(*event) + event->len);
		}
	}
}

static void serve_fifo(struct canary *canary)
{
	char text[128];
	ssize_t n = read(canary->fifo, text, sizeof(text));

	if (n > 0) {
		(void)canary_note_message(canary, text, (size_t)n);
	}
}

/* Asked first: launchers share the terminal with us, and some make it block (Go's do). */
static void drain(const struct pollfd *ready, char *data, size_t room, size_t *used)
{
	bool there = ready->revents && *used < room;
	ssize_t n = there ? read(ready->fd, data + *used, room - *used) : 0;

	*used += n > 0 ? (size_t)n : 0;
}

enum other_channel {
	CHANNEL_INOTIFY,
	CHANNEL_FIFO,
	CHANNEL_PUSHED,
	CHANNEL_WRITTEN,
	CHANNEL_COUNT
};

/*
 * Asks for all at once: most have nothing to say. Pushed bytes come back from the terminal's slave's
 * own queue, written ones from the master.
 */
void canary_serve(struct canary *canary)
{
	const int others[CHANNEL_COUNT] = {canary->inotify, canary->fifo,
		canary->ground->terminal_slave, canary->ground->terminal_master};
	struct pollfd fds[CANARY_POLL + CHANNEL_COUNT];
	size_t count = canary_poll(canary, fds);
	const struct pollfd *ready = fds + count;

	for (size_t i = 0; i < CHANNEL_COUNT; i++) {
		fds[count++] = (struct pollfd){.fd = others[i], .events = POLLIN};
	}
	if (poll(fds, count, 0) <= 0) {
		return;
	}
	canary_serve_listeners(canary, fds);
	if (ready[CHANNEL_INOTIFY].revents) {
		serve_inotify(canary);
	}
	if (ready[CHANNEL_FIFO].revents) {
		serve_fifo(canary);
	}
	drain(&ready[CHANNEL_PUSHED], canary->pushed, sizeof(canary->pushed), &canary->pushed_size);
	drain(&ready[CHANNEL_WRITTEN], canary->written, sizeof(canary->written),
		&canary->written_size);
}

static void sample_lock(struct canary *canary)
{
	if (canary->lock < 0) {
		return;
	}
	canary->lock_sampled = true;
	if (flock(canary->lock, LOCK_EX | LOCK_NB) == 0) {
		(void)flock(canary->lock, LOCK_UN);
	} else if (errno == EWOULDBLOCK) {
		canary->lock_taken = true;
	}
}

static void sample_tracer(struct canary *canary)
{
	cleanup_free char *status = NULL;
	char path[40];
	const char *line = NULL;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", canary->victim);
	if (canary->victim <= 0 || io_read_file(AT_FDCWD, path, 16384, &status, NULL) < 0) {
		return;
	}
	line = strstr(status, "\nTracerPid:\t");
	canary->trace_sampled = true;
	if (line && line[12] != '0') {
		canary->traced = true;
		/* Ignored by who is not traced; a tracer sees it, and need not wait for us any longer. */
		(void)kill(canary->victim, SIGWINCH);
	}
}

/* Dials the client's listener again and again while it waits. */
static void sample_listener(struct canary *canary)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(canary->listen_port)};
	char text[96];
	ssize_t n = 0;

	if (canary->dial < 0) {
		address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		canary->dial = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (canary->dial < 0 ||
			connect(canary->dial, (struct sockaddr *)&address, sizeof(address)) < 0) {
			close_fdp(&canary->dial);
			return;
		}
	}
	n = recv(canary->dial, text, sizeof(text), MSG_DONTWAIT);
	if (n > 0) {
		(void)canary_note_message(canary, text, (size_t)n);
	}
	if (n >= 0) {
		close_fdp(&canary->dial);
	}
}

void canary_sample(struct canary *canary, const char *probe)
{
	static const struct {
		const char *probe;
		void (*sample)(struct canary *canary);
	} samples[] = {
		{"F.flock", sample_lock},
		{"P.seize", sample_tracer},
		{"N.listen", sample_listener},
	};

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		if (strcmp(samples[i].probe, probe) == 0) {
			samples[i].sample(canary);
		}
	}
}
