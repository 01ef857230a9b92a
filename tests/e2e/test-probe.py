#!/usr/bin/python3
"""`ssh -s HOST cloche-probe`: who is confined has the sandbox measured."""
import contextlib
import json
import os
import re
import shutil
import signal
import socket

import jsonschema

from lib import (BUILD, SOURCE, SSHD, Cloche, case, check, descendants, describe, equal, eventually, finish, main, run)

HOST = os.path.join(BUILD, "testkit", "cloche-testkit-host")
LAB = {"readable": ["/usr"], "write": "ephemeral", "pids": 64, "memory": "256M", "sessions": ["exec", "probe"]}
PATIENCE = 60  # for a measurement, which takes a second or two

CANARIES = re.compile(r"^/.*/\.cloche-testkit\.[0-9a-f]{12}$")

# Stands where the testkit is looked for and does what its mode says.
STANDIN = """#!/bin/sh
case $(cat {mode}) in
real) exec {host} "$@" ;;
broken) exec {host} "$@" --without filter ;;
wait) exec sleep 1000 ;;
stubborn) trap '' TERM; touch {mode}.deaf; while :; do sleep 0.1; done ;;
long) exec head -c 1000000 /dev/zero ;;
slow) sleep 1; cat {page}; exit 0 ;;
trouble) echo "trouble at {host}" >&2; cat {page}; exit 2 ;;
stdin) cat; exit 0 ;;
esac
"""


class Measured(Cloche):
    """A server whose testkit is in our hand."""

    def __init__(self, mode="wait", **more):
        more.setdefault("profiles", {"lab": LAB})
        settings = more.pop("server", {})
        super().__init__(server={"probe_timeout": "2m", **settings}, **more)
        home = self.path("bin")
        os.mkdir(home, 0o755)
        shutil.copy(SSHD, home)
        self.program = os.path.join(home, "cloche-sshd")
        self.write("page", "a line of the report\n" * 2000)  # 42000 bytes
        self.write("bin/cloche-testkit-host", STANDIN.format(
            mode=self.path("mode"), host=HOST, page=self.path("page")), 0o755)
        self.mode(mode)
        for user in ("bob", "eve"):
            self.users[user] = {"profile": "lab", "authorized_keys": [self.path("authorized_keys")]}

    def mode(self, mode):
        self.write("mode", mode)

    def testkits(self):
        """pids of testkits that run, stand-ins included."""
        found = []
        for pid in descendants(self.process.pid):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
                if b"--proof" in words or words[:2] == [b"sleep", b"1000"]:
                    found.append(pid)
        return found

    def canaries(self):
        """Where testkits that run have put theirs."""
        found = set()
        for pid in self.testkits():
            with contextlib.suppress(OSError):
                for fd in os.listdir(f"/proc/{pid}/fd"):
                    with contextlib.suppress(OSError):
                        found |= set(CANARIES.findall(os.readlink(f"/proc/{pid}/fd/{fd}")))
        return found

    def ends(self):
        return [event for event in self.audit() if event["event"] == "probe_end"]


def soon(predicate, what):
    return eventually(predicate, what, PATIENCE)


def probe(server, *args, **more):
    return server.ssh("cloche-probe", "-s", *args, timeout=PATIENCE * 2, **more)


def declared(capabilities):
    return {each["name"]: each["verdict"] for each in capabilities}


@case("the report says of each capability what the proof says, in 80 columns or JSON, and nothing of the host")
def same():
    with Cloche(profiles={"lab": LAB}, server={"probe_timeout": "2m"}) as server:
        report = run([HOST, "--target", "native", "--proof", "--format", "json", "--config",
                      server.path("cloche.yaml"), "--profile", "lab"], timeout=PATIENCE * 2)
        equal(report.code, 0, f"the proof: {report}")
        proof = declared(json.loads(report.out)["capabilities"])
        result = server.ssh("cloche-probe json", "-s", timeout=PATIENCE * 2)
        equal(result.code, 0, f"as JSON: {result}")
        answer = json.loads(result.out)
        with open(os.path.join(SOURCE, "docs", "schema", "cloche.caller.1.json")) as schema:
            jsonschema.validate(answer, json.load(schema))
        equal(declared(answer["capabilities"]), proof, "verdicts")
        equal([answer[key] for key in ("schema", "profile", "backend", "outcome", "exit", "violated")],
              ["cloche.caller/1", "lab", "native", "as declared", 0, []], "the rest")
        result = probe(server)
        equal((result.code, result.err), (0, b""), f"as text: {result}")
        check(all(len(line) <= 80 for line in result.text.splitlines()), result.text)
        for name in proof:
            check(re.search(rf"^  {re.escape(name)} +declared +kept +PASS ", result.text, re.M), f"{name}: {result.text}")
        check(f"as declared: {len(proof)} as declared, 0 violated" in result.text, result.text)
        for words in (result.text, json.dumps(answer)):
            check(not re.search(r"(^|[^A-Za-z0-9])/[a-z]", words), f"a path: {words}")
            check(socket.gethostname() not in words, "the host's name")
        uses = [event["plan"] for event in server.audit() if event["event"] == "probe_start"]
        equal((len(uses), len(set(uses))), (2, 1), f"plans: {uses}")
        equal([(event["verdict"], event["status"], event["cause"]) for event in server.audit()
               if event["event"] == "probe_end"], [("as_declared", 0, "exited")] * 2, "ends")


@case("with a layer taken out of what is measured it says VIOLATED, by which probe, and exits 1")
def violated():
    with Measured("broken", profiles={"lab": {**LAB, "share": "connection"}}) as server, server.master() as mux:
        equal(server.ssh("echo beside", *mux).text, "beside", "a session of the shared sandbox")
        result = probe(server, *mux)
        equal(result.code, 1, f"the measurement: {result}")
        check(re.search(r"^  kernel.filter +declared +broken +FAIL ", result.text, re.M), result.text)
        check(re.search(r"^violated by$", result.text, re.M) and "\nviolated: " in result.text, result.text)
        equal(server.ends()[-1]["verdict"], "violated", "the audit log")
        equal(server.ssh("echo on", *mux).text, "on", "the shared sandbox afterwards")


@case("a server without root measures too, for a user that no file knows")
def rootless():
    with Cloche(profiles={"lab": LAB}, server={"probe_timeout": "2m"},
                runas=61234 if os.geteuid() == 0 else None) as server:
        result = probe(server)
        check(result.code in (0, 3) and " declared kept      PASS " in result.text, f"{result}")


@case("it is refused where the profile does not offer it, and a forced command stands in its place")
def off():
    with Measured(profiles={"lab": {**LAB, "sessions": ["exec", "shell", "sftp"]}}) as server:
        result = probe(server)
        check(result.code not in (0, 1, 3) and b"does not let its users measure it" in result.err, f"{result}")
        equal(server.testkits(), [], "testkits")
        for name in ("cloche-probe xml", "cloche-probe json ", "cloche-probes"):
            check(b"no such subsystem" in server.ssh(name, "-s").err, name)
    with Measured() as server:
        server.authorize(f'command="echo forced" {server.public}')
        equal(probe(server).text, "forced", "a key with a command")


@case("one at a time a user, few in all, each a session; more are refused, noted and leave nothing")
def limits():
    with Measured(server={"max_user_sessions": 3}) as server, server.master() as mux:
        first = server.open("cloche-probe", "-s")
        soon(server.testkits, "a testkit")
        # Many at once, on one connection and on others.
        many = [server.open("cloche-probe", "-s", *(mux if i % 2 else ())) for i in range(11)]
        soon(lambda: all(client.poll() is not None for client in many), "refusals")
        equal(len(server.testkits()), 1, "testkits")
        check(b"that you have asked for is under way" in probe(server).err, "the user's second")
        second = server.open("cloche-probe", "-s", user="bob")
        soon(lambda: len(server.testkits()) == 2, "another user's")
        check(b"as many users as it may" in probe(server, user="eve").err, "a third user")
        hits = [event["limit"] for event in server.audit() if event["event"] == "limit_hit"]
        check(hits.count("probes") > 3, f"limits: {hits}")
        # It counts: two more sessions fit.
        open_ones = [server.session(), server.session()]
        check(b"as many sessions at once" in server.ssh("true").err, "a session more")
        for client in [first, second, *many, *open_ones]:
            client.kill()
            finish(client)
        soon(lambda: not server.testkits(), "no testkit")
        soon(lambda: [event["cause"] for event in server.ends()] == ["client_gone"] * 2, "ends")
        server.mode("slow")
        equal(probe(server).code, 0, "the next one")
        equal(len([event for event in server.audit() if event["event"] == "probe_start"]), 3, "starts")
    with Measured(server={"penalty_exempt": [], "penalty_session_flood": "20s", "penalty_min": "1s"}) as server:
        first = server.open("cloche-probe", "-s")
        soon(server.testkits, "a testkit")
        probe(server)
        soon(lambda: "user lab has to wait: session_flood" in server.log_text(), "a penalty")
        first.kill()
        finish(first)


@case("a client that floods, does not read, goes or closes its channel harms nothing and leaves nothing")
def clients():
    with Measured("slow") as server:
        result = probe(server, input=b"x" * (8 << 20))
        equal((result.code, len(result.out)), (0, 42000), f"a flood: {result.err!r}")
        with server.master() as mux:
            deaf = server.open("cloche-probe", "-s", *mux)
            soon(server.ends, "an end")
            equal(server.ssh("echo on", *mux).text, "on", "beside one that does not read")
            equal(deaf.stdout.read().count(b"\n"), 2000, "what it reads later")
            finish(deaf)
            server.mode("stubborn")
            closing = server.open("cloche-probe", "-s", *mux)
            soon(lambda: os.path.exists(server.path("mode.deaf")), "a testkit that will not end")
            closing.kill()
            finish(closing)
            # A master that has nothing else to do may keep a close to itself.
            soon(lambda: server.ssh("true", *mux).code == 0 and server.ends()[-1]["cause"] == "client_closed", "its end")
            equal(server.testkits(), [], "testkits")
            equal(server.ssh("echo on", *mux).text, "on", "the connection goes on")
        server.mode("stdin")
        text = probe(server, input=b"not for the testkit").text
        check("lab" in text and "authorized_keys" not in text and "not for" not in text, f"its input: {text}")
        server.mode("real")
        planted = set()
        for victim in ("client", "monitor"):
            client = server.open("cloche-probe", "-s")
            planted |= soon(server.canaries, "canaries")
            if victim == "client":
                client.kill()
                soon(lambda: server.ends()[-1]["cause"] == "client_gone", "its end")
            else:
                monitor = next(pid for pid in descendants(server.process.pid)
                               if set(descendants(pid)) & set(server.testkits()))
                os.kill(monitor, signal.SIGKILL)
            soon(lambda: not server.testkits(), "no testkit")
            soon(lambda: not [pid for pid in server.processes() if "testkit" in describe(pid)], "nothing")
            finish(client)
        soon(lambda: not any(map(os.path.lexists, planted)), "canaries are taken away")


@case("a measurement that fails, says too much or takes too long ends in words; the operator can end it")
def failures():
    with Measured("trouble", server={"drain": "1s"}) as server:
        result = probe(server)
        equal((result.code, result.out), (2, b""), f"a testkit in trouble: {result}")
        check(b"the server's log says why" in result.err and b"/" not in result.err, result.err)
        check(f"trouble at {HOST}" in server.log_text(), "the log does not say why")
        server.mode("long")
        result = probe(server)
        equal((result.code, result.out), (2, b""), f"a long report: {result}")
        check(b"too long" in result.err, result.err)
        server.mode("wait")
        client = server.open("cloche-probe", "-s")
        soon(server.testkits, "a testkit")

        def ask(*words):
            return run([os.path.join(BUILD, "cli", "cloche"), "sessions", *words, "--socket",
                        server.settings["control"]])
        rows = soon(lambda: json.loads(ask("--json").out)["sessions"], "a row")
        equal([(row["kind"], row["user"]) for row in rows], [("probe", "lab")], "rows")
        watched = run([os.path.join(BUILD, "cli", "cloche"), "join", "--read-only", "--socket",
                       server.settings["control"], rows[0]["id"]], timeout=PATIENCE)
        check(watched.code == 1 and "that is a measurement" in watched.error, f"watching it: {watched}")
        equal(ask("kill", rows[0]["id"], "--reason", "enough").code, 0, "kill")
        equal(client.wait(PATIENCE), 2, "its status")
        check(b"ended by the operator: enough" in client.stderr.read(), "its words")
        finish(client)
        equal(json.loads(ask("--json").out)["sessions"], [], "rows afterwards")
        client = server.open("cloche-probe", "-s")
        soon(server.testkits, "a testkit")
        server.terminate(seconds=60)
        finish(client)
        equal([event["cause"] for event in server.ends()], ["exited", "too_long", "killed", "server_stop"], "causes")
    with Measured(server={"probe_timeout": "1s"}) as server:
        result = probe(server)
        check(result.code == 2 and b"not done within 1 s" in result.err, f"too slow: {result}")


main()
