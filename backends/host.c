#include "backends/host.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "backends/linux/cgroup.h"
#include "backends/linux/kernel.h"
#include "backends/linux/landlock.h"
#include "backends/vm/kit.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/parse.h"

/*
 * Two depths. host_probe() reads a handful of kernel files and takes hints: it runs on the way to
 * every sandbox and must cost next to nothing. host_probe_deep() does the things in children.
 *
 * Ids for sessions lie above what useradd hands out as subordinate ids (up to 600100000 on Debian)
 * and inside what systemd keeps for containers (up to 1879048191), which looks before it takes.
 */
#define ID_FIRST UINT32_C(0x24000000)
#define ID_END UINT32_C(0x70000000)

#define SMALL_FILE 4096
#define LARGE_FILE (1 << 20)

static const char *const controller_names[] = {
	[CGROUP_MEMORY] = "memory",
	[CGROUP_PIDS] = "pids",
	[CGROUP_CPU] = "cpu",
};

/* A kernel switch: 0 or more; fallback where there is no such file. */
static uint64_t read_switch(const char *path, uint64_t fallback)
{
	char text[32];
	uint64_t value;
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (n <= 0) {
		return fallback;
	}
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return parse_u64(text, &value) < 0 ? fallback : value;
}

/* True when one of the items of list (separated by any of separators) is item. */
static bool list_has(const char *list, const char *item, const char *separators)
{
	size_t length = strlen(item);

	while (*list) {
		size_t n = strcspn(list, separators);
		if (n == length && strncmp(list, item, n) == 0) {
			return true;
		}
		list += n;
		list += strspn(list, separators);
	}
	return false;
}

/* One line of /proc/self/mountinfo, cut up in place. */
struct mount_line {
	char *root, *point, *type, *super;
};

/* Cuts the next word off *rest. "" at the end. */
static char *next_word(char **rest)
{
	char *word = strsep(rest, " ");
	static char none[4];

	return word ? word : none;
}

static struct mount_line parse_mount(char *line)
{
	struct mount_line mount;

	for (int i = 0; i < 3; i++) {
		(void)next_word(&line); /* id, parent, device */
	}
	mount.root = next_word(&line);
	mount.point = next_word(&line);
	while (line && strcmp(next_word(&line), "-") != 0) {
		/* options, then optional fields up to the dash */
	}
	mount.type = next_word(&line);
	(void)next_word(&line); /* source */
	mount.super = next_word(&line);
	return mount;
}

/* What is gathered on the way to the answers. */
struct facts {
	bool root;
	char mount_v1[CGROUP_CONTROLLERS][128], mount_v2[128];
	char own_v2[256]; /* our place in the v2 tree */
	bool proc_covered;
};

static void copy(char *to, size_t size, const char *from)
{
	(void)snprintf(to, size, "%s", from);
}

static void learn_mount(struct facts *facts, const struct mount_line *mount)
{
	/* A mask over a part of /proc makes the kernel refuse a new procfs to a user namespace. */
	if (strncmp(mount->point, "/proc/", 6) == 0 &&
		strcmp(mount->point, "/proc/sys/fs/binfmt_misc") != 0 &&
		strcmp(mount->point, "/proc/fs/nfsd") != 0) {
		facts->proc_covered = true;
	}
	if (strcmp(mount->type, "cgroup2") == 0) {
		copy(facts->mount_v2, sizeof(facts->mount_v2), mount->point);
	}
	for (int i = 0; strcmp(mount->type, "cgroup") == 0 && i < CGROUP_CONTROLLERS; i++) {
		if (list_has(mount->super, controller_names[i], ",")) {
			copy(facts->mount_v1[i], sizeof(facts->mount_v1[i]), mount->point);
		}
	}
}

static int learn_mounts(struct facts *facts)
{
	cleanup_free char *text = NULL;
	char *rest, *line;
	int r = io_read_file(AT_FDCWD, "/proc/self/mountinfo", LARGE_FILE, &text, NULL);

	if (r < 0) {
		return r;
	}
	for (rest = text; (line = strsep(&rest, "\n")) && *line;) {
		struct mount_line mount = parse_mount(line);
		learn_mount(facts, &mount);
	}
	return 0;
}

/* Our place in the v2 tree. A leaf that we moved to ourselves counts as where we came from. */
static void learn_own_cgroup(struct facts *facts)
{
	static const char leaf[] = "/" HOST_CGROUP_LEAF;
	cleanup_free char *text = NULL;
	char *rest, *line;

	if (io_read_file(AT_FDCWD, "/proc/self/cgroup", SMALL_FILE, &text, NULL) < 0) {
		return;
	}
	for (rest = text; (line = strsep(&rest, "\n"));) {
		if (strncmp(line, "0::/", 4) == 0) {
			size_t n;

			copy(facts->own_v2, sizeof(facts->own_v2), line + 3);
			n = strlen(facts->own_v2);
			if (n >= sizeof(leaf) - 1 &&
				strcmp(facts->own_v2 + n - (sizeof(leaf) - 1), leaf) == 0) {
				facts->own_v2[n - (sizeof(leaf) - 1)] = '\0';
			}
			if (strcmp(facts->own_v2, "/") == 0) {
				facts->own_v2[0] = '\0';
			}
		}
	}
}

/*
 * The v2 directory that our directory goes into. What systemd delegated to us is ours to divide;
 * else root takes the top of the tree, and everybody else has nothing.
 */
static bool choose_v2(const struct facts *facts, char *base, size_t size)
{
	char mark[4] = "";

	if (!facts->mount_v2[0]) {
		return false;
	}
	if (snprintf(base, size, "%s%s", facts->mount_v2, facts->own_v2) >= (int)size) {
		return false;
	}
	bool delegated = facts->own_v2[0] &&
		(getxattr(base, "trusted.delegate", mark, sizeof(mark) - 1) > 0 ||
			getxattr(base, "user.delegate", mark, sizeof(mark) - 1) > 0) &&
		mark[0] == '1';
	if (!delegated && facts->root) {
		copy(base, size, facts->mount_v2);
	}
	return faccessat(AT_FDCWD, base, W_OK, AT_EACCESS) == 0;
}

static void probe_v1(const struct facts *facts, struct host *host)
{
	for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
		struct host_cgroup *cgroup = &host->cgroup[i];

		if (facts->root && facts->mount_v1[i][0] &&
			faccessat(AT_FDCWD, facts->mount_v1[i], W_OK, AT_EACCESS) == 0) {
			cgroup->version = 1;
			(void)snprintf(cgroup->path, sizeof(cgroup->path), "%s/cloche",
				facts->mount_v1[i]);
		}
	}
}

static void probe_v2(const struct facts *facts, struct host *host)
{
	char base[200], file[256];
	cleanup_free char *controllers = NULL;

	if (!choose_v2(facts, base, sizeof(base))) {
		return;
	}
	(void)snprintf(file, sizeof(file), "%s/cgroup.controllers", base);
	if (io_read_file(AT_FDCWD, file, SMALL_FILE, &controllers, NULL) < 0) {
		return;
	}
	for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
		if (list_has(controllers, controller_names[i], " \n")) {
			host->cgroup[i].version = 2;
			(void)snprintf(host->cgroup[i].path, sizeof(host->cgroup[i].path),
				"%s/cloche", base);
		}
	}
	(void)snprintf(host->cgroup_kill, sizeof(host->cgroup_kill), "%s/cloche", base);
}

/* True when we hold this kernel capability now. */
static bool holds(unsigned capability)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {0};

	return syscall(SYS_capget, &header, data) == 0 &&
		(data[capability / 32].effective >> capability % 32 & 1);
}

/* The ids of [ID_FIRST, ID_END) that exist where we are: a container of our own may have fewer. */
static void probe_ids(struct host *host)
{
	cleanup_free char *text = NULL;
	unsigned long long inside, outside, count;

	if (!host->root ||
		io_read_file(AT_FDCWD, "/proc/self/uid_map", SMALL_FILE, &text, NULL) < 0) {
		return;
	}
	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (sscanf(line, "%llu %llu %llu", &inside, &outside, &count) != 3) {
			continue;
		}
		uint64_t first = inside > ID_FIRST ? inside : ID_FIRST;
		uint64_t end = inside + count < ID_END ? inside + count : ID_END;
		if (first < end && end - first > host->id_count) {
			host->id_base = (uint32_t)((first + 65535) / 65536 * 65536);
			host->id_count = end > host->id_base ? (uint32_t)(end - host->id_base) : 0;
		}
	}
}

static bool has_filesystem(const char *name)
{
	cleanup_free char *text = NULL;

	return io_read_file(AT_FDCWD, "/proc/filesystems", SMALL_FILE, &text, NULL) == 0 &&
		list_has(text, name, " \t\n");
}

static bool may_make_user_namespaces(const struct host *host)
{
	return read_switch("/proc/sys/user/max_user_namespaces", 0) > 0 &&
		(host->root ||
			(read_switch("/proc/sys/kernel/unprivileged_userns_clone", 1) == 1 &&
				read_switch(
					"/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
					0) == 0));
}

static bool has_audit(void)
{
	cleanup_close int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_AUDIT);

	return fd >= 0 && holds(CAP_AUDIT_READ);
}

static bool kernel_is_at_least(const char *release, unsigned major, unsigned minor)
{
	unsigned a = 0, b = 0;

	return sscanf(release, "%u.%u", &a, &b) == 2 && (a > major || (a == major && b >= minor));
}

static uint32_t count_processors(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0
		? (uint32_t)CPU_COUNT(&set)
		: (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
}

static bool links_into_usr(const char *path, const char *where)
{
	char text[16];
	ssize_t length = readlink(path, text, sizeof(text));

	return length == (ssize_t)strlen(where) && memcmp(text, where, (size_t)length) == 0;
}

static void learn_resolv_conf(struct host *host)
{
	cleanup_free char *path = realpath("/etc/resolv.conf", NULL);

	copy(host->resolv_conf, sizeof(host->resolv_conf), path ? path : "");
}

/* A variable that does not fit is as good as none: the engine will not be found there. */
static void probe_engines(struct host *host)
{
	const char *docker = getenv("DOCKER_HOST");
	const char *conf = getenv("CONTAINERS_CONF");
	const char *storage = getenv("CONTAINERS_STORAGE_CONF");

	copy(host->docker_host, sizeof(host->docker_host),
		docker && *docker ? docker : HOST_DOCKER_DEFAULT);
	copy(host->containers_conf, sizeof(host->containers_conf), conf ? conf : "");
	copy(host->containers_storage_conf, sizeof(host->containers_storage_conf),
		storage ? storage : "");
}

int host_probe(struct host *ret, struct err *err)
{
	struct facts facts = {0};
	struct host host = {0};
	struct utsname name;
	int r;

	if (uname(&name) < 0) {
		return err_set(err, errno, "asking for the kernel's name");
	}
	copy(host.release, sizeof(host.release), name.release);
	copy(host.machine, sizeof(host.machine), name.machine);
	host.root = geteuid() == 0 && holds(CAP_SYS_ADMIN) && holds(CAP_SETUID);
	facts.root = host.root;
	r = learn_mounts(&facts);
	if (r < 0) {
		return err_set(err, -r, "reading /proc/self/mountinfo");
	}
	learn_own_cgroup(&facts);
	probe_v1(&facts, &host);
	probe_v2(&facts, &host);
	probe_ids(&host);
	probe_engines(&host);
	host.user_namespaces = may_make_user_namespaces(&host);
	host.proc_mountable = !facts.proc_covered;
	host.overlay = has_filesystem("overlay") && kernel_is_at_least(host.release, 5, 11);
	host.clone_into_cgroup = host.cgroup_kill[0] && kernel_is_at_least(host.release, 5, 7);
	host.landlock_abi = landlock_abi();
	host.merged_usr = links_into_usr("/bin", "usr/bin") && links_into_usr("/lib", "usr/lib");
	host.legacy_tiocsti = read_switch("/proc/sys/dev/tty/legacy_tiocsti", 1) != 0;
	host.audit_landlock = host.landlock_abi >= 7 && has_audit();
	learn_resolv_conf(&host);
	host.nft = access("/usr/sbin/nft", X_OK) == 0;
	host.processors = count_processors();
	vm_kit_probe(&host.guest);
	*ret = host;
	return 0;
}

/* The proofs, run as the first process of new namespaces: each is a bit of the exit code. */
enum proof { PROOF_USER = 1, PROOF_PROC = 2, PROOF_OVERLAY = 4 };

static bool overlay_mounts(void)
{
	if (mount("tmpfs", "/tmp", "tmpfs", 0, "size=1m") < 0 || mkdir("/tmp/lower", 0755) < 0 ||
		mkdir("/tmp/upper", 0755) < 0 || mkdir("/tmp/work", 0755) < 0 ||
		mkdir("/tmp/merged", 0755) < 0) {
		return false;
	}
	return mount("overlay", "/tmp/merged", "overlay", MS_NOSUID | MS_NODEV,
		       "userxattr,lowerdir=/tmp/lower,upperdir=/tmp/upper,workdir=/tmp/work") == 0;
}

static int write_map(const char *file, unsigned id)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "0 %u 1", id);
	return io_write_file(AT_FDCWD, file, text);
}

static int prove_inside(void)
{
	int proofs = PROOF_USER;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		return proofs;
	}
	/* Before overlay, which covers /tmp; anywhere will do, /proc is sure to be there. */
	if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0) {
		proofs |= PROOF_PROC;
	}
	return overlay_mounts() ? proofs | PROOF_OVERLAY : proofs;
}

/* The middle process: makes the namespaces and waits for the first process in them. */
static int prove(void)
{
	unsigned uid = geteuid(), gid = getegid();
	int status;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID) < 0 ||
		io_write_file(AT_FDCWD, "/proc/self/setgroups", "deny") < 0 ||
		write_map("/proc/self/uid_map", uid) < 0 ||
		write_map("/proc/self/gid_map", gid) < 0) {
		return 0;
	}
	pid_t pid = fork();
	if (pid == 0) {
		_exit(prove_inside());
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status)) {
		return 0;
	}
	return WEXITSTATUS(status);
}

static int prove_namespaces(struct host *host, struct err *err)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		_exit(prove());
	}
	if (pid < 0) {
		return err_set(err, errno, "starting a child");
	}
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR) {
			return err_set(err, errno, "waiting for a child");
		}
	}
	int proofs = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
	host->user_namespaces = proofs & PROOF_USER;
	host->proc_mountable = proofs & PROOF_PROC;
	host->overlay = proofs & PROOF_OVERLAY;
	return 0;
}

static bool clones_into(int fd)
{
	struct kernel_clone_args args = {
		.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)fd};
	long pid = kernel_clone3(&args);
	int status;

	if (pid == 0) {
		_exit(0);
	}
	return pid > 0 && waitpid((pid_t)pid, &status, 0) == pid && status == 0;
}

/* Limits that no session would have, only to see each controller's files take a value. */
static void prove_cgroups(struct host *host)
{
	static const struct cgroup_limits limits[CGROUP_CONTROLLERS] = {
		[CGROUP_MEMORY] = {.memory = 64 << 20},
		[CGROUP_PIDS] = {.pids = 16},
		[CGROUP_CPU] = {.cpu_milli = 500},
	};

	host->clone_into_cgroup = false;
	for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
		uint8_t random[16];
		char id[33];
		struct cgroup cgroup;

		if (host->cgroup[i].version == 0) {
			continue;
		}
		io_random(random, sizeof(random));
		if (cgroup_create(host, io_hex(random, sizeof(random), id), &limits[i], &cgroup,
			    NULL) < 0) {
			host->cgroup[i] = (struct host_cgroup){0};
			continue;
		}
		if (!host->clone_into_cgroup && cgroup_clone_fd(&cgroup) >= 0) {
			host->clone_into_cgroup = clones_into(cgroup_clone_fd(&cgroup));
		}
		(void)cgroup_remove(&cgroup);
	}
}

int host_probe_deep(struct host *host, struct err *err)
{
	int r = prove_namespaces(host, err);

	if (r == 0) {
		prove_cgroups(host);
	}
	return r;
}

void host_init_ideal(struct host *host, int abi)
{
	*host = (struct host){
		.release = "6.12.0",
		.machine = "x86_64",
		.root = true,
		.user_namespaces = true,
		.proc_mountable = true,
		.overlay = true,
		.clone_into_cgroup = true,
		.landlock_abi = abi,
		.resolv_conf = "/etc/resolv.conf",
		.nft = true,
		.audit_landlock = abi >= 7,
		.cgroup_kill = "/sys/fs/cgroup/cloche",
		.gvisor = {.known = true,
			.present = true,
			.systrap = true,
			.directfs = true,
			.host_fifo = true,
			.oci_seccomp = true,
			.files = UINT32_MAX},
		.processors = 4,
		.docker_host = HOST_DOCKER_DEFAULT,
		.id_base = ID_FIRST,
		.id_count = ID_END - ID_FIRST,
		.guest = {.dir = "/var/lib/cloche/guest",
			.release = "6.1.0-amd64",
			.digest =
				"0000000000000000000000000000000000000000000000000000000000000000",
			.landlock_abi = 2,
			.kvm = true},
	};
	for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
		host->cgroup[i] = (struct host_cgroup){2, "/sys/fs/cgroup/cloche"};
	}
}
