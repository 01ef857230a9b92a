#!/usr/bin/python3
"""share: connection: what one connection asks for meets in one sandbox, and nowhere else."""
import os
import time

from lib import Cloche, case, check, equal, eventually, finish, main, read_line, roles, run, sandbox_processes

SHARED = {"lab": {"readable": ["/usr"], "write": "ephemeral", "pids": 64, "memory": "256M",
                  "share": "connection"}}


@case("sessions of one connection meet in one sandbox, sftp too; another connection has its own")
def _():
    with Cloche(profiles=SHARED) as server, server.master() as mux:
        equal(server.ssh("echo kept >/tmp/note; readlink /proc/self/ns/mnt", *mux).code, 0, "first")
        first = server.ssh("cat /tmp/note; readlink /proc/self/ns/net", *mux)
        equal(first.text.split("\n")[0], "kept", "a later session of the connection")
        with open(server.path("up"), "wb") as out:
            out.write(b"by sftp")
        argv = server.ssh_argv()
        options = [word if word != "-p" else "-P" for word in argv[1:argv.index("-l")]]
        batch = f"put {server.path('up')} /tmp/up\n".encode()
        equal(run(["sftp", *options, "-o", f"ControlPath={mux[1]}", "-b", "-", "lab@127.0.0.1"],
                  input=batch).code, 0, "sftp")
        equal(server.ssh("cat /tmp/up", *mux).text, "by sftp", "what sftp brought")
        other = server.ssh("cat /tmp/note /tmp/up 2>/dev/null; readlink /proc/self/ns/net")
        check("kept" not in other.text and "by sftp" not in other.text, f"another connection: {other}")
        check(other.text.split("\n")[-1] != first.text.split("\n")[-1], "one network namespace for both")


@case("sessions end one by one, each with its own status and terminal")
def _():
    with Cloche(profiles=SHARED) as server, server.master() as mux:
        lasting = server.open("echo $$; exec cat", *mux)
        pid = read_line(lasting.stdout).decode().strip()
        equal(server.ssh("exit 7", *mux).code, 7, "status")
        equal(server.ssh(f"kill -0 {pid} && ps -p {pid} -o comm=", *mux).text, "cat", "seen and alive")
        with server.terminal(*mux, rows=33, columns=99) as terminal:
            terminal.ask("stty size", "33 99")
            terminal.resize(40, 120)
            terminal.ask("sleep 0.2; stty size", "40 120")
            terminal.send("exit 3\r")
            equal(terminal.wait(), 3, "the shell's status")
        equal(finish(lasting), 0, "the first one")


@case("what a session leaves running lives as long as the connection and no longer")
def _():
    with Cloche(profiles=SHARED) as server:
        with server.master() as mux:
            equal(server.ssh("setsid sleep 1000 >/dev/null 2>&1 </dev/null & true", *mux).code, 0, "start")
            time.sleep(0.3)
            equal(server.ssh("pgrep -xc sleep", *mux).text, "1", "still there")
        eventually(lambda: not sandbox_processes(server), "an end with the connection", 3)


@case("the audit log names one sandbox for all of them, and the caveat")
def _():
    with Cloche(profiles=SHARED) as server:
        with server.master() as mux:
            for _ in range(3):
                equal(server.ssh("true", *mux).code, 0, "session")
        eventually(lambda: any(e["event"] == "disconnect" for e in server.audit()), "the end")
        events = server.audit()
        sandboxes = {e["sandbox"] for e in events if e["event"] == "session_end"}
        equal(len(sandboxes), 1, "sandboxes")
        starts = [e for e in events if e["event"] == "session_start"]
        check(all("session.shared" in str(e["caveats"]) for e in starts), f"caveats: {starts[:1]}")
        check(all("session.fresh" not in e["uses"] for e in starts), "session.fresh is promised")


@case("the time limit is that of the whole sandbox, and its end is said")
def _():
    profiles = {"lab": {**SHARED["lab"], "timeout": "3s", "warning": "0"}}
    with Cloche(profiles=profiles) as server, server.master() as mux:
        begin = time.monotonic()
        result = server.ssh("sleep 60", *mux)
        check(result.code != 0 and time.monotonic() - begin < 10, f"no end: {result}")
        late = server.ssh("true", *mux)
        check(late.code != 0 and "connect again" in late.error, f"after the end: {late}")


@case("a shared profile is measured like any other, and opens")
def _():
    with Cloche(profiles=SHARED, options=()) as server:
        equal(server.ssh("echo open").text, "open", "a measured profile")
        starts = [e for e in server.audit() if e["event"] == "session_start"]
        check(starts[0].get("proof"), f"no proof: {starts}")


@case("kill -9 of the monitor takes the shared sandbox along")
def _():
    with Cloche(profiles=SHARED) as server, server.master() as mux:
        client = server.open("echo ready; exec sleep 1000", *mux)
        equal(read_line(client.stdout), b"ready\n", "session")
        os.kill(roles(server)["monitor"], 9)
        eventually(lambda: not sandbox_processes(server), "an end", 3)
        client.wait(5)


main()
