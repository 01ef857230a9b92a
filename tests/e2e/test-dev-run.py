#!/usr/bin/python3
"""./dev run as a newcomer meets it: the line it prints works, and Ctrl-C leaves nothing."""
import os
import pwd
import shlex
import shutil
import signal
import subprocess
import tempfile
import time

from lib import (BUILD, SOURCE, Host, Terminal, case, check, descendants, equal, eventually, free_port,
                 main, parents, reap, run)


class DevRun:
    """tools/run-server in a directory of its own, on a terminal, with the build under test."""

    def __init__(self, uid=None, port=None, owner=None):
        self.directory = tempfile.mkdtemp(prefix="cloche-e2e-")
        os.chmod(self.directory, 0o755)
        self.uid, self.port = uid, port or free_port()
        if uid is not None:
            os.chown(self.directory, uid, uid)
        if owner is not None:
            os.chown(self.directory, owner, owner)
        self.before, self.children = Host(), set()

    def argv(self):
        become = [] if self.uid is None else ["setpriv", f"--reuid={self.uid}",
                                              f"--regid={self.uid}", "--clear-groups"]
        return ["env", "-C", self.directory, f"CLOCHE_BUILD={BUILD}", f"HOME={self.directory}",
                *become, os.path.join(SOURCE, "tools", "run-server"), "-p", str(self.port)]

    def __enter__(self):
        self.terminal = Terminal(self.argv(), 40, 200, self.children)
        return self

    def __exit__(self, *unused):
        self.terminal.close()
        for pid in self.running():
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)

    def running(self):
        reap(self.children)
        return [pid for pid in descendants(os.getpid()) if pid not in self.children]

    def line(self):
        return self.terminal.expect(r"\n  (ssh [^\r\n]+)\r\n", 90).group(1).decode()

    def ssh(self, line, command):
        return run([*shlex.split(line), "-F", "none", "-o", "BatchMode=yes", command],
                   env=dict(os.environ, HOME=self.directory))

    def stop(self):
        self.terminal.send("\x03")
        self.terminal.wait(15)
        eventually(lambda: not self.running() and not self.before.left(self.directory),
                   "nothing left", 5)
        equal(set(os.listdir(self.directory)), {".run"}, "files")
        if "/run/cloche" not in self.before.debris:
            check(not os.path.exists("/run/cloche"), "/run/cloche was left")


@case("root can run it in a clone that belongs to a user, and leaves nothing of root's there")
def clone_of_a_user():
    owner = pwd.getpwnam("games").pw_uid
    with DevRun(owner=owner) as dev:
        result = dev.ssh(dev.line(), "id -u")
        equal(result.text, "1000", "the session")
        dev.stop()
        names = [os.path.join(dev.directory, ".run", name)
                 for name in os.listdir(os.path.join(dev.directory, ".run"))]
        equal({os.stat(name).st_uid for name in names}, {owner}, "owners in .run/")
        check(not [name for name in os.listdir("/run") if name.startswith("cloche-dev")], "/run")


@case("the printed ssh line gives a confined shell, and Ctrl-C leaves nothing but .run/")
def newcomer():
    with DevRun() as dev:
        promise = dev.terminal.expect(r"(net\.disable.*?)\n  ssh ", 90).group(1)
        check(b"priv.none" in promise, f"the promise: {promise}")
        dev.terminal.seen = b"\n  ssh " + dev.terminal.seen
        line = dev.line()
        result = dev.ssh(line, "id -un; id -u; sed 1,2d /proc/net/dev | cut -d: -f1; cat /etc/shadow")
        check(result.text.startswith("lab\n") or "1000" in result.text, f"no shell: {result}")
        check("root:" not in result.text, "the shadow file")
        held = subprocess.Popen([*shlex.split(line), "-F", "none", "sleep 1000"],
                                stdin=subprocess.DEVNULL)
        dev.children.add(held.pid)
        time.sleep(1)
        dev.stop()
        check(held.wait(10) != 0, "the session that was open")


@case("an ordinary user gets a shell the same way, and is told what is lost")
def ordinary():
    if os.geteuid() != 0:
        return  # the case above was that
    with DevRun(uid=pwd.getpwnam("games").pw_uid) as dev:
        dev.terminal.expect("Not root", 30)
        result = dev.ssh(dev.line(), "echo in")
        equal(result.text, "in", str(result))
        dev.stop()


@case("a port that is taken, and one that is none, are one clear line")
def bad_port():
    with DevRun() as dev:
        dev.line()
        second = run(dev.argv())
        check(second.code == 1 and b"taken" in second.err, f"taken: {second}")
        for port in ("0", "99999", "x"):
            result = run(dev.argv()[:-1] + [port])
            check(result.code == 2 and b"port" in result.err, f"{port}: {result}")
        dev.stop()


@case("a second ./dev run of a clone, whether it starts or not, leaves the first one's line as it was")
def two_of_a_clone():
    with DevRun() as dev:
        line = dev.line()
        second = run([*dev.argv()[:-1], str(free_port())])
        check(second.code != 0 and b"another server" in second.out + second.err, f"control: {second}")
        equal(dev.ssh(line, "echo in").text, "in", "the first one's line")
        dev.stop()
    if os.geteuid() != 0:
        return
    with DevRun(owner=pwd.getpwnam("games").pw_uid) as dev:  # there each has a directory of its own
        line = dev.line()
        second = Terminal([*dev.argv()[:-1], str(free_port())], 40, 200, dev.children)
        second.expect(r"\n  (ssh [^\r\n]+)\r\n", 90)
        equal(dev.ssh(line, "echo in").text, "in", "the first one's line, beside another")
        second.send("\x03")
        second.wait(15)
        second.close()
        dev.stop()


@case("killing ./dev run ends the server too")
def terminated():
    with DevRun() as dev:
        dev.line()
        os.kill(dev.terminal.pid, signal.SIGTERM)
        dev.terminal.wait(15)
        eventually(lambda: not dev.running(), "the server's end", 5)
        check(parents(), "no processes")


main()
