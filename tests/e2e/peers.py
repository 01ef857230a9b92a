"""Clients that are not ours, each brought to the same few things: a command, a terminal, files, forwarded
ports, logins. What a client cannot do it has no method for.

Results are lib.Result; the methods named forward_* and terminal return what the test compares.
"""
import asyncio
import contextlib
import os
import re
import socket
import stat
import subprocess
import threading
import time

import asyncssh
import paramiko

from lib import BUILD, Result, Terminal, check, equal, free_port, read_line, run

PATIENCE = 30
SIZE, NEXT_SIZE = (37, 111), (50, 132)


def exchange(port, data):
    """What the server of a forwarded port answers to data and the end of it."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as s:
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        got = b""
        while part := s.recv(65536):
            got += part
        return got


class Twice:
    """Who listens at the client's end of a remote forwarding: what comes goes back twice."""

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def serve(self):
        with contextlib.suppress(OSError):
            s, _ = self.listener.accept()
            with s:
                data = s.recv(512)
                s.sendall(data + data)

    def __exit__(self, *unused):
        self.listener.close()


def sizes(shown):
    """What the command on a terminal said before and after the window changed; a greeting apart."""
    match = re.search(r"^(\d+ \d+ \w+)\r*$.*^(\d+ \d+)\r*$", shown, re.S | re.M)
    check(match, f"no sizes: {shown!r}")
    return match.groups()


class Peer:
    """A client. name is what the user knows it by."""

    name = "?"

    def __init__(self, server):
        self.server = server
        self.home = server.path(f"home-{self.name}")
        if not os.path.isdir(self.home):
            os.mkdir(self.home, 0o700)
        self.env = {**os.environ, "HOME": self.home}

    def path(self, name):
        return os.path.join(self.home, name)


class Program(Peer):
    """A client that is a program. argv() is its command line, the rest is the same for all."""

    def argv(self, *words, command=None, key=True, user=None, terminal=False):
        raise NotImplementedError

    def exec(self, command, input=b"", key=True, user=None):
        return run(self.argv(command=command, key=key, user=user), input=input, env=self.env)

    def terminal(self, command):
        """Status, and what was shown before and after the window changed."""
        environment, os.environ["HOME"], os.environ["TERM"] = dict(os.environ), self.home, "vt220"
        try:
            with Terminal(self.argv(command=command, terminal=True), *SIZE,
                          self.server.children) as terminal:
                before = terminal.expect(r"(\d+ \d+ \w+)\r\n").group(1).decode()
                terminal.resize(*NEXT_SIZE)
                after = terminal.expect(r"(\d+ \d+)\r\n").group(1).decode()
                return terminal.wait(), before, after
        finally:
            os.environ.clear()
            os.environ.update(environment)

    @contextlib.contextmanager
    def running(self, argv):
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, bufsize=0, env=self.env) as client:
            self.server.children.add(client.pid)
            try:
                yield client
            finally:
                client.kill()

    def forward_local(self, port, command, data):
        local = free_port()
        with self.running(self.argv("-L", f"{local}:127.0.0.1:{port}", command=command)) as client:
            line = read_line(client.stdout)
            check(line == b"ready\n", f"nobody serves inside: {line!r}")
            return exchange(local, data)

    def forward_remote(self, port, command):
        with Twice() as twice:
            result = run(self.argv("-R", f"{port}:127.0.0.1:{twice.port}", command=command), env=self.env)
            check(result.code == 0, f"remote: {result}")
            return result.text

    def answer(self, command, user, words, more=()):
        """A login in which questions are answered on a terminal."""
        argv = self.argv(*more, command=command, key=False, user=user)
        with Terminal(["env", f"HOME={self.home}", *argv], *SIZE, self.server.children) as terminal:
            for question, word in words:
                terminal.expect(question, PATIENCE)
                time.sleep(0.2)  # its getpass() forgets what was typed before it
                terminal.send(word + "\n")
            terminal.expect("in")
            return terminal.wait()


class OpenSsh(Program):
    name = "OpenSSH"

    def argv(self, *words, command=None, key=True, user=None, terminal=False):
        options = () if key else ("PreferredAuthentications=keyboard-interactive", "BatchMode=no")
        key = None if key is True else key
        argv = self.server.ssh_argv("-tt" if terminal else "-T", "127.0.0.1",
                                    *([command] if command else []), key=key, user=user, options=options)
        return [argv[0], *words, *argv[1:]]  # of an option given twice ssh takes the first

    def password(self, command, user, word):
        return self.answer(command, user, [("password:", word)],
                           more=("-o", "PreferredAuthentications=password"))

    def environment(self, name, value, command):
        return run(self.argv("-o", f'SetEnv={name}="{value}"', command=command), env=self.env)

    def rekey(self, command, data):
        result = run(self.argv("-v", "-o", "RekeyLimit=1M", command=command), input=data, timeout=120)
        return result, result.err.count(b"rekeying in progress") + result.err.count(b"rekey") > 2

    def sftp(self, path, remote):
        argv = [word if word != "-p" else "-P" for word in self.server.ssh_argv()]
        argv = ["sftp", *argv[1:argv.index("-l")], "-b", "-", f"{self.server.user}@127.0.0.1"]
        return run(argv, input=f"put {path} {remote}\nget {remote} {path}.back\n".encode())

    def apart(self, count, command):
        with self.server.master() as mux:
            clients = [self.server.open(f"N={n}; {command}", *mux) for n in range(count)]
            answers = []
            for client in clients:
                out, _ = client.communicate(timeout=PATIENCE)
                answers.append((out.decode().strip(), client.returncode))
            return answers


class Dropbear(Program):
    name = "dbclient"

    def key_for(self, key):
        source = self.server.key if key is True else key
        converted = self.path(os.path.basename(source))
        if not os.path.exists(converted):
            equal(run(["dropbearconvert", "openssh", "dropbear", source, converted]).code, 0, "its key")
        return converted

    def argv(self, *words, command=None, key=True, user=None, terminal=False):
        os.makedirs(self.path(".ssh"), 0o700, exist_ok=True)
        with open(self.path(".ssh/known_hosts"), "w") as known, open(self.server.known_hosts) as ours:
            known.write("127.0.0.1 " + ours.read().split(" ", 1)[1])
        identity = ["-i", self.key_for(key)] if key else []
        return ["dbclient", "-t" if terminal else "-T", "-p", str(self.server.port), *identity, *words,
                f"{user or self.server.user}@127.0.0.1", *([command] if command else [])]

    def password(self, command, user, word):
        # Asked two questions it gives this to both, and then goes on to the password alone.
        return run(self.argv(command=command, key=False, user=user),
                   env={**self.env, "DROPBEAR_PASSWORD": word}).code

    def sftp(self, path, remote):
        # It has none of its own: OpenSSH's speaks through it.
        program = self.path("program")
        with open(program, "w") as script:
            script.write("#!/bin/sh\nexec " + " ".join(self.argv("-s", command="sftp")) + "\n")
        os.chmod(program, 0o700)
        return run(["sftp", "-D", program, "-b", "-"], env=self.env,
                   input=f"put {path} {remote}\nget {remote} {path}.back\n".encode())


class Putty(Program):
    name = "PuTTY"

    def key_for(self, key):
        source = self.server.key if key is True else key
        converted = self.path(os.path.basename(source) + ".ppk")
        if not os.path.exists(converted):
            equal(run(["puttygen", source, "-o", converted]).code, 0, "its key")
        return converted

    def words(self, key, user):
        print_ = run(["ssh-keygen", "-l", "-f", self.server.path("host_key.pub")]).text.split()[1]
        identity = ["-i", self.key_for(key)] if key else []
        return ["-noagent", "-P", str(self.server.port), "-hostkey", print_, *identity,
                "-l", user or self.server.user]

    def argv(self, *words, command=None, key=True, user=None, terminal=False):
        if terminal:
            words = (*self.saved(TerminalType="vt220"), *words)
        return ["plink", "-ssh", "-no-antispoof", *(["-batch"] if key else []),
                "-t" if terminal else "-T", *self.words(key, user), *words, "127.0.0.1",
                *([command] if command else [])]

    def saved(self, **settings):
        """The options of a saved session: what has no switch on the command line."""
        os.makedirs(self.path(".putty/sessions"), exist_ok=True)
        with open(self.path(".putty/sessions/saved"), "w") as file:
            file.write("".join(f"{name}={value}\n" for name, value in settings.items()))
        return "-load", "saved"

    def password(self, command, user, word):
        return self.answer(command, user, [("password:", word)], more=self.saved(AuthKI=0))

    def environment(self, name, value, command):
        return run(self.argv(*self.saved(Environment=f"{name}={value},"), command=command), env=self.env)

    def rekey(self, command, data):
        result = run(self.argv("-v", *self.saved(RekeyBytes="1M"), command=command), input=data,
                     env=self.env, timeout=120)
        return result, b"key re-exchange" in result.err

    def sftp(self, path, remote):
        return run(["psftp", "-batch", "-b", "/dev/stdin", *self.words(True, None), "127.0.0.1"],
                   input=f"put {path} {remote}\nget {remote} {path}.back\n".encode(), env=self.env)


class Libssh(Peer):
    name = "libssh"

    def call(self, *words, input=b"", key=True, user=None, **env):
        source = self.server.key if key is True else key
        settings = {f"LIBSSH_{name.upper()}": value for name, value in env.items()}
        if source:
            settings["LIBSSH_KEY"] = source
        return run([os.path.join(BUILD, "tests", "e2e", "libssh-client"), str(self.server.port),
                    user or self.server.user, *map(str, words)], input=input, timeout=120,
                   env={**self.env, "LIBSSH_KNOWN_HOSTS": self.server.known_hosts, **settings})

    def exec(self, command, input=b"", key=True, user=None):
        return self.call("exec", command, input=input, key=key, user=user)

    def terminal(self, command):
        result = self.call("pty", "vt220", command)
        check(result.code != 255, f"terminal: {result}")
        return result.code, *sizes(result.out.decode())

    def environment(self, name, value, command):
        return self.call("exec", command, env=f"{name}={value}")

    def rekey(self, command, data):
        result = self.call("exec", command, input=data, rekey="1000000")
        return result, int(result.error.rsplit("rekeys ", 1)[1]) > 2

    def sftp(self, path, remote):
        return self.call("sftp", path, remote, f"{path}.back")

    def apart(self, count, command):
        lines = self.call("apart", count, command).text.split("\n")
        return [(text, int(code)) for text, code in zip(lines[::2], lines[1::2])][::-1]

    def forward_local(self, port, command, data):
        return self.call("direct", port, command, input=data).out

    def forward_remote(self, port, command):
        return self.call("remote", port, command).text

    def password(self, command, user, word):
        return self.call("exec", command, key=False, user=user, password=word).code

    def answer(self, command, user, words):
        answers = "\n".join(word for _, word in words)
        return self.call("exec", command, key=False, user=user, answers=answers).code


class Paramiko(Peer):
    name = "paramiko"

    @contextlib.contextmanager
    def transport(self, key=True, user=None, login=True):
        transport = paramiko.Transport(socket.create_connection(("127.0.0.1", self.server.port)))
        try:
            transport.start_client(timeout=PATIENCE)
            with open(self.server.known_hosts) as known:
                equal(transport.get_remote_server_key().get_base64(), known.read().split()[2], "host key")
            if login:
                transport.auth_publickey(user or self.server.user, self.load(key))
            yield transport
        finally:
            transport.close()

    def load(self, key):
        path = self.server.key if key is True else key
        for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
            with contextlib.suppress(paramiko.SSHException, ValueError):
                return kind.from_private_key_file(path)
        raise AssertionError(f"paramiko cannot read {path}")

    @staticmethod
    def talk(channel, input=b""):
        """Sends input beside reading both streams to their ends."""
        parts = {"err": b""}

        def feed():
            with contextlib.suppress(OSError):
                channel.sendall(input)
                channel.shutdown_write()

        def errors():
            while part := channel.recv_stderr(65536):
                parts["err"] += part
        threads = [threading.Thread(target=target, daemon=True) for target in (feed, errors)]
        for thread in threads:
            thread.start()
        out = b""
        while part := channel.recv(65536):
            out += part
        for thread in threads:
            thread.join(PATIENCE)
        return Result(channel.recv_exit_status(), out, parts["err"])

    def exec(self, command, input=b"", key=True, user=None):
        with self.transport(key, user) as transport:
            channel = transport.open_session()
            channel.exec_command(command)
            return self.talk(channel, input)

    def terminal(self, command):
        with self.transport() as transport:
            channel = transport.open_session()
            channel.get_pty("vt220", SIZE[1], SIZE[0])
            channel.exec_command(command)
            before = ""
            while "vt220\r\n" not in before:
                before += channel.recv(100).decode()
            channel.resize_pty(NEXT_SIZE[1], NEXT_SIZE[0])
            result = self.talk(channel)
            return result.code, *sizes(before + result.out.decode())

    def environment(self, name, value, command):
        with self.transport() as transport:
            channel = transport.open_session()
            channel.set_environment_variable(name, value)
            channel.exec_command(command)
            return self.talk(channel)

    def rekey(self, command, data):
        with self.transport() as transport:
            # By itself it does so after 512 MiB only. Its thread must not have to answer meanwhile, be it a
            # close: it would wait for itself.
            channel = transport.open_session()
            channel.exec_command(command)
            for at in range(0, len(data), 1 << 20):
                channel.sendall(data[at:at + (1 << 20)])
                transport.renegotiate_keys()
            channel.shutdown_write()
            out, asked = b"", 0
            while part := channel.recv(65536):
                out += part
                if asked < len(out) >> 20 < 3:
                    asked += 1
                    transport.renegotiate_keys()
            return Result(channel.recv_exit_status(), out, b""), asked == 2

    def sftp(self, path, remote):
        with self.transport() as transport:
            sftp = paramiko.SFTPClient.from_transport(transport)
            sftp.put(path, remote)
            check(stat.S_ISREG(sftp.stat(remote).st_mode), "stat")
            sftp.get(remote, path + ".back")
            return Result(0, b"", b"")

    def apart(self, count, command):
        with self.transport() as transport:
            channels = [transport.open_session() for _ in range(count)]
            for n, channel in enumerate(channels):
                channel.exec_command(f"N={n}; {command}")
            results = [self.talk(channel) for channel in reversed(channels)]
            return [(result.text, result.code) for result in reversed(results)]

    def forward_local(self, port, command, data):
        with self.transport() as transport:
            server = transport.open_session()
            server.exec_command(command)
            equal(server.makefile("r").readline(), "ready\n", "who serves inside")
            channel = transport.open_channel("direct-tcpip", ("127.0.0.1", port), ("127.0.0.1", 1))
            channel.sendall(data)
            channel.shutdown_write()
            got = b""
            while part := channel.recv(65536):
                got += part
            return got

    def forward_remote(self, port, command):
        with self.transport() as transport:
            transport.request_port_forward("127.0.0.1", port)
            command_channel = transport.open_session()
            command_channel.exec_command(command)
            channel = transport.accept(PATIENCE)
            data = channel.recv(512)
            channel.sendall(data + data)
            channel.shutdown_write()
            return self.talk(command_channel).text

    def login(self, command, how):
        with self.transport(login=False) as transport:
            how(transport)
            channel = transport.open_session()
            channel.exec_command(command)
            return self.talk(channel).code

    def password(self, command, user, word):
        return self.login(command, lambda t: t.auth_password(user, word, fallback=False))

    def answer(self, command, user, words):
        return self.login(command, lambda t: t.auth_interactive(
            user, lambda title, text, prompts: [word for _, word in words[:len(prompts)]]))


class AsyncSsh(Peer):
    # No rekey(): 2.10.1 goes on with data after its KEXINIT, which RFC 4253 7.1 forbids. libssh ends such
    # a connection; sshd takes it.
    name = "asyncssh"

    @contextlib.asynccontextmanager
    async def connection(self, key=True, user=None, **more):
        source = self.server.key if key is True else key
        async with asyncssh.connect(
                "127.0.0.1", self.server.port, username=user or self.server.user, config=None,
                known_hosts=self.server.known_hosts, agent_path=None,
                client_keys=[source] if source else None, **more) as connection:
            yield connection

    @staticmethod
    def do(coroutine):
        return asyncio.run(asyncio.wait_for(coroutine, 120))

    @staticmethod
    def result(done):
        return Result(done.exit_status if done.exit_signal is None else -1, done.stdout,
                      done.stderr if done.exit_signal is None else done.exit_signal[0].encode())

    async def run(self, command, input=b"", more=None, **options):
        async with self.connection(**(more or {})) as connection:
            return self.result(await connection.run(command, input=input, encoding=None, **options))

    def exec(self, command, input=b"", key=True, user=None):
        return self.do(self.run(command, input, {"key": key, "user": user}))

    def terminal(self, command):
        async def work():
            async with self.connection() as connection:
                process = await connection.create_process(
                    command, term_type="vt220", term_size=(SIZE[1], SIZE[0]))
                before = await process.stdout.readuntil("vt220\r\n")
                process.change_terminal_size(NEXT_SIZE[1], NEXT_SIZE[0])
                done = await process.wait()
                return done.exit_status, *sizes(before + done.stdout)
        return self.do(work())

    def environment(self, name, value, command):
        return self.do(self.run(command, env={name: value}))

    def sftp(self, path, remote):
        async def work():
            async with self.connection() as connection, connection.start_sftp_client() as sftp:
                await sftp.put(path, remote)
                await sftp.get(remote, path + ".back")
                return Result(0, b"", b"")
        return self.do(work())

    def apart(self, count, command):
        async def work():
            async with self.connection() as connection:
                all_done = await asyncio.gather(*[
                    connection.run(f"N={n}; {command}") for n in range(count)])
                return [(done.stdout.strip(), done.exit_status) for done in all_done]
        return self.do(work())

    def forward_local(self, port, command, data):
        async def work():
            async with self.connection() as connection:
                process = await connection.create_process(command)
                equal(await process.stdout.readline(), "ready\n", "who serves inside")
                listener = await connection.forward_local_port("127.0.0.1", 0, "127.0.0.1", port)
                got = await asyncio.to_thread(exchange, listener.get_port(), data)
                process.close()
                return got
        return self.do(work())

    def forward_remote(self, port, command):
        async def work():
            async with self.connection() as connection:
                with Twice() as twice:
                    await connection.forward_remote_port("127.0.0.1", port, "127.0.0.1", twice.port)
                    return (await connection.run(command)).stdout.strip()
        return self.do(work())

    def password(self, command, user, word):
        return self.do(self.run(command, more={
            "key": None, "user": user, "password": word, "preferred_auth": ["password"]})).code

    def answer(self, command, user, words):
        class Client(asyncssh.SSHClient):
            def kbdint_auth_requested(self):
                return ""

            def kbdint_challenge_received(self, name, instructions, lang, prompts):
                return [word for _, word in words[:len(prompts)]]
        return self.do(self.run(command, more={
            "key": None, "user": user, "client_factory": Client,
            "preferred_auth": ["keyboard-interactive"]})).code


PEERS = (OpenSsh, Dropbear, Putty, Paramiko, AsyncSsh, Libssh)
