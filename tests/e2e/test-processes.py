#!/usr/bin/python3
"""The server's processes, looked at from outside: what each is, holds, and can do."""
import base64
import contextlib
import os
import platform
import subprocess

from lib import (Cloche, Skip, case, check, connections, describe, equal, finish, main, net_process,
                 roles, sandbox_processes, sockets, status_of)
import inject

CLONE, SOCKET, EXECVE, OPENAT, MKDIR, PTRACE, KILL = 56, 41, 59, 257, 83, 101, 62
MEMORY_REGION_LIMIT = 256 << 20  # a sanitizer's shadow is terabytes


def need_root():
    if os.geteuid() != 0:
        raise Skip("looking into the processes takes root")


def holds(pid, needle):
    """Is needle anywhere in the memory of pid?"""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, mode = line.split()[:2]
            begin, end = (int(part, 16) for part in span.split("-"))
            if "r" not in mode or "[v" in line or end - begin > MEMORY_REGION_LIMIT:
                continue
            with contextlib.suppress(OSError, ValueError):
                memory.seek(begin)
                if needle in memory.read(end - begin):
                    return True
    return False


def secret_of(server):
    """The private half of the server's ed25519 host key."""
    with open(server.path("host_key")) as file:
        blob = base64.b64decode("".join(line for line in file if not line.startswith("-")))
    with open(server.path("host_key.pub")) as file:
        public = base64.b64decode(file.read().split()[1])[-32:]
    place = blob.rindex(b"\0\0\0\x40")
    secret = blob[place + 4:place + 36]
    equal(blob[place + 36:place + 68], public, "the layout of the key file")
    return secret


@case("the net process has its own uid, no capability, no_new_privs, a filter and an empty root")
def posture():
    need_root()
    with Cloche() as server:
        client = server.session()
        net = net_process(server)
        status = status_of(net)
        uids = {int(uid) for uid in status["Uid"].split()}
        check(0 not in uids and len(uids) == 1, f"uids {uids}")
        check(0 not in {int(gid) for gid in status["Gid"].split()}, "gid 0")
        equal(status["Groups"].strip(), "", "further groups")
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            equal(int(status[name], 16), 0, name)
        equal(status["NoNewPrivs"], "1", "NoNewPrivs")
        equal(status["Seccomp"], "2", "Seccomp")
        equal(os.listdir(f"/proc/{net}/root/"), [], "its root directory")
        root, cwd = os.stat(f"/proc/{net}/root"), os.stat(f"/proc/{net}/cwd")
        check(not os.path.samestat(root, os.stat("/")), "its root is the host's")
        check(os.path.samestat(root, cwd), "its working directory is not its root")
        sandbox_uids = {int(status_of(pid)["Uid"].split()[0]) for pid in sandbox_processes(server)}
        check(not uids & sandbox_uids, "net and sandbox share a uid")
        finish(client)


@case("the net process before login is the same, and cannot fork, exec, open, or make sockets")
def cannot():
    need_root()
    if platform.machine() != "x86_64":
        raise Skip("system calls are injected on x86-64 only")
    calls = {
        "fork": (CLONE, (17, 0, 0, 0, 0), None),
        "socket": (SOCKET, (2, 1, 0), None),
        "unix socket": (SOCKET, (1, 1, 0), None),
        "open /": (OPENAT, (-100, "text", 0), b"/"),
        "open .": (OPENAT, (-100, "text", 0), b"."),
        "open /etc/passwd": (OPENAT, (-100, "text", 0), b"/etc/passwd"),
        "open /proc/self/status": (OPENAT, (-100, "text", 0), b"/proc/self/status"),
        "mkdir": (MKDIR, ("text", 0o700), b"x"),
        "exec": (EXECVE, ("text", 0, 0), b"/bin/true"),
        "ptrace": (PTRACE, (16, os.getpid(), 0, 0), None),
        "kill": (KILL, (os.getpid(), 0), None),
    }
    # The control: where nothing is in the way, each of these that is harmless succeeds.
    with subprocess.Popen(["sleep", "60"]) as control:
        for name in ("socket", "open /", "open /etc/passwd", "kill"):
            number, arguments, text = calls[name]
            check(inject.call(control.pid, number, *arguments, text=text) >= 0,
                  f"the control refuses {name}")
        control.kill()
    with Cloche() as server:
        for stage in ("before login", "in a session"):
            for name, (number, arguments, text) in calls.items():
                import socket
                client = server.session() if stage == "in a session" else \
                    socket.create_connection(("127.0.0.1", server.port))
                if stage == "before login":
                    client.recv(100)
                answer = inject.call(net_process(server), number, *arguments, text=text)
                check(answer == inject.KILLED or answer < 0, f"{stage}: {name} gave {answer}")
                if stage == "in a session":
                    client.kill()
                    finish(client)
                else:
                    client.close()


@case("the host key is in the network-facing processes only, not in listener, monitor or sandbox")
def key_memory():
    need_root()
    with Cloche() as server:
        client = server.session()
        secret, who = secret_of(server), roles(server)
        check(holds(who["net"], secret), "the control: net holds the key")
        for pid in server.processes():
            if pid == who["net"]:
                continue
            inside = pid in sandbox_processes(server)
            if inside or pid in (who["listener"], who["monitor"]):
                check(not holds(pid, secret), f"the key is in {describe(pid)}")
        finish(client)


@case("no descriptor and no code of the server is in a sandbox")
def descriptors():
    need_root()
    with Cloche() as server:
        client = server.session()
        who = roles(server)
        outside = sockets(who["net"]) | sockets(who["monitor"]) | sockets(who["listener"])
        check(len(outside) >= 3, f"the control: the server has sockets {outside}")
        for pid, inner in sandbox_processes(server).items():
            check(not sockets(pid) & outside, f"{describe(pid)} shares {sockets(pid) & outside}")
            if inner != 1:
                check(not sockets(pid), f"{describe(pid)} has sockets")
            with open(f"/proc/{pid}/maps") as maps:
                text = maps.read()
            for name in ("cloche-sshd", "libssh", "libsodium"):
                check(name not in text, f"{name} is mapped in {describe(pid)}")
        finish(client)


@case("an init in a sandbox cannot be traced or read from inside, and is not the host's root")
def init():
    need_root()
    with Cloche() as server:
        client = server.session()
        inside = sandbox_processes(server)
        pid = next(pid for pid, inner in inside.items() if inner == 1)
        check("0" not in status_of(pid)["Uid"].split(), "init runs as the host's root")
        result = server.ssh("cat /proc/1/environ /proc/1/maps /proc/1/stack; ls /proc/1/fd;"
                            "dd if=/proc/1/mem bs=1 count=1; kill -9 1; echo end")
        equal(result.text, "end", f"something of init was readable: {result}")
        finish(client)


@case("the client's connection is held by net, by the monitor that may cut it, and by nobody else")
def who_reads():
    need_root()
    with Cloche() as server:
        client = server.session()
        who, wanted = roles(server), connections(server)
        check(wanted & sockets(who["net"]), "the control: net has the connection")
        for pid in server.processes():
            if pid not in (who["net"], who["monitor"]):
                check(not sockets(pid) & wanted, f"{describe(pid)} has the connection too")
        finish(client)


main()
