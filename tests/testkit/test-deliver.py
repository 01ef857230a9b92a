#!/usr/bin/python3
"""The ladder by which the client comes: for each rung a place where no rung before it works, and one where
none does, which is looked at from outside alone."""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from lib import BUILD, OpenSshd, Skip, case, check, equal, eventually, main, run  # noqa: E402

HOST = os.path.join(BUILD, "testkit", "cloche-testkit-host")
CLIENT = os.path.join(BUILD, "testkit", "cloche-testkit-client")
ALL = ["present", "sftp", "cat", "base64", "printf", "memfd", "ld.so"]
WORLD = ("bwrap --unshare-ipc --unshare-pid --die-with-parent --ro-bind /usr /usr --symlink usr/bin /bin "
         "--symlink usr/lib /lib --symlink usr/lib64 /lib64 --proc /proc --dev /dev").split()
WRITABLE = ["--tmpfs", "/tmp"]
SHUT = ["--remount-ro", "/dev", "--remount-ro", "/"]


def without(*names):
    """Programs taken out of the world, whatever directory and version they are of."""
    words = []
    for name in sorted(os.listdir("/usr/bin")):
        path = os.path.join("/usr/bin", name)
        if name in names and not os.path.islink(path):
            words += ["--ro-bind", "/dev/null", path]
        elif name in names:
            words += ["--ro-bind", "/dev/null", os.path.realpath(path)]
    return words


NO_COPY = without("head", "dd")
NO_SCRIPTS = without("perl", "python3")
NO_DECODER = without("base64", "openssl", "busybox") + NO_SCRIPTS


def measure(target, *options):
    if os.geteuid() != 0:
        raise Skip("controls of another user need root")
    return run([HOST, "--target", target, "--format", "json", "--verbose", *options])


def came(result):
    """How the client came, by the report."""
    report = json.loads(result.out)
    words = [line for line in report["target"]["additions"] if line.startswith("client: ")]
    return words[0][len("client: "):] if words else None


def failed(result):
    """The ways that were tried in vain, in order, by standard error."""
    return [line.split(" no client by ")[1].split(":")[0]
            for line in result.error.splitlines() if " no client by " in line]


def comes(world, way, *options, shell=True, again="OPEN"):
    target = "exec:" + " ".join([*world, *(["sh", "-c"] if shell else []), "{shell}"])
    result = measure(target, "--probe", "X.self", *options)
    check(result.out, f"no report: {result}")
    equal((came(result), failed(result)), (way, [name for name in ALL[:ALL.index(way)] if name != "sftp"]),
          f"how the client comes ({result.error[-2000:]})")
    report = json.loads(result.out)
    check(report["client"]["finished"] and not report["client"]["lost"], report["client"])
    equal([probe["observed"] for probe in report["probes"] if probe["id"] == "X.self"], [again], "X.self")


@case("present: the copy among the canaries, where the tree is the host's")
def present():
    comes(["bwrap", "--ro-bind", "/", "/"], "present")


@case("present: at the path that --client-at names, and without a shell")
def client_at():
    comes([*WORLD, "--ro-bind", CLIENT, "/opt/client"], "present", "--client-at", "/opt/client", shell=False)


@case("cat: through a shell into a place that can be written")
def cat():
    comes(WORLD + WRITABLE, "cat")


@case("base64: as lines of text where nothing copies a number of bytes")
def base64():
    comes(WORLD + WRITABLE + NO_COPY, "base64")


@case("printf: by the shell alone where nothing decodes them")
def printf():
    comes(WORLD + WRITABLE + NO_COPY + NO_DECODER, "printf")


@case("memfd: where no place can be written")
def memfd():
    comes(WORLD + SHUT, "memfd")


@case("memfd: by python where perl is missing and files may not be run")
def noexec():
    with tempfile.TemporaryDirectory(prefix="cloche-deliver-", dir="/var/tmp") as directory:
        launcher = os.path.join(directory, "launcher")
        with open(launcher, "w") as file:
            file.write(f'#!/bin/sh\nmount -t tmpfs -o noexec,mode=1777 none {directory} && exec "$@"\n')
        os.chmod(launcher, 0o755)
        os.chmod(directory, 0o755)
        comes(["unshare", "-m", "--propagation", "private", launcher, *WORLD, "--bind", directory, "/tmp",
               *without("perl"), *SHUT], "memfd")


@case("ld.so: where no file gets the right to be run")
def linker():
    # Nor can the client be started again by its path, which it says.
    comes(WORLD + WRITABLE + NO_SCRIPTS + without("chmod"), "ld.so", again="CLAIM-ONLY")


# What runs is a path and nothing else, in a tree that is not the host's but for /tmp.
PATHS_ONLY = """#!/bin/sh
case $SSH_ORIGINAL_COMMAND in
*sftp-server) exec /usr/lib/openssh/sftp-server ;;
*[!a-zA-Z0-9/._-]*) echo "not a path" >&2; exit 1 ;;
esac
exec {} --bind /tmp /tmp --chdir /tmp "$SSH_ORIGINAL_COMMAND"
"""


@case("sftp: to a server that takes files and runs a path, and nothing remains")
def sftp():
    before = set(os.listdir("/tmp"))
    server = OpenSshd("Subsystem sftp /usr/lib/openssh/sftp-server")
    wrapper = server.write("wrapper", PATHS_ONLY.format(" ".join(WORLD)), 0o755)
    with open(server.path("sshd_config"), "a") as file:
        file.write(f"ForceCommand {wrapper}\n")
    with server:
        result = measure(f"ssh://{server.user}@127.0.0.1:{server.port}", "--identity", server.key,
                         "--probe", "X.self")
    equal((came(result), failed(result)), ("sftp", ["present"]), f"how the client comes ({result.error[-2000:]})")
    check(json.loads(result.out)["client"]["finished"], result)
    left = [name for place in ("/tmp", "/var/tmp", "/dev/shm", os.path.expanduser("~"))
            for name in os.listdir(place) if re.fullmatch(r"\.ctk[0-9a-f]{12}", name) and name not in before]
    equal(left, [], "what is left")


@case("--deliver forces a way, or none if it does not work there")
def forced():
    target = "exec:" + " ".join([*WORLD, *WRITABLE, "sh", "-c", "{shell}"])
    for way in ("printf", "memfd"):
        result = measure(target, "--probe", "X.self", "--deliver", way)
        equal((came(result), failed(result)), (way, []), f"forced ({result.error[-1000:]})")
    result = measure(target, "--probe", "X.self", "--deliver", "present")
    equal((came(result), failed(result), result.code), ("none could be brought there", ["present"], 2), "forced")
    result = measure(target, "--deliver", "pigeon")
    equal(result.code, 2, "exit status")
    check("present, sftp, cat, base64, printf, memfd, ld.so" in result.error, result)
    result = measure(target, "--client-at", "/a path")
    check(result.code == 2 and "--client-at" in result.error, result)


def alone(target, *options):
    """Nothing brings the client there: the report that the host makes without it."""
    result = measure(target, "--quick", "--declare", "net.disable,fs.write.deny,kernel.filter,proc.isolation", *options)
    equal((came(result), result.code), ("none could be brought there", 2), result.error[-2000:])
    report = json.loads(result.out)
    check(not report["client"]["came"] and "from outside" in report["client"]["fault"], report["client"])
    check(any("no client could be brought there" in line for line in report["no_evidence"]), report["no_evidence"])
    return ({item["name"]: item["verdict"] for item in report["capabilities"] if item["declared"]},
            {item["id"]: item for item in report["probes"]}, failed(result))


@case("interrupted, it leaves no client behind in the home directory that it found")
def interrupted():
    with tempfile.TemporaryDirectory() as home:
        def clients():
            return [name for name in os.listdir(home) if name.startswith(".ctk")]

        def measured():
            """Is the client that lies there at work?"""
            return any(os.path.getsize(os.path.join(home, name)) > 1000 for name in clients()) and \
                subprocess.run(["pgrep", "-f", home + "/.ctk"], stdout=subprocess.DEVNULL, check=False).returncode == 0

        with subprocess.Popen([HOST, "--target", "exec:sh -c {shell}", "--deliver", "cat", "--probe", "R.cpu,R.memory"],
                              stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, env={**os.environ, "HOME": home}) as kit:
            eventually(measured, "a client at work")
            kit.send_signal(signal.SIGINT)
        eventually(lambda: not clients(), f"a home without a client ({clients()})", 2)


@case("where nothing is run what the host sees is judged, and nothing else")
def nothing():
    target = "exec:" + " ".join([*WORLD, *NO_SCRIPTS, *SHUT, "sh", "-c", "{shell}"])
    verdicts, probes, tried = alone(target)
    equal(tried, [name for name in ALL if name != "sftp"], "tried")
    # The network and the filter are missing by the host's eyes; of what is kept it sees a part alone.
    equal(verdicts, {"net.disable": "FAIL", "fs.write.deny": "INCONCLUSIVE", "kernel.filter": "FAIL",
                     "proc.isolation": "INCONCLUSIVE"}, "verdicts")
    equal((probes["N.namespace"]["observed"], probes["P.namespace"]["observed"]), ("OPEN", "SHUT"), "by its state")
    equal((probes["N.tcp4"]["verdict"], probes["N.tcp4"]["detail"]),
          ("INCONCLUSIVE", "not tried: no client could be brought there"), "what takes somebody inside")


@case("and of a login that has sftp alone, by the process that serves it")
def sftp_only():
    with OpenSshd("Subsystem sftp internal-sftp\nForceCommand internal-sftp") as server:
        verdicts, probes, tried = alone(f"ssh://{server.user}@127.0.0.1:{server.port}", "--identity", server.key,
                                         "--deliver", "memfd")
    equal(tried, ["memfd"], "tried")
    equal(verdicts["net.disable"], "FAIL", "net.disable")
    equal((probes["N.namespace"]["observed"], probes["P.namespace"]["observed"]), ("OPEN", "OPEN"), "by its state")


main()
