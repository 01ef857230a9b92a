"""Ways out that were once open: each was found with the code in hand, and is tried as it was found.

Run as root; every file is a canary below one directory of this test's own.
"""
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "e2e"))
from lib import BUILD, Skip, case, main  # noqa: E402

CLOCHE = os.path.join(BUILD, "cli", "cloche")
ALICE, BOB = 54401, 54402
HERE = tempfile.mkdtemp(prefix="cloche-doors.", dir="/srv")
os.chmod(HERE, 0o755)


def directory(name, owner, mode=0o755, group=None):
    path = os.path.join(HERE, name)
    os.mkdir(path)
    os.chown(path, owner, owner if group is None else group)
    os.chmod(path, mode)
    return path


def write(path, text, owner=0, mode=0o644):
    with open(path, "w") as file:
        file.write(text)
    os.chown(path, owner, owner)
    os.chmod(path, mode)
    return path


def cloche(*words, patience=20):
    done = subprocess.run([CLOCHE, "run", *words], capture_output=True, text=True, timeout=patience,
                          stdin=subprocess.DEVNULL, check=False)
    return done.returncode, done.stdout, done.stderr


def scoped(path, script):
    return cloche("--readable=/usr", "--write=scope", f"--writable={path}", "--", "/bin/sh", "-c", script)


@case("a link left in a writable path does not lead the next session elsewhere")
def _():
    project = directory("project", ALICE)
    incoming = directory("project/incoming", ALICE)
    secret = directory("bob", BOB, 0o700)
    write(os.path.join(secret, "token"), "BOBS", BOB, 0o600)
    code, _, err = scoped(project, f"rmdir {incoming} && ln -s {secret} {incoming}")
    assert code == 0, err
    code, out, err = scoped(incoming, f"cat {incoming}/token; echo no > {incoming}/pwned")
    assert code == 125 and "symbolic link" in err, (code, out, err)
    assert "BOBS" not in out and not os.path.exists(os.path.join(secret, "pwned"))
    # The control: the directory itself, named, is the session's.
    code, out, err = scoped(secret, f"cat {secret}/token")
    assert code == 0 and "BOBS" in out, (code, out, err)
    # Reading is no way round either.
    code, out, err = cloche("--readable=/usr", f"--readable={incoming}", "--", "/bin/ls", incoming)
    assert code == 125 and "symbolic link" in err, (code, out, err)


@case("what belongs to root or to root's group is no writable scope")
def _():
    for owner, group in ((0, 0), (0, ALICE), (ALICE, 0)):
        path = directory(f"scope-{owner}-{group}", owner, group=group)
        code, _, err = scoped(path, f"cp /usr/bin/id {path}/x; chmod 6755 {path}/x")
        assert code == 125 and "root" in err and not os.listdir(path), (code, err)
    path = directory("scope-alice", ALICE)
    code, _, err = scoped(path, f"cp /usr/bin/id {path}/x; chmod 6755 {path}/x")
    made = os.stat(os.path.join(path, "x"))
    assert code == 0 and (made.st_uid, made.st_gid) == (ALICE, ALICE), err


@case("a throw-away layer over root's directory shows none of root's private files")
def _():
    path = directory("etc", 0)
    write(os.path.join(path, "key"), "ROOTS", 0, 0o600)
    write(os.path.join(path, "public"), "PUBLIC", 0, 0o644)
    script = f"cat {path}/public {path}/key; echo mine > {path}/new && cat {path}/new"
    code, out, err = cloche("--write=ephemeral", f"--dir={path}", "--", "/bin/sh", "-c", script)
    assert "PUBLIC" in out and "mine" in out and "ROOTS" not in out, (code, out, err)
    assert sorted(os.listdir(path)) == ["key", "public"]
    # The control: a user's own directory is the session's, also what is private in it.
    path = directory("home", ALICE, 0o700)
    write(os.path.join(path, "key"), "ALICES", ALICE, 0o600)
    code, out, err = cloche("--write=ephemeral", f"--dir={path}", "--", "/bin/sh", "-c",
                            f"cat {path}/key; echo changed > {path}/key; cat {path}/key")
    assert code == 0 and "ALICES" in out and "changed" in out, (code, out, err)
    with open(os.path.join(path, "key")) as file:
        assert file.read() == "ALICES"


@case("links inside a root directory stay inside it")
def _():
    image = directory("image", 0)
    outside = directory("outside", 0)
    write(os.path.join(outside, "secret"), "HOSTSECRET")
    os.symlink("/usr", os.path.join(HERE, "usr-link"))
    for name in ("usr", "lib", "lib64", "bin"):
        subprocess.run(["mkdir", "-p", f"{image}/{name}"], check=True)
    os.symlink(outside, os.path.join(image, "sbin"))
    # Enough of a system to run cat: the host's own, copied.
    for program in ("/bin/cat", "/bin/sh"):
        libraries = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
        files = [program] + [word for word in libraries.split() if word.startswith("/")]
        for file in files:
            target = image + file
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy(os.path.realpath(file), target)
    code, out, err = cloche("--root=directory", f"--root-path={image}", "--", "/bin/cat", "/sbin/secret")
    assert "HOSTSECRET" not in out and code != 0, (code, out, err)
    code, out, err = cloche("--root=directory", f"--root-path={image}", "--", "/bin/sh", "-c", "echo runs")
    assert code == 0 and out == "runs\n", (code, out, err)


@case("what is asked of ids and images is done or refused, never something else")
def _():
    code, _, err = cloche("--ids=single", "--", "/bin/true")
    assert code == 125 and "root's own" in err, err
    code, out, err = cloche("--ids=range", "--", "/bin/cat", "/proc/self/uid_map")
    assert code == 0 and out.split()[0] == "0" and int(out.split()[1]) >= 65536, (out, err)
    code, _, err = cloche("--root=image", "--root-path=/srv/none.img", "--", "/bin/true")
    assert code == 125 and "cannot do this yet" in err, err


@case("one session cannot take the host's inotify instances, AIO slots or queued signals")
def _():
    script = ("import ctypes, os, signal\n"
              "libc = ctypes.CDLL(None, use_errno=True)\n"
              "count = 0\n"
              "while count < 200 and libc.inotify_init() >= 0: count += 1\n"
              "context = ctypes.c_ulong(0)\n"
              "aio = libc.syscall(206, 64, ctypes.byref(context))\n"
              "import resource\n"
              "print(count, aio, ctypes.get_errno(), resource.getrlimit(resource.RLIMIT_SIGPENDING)[1])\n")
    code, out, err = cloche("--readable=/usr", "--", "/usr/bin/python3", "-c", script)
    assert code == 0, err
    count, aio, _, pending = (int(word) for word in out.split())
    assert count <= 16 and aio == -1 and pending <= 256, out


def strays():
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                line = file.read()
            if b"cloche-init" in line or MARK.encode() in line:
                found.append(int(pid))
        except OSError:
            pass
    return found


MARK = f"31{os.getpid()}.5"  # seconds to sleep: a name of this run's own


@case("a launcher killed at any moment of a start leaves no process")
def _():
    scope = directory("killed", ALICE)
    before = set(strays())
    for step in range(80):
        child = subprocess.Popen([CLOCHE, "run", "--readable=/usr", "--write=scope", f"--writable={scope}",
                                  "--pids=50", "--memory=100M", "--", "/bin/sleep", MARK],
                                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
        time.sleep(step * 0.00015)
        child.send_signal(signal.SIGKILL)
        child.wait()
    deadline = time.monotonic() + 5
    while set(strays()) - before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not set(strays()) - before, strays()


@case("a throw-away layer leaves nothing in the host's /tmp, and works twice")
def _():
    path = directory("twice", ALICE)
    before = set(os.listdir("/tmp"))
    for _ in range(2):
        code, out, err = cloche("--write=overlay", "--allow-temp", f"--dir={path}", "--", "/bin/sh", "-c",
                                f"echo x > {path}/x && cat {path}/x")
        assert code == 0 and out == "x\n", (code, out, err)
    assert not [name for name in set(os.listdir("/tmp")) - before if "cloche" in name]
    assert not os.listdir(path)


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("1..0 # SKIP needs root: it is about root's files and others'")
        sys.exit(77)
    try:
        main()
    finally:
        shutil.rmtree(HERE, ignore_errors=True)
