/*
 * Every difference between what a spec can mean and what a plan can do. docs/CAVEATS.md is printed
 * from this table and a test compares them.
 */
#include "backends/plan.h"

#define NONE CAPABILITY_COUNT

const struct caveat_info caveat_table[] = {
	/* Limits */
	{"res.cpu.no_cgroup", CAPABILITY_RES_CPU, CAVEAT_MISSING,
		"no cpu controller can be used here: processor time is not limited",
		"run as root, or delegate the cpu controller to this user"},
	{"res.memory.no_cgroup", CAPABILITY_RES_MEMORY, CAVEAT_MISSING,
		"no memory controller can be used here: memory is not limited as a whole",
		"run as root, or delegate the memory controller to this user"},
	{"res.pids.no_cgroup", CAPABILITY_RES_PIDS, CAVEAT_MISSING,
		"no pids controller can be used here: tasks are not counted as a whole",
		"run as root, or delegate the pids controller to this user"},
	{"res.pids.by_rlimit", CAPABILITY_RES_PIDS, CAVEAT_WEAKER,
		"tasks are limited for the session's user id by RLIMIT_NPROC, not by a cgroup",
		"run as root, or delegate the pids controller to this user"},
	{"res.disk.shared_with_memory", CAPABILITY_RES_DISK, CAVEAT_INFO,
		"ephemeral writes live in memory and count against the memory limit",
		"set memory well above disk"},
	{"res.disk.memfd", CAPABILITY_RES_DISK, CAVEAT_INFO,
		"memory that looks like files (memfd, System V segments) is bounded by the memory "
		"limit, and "
		"there is none",
		"set memory"},
	{"cgroup.no_kill", NONE, CAVEAT_INFO,
		"there is no cgroup.kill: the session is ended by killing its first process, which "
		"takes the process namespace down",
		"mount the cgroup v2 tree (kernel 5.14 or later)"},

	/* Identity */
	{"id.single_uid", CAPABILITY_SESSION_FRESH, CAVEAT_WEAKER,
		"all sessions run under the server's own user id on the host",
		"run the server as root, which gives each session ids of its own"},
	{"userns.no_range", CAPABILITY_SESSION_FRESH, CAVEAT_WEAKER,
		"no range of user ids is free for sessions: one id is mapped",
		"give root a range in /etc/subuid and /etc/subgid"},

	/* Files */
	{"fs.overlay.unavailable", CAPABILITY_FS_WRITE_EPHEMERAL, CAVEAT_MISSING,
		"overlayfs cannot be mounted here: what is not writable stays read-only instead of "
		"taking throw-away writes",
		"load the overlay module, or use a kernel from 5.11 on"},
	{"fs.write_ephemeral.places", CAPABILITY_FS_WRITE_EPHEMERAL, CAVEAT_INFO,
		"throw-away writes are taken by the working directory, the home directory and the "
		"scratch places; all else stays read-only",
		"name the place that is to take writes with dir"},
	{"fs.submounts_hidden", CAPABILITY_FS_READ_HOST, CAVEAT_INFO,
		"file systems mounted below a path of an overlay are not seen inside", NULL},
	{"fs.read_scope.runtime_added", CAPABILITY_FS_READ_SCOPE, CAVEAT_INFO,
		"what programs need to start (/usr, the loader, its cache) can be read too", NULL},
	{"fs.read_deny.by_path", CAPABILITY_FS_READ_DENY, CAVEAT_WEAKER,
		"paths are denied by name: another hard link to the same file is not, and a file "
		"that the "
		"host replaces during the session (as editors and key rotation do) becomes "
		"readable",
		"deny the directory, and keep secrets where no second link to them can be read"},
	{"fs.read_deny.absent_path", CAPABILITY_FS_READ_DENY, CAVEAT_INFO,
		"a denied path that did not exist at the start is not masked if it appears later",
		"create it before sessions start"},
	{"fs.write_scope.hard_links", CAPABILITY_FS_WRITE_SCOPE, CAVEAT_WEAKER,
		"a hard link inside a writable path changes the file it shares with outside",
		"give sessions a directory of their own on its own file system"},
	{"fs.write_scope.set_id", CAPABILITY_FS_WRITE_SCOPE, CAVEAT_WEAKER,
		"a program that a session makes set-user-id or set-group-id there is one on the "
		"host, for the user and group who own the directory; inside it has no effect",
		"mount the directory nosuid on the host"},
	{"fs.write_scope.disk_unbounded", CAPABILITY_RES_DISK, CAVEAT_INFO,
		"writes that persist are not limited in size",
		"put the writable path on a file system with a quota"},
	{"fs.write_scope.shares_sockets", CAPABILITY_IPC_RESTRICT, CAVEAT_MISSING,
		"a socket or FIFO of the host inside a writable path can be reached",
		"keep sockets out of writable paths"},
	{"home.persistent", CAPABILITY_SESSION_FRESH, CAVEAT_WEAKER,
		"the home directory outlives the session, and sessions of the same user that run "
		"at the "
		"same time share it",
		"use home_mode: ephemeral"},
	{"home.quota", CAPABILITY_RES_DISK, CAVEAT_INFO,
		"the limit of the home directory is kept by the file system where that has "
		"project quotas; elsewhere it is counted from time to time, so that for seconds "
		"more can be written, and files that are deleted and still open are not seen",
		"put homes on ext4 or xfs, mounted with prjquota; cloche-sshd -t says which it is"},
	{"home.full", NONE, CAVEAT_INFO,
		"the home directory takes more than its limit: files there can be removed, and "
		"nothing can be written (without Landlock: nothing can be changed)",
		"remove files, and log in again"},
	{"fs.read_host.sockets_reachable", CAPABILITY_IPC_RESTRICT, CAVEAT_MISSING,
		"a socket of the host that lies in a readable path can be reached",
		"list what may be read with readable, or deny the socket's directory"},

	/* Network */
	{"net.disable.loopback_private", CAPABILITY_NET_DISABLE, CAVEAT_INFO,
		"the session has a loopback interface of its own, with nothing of the host on it",
		NULL},
	{"net.enable.host_network", CAPABILITY_NET_ENABLE, CAVEAT_WEAKER,
		"the session shares the host's network: services on its loopback, its other "
		"interfaces and its abstract sockets are in reach",
		"use net disable"},
	{"root.image.not_yet", NONE, CAVEAT_MISSING,
		"this backend cannot yet take its root file system from an image",
		"unpack the image and use root: directory"},

	/* Processes */
	{"proc.no_exec.loader", CAPABILITY_PROC_NO_EXEC, CAVEAT_WEAKER,
		"an interpreter or loader that is already running can still read and run code",
		"give a command that is not an interpreter"},
	{"proc.not_mountable", CAPABILITY_PROC_ISOLATION, CAVEAT_MISSING,
		"a fresh /proc cannot be mounted here, as in many containers: /proc is left out",
		"run the outer container with an unmasked /proc"},
	{"mach.ignored", CAPABILITY_MACH_RESTRICT, CAVEAT_INFO,
		"there are no Mach services on this system: mach_allow has no effect", NULL},

	/* Kernel */
	{"landlock.absent", NONE, CAVEAT_WEAKER,
		"Landlock is not there: the view of files is kept by mounts alone",
		"boot with lsm=landlock,... (kernel 5.13 or later)"},
	{"landlock.no_refer", NONE, CAVEAT_INFO,
		"with Landlock ABI 1 files cannot be moved or linked between directories",
		"use a kernel from 5.19 on"},
	{"landlock.no_truncate", NONE, CAVEAT_WEAKER,
		"below Landlock ABI 3 truncating a file is not checked by Landlock, by mounts only",
		"use a kernel from 6.2 on"},
	{"landlock.no_net", NONE, CAVEAT_INFO,
		"below Landlock ABI 4 ports are not checked by Landlock, by namespaces only",
		"use a kernel from 6.7 on"},
	{"landlock.no_scope", NONE, CAVEAT_INFO,
		"below Landlock ABI 6 signals and abstract sockets are kept apart by namespaces "
		"only",
		"use a kernel from 6.12 on"},
	{"kernel.isolation.shared", CAPABILITY_KERNEL_ISOLATION, CAVEAT_INFO,
		"system calls that the filter allows are served by the host's kernel",
		"choose a backend with a kernel of its own, such as gvisor or microvm"},
	{"denial_log.unavailable", CAPABILITY_DENIAL_LOG, CAVEAT_INFO,
		"refused operations are not recorded",
		"use a kernel from 6.15 on with audit, and run as root"},
	{"host.conceal.uptime", CAPABILITY_HOST_CONCEAL, CAVEAT_INFO,
		"uptime, load, processors and total memory of the host can still be read", NULL},
	{"host.conceal.mountinfo", CAPABILITY_HOST_CONCEAL, CAVEAT_INFO,
		"the session's own mount table names the host's file systems and the paths its "
		"files come "
		"from",
		NULL},
	{"session.fresh.host_quotas", CAPABILITY_SESSION_FRESH, CAVEAT_INFO,
		"some kernel quotas are one number for the whole host (inotify instances, 128 by "
		"default, of "
		"which a session takes 16 at most): many sessions together can use them up",
		"sysctl fs.inotify.max_user_instances=8192"},

	/* bubblewrap */
	{"bubblewrap.no_landlock", NONE, CAVEAT_INFO,
		"the view of files is kept by mounts alone: no Landlock rules repeat it",
		"use native"},
	{"bubblewrap.exit_status", NONE, CAVEAT_INFO,
		"on a kernel before 6.15 a command that a signal ended is reported with exit "
		"status "
		"128 + signal",
		NULL},
	{"bubblewrap.no_overlay", CAPABILITY_FS_WRITE_EPHEMERAL, CAVEAT_INFO,
		"throw-away writes are taken by the home directory and the scratch places only, "
		"each "
		"with its own part of disk; a directory of the host's takes none",
		"use native, whose overlays take them anywhere"},
	{"bubblewrap.later_mounts", CAPABILITY_FS_WRITE_DENY, CAVEAT_WEAKER,
		"a file system that the host mounts during the session appears inside, writable as "
		"far as its modes allow",
		"list what may be read with readable, or run the server as root"},
	{"bubblewrap.disk.inodes", CAPABILITY_RES_DISK, CAVEAT_INFO,
		"bwrap bounds the bytes of a scratch place and not the number of its files, which "
		"cost memory too",
		"set memory"},

	/* gvisor */
	{"gvisor.ptrace", NONE, CAVEAT_INFO,
		"this runsc catches system calls by ptrace, which makes each of them cost tens of "
		"microseconds",
		"install a runsc that has systrap (2023 or later)"},
	{"gvisor.statx", NONE, CAVEAT_WEAKER,
		"this runsc refuses a flag of statx() that ls and stat of coreutils 9 use: they "
		"fail "
		"inside",
		"list paths with readable, but not /etc; or install a runsc of 2023 or later"},
	{"gvisor.statx_preload", NONE, CAVEAT_INFO,
		"this runsc refuses a flag that ls and stat of coreutils 9 use: a library of two "
		"kilobytes that leaves the flag out is preloaded by /etc/ld.so.preload; programs "
		"without a dynamic linker do not load it",
		"install a runsc of 2023 or later"},
	{"gvisor.gofer_root", NONE, CAVEAT_WEAKER,
		"the process that opens files for the session is root of the host, in namespaces "
		"and "
		"under a filter of its own; the session's kernel runs as nobody, as that of other "
		"sessions does",
		NULL},
	{"gvisor.filter_inside", CAPABILITY_KERNEL_FILTER, CAVEAT_INFO,
		"the list of system calls is kept by the session's own kernel, which does not show "
		"it: that it is there is read in that kernel, and what it refuses is known by "
		"trying",
		NULL},
	{"gvisor.no_filter", CAPABILITY_PROC_NO_EXEC, CAVEAT_MISSING,
		"this runsc does not take a list of system calls: programs can be started",
		"install a runsc that has --oci-seccomp"},
	{"gvisor.priv_inside", CAPABILITY_PRIV_NONE, CAVEAT_INFO,
		"capabilities and their absence are the session kernel's own business: on the host "
		"nothing can be read about them",
		NULL},
	{"gvisor.device_nodes", CAPABILITY_DEV_MINIMAL, CAVEAT_WEAKER,
		"runsc opens device nodes that lie in readable places, whatever the mount says: "
		"dev.minimal is not promised",
		"keep device nodes out of what readable lists"},
	{"gvisor.memory_whole", CAPABILITY_RES_MEMORY, CAVEAT_INFO,
		"the memory limit holds for the session and its kernel together (about 40 MiB), "
		"and "
		"reaching it ends the session",
		"set memory 64 MiB above what programs need"},
	{"gvisor.tasks_inside", CAPABILITY_RES_PIDS, CAVEAT_INFO,
		"tasks are counted by the session's own kernel, for its one user; the host's "
		"control group, which also holds that kernel's threads, allows more",
		NULL},
	{"gvisor.overlay_unsized", CAPABILITY_RES_DISK, CAVEAT_MISSING,
		"throw-away writes to the working directory are bounded by the memory limit alone",
		"set memory, or work in the home directory or /tmp"},
	{"gvisor.overlay_scoped", CAPABILITY_FS_WRITE_EPHEMERAL, CAVEAT_MISSING,
		"throw-away writes over a listed path cannot be had beside a path whose writes "
		"stay",
		"use write: ephemeral without writable paths"},
	{"gvisor.scope_owner", CAPABILITY_FS_WRITE_SCOPE, CAVEAT_WEAKER,
		"writable paths are used under the session's own user id, to which their owner "
		"must "
		"have given the right",
		"chmod o+w, or setfacl for the id that cloche plan shows"},
	{"gvisor.paths_again", NONE, CAVEAT_INFO,
		"runsc looks up the plan's paths by name once more after they were checked",
		"let only root change directories above listed paths"},
	{"gvisor.unseen.disk", CAPABILITY_RES_DISK, CAVEAT_WEAKER,
		"the size of the places for throw-away writes is set, but the testkit has not seen "
		"that it holds: it is not promised",
		"use native"},
	{"gvisor.exit_status", NONE, CAVEAT_INFO,
		"a program ended by a signal is reported as exit status 128 + signal", NULL},

	/* docker and podman */
	{"container.image_root", CAPABILITY_FS_READ_HOST, CAVEAT_MISSING,
		"the root file system is an image's: of the host only listed paths can be read",
		"list what is to be read with readable, or choose a backend that shows the host"},
	{"container.image_unresolved", NONE, CAVEAT_MISSING,
		"the image is given by name and was not looked up: the plan is for reading only",
		"give the image's id, or ask where the engine runs"},
	{"container.one_uid", CAPABILITY_SESSION_FRESH, CAVEAT_WEAKER,
		"all sessions have one user id on the host, 603915240, which is nobody's: what the "
		"kernel counts by user is shared, and what they write to the host belongs to it",
		"give writable paths to that user; use native for an id a session"},
	{"container.engine_is_root", NONE, CAVEAT_INFO,
		"the engine makes the container as the host's root; what it adds is not in the "
		"plan",
		NULL},
	{"container.env_added", CAPABILITY_ENV_SCRUB, CAVEAT_INFO,
		"the engine adds HOSTNAME, container and the image's own variables to those of the "
		"session",
		NULL},
	{"container.signal_status", NONE, CAVEAT_INFO,
		"a command that a signal ended is reported with status 128 and the signal's number",
		NULL},
	{"container.user_namespaces", CAPABILITY_PRIV_NONE, CAVEAT_WEAKER,
		"the container has the host's user namespace: its own root would be the host's, "
		"and "
		"that none can be made inside is kept by the filter alone",
		"use native"},
	{"container.masks", CAPABILITY_HOST_CONCEAL, CAVEAT_WEAKER,
		"the engine hides what it hides: the kernel's command line, modules and interrupts "
		"of the host can be read",
		"use native"},
	{"container.mounts", CAPABILITY_HOST_CONCEAL, CAVEAT_WEAKER,
		"the table of mounts inside names the engine's directories on the host",
		"use native"},
	{"container.read_deny", CAPABILITY_FS_READ_DENY, CAVEAT_INFO,
		"what is denied is not in the container, as nothing is that is not listed; nothing "
		"is masked",
		NULL},
	{"container.runtime_inside", CAPABILITY_KERNEL_FILTER, CAVEAT_WEAKER,
		"this runtime applies no filter of ours: gVisor answers all system calls itself, "
		"and what it refuses inside cannot be seen from the host",
		"use native"},
	{"container.runtime_tty", CAPABILITY_TTY_ISOLATE, CAVEAT_WEAKER,
		"the calls that push input into a terminal are let through to gVisor's kernel, "
		"which knows no terminal but the session's",
		"use podman-runsc, which takes a filter, or gvisor"},
	{"container.runtime_devices", CAPABILITY_DEV_MINIMAL, CAVEAT_WEAKER,
		"the devices inside are those of gVisor's kernel and of the engine's list, and "
		"what "
		"keeps device nodes in bound directories closed differs by engine: not promised",
		"list no directory that holds device nodes; use native"},
	{"container.runtime_signal", NONE, CAVEAT_INFO,
		"a signal goes to the command alone and not to its process group", NULL},
	{"container.no_overlay", CAPABILITY_FS_WRITE_EPHEMERAL, CAVEAT_MISSING,
		"a host's directory takes no throw-away writes here: it stays read-only",
		"leave dir out, or use native"},

	/* microvm */
	{"vm.no_kvm", NONE, CAVEAT_WEAKER,
		"there is no KVM here: QEMU translates every instruction, which is slow, its "
		"translator takes the place of the processor's own separation, and the session's "
		"clock falls behind when the host is busy",
		"use a machine whose /dev/kvm lets virtual machines be made, and let every user "
		"open "
		"it (chmod 0666): sessions have ids of their own, which are in no group"},
	{"vm.root.cached", CAPABILITY_FS_READ_HOST, CAVEAT_INFO,
		"a readable file that the host changes during the session may be seen as it was",
		NULL},
	{"vm.memory.default", CAPABILITY_RES_MEMORY, CAVEAT_INFO,
		"no memory limit is asked for: the guest has 512 MiB all the same", "set memory"},

	/* seatbelt */
	{"seatbelt.single_uid", CAPABILITY_SESSION_FRESH, CAVEAT_WEAKER,
		"all sessions run under the server's own user id, which is not root's, and can "
		"look at "
		"what others of that user leave behind",
		"run the server as a user of its own"},
	{"seatbelt.paths.as_text", NONE, CAVEAT_WEAKER,
		"paths are compared as text with the real path of a file: no symbolic link in them "
		"is followed but /tmp, /var and /etc, and case and accents count as on the disk",
		"give paths as realpath(1) prints them on that system"},
	{"seatbelt.sockets.by_path_denied", NONE, CAVEAT_INFO,
		"sockets that have a path (agents, databases, container engines, and the session's "
		"own) can be neither reached nor made, whatever net says",
		NULL},
	{"seatbelt.profile.by_release", NONE, CAVEAT_INFO,
		"the profile denies by default, and what programs need to start differs between "
		"releases of macOS: one may fail to start",
		"leave readable out"},
	{"seatbelt.read_deny.hard_links", CAPABILITY_FS_READ_DENY, CAVEAT_WEAKER,
		"paths are denied by name: another hard link to the same file is not denied",
		"keep secrets where no second link to them can be read"},
	{"seatbelt.net.loopback_denied", CAPABILITY_NET_DISABLE, CAVEAT_INFO,
		"without a network there is no loopback either", NULL},
	{"seatbelt.outbound.any_host", CAPABILITY_NET_OUTBOUND, CAVEAT_INFO,
		"any host can be reached, those of the local network and services on this host's "
		"loopback included; listening is possible on the loopback at most",
		"use net egress"},
	{"seatbelt.egress.by_proxy", CAPABILITY_NET_EGRESS, CAVEAT_MISSING,
		"a profile knows no host names and no networks: it lets connections go to one "
		"loopback port alone, and the list is kept by the proxy that listens there; the "
		"services that check certificates are outside and may fetch on their own",
		"list localhost:PORT only, or choose another backend"},
	{"seatbelt.trust_services", CAPABILITY_MACH_RESTRICT, CAVEAT_INFO,
		"with a network the three services that check TLS certificates can be looked up "
		"without being listed",
		NULL},
	{"seatbelt.ephemeral.clone", CAPABILITY_FS_WRITE_EPHEMERAL, CAVEAT_WEAKER,
		"throw-away writes are taken by a clone of the working directory, which has "
		"another "
		"path; writes elsewhere are refused, not thrown away",
		"name the place that is to take writes with dir"},
	{"seatbelt.overlay.denied", CAPABILITY_FS_WRITE_EPHEMERAL, CAVEAT_MISSING,
		"there is no overlay: writes outside the writable paths are refused, not thrown "
		"away",
		"use write scope, or ephemeral"},
	{"seatbelt.no_exec.by_path", CAPABILITY_PROC_NO_EXEC, CAVEAT_MISSING,
		"other programs are refused by path alone: the command itself, and bash and env, "
		"which start it, can be started again",
		"choose another backend"},
	{"seatbelt.cpu.unlimited", CAPABILITY_RES_CPU, CAVEAT_MISSING,
		"this system has nothing that limits processor time for a group of processes",
		"choose a backend with a machine or container of its own"},
	{"seatbelt.memory.unlimited", CAPABILITY_RES_MEMORY, CAVEAT_MISSING,
		"this system has nothing that limits memory for a group of processes",
		"choose a backend with a machine or container of its own"},
	{"seatbelt.pids.unlimited", CAPABILITY_RES_PIDS, CAVEAT_MISSING,
		"this system has nothing that limits the number of a group's processes",
		"choose a backend with a machine or container of its own"},
	{"seatbelt.disk.unlimited", CAPABILITY_RES_DISK, CAVEAT_MISSING,
		"the clone that takes throw-away writes is not limited in size",
		"choose a backend with a machine or container of its own"},
	{"seatbelt.time.orphans", CAPABILITY_RES_TIME, CAVEAT_MISSING,
		"at the end of its time the session's process group is killed; a process that left "
		"the group stays",
		"choose a backend with a machine or container of its own"},
	{"seatbelt.hostname", CAPABILITY_HOST_CONCEAL, CAVEAT_INFO,
		"the session sees the host's own name", NULL},

	/* appcontainer */
	{"appcontainer.ambient_grants", NONE, CAVEAT_WEAKER,
		"what the system lets every restricted package read, write or connect to (files, "
		"registry, pipes open to S-1-15-2-2) is open to the session too",
		"look for such entries on what is to be kept from sessions"},
	{"appcontainer.lists_change", NONE, CAVEAT_WEAKER,
		"grants are entries in the access lists of the host's files while the session "
		"runs; "
		"after a crash they stay until the journal is undone",
		"cloche-launcher --undo JOURNAL"},
	{"appcontainer.no_host_files", CAPABILITY_FS_READ_HOST, CAVEAT_MISSING,
		"a container cannot be given all that its user may read: only listed paths and the "
		"system's own files are",
		"list what may be read with readable"},
	{"appcontainer.read_deny_best_effort", CAPABILITY_FS_READ_DENY, CAVEAT_WEAKER,
		"denied paths get entries against the session, which do not stand before a grant "
		"to "
		"all restricted packages on a file itself, nor on what lies behind a link",
		"leave them out of readable"},
	{"appcontainer.ephemeral_copy", CAPABILITY_FS_WRITE_EPHEMERAL, CAVEAT_INFO,
		"throw-away writes are taken by a copy of the working directory, links left out; "
		"all else is read-only",
		NULL},
	{"appcontainer.overlay_denies", CAPABILITY_FS_WRITE_EPHEMERAL, CAVEAT_MISSING,
		"there is no overlay: writes outside the writable paths fail",
		"use write ephemeral or scope"},
	{"appcontainer.temp_is_private", CAPABILITY_FS_WRITE_SCOPE, CAVEAT_INFO,
		"TEMP and TMP name a directory of the session's own; nothing of it stays", NULL},
	{"appcontainer.disk_unbounded", CAPABILITY_RES_DISK, CAVEAT_MISSING,
		"what is written is not limited in size", "put it on a volume with quotas"},
	{"appcontainer.no_loopback", CAPABILITY_NET_DISABLE, CAVEAT_INFO,
		"the loopback interface cannot be used either", NULL},
	{"appcontainer.internet_only", CAPABILITY_NET_OUTBOUND, CAVEAT_INFO,
		"connections go to the internet only: not to private networks, not to loopback",
		NULL},
	{"appcontainer.egress_closed", CAPABILITY_NET_EGRESS, CAVEAT_MISSING,
		"a container knows no lists of destinations: none of the listed ones is let "
		"through",
		"use net disable or outbound"},
	{"appcontainer.ipc_by_network", CAPABILITY_IPC_RESTRICT, CAVEAT_MISSING,
		"what the system opens to containers with a network capability can be reached",
		"use net disable"},
	{"appcontainer.inbound_unlisted", CAPABILITY_NET_INBOUND, CAVEAT_MISSING,
		"ports are let in by the system's firewall, not by the plan's list", NULL},
	{"appcontainer.brokers", CAPABILITY_PROC_NO_EXEC, CAVEAT_WEAKER,
		"no child process at all can be made, but a service of the system may start one "
		"when asked",
		NULL},
	{"appcontainer.memory_is_commit", CAPABILITY_RES_MEMORY, CAVEAT_INFO,
		"the limit is on committed memory: what is over it fails to be allocated, and "
		"mapped files do not count",
		NULL},
	{"appcontainer.cpu_of_all", CAPABILITY_RES_CPU, CAVEAT_INFO,
		"the limit is a share of all processors of the machine, in hundredths of a percent",
		NULL},
	{"appcontainer.hostname_ignored", NONE, CAVEAT_INFO,
		"a container has the host's name: hostname has no effect", NULL},

	/* apple-container */
	{"container.image_required", CAPABILITY_FS_READ_HOST, CAVEAT_MISSING,
		"a guest has no view of the host's system: all but the shared paths comes from the "
		"image cloche.invalid/default:latest",
		"name a saved image with root: image and root_path"},
	{"container.image_by_name", NONE, CAVEAT_INFO,
		"the image is the one of that name in the tool's store when the session starts; it "
		"is not pinned by digest",
		"let only the operator load images"},
	{"container.no_host_files", CAPABILITY_FS_READ_HOST, CAVEAT_MISSING,
		"none of the host's files can be read in the guest",
		"share directories with readable"},
	{"container.image_readable", CAPABILITY_FS_READ_SCOPE, CAVEAT_INFO,
		"all of the image can be read besides the listed paths", NULL},
	{"container.read_deny_spelling", CAPABILITY_FS_READ_DENY, CAVEAT_MISSING,
		"a denied path below a shared one can be read by a spelling with other case, as "
		"the "
		"Mac's file systems take both for the same and the guest does not",
		"share only directories that hold nothing to deny"},
	{"container.shares_read_only", CAPABILITY_FS_WRITE_EPHEMERAL, CAVEAT_INFO,
		"throw-away writes are taken by the image's files; shared paths stay read-only",
		NULL},
	{"container.disk_unbounded", CAPABILITY_RES_DISK, CAVEAT_MISSING,
		"throw-away writes go to the guest's disk, which is not limited by the plan",
		"use write none or scope"},
	{"container.temp_is_private", CAPABILITY_FS_WRITE_SCOPE, CAVEAT_INFO,
		"/tmp is the guest's own and takes writes; nothing of it reaches the host's", NULL},
	{"container.cpu_rounded", CAPABILITY_RES_CPU, CAVEAT_WEAKER,
		"a guest has whole processors: the number is rounded up",
		"give a whole number of cpus"},
	{"container.memory_is_guest", CAPABILITY_RES_MEMORY, CAVEAT_INFO,
		"memory is the guest's, in whole MiB: its kernel takes a part, and what it once "
		"used is given back to the host in part only",
		NULL},
	{"container.pids_by_ulimit", CAPABILITY_RES_PIDS, CAVEAT_WEAKER,
		"tasks are limited for the session's user in the guest by RLIMIT_NPROC, not "
		"counted as a whole",
		NULL},
	{"container.gateway_reachable", NONE, CAVEAT_WEAKER,
		"what listens on the Mac, and on the networks it is in, can be reached by the "
		"network's gateway",
		"use net disable"},
	{"container.host_reaches_listeners", CAPABILITY_NET_OUTBOUND, CAVEAT_MISSING,
		"the Mac can connect to what listens in the guest, by the guest's address",
		"use net disable"},
	{"container.inbound_unfiltered", CAPABILITY_NET_INBOUND, CAVEAT_MISSING,
		"listed ports are published on the Mac's loopback, but the Mac can reach all "
		"others by the guest's address",
		NULL},
	{"container.egress_unfiltered", CAPABILITY_NET_EGRESS, CAVEAT_MISSING,
		"the tool has no lists of destinations: the session gets an internal network and "
		"none of its listed ones is let through",
		"use net disable, or another backend"},
	{"container.net_internal_leaky", CAPABILITY_NET_EGRESS, CAVEAT_MISSING,
		"an internal network has been seen to let connections out by address "
		"(apple/container issue 2062)",
		"use net disable"},
	{"container.no_exec_unsupported", CAPABILITY_PROC_NO_EXEC, CAVEAT_MISSING,
		"starting further programs cannot be forbidden in the guest", NULL},
	{"container.hostname_is_id", NONE, CAVEAT_INFO,
		"the guest is called by the session's id: hostname has no effect", NULL},
	{"container.no_filter", CAPABILITY_KERNEL_FILTER, CAVEAT_MISSING,
		"the tool takes no system call filter: the guest's kernel serves all calls", NULL},
	{"container.no_new_privs_unknown", CAPABILITY_PRIV_NONE, CAVEAT_MISSING,
		"all capabilities are dropped, but no option forbids gaining some in a user "
		"namespace or by a set-id program of the image",
		"use an image without set-id programs"},
	{"container.vsock", CAPABILITY_IPC_RESTRICT, CAVEAT_MISSING,
		"the guest has a socket family to the host (AF_VSOCK), by which the tool serves "
		"it",
		NULL},
	{"compliance.writable_volumes", NONE, CAVEAT_INFO,
		"paths of the host are shared writable (tag writable-volumes)",
		"use write none or ephemeral"},
	{"compliance.unlimited_resources", NONE, CAVEAT_INFO,
		"neither processors nor memory were limited by the profile (tag "
		"unlimited-resources): the backend's own limits of 4 and 1 GiB apply",
		"set cpus and memory"},

	/* jail */
	{"jail.single_uid", CAPABILITY_SESSION_FRESH, CAVEAT_WEAKER,
		"all sessions run as that host's user nobody; between them stand the jails alone",
		NULL},
	{"jail.rctl.tunable", NONE, CAVEAT_INFO,
		"limits need a kernel that was booted with kern.racct.enable=1; without it a "
		"session "
		"is refused",
		"put kern.racct.enable=1 into /boot/loader.conf"},
	{"jail.cpu.by_percent", CAPABILITY_RES_CPU, CAVEAT_INFO,
		"processor time is limited in whole per cent and measured over seconds: a short "
		"burst "
		"passes",
		NULL},
	{"jail.pf.anchors", NONE, CAVEAT_INFO,
		"pf must be on and its rules must have nat-anchor \"cloche/*\" and anchor "
		"\"cloche/*\" before any quick rule; without them a session is refused",
		"add both to that host's /etc/pf.conf"},
	{"jail.net.ipv4_only", NONE, CAVEAT_INFO, "the jail's interface passes IPv4 alone", NULL},
	{"jail.outbound.no_local", CAPABILITY_NET_OUTBOUND, CAVEAT_INFO,
		"private networks and the host itself cannot be reached, a resolver there included",
		"name a resolver outside in the root's /etc/resolv.conf"},
	{"jail.inbound.from_host", CAPABILITY_NET_INBOUND, CAVEAT_INFO,
		"the listed ports answer at the jail's own address, which its host alone has a way "
		"to",
		"forward them on that host with rdr"},
	{"jail.enable.host_network", CAPABILITY_NET_ENABLE, CAVEAT_WEAKER,
		"the jail shares its host's network: services on its loopback are in reach",
		"use net outbound, or list ports with inbound"},
	{"jail.paths.directories", CAPABILITY_FS_READ_SCOPE, CAVEAT_INFO,
		"readable and writable paths must be directories that exist; else a session is "
		"refused",
		NULL},
	{"jail.read_deny.directories", CAPABILITY_FS_READ_DENY, CAVEAT_INFO,
		"denied paths that would be seen must be directories that exist, as they are "
		"covered "
		"by an empty one; else a session is refused",
		"deny the directory of a file"},
	{"jail.write_scope.by_mode", CAPABILITY_FS_WRITE_SCOPE, CAVEAT_INFO,
		"writable paths are writable as far as their modes let nobody write", NULL},
	{"jail.disk.scratch_only", CAPABILITY_RES_DISK, CAVEAT_WEAKER,
		"the limit holds for throw-away writes; those that persist are not limited",
		"give the writable paths datasets with a quota"},
	{"jail.clone.dataset", CAPABILITY_FS_WRITE_EPHEMERAL, CAVEAT_INFO,
		"throw-away writes go to a ZFS clone, so the root must be the mount point of a "
		"dataset, and datasets mounted below it are not seen",
		NULL},
	{"jail.no_exec", CAPABILITY_PROC_NO_EXEC, CAVEAT_MISSING,
		"a jail cannot forbid that programs are started", "choose another backend"},

	/* Network modes */
	{"net.link.no_ipv6", NONE, CAVEAT_INFO,
		"the session's link to the outside has IPv4 only; IPv6 is off on it", NULL},
	{"net.link.forwarding", NONE, CAVEAT_INFO,
		"the host forwards packets (net.ipv4.ip_forward is on, and stays on), and other "
		"tables of its firewall must let the sessions' links (cl-*) through",
		"if the host is on networks that it must not join, say so in its own firewall"},
	{"net.outbound.not_a_filter", CAPABILITY_NET_OUTBOUND, CAVEAT_INFO,
		"any public address can be reached, and what is read can be sent there: this is "
		"no filter of destinations",
		"use net egress"},
	{"net.outbound.resolver", CAPABILITY_NET_OUTBOUND, CAVEAT_INFO,
		"names are resolved by the host's resolvers, also those that only the host's "
		"network knows; their addresses stay out of reach",
		NULL},
	{"net.egress.names_by_proxy", CAPABILITY_NET_EGRESS, CAVEAT_INFO,
		"hosts listed by name, and IPv6 networks, are reached through the proxy on "
		"127.0.0.1:1080 "
		"(SOCKS 5 and HTTP CONNECT; the usual variables are set), and there is no "
		"resolver: programs that know no proxy reach listed IPv4 networks only",
		"list networks, or tell the program about the proxy"},
	{"net.inbound.from_host", CAPABILITY_NET_INBOUND, CAVEAT_INFO,
		"listed ports are reached from the host itself, at the session's own address, "
		"and from no other machine",
		"forward a port of the host to it, by ssh -L for instance"},

	/* Backends of other systems */
	{"backend.never_executed", NONE, CAVEAT_WEAKER,
		"never executed by us: this backend runs on another system; its plans are checked "
		"as text alone",
		"run the testkit on that system before you rely on it"},
	{"env.in_arguments", CAPABILITY_ENV_SCRUB, CAVEAT_INFO,
		"for the moment of the start the session's variables are arguments of env(1), "
		"which "
		"other users of that host may list",
		"keep secrets out of env, or take them out with env_deny"},

	/* What the server decides */
	{"session.shared", CAPABILITY_SESSION_FRESH, CAVEAT_WEAKER,
		"sessions of one connection share one sandbox: files, processes and the network "
		"inside are "
		"theirs together",
		"set share: session"},
	{"ipc.why_door", CAPABILITY_IPC_RESTRICT, CAVEAT_INFO,
		"one socket inside is the server's own: there it says what it refused the session, "
		"and reads nothing",
		"with refuse_on naming this caveat the session goes without `why`"},

	{"ipc.why_page", CAPABILITY_IPC_RESTRICT, CAVEAT_INFO,
		"one directory inside is the server's own: there it writes what it refused the "
		"session, and hears nothing",
		"with refuse_on naming this caveat the session goes without `why`"},

	{"session.no_why", NONE, CAVEAT_INFO, "there is no command `why` inside this session",
		"ask `ssh -s HOST cloche-why` on the same connection; there is a `why` where "
		"programs may be started, /run/cloche is not given to the session in another way, "
		"and refuse_on does not name its caveat"},

	/* Layers left out with --without */
	{"layer.removed", NONE, CAVEAT_MISSING,
		"a layer of the sandbox was left out on request; see \"without\" in the plan",
		"do not use --without outside tests and lessons"},
	{.code = NULL},
};

const char *caveat_severity_name(enum caveat_severity severity)
{
	static const char *const names[] = {
		[CAVEAT_INFO] = "info",
		[CAVEAT_WEAKER] = "weaker",
		[CAVEAT_MISSING] = "missing",
	};

	return names[severity];
}
