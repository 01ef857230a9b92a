"""False alarms: what is kept must be seen as kept, run after run, on a machine that is busy with something else.

Five runs of each target in the suite; more by hand: test-flakes.py 20
"""
import os
import subprocess
import sys
import tempfile

HOST = os.path.join(os.environ["CLOCHE_BUILD"], "testkit", "cloche-testkit-host")
BWRAP = ("exec:bwrap --ro-bind / / --tmpfs {deny} --dev /dev --proc /proc --tmpfs /tmp --tmpfs /run "
         "--unshare-all --new-session --die-with-parent {client}")
SPEC = ["--write=none", "--net=disable", "--readable=/usr", "--memory=64M", "--pids=40", "--cpus=0.5",
        "--disk=32M", "--env-deny=SECRET_*", "--timeout=1h"]
TARGETS = {
    "native": ["--target=native", *SPEC],
    "bubblewrap": ["--target=bubblewrap", *SPEC],
    "exec:bwrap": [f"--target={BWRAP}", "--declare=net.disable,fs.read.host,fs.read.deny,dev.minimal"],
}


def keep_busy():
    """Two loops on every processor, at the lowest priority below ours that still takes turns with us."""
    loop = [sys.executable, "-c", "import os\nos.nice(5)\nwhile True: sum(range(10000))"]
    return [subprocess.Popen(loop, stdin=subprocess.DEVNULL) for _ in range(2 * os.cpu_count())]


def alarms_of(done):
    """Why a run that should find nothing did; nothing when it did not."""
    if done.returncode == 0:
        return []
    return [f"exit {done.returncode}"] + [
        line for line in (done.stdout + done.stderr).splitlines()
        if "FAIL" in line or "INCONCLUSIVE" in line or "error" in line][:12]


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
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(f"1..{len(TARGETS) + 1}")
    load, failed = keep_busy(), 0
    try:
        for number, (name, words) in enumerate(TARGETS.items(), 1):
            alarms = []
            for _ in range(runs):
                done = subprocess.run([HOST, "--quick", *words], stdin=subprocess.DEVNULL, capture_output=True,
                                      text=True, timeout=60, check=False)
                alarms += alarms_of(done)
            print(f"{'not ok' if alarms else 'ok'} {number} - {name}: {runs} runs without a false alarm")
            print("".join(f"# {line}\n" for line in alarms), end="", flush=True)
            failed += bool(alarms)
        alarms = measure_while_mounts_go()
        print(f"{'not ok' if alarms else 'ok'} {len(TARGETS) + 1} - what is unmounted meanwhile is no alarm")
        print("".join(f"# {line}\n" for line in alarms), end="", flush=True)
        failed += bool(alarms)
    finally:
        for process in load:
            process.kill()
            process.wait()
    return 1 if failed else 0


sys.exit(main())
