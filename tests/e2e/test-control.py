#!/usr/bin/python3
"""A running server is asked and told over its control socket."""
import contextlib
import grp
import json
import os
import pwd
import re
import socket
import time

from lib import (BUILD, Cloche, case, check, echoes, equal, eventually, finish, keygen, main, read_line, run,
                 sandbox_processes)

CLOCHE = os.path.join(BUILD, "cli", "cloche")


def cloche(server, *words):
    return run([CLOCHE, *words, "--socket", server.settings["control"]])


def sessions(server):
    result = cloche(server, "sessions", "--json")
    equal(result.code, 0, f"sessions: {result}")
    return json.loads(result.out)


def raw(server, line, uid=None):
    """What the server says to one line, as uid or ourselves."""
    program = ("import socket,sys;s=socket.socket(socket.AF_UNIX);s.settimeout(15);s.connect(sys.argv[1])\n"
               "try: s.sendall(sys.stdin.buffer.read())\nexcept OSError: pass\n"
               "f=s.makefile('rb');sys.stdout.buffer.write(f.readline())")
    argv = ["/usr/bin/python3", "-c", program, server.settings["control"]]
    if uid is not None:
        argv = ["setpriv", f"--reuid={uid[0]}", f"--regid={uid[1]}", "--clear-groups", "--", *argv]
    result = run(argv, input=line)
    return json.loads(result.out) if result.out.strip() else result


@case("sessions are listed with who, whence, what and since when, and are gone when they end")
def listing():
    with Cloche() as server:
        equal(sessions(server)["sessions"], [], "before the first")
        first, second = server.session(), server.session()
        rows = sessions(server)["sessions"]
        equal(len(rows), 2, "sessions")
        starts = {f"{event['conn']}.{event['channel']}": event for event in server.audit()
                  if event["event"] == "session_start"}
        for row in rows:
            event = starts[row["id"]]
            equal([row["user"], row["address"], row["profile"], row["kind"], row["plan"], row["backend"]],
                  ["lab", "127.0.0.1", "lab", "exec", event["plan"], event["backend"]], "a row")
            check(abs(row["started"] - time.time()) < 60, f"started {row['started']}")
        text = cloche(server, "sessions").text
        check(all(row["id"] in text for row in rows) and "2 sessions, 2 connections" in text, text)
        check(max(map(len, text.splitlines())) <= 80, f"wider than a terminal: {text}")
        shown = cloche(server, "sessions", "show", rows[0]["id"][:12])
        check(rows[0]["plan"] in shown.text and re.search(r"channels +1", shown.text), f"show: {shown}")
        nobody = cloche(server, "sessions", "show", "nobody")
        check(nobody.code == 1 and b"`cloche sessions` lists them" in nobody.err, f"an id there is not: {nobody}")
        finish(first)
        eventually(lambda: len(sessions(server)["sessions"]) == 1, "one left")
        os.kill(next(row["monitor"] for row in sessions(server)["sessions"]), 9)
        eventually(lambda: sessions(server)["sessions"] == [], "the row of a killed monitor is gone")
        finish(second)


@case("sessions kill ends that session and no other, with the reason for its user and the audit log")
def kill():
    with Cloche() as server:
        keep, end = server.session(), server.session()
        ids = {event["conn"] for event in server.audit() if event["event"] == "session_start"}
        equal(len(ids), 2, "connections")
        target = [f"{event['conn']}.{event['channel']}" for event in server.audit()
                  if event["event"] == "session_start"][-1]
        result = cloche(server, "sessions", "kill", target, "--reason", "maintenance at noon")
        equal(result.code, 0, f"kill: {result}")
        check(end.wait(10) != 0, "it ended as if all were well")
        error = end.stderr.read().decode()
        check("ended by the operator: maintenance at noon" in error, f"its user read {error!r}")
        check(echoes(keep), "the other session was harmed")
        again = cloche(server, "sessions", "kill", target)
        check(again.code == 1 and "no session" in again.error, f"killed twice: {again}")
        ends = eventually(lambda: [event for event in server.audit() if event["event"] == "session_end"],
                          "the audit log")
        equal([event["cause"] for event in ends], ["killed"], "causes")
        told = [event for event in server.audit() if event["event"] == "control"]
        equal([(event["do"], event["target"], event["reason"], event["uid"], event["ok"]) for event in told],
              [("kill", target, "maintenance at noon", os.getuid(), True)], "who told it")
        finish(end)
        finish(keep)


@case("killing a session of a shared sandbox ends what was left in its background, and the connection")
def shared():
    profile = {"readable": ["/usr"], "write": "ephemeral", "pids": 64, "memory": "256M", "share": "connection"}
    with Cloche(profiles={"lab": profile}) as server, server.master() as mux:
        equal(server.ssh("setsid sleep 1000 >/dev/null 2>&1 </dev/null & true", *mux).code, 0, "start")
        client = server.open("echo ready; exec cat", *mux)
        equal(read_line(client.stdout), b"ready\n", "a session")
        target = sessions(server)["sessions"][0]["id"]
        equal(cloche(server, "sessions", "kill", target).code, 0, "kill")
        eventually(lambda: not sandbox_processes(server), "an end of all that ran", 20)
        check(client.wait(20) != 0, "it ended as if all were well")


@case("drain lets sessions end by themselves, takes no new ones, and then the server is gone")
def drain():
    with Cloche(server={"drain": 1}) as server:
        keep = server.session()
        result = cloche(server, "sessions", "drain")
        equal(result.code, 0, f"drain: {result}")
        check(server.ssh("true").code == 255, "a connection was taken")
        time.sleep(2)  # longer than the drain time of SIGTERM
        check(echoes(keep), "the session was ended")
        check(sessions(server)["draining"], "it does not say that it drains")
        finish(keep)
        eventually(lambda: server.process.poll() is not None, "the end of the server")
        equal(server.process.returncode, 0, "exit status")
        check(not os.path.exists(server.settings["control"]), "the socket is left")


@case("SIGTERM puts an end to a drain without one")
def drain_then_stop():
    with Cloche(server={"drain": 1}) as server:
        keep = server.session()
        equal(cloche(server, "sessions", "drain").code, 0, "drain")
        begin = time.monotonic()
        server.terminate(seconds=8)
        check(time.monotonic() - begin > 0.5, "the drain time was not given")
        finish(keep)


@case("penalties are listed and taken back")
def penalties():
    with Cloche(server={"penalty_exempt": [], "penalty_authfail": 60}) as server:
        keygen(server.path("wrong"))
        server.ssh("true", "-b", "127.0.0.9", key=server.path("wrong"))

        def listed():
            return json.loads(cloche(server, "penalties", "--json").out)["penalties"]
        rows = eventually(listed, "a penalty")
        equal([(row["kind"], row["who"], row["reason"], row["enforced"]) for row in rows],
              [("address", "127.0.0.9", "authfail", True)], "rows")
        check(0 < rows[0]["seconds"] <= 60, f"seconds: {rows}")
        check("127.0.0.9" in cloche(server, "penalties").text, "the table")
        check(server.ssh("true", "-b", "127.0.0.9").code == 255, "it was let in")
        check(cloche(server, "penalties", "--clear", "127.0.0.8").code == 1, "one that does not wait")
        equal(cloche(server, "penalties", "--clear", "127.0.0.9").code, 0, "clear")
        equal(listed(), [], "after that")
        equal(server.ssh("true", "-b", "127.0.0.9").code, 0, "a login")
        equal(cloche(server, "penalties", "--clear", "all").code, 0, "clear all")


@case("only root and the server's user may change anything; a group may look; others may not even connect")
def owners():
    if os.geteuid() != 0:
        raise AssertionError("this test needs root")
    nobody = pwd.getpwnam("nobody")
    with Cloche() as server:
        answer = raw(server, b'{"do":"sessions"}\n', (nobody.pw_uid, nobody.pw_gid))
        check(not isinstance(answer, dict) and b"PermissionError" in answer.err, f"nobody got {answer}")
        # Were the mode of the file wrong, the peer's credentials would still decide.
        os.chmod(server.settings["control"], 0o666)
        answer = raw(server, b'{"do":"sessions"}\n', (nobody.pw_uid, nobody.pw_gid))
        equal(answer, {"ok": False, "error": "you may not ask this server"}, "past the mode")
    with Cloche(server={"control_group": "games"}) as server:
        keep = server.session()
        games = grp.getgrnam("games").gr_gid
        equal(os.stat(server.settings["control"]).st_mode & 0o777, 0o660, "mode")
        answer = raw(server, b'{"do":"sessions"}\n', (nobody.pw_uid, games))
        check(answer["ok"] and len(answer["sessions"]) == 1, f"the group asks: {answer}")
        target = answer["sessions"][0]["id"]
        for line in ({"do": "kill", "id": target}, {"do": "drain"}, {"do": "clear", "who": "all"}):
            answer = raw(server, json.dumps(line).encode() + b"\n", (nobody.pw_uid, games))
            check(not answer["ok"] and "only root" in answer["error"], f"{line}: {answer}")
        check(echoes(keep), "the session was harmed")
        finish(keep)


@case("what is no request is refused in words, and clients that say nothing hold up nobody")
def hostile():
    with Cloche() as server:
        for line, word in ((b"\n", "JSON"), (b"{}\n", "do"), (b'{"do":"fly"}\n', "sessions"),
                           (b'{"do":"kill"}\n', "id"), (b'{"do":"sessions","x":1}\n', "member"),
                           (b'{"do":"sessions","do":"drain"}\n', "JSON"), (b"x" * 5000, "line"),
                           (b'{"do":"kill","id":"x","reason":"' + b"y" * 200 + b'"}\n', "reason"),
                           (b'{"do":"kill","id":"\\u001b[2J"}\n', "control"), (b"[" * 4000 + b"\n", "JSON")):
            answer = raw(server, line)
            check(not answer["ok"] and word in answer["error"], f"{line[:40]}: {answer}")
        with contextlib.ExitStack() as stack:
            for _ in range(12):
                idle = stack.enter_context(socket.socket(socket.AF_UNIX))
                idle.connect(server.settings["control"])
            begin = time.monotonic()
            equal(server.ssh("echo hi").text, "hi", "a login meanwhile")
            check(time.monotonic() - begin < 5, "the listener waited")
        eventually(lambda: raw(server, b'{"do":"sessions"}\n').get("ok"), "an answer after that", 20)


@case("another server's socket is not taken, one that a crash left is")
def shared_path():
    with Cloche() as server:
        other = Cloche(server={"control": server.settings["control"]})
        try:
            result = run(other.argv(), timeout=30)
            check(result.code == 1 and "another server listens" in result.error, f"it said {result}")
        finally:
            other.remove()
        equal(sessions(server)["sessions"], [], "the first one's socket")
    with Cloche() as server:
        pass
    server = Cloche()
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(server.settings["control"])
    dead.close()
    with server:
        equal(sessions(server)["sessions"], [], "after a crash")
    with Cloche(server={"control": "none"}) as server:
        equal(server.ssh("echo hi").text, "hi", "without a control socket")


main()
