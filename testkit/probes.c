#include "testkit/probes.h"

#include <string.h>

#include "base/cleanup.h"

#define Q PROBE_QUICK
#define V PROBE_VIRTUAL
#define S PROBE_STATE

const struct probe probe_table[] = {
#include "testkit/probes/network.inc"
#include "testkit/probes/files.inc"
#include "testkit/probes/exec.inc"
#include "testkit/probes/process.inc"
#include "testkit/probes/ipc.inc"
#include "testkit/probes/kernel.inc"
#include "testkit/probes/privilege.inc"
#include "testkit/probes/device.inc"
#include "testkit/probes/leak.inc"
#include "testkit/probes/session.inc"
#include "testkit/probes/peer.inc"
#include "testkit/probes/ssh.inc"
#include "testkit/probes/life.inc"
#include "testkit/probes/regress.inc"
#include "testkit/probes/resource.inc"
	{NULL, 0, NULL, NULL, NULL, NULL},
};
/* A user of its own; a kernel of its own. */
const char *const probe_more_layers[] = {"user", "kernel", NULL};

const size_t probe_count = ARRAY_SIZE(probe_table) - 1;

static const struct {
	const char *prefix;
	const char *name;
} groups[] = {
	{"REG.", "known escape"},
	{"N.", "network"},
	{"F.", "file system"},
	{"X.", "exec"},
	{"P.", "process"},
	{"I.", "ipc"},
	{"K.", "kernel"},
	{"V.", "privilege"},
	{"D.", "device and terminal"},
	{"L.", "leak"},
	{"S.", "session"},
	{"C.", "two sessions"},
	{"H.", "ssh"},
	{"E.", "life cycle"},
	{"R.", "resource"},
};

const struct probe *probe_find(const char *id)
{
	for (const struct probe *probe = probe_table; probe->id; probe++) {
		if (strcmp(probe->id, id) == 0) {
			return probe;
		}
	}
	return NULL;
}

/* An id, or the letter of its group. */
static bool has_name(const struct probe *probe, const char *name, size_t size)
{
	const char after = strlen(probe->id) >= size ? probe->id[size] : '?';

	return size > 0 && strncmp(probe->id, name, size) == 0 &&
		(after == '\0' || (after == '.' && !memchr(name, '.', size)));
}

bool probe_is(const struct probe *probe, const char *names)
{
	bool found = false;

	for (const char *at = names; !found && at; at = strchr(at, ',')) {
		at += *at == ',';
		found = has_name(probe, at, strcspn(at, ","));
	}
	return found;
}

size_t probe_index(const struct probe *probe)
{
	return (size_t)(probe - probe_table);
}

const char *probe_group(const struct probe *probe)
{
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		if (strncmp(probe->id, groups[i].prefix, strlen(groups[i].prefix)) == 0) {
			return groups[i].name;
		}
	}
	return "other";
}
