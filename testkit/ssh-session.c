/*
 * What a session is given, and what it may bring along: agent, display, variables, a terminal, sftp.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/strv.h"
#include "testkit/ssh-attempt.h"

#define MIB (UINT64_C(1) << 20)
#define OWN_SIZE 160 /* of the path of a file of ours */

void ssh_try_agent(struct ssh_attempt *attempt)
{
	char path[108] = "";
	char option[] = "-A";
	char *options[] = {option, NULL};
	cleanup_free char *before =
		getenv("SSH_AUTH_SOCK") ? strdup(getenv("SSH_AUTH_SOCK")) : NULL;

	(void)ssh_setting(attempt, "unix.path", path, sizeof(path));
	(void)setenv("SSH_AUTH_SOCK", path, 1);
	(void)ssh_run_command(attempt, options, "echo \"$SSH_AUTH_SOCK\"; sleep 0.2", false);
	(void)(before ? setenv("SSH_AUTH_SOCK", before, 1) : unsetenv("SSH_AUTH_SOCK"));
	ssh_cut_line(attempt);
	ssh_claim(attempt, attempt->out && attempt->out[0] == '/');
	/* The server's socket is gone with the session; its directory's name says where it was. */
	ssh_say(attempt, "%.120s", attempt->out ? attempt->out : "");
}

void ssh_try_x11(struct ssh_attempt *attempt)
{
	char option[] = "-Y";
	char *options[] = {option, NULL};

	(void)setenv("DISPLAY", "127.0.0.1:99", 1);
	(void)ssh_run_command(attempt, options, "echo \"$DISPLAY\"", false);
	(void)unsetenv("DISPLAY");
	ssh_cut_line(attempt);
	ssh_claim(attempt, attempt->out && attempt->out[0] != '\0');
	ssh_say(attempt, "%.120s", attempt->out ? attempt->out : "");
}

/* A variable that a loader, a shell or a program would act upon, set by the client. */
void ssh_try_environment(struct ssh_attempt *attempt)
{
	char token[CANARY_TOKEN];
	char option[96];
	char *options[] = {option, NULL};

	(void)canary_token(attempt->canary, attempt->probe->id, token);
	(void)snprintf(option, sizeof(option), "-oSetEnv=BASH_ENV=/nonexistent/%s", token);
	(void)setenv("BASH_ENV", option + strlen("-oSetEnv=BASH_ENV="), 1);
	if (!ssh_is_control(attempt)) {
		(void)unsetenv("BASH_ENV");
	}
	(void)ssh_run_command(attempt, options, "echo \"is $BASH_ENV\"", false);
	(void)unsetenv("BASH_ENV");
	ssh_claim(attempt, attempt->out && strstr(attempt->out, token));
	if (attempt->out && strncmp(attempt->out, "is ", 3) == 0) {
		ssh_conclude(attempt, strstr(attempt->out, token) != NULL, LEVEL_TOKEN);
	}
}

void ssh_try_status(struct ssh_attempt *attempt)
{
	(void)ssh_run_command(attempt, NULL, "exit 7", false);
	ssh_claim(attempt, attempt->code == 7);
	ssh_conclude(attempt, attempt->code == 7, LEVEL_EVENT);
	ssh_say(attempt, "exit code %d of 7", attempt->code);
}

/* ssh tells of the message in its own log, and ends as if nothing had been said. */
void ssh_try_exit_signal(struct ssh_attempt *attempt)
{
	static char verbose[] = "-oLogLevel=DEBUG1";
	char *const options[] = {verbose, NULL};
	const bool control = ssh_is_control(attempt);

	(void)ssh_run_command(attempt, options,
		control ? "sh -c 'kill -KILL $$'; echo code $?" : "kill -KILL $$", true);
	bool told =
		attempt->out && strstr(attempt->out, control ? "code 137" : "rtype exit-signal");
	ssh_claim(attempt, told);
	ssh_conclude(attempt, told, LEVEL_TOKEN);
	ssh_say(attempt, "%s", told ? "told" : "ended by a signal, and nobody said so");
}

void ssh_try_streams(struct ssh_attempt *attempt)
{
	(void)ssh_run_command(attempt, NULL,
		"head -c 1048576 /dev/zero; head -c 1048576 /dev/zero >&2; exit 3", true);
	bool whole = attempt->size == 2 * MIB && attempt->code == 3;
	ssh_claim(attempt, whole);
	ssh_conclude(attempt, whole, LEVEL_EVENT);
	ssh_say(attempt, "%zu of %" PRIu64 " bytes, exit code %d", attempt->size, 2 * MIB,
		attempt->code);
}

/* Its terminal must belong to a devpts of its own. */
void ssh_try_terminal(struct ssh_attempt *attempt)
{
	char option[] = "-tt";
	char *options[] = {option, NULL};
	struct stat info;
	unsigned long long device = 0;

	if (stat("/dev/pts/ptmx", &info) < 0) {
		return;
	}
	if (ssh_is_control(attempt)) {
		struct stat own;
		bool there = stat(attempt->canary->ground->terminal_path, &own) == 0;
		ssh_claim(attempt, there);
		ssh_conclude(attempt, there && own.st_dev == info.st_dev, LEVEL_STATE);
		return;
	}
	(void)ssh_run_command(attempt, options, "echo pts=$(stat -c %d \"$(tty)\")=", false);
	const char *at = attempt->out ? strstr(attempt->out, "pts=") : NULL;
	bool found = at && sscanf(at, "pts=%llu=", &device) == 1;
	ssh_claim(attempt, found && device == info.st_dev);
	if (found) {
		ssh_conclude(attempt, device == info.st_dev, LEVEL_TOKEN);
		ssh_say(attempt, "device %llu, the host's is %llu", device,
			(unsigned long long)info.st_dev);
	}
}

/*
 * One session writes to the terminal of another, by its path, and only where that is the very same
 * object: no terminal but the one we are connected to can be meant.
 */
static void write_to_terminal(struct ssh_attempt *attempt, const char *path,
	unsigned long long device, unsigned long long inode, const char *token)
{
	char command[320];

	(void)snprintf(command, sizeof(command),
		"[ \"$(stat -c %%d:%%i %s 2>/dev/null)\" = %llu:%llu ] && echo %s >%s && echo "
		"wrote; "
		"echo tried",
		path, device, inode, token, path);
	(void)ssh_run_command(attempt, NULL, command, false);
	ssh_claim(attempt, attempt->out && strstr(attempt->out, "wrote"));
}

/* What one reads who is at the other end of that terminal. */
static void conclude_terminal(
	struct ssh_attempt *attempt, const struct ssh_program *terminal, const char *token)
{
	const bool tried = attempt->out && strstr(attempt->out, "tried");

	ssh_forget(attempt);
	ssh_read(attempt, terminal, token, attempt->outcome->claim == CLAIM_DONE ? 2000 : 50);
	if (tried) {
		ssh_conclude(attempt, attempt->out && strstr(attempt->out, token), LEVEL_EVENT);
	}
}

/* A terminal of our own stands for that of another session. */
static void try_own_terminal(struct ssh_attempt *attempt, const char *token)
{
	cleanup_close int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	const struct ssh_program terminal = {-1, master, -1, 0};
	char path[64];
	struct stat info;

	if (master < 0 || unlockpt(master) < 0 || ptsname_r(master, path, sizeof(path)) != 0) {
		return;
	}
	/* While nobody has the other end open there is nothing to read from. */
	cleanup_close int slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave >= 0 && fstat(slave, &info) == 0) {
		write_to_terminal(attempt, path, info.st_dev, info.st_ino, token);
		conclude_terminal(attempt, &terminal, token);
	}
}

void ssh_try_terminal_other(struct ssh_attempt *attempt)
{
	static char force[] = "-tt";
	char *const options[] = {force, NULL};
	const struct ssh_wish wish = {
		.options = options, .before = "echo \"tty=$(tty)=$(stat -c %d:%i \"$(tty)\")=\";"};
	char token[CANARY_TOKEN];
	char path[64] = "";
	unsigned long long device = 0;
	unsigned long long inode = 0;
	struct ssh_visit visit;

	(void)canary_token(attempt->canary, attempt->probe->id, token);
	if (ssh_is_control(attempt)) {
		try_own_terminal(attempt, token);
		return;
	}
	(void)ssh_visit(attempt, &wish, &visit);
	const char *at = attempt->out ? strstr(attempt->out, "tty=/dev/") : NULL;
	if (at && sscanf(at, "tty=%63[a-z0-9/]=%llu:%llu=", path, &device, &inode) == 3) {
		write_to_terminal(attempt, path, device, inode, token);
		conclude_terminal(attempt, &visit.program, token);
		ssh_say(attempt, "%s", path);
	} else {
		ssh_decline(attempt, "no terminal was given, or there is no stat(1) to ask which");
	}
	ssh_leave(&visit);
}

/* Has the server's sftp get a file of the host's; the control reads it itself. own is where it is then. */
static void get_file(struct ssh_attempt *attempt, const char *path, char own[static OWN_SIZE])
{
	char batch[400];
	cleanup(strv_freep) char **words = NULL;

	if (ssh_is_control(attempt)) {
		(void)snprintf(own, OWN_SIZE, "%s", path);
		return;
	}
	(void)snprintf(own, OWN_SIZE, "%s/%s", attempt->canary->tmp, attempt->probe->id);
	(void)snprintf(batch, sizeof(batch), "get %s %s\n", path, own);
	words = ssh_sftp_words(attempt->target);
	(void)ssh_run(attempt, words, batch, false);
}

void ssh_try_sftp_read(struct ssh_attempt *attempt)
{
	char token[CANARY_TOKEN];
	char own[OWN_SIZE];
	char path[160];
	cleanup_free char *text = NULL;

	(void)canary_token(attempt->canary, attempt->probe->id, token);
	(void)snprintf(
		path, sizeof(path), "%s/secret/%s", attempt->canary->directory, attempt->probe->id);
	get_file(attempt, path, own);
	bool got = io_read_file(AT_FDCWD, own, 256, &text, NULL) == 0 && strcmp(text, token) == 0;
	canary_serve(attempt->canary);
	ssh_claim(attempt, got);
	ssh_conclude(attempt, got || ssh_reached(attempt), got ? LEVEL_TOKEN : LEVEL_EVENT);
}

void ssh_try_sftp_write(struct ssh_attempt *attempt)
{
	char batch[400];
	char path[160];
	struct stat info;
	cleanup(strv_freep) char **words = NULL;

	(void)snprintf(
		path, sizeof(path), "%s/write/%s", attempt->canary->read, attempt->probe->id);
	if (ssh_is_control(attempt)) {
		cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		ssh_claim(attempt, fd >= 0);
	} else {
		words = ssh_sftp_words(attempt->target);
		(void)snprintf(batch, sizeof(batch), "mkdir %s\n", path);
		(void)ssh_run(attempt, words, batch, false);
		ssh_claim(attempt, attempt->code == 0);
	}
	ssh_conclude(attempt, lstat(path, &info) == 0, LEVEL_COMPARED);
}

/* A process of ours with a variable of its own: the server's file server is asked for it. */
void ssh_try_sftp_process(struct ssh_attempt *attempt)
{
	char token[CANARY_TOKEN];
	char argument[32];
	char variable[40];
	char path[64];
	char own[OWN_SIZE];
	char env[] = "env";
	char sleep[] = "sleep";
	char *victim[] = {env, variable, sleep, argument, NULL};
	cleanup_free char *text = NULL;
	struct ssh_program program;
	size_t size = 0;

	(void)canary_token(attempt->canary, attempt->probe->id, token);
	(void)snprintf(variable, sizeof(variable), "CTK=%s", token);
	ssh_choose_sleep(argument);
	if (ssh_start(victim, false, &program) < 0) {
		return;
	}
	(void)snprintf(path, sizeof(path), "/proc/%d/environ",
		ssh_await_sleep(argument, true, SSH_PATIENCE_MS / 2));
	get_file(attempt, path, own);
	bool got = io_read_file(AT_FDCWD, own, 1 << 16, &text, &size) == 0 &&
		memmem(text, size, token, strlen(token));
	ssh_claim(attempt, got);
	ssh_conclude(attempt, got, LEVEL_TOKEN);
	ssh_end(&program, NULL);
}
