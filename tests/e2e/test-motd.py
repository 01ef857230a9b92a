#!/usr/bin/python3
"""A shell on a terminal is greeted as its profile says, and nobody else is."""
from lib import Cloche, case, check, equal, main


def lab(**more):
    return {"readable": ["/usr"], "write": "ephemeral", "pids": 64, "memory": "256M", **more}


def screen(server, *words):
    """All that a terminal shows until the shell has ended."""
    shown = b""
    with server.terminal(*words) as terminal:
        if not words:
            terminal.send("echo shell''-is-here; exit\r")
        while True:
            piece = terminal.read(10)
            if not piece:
                break
            shown += piece
        terminal.wait()
    return shown.decode(errors="replace")


@case("a text is shown before the shell's first word, line by line")
def text():
    with Cloche(profiles={"lab": lab(motd="Welcome to the lab.\nBe kind.\n")}) as server:
        for _ in range(5):
            shown = screen(server)
            check("Welcome to the lab.\r\nBe kind.\r\n" in shown, f"showed {shown!r}")
            check(shown.index("Be kind.") < shown.index("shell-is-here"), f"too late: {shown!r}")
            before = shown[:shown.index("Welcome")]
            check("$" not in before and "#" not in before, f"the prompt came first: {shown!r}")


@case("commands and shells without a terminal are not greeted, nor is anybody by default")
def others():
    with Cloche(profiles={"lab": lab(motd="Welcome")}) as server:
        result = server.ssh("echo hi")
        equal((result.out, result.err), (b"hi\n", b""), "a command")
        result = server.ssh(None, input=b"echo hi\n")
        check(b"Welcome" not in result.out + result.err, f"a shell without a terminal: {result}")
        check("Welcome" not in screen(server, "echo hi"), "a command on a terminal")
    with Cloche() as server:
        check("profile" not in screen(server), "by default")


@case("auto names profile, limits, and what was promised and observed, with the proof")
def auto():
    with Cloche(profiles={"lab": lab(motd="auto")}, options=()) as server:
        shown = screen(server).replace("\r", "")
        proof = next(event["proof"] for event in server.audit() if event["event"] == "profile")
        check(f"cloche: profile lab; promised and observed (proof {proof}): " in shown, f"showed {shown!r}")
        check("net.disable" in shown and "limits: " in shown and "memory 256M" in shown and "pids 64" in shown,
              f"showed {shown!r}")
    with Cloche(profiles={"lab": lab(motd="auto")}) as server:
        shown = screen(server)
        check("profile lab" in shown and "observed" not in shown and "was not measured" in shown.replace("\r\n", " ") and
              "promised, not measured: " in shown and "net.disable" in shown,
              f"unmeasured: {shown!r}")


main()
