/*
 * The part that runs inside: tries what the host asks for and says what became of it.
 *
 * It has no C library, no heap, no threads and opens nothing it was not told to. It reads its job
 * from standard input and writes to standard output; arguments and environment carry no secret.
 * Each probe runs in a child with a timer, so one that hangs, crashes or is killed costs one line.
 *
 * Started again by its own exec probes it gets a word as first argument and only proves that it
 * runs.
 */
#include "testkit/client/client.h"

#include <linux/mman.h>
#include <linux/time_types.h>

#define MAX_SETTINGS 160
#define MAX_RUNS 512
#define INPUT_SIZE 32768

#define CLIENT_TERMIOS_SIZE 64
#define CLIENT_ECHO_BITS 0xaU /* ECHO | ICANON */

struct setting {
	const char *name, *value;
};

static struct {
	char input[INPUT_SIZE]; /* the job as it came; settings point into it */
	size_t used, taken;
	struct setting settings[MAX_SETTINGS];
	size_t setting_count;
	const char *runs[MAX_RUNS];
	size_t run_count;
	uint32_t sequence;
	struct result *result; /* shared with the probe's child */
} client;

const char *client_path = "";
const char *client_probe_id = "";
char **client_env;
char **client_argv;

static const struct client_probe *const probe_tables[] = {probes_net, probes_files, probes_exec,
	probes_process, probes_ipc, probes_kernel, probes_privilege, probes_devices,
	probes_resources, probes_leaks, probes_surface, probes_regress, probes_peers,
	probes_channels};

const char *job_text(const char *name)
{
	for (size_t i = 0; i < client.setting_count; i++) {
		if (text_same(client.settings[i].name, name)) {
			return client.settings[i].value;
		}
	}
	return "";
}

bool job_has(const char *name)
{
	return *job_text(name) != '\0';
}

uint64_t job_number(const char *name)
{
	return text_number(job_text(name), NULL);
}

const char *mark(const char *id)
{
	static char text[PROTOCOL_MAX_FENCE + PROTOCOL_MAX_ID + 4];

	return text_join(text, sizeof(text), job_text("fence"), " ", id);
}

static void write_all(const char *data, size_t size)
{
	while (size > 0) {
		long n = sys(SYS_write, 1, data, size);
		if (n == -EINTR || n == -EAGAIN) {
			continue;
		}
		if (n <= 0) {
			process_exit(3); /* nobody listens any more */
		}
		data += n;
		size -= (size_t)n;
	}
}

static char *add_hex(char *at, const char *end, const char *data, size_t size)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < size && at + 3 < end; i++) {
		*at++ = digits[(uint8_t)data[i] >> 4];
		*at++ = digits[(uint8_t)data[i] & 15];
	}
	*at = '\0';
	return at;
}

/* Fences one line: body is the kind and its fields. */
static void say(const char *body)
{
	static char line[PROTOCOL_MAX_LINE];
	const char *end = line + sizeof(line);
	char *at = text_add(line, end, "@");
	uint32_t sum = 0;
	char bytes[4];

	at = text_add(at, end, job_text("fence"));
	at = text_add(at, end, " ");
	at = text_add_number(at, end, client.sequence++);
	at = text_add(at, end, " ");
	at = text_add(at, end, body);
	sum = protocol_checksum(line, (size_t)(at - line));
	for (int i = 0; i < 4; i++) {
		bytes[i] = (char)(sum >> (24 - 8 * i));
	}
	at = text_add(at, end, " *");
	at = add_hex(at, end, bytes, sizeof(bytes));
	at = text_add(at, end, "\n");
	write_all(line, (size_t)(at - line));
}

static void say_hello(void)
{
	char body[96];
	const char *end = body + sizeof(body);
	char *at = text_add(body, end, "hello ");

	at = text_add_number(at, end, (uint64_t)sys(SYS_getpid));
	at = text_add(at, end, " ");
	at = text_add_number(at, end, (uint64_t)sys(SYS_getuid));
	at = text_add(at, end, " ");
	(void)text_add_number(at, end, (uint64_t)sys(SYS_getgid));
	say(body);
}

static void say_result(const char *id, const struct result *result)
{
	static char body[PROTOCOL_MAX_LINE - 128];
	static const char *const names[CLAIM_COUNT] = {
		"not-run", "done", "refused", "absent", "killed", "timeout"};
	const char *end = body + sizeof(body);
	uint32_t claim = result->claim < CLAIM_COUNT ? result->claim : CLAIM_NOT_RUN;
	size_t size = result->size <= sizeof(result->text) ? result->size : 0;
	char *at = text_add(body, end, "result ");

	at = text_add(at, end, id);
	at = text_add(at, end, " ");
	at = text_add(at, end, names[claim]);
	at = text_add(at, end, " ");
	at = text_add_number(at, end, (uint64_t)(result->error < 0 ? 0 : result->error));
	at = text_add(at, end, " ");
	(void)(size ? add_hex(at, end, result->text, size) : text_add(at, end, "-"));
	say(body);
}

/* The next line of the job, without its end; NULL when the host went away. */
static char *next_line(void)
{
	for (;;) {
		char *start = client.input + client.taken;
		for (size_t i = client.taken; i < client.used; i++) {
			if (client.input[i] != '\n' && client.input[i] != '\r') {
				continue;
			}
			client.input[i] = '\0';
			client.taken = i + 1;
			if (start != client.input + i) {
				return start;
			}
			start = client.input + i + 1;
		}
		if (client.used + 1 >= sizeof(client.input)) {
			return NULL;
		}
		long n = sys(SYS_read, 0, client.input + client.used,
			sizeof(client.input) - 1 - client.used);
		if (n == -EINTR) {
			continue;
		}
		if (n <= 0) {
			return NULL;
		}
		client.used += (size_t)n;
	}
}

/* A later one of the same name takes the place of the earlier; an empty value takes it back. */
static void take_setting(char *text)
{
	char *value = text;

	while (*value && *value != ' ') {
		value++;
	}
	if (!*value) {
		return;
	}
	*value++ = '\0';
	for (size_t i = 0; i < client.setting_count; i++) {
		if (text_same(client.settings[i].name, text)) {
			client.settings[i].value = value;
			return;
		}
	}
	if (client.setting_count < MAX_SETTINGS) {
		client.settings[client.setting_count++] = (struct setting){text, value};
	}
}

/* Reads until the word. False: the host went away. */
static bool read_job(const char *until)
{
	char *line = NULL;

	while ((line = next_line())) {
		if (text_same(line, until)) {
			return true;
		}
		if (text_starts(line, "set ")) {
			take_setting(line + 4);
		} else if (text_starts(line, "run ") && client.run_count < MAX_RUNS) {
			client.runs[client.run_count++] = line + 4;
		}
	}
	return false;
}

static const struct client_probe *find_probe(const char *id)
{
	for (size_t t = 0; t < sizeof(probe_tables) / sizeof(probe_tables[0]); t++) {
		for (const struct client_probe *probe = probe_tables[t]; probe->id; probe++) {
			if (text_same(probe->id, id)) {
				return probe;
			}
		}
	}
	return NULL;
}

/* The timer of a probe is the kernel's: SIGALRM, whose default ends the process. */
static void set_timer(uint64_t ms)
{
	long spec[4] = {0, 0, (long)(ms / 1000), (long)(ms % 1000 * 1000)};

	(void)sys(SYS_setitimer, 0, spec, NULL);
}

static void run_in_child(const struct client_probe *probe, uint64_t ms)
{
	set_timer(ms);
	probe->run(client.result);
	process_exit(0);
}

static void run_probe(const char *id)
{
	const struct client_probe *probe = find_probe(id);
	struct result *result = client.result;
	char body[PROTOCOL_MAX_ID + 16];
	long pid = 0;
	long status = 0;

	say(text_join(body, sizeof(body), "start ", id, ""));
	memset(result, 0, sizeof(*result));
	client_probe_id = id;
	if (probe) {
		pid = process_fork();
		if (pid == 0) {
			uint64_t ms = job_number("timeout");
			run_in_child(probe, ms ? ms : 2000);
		}
		status = pid < 0 ? pid : process_wait(pid);
		if (status < 0) {
			result->claim = CLAIM_NOT_RUN;
			result->error = (int32_t)-status;
		} else if ((status & 127) != 0 && result->claim == CLAIM_NOT_RUN) {
			result->claim = (status & 127) == 14 ? CLAIM_TIMEOUT : CLAIM_KILLED;
			result->error = (int32_t)(status & 127);
		}
	}
	say_result(id, result);
}

/* A terminal would send our job back to us and cut it at 4096 bytes. */
static void quiet_terminal(void)
{
	uint32_t termios[CLIENT_TERMIOS_SIZE / 4] = {0};

	if (sys(SYS_ioctl, 0, 0x5401 /* TCGETS */, termios) == 0) {
		termios[3] &= ~CLIENT_ECHO_BITS;
		(void)sys(SYS_ioctl, 0, 0x5402 /* TCSETS */, termios);
	}
}

/* Until the host has looked: it closes our input or says a last word. Meanwhile it may want a load. */
static void stay(void)
{
	char *line = NULL;

	while ((line = next_line()) && !text_same(line, "bye")) {
		if (text_starts(line, "load ")) {
			channel_load(line + 5);
		}
	}
}

static int drive(void)
{
	static const long ignore[4] = {1 /* SIG_IGN */, 0, 0, 0};
	char body[32];

	(void)sys(SYS_rt_sigaction, 10 /* SIGUSR1, see proc_group() */, ignore, NULL, 8);
	client.result = (struct result *)sys(SYS_mmap, NULL, sizeof(*client.result),
		PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if ((uintptr_t)client.result > (uintptr_t)-4096) {
		return 4;
	}
	quiet_terminal();
	if (!read_job("hello")) {
		return 2;
	}
	(void)sys(SYS_prctl, 15 /* PR_SET_NAME */, job_text("name"), 0, 0, 0);
	say_hello();
	if (!read_job("go")) {
		return 2;
	}
	if (job_has("hold")) {
		peer_start();
	}
	for (size_t i = 0; i < client.run_count; i++) {
		run_probe(client.runs[i]);
	}
	char *at = text_add(body, body + sizeof(body), "end ");
	(void)text_add_number(at, body + sizeof(body), client.run_count);
	say(body);
	stay();
	return 0;
}

static int list_probes(void)
{
	for (size_t t = 0; t < sizeof(probe_tables) / sizeof(probe_tables[0]); t++) {
		for (const struct client_probe *probe = probe_tables[t]; probe->id; probe++) {
			write_all(probe->id, text_length(probe->id));
			write_all("\n", 1);
		}
	}
	return 0;
}

/*
 * Started by an exec probe. "exec" proves that we run; "euid" tells who we are through the exit
 * code's bit: 42 the same user as real, 43 another.
 */
static int answer(const char *word)
{
	if (text_same(word, "exec")) {
		return 42;
	}
	if (text_same(word, "euid")) {
		return sys(SYS_getuid) == sys(SYS_geteuid) ? 42 : 43;
	}
	if (text_same(word, "wait")) {
		pause_ms(60000);
		return 0;
	}
	return text_same(word, "--list") ? list_probes() : 2;
}

/* Called by _start alone. */
__attribute__((noreturn)) void client_entry(long *stack);

__attribute__((used)) void client_entry(long *stack)
{
	long count = stack[0];
	char **env = (char **)(stack + count + 2);

	client_argv = (char **)(stack + 1);
	client_path = count > 0 ? client_argv[0] : "";
	client_env = env;
	/* How the kernel found us is better than what the launcher called us (AT_EXECFN, 31). */
	while (*env) {
		env++;
	}
	for (unsigned long *aux = (unsigned long *)(env + 1); aux[0]; aux += 2) {
		if (aux[0] == 31) {
			client_path = (const char *)aux[1];
		}
	}
	process_exit(count > 1 ? answer(client_argv[1]) : drive());
}

#if defined(__x86_64__)
__asm__(".globl _start\n"
	"_start:\n"
	"	xor %ebp, %ebp\n"
	"	mov %rsp, %rdi\n"
	"	and $-16, %rsp\n"
	"	call client_entry\n");
#elif defined(__aarch64__)
__asm__(".globl _start\n"
	"_start:\n"
	"	mov x29, #0\n"
	"	mov x30, #0\n"
	"	mov x0, sp\n"
	"	bl client_entry\n");
#endif
