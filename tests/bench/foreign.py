"""The bare tools: each does by hand what a backend has it do, from the words of the backend's own plan.

A peer is what somebody types who wants the same sandbox and has no cloche: the same tool, image, view,
limits of the tool's own, filter and command. It has no control groups of ours, no keeper, no report that the
command runs and nothing that cleans up after a crash. Its files are written before the clock starts.
"""
import base64
import contextlib
import ctypes
import json
import os
import re
import shutil
import socket
import stat
import struct
import subprocess
import tempfile
import time

import engines
import guests

# What the command sees: the host's programs, or, of an engine, those of its image.
HOST, IMAGE = ["--readable=/usr", "--write=ephemeral"], ["--write=ephemeral"]
FILTER_FD, FIRST_FD, PORT_FD = 10, 11, 10
PR_SET_CHILD_SUBREAPER = 36
# Whoever loses its parent becomes our child: settle() waits for it.
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
# What whoever started us has left open is not handed on: a high number among it would make runsc by hand faster.
for inherited in os.listdir("/proc/self/fd"):
    with contextlib.suppress(OSError):
        os.set_inheritable(int(inherited), int(inherited) <= 2)


def frame_types():
    """The numbers of a guest's frames, as backends/vm/protocol.h has them."""
    header = os.path.join(os.path.dirname(__file__), "../../backends/vm/protocol.h")
    body = re.search(r"enum vm_type \{(.*?)\};", open(header).read(), re.DOTALL)[1]
    names = re.findall(r"^\s*VM_([A-Z_]+)", body, re.MULTILINE)
    return {name: number for number, name in enumerate(names, 1)}


FRAMES = frame_types()


def children():
    with open(f"/proc/{os.getpid()}/task/{os.getpid()}/children") as listed:
        return {int(word) for word in listed.read().split()}


def settle(before):
    """Waits for what a command left behind to end by itself (a keeper, podman's clean-up), so that it does
    not take its time from the next one."""
    while new := children() - before:
        for pid in new:
            os.waitpid(pid, 0)


def spent(argv, files=()):
    """Seconds from before the start to after the end. files: what is open besides, by number."""
    before = children()
    argv = [shutil.which(argv[0]), *argv[1:]]  # nobody's time goes into the search
    opened = {0: "/dev/null", **dict(files)}
    actions = [(os.POSIX_SPAWN_OPEN, fd, path, os.O_RDONLY, 0) for fd, path in opened.items()]
    actions.append((os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0))
    with tempfile.TemporaryFile() as said:
        actions.append((os.POSIX_SPAWN_DUP2, said.fileno(), 2))
        begin = time.perf_counter()
        pid = os.posix_spawnp(argv[0], argv, os.environ, file_actions=actions)
        _, status = os.waitpid(pid, 0)
        end = time.perf_counter()
        settle(before)
        if status:
            said.seek(0)
            raise RuntimeError(f"{argv} ended with {status}: {said.read().decode(errors='replace')}")
    return end - begin


@contextlib.contextmanager
def planned(cloche, backend, options=HOST):
    """A backend's plan, and a directory with the plan's files as a session would have them."""
    out = subprocess.run([cloche, "plan", f"--backend={backend}", "--json", *options, "--", "true"],
                         check=True, stdout=subprocess.PIPE).stdout
    plan = json.loads(out)
    with tempfile.TemporaryDirectory(prefix="cloche-bench.", dir="/run") as directory:
        def fill(text, number=0):
            name = f"bench-{os.getpid()}-{number}"
            return text.replace("{dir}", directory).replace("{id}", name).replace("{brace}", "{")
        for file in plan["files"]:
            path = os.path.join(directory, file["name"])
            if stat.S_ISDIR(int(file["mode"], 8)):
                os.mkdir(path)
            elif file.get("encoding") == "base64":
                write(path, base64.b64decode(file["content"]))
            else:
                write(path, fill(file["content"]))
        yield plan, directory, fill


def write(path, content):
    with open(path, "wb" if isinstance(content, bytes) else "w") as out:
        out.write(content)
    return path


def applies(condition, mounts):
    """Of a line of bwrap.args, for a session without a terminal and a bwrap that is in the host's network."""
    word, _, number = condition.partition(":")
    if not number:
        return True
    try:
        is_dir = stat.S_ISDIR(os.stat(mounts[int(number)]["source"]).st_mode)
    except OSError:
        return False
    return {"has": True, "dir": is_dir, "file": not is_dir}[word]


@contextlib.contextmanager
def bubblewrap(cloche, build):
    """bwrap with every option of the plan, sources by their path, and the same filter."""
    with planned(cloche, "bubblewrap") as (plan, directory, _):
        files, words = {}, ["bwrap"]
        program = subprocess.run([os.path.join(build, "tests/bench/filter-bytes")], check=True,
                                 stdout=subprocess.PIPE).stdout
        files[FILTER_FD] = write(os.path.join(directory, "filter"), program)

        def word(match):
            kind, number = match[1], match[2]
            if kind == "filter":
                return str(FILTER_FD)
            mount = plan["mounts"][int(number)]
            if kind == "m":
                return mount["source"]
            fd = FIRST_FD + int(number)
            files[fd] = write(os.path.join(directory, f"file-{number}"), mount["content"])
            return str(fd)

        for line in open(os.path.join(directory, "bwrap.args")).read().splitlines():
            condition, *rest = line.split("\t")
            if applies(condition, plan["mounts"]):
                words += [re.sub(r"\{fd:(filter|m|d)(\d*)\}", word, one.replace("bind-fd", "bind"))
                          for one in rest]
        yield lambda number: spent([*words, "true"], files)


@contextlib.contextmanager
def gvisor(cloche, _):
    """runsc run, with the same bundle but for the hook that tells us of the start."""
    with planned(cloche, "gvisor") as (plan, directory, fill):
        path = os.path.join(directory, "config.json")
        config = json.load(open(path))
        config.pop("hooks", None)
        write(path, json.dumps(config))
        yield lambda number: spent([fill(word, number) for word in plan["command"]])


@contextlib.contextmanager
def settled():
    """What an engine has just been given is not remembered yet: a file may change again within a tick."""
    time.sleep(2.5)
    yield


@contextlib.contextmanager
def container(backend, cloche):
    """ENGINE run, in one command, with the options that the plan creates its container with."""
    with engines.engine_of(backend), settled(), planned(cloche, backend, IMAGE) as (plan, directory, fill):
        create = next((step["argv"] for step in plan["steps"] if step["when"] == "before"),
                      plan["command"])
        words = [create[0], "run", *create[2:]]
        for own in ("--cidfile", "--pidfile"):
            if own in words:
                del words[words.index(own):words.index(own) + 2]
        yield lambda number: spent([fill(word, number) for word in words])


def docker(cloche, _):
    return container("docker", cloche)


def podman(cloche, _):
    return container("podman", cloche)


def receive(control, size):
    data = b""
    while len(data) < size:
        more = control.recv(size - len(data))
        if not more:
            raise RuntimeError("the guest hung up")
        data += more
    return data


def boot(argv, session):
    """Seconds from QEMU's start until the guest has said how the command ended. QEMU is killed then."""
    pairs = [socket.socketpair() for _ in range(3)]
    null = os.open("/dev/null", os.O_RDWR)
    try:
        actions = [(os.POSIX_SPAWN_DUP2, null, fd) for fd in range(3)]
        high = [os.dup2(theirs.fileno(), 100 + n) for n, (_, theirs) in enumerate(pairs)]
        actions += [(os.POSIX_SPAWN_DUP2, fd, PORT_FD + n) for n, fd in enumerate(high)]
        begin = time.perf_counter()
        pid = os.posix_spawn(argv[0], argv, os.environ, file_actions=actions)
        control = pairs[0][0]
        control.sendall(struct.pack("<IIQQ", FRAMES["SESSION"], len(session), 0, 0) + session)
        try:
            while True:
                kind, size, number, _ = struct.unpack("<IIQQ", receive(control, 24))
                text = receive(control, size)
                if kind == FRAMES["EXITED"]:
                    break
                if kind == FRAMES["FAILED"]:
                    raise RuntimeError(f"the guest failed: {text}")
            end = time.perf_counter()
        finally:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
        if number:
            raise RuntimeError(f"the command ended with {number}")
        return end - begin
    finally:
        for fd in (null, *high):
            os.close(fd)
        for pair in pairs:
            pair[0].close()
            pair[1].close()


@contextlib.contextmanager
def microvm(cloche, build):
    """QEMU with the same machine, kernel and initramfs, outside of a jail, over the host's own tree."""
    guests.use(build)
    with planned(cloche, "microvm") as (plan, _, _):
        words = plan["command"][plan["command"].index("--") + 1:]
        words = [word.replace("path=/export,", "path=/,") for word in words]
        session = next(mount["content"] for mount in plan["jail"]["mounts"]
                       if mount["target"] == "/cloche/session").encode()
        yield lambda number: boot(words, session)


# The backend, its options, who does it by hand, what that is called, and how many rounds there are for
# one of --rounds.
PEERS = [
    ("bubblewrap", HOST, bubblewrap, "bwrap", 4),
    ("gvisor", HOST, gvisor, "runsc run", 1),
    ("docker", IMAGE, docker, "docker run", 1),
    ("podman", IMAGE, podman, "podman run", 1),
    ("microvm", HOST, microvm, "QEMU", 0.3),
]
