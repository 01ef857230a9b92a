#!/usr/bin/python3
"""Engines of containers that cannot start a session: each says in one line what is wrong, where, and
what would be right. No daemon is started; podman has storage of its own, and nothing in it."""
import os
import shutil
import socket
import subprocess
import tempfile

CLOCHE = os.path.join(os.environ["CLOCHE_BUILD"], "cli", "cloche")
TOP = tempfile.mkdtemp(prefix="cloche-faults-", dir="/tmp")
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
number = 0


def path(name, text=None):
    place = os.path.join(TOP, name)
    if text is not None:
        with open(place, "w") as file:
            file.write(text)
    return place


def storage(driver, graph="graph"):
    return path(f"storage-{driver}-{os.path.basename(graph)}.conf",
                f'[storage]\ndriver = "{driver}"\ngraphroot = "{path(graph)}"\nrunroot = "{path("run")}"\n')


def engine_settings(more=""):
    return path(f"containers{len(more)}.conf",
                f'[engine]\ntmp_dir = "{path("tmp")}"\nlock_type = "file"\nevents_logger = "file"\n'
                f'runtime = "runc"\n{more}')


def listening(name, mode):
    """A socket where somebody listens who never answers."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(path(name))
    server.listen(8)
    os.chmod(path(name), mode)
    return server


def fault(claim, backend, words, *options, before=(), **env):
    global number
    number += 1
    done = subprocess.run([*before, CLOCHE, "run", "--quiet", "--backend", backend, *options, "--", "true"],
                          env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0", **env}, capture_output=True,
                          stdin=subprocess.DEVNULL, text=True, timeout=90)
    lines = done.stderr.splitlines()
    ok = done.returncode == 125 and len(lines) == 1 and all(word in lines[0] for word in words)
    print(f"{'ok' if ok else 'not ok'} {number} - {claim}")
    if not ok:
        print(f"# {done.returncode}: {done.stderr!r} {done.stdout!r}")


def docker_faults():
    fault("docker: no daemon", "docker", [path("none.sock"), "start dockerd", "DOCKER_HOST"],
          DOCKER_HOST=f"unix://{path('none.sock')}")
    fault("docker: a daemon elsewhere", "docker", ["tcp://192.0.2.1:2375", "unix:///PATH"],
          DOCKER_HOST="tcp://192.0.2.1:2375")
    with listening("shut.sock", 0o600):
        fault("docker: a socket that is not ours", "docker", [path("shut.sock"), "Permission denied", "root"],
              before=NOBODY, DOCKER_HOST=f"unix://{path('shut.sock')}")


def podman_faults():
    good = {"CONTAINERS_CONF": engine_settings(), "CONTAINERS_STORAGE_CONF": storage("vfs")}
    fault("podman: an image that is not there", "podman", ["no image 'absent'", "./dev image podman",
                                                           good["CONTAINERS_STORAGE_CONF"]],
          "--root=image", "--image=absent", **good)
    fault("podman: an id that is no image's", "podman", ["no image 'sha256:00", "./dev image podman"],
          "--root=image", f"--image=sha256:{'0' * 64}", **good)
    with open(path("layer.tar"), "wb") as file:
        file.write(bytes(10240))
    subprocess.run(["podman", "import", "--change", "VOLUME /data", path("layer.tar"), "with-volume"], check=True,
                   env={**os.environ, **good}, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    fault("podman: an image with a place without bounds", "podman", ["with-volume", "VOLUME", "build it without"],
          "--root=image", "--image=with-volume", **good)
    bad = storage("nosuch", "other")
    fault("podman: a storage driver that fails", "podman", [bad, "nosuch", "podman info"],
          **{**good, "CONTAINERS_STORAGE_CONF": bad})
    bad = storage("vfs", "/proc/no/graph")
    fault("podman: a storage place that cannot be made", "podman", [bad, "/proc/no", "podman info"],
          **{**good, "CONTAINERS_STORAGE_CONF": bad})
    fault("podman: without root", "podman", ["made by root", "use native"], before=NOBODY, **good)
    settings = engine_settings('[engine.runtimes]\nrunsc = ["/nonexistent/runsc"]\n')
    fault("podman-runsc: no such runtime", "podman-runsc", ["no runtime runsc", "apt-get install runsc"],
          **{**good, "CONTAINERS_CONF": settings})


os.chmod(TOP, 0o755)
try:
    docker_faults()
    podman_faults()
finally:
    shutil.rmtree(TOP, ignore_errors=True)
print(f"1..{number}")
