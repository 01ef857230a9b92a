"""The end-to-end harness: a server started for one test, stock clients, and proof that nothing
remains.

A test file registers cases with @case and ends in main(); the output is TAP. Each server has a
temporary directory of its own and a free port. This process is a child subreaper, so whatever a
server leaves running ends up below it and is found.
"""
import contextlib
import ctypes
import fcntl
import json
import os
import pty
import random
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time

from hoststate import (Host, cgroup_directories, descendants, describe, parents, reap, stand_apart,  # noqa: F401
                       status_of)

BUILD = os.path.abspath(os.environ.get("CLOCHE_BUILD", "build-test"))
SOURCE = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
SSHD = os.path.join(BUILD, "sshd", "cloche-sshd")
PR_SET_CHILD_SUBREAPER = 36
PATIENCE = 10  # seconds for what should take none; generous because machines are busy
START = [0]  # seconds besides that a session may need to begin: a test of slow ones sets it
CASE = 180  # seconds for a whole case: less than meson gives any program of them
FINDINGS = re.compile(r"(ERROR: AddressSanitizer|detected memory leaks|runtime error:|assertion .* failed)", re.I)

# Sends a descriptor of a socket to the one at argv[1]: whoever closes it last waits an hour, but for a signal. It speaks
# first, since that may be itself.
LINGER = b"""
import array, socket, struct, sys, time
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
last = socket.create_connection(listener.getsockname())
peer = listener.accept()[0]
last.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3600))
last.setblocking(False)
try:
    while True:
        last.send(b"x" * 65536)
except BlockingIOError:
    pass
door = socket.socket(socket.AF_UNIX)
door.connect(sys.argv[1])
door.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [last.fileno()]))])
print("left there", flush=True)
last.close()
door.close()
time.sleep(3600)
"""

libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
os.environ.pop("SSH_AUTH_SOCK", None)
os.environ.pop("DISPLAY", None)
stand_apart()


class Skip(Exception):
    """The case cannot be tried here; the text says why."""


cases = []


def case(claim):
    """Registers a case. The claim is what it shows."""
    def register(function):
        cases.append((claim, function))
        return function
    return register


def out_of_time(*_):
    """A case that hangs says where, instead of taking those after it along."""
    import traceback
    raise AssertionError("the case was given no more time, at\n" + "".join(traceback.format_stack()[-6:-1]))


def main(seconds=CASE):
    """Runs the cases named on the command line (parts of claims), or all, each for at most that long; prints TAP."""
    wanted = [(claim, function) for claim, function in cases
              if len(sys.argv) < 2 or any(word in claim for word in sys.argv[1:])]
    print(f"1..{len(wanted)}", flush=True)
    failed = False
    signal.signal(signal.SIGALRM, out_of_time)
    for number, (claim, function) in enumerate(wanted, 1):
        begin = time.monotonic()
        signal.alarm(seconds)
        try:
            function()
            print(f"ok {number} - {claim}", flush=True)
        except Skip as reason:
            print(f"ok {number} - {claim} # SKIP {reason}", flush=True)
        except Exception as error:  # every kind of failure is reported, and the next case runs
            failed = True
            print(f"not ok {number} - {claim}")
            text = str(error) or repr(error)
            if not isinstance(error, AssertionError):
                import traceback
                text = traceback.format_exc()
            for line in text.splitlines()[:60]:
                print(f"# {line}")
        print(f"# {time.monotonic() - begin:.2f} s", flush=True)
    signal.alarm(CASE)
    for server in list(Server.running):
        server.__exit__(None, None, None)  # the case that ends it was not asked for
    sys.exit(1 if failed else 0)


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def equal(got, expected, what):
    if got != expected:
        raise AssertionError(f"{what}: got {got!r}, expected {expected!r}")


def eventually(predicate, what, seconds=PATIENCE):
    """Waits until predicate() is true and returns its value."""
    end = time.monotonic() + seconds
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


# --- servers ----------------------------------------------------------------------------------


def free_port():
    """One that no client's end is given by chance before a server takes it: below those."""
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", random.randrange(10000, 32768)))
            return probe.getsockname()[1]


def listening(port):
    want = f"0100007F:{port:04X}"
    with open("/proc/net/tcp") as table:
        return any(line.split()[1] == want and line.split()[3] == "0A"
                   for line in table.readlines()[1:])


def keygen(path, kind="ed25519", comment="e2e"):
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", comment, "-f", path],
                   check=True, stdin=subprocess.DEVNULL)
    with open(path + ".pub") as public:
        return public.read().strip()


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    @property
    def text(self):
        return self.out.decode(errors="replace").strip()

    @property
    def error(self):
        return self.err.decode(errors="replace").strip()

    def __repr__(self):
        return f"exit {self.code}, stdout {self.out[-400:]!r}, stderr {self.err[-600:]!r}"


def run(argv, input=b"", timeout=150, env=None, **more):
    """Runs argv with bytes for its input; the time limit is a failure, not a hang."""
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=env, **more) as process:
        try:
            out, err = process.communicate(input, timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(f"still running after {timeout} s: {argv}\n"
                                 f"stdout {out[-400:]!r}\nstderr {err[-600:]!r}") from None
        return Result(process.returncode, out, err)


class Server:
    """A server of one's own. Use as a context manager."""

    name = "?"
    running = []  # all that have been started and not ended
    beside = set()  # pids of what the test itself runs, with all below them

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="cloche-e2e-")
        os.chmod(self.directory, 0o755)
        self.port = free_port()
        self.process = None
        self.children = set()
        self.clients = []
        self.log = os.path.join(self.directory, "log")
        self.key = self.path("client_key")
        self.public = keygen(self.key)
        host = keygen(self.path("host_key"))
        self.known_hosts = self.path("known_hosts")
        self.write("known_hosts", f"[127.0.0.1]:{self.port} {' '.join(host.split()[:2])}\n")
        self.host = None

    def path(self, name):
        return os.path.join(self.directory, name)

    def write(self, name, text, mode=0o600):
        path = self.path(name)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        return path

    def argv(self):
        raise NotImplementedError

    def __enter__(self):
        try:
            self.host = Host()
            self.start()
        except BaseException:
            self.remove()
            raise
        Server.running.append(self)
        return self

    def start(self, seconds=60):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.argv(), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, cwd="/", start_new_session=True)
        end = time.monotonic() + seconds
        while not listening(self.port):
            if self.process.poll() is not None or time.monotonic() > end:
                self.process.kill()
                self.process.wait()
                raise AssertionError(f"{self.name} does not listen:\n{self.log_text()[-3000:]}")
            time.sleep(0.01)

    def log_text(self):
        try:
            with open(self.log, errors="replace") as log:
                return log.read()
        except OSError:
            return ""

    def processes(self):
        """Every process of this server that is alive."""
        reap({server.process.pid for server in Server.running} | {self.process.pid} |
             set().union(*(server.children for server in Server.running), self.children))
        others = self.children | Server.beside
        for server in Server.running:
            if server is not self:
                others.update(server.children, [server.process.pid])
        for pid in list(others):
            others.update(descendants(pid))
        return [pid for pid in descendants(os.getpid()) if pid not in others]

    def terminate(self, signo=signal.SIGTERM, seconds=PATIENCE):
        if self.process.poll() is None:
            self.process.send_signal(signo)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.name} did not end within {seconds} s of signal {signo}") \
                from None

    def __exit__(self, kind, value, trace):
        problems = []
        for client in self.clients if value is not None else []:
            client.kill()  # a failed case has left them; they would be waited for
        try:
            try:
                self.terminate()
            except AssertionError as error:
                problems.append(str(error))
            problems += self.remains()
            if FINDINGS.search(self.log_text()):
                problems.append("the log has a finding of a sanitizer or assert:\n" +
                                "\n".join(line for line in self.log_text().splitlines()[-60:]))
            if problems and value is not None:
                value.args = (f"{value}\nand: " + "\n".join(problems),)
            elif value is not None and isinstance(value, AssertionError):
                value.args = (f"{value}\nlog: {self.log_text()[-3000:]}",)
        finally:
            Server.running.remove(self)
            self.remove()
        if problems and value is None:
            raise AssertionError("\n".join(problems) + f"\nlog: {self.log_text()[-2000:]}")
        return False

    def remains(self, seconds=5):
        """Waits for everything to go; returns what did not, and kills it. What is on the host for a moment only is of
        others, who come and go."""
        end = time.monotonic() + seconds
        since = {}
        while True:
            alive, left = self.processes(), self.host.left(self.directory)
            if not alive and not left:
                return []
            now = time.monotonic()
            since = {path: since.get(path, now) for path in left}
            if now > end:
                break
            time.sleep(0.05)
        left = [path for path in left if now - since[path] > seconds / 2]
        problems = [f"still running after the server ended: {describe(pid)}" for pid in alive]
        problems += [f"left on the host: {path}" for path in left]
        for pid in alive:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        return problems

    def remove(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    # clients

    user = "lab"

    def ssh_argv(self, *args, user=None, key=None, options=()):
        argv = ["ssh", "-F", "none", "-p", str(self.port),
                "-o", f"UserKnownHostsFile={self.known_hosts}",
                "-o", "GlobalKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=yes",
                "-o", "IdentitiesOnly=yes",
                "-o", "KexAlgorithms=curve25519-sha256"]
        defaults = {"PreferredAuthentications": "publickey", "BatchMode": "yes", "IdentityAgent": "none"}
        for option in options:
            name, _, value = option.partition("=")
            defaults.pop(name, None)
            argv += ["-o", option]
        for name, value in defaults.items():
            argv += ["-o", f"{name}={value}"]
        if key is not False:
            argv += ["-i", key or self.key]
        return argv + ["-l", user or self.user, *args]

    def ssh(self, command=None, *args, input=b"", timeout=60, env=None, **more):
        """Runs a command by the stock client."""
        argv = self.ssh_argv(*args, "127.0.0.1", *([command] if command is not None else []), **more)
        return run(argv, input=input, timeout=timeout + START[0], env=env)

    def open(self, command=None, *args, **more):
        """Starts a client that goes on; its streams are pipes. Close with finish()."""
        argv = self.ssh_argv(*args, "127.0.0.1", *([command] if command is not None else []), **more)
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, bufsize=0)
        self.children.add(process.pid)
        self.clients.append(process)
        return process

    def session(self, **more):
        """An open session that has said it is ready: a shell command waiting on its input."""
        client = self.open("echo ready; exec cat", **more)
        line = read_line(client.stdout, 30 + START[0])
        if line != b"ready\n":
            client.kill()
            raise AssertionError(f"no session: {line!r} {client.stderr.read()[-400:]!r}")
        return client

    def terminal(self, *command, rows=24, columns=80, **more):
        """A login on a terminal of that size."""
        return Terminal(self.ssh_argv("-tt", "127.0.0.1", *command, **more), rows, columns,
                        self.children)

    @contextlib.contextmanager
    def agent(self):
        """An agent of the user's, without a key yet, for as long as the block lasts. Gives its socket's path."""
        path = self.path("agent")
        process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
        self.children.add(process.pid)
        try:
            eventually(lambda: os.path.exists(path), "an agent")
            yield path
        finally:
            process.kill()
            process.wait()

    @contextlib.contextmanager
    def master(self, *args, **more):
        """A multiplexing master; yields the options that use it."""
        path = self.path("mux")
        client = self.open(None, "-M", "-N", "-S", path, *args, **more)
        try:
            eventually(lambda: os.path.exists(path) or client.poll() is not None, "a master")
            check(client.poll() is None, "the master ended")
            yield ("-S", path)
        finally:
            finish(client)


def read_line(stream, seconds=30):
    """One line from an unbuffered pipe, or what came of it."""
    line, end, poll = b"", time.monotonic() + seconds, select.poll()
    poll.register(stream, select.POLLIN)
    while not line.endswith(b"\n"):
        ready = poll.poll(max(0, end - time.monotonic()) * 1000)
        byte = os.read(stream.fileno(), 1) if ready else b""
        if not byte:
            break
        line += byte
    return line


def echoes(client, seconds=PATIENCE):
    """Does an open session() still answer?"""
    token = os.urandom(6).hex().encode() + b"\n"
    try:
        client.stdin.write(token)
    except OSError:
        return False
    return read_line(client.stdout, seconds) == token


def finish(client, seconds=PATIENCE):
    """Ends a client by closing its input, then by force; returns its exit code."""
    with contextlib.suppress(OSError):
        client.stdin.close()
    asked = client.args[-1] == "127.0.0.1"  # no command that reads its input
    end = time.monotonic() + seconds
    while client.poll() is None and time.monotonic() < end:
        if asked:
            client.terminate()  # again and again: the client's loop can miss one between its look and its poll(2)
        with contextlib.suppress(subprocess.TimeoutExpired):
            client.wait(0.5 if asked else seconds)
    client.kill()
    code = client.wait()
    client.stdout.close()
    client.stderr.close()
    return code


class Terminal:
    """A client on a terminal, driven as a person would."""

    def __init__(self, argv, rows, columns, children):
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            time.sleep(0.05)  # the parent sets the size first
            os.execvp(argv[0], argv)
        children.add(self.pid)
        self.children = children
        self.resize(rows, columns)
        self.seen = b""
        self.code = None

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def send(self, text):
        os.write(self.master, text.encode() if isinstance(text, str) else text)

    def read(self, seconds=0.2):
        """What is there; b"" when nothing came; None at the end."""
        ready, _, _ = select.select([self.master], [], [], seconds)
        if not ready:
            return b""
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return None
        self.seen += data
        return data or None

    def expect(self, pattern, seconds=30):
        """Reads until the pattern is seen; returns the match and forgets what came before."""
        end = time.monotonic() + seconds + START[0]
        expression = re.compile(pattern.encode(), re.S)
        while True:
            match = expression.search(self.seen)
            if match:
                self.seen = self.seen[match.end():]
                return match
            if time.monotonic() > end or self.read() is None:
                match = expression.search(self.seen)
                if match:
                    return match
                raise AssertionError(f"never saw {pattern!r} in {self.seen[-800:]!r}")

    def ask(self, command, pattern, seconds=30):
        """Types a command whose echo cannot match: the tag is split by quotes."""
        tag = os.urandom(4).hex()
        self.send(f"{command}; echo '{tag[:4]}''{tag[4:]}'\r")
        return self.expect(pattern + ".*?" + tag, seconds)

    def wait(self, seconds=PATIENCE):
        end = time.monotonic() + seconds
        while self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > end:
                raise AssertionError(f"the client did not end; it showed {self.seen[-400:]!r}")
            elif self.read(0.05) is None:
                time.sleep(0.02)
        return self.code

    def close(self):
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.wait()
        os.close(self.master)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()


class Cloche(Server):
    """cloche-sshd from the build tree. server, profiles and users are merged over small defaults."""

    name = "cloche-sshd"

    def __init__(self, server=None, profiles=None, users=None, options=("--no-proof",), runas=None):
        if not os.path.exists(SSHD):
            raise Skip(f"{SSHD} is not built")
        super().__init__()
        self.options, self.runas, self.program = list(options), runas, SSHD
        os.mkdir(self.path("state"), 0o700)
        self.audit_path = self.path("audit")
        self.settings = {
            "listen": [f"127.0.0.1:{self.port}"],
            "host_keys": [self.path("host_key")],
            "state_dir": self.path("state"),
            "audit_log": self.audit_path,
            "control": self.path("control"),
            "penalty_exempt": ["127.0.0.0/8"],  # tests misbehave all day long
            **(server or {}),
        }
        self.profiles = {"lab": {"readable": ["/usr"], "write": "ephemeral", "pids": 64, "memory": "256M"},
                         **(profiles or {})}
        self.users = {"lab": {"profile": "lab", "authorized_keys": [self.path("authorized_keys")]},
                      **(users or {})}
        self.rules = []
        self.authorize(self.public)
        if os.geteuid() == 0 and runas is None:
            os.mkdir(self.path("empty"), 0o755)
            self.settings.setdefault("empty_dir", self.path("empty"))

    def authorize(self, *lines):
        self.write("authorized_keys", "".join(line + "\n" for line in lines))

    def configure(self):
        # JSON is YAML's flow style.
        document = {"server": self.settings, "profiles": self.profiles, "users": self.users,
                    "rules": self.rules}
        return self.write("cloche.yaml", json.dumps(document, indent=1))

    def argv(self):
        argv = [self.program, "-D", "-e", "-f", self.configure(), *self.options]
        if self.runas is not None:
            for top, directories, files in os.walk(self.directory):
                for name in [".", *directories, *files]:
                    os.chown(os.path.join(top, name), self.runas, self.runas)
            argv = ["setpriv", f"--reuid={self.runas}", f"--regid={self.runas}", "--clear-groups",
                    "--", *argv]
        return argv

    def audit(self):
        """Every event so far; a line that is no JSON object fails the test."""
        events = []
        with open(self.audit_path, "rb") as log:
            for number, line in enumerate(log.read().split(b"\n")[:-1], 1):
                try:
                    event = json.loads(line)
                    check(isinstance(event, dict), "not an object")
                except (ValueError, AssertionError) as error:
                    raise AssertionError(f"audit line {number}: {error}: {line[:200]!r}") from None
                events.append(event)
        return events


class SharedDirectory:
    """A directory that servers of several tests need: made by the first of them and taken away by the last,
    unless it was the host's."""

    def __init__(self, path):
        self.path = path
        # Says whether it was made by one of us, and is held for as long as one needs it.
        self.lock = open(os.path.join(BUILD, os.path.basename(path) + ".lock"), "a+")
        fcntl.flock(self.lock, fcntl.LOCK_SH)
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o755)
            self.lock.write("made")
            self.lock.flush()

    def release(self):
        with self.lock, contextlib.suppress(OSError):
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.getsize(self.lock.name):
                os.rmdir(self.path)
                self.lock.truncate(0)


class OpenSshd(Server):
    """Debian's sshd with the same keys, to run the same script against."""

    name = "OpenSSH sshd"

    def __init__(self, extra=""):
        super().__init__()
        if not os.path.exists("/usr/sbin/sshd"):
            raise AssertionError("openssh-server is missing; ./dev test installs it")
        import pwd
        self.user = pwd.getpwuid(os.getuid()).pw_name
        self.shared = SharedDirectory("/run/sshd") if os.getuid() == 0 else None
        self.write("authorized_keys", self.public + "\n")
        self.write("sshd_config", f"""
ListenAddress 127.0.0.1:{self.port}
HostKey {self.path("host_key")}
AuthorizedKeysFile {self.path("authorized_keys")}
PidFile none
UsePAM no
StrictModes no
PermitRootLogin yes
PasswordAuthentication no
PrintMotd no
PrintLastLog no
AcceptEnv LANG LC_*
{extra}
""")

    def argv(self):
        return ["/usr/sbin/sshd", "-D", "-e", "-f", self.path("sshd_config")]

    def remove(self):
        super().remove()
        if self.shared:
            self.shared.release()


def connections(server):
    """The server's ends of established connections, as /proc/PID/fd names them."""
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table.readlines()[1:]]
    return {f"socket:[{row[9]}]" for row in rows
            if row[1] == f"0100007F:{server.port:04X}" and row[3] == "01"}


def sockets(pid):
    """The sockets pid holds."""
    found = set()
    with contextlib.suppress(OSError):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                target = os.readlink(f"/proc/{pid}/fd/{fd}")
                if target.startswith("socket:"):
                    found.add(target)
    return found


def is_net(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as cmdline:
        return b"--net-zygote" in cmdline.read()
    return False


def net_process(server):
    """The process that speaks to the newest client."""
    def find():
        wanted = connections(server)
        return next((pid for pid in sorted(server.processes(), reverse=True)
                     if is_net(pid) and sockets(pid) & wanted), None)
    return eventually(find, "a process with the client's socket")


def sandbox_processes(server):
    """pid -> pid inside, of the server's processes that are in another pid namespace."""
    own, found = os.readlink("/proc/self/ns/pid"), {}
    for pid in server.processes():
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{pid}/ns/pid") != own:
                found[pid] = int(status_of(pid)["NSpid"].split()[-1])
    return found


def roles(server):
    """The processes of the one live connection by what they do: listener, monitor, net, init, shell."""
    inside = sandbox_processes(server)
    init = next(pid for pid, inner in inside.items() if inner == 1)
    shell = next(pid for pid, inner in sorted(inside.items()) if inner != 1)
    return {"listener": server.process.pid, "net": net_process(server), "init": init,
            "shell": shell, "monitor": parents()[init][0]}
