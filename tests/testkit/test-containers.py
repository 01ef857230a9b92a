#!/usr/bin/python3
"""The docker and podman backends, measured by the testkit: with engines of our own (a private
dockerd, podman with private storage) and the image that ./dev image makes."""
import os
import re
import subprocess
import sys
import tempfile
import time

BUILD = os.environ["CLOCHE_BUILD"]
SOURCE = os.environ["CLOCHE_SOURCE"]
sys.path.insert(0, os.path.join(SOURCE, "tests", "e2e"))
from engines import ENGINES  # noqa: E402

HOST = os.path.join(BUILD, "testkit", "cloche-testkit-host")
CLOCHE = os.path.join(BUILD, "cli", "cloche")
ROWS = [(None, "--write=none", ""), (None, "--write=ephemeral", ""),
        (None, "--write=scope", ""), ("read_only", "--write=scope", "fs.write.scope"),
        ("filter", "--write=none", "kernel.filter"), ("net", "--write=none", "net.disable"),
        ("cgroup", "--write=none", "res.memory"), ("disk", "--write=none", "res.disk")]
number = 0


def report(ok, claim, text=""):
    global number
    number += 1
    print(f"{'ok' if ok else 'not ok'} {number} - {claim}")
    for line in "" if ok else text.splitlines()[-40:]:
        print("#", line)
    sys.stdout.flush()
    return ok


def run(*argv, seconds=60):
    # To a file: what a tool leaves behind must not hold a pipe of ours open.
    with tempfile.TemporaryFile("w+") as out:
        code = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=out,
                              stderr=subprocess.STDOUT, timeout=seconds).returncode
        out.seek(0)
        return code, out.read()


def measure(engine, without, write):
    argv = [HOST, f"--target={engine}", "--quick", "--env-deny=SECRET_*",
            "--memory=64M", "--pids=40", "--cpus=0.5", "--disk=32M", write]
    argv += [f"--without={without}"] if without else []
    with tempfile.TemporaryDirectory(prefix="cloche-scope-", dir="/var/lib") as place:
        os.chmod(place, 0o777)
        return run(*argv, *([f"--writable={place}"] if write == "--write=scope" else []))


def check(engine):
    for without, write, broken in ROWS:
        code, text = measure(engine, without, write)
        if without:
            ok = code == 1 and re.search(rf"{re.escape(broken)} +declared broken", text)
        else:
            ok = code == 0 and " 0 violated, 0 inconclusive" in text
        report(ok, f"{engine} {write} without {without or 'nothing'}", text)
    code, text = run(CLOCHE, "run", "--quiet", "--backend", engine, "--env-allow=PATH", "--", "sh", "-c",
                     "exit 7")
    report(code == 7, f"{engine}: the command's exit code", f"{code} {text}")
    code, text = run(CLOCHE, "run", "--quiet", "--backend", engine, "--env-allow=PATH", "--timeout=1",
                     "--", "sleep", "50")
    report(code == 124, f"{engine}: the time limit", f"{code} {text}")
    with tempfile.TemporaryDirectory(prefix="cloche-scope-", dir="/var/lib") as place:
        # As a session could leave it in a place below which another profile may write.
        os.symlink("/etc", os.path.join(place, "projects"))
        code, text = run(CLOCHE, "run", "--quiet", "--backend", engine, "--env-allow=PATH", "--write=scope",
                         f"--writable={place}/projects", "--", "ls", f"{place}/projects")
        report(code != 0 and "symbolic link" in text and "passwd" not in text,
               f"{engine}: a link that a session has left leads nowhere", f"{code} {text}")


def main():
    for name, kind in ENGINES.items():
        begin = time.monotonic()
        with kind() as engine:
            print(f"# {name}: ready after {time.monotonic() - begin:.1f} s", flush=True)
            check(name)
            left = engine.containers() | engine.volumes()
            report(not left, f"{name}: nothing is left", f"{left}")
    print(f"1..{number}")


main()
