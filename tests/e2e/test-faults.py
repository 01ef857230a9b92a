#!/usr/bin/python3
"""What breaks, one thing at a time, in the middle of sessions. After each: the session it hit is
gone, the one beside it is unharmed, new ones work where they should, the audit log is readable, and
nothing is left when the server ends (leaving the server's context checks that)."""
import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import time

from lib import (BUILD, Cloche, Skip, case, cgroup_directories, check, descendants, echoes, equal, eventually, finish, main,
                 parents, read_line, roles, run, sandbox_processes)
from proxy import Proxy


class Scene:
    """A server with a victim session and a bystander on another connection."""

    def __init__(self, **more):
        self.server = Cloche(**more)

    def __enter__(self):
        self.server.__enter__()
        self.victim = self.server.session()
        self.who = roles(self.server)  # while there is one connection only
        self.inside = set(sandbox_processes(self.server))
        self.bystander = self.server.session()
        return self

    def __exit__(self, *error):
        for client in (self.victim, self.bystander):
            client.kill()
            finish(client)
        return self.server.__exit__(*error)

    def gone(self, *names, seconds=2.0):
        """The sandbox and the named processes have ended within so long."""
        pids = self.inside | {self.who[name] for name in names}
        eventually(lambda: not {pid for pid in pids if parents().get(pid, (0, "Z"))[1] != "Z"},
                   f"the end of {', '.join(names)} and the sandbox", seconds)

    def unharmed(self, new=True):
        check(echoes(self.bystander), "the bystander was harmed")
        if new:
            equal(self.server.ssh("echo new").text, "new", "a new session")
        self.server.audit()


@case("kill -9 of the shell ends its session with exit-signal and nothing else")
def kill_shell():
    with Scene() as scene:
        os.kill(scene.who["shell"], signal.SIGKILL)
        equal(scene.victim.wait(10), 255, "the client's status")
        scene.gone("monitor", "net")
        scene.unharmed()


@case("kill -9 of the sandbox's init ends its session and nothing else")
def kill_init():
    with Scene() as scene:
        os.kill(scene.who["init"], signal.SIGKILL)
        check(scene.victim.wait(10) != 0, "the client was told that all is well")
        scene.gone("monitor", "net")
        scene.unharmed()


@case("kill -9 of the net process takes its monitor and sandbox with it and nothing else")
def kill_net():
    with Scene() as scene:
        os.kill(scene.who["net"], signal.SIGKILL)
        equal(scene.victim.wait(10), 255, "the client's status")
        scene.gone("monitor", "net")
        scene.unharmed()
        ends = [event for event in scene.server.audit() if event["event"] == "session_end"]
        check(ends, "no session_end in the audit log")


@case("kill -9 of the monitor takes its net process and sandbox with it and nothing else")
def kill_monitor():
    with Scene() as scene:
        os.kill(scene.who["monitor"], signal.SIGKILL)
        check(scene.victim.wait(10) != 0, "the client was told that all is well")
        scene.gone("monitor", "net")
        scene.unharmed()


def cgroups_named(name):
    return [path for path in cgroup_directories() if os.path.basename(path) == name]


@case("monitors that die one after the other do not put off the sweep of what the first one left")
def kill_monitors():
    with Cloche() as server:
        left, began = None, time.monotonic()
        while left is None or time.monotonic() < began + 4:
            client = server.session()
            who = roles(server)
            with open(f"/proc/{who['init']}/cgroup") as file:
                own = {line.rstrip("\n").partition("/cloche/")[2] for line in file if "/cloche/" in line}
            if not own:
                finish(client)
                raise Skip("sandboxes have no cgroup here")
            os.kill(who["monitor"], signal.SIGKILL)
            if left is None:
                left, began = own.pop().partition("/")[0], time.monotonic()
                check(cgroups_named(left), f"no cgroup {left}")
            client.wait(10)
            finish(client)
            eventually(lambda: len(server.processes()) <= 2, "the end of all but listener and zygote")
            if not cgroups_named(left):
                return
        raise AssertionError(f"still there after 4 s of deaths: {cgroups_named(left)}")


@case("kill -9 of the listener leaves sessions alive; they end as usual, and the next start sweeps")
def kill_listener():
    with Scene() as scene:
        os.kill(scene.who["listener"], signal.SIGKILL)
        scene.server.process.wait(5)
        time.sleep(0.5)
        check(echoes(scene.victim) and echoes(scene.bystander), "a session ended with the listener")
        equal(finish(scene.victim), 0, "its end")
        scene.gone("monitor", "net")
        scene.server.start()
        check(echoes(scene.bystander), "the new listener harmed an old session")
        equal(scene.server.ssh("echo new").text, "new", "a session of the new listener")


@case("kill -9 of everything at once: the next start sweeps what is left on the host")
def kill_all():
    with Scene() as scene:
        for pid in scene.server.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        eventually(lambda: not scene.server.processes(), "the end of all")
        scene.server.process.wait()
        scene.server.start()
        eventually(lambda: not scene.server.host.left(scene.server.directory), "a swept host", 5)
        equal(scene.server.ssh("echo new").text, "new", "a new session")


@case("a stopped monitor holds up its own session only, and ends with its client")
def stop_monitor():
    with Scene() as scene:
        os.kill(scene.who["monitor"], signal.SIGSTOP)
        check(echoes(scene.victim), "data flows without the monitor")
        scene.unharmed()
        scene.victim.kill()
        time.sleep(0.5)
        os.kill(scene.who["monitor"], signal.SIGCONT)
        scene.gone("monitor", "net", seconds=4)
        scene.unharmed()


@case("a client killed with SIGKILL, or cut off, costs its sandbox within two seconds")
def client_gone():
    with Scene() as scene:
        scene.victim.kill()
        scene.gone("monitor", "net")
        scene.unharmed()


@case("a client that falls silent without a FIN is given up after the keep-alives")
def silent_client():
    with Cloche(server={"keepalive_interval": 1, "keepalive_count": 2}) as server:
        with Proxy(server.port) as proxy:
            client = through(server, proxy)
            inside = set(sandbox_processes(server))
            bystander = server.session()
            proxy.stall()
            eventually(lambda: not inside & set(parents()), "the end of the silent one's sandbox", 8)
            check(echoes(bystander), "the bystander was harmed")
            finish(bystander)
            client.kill()
            finish(client)


def through(server, proxy):
    argv = server.ssh_argv("-o", f"HostKeyAlias=[127.0.0.1]:{server.port}", "127.0.0.1",
                           "echo ready; exec cat")
    argv[argv.index("-p") + 1] = str(proxy.port)
    client = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, bufsize=0)
    server.children.add(client.pid)
    equal(read_line(client.stdout), b"ready\n", "a session through the proxy")
    return client


def small_disk(path):
    if os.geteuid() != 0:
        raise Skip("a small file system takes root")
    os.mkdir(path, 0o755)
    result = run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=0755", "cloche-e2e-small", path])
    if result.code != 0:
        raise Skip(f"no tmpfs can be mounted: {result.error}")


@case("a full disk under the audit log refuses new sessions, says why, and recovers")
def audit_full():
    server = Cloche()
    small = server.path("small")
    try:
        small_disk(small)
        server.audit_path = server.settings["audit_log"] = os.path.join(small, "audit")
        server.host = None
        with server:
            bystander = server.session()
            with contextlib.suppress(OSError), open(os.path.join(small, "fill"), "wb", 0) as fill:
                while True:
                    fill.write(b"x" * 4096)
            with contextlib.suppress(OSError):  # the last page of the log itself
                for _ in range(64):
                    server.ssh("true")
            result = server.ssh("echo new")
            check(result.code != 0 and b"new" not in result.out, f"a session without audit: {result}")
            check("audit" in (result.error + server.log_text()), f"the reason: {result}")
            check(echoes(bystander), "the bystander was harmed")
            os.unlink(os.path.join(small, "fill"))
            equal(server.ssh("echo new").text, "new", "a session once there is room")
            events = readable(server)
            check(sum(event["event"] == "session_start" for event in events) >= 2, "lines were lost")
            finish(bystander)
            server.terminate()
            server.remains()
            run(["umount", small])
    finally:
        run(["umount", "-l", small]) if os.path.ismount(small) else None


def readable(server):
    """The events of a log on a disk that was full: at most the one torn line is no JSON."""
    events, torn = [], 0
    with open(server.audit_path, "rb") as log:
        for line in log.read().splitlines():
            try:
                events.append(json.loads(line))
            except ValueError:
                torn += 1
    check(torn <= 1, f"{torn} torn lines")
    return events


@case("out of descriptors: refusals, no spinning, and recovery")
def out_of_descriptors():
    with Cloche() as server:
        bystander = server.session()
        used = len(os.listdir(f"/proc/{server.process.pid}/fd"))
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (used + 1, 1024))
        held = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(10)]
        time.sleep(1)
        before = cpu_ticks(server.process.pid)
        time.sleep(2)
        spent = cpu_ticks(server.process.pid) - before
        check(spent < 50, f"the listener spins: {spent} ticks in 2 s")
        check(echoes(bystander), "the bystander was harmed")
        for connection in held:
            connection.close()
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (1024, 1024))
        eventually(lambda: server.ssh("echo new").text == "new", "a session afterwards", 20)
        finish(bystander)


def cpu_ticks(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@case("out of processes: refusals in words, and recovery")
def out_of_processes():
    if os.geteuid() != 0 or not os.path.isdir("/sys/fs/cgroup/pids"):
        raise Skip("needs a pids controller of version 1 and root")
    group = f"/sys/fs/cgroup/pids/e2e-{os.getpid()}"
    os.mkdir(group)
    try:
        with Cloche() as server:
            bystander = server.session()
            for pid in server.processes():
                if pid not in sandbox_processes(server):
                    with open(os.path.join(group, "cgroup.procs"), "w") as procs:
                        procs.write(str(pid))
            with open(os.path.join(group, "pids.current")) as current:
                now = int(current.read())
            for allowed in (0, 1, 2, 3):
                with open(os.path.join(group, "pids.max"), "w") as limit:
                    limit.write(str(now + allowed))
                result = server.ssh("echo new", timeout=40)
                check(result.code in (0, 255, 254, 1), f"with {allowed} more: {result}")
            with open(os.path.join(group, "pids.max"), "w") as limit:
                limit.write("max")
            check(echoes(bystander), "the bystander was harmed")
            eventually(lambda: server.ssh("echo new").text == "new", "a session afterwards", 20)
            finish(bystander)
    finally:
        eventually(lambda: not open(os.path.join(group, "cgroup.procs")).read(), "an empty group")
        os.rmdir(group)


def hog(claim, command, **profile):
    """A session that takes all it can, beside one that must not notice."""
    @case(claim)
    def function():
        with Cloche(profiles={"lab": {"readable": ["/usr"], "write": "ephemeral", **profile}}) as server:
            bystander = server.session()
            victim = server.open(command)
            end = time.monotonic() + 5
            slowest = 0.0
            while time.monotonic() < end:
                begin = time.monotonic()
                check(echoes(bystander), "the bystander was harmed")
                slowest = max(slowest, time.monotonic() - begin)
                time.sleep(0.2)
            check(slowest < 3, f"the bystander waited {slowest:.1f} s")
            equal(server.ssh("echo new", timeout=60).text, "new", "a new session")
            victim.kill()
            finish(victim)
            eventually(lambda: len(sandbox_processes(server)) <= 2, "the end of its sandbox", 4)
            finish(bystander)
            server.audit()
    return function


hog("a fork bomb inside stays inside", "bomb() { bomb | bomb & }; bomb; sleep 100", pids=64,
    memory="128M", cpus="0.5")
hog("a memory hog inside stays inside",
    "while :; do head -c 300000000 /dev/zero | tail -c 299999999 >/dev/null; done",
    pids=32, memory="64M", cpus="0.5")
hog("a disk filler inside stays inside",
    "cd; i=0; while :; do i=$((i+1)); head -c 1000000 /dev/zero >f$i || sleep 1; done",
    pids=32, memory="128M", disk="16M", cpus="0.5")
hog("a terminal flooder that nobody reads stays bounded", "yes", pids=32, memory="64M")
hog("a client that sends for ever to a shell that does not read stays bounded",
    "sleep 1000", pids=32, memory="64M")


@case("a client that stops reading, and a shell that does, cost net at most 16 MiB")
def bounded_memory():
    built = json.loads(run(["meson", "introspect", "--buildoptions", BUILD]).out)
    sanitized = "address" in next(each["value"] for each in built if each["name"] == "b_sanitize")
    with Cloche() as server:
        reader = server.open("yes 0123456789012345678901234567890123456789")
        who = None
        time.sleep(2)
        who = roles(server)["net"]
        peak = memory_peak(who)
        reader.kill()
        finish(reader)
        eventually(lambda: not sandbox_processes(server), "the end of the first")
        sender = server.open("sleep 100")
        os.set_blocking(sender.stdin.fileno(), False)
        sent, end = 0, time.monotonic() + 3
        while time.monotonic() < end:
            try:
                sent += os.write(sender.stdin.fileno(), b"x" * 65536)
            except BlockingIOError:
                time.sleep(0.05)
        peak = max(peak, memory_peak(roles(server)["net"]))
        check(sent < 64 << 20, f"{sent >> 20} MiB were taken for a shell that reads nothing")
        sender.kill()
        finish(sender)
        limit = (16 << 20) * (8 if sanitized else 1)  # the sanitizer's own memory comes on top
        check(peak < limit, f"net peaked at {peak >> 20} MiB")


def memory_peak(pid):
    """VmHWM less the file pages, which all processes share."""
    with open(f"/proc/{pid}/status") as status:
        fields = dict(line.split(":", 1) for line in status if ":" in line)
    return (int(fields["VmHWM"].split()[0]) - int(fields["RssFile"].split()[0])) * 1024


@case("200 connections that never speak: bounded, ended by the grace time, others get in")
def silent_crowd():
    with Cloche(server={"login_grace": 5, "startups": "20:50:60"}) as server:
        bystander = server.session()
        crowd = []
        for _ in range(200):
            crowd.append(socket.create_connection(("127.0.0.1", server.port)))
        time.sleep(1)
        count = len(server.processes())
        check(count < 60 * 2 + 12, f"{count} processes for them")
        check(echoes(bystander), "the bystander was harmed")
        eventually(lambda: len(server.processes()) < 12, "the end of all of them", 15)
        equal(server.ssh("echo new").text, "new", "a new session")
        for connection in crowd:
            connection.close()
        finish(bystander)


@case("100 sessions at once: each works, each is its own, and all of it goes away")
def many():
    with Cloche(server={"max_total_sessions": 200, "max_user_sessions": 200, "max_connections": 200,
                        "startups": "200:30:400"},
                profiles={"lab": {"readable": ["/usr"], "write": "ephemeral", "pids": 32, "memory": "64M"}}) as server:
        clients = [server.open("readlink /proc/self/ns/pid; exec cat") for _ in range(100)]
        names = [read_line(client.stdout, 120) for client in clients]
        check(all(name.startswith(b"pid:[") for name in names),
              f"{sum(not name for name in names)} did not start: {clients[0].poll()}")
        equal(len(set(names)), 100, "distinct sandboxes")
        check(all(echoes(client, 30) for client in clients), "not all answer")
        for client in clients:
            client.stdin.close()
        codes = [client.wait(60) for client in clients]
        equal(set(codes), {0}, "statuses")
        for client in clients:
            finish(client)
        eventually(lambda: len(server.processes()) <= 3, "the end of all of them", 20)
        events = server.audit()
        equal(sum(event["event"] == "session_end" for event in events), 100, "ends in the log")


@case("garbage, oversized and half-finished packets end their own connection only")
def garbage():
    with Cloche(server={"login_grace": 4}) as server:
        bystander = server.session()
        for number, data in enumerate((b"\0" * 4096, b"GET / HTTP/1.0\r\n\r\n", b"SSH-1.0-old\r\n",
                                       b"SSH-2.0-x\r\n" + b"\xff" * 65536,
                                       b"SSH-2.0-x\r\n" + b"\0\0\x01\0" + b"\x14" * 300,
                                       b"SSH-2.0-" + b"a" * 100000, os.urandom(100000))):
            with socket.create_connection(("127.0.0.1", server.port)) as connection:
                with contextlib.suppress(OSError):
                    connection.sendall(data)
                    connection.settimeout(6)
                    while connection.recv(65536):
                        pass
            check(echoes(bystander), f"the bystander was harmed by number {number}")
        equal(server.ssh("echo new").text, "new", "a new session")
        finish(bystander)
        check(len(descendants(os.getpid())) > 0, "no server")


main()
