"""`why` inside a session: what every backend owes. test-why.py asks it of native, test-backends.py of the others,
where an engine that a case needs runs already. gVisor's sessions have a page in the socket's place."""
import contextlib
import os
import re
import struct
import time

from lib import LINGER, Cloche, case, check, eventually, equal, finish, read_line, run

PAGES = ("gvisor", "docker-runsc", "podman-runsc")
TOOLS = "/run/cloche/tools"
# Twice the memory that there is, in a process of its own.
EATER = "head -c 300000000 /dev/zero | tail -c 299999999 | wc -c"
STAT = "stat -c %F /run/cloche/why"
LIMIT = "res.memory: a program was killed at the memory limit (profile lab, memory: 128M)"
# The tool's directory on the host, as the session sees it in the list of its mounts.
OWN = r"sed -n 's|.*/\([0-9a-f]\{32\}\)/door /run/cloche/why .*|\1|p' /proc/self/mountinfo"
CONNECT = """
import socket, sys
client = socket.socket(socket.AF_UNIX)
client.settimeout(20)
try:
    client.connect(sys.argv[1])
    print(client.recv(16).decode())
except OSError as error:
    print(type(error).__name__)
"""


def knock(path, user):
    """What comes of connecting there from the host, as that user."""
    return run(["/usr/bin/python3", "-c", CONNECT, path], user=user, group=user, extra_groups=[]).text


def profile_of(backend, **more):
    view = {} if backend.startswith(("docker", "podman")) else {"readable": ["/usr"]}
    return {"backend": backend, "write": "ephemeral", "pids": 64, "memory": "128M", **view, **more}


@contextlib.contextmanager
def serve(backend, **more):
    """A server, and the options of a connection to it."""
    server = Cloche(profiles={"lab": profile_of(backend, **more)})
    server.profiles["without"] = profile_of(backend, refuse_on=["ipc.why_page" if backend in PAGES else "ipc.why_door"])
    server.users["without"] = {**server.users["lab"], "profile": "without"}
    with server, server.master() as mux:
        yield server, mux


def said(server, backend, caveat, other):
    """Every session of the audit log is that backend's, and has the one caveat and not the other."""
    starts = [event for event in server.audit() if event.get("backend")]
    check(starts and all(event["backend"] == backend and caveat in event["caveats"] and other not in event["caveats"]
                         for event in starts), f"the audit log: {starts[:1]}")


def inside(backend):
    with serve(backend) as (server, mux):
        text = server.ssh(f"why; {EATER}; why", *mux).text
        check(text.startswith("nothing was refused in this session"), text)
        check("ssh -s HOST cloche-why" in text, f"where forwardings are told of: {text}")
        check(LIMIT in text, f"{text}\n{server.log_text()[-2000:]}")
        # What one session came up to is not told to the next.
        result = server.ssh("echo on; why; command -v why; id -u; stat -c '%u %a %F' /run/cloche/why; "
                            "chmod 666 /run/cloche/why || mv /run/cloche/why /tmp/why || "
                            "echo > /run/cloche/bin/why || echo as it was", *mux)
        text = result.text
        check(text.startswith("on\nnothing was refused in this session") and "res.memory" not in text, f"{result}")
        check("/run/cloche/bin/why\n" in text, f"where it lies: {text}")
        check(text.endswith("socket\nas it was"), f"what a session could do to it: {result}")
        if backend != "native":
            user = re.search(r"^(\d+)\n(\d+) (\d+) socket$", text, re.M)
            check(user and user.group(1, 3) == (user.group(2), "600"), f"whose socket it is: {text}")
        check("res.memory" in server.ssh("cloche-why", *mux, "-s").text, "the connection's")
        with server.terminal(*mux) as term:
            term.ask("why", "nothing was refused in this session")
            term.send("exit\r")
            term.wait()
        said(server, backend, "ipc.why_door", "session.no_why")


def lingering(backend):
    with serve(backend, idle_timeout=2) as (server, mux):
        result = server.ssh("exec python3 - /run/cloche/why", *mux, input=LINGER)
        equal(result.text, "left there", f"{result}")
        check("idle limit" in result.error, f"the limit was not kept: {result}")


def waiting(server, mux, *beside):
    """A session that goes on, and the path of its socket on the host: no other one is to be had inside, beside it
    or not."""
    client = server.open("find /run /tmp /var/tmp /home -exec test -S {} ';' -print 2>/dev/null | tr '\\n' ' '; "
                         f"ls {' '.join(beside)} {TOOLS} 2>/dev/null | tr '\\n' ' '; {OWN}; exec cat", *mux)
    text = read_line(client.stdout, 60).decode()
    found = re.fullmatch("/run/cloche/why ([0-9a-f]{32})\n", text)
    check(found, f"sockets in a session: {text!r}")
    return client, f"{TOOLS}/{found.group(1)}/door"


def apart(backend):
    with serve(backend) as (server, mux):
        first, path = waiting(server, mux)
        second, other = waiting(server, mux, path)
        check(path != other, "two sessions have one socket")
        owner, neighbour = (os.stat(place).st_uid for place in (path, other))
        check(owner != 0 and (owner != neighbour or backend != "bubblewrap"), f"whose they are: {owner}, {neighbour}")
        # On the host nobody but root comes there, and where its id is its own, the session's user.
        for user in {neighbour, 65534}:
            equal(knock(path, user), "PermissionError", f"the first's socket, as {user}")
        equal(knock(path, 0), "nothing was refu", "the same, as root")
        finish(first)
        eventually(lambda: not os.path.exists(os.path.dirname(path)), "the end of the first's directory")
        check(os.path.exists(other), "the other's went along")
        finish(second)


def absent(backend):
    with serve(backend) as (server, _):
        result = server.ssh("test -e /run/cloche && echo there || echo none; command -v why; echo $PATH; "
                            "grep -c '/run/cloche[/ ]' /proc/self/mounts", user="without")
        check(re.fullmatch("none\n/[^\n]*\n0", result.text) and "cloche" not in result.text, f"{result}")
        said(server, backend, "session.no_why", "ipc.why_page" if backend in PAGES else "ipc.why_door")


VARIABLE = re.compile(r"session \d+  accept_env: the variable EVIL is not taken \(profile lab, accept_env: \[TERM, .*\]\)\n")
# As the user that a session is, in every way there is: what can be changed of a page, or of what is beside it?
CHANGE = ("for file in why bin bin/why; do at=/run/cloche/$file; chmod 777 $at || mv $at /tmp/moved || rm -rf $at || "
          "ln -sf /tmp $at || truncate -s 0 $at || touch $at; echo > $at; done 2>/dev/null; echo > /run/cloche/new || "
          "mkdir /run/cloche/new || mv /run/cloche /run/other || ln -s /tmp /run/cloche/new || echo as it was")
# Many readers, and as many programs that ask.
FLOOD = ("for i in 1 2 3 4; do while :; do cat /run/cloche/why; done > /dev/null & why > /dev/null & done; sleep 0.5; "
         "kill $(jobs -p); echo flooded; ")


def pages_of(server):
    """The files that its monitors write."""
    places = set()
    for pid in server.processes():
        with contextlib.suppress(OSError):
            places |= {os.readlink(entry.path) for entry in os.scandir(f"/proc/{pid}/fd")}
    return [place for place in places if place.endswith("/page/why")]


def serial_of(path):
    with open(path, "rb") as file:
        return struct.unpack("<QQ", file.read(16))[1]


def page(backend):
    evil = {"env": {**os.environ, "EVIL": "1"}, "options": ("SendEnv=EVIL",)}
    with Cloche(profiles={"lab": profile_of(backend)}) as server, server.master(options=("SendEnv=EVIL",)) as mux:
        flood = FLOOD if backend == "gvisor" else "echo flooded; "
        result = server.ssh(f"why; command -v why; {CHANGE}; {flood} why", *mux, **evil)
        told, _, again = result.text.partition("/run/cloche/bin/why\nas it was\nflooded\n")
        for text in (told, again):
            check(len(VARIABLE.findall(text)) == 1 and "ssh -s HOST cloche-why" in text, f"{result}")
        # Beside it and behind it, none of that is told to another session.
        result = server.ssh(f"why; ls -a /run/cloche; stat -c '%u %a %s' /run/cloche/why; ls {TOOLS}", *mux)
        check(result.text.startswith("nothing was refused in this session") and "EVIL" not in result.text, f"{result}")
        check(re.search(r"\n\.\n\.\.\nbin\n(statx\.so\n)?why\n0 444 16032$", result.text), f"what is there: {result}")
        check(VARIABLE.search(server.ssh("cloche-why", *mux, "-s").text), "the connection's")
        said(server, backend, "ipc.why_page", "session.no_why")
        if backend != "gvisor":
            return  # the rest is ours, and not the engine's
        # However much it is read, it is written once a second.
        client = server.session()
        (path,) = eventually(lambda: pages_of(server), "the page of a session that runs")
        first, begin = serial_of(path), time.monotonic()
        eventually(lambda: serial_of(path) >= first + 2, "two more pages")
        check(time.monotonic() - begin > 0.9, "two pages within a second")
        for user in (65534, 603915240):
            equal(run(["/usr/bin/cat", path], user=user, group=user, extra_groups=[]).code, 1, f"read by {user}")
        finish(client)
        eventually(lambda: not os.path.exists(os.path.dirname(path)), "the end of its directory")


def machine(backend):
    """Its agent listens inside and asks outside: one question at a time, and what it says of the limits."""
    evil = {"env": {**os.environ, "EVIL": "1"}, "options": ("SendEnv=EVIL",)}
    with Cloche(profiles={"lab": profile_of(backend)}) as server, server.master(options=("SendEnv=EVIL",)) as mux:
        result = server.ssh(f"why; {EATER}; why & why > /dev/null & why > /dev/null & "
                            f"wait; echo > /run/cloche/why || rm /run/cloche/why || {STAT}", *mux, **evil)
        told, _, again = result.text.partition("ECONNREFUSED or ENOSPC.\n")
        check(VARIABLE.search(told) and "res.memory" not in told, f"{result}")
        check(VARIABLE.search(again) and LIMIT in again and again.count("EVIL") == 1, f"{result}")
        check(again.endswith("socket"), f"what is there: {result}")
        check(LIMIT in server.ssh("cloche-why", *mux, "-s").text, "the connection's")
        text = server.ssh("why", *mux).text
        check(text.startswith("nothing was refused in this session") and "EVIL" not in text, text)
        said(server, backend, "ipc.why_door", "session.no_why")


CLAIMS = (
    (inside, "why inside says what was refused there, with capability and policy line, and nothing of another session"),
    (apart, "another session's socket is not to be had, inside or on the host"),
    (lingering, "a socket that lingers is sent to the door: who closes it goes on, and keeps the session's limits"),
    (absent, "a profile that refuses the door has neither socket nor command"),
)
MACHINE_CLAIMS = (
    (machine, "why inside says what was refused there, with capability and policy line, and nothing of another session"),
)
PAGE_CLAIMS = (
    (page, "why inside says what was refused there, with the line of the policy, and nothing of another session; "
           "what a session does to its page changes nothing"),
    (absent, "a profile that refuses the page has neither page nor command"),
)
# Native's has no place on the host; the image of the engines has no program that could send a socket.
EXCEPT = {(apart, "native"), (lingering, "docker"), (lingering, "podman"), (absent, "docker-runsc"),
          (absent, "podman-runsc")}


def claim_all(backend):
    """Registers all cases for that backend."""
    claims = {"microvm": MACHINE_CLAIMS, **{name: PAGE_CLAIMS for name in PAGES}}.get(backend, CLAIMS)
    for function, claim in claims:
        if (function, backend) not in EXCEPT:
            case(f"{backend}: {claim}")(lambda function=function: function(backend))
