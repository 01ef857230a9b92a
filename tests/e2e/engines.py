"""Engines of containers that a test has to itself: a dockerd of its own, podman with its own storage,
and in each the image that tools/make-image makes, built once for a build directory.

The environment of this process names the engine, and so does that of every server it starts. Nothing
of it is on the host's own paths, and close() takes everything away again.
"""
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import time

SOURCE = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
IMAGE = "cloche-base"
RUNSC = ["--network=none", "--platform=ptrace"]


def archive():
    """The image as a file. Building it takes Debian's mirrors, as apt is configured for them."""
    path = os.path.join(os.path.abspath(os.environ.get("CLOCHE_BUILD", "build-test")), "cloche-base.tar")
    with open(path + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(path):
            must(f"{SOURCE}/tools/make-image", path, seconds=900)
    return path


def tool(*argv, seconds=120):
    """An engine's command: its exit code and all it said. To a file, because what a command leaves
    behind would hold a pipe of ours open."""
    with tempfile.TemporaryFile("w+") as out:
        code = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                              timeout=seconds).returncode
        out.seek(0)
        return code, out.read()


def must(*argv, seconds=120):
    code, text = tool(*argv, seconds=seconds)
    if code != 0:
        raise AssertionError(f"{' '.join(argv)} ended with {code}: {text[-2000:]}")
    return text


class Engine:
    """Use as a context manager. command is the engine's tool."""

    def __init__(self):
        self.top = self.daemon = None

    def path(self, name):
        return os.path.join(self.top, name)

    def write(self, name, text):
        with open(self.path(name), "w") as file:
            file.write(text)
        return self.path(name)

    def prepare(self):
        raise NotImplementedError

    def containers(self):
        """The names of all there are."""
        return set(must(self.command, "ps", "--all", "--format", "{{.Names}}").split())

    def volumes(self):
        return set(must(self.command, "volume", "ls", "--quiet").split())

    def __enter__(self):
        # The place is told to lib.py, which looks for what a session leaves on the host.
        self.top = os.environ["CLOCHE_ENGINE"] = tempfile.mkdtemp(prefix="cloche-engine-", dir="/tmp")
        try:
            self.prepare()
            must(self.command, "import", archive(), IMAGE)
            # What an engine mounts for its own life is there before anybody looks.
            must(self.command, "run", "--rm", "--network", "none", "--log-driver", "none",
                 "--ulimit", "nproc=4096:4096", "--ulimit", "nofile=1024:4096", IMAGE, "true")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *unused):
        self.close()

    def close(self):
        if self.daemon:
            self.daemon.terminate()
            try:
                self.daemon.wait(30)
            except subprocess.TimeoutExpired:
                self.daemon.kill()
                self.daemon.wait()
        with open("/proc/self/mountinfo") as info:
            mounts = [line.split()[4] for line in info]
        for mount in reversed(mounts):
            if mount.startswith(self.top + "/"):
                subprocess.run(["umount", "-l", mount], check=False)
        shutil.rmtree(self.top, ignore_errors=True)


class Docker(Engine):
    command = "docker"

    def prepare(self):
        os.environ["DOCKER_HOST"] = f"unix://{self.path('docker.sock')}"
        runtimes = {"runtimes": {"runsc": {"path": "/usr/bin/runsc", "runtimeArgs": RUNSC}}}
        with open(self.path("dockerd.log"), "w") as log:
            self.daemon = subprocess.Popen(
                ["/usr/sbin/dockerd", f"--config-file={self.write('daemon.json', json.dumps(runtimes))}",
                 f"--data-root={self.path('data')}", f"--exec-root={self.path('exec')}",
                 f"--host={os.environ['DOCKER_HOST']}", f"--pidfile={self.path('docker.pid')}",
                 "--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false",
                 "--ip-masq=false"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + 60
        while tool("docker", "version")[0] != 0:
            if self.daemon.poll() is not None or time.monotonic() > end:
                with open(self.path("dockerd.log")) as log:
                    raise AssertionError(f"dockerd does not answer: {log.read()[-2000:]}")
            time.sleep(0.1)


class Podman(Engine):
    command = "podman"

    def prepare(self):
        os.environ["CONTAINERS_STORAGE_CONF"] = self.write(
            "storage.conf", f'[storage]\ndriver = "overlay"\ngraphroot = "{self.path("graph")}"\n'
            f'runroot = "{self.path("run")}"\n')
        # crun of Debian 12 does not run beside both kinds of control groups.
        os.environ["CONTAINERS_CONF"] = self.write(
            "containers.conf",
            f'[engine]\ntmp_dir = "{self.path("tmp")}"\nlock_type = "file"\nevents_logger = "file"\n'
            'runtime = "runc"\n')


ENGINES = {"docker": Docker, "podman": Podman}
RUNTIMES = {"docker": "docker-runsc", "podman": "podman-runsc"}  # the same engines with gVisor's kernel


def engine_of(backend):
    """The engine that a backend takes, not yet started, or None."""
    found = ENGINES.get(backend.partition("-")[0])
    return found() if found else None
