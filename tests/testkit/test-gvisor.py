"""The gvisor backend, measured: what its plan declares is observed, by what the host sees, and a plan
without a layer is caught."""
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile

CLOCHE = os.path.join(os.environ["CLOCHE_BUILD"], "cli", "cloche")
HOST = os.path.join(os.environ["CLOCHE_BUILD"], "testkit", "cloche-testkit-host")
ASKED = ["--net=disable", "--readable=/usr", "--read-deny=/root/.none", "--write=none", "--memory=256M",
         "--pids=40", "--disk=16M", "--cpus=0.5", "--env-deny=SECRET*", "--no-exec"]
LIMITED = "--timeout=60"  # measured once: the testkit waits some seconds for a limit of time
DECLARES = {"net.disable", "fs.read.scope", "fs.read.deny", "fs.write.deny", "env.scrub", "proc.no_exec",
            "ipc.restrict", "res.cpu", "res.memory", "res.pids", "res.disk", "res.time",
            "proc.isolation", "kernel.filter", "priv.none", "tty.isolate", "host.conceal",
            "session.fresh", "kernel.isolation"}
# What is left out, and which promise must then be seen broken.
BROKEN = {"net": ["net.disable"], "filter": ["proc.no_exec", "kernel.filter", "priv.none"],
          "cgroup": ["res.memory", "res.cpu"], "env": ["env.scrub"], "rlimits": ["res.pids"],
          "disk": ["res.disk"], "caps": ["priv.none"], "read_deny": ["fs.read.deny"],
          "read_only": ["fs.write.deny"], "mount": ["fs.read.scope"]}


def measure(*arguments):
    command = [HOST, "--target", "gvisor", "--quick", "--format", "json", *arguments]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    try:
        report = json.loads(result.stdout)
    except ValueError:
        report = {"capabilities": [], "probes": []}
    return result.returncode, report, result.stderr


def capabilities(report):
    return {item["name"]: item for item in report["capabilities"]}


def check(number, name, good, text=""):
    print("%s %d - %s" % ("ok" if good else "not ok", number, name))
    if not good:
        print("".join("# %s\n" % line for line in str(text).splitlines()))
    return good


def run_as_user():
    """Without root: a command that is another user's of the host, and 0 inside. Its limit on tasks is
    runsc's own, its exit code arrives, and what it cannot have is said."""
    with tempfile.TemporaryDirectory(prefix="cloche-gvisor.") as place:
        os.chmod(place, 0o755)
        program = shutil.copy(CLOCHE, place)
        result = subprocess.run(
            ["runuser", "-u", "nobody", "--", program, "run", "--backend=gvisor", "--readable=/usr", "--pids=40",
             "--", "/bin/bash", "-c", "id -u; ulimit -u; grep -E 'CapEff|Seccomp:' /proc/self/status; exit 7"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    lines = result.stdout.split()
    good = (result.returncode, lines) == (7, ["0", "40", "CapEff:", "0" * 16, "Seccomp:", "2"])
    return good and "res.pids.no_cgroup" in result.stderr, result


def check_files():
    """Files as standard streams are written and read where the caller is in them, which runsc itself
    does not do, and what the command has not read is left to the next."""
    with tempfile.TemporaryFile(buffering=0) as out, tempfile.TemporaryFile(buffering=0) as lines:
        def run(program, stdin=subprocess.DEVNULL):
            return subprocess.run([CLOCHE, "run", "--backend=gvisor", "--readable=/usr", "--", "/bin/sh", "-c",
                                   program], stdin=stdin, stdout=out, stderr=subprocess.DEVNULL,
                                  timeout=120).returncode
        out.write(b"first\n")
        codes = [run("echo second; head -c 200000 /dev/zero | tr '\\0' x; echo; exit 3")]
        out.write(b"third\n")
        lines.write(b"a\nb\nc\n")
        lines.seek(2)
        codes.append(run("read line; echo $line", lines))
        rest = lines.read()
        out.seek(0)
        seen = out.read().replace(b"x" * 200000, b"many")
    return (codes, seen, rest) == ([3, 0], b"first\nsecond\nmany\nthird\nb\n", b"c\n"), (codes, seen[:200], rest)


def check_second_name():
    """What is denied below /usr is denied below /bin too, where a host has both as one; and the
    built-in lab, whose list names both, opens."""
    lab = subprocess.run([CLOCHE, "run", "--profile=lab", "--backend=gvisor", "--", "/bin/true"],
                         stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    result = subprocess.run(
        [CLOCHE, "run", "--backend=gvisor", "--readable=/usr", "--read-deny=/usr/bin/nl", "--", "/bin/sh", "-c",
         "for f in /usr/bin/nl /bin/nl /bin/cat; do $f /dev/null 2>/dev/null; echo $?; done"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    return (lab.returncode, result.stdout.split()) == (0, ["126", "126", "0"]), (lab, result)


def below(root):
    """root and all that descends from it."""
    parents = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", "rb") as stat:
            parents.setdefault(int(stat.read().rpartition(b")")[2].split()[1]), []).append(int(pid))
    found = [root]
    for pid in found:
        found += parents.get(pid, [])
    return found


def field(pid, name):
    """A number of /proc/PID/status; 0 where there is none, or nobody is there any more."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status") as status:
        return next((int(line.split()[1]) for line in status if line.startswith(name + ":")), 0)
    return 0


def tracers(pids):
    """Who traces any of them: on the ptrace platform, and no other, runsc traces what it runs. The tracer is
    named by its thread."""
    return {field(thread, "Tgid") for thread in {field(pid, "TracerPid") for pid in pids} - {0}} & set(pids)


def room(pids):
    """How many descriptors there is room for in each of runsc's processes, but for those that it traces."""
    found = {}
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline") as words:
            name = words.read().partition("\0")[0]
            if name.startswith("runsc"):
                found[name] = field(pid, "FDSize")
    return found


def check_platform():
    """The plan takes systrap where runsc's help knows it, else ptrace, and that is what runs. Nothing of it waits
    for room for descriptors, which would take a kernel 10 to 20 ms each time."""
    words = ["--backend=gvisor", "--readable=/usr", "--", "/bin/sh", "-c", "echo READY; read line"]
    plan = json.loads(subprocess.run([CLOCHE, "plan", "--json", *words], capture_output=True, timeout=60,
                                     check=True).stdout)
    said = [word.partition("=")[2] for word in plan["command"] if word.startswith("--platform=")]
    text = subprocess.run(["runsc", "flags"], capture_output=True, text=True, timeout=60)
    known = "systrap" in text.stdout + text.stderr
    with subprocess.Popen([CLOCHE, "run", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as session:
        ready = session.stdout.readline()
        traced = [os.path.basename(os.readlink(f"/proc/{pid}/exe")) for pid in tracers(below(session.pid))]
        rooms = room(below(session.pid))
        session.stdin.close()
        session.wait(60)
    expected = (["systrap"], []) if known else (["ptrace"], ["runsc"])
    wide = {"runsc", "runsc-gofer", "runsc-sandbox"} <= set(rooms) and min(rooms.values()) >= 512
    return ready == b"READY\n" and (said, traced) == expected and wide, (ready, said, traced, known, rooms)


def main():
    if os.geteuid() != 0:
        print("1..0 # SKIP takes root, as the canaries do")
        return 0
    print("1..%d" % (8 + len(BROKEN)))
    code, report, errors = measure(*ASKED, LIMITED)
    found = capabilities(report)
    wrong = {name: item["verdict"] for name, item in found.items()
             if item["declared"] and item["verdict"] != "PASS"}
    declared = {name for name, item in found.items() if item["declared"]}
    good = check(1, "what is declared is observed", code == 0 and not wrong, (code, wrong, errors))
    good &= check(2, "all is declared that is asked for", declared == DECLARES, declared ^ DECLARES)
    probe = next((item for item in report["probes"] if item["id"] == "K.same-kernel"), {})
    good &= check(3, "kernel.isolation is what the host sees, and not in a control outside",
                  (probe.get("evidence"), probe.get("control")) == ("unseen", "OPEN"), probe)
    code, report, errors = measure("--net=disable", "--readable=/usr", "--write=ephemeral")
    good &= check(4, "throw-away writes are thrown away", code == 0 and
                  capabilities(report).get("fs.write.ephemeral", {}).get("verdict") == "PASS", errors)
    for number, (layer, names) in enumerate(BROKEN.items(), 5):
        code, report, errors = measure(*ASKED, "--without", layer)
        found = {name: capabilities(report).get(name, {}).get("verdict") for name in names}
        good &= check(number, f"without {layer}, seen broken: {', '.join(names)}",
                      code == 1 and set(found.values()) == {"FAIL"}, (code, found, errors))
    worked, result = run_as_user()
    good &= check(5 + len(BROKEN), "without root a command runs, is 0 inside, and keeps its limits", worked, result)
    worked, result = check_files()
    good &= check(6 + len(BROKEN), "files as standard streams are used from where they are", worked, result)
    worked, result = check_second_name()
    good &= check(7 + len(BROKEN), "a place with two names is denied and listed by both", worked, result)
    worked, result = check_platform()
    good &= check(8 + len(BROKEN), "runsc runs with the platform that the plan names, and with room for descriptors", worked, result)
    return 0 if good else 1


sys.exit(main())
