#!/usr/bin/python3
"""Counts test cases in a meson testlog.json; names each skip with its reason.

A TAP test counts by its lines, a cmocka test by its cases, anything else as one. The last line is
"N passed, N failed, N skipped"; the exit code is 1 when something failed or nothing ran.
"""
import json
import os
import re
import sys

TAP = re.compile(r"^(not )?ok\b *\d* *-? *(.*?)(?: *# *(SKIP)\b *(.*))?$", re.I | re.M)
CMOCKA = re.compile(r"^\[ +(OK|FAILED|SKIPPED) +\] (\S+)$")
MAX_TEXT = 3000  # of the diagnostics of one failure
WANTED = {"OK", "SKIP", "EXPECTEDFAIL"}


def tap_cases(text):
    """(state, name, reason): for a skip its reason, for a failure the diagnostic lines."""
    found = []
    for line in text.splitlines():
        match = TAP.match(line)
        if match:
            state = "skip" if match[3] else "fail" if match[1] else "pass"
            found.append([state, match[2], (match[4] or "").strip()])
        elif found and found[-1][0] == "fail" and line.startswith("#"):
            found[-1][2] += "\n    " + line[1:].strip()
    return [tuple(case) for case in found]


def cmocka_cases(text):
    seen = {}
    for line in text.splitlines():
        match = CMOCKA.match(line)
        if match and not match[2].isdigit():
            seen[match[2]] = {"OK": "pass", "FAILED": "fail", "SKIPPED": "skip"}[match[1]]
    for name, state in seen.items():
        yield state, name, "the case said so" if state == "skip" else ""


def reason_of(test):
    text = (test.get("stdout") or "") + "\n" + (test.get("stderr") or "")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = [line for line in lines if re.search(r"\bskip", line, re.I)]
    return (told or lines or ["no reason given"])[-1]


def cases_of(test):
    result, name = test["result"], test["name"].split(" / ")[-1]
    out, err = test.get("stdout") or "", test.get("stderr") or ""
    if result == "SKIP" and not TAP.search(out):
        return [("skip", name, reason_of(test))]
    cases = tap_cases(out) or list(cmocka_cases(err)) or list(cmocka_cases(out))
    cases = [(state, f"{name}: {case}", reason) for state, case, reason in cases]
    if result not in WANTED and not any(state == "fail" for state, _, _ in cases):
        cases.append(("fail", f"{name} ({result.lower()})", ""))
    return cases or [("pass", name, "")]


MARKS = {None: "-", "PASS": "yes"}


def print_matrix(directory):
    """Backend by capability: declared and observed, started as cloche run does and over SSH."""
    rows = {}
    for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else []:
        if name.endswith(".json"):
            with open(os.path.join(directory, name), encoding="utf-8") as file:
                rows[name[:-5]] = json.load(file)
    if not rows:
        return
    capabilities = sorted({capability for row in rows.values() for capability in row})
    absent = []
    print("\ndeclared and observed by this run (run/ssh; -: not declared for the profile that was measured)")
    print(" " * 20 + " ".join(f"{name:12}" for name in rows))
    for capability in capabilities:
        cells = [rows[name].get(capability, {}) for name in rows]
        if any(cell.get("run") or cell.get("ssh") for cell in cells):
            texts = ["-" if not cell.get("run") and not cell.get("ssh") else
                     "/".join(MARKS.get(cell.get(via), str(cell.get(via)).lower()) for via in ("run", "ssh"))
                     for cell in cells]
            print(f"{capability:20}" + " ".join(f"{text:12}" for text in texts).rstrip())
            absent += [(name, capability, row[capability].get("why") or "this backend has no means for it")
                       for name, row in rows.items() if not row.get(capability, {}).get("run")]
    for name, capability, why in absent:
        print(f"not declared: {name} {capability}: {why}")
    print()


def main():
    if not os.path.exists(sys.argv[1]):
        print("no test of that name")
        return 1
    with open(sys.argv[1], encoding="utf-8", errors="replace") as log:
        tests = [json.loads(line) for line in log if line.strip()]
    cases = [case for test in tests for case in cases_of(test)]
    for state, name, why in cases:
        if state == "fail":
            print(f"failed: {name}{why[:MAX_TEXT]}")
    for state, name, reason in cases:
        if state == "skip":
            print(f"skipped: {name}: {reason}")
    if len(sys.argv) > 2:
        print_matrix(sys.argv[2])
    count = {state: sum(case[0] == state for case in cases) for state in ("pass", "fail", "skip")}
    print(f"{count['pass']} passed, {count['fail']} failed, {count['skip']} skipped")
    return 1 if count["fail"] or not count["pass"] else 0


sys.exit(main())
