/*
 * What the host plants outside to see whether it is reached: listeners, files, queues, keys, a
 * terminal, a process that counts its signals. Each run of the client gets objects of its own, so
 * that whatever happens to them was done by that run.
 *
 * Every object is made for the measurement and removed by canary_fini(); nothing that was there
 * before is touched, and nothing leaves the loopback interface.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "testkit/probes.h"

#define CANARY_TOKEN 17 /* with the NUL */
#define CANARY_LISTENERS 11
#define CANARY_CONNECTIONS 16
#define CANARY_SIGNALS 4
#define CANARY_MAX_PROBES 512
#define CANARY_MAX_KEYS 64

/* Made once for a measurement: shared by all of its runs. */
struct ground {
	char root[64]; /* directory in a part of the host's tree that sandboxes can see */
	char tmp[64]; /* directory in /tmp */
	char client[96]; /* a copy of the client, where sandboxes can see it */
	char eye[96]; /* beside it: see eye.h */
	uint8_t secret[16]; /* tokens are made of it */
	int terminal_master, terminal_slave; /* the launcher's terminal, or -1 */
	uint32_t terminal_number; /* as TIOCGDEV says */
	char terminal_path[32];
	int32_t key; /* number of the canary key, 0: none */
	char key_name[32];
	char home[96]; /* what controls have for a home directory */
	char env_name[40];
	char mount_word[64]; /* a mount of the host's that sandboxes have no use for */
	int dir_fd, file_fd; /* left open on purpose, for launchers that leak */
	int inotify; /* one that no run has, or -1 */
	char **names; /* what runs called things in places that are not ours alone */
	key_t keys[CANARY_MAX_KEYS]; /* of their System V objects */
	size_t key_count;
	int locks[2]; /* of tmp and root: somebody is at work here */
	unsigned runs;
	bool made;
};

/* A stage of a run. Opaque parts are private to canary.c. */
struct canary_listener {
	int fd;
	bool stream;
};

struct canary_connection {
	int fd;
	size_t used;
	char line[96];
};

struct canary {
	struct ground *ground;
	char fence[20];
	char name[16]; /* what the client calls itself */
	char leave[24]; /* the name for things it leaves in shared places */
	char fresh[24]; /* the same for what a session leaves to the next */
	char directory[96], tmp[96], deny[96], scope[96], read[96];
	struct canary_listener listeners[CANARY_LISTENERS];
	struct canary_connection connections[CANARY_CONNECTIONS];
	int fifo, lock, inotify;
	int watches[8];
	int shm, msg, sem, mq; /* ids, -1: none */
	key_t ipc_key;
	uint16_t listen_port;
	int dial; /* a connection to the client's listener under way, or -1 */
	pid_t anchor; /* leads the process group that the launcher stands in */
	pid_t victim, companion; /* both of the client's user; the companion is in that group */
	struct victim_page *page; /* shared with victim and companion */
	bool bare; /* nothing is planted: there are neither */
	bool settled; /* they have counted all that was sent to them */
	bool victim_killed, companion_killed;
	uint32_t victim_limit;
	bool reached[CANARY_MAX_PROBES]; /* an event named this probe, by its place in the table */
	bool created[2]; /* inotify saw the "leave" names in /tmp and home */
	bool lock_taken, lock_sampled, traced, trace_sampled;
	char pushed[64], written[1024]; /* what came out of the terminal, at either end */
	size_t pushed_size, written_size;
	struct buf settings; /* what the client is told */
};

/* Makes the shared ground. parent: directory for the root, e.g. "/var/tmp". 0 or negative errno. */
int ground_init(struct ground *ground, const char *parent, const char *client, struct err *err);

/* Removes it with all that is left in it. Accepts a zeroed one. */
void ground_fini(struct ground *ground);

/* The token of a probe's canary, in out (CANARY_TOKEN bytes). Returns out. */
char *ground_token(const struct ground *ground, unsigned run, const char *id, char *out);

/* The key of the System V segment that sessions with this S name use. */
key_t canary_fresh_key(const char *fresh);

/* What a process that a session leaves for the next calls itself; title has room for 16. Returns it. */
const char *canary_fresh_title(const char *fresh, char *title);

/* The file that such a process locks. 0 or negative errno. */
int canary_make_fresh(const struct ground *ground, const char *fresh, struct err *err);

/* Removes what sessions left for one another under this S name in places of the host's. */
void canary_remove_fresh(const char *fresh);

/*
 * Plants the objects of one run. fresh: the name for S probes, shared by the sessions that are
 * compared. 0 or negative errno.
 */
int canary_init(struct canary *canary, struct ground *ground, const char *fresh, struct err *err);

/*
 * The same for a run that only leaves or keeps things of its own: names, and nothing is planted.
 * 0 or negative errno.
 */
int canary_init_bare(
	struct canary *canary, struct ground *ground, const char *fresh, struct err *err);

/*
 * When the client is known: makes victim and companion with its user, gives it its own files. uid and gid are
 * those the host sees. 0 or negative errno.
 */
int canary_meet(struct canary *canary, uid_t uid, gid_t gid, struct err *err);

/* Makes the process group that the launcher is put in. 0 or negative errno. */
int canary_company(struct canary *canary, struct err *err);

void canary_fini(struct canary *canary);

/* The descriptors to wait for; returns how many (at most CANARY_POLL). */
#define CANARY_POLL (CANARY_LISTENERS + CANARY_CONNECTIONS + 2)
struct pollfd;
size_t canary_poll(const struct canary *canary, struct pollfd *ret);

/* Serves whatever is ready, without blocking. */
void canary_serve(struct canary *canary);

/* Called when the named probe starts, while it runs and when it has ended: takes samples. */
void canary_sample(struct canary *canary, const char *probe);

/* Waits until victim and companion have taken in whatever signals were on their way to them. */
void canary_settle(struct canary *canary);

/* Did they, in time? Without that a count of none says nothing. */
bool canary_counted(const struct canary *canary);

/* What was counted; that one was killed counts too. */
unsigned canary_signals(const struct canary *canary, unsigned which);
unsigned canary_group_signals(const struct canary *canary);

/* Adds "set NAME VALUE" to the job. */
void canary_set(struct canary *canary, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The token the probe should bring back in this run. */
char *canary_token(const struct canary *canary, const char *id, char *out);
