#!/usr/bin/python3
"""Sources and users that misbehave have to wait, and are told so."""
import os
import re
import signal
import socket
import time

from lib import Cloche, case, check, equal, eventually, keygen, main, net_process


def greeting(server, source="127.0.0.1"):
    """The first line that the server says to a new connection from source."""
    with socket.create_connection(("127.0.0.1", server.port), 10, (source, 0)) as connection:
        connection.settimeout(10)
        data = b""
        while not data.endswith(b"\n"):
            try:
                piece = connection.recv(200)
            except ConnectionError:
                break
            if not piece:
                break
            data += piece
        return data.decode()


def fail_login(server, user="lab", source="127.0.0.1"):
    wrong = server.path("wrong")
    if not os.path.exists(wrong):
        keygen(wrong)
    return server.ssh("true", "-b", source, user=user, key=wrong)


def strict(**more):
    """Nobody is exempt, as in a real server."""
    return Cloche(server={"penalty_exempt": [], **more})


def waits(server, source="127.0.0.1"):
    line = greeting(server, source)
    check(line.startswith(("SSH-2.0-", "Not allowed at this time")), f"said {line!r}")
    return line if line.startswith("Not") else None


@case("failed logins make an address wait with a readable line, and no other address")
def authfail():
    with strict() as server:
        for _ in range(3):
            check(server.ssh("true").code == 0, "a good login at the start")
        for _ in range(2):
            check(fail_login(server).code == 255, "a wrong key was let in")
        check(not waits(server), "two failures of 5 s are less than 15 s")
        fail_login(server)
        line = eventually(lambda: waits(server), "the third failure's end")
        check(re.search(r"try again in (15|30) seconds\r\n$", line), f"said {line!r}")
        check("login" in line and "lab" not in line, f"said {line!r}")
        check(not waits(server, "127.0.0.2"), "another address waits as well")
        equal(server.ssh("echo hi", "-b", "127.0.0.2").text, "hi", "a login from elsewhere")
        result = server.ssh("true", "-v")
        check(result.code == 255 and "Not allowed at this time" in result.error, f"the client: {result}")
        events = [event for event in server.audit() if event["event"] == "penalty"]
        equal([(event["who"], event["reason"]) for event in events], [("127.0.0.1", "authfail")],
              "the audit log")


@case("unknown users are worth as much, and the line is the same")
def invaliduser():
    with strict() as server:
        lines = []
        for user, source in (("lab", "127.0.0.3"), ("nobody-there", "127.0.0.4")):
            for _ in range(4):
                fail_login(server, user, source)
            lines.append(eventually(lambda: waits(server, source), f"waiting of {source}"))
        equal(lines[0].split(";")[0], lines[1].split(";")[0], "the words")
        reasons = {event["reason"] for event in server.audit() if event["event"] == "penalty"}
        equal(reasons, {"authfail", "invaliduser"}, "the audit log")


@case("going away, saying nothing and a crash of the net process are seen for what they are")
def others():
    with strict(penalty_min=0) as server:
        greeting(server, "127.0.0.5")
        eventually(lambda: waits(server, "127.0.0.5"), "the penalty for going away", 5)
        reasons = {event["who"]: event["reason"] for event in server.audit() if event["event"] == "penalty"}
        equal(reasons, {"127.0.0.5": "noauth"}, "the audit log")
    with strict(login_grace=1, penalty_min=0, penalty_noauth=0) as server:  # asking is free
        with socket.create_connection(("127.0.0.1", server.port), 10, ("127.0.0.6", 0)) as silent:
            silent.recv(100)
            time.sleep(1.5)
        eventually(lambda: waits(server, "127.0.0.6"), "the penalty for silence", 5)
        client = server.open("echo ready; exec cat", "-b", "127.0.0.7")
        equal(client.stdout.read(6), b"ready\n", "a session")
        os.kill(net_process(server), signal.SIGKILL)
        client.wait(10)
        client.stdout.close(), client.stderr.close(), client.stdin.close()
        eventually(lambda: waits(server, "127.0.0.7"), "the penalty for a crash", 5)
        reasons = {event["who"]: event["reason"] for event in server.audit() if event["event"] == "penalty"}
        equal(reasons, {"127.0.0.6": "grace_exceeded", "127.0.0.7": "crash"}, "the audit log")


@case("penalties end by themselves, exempt networks have none, and they can be switched off")
def ends():
    with strict(penalty_authfail=2, penalty_min=2) as server:
        fail_login(server)
        eventually(lambda: waits(server), "the penalty")
        eventually(lambda: not waits(server), "its end", 8)
    for settings in ({"penalty_exempt": ["127.0.0.0/8"]}, {"penalties": False}, {"penalty_authfail": 0}):
        with strict(**{"penalty_min": 0, **settings}) as server:
            for _ in range(3):
                fail_login(server)
            time.sleep(0.5)
            equal(server.ssh("echo hi").text, "hi", f"with {settings}")


@case("a full table forgets one, or refuses everybody, as configured")
def overflow():
    settings = {"penalty_min": 0, "penalty_sources4": 2}
    for way, refused in (("permissive", False), ("deny-all", True)):
        with strict(penalty_overflow=way, **settings) as server:
            for source in ("127.0.0.11", "127.0.0.12"):
                fail_login(server, source=source)
                eventually(lambda: waits(server, source), f"waiting of {source}")
            line = waits(server, "127.0.0.13")
            equal(bool(line), refused, f"a third address with {way}")


@case("connections of one source that have not logged in are limited, by block")
def source_startups():
    with strict(source_startups=2, source_block="31:64", penalties=False) as server:
        first = [socket.create_connection(("127.0.0.1", server.port), 10, ("127.0.0.2", 0)) for _ in range(2)]
        for connection in first:
            check(connection.recv(8).startswith(b"SSH-2.0"), "not greeted")
        line = greeting(server, "127.0.0.3")  # of the same 31 bits
        check(line.startswith("Too many connections"), f"the third of the block: {line!r}")
        check(greeting(server, "127.0.0.4").startswith("SSH-2.0"), "another block is refused")
        for connection in first:
            connection.close()
        eventually(lambda: greeting(server, "127.0.0.3").startswith("SSH-2.0"), "room again")


@case("fork bombs count after login: the address waits, and the user wherever they come from")
def fork_bomb():
    profile = {"lab": {"readable": ["/usr"], "write": "ephemeral", "pids": 8}}
    server = Cloche(server={"penalty_exempt": [], "penalty_min": 2, "penalty_fork_bomb": 4}, profiles=profile)
    with server:
        result = server.ssh("for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 2 & done; wait", "-b", "127.0.0.8")
        if not any(event["event"] == "limit_hit" and event.get("limit") == "pids" for event in server.audit()):
            raise AssertionError(f"the limit of tasks was not hit, or not counted: {result}")
        line = eventually(lambda: waits(server, "127.0.0.8"), "the address's penalty")
        check("sessions went over their limits" in line, f"said {line!r}")
        refused = server.ssh("echo hi", "-b", "127.0.0.9")
        check(refused.code != 0 and "fork_bomb" in refused.error and "try again in" in refused.error,
              f"the user from elsewhere: {refused}")
        eventually(lambda: server.ssh("echo hi", "-b", "127.0.0.9").text == "hi", "the end of it", 15)


@case("programs killed at the memory limit count after login, too")
def memory():
    profile = {"lab": {"readable": ["/usr"], "write": "ephemeral", "memory": "64M"}}
    with Cloche(server={"penalty_exempt": [], "penalty_min": 2, "penalty_oom": 4}, profiles=profile) as server:
        result = server.ssh("python3 -c 'x = bytearray(200 << 20)'; echo status $?", "-b", "127.0.0.8")
        check("status 137" in result.text, f"the program was not killed: {result}")
        line = eventually(lambda: waits(server, "127.0.0.8"), "the address's penalty")
        check("sessions went over their limits" in line, f"said {line!r}")
        reasons = {(event["kind"], event["reason"]) for event in server.audit() if event["event"] == "penalty"}
        check({("address", "oom"), ("user", "oom")} <= reasons, f"the audit log: {reasons}")


@case("asking for more sessions than one may have counts as a flood")
def session_flood():
    server = Cloche(server={"penalty_exempt": [], "penalty_min": 3, "penalty_session_flood": 2,
                            "max_user_sessions": 1})
    with server:
        keep = server.session()
        for _ in range(2):
            check(server.ssh("true", "-b", "127.0.0.8").code != 0, "one more than there may be")
        eventually(lambda: waits(server, "127.0.0.8"), "the penalty")
        reasons = {(event["kind"], event["who"], event["reason"]) for event in server.audit()
                   if event["event"] == "penalty"}
        check(("user", "lab", "session_flood") in reasons, f"the audit log: {reasons}")
        keep.kill()
        keep.wait()


@case("the log of refusals does not grow with their number")
def quiet():
    with strict(penalty_min=0) as server:
        fail_login(server)
        eventually(lambda: waits(server), "the penalty")
        before = len(server.log_text().splitlines()), len(server.audit())
        for _ in range(200):
            check(waits(server), "let in")
        grown = len(server.log_text().splitlines()) - before[0], len(server.audit()) - before[1]
        check(max(grown) < 5, f"200 refusals made {grown} lines of log and audit")


main()
