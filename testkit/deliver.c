/*
 * Each rung is a row: where the client's path comes from, or what the shell there runs and what its
 * input begins with. Scripts are for any POSIX shell, find their tools by themselves and read exactly
 * what is theirs of the input, since the client reads on behind it.
 */
#include "testkit/deliver.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/proc.h"
#include "base/strv.h"
#include "cloche-config.h"
#include "testkit/protocol.h"
#include "testkit/run.h"
#include "testkit/ssh-attempt.h"

#define TRY_MS 15000 /* a login, a container that has to be made */
#define END_MS 3000
#define MAX_TALK (1U << 20)
#define LINE_BYTES 57 /* 76 digits: what every decoder of base64 takes */
#define MAX_CLIENT (8 << 20)
#define CLIENT_AT CLOCHE_LIBEXECDIR "/cloche-testkit-client"

/* What is sent: the client without what is not loaded. */
struct client {
	uint8_t *data;
	size_t size;
};

struct maker {
	struct target *target;
	const struct ground *ground;
	const struct deliver_options *options;
	struct client client;
	enum { SHELL_UNKNOWN, SHELL_NONE, SHELL_THERE } shell;
	char no_shell[300]; /* what was seen instead */
};

struct rung {
	const char *name;
	bool login; /* takes a server */
	/* Paths that may hold the client: each is tried as the command, without any shell's words. */
	int (*find)(struct maker *maker, char ***ret_paths);
	const char *script;
	void (*encode)(const struct client *client, struct buf *out);
};

/* ---- programs of ours ---- */

/* Its input ends, and so does whatever is well. Returns its exit status, or -1. */
static int end(struct ssh_program *program)
{
	int status = 0;
	bool ended = false;

	close_fdp(&program->in);
	ended = program->pidfd >= 0 && proc_wait(program->pidfd, END_MS, &status) == 0;
	if (!ended) {
		ssh_end(program, NULL);
		return -1;
	}
	close_fdp(&program->pidfd);
	close_fdp(&program->out);
	return proc_exit_code(status);
}

/* ---- paths ---- */

bool deliver_takes_path(const char *path)
{
	return path[0] == '/' &&
		path[strspn(path,
			"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
			"/._+-")] == '\0';
}

/* Where the system has it, and the copy among the canaries, which a login may see. */
static int find_present(struct maker *maker, char ***ret_paths)
{
	const char *const places[] = {maker->options->at, maker->ground->client, CLIENT_AT};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(places); i++) {
		if (places[i] && deliver_takes_path(places[i])) {
			r = strv_append(ret_paths, places[i]);
		}
	}
	return r;
}

/* What sftp says to a batch, in *ret, for the caller to free. */
static int run_batch(const struct target *target, const char *batch, char **ret)
{
	cleanup(strv_freep) char **words = ssh_sftp_words(target);
	const uint64_t until = io_now_usec() + TRY_MS * 1000;
	cleanup(buf_fini) struct buf out = {0};
	struct ssh_program program;
	int r = words ? ssh_start(words, false, &program) : -ENOMEM;

	if (r < 0) {
		return r;
	}
	(void)io_write_all(program.in, batch, strlen(batch));
	close_fdp(&program.in);
	while (io_now_usec() < until && out.size < MAX_TALK && !run_interrupted()) {
		struct pollfd wait = {.fd = program.out, .events = POLLIN};
		char data[4096];
		ssize_t n = poll(&wait, 1, 200) > 0 ? read(program.out, data, sizeof(data)) : -1;
		if (wait.revents && (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))) {
			break;
		}
		buf_put(&out, data, n > 0 ? (size_t)n : 0);
	}
	(void)end(&program);
	buf_put_u8(&out, 0);
	*ret = out.failed ? NULL : (char *)take_ptr(&out.data);
	return *ret ? 0 : -ENOMEM;
}

/* Puts a copy wherever it may lie; a place counts when its name is listed afterwards. */
static int find_by_sftp(struct maker *maker, char ***ret_paths)
{
	static const char *const places[] = {".", "/tmp", "/var/tmp", "/dev/shm"};
	cleanup(buf_fini) struct buf batch = {0};
	cleanup_free char *out = NULL;
	char *rest = NULL;
	uint8_t random[6];
	char hex[13];
	int r = 0;

	io_random(random, sizeof(random));
	(void)io_hex(random, sizeof(random), hex);
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		buf_printf(&batch, "-put %s %s/.ctk%s\n-chmod 700 %s/.ctk%s\n-ls -1 %s/.ctk%s\n",
			maker->ground->client, places[i], hex, places[i], hex, places[i], hex);
	}
	buf_put_u8(&batch, 0);
	if (batch.failed) {
		return -ENOMEM;
	}
	r = run_batch(maker->target, (const char *)batch.data, &out);
	rest = out;
	for (char *line = NULL; r == 0 && (line = strsep(&rest, "\r\n"));) {
		char wanted[64];
		for (size_t i = 0; r == 0 && i < ARRAY_SIZE(places); i++) {
			(void)snprintf(wanted, sizeof(wanted), "%s/.ctk%s", places[i], hex);
			if (strcmp(line, wanted) == 0) {
				r = strv_append(&maker->target->delivery.uploads, wanted);
				r = r < 0 ? r : strv_append(ret_paths, wanted);
			}
		}
	}
	return r;
}

static void remove_uploads(struct target *target)
{
	cleanup(buf_fini) struct buf batch = {0};
	cleanup_free char *out = NULL;

	STRV_FOREACH (path, target->delivery.uploads) {
		buf_printf(&batch, "-rm %s\n", *path);
	}
	buf_put_u8(&batch, 0);
	if (target->delivery.uploads && !batch.failed) {
		(void)run_batch(target, (const char *)batch.data, &out);
	}
	target->delivery.uploads = strv_free(target->delivery.uploads);
}

/* ---- scripts ---- */

/* A signal to the group is for others; see the client's proc_group(). */
#define BEGIN "trap '' USR1; p=; f=; trap 'rm -f \"$f\" \"$p\"' EXIT HUP TERM; "
#define PLACES "\"${HOME:-/tmp}\" /tmp /var/tmp /dev/shm /run ."

/* $p: a new file, in a place that files can be run from, as a short script of its own shows. */
#define NEW_FILE                                                                                   \
	"for d in " PLACES "; do p=$d/.ctk$$; "                                                    \
	"(umask 077; set -C; printf '#!/bin/sh\\nexit 42\\n' >\"$p\") 2>/dev/null "                \
	"|| { p=; continue; }; chmod 700 \"$p\"; \"$p\"; [ $? = 42 ] && break; "                   \
	"rm -f \"$p\"; p=; done; "                                                                 \
	"[ -n \"$p\" ] || { echo 'no place to run a file from' >&2; exit 126; }; "

/* The first $n bytes of the input. */
#define TAKE "{ head -c \"$n\" 2>/dev/null || dd bs=1 count=\"$n\" 2>/dev/null; }"

/* $t: the lines of the input until one that is a dot. The shell reads them itself. */
#define TAKE_LINES "t=; while IFS= read -r l && [ \"$l\" != . ]; do t=\"$t$l\n\"; done; "

#define RUN "[ -s \"$p\" ] || { echo 'nothing came' >&2; exit 126; }; \"$p\""

static const char cat_script[] = BEGIN NEW_FILE TAKE " >\"$p\"; " RUN;

static const char base64_script[] = BEGIN NEW_FILE TAKE_LINES
	"printf %s \"$t\" | { base64 -d || openssl base64 -d || "
	"busybox base64 -d || python3 -m base64 -d || "
	"perl -MMIME::Base64 -ne 'print decode_base64($_)'; } >\"$p\"; " RUN;

static const char printf_script[] = BEGIN NEW_FILE
	"while IFS= read -r l && [ \"$l\" != . ]; do printf \"$l\"; done >\"$p\"; " RUN;

/* A file in memory needs no place. Where /proc is missing it is started by its descriptor. */
static const char memfd_script[] =
	BEGIN "if command -v perl >/dev/null 2>&1; then perl -e 'use POSIX;my($n)=@ARGV;my $b=\"\";"
	      "while(length($b)<$n){sysread(STDIN,$b,$n-length($b),length($b))||exit 126}"
	      "my($m,$e)=(POSIX::uname())[4] eq \"aarch64\"?(279,281):(319,322);"
	      "my $x=\"ctk\";my $f=syscall($m,$x,0);$f>=0||exit 126;open(my $h,\">&=\",$f);"
	      "my $o=0;while($o<$n){$o+=syswrite($h,$b,$n-$o,$o)}"
	      "exec {\"/proc/self/fd/$f\"} \"client\" if -e \"/proc/self/fd/$f\";"
	      "my $s=\"client\";my $v=pack(\"pQ\",$s,0);my $z=pack(\"Q\",0);"
	      "syscall($e,$f,\"\",$v,$z,4096);exit 126' \"$n\"; "
	      "elif command -v python3 >/dev/null 2>&1; then python3 -c 'import os,sys\n"
	      "n=int(sys.argv[1])\nb=b\"\"\nwhile len(b)<n:\n d=os.read(0,n-len(b))\n"
	      " d or sys.exit(126)\n b+=d\nm=os.memfd_create(\"ctk\",0)\no=0\n"
	      "while o<n:\n o+=os.write(m,b[o:])\n"
	      "os.execve(m,[\"client\"],os.environ)' \"$n\"; "
	      "else echo 'neither perl nor python3' >&2; exit 127; fi";

/* A file that may not be run itself: the dynamic linker maps it. */
static const char linker_script[] =
	BEGIN "for l in /lib64/ld-linux-x86-64.so.2 /lib/ld-linux-aarch64.so.1; do "
	      "[ -x \"$l\" ] && break; done; for d in " PLACES "; do p=$d/.ctk$$; "
	      "(umask 077; set -C; : >\"$p\") 2>/dev/null || continue; "
	      "if [ -z \"$f\" ]; then f=$p; " TAKE " >\"$f\"; else cat \"$f\" >\"$p\"; fi; "
	      "\"$l\" \"$p\" exec; [ $? = 42 ] && break; "
	      "[ \"$p\" = \"$f\" ] || rm -f \"$p\"; done; \"$l\" \"$p\"";

/* ---- what they read ---- */

static void encode_binary(const struct client *client, struct buf *out)
{
	buf_put(out, client->data, client->size);
}

static void encode_base64(const struct client *client, struct buf *out)
{
	char line[LINE_BYTES * 2];

	for (size_t at = 0; at < client->size; at += LINE_BYTES) {
		size_t left = client->size - at;
		(void)sodium_bin2base64(line, sizeof(line), client->data + at,
			left < LINE_BYTES ? left : LINE_BYTES, sodium_base64_VARIANT_ORIGINAL);
		buf_printf(out, "%s\n", line);
	}
	buf_put(out, ".\n", 2);
}

/* Formats for printf(1): letters and digits stand for themselves. */
static void encode_printf(const struct client *client, struct buf *out)
{
	for (size_t i = 0; i < client->size; i++) {
		uint8_t c = client->data[i];
		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) {
			buf_put_u8(out, c);
		} else {
			buf_printf(out, "\\%03o", c);
		}
		if (i % LINE_BYTES == LINE_BYTES - 1) {
			buf_put_u8(out, '\n');
		}
	}
	buf_put(out, "\n.\n", 3);
}

static const struct rung rungs[] = {
	{"present", false, find_present, NULL, NULL},
	{"sftp", true, find_by_sftp, NULL, NULL},
	{"cat", false, NULL, cat_script, encode_binary},
	{"base64", false, NULL, base64_script, encode_base64},
	{"printf", false, NULL, printf_script, encode_printf},
	{"memfd", false, NULL, memfd_script, encode_binary},
	{"ld.so", false, NULL, linker_script, encode_binary},
};

bool deliver_knows(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(rungs); i++) {
		if (strcmp(rungs[i].name, name) == 0) {
			return true;
		}
	}
	return false;
}

char *deliver_names(char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(rungs) && used < size; i++) {
		used += (size_t)snprintf(
			text + used, size - used, "%s%s", i ? ", " : "", rungs[i].name);
	}
	return text;
}

/* What stands behind the last segment, symbols above all, is not sent, and its table not named. */
static int read_client(const struct ground *ground, struct client *ret, struct err *err)
{
	Elf64_Ehdr *head = NULL;
	char *data = NULL;
	size_t size = 0;
	uint64_t end = 0;
	int r = io_read_file(AT_FDCWD, ground->client, MAX_CLIENT, &data, &size);

	if (r < 0) {
		return err_set(err, -r, "reading %s", ground->client);
	}
	*ret = (struct client){(uint8_t *)data, size};
	head = (Elf64_Ehdr *)(void *)data;
	if (size < sizeof(*head) || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 ||
		head->e_ident[EI_CLASS] != ELFCLASS64 || head->e_phentsize != sizeof(Elf64_Phdr) ||
		head->e_phoff % 8 != 0 || head->e_phoff > size ||
		(size - head->e_phoff) / sizeof(Elf64_Phdr) < head->e_phnum) {
		return 0; /* some other program, by --client: as it is */
	}
	const Elf64_Phdr *segments = (const Elf64_Phdr *)(void *)(data + head->e_phoff);
	end = head->e_phoff + head->e_phnum * sizeof(*segments);
	for (unsigned i = 0; i < head->e_phnum; i++) {
		uint64_t to = segments[i].p_offset + segments[i].p_filesz;
		end = to > end ? to : end;
	}
	if (end < size) {
		head->e_shoff = 0;
		head->e_shnum = head->e_shstrndx = 0;
		ret->size = end;
	}
	return 0;
}

/* ---- one try ---- */

struct talk {
	const char *fence;
	bool up; /* a client greeted, or what only stays has said so */
	struct protocol_stream stream;
	size_t size;
	char last[120]; /* line of something else */
};

static int take_line(const char *text, size_t size, void *context)
{
	struct talk *talk = context;
	struct protocol_line line;

	if (protocol_parse(text, size, talk->fence, &line) > 0) {
		talk->up |= line.kind == PROTOCOL_HELLO;
	} else if (size == strlen(DELIVER_STAYS) && memcmp(text, DELIVER_STAYS, size) == 0) {
		talk->up = true;
	} else if (size > 0) {
		(void)snprintf(talk->last, sizeof(talk->last), "%.*s", (int)size, text);
	}
	return 0;
}

/* Sends and listens at once: a terminal in between sends all back. */
static void converse(
	const struct ssh_program *program, const uint8_t *input, size_t size, struct talk *talk)
{
	const uint64_t until = io_now_usec() + TRY_MS * 1000;
	bool open = true;

	while (open && !talk->up && talk->size < MAX_TALK && io_now_usec() < until &&
		!run_interrupted()) {
		struct pollfd fds[] = {{.fd = program->out, .events = POLLIN},
			{.fd = size > 0 ? program->in : -1, .events = POLLOUT}};
		char data[16384];
		(void)poll(fds, ARRAY_SIZE(fds), 200);
		if (fds[1].revents) {
			ssize_t n = write(program->in, input, size);
			bool gone = n < 0 && errno != EAGAIN && errno != EINTR;
			size = gone ? 0 : size - (n > 0 ? (size_t)n : 0);
			input += n > 0 ? n : 0;
		}
		if (fds[0].revents) {
			ssize_t n = read(program->out, data, sizeof(data));
			open = n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
			talk->size += n > 0 ? (size_t)n : 0;
			(void)protocol_feed(
				&talk->stream, data, n > 0 ? (size_t)n : 0, take_line, talk);
		}
	}
}

static void explain(const struct talk *talk, bool late, int code, char *why, size_t size)
{
	int used = 0;

	if (!late) {
		used = snprintf(why, size, "exit status %d", code);
	} else {
		used = snprintf(why, size, "no greeting in %d s", TRY_MS / 1000);
	}
	if (talk->last[0] && (size_t)used < size) {
		(void)snprintf(why + used, size - (size_t)used, ", %.*s",
			(int)strcspn(talk->last, "\r"), talk->last);
	}
}

/* Does a client come up, or what stays in its place? why: what was seen instead. */
static bool comes_up(const struct maker *maker, char *why, size_t size)
{
	const struct delivery *delivery = &maker->target->delivery;
	cleanup(strv_freep) char **words = NULL;
	cleanup(buf_fini) struct buf input = {0};
	struct ssh_program program;
	struct talk talk = {0};
	uint8_t random[8];
	char fence[17];
	int code = 0;

	io_random(random, sizeof(random));
	talk.fence = io_hex(random, sizeof(random), fence);
	buf_put(&input, delivery->input, delivery->size);
	buf_printf(&input, "set fence %s\nset name cf%.12s\nhello\n", fence, fence);
	if (input.failed || target_words(maker->target, maker->ground, &words) < 0 ||
		ssh_start(words, true, &program) < 0) {
		(void)snprintf(why, size, "it could not be started");
		return false;
	}
	(void)io_set_nonblocking(program.in, true);
	uint64_t began = io_now_usec();
	converse(&program, input.data, input.size, &talk);
	bool late = io_now_usec() - began >= TRY_MS * 1000;
	code = end(&program);
	explain(&talk, late, code, why, size);
	return talk.up;
}

/* ---- the ladder ---- */

static int set_command(struct delivery *delivery, const char *command, struct buf *input)
{
	free(delivery->command);
	free(delivery->input);
	delivery->input = NULL;
	delivery->size = 0;
	delivery->command = strdup(command);
	if (!delivery->command || (input && input->failed)) {
		return -ENOMEM;
	}
	if (input) {
		delivery->input = take_ptr(&input->data);
		delivery->size = input->size;
	}
	return 0;
}

/* 1: it works; 0: it does not, and *why says so; or negative errno. */
static int try_paths(struct maker *maker, const struct rung *rung, char *why, size_t size)
{
	cleanup(strv_freep) char **paths = NULL;
	int r = rung->find(maker, &paths);

	(void)snprintf(why, size, "no place has it");
	STRV_FOREACH (path, paths) {
		char seen[300];
		r = r < 0 ? r : set_command(&maker->target->delivery, *path, NULL);
		if (r < 0) {
			return r;
		}
		if (comes_up(maker, seen, sizeof(seen))) {
			return 1;
		}
		(void)snprintf(why, size, "%s: %s", *path, seen);
	}
	return r;
}

static int try_script(struct maker *maker, const struct rung *rung, char *why, size_t size)
{
	cleanup(buf_fini) struct buf input = {0};
	cleanup_free char *command = NULL;
	int r = 0;

	rung->encode(&maker->client, &input);
	if (asprintf(&command, "n=%zu; %s", maker->client.size, rung->script) < 0) {
		command = NULL;
		return -ENOMEM;
	}
	r = set_command(&maker->target->delivery, command, &input);
	return r < 0 ? r : comes_up(maker, why, size);
}

/* Is there a shell? Leaves the target running what only stays. */
static int look_for_shell(struct maker *maker)
{
	int r = set_command(&maker->target->delivery, "echo " DELIVER_STAYS "; read -r l", NULL);

	if (r == 0 && maker->shell == SHELL_UNKNOWN) {
		maker->shell = comes_up(maker, maker->no_shell, sizeof(maker->no_shell))
			? SHELL_THERE
			: SHELL_NONE;
	}
	return r;
}

/* 1: it works; 0: it does not, and *why says so; or negative errno. */
static int try_rung(struct maker *maker, const struct rung *rung, char *why, size_t size)
{
	int r = 0;

	if (rung->find) {
		return try_paths(maker, rung, why, size);
	}
	if (maker->shell != SHELL_NONE) {
		r = try_script(maker, rung, why, size);
		r = r == 0 ? look_for_shell(maker) : r;
	}
	if (maker->shell == SHELL_NONE) {
		(void)snprintf(why, size, "no shell: %s", maker->no_shell);
	}
	return r;
}

/* Nobody who could tell: a shell that waits, or what answers to the first message of sftp. */
static int stay(struct maker *maker)
{
	static const uint8_t greeting[] = {0, 0, 0, 5, 1, 0, 0, 0, 3};
	struct delivery *delivery = &maker->target->delivery;
	int r = look_for_shell(maker);

	if (r < 0 || maker->shell == SHELL_THERE || maker->target->kind != TARGET_SSH) {
		return r;
	}
	free(take_ptr(&delivery->command));
	delivery->input = malloc(sizeof(greeting));
	if (!delivery->input) {
		return -ENOMEM;
	}
	memcpy(delivery->input, greeting, sizeof(greeting));
	delivery->size = sizeof(greeting);
	return 0;
}

static int climb(struct maker *maker, struct err *err)
{
	struct delivery *delivery = &maker->target->delivery;
	const char *only = maker->options->only;
	bool login = maker->target->kind == TARGET_SSH;
	char why[400];
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(rungs) && !run_interrupted(); i++) {
		const struct rung *rung = &rungs[i];
		if ((only && strcmp(only, rung->name) != 0) || (rung->login && !login)) {
			continue;
		}
		r = try_rung(maker, rung, why, sizeof(why));
		if (r > 0) {
			delivery->rung = rung->name;
			return 0;
		}
		r = r < 0 ? r : strv_appendf(&delivery->failures, "%s: %s", rung->name, why);
		if (r < 0) {
			return err_set(err, -r, "bringing the client there");
		}
	}
	if (run_interrupted()) {
		return err_refuse(err, EINTR, "interrupted");
	}
	r = stay(maker);
	return r < 0 ? err_set(err, -r, "bringing the client there") : 0;
}

bool deliver_is_needed(const struct target *target)
{
	bool found = target->kind == TARGET_SSH;

	STRV_FOREACH (word, target->argv) {
		found |= target->kind == TARGET_EXEC && strstr(*word, "{shell}");
	}
	return found;
}

int deliver_client(struct target *target, const struct ground *ground,
	const struct deliver_options *options, struct err *err)
{
	struct maker maker = {.target = target, .ground = ground, .options = options};
	int r = read_client(ground, &maker.client, err);

	r = r < 0 ? r : climb(&maker, err);
	free(maker.client.data);
	return r;
}

void deliver_fini(struct target *target)
{
	struct delivery *delivery = &target->delivery;

	remove_uploads(target);
	free(delivery->command);
	free(delivery->input);
	delivery->failures = strv_free(delivery->failures);
	*delivery = (struct delivery){0};
}
