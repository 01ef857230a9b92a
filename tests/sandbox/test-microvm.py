"""Sessions with a kernel of their own: what they see, how they end, and what is left.

The kit is made here from Debian's kernel package. Each machine takes seconds where there is no KVM,
so each case asks many things of one machine.
"""
import fcntl
import json
import os
import platform
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "e2e"))
import guests  # noqa: E402
from lib import BUILD, Skip, case, main  # noqa: E402

CLOCHE = os.path.join(BUILD, "cli", "cloche")
BOOT = 150  # seconds, on a machine with much else to do
HERE = tempfile.mkdtemp(prefix="cloche-microvm.", dir="/srv" if os.geteuid() == 0 else None)
os.chmod(HERE, 0o755)
MARK = os.path.basename(HERE)

if platform.machine() != "x86_64":
    print("1..0 # SKIP the machine in QEMU is an x86-64 one")
    sys.exit(77)
KIT = guests.use(BUILD)
ENV = {**os.environ, "CLOCHE_GUEST_DIR": KIT}


def words(*options):
    return [CLOCHE, "run", "--backend=microvm", f"--readable={HERE}", *options]


def ours():
    """Processes of QEMU and relays that this test's sessions have on the host: the plan names HERE."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                line = file.read()
            with open(f"/proc/{pid}/status", encoding="utf-8") as file:
                zombie = "State:\tZ" in file.read()
        except OSError:
            continue
        if KIT.encode() in line and not zombie and int(pid) != os.getpid():
            found.append(int(pid))
    return found


def gone(seconds=10):
    for _ in range(seconds * 10):
        if not ours():
            return True
        time.sleep(0.1)
    return False


@case("a command runs on a kernel of its own, confined there too, and its streams and code come back")
def _():
    scope = os.path.join(HERE, "scope")
    os.mkdir(scope)
    if os.geteuid() == 0:
        os.chown(scope, 54411, 54411)
    with open(os.path.join(HERE, "given"), "w", encoding="utf-8") as file:
        file.write("GIVEN")
    script = f"""
        uname -r; ls /sys/class/net 2>/dev/null; cat /proc/net/dev | grep -c :
        grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status
        cat {HERE}/given; echo; ls / | tr '\\n' ' '; echo
        cat; echo made >{scope}/file; touch /usr/no 2>/dev/null || echo READONLY
        dd if=/dev/zero of=/tmp/fill bs=1M count=40 2>/dev/null || echo FULL
        (sleep 600 & sleep 600 & sleep 600 & sleep 600 & sleep 600 & wait) 2>/dev/null & sleep 1
        echo to-stderr >&2; exit 37"""
    done = subprocess.run(
        words("--verbose", "--write=scope", f"--writable={scope}", "--memory=128M", "--pids=6", "--disk=16M", "--",
              "/bin/sh", "-c", script),
        capture_output=True, text=True, input="INPUT\n", timeout=BOOT, env=ENV, check=False)
    out = done.stdout
    assert done.returncode == 37, (done.returncode, out, done.stderr)
    assert out.splitlines()[0] != platform.release() and out.startswith("6."), out
    assert "\n1\n" in out, f"one network interface, the loopback: {out}"
    assert "CapEff:\t0000000000000000" in out and "NoNewPrivs:\t1" in out and "Seccomp:\t2" in out, out
    assert "GIVEN" in out and "INPUT" in out and "READONLY" in out and "FULL" in out, out
    assert "home root" not in out and " boot" not in out, out
    assert "to-stderr" in done.stderr and "to-stderr" not in out, done.stderr
    assert re.search(r"started in \d+\.\d\d s, of it the guest's boot \d+\.\d\d s", done.stderr), done.stderr
    made = os.stat(os.path.join(scope, "file"))
    assert made.st_uid == os.stat(scope).st_uid, made
    assert gone(), ours()


@case("a terminal is made in the guest: it is resized, its keys are signals, and the end is told")
def _():
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 101, 0, 0))
    child = subprocess.Popen(words("--", "/bin/sh", "-c",
                                   "tty; stty size; trap 'stty size' WINCH; echo READY; "
                                   "while :; do sleep 1; done"),
                             stdin=slave, stdout=slave, stderr=slave, env=ENV, start_new_session=True)
    os.close(slave)
    seen = ""

    def until(text, seconds):
        nonlocal seen
        end = time.time() + seconds
        while text not in seen and time.time() < end:
            if select.select([master], [], [], 0.2)[0]:
                try:
                    seen += os.read(master, 4096).decode(errors="replace")
                except OSError:
                    break
        assert text in seen, seen

    until("READY", BOOT)
    assert "/dev/pts/0" in seen and "33 101" in seen, seen
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 77, 0, 0))
    os.kill(child.pid, signal.SIGWINCH)
    until("20 77", 30)
    os.write(master, b"\x03")
    assert child.wait(30) == 128 + signal.SIGINT, child.returncode
    os.close(master)
    assert gone(), ours()


@case("the time limit is kept outside of the guest, and counts from the command's start")
def _():
    begun = time.time()
    done = subprocess.run(words("--timeout=2", "--", "/bin/sh", "-c", "echo BEGUN; sleep 600"),
                          capture_output=True, text=True, timeout=BOOT, env=ENV, check=False)
    assert done.returncode == 124, (done.returncode, done.stderr)
    assert "BEGUN" in done.stdout and time.time() - begun >= 2, done.stdout
    assert gone(), ours()


@case("a server that is killed leaves nothing: no QEMU, no relay")
def _():
    child = subprocess.Popen(words("--", "/bin/sh", "-c", "echo READY; sleep 600"), stdout=subprocess.PIPE,
                             stdin=subprocess.DEVNULL, text=True, env=ENV)
    assert child.stdout.readline() == "READY\n"
    assert len(ours()) >= 2, "the control: they are there while it runs"
    child.kill()
    child.wait()
    child.stdout.close()
    assert gone(), ours()


@case("QEMU runs as an id of its own, with no powers, no network, and filters")
def _():
    if os.geteuid() != 0:
        raise Skip("without root there is one id")
    child = subprocess.Popen(words("--", "/bin/sh", "-c", "echo READY; sleep 600"), stdout=subprocess.PIPE,
                             stdin=subprocess.DEVNULL, text=True, env=ENV)
    assert child.stdout.readline() == "READY\n"
    try:
        machine = [pid for pid in ours() if os.readlink(f"/proc/{pid}/exe").endswith("qemu-system-x86_64")]
        assert machine, ours()
        with open(f"/proc/{machine[0]}/status", encoding="utf-8") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        assert int(status["Uid"].split()[0]) > 100000, status["Uid"]
        assert int(status["CapEff"], 16) == 0 and int(status["CapBnd"], 16) == 0, status
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", status
        assert int(status["Seccomp_filters"]) >= 2, "ours and QEMU's own"
        for space in ("net", "mnt", "pid", "ipc", "user"):
            assert os.readlink(f"/proc/{machine[0]}/ns/{space}") != os.readlink(f"/proc/self/ns/{space}")
        root = os.listdir(f"/proc/{machine[0]}/root/export")
        assert "home" not in root and "root" not in root and "boot" not in root, root
    finally:
        child.terminate()
        child.wait(30)
        child.stdout.close()
    assert gone(), ours()


# What is left out of the guest, and the promises that must then be seen broken there: by the host, and by
# the testkit's eye in the guest. (Processor time is kept by the machine's control group as well.)
LEFT_OUT = "read_deny,filter,caps,no_new_privs,user_limits,cgroup,rlimits,disk,env,uts,masks"
BROKEN = {"fs.read.deny", "kernel.filter", "priv.none", "res.memory", "res.pids", "res.disk",
          "env.scrub", "host.conceal"}


@case("the testkit notices a plan whose layers were left out, in the jail and in the guest")
def _():
    if os.geteuid() != 0:
        raise Skip("the controls take another user, and that takes root")
    done = subprocess.run(
        [os.path.join(BUILD, "testkit", "cloche-testkit-host"), "--target", "microvm", "--quick", "--format",
         "json", "--readable", "/usr", "--read-deny", "/usr/share/doc", "--memory=128M", "--pids=40",
         "--cpus=0.5", "--disk=16M", "--env-deny=SECRET*", "--without", LEFT_OUT],
        capture_output=True, text=True, timeout=3 * BOOT, env=ENV, check=False)
    report = json.loads(done.stdout)
    found = {item["name"]: item["verdict"] for item in report["capabilities"] if item["declared"]}
    assert done.returncode == 1 and BROKEN <= {name for name in found if found[name] == "FAIL"}, found
    assert report["boot_usec"] > 0, "the boot's time is in the report"


@case("a kit that others can write to is not booted")
def _():
    copy = os.path.join(HERE, "kit")
    shutil.copytree(KIT, copy)
    os.chmod(os.path.join(copy, "initrd"), 0o666)
    done = subprocess.run(words("--", "/bin/true"), capture_output=True, text=True, timeout=20,
                          env={**ENV, "CLOCHE_GUEST_DIR": copy}, check=False)
    assert done.returncode == 125 and "others can write to it" in done.stderr, done.stderr
    done = subprocess.run([CLOCHE, "plan", "--json", "--backend=microvm", "--readable=/opt", "--", "true"],
                          capture_output=True, text=True, timeout=20, env=ENV, check=True)
    plan = json.loads(done.stdout)
    with open(os.path.join(KIT, "manifest"), encoding="utf-8") as file:
        digest = file.read().split("digest ")[1].strip()
    assert digest in json.dumps(plan["jail"]) and plan["kernel"] == "separate-guest", plan["kernel"]


try:
    main()
finally:
    shutil.rmtree(HERE, ignore_errors=True)
