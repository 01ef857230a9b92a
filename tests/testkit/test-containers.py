#!/usr/bin/python3
"""The docker and podman backends, measured by the testkit: with engines of our own (a private
dockerd, podman with private storage) and the image that ./dev image makes."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

BUILD = os.environ["CLOCHE_BUILD"]
SOURCE = os.environ["CLOCHE_SOURCE"]
IMAGE = os.path.join(BUILD, "cloche-base.tar")
HOST = os.path.join(BUILD, "testkit", "cloche-testkit-host")
CLOCHE = os.path.join(BUILD, "cli", "cloche")
ENV = dict(os.environ)
ROWS = [(None, "--write=none", ""), (None, "--write=ephemeral", ""),
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
        code = subprocess.run(argv, env=ENV, stdin=subprocess.DEVNULL, stdout=out,
                              stderr=subprocess.STDOUT, timeout=seconds).returncode
        out.seek(0)
        return code, out.read()


def start_docker(top):
    ENV["DOCKER_HOST"] = f"unix://{top}/docker.sock"
    with open(f"{top}/dockerd.log", "w") as log:
        daemon = subprocess.Popen(
            ["/usr/sbin/dockerd", f"--data-root={top}/data", f"--exec-root={top}/exec",
             f"--host={ENV['DOCKER_HOST']}", f"--pidfile={top}/docker.pid", "--bridge=none",
             "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    for _ in range(200):
        if run("docker", "version")[0] == 0:
            break
        time.sleep(0.1)
    return daemon


def set_up_podman(top):
    with open(f"{top}/storage.conf", "w") as file:
        file.write(f'[storage]\ndriver = "overlay"\ngraphroot = "{top}/graph"\n'
                   f'runroot = "{top}/run"\n')
    # crun of Debian 12 does not run beside both kinds of control groups.
    with open(f"{top}/containers.conf", "w") as file:
        file.write(f'[engine]\ntmp_dir = "{top}/tmp"\nlock_type = "file"\n'
                   'events_logger = "file"\nruntime = "runc"\n')
    ENV["CONTAINERS_STORAGE_CONF"] = f"{top}/storage.conf"
    ENV["CONTAINERS_CONF"] = f"{top}/containers.conf"


def measure(engine, without, write):
    argv = [HOST, f"--target={engine}", "--quick", "--env-deny=SECRET_*",
            "--memory=64M", "--pids=40", "--cpus=0.5", "--disk=32M", write]
    return run(*argv, *([f"--without={without}"] if without else []))


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
    code, text = run(engine, "ps", "--all", "--quiet")
    report(code == 0 and not text.strip(), f"{engine}: no container is left", text)


def main():
    if not os.path.exists(IMAGE):
        subprocess.run([f"{SOURCE}/tools/make-image", IMAGE], check=True, stdout=sys.stderr)
    top = tempfile.mkdtemp(prefix="cloche-engines-", dir="/tmp")
    daemon = start_docker(top)
    try:
        set_up_podman(top)
        for engine in ("docker", "podman"):
            code, text = run(engine, "import", IMAGE, "cloche-base")
            if report(code == 0, f"{engine} takes the image", text):
                check(engine)
    finally:
        daemon.terminate()
        daemon.wait(30)
        for mount in ("graph/overlay", "exec/netns/default"):
            run("umount", f"{top}/{mount}")
        shutil.rmtree(top, ignore_errors=True)
    print(f"1..{number}")


main()
