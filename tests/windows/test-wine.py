#!/usr/bin/python3
"""The launcher for Windows under Wine, which takes requests that it does not act on.

Two things must come of that: the launcher refuses to start where it cannot have a container, and where
that is left out on request the testkit says that the session is NOT confined, whatever the calls
said. Wine has a prefix of its own with links to the few libraries that are needed.
"""
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from lib import BUILD, case, check, equal, main  # noqa: E402

CLOCHE = os.path.join(BUILD, "cli", "cloche")
HOST = os.path.join(BUILD, "testkit", "cloche-testkit-host")
HERE = os.path.join(BUILD, "tests", "windows")
WINE = "/usr/lib/wine/wine64"
SERVER = "/usr/lib/wine/wineserver64"
LIBRARIES = "/usr/lib/x86_64-linux-gnu/wine/x86_64-windows"
NEEDED = ["ntdll", "kernel32", "kernelbase", "advapi32", "sechost", "msvcrt", "ucrtbase", "ws2_32",
          "rpcrt4", "user32", "gdi32", "win32u", "bcrypt", "iphlpapi"]
PROMISES = "net.disable,fs.read.scope,fs.write.deny,proc.no_exec"


class Wine:
    """A prefix, and a directory with the two programs."""

    def __enter__(self):
        for path, package in ((WINE, "wine64"), (os.path.join(HERE, "cloche-launcher.exe"),
                                                 "gcc-mingw-w64-x86-64-win32")):
            check(os.path.exists(path), f"{path} is not there: install {package}"
                  " (and build anew)")
        self.directory = tempfile.mkdtemp(prefix="cloche-wine-")
        os.chmod(self.directory, 0o755)
        prefix = os.path.join(self.directory, "prefix")
        system = os.path.join(prefix, "drive_c", "windows", "system32")
        os.makedirs(system)
        with open(os.path.join(prefix, ".update-timestamp"), "w") as file:
            file.write("disable\n")
        for name in NEEDED:
            os.symlink(f"{LIBRARIES}/{name}.dll", f"{system}/{name}.dll")
        for name in ("cloche-launcher.exe", "cloche-testkit-client.exe"):
            shutil.copy(os.path.join(HERE, name), self.directory)
        self.env = {**os.environ, "WINEPREFIX": prefix, "WINEDEBUG": "-all",
                    "WINEDLLOVERRIDES": "mscoree=;mshtml=;winemenubuilder.exe="}
        self.env.pop("DISPLAY", None)
        return self

    def __exit__(self, *_):
        subprocess.run([SERVER, "-k"], env=self.env, stderr=subprocess.DEVNULL, timeout=20)
        subprocess.run([SERVER, "-w"], env=self.env, stderr=subprocess.DEVNULL, timeout=20)
        shutil.rmtree(self.directory, ignore_errors=True)

    def windows(self, path):
        return "Z:" + os.path.join(self.directory, path).replace("/", "\\")

    def plan(self, *options, args=()):
        """Compiles a plan as `cloche plan` does; the file the launcher reads, its id filled in."""
        out = subprocess.run(
            [CLOCHE, "plan", "--backend", "appcontainer", "--json", "--quiet", *options, "--",
             self.windows("cloche-testkit-client.exe"), *args], env={"PATH": os.environ["PATH"]},
            capture_output=True, timeout=30)
        equal(out.returncode, 0, out.stderr.decode())
        plan = json.loads(out.stdout)
        equal(plan["files"][0]["name"], "appcontainer.json", "file")
        return plan, plan["files"][0]["content"].replace("{id}", os.urandom(16).hex())

    def save(self, text, name="session"):
        directory = os.path.join(self.directory, name)
        os.makedirs(directory)
        with open(os.path.join(directory, "appcontainer.json"), "w") as file:
            file.write(text)
        return os.path.join(directory, "appcontainer.json")

    def launch(self, *args):
        return subprocess.run([WINE, os.path.join(self.directory, "cloche-launcher.exe"), *args],
                              env=self.env, stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=60)


@case("where there are no containers the launcher refuses and leaves nothing")
def refuses():
    with Wine() as wine:
        _, text = wine.plan(args=["exec"])
        path = wine.save(text)
        done = wine.launch(wine.windows("session/appcontainer.json"))
        equal(done.returncode, 125, f"exit code ({done.stderr.decode()})")
        check("asking for an AppContainer" in done.stderr.decode(), done.stderr.decode())
        equal(os.listdir(os.path.dirname(path)), ["appcontainer.json"], "left behind")


@case("a plan that is not one to the last byte is refused")
def strict():
    with Wine() as wine:
        os.mkdir(os.path.join(wine.directory, "allowed"))
        _, text = wine.plan("--readable", wine.windows("allowed"), args=["exec"])
        undo = '"undo":[' + text.split('"undo":[')[1]
        wrong = [text[:-1], text + "\n", text.replace('"lpac":true', '"lpac":false'),
                 text.replace('"loopback":false', '"loopback":true'),
                 text.replace(undo, '"undo":[]}'), text.replace('"timeout":0', '"timeout":00'),
                 text.replace(".appcontainer/1", ".appcontainer/2")]
        for number, bad in enumerate(wrong):
            wine.save(bad, f"bad{number}")
            done = wine.launch(wine.windows(f"bad{number}/appcontainer.json"))
            equal(done.returncode, 125, f"exit code of {number}")
            check("the plan is not one" in done.stderr.decode(), f"{number}: {done.stderr}")
        path = wine.save(text)
        done = wine.launch("--without", "container", wine.windows("session/appcontainer.json"))
        equal(done.returncode, 42, f"the program's own exit code ({done.stderr.decode()})")
        equal(os.listdir(os.path.dirname(path)), ["appcontainer.json"], "left behind")


@case("a journal is undone once, and takes out entries of containers alone")
def journal():
    with Wine() as wine:
        os.mkdir(os.path.join(wine.directory, "allowed"))
        path = os.path.join(wine.directory, "journal")
        line = "tree " + wine.windows("allowed") + "\n"
        for text, code in (("S-1-15-2-1-2-3-4-5-6-7\n" + line, 0), ("S-1-1-0\n" + line, 125),
                           ("S-1-15-2-1-2-3-4-5-6-7\nall C:\\\n", 125), ("", 125)):
            with open(path, "w") as file:
                file.write(text)
            done = wine.launch("--undo", wine.windows("journal"))
            equal(done.returncode, code, f"{text!r}: {done.stderr.decode()}")
            equal(os.path.exists(path), code != 0, "the journal")
        os.unlink(path)
        equal(wine.launch("--undo", wine.windows("journal")).returncode, 125, "without a journal")


@case("calls that succeed without effect are judged NOT confined")
def judged():
    with Wine() as wine:
        plan, text = wine.plan("--no-exec", "--readable", wine.windows("allowed"), "--memory", "256M",
                               "--pids", "4")
        os.mkdir(os.path.join(wine.directory, "allowed"))
        for name in PROMISES.split(","):
            check(name in plan["uses"], f"the plan does not promise {name}")
        # The target: what a host would run for each session, with a directory of its own.
        script = os.path.join(wine.directory, "target")
        with open(script, "w") as file:
            file.write("#!/bin/sh\n: \"$1\"\nd=$(mktemp -d " + shlex.quote(wine.directory) + "/s.XXXXXX)\n"
                       "cp " + shlex.quote(wine.save(text)) + " \"$d/appcontainer.json\"\n"
                       f"exec {WINE} {shlex.quote(wine.directory)}/cloche-launcher.exe --without container"
                       " \"Z:$d/appcontainer.json\"\n")
        os.chmod(script, 0o755)
        done = subprocess.run([HOST, "--target", f"exec:{script} {{client}}", "--quick",
                               "--run-timeout", "20s", "--declare", PROMISES, "--format", "json"],
                              env=wine.env, capture_output=True, timeout=100)
        check(done.stdout, f"no report: {done.stderr.decode()}")
        report = json.loads(done.stdout)
        check(report["client"]["finished"] and not report["client"]["damaged"], report["client"])
        verdicts = {item["name"]: item["verdict"] for item in report["capabilities"]
                    if item["declared"]}
        equal(verdicts, {name: "FAIL" for name in PROMISES.split(",")}, "verdicts")
        equal(done.returncode, 1, "exit code")
        seen = {probe["id"]: probe["observed"] for probe in report["probes"]}
        for probe in ("N.tcp4", "N.udp4", "F.read-home", "F.read-tmp", "F.create", "F.overwrite"):
            equal(seen[probe], "OPEN", f"{probe}, by the host's own eyes")


if __name__ == "__main__":
    main()
