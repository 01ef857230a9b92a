/*
 * What the probes of the client share: the job, the result, text without a C library.
 *
 * Nothing here allocates. A probe runs in a process of its own, forked for it, and writes its
 * result into memory shared with the parent; whatever it breaks is gone with it.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "testkit/client/sys.h"
#include "testkit/protocol.h"

/* What one probe has to say. Lives in shared memory. */
struct result {
	uint32_t claim; /* enum claim */
	int32_t error; /* errno for refused and absent */
	uint32_t size;
	char text[PROTOCOL_MAX_TEXT]; /* evidence: a token, a name, numbers */
};

struct client_probe {
	const char *id;
	void (*run)(struct result *result);
};

/* Tables of the probe files; each ends with a NULL id. */
extern const struct client_probe probes_net[], probes_files[], probes_exec[], probes_process[],
	probes_ipc[], probes_kernel[], probes_privilege[], probes_devices[], probes_resources[],
	probes_leaks[], probes_surface[], probes_regress[], probes_peers[], probes_channels[];

/* The value the host gave to a name, or "". */
const char *job_text(const char *name);
/* The same as a number, decimal; 0 when there is none. */
uint64_t job_number(const char *name);
/* True when the host gave it. */
bool job_has(const char *name);

/* The probe being run. */
extern const char *client_probe_id;

/* What more than one file tries: the row of doors.h that is called like the probe. */
void surface_door(struct result *result);
void surface_socket(struct result *result);
/* Makes the process that another session looks for; it lives as long as this one. */
void peer_start(void);
/* For that process: what it keeps (the token is what others must not learn), what it does all the time. */
void channel_keep(const char *token);
void channel_tick(const char *token);
/* "<wait> <last>" in ms: is busy with all processors from then on and for so long. Returns at once. */
void channel_load(const char *text);
/* Connects, says "<fence> <id>", brings the answer. */
void unix_exchange(struct result *result, const char *path, bool abstract, const char *id);

/* The path of this program, for probes that start it again. */
extern const char *client_path;
/* The environment as the kernel handed it over. */
extern char **client_env;
extern char **client_argv;

/* Results. */
void result_done(struct result *result, const char *text);
void result_done_bytes(struct result *result, const void *data, size_t size);
void result_add(struct result *result, const char *text);
void result_add_number(struct result *result, uint64_t number);
/* From a system call's answer: done (without text) when it is not negative. */
void result_from(struct result *result, long answer);
/* The thing tried does not exist here: no statement about confinement. */
void result_absent(struct result *result, long answer);

/* Text. Lengths count the room with the NUL; too long is cut. */
size_t text_length(const char *text);
bool text_same(const char *a, const char *b);
bool text_starts(const char *text, const char *prefix);
/* The first place of part in the size bytes of data, or NULL. */
const char *text_find(const char *data, size_t size, const char *part);
char *text_add(char *at, const char *end, const char *text);
char *text_add_number(char *at, const char *end, uint64_t number);
/* a followed by b in static memory of the caller; returns out. */
char *text_join(char *out, size_t size, const char *a, const char *b, const char *c);
uint64_t text_number(const char *text, const char **ret_end);

/* Files. */
long file_open(const char *path, int flags); /* adds O_CLOEXEC, mode 0600 */
/* Reads at most size - 1 bytes and terminates; the length or a negative errno. */
long file_read(const char *path, char *data, size_t size);
long file_write(const char *path, int flags, const char *text);

/* Sleeps. */
void pause_ms(unsigned ms);
uint64_t now_ms(void);

/* fork; the child has no timer of its own but dies with the probe. */
long process_fork(void);
/*
 * Is it a stream socket of this process? A kernel that decodes a call's number otherwise gives some
 * number too.
 */
bool is_stream_socket(long fd);

/* Waits for a child; its wait status or a negative errno. */
long process_wait(long pid);
__attribute__((noreturn)) void process_exit(int code);

/* The whole of a run, told to the host: "<fence> <id>", what canaries outside receive. */
const char *mark(const char *id);

void *memcpy(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);
int memcmp(const void *a, const void *b, size_t size);
void *memmove(void *to, const void *from, size_t size);
