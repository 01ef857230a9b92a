#!/usr/bin/python3
"""One row of the matrix that ./dev test ends with: what a profile on this backend declares, and what the
testkit observes of it, started as cloche run starts it and over SSH by the stock client. The backend's
name comes in CLOCHE_BACKEND."""
import contextlib
import json
import os
import shutil
import tempfile
import time

import guests
from engines import engine_of
from lib import BUILD, Cloche, Server, Skip, case, check, equal, main, run

BACKEND = os.environ.get("CLOCHE_BACKEND", "native")
HOST = os.path.join(BUILD, "testkit", "cloche-testkit-host")
PROFILE = {"backend": BACKEND, "readable": ["/usr"], "write": "ephemeral", "pids": 64, "memory": "256M",
           "cpus": 1, "disk": "64M", "env_deny": ["*_TOKEN"]}
SLOW = {"gvisor": 240, "microvm": 500}
if BACKEND == "microvm":
    guests.use(BUILD)
ENGINE = engine_of(BACKEND)  # then a container has the files of its image


def measure(server, profile, *target):
    result = run([HOST, *target, "--config", server.configure(), "--profile", profile, "--quick", "--format",
                  "json"], env={**os.environ, "HOME": server.directory}, timeout=SLOW.get(BACKEND, 120))
    check(result.out.startswith(b"{"), f"no report: {result}")
    return result.code, json.loads(result.out)


def observed(report):
    return {c["name"]: c["verdict"] for c in report["capabilities"] if c["declared"]}


def undecided(report):
    """What stood in the way of a verdict, of a few probes."""
    return [f"{p['id']}: {p['detail']}" for p in report["probes"] if p["verdict"] in ("INCONCLUSIVE", "FAIL")][:8]


def time_limit(server):
    """The testkit cannot set a login's limit to something it wants to wait for: a clock will do."""
    begin = time.monotonic()
    result = server.ssh("sleep 60", user="timed")
    return "PASS" if result.code != 0 and time.monotonic() - begin < (55 if BACKEND in SLOW else 20) else "FAIL"


def reasons(server):
    """Why something is not declared: what the plan says of itself, by capability."""
    result = run([os.path.join(BUILD, "cli", "cloche"), "plan", "--config", server.path("cloche.yaml"),
                  "--profile", "timed", "--json", "--", "true"])
    check(result.code == 0, f"no plan: {result}")
    return {caveat["capability"]: caveat["text"] for caveat in json.loads(result.out)["caveats"]
            if caveat["capability"]}


def save(names, by_run, by_ssh, why):
    """For tools/summary.py, which prints all rows."""
    directory = os.path.join(BUILD, "matrix")
    os.makedirs(directory, exist_ok=True)
    rows = {name: {"run": by_run.get(name), "ssh": by_ssh.get(name),
                   "why": None if name in by_run else why.get(name)} for name in names}
    with open(os.path.join(directory, BACKEND + ".json"), "w") as file:
        json.dump(rows, file, indent=1, sort_keys=True)


@case(f"{BACKEND}: every capability that is declared is observed, by cloche run's way and over SSH")
def _():
    if os.geteuid() != 0:
        raise Skip("the controls take another user, and that takes root")
    profile = {key: value for key, value in PROFILE.items() if key != "readable" or not ENGINE}
    eye = contextlib.ExitStack()
    see = ()
    if BACKEND in SLOW:
        # A login has its profile's places and none of the testkit's: the eye lies in one.
        place = eye.enter_context(tempfile.TemporaryDirectory(prefix="cloche-eye.", dir="/srv"))
        os.chmod(place, 0o755)
        see = ("--eye", shutil.copy(os.path.join(BUILD, "testkit", "eye", "cloche-testkit-eye"), place))
        profile["readable"] = [*profile["readable"], place]
    # The testkit makes its own short limit of any; with a short one here a busy machine would cut its probes off.
    server = Cloche(profiles={"lab": profile, "timed": {**profile, "timeout": "3s"},
                              "patient": {**profile, "timeout": "60s"}})
    server.users["timed"] = {**server.users["lab"], "profile": "timed"}
    with eye, server:
        code, report = measure(server, "patient", "--target", BACKEND)
        ssh_code, ssh_report = measure(server, "lab", "--target",
                                       f"ssh://lab@127.0.0.1:{server.port}", "--identity", server.key, *see)
        by_run, by_ssh = observed(report), observed(ssh_report)
        by_ssh["res.time"] = time_limit(server)
        why = reasons(server)
    save([c["name"] for c in report["capabilities"]], by_run, by_ssh, why)
    equal((code, set(by_run.values())), (0, {"PASS"}), f"by run ({by_run}; {undecided(report)})")
    equal((ssh_code, set(by_ssh.values())), (0, {"PASS"}), f"over SSH ({by_ssh}; {undecided(ssh_report)})")
    equal(set(by_ssh), set(by_run), "what is declared")


with ENGINE or contextlib.nullcontext():
    Server.beside |= {ENGINE.daemon.pid} if ENGINE and ENGINE.daemon else set()
    main(2 * SLOW.get(BACKEND, 120) + 60)
