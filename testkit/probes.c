#include "testkit/probes.h"

#include <string.h>

#include "base/cleanup.h"

#define Q PROBE_QUICK
#define V PROBE_VIRTUAL
#define S PROBE_STATE

const struct probe probe_table[] = {
	{"N.tcp4", Q, "connect to a listener on 127.0.0.1 and bring its token back"},
	{"N.tcp6", Q, "connect to a listener on ::1 and bring its token back"},
	{"N.udp4", Q | V, "send a datagram to 127.0.0.1"},
	{"N.udp6", Q | V, "send a datagram to ::1"},
	{"N.alias", Q, "connect to 127.0.0.2"},
	{"N.own", Q, "connect to an address of the host that is no loopback"},
	{"N.zero", 0, "connect to 0.0.0.0, which means this host"},
	{"N.mapped", 0, "connect to ::ffff:127.0.0.1"},
	{"N.fastopen", 0, "connect without connect(2), by MSG_FASTOPEN"},
	{"N.mptcp", 0, "connect by MPTCP, which filters for TCP do not see"},
	{"N.int80", 0, "connect through the 32-bit system calls"},
	{"N.listen", V, "listen on 127.0.0.1; the host dials in"},
	{"N.route", Q, "ask the kernel for a route to the world; nothing is sent"},
	{"N.links", Q | V, "list the network links"},
	{"N.table", 0, "find the host's listener in /proc/net/tcp"},
	{"N.namespace", Q | S, "shares the host's network namespace"},

	{"F.read-tmp", Q, "read a secret in the host's /tmp"},
	{"F.read-home", Q, "read a secret elsewhere in the host's tree"},
	{"F.read-opath", 0, "read a secret by way of an O_PATH handle"},
	{"F.read-climb", Q, "read a secret by climbing with .. from the working directory"},
	{"F.read-proc-root", Q, "read a secret through /proc/<victim>/root"},
	{"F.deny", Q, "read a secret that the plan takes out"},
	{"F.deny-alias", Q, "read it through /proc/self/root, // and /./"},
	{"F.deny-list", Q, "list the directory that the plan takes out"},
	{"F.deny-mask", Q | S, "a path the plan takes out is the host's object"},
	{"F.scope-read", Q, "read in a listed path"},
	{"F.read-system", Q, "read a file of the operating system"},
	{"F.create", Q | V, "create a file in a directory open to all"},
	{"F.overwrite", Q | V, "overwrite a file open to all"},
	{"F.append", V, "append to a file open to all"},
	{"F.truncate", Q | V, "truncate a file by its path"},
	{"F.unlink", Q | V, "remove a file"},
	{"F.rename", V, "rename a file"},
	{"F.mkdir", V, "make a directory"},
	{"F.symlink", V, "make a symbolic link"},
	{"F.chmod", V, "change the mode of an own file"},
	{"F.times", V, "change the times of an own file"},
	{"F.mmap", V, "write through a shared mapping"},
	{"F.tmpfile", V, "make an unnamed file and link it in"},
	{"F.fifo", 0, "write into a named pipe of the host"},
	{"F.flock", 0, "lock a file of the host against the host"},
	{"F.tmp-private", Q | V, "create a file in /tmp"},
	{"F.vartmp-private", V, "create a file in /var/tmp"},
	{"F.shm-private", Q | V, "create a file in /dev/shm"},
	{"F.scope-create", Q | V, "create a file in a writable path"},
	{"F.scope-overwrite", V, "overwrite a file in a writable path"},
	{"F.scratch", Q | V, "write and read back in the home directory or /tmp"},
	{"F.dirfd", Q, "create a file through an inherited directory descriptor"},
	{"F.rofd", Q, "re-open an inherited read-only descriptor for writing"},
	{"F.root", Q | S, "its root directory is the host's"},
	{"F.mount-flags", Q | S, "a mount of the host's files is writable inside"},

	{"X.self", Q, "start this very program again"},
	{"X.shell", Q, "start /bin/sh"},
	{"X.linker", 0, "start a program through the dynamic linker"},
	{"X.memfd", Q, "start a program that exists only in memory"},
	{"X.tmp", Q, "put a program into a writable place and start it"},
	{"X.writable", 0, "make written memory executable"},

	{"P.see", Q, "read the name of a host process in /proc"},
	{"P.kill0", Q, "ask whether a host process exists, by signal 0"},
	{"P.kill", Q, "signal a host process by kill(2)"},
	{"P.tgkill", 0, "signal a host process by tgkill(2)"},
	{"P.queue", 0, "signal a host process by rt_sigqueueinfo(2)"},
	{"P.pidfd-signal", 0, "signal a host process by pidfd"},
	{"P.group", Q | V, "signal the process group, the launcher's company in it"},
	{"P.group-nice", V, "change the priority of the process group"},
	{"P.seize", Q, "trace a host process"},
	{"P.vm-read", Q, "read memory of a host process by process_vm_readv(2)"},
	{"P.mem", 0, "read memory of a host process through /proc"},
	{"P.getfd", 0, "take a descriptor out of a host process"},
	{"P.limit", 0, "read limits of a host process"},
	{"P.affinity", 0, "set the processors of a host process"},
	{"P.kcmp", 0, "compare itself with a host process"},
	{"P.nice", 0, "change the priority of a host process"},
	{"P.namespace", Q | S, "shares the host's process namespace"},

	{"I.shm", Q, "read System V shared memory of the host"},
	{"I.shm-write", Q, "write System V shared memory of the host"},
	{"I.msg", Q, "send into a System V queue of the host"},
	{"I.sem", Q, "change a System V semaphore of the host"},
	{"I.mq", Q, "send into a POSIX queue of the host"},
	{"I.unix-path", Q, "connect to a host socket by its path in the tree"},
	{"I.unix-tmp", Q, "connect to a host socket in /tmp"},
	{"I.unix-abstract", Q, "connect to an abstract host socket"},
	{"I.unix-datagram", 0, "send to a host datagram socket by path"},
	{"I.unix-abstract-datagram", 0, "send to an abstract host datagram socket"},
	{"I.shm-file", Q, "read POSIX shared memory of the host"},
	{"I.key-session", Q, "read a key in the launcher's session keyring"},
	{"I.key-number", Q, "read a key of the launcher by its number"},
	{"I.key-list", Q, "find a key of the launcher in /proc/keys"},
	{"I.sysv-list", 0, "find the host's segment in /proc/sysvipc"},
	{"I.namespace", Q | S, "shares the host's IPC namespace"},

	{"K.filter", Q | S, "runs without a system-call filter"},
	{"K.filter-default", Q | S, "a call nobody knows passes the filter"},
	{"K.filter-i386", Q | S, "the 32-bit ABI passes the filter"},
	{"K.filter-x32", Q | S, "the x32 ABI passes the filter"},
	{"K.userns", Q, "make a user namespace by unshare(2)"},
	{"K.clone-userns", Q, "make a user namespace by clone(2)"},
	{"K.clone3-userns", Q, "make a user namespace by clone3(2)"},
	{"K.userns-mount", 0, "mount in a nested user namespace"},
	{"K.userns-net", 0, "open a packet socket in a nested user namespace"},
	{"K.uring", Q, "io_uring"},
	{"K.uffd", Q, "userfaultfd"},
	{"K.perf", Q, "performance counters"},
	{"K.bpf", Q, "bpf(2)"},
	{"K.add-key", Q, "add_key(2)"},
	{"K.keyctl", Q, "keyctl(2)"},
	{"K.alg", 0, "an AF_ALG socket"},
	{"K.vsock", Q, "an AF_VSOCK socket, which no network namespace bounds"},
	{"K.netlink-audit", Q, "an audit netlink socket"},
	{"K.netlink-uevent", 0, "a device event netlink socket"},
	{"K.netlink-netfilter", 0, "a netfilter netlink socket"},
	{"K.packet", 0, "a packet socket"},
	{"K.int80", Q, "a 32-bit system call"},
	{"K.int80-socket", Q, "a socket by the 32-bit socketcall"},
	{"K.x32", 0, "an x32 system call"},
	{"K.mount", Q, "mount(2)"},
	{"K.fsopen", Q, "fsopen(2)"},
	{"K.open-tree", Q, "open_tree(2)"},
	{"K.move-mount", 0, "move_mount(2)"},
	{"K.setns", Q, "setns(2)"},
	{"K.pivot", 0, "pivot_root(2)"},
	{"K.handle", Q, "name_to_handle_at(2)"},
	{"K.personality", Q, "personality(2) with READ_IMPLIES_EXEC"},
	{"K.process-vm", Q, "process_vm_readv(2)"},
	{"K.ptrace", 0, "ptrace(2)"},
	{"K.fanotify", 0, "fanotify_init(2)"},
	{"K.numa", 0, "migrate_pages(2)"},
	{"K.memfd-secret", 0, "memfd_secret(2)"},
	{"K.ldt", 0, "modify_ldt(2)"},
	{"K.syslog", 0, "syslog(2)"},
	{"K.quota", 0, "quotactl(2)"},
	{"K.same-kernel", Q | V, "is a process of the host's own kernel"},

	{"V.caps", Q | S, "holds or may gain a kernel capability"},
	{"V.nnp", Q | S, "may gain privileges by exec"},
	{"V.nnp-claim", 0, "says that no_new_privs is off"},
	{"V.host-root", Q | S, "has a user of its own mapped to the host's root"},
	{"V.same-user", S, "runs as a user of the host"},
	{"V.groups", Q | S, "keeps a supplementary group of the launcher"},
	{"V.user-namespaces", Q | S, "may make user namespaces"},
	{"V.setuid-program", Q, "gain a user by a setuid program"},
	{"V.setuid", 0, "become user 0 by setresuid(2)"},
	{"V.core", 0, "may leave core files"},

	{"D.list", Q | S, "has device nodes beyond the usual six and terminals"},
	{"D.planted", Q, "open a device node that lies in the host's tree"},
	{"D.fuse", 0, "open /dev/fuse"},
	{"D.tun", 0, "open /dev/net/tun"},
	{"D.kvm", 0, "open /dev/kvm"},
	{"D.kmsg", 0, "open /dev/kmsg"},
	{"D.push", Q, "push input into the launcher's terminal (TIOCSTI)"},
	{"D.push-high", Q, "the same with a bit the kernel ignores"},
	{"D.tty", Q, "open the launcher's terminal as /dev/tty"},
	{"D.pts", 0, "open the launcher's terminal by its name"},
	{"D.push-door", Q, "the call for pushing input is let through"},
	{"D.linux-door", Q, "the call for console pasting is let through"},
	{"D.session", Q | S, "belongs to the launcher's session"},

	{"L.hostname", Q | V, "the host's name"},
	{"L.uts", Q | S, "shares the host's name namespace"},
	{"L.machine", Q | V, "the host's machine-id"},
	{"L.cmdline", Q | V, "the kernel's command line"},
	{"L.boot-id", V, "the boot id"},
	{"L.version", V, "the kernel's version"},
	{"L.cgroup", Q | V, "the host's control group path"},
	{"L.cgroup-namespace", Q | S, "shares the host's control group namespace"},
	{"L.users", V, "the host's list of users"},
	{"L.pid1", Q | V, "the command line of the host's first process"},
	{"L.kallsyms", V, "kernel symbols"},
	{"L.modules", V, "kernel modules"},
	{"L.interrupts", V, "interrupt counts"},
	{"L.kcore", 0, "kernel memory"},
	{"L.mounts", Q, "host paths in the table of mounts"},
	{"L.env", Q, "a variable of the launcher's environment"},
	{"L.env-listed", Q, "a variable that the plan's lists take out"},
	{"L.env-host", Q | S, "the launcher's variable stands in its environment"},
	{"L.fds", Q | V, "descriptors of the launcher"},
	{"L.fds-host", Q | S, "holds descriptors of the launcher"},
	{"L.cwd", Q, "a working directory outside its root"},

	{"S.tmp", Q | PROBE_FRESH, "find the file another session left in /tmp"},
	{"S.vartmp", PROBE_FRESH, "find the file another session left in /var/tmp"},
	{"S.shm", Q | PROBE_FRESH, "find the file another session left in /dev/shm"},
	{"S.home", Q | PROBE_FRESH, "find the file another session left in its home"},
	{"S.key", Q | PROBE_FRESH, "find the key another session left in its keyring"},
	{"S.sysv", Q | PROBE_FRESH, "find the shared memory another session left"},
	{"S.namespaces", Q | S, "two sessions share a namespace"},

	{"R.memory-limit", Q | S, "memory is not bounded as declared"},
	{"R.tasks-limit", Q | S, "tasks are not bounded as declared"},
	{"R.cpu-limit", Q | S, "processor time is not bounded as declared"},
	{"R.disk-limit", Q | S, "writable places are not bounded as declared"},
	{"R.cpu", PROBE_LIMIT | V, "spin on every processor"},
	{"R.disk", PROBE_LIMIT, "write a MiB more than declared"},
	{"R.tasks", PROBE_LIMIT, "make eight tasks more than declared"},
	/* Last: over the limit the kernel may take the whole session. */
	{"R.memory", PROBE_LIMIT, "touch a tenth more memory than declared"},
	{"R.time", Q | PROBE_TIME, "outlive the declared time"},
	{NULL, 0, NULL},
};
const size_t probe_count = ARRAY_SIZE(probe_table) - 1;

static const struct {
	char letter;
	const char *name;
} groups[] = {
	{'N', "network"},
	{'F', "file system"},
	{'X', "exec"},
	{'P', "process"},
	{'I', "ipc"},
	{'K', "kernel"},
	{'V', "privilege"},
	{'D', "device and terminal"},
	{'L', "leak"},
	{'S', "session"},
	{'R', "resource"},
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

size_t probe_index(const struct probe *probe)
{
	return (size_t)(probe - probe_table);
}

const char *probe_group(const struct probe *probe)
{
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		if (groups[i].letter == probe->id[0]) {
			return groups[i].name;
		}
	}
	return "other";
}
