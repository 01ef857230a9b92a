#!/usr/bin/python3
"""Files over SSH: sftp, scp in both protocols, rsync and git, all inside the session's sandbox and
bound by its plan."""
import contextlib
import hashlib
import os
import subprocess
import tempfile

from lib import Cloche, case, check, descendants, equal, eventually, main, run

MIB = 1 << 20


def options_of(server):
    """The stock client's options, without its name and without the user."""
    argv = server.ssh_argv()
    return argv[1:argv.index("-l")]


class Files:
    """A server with one place that lasts, and the clients for it."""

    def __init__(self, **profile):
        self.scratch = tempfile.mkdtemp(prefix="cloche-files-", dir="/var/tmp")
        self.place = os.path.join(self.scratch, "place")
        os.mkdir(self.place)
        os.chown(self.place, 54321, 54321)
        self.local = os.path.join(self.scratch, "local")
        os.mkdir(self.local)
        self.server = Cloche(profiles={"lab": {"readable": ["/usr", self.place], "write": "scope",
                                               "writable": [self.place], "memory": "512M",
                                               "pids": 64, **profile}})

    def __enter__(self):
        self.server.__enter__()
        return self

    def __exit__(self, *what):
        try:
            self.server.__exit__(*what)
        finally:
            subprocess.run(["rm", "-rf", self.scratch], check=True)

    def file(self, name, size=3 * MIB):
        path = os.path.join(self.local, name)
        with open(path, "wb") as out:
            out.write(os.urandom(size))
        return path

    def options(self):
        return [word if word != "-p" else "-P" for word in options_of(self.server)]

    def sftp(self, *lines):
        return run(["sftp", *self.options(), "-b", "-", "lab@127.0.0.1"],
                   input="".join(line + "\n" for line in lines).encode())

    def scp(self, *words):
        return run(["scp", *self.options(), *words])

    def shell_line(self):
        """For tools that start ssh themselves."""
        return " ".join(["ssh", *options_of(self.server), "-l", "lab"])


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


@case("sftp puts and gets, renames and removes, in a place that lasts")
def _():
    with Files() as files:
        path = files.file("one")
        result = files.sftp(f"put {path} {files.place}/up", f"get {files.place}/up {path}.back",
                            f"rename {files.place}/up {files.place}/moved", f"ls -l {files.place}",
                            f"mkdir {files.place}/dir", f"rmdir {files.place}/dir")
        equal(result.code, 0, f"exit status ({result})")
        equal(digest(f"{path}.back"), digest(path), "what came back")
        equal(digest(f"{files.place}/moved"), digest(path), "what is on the host")
        result = files.sftp(f"rm {files.place}/moved")
        equal((result.code, os.listdir(files.place)), (0, []), "removed")


@case("sftp-server runs in the sandbox's namespaces and sees nothing outside the plan")
def _():
    with Files() as files:
        outside = files.file("outside", 10)
        client = subprocess.Popen(["sftp", *files.options(), "lab@127.0.0.1"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT)
        files.server.children.add(client.pid)
        try:
            def server_process():
                for pid in descendants(files.server.process.pid):
                    with contextlib.suppress(OSError):
                        with open(f"/proc/{pid}/comm") as comm:
                            if comm.read().strip() == "sftp-server":
                                return pid
                return None
            pid = eventually(server_process, "an sftp-server")
            for kind in ("pid", "mnt", "net", "ipc", "user", "uts"):
                check(os.readlink(f"/proc/{pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}"),
                      f"its {kind} namespace is the host's")
            with open(f"/proc/{pid}/status") as status:
                text = status.read()
            check("Seccomp:\t2" in text and "NoNewPrivs:\t1" in text, text)
        finally:
            client.stdin.close()
            client.wait(10)
        result = files.sftp(f"get {outside} {outside}.stolen")
        check(result.code != 0 and not os.path.exists(f"{outside}.stolen"), f"read: {result}")
        result = files.sftp(f"put {outside} /var/tmp/cloche-sftp-escape")
        check(not os.path.exists("/var/tmp/cloche-sftp-escape"), f"written: {result}")
        result = files.sftp("get /etc/shadow " + outside + ".shadow")
        check(not os.path.exists(outside + ".shadow"), f"shadow: {result}")


@case("a read-only profile lets nothing be written, and denied requests are refused")
def _():
    with Files(sftp="read-only") as files:
        path = files.file("one", 100)
        result = files.sftp(f"put {path} {files.place}/up")
        check(result.code != 0 and b"ermission denied" in result.err, f"put: {result}")
        equal(os.listdir(files.place), [], "place")
    with Files(sftp_deny=["rename", "posix-rename", "remove"]) as files:
        path = files.file("one", 100)
        equal(files.sftp(f"put {path} {files.place}/up").code, 0, "put")
        check(files.sftp(f"rename {files.place}/up {files.place}/moved").code != 0, "rename")
        check(files.sftp(f"rm {files.place}/up").code != 0, "remove")
        equal(os.listdir(files.place), ["up"], "place")
    with Files(sftp_allow=["realpath", "stat", "lstat", "opendir", "readdir", "close"]) as files:
        with open(f"{files.place}/seen", "w") as out:
            out.write("x")
        result = files.sftp(f"ls {files.place}")
        check(result.code == 0 and b"seen" in result.out, f"ls: {result}")
        check(files.sftp(f"get {files.place}/seen {files.local}/seen").code != 0, "get")


@case("a profile for files only refuses a shell in words, and one without sftp refuses it")
def _():
    with Files(sessions=["sftp"]) as files:
        result = files.server.ssh("true")
        check(result.code != 0 and "offers no exec session; it offers: sftp" in result.error,
              f"exec: {result}")
        equal(files.sftp(f"ls {files.place}").code, 0, "sftp")
    with Files(sftp="no") as files:
        check(files.sftp("ls").code != 0, "sftp was offered")
        check(files.server.ssh("sftp", "-s").error.find("does not offer sftp") >= 0, "reason")


@case("a key with command=\"internal-sftp\" gives sftp and nothing else")
def _():
    with Files() as files:
        files.server.authorize(f'restrict,command="internal-sftp" {files.server.public}')
        equal(files.sftp(f"ls {files.place}").code, 0, "sftp")
        result = files.server.ssh("touch " + files.place + "/made", timeout=20)
        check(not os.path.exists(files.place + "/made"), f"a command ran: {result}")


@case("scp works in both protocols, directories and odd names too")
def _():
    with Files() as files:
        path = files.file("a file with 'quotes' and spaces")
        tree = os.path.join(files.local, "tree")
        os.makedirs(os.path.join(tree, "sub"))
        with open(os.path.join(tree, "sub", "leaf"), "wb") as out:
            out.write(b"leaf")
        for flag in ("-s", "-O"):
            target = f"{files.place}/{'new' if flag == '-s' else 'old'}"
            result = files.scp(flag, path, f"lab@127.0.0.1:{target}")
            equal(result.code, 0, f"{flag} to ({result})")
            equal(digest(target), digest(path), f"{flag} to")
            equal(files.scp(flag, f"lab@127.0.0.1:{target}", path + flag).code, 0, f"{flag} from")
            equal(digest(path + flag), digest(path), f"{flag} from")
            equal(files.scp(flag, "-r", "-p", tree, f"lab@127.0.0.1:{target}.tree").code, 0, "tree")
            with open(f"{target}.tree/sub/leaf", "rb") as leaf:
                equal(leaf.read(), b"leaf", "leaf")


@case("curl, by libssh2 1.10, puts and gets by sftp and gets by scp")
def _():
    with Files() as files:
        path, server = files.file("a"), files.server
        curl = ["curl", "-sS", "--insecure", "--user", "lab:", "--key", server.key, "--pubkey", f"{server.key}.pub"]
        address = f"127.0.0.1:{server.port}{files.place}/by-curl"
        equal(run([*curl, "-T", path, f"sftp://{address}"]).code, 0, "put")
        equal(digest(f"{files.place}/by-curl"), digest(path), "put")
        for scheme in ("sftp", "scp"):
            result = run([*curl, "-o", path + scheme, f"{scheme}://{address}"])
            equal(result.code, 0, f"{scheme}: {result}")
            equal(digest(path + scheme), digest(path), scheme)


@case("rsync copies both ways and deletes what went")
def _():
    with Files() as files:
        tree = os.path.join(files.local, "tree")
        os.mkdir(tree)
        for name in range(50):
            with open(f"{tree}/{name}", "wb") as out:
                out.write(os.urandom(5000))
        sync = ["rsync", "-a", "--delete", "-e", files.shell_line()]
        result = run([*sync, tree + "/", f"127.0.0.1:{files.place}/sync/"])
        equal(result.code, 0, f"to ({result})")
        os.unlink(f"{tree}/7")
        equal(run([*sync, tree + "/", f"127.0.0.1:{files.place}/sync/"]).code, 0, "again")
        equal(sorted(os.listdir(f"{files.place}/sync")), sorted(os.listdir(tree)), "names")
        equal(run([*sync, f"127.0.0.1:{files.place}/sync/", tree + ".back/"]).code, 0, "from")
        for name in os.listdir(tree):
            equal(digest(f"{tree}.back/{name}"), digest(f"{tree}/{name}"), name)


@case("git pushes to and clones from a repository inside")
def _():
    with Files() as files:
        equal(files.server.ssh(f"git init -q --bare {files.place}/repo.git").code, 0, "init")
        work = os.path.join(files.local, "work")
        env = {**os.environ, "GIT_SSH_COMMAND": files.shell_line(), "GIT_CONFIG_GLOBAL": "/dev/null",
               "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org",
               "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.org"}
        url = f"127.0.0.1:{files.place}/repo.git"
        for argv in (["init", "-q", "-b", "main", work], ["-C", work, "commit", "-q", "--allow-empty", "-m", "one"],
                     ["-C", work, "push", "-q", url, "main"], ["clone", "-q", "-b", "main", url, work + "2"]):
            result = run(["git", *argv], env=env)
            equal(result.code, 0, f"git {argv} ({result})")
        equal(run(["git", "-C", work + "2", "log", "--format=%s"]).text, "one", "log")


main()
