/*
 * A guest kernel per session. Three layers, from the inside:
 *
 *	session	a native sandbox of the guest's kernel (vm/session.h), launched by vm/guest.c
 *	guest	QEMU's microvm machine: no network, no disk, three serial ports, files by 9p
 *	jail	a native sandbox of the host's kernel around QEMU: an id of its own, no network, no
 *		powers, a view of nothing but QEMU, the kit and the places that the spec lets the
 *		session see; vm/relay.c in it carries the session's streams
 *
 * So everything that a native launch proves and undoes (ids, control groups, end of the server) is
 * proved and undone here, and there is nothing on the host to clean up: no file, no socket, no name.
 * What the guest can reach by 9p is decided by the jail's mounts, not by QEMU.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backends/backend.h"
#include "backends/linux/landlock.h"
#include "backends/linux/launcher.h"
#include "backends/native-door.h"
#include "backends/promise.h"
#include "backends/vm/protocol.h"
#include "backends/vm/session.h"
#include "base/cleanup.h"
#include "base/io.h"

#define QEMU "/usr/bin/qemu-system-x86_64"
#define MIB (UINT64_C(1) << 20)
#define MEMORY_DEFAULT (512 * MIB)
#define MEMORY_MIN (32 * MIB)
#define GUEST_OVERHEAD (96 * MIB) /* the guest's kernel, its page tables, initramfs, agent */
#define QEMU_OVERHEAD (256 * MIB) /* QEMU itself, translated code, page cache of what it reads */
#define PROCESSORS_MAX 8
#define START_TIMEOUT_MS 130000 /* the relay gives up after 120 s and says why */
#define BACKSTOP_SECONDS 150 /* the jail ends this much later than the session should have */
#define SESSION_FILE "/cloche/session"
#define EXPORT "/export"
#define SCOPES "/scopes"
#define REPORTS 64 /* more than a relay has to say between two looks */

struct microvm {
	struct sandbox base;
	struct sandbox *jail;
	int report;
	uint64_t boot_usec;
	bool timed_out;
	uint32_t killed, refused; /* inside, as the guest says */
};

/* ---- probe ---- */

/* Not even a plan can be made without it: which kernel starts is a part of the plan. */
static int refuse_without_kit(const struct host *host, struct err *err)
{
	if (host->guest.dir[0]) {
		return 0;
	}
	return err_refuse(err, ENOTSUP,
		"there is no kernel to boot (%s); as root: cloche-make-guest", host->guest.missing);
}

static int microvm_probe(const struct host *host, struct err *err)
{
	if (strcmp(host->machine, "x86_64") != 0) {
		return err_refuse(
			err, ENOTSUP, "microvm needs an x86-64 machine, not %s", host->machine);
	}
	if (refuse_without_kit(host, err) < 0) {
		return -ENOTSUP;
	}
	if (access(QEMU, X_OK) < 0) {
		return err_refuse(err, ENOTSUP,
			"%s is missing; as root: apt-get install qemu-system-x86", QEMU);
	}
	return backend_native.probe(host, err);
}

/* ---- compile ---- */

static int refuse_unsupported(const struct spec *spec, struct err *err)
{
	if (spec->net != NET_DISABLE || strv_length(spec->egress) > 0 ||
		strv_length(spec->inbound) > 0) {
		return err_refuse(
			err, ENOTSUP, "net: a microvm has no network card; use net: disable");
	}
	if (spec->root == ROOT_IMAGE) {
		return err_refuse(err, ENOTSUP,
			"root: image: the microvm backend takes files from directories; unpack the "
			"image and use root: directory");
	}
	if (spec->memory > 0 && spec->memory < MEMORY_MIN) {
		return err_refuse(err, ENOTSUP,
			"memory: less than 32 MiB cannot be given to a guest's session");
	}
	return 0;
}

/* The machine: what spec and host make of it. */
struct machine {
	uint64_t memory; /* of the guest, bytes */
	uint32_t processors;
	bool scopes;
};

static void choose_machine(const struct spec *spec, const struct host *host, struct machine *ret)
{
	uint64_t wanted = (spec->cpu_milli + 999) / 1000;

	if (wanted == 0) {
		/* Translated processors cost more to start than they bring. */
		wanted = host->guest.kvm ? host->processors : 1;
	}
	ret->processors = (uint32_t)(wanted < PROCESSORS_MAX ? wanted : PROCESSORS_MAX);
	ret->memory = (spec->memory ? spec->memory : MEMORY_DEFAULT) + GUEST_OVERHEAD;
	ret->memory = (ret->memory + MIB - 1) / MIB * MIB;
}

static int add_all(char ***list, const char *const *words)
{
	int r = 0;

	for (; r == 0 && *words; words++) {
		r = strv_append(list, *words);
	}
	return r;
}

/* A directory of the jail as a file system of the guest. */
static int add_files(char ***argv, const char *tag, const char *path, bool read_only)
{
	int r = strv_append(argv, "-fsdev");

	r = r < 0 ? r
		  : strv_appendf(argv, "local,id=%s,path=%s,security_model=none,multidevs=remap%s",
			    tag, path, read_only ? ",readonly=on" : "");
	r = r < 0 ? r : strv_append(argv, "-device");
	return r < 0 ? r : strv_appendf(argv, "virtio-9p-device,fsdev=%s,mount_tag=%s", tag, tag);
}

static int add_ports(char ***argv)
{
	static const char *const names[] = {"control", "data", "error"};
	int r = strv_append(argv, "-device");

	r = r < 0 ? r : strv_append(argv, "virtio-serial-device");
	for (unsigned i = 0; r == 0 && i < VM_PORTS; i++) {
		r = strv_append(argv, "-chardev");
		r = r < 0 ? r : strv_appendf(argv, "socket,id=%s,fd=%u", names[i], VM_PORT_FD + i);
		r = r < 0 ? r : strv_append(argv, "-device");
		r = r < 0 ? r
			  : strv_appendf(argv, "virtserialport,chardev=%s,nr=%u,name=cloche.%s",
				    names[i], i + 1, names[i]);
	}
	return r;
}

static int qemu_argv(const struct host *host, const struct machine *machine, char ***argv)
{
	static const char *const fixed[] = {QEMU, "-no-user-config", "-nodefaults", "-display",
		"none", "-no-reboot", "-sandbox",
		"on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny", "-M",
		"microvm,acpi=on,pit=on,pic=on,rtc=on,memory-backend=ram", NULL};
	static const char *const kvm[] = {"-accel", "kvm", "-cpu", "host", NULL};
	/* Its clocks count its instructions: a machine that is starved finds none of them late. Without
	 * that the kernel's first measuring of its clocks fails on a busy host, and it hangs. */
	static const char *const tcg[] = {
		"-accel", "tcg,tb-size=64", "-cpu", "max", "-icount", "shift=2,sleep=on", NULL};
	/* The kernel's tests of its own ciphers, of which it needs none, would be half of the boot. */
	static const char *const console[] = {"-serial", "stdio", "-append",
		"console=ttyS0 quiet loglevel=3 panic=-1 oops=panic cryptomgr.notests=1", NULL};
	uint64_t mib = machine->memory / MIB;
	int r = add_all(argv, fixed);

	r = r < 0 ? r : strv_append(argv, "-object");
	r = r < 0 ? r
		  : strv_appendf(
			    argv, "memory-backend-ram,id=ram,size=%lluM", (unsigned long long)mib);
	r = r < 0 ? r : add_all(argv, host->guest.kvm ? kvm : tcg);
	r = r < 0 ? r : strv_append(argv, "-m");
	r = r < 0 ? r : strv_appendf(argv, "%lluM", (unsigned long long)mib);
	r = r < 0 ? r : strv_append(argv, "-smp");
	r = r < 0 ? r : strv_appendf(argv, "%u", machine->processors);
	r = r < 0 ? r : strv_append(argv, "-kernel");
	r = r < 0 ? r : strv_appendf(argv, "%s/kernel", host->guest.dir);
	r = r < 0 ? r : strv_append(argv, "-initrd");
	r = r < 0 ? r : strv_appendf(argv, "%s/initrd", host->guest.dir);
	r = r < 0 ? r : add_all(argv, console);
	r = r < 0 ? r : add_ports(argv);
	r = r < 0 ? r : add_files(argv, "root", EXPORT, true);
	return r < 0 || !machine->scopes ? r : add_files(argv, "scopes", SCOPES, false);
}

static int jail_spec(const struct spec *spec, const struct host *host,
	const struct machine *machine, bool why, struct spec *ret)
{
	int r = 0;

	spec_init(ret);
	ret->why = why;
	ret->memory = machine->memory + QEMU_OVERHEAD;
	ret->pids = 64 + 2 * machine->processors;
	ret->cpu_milli = spec->cpu_milli;
	ret->disk = MIB;
	ret->timeout = spec->timeout ? spec->timeout + BACKSTOP_SECONDS : 0;
	ret->hostname = strdup("microvm");
	ret->user = strdup("microvm");
	if (!ret->hostname || !ret->user) {
		return -ENOMEM;
	}
	r = strv_append(&ret->readable, host->guest.dir);
	r = r < 0 ? r : strv_appendf(&ret->args, "%s/relay", host->guest.dir);
	r = r < 0 ? r : strv_appendf(&ret->args, "%llu", (unsigned long long)spec->timeout);
	r = r < 0 ? r : strv_append(&ret->args, SESSION_FILE);
	r = r < 0 ? r : strv_append(&ret->args, "--");
	return r < 0 ? r : qemu_argv(host, machine, &ret->args);
}

static int add_text_mount(struct plan *jail, const char *path, const char *content)
{
	struct plan_mount *mount = plan_add_mount(jail, PLAN_MOUNT_FILE, NULL, path, 0);

	if (!mount) {
		return -ENOMEM;
	}
	mount->mode = 0444;
	mount->content = strdup(content);
	return mount->content ? 0 : -ENOMEM;
}

static int add_dir_mount(struct plan *jail, const char *path)
{
	struct plan_mount *mount = plan_add_mount(jail, PLAN_MOUNT_DIR, NULL, path, 0);

	if (!mount) {
		return -ENOMEM;
	}
	mount->mode = 0755;
	return 0;
}

/* A source of the session's plan, put into the jail below prefix. flags: what it gets there. */
static int add_source(
	struct plan *jail, const struct plan_mount *from, const char *target, uint32_t flags)
{
	const uint32_t kept = PLAN_OPTIONAL | PLAN_FOLLOW | PLAN_IN_ROOT;
	struct plan_mount *mount = plan_add_mount(jail, PLAN_MOUNT_BIND, from->source, target,
		(from->flags & kept) | PLAN_NOSUID | PLAN_NODEV | flags);

	if (!mount) {
		return -ENOMEM;
	}
	if (from->content && (from->flags & PLAN_IN_ROOT)) {
		mount->content = strdup(from->content);
		return mount->content ? 0 : -ENOMEM;
	}
	return 0;
}

/* Where a source lies in what is exported: where it lies on the host. */
static char *export_path(const struct plan_mount *mount)
{
	const char *root = mount->flags & PLAN_IN_ROOT ? mount->content : "";
	const char *source = strcmp(mount->source, "/") == 0 ? "" : mount->source;
	char *path = NULL;

	return asprintf(&path, EXPORT "%s%s", root, source) < 0 ? NULL : path;
}

static bool has_source(const struct plan_mount *mount)
{
	return (mount->kind == PLAN_MOUNT_BIND && !(mount->flags & PLAN_INSIDE)) ||
		mount->kind == PLAN_MOUNT_OVERLAY;
}

/* Of the whole tree, what is alive on the host; of a made one, the places the guest mounts on. */
static int add_live_places(struct plan *jail, bool broad)
{
	static const char *const places[] = {"/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp"};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(places); i++) {
		char path[32];
		(void)snprintf(path, sizeof(path), EXPORT "%s", places[i]);
		if (!broad) {
			r = add_dir_mount(jail, path);
		} else if (!plan_add_mount(jail, PLAN_MOUNT_MASK, NULL, path, PLAN_OPTIONAL)) {
			r = -ENOMEM;
		}
	}
	return r;
}

/* idmap: where owners have to be those that the guest knows the session by. */
static int add_exports(const struct plan *session, bool idmap, struct plan *jail)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < session->mount_count; i++) {
		const struct plan_mount *mount = &session->mounts[i];
		cleanup_free char *path = NULL;
		bool own = idmap &&
			(mount->kind == PLAN_MOUNT_OVERLAY || vm_session_is_scope(mount)) &&
			!(mount->flags & PLAN_FOLLOW);
		if (!has_source(mount) || strcmp(mount->source, "/") == 0) {
			continue;
		}
		path = export_path(mount);
		r = path ? add_source(jail, mount, path, PLAN_READ_ONLY | (own ? PLAN_IDMAP : 0))
			 : -ENOMEM;
	}
	return r;
}

static int add_scopes(const struct plan *session, bool idmap, struct plan *jail)
{
	unsigned number = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < session->mount_count; i++) {
		const struct plan_mount *mount = &session->mounts[i];
		char path[32];
		if (!vm_session_is_scope(mount)) {
			continue;
		}
		(void)snprintf(path, sizeof(path), SCOPES "/%u", number++);
		/* /tmp is everybody's already. */
		r = add_source(
			jail, mount, path, idmap && !(mount->flags & PLAN_FOLLOW) ? PLAN_IDMAP : 0);
	}
	return r;
}

/* What the session is denied is not in the jail either. */
static int add_denials(const struct spec *spec, uint32_t without, struct plan *jail)
{
	int r = 0;

	for (size_t i = 0; r == 0 && spec->read_deny && spec->read_deny[i]; i++) {
		cleanup_free char *path = NULL;
		if (without & PLAN_LAYER_READ_DENY) {
			break;
		}
		if (asprintf(&path, EXPORT "%s", spec->read_deny[i]) < 0 ||
			!plan_add_mount(jail, PLAN_MOUNT_MASK, NULL, path, PLAN_OPTIONAL)) {
			r = -ENOMEM;
		}
	}
	return r;
}

static int fill_jail(const struct spec *spec, const struct host *host, const struct plan *session,
	const char *text, struct plan *jail)
{
	const int abi = jail->landlock.abi;
	const uint64_t reading = landlock_access_read(abi);
	const bool broad = strv_length(spec->readable) == 0 && spec->root == ROOT_HOST;
	int r = add_dir_mount(jail, "/cloche");

	r = r < 0 ? r : add_text_mount(jail, SESSION_FILE, text);
	r = r < 0 ? r : add_dir_mount(jail, EXPORT);
	r = r < 0 ? r : add_dir_mount(jail, SCOPES);
	if (r == 0 && broad &&
		!plan_add_mount(jail, PLAN_MOUNT_BIND, "/", EXPORT,
			PLAN_READ_ONLY | PLAN_NOSUID | PLAN_NODEV)) {
		r = -ENOMEM;
	}
	r = r < 0 ? r : add_live_places(jail, broad);
	r = r < 0 ? r : add_exports(session, host->root, jail);
	r = r < 0 ? r : add_scopes(session, host->root, jail);
	r = r < 0 ? r : add_denials(spec, session->without, jail);
	if (r == 0 && host->guest.kvm &&
		!plan_add_mount(jail, PLAN_MOUNT_DEVICE, "/dev/kvm", "/dev/kvm", 0)) {
		r = -ENOMEM;
	}
	if (r == 0 && abi > 0) {
		r = plan_add_path_rule(jail, "/cloche", reading);
		r = r < 0 ? r : plan_add_path_rule(jail, EXPORT, reading);
		r = r < 0 ? r
			  : plan_add_path_rule(jail, SCOPES, reading | landlock_access_write(abi));
	}
	return r;
}

/*
 * The session's id in the guest is QEMU's id in the jail, so that owners need no translation by 9p:
 * idmapped mounts of the jail do it.
 */
static void map_ids(struct plan *jail)
{
	const uint32_t id = VM_ID_BASE + VM_SESSION_UID;

	jail->uid = jail->gid = id;
	if (jail->uid_map[0].own) {
		jail->uid_map[0].inside = id;
		return;
	}
	jail->uid_map[0].count = 1;
	jail->uid_map[1] = (struct plan_id_map){.inside = id, .count = 1, .offset = VM_SESSION_UID};
	jail->id_map_count = 2;
}

static int compile_jail(const struct spec *spec, const struct host *host,
	const struct machine *machine, const char *text, struct plan *plan, struct err *err)
{
	cleanup(plan_freep) struct plan *jail = NULL;
	struct spec inner;
	int r = jail_spec(spec, host, machine, plan_has_caveat(plan, NATIVE_DOOR_CAVEAT), &inner);

	r = r < 0 ? r : backend_native.compile(&inner, host, 0, &jail, err);
	spec_fini(&inner);
	if (r < 0) {
		return r;
	}
	map_ids(jail);
	r = fill_jail(spec, host, plan, text, jail);
	r = r < 0 ? r : plan_seal(jail);
	r = r < 0 ? r : strv_copy(jail->argv, &plan->command);
	if (r == 0) {
		plan->jail = take_ptr(&jail);
	}
	return r;
}

/* What native has to say of a kernel that is shared does not hold of one that is not. */
static bool is_about_sharing(const char *code)
{
	static const char *const codes[] = {"kernel.isolation.shared", "host.conceal.uptime",
		"session.fresh.host_quotas", "fs.write_scope.shares_sockets",
		"fs.read_host.sockets_reachable"};

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		if (strcmp(code, codes[i]) == 0) {
			return true;
		}
	}
	return false;
}

static void drop_caveats(struct plan *plan)
{
	size_t kept = 0;

	for (size_t i = 0; i < plan->caveat_count; i++) {
		struct caveat *caveat = &plan->caveats[i];
		if (is_about_sharing(caveat->code)) {
			free(caveat->code);
			free(caveat->text);
			free(caveat->remedy);
		} else {
			plan->caveats[kept++] = *caveat;
		}
	}
	plan->caveat_count = kept;
}

static int note(const struct spec *spec, const struct host *host, struct plan *plan)
{
	const struct promise_note table[] = {
		{!host->guest.kvm, "vm.no_kvm"},
		{true, "vm.root.cached"},
		{spec->memory == 0, "vm.memory.default"},
		{plan->jail->uid_map[0].own, "id.single_uid"},
		{host->root && host->id_count == 0, "userns.no_range"},
		{spec->why && !plan_has_caveat(plan, NATIVE_DOOR_CAVEAT) &&
				!plan_has_caveat(plan, "session.no_why"),
			"session.no_why"},
	};

	drop_caveats(plan);
	return promise_note_all(table, ARRAY_SIZE(table), plan);
}

/*
 * What the session's own plan keeps, the guest's kernel keeps, where the testkit's eye reads it; what
 * a kernel of its own adds is here. A socket or FIFO of the host that can be seen cannot be reached:
 * the guest opens one of its own, and QEMU opens plain files only.
 */
static void choose_uses(const struct spec *spec, struct plan *plan)
{
	const uint32_t ipc = PLAN_LAYER_IPC | PLAN_LAYER_KEYRING | PLAN_LAYER_DEV |
		PLAN_LAYER_FILTER | PLAN_LAYER_MOUNT | PLAN_LAYER_NET;

	capability_set_add(&plan->uses, CAPABILITY_KERNEL_ISOLATION);
	if (!(plan->without & ipc)) {
		capability_set_add(&plan->uses, CAPABILITY_IPC_RESTRICT);
	}
	plan->timeout = plan->without & PLAN_LAYER_TIME ? 0 : spec->timeout;
	if (plan->timeout > 0) {
		capability_set_add(&plan->uses, CAPABILITY_RES_TIME);
	}
	plan->uses.bits &= backend_microvm.enforces.bits;
}

static bool has_scopes(const struct plan *session)
{
	for (size_t i = 0; i < session->mount_count; i++) {
		if (vm_session_is_scope(&session->mounts[i])) {
			return true;
		}
	}
	return false;
}

static struct vm_facts facts_of(const struct host *host)
{
	struct vm_facts facts = {.landlock_abi = host->guest.landlock_abi,
		.merged_usr = host->merged_usr,
		.processors = host->processors};

	(void)strcpy(facts.kit, host->guest.digest);
	return facts;
}

static int fill(
	const struct spec *spec, const struct host *host, struct plan *plan, struct err *err)
{
	const struct vm_facts facts = facts_of(host);
	struct machine machine = {.scopes = has_scopes(plan)};
	cleanup_free char *text = vm_session_text(spec, &facts, plan->without, plan->digest);
	int r = 0;

	if (!text) {
		return -ENOMEM;
	}
	if (strlen(text) > VM_SESSION_MAX) {
		return err_refuse(err, E2BIG, "the session's arguments and variables are too long");
	}
	choose_machine(spec, host, &machine);
	plan->backend = "microvm";
	plan->kernel = PLAN_KERNEL_GUEST;
	choose_uses(spec, plan);
	r = compile_jail(spec, host, &machine, text, plan, err);
	r = r < 0 ? r : note(spec, host, plan);
	return r < 0 ? r : plan_seal(plan);
}

static int microvm_compile(const struct spec *spec, const struct host *host, uint32_t without,
	struct plan **ret_plan, struct err *err)
{
	const struct vm_facts facts = facts_of(host);
	cleanup(plan_freep) struct plan *plan = NULL;
	int r = spec_validate(spec, err);

	r = r < 0 ? r : refuse_without_kit(host, err);
	r = r < 0 ? r : refuse_unsupported(spec, err);
	r = r < 0 ? r : vm_session_compile(spec, &facts, without, &plan, err);
	r = r < 0 ? r : fill(spec, host, plan, err);
	if (r == -ENOMEM) {
		return err_set(err, ENOMEM, "compiling the plan");
	}
	if (r == 0) {
		*ret_plan = take_ptr(&plan);
	}
	return r;
}

/* ---- a running one ---- */

static struct microvm *microvm(struct sandbox *sandbox)
{
	assert(sandbox->backend == &backend_microvm);
	return (struct microvm *)sandbox;
}

static void microvm_destroy(struct sandbox *sandbox)
{
	struct microvm *vm = NULL;

	if (!sandbox) {
		return;
	}
	vm = microvm(sandbox);
	close_fdp(&sandbox->event);
	close_fdp(&sandbox->pidfd);
	close_fdp(&sandbox->pty);
	close_fdp(&vm->report);
	launcher_destroy(vm->jail);
	free(vm);
}

/* The relay's word on how the boot went. */
static int await_started(struct microvm *vm, struct err *err)
{
	struct vm_report report = {0};
	struct pollfd wait = {.fd = vm->report, .events = POLLIN};
	int r = 0;

	do {
		r = poll(&wait, 1, START_TIMEOUT_MS);
	} while (r < 0 && errno == EINTR);
	if (r <= 0) {
		return err_set(err, r == 0 ? ETIMEDOUT : errno, "waiting for the guest");
	}
	if (io_receive(vm->report, &report, sizeof(report), NULL, 0, NULL, 0) !=
		(ssize_t)sizeof(report)) {
		return err_set(err, EPIPE, "the machine died while it was booting");
	}
	report.text[sizeof(report.text) - 1] = '\0';
	if (report.type == VM_FAILED) {
		return err_refuse(err, report.code > 0 ? report.code : EIO, "%s", report.text);
	}
	if (report.type != VM_STARTED) {
		return err_set(err, EPROTO, "the relay said something unexpected");
	}
	vm->boot_usec = report.boot_usec;
	return 0;
}

static int take_over(struct microvm *vm, struct err *err)
{
	vm->base.event = fcntl(vm->jail->event, F_DUPFD_CLOEXEC, 0);
	vm->base.pidfd = fcntl(vm->jail->pidfd, F_DUPFD_CLOEXEC, 0);
	if (vm->base.event < 0 || vm->base.pidfd < 0) {
		return err_set(err, errno, "holding the machine");
	}
	vm->base.pid = vm->jail->pid;
	vm->base.pty = take_fd(&vm->jail->pty);
	memcpy(vm->base.id, vm->jail->id, sizeof(vm->base.id));
	return 0;
}

static int launch(struct microvm *vm, const struct plan *plan, const struct host *host,
	const struct sandbox_stdio *io, struct err *err)
{
	struct sandbox_stdio inner = *io;
	cleanup_close int theirs = -1;
	int pair[2];
	int r = 0;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		return err_set(err, errno, "making the report socket");
	}
	vm->report = pair[0];
	theirs = pair[1];
	inner.report = &theirs;
	r = launcher_start(plan->jail, host, &inner, &vm->jail, err);
	if (r < 0) {
		return err_wrap(err, "starting QEMU's jail");
	}
	close_fdp(&theirs);
	r = await_started(vm, err);
	return r < 0 ? r : take_over(vm, err);
}

static int microvm_start(const struct plan *plan, const struct host *host,
	const struct sandbox_stdio *io, struct sandbox **ret_sandbox, struct err *err)
{
	struct microvm *vm = calloc(1, sizeof(*vm));
	int r = 0;

	if (!vm) {
		return err_set(err, ENOMEM, "starting a machine");
	}
	vm->base =
		(struct sandbox){.backend = &backend_microvm, .pidfd = -1, .event = -1, .pty = -1};
	vm->report = -1;
	r = launch(vm, plan, host, io, err);
	if (r < 0) {
		microvm_destroy(&vm->base);
		return r;
	}
	*ret_sandbox = &vm->base;
	return 0;
}

/* To the relay, which passes it in; SIGKILL ends the relay, and with it the machine. */
static int microvm_signal(struct sandbox *sandbox, int signo)
{
	return launcher_signal(microvm(sandbox)->jail, signo);
}

/*
 * A relay that is no longer ours could send for ever. What a guest says of its limits is told to its user,
 * written down, and counted against that user: a guest can only hurt or spare its own.
 */
static void read_reports(struct microvm *vm)
{
	struct vm_report report;

	for (int i = 0; i < REPORTS &&
		io_receive(vm->report, &report, sizeof(report), NULL, 0, NULL, MSG_DONTWAIT) ==
			(ssize_t)sizeof(report);
		i++) {
		vm->timed_out |= report.type == VM_EXITED && report.code == 1;
		if (report.type == VM_WHY) {
			vm->killed = report.killed;
			vm->refused = report.refused;
		}
	}
}

static int microvm_poll_exit(struct sandbox *sandbox, struct sandbox_exit *ret)
{
	struct microvm *vm = microvm(sandbox);
	int r = launcher_poll_exit(vm->jail, ret);

	if (r != 1) {
		return r;
	}
	/* Said before the relay ended, so it is there. */
	read_reports(vm);
	ret->timed_out |= vm->timed_out;
	return 1;
}

/* Of QEMU as a whole. Its tasks are threads of its own, not the session's. */
static void microvm_usage(struct sandbox *sandbox, struct sandbox_usage *ret)
{
	struct microvm *vm = microvm(sandbox);

	read_reports(vm);
	launcher_usage(vm->jail, ret);
	ret->pids_peak = 0;
	ret->boot_usec = vm->boot_usec;
	ret->oom_kills += vm->killed;
	ret->pids_refused += vm->refused;
}

/* The jail's, which the relay asks at for the guest. */
static void microvm_take_door(struct sandbox *sandbox, struct sandbox_door *ret)
{
	launcher_take_door(microvm(sandbox)->jail, ret);
}

#define HAS(name) (UINT64_C(1) << CAPABILITY_##name)

const struct backend backend_microvm = {
	.name = "microvm",
	.summary = "a Linux guest of its own for each session, in QEMU, in a sandbox",
	.kernel = PLAN_KERNEL_GUEST,
	.enforces = {HAS(NET_DISABLE) | HAS(FS_READ_HOST) | HAS(FS_READ_SCOPE) | HAS(FS_READ_DENY) |
		HAS(FS_WRITE_DENY) | HAS(FS_WRITE_SCOPE) | HAS(FS_WRITE_EPHEMERAL) |
		HAS(ENV_SCRUB) | HAS(PROC_NO_EXEC) | HAS(KERNEL_ISOLATION) | HAS(IPC_RESTRICT) |
		HAS(RES_CPU) | HAS(RES_MEMORY) | HAS(RES_PIDS) | HAS(RES_DISK) | HAS(RES_TIME) |
		HAS(PROC_ISOLATION) | HAS(KERNEL_FILTER) | HAS(PRIV_NONE) | HAS(DEV_MINIMAL) |
		HAS(TTY_ISOLATE) | HAS(HOST_CONCEAL) | HAS(SESSION_FRESH)},
	.probe = microvm_probe,
	.compile = microvm_compile,
	.start = microvm_start,
	.signal = microvm_signal,
	.poll_exit = microvm_poll_exit,
	.usage = microvm_usage,
	.take_door = microvm_take_door,
	.destroy = microvm_destroy,
};
