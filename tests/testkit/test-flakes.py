#!/usr/bin/python3
"""False alarms: what is kept must be seen as kept, run after run, on a machine that is busy with something else.

Native, bubblewrap, gvisor and docker (of an engine of its own) at what they declare, and bwrap's own command line:
CLOCHE_FLAKE_RUNS runs of each, 3 in the suite; by hand CLOCHE_FLAKE_RUNS=20, or --only podman or microvm.
"""
import argparse
import contextlib
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ["CLOCHE_SOURCE"], "tests", "e2e"))
from engines import ENGINES  # noqa: E402

HOST = os.path.join(os.environ["CLOCHE_BUILD"], "testkit", "cloche-testkit-host")
BWRAP = ("exec:bwrap --ro-bind / / --tmpfs {deny} --dev /dev --proc /proc --tmpfs /tmp --tmpfs /run "
         "--unshare-all --new-session --die-with-parent {client}")
LIMITS = ["--memory=64M", "--pids=40", "--cpus=0.5", "--disk=32M", "--env-deny=SECRET_*"]
SPEC = ["--write=none", "--net=disable", "--readable=/usr", "--timeout=1h", *LIMITS]
TARGETS = {
    "native": ["--target=native", *SPEC],
    "bubblewrap": ["--target=bubblewrap", *SPEC],
    "exec:bwrap": [f"--target={BWRAP}", "--declare=net.disable,fs.read.host,fs.read.deny,dev.minimal"],
    "gvisor": ["--target=gvisor", "--write=none", "--net=disable", "--run-timeout=30s"],
    "docker": ["--target=docker", "--write=none", "--run-timeout=30s", *LIMITS],
}
BY_HAND = {
    "podman": ["--target=podman", "--write=none", "--run-timeout=30s", *LIMITS],
    "microvm": ["--target=microvm", "--write=none", "--net=disable", "--run-timeout=120s"],
}


def options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=int(os.environ.get("CLOCHE_FLAKE_RUNS", "3")))
    parser.add_argument("--load", type=int, default=2, help="busy loops a processor")
    parser.add_argument("--only", choices=[*TARGETS, *BY_HAND], help="one target")
    return parser.parse_args()


def keep_busy(count):
    """Loops on every processor, at the lowest priority below ours that still takes turns with us."""
    loop = [sys.executable, "-c", "import os\nos.nice(5)\nwhile True: sum(range(10000))"]
    return [subprocess.Popen(loop, stdin=subprocess.DEVNULL) for _ in range(count * os.cpu_count())]


def alarms_of(done):
    """Why a run that should find nothing did; nothing when it did not."""
    if done.returncode == 0:
        return []
    return [f"exit {done.returncode}"] + [
        line for line in (done.stdout + done.stderr).splitlines()
        if any(word in line for word in ("FAIL", "INCONCLUSIVE", "error", "LEFT"))][:12]


def measure(words, runs):
    alarms = []
    for _ in range(runs):
        alarms += alarms_of(subprocess.run([HOST, "--quick", *words], stdin=subprocess.DEVNULL,
                                           capture_output=True, text=True, timeout=180, check=False))
    return alarms


def measure_while_mounts_go():
    """A file system that is unmounted meanwhile leaves its number to the next, which may be the sandbox's."""
    alarms = []
    for pause in ("0.1", "0.3", "0.5"):
        with tempfile.TemporaryDirectory(prefix="cloche-mounts.") as place:
            script = (f'for i in $(seq 20); do mkdir {place}/$i; mount -t tmpfs x {place}/$i; done; '
                      f'(sleep {pause}; umount {place}/*) & "$@"; code=$?; wait; exit $code')
            alarms += alarms_of(subprocess.run(
                ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", HOST, "--quick",
                 "--target=native"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                check=False))
    return alarms


def main():
    if os.geteuid() != 0:
        print("1..0 # SKIP takes root, as the canaries do")
        return 0
    wanted = options()
    targets = {wanted.only: {**TARGETS, **BY_HAND}[wanted.only]} if wanted.only else TARGETS
    print(f"1..{len(targets) + 1}")
    load, failed = keep_busy(wanted.load), 0
    try:
        for number, (name, words) in enumerate(targets.items(), 1):
            with ENGINES[name]() if name in ENGINES else contextlib.nullcontext():
                alarms = measure(words, wanted.runs)
            print(f"{'not ok' if alarms else 'ok'} {number} - {name}: {wanted.runs} runs without a false alarm")
            print("".join(f"# {line}\n" for line in alarms), end="", flush=True)
            failed += bool(alarms)
        alarms = measure_while_mounts_go()
        print(f"{'not ok' if alarms else 'ok'} {len(targets) + 1} - what is unmounted meanwhile is no alarm")
        print("".join(f"# {line}\n" for line in alarms), end="", flush=True)
        failed += bool(alarms)
    finally:
        for process in load:
            process.kill()
            process.wait()
    return 1 if failed else 0


sys.exit(main())
