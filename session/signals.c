#include "session/signals.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>

#include "base/cleanup.h"

static const struct {
	const char *name;
	int number;
} signals[] = {
	{"ABRT", SIGABRT},
	{"ALRM", SIGALRM},
	{"FPE", SIGFPE},
	{"HUP", SIGHUP},
	{"ILL", SIGILL},
	{"INT", SIGINT},
	{"KILL", SIGKILL},
	{"PIPE", SIGPIPE},
	{"QUIT", SIGQUIT},
	{"SEGV", SIGSEGV},
	{"TERM", SIGTERM},
	{"USR1", SIGUSR1},
	{"USR2", SIGUSR2},
};

const char *signals_name(int number)
{
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		if (signals[i].number == number) {
			return signals[i].name;
		}
	}
	/* RFC 4254 wants a local name to carry an @; clients show it as it is. */
	switch (number) {
	case SIGSYS:
		return "SYS@cloche";
	case SIGXCPU:
		return "XCPU@cloche";
	case SIGXFSZ:
		return "XFSZ@cloche";
	case SIGBUS:
		return "BUS@cloche";
	default:
		return "OTHER@cloche";
	}
}

int signals_number(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		if (strcmp(signals[i].name, name) == 0) {
			return signals[i].number;
		}
	}
	return 0;
}
