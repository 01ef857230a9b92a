#!/usr/bin/python3
"""Our figures against those of Debian's peers, all measured in one run on one machine.

Each row is a ratio: the candidates take turns (A B C A B C ...), a round gives one ratio, and the
row is the median of the rounds. Everything is on loopback, in one temporary directory, and gone
at the end. Peers: OpenSSH's sshd and dropbear, with bubblewrap as the user's login shell, in a mount
namespace in which that user exists; bubblewrap itself; and the tools of the other backends, by hand.
"""
import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BWRAP = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev",
         "--tmpfs", "/tmp"]
UID = 54322
GIB = 1 << 30
GCM = ("Ciphers=aes128-gcm@openssh.com",)


def options():
    parser = argparse.ArgumentParser(description="figures against OpenSSH, dropbear, bubblewrap")
    parser.add_argument("--build", default="build")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--sessions", type=int, default=200, help="idle sessions held for memory")
    parser.add_argument("--scale", default="1,10,50,100,200,500", help="live sandboxes to try")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--json", help="write the rows to this file too")
    parser.add_argument("rows", nargs="*", help="parts of row names; all of them otherwise")
    wanted = parser.parse_args()
    if wanted.quick:
        wanted.rounds, wanted.sessions, wanted.scale = 5, 20, "1,10,30"
    return wanted


ARGS = options()
BUILD = os.path.abspath(ARGS.build)
os.environ["CLOCHE_BUILD"] = BUILD
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))
from lib import (Cloche, OpenSshd, Server, descendants, eventually, finish, read_line,  # noqa: E402
                 run, sandbox_processes)
from proxy import Proxy  # noqa: E402
import foreign  # noqa: E402
from foreign import spent  # noqa: E402

CLOCHE = os.path.join(BUILD, "cli", "cloche")
LOAD = os.path.join(BUILD, "tests", "bench", "load")
SHELL = os.path.join(BUILD, "tests", "bench", "bwrap-shell")


class Account:
    """Mixed into a peer: the user it serves exists in its own mount namespace only."""

    user, shell = "cloche-bench", SHELL

    def people(self):
        home = self.path("home")
        os.makedirs(os.path.join(home, ".ssh"), 0o700, exist_ok=True)
        with open(os.path.join(home, ".ssh", "authorized_keys"), "w") as keys:
            keys.write(self.public + "\n")
        for path in (home, os.path.join(home, ".ssh"), os.path.join(home, ".ssh/authorized_keys")):
            os.chown(path, UID, UID)
        line = f"{self.user}:x:{UID}:{UID}::{home}:{self.shell}\n"
        for name, text in (("passwd", line), ("group", f"{self.user}:x:{UID}:\n"),
                           ("shadow", f"{self.user}:*:19000::::::\n")):
            with open(f"/etc/{name}") as own:
                self.write(name, own.read() + text, 0o644)
        self.write("shells", f"/bin/sh\n/bin/bash\n{self.shell}\n", 0o644)

    def inside(self, argv):
        self.people()
        mounts = "".join(f"mount --bind {self.path(name)} /etc/{name} && "
                         for name in ("passwd", "group", "shadow", "shells"))
        quoted = " ".join(f"'{part}'" for part in argv)
        return ["unshare", "-m", "--propagation", "private", "sh", "-c",
                f"mkdir -p /run/sshd && {mounts} exec {quoted}"]


class OpenSshBwrap(Account, OpenSshd):
    name = "OpenSSH + bwrap"

    def __init__(self):
        super().__init__("KexAlgorithms curve25519-sha256\nMaxStartups 2000\nMaxSessions 1000\n")
        self.user = Account.user
        home = self.path("home")
        text = open(self.path("sshd_config")).read()
        self.write("sshd_config", text.replace(self.path("authorized_keys"),
                                               home + "/.ssh/authorized_keys"))

    def argv(self):
        return self.inside(super().argv())


class PlainOpenSsh(OpenSshBwrap):
    name, shell = "OpenSSH", "/bin/bash"


class DropbearBwrap(Account, Server):
    name = "dropbear + bwrap"

    def argv(self):
        run(["dropbearconvert", "openssh", "dropbear", self.path("host_key"), self.path("db_key")])
        return self.inside(["/usr/sbin/dropbear", "-F", "-E", "-m", "-s", "-P", self.path("pid"), "-r",
                            self.path("db_key"), "-p", f"127.0.0.1:{self.port}"])


class Ours(Cloche):
    def __init__(self):
        super().__init__(
            server={"startups": "2000:30:4000", "max_sessions": 1000,
                    "max_connections": 4000, "max_total_sessions": 4000, "max_user_sessions": 4000},
            profiles={"lab": {"readable": ["/usr"], "write": "ephemeral", "pids": 64, "memory": "256M"}})


rows = []


def row(name, got, relation, target, detail):
    hit = got <= target if relation == "<=" else got >= target
    rows.append({"name": name, "ratio": got, "target": f"{relation} {target}", "hit": hit,
                 "detail": detail})
    sign, missed = ("hit ", "") if hit else ("MISS", f", missed by {abs(got - target):.3f}")
    print(f"{sign}  {got:8.3f}  {relation} {target:<6} {name}{missed}\n                {detail}", flush=True)


def paired(ours, theirs):
    return statistics.median(a / b for a, b in zip(ours, theirs))


def median(values, unit="ms", scale=1000):
    return f"{statistics.median(values) * scale:.2f} {unit}"


def measure(name):
    """Registers a group of rows under a name that the command line can pick."""
    def register(function):
        groups.append((name, function))
        return function
    return register


groups = []


@measure("launch")
def launch():
    ours, theirs = [], []
    for _ in range(ARGS.rounds * 4):
        ours.append(spent([CLOCHE, "run", "--", "true"]))
        theirs.append(spent([*BWRAP, "true"]))
    row("cloche run -- true / bwrap true", paired(ours, theirs), "<=", 0.55,
        f"{median(ours)} / {median(theirs)}")


def measure_backend(name, options, peer, tool, share):
    def function():
        ours, theirs = [], []
        with peer(CLOCHE, BUILD) as by_hand:
            for number in range(max(3, round(ARGS.rounds * share))):
                ours.append(spent([CLOCHE, "run", f"--backend={name}", *options, "--", "true"]))
                theirs.append(by_hand(number))
        row(f"cloche run --backend={name} -- true / {tool}", paired(ours, theirs), "<=", 1.15,
            f"{median(ours)} / {median(theirs)}")
    measure(f"backends {name}")(function)


for each in foreign.PEERS:
    measure_backend(*each)


def load(server, mode, count, parallel=1):
    """The light client; one JSON object with what it measured."""
    argv = [LOAD, "-p", str(server.port), "-u", server.user, "-i", server.key, "-n", str(count),
            "-P", str(parallel), mode]
    result = run(argv, timeout=300)
    if result.code != 0:
        raise RuntimeError(f"{server.name}: {result}\n{server.log_text()[-800:]}")
    return json.loads(result.text)


@contextlib.contextmanager
def servers(*kinds):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(kind()) for kind in kinds]


@measure("connect")
def connect():
    with servers(Ours, OpenSshBwrap, DropbearBwrap) as (ours, openssh, dropbear):
        times = {server: [] for server in (ours, openssh, dropbear)}
        for _ in range(ARGS.rounds):
            for server, values in times.items():
                values.append(load(server, "connect", 5)["median_ms"] / 1000)
        detail = " / ".join(f"{server.name} {median(values)}" for server, values in times.items())
        row("connect + auth + true / OpenSSH + bwrap", paired(times[ours], times[openssh]), "<=", 0.15,
            detail)
        row("connect + auth + true / dropbear + bwrap", paired(times[ours], times[dropbear]), "<=",
            0.6, detail)


@measure("exec")
def execute():
    with servers(Ours, OpenSshBwrap, DropbearBwrap) as (ours, openssh, dropbear):
        times = {server: [] for server in (ours, openssh, dropbear)}
        for _ in range(ARGS.rounds):
            for server, values in times.items():
                values.append(load(server, "exec", 10)["median_ms"] / 1000)
        best = min(openssh, dropbear, key=lambda server: statistics.median(times[server]))
        row(f"true on an open connection / {best.name}", paired(times[ours], times[best]), "<=", 0.55,
            " / ".join(f"{server.name} {median(values)}" for server, values in times.items()))


@measure("rate")
def rate():
    with servers(Ours, OpenSshBwrap) as (ours, openssh):
        rates = {server: [] for server in (ours, openssh)}
        for _ in range(max(3, ARGS.rounds // 3)):
            for server, values in rates.items():
                values.append(load(server, "connect", 100, 8)["per_second"])
        row("sessions per second, 8 at once / OpenSSH + bwrap", paired(rates[ours], rates[openssh]),
            ">=", 4, " / ".join(f"{server.name} {median(values, '1/s', 1)}"
                                for server, values in rates.items()))


def pss(pids):
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/smaps_rollup") as rollup:
                total += next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
    return total


def server_side(server):
    """The server's own processes: not what the session's user started."""
    pids = [server.process.pid, *descendants(server.process.pid)]
    if isinstance(server, Ours):
        inside = sandbox_processes(server)
        return [pid for pid in pids if inside.get(pid, 1) == 1]
    return [pid for pid in pids
            if os.path.basename(os.readlink(f"/proc/{pid}/exe")).startswith("sshd")]


def hold(server, count, clients):
    """Opens idle sessions by the stock client until clients has count of them."""
    while len(clients) < count:
        batch = [server.open("echo ready; exec cat") for _ in range(min(8, count - len(clients)))]
        clients += batch
        for client in batch:
            if read_line(client.stdout, 60) != b"ready\n":
                raise RuntimeError(f"{server.name}: session {len(clients)} did not start")


@contextlib.contextmanager
def holding(server, count=0):
    """Idle sessions that end with the block; yields the list for hold()."""
    clients = []
    try:
        hold(server, count, clients)
        yield clients
    finally:
        for client in clients:
            client.kill()
        for client in clients:
            finish(client)


@measure("memory")
def memory():
    figures = {}
    for kind in (Ours, PlainOpenSsh):
        with servers(kind) as (server,), holding(server, ARGS.sessions):
            time.sleep(1)
            figures[kind] = pss(server_side(server)) / ARGS.sessions
    row(f"PSS per idle session of {ARGS.sessions} / OpenSSH", figures[Ours] / figures[PlainOpenSsh],
        "<=", 0.3, f"{figures[Ours]:.0f} KiB / {figures[PlainOpenSsh]:.0f} KiB")


def throughput(server, direction, size, via=None):
    """MiB/s of one session of the stock client."""
    command = f"head -c {size} /dev/zero" if direction == "out" else "cat >/dev/null"
    argv = server.ssh_argv("-o", f"HostKeyAlias=[127.0.0.1]:{server.port}", "127.0.0.1", command,
                           options=GCM)
    if via:
        argv[argv.index("-p") + 1] = str(via)
    source = subprocess.Popen(["head", "-c", str(size), "/dev/zero"], stdout=subprocess.PIPE) \
        if direction == "in" else None
    begin = time.perf_counter()
    result = subprocess.run(argv, stdin=source.stdout if source else subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=300)
    end = time.perf_counter()
    if source:
        source.stdout.close()
        source.wait()
    if result.returncode:
        raise RuntimeError(f"{server.name}: {result.stderr[-400:]}")
    return size / (1 << 20) / (end - begin)


def compare(what, relation, target, measured, ours, theirs, rounds):
    got = {ours: [], theirs: []}
    for _ in range(rounds):
        for server in (ours, theirs):
            got[server].append(measured(server))
    row(what, paired(got[ours], got[theirs]), relation, target,
        " / ".join(f"{server.name} {median(values, 'MiB/s', 1)}" for server, values in got.items()))


@measure("bytes")
def transfer():
    size = GIB // (16 if ARGS.quick else 2)
    with servers(Ours, PlainOpenSsh) as (ours, openssh):
        rounds = max(3, ARGS.rounds // 3)
        compare("bytes out, aes128-gcm / OpenSSH", ">=", 1.15,
                lambda server: throughput(server, "out", size), ours, openssh, rounds)
        compare("bytes in, aes128-gcm / OpenSSH", ">=", 0.95,
                lambda server: throughput(server, "in", size), ours, openssh, rounds)
        with Proxy(ours.port, 0.01) as one, Proxy(openssh.port, 0.01) as other:
            ports = {ours: one.port, openssh: other.port}
            compare("bytes in at 20 ms round trip / OpenSSH", ">=", 1.0,
                    lambda server: throughput(server, "in", size // 8, ports[server]), ours, openssh,
                    max(3, rounds // 2))


def peak(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024


@measure("stalled")
def stalled():
    from lib import net_process
    with servers(Ours) as (server,):
        peaks = []
        for command, feed in (("yes 0123456789", False), ("sleep 100", True)):
            client = server.open(command)
            net = net_process(server)
            end = time.monotonic() + 4
            os.set_blocking(client.stdin.fileno(), False)
            while time.monotonic() < end:
                with contextlib.suppress(BlockingIOError):
                    if feed:
                        os.write(client.stdin.fileno(), b"x" * 65536)
                        continue
                time.sleep(0.05)
            peaks.append(peak(net))
            client.kill()
            finish(client)
            eventually(lambda: not sandbox_processes(server), "its end")
    row("MiB of net, client / shell that stops reading", max(peaks), "<=", 16,
        f"{peaks[0]:.1f} MiB / {peaks[1]:.1f} MiB (VmHWM, shared pages included)")


@measure("scale")
def scale():
    steps = [int(step) for step in ARGS.scale.split(",")]
    print("live sandboxes    connect + true    KiB of server per session")
    first = None
    with servers(Ours) as (server,), holding(server) as clients:
        for step in steps:
            hold(server, step, clients)
            time.sleep(0.5)
            took = load(server, "connect", 20)["median_ms"]
            each = pss(server_side(server)) / step
            first = first or took
            print(f"{step:14}    {took:11.2f} ms    {each:12.0f}", flush=True)
        row(f"connect + true with {steps[-1]} live / with {steps[0]}", took / first, "<=", 1.5,
            "flat is the goal")


@measure("testkit")
def testkit():
    """The shortest of some runs against what the testkit promises of itself."""
    host = os.path.join(BUILD, "testkit", "cloche-testkit-host")
    quick = min(spent([host, "--target=native", "--quick", "--timeout=0"]) for _ in range(ARGS.rounds))
    row("cloche-testkit-host --quick / 150 ms", quick / 0.15, "<=", 1, f"{quick * 1000:.0f} ms")
    full = spent([host, "--target=native"])
    row("cloche-testkit-host / 20 s", full / 20, "<=", 1, f"{full:.1f} s")


def main():
    if os.geteuid() != 0:
        sys.exit("bench: the peers need root (a mount namespace with a user in it)")
    for path in (CLOCHE, LOAD, SHELL):
        if not os.path.exists(path):
            sys.exit(f"bench: {path} is not built")
    print(f"{os.cpu_count()} processors, kernel {os.uname().release}, load {os.getloadavg()[0]:.1f}")
    print("        ratio  target    what")
    broken = 0
    for name, function in groups:
        if ARGS.rows and not any(word in name for word in ARGS.rows):
            continue
        try:
            function()
        except Exception as error:  # one row that cannot be measured must not cost the others
            broken += 1
            print(f"FAIL  {name}: {error}", flush=True)
    hits = sum(each["hit"] for each in rows)
    print(f"{hits} targets hit, {len(rows) - hits} missed, {broken} not measured")
    if ARGS.json:
        with open(ARGS.json, "w") as out:
            json.dump({"schema": "cloche.bench/1", "rows": rows}, out, indent=1)
    return 1 if broken else 0


sys.exit(main())
