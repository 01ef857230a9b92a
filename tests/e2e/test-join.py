#!/usr/bin/python3
"""`cloche join --read-only`: who may watch whose session, and what of it reaches the watcher's terminal."""
import contextlib
import grp
import json
import os
import pwd
import select
import signal
import subprocess
import termios
import time

from lib import (BUILD, Cloche, Terminal, case, check, echoes, equal, eventually, finish, main, read_line, run)

CLOCHE = os.path.join(BUILD, "cli", "cloche")
UTF8 = {**os.environ, "LC_ALL": "C.UTF-8"}


def argv(server, target, *words):
    return [CLOCHE, "join", "--read-only", *words, "--socket", server.settings["control"], target]


def target_of(server):
    """The id of the newest session that the server lists."""
    def rows():
        result = run([CLOCHE, "sessions", "--json", "--socket", server.settings["control"]])
        return json.loads(result.out)["sessions"] if result.code == 0 else []
    return eventually(rows, "a session")[-1]["id"]


def joins(server):
    return [event for event in server.audit() if event["event"] == "join"]


@contextlib.contextmanager
def watcher(server, target, *words, wrapper=()):
    """Somebody who watches by pipes, once it has begun."""
    process = subprocess.Popen([*wrapper, *argv(server, target, *words)], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, env=UTF8)
    server.children.add(process.pid)
    before = len(joins(server))
    try:
        first = read_line(process.stderr)
        check(b"session" in first and b"from here on" in first, f"it began with {first!r}")
        eventually(lambda: len(joins(server)) >= max(before, 1), "a line of the audit log")
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


@case("a session without a terminal is watched, hears of it, does not see it, and its end is told")
def pipes():
    with Cloche() as server:
        client = server.session()
        target = target_of(server)
        with watcher(server, target) as process:
            notice = read_line(client.stderr)
            check(b"root watches this session" in notice or b"watches this session" in notice, f"told {notice!r}")
            equal(read_line(process.stdout), notice, "the notice is output too")
            check(echoes(client), "the session")
            check(len(read_line(process.stdout)) == 13, "a line of the session")
            event = joins(server)[-1]
            equal([event["uid"], event["user"], event["told"], f"{event['conn']}.{event['channel']}"],
                  [os.getuid(), "lab", True, target], "the audit log")
            told = [event for event in server.audit() if event["event"] == "control"]
            equal([(event["do"], event["target"], event["uid"], event["ok"]) for event in told],
                  [("join", target, os.getuid(), True)], "who told it")
            finish(client)
            equal(process.wait(10), 0, "exit status")
            check(b"has ended" in process.stderr.read(), "the end was not told")
        gone = run(argv(server, target))
        check(gone.code == 1 and "no session" in gone.error, f"watching what is over: {gone}")


@case("what makes a terminal answer, or changes what is the watcher's, is dropped, but for --raw")
def filtered():
    hostile = r"printf 'A\033]0;title\aB\033]52;c;eA==\aC\033[6nD\033[cE\033P+q544e\033\\F\033[31mG\303\274\n'"
    with Cloche(server={"join_notice": False}) as server:
        client = server.session()
        finish(client)
        client = server.open("echo ready; read line; " + hostile + "; exec cat")
        equal(read_line(client.stdout), b"ready\n", "a session")
        target = target_of(server)
        with watcher(server, target) as shown, watcher(server, target, "--raw") as raw:
            client.stdin.write(b"go\n")
            whole = read_line(client.stdout)
            check(b"\033]52;" in whole and b"\033[6n" in whole, f"the user sees {whole!r}")
            equal(read_line(shown.stdout), b"ABCDEF\033[31mG\xc3\xbc\n", "filtered")
            equal(read_line(raw.stdout), whole, "raw")
            shown.send_signal(signal.SIGTERM)
            equal(shown.wait(10), 0, "exit status")
            check(b"not shown: 5" in shown.stderr.read(), "how many were dropped")
        check(not server.audit()[-1].get("told"), "join_notice")
        check(echoes(client), "the session goes on")
        finish(client)


@case("on a terminal: its size is told, keys go nowhere, q leaves, and the terminal is as before")
def terminals():
    with Cloche(server={"join_notice": False}) as server:
        with server.terminal(rows=50, columns=140) as user:
            user.ask("echo hi", "hi")
            target = target_of(server)
            with Terminal(argv(server, target), 24, 80, server.children) as watching:
                watching.expect("50 rows and 140 columns, this one 24 and 80")
                during = termios.tcgetattr(watching.master)
                check(not during[3] & (termios.ECHO | termios.ICANON), "it is not raw")
                watching.send("echo typed by the watcher\r")
                user.ask("echo by''user", "byuser")
                watching.expect("byuser")
                check(b"typed by" not in user.seen + watching.seen, "keys of the watcher went somewhere")
                watching.send("x~.")
                equal(watching.wait(), 0, "exit status")
                after = termios.tcgetattr(watching.master)
                equal(after[3] & (termios.ECHO | termios.ICANON), termios.ECHO | termios.ICANON, "restored")
            with Terminal(argv(server, target), 60, 200, server.children) as watching:
                watching.expect("from here on")
                user.resize(70, 140)
                watching.expect("70 rows and 140 columns, this one 60 and 200")
                watching.send("q")
                watching.expect("is watched no longer")
                equal(watching.wait(), 0, "exit status")
            user.send("exit\r")
            user.wait()


@case("root watches any session, others only those of their own name, and none without a word in the audit log")
def owners():
    if os.geteuid() != 0:
        raise AssertionError("this test needs root")
    games = pwd.getpwnam("games")
    nobody = pwd.getpwnam("nobody")
    group = grp.getgrnam("games").gr_gid

    def as_uid(who):
        return ["setpriv", f"--reuid={who.pw_uid}", f"--regid={group}", "--clear-groups", "--"]
    with Cloche(server={"control_group": "games"}) as server:
        server.users["games"] = dict(server.users["lab"])
        server.write("cloche.yaml", "")
        server.configure()
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: any(event["event"] == "reload" for event in server.audit()), "a reload")
        os.chmod(server.directory, 0o755)
        own = server.session(user="games")
        mine = target_of(server)
        other = server.session()
        theirs = next(row["id"] for row in json.loads(run(
            [CLOCHE, "sessions", "--json", "--socket", server.settings["control"]]).out)["sessions"]
            if row["user"] == "lab")
        refused = run([*as_uid(games), *argv(server, theirs)], timeout=20)
        check(refused.code == 1 and "somebody else's" in refused.error, f"another's: {refused}")
        again = run([*as_uid(games), *argv(server, theirs)], timeout=20)
        check(again.code == 1 and ("try again" in again.error or "somebody" in again.error), f"at once: {again}")
        time.sleep(1.1)
        refused = run([*as_uid(nobody), *argv(server, mine)], timeout=20)
        check(refused.code == 1 and "somebody else's" in refused.error, f"nobody: {refused}")
        equal(joins(server), [], "who watched so far")
        time.sleep(1.1)
        with watcher(server, mine, wrapper=as_uid(games)) as process:
            notice = read_line(own.stderr)
            check(f"uid {games.pw_uid}".encode() in notice, f"told {notice!r}")
            read_line(process.stdout)
            check(echoes(own) and len(read_line(process.stdout)) == 13, "its own")
            equal([event["uid"] for event in joins(server)], [games.pw_uid], "in the audit log")
        equal(other.poll(), None, "the other session")
        finish(own)
        finish(other)


@case("a watcher that does not read loses output and slows nobody; there are only so many")
def slow():
    with Cloche(server={"join_notice": False}) as server:
        client = server.open("echo ready; read line; head -c 20000000 /dev/zero | tr '\\0' 'x'; echo; echo done; exec cat")
        equal(read_line(client.stdout), b"ready\n", "a session")
        target = target_of(server)
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(watcher(server, target))
            for _ in range(3):
                stack.enter_context(watcher(server, target))
            fifth = run(argv(server, target))
            check(fifth.code == 1 and "as many as may" in fifth.error, f"the fifth: {fifth}")
            client.stdin.write(b"go\n")
            check(echoes_after(client), "the session waits")
            equal(told_lost(first), True, "what was lost is told")
        finish(client)


def told_lost(process):
    """Reads what waits for the watcher until it says how much it missed."""
    end, said = time.monotonic() + 30, b""
    while time.monotonic() < end and b"bytes not shown]" not in said:
        ready, _, _ = select.select([process.stdout, process.stderr], [], [], 1)
        if process.stdout in ready:
            os.read(process.stdout.fileno(), 1 << 20)
        if process.stderr in ready:
            said += os.read(process.stderr.fileno(), 4096)
    return b"bytes not shown]" in said


def echoes_after(client):
    """The end of what was printed, and an answer."""
    line = b""
    while not line.endswith(b"done\n"):
        piece = os.read(client.stdout.fileno(), 1 << 20)
        check(piece, f"the session ended with {line!r}")
        line = (line + piece)[-16:]
    return echoes(client)


@case("wrong words are refused: no --read-only, no session, a listener that knows no such session")
def words():
    with Cloche() as server:
        check(run([CLOCHE, "join", "x"]).code == 2, "without --read-only")
        check(run([CLOCHE, "join", "--read-only"]).code == 2, "without an id")
        result = run(argv(server, "nobody"))
        check(result.code == 1 and "no session" in result.error, f"{result}")


main()
