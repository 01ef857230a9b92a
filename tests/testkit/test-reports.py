#!/usr/bin/env python3
"""The testkit's commands, and its reports in every format."""
import json
import os
import subprocess
import sys

BUILD = os.environ["CLOCHE_BUILD"]
SOURCE = os.environ["CLOCHE_SOURCE"]
HOST = os.path.join(BUILD, "testkit", "cloche-testkit-host")


def host(*words, code=0, **more):
    done = subprocess.run([HOST, *words], capture_output=True, text=True, timeout=120, **more)
    assert done.returncode == code, (words, done.returncode, done.stderr)
    return done.stdout


def list_is_filtered():
    everything = json.loads(host("list", "--json"))["probes"]
    assert len(everything) >= 150
    assert len(host("list").splitlines()) == len(everything)
    network = host("list", "--group=network").splitlines()
    assert network == host("list", "--group", "N").splitlines()
    assert network and all(line.startswith("N.") for line in network)
    deciding = json.loads(host("list", "--json", "--capability", "kernel.isolation"))["probes"]
    assert {"K.same-kernel"} <= {probe["id"] for probe in deciding} and len(deciding) < 50
    for probe in deciding:
        assert "kernel.isolation" in [each["name"] for each in probe["capabilities"]]


def explain_says_everything():
    words = host("explain", "P.group", "X.self")
    for wanted in ("P.group (process)", "tried ", "why ", "evidence   E2", "layers     session",
                   "decides ", "read on    setsid(2)", "X.self (exec)"):
        assert wanted in words, wanted
    assert all(len(line) <= 80 for line in words.splitlines())
    names = [probe["id"] for probe in json.loads(host("list", "--json"))["probes"]]
    pages = host("explain", *names)
    assert pages.count("evidence   E") == len(names)


def wrong_words_are_refused():
    for words in (["list", "--group=Q"], ["list", "--capability=x"], ["list", "more"],
                  ["list", "--nothing"], ["explain"], ["explain", "N.none"],
                  ["explain", "N.tcp4", "; rm -rf /"]):
        assert host(*words, code=2) == ""


TESTS = [list_is_filtered, explain_says_everything, wrong_words_are_refused]


def main():
    print(f"1..{len(TESTS)}")
    failed = 0
    for number, test in enumerate(TESTS, 1):
        try:
            test()
            print(f"ok {number} - {test.__name__}", flush=True)
        except Exception as trouble:  # the rest is still worth knowing
            failed += 1
            print(f"# {type(trouble).__name__}: {trouble}".replace("\n", "\n# "))
            print(f"not ok {number} - {test.__name__}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
