#!/usr/bin/python3
"""A profile that names a backend, through the stock client: what every backend owes a session. The
backend's name comes in CLOCHE_BACKEND; each one is a line of this folder's meson.build. Claims do not differ by
backend; patience does."""
import concurrent.futures
import contextlib
import os
import re
import signal
import time

import doors
import guests
from engines import engine_of
from lib import BUILD, CASE, START, Cloche, Server, case, check, echoes, equal, eventually, finish, main, parents, run

BACKEND = os.environ.get("CLOCHE_BACKEND", "bubblewrap")
TOOLS = "/run/cloche/tools"
ENGINE = engine_of(BACKEND)
# A container has the files of its image.
VIEW = {"readable": [] if ENGINE else ["/usr"]}
# The id a session sees itself under: one that no user of the host has, where host ids count.
USER = "603915240" if ENGINE else {"gvisor": r"[1-9]\d{3,}"}.get(BACKEND, "1000")
# What carries a session: it is killed by name.
CARRIER = {"microvm": "qemu-system-x86"}.get(BACKEND, "cloche-keeper")
# A kernel of the session's own lives within the limit.
LITTLE_MEMORY = "96M" if BACKEND in ("gvisor", "docker-runsc", "podman-runsc") else "64M"
# Docker's command line tells the size of a terminal to a container that runs already.
SIZE_FOLLOWS = BACKEND.startswith("docker")
# Whether the command's end by a signal is told as one, and not as 128 and its number.
KERNEL = tuple(int(number) for number in re.findall(r"\d+", os.uname().release)[:2])
TELLS_SIGNALS = BACKEND == "microvm" or (BACKEND == "bubblewrap" and KERNEL >= (6, 15))
if BACKEND == "microvm":
    guests.use(BUILD)
    START[0] = guests.BOOT


def serve(**more):
    profile = {"backend": BACKEND, "write": "ephemeral", "pids": 64, "memory": "256M", **VIEW, **more}
    return Cloche(profiles={"lab": profile})


def tools():
    """The directories of tools that are there. Other servers' come and go: look for new ones."""
    return set(os.listdir(TOOLS)) if os.path.isdir(TOOLS) else set()


def session_of(server):
    """A session, and the name of its tool's directory."""
    before = tools()
    client = server.session()
    own = set()
    for entry in os.scandir(f"/proc/{carrier_of(server)}/fd"):
        place, _, name = os.readlink(entry.path).rpartition("/")
        own |= {name} if place == TOOLS else set()
    own &= tools() - before
    equal(len(own), 0 if BACKEND == "microvm" else 1, "directories of the session's tool")
    return client, own


def comm(pid):
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return ""


def carrier_of(server):
    carriers = [pid for pid in server.processes() if comm(pid) == CARRIER]
    equal(len(carriers), 1, f"processes called {CARRIER}")
    return carriers[0]


def monitor_of(server):
    """The first above the carrier that is not in a sandbox."""
    table, pid = parents(), carrier_of(server)
    while True:
        pid = table[pid][0]
        if os.readlink(f"/proc/{pid}/ns/pid") == os.readlink("/proc/self/ns/pid"):
            return pid


def is_gone(own):
    """Is nothing left of a session: neither its tool's directory nor anything of an engine?"""
    return not own & tools() and not (ENGINE and (ENGINE.containers() or ENGINE.volumes()))


@case(f"{BACKEND}: a command's output, errors, input and exit status")
def commands():
    data = os.urandom(1 << 20)
    with serve() as server, concurrent.futures.ThreadPoolExecutor(2) as side_by_side:
        def ask(command, **more):
            return side_by_side.submit(server.ssh, command, **more)

        streams = ask("cat; echo out; echo err >&2; exit 7", input=b"in\n")
        absent, status, killed = ask("/no/such/program"), ask("exit 143"), ask("kill -TERM $$")
        back = ask("cat", input=data)
        result = streams.result()
        equal((result.code, result.out, result.err), (7, b"in\nout\n", b"err\n"), "what came back")
        equal(absent.result().code, 127, "a program that is not there")
        equal(status.result().code, 143, "an exit status like a signal's")
        equal(killed.result().code, 255 if TELLS_SIGNALS else 143, f"death by a signal: {killed.result()}")
        check((back.result().code, back.result().out) == (0, data), "a megabyte did not come back")


@case(f"{BACKEND}: it is that backend which runs, confined, with no descriptor besides")
def confined():
    with serve() as server:
        result = server.ssh(f"id -u; ls -d /work {server.directory} 2>/dev/null | wc -l; "
                            "cat /etc/shadow 2>/dev/null | wc -c; ls /proc/self/fd | wc -w; "
                            "ls -ld /usr /tmp >/dev/null && stat -c %F /usr; env")
        view, _, environment = result.text.partition("\ndirectory\n")
        check(re.fullmatch(USER + r"\n0\n0\n4", view), f"id, view, descriptors, ls and stat: {result}")
        check("SHELL=" in environment, f"no environment: {result}")
        starts = [event for event in server.audit() if event.get("backend")]
        check(starts and all(event["backend"] == BACKEND for event in starts), f"the audit log: {starts[:2]}")


def has_size(term, size):
    eventually(lambda: size.encode() in term.ask("stty size", r"\d+ \d+").group(0), f"a terminal of {size}")


@case(f"{BACKEND}: a terminal: size, resize, interrupt, job control, exit status")
def terminal():
    with serve() as server:
        with server.terminal(rows=31, columns=77) as term:
            if SIZE_FOLLOWS:
                has_size(term, "31 77")
            else:
                term.ask("stty size", r"31 77")
            term.resize(40, 100)
            has_size(term, "40 100")
            term.send("sleep 100\r")
            time.sleep(0.5)
            term.send("\x03")
            term.ask("echo back=$((6*7))", r"back=42")
            term.ask("set -m; sleep 100 & kill %1; echo jobs=done", r"jobs=done")
            term.send("exit 5\r")
            equal(term.wait(), 5, "exit status")


LISTED = ["realpath", "stat", "lstat", "fstat", "opendir", "readdir", "open", "write", "close"]


@case(f"{BACKEND}: a file there and back by sftp; read-only, and lists of requests, hold")
def files():
    server = serve(sftp_deny=["remove"])
    server.profiles["reader"] = {**server.profiles["lab"], "sftp": "read-only", "sftp_allow": LISTED, "sftp_deny": []}
    server.users["reader"] = {**server.users["lab"], "profile": "reader"}
    # Translated machines are quicker one after the other.
    with server, concurrent.futures.ThreadPoolExecutor(1 if BACKEND == "microvm" else 2) as some:
        data = os.urandom(300000)
        with open(server.path("here"), "wb") as file:
            file.write(data)

        def ask(user, *lines):
            argv = server.ssh_argv("127.0.0.1")
            argv[argv.index("-p")] = "-P"
            batch = server.write("batch-" + user, "".join(line + "\n" for line in lines))
            return some.submit(run, ["sftp", "-b", batch, *argv[1:argv.index("-l")], f"{user}@127.0.0.1"],
                               timeout=60 + START[0])

        # A dash: what is refused is no reason to end.
        writer = ask("lab", f"put {server.path('here')} there", f"get there {server.path('back')}", "-rm there",
                     "ls there")
        reader = ask("reader", "ls /usr/bin/env", f"-put {server.path('here')} /tmp/there", "-ls /tmp/there",
                     f"-get /usr/bin/env {server.path('taken')}")
        result = writer.result()
        equal(result.code, 0, f"sftp: {result}")
        with open(server.path("back"), "rb") as file:
            check(file.read() == data, "the file came back another")
        check("ermission denied" in result.error and "\nthere" in result.text, f"rm where that is denied: {result}")
        result = reader.result()
        check(result.code == 0 and b"\n/usr/bin/env" in result.out, f"read-only: {result}")
        check('dest open "/tmp/there": Permission denied' in result.error and
              '"/tmp/there" not found' in result.error, f"put where one may only read: {result}")
        check('read remote "/usr/bin/env" : Permission denied' in result.error, f"a request not listed: {result}")


@case(f"{BACKEND}: what needs a second command in a sandbox is refused in words: agents, ports, a home that lasts")
def refused():
    readable = {"readable": ["/usr"]}  # a home that lasts has its place in a list
    for more, arguments, reason in (({"forward": ["agent"]}, ("-A",), "cannot let a command join a sandbox"),
                                    ({"share": "connection"}, (), "cannot let a command join a sandbox"),
                                    ({"home_mode": "persistent", "write": "overlay", **readable}, (),
                                     "does not keep home directories; native does")):
        server = serve(**more)
        server.settings["homes"] = server.path("homes")
        with server, server.agent() as agent:
            result = server.ssh("echo in", *arguments, env={**os.environ, "SSH_AUTH_SOCK": agent},
                                options=(f"IdentityAgent={agent}",))
            check(result.code != 0 and reason in result.error and b"in\n" not in result.out, f"{more}: {result}")


@case(f"{BACKEND}: the client's end ends the session; nothing of it is left")
def disconnect():
    with serve() as server:
        idle = len(server.processes())
        client, own = session_of(server)
        client.kill()
        finish(client)
        eventually(lambda: len(server.processes()) <= idle, "the end of the session")
        eventually(lambda: is_gone(own), "the end of all that was made for it")


@case(f"{BACKEND}: the time limit ends a command that ignores signals")
def time_limit():
    with serve(timeout=2) as server:
        begin = time.monotonic()
        result = server.ssh("trap '' TERM HUP INT; while :; do sleep 1; done")
        check(result.code != 0 and time.monotonic() - begin < 12 + START[0] / 4, f"{result}")


@case(f"{BACKEND}: memory and tasks are bounded, and the server does not notice")
def limits():
    with serve(memory=LITTLE_MEMORY, pids=16) as server:
        beside = server.session()
        result = server.ssh("head -c 200000000 /dev/zero | tail -c 199999999 | wc -c")
        check(b"199999999" not in result.out, f"200 MB of memory were to be had: {result}")
        # By dash: bash tries a fork that failed again, and waits for longer each time.
        result = server.ssh("sh -c 'for i in $(seq 60); do sleep 3 & done' 2>/dev/null; ls -d /proc/[0-9]* | wc -l",
                            timeout=90)
        check(not result.text or int(result.text.split()[-1]) < 20, f"60 tasks could be started: {result}")
        check(echoes(beside), "the session beside it was harmed")
        finish(beside)


@case(f"{BACKEND}: sessions share nothing but the view")
def apart():
    with serve() as server:
        first = server.session()
        equal(server.ssh("echo x > /tmp/mark; ls /tmp | wc -l").text, "1", "the first's own place")
        equal(server.ssh("ls /tmp | wc -l").text, "0", "the next session's")
        finish(first)


@case(f"{BACKEND}: kill -9 of the monitor takes the session along and leaves nothing")
def kill_monitor():
    with serve() as server:
        idle = len(server.processes())
        client, own = session_of(server)
        door = "page/why" if BACKEND in doors.PAGES else "door"
        check(BACKEND == "microvm" or os.path.exists(f"{TOOLS}/{min(own)}/{door}"), "nothing for `why`")
        os.kill(monitor_of(server), signal.SIGKILL)
        check(client.wait(10) != 0, "the client was told that all is well")
        finish(client)
        eventually(lambda: len(server.processes()) <= idle, "the end of the session", 5)
        eventually(lambda: is_gone(own), "the end of all that was made for it", 5)
        equal(server.ssh("echo new").text, "new", "a new session")


@case(f"{BACKEND}: kill -9 of {CARRIER} takes the session along and leaves nothing")
def kill_carrier():
    with serve() as server:
        idle = len(server.processes())
        client, own = session_of(server)
        os.kill(carrier_of(server), signal.SIGKILL)
        check(client.wait(10) != 0, "the client was told that all is well")
        finish(client)
        eventually(lambda: len(server.processes()) <= idle, "the end of the session", 5)
        eventually(lambda: is_gone(own), "the end of all that was made for it", 5)


doors.claim_all(BACKEND)

with ENGINE or contextlib.nullcontext():
    Server.beside |= {ENGINE.daemon.pid} if ENGINE and ENGINE.daemon else set()
    main(CASE + 10 * START[0])
