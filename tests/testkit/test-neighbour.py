#!/usr/bin/python3
"""A measurement by root beside another user of its host, who may write where its canaries lie."""
import glob
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from lib import BUILD, Skip, case, check, equal, main, run

HOST = os.path.join(BUILD, "testkit", "cloche-testkit-host")
CLIENT = os.path.join(BUILD, "testkit", "cloche-testkit-client")
NEIGHBOUR = 61237  # nobody's
TRIES = 5


def neighbour(directory, victim):
    """Puts a link to the victim in the place of a canary that anybody may replace. Returns its pid."""
    pid = os.fork()
    if pid:
        return pid
    os.setgroups([])
    os.setresgid(NEIGHBOUR, NEIGHBOUR, NEIGHBOUR)
    os.setresuid(NEIGHBOUR, NEIGHBOUR, NEIGHBOUR)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for path in glob.glob(os.path.join(directory, ".cloche-testkit.*", "leak", "file")):
            try:
                os.unlink(path)
                os.symlink(victim, path)
                os._exit(0)
            except OSError:
                pass
        time.sleep(0.001)
    os._exit(1)


@case("a link in the place of a canary costs nobody a file, and nothing is left")
def link():
    if os.geteuid() != 0:
        raise Skip("the other user wants root")
    directory = tempfile.mkdtemp(prefix="ct", dir="/tmp")
    victim = directory + "-file"
    try:
        os.chmod(directory, 0o755)
        swapped = False
        for _ in range(TRIES):
            with open(victim, "w") as file:
                file.write("precious")
            os.chmod(victim, 0o600)
            pid = neighbour(directory, victim)
            result = run([HOST, "--target", "native", "--probe", "F.rofd", "--canary-dir", directory], timeout=60)
            if os.waitpid(pid, os.WNOHANG)[0] == 0:
                os.kill(pid, 9)
                os.waitpid(pid, 0)
                continue
            swapped = True
            check(result.code in (0, 1, 3), f"the measurement: {result}")
            with open(victim) as file:
                equal(file.read(), "precious", "what the link shows")
            equal(os.listdir(directory), [], "what is left")
            break
        check(swapped, "nobody came to put a link there")
    finally:
        shutil.rmtree(directory)
        os.unlink(victim)


@case("who traces the victim or makes it nicer is seen, by a kit that was started with nice(1) as well")
def priority():
    probes = ["P.seize", "P.group-nice", "P.nice"]
    for nice in ([], ["nice", "-n", "10"]):
        result = run(nice + [HOST, "--target=none", "--probe", ",".join(probes), "--format=json"], timeout=60)
        report = json.loads(result.out)
        found = {probe["id"]: probe["observed"] for probe in report["probes"] if probe["id"] in probes}
        equal(found, dict.fromkeys(probes, "OPEN"), f"with {nice}: what was seen outside any sandbox")


# Says when it takes in the signal that P.kill sends.
VICTIM = """
import os, signal, time
signal.signal(signal.SIGUSR1, lambda *_: os.write(1, b"got"))
os.write(1, b"for")
while True:
    time.sleep(60)
"""


def wait_for(pid, field, is_it):
    """Until /proc says so."""
    end = time.monotonic() + 60
    while True:
        with open(f"/proc/{pid}/status") as file:
            text = dict(line.split(":", 1) for line in file)[field].strip()
        if is_it(text):
            return
        check(time.monotonic() < end, f"{field} is {text}")
        time.sleep(0.001)


@case("a signal that was on its way to the victim when somebody began to trace it arrives")
def late_signal():
    with subprocess.Popen(["/usr/bin/python3", "-c", VICTIM], stdout=subprocess.PIPE) as victim, \
            subprocess.Popen([CLIENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        try:
            equal(victim.stdout.read(3), b"for", "the victim")
            # As on a busy machine: it has no processor until it is traced.
            os.kill(victim.pid, signal.SIGSTOP)
            wait_for(victim.pid, "State", lambda text: text.startswith("T"))
            client.stdin.write(b"set fence 0123456789abcdef\nset name cktest\nhello\nset victim %d\n"
                               b"set timeout 60000\nrun P.kill\nrun P.seize\ngo\n" % victim.pid)
            client.stdin.flush()
            wait_for(victim.pid, "TracerPid", lambda text: text != "0")
            os.kill(victim.pid, signal.SIGCONT)
            check(select.select([victim.stdout], [], [], 60)[0], "the signal was lost")
            equal(victim.stdout.read(3), b"got", "the victim")
        finally:
            client.stdin.close()
            client.kill()
            victim.kill()


if __name__ == "__main__":
    main()
