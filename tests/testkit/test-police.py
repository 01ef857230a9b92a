#!/usr/bin/python3
"""What a measurement leaves at the host is found and named, and one that leaves nothing says so. All of it
in namespaces of the test's own, so that nothing is really left."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ["CLOCHE_SOURCE"], "tests", "e2e"))
from lib import BUILD, Skip, case, check, equal, main  # noqa: E402

HOST = os.path.join(BUILD, "testkit", "cloche-testkit-host")
APART = ["unshare", "--mount", "--uts", "--ipc", "--net", "--pid", "--fork", "--kill-child",
         "--mount-proc", "--propagation=private"]


def measure(*words):
    """Exit code, report and what stands on standard error."""
    if os.geteuid() != 0:
        raise Skip("takes root, for namespaces of its own")
    done = subprocess.run([*APART, HOST, "--format=json", *words], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=120, check=False)
    check(done.stdout.startswith("{"), f"no report: {done}")
    return done.returncode, json.loads(done.stdout), done.stderr


class Launcher:
    """A launcher that does something to the host before it starts the client."""

    def __init__(self, script):
        self.directory = tempfile.mkdtemp(prefix="cloche-police-", dir="/var/tmp")
        os.chmod(self.directory, 0o755)
        self.path = os.path.join(self.directory, "launcher")
        with open(self.path, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\nclient=$1 scope=$2\n" + script + '\nexec "$client"\n')
        os.chmod(self.path, 0o755)

    def target(self):
        return f"--target=exec:{self.path} {{client}} {{scope}}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.directory)


LEFT = {
    "process": ("setsid sleep 60 </dev/null >/dev/null 2>&1 &", "process: ", "sleep"),
    "mount": ("mkdir -p $scope/mine; mount --bind {directory}/kept $scope/mine", "mount: ", "/mine"),
    # By the host's own traces: others that measure at the same time have files of that kind, too.
    "file": ("for f in $(readlink /proc/$PPID/fd/* | grep ^/tmp/.cloche-testkit)/traces.ck*; do "
             "f=${f##*traces.}; : >/var/tmp/${f%%.*}.kept; done", "file: /var/tmp/", ".kept"),
    "setting": ("hostname police-$$; echo police-$$ >/proc/sys/kernel/domainname", "setting: ", "police-"),
    "key": ("python3 -c 'import ctypes,os,sys; n=os.path.basename(os.path.dirname(sys.argv[1])).encode(); "
            "ctypes.CDLL(None).syscall(248,b\"user\",n,b\"x\",1,-3)' $scope", "key: ", "cloche-testkit"),
}


@case("a measurement that puts everything back has left nothing")
def clean():
    code, report, err = measure("--target=native")
    equal(report["left"], [], "left")
    check("left at the host" not in err and code != 2, (code, err))
    # 20 s by themselves; three times that with a sanitizer's weight on a busy machine. The bench is strict.
    check(report["total_usec"] < 60e6, f"a full run took {report['total_usec'] / 1e6:.1f} s")


@case("--quick takes a moment only")
def moment():
    runs = [measure("--quick", "--timeout=0", "--target=native")[1]["total_usec"] for _ in range(3)]
    # 150 ms by themselves, as the bench has it: ten times that with a sanitizer's weight on a busy machine.
    check(min(runs) < 1.5e6, runs)


@case("what a launcher leaves is named, and the exit status says that the measurement is not to be trusted")
def left():
    with Launcher("") as launcher:
        # Its tree must outlive the removal of the canaries' own.
        os.mkdir(os.path.join(launcher.directory, "kept"))
        with open(os.path.join(launcher.directory, "kept", "file"), "w", encoding="utf-8") as file:
            file.write("mine")
        script = "\n".join(part[0] for part in LEFT.values()).replace("{directory}", launcher.directory)
        with open(launcher.path, "w", encoding="utf-8") as file:
            file.write(f'#!/bin/sh\nclient=$1 scope=$2\n(mount -t tmpfs none /run; ip link add police type veth peer name police2\n'
                       f'{script}\n) >/dev/null 2>&1\nexec "$client"\n')
        try:
            code, report, err = measure(launcher.target())
        finally:
            names = [name for name in os.listdir("/var/tmp") if name.startswith("ck") and name.endswith(".kept")]
            for name in names:
                os.unlink(os.path.join("/var/tmp", name))
        equal(code, 2, "exit status")
        for what, (_, start, text) in LEFT.items():
            check(any(line.startswith(start) and text in line for line in report["left"]),
                  f"{what} is not among {report['left']}")
            check(f"left at the host: {start}" in err, err)
        check(any(line.startswith("link: police") for line in report["meanwhile"]), report["meanwhile"])
        equal(os.listdir(os.path.join(launcher.directory, "kept")), ["file"], "what was mounted")


@case("--quick looks too")
def quick():
    with Launcher(LEFT["process"][0]) as launcher:
        code, report, _ = measure("--quick", launcher.target())
        equal(code, 2, "exit status")
        check(len(report["left"]) >= 1 and report["left"][0].startswith("process: "), report["left"])


@case("an ordinary user's report says which evidence it lacks, and root's lacks none of that")
def gaps():
    scratch = tempfile.mkdtemp(prefix="cloche-police-", dir="/var/tmp")
    target = "exec:bwrap --ro-bind / / --unshare-all --new-session --dev /dev --proc /proc {client}"
    try:
        os.chmod(scratch, 0o755)
        for name in ("cloche-testkit-host", "cloche-testkit-client"):
            shutil.copy(os.path.join(BUILD, "testkit", name), scratch)
        user = ["setpriv", "--reuid=54323", "--regid=54323", "--clear-groups", "env", "-i",
                "PATH=/usr/sbin:/usr/bin"]
        done = subprocess.run([*user, os.path.join(scratch, "cloche-testkit-host"), "--quick", "--target", target],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
        plain = " ".join(done.stdout.split())
        check("no evidence of the launcher's supplementary group, a setuid program, a device node: planting them "
              "takes root" in plain, done)
        check("namespaces" in plain or "CAP_SYS" in plain or "no evidence of" in plain, done)
    finally:
        shutil.rmtree(scratch)
    _, report, _ = measure("--quick", "--target", target)
    check(not any("takes root" in line or "CAP_SYS" in line for line in report["no_evidence"]),
          report["no_evidence"])


if __name__ == "__main__":
    main()
