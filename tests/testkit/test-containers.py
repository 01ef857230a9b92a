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
from engines import ENGINES, RUNTIMES, must  # noqa: E402

HOST = os.path.join(BUILD, "testkit", "cloche-testkit-host")
CLOCHE = os.path.join(BUILD, "cli", "cloche")
# What is left out, how is written, and what must be seen to be broken then.
ROWS = [("", "none", ()), ("", "ephemeral", ()), ("", "scope", ()),
        ("read_only", "scope", ("fs.write.scope",)),
        ("filter net cgroup disk", "none",
         ("kernel.filter", "net.disable", "res.memory", "res.pids", "res.disk"))]
# A profile that writes ephemerally is measured by e2e-matrix.
RUNTIME_ROWS = [("", "scope", ()), ("read_only cgroup", "scope", ("fs.write.scope", "res.memory", "res.cpu"))]
QUICK = 6
# Takes what runsc is told and leaves the rest to runc.
LIE = """#!/bin/sh
while [ "${1#--network}${1#--oci}" != "$1$1" ]; do shift; done
exec /usr/sbin/runc "$@"
"""
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


def measure(backend, without, write):
    argv = [HOST, f"--target={backend}", "--quick", "--env-deny=SECRET_*", "--memory=128M", "--pids=40",
            "--cpus=0.5", "--disk=32M", f"--write={write}", *(f"--without={layer}" for layer in without)]
    with tempfile.TemporaryDirectory(prefix="cloche-scope-", dir="/var/lib") as place:
        os.chmod(place, 0o777)
        return run(*argv, *([f"--writable={place}"] if write == "scope" else []))


def cloche(backend, *words, seconds=60):
    return run(CLOCHE, "run", "--quiet", "--backend", backend, "--env-allow=PATH", *words, seconds=seconds)


def check(backend, rows):
    for without, write, broken in rows:
        code, text = measure(backend, without.split(), write)
        if without:
            ok = code == 1 and all(re.search(rf"{re.escape(name)} +declared broken", text) for name in broken)
        else:
            ok = code == 0 and " 0 violated, 0 inconclusive" in text
        report(ok, f"{backend} --write={write} without {without or 'nothing'}", text)
    code, text = cloche(backend, "--", "sh", "-c", "exit 7")
    report(code == 7, f"{backend}: the command's exit code", f"{code} {text}")
    code, text = cloche(backend, "--timeout=1", "--", "sleep", "50")
    report(code == 124, f"{backend}: the time limit", f"{code} {text}")
    with tempfile.TemporaryDirectory(prefix="cloche-scope-", dir="/var/lib") as place:
        # As a session could leave it in a place below which another profile may write.
        os.symlink("/etc", os.path.join(place, "projects"))
        code, text = cloche(backend, "--write=scope", f"--writable={place}/projects", "--", "ls",
                            f"{place}/projects")
        report(code != 0 and "symbolic link" in text and "passwd" not in text,
               f"{backend}: a link that a session has left leads nowhere", f"{code} {text}")


def check_quick(backend):
    """A command that is over before its start was seen: its end was lost once in a few."""
    codes = [cloche(backend, "--", "true", seconds=30)[0] for _ in range(QUICK)]
    report(codes == [0] * QUICK, f"{backend}: {QUICK} commands that are over at once end their sessions", f"{codes}")


def check_image(engine):
    """What a name stands for is remembered, until the engine's images change."""
    ids = []
    for content in ("one", "two"):
        engine.write("content", content)
        must("tar", "-C", engine.top, "-cf", engine.path("other.tar"), "content")
        must("podman", "import", engine.path("other.tar"), "cloche-other")
        time.sleep(2.1)  # before that a change could still be missed, and nothing is remembered
        for _ in range(2):
            code, text = run(CLOCHE, "plan", "--backend=podman", "--root=image", "--image=cloche-other", "--json",
                             "--", "true")
            ids += re.findall("sha256:[0-9a-f]{64}", text)[:1] if code == 0 else [text]
    wanted = must("podman", "image", "inspect", "--format", "{{.Id}}", "cloche-other").strip()
    report(len(ids) == 4 and ids[0] == ids[1] != ids[2] == ids[3] == f"sha256:{wanted}",
           "podman: a name stands for the image that has it now", f"{ids} {wanted}")


def check_readable():
    """What would hide docker's init is refused before the daemon is asked; podman has it elsewhere."""
    for backend, option, starts in (("docker", "--readable=/usr", False), ("docker-runsc", "--readable=/usr/sbin", False),
                                    ("docker", "--readable=/usr/bin", True)):
        code, text = cloche(backend, option, "--", "/bin/true")
        good = code == 0 if starts else code == 125 and "hide" in text and "Error response" not in text
        report(good, f"{backend} {option} is {'started' if starts else 'refused in words'}", f"{code} {text}")


def check_runtime(engine):
    """A runtime of that name that is none: it would run on this kernel."""
    path = engine.write("runsc", LIE)
    os.chmod(path, 0o755)
    with open(os.environ["CONTAINERS_CONF"], "a") as file:
        file.write(f'[engine.runtimes]\nrunsc = ["{path}"]\n')
    code, text = cloche("podman-runsc", "--", "sh", "-c", "sleep 20; echo ran")
    report(code == 125 and "does not run" in text and "\nran" not in text,
           "podman-runsc: a runtime that calls itself runsc and is not is refused", f"{code} {text}")


def main():
    for name, kind in ENGINES.items():
        begin = time.monotonic()
        with kind() as engine:
            print(f"# {name}: ready after {time.monotonic() - begin:.1f} s", flush=True)
            check(name, ROWS)
            check(RUNTIMES[name], RUNTIME_ROWS)
            if name == "docker":
                check_readable()
            if name == "podman":
                code, text = cloche("podman", "--readable=/usr", "--", "/bin/true")
                report(code == 0, "podman --readable=/usr is started", f"{code} {text}")
                check_quick(name)
                check_image(engine)
                check_runtime(engine)
            left = engine.containers() | engine.volumes()
            report(not left, f"{name}: nothing is left", f"{left}")
    print(f"1..{number}")


main()
