#!/usr/bin/python3
"""Every number that bounds what a client can take, each seen to bite."""
import contextlib
import os
import re
import signal
import socket
import time

import paramiko

from lib import (Cloche, OpenSshd, case, check, equal, eventually, finish, keygen, main, net_process,
                 read_line, echoes)


def connect(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=30)


def ended(connection, seconds):
    """Does the server end this connection within so long? What it sent is thrown away."""
    connection.settimeout(0.2)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if not connection.recv(65536):
                return True
        except socket.timeout:
            continue
        except ConnectionError:
            return True
    return False


def paramiko_transport(server):
    import paramiko
    transport = paramiko.Transport(("127.0.0.1", server.port))
    transport.start_client(timeout=30)
    return transport


@case("a connection that never speaks, or stops half-way, is ended by the login grace time")
def login_grace():
    for make in (lambda: Cloche(server={"login_grace": 2}), lambda: OpenSshd("LoginGraceTime 2")):
        with make() as server:
            silent = connect(server)
            half = connect(server)
            half.recv(1000)
            half.sendall(b"SSH-2.0-half\r\n")
            keyed = paramiko_transport(server)
            begin = time.monotonic()
            for what, connection in (("silent", silent), ("after the version", half)):
                check(ended(connection, 8), f"{server.name}: {what}: still open after 8 s")
                connection.close()
            eventually(lambda: not keyed.is_active(), "the end after the key exchange", 8)
            check(time.monotonic() - begin < 10, "the ends came late")
            keyed.close()


@case("a signature that is wrong does not hold the connection for ever, and is not a login")
def bad_signature():
    import paramiko

    class Forger(paramiko.Ed25519Key):
        def sign_ssh_data(self, data, algorithm=None):
            return super().sign_ssh_data(data + b"forged", algorithm)

    with Cloche(server={"login_grace": 3}) as server:
        transport = paramiko_transport(server)
        begin = time.monotonic()
        try:
            transport.auth_publickey("lab", Forger.from_private_key_file(server.key))
            raise AssertionError("a forged signature was taken")
        except paramiko.SSHException:
            pass
        check(time.monotonic() - begin < 8, "the forger held the connection")
        check(not transport.is_authenticated(), "authenticated")
        transport.close()
        equal(server.ssh("echo in").text, "in", "the owner of the key")


@case("after max_auth_tries the connection is ended")
def auth_tries():
    for make in (lambda: Cloche(server={"max_auth_tries": 3}), lambda: OpenSshd("MaxAuthTries 3")):
        with make() as server:
            keys = []
            for number in range(5):
                path = server.path(f"wrong{number}")
                keygen(path)
                keys += ["-i", path]
            result = server.ssh("echo in", *keys, key=False)
            equal(result.code, 255, f"{server.name}: with the right key missing")
            check(b"Too many authentication failures" in result.err, f"{server.name}: {result}")
            few = server.ssh("echo in", *keys[:4], "-i", server.key, key=False)
            if server.name == "cloche-sshd":
                equal(few.text, "in", f"the third key of three: {few}")


def ask_ahead(server):
    """Tries more keys than it may, without waiting for an answer. What the disconnect says, or ""."""
    told = [""]
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        transport = paramiko.Transport(sock)
        transport.set_log_channel("paramiko.quiet")
        transport._parse_disconnect = lambda message: told.append(f"{message.get_int()} {message.get_text()}")
        transport.start_client(timeout=20)
        service = paramiko.Message()
        service.add_byte(bytes([5]))  # SSH_MSG_SERVICE_REQUEST
        service.add_string("ssh-userauth")
        transport._send_message(service)
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            for _ in range(8):
                request = paramiko.Message()
                request.add_byte(bytes([50]))  # SSH_MSG_USERAUTH_REQUEST
                for text in ("lab", "ssh-connection", "publickey"):
                    request.add_string(text)
                request.add_boolean(False)
                request.add_string("ssh-ed25519")
                request.add_string(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + os.urandom(32))
                transport._send_message(request)
        transport.join(10)
    return told[-1]


@case("the reason of the end reaches a client that has asked on in the meantime")
def farewells():
    with Cloche(server={"max_auth_tries": 3}) as server:
        told = [ask_ahead(server) for _ in range(20)]
        check(all("Too many authentication failures" in text for text in told), f"what it was told: {told}")


@case("startups: connections that have not logged in are refused above the limit, others are not")
def startups():
    with Cloche(server={"startups": "3:100:3", "login_grace": 30}) as server:
        first = server.session()  # logged in: does not count
        silent = [connect(server) for _ in range(3)]
        for connection in silent:
            check(connection.recv(100).startswith(b"SSH-2.0-"), "one of the three was refused")
        more = [connect(server) for _ in range(5)]
        refused = sum(ended(connection, 3) for connection in more)
        equal(refused, 5, "refused of five more")
        check(echoes(first), "the session that was there")
        for connection in silent + more:
            connection.close()
        eventually(lambda: server.ssh("echo in").text == "in", "a login after they left")
        finish(first)


@case("startups: between begin and full some are refused at random and some are not")
def startups_rate():
    with Cloche(server={"startups": "2:50:100", "login_grace": 30}) as server:
        connections = [connect(server) for _ in range(40)]
        time.sleep(1)
        open_ones = sum(not ended(connection, 0.21) for connection in connections)
        check(2 < open_ones < 40, f"{open_ones} of 40 are open")
        for connection in connections:
            connection.close()


@case("sessions of a connection: one more than max_sessions is refused, with a word to the client")
def sessions_per_connection():
    for make in (lambda: Cloche(server={"max_sessions": 2}), lambda: OpenSshd("MaxSessions 2")):
        with make() as server:
            with server.master() as mux:
                held = [server.open("echo ready; exec cat", *mux) for _ in range(2)]
                for client in held:
                    equal(read_line(client.stdout), b"ready\n", "a session within the limit")
                # A client that is refused a channel by its master goes on to connect by itself.
                third = server.ssh("echo in", *mux, key=False)
                check(third.code == 255 and b"refused" in third.err, f"{server.name}: {third}")
                held.pop().kill()
                eventually(lambda: server.ssh("echo in", *mux, key=False).text == "in",
                           "a place after one has ended")
                for client in held:
                    client.kill()


@case("sessions of a user and of all: one more is refused in words, others are not harmed")
def sessions_in_all():
    users = {"two": {"profile": "lab", "authorized_keys": ["KEYS"], "max_sessions": 2}}
    server = Cloche(server={"max_total_sessions": 3}, users=users)
    server.users["two"]["authorized_keys"] = [server.path("authorized_keys")]
    with server:
        held = [server.session(user="two") for _ in range(2)]
        third = server.ssh("echo in", user="two")
        check(third.code != 0 and b"in" != third.out.strip() and third.error,
              f"a third session of the user: {third}")
        held.append(server.session(user="lab"))
        fourth = server.ssh("echo in", user="lab")
        check(fourth.code != 0 and fourth.error, f"a fourth session of all: {fourth}")
        check(all(echoes(client) for client in held), "a session was harmed")
        finish(held.pop())
        eventually(lambda: server.ssh("echo in", user="lab").text == "in", "a place afterwards")
        for client in held:
            finish(client)


@case("a session that is idle gets a warning line, then ends; one that works does not")
def idle():
    with Cloche(profiles={"lab": {"readable": ["/usr"], "write": "ephemeral", "idle_timeout": 3, "warning": 2}}) as server:
        with server.terminal() as terminal:
            terminal.ask("true", "")
            begin = time.monotonic()
            while time.monotonic() - begin < 5:
                terminal.ask("echo busy", "busy")
                time.sleep(0.5)
            begin = time.monotonic()
            warning = terminal.expect(r"[^\r\n]*(idle|inactiv)[^\r\n]*", 10)
            check(time.monotonic() - begin < 2.5, "the warning came late")
            code = terminal.wait(10)
            check(2 < time.monotonic() - begin < 7, f"ended after {time.monotonic() - begin:.1f} s")
            check(code != 0 and warning, "ended as if all were well")


@case("a session's total time ends it, whatever it does, with a warning line")
def total_time():
    with Cloche(profiles={"lab": {"readable": ["/usr"], "write": "ephemeral", "timeout": 4, "warning": 2}}) as server:
        with server.terminal() as terminal:
            begin = time.monotonic()
            terminal.send("while :; do echo busy; sleep 0.2; done\r")
            terminal.expect(r"(time|limit|second)", 10)
            terminal.wait(15)
            took = time.monotonic() - begin
            check(3 < took < 9, f"ended after {took:.1f} s")
        begin = time.monotonic()
        result = server.ssh("trap '' TERM HUP INT; while :; do sleep 1; done")
        check(result.code != 0 and time.monotonic() - begin < 12,
              f"without a terminal: {result} after {time.monotonic() - begin:.1f} s")
        ends = [event for event in server.audit() if event["event"] == "session_end"]
        check(len(ends) >= 2 and all(event.get("cause") for event in ends),
              f"the audit log does not say why: {ends}")


@case("a client that has gone without a word is noticed by keep-alives")
def keepalive():
    from proxy import Proxy
    with Cloche(server={"keepalive_interval": 1, "keepalive_count": 2}) as server:
        with Proxy(server.port) as proxy:
            argv = server.ssh_argv("127.0.0.1", "echo ready; exec cat")
            argv[argv.index("-p") + 1] = str(proxy.port)
            argv[argv.index("StrictHostKeyChecking=yes")] = "StrictHostKeyChecking=no"
            argv[argv.index(f"UserKnownHostsFile={server.known_hosts}")] = \
                "UserKnownHostsFile=/dev/null"
            import subprocess
            client = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, bufsize=0)
            server.children.add(client.pid)
            equal(read_line(client.stdout), b"ready\n", "the session through the proxy")
            busy = len(server.processes())
            proxy.stall()
            eventually(lambda: len(server.processes()) < busy - 1, "the end of the session", 8)
            client.kill()
            client.wait()


@case("memory, tasks, disk and processor time inside are bounded as the profile says")
def inside():
    profile = {"readable": ["/usr"], "write": "ephemeral", "memory": "64M", "pids": 16, "disk": "8M", "cpus": "0.5"}
    with Cloche(profiles={"lab": profile}) as server:
        beside = server.session()
        result = server.ssh("head -c 200000000 /dev/zero | tail -c 199999999 | wc -c; echo $?")
        check(b"199999999" not in result.out, f"200 MB of memory were to be had: {result}")
        result = server.ssh("for i in $(seq 60); do sleep 5 & done; jobs -p | wc -l", timeout=90)
        count = re.findall(rb"^\d+$", result.out, re.M)
        check(not count or int(count[-1]) < 17, f"60 tasks could be started: {result}")
        result = server.ssh("cd; head -c 30000000 /dev/zero >big; stat -c %s big")
        check(result.text and int(result.text.split()[-1]) <= 9 << 20, f"30 MB of disk: {result}")
        check(b"No space" in result.err or b"write" in result.err, f"the reason: {result}")
        check(echoes(beside), "the session beside it was harmed")
        finish(beside)


@case("channels that were closed leave room for others at once, however fast they come and go")
def quick_channels():
    import paramiko
    from paramiko.common import cMSG_CHANNEL_CLOSE, cMSG_CHANNEL_OPEN, cMSG_IGNORE
    with Cloche(server={"max_sessions": 3}) as server:
        transport = paramiko_transport(server)
        transport.auth_publickey(server.user, paramiko.Ed25519Key.from_private_key_file(server.key))
        first = transport.open_session()
        theirs, answers = first.remote_chanid, []
        first.close()
        table = dict(transport._handler_table)
        for kind, yes in ((91, True), (92, False)):  # CHANNEL_OPEN_CONFIRMATION and _FAILURE
            table[kind] = lambda self, message, yes=yes: answers.append(yes)
        transport._handler_table = table
        transport.channels_seen.update({1000 + number: True for number in range(1, 9)})
        net = net_process(server)
        os.kill(net, signal.SIGSTOP)
        # All is there when net goes on; between two messages is as much as it reads at once.
        for number in range(1, 9):
            message = paramiko.Message()
            message.add_byte(cMSG_CHANNEL_OPEN)
            message.add_string("session")
            for value in (1000 + number, 65536, 32768):
                message.add_int(value)
            transport._send_message(message)
            message = paramiko.Message()
            message.add_byte(cMSG_CHANNEL_CLOSE)
            message.add_int(theirs + number)
            transport._send_message(message)
            message = paramiko.Message()
            message.add_byte(cMSG_IGNORE)
            message.add_string(b"x" * 8192)
            transport._send_message(message)
        os.kill(net, signal.SIGCONT)
        eventually(lambda: len(answers) == 8 or not transport.is_active(), "answers to eight requests")
        equal(answers, [True] * 8, "one channel at a time, of three")
        transport.close()


main()
