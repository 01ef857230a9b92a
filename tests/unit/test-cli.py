"""What cloche says and does on the command line, against the native backend of this host."""
import contextlib
import hashlib
import json
import os
import pty
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
import fcntl
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from lib import BUILD, SOURCE, Skip, case, check, descendants, equal, eventually, main  # noqa: E402

CLOCHE = os.path.join(BUILD, "cli", "cloche")
PLACES = ["/run/cloche/ids"] + [
    f"/sys/fs/cgroup/{name}/cloche" for name in ("memory", "pids", "cpu", "unified", "")]


def run(*args, stdin=subprocess.DEVNULL, data=None, env=None, cwd=None, seconds=60):
    done = subprocess.run([CLOCHE, *args], stdin=None if data is not None else stdin, input=data,
                          capture_output=True, env=env, cwd=cwd, timeout=seconds)
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(
        errors="replace")


def inside(script, *options, **kwargs):
    """sh -c script in a sandbox; its output. Fails unless it ends with 0."""
    code, out, err = run("run", *options, "--", "sh", "-c", script, **kwargs)
    equal(code, 0, f"exit code of {script!r} ({err.strip()})")
    return out


def things():
    """Everything sandboxes have on the host now."""
    found = set()
    for place in PLACES:
        with contextlib.suppress(OSError):
            found |= {os.path.join(place, name) for name in os.listdir(place)
                      if re.fullmatch(r"[0-9a-f]{32}|[0-9]+", name)}
    return found


def is_ours_or_nobodys(path):
    """Others may run sandboxes meanwhile: theirs have processes, and hold their locks."""
    try:
        if os.path.isdir(path):
            with open(os.path.join(path, "cgroup.procs")) as file:
                processes = {int(line) for line in file}
            return not processes or bool(processes & set(descendants(os.getpid())))
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except OSError:
        return False


def nothing_new(before):
    """Waits until nothing of ours is there that was not there before."""
    eventually(lambda: not any(is_ours_or_nobodys(path) for path in things() - before),
               "all that was made is gone")


@contextlib.contextmanager
def open_directory():
    """A directory below / that every uid may use, away from /tmp, which a sandbox has of its own."""
    base = "/var/lib" if os.access("/var/lib", os.W_OK) else os.path.expanduser("~")
    with tempfile.TemporaryDirectory(prefix="cloche-test-", dir=base) as path:
        os.chmod(path, 0o777)
        yield path


class Terminal:
    """cloche run under a terminal of ours."""

    def __init__(self, *args, rows=24, columns=80):
        self.master, slave = pty.openpty()
        self.slave = slave
        self.resize(rows, columns)
        self.before = termios.tcgetattr(slave)
        self.seen = b""
        self.process = subprocess.Popen(
            [CLOCHE, *args], stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def resize(self, rows, columns):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def send(self, text):
        os.write(self.master, text.encode())

    def expect(self, word):
        def look():
            ready, _, _ = select.select([self.master], [], [], 0.05)
            if ready:
                with contextlib.suppress(OSError):
                    self.seen += os.read(self.master, 65536)
            return word.encode() in self.seen
        eventually(look, f"{word!r} on the terminal, which shows {self.seen!r}", 20)

    def close(self):
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# --- plan -------------------------------------------------------------------------------------


@case("plan prints the same digest twice and it can be computed from the JSON")
def _():
    first, second = (run("plan", "--json", "--memory", "1G", "--", "ls")[1] for _ in range(2))
    equal(first, second, "two plans of one spec")
    plan = json.loads(first)
    digest = plan.pop("digest")
    check(len(plan["filter"].pop("rules")) > 100, "the filter is listed")
    for caveat in plan["caveats"]:
        check(caveat.pop("text"), "a caveat has a text")
        caveat.pop("remedy")
    text = json.dumps(plan, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    equal(hashlib.blake2b(text.encode(), digest_size=32).hexdigest(), digest, "digest")
    other = json.loads(run("plan", "--json", "--memory", "2G", "--", "ls")[1])
    check(other["digest"] != digest, "another limit is another plan")


@case("plan has no effect on the host")
def _():
    before = things()
    code, out, _ = run("plan", "--write", "ephemeral", "--", "ls")
    equal(code, 0, "exit code")
    check("backend      native" in out, "names its backend")
    check(max(map(len, out.splitlines())) <= 80, "80 columns")
    nothing_new(before)


@case("a plan that lacks what is required, or has a refused caveat, is refused with the reason")
def _():
    for options, says in ((["--require", "kernel.isolation"], "lacks kernel.isolation"),
                          (["--refuse-on", "host.conceal.uptime"], "host.conceal.uptime"),
                          (["--refuse-on", "info"], "refused caveat"),
                          (["--net", "enable", "--inbound", "80"], "net.inbound"),
                          (["--backend", "nonesuch"], "there are: native")):
        if "--backend" not in options:
            options = ["--backend", "native", *options]  # Where others are installed, they may fit.
        for command in ("plan", "run"):
            code, out, err = run(command, *options, "--", "true")
            equal((code, out), (125, ""), f"{command} {options}")
            # One line, or one for each backend behind the first.
            lines = err.splitlines()
            check(says in err and lines[0].startswith("cloche: refused: "), f"{options}: {err}")
            check(all(line.startswith("cloche:   ") for line in lines[1:]), f"{options}: {err}")


# --- exit codes -------------------------------------------------------------------------------


@case("exit codes are passed through, and ours are told apart")
def _():
    for script, expected in (("exit 0", 0), ("exit 3", 3), ("exit 124", 124), ("kill -9 $$", 137),
                             ("kill -TERM $$", 143), ("kill -SEGV $$", 139)):
        code, out, err = run("run", "--", "sh", "-c", script)
        equal((code, err), (expected, ""), script)
    code, _, err = run("run", "--", "/no/such/program")
    check(code == 125 and "/no/such/program" in err, f"{code} {err}")
    begin = time.monotonic()
    code, _, err = run("run", "--timeout", "1", "--", "sleep", "60")
    check(code == 124 and "time limit of 1 s" in err, f"{code} {err}")
    check(time.monotonic() - begin < 10, "ended in time")


@case("wrong usage is 2, in one line that says what would be right")
def _():
    for args, says in ((["run"], "no command"), (["rum"], "did you mean 'run'"),
                       (["run", "--memroy", "1G", "--", "x"], "did you mean --memory"),
                       (["run", "--memory"], "needs a value"),
                       (["run", "--memory", "lots", "--", "x"], "a number of bytes"),
                       (["run", "--net", "maybe", "--", "x"], "disable, enable"),
                       (["run", "--without", "roof", "--", "x"], "landlock, filter"),
                       (["run", "--without", "user", "--", "x"], "second sandbox"),
                       (["run", "--config", "/dev/null", "--", "x"], "needs --profile"),
                       (["run", "--profile", "nope", "--", "x"], "no profile 'nope'"),
                       (["run", "--write", "scope", "--", "x"], "needs a writable path"),
                       (["run", "--env", "NO_SUCH_VARIABLE", "--", "x"], "no such variable"),
                       (["run", "--json", "--", "x"], "cloche plan --json"),
                       (["run", "--strict", "--", "x"], "readable"),
                       (["explain", "res.cp"], "did you mean 'res.cpu'"),
                       (["keygen", "-t", "rsa", "-f", "x"], "only ed25519"),
                       (["doctor", "--yaml"], "--json"), (["passwd", "alice"], "no arguments")):
        code, out, err = run(*args)
        check(code == 2 and says in err and err.count("\n") == 1, f"{args}: {code} {err!r}")
        equal(out, "", f"{args}: standard output")


# --- streams ----------------------------------------------------------------------------------


@case("standard output and error stay apart, and input arrives whole")
def _():
    code, out, err = run("run", "--", "sh", "-c", "echo out; echo err >&2; cat", data=b"in\n")
    equal((code, out, err), (0, "out\nin\n", "err\n"), "streams")
    data = os.urandom(3_000_000)
    done = subprocess.run([CLOCHE, "run", "--", "cat"], input=data, capture_output=True, timeout=60)
    check(done.stdout == data, "3 MB in and out")


@case("sockets and terminals are replaced by pipes that lose nothing")
def _():
    ours, theirs = socket.socketpair()
    data = os.urandom(2_000_000)
    process = subprocess.Popen([CLOCHE, "run", "--", "sh", "-c",
                                "readlink /proc/self/fd/0 >&2; readlink /proc/self/fd/1 >&2; cat"],
                               stdin=theirs, stdout=theirs, stderr=subprocess.PIPE)
    theirs.close()
    received = b""
    ours.setblocking(False)
    sent = 0
    while len(received) < len(data):
        _, writable, _ = select.select([ours], [ours] if sent < len(data) else [], [], 20)
        if writable:
            sent += ours.send(data[sent:sent + 65536])
            if sent == len(data):
                ours.shutdown(socket.SHUT_WR)
        with contextlib.suppress(BlockingIOError):
            part = ours.recv(65536)
            if not part:
                break
            received += part
    check(received == data, f"{len(received)} of {len(data)} bytes")
    equal(process.wait(20), 0, "exit code")
    kinds = process.stderr.read().decode().split()
    check(len(kinds) == 2 and all(kind.startswith("pipe:") for kind in kinds), f"{kinds}")
    process.stderr.close()
    ours.close()


@case("a directory as standard input is refused")
def _():
    fd = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    code, _, err = run("run", "--", "true", stdin=fd)
    os.close(fd)
    check(code == 125 and "is a directory" in err, f"{code} {err}")


@case("no descriptor of the caller but 0, 1 and 2 is inside")
def _():
    read, write = os.pipe()
    os.set_inheritable(read, True)
    done = subprocess.run([CLOCHE, "run", "--", "ls", "/proc/self/fd"], pass_fds=[read, write],
                          capture_output=True, timeout=60)
    os.close(read)
    os.close(write)
    # ls itself opens the directory as 3.
    equal(done.stdout.split(), [b"0", b"1", b"2", b"3"], "descriptors")


@case("a reader that goes away ends the command")
def _():
    slave = os.open("/dev/null", os.O_RDONLY)
    ours, theirs = socket.socketpair()
    process = subprocess.Popen([CLOCHE, "run", "--", "yes"], stdin=slave, stdout=theirs)
    theirs.close()
    os.close(slave)
    check(ours.recv(10) != b"", "something came")
    ours.close()
    equal(process.wait(20), 128 + signal.SIGPIPE, "exit code")


@case("signals are passed on to the command")
def _():
    process = subprocess.Popen(
        [CLOCHE, "run", "--", "sh", "-c", "trap 'exit 7' TERM; echo ready; while :; do sleep 0.1; done"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    equal(process.stdout.readline(), b"ready\n", "first line")
    process.send_signal(signal.SIGTERM)
    equal(process.wait(20), 7, "exit code")
    process.stdout.close()


@case("the command starts with no signal blocked or ignored, whatever ours are")
def _():
    out = inside("grep -E '^Sig(Blk|Ign)' /proc/self/status", "--quiet")
    equal(out.split(), ["SigBlk:", "0" * 16, "SigIgn:", "0" * 16], "masks")


# --- terminal ---------------------------------------------------------------------------------


@case("a terminal of the sandbox's own: size, resize, interrupt, and the caller's is put back")
def _():
    script = ("tty; stty size; trap 'stty size' WINCH; trap 'echo got-int' INT; echo ready; "
              "while read line; do test \"$line\" = end && exit 5; echo heard $line; done")
    with Terminal("run", "--", "bash", "-c", script, rows=31, columns=97) as terminal:
        terminal.expect("ready")
        check(b"/dev/pts/0" in terminal.seen, f"own terminal: {terminal.seen!r}")
        check(b"31 97" in terminal.seen, f"size: {terminal.seen!r}")
        raw = termios.tcgetattr(terminal.slave)
        check(not raw[3] & (termios.ECHO | termios.ICANON | termios.ISIG), "raw meanwhile")
        terminal.send("one\r")
        terminal.expect("heard one")
        terminal.resize(40, 120)
        os.kill(terminal.process.pid, signal.SIGWINCH)
        terminal.send("two\r")
        terminal.expect("40 120")
        terminal.send("\x03")
        terminal.send("three\r")
        terminal.expect("got-int")
        terminal.send("end\r")
        terminal.expect("end")
        equal(terminal.process.wait(20), 5, "exit code")
        equal(termios.tcgetattr(terminal.slave)[:4], terminal.before[:4], "terminal modes")


@case("what was written last still arrives through the terminal")
def _():
    for _ in range(5):
        with Terminal("run", "--", "sh", "-c", "seq 1 2000; echo LAST") as terminal:
            terminal.expect("LAST")
            check(b"\n1999\r\n2000\r\nLAST" in terminal.seen, f"the end is {terminal.seen[-60:]!r}")


# --- what options do --------------------------------------------------------------------------


@case("the environment is the caller's, filtered, without its places")
def _():
    env = {"PATH": os.environ["PATH"], "KEEP": "1", "MY_TOKEN": "x", "HOME": "/outside",
           "PWD": "/outside", "ODD=": "", "LANG": "C"}
    env.pop("ODD=")
    out = inside("env", "--env-deny", "*_TOKEN", "--env", "EXTRA=a=b", env=env).splitlines()
    check({"KEEP=1", "LANG=C", "EXTRA=a=b"} <= set(out), f"{out}")
    check(not any(line.startswith("MY_TOKEN") or "/outside" in line for line in out), f"{out}")
    out = inside("env", "--env-allow", "KEEP", env=env)
    check("KEEP=1" in out and "LANG" not in out, out)
    out = inside("env", "--env", "HOME", env=env)
    check("HOME=/outside" in out, out)


@case("writable paths persist, all others do not, and a relative path is where the caller is")
def _():
    with open_directory() as path:
        os.mkdir(os.path.join(path, "out"))
        os.chmod(os.path.join(path, "out"), 0o777)
        if os.geteuid() == 0:  # what root owns is never made writable
            os.chown(os.path.join(path, "out"), 65534, 65534)
        out = inside("echo x > out/file && pwd; echo y > other 2>/dev/null || echo refused",
                     "--readable", ".", "--writable", "out", cwd=path)
        equal(out, f"{path}\nrefused\n", "output")
        equal(os.listdir(path), ["out"], "what is there")
        with open(os.path.join(path, "out", "file")) as file:
            equal(file.read(), "x\n", "what was written")


@case("plan says of a writable path that run would refuse it, and why")
def _():
    with open_directory() as path:
        os.mkdir(os.path.join(path, "out"))
        words = ["--readable", ".", "--writable", "out", "--", "true"]
        code, out, err = run("plan", *words, cwd=path)
        equal((code, "belongs to root" in err), (0, os.geteuid() == 0), f"plan: {err}")
        code, _, err = run("run", *words, cwd=path)
        equal((code, "belongs to root" in err), (125, True) if os.geteuid() == 0 else (0, False), f"run: {err}")
        os.chmod(os.path.join(path, "out"), 0o777)
        if os.geteuid() == 0:
            os.chown(os.path.join(path, "out"), 65534, 65534)
        code, out, err = run("plan", *words, cwd=path)
        equal((code, "belongs to root" in err), (0, False), f"plan of another owner's: {err}")


@case("without a kit for guests, plan says what is missing and how to get it")
def _():
    with open_directory() as path:
        code, out, err = run("plan", "--backend", "microvm", "--", "true",
                             env={**os.environ, "CLOCHE_GUEST_DIR": f"{path}/none"})
    equal((code, out), (125, ""), "plan")
    check(f"{path}/none: No such file" in err and "cloche-make-guest" in err, err)


@case("--without says what it leaves out, and the plan promises less")
def _():
    code, _, err = run("run", "--without", "uts,net", "--", "true")
    equal(code, 0, "exit code")
    check("'uts' is LEFT OUT" in err and "'net' is LEFT OUT" in err, err)
    plan = json.loads(run("plan", "--json", "--without", "net", "--", "true")[1])
    equal(plan["without"], ["net"], "without")
    check("net.disable" not in plan["uses"], "net.disable is not promised")
    check("layer.removed" in [caveat["code"] for caveat in plan["caveats"]], "caveat")
    code, _, err = run("run", "--without", "net", "--require", "net.disable", "--", "true")
    equal(code, 125, "required and left out")


@case("a profile is taken, and options win over it")
def _():
    plan = json.loads(run("plan", "--json", "--profile", "tight", "--", "true")[1])
    equal(plan["limits"]["pids"], 64, "pids of the profile")
    plan = json.loads(run("plan", "--json", "--pids", "9", "--profile", "tight", "--", "true")[1])
    equal(plan["limits"]["pids"], 9, "pids of the option")
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", dir="/run" if os.geteuid() == 0 else None
                                     ) as file:
        file.write("profiles:\n  mine:\n    hostname: bell\nusers:\n  \"*\":\n    profile: mine\n")
        file.flush()
        code, out, err = run("run", "--config", file.name, "--profile", "mine", "--", "uname", "-n")
        equal((code, out), (0, "bell\n"), f"{err}")


@case("nothing is left behind by any of this")
def _():
    before = things()
    run("run", "--memory", "64M", "--pids", "9", "--", "sh", "-c", "sleep 100 & exit 0")
    run("run", "--timeout", "1", "--", "sleep", "60")
    process = subprocess.Popen([CLOCHE, "run", "--", "sleep", "100"], stdin=subprocess.DEVNULL)
    time.sleep(0.5)
    process.send_signal(signal.SIGHUP)
    equal(process.wait(20), 129, "hung up")
    nothing_new(before)
    equal(descendants(os.getpid()), [], "processes")


@case("an ordinary user gets a sandbox too, and is told what is lost")
def _():
    if os.geteuid() != 0:
        raise Skip("this is an ordinary user already: every other case shows it")
    with open_directory() as path:
        program = shutil.copy(CLOCHE, path)
        env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}

        def as_nobody(*args):
            done = subprocess.run([program, *args], stdin=subprocess.DEVNULL, capture_output=True,
                                  env=env, user=65534, group=65534, extra_groups=[], cwd="/",
                                  timeout=60)
            return done.returncode, done.stdout.decode(), done.stderr.decode()

        equal(as_nobody("run", "--", "sh", "-c", "id -u; exit 4")[:2], (4, "1000\n"), "a run")
        plan = json.loads(as_nobody("plan", "--json", "--", "true")[1])
        check("id.single_uid" in [caveat["code"] for caveat in plan["caveats"]], "caveat")
        code, _, err = as_nobody("run", "--cpus", "1", "--", "true")
        check(code == 0 and "res.cpu.no_cgroup" in err, f"{code} {err}")
        code, _, err = as_nobody("run", "--cpus", "1", "--refuse-on", "missing", "--", "true")
        check(code == 125 and "res.cpu.no_cgroup" in err, f"{code} {err}")


# --- the rest ---------------------------------------------------------------------------------


@case("caps, backends and doctor say it for machines too")
def _():
    caps = json.loads(run("caps", "--json")[1])
    equal(len(caps["capabilities"]), 29, "capabilities")
    native = [b for b in caps["backends"] if b["name"] == "native"][0]
    check(native["available"], f"{native}")
    kept = [c for c in caps["capabilities"] if c["name"] == "net.disable"][0]
    check("native" in kept["backends"], "net.disable")
    equal((kept["kind"], kept["portable"]), ("restriction", True), "net.disable")
    check({"expects": "shut", "name": "N.tcp4"} in kept["probes"], f"{kept}")
    enforced = [set(b["enforces"]) for b in caps["backends"]]
    equal(set(caps["union"]), set.union(*enforced), "union")
    equal(set(caps["intersection"]), set.intersection(*enforced), "intersection")
    for backend in caps["backends"]:
        equal(set(backend["extras"]), set(backend["enforces"]) - set(caps["portable"]), "extras")
        check(backend["available"] or backend["reason"], f"{backend['name']} does not say why")
        check(backend["kernel"] in ("shared", "user-kernel", "separate-guest"), f"{backend}")
    equal(sum(c["portable"] for c in caps["capabilities"]), 12, "portable ones")
    check(json.loads(run("backends", "--json")[1])["backends"], "backends")
    findings = {f["name"]: f for f in json.loads(run("doctor", "--json")[1])["findings"]}
    check(findings["user_namespaces"]["good"] and findings["landlock"]["good"], f"{findings}")
    equal(findings["root"]["good"], os.geteuid() == 0, "root")
    for command in ("caps", "backends", "doctor", "explain", "caps --probes",
                    "caps --profile lab", "explain --profile lab"):
        code, out, _ = run(*command.split())
        check(code == 0 and max(map(len, out.splitlines())) <= 80, f"{command}: 80 columns")


@case("what a plan keeps stands beside what its backend could, and the reasons with it")
def _():
    table = json.loads(run("explain", "--json", "--memory", "64M", "--", "true")[1])
    check({"net.disable", "res.memory"} <= set(table["asked"]), f"{table['asked']}")
    equal(table["taken"], "native", "taken")
    ranks = sorted(b["rank"] for b in table["backends"] if b["rank"])
    equal(ranks, list(range(1, len(ranks) + 1)), "ranks")
    for backend in table["backends"]:
        check(set(backend["uses"]) <= set(backend["enforces"]), f"{backend['name']} boasts")
        equal(backend["reason"] is None, backend["rank"] > 0, f"{backend['name']}'s reason")
    equal(json.loads(run("caps", "--json", "--memory", "64M", "--", "true")[1]), table, "caps")
    code, out, _ = run("explain", "--require", "mach.restrict", "--", "true")
    check(code == 125 and "None is taken" in out, f"{code} {out}")
    code, out, _ = run("caps", "--net", "enable")
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if "." in line}
    check("+" in rows["net.enable"] and "!p" in rows["net.enable"], f"{rows['net.enable']}")
    check("+" not in rows["net.disable"], f"{rows['net.disable']}")


@case("built-in profiles need no file")
def _():
    for name in ("tight", "lab"):
        equal(run("plan", "--profile", name, "--", "true")[0], 0, name)
    plan = json.loads(run("plan", "--json", "--profile", "agent", "--net", "disable",
                          "--env", "CI_TOKEN=x", "--", "true")[1])
    check({"fs.read.deny", "env.scrub", "fs.write.ephemeral"} <= set(plan["uses"]), "agent")
    check(not [e for e in plan["env"] if e.startswith("CI_TOKEN")], "a secret in the environment")
    code, _, err = run("plan", "--profile", "agent", "--", "true")
    check(code == 0 or "net.outbound" in err, err)
    code, _, err = run("plan", "--profile", "nonesuch", "--", "true")
    check(code == 2 and "has no profile 'nonesuch'" in err, err)


@case("a plan is printed in the form that is asked for, or it is said who has it")
def _():
    json_form = run("plan", "--json", "--", "true")[1]
    equal(run("plan", "--format", "json", "--", "true")[1], json_form, "json")
    equal(run("plan", "--format", "text", "--", "true")[1], run("plan", "--", "true")[1], "text")
    code, _, err = run("plan", "--format", "argv", "--backend", "native", "--", "true")
    check(code == 2 and "native's plan has no argument list" in err, f"{code} {err}")
    policy = json.loads(run("plan", "--format", "seccomp-json", "--backend", "native", "--", "x")[1])
    equal(policy["defaultAction"], "SCMP_ACT_ERRNO", "what is not listed")
    code, _, err = run("plan", "--format", "yaml", "--", "true")
    check(code == 2 and "there are: text, json, oci, seccomp-json, sbpl, argv" in err, err)
    code, _, err = run("run", "--format", "json", "--", "true")
    check(code == 2 and "cloche plan" in err, err)


@case("every name can be explained")
def _():
    words = re.findall(r"^  (\S+)", run("explain")[1], re.M)
    check(len(words) > 80, f"{len(words)} names")
    code, out, err = run("explain", *[w for w in words if w != "cloche"])
    equal(code, 0, err)
    check(max(map(len, out.splitlines())) <= 80, "80 columns")


@case("docs/CAVEATS.md lists the caveats as the table has them")
def _():
    with open(os.path.join(SOURCE, "docs", "CAVEATS.md")) as file:
        equal(file.read(), run("explain", "--markdown")[1],
              "docs/CAVEATS.md (write it with cloche explain --markdown)")


@case("the manual page has every command and option")
def _():
    with open(os.path.join(SOURCE, "cli", "cloche.1.scd")) as file:
        page = file.read()
    help_text = run("help", "run")[1]
    options = re.findall(r"^  (--[a-z-]+)", help_text, re.M)
    check(len(options) > 30, f"{options}")
    for option in options:
        check(f"*{option}*" in page, f"{option} is not in cloche(1)")
    for option in re.findall(r"^\*(--[a-z-]+)\*", page, re.M):
        check(option in options, f"{option} is in cloche(1) only")
    for command in re.findall(r"^  ([a-z]+) ", run("help")[1], re.M):
        if command != "cloche":
            check(f"*{command}*" in page, f"{command} is not in cloche(1)")


@case("passwd makes a line from standard input, and from a terminal when both say the same")
def _():
    code, out, _ = run("passwd", data=b"correct horse\n")
    check(code == 0 and out.startswith("$argon2id$"), out)
    for data in (b"", b"\n"):
        code, out, err = run("passwd", data=data)
        check(code == 1 and out == "" and "empty" in err, err)
    for second, expected in (("secret", 0), ("other", 1)):
        with Terminal("passwd") as terminal:
            terminal.expect("Password: ")
            terminal.send("secret\r")
            terminal.expect("again: ")
            terminal.send(second + "\r")
            terminal.expect("$argon2id$" if expected == 0 else "differ")
            check(b"secret" not in terminal.seen, "nothing is echoed")
            equal(terminal.process.wait(20), expected, "exit code")
            equal(termios.tcgetattr(terminal.slave)[:4], terminal.before[:4], "terminal modes")


@case("keygen makes a key that OpenSSH reads, and never overwrites one")
def _():
    with tempfile.TemporaryDirectory() as path:
        key = os.path.join(path, "host")
        equal(run("keygen", "-t", "ed25519", "-f", key)[0], 0, "exit code")
        equal(os.stat(key).st_mode & 0o777, 0o600, "mode")
        public = subprocess.run(["ssh-keygen", "-y", "-f", key], capture_output=True, check=True)
        with open(key + ".pub", "rb") as file:
            equal(file.read().split()[:2], public.stdout.split()[:2], "public half")
        code, _, err = run("keygen", "-f", key)
        check(code == 1 and "host" in err, err)


@case("the version and the help are where people look for them")
def _():
    check(re.fullmatch(r"cloche \d+\.\d+\.\d+\n", run("--version")[1]), "--version")
    for args in (["--help"], ["help"], ["-h"]):
        code, out, _ = run(*args)
        check(code == 0 and "usage: cloche" in out, f"{args}")
    equal(run("help", "run")[1], run("run", "--help")[1], "two ways to ask")
    for command in re.findall(r"^  ([a-z]+) ", run("help")[1], re.M):
        if command != "cloche":
            width = max(map(len, run("help", command)[1].splitlines()))
            check(width <= 80, f"help {command} is {width} columns wide")
    equal(run()[0], 2, "nothing said")


main()
