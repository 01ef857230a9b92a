#!/usr/bin/python3
"""Backends without root: what their plans declare for an ordinary user is observed too, scopes that
last included, which bubblewrap has for users alone."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ["CLOCHE_SOURCE"], "tests", "e2e"))
from lib import BUILD, Skip, case, check, equal, main  # noqa: E402

HOST = os.path.join(BUILD, "testkit", "cloche-testkit-host")
NOBODY = 54322  # a user nobody is


def measure(backend, *options):
    """The report of a measurement by an ordinary user, who has one place of his own."""
    if os.geteuid() != 0:
        raise Skip("takes root, to become an ordinary user")
    scratch = tempfile.mkdtemp(prefix="cloche-user-", dir="/var/tmp")
    try:
        place, tools = os.path.join(scratch, "place"), os.path.join(scratch, "tools")
        os.mkdir(place)
        os.mkdir(tools)
        os.chmod(scratch, 0o755)
        os.chown(place, NOBODY, NOBODY)
        # The build tree may lie where the user cannot go.
        for name in ("cloche-testkit-host", "cloche-testkit-client"):
            shutil.copy(os.path.join(BUILD, "testkit", name), tools)
        argv = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "env", "-i",
                "PATH=/usr/sbin:/usr/bin", f"HOME={place}",
                os.path.join(tools, "cloche-testkit-host"), "--target", backend, "--format", "json",
                *[option.format(place=place) for option in options]]
        result = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
        check(result.stdout.startswith(b"{"), f"no report: {result}")
        return result.returncode, json.loads(result.stdout)
    finally:
        shutil.rmtree(scratch)


def declared(report):
    return {c["name"]: c["verdict"] for c in report["capabilities"] if c["declared"]}


for name in ("native", "bubblewrap"):
    @case(f"{name}: what is declared is observed")
    def _(name=name):
        code, report = measure(name, "--readable=/usr", "--pids=64", "--read-deny=/usr/share/doc")
        equal(code, 0, f"exit status ({declared(report)})")
        check(set(declared(report).values()) == {"PASS"}, declared(report))
        check("priv.none" in declared(report) and "fs.read.deny" in declared(report), declared(report))

    @case(f"{name}: a place that is writable, and no other")
    def _(name=name):
        code, report = measure(name, "--readable=/usr", "--write=scope", "--writable={place}")
        equal(code, 0, f"exit status ({declared(report)})")
        equal(declared(report).get("fs.write.scope"), "PASS", "fs.write.scope")

    @case(f"{name}: a layer that is left out is seen")
    def _(name=name):
        code, report = measure(name, "--readable=/usr", "--without=filter")
        equal(code, 1, f"exit status ({declared(report)})")

main()
