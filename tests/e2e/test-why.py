#!/usr/bin/python3
"""What a user is told when a limit or a rule stops something: at once on the terminal, and again by
`ssh -s HOST cloche-why` on the same connection."""
import os

import doors
from lib import BUILD, Cloche, case, check, equal, eventually, main, run

LAB = {"readable": ["/usr"], "write": "ephemeral", "pids": 32, "memory": "128M"}
# Half of the memory that there is, twice, in a process of its own.
EATER = "python3 -c 'x = bytearray(400 << 20)'"


def why(server, mux):
    result = server.ssh("cloche-why", *mux, "-s")
    equal(result.code, 0, f"why: {result}")
    return result.text


@case("nothing was refused: why says so, and what it cannot see")
def nothing():
    with Cloche(profiles={"lab": LAB}) as server, server.master() as mux:
        text = why(server, mux)
        check(text.startswith("nothing was refused on this connection") and "ENOSPC" in text, text)
        equal(server.ssh("echo on", *mux).text, "on", "the connection goes on")


@case("a program killed at the memory limit: its user is told, and why names capability and key")
def memory():
    with Cloche(profiles={"lab": LAB}) as server, server.master() as mux:
        result = server.ssh(f"{EATER}; echo status $?", *mux)
        check("status 137" in result.text, f"the program was not killed: {result}")
        check("killed at this session's memory limit" in result.error, f"not told: {result}")
        text = why(server, mux)
        check("res.memory: a program was killed at the memory limit (profile lab, memory: 128M)" in text, text)
        with server.terminal(*mux) as terminal:
            terminal.ask("true", "")
            terminal.send(EATER + "\r")
            # Told when the user next types: nobody wakes up for it.
            eventually(lambda: terminal.read(0.3) is not None and b"Killed" in terminal.seen and
                       (b"memory limit" in terminal.seen or terminal.send("\r")),
                       "a word on the terminal", 30)
            terminal.send("exit\r")
            terminal.wait()


@case("attempts at the task limit are told and counted")
def tasks():
    with Cloche(server={"penalties": False}, profiles={"lab": {**LAB, "pids": 12}}) as server:
        with server.master() as mux:
            result = server.ssh("sh -c 'for i in $(seq 30); do sleep 3 & done' 2>/dev/null", *mux)  # dash tries once
            check("task limit" in result.error, f"not told: {result}")
            text = why(server, mux)
            check("res.pids: a program could not be started at the task limit (profile lab, pids: 12)" in text, text)


@case("refused forwardings and variables are listed, with what a client wrote made harmless")
def refused():
    with Cloche(profiles={"lab": {**LAB, "share": "connection", "forward": ["local"],
                                  "permit_open": ["127.0.0.1:80"]}}) as server:
        with server.master() as mux:
            for target in ("127.0.0.1:81", "evil\x1b[31m:80"):
                check(run(server.ssh_argv(*mux, "-W", target, "127.0.0.1"), input=b"x").code != 0, target)
            text = why(server, mux)
            check("forward: " in text and "127.0.0.1" in text and "81" in text, text)
            check("\x1b" not in text, f"an escape sequence came back: {text!r}")


@case("another connection hears nothing of it, and a forced command stands in its place")
def apart():
    with Cloche(profiles={"lab": LAB}) as server:
        with server.master() as mux:
            server.ssh(EATER, *mux)
            check("res.memory" in why(server, mux), "its own")
            check("res.memory" not in server.ssh("cloche-why", "-s").text, "another's")
        server.authorize(f'command="echo forced" {server.public}')
        equal(server.ssh("cloche-why", "-s").text, "forced", "a key with a command")


@case("many in a row, and requests after it, harm nothing")
def many():
    with Cloche(profiles={"lab": LAB}) as server, server.master() as mux:
        for _ in range(30):
            why(server, mux)
        equal(server.ssh("echo on", *mux).text, "on", "a session")


FLOOD = """
import socket, time
held, end, answers = [], time.monotonic() + 2.5, 0
while time.monotonic() < end:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(0.05)
    try:
        client.connect("/run/cloche/why")
        client.sendall(b"x" * 10000)
        answers += bool(client.recv(100))
        client.close()
    except OSError:
        client.close()
print(answers)
"""


@case("inside, what another session of the connection came up to is not told; a shared sandbox tells all")
def others():
    for share, word in (("session", "nothing was refused in this session"), ("connection", "res.memory")):
        with Cloche(profiles={"lab": {**LAB, "share": share}}) as server, server.master() as mux:
            server.ssh(EATER, *mux)
            check("res.memory" in why(server, mux), "the connection's")
            text = server.ssh("why", *mux).text
            check(word in text and ("res.memory" in text) == (share == "connection"), f"{share}: {text}")


@case("who asks and asks gets an answer a second, is not listened to, and harms nobody")
def flood():
    with Cloche(profiles={"lab": LAB}) as server, server.master() as mux:
        flooding = server.open("exec python3 -", *mux)
        flooding.stdin.write(FLOOD.encode())
        flooding.stdin.close()
        equal(server.ssh("echo on; why", *mux).text.splitlines()[0], "on", "another session meanwhile")
        answers = int(flooding.stdout.readline())
        check(1 <= answers <= 6, f"answers in two and a half seconds: {answers}")
        flooding.wait(20)
        flooding.stdout.close()
        flooding.stderr.close()


@case("there is none where a program could not be started, nor in a sandbox that is not the server's")
def absent():
    with Cloche(profiles={"lab": {**LAB, "no_exec": True}}) as server:
        result = server.ssh("test -e /run/cloche && echo there || echo none")
        equal(result.text, "none", f"no_exec: {result}")
    result = run([os.path.join(BUILD, "cli", "cloche"), "run", "--readable", "/usr", "--", "ls", "/run"])
    equal((result.code, result.text), (0, ""), f"cloche run: {result}")


doors.claim_all("native")
main()
