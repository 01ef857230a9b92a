#!/usr/bin/python3
"""Logins measured by the testkit over the stock ssh client: one that confines nothing, and ours."""
import contextlib
import json
import os
import signal
import socket
import struct
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from lib import BUILD, Cloche, OpenSshd, Server, Skip, case, check, equal, keygen, main, run  # noqa: E402

HOST = os.path.join(BUILD, "testkit", "cloche-testkit-host")


def measure(server, *options):
    """The report and the exit code of a measurement of this server."""
    if os.geteuid() != 0:
        raise Skip("controls of another user need root")
    result = run([HOST, "--target", f"ssh://{server.user}@127.0.0.1:{server.port}",
                  "--identity", server.key, "--format", "json", *options],
                 env={**os.environ, "HOME": server.directory}, timeout=150)
    check(result.out, f"no report: {result}")
    return json.loads(result.out), result.code


def verdicts(report):
    return {item["name"]: item["verdict"] for item in report["capabilities"] if item["declared"]}


@case("a stock login is seen to confine nothing")
def stock():
    with OpenSshd() as server:
        promises = ["net.disable", "fs.write.deny", "ipc.restrict", "kernel.filter", "priv.none"]
        report, code = measure(server, "--quick", "--declare", ",".join(promises))
        equal(verdicts(report), {name: "FAIL" for name in promises}, "verdicts")
        equal(code, 1, "exit code")
        check(report["client"]["finished"] and not report["client"]["damaged"], report["client"])


@case("a banner, a motd and a terminal's worth of noise do not disturb")
def noise():
    with OpenSshd('ForceCommand echo "@0 noise"; printf "no newline"; eval "$SSH_ORIGINAL_COMMAND"') \
            as server:
        report, code = measure(server, "--quick", "--declare", "net.disable")
        equal(verdicts(report), {"net.disable": "FAIL"}, "verdicts")
        check(report["client"]["finished"], report["client"])


@case("the client comes through a terminal, with its echo and its line ends")
def terminal():
    if os.geteuid() != 0:
        raise Skip("controls of another user need root")
    with tempfile.TemporaryDirectory() as directory:
        launcher = os.path.join(directory, "launcher")
        with open(launcher, "w") as file:
            file.write('#!/bin/sh\nexec script -qefc "$1" /dev/null\n')
        os.chmod(directory, 0o755)
        os.chmod(launcher, 0o755)
        result = run([HOST, "--target", f"exec:{launcher} {{client}}", "--quick", "--format", "json",
                      "--declare", "net.disable"])
        report = json.loads(result.out)
        equal(result.code, 1, "exit code")
        check(report["client"]["finished"], report["client"])
        equal(report["client"]["lost"], 0, "lost lines")


@case("a login in a tree of its own gets the client into memory, and is judged")
def unwritable():
    wrapper = "exec bwrap --ro-bind / / --dev-bind /dev /dev --ro-bind /dev/shm /dev/shm " \
              "--proc /proc sh -c \"$SSH_ORIGINAL_COMMAND\""
    with OpenSshd(f"ForceCommand {wrapper}") as server:
        report, code = measure(server, "--quick", "--declare", "fs.write.deny,net.disable", "--deliver", "memfd")
        equal(verdicts(report), {"fs.write.deny": "PASS", "net.disable": "FAIL"}, "verdicts")
        check(report["client"]["finished"], report["client"])


@case("where nothing can be run what the server does for its client is measured all the same")
def sftp_only():
    with OpenSshd("Subsystem sftp internal-sftp\nForceCommand internal-sftp") as server:
        for probe, seen in (("H.local-tcp", "OPEN"), ("H.sftp-read", "OPEN")):
            report, code = measure(server, "--probe", probe, "--deliver", "cat")
            equal(observed(report, probe), {probe: seen}, "observed")
            equal(code, 2, "exit status: the client did not come up")
            check(not report["client"]["came"] and report["client"]["fault"], report["client"])


@case("a login of ours keeps what its profile promises")
def ours():
    with Cloche() as server:
        config = server.configure()
        report, code = measure(server, "--quick", "--config", config, "--profile", "lab")
        got = verdicts(report)
        check(len(got) >= 12, got)
        broken = {name: verdict for name, verdict in got.items() if verdict != "PASS"}
        detail = [probe for probe in report["probes"] if probe["verdict"] == "FAIL"]
        equal(broken, {}, f"broken promises {json.dumps(detail)[:1500]}")
        equal(code, 0, "exit code")
        check(report["client"]["finished"], report["client"])


@case("a login's time limit is waited for where it is short, and not judged by another where it is long")
def time_limits():
    base = {"write": "ephemeral"}
    with Cloche(profiles={"lab": {**base, "timeout": "2h"}, "short": {**base, "timeout": "2s"}}) as server:
        config = server.configure()
        # Of short: a login that has two hours where two seconds are declared.
        for profile, found in (("lab", ("UNKNOWN", "INCONCLUSIVE", 3)), ("short", ("OPEN", "FAIL", 1))):
            report, code = measure(server, "--probe", "R.time", "--config", config, "--profile", profile)
            detail = [item["detail"] for item in report["probes"] if item["id"] == "R.time"]
            equal((observed(report, "R.time")["R.time"], verdicts(report)["res.time"], code), found,
                  f"{profile} ({detail})")
            check(profile == "short" or "7200 s are declared" in detail[0], detail)
        report, code = measure(server, "--probe", "R.time", "--declare", "res.time")
        equal((verdicts(report), code), ({"res.time": "INCONCLUSIVE"}, 3), "a limit that nobody told")
    with Cloche(profiles={"lab": {**base, "timeout": "2s"}}) as server:
        report, code = measure(server, "--probe", "R.time", "--config", server.configure(), "--profile", "lab")
        equal((verdicts(report)["res.time"], code), ("PASS", 3), "the login that keeps it, of which no more is tried")


def observed(report, prefix):
    return {item["id"]: item["observed"] for item in report["probes"] if item["id"].startswith(prefix)}


OUTSIDE = ["H.local-tcp", "H.local-path", "H.remote-tcp", "H.remote-path", "H.remote-over",
           "H.terminal", "H.terminal-other",
           "H.sftp-read", "H.sftp-write", "H.sftp-process", "H.daemon", "H.resist", "H.meet", "H.setup",
           "H.host-key", "H.log-read", "H.forced", "H.fail-closed"]
SERVED = ["H.status", "H.exit-signal", "H.streams"]


def offers(server, key, user):
    """What an owner gives: the server's key, one that is bound to a command, who has no sandbox, the log."""
    return ["--host-key", server.path("host_key"), "--forced-key", key, "--broken-user", user,
            "--server-log", getattr(server, "audit_path", server.log)]


@case("what a stock server does for its client reaches the host, and is seen")
def stock_channels():
    shut = ["H.user-name", "H.kinds-filter", "H.descriptors", "H.many", "H.flood", "H.log-lines"]
    with OpenSshd("Subsystem sftp internal-sftp\nStreamLocalBindUnlink yes") as server:
        # Neither is the key bound to anything, nor is there a sandbox that could fail.
        report, _ = measure(server, *offers(server, server.key, server.user),
                            "--probe", ",".join([*OUTSIDE, *SERVED, *shut]),
                            "--declare", "net.disable,session.fresh,host.conceal,tty.isolate,proc.isolation")
        equal(observed(report, "H."), {**dict.fromkeys([*OUTSIDE, *SERVED], "OPEN"), **dict.fromkeys(shut, "SHUT")},
              "observed")
        failed = {probe["id"]: probe["capability"] for probe in report["probes"] if probe["verdict"] == "FAIL"}
        for name, promise in (("H.host-key", "host.conceal"), ("H.terminal-other", "tty.isolate"),
                              ("H.setup", "proc.isolation"), ("H.sftp-process", "proc.isolation"),
                              ("H.resist", "session.fresh")):
            equal(failed.get(name), promise, name)


@case("the same through our server ends in the sandbox, and two of its logins do not meet")
def our_channels():
    server = Cloche(profiles={"broken": {"write": "none", "backend": "native", "require": ["kernel.isolation"]}})
    server.users["broken"] = {"profile": "broken", "authorized_keys": [server.path("authorized_keys")]}
    forced = server.path("forced_key")
    server.authorize(server.public, 'restrict,command="echo bound" ' + keygen(forced))
    with server:
        config = server.configure()
        report, _ = measure(server, *offers(server, forced, "broken"), "--config", config, "--profile", "lab")
        got = observed(report, "H.")
        shut = OUTSIDE + ["H.kill-client", "H.user-name", "H.kinds-namespaces", "H.kinds-privileges",
                          "H.kinds-filter", "H.descriptors", "H.flood", "H.many", "H.log-lines"]
        detail = {probe["id"]: probe["detail"] for probe in report["probes"]}
        equal({name: (got.get(name), detail.get(name)) for name in shut if got.get(name) != "SHUT"}, {},
              "observed")
        equal([got[name] for name in SERVED], ["OPEN"] * len(SERVED), "fidelity")
        equal(met(report), {}, "two sessions")
        check(any(event.get("event") == "auth_ok" and event.get("user") == "broken" for event in server.audit()),
              "the one without a sandbox came as far as its sandbox")


# Confines commands and nothing else, tells its log all that it is told, and hands it on.
HALF = """#!/bin/sh
exec 7>>{log}
printf '%s\\n' "$SSH_ORIGINAL_COMMAND" >>{log}
case "$SSH_ORIGINAL_COMMAND" in *sftp*) exec {sftp};; "") exec sh;; esac
[ -t 0 ] && exec sh -c "$SSH_ORIGINAL_COMMAND"
exec unshare --pid --fork bwrap --bind / / --dev-bind /dev /dev --proc /proc --unshare-net --unshare-ipc \\
	--unshare-uts --cap-drop ALL --seccomp 8 sh -c "$SSH_ORIGINAL_COMMAND" 8<{filter}
"""
# Load the number; 134 (uselib) is refused; all else is allowed.
REFUSE_ONE = struct.pack("<" + "HBBI" * 4, 0x20, 0, 0, 0, 0x15, 0, 1, 134, 0x06, 0, 0, 0x00050001, 0x06, 0, 0, 0x7fff0000)


@case("a server that confines some kinds of sessions only, shares its log and bounds nothing is seen to")
def half():
    server = OpenSshd("Subsystem sftp internal-sftp\nMaxSessions 64")
    with open(server.path("filter"), "wb") as file:
        file.write(REFUSE_ONE)
    script = server.write("half", HALF.format(log=server.log, sftp="/usr/lib/openssh/sftp-server",
                                              filter=server.path("filter")), 0o755)
    with open(server.path("sshd_config"), "a") as config:
        config.write(f"ForceCommand {script}\n")
    with server:
        # The half of bwrap that waits outside its tree is among the processes of the session here.
        names = ["H.setup", "H.kinds-namespaces", "H.kinds-privileges", "H.kinds-filter", "H.descriptors", "H.many",
                 "H.log-lines"]
        report, code = measure(server, "--probe", ",".join([*names, "H.host-key"]), "--server-log", server.log,
                               "--declare", "session.fresh,kernel.filter,priv.none,proc.isolation")
        got = observed(report, "H.")
        equal(got, dict.fromkeys(names, "OPEN"), "observed; the key was not asked for")
        equal(verdicts(report), dict.fromkeys(("kernel.filter", "priv.none", "proc.isolation", "session.fresh"),
                                              "FAIL"), "verdicts")
        equal(code, 1, "exit status")
        check(any("--host-key" in line for line in report["no_evidence"]), report["no_evidence"])


@case("a server that confines after the first instruction is seen to")
def late():
    wrapper = "head -n 60 /proc/self/status; exec bwrap --bind / / --dev-bind /dev /dev --proc /proc " \
              "--unshare-all --cap-drop ALL sh -c \"$SSH_ORIGINAL_COMMAND\""
    with OpenSshd(f"ForceCommand {wrapper}") as server:
        report, _ = measure(server, "--probe", "H.setup", "--declare", "proc.isolation")
        setup = next(probe for probe in report["probes"] if probe["id"] == "H.setup")
        equal((setup["verdict"], setup["detail"]), ("FAIL", "new privileges were given up later"), "verdict")


# Runs commands as they are, and sends a signal for one of them to all.
CARELESS = """
import asyncio, asyncssh, signal, sys
running = set()
async def hear(process, child):
    try:
        while data := await process.stdin.read(65536):
            child.stdin.write(data)
        child.stdin.close()
    except asyncssh.SignalReceived:
        for each in running:
            each.send_signal(signal.SIGUSR1)
async def serve(process):
    child = await asyncio.create_subprocess_shell(process.command or "sh", stdin=asyncio.subprocess.PIPE,
                                                  stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL)
    running.add(child)
    ears = asyncio.ensure_future(hear(process, child))
    while data := await child.stdout.read(4096):
        process.stdout.write(data)
    running.discard(child)
    process.exit(max(await child.wait(), 0))
    ears.cancel()
async def main():
    await asyncssh.listen("127.0.0.1", int(sys.argv[1]), server_host_keys=[sys.argv[2]],
                          authorized_client_keys=sys.argv[3], process_factory=serve, encoding=None)
    await asyncio.Event().wait()
asyncio.run(main())
"""


class Careless(Server):
    name = "a server of asyncssh"

    def argv(self):
        keys = self.write("authorized_keys", self.public + "\n")
        return ["/usr/bin/python3", "-W", "ignore", "-c", CARELESS, str(self.port), self.path("host_key"), keys]


class Greedy(Careless):
    """Reads 128 MiB ahead of its client, which others take from their sessions as it takes them."""
    name = "a greedy server of asyncssh"

    def argv(self):
        greedy = CARELESS.replace("stderr=asyncio.subprocess.DEVNULL)", "stderr=asyncio.subprocess.DEVNULL, limit=1 << 26)")
        greedy = greedy.replace("process.stdout.write(data)\n", "process.stdout.write(data); await process.stdout.drain()\n")
        return [greedy if word == CARELESS else word for word in super().argv()]


@case("a server that holds what its client does not read is seen to")
def greed():
    with Greedy() as server:
        report, _ = measure(server, "--probe", "H.flood", "--declare", "session.fresh")
        found = next(probe for probe in report["probes"] if probe["id"] == "H.flood")
        equal(found["observed"], "OPEN", f"observed ({found}, {report['no_evidence']})")


@case("a server that sends a signal for one session to another is seen to")
def signals():
    with Careless() as server:
        report, _ = measure(server, "--probe", "H.signal", "--declare", "session.fresh")
        check(report["client"]["came"], report["client"])
        equal({probe["id"]: (probe["observed"], probe["verdict"]) for probe in report["probes"]}["H.signal"],
              ("OPEN", "FAIL"), f"verdict ({report['no_evidence']})")


def met(report):
    """Where two sessions met, but for the processors that all of a machine have in common."""
    return {name: seen for name, seen in observed(report, "C.").items()
            if seen in ("OPEN", "LEAK", "LYING") and name != "C.cpu-mem"}


def second(server, user):
    return ["--peer", f"ssh://{user}@127.0.0.1:{server.port}"]


@case("of two logins of two users of our server neither reaches the other")
def two_users():
    server = Cloche()
    server.users["other"] = {"profile": "lab", "authorized_keys": [server.path("authorized_keys")]}
    with server:
        config = server.configure()
        report, _ = measure(server, *second(server, "other"), "--probe", "C", "--config", config,
                            "--profile", "lab")
        equal(met(report), {}, "lab against other")
        got = observed(report, "C.")
        check(list(got.values()).count("SHUT") >= 15, got)
        check(any("other@" in line for line in report["target"]["additions"]), report["target"])


FORWARD = {"lab": {"readable": ["/usr"], "write": "ephemeral", "share": "connection",
                   "forward": ["agent", "remote"]}}


@case("what is forwarded into one login is used by another where nothing parts them, and not in ours")
def pairs():
    with OpenSshd() as server:
        for probe in ("C.agent", "C.listener"):
            report, _ = measure(server, "--probe", probe, "--declare", "session.fresh")
            got = observed(report, probe)
            equal(got, {probe: "OPEN"}, "sshd")
            equal(verdicts(report), {"session.fresh": "FAIL"}, "sshd")
    with Cloche(profiles=FORWARD) as server:
        server.configure()
        for probe in ("C.agent", "C.listener"):
            report, _ = measure(server, "--probe", probe, "--declare", "session.fresh")
            detail = [item for item in report["probes"] if item["id"] == probe]
            equal(observed(report, probe), {probe: "SHUT"}, f"ours ({detail})")


class Relay:
    """Stands before a server and never closes what it has opened."""

    def __init__(self, server):
        self.user, self.key, self.directory = server.user, server.key, server.directory
        self.held, self.backend = [], server.port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.pid = os.fork()
        if self.pid == 0:
            with contextlib.suppress(BaseException):
                self.serve()
            os._exit(0)
        self.listener.close()

    def serve(self):
        while True:
            near, _ = self.listener.accept()
            far = socket.create_connection(("127.0.0.1", self.backend))
            self.held += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self.pass_on, args=(one, other), daemon=True).start()

    @staticmethod
    def pass_on(one, other):
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


@case("a server that keeps something of each login is seen to grow, and one that does not is not")
def growth():
    with OpenSshd() as server:
        report, _ = measure(server, "--probe", "E.growth")
        equal(observed(report, "E."), {"E.growth": "SHUT"}, "sshd")
        with Relay(server) as relay:
            report, _ = measure(relay, "--probe", "E.growth")
            equal(observed(report, "E."), {"E.growth": "OPEN"}, "a relay that leaks")


@case("two users without a sandbox reach each other wherever users do, and are told apart")
def two_users_without():
    user = "exec:setpriv --reuid={} --regid={} --clear-groups {{client}}"
    result = run([HOST, "--target", user.format(65534, 65534), "--peer", user.format(65529, 65529),
                  "--format", "json"])
    got = observed(json.loads(result.out), "C.")
    for name in ("C.see", "C.tcp", "C.unix-abstract", "C.tmp", "C.namespaces", "C.network"):
        equal(got[name], "OPEN", name)
    equal([got["C.user"], got["C.signal"]], ["SHUT", "SHUT"], "what the user id parts")
    check(got["C.memory"] != "OPEN" and got["C.trace"] != "OPEN", got)


main()
