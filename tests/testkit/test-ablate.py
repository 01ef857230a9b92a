"""Layers taken away in turn: what the report says, and that nothing of the host's is within reach meanwhile."""
import json
import os
import re
import socket
import stat
import subprocess
import sys
import tempfile

BUILD, SOURCE = os.environ["CLOCHE_BUILD"], os.environ["CLOCHE_SOURCE"]
HOST = os.path.join(BUILD, "testkit", "cloche-testkit-host")
DOCS = os.path.join(SOURCE, "docs", "ablation.md")

# A client that attacks: it writes whatever it can reach, and says nothing.
SPY = """#!/bin/sh
exec 2>/dev/null
mount -o remount,bind,rw /
mount -o remount,bind,rw {first}
mknod /tmp/disk b 8 0 && echo reached >>'{first}'
for f in {files}; do echo reached >>"$f"; done
hostname | grep -qx '{name}' && echo reached >>'{first}'
"""


def run(*words, patience=280):
    done = subprocess.run([HOST, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=patience, check=False)
    return done.returncode, done.stdout, done.stderr


def single_points(text):
    """The layers in the tables of single points of docs/ablation.md, by profile."""
    found, profile, table = {}, None, False
    for line in text.splitlines():
        head = re.fullmatch(r"## Profile `(\w+)`", line)
        profile = head[1] if head else profile
        table = line == "### Single points of failure" or (table and not line.startswith("### "))
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if table and line.startswith("| ") and len(cells) == 3 and cells[0] != "layer":
            found.setdefault(profile, {})[cells[0]] = cells[1].split(", ")
    return found


def the_report():
    """tight: every layer is asked both questions, and well-known probes have their well-known layers."""
    code, out, err = run("ablate", "--profile", "tight", "--quick", "--format=json")
    assert code == 0, (code, err)
    report = json.loads(out)
    assert report["schema"] == "cloche.ablation/1"
    assert report["apart_fault"] == "" and all(plan["ran"] for plan in report["plans"]), report["plans"]
    apart = [set(plan["without"]) for plan in report["plans"] if plan["apart"]]
    report["plans"] = [plan for plan in report["plans"] if not plan["apart"]]
    layers = set().union(*(plan["without"] for plan in report["plans"]))
    sizes = [len(plan["without"]) for plan in report["plans"]]
    # The user namespace is left out of two plans only, each held against the same plan with it.
    assert "user" not in layers
    assert sorted(map(len, apart)) == [2, 3, len(layers), len(layers) + 1], apart
    for without in (plan for plan in apart if "user" in plan):
        assert without - {"user"} in apart, without
    assert len(layers) >= 23 and max(sizes) == len(layers) and min(sizes) == 0
    for layer in layers - {"no_new_privs"}:
        assert [layer] in [plan["without"] for plan in report["plans"]], layer
    probes = {probe["id"]: probe for probe in report["probes"]}
    expected = {
        "N.tcp4": ("one", ["net"]), "I.shm": ("one", ["ipc"]), "K.bpf": ("one", ["filter"]),
        "V.nnp": ("one", ["no_new_privs"]), "V.caps": ("one", ["caps"]), "D.tty": ("one", ["session"]),
        "F.read-home": ("one", ["mount"]), "L.fds-host": ("one", ["close_fds"]),
        "R.memory-limit": ("one", ["cgroup"]), "R.time": ("one", ["time"]),
        "K.userns": ("several", []), "I.key-session": ("several", []), "P.kill": ("several", []),
        "R.tasks-limit": ("several", []), "F.read-system": ("none", []), "V.host-root": ("one", ["user"]),
        "V.namespace": ("one", ["user"]), "P.seize": ("several", []), "V.groups": ("always", []),
    }
    for name, (stopped, needs) in expected.items():
        assert (probes[name]["stopped"], probes[name]["needs"]) == (stopped, needs), probes[name]
    assert probes["I.key-session"]["enough"] == ["filter", "keyring"]
    assert probes["P.seize"]["enough"] == ["user"] and "user" in report["single_points"]
    # What the host could not see there is said not to have been asked: the filter, a device, a limit.
    unasked = {name for name, probe in probes.items() if probe["user_unasked"]}
    assert {"K.bpf", "D.planted", "R.time"} <= unasked, unasked
    assert not unasked & {"V.host-root", "N.tcp4", "F.read-home", "P.seize", "I.shm", "V.caps", "L.fds-host"}, unasked
    assert all(name[0] in "KRDLV" for name in unasked), unasked
    return report


def the_page(report):
    """docs/ablation.md has both profiles, and no single point of failure was found that it lacks."""
    with open(DOCS, encoding="utf-8") as file:
        pages = single_points(file.read())
    assert set(pages) == {"tight", "agent"}, pages.keys()
    missing = set(report["single_points"]) - set(pages["tight"])
    assert not missing, missing
    known = {line.split()[0] for line in run("list")[1].splitlines() if line.strip()}
    for page in pages.values():
        for names in page.values():
            assert set(names) <= known, set(names) - known


def the_host_is_out_of_reach(_):
    """A client that attacks reaches the host from no plan whatever; with no sandbox at all it does."""
    with tempfile.TemporaryDirectory(dir="/srv") as place, tempfile.TemporaryDirectory() as temporary, \
            tempfile.TemporaryDirectory(dir="/var/lib") as uncovered:
        files = [os.path.join(uncovered, "canary"), os.path.join(place, "canary"),
                 os.path.join(temporary, "canary"), f"/dev/shm/cloche-ablate-{os.getpid()}"]
        spy = os.path.join(temporary, "spy")
        try:
            for directory in (place, temporary, uncovered):
                os.chmod(directory, 0o777)
            for path in files:
                with open(path, "w", encoding="utf-8"):
                    os.chmod(path, 0o666)
            with open(spy, "w", encoding="utf-8") as file:
                file.write(SPY.format(files=" ".join(files), first=files[0], name=socket.gethostname()))
            os.chmod(spy, 0o755)
            before = socket.gethostname()
            code, out, err = run("ablate", "--profile", "tight", "--quick", "--format=json", "--client", spy,
                                 "--run-timeout=2s")
            report = json.loads(out)
            assert code == 0 and not any(plan["ran"] for plan in report["plans"]), (code, err)
            assert socket.gethostname() == before
            for path in files:
                assert os.path.getsize(path) == 0, path
            # The spy can do it: the same without the second sandbox, and with no first one either.
            run("--target=none", "--quick", "--client", spy, "--run-timeout=2s")
            for path in files:
                assert os.path.getsize(path) > 0, path
        finally:
            if os.path.exists(files[-1]) and stat.S_ISREG(os.lstat(files[-1]).st_mode):
                os.unlink(files[-1])


def what_cannot_be_asked(_):
    """Usage that would mean something else is refused."""
    for words in (["--target=none"], ["--without=net"], ["--without=user"], ["--format=tap"], ["--declare=net.disable"],
                  ["--probe=N.tcp4"], ["--target=bubblewrap"], ["--format=html"],
                  ["--format=json", "--output=/nonexistent/file"], ["--target=native"] * 2,
                  ["--format=text", "--format=json"]):
        code, out, err = run("ablate", *words)
        assert code == 2 and err and not out, (words, code, out, err)
    # Its own half, by hand on the host: it looks where it is before it does anything.
    read, write = os.pipe()
    with os.fdopen(read, "rb") as answer:
        with os.fdopen(write, "wb"):
            subprocess.run([HOST, "ablate-apart", str(write), "/bin/true", "-", "x", "ablate", "--profile=tight"],
                           pass_fds=[write], stdin=subprocess.DEVNULL, timeout=60, check=False)
        assert b"second sandbox" in answer.read()


def main():
    if os.geteuid() != 0:
        print("1..0 # SKIP takes root, which makes the second sandbox")
        return 0
    failed, report = 0, None
    cases = [the_report, the_page, the_host_is_out_of_reach, what_cannot_be_asked]
    print(f"1..{len(cases)}")
    for number, case in enumerate(cases, 1):
        try:
            result = case() if case is the_report else case(report)
            report = report or result
            print(f"ok {number} - {case.__doc__}")
        except Exception as error:  # pylint: disable=broad-except
            failed += 1
            print(f"not ok {number} - {case.__doc__}")
            print("\n".join(f"# {line}" for line in f"{type(error).__name__}: {error}".splitlines()[:20]))
        sys.stdout.flush()
    return 1 if failed else 0


sys.exit(main())
