#!/usr/bin/python3
"""Forwarded ports and agents: into the sandbox, by its plan, and only where the profile and the key say
so. The host listens on the same ports, so that whoever left the sandbox would be seen."""
import contextlib
import hashlib
import os
import re
import select
import socket
import subprocess
import threading
import time

from lib import LINGER, Cloche, Skip, case, check, equal, eventually, finish, free_port, main, read_line, run

LAB = {"readable": ["/usr"], "write": "ephemeral", "pids": 64, "memory": "512M"}
OPEN = {"lab": {**LAB, "share": "connection", "forward": ["local", "remote", "agent"]}}
SERVER = """
import socket, sys, threading
family = socket.AF_INET6 if sys.argv[2:] else socket.AF_INET
l = socket.socket(family); l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
l.bind(("::1" if sys.argv[2:] else "127.0.0.1", int(sys.argv[1]))); l.listen(50); print("ready", flush=True)
def serve(s):
    try:
        while True:
            data = s.recv(65536)
            if not data: break
            s.sendall(data)
        s.sendall(b"END"); s.shutdown(socket.SHUT_WR)
    except OSError: pass
while True:
    s, _ = l.accept(); threading.Thread(target=serve, args=(s,), daemon=True).start()
"""


def inside_server(server, port, *mux, extra=""):
    """An echo server in the sandbox that says END when its client has said all."""
    client = server.open(f"exec python3 -c '{SERVER}' {port} {extra}", *mux)
    line = read_line(client.stdout)
    check(line == b"ready\n", f"no server inside: {line!r}")
    return client


def stop(client):
    client.kill()
    client.wait()


def outside_listener():
    """A port of the host's, and a list of those who came."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(50)
    return listener


def nobody_came(listener):
    return not select.select([listener], [], [], 0)[0]


def exchange(port, data, timeout=10):
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as s:
        s.settimeout(timeout)
        sender = threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR)))
        sender.start()
        got = b""
        while True:
            part = s.recv(65536)
            if not part:
                break
            got += part
        sender.join()
        return got


def is_open(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@case("-L reaches the sandbox's port, not the host's of the same number; half-close and bytes are whole")
def _():
    outside = outside_listener()
    port, local = outside.getsockname()[1], free_port()
    with Cloche(profiles=OPEN) as server, server.master("-L", f"{local}:localhost:{port}") as mux:
        inside = inside_server(server, port, *mux)
        data = os.urandom(5 << 20)
        equal(hashlib.sha256(exchange(local, data)).hexdigest(),
              hashlib.sha256(data + b"END").hexdigest(), "echo")
        check(nobody_came(outside), "the host's listener was reached")
        stop(inside)
    outside.close()


@case("-L to localhost finds a server on ::1 as well")
def _():
    port, local = free_port(), free_port()
    with Cloche(profiles=OPEN) as server, server.master("-L", f"{local}:localhost:{port}") as mux:
        inside = inside_server(server, port, *mux, extra="six")
        equal(exchange(local, b"hello"), b"helloEND", "echo")
        stop(inside)


@case("names are looked up inside, and hostile ones are refused")
def _():
    port = free_port()
    with Cloche(profiles=OPEN) as server, server.master() as mux:
        inside = inside_server(server, port, *mux)
        name = server.ssh("hostname", *mux).text
        check(name in server.ssh("cat /etc/hosts", *mux).text, "the sandbox's own name")
        result = run(server.ssh_argv(*mux, "-W", f"{name}:{port}", "127.0.0.1"), input=b"x")
        equal(result.out, b"xEND", f"by name ({result})")
        for hostile in ("-oProxyCommand", "a;touch /tmp/made", "no.such.name.invalid", "x" * 254, "a b", "%s%n"):
            result = run(server.ssh_argv(*mux, "-W", f"{hostile}:{port}", "127.0.0.1"), input=b"x")
            check(result.out == b"", f"{hostile}: {result}")
        check(server.ssh("ls /tmp/made", *mux).code != 0, "a name was run")
        stop(inside)


@case("-W carries an ssh connection through, as ProxyJump does")
def _():
    port = free_port()
    with Cloche(profiles=OPEN) as server:
        argv = server.ssh_argv("-W", f"127.0.0.1:{port}", "127.0.0.1")
        result = run(argv, input=b"x")
        check(result.code != 0 and b"prohibited" in result.err, f"nobody listens: {result}")
        with server.master() as mux:
            inside = inside_server(server, port, *mux)
            argv = server.ssh_argv(*mux, "-W", f"127.0.0.1:{port}", "127.0.0.1")
            equal(run(argv, input=b"through").out, b"throughEND", "bytes")
            stop(inside)


@case("-D: a SOCKS client reaches the sandbox's loopback")
def _():
    port, local = free_port(), free_port()
    with Cloche(profiles=OPEN) as server, server.master("-D", str(local)) as mux:
        inside = inside_server(server, port, *mux)
        with socket.create_connection(("127.0.0.1", local), timeout=10) as s:
            s.sendall(b"\x05\x01\x00")
            equal(s.recv(2), b"\x05\x00", "greeting")
            s.sendall(b"\x05\x01\x00\x01\x7f\x00\x00\x01" + port.to_bytes(2, "big"))
            equal(s.recv(10)[:2], b"\x05\x00", "connect")
            s.sendall(b"by socks")
            equal(s.recv(8), b"by socks", "echo")
        stop(inside)


@case("who asks again and again for what is refused does not fill the audit log")
def _():
    local = free_port()
    with Cloche(profiles={"lab": {**OPEN["lab"], "permit_open": ["localhost:1"]}}) as server:
        client = server.open(None, "-N", "-D", str(local))
        said = []
        reader = threading.Thread(target=lambda: said.extend(client.stderr))
        reader.start()
        eventually(lambda: is_open(local), "the client's port")
        begin = time.monotonic()
        for _ in range(2000):
            check(time.monotonic() - begin < 120, f"the client is stuck after {len(said)} refusals")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", local), timeout=10) as s:
                s.sendall(b"\x05\x01\x00")
                s.recv(2)
                s.sendall(b"\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x09")
                s.recv(10)
            if client.poll() is not None:
                break
        most = 256 + 4 * (time.monotonic() - begin) + 20
        eventually(lambda: client.poll() is not None, "the client's end")
        reader.join()
        check(any(b"too many requests were refused" in line for line in said), f"why: {said[-5:]!r}")
        finish(client)
        events = [line["event"] for line in server.audit()]
        check(256 < events.count("forward_refused") < most, f"{events.count('forward_refused')} lines, not {most}")
        check("refusals" in [line.get("limit") for line in server.audit()], "the limit")


@case("-R: what listens is in the sandbox, and its clients come out at the user's")
def _():
    target = outside_listener()
    with Cloche(profiles=OPEN) as server:
        client = server.open("echo ready; exec cat", "-v", "-R",
                             f"0:127.0.0.1:{target.getsockname()[1]}")
        log = b""
        while not re.search(rb"Allocated port \d+ ", log):
            line = read_line(client.stderr)
            log += line
            check(line.endswith(b"\n"), f"no port allocated: {log[-800:]!r}")
        port = int(re.search(rb"Allocated port (\d+) ", log)[1])
        threading.Thread(target=client.stderr.read, daemon=True).start()
        check(not is_open(port), "the port is open on the host")
        client.kill()
        client.wait()
    with Cloche(profiles=OPEN) as server:
        port = free_port()
        with server.master("-R", f"{port}:127.0.0.1:{target.getsockname()[1]}") as mux:
            check(not is_open(port), "the port is open on the host")
            reach = server.open(f"exec python3 -c 'import socket; s = socket.create_connection("
                                f"(\"127.0.0.1\", {port})); s.sendall(b\"out\"); print(s.recv(9))'", *mux)
            target.settimeout(10)
            connection, _ = target.accept()
            connection.settimeout(10)
            equal(connection.recv(3), b"out", "bytes")
            connection.sendall(b"back")
            equal(read_line(reach.stdout), b"b'back'\n", "answer")
            connection.close()
            finish(reach)
            equal(server.ssh(None, *mux, "-O", "cancel", "-R",
                             f"{port}:127.0.0.1:{target.getsockname()[1]}").code, 0, "cancel")
            eventually(lambda: server.ssh(f"python3 -c 'import socket; socket.create_connection("
                                          f"(\"127.0.0.1\", {port}))'", *mux).code != 0, "an end of it")
    target.close()


@case("everything is off by default, and each kind is refused by itself")
def _():
    port, local = free_port(), free_port()
    for profile in ({**LAB, "share": "connection"}, {**LAB, "share": "connection", "forward": ["remote"]}):
        with Cloche(profiles={"lab": profile}) as server:
            result = run(server.ssh_argv("-W", f"127.0.0.1:{port}", "127.0.0.1"), input=b"x")
            check(b"prohibited" in result.err, f"local: {result}")
            refused = [e for e in server.audit() if e["event"] == "forward_refused"]
            check(refused and "does not offer local" in refused[0]["reason"], f"audit: {refused}")
    with Cloche(profiles={"lab": {**LAB, "share": "connection", "forward": ["local"]}}) as server:
        result = server.ssh("true", "-o", "ExitOnForwardFailure=yes", "-R", f"{local}:127.0.0.1:{port}")
        check(result.code != 0 and b"remote port forwarding failed" in result.err, f"remote: {result}")
    with Cloche(profiles={"lab": {**LAB, "forward": ["local"]}}) as server:
        run(server.ssh_argv("-W", f"127.0.0.1:{port}", "127.0.0.1"), input=b"x")
        refused = [e for e in server.audit() if e["event"] == "forward_refused"]
        check(refused and "share: connection" in refused[0]["reason"], f"audit: {refused}")


@case("permit_open, permitopen= and restrict filter by host and port")
def _():
    port, other = free_port(), free_port()
    profile = {**OPEN["lab"], "permit_open": [f"localhost:{port}", "127.0.0.1:*"]}
    with Cloche(profiles={"lab": profile}) as server, server.master() as mux:
        inside = inside_server(server, port, *mux)
        for target, allowed in ((f"localhost:{port}", True), (f"127.0.0.1:{port}", True),
                                (f"localhost:{other}", False), (f"[::1]:{port}", False),
                                ("10.0.0.1:80", False)):
            result = run(server.ssh_argv(*mux, "-W", target, "127.0.0.1"), input=b"x")
            equal(result.out == b"xEND", allowed, f"{target} ({result})")
        stop(inside)
    for options, allowed in ((f'permitopen="127.0.0.1:{port}"', True), (f'permitopen="127.0.0.1:{other}"', False),
                             ("restrict", False), ("no-port-forwarding", False),
                             ("restrict,port-forwarding", True)):
        with Cloche(profiles=OPEN) as server:
            server.authorize(f"{options} {server.public}")
            with server.master() as mux:
                inside = inside_server(server, port, *mux)
                result = run(server.ssh_argv(*mux, "-W", f"127.0.0.1:{port}", "127.0.0.1"), input=b"x")
                equal(result.out == b"xEND", allowed, f"{options} ({result})")
                stop(inside)


@case("permit_listen, permitlisten= and restrict filter what may be listened on, by host and port")
def _():
    port, other = free_port(), free_port()

    def listens(server, where):
        result = server.ssh("true", "-o", "ExitOnForwardFailure=yes", "-R", f"{where}:127.0.0.1:9")
        check(result.code == 0 or b"remote port forwarding failed" in result.err, f"{where}: {result}")
        return result.code == 0
    profile = {**OPEN["lab"], "permit_listen": [f"localhost:{port}", "127.0.0.1:*"]}
    with Cloche(profiles={"lab": profile}) as server:
        for where, allowed in ((f"{port}", True), (f"localhost:{other}", False), (f"127.0.0.1:{other}", True),
                               (f"*:{port}", False), ("0", False), ("127.0.0.1:0", True)):
            equal(listens(server, where), allowed, where)
        for options, allowed in ((f'permitlisten="localhost:{port}"', True), (f'permitlisten="{port}"', True),
                                 (f'permitlisten="localhost:{other}"', False), ("restrict", False),
                                 (f'restrict,port-forwarding,permitlisten="{port}"', True), ('permitopen="*:*"', True)):
            server.authorize(f"{options} {server.public}")
            equal(listens(server, port), allowed, options)
        reasons = [event["reason"] for event in server.audit() if event["event"] == "forward_refused"]
        check(any("the key that was used" in reason for reason in reasons) and
              any("the key that was used" not in reason for reason in reasons), f"audit: {reasons}")


@case("a sandbox without network gives forwardings none, and names are not looked up outside")
def _():
    outside = outside_listener()
    with Cloche(profiles=OPEN) as server:
        with open("/proc/net/fib_trie") as table:
            own = [line.split()[-1] for line in table if "/32 host LOCAL" in line or "|--" in line]
        targets = {f"{address}:{outside.getsockname()[1]}" for address in own
                   if address.count(".") == 3 and not address.startswith("0.")}
        for target in [*sorted(targets)[:6], "example.org:80", "192.0.2.1:80"]:
            result = run(server.ssh_argv("-W", target, "127.0.0.1"), input=b"x")
            check(result.code != 0 and result.out == b"", f"{target}: {result}")
        check(nobody_came(outside), "the host's listener was reached")
    outside.close()


@case("the agent is reached from inside the session it was given to, and from nowhere else")
def _():
    for share in ("session", "connection"):
        profiles = {"lab": {**OPEN["lab"], "share": share}}
        with Cloche(profiles=profiles) as server:
            with server.agent() as agent:
                env = {**os.environ, "SSH_AUTH_SOCK": agent}
                equal(run(["ssh-add", "-q", server.key], env=env).code, 0, "ssh-add")
                result = server.ssh("ssh-add -l; stat -c %a $SSH_AUTH_SOCK; echo $SSH_AUTH_SOCK",
                                    "-A", env=env, options=(f"IdentityAgent={agent}",))
                check(b"ED25519" in result.out and "\n600\n" in result.text, f"{share}: {result}")
                path = result.text.split("\n")[-1]
                check(path.startswith("/tmp/ssh-") and not os.path.exists(path), f"{share}: {path}")
                without = server.ssh("echo ${SSH_AUTH_SOCK:-none}")
                equal(without.text, "none", f"{share}: without -A")
                server.authorize(f"no-agent-forwarding {server.public}")
                barred = server.ssh("echo ${SSH_AUTH_SOCK:-none}", "-A", env=env, options=(f"IdentityAgent={agent}",))
                equal(barred.text, "none", f"{share}: no-agent-forwarding")


@case("a session that sends a lingering socket to its agent ends with its client all the same")
def _():
    with Cloche(profiles={"lab": {**LAB, "forward": ["agent"]}}) as server:
        with server.agent() as agent:
            client = server.open('exec python3 - "$SSH_AUTH_SOCK"', "-A", options=(f"IdentityAgent={agent}",))
            client.stdin.write(LINGER)
            client.stdin.close()
            equal(read_line(client.stdout), b"left there\n", "what the session says")
            time.sleep(0.5)  # net takes it
            client.kill()
            client.wait()
            eventually(lambda: any(e["event"] == "session_end" for e in server.audit()), "the session's end", 30)
            client.stdout.close()
            client.stderr.close()


@case("an agent forwarded into a session of its own leaves session.fresh promised")
def _():
    profiles = {"lab": {**LAB, "forward": ["agent"]}}
    with Cloche(profiles=profiles) as server:
        with server.agent() as agent:
            env = {**os.environ, "SSH_AUTH_SOCK": agent}
            result = server.ssh("test -S \"$SSH_AUTH_SOCK\" && exit 5", "-A", env=env, options=(f"IdentityAgent={agent}",))
            equal(result.code, 5, "status")
            start = next(e for e in server.audit() if e["event"] == "session_start")
            check("session.fresh" in start["uses"], f"uses: {start['uses']}")


@case("many at once and one after another leave nothing behind")
def _():
    port, local = free_port(), free_port()
    with Cloche(profiles=OPEN) as server, server.master("-L", f"{local}:127.0.0.1:{port}") as mux:
        inside = inside_server(server, port, *mux)
        for _ in range(150):
            equal(exchange(local, b"x"), b"xEND", "one after another")
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(exchange(local, b"y" * 10000, 30)))
                   for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        equal(sum(a == b"y" * 10000 + b"END" for a in answers), 40, "at once")
        stop(inside)


@case("X11 and socket forwarding are refused, and the session goes on")
def _():
    with Cloche(profiles=OPEN) as server:
        env = {**os.environ, "DISPLAY": ":99"}
        result = server.ssh("echo fine ${DISPLAY:-none}", "-X", env=env)
        equal(result.text, "fine none", f"X11 ({result})")
        local = free_port()
        with server.master("-L", f"{local}:/run/some.sock") as mux:
            with contextlib.suppress(ConnectionResetError):
                equal(exchange(local, b"x"), b"", "a socket was forwarded")
            equal(server.ssh("echo fine", *mux).text, "fine", "the connection")
        equal(server.ssh("echo fine").text, "fine", "the next session")


main()
