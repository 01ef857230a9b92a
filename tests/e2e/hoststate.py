"""What the host looks like: its processes, control groups, mounts and named objects, so that a test finds
what a server has left. Other tests, and their servers, are at work on the same host."""
import contextlib
import ctypes
import fcntl
import os

CLONE_NEWNS, MS_REC, MS_PRIVATE, MS_SHARED = 0x20000, 1 << 14, 1 << 18, 1 << 20
libc = ctypes.CDLL(None, use_errno=True)


def stand_apart():
    """What other tests mount is not seen from here, nor the other way round. Where the host shares its mounts,
    these are shared too, among all who are in here. And the directory of locks that root's sessions have in
    common, which the first of them makes, is there before anybody looks."""
    if os.geteuid() != 0:
        return
    with open("/proc/self/mountinfo") as info:
        shared = any(line.split()[4] == "/" and " shared:" in line for line in info)
    if libc.unshare(CLONE_NEWNS) == 0:
        libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)
        if shared:
            libc.mount(b"none", b"/", None, MS_REC | MS_SHARED, None)
    with contextlib.suppress(FileExistsError):
        os.mkdir("/run/cloche", 0o711)


def parents():
    """pid -> (parent, state) of every process."""
    result = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                with open(f"/proc/{name}/stat", "rb") as stat:
                    fields = stat.read().rpartition(b")")[2].split()
                result[int(name)] = (int(fields[1]), fields[0].decode())
    return result


def descendants(root, zombies=False):
    table = parents()
    children = {}
    for pid, (parent, _) in table.items():
        children.setdefault(parent, []).append(pid)
    found, queue = [], [root]
    while queue:
        for pid in children.get(queue.pop(), []):
            if zombies or table[pid][1] != "Z":
                found.append(pid)
            queue.append(pid)
    return found


def reap(own):
    """Collects orphans handed to us as subreaper; own are pids that Popen objects wait for."""
    for pid, (parent, state) in parents().items():
        if parent == os.getpid() and state == "Z" and pid not in own:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def describe(pid):
    def read(name):
        try:
            with open(f"/proc/{pid}/{name}", "rb") as file:
                return file.read().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            return "?"
    return f"{pid} ({read('comm')}) {read('cmdline')[:120]}"


def status_of(pid):
    with open(f"/proc/{pid}/status") as status:
        return dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)


def cgroup_directories():
    found = set()
    for top, directories, _ in os.walk("/sys/fs/cgroup"):
        if "/cloche/" in top + "/":
            found.add(top)
    return found


def cgroup_is_abandoned(path):
    """Is nobody alive in it, and does nobody hold the lock that its maker keeps? Other servers may be
    at work on this host, out of our sight in a pid namespace."""
    for top, _, _ in os.walk(path):
        with contextlib.suppress(OSError):
            with open(os.path.join(top, "cgroup.procs")) as procs:
                if procs.read().strip():
                    return False
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return True
    except OSError:
        return False
    finally:
        os.close(fd)


def mounts():
    with open("/proc/self/mountinfo") as info:
        return {line.split()[4] for line in info}


def debris():
    """Named objects of the host a server could leave behind."""
    found = set()
    for top in ("/run/netns",):
        with contextlib.suppress(OSError):
            found |= {os.path.join(top, name) for name in os.listdir(top)}
    # Only names a server would choose: the directories of other tests come and go.
    for top in ("/run", "/tmp", "/var/tmp", "/var/lib"):
        found |= {path for path in (f"{top}/cloche", f"{top}/cloche-sshd", f"{top}/cloche-sshd.pid",
                                    f"{top}/cloche/empty") if os.path.lexists(path)}
    with open("/proc/net/dev") as devices:
        found |= {"interface " + line.split(":")[0].strip() for line in devices if ":" in line}
    return found


class Host:
    """The state of the host before a server was started."""

    def __init__(self):
        self.cgroups, self.mounts, self.debris = cgroup_directories(), mounts(), debris()

    def left(self, own_directory):
        """What is there now and was not. Others may run servers too: only their debris is ours."""
        new = [path for path in cgroup_directories() - self.cgroups
               if os.path.basename(path) != "cloche" and cgroup_is_abandoned(path)]
        new += [f"mount {path}" for path in mounts() - self.mounts]
        new += [path for path in debris() - self.debris if own_directory not in path]
        return new
