"""The network-facing process by itself, against stock clients, behind fake-monitor."""
import contextlib
import hashlib
import os
import re
import select
import signal
import socket
import subprocess
import time

import paramiko
from paramiko.common import MSG_SERVICE_REQUEST, MSG_USERAUTH_REQUEST

from lib import (BUILD, Server, Skip, case, check, describe, descendants, equal, eventually, finish,
                 main, read_line, run, status_of)
from hasty import Hasty, by_password, send_together
from proxy import Proxy

FAKE = os.path.join(BUILD, "tests", "e2e", "fake-monitor")
MIB = 1 << 20
with open(FAKE, "rb") as program:
    SANITIZED = b"__asan_init" in program.read()


class Net(Server):
    """The zygote and its net processes; sessions are plain processes of RUN_UID."""

    name = "fake-monitor"
    NET_UID, RUN_UID = 64001, 65534
    password = "correct horse"

    def __init__(self, *options, runas=None):
        super().__init__()
        self.options, self.runas = options, runas
        self.write("authorized_keys", self.public + "\n")
        os.mkdir(self.path("empty"), 0o755)

    def argv(self):
        argv = [FAKE, str(self.port), self.path("host_key"), self.path("authorized_keys"),
                self.user, self.password, str(self.NET_UID), str(self.RUN_UID),
                self.path("empty"), *self.options]
        if self.runas is not None:
            for top, directories, files in os.walk(self.directory):
                for name in [".", *directories, *files]:
                    os.chown(os.path.join(top, name), self.runas, self.runas)
            argv = ["setpriv", f"--reuid={self.runas}", f"--regid={self.runas}",
                    "--clear-groups", "--", *argv]
        return argv

    def __enter__(self):
        super().__enter__()
        # It makes nothing but processes, and mounts only where nobody else sees them; what appears
        # in cgroups meanwhile is of other tests.
        self.host.left = lambda own: [path for path in (self.path("empty"),) if os.path.ismount(path)]
        return self

    def net_processes(self):
        found = []
        for pid in descendants(self.process.pid):
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/comm") as comm:
                    if comm.read().strip() == "cloche-net":
                        found.append(pid)
        return found

    def net_process(self):
        """The net process of the only connection."""
        return eventually(lambda: len(self.net_processes()) == 1 and self.net_processes()[0],
                          "exactly one net process")

    def paramiko(self, password=None, transport_only=False):
        sock = socket.create_connection(("127.0.0.1", self.port))
        transport = paramiko.Transport(sock)
        if not transport_only:
            transport.start_client(timeout=20)
        return transport


def memory_of(pid):
    """Peak resident memory in MiB; 0 when the process has just ended."""
    try:
        return int(status_of(pid).get("VmHWM", "0").split()[0]) / 1024
    except OSError:
        return 0


def check_memory(pid):
    # A sanitizer keeps what was freed; then only a leak of the first order would be seen.
    limit = 400 if SANITIZED else 16
    check(memory_of(pid) <= limit, f"{memory_of(pid):.1f} MiB, at most {limit}")


def random_file(net, size):
    path = net.path(f"random-{size}")
    with open(path, "wb") as file:
        for _ in range(size // MIB):
            file.write(os.urandom(MIB))
    os.chmod(path, 0o644)
    return path


def digest_of(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") \
            else hashlib.sha256(file.read()).hexdigest()


def gone(pid):
    return not os.path.exists(f"/proc/{pid}")


# --- sessions -----------------------------------------------------------------------------------


@case("a command runs and its output, errors and exit code come back")
def _():
    with Net() as net:
        result = net.ssh("echo out; echo err >&2; exit 7")
        equal((result.code, result.out, result.err), (7, b"out\n", b"err\n"), "exec")


@case("a MiB on stdout and one on stderr arrive whole, before the exit code")
def _():
    with Net() as net:
        result = net.ssh("head -c 1048576 /dev/zero; head -c 1048576 /dev/zero >&2; exit 7")
        equal((result.code, len(result.out), len(result.err)), (7, MIB, MIB), "sizes")


@case("the end of the input reaches the command, and the end of its output the client")
def _():
    with Net() as net:
        equal(net.ssh("cat | wc -c", input=b"x" * 300000).text, "300000", "half-close")
        equal(net.ssh("wc -c", input=b"").text, "0", "empty input")


@case("output that was closed early is ended early, and the exit code still comes")
def _():
    with Net() as net:
        client = net.open("echo last; exec >&- 2>&-; cat >/dev/null; exit 3")
        try:
            equal(read_line(client.stdout), b"last\n", "output")
            equal(client.stdout.read(1), b"", "the end comes while the command still runs")
            check(client.poll() is None, "the client still waits")
            client.stdin.close()
            equal(client.wait(10), 3, "exit code")
        finally:
            finish(client)


@case("64 MiB of random bytes go up, down and both ways unharmed")
def _():
    with Net() as net:
        path = random_file(net, 64 * MIB)
        want = digest_of(path)
        with open(path, "rb") as file:
            data = file.read()
        equal(net.ssh("sha256sum", input=data).text.split()[0], want, "up")
        equal(hashlib.sha256(net.ssh(f"cat {path}").out).hexdigest(), want, "down")
        equal(hashlib.sha256(net.ssh("cat", input=data).out).hexdigest(), want, "both ways")


@case("keys exchanged anew every 16 MiB lose nothing: up, down, both ways, every cipher")
def _():
    with Net() as net:
        path = random_file(net, 64 * MIB)
        want = digest_of(path)
        with open(path, "rb") as file:
            data = file.read()
        rekey = "RekeyLimit=16M"
        for cipher in ("aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes256-ctr"):
            options = (rekey, f"Ciphers={cipher}")
            equal(net.ssh("sha256sum", input=data, options=options).text.split()[0], want,
                  f"up {cipher}")
            equal(hashlib.sha256(net.ssh(f"cat {path}", options=options).out).hexdigest(), want,
                  f"down {cipher}")
        equal(hashlib.sha256(net.ssh("cat", input=data, options=(rekey,)).out).hexdigest(), want,
              "both ways")


@case("death by a signal is told as such")
def _():
    with Net() as net:
        transport = net.paramiko()
        transport.auth_password(net.user, net.password)
        result = net.ssh("kill -TERM $$", "-v")
        equal(result.code, 255, "the client's code")
        check("rtype exit-signal" in result.error, "an exit-signal came")
        channel = transport.open_session()
        channel.exec_command("exit 5")
        equal(channel.recv_exit_status(), 5, "exit status")
        transport.close()


@case("a terminal has the client's size, follows it, and shows what is typed")
def _():
    with Net() as net, net.terminal("exec sh -i", rows=33, columns=111) as terminal:
        terminal.expect("[$>#] ")
        terminal.ask("stty size", "33 111")
        terminal.resize(50, 160)
        terminal.ask("sleep 0.3; stty size", "50 160")
        terminal.ask("echo $TERM; tty", "/dev/pts/")
        terminal.send("exit 4\r")
        equal(terminal.wait(), 4, "exit code")


@case("a shell without a command gets a terminal and ends with it")
def _():
    with Net() as net, net.terminal() as terminal:
        terminal.expect("[$>#] ")
        terminal.ask("echo hel''lo", "hello")
        terminal.send("\x04")
        terminal.wait()


@case("variables are passed on where the monitor says so")
def _():
    with Net() as net:
        result = net.ssh("echo $LC_TEST-$OTHER", options=("SendEnv=LC_TEST OTHER",),
                         env={**os.environ, "LC_TEST": "yes", "OTHER": "no"})
        equal(result.text, "yes-", "environment")


@case("signals of the client arrive")
def _():
    with Net() as net:
        transport = net.paramiko()
        transport.auth_password(net.user, net.password)
        channel = transport.open_session()
        channel.exec_command("trap 'echo caught; exit 9' USR1; echo ready; while :; do sleep 0.1; done")
        equal(channel.recv(6), b"ready\n", "ready")
        message = paramiko.Message()
        message.add_byte(b"\x62")
        message.add_int(channel.remote_chanid)
        message.add_string("signal")
        message.add_boolean(False)
        message.add_string("USR1")
        transport._send_user_message(message)
        equal(channel.recv(100), b"caught\n", "output")
        equal(channel.recv_exit_status(), 9, "exit status")
        transport.close()


@case("sftp works as a subsystem, and an unknown subsystem is refused")
def _():
    with Net() as net:
        path = random_file(net, MIB)
        transport = net.paramiko()
        transport.auth_password(net.user, net.password)
        sftp = transport.open_sftp_client()
        with sftp.open(path) as file:
            equal(hashlib.sha256(file.read()).hexdigest(), digest_of(path), "file")
        transport.close()
        check(net.ssh("nothing", "-s").code != 0, "unknown subsystem")


@case("a refused session says why on stderr and ends with 254")
def _():
    with Net() as net:
        result = net.ssh("@refuse the profile is closed")
        equal((result.code, result.out, result.err.strip()), (254, b"", b"the profile is closed"),
              "refusal")


@case("notices appear on stderr, a farewell in the disconnect message")
def _():
    with Net() as net:
        result = net.ssh("@notice five minutes left", input=b"data")
        equal((result.code, result.out), (0, b"data"), "the session goes on")
        check("five minutes left" in result.error, "notice")
        result = net.ssh("@end out of order")
        equal(result.code, 255, "code")
        check("out of order" in result.error, f"farewell: {result}")


@case("ten channels of one connection run apart, the eleventh is refused")
def _():
    with Net() as net, net.master() as mux:
        clients = [net.open(f"echo {i}; exec cat", *mux) for i in range(10)]
        try:
            for i, client in enumerate(clients):
                equal(read_line(client.stdout), f"{i}\n".encode(), "output")
            check(len(net.net_processes()) == 1, "one connection")
            # The client then tries a connection of its own: keep it from that.
            refused = net.ssh("echo no", *mux, options=("ProxyCommand=false",))
            check(refused.code != 0 and not refused.out, f"eleventh: {refused}")
            for i, client in enumerate(clients):
                client.stdin.write(b"%d\n" % (i * i))
                equal(read_line(client.stdout), b"%d\n" % (i * i), "echo")
            for client in clients:
                equal(finish(client), 0, "exit code")
            clients = []
            eventually(lambda: net.ssh("echo again", *mux, options=("ProxyCommand=false",)).text
                       == "again", "room again")
        finally:
            for client in clients:
                finish(client)


@case("a hundred sessions one after another on one connection leave nothing behind")
def _():
    with Net() as net, net.master() as mux:
        pid = net.net_process()
        descriptors = len(os.listdir(f"/proc/{pid}/fd"))
        for i in range(100):
            result = net.ssh(f"echo {i}; exit {i}", *mux)
            equal((result.code, result.text), (i, str(i)), "session")
        eventually(lambda: len(os.listdir(f"/proc/{pid}/fd")) == descriptors, "descriptors closed")


# --- logins -------------------------------------------------------------------------------------


def refused(transport, user, password):
    try:
        transport.auth_password(user, password)
        return None
    except paramiko.AuthenticationException as error:
        return str(error)
    except (paramiko.SSHException, EOFError) as error:
        return f"ended: {error}"


@case("a login sent along with the end of the key exchange waits for what the monitor offers")
def _():
    with Net("late-welcome=1") as net, Proxy(net.port, together=0.2) as proxy:
        key = net.path("dropbear_key")
        equal(run(["dropbearconvert", "openssh", "dropbear", net.key, key]).code, 0, "its key")
        result = run(["dbclient", "-y", "-y", "-T", "-i", key, "-p", str(proxy.port), f"{net.user}@127.0.0.1", "echo in"],
                     timeout=30, env={**os.environ, "HOME": net.directory}, start_new_session=True)
        equal((result.code, result.text), (0, "in"), f"the key was not taken ({result})")


@case("a login that succeeds along with the end of the key exchange has a session like any other")
def _():
    with Net() as net:
        transport = Hasty(net.port, lambda transport: [by_password(net.user, net.password)])
        channel = transport.open_session(timeout=20)
        channel.settimeout(20)
        channel.exec_command("echo in")
        equal(channel.recv(16), b"in\n", f"what the session said ({net.log_text()})")
        transport.close()


@case("a port that is bound late in a sandbox is a port all the same")
def _():
    with Net() as net:
        begin = time.monotonic()
        result = net.ssh("echo fine", "-v", "-o", "ExitOnForwardFailure=yes", "-R", "late:0:127.0.0.1:9")
        equal(result.text, "fine", f"the session ({result})")
        check(b"Allocated port 4711" in result.err, f"the port: {result}")
        check(time.monotonic() - begin > 2, "it was not late")


@case("passwords and keys are judged by the monitor; too many failures end the connection")
def _():
    with Net("tries=3") as net:
        check(net.ssh("true", key=net.path("host_key")).code == 255, "another key")
        check(net.ssh("true", user="nobody-here").code == 255, "another user")
        transport = net.paramiko()
        for _ in range(2):
            check(refused(transport, net.user, "wrong").startswith("Authentication failed"), "wrong")
        check(refused(transport, net.user, "wrong") is not None, "wrong")
        eventually(lambda: not transport.is_active(), "disconnected")
        transport = net.paramiko()
        equal(refused(transport, net.user, net.password), None, "right password")
        transport.close()


@case("the banner is shown before login")
def _():
    with Net("banner=Glass. Do not throw.") as net:
        result = net.ssh("true", "-o", "LogLevel=INFO")
        check("Glass. Do not throw." in result.error, result)


@case("a session cannot be opened before login")
def _():
    with Net() as net:
        transport = net.paramiko()
        try:
            transport.open_session(timeout=3)
            check(False, "a channel was opened")
        except (paramiko.SSHException, EOFError):
            pass
        transport.close()


class BadKey(paramiko.Ed25519Key):
    """A key that is known, and a signature that is not its."""

    def sign_ssh_data(self, data, algorithm=None):
        return super().sign_ssh_data(data + b"!")


@case("a bad signature is no login: it ends the connection at once, and harms no other")
def _():
    with Net() as net:
        transport = net.paramiko()
        begin = time.monotonic()
        try:
            transport.auth_publickey(net.user, BadKey(filename=net.key))
            check(False, "logged in")
        except (paramiko.SSHException, EOFError):
            pass
        check(time.monotonic() - begin < 2, "the client need not wait")
        check(not transport.is_authenticated(), "not logged in")
        eventually(lambda: "bad signature" in net.log_text(), "the monitor knows")
        equal(net.ssh("echo ok").text, "ok", "another")
        transport.close()


@case("a bad signature ends the connection also when another login comes right after it")
def _():
    with Net() as net:
        transport = net.paramiko()
        key = paramiko.Ed25519Key(filename=net.key)
        signature = key.sign_ssh_data(b"something else").asbytes()
        start = (MSG_USERAUTH_REQUEST, net.user, "ssh-connection")
        send_together(transport, [(MSG_SERVICE_REQUEST, "ssh-userauth"),
                                  (*start, "publickey", True, "ssh-ed25519", key.asbytes(), signature),
                                  (*start, "password", False, net.password)])
        eventually(lambda: not transport.is_active(), "the connection's end")
        eventually(lambda: "bad signature" in net.log_text(), "the monitor knows")
        transport.close()


@case("methods nobody offers are refused, and the login goes on")
def _():
    with Net() as net:
        transport = net.paramiko()
        try:
            transport.auth_interactive(net.user, lambda *unused: [])
            check(False, "logged in")
        except paramiko.BadAuthenticationType as error:
            equal(sorted(error.allowed_types), ["password", "publickey"], "what is offered")
        equal(refused(transport, net.user, net.password), None, "the password")
        transport.close()


@case("certificates, which no authority vouched for here, are not taken for their keys")
def _():
    with Net() as net:
        run(["ssh-keygen", "-q", "-s", net.path("host_key"), "-I", "x", "-n", net.user,
             net.key + ".pub"])
        check(os.path.exists(net.key + "-cert.pub"), "a certificate")
        log = net.ssh("echo in", "-v", options=("IdentitiesOnly=yes",
                                                f"CertificateFile={net.key}-cert.pub"))
        equal(log.text, "in", "the plain key still does")
        check("ED25519-CERT" not in
              [line.split()[-2] for line in log.error.splitlines() if "Authenticated to" in line],
              "by the key, not by the certificate")


# --- memory and time ----------------------------------------------------------------------------


@contextlib.contextmanager
def feeding(client):
    """Feeds a client as much as it takes."""
    feeder = subprocess.Popen(["cat", "/dev/zero"], stdout=client.stdin,
                              stderr=subprocess.DEVNULL)
    try:
        yield feeder
    finally:
        feeder.kill()
        feeder.wait()


@case("a command that reads nothing, or little by little, costs bounded memory")
def _():
    with Net() as net:
        for command in ("exec sleep 100",
                        "while dd bs=4k count=1 status=none >/dev/null; do sleep 0.01; done"):
            client = net.open(command)
            try:
                with feeding(client):
                    pid = net.net_process()
                    time.sleep(4)
                    check_memory(pid)
            finally:
                client.kill()
                finish(client)
            eventually(lambda: gone(pid), "its net process ended")


@case("a client that stops reading costs bounded memory, and others are served meanwhile")
def _():
    with Net() as net, net.master() as mux:
        pid = net.net_process()
        clients = [net.open("exec cat /dev/zero", *mux) for _ in range(3)]
        try:
            time.sleep(3)
            begin = time.monotonic()
            equal(net.ssh("echo quick", *mux).text, "quick", "another channel")
            check(time.monotonic() - begin < 2, "answers soon")
            check_memory(pid)
        finally:
            for client in clients:
                client.kill()
                finish(client)
    with Net() as net:
        client = net.open("exec cat /dev/zero")
        pid = net.net_process()
        try:
            check(client.stdout.read(MIB), "it flows")
            client.send_signal(signal.SIGSTOP)
            time.sleep(2)
            check_memory(pid)
            equal(net.ssh("echo other").text, "other", "another connection")
        finally:
            client.kill()
            finish(client)
        eventually(lambda: gone(pid), "its net process ended")


@case("a stalled upload does not stall its neighbour, and goes on when it is read again")
def _():
    with Net() as net, net.master() as mux:
        fifo = net.path("go")
        client = net.open(f"while [ ! -e {fifo} ]; do sleep 0.1; done; sha256sum", *mux)
        data = os.urandom(8 * MIB)
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(OSError):
                client.stdin.write(data)
            os._exit(0)
        net.children.add(pid)
        client.stdin.close()
        time.sleep(1)
        for _ in range(5):
            begin = time.monotonic()
            equal(net.ssh("echo quick", *mux).text, "quick", "the neighbour")
            check(time.monotonic() - begin < 2, "answers soon")
        net.write("go", "", 0o644)
        os.waitpid(pid, 0)
        try:
            equal(read_line(client.stdout).split()[0].decode(), hashlib.sha256(data).hexdigest(),
                  "everything arrived")
        finally:
            finish(client)


@case("a client that answers no keep-alive is disconnected")
def _():
    with Net("keepalive=1") as net:
        client = net.session()
        pid = net.net_process()
        time.sleep(2.5)
        check(not gone(pid), "an idle client that answers stays")
        client.send_signal(signal.SIGSTOP)
        eventually(lambda: gone(pid), "ended after three silent seconds", 8)
        client.kill()
        finish(client)


@case("net ends with its client and with its monitor, at once; the zygote goes on")
def _():
    with Net() as net:
        client = net.session()
        pid = net.net_process()
        client.kill()
        eventually(lambda: gone(pid), "ended with the client", 2)
        finish(client)
        client = net.session()
        pid = net.net_process()
        monitors = [child for child in descendants(net.process.pid)
                    if os.stat(f"/proc/{child}").st_uid == 0 and child != pid and
                    "fake-monitor" in open(f"/proc/{child}/comm").read()]
        for monitor in monitors:
            os.kill(monitor, signal.SIGKILL)
        eventually(lambda: gone(pid), "ended with the monitor", 2)
        finish(client)
        for _ in range(3):
            silent = socket.create_connection(("127.0.0.1", net.port))
            pid = net.net_process()
            silent.close()
            eventually(lambda: gone(pid), "ended with a client that never spoke", 2)
        equal(net.ssh("echo ok").text, "ok", "the zygote serves on")


# --- hostile clients ----------------------------------------------------------------------------


@case("a client that sends more than its window is thrown out before it costs memory")
def _():
    with Net() as net:
        transport = net.paramiko()
        transport.auth_password(net.user, net.password)
        pid = net.net_process()
        channel = transport.open_session()
        channel.exec_command("exec sleep 100")
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            for _ in range(2000):
                message = paramiko.Message()
                message.add_byte(b"\x5e")
                message.add_int(channel.remote_chanid)
                message.add_string(b"x" * 32000)
                transport._send_user_message(message)
                if gone(pid):
                    break
                check_memory(pid)
        eventually(lambda: gone(pid), "thrown out")
        eventually(lambda: "window overrun" in net.log_text(), "for that reason")
        transport.close()


@case("a client that takes packets of no size does not keep net busy for ever")
def _():
    with Net() as net:
        transport = net.paramiko()
        transport.auth_password(net.user, net.password)
        pid = net.net_process()
        transport._sanitize_packet_size = lambda size: 10
        channel = transport.open_session(max_packet_size=10)
        channel.exec_command("echo this; exec sleep 100")
        end = time.monotonic() + 20
        while not gone(pid) and time.monotonic() < end:
            peak = memory_of(pid)
            check(peak < (400 if SANITIZED else 64), f"{peak} MiB")
            time.sleep(0.02)
        check(gone(pid), "it ended")
        equal(net.ssh("echo ok").text, "ok", "others go on")
        transport.close()


@case("garbage, cut handshakes and half-open connections end their process and no other")
def _():
    with Net() as net:
        stays = net.session()
        for bytes_sent in (b"GET / HTTP/1.0\r\n\r\n", b"\0" * 5000, b"SSH-2.0-x\r\n" + b"\xff" * 4000,
                           b"SSH-1.5-old\r\n", b"SSH-2.0-" + b"x" * 5000, b"SSH-2.0-x\r\n"):
            with socket.create_connection(("127.0.0.1", net.port)) as client:
                client.sendall(bytes_sent)
                client.settimeout(0.5)
                with contextlib.suppress(OSError):
                    while client.recv(4096):
                        pass
        eventually(lambda: len(net.net_processes()) == 1, "only the open one is left")
        stays.stdin.write(b"still here\n")
        equal(read_line(stays.stdout), b"still here\n", "the open one")
        finish(stays)
        check("ILLEGAL" not in net.log_text(), "no message out of turn")


# --- confinement --------------------------------------------------------------------------------


def namespaces(pid):
    return {name: os.readlink(f"/proc/{pid}/ns/{name}")
            for name in ("mnt", "net", "ipc", "uts", "cgroup")}


@case("seen from outside, net and zygote are locked in as they should be")
def _():
    if os.geteuid() != 0:
        raise Skip("not root")
    with Net() as net:
        client = net.session()
        pid = net.net_process()
        status = status_of(pid)
        equal(status["Uid"].split(), [str(net.NET_UID)] * 4, "uid")
        equal(status["Gid"].split(), [str(net.NET_UID)] * 4, "gid")
        equal(status["Groups"].strip(), "", "groups")
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            equal(int(status[name], 16), 0, name)
        equal((status["NoNewPrivs"], status["Seccomp"], status["Threads"]), ("1", "2", "1"),
              "no_new_privs, filter mode, threads")
        limits = open(f"/proc/{pid}/limits").read()
        for name, value in (("processes", 0), ("core file size", 0), ("open files", 512),
                            ("locked memory", 0), ("file size", 0)):
            check(re.search(rf"Max {name} +{value} +{value} ", limits), f"limit on {name}: {limits}")
        equal(os.listdir(f"/proc/{pid}/root/"), [], "the root is empty")
        with open(f"/proc/{pid}/mountinfo") as info:
            mounts = info.read().splitlines()
        equal(len(mounts), 1, "mounts")
        check(" ro," in mounts[0] and "tmpfs" in mounts[0], mounts)
        for name, link in namespaces(pid).items():
            check(link != os.readlink(f"/proc/self/ns/{name}"), f"own {name} namespace")
        links = sorted(os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd"))
        equal(links[:3], ["/dev/null"] * 3, "stdio")
        equal(sum(link.startswith("socket:") for link in links), 2, f"client and monitor: {links}")
        equal(sum(link.startswith("pipe:") for link in links), 3, f"the session's pipes: {links}")
        equal(len(links), 8, f"nothing else: {links}")
        zygote = next(child for child in descendants(net.process.pid)
                      if open(f"/proc/{child}/comm").read().strip() == "cloche-zygote")
        status = status_of(zygote)
        equal(int(status["CapEff"], 16), 0x1c0, "the zygote's capabilities: setuid, setgid, setpcap")
        equal(int(status["CapBnd"], 16), 0x1c0, "its bounding set")
        equal(os.listdir(f"/proc/{zygote}/root/"), [], "its root")
        finish(client)


@case("without root it serves too, and says what it goes without")
def _():
    if os.geteuid() != 0:
        raise Skip("this is what all the other cases show then")
    with Net(runas=64003) as net:
        os.chmod(net.directory, 0o755)
        equal(net.ssh("echo ok").text, "ok", "a command")
        client = net.session()
        pid = net.net_process()
        status = status_of(pid)
        equal((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"), "no_new_privs, filter mode")
        equal(int(status["CapEff"], 16), 0, "capabilities")
        check("goes without" in net.log_text(), "what is lost is named")
        finish(client)


main()
