#!/usr/bin/python3
"""What a session is to a stock client. Each case runs against cloche-sshd and against OpenSSH's
sshd: where the protocol says what must happen, both must do it."""
import hashlib
import os
import time

from lib import (Cloche, OpenSshd, case, check, equal, eventually, finish, main, read_line)

SETTINGS = {"profiles": {"lab": {"readable": ["/usr"], "write": "ephemeral", "pids": 128, "memory": "512M",
                                 "accept_env": ["LANG", "LC_*"]}}}
servers = {}


def server_of(kind):
    """One server for all cases of a kind; ended by the last case."""
    if kind not in servers:
        servers[kind] = Cloche(**SETTINGS) if kind == "cloche" else OpenSshd()
        servers[kind].__enter__()
    return servers[kind]


def both(claim):
    def register(function):
        for kind in ("cloche", "openssh"):
            case(f"{kind}: {claim}")(lambda kind=kind: function(server_of(kind)))
        return function
    return register


@both("exit statuses arrive as they were given")
def exit_statuses(server):
    for code in (0, 1, 2, 7, 77, 126, 127, 128, 200, 255):
        equal(server.ssh(f"exit {code}").code, code, "exit status")


@both("a command that is not there ends with 127 and says so on stderr")
def missing_command(server):
    result = server.ssh("/no/such/program")
    equal(result.code, 127, "exit status")
    check(b"no/such/program" in result.err, f"no word of it: {result}")


@both("death by a signal is reported as exit-signal")
def exit_signal(server):
    result = server.ssh("kill -TERM $$", "-v")
    equal(result.code, 255, "what the client makes of a signal")
    check(b"rtype exit-signal" in result.err, f"no exit-signal: {result}")


@both("stdout and stderr arrive apart and whole")
def split_streams(server):
    size = 1 << 20
    result = server.ssh(f"head -c {size} /dev/zero | tr '\\0' o;"
                        f"head -c {size} /dev/zero | tr '\\0' e >&2; exit 7")
    equal(result.code, 7, "exit status")
    check(result.out == b"o" * size, f"stdout: {len(result.out)} bytes, {result.out[-40:]!r}")
    check(result.err == b"e" * size, f"stderr: {len(result.err)} bytes, {result.err[-40:]!r}")


@both("binary data comes back unchanged")
def binary_both_ways(server):
    data = os.urandom(3 << 20)
    result = server.ssh("cat", input=data)
    equal(result.code, 0, "exit status")
    equal(hashlib.sha256(result.out).hexdigest(), hashlib.sha256(data).hexdigest(), "sha256")


@both("binary data goes in unchanged")
def binary_in(server):
    data = os.urandom(8 << 20)
    result = server.ssh("sha256sum", input=data)
    equal(result.text.split()[0], hashlib.sha256(data).hexdigest(), "sha256 inside")


@both("the end of input reaches the command, which can still answer")
def half_close(server):
    result = server.ssh("cat; sleep 0.3; echo after the end", input=b"before\n")
    equal(result.out, b"before\nafter the end\n", "output")


@both("a command that stops reading does not hold the session up")
def early_end(server):
    result = server.ssh("head -c 10 >/dev/null; exit 5", input=b"x" * (4 << 20))
    equal(result.code, 5, "exit status")


@both("output written just before the exit is not lost")
def last_words(server):
    for _ in range(10):
        result = server.ssh("seq 1 5000; exit 3")
        equal(result.code, 3, "exit status")
        check(result.out.endswith(b"5000\n"), f"the tail is missing: {result.out[-40:]!r}")


@both("a session ends although a process in its background keeps the terminal's streams")
def background(server):
    begin = time.monotonic()
    with server.terminal() as terminal:
        # OpenSSH lets the process live on; with us the sandbox's end is its own
        terminal.ask(f"sleep {300 if server.name == 'cloche-sshd' else 2} & true", "")
        terminal.send("exit 4\r")
        equal(terminal.wait(15), 4, "exit status")
    check(time.monotonic() - begin < 20, "the client waited for the background process")


@both("the environment keeps to the allow-list")
def environment(server):
    env = dict(os.environ, LANG="xx_YY.UTF-8", LC_TIME="zz", LC_NAME="", FOO="bar", LD_PRELOAD="", BASH_ENV="/x")
    result = server.ssh('echo "$LANG/$LC_TIME/${LC_NAME-unset}/$FOO/$BASH_ENV"', env=env, options=(
        "SendEnv=LANG LC_* FOO BASH_ENV",))
    equal(result.text, "xx_YY.UTF-8/zz///", "LANG/LC_TIME/LC_NAME/FOO/BASH_ENV")


@both("a terminal has the size, name and echo of the client's")
def terminal_size(server):
    env_term = os.environ.get("TERM")
    os.environ["TERM"] = "xterm-256color"
    try:
        with server.terminal(rows=37, columns=111) as terminal:
            terminal.ask("stty size", "37 111")
            terminal.ask("echo $TERM", "xterm-256color")
            terminal.ask("tty", "/dev/(pts/[0-9]+|console|tty)")
            terminal.ask("stty -a | tr ';' '\\n' | grep -o ' echo '", " echo ")
            terminal.send("exit 9\r")
            equal(terminal.wait(), 9, "exit status")
    finally:
        if env_term is None:
            del os.environ["TERM"]
        else:
            os.environ["TERM"] = env_term


@both("a window change reaches the session")
def window_change(server):
    with server.terminal(rows=24, columns=80) as terminal:
        terminal.ask("stty size", "24 80")
        terminal.resize(50, 132)
        eventually(lambda: terminal.ask("stty size", r"(\d+ \d+)\r\n").group(1) == b"50 132",
                   "50 132")
        terminal.send("exit\r")
        terminal.wait()


@both("interrupt and end-of-file typed on a terminal do their work")
def control_keys(server):
    with server.terminal() as terminal:
        terminal.ask("true", "")
        terminal.send("sleep 100; echo st''ill here $?\r")
        time.sleep(0.5)
        terminal.send("\x03")
        terminal.ask("echo status $?", "status 130")
        terminal.expect("[$#] ")  # an end-of-file typed before the prompt would be lost
        terminal.send("\x04")
        equal(terminal.wait(), 0, "the status of the last command")


@both("a terminal's output is whole to the last line")
def terminal_output(server):
    with server.terminal("seq 1 20000; exit 6") as terminal:
        terminal.expect("\n19999\r\n20000\r\n")
        equal(terminal.wait(), 6, "exit status")


@both("a command on a terminal joins its streams, without one keeps them apart")
def terminal_or_not(server):
    equal(server.ssh("test -t 0 || test -t 1; echo $?").text, "1", "terminal without -t")
    with server.terminal("test -t 0 && test -t 1 && test -t 2; exit $?") as terminal:
        equal(terminal.wait(), 0, "terminal with -tt")


@both("several sessions share a connection and do not wait for one another")
def channels(server):
    with server.master() as mux:
        slow = server.open("echo ready; exec cat", *mux)
        equal(read_line(slow.stdout), b"ready\n", "the first session")
        begin = time.monotonic()
        for number in range(5):
            equal(server.ssh(f"echo {number}; exit {number}", *mux).text, str(number), "output")
        check(time.monotonic() - begin < 20, "the open session held the others up")
        slow.stdin.write(b"still there\n")
        equal(read_line(slow.stdout), b"still there\n", "the first session afterwards")
        slow.stdin.close()
        equal(slow.wait(10), 0, "the first session's status")
        finish(slow)


@both("a stalled session does not stop another of the same connection")
def stalled(server):
    with server.master() as mux:
        stuck = server.open("yes", *mux)
        time.sleep(0.5)  # its window and every pipe are full now: nobody reads
        begin = time.monotonic()
        equal(server.ssh("echo on", *mux).text, "on", "the other session")
        check(time.monotonic() - begin < 10, "it waited")
        stuck.kill()
        finish(stuck)


@both("data survives re-keying in both directions")
def rekey(server):
    data = os.urandom(24 << 20)
    result = server.ssh("cat", input=data, options=("RekeyLimit=1M",), timeout=120)
    equal(hashlib.sha256(result.out).hexdigest(), hashlib.sha256(data).hexdigest(), "sha256")


@both("a session without a shell's help carries an empty command and empty input")
def empty_input(server):
    result = server.ssh("cat; echo done")
    equal(result.out, b"done\n", "output")


@both("a long command line arrives whole")
def long_command(server):
    text = "x" * 20000
    equal(server.ssh(f"printf %s {text} | wc -c").text, "20000", "length")


@both("the server answers a keep-alive and ends an idle client's session on request")
def keepalive(server):
    result = server.ssh("sleep 2.5; echo alive", options=("ServerAliveInterval=1",
                                                           "ServerAliveCountMax=1"))
    equal(result.text, "alive", "output")


@both("unknown subsystems and forwardings are refused, the session goes on")
def refused_requests(server):
    result = server.ssh("nosuch", "-s")
    check(result.code != 0, f"an unknown subsystem was started: {result}")
    equal(server.ssh("echo fine").text, "fine", "the next session")


for last in ("cloche", "openssh"):
    @case(f"{last}: after all of it nothing is left")
    def ends(kind=last):
        if kind in servers:
            servers.pop(kind).__exit__(None, None, None)

main()
