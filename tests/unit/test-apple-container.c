/*
 * Plans for Apple's container tool, which is not here: read back from their own argument lists by the
 * tool's grammar, held against readable copies, and refused where the security context says so.
 */
#include "tests/test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/parse.h"
#include "tests/unit/planned.h"

static const struct backend *const backend = &backend_apple_container;

/* ---- the tool's command line, read as it would read it ---- */

struct parsed {
	bool rm, interactive, read_only, no_dns;
	const char *name, *cidfile, *label, *progress, *uid, *gid, *cap_drop, *env_file, *workdir;
	const char *cpus, *memory, *network, *shm_size, *entrypoint;
	const char *mounts[16], *ulimits[8], *publish[8], *masked[8];
	const char *image;
	char *const *arguments;
};

static const struct {
	const char *name;
	size_t offset;
	unsigned values; /* 0: a flag; more than 1: may be repeated so often */
} options[] = {
	{"--rm", offsetof(struct parsed, rm), 0},
	{"--interactive", offsetof(struct parsed, interactive), 0},
	{"--read-only", offsetof(struct parsed, read_only), 0},
	{"--no-dns", offsetof(struct parsed, no_dns), 0},
	{"--name", offsetof(struct parsed, name), 1},
	{"--cidfile", offsetof(struct parsed, cidfile), 1},
	{"--label", offsetof(struct parsed, label), 1},
	{"--progress", offsetof(struct parsed, progress), 1},
	{"--uid", offsetof(struct parsed, uid), 1},
	{"--gid", offsetof(struct parsed, gid), 1},
	{"--cap-drop", offsetof(struct parsed, cap_drop), 1},
	{"--env-file", offsetof(struct parsed, env_file), 1},
	{"--workdir", offsetof(struct parsed, workdir), 1},
	{"--cpus", offsetof(struct parsed, cpus), 1},
	{"--memory", offsetof(struct parsed, memory), 1},
	{"--network", offsetof(struct parsed, network), 1},
	{"--shm-size", offsetof(struct parsed, shm_size), 1},
	{"--entrypoint", offsetof(struct parsed, entrypoint), 1},
	{"--mount", offsetof(struct parsed, mounts), 16},
	{"--ulimit", offsetof(struct parsed, ulimits), 8},
	{"--publish", offsetof(struct parsed, publish), 8},
	{"--masked-path", offsetof(struct parsed, masked), 8},
};

static void take_value(struct parsed *ret, size_t option, const char *value)
{
	const char **at = (const char **)((char *)ret + options[option].offset);

	for (unsigned i = 0; i < options[option].values; i++) {
		if (!at[i]) {
			at[i] = value;
			return;
		}
	}
	fail_msg("%s once too often", options[option].name);
}

/* Everything up to the first word that is no option is one, known, and has what it needs. */
static void parse(const struct plan *plan, struct parsed *ret)
{
	char *const *at = plan->command;

	*ret = (struct parsed){0};
	assert_string_equal(*at++, "container");
	assert_string_equal(*at++, "run");
	while (*at && **at == '-') {
		size_t i = 0;
		while (i < ARRAY_SIZE(options) && strcmp(options[i].name, *at) != 0) {
			i++;
		}
		if (i == ARRAY_SIZE(options)) {
			fail_msg("the plan says %s, which this test does not know", *at);
		}
		at++;
		if (options[i].values == 0) {
			*(bool *)((char *)ret + options[i].offset) = true;
			continue;
		}
		assert_non_null(*at);
		assert_true(**at != '-' && **at != '\0');
		take_value(ret, i, *at++);
	}
	assert_non_null(*at);
	ret->image = *at++;
	ret->arguments = at;
}

static bool has_value(const char *const list[], const char *text)
{
	for (; *list; list++) {
		if (strcmp(*list, text) == 0) {
			return true;
		}
	}
	return false;
}

static struct plan *compile(const char *assignments)
{
	struct spec spec;
	struct err err;

	planned_spec(assignments, &spec);
	struct plan *plan = planned_compile(backend, &spec, &err);
	spec_fini(&spec);
	if (!plan) {
		fail_msg("%s: %s", assignments, err.msg);
	}
	return plan;
}

/* ---- tests ---- */

static void every_setting_is_found_again_in_the_command(void **state)
{
	cleanup(plan_freep) struct plan *plan = compile(
		"write=scope;writable=/Users/me/out;readable=/Users/me/My Work;net=outbound;cpus=2;"
		"memory=512M;pids=64;disk=1M;dir=/Users/me/My Work/x;env=A=b;env=TOKEN=t;"
		"env_deny=TOKEN;root=image;root_path=/images/debian-12.tar;inbound=8080;user=ann;"
		"read_deny=/opt/secret");
	struct parsed p;

	parse(plan, &p);
	assert_true(p.rm && p.interactive && p.read_only && !p.no_dns);
	assert_string_equal(p.name, "cloche-{id}");
	assert_string_equal(p.cidfile, "{dir}/cid");
	assert_string_equal(p.label, "cloche.session={id}");
	assert_string_equal(p.uid, "1000");
	assert_string_equal(p.gid, "1000");
	assert_string_equal(p.cap_drop, "ALL");
	assert_string_equal(p.workdir, "/Users/me/My Work/x");
	assert_string_equal(p.cpus, "2");
	assert_string_equal(p.memory, "512M");
	assert_string_equal(p.network, "cloche-{id}");
	assert_string_equal(p.shm_size, "256K");
	assert_string_equal(p.entrypoint, "prog");
	assert_string_equal(p.image, "cloche.invalid/debian-12:latest");
	assert_string_equal(p.arguments[0], "a b");
	assert_null(p.arguments[1]);
	assert_true(has_value(p.mounts, "type=tmpfs,target=/tmp,size=262144,mode=1777"));
	assert_true(has_value(p.mounts, "type=tmpfs,target=/home/ann,size=524288,mode=1777"));
	assert_true(has_value(
		p.mounts, "type=bind,source=/Users/me/My Work,target=/Users/me/My Work,readonly"));
	assert_true(has_value(p.mounts, "type=bind,source=/Users/me/out,target=/Users/me/out"));
	assert_null(p.mounts[4]);
	assert_true(has_value(p.ulimits, "nproc=64:64"));
	assert_true(has_value(p.ulimits, "core=0:0"));
	assert_string_equal(p.publish[0], "127.0.0.1:8080:8080/tcp");
	assert_string_equal(p.masked[0], "/opt/secret");
	assert_int_equal(plan->file_count, 1);
	assert_int_equal(plan->files[0].mode, 0600);
	assert_non_null(strstr(plan->files[0].content, "A=b\n"));
	assert_null(strstr(plan->files[0].content, "TOKEN"));
	assert_non_null(strstr(plan->files[0].content, "HOME=/home/ann\n"));
}

static void what_the_command_leaves_open_is_closed(void **state)
{
	static const struct {
		const char *assignments;
		bool read_only, no_dns;
		const char *network, *cpus, *memory;
	} rows[] = {
		{"", true, true, "none", "4", "1024M"},
		{"net=enable", true, false, "cloche-{id}", "4", "1024M"},
		{"net=egress", true, true, "none", "4", "1024M"},
		{"net=egress;egress=a.b", true, true, "cloche-{id}", "4", "1024M"},
		{"write=ephemeral", false, true, "none", "4", "1024M"},
		{"cpus=0.5;memory=5000000", true, true, "none", "1", "4M"},
		{"cpus=8;memory=16G", true, true, "none", "8", "16384M"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup(plan_freep) struct plan *plan = compile(rows[i].assignments);
		struct parsed p;
		parse(plan, &p);
		assert_int_equal(p.read_only, rows[i].read_only);
		assert_int_equal(p.no_dns, rows[i].no_dns);
		assert_string_equal(p.network, rows[i].network);
		assert_string_equal(p.cpus, rows[i].cpus);
		assert_string_equal(p.memory, rows[i].memory);
		assert_string_equal(p.cap_drop, "ALL");
	}
}

/* A network of its own is made before and taken away after; images are never fetched. */
static void steps_undo_what_they_make(void **state)
{
	cleanup(plan_freep) struct plan *plan =
		compile("net=egress;egress=a.b;root=image;root_path=/i/x.tar");
	static const char *const wanted[] = {
		"before container image load --input /i/x.tar",
		"before container image inspect cloche.invalid/x:latest",
		("before container network create --internal --label cloche.session={id} "
		 "cloche-{id}"),
		"kill container kill cloche-{id}",
		"after container delete --force cloche-{id}",
		"after container network delete cloche-{id}",
	};

	assert_int_equal(plan->step_count, ARRAY_SIZE(wanted));
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		cleanup_free char *words = strv_join(plan->steps[i].argv, " ");
		char line[160];
		(void)snprintf(
			line, sizeof(line), "%s %s", plan_when_name(plan->steps[i].when), words);
		assert_string_equal(line, wanted[i]);
	}
}

static void contexts_that_no_session_gets_are_refused(void **state)
{
	static const struct {
		const char *assignments, *complaint;
	} rows[] = {
		{"cpus=8.001", "8 at most"},
		{"cpus=64", "8 at most"},
		{"memory=17179869185", "16G at most"},
		{"user=root", "privileged"},
		{"ids=range", "ranges of ids"},
		{"readable=/etc/passwd", "the same as"},
		{"readable=/etc", "above"},
		{"readable=/ETC/Shadow/x", "part of"},
		{"readable=/private/etc/ssh/keys", "/private/etc/ssh"},
		{"readable=/System/Volumes/Data/private/etc", "above"},
		{"readable=/var/run/docker.sock", "/var/run"},
		{"readable=/private", "above"},
		{"readable=/proc/1", "/proc"},
		{"readable=/sys", "/sys"},
		{"readable=/dev", "/dev"},
		{"write=scope;writable=/", "'/'"},
		{"write=scope;writable=/usr/local", "to write"},
		{"write=scope;writable=/etc/app", "to write"},
		{"write=scope;writable=/var/db", "to write"},
		{"write=scope;writable=/library/x", "to write"},
		{"write=overlay;writable=/System", "to write"},
		{"write=scope;writable=/System/Volumes/Data", "'/System/Volumes/Data'"},
		{"readable=/a,readonly", "','"},
		{"readable=/a=b", "'='"},
		{"home=/h,x", "home"},
		{"readable=/w/.ssh;read_deny=/W", "read_deny takes out"},
		{"readable=/w;read_deny=/w", "read_deny takes out"},
		{"read_deny=/", "nothing to start"},
		{"root=directory;root_path=/r", "root: image"},
		{"root=image;root_path=/i/Debian.tar", "NAME.tar"},
		{"root=image;root_path=/i/.tar", "NAME.tar"},
		{"root=image;root_path=/i/-x.tar", "NAME.tar"},
		{"root=image;root_path=/i/x.tar.gz", "NAME.tar"},
		{"env=A=x\ny", "env_deny"},
		{"env=A= x", "env_deny"},
		{"env=A=x ", "env_deny"},
		{"env=#A=x", "env_deny"},
		{"env=A B=x", "env_deny"},
		{"env=A={dir}", "{dir}"},
		{"require=kernel.filter", "lacks kernel.filter"},
		{"require=priv.none", "lacks priv.none"},
		{"refuse_on=backend.never_executed", "never_executed"},
		{"net=egress;egress=a.b;refuse_on=missing", "egress_unfiltered"},
		{"strict=yes;readable=/w;cpus=1.5", "strict"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct spec spec;
		struct err err;
		planned_spec(rows[i].assignments, &spec);
		struct plan *plan = planned_compile(backend, &spec, &err);
		spec_fini(&spec);
		if (plan) {
			fail_msg("%s was accepted", rows[i].assignments);
		}
		if (!strstr(err.msg, rows[i].complaint)) {
			fail_msg("%s: %s", rows[i].assignments, err.msg);
		}
	}
}

/* Names that only begin like those of the table are others; reading is not writing. */
static void contexts_beside_them_are_accepted(void **state)
{
	static const char *const rows[] = {"readable=/devel", "readable=/processes",
		"readable=/etc/app", "readable=/usr/share", "readable=/Users/me",
		"write=scope;writable=/Users/me/usr", "write=scope;writable=/variant",
		"readable=/opt/etc/passwd", "cpus=8;memory=16G", "user=rooted"};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup(plan_freep) struct plan *plan = compile(rows[i]);
		assert_non_null(plan);
	}
}

static void a_command_is_never_an_option(void **state)
{
	struct spec spec;
	struct err err;

	planned_spec("", &spec);
	free(spec.args[0]);
	spec.args[0] = strdup("--privileged");
	assert_null(planned_compile(backend, &spec, &err));
	assert_non_null(strstr(err.msg, "option"));
	spec_fini(&spec);
}

/* What the seed's rules and the tool's reference say, by meaning. */
static void promises_and_caveats_follow_the_spec(void **state)
{
	static const struct {
		const char *assignments;
		const char *uses, *lacks; /* one capability each, or "" */
		const char *caveats[4];
	} rows[] = {
		{"", "net.disable", "fs.read.host",
			{"backend.never_executed", "container.image_required",
				"container.no_filter", "compliance.unlimited_resources"}},
		{"", "kernel.isolation", "ipc.restrict", {"container.vsock"}},
		{"cpus=1.5", "", "res.cpu", {"container.cpu_rounded"}},
		{"cpus=2", "res.cpu", "", {NULL}},
		{"memory=1G", "res.memory", "", {"container.memory_is_guest"}},
		{"pids=9", "res.pids", "", {"container.pids_by_ulimit"}},
		{"timeout=9", "res.time", "", {NULL}},
		{"no_exec=yes", "", "proc.no_exec", {"container.no_exec_unsupported"}},
		{"mach_allow=a.b", "", "mach.restrict", {"mach.ignored"}},
		{"net=outbound", "", "net.outbound",
			{"container.host_reaches_listeners", "container.gateway_reachable"}},
		{"net=enable", "net.enable", "net.disable", {"container.gateway_reachable"}},
		{"net=egress;egress=a.b", "", "net.egress",
			{"container.egress_unfiltered", "container.net_internal_leaky"}},
		{"net=egress", "net.egress", "", {"net.disable.loopback_private"}},
		{"net=outbound;inbound=80", "", "net.inbound", {"container.inbound_unfiltered"}},
		{"readable=/w", "fs.read.scope", "", {"container.image_readable"}},
		{"readable=/w;read_deny=/w/.ssh", "", "fs.read.deny",
			{"container.read_deny_spelling"}},
		{"readable=/w;read_deny=/W/.ssh", "", "fs.read.deny",
			{"container.read_deny_spelling"}},
		{"readable=/w;read_deny=/x", "fs.read.deny", "", {NULL}},
		{"write=none", "fs.write.deny", "fs.write.scope", {NULL}},
		{"write=none", "res.disk", "", {NULL}},
		{"write=ephemeral", "fs.write.ephemeral", "res.disk", {"container.disk_unbounded"}},
		{"write=scope;writable=/w", "fs.write.scope", "session.fresh",
			{"compliance.writable_volumes", "fs.write_scope.hard_links",
				"fs.write_scope.disk_unbounded", "id.single_uid"}},
		{"write=scope;allow_temp=yes", "fs.write.scope", "", {"container.temp_is_private"}},
		{"write=overlay;writable=/w;readable=/w", "fs.write.ephemeral", "res.disk",
			{"container.shares_read_only", "compliance.writable_volumes"}},
		{"hostname=box", "", "", {"container.hostname_is_id"}},
		{"env=A=b;env_deny=A", "env.scrub", "", {NULL}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup(plan_freep) struct plan *plan = compile(rows[i].assignments);
		char uses[1024];
		char word[64];
		(void)snprintf(word, sizeof(word), ", %s,", rows[i].uses);
		(void)snprintf(uses, sizeof(uses), ", ");
		capability_set_format(plan->uses, uses + 2, sizeof(uses) - 4);
		(void)strcat(uses, ",");
		if (*rows[i].uses && !strstr(uses, word)) {
			fail_msg("'%s' does not promise %s", rows[i].assignments, rows[i].uses);
		}
		(void)snprintf(word, sizeof(word), ", %s,", rows[i].lacks);
		if (*rows[i].lacks && strstr(uses, word)) {
			fail_msg("'%s' promises %s", rows[i].assignments, rows[i].lacks);
		}
		for (size_t c = 0; c < ARRAY_SIZE(rows[i].caveats) && rows[i].caveats[c]; c++) {
			if (!plan_has_caveat(plan, rows[i].caveats[c])) {
				fail_msg("'%s' lacks the caveat %s", rows[i].assignments,
					rows[i].caveats[c]);
			}
		}
		assert_int_equal(plan->kernel, PLAN_KERNEL_GUEST);
	}
}

static void plans_are_as_they_were_read(void **state)
{
	static const struct {
		const char *name, *assignments;
	} rows[] = {
		{"apple-container-tight", "env=LANG=C;env_allow=LANG"},
		{"apple-container-agent",
			"net=outbound;write=overlay;writable=/Users/me/project;allow_temp=yes;"
			"cpus=2;memory=4G;pids=512;timeout=1h;env=LANG=C;env=API_KEY=x;"
			"env_deny=*_KEY;root=image;root_path=/images/agent.tar;"
			"dir=/Users/me/project"},
		{"apple-container-lab",
			"write=ephemeral;readable=/Users/me/"
			"course;cpus=1;memory=512M;env_allow=LANG"},
		{"apple-container-egress",
			"net=egress;egress=example.org:443;inbound=8080;env_allow=LANG"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup(plan_freep) struct plan *plan = compile(rows[i].assignments);
		cleanup_free char *text = planned_describe(plan);
		planned_golden(rows[i].name, text);
	}
}

static void made_up_specs_compile_or_are_refused(void **state)
{
	size_t compiled = planned_generate(backend, 400);

	if (compiled < 60) {
		fail_msg("only %zu of 400 compile: they test nothing", compiled);
	}
}

static void it_says_that_it_does_not_run_here(void **state)
{
	static const struct host host = {0};
	cleanup(plan_freep) struct plan *plan = compile("");
	struct sandbox_stdio io = {.fds = {-1, -1, -1}};
	struct sandbox *sandbox = NULL;
	struct err err = {0};

	assert_int_equal(backend->probe(&host, &err), -ENOTSUP);
	assert_non_null(strstr(err.msg, "macOS 26"));
	assert_int_equal(backend->start(plan, &host, &io, &sandbox, &err), -ENOTSUP);
	assert_null(sandbox);
	backend->destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_setting_is_found_again_in_the_command),
		cmocka_unit_test(what_the_command_leaves_open_is_closed),
		cmocka_unit_test(steps_undo_what_they_make),
		cmocka_unit_test(contexts_that_no_session_gets_are_refused),
		cmocka_unit_test(contexts_beside_them_are_accepted),
		cmocka_unit_test(a_command_is_never_an_option),
		cmocka_unit_test(promises_and_caveats_follow_the_spec),
		cmocka_unit_test(plans_are_as_they_were_read),
		cmocka_unit_test(made_up_specs_compile_or_are_refused),
		cmocka_unit_test(it_says_that_it_does_not_run_here),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
