"""docs/assumptions: a file for every backend, in which what checks an assumption is there."""
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from lib import BUILD, SOURCE, case, check, equal, main  # noqa: E402

PLACE = os.path.join(SOURCE, "docs", "assumptions")
# Several backends of one kind share a file, named after the plain one.
SHARED = {"docker-runsc": "docker", "podman-runsc": "podman"}


def call(*words):
    return json.loads(subprocess.run(words, capture_output=True, check=True, timeout=60).stdout)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def documents():
    for name in sorted(os.listdir(PLACE)):
        yield name, read(os.path.join(PLACE, name))


def test_sources():
    """All that tests are written in, as one text."""
    texts = []
    for directory, _, names in os.walk(os.path.join(SOURCE, "tests")):
        texts += [read(os.path.join(directory, name)) for name in names
                  if name.endswith((".c", ".py", ".sh", ".scm", ".ss"))]
    return "\n".join(texts)


def unknown_names(text, functions, programs):
    """Names of tests in a document that are nowhere."""
    words = set(re.findall(r"`([a-z0-9]+(?:_[a-z0-9]+){3,})`", text))
    unknown = [word for word in words if not re.search(rf"\b{word}\b", functions)]
    words = set(re.findall(r"\b((?:e2e|testkit|fuzz)-[a-z0-9-]+)\b", text))
    unknown += [word for word in words if word not in programs]
    paths = set(re.findall(r"`(tests/[\w-]+/[\w./-]+)`", text))
    return unknown + [path for path in paths if not os.path.exists(os.path.join(SOURCE, path))]


def programs():
    names = {test["name"].split(" / ")[-1] for test in call("meson", "introspect", "--tests", BUILD)}
    return names | {"testkit-host", "testkit-client"}


@case("every backend says what it assumes")
def _():
    backends = call(os.path.join(BUILD, "cli", "cloche"), "backends", "--json")["backends"]
    missing = [b["name"] for b in backends
               if not any(os.path.exists(os.path.join(PLACE, f"{name}.md"))
                          for name in (b["name"], SHARED.get(b["name"], "")))]
    equal(missing, [], "backends without docs/assumptions/<backend>.md")


@case("every test that is named there exists")
def _():
    functions, names = test_sources(), programs()
    for name, text in documents():
        equal(unknown_names(text, functions, names), [], f"docs/assumptions/{name}: no such tests")


@case("every row of a table says what checks it")
def _():
    for name, text in documents():
        rows = re.findall(r"^\|(.*)\|\s*$", text, re.M)
        check(rows, f"{name} has no table")
        empty = [row for row in rows if not row.split("|")[-1].strip()]
        equal(empty, [], f"docs/assumptions/{name}: nothing in the last column")


@case("a name that is nowhere is noticed")
def _():
    text = "`no_such_test_is_there`, e2e-nonesuch, `tests/unit/nonesuch.c`, `every_row_is_good`"
    equal(sorted(unknown_names(text, "every_row_is_good(", {"e2e-net"})),
          ["e2e-nonesuch", "no_such_test_is_there", "tests/unit/nonesuch.c"], "noticed")


if __name__ == "__main__":
    main()
