"""The kit that machines of the microvm backend boot from, made once for a build of cloche."""
import fcntl
import os
import subprocess

SOURCE = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
turn = []  # the lock that is held while this process lives
BOOT = 120  # seconds that a machine may need where there is no KVM and much else to do


def kit(build):
    """Its directory. Made when it is not there, or is older than what it is made of."""
    path, programs = os.path.join(build, "guest"), os.path.join(build, "backends", "vm")
    parts = [os.path.join(programs, name) for name in ("cloche-guest", "cloche-relay")]
    parts.append(os.path.join(SOURCE, "tools", "make-guest"))
    cache = os.environ.get("CLOCHE_VM_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "cloche-guest")
    with open(path + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            made = os.stat(os.path.join(path, "manifest")).st_mtime
        except FileNotFoundError:
            made = 0
        if max(os.stat(part).st_mtime for part in parts) >= made:
            subprocess.run([parts[-1], "--libexec", programs, path], check=True, stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, env={**os.environ, "CLOCHE_VM_CACHE": cache})
    return path


def use(build):
    """From now on, this process and what it starts finds the kit, and has the host's machines to itself until
    it ends: side by side, translated, none of them would be as quick as tests expect."""
    os.environ["CLOCHE_GUEST_DIR"] = kit(build)
    turn.append(open(os.path.join(build, "machine.lock"), "w"))
    fcntl.flock(turn[0], fcntl.LOCK_EX)
    return os.environ["CLOCHE_GUEST_DIR"]
