/*
 * A signal to one session of a connection while another runs. The system's ssh has no way to send one:
 * where python3 has paramiko, that does it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/strv.h"
#include "testkit/ssh-attempt.h"

#define NO_CLIENT 77 /* how the script ends when there is no paramiko */

/* Two sessions that count; the first one is sent USR1. Prints what each of them counted. */
static const char script[] =
	"import sys, time\n"
	"try:\n"
	"    import paramiko\n"
	"except ImportError:\n"
	"    sys.exit(77)\n"
	"host, port, user, key = sys.argv[1:5]\n"
	"client = paramiko.SSHClient()\n"
	"client.set_missing_host_key_policy(paramiko.AutoAddPolicy())\n"
	"client.connect(host, int(port), user, key_filename=key or None, timeout=15)\n"
	"count = \"trap 'echo hit' USR1; echo up; i=0; while [ $i -lt 10 ]; do sleep 0.1; \"\n"
	"count += \"i=$((i + 1)); done; echo done\"\n"
	"def start():\n"
	"    session = client.get_transport().open_session()\n"
	"    session.settimeout(15)\n"
	"    session.exec_command(count)\n"
	"    output = session.makefile('r')\n"
	"    output.readline()\n"
	"    return session, output\n"
	"(one, first), (other, second) = start(), start()\n"
	"message = paramiko.Message()\n"
	"message.add_byte(bytes([98]))\n"
	"message.add_int(one.remote_chanid)\n"
	"message.add_string('signal')\n"
	"message.add_boolean(False)\n"
	"message.add_string('USR1')\n"
	"client.get_transport()._send_user_message(message)\n"
	"told = str(second.read())\n"
	"print('other', 'hit' in told, 'done' in told, 'own', 'hit' in str(first.read()))\n";

/* A group of processes is what a signal without an address reaches. */
static const char control[] =
	"trap : USR1; (trap 'echo hit' USR1; echo up; i=0; while [ $i -lt 5 ]; do sleep 0.1; "
	"i=$((i + 1)); done) & sleep 0.2; kill -USR1 0; wait; wait; echo other";

/* What stands behind the beginning of a word of the target's, or, for a word alone, the next one. */
static const char *option_of(const struct target *target, const char *option)
{
	STRV_FOREACH (word, target->argv) {
		const size_t size = strlen(option);
		if (strncmp(*word, option, size) == 0) {
			return (*word)[size] || !word[1] ? *word + size : word[1];
		}
	}
	return "";
}

static char **signal_words(const struct target *target)
{
	const char *const words[] = {"/usr/bin/python3", "-W", "ignore", "-c", script,
		target->argv[strv_length(target->argv) - 1], option_of(target, "-oPort="),
		option_of(target, "-oUser="), option_of(target, "-i")};
	char **list = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strv_append(&list, words[i]) < 0) {
			return strv_free(list);
		}
	}
	return list;
}

void ssh_try_signal(struct ssh_attempt *attempt)
{
	cleanup(strv_freep) char **words = NULL;
	bool hit = false;

	if (ssh_is_control(attempt)) {
		if (strv_append(&words, "setsid") < 0 || strv_append(&words, "sh") < 0 ||
			strv_append(&words, "-c") < 0 || strv_append(&words, control) < 0) {
			return;
		}
		(void)ssh_run(attempt, words, NULL, false);
		hit = attempt->out && strstr(attempt->out, "hit");
		ssh_claim(attempt, hit);
		ssh_conclude(attempt, hit, LEVEL_TOKEN);
		return;
	}
	words = signal_words(attempt->target);
	(void)ssh_run(attempt, words, NULL, false);
	ssh_cut_line(attempt);
	if (attempt->code == NO_CLIENT || attempt->code == 127) {
		ssh_decline(attempt, "ssh cannot send a signal, and python3 here has no paramiko");
		return;
	}
	if (!attempt->out || !strstr(attempt->out, " own ")) {
		ssh_decline(attempt, "paramiko had no two sessions there that end as they should");
		return;
	}
	/* A session that the signal ended was reached, too. */
	hit = strstr(attempt->out, "other True") || strstr(attempt->out, "other False False");
	ssh_claim(attempt, hit);
	ssh_conclude(attempt, hit, LEVEL_TOKEN);
	ssh_say(attempt, "%s",
		strstr(attempt->out, "own True") ? "it was delivered to its own session"
						 : "its own session did not hear of it either");
}
