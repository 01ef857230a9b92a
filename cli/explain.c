#include "cli/cli.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "backends/plan.h"
#include "base/parse.h"
#include "cli/choices.h"

/* What keeps a promise in the native backend, for people who want to see it fail. */
static const struct {
	const char *how;
	uint32_t layers; /* each of them is needed: --without one of these and it is gone */
} keepers[CAPABILITY_COUNT] = {
	[CAPABILITY_NET_DISABLE] = {"a network namespace with nothing but its own loopback",
		PLAN_LAYER_NET},
	[CAPABILITY_NET_ENABLE] = {"the host's network namespace", 0},
	[CAPABILITY_NET_OUTBOUND] =
		{"a network namespace that is not the session's own, with a link "
		 "whose rules let out what is for the public, and nothing in",
			PLAN_LAYER_NET | PLAN_LAYER_NET_RULES | PLAN_LAYER_CAPS},
	[CAPABILITY_FS_READ_HOST] = {"a read-only view of the host's tree", 0},
	[CAPABILITY_FS_READ_SCOPE] = {"a mount namespace whose root is empty but for the listed "
				      "paths, and Landlock rules for the same paths",
		PLAN_LAYER_MOUNT},
	[CAPABILITY_FS_READ_DENY] = {"an empty file or directory mounted over each denied path",
		PLAN_LAYER_READ_DENY | PLAN_LAYER_MOUNT},
	[CAPABILITY_FS_WRITE_DENY] = {"every host path mounted read-only, recursively",
		PLAN_LAYER_READ_ONLY | PLAN_LAYER_MOUNT},
	[CAPABILITY_FS_WRITE_SCOPE] = {"every host path but the listed ones mounted read-only",
		PLAN_LAYER_READ_ONLY | PLAN_LAYER_MOUNT},
	[CAPABILITY_FS_WRITE_EPHEMERAL] = {"overlay mounts whose upper layer is a tmpfs of the "
					   "session",
		PLAN_LAYER_READ_ONLY | PLAN_LAYER_MOUNT},
	[CAPABILITY_ENV_SCRUB] = {"an environment built from nothing, by name", PLAN_LAYER_ENV},
	[CAPABILITY_PROC_NO_EXEC] = {"a filter that lets a single execve through",
		PLAN_LAYER_FILTER},
	[CAPABILITY_KERNEL_ISOLATION] = {"not kept by the native backend: it shares the host's "
					 "kernel",
		0},
	[CAPABILITY_IPC_RESTRICT] = {"an IPC namespace, a new session keyring, a root without the "
				     "host's sockets, a network namespace for abstract ones",
		PLAN_LAYER_IPC | PLAN_LAYER_KEYRING | PLAN_LAYER_MOUNT | PLAN_LAYER_NET},
	[CAPABILITY_MACH_RESTRICT] = {"not on Linux", 0},
	[CAPABILITY_RES_CPU] = {"the cpu controller of a control group", PLAN_LAYER_CGROUP},
	[CAPABILITY_RES_MEMORY] = {"the memory controller of a control group", PLAN_LAYER_CGROUP},
	[CAPABILITY_RES_PIDS] = {"the pids controller of a control group, and RLIMIT_NPROC where "
				 "the session has ids of its own",
		PLAN_LAYER_CGROUP | PLAN_LAYER_RLIMITS},
	[CAPABILITY_NET_EGRESS] =
		{"a network namespace that is not the session's own; rules for the "
		 "listed networks, and a proxy that resolves the listed names",
			PLAN_LAYER_NET | PLAN_LAYER_NET_RULES | PLAN_LAYER_CAPS},
	[CAPABILITY_NET_INBOUND] =
		{"rules on the session's link that let in what is for the listed "
		 "ports, from the host",
			PLAN_LAYER_NET | PLAN_LAYER_NET_RULES | PLAN_LAYER_CAPS},
	[CAPABILITY_RES_DISK] = {"tmpfs mounts with a size and a number of inodes",
		PLAN_LAYER_DISK | PLAN_LAYER_MOUNT},
	[CAPABILITY_RES_TIME] = {"a timer outside the sandbox that ends it", PLAN_LAYER_TIME},
	[CAPABILITY_PROC_ISOLATION] = {"a process namespace with a /proc of its own, and a session "
				       "of its own",
		PLAN_LAYER_PID | PLAN_LAYER_SESSION | PLAN_LAYER_MOUNT | PLAN_LAYER_USER},
	[CAPABILITY_KERNEL_FILTER] = {"a seccomp filter that lists what is allowed, for one ABI",
		PLAN_LAYER_FILTER},
	[CAPABILITY_PRIV_NONE] = {"empty capability sets, locked securebits, no_new_privs, and no "
				  "user namespaces inside",
		PLAN_LAYER_CAPS | PLAN_LAYER_NO_NEW_PRIVS | PLAN_LAYER_USER_LIMITS |
			PLAN_LAYER_USER},
	[CAPABILITY_DEV_MINIMAL] = {"a /dev made of six devices and a devpts of its own",
		PLAN_LAYER_DEV | PLAN_LAYER_MOUNT},
	[CAPABILITY_TTY_ISOLATE] = {"a terminal from the sandbox's own devpts, and a filter that "
				    "refuses TIOCSTI and TIOCLINUX",
		PLAN_LAYER_SESSION | PLAN_LAYER_FILTER | PLAN_LAYER_DEV | PLAN_LAYER_MOUNT},
	[CAPABILITY_HOST_CONCEAL] = {"own names, masked files in /proc, a new keyring, a view that "
				     "is not the host's",
		PLAN_LAYER_UTS | PLAN_LAYER_MASKS | PLAN_LAYER_KEYRING | PLAN_LAYER_PID |
			PLAN_LAYER_CGROUP | PLAN_LAYER_MOUNT},
	[CAPABILITY_SESSION_FRESH] = {"everything of the session is made for it and goes with it: "
				      "namespaces, tmpfs, keyring, terminal",
		PLAN_LAYER_IPC | PLAN_LAYER_PID | PLAN_LAYER_KEYRING | PLAN_LAYER_CLOSE_FDS |
			PLAN_LAYER_MOUNT | PLAN_LAYER_NET | PLAN_LAYER_USER},
	[CAPABILITY_DENIAL_LOG] = {"not kept by the native backend yet", 0},
};

static const char *const layer_texts[] = {
	"Landlock rules over the whole tree, as a second guard behind the mounts",
	"the seccomp filter: a list of allowed system calls, all else refused",
	"control groups: limits on memory, tasks and processor time, and one kill for all",
	"resource limits (setrlimit): core files, descriptors, locked memory, queues",
	"no_new_privs: set-user-id programs give nothing",
	"dropping every kernel capability and locking the securebits",
	"a new, empty session keyring",
	"a session and process group of its own (setsid)",
	"empty files and directories over what /proc tells about the host",
	"closing every inherited descriptor",
	"a network namespace",
	"a process namespace",
	"an IPC namespace: System V and POSIX queues and shared memory",
	"a root of its own instead of the host's tree",
	"no further namespaces: user.max_user_namespaces is 0 inside",
	"a /dev of its own",
	"an environment of its own, filtered by name",
	"host and domain name of its own",
	"host paths mounted read-only",
	"masks over the denied paths",
	"sizes on every tmpfs",
	"the wall-clock limit",
	"the rules on the session's link and proxy: what may be reached",
	"a user namespace with ids of its own: its root is nobody on the host",
};

static void print_label(const char *label, const char *text)
{
	(void)printf("%-12s", label);
	cli_wrap(12, text);
}

static void format_layers(uint32_t layers, char *text, size_t size)
{
	size_t used = 0;

	*text = '\0';
	for (unsigned i = 0; plan_layer_names[i] && used < size; i++) {
		if (layers >> i & 1) {
			used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "",
				plan_layer_names[i]);
		}
	}
}

static void explain_capability(enum capability capability)
{
	char layers[256];

	(void)printf(
		"%s is a capability: a promise about a sandbox.\n\n", capability_name(capability));
	print_label("promises", capability_describe(capability));
	print_label("kind",
		capability_kind(capability) == CAPABILITY_GRANT
			? "grant: it opens something"
			: "restriction: it closes something");
	print_label("portable",
		capability_set_has(capability_set_portable(), capability)
			? "yes: --strict lets it through"
			: "no: --strict refuses it");
	print_label("kept by", keepers[capability].how);
	format_layers(keepers[capability].layers, layers, sizeof(layers));
	if (*layers) {
		print_label("layers", layers);
	}
	cli_print_probes(12, "decided by", capability);
	for (const struct caveat_info *info = caveat_table; info->code; info++) {
		if (info->capability == capability) {
			print_label("caveat", info->code);
		}
	}
}

static void explain_caveat(const struct caveat_info *info)
{
	static const char *const severities[] = {
		[CAVEAT_INFO] = "info: worth knowing, nothing is lost",
		[CAVEAT_WEAKER] = "weaker: the promise is kept with a hole that is named here",
		[CAVEAT_MISSING] = "missing: the promise is not kept",
	};

	(void)printf("%s is a caveat: a difference of spec and plan.\n\n", info->code);
	print_label("means", info->text);
	print_label("severity", severities[info->severity]);
	if (info->capability < CAPABILITY_COUNT) {
		print_label("about", capability_name(info->capability));
	}
	if (info->remedy) {
		print_label("remedy", info->remedy);
	}
	(void)printf("%-12s--refuse-on %s\n", "refuse it", info->code);
}

static void explain_layer(unsigned bit)
{
	bool any = false;

	(void)printf("%s is a layer of the native backend.\n\n", plan_layer_names[bit]);
	print_label("is", layer_texts[bit]);
	for (unsigned i = 0; i < CAPABILITY_COUNT; i++) {
		if (keepers[i].layers >> bit & 1) {
			print_label("keeps", capability_name((enum capability)i));
			any = true;
		}
	}
	if (!any) {
		print_label("keeps", "nothing alone: it stands behind other layers");
	}
	if (UINT32_C(1) << bit == PLAN_LAYER_USER) {
		(void)printf("%-12scloche-testkit-host ablate\n", "try without");
	} else {
		(void)printf("%-12scloche run --without %s -- COMMAND\n", "try without",
			plan_layer_names[bit]);
	}
}

static void list_all(void)
{
	(void)printf("capabilities\n");
	for (unsigned i = 0; i < CAPABILITY_COUNT; i++) {
		(void)printf("  %s\n", capability_name((enum capability)i));
	}
	(void)printf("\ncaveats\n");
	for (const struct caveat_info *info = caveat_table; info->code; info++) {
		(void)printf("  %-32s %s\n", info->code, caveat_severity_name(info->severity));
	}
	(void)printf("\nlayers\n");
	for (unsigned i = 0; plan_layer_names[i]; i++) {
		(void)printf("  %s\n", plan_layer_names[i]);
	}
	(void)printf("\ncloche explain NAME says more about one of them.\n");
}

/* docs/CAVEATS.md is this output; a test compares them. */
static void print_markdown(void)
{
	(void)printf("# Caveats\n\n"
		     "A caveat is a coded difference between what a spec means and what a plan "
		     "does. `cloche plan`\n"
		     "shows those of a plan, `--refuse-on CODE` (or `refuse_on:` in a profile) "
		     "refuses plans that have\n"
		     "them. Severities: *info* loses nothing, *weaker* keeps the promise with a "
		     "hole, *missing* does not\n"
		     "keep it. This file is the output of `cloche explain --markdown`.\n\n"
		     "| code | severity | capability | meaning | remedy |\n"
		     "|---|---|---|---|---|\n");
	for (const struct caveat_info *info = caveat_table; info->code; info++) {
		(void)printf("| `%s` | %s | %s | %s | %s |\n", info->code,
			caveat_severity_name(info->severity),
			info->capability < CAPABILITY_COUNT ? capability_name(info->capability)
							    : "",
			info->text, info->remedy ? info->remedy : "");
	}
}

static int refuse(const char *name)
{
	const char *nearest = NULL;
	size_t best = 5;

	for (const struct caveat_info *info = caveat_table; info->code; info++) {
		size_t distance = parse_edit_distance(name, info->code, best);
		if (distance < best) {
			best = distance;
			nearest = info->code;
		}
	}
	for (unsigned i = 0; i < CAPABILITY_COUNT; i++) {
		const char *known = capability_name((enum capability)i);
		size_t distance = parse_edit_distance(name, known, best);
		if (distance < best) {
			best = distance;
			nearest = known;
		}
	}
	if (nearest) {
		return cli_fail(
			CLI_USAGE, "nothing is called '%s'; did you mean '%s'?", name, nearest);
	}
	return cli_fail(
		CLI_USAGE, "nothing is called '%s'; `cloche explain` lists all names", name);
}

static int explain(const char *name)
{
	enum capability capability = CAPABILITY_COUNT;

	if (capability_parse(name, &capability, NULL) == 0) {
		explain_capability(capability);
		return CLI_OK;
	}
	for (const struct caveat_info *info = caveat_table; info->code; info++) {
		if (strcmp(info->code, name) == 0) {
			explain_caveat(info);
			return CLI_OK;
		}
	}
	for (unsigned i = 0; plan_layer_names[i]; i++) {
		if (strcmp(plan_layer_names[i], name) == 0) {
			explain_layer(i);
			return CLI_OK;
		}
	}
	return refuse(name);
}

/* Why which backend would be taken for this spec. */
static int explain_choice(int argc, char **argv)
{
	cleanup(cli_options_fini) struct cli_options options = {0};
	cleanup(choices_fini) struct choices choices = {0};
	struct host host = {0};
	struct err err = {0};
	int r = cli_options_parse(argc, argv, CLI_SPEC_OPTIONAL, &options);

	if (r >= 0) {
		return r;
	}
	if (host_probe(&host, &err) < 0) {
		return cli_fail(CLI_FAILED, "%s", err.msg);
	}
	r = cli_weigh(&options, &host, &choices);
	if (r > 0) {
		return r;
	}
	r = options.json ? cli_choices_json(&choices, &options.spec)
			 : cli_choices_print(&choices, &options.spec);
	return cli_flush() ? r : CLI_FAILED;
}

int command_explain(int argc, char **argv)
{
	int r = CLI_OK;

	static_assert(PLAN_LAYER_USER == 1 << (ARRAY_SIZE(layer_texts) - 1), "one text a layer");
	if (argc == 1) {
		list_all();
	} else if (strcmp(argv[1], "--markdown") == 0) {
		print_markdown();
	} else if (argv[1][0] == '-') {
		return explain_choice(argc, argv);
	}
	for (int i = 1; i < argc && r == CLI_OK && strcmp(argv[1], "--markdown") != 0; i++) {
		(void)printf("%s", i > 1 ? "\n" : "");
		r = explain(argv[i]);
	}
	return cli_flush() ? r : CLI_FAILED;
}
