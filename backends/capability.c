#include "backends/capability.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/parse.h"

struct capability_info {
	const char *name;
	enum capability_kind kind;
	bool portable; /* each of isobox's three systems can keep it */
	const char *description;
};

static const struct capability_info capability_table[] = {
	[CAPABILITY_NET_DISABLE] = {"net.disable", CAPABILITY_RESTRICTION, true,
		"no network but a loopback of its own"},
	[CAPABILITY_NET_ENABLE] = {"net.enable", CAPABILITY_GRANT, true,
		"the network may be used, both ways"},
	[CAPABILITY_NET_OUTBOUND] = {"net.outbound", CAPABILITY_RESTRICTION, true,
		"connections may be opened, none can be received"},
	[CAPABILITY_FS_READ_HOST] = {"fs.read.host", CAPABILITY_GRANT, false,
		"the host's files are readable as far as their modes allow"},
	[CAPABILITY_FS_READ_SCOPE] = {"fs.read.scope", CAPABILITY_RESTRICTION, true,
		"only the listed paths, and what starting a program takes, can be read"},
	[CAPABILITY_FS_READ_DENY] = {"fs.read.deny", CAPABILITY_RESTRICTION, false,
		"the listed paths are taken out of what can be read"},
	[CAPABILITY_FS_WRITE_DENY] = {"fs.write.deny", CAPABILITY_RESTRICTION, true,
		"nothing of the host's files can be changed"},
	[CAPABILITY_FS_WRITE_SCOPE] = {"fs.write.scope", CAPABILITY_RESTRICTION, true,
		"writes reach the host below the listed paths and nowhere else"},
	[CAPABILITY_FS_WRITE_EPHEMERAL] = {"fs.write.ephemeral", CAPABILITY_RESTRICTION, true,
		"writes succeed and are gone at the end; the host's files stay as they were"},
	[CAPABILITY_ENV_SCRUB] = {"env.scrub", CAPABILITY_RESTRICTION, true,
		"variables are taken out of the environment by name before the start"},
	[CAPABILITY_PROC_NO_EXEC] = {"proc.no_exec", CAPABILITY_RESTRICTION, false,
		"after the first program no other program can be started"},
	[CAPABILITY_KERNEL_ISOLATION] = {"kernel.isolation", CAPABILITY_RESTRICTION, false,
		"system calls are served by another kernel than the host's"},
	[CAPABILITY_IPC_RESTRICT] = {"ipc.restrict", CAPABILITY_RESTRICTION, true,
		"no socket, queue or shared memory of the host's processes can be reached"},
	[CAPABILITY_MACH_RESTRICT] = {"mach.restrict", CAPABILITY_RESTRICTION, false,
		"Mach services cannot be looked up, but for the listed ones (macOS)"},
	[CAPABILITY_RES_CPU] = {"res.cpu", CAPABILITY_RESTRICTION, true,
		"processor time stays below the given number of processors"},
	[CAPABILITY_RES_MEMORY] = {"res.memory", CAPABILITY_RESTRICTION, true,
		"memory stays below the given number of bytes"},
	[CAPABILITY_RES_PIDS] = {"res.pids", CAPABILITY_RESTRICTION, true,
		"the number of tasks stays below the given one"},
	[CAPABILITY_NET_EGRESS] = {"net.egress", CAPABILITY_RESTRICTION, false,
		"only the listed hosts, networks and ports can be reached, by name too"},
	[CAPABILITY_NET_INBOUND] = {"net.inbound", CAPABILITY_RESTRICTION, false,
		"only the listed ports can be reached from outside"},
	[CAPABILITY_RES_DISK] = {"res.disk", CAPABILITY_RESTRICTION, false,
		"writes that are thrown away stay below the given number of bytes"},
	[CAPABILITY_RES_TIME] = {"res.time", CAPABILITY_RESTRICTION, false,
		"the session ends when its time is over"},
	[CAPABILITY_PROC_ISOLATION] = {"proc.isolation", CAPABILITY_RESTRICTION, false,
		"processes outside cannot be seen, signalled or traced"},
	[CAPABILITY_KERNEL_FILTER] = {"kernel.filter", CAPABILITY_RESTRICTION, false,
		"system calls outside the plan's list are refused, on every ABI"},
	[CAPABILITY_PRIV_NONE] = {"priv.none", CAPABILITY_RESTRICTION, false,
		"no kernel capability, none gained by exec, no user namespace inside"},
	[CAPABILITY_DEV_MINIMAL] = {"dev.minimal", CAPABILITY_RESTRICTION, false,
		"no devices but null, zero, full, random, urandom and terminals"},
	[CAPABILITY_TTY_ISOLATE] = {"tty.isolate", CAPABILITY_RESTRICTION, false,
		"terminals of others cannot be opened, nor input pushed into any"},
	[CAPABILITY_HOST_CONCEAL] = {"host.conceal", CAPABILITY_RESTRICTION, false,
		"host name, hardware lists, command lines and keyrings of the host stay unseen"},
	[CAPABILITY_SESSION_FRESH] = {"session.fresh", CAPABILITY_RESTRICTION, false,
		"nothing passes from one session to another"},
	[CAPABILITY_DENIAL_LOG] = {"denial.log", CAPABILITY_RESTRICTION, false,
		"what was refused is recorded, with the layer that refused it"},
};
static_assert(ARRAY_SIZE(capability_table) == CAPABILITY_COUNT, "one row a capability");
static_assert(CAPABILITY_COUNT <= 64, "a set is 64 bits");

const char *capability_name(enum capability capability)
{
	return capability < CAPABILITY_COUNT ? capability_table[capability].name : "none";
}

const char *capability_describe(enum capability capability)
{
	return capability < CAPABILITY_COUNT ? capability_table[capability].description : "";
}

enum capability_kind capability_kind(enum capability capability)
{
	return capability_table[capability].kind;
}

static const char *nearest_name(const char *name)
{
	const char *nearest = NULL;
	size_t best = 4;

	for (size_t i = 0; i < CAPABILITY_COUNT; i++) {
		size_t distance = parse_edit_distance(name, capability_table[i].name, best);
		if (distance < best) {
			best = distance;
			nearest = capability_table[i].name;
		}
	}
	return nearest;
}

int capability_parse(const char *name, enum capability *ret, struct err *err)
{
	const char *nearest = NULL;

	for (size_t i = 0; i < CAPABILITY_COUNT; i++) {
		if (strcmp(name, capability_table[i].name) == 0) {
			*ret = (enum capability)i;
			return 0;
		}
	}
	nearest = nearest_name(name);
	if (nearest) {
		return err_refuse(err, EINVAL, "no capability is called '%s'; did you mean '%s'?",
			name, nearest);
	}
	return err_refuse(
		err, EINVAL, "no capability is called '%s'; `cloche caps` lists them", name);
}

static int compare_by_name(const void *a, const void *b)
{
	return strcmp(capability_name(*(const enum capability *)a),
		capability_name(*(const enum capability *)b));
}

size_t capability_set_list(struct capability_set set, enum capability ret_list[CAPABILITY_COUNT])
{
	size_t count = 0;

	for (size_t i = 0; i < CAPABILITY_COUNT; i++) {
		if (capability_set_has(set, (enum capability)i)) {
			ret_list[count++] = (enum capability)i;
		}
	}
	qsort(ret_list, count, sizeof(ret_list[0]), compare_by_name);
	return count;
}

char *capability_set_format(struct capability_set set, char *text, size_t size)
{
	enum capability list[CAPABILITY_COUNT];
	size_t count = capability_set_list(set, list);
	size_t used = 0;

	(void)snprintf(text, size, "%s", count ? "" : "none");
	for (size_t i = 0; i < count && used < size; i++) {
		int length = snprintf(
			text + used, size - used, "%s%s", i ? ", " : "", capability_name(list[i]));
		used += length > 0 ? (size_t)length : 0;
	}
	return text;
}

int capability_set_parse(const char *text, struct capability_set *ret, struct err *err)
{
	static const char blanks[] = " \t";
	struct capability_set set = {0};
	cleanup_free char *copy = strdup(text);

	if (!copy) {
		return err_set(err, ENOMEM, "reading a list of capabilities");
	}
	for (char *rest = copy, *item = NULL; (item = strsep(&rest, ","));) {
		enum capability capability = CAPABILITY_COUNT;
		int r = 0;
		item += strspn(item, blanks);
		for (size_t end = strlen(item); end && strchr(blanks, item[end - 1]); end--) {
			item[end - 1] = '\0';
		}
		if (!*item) {
			return err_refuse(err, EINVAL,
				"a name is missing in the list of capabilities '%s'", text);
		}
		r = capability_parse(item, &capability, err);
		if (r < 0) {
			return r;
		}
		capability_set_add(&set, capability);
	}
	*ret = set;
	return 0;
}

struct capability_set capability_set_portable(void)
{
	struct capability_set set = {0};

	for (size_t i = 0; i < CAPABILITY_COUNT; i++) {
		if (capability_table[i].portable) {
			capability_set_add(&set, (enum capability)i);
		}
	}
	return set;
}
