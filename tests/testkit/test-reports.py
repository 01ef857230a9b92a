#!/usr/bin/env python3
"""The testkit's commands, and its reports in every format, looked at with foreign eyes."""
import json
import os
import pty
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree
import zlib

import jsonschema

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


def help_fits_and_refusals_name_what_there_is():
    assert all(len(line) <= 80 for line in host("--help").splitlines())
    refused = subprocess.run([HOST, "list", "--group", "Z"], capture_output=True, text=True)
    assert refused.returncode == 2 and "N (network), F (file system)" in refused.stderr, refused.stderr


def explain_knows_the_words_of_reports():
    with open(os.path.join(SOURCE, "docs", "schema", "cloche.report.1.json")) as file:
        parts = json.load(file)["definitions"]
    words = parts["observation"]["enum"] + parts["probe"]["properties"]["verdict"]["enum"] + \
        parts["probe"]["properties"]["level"]["enum"]
    pages = host("explain", *words)
    assert pages.count("  means ") == len(words) == 25
    told = host("explain", "net.disable")
    assert told.startswith("net.disable (restriction)\n") and "expects    N.tcp4 shut: " in told
    assert all(len(line) <= 80 for line in (pages + told).splitlines())


def wrong_words_are_refused():
    for words in (["list", "--group=Q"], ["list", "--capability=x"], ["list", "more"],
                  ["list", "--nothing"], ["explain"], ["explain", "N.none"],
                  ["explain", "N.tcp4", "; rm -rf /"]):
        assert host(*words, code=2) == ""


def probes_are_asked_by_name_and_by_group():
    for asked, wanted in (("N.tcp4", {"N.tcp4"}), ("N.tcp4,F.create", {"N.tcp4", "F.create"}), ("X", {
            probe["id"] for probe in json.loads(host("list", "--group=X", "--json"))["probes"]})):
        report = json.loads(host("--target", "none", "-P", asked, "-F", "json"))
        got = {probe["id"] for probe in report["probes"]}
        assert wanted <= got and "N.udp4" not in got and "R.tasks" not in got, (asked, got)
    for asked in ("N.tcp4,N.none", "N.", "N.tcp4,", "", "Q", "N.tcp"):
        assert "no probe is called" in refusal("--target", "none", "-P", asked), asked


# ---- reports: one measurement of two targets, written in every format ----

HOSTILE = "<script>document.title='owned'</script><img/src=x/onerror=alert(1)>\"'|`[a](b)#"
FORMATS = ("text", "json", "ndjson", "tap", "junit", "sarif", "markdown", "html")
TARGETS = ("exec:{client}", "exec:/usr/bin/env X=" + HOSTILE + " {client}")
PLACE = tempfile.TemporaryDirectory(prefix="cloche-reports.")


def path_of(form):
    return os.path.join(PLACE.name, "report." + form)


def report(form):
    """The report of that format; the first call measures."""
    if not os.path.exists(path_of("text")):
        words = ["--quick", "--declare", "net.disable,fs.read.host"]
        for target in TARGETS:
            words += ["--target", target]
        for each in FORMATS:
            words += ["--format", each, "--output", path_of(each)]
        assert host(*words, code=1) == ""
    with open(path_of(form), encoding="utf-8") as file:
        return file.read()


def verdicts(entry, kind):
    name = {"capabilities": "name", "probes": "id"}[kind]
    return {each[name]: each["verdict"] for each in entry[kind]}


def json_keeps_its_schema():
    with open(os.path.join(SOURCE, "docs", "schema", "cloche.report.1.json")) as file:
        schema = json.load(file)
    jsonschema.Draft7Validator.check_schema(schema)
    root = json.loads(report("json"))
    check = jsonschema.Draft7Validator(schema)
    assert [trouble.message[:200] for trouble in check.iter_errors(root)] == []
    assert root["target"]["name"] == TARGETS[0]
    assert [other["target"]["name"] for other in root["others"]] == [TARGETS[1]]
    assert verdicts(root, "capabilities")["net.disable"] == "FAIL"
    # The checker can say no.
    root["probes"][0]["verdict"] = "FINE"
    root["surprise"] = 1
    assert len(list(check.iter_errors(root))) == 2


def one_target_validates_too():
    with open(os.path.join(SOURCE, "docs", "schema", "cloche.report.1.json")) as file:
        schema = json.load(file)
    for words in (["--quick"], ["--proof", "--declare", "net.enable"]):
        root = json.loads(host("--target", "none", "--format", "json", *words))
        jsonschema.Draft7Validator(schema).validate(root)
        assert "others" not in root


def ndjson_tells_it_as_it_happens():
    events = [json.loads(line) for line in report("ndjson").splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds[0] == "run" and kinds[-1] == "end" and kinds.count("target") == 2
    first = kinds.index("target")
    assert set(kinds[:first]) == {"run", "answer"}
    asked = sum(event["asked"] for event in events if event["event"] == "run")
    assert asked == kinds.count("answer") > 100
    assert {event["run"] for event in events[:first]} == {"control", "inside"}


def tap_is_version_14():
    lines = report("tap").splitlines()
    assert lines[0] == "TAP version 14" and re.fullmatch(r"1\.\.\d+", lines[-1])
    number = 0
    inside = False
    for line in lines[1:-1]:
        if line.startswith("  "):
            assert inside or line == "  ---", line
            inside = line != "  ..."
            if re.match(r"  (tried|detail): ", line):
                json.loads(line.split(": ", 1)[1])
            continue
        assert not inside, line
        if line.startswith("# target "):
            continue
        number += 1
        found = re.fullmatch(r"(not )?ok (\d+) - ((?:[^#\\]|\\[#\\])*?)( # SKIP [A-Z-]+)?", line)
        assert found and int(found[2]) == number, line
    assert lines[-1] == f"1..{number}"
    assert any(line.startswith("not ok") and "net.disable" in line for line in lines)


def junit_counts_what_it_holds():
    root = xml.etree.ElementTree.fromstring(report("junit"))
    assert root.tag == "testsuites" and len(root) == 2
    assert [suite.get("name") for suite in root] == list(TARGETS)
    for suite in root:
        cases = suite.findall("testcase")
        assert int(suite.get("tests")) == len(cases) > 100
        assert int(suite.get("failures")) == len(suite.findall("testcase/failure")) > 0
        assert int(suite.get("skipped")) == len(suite.findall("testcase/skipped"))
        float(suite.get("time"))
        for case in cases:
            assert case.get("classname") and case.get("name")


def sarif_has_the_shape_of_2_1_0():
    """The facts of the OASIS schema that our kind of report can get wrong."""
    root = json.loads(report("sarif"))
    assert root["version"] == "2.1.0" and root["$schema"].endswith("sarif-schema-2.1.0.json")
    assert set(root) == {"$schema", "version", "runs"} and len(root["runs"]) == 2
    for run, target in zip(root["runs"], TARGETS):
        assert set(run) <= {"tool", "invocations", "results"}
        driver = run["tool"]["driver"]
        rules = [rule["id"] for rule in driver["rules"]]
        assert driver["name"] and len(set(rules)) == len(rules)
        for rule in driver["rules"]:
            for part in ("shortDescription", "fullDescription", "help"):
                assert set(rule[part]) == {"text"} and rule[part]["text"]
        assert isinstance(run["invocations"][0]["executionSuccessful"], bool)
        assert {result["kind"] for result in run["results"]} > {"fail", "informational"}
        for result in run["results"]:
            assert rules[result["ruleIndex"]] == result["ruleId"]
            assert result["message"]["text"]
            assert result["kind"] in ("pass", "fail", "review", "open", "informational",
                                      "notApplicable")
            assert (result["kind"] == "fail") == (result["level"] in ("error", "warning"))
            assert result["level"] in ("error", "warning", "note", "none")
            assert result["locations"][0]["logicalLocations"][0]["name"] == target


def text_shows_them_side_by_side():
    lines = report("text").splitlines()
    assert all(len(line) <= 80 for line in lines)
    row = next(line for line in lines if line.startswith("  net.disable"))
    assert row.split() == ["net.disable", "BROKEN", "BROKEN", "broken"], row
    assert "  C  none (the control outside)" in lines
    assert "\033" not in report("text")


def markdown_rows_have_equal_cells():
    rows = [line for line in report("markdown").splitlines() if line.startswith("|")]
    assert len(rows) > 100
    for row in rows:
        assert len(re.findall(r"(?<!\\)\|", row)) == 5, row
    assert "<script" not in report("markdown") and "| net.disable | **broken, FAIL** |" in \
        report("markdown")


# ---- the page, in a browser that has no network ----


def browse(url, *words):
    """What chromium prints for it, and what its console had to say."""
    with tempfile.TemporaryDirectory(prefix="cloche-chromium.") as own:
        done = subprocess.run(
            ["unshare", "-n" if os.geteuid() == 0 else "-rn", "chromium-headless-shell",
             "--no-sandbox", "--disable-gpu", f"--user-data-dir={own}", "--no-first-run",
             "--disable-background-networking", "--enable-logging=stderr", "--v=0",
             "--window-size=1100,1500", "--virtual-time-budget=2000", *words, url],
            capture_output=True, text=True, timeout=90, env={**os.environ, "HOME": own})
    assert done.returncode == 0, done.stderr[-500:]
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def page(fragment="", name=None):
    report("html")
    return "file://" + (name or path_of("html")) + fragment


def rows_of(dom):
    rows = re.findall(r'<tr id="[^"]+" data-k="([^"]+)"( hidden="")?>', dom)
    return [key for key, hidden in rows if not hidden], len(rows)


def the_page_fetches_nothing():
    text = report("html")
    assert not re.search(r"(?:src|href|action)=\"(?!#)", text)
    assert not re.search(r"url\(|@import|<link|<iframe| style=\"| on[a-z]+=\"", text)
    assert text.count("<script>") == 1 and "default-src 'none'" in text


def the_page_filters():
    dom, console = browse(page("#filter=network%20fail"), "--dump-dom")
    shown, rows = rows_of(dom)
    assert console == [], console
    assert rows > 100 and 0 < len(shown) < 25, (rows, len(shown))
    assert all("network" in key and "fail" in key for key in shown)
    assert f"{len(shown)} of {rows} probes" in dom
    assert re.search(r'<tbody class="group" hidden="">', dom)


def the_page_runs_nothing_of_others():
    dom, console = browse(page(), "--dump-dom")
    shown, rows = rows_of(dom)
    assert console == [] and len(shown) == rows
    assert "<title>exec:{client}: what it confines</title>" in dom and "<img" not in dom
    # Had the words been let through, the policy still stops them, and says so.
    broken = os.path.join(PLACE.name, "broken.html")
    with open(broken, "w") as file:
        file.write(report("html").replace(
            "<h1>", "<script>document.title='owned'</script><img src='http://127.0.0.1:9/'><h1>"))
    dom, console = browse(page(name=broken), "--dump-dom")
    assert "<title>owned" not in dom
    assert len([line for line in console if "Content Security Policy" in line]) >= 2, console


def the_page_works_without_its_script():
    plain = os.path.join(PLACE.name, "plain.html")
    with open(plain, "w") as file:
        file.write(re.sub(r"<script>.*</script>", "", report("html"), flags=re.S))
    dom, console = browse(page("#filter=network", plain), "--dump-dom")
    shown, rows = rows_of(dom)
    assert console == [] and "<script" not in dom and len(shown) == rows > 100
    assert '<p id="f" hidden="">' in dom


def first_pixel(path):
    with open(path, "rb") as file:
        data = file.read()
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) > 20000, len(data)
    packed, at = b"", 8
    while at < len(data):
        size = int.from_bytes(data[at:at + 4], "big")
        packed += data[at + 8:at + 8 + size] if data[at + 4:at + 8] == b"IDAT" else b""
        at += size + 12
    return zlib.decompress(packed)[1:4]


def the_page_has_a_light_and_a_dark_face():
    faces = {}
    for name, number in (("dark", 0), ("light", 1)):
        shot = os.path.join(PLACE.name, name + ".png")
        console = browse(page(), f"--screenshot={shot}",
                         f"--blink-settings=preferredColorScheme={number}")[1]
        assert console == [], console
        faces[name] = sum(first_pixel(shot)) / 3
    assert faces["dark"] < 60 and faces["light"] > 200, faces


# What no policy of ours lets in: what is wider than the window, and the narrowest line of evidence.
RULER = """<script>document.title = 'wide ' + document.documentElement.scrollWidth + ' narrow ' +
Math.min(...Array.from(document.querySelectorAll('tr:not([hidden]) dd'), e => e.clientWidth)) + ' hidden ' +
Array.from(document.querySelectorAll('tr[hidden]')).filter(e => e.clientHeight).length</script></body>"""


def the_page_fits_a_telephone():
    for width, least in ((390, 250), (1280, 400)):
        measured = os.path.join(PLACE.name, f"{width}.html")
        with open(measured, "w") as file:
            text = re.sub(r"<meta http-equiv=\"Content-Security-Policy\"[^>]*>", "", report("html"))
            file.write(text.replace("<details>", "<details open>").replace("</body>", RULER))
        dom = browse(page("#filter=kernel", measured), f"--window-size={width},1500", "--dump-dom")[0]
        found = re.search(r"<title>wide (\d+) narrow (\d+) hidden 0</title>", dom)
        assert found, re.findall("<title>.*?</title>", dom)
        assert int(found[1]) <= width, found[0]
        assert int(found[2]) >= least, found[0]


def pages_of(path):
    """How many pages it prints on, which the tree of pages at the PDF's end says in plain."""
    paper = path + ".pdf"
    console = browse(page(name=path), f"--print-to-pdf={paper}", "--no-pdf-header-footer")[1]
    assert console == [], console
    with open(paper, "rb") as file:
        data = file.read()
    assert data.startswith(b"%PDF-")
    return len(re.findall(rb"/Type\s*/Page\b", data))


def the_page_prints_with_its_evidence():
    report("html")
    folded = os.path.join(PLACE.name, "folded.html")
    with open(folded, "w") as file:
        # Neither the rule nor the hash that lets the style in.
        file.write(re.sub(r"style-src [^;]*", "style-src 'unsafe-inline'", report("html").replace(
            "details::details-content{content-visibility:visible;height:auto}", "")))
    open_pages, folded_pages = pages_of(path_of("html")), pages_of(folded)
    assert 3 <= folded_pages < open_pages - 2, (folded_pages, open_pages)


def on_terminal(*words, **environment):
    """What the text looks like to somebody who sits before it."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([HOST, "--target", "none", "--proof", "--declare", "net.disable", *words],
                          stdout=theirs, stderr=subprocess.DEVNULL,
                          env={**os.environ, "NO_COLOR": "", **environment}) as started:
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(ours, 65536):
                shown += chunk
        except OSError:  # the other side is closed
            pass
    os.close(ours)
    assert started.returncode == 1
    return shown.decode()


def colour_is_for_terminals():
    assert "\033[31mFAIL" in on_terminal()
    plain = on_terminal(NO_COLOR="1")
    assert "\033" not in plain and "FAIL" in plain
    # A file beside the terminal gets none.
    file = os.path.join(PLACE.name, "beside.txt")
    assert '"verdict":"FAIL"' in on_terminal("-F", "json", "-F", "text", "-o", file)
    with open(file, encoding="utf-8") as beside:
        text = beside.read()
    assert "FAIL" in text and "\033" not in text


def progress_is_for_terminals():
    ours, theirs = pty.openpty()
    words = [HOST, "--target", "none", "--target", "exec:/usr/bin/env {client}", "--probe", "X.self"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=theirs) as started:
        os.close(theirs)
        report_text = started.stdout.read().decode()
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    for line in ("none, control: 1 of 1 X.self", "none, inside: 1 of 1 X.self",
                 "exec:/usr/bin/env {client}, inside: 1 of 1 X.self"):
        assert f"\r\033[K{line}" in shown, shown
    # It is taken away again, and the report has none of it.
    assert shown.endswith("\r\033[K") and " of 1 " not in report_text
    piped = subprocess.run(words[:3] + words[5:], capture_output=True, text=True, timeout=60, check=False)
    assert piped.stderr == "", piped.stderr


# ---- what is known before ----

OPEN = "exec:/usr/bin/env {client}"


def place(name, text=None):
    path = os.path.join(PLACE.name, name)
    if text is not None:
        with open(path, "w") as file:
            file.write(text)
    return path


def what_was_learned_is_expected():
    learned = place("learned.yaml")
    host("--target", OPEN, "--declare", "net.disable", "--quick", "--learn", learned, code=1)
    root = json.loads(host("--quick", "--manifest", learned, "-F", "json"))
    assert root["target"]["name"] == OPEN and verdicts(root, "capabilities")["net.disable"] == \
        "EXPECTED"
    assert {each["state"] for each in root["known"]} == {"open"}
    with open(os.path.join(SOURCE, "docs", "schema", "cloche.report.1.json")) as file:
        jsonschema.Draft7Validator(json.load(file)).validate(root)
    # A manifest is written once, and what was written by hand stays.
    assert "is there already" in refusal("--target", OPEN, "--quick", "--learn", learned)


def openings_run_out_and_cover_no_others():
    head = "manifest: 1\npromises: [net.disable]\nopenings:\n"
    opening = "  - {capability: net.disable, reason: so far, until: DAY}\n"
    words = ["--quick", "--target", OPEN, "--manifest"]
    good = place("good.yaml", head + opening.replace("DAY", "2099-12-31"))
    assert "1 expected" in host(*words, good)
    late = place("late.yaml", head + opening.replace("DAY", "2019-12-31"))
    assert "EXPIRED, was expected until 2019-12-31: so far" in host(*words, late, code=1)
    one = place("one.yaml", head + "  - {probe: N.tcp4, reason: x, until: 2099-12-31}\n")
    root = json.loads(host(*words, one, "-F", "json", code=1))
    sarif = json.loads(host(*words, late, "-F", "sarif", code=1))["runs"][0]
    told = sarif["invocations"][0]["toolExecutionNotifications"]
    assert len(told) == 1 and told[0]["level"] == "error" and "EXPIRED" in told[0]["message"]["text"]
    for result in json.loads(host(*words, good, "-F", "sarif"))["runs"][0]["results"]:
        excused = result.get("suppressions", [])
        assert bool(excused) == (result["kind"] == "fail"), result
        for each in excused:
            assert set(each) == {"kind", "status", "justification"}
            assert (each["kind"], each["status"]) == ("external", "accepted")
    assert verdicts(root, "probes")["N.tcp4"] == "EXPECTED"
    assert verdicts(root, "probes")["N.tcp6"] == "FAIL"


def a_baseline_leaves_what_is_new():
    words = ["--target", OPEN, "--quick", "-F", "json", "--declare"]
    before = place("before.json", host(*words, "net.disable", code=1))
    assert verdicts(json.loads(host(*words, "net.disable", "--baseline", before)),
                    "capabilities")["net.disable"] == "EXPECTED"
    root = json.loads(host(*words, "net.disable,proc.isolation", "-b", before, code=1))
    found = verdicts(root, "capabilities")
    assert found["proc.isolation"] == "FAIL" and found["net.disable"] == "EXPECTED"
    root = json.loads(host(*words, "none", "-b", before, code=1))
    assert root["known"][-1]["state"] == "dropped"


def what_cannot_be_known_is_refused():
    none = ["--target", "none", "--quick"]
    bad = place("bad.yaml", "manifest: 1\nopenings:\n  - {probe: N.none}\n")
    assert "bad.yaml:3:13: error: no probe is called that" in refusal(*none, "-m", bad)
    nameless = place("nameless.yaml", "manifest: 1\npromises: []\n")
    assert "names no target" in refusal("--quick", "--manifest", nameless)
    assert "so does --declare" in refusal(*none, "-m", nameless, "--declare", "net.disable")
    assert "No such file" in refusal(*none, "--manifest", place("missing"))
    assert "No such file" in refusal(*none, "--baseline", place("missing"))
    for text in ("", "{}", "[" * 100000, '{"schema":"cloche.report/1"}', "\0", "\xff" * 9):
        told = refusal(*none, "--baseline", place("hostile.json", text))
        assert "hostile.json: " in told and told.count("\n") == 1, told
    assert "for one target" in refusal(*none, *none, "--learn", place("two.yaml"))
    assert "ablate takes no manifest" in refusal("ablate", "--learn", place("two.yaml"))


# ---- receipts ----


def keys():
    """Two keys: ours and another's, as ssh-keygen makes them."""
    for name in ("ours", "theirs"):
        if not os.path.exists(place(name)):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", place(name)],
                           check=True, timeout=60)
    return place("ours"), place("theirs")


def receipt(name, *words, code=0):
    if not os.path.exists(place(name)):
        host("--target", "native", "--quick", "--sign", keys()[0], "-F", "receipt", "-o",
             place(name), *words, code=code)
    return place(name)


def receipts_are_signed_and_pinned():
    ours, theirs = keys()
    good = receipt("good.receipt")
    told = host("verify", good, code=3)
    assert "UNPINNED" in told and "signed by SHA256:" in told
    assert "UNPINNED" not in host("verify", "--key", ours + ".pub", good)
    print_ = re.search(r"SHA256:\S+", told)[0]
    assert "UNPINNED" not in host("verify", "--key", theirs + ".pub", "--key", print_, good)
    assert host("verify", "--key", theirs + ".pub", good, code=1) == ""
    assert all(len(line) <= 80 for line in told.splitlines() if PLACE.name not in line), told
    with open(good) as file:
        line = json.loads(file.readline())
    schemas = {}
    for name in ("cloche.report.1.json", "cloche.receipt.1.json"):
        with open(os.path.join(SOURCE, "docs", "schema", name)) as file:
            schemas[name] = json.load(file)
    schema = schemas["cloche.receipt.1.json"]
    jsonschema.Draft7Validator(schema, resolver=jsonschema.RefResolver(
        schema["$id"], schema, store=schemas)).validate(line)
    with open(good) as file:
        forged = file.read().replace('"verdict":"PASS"', '"verdict":"FAIL"', 1)
    assert host("verify", place("forged.receipt", forged), code=1) == ""


def plan_of(name, *words):
    """The plan's digest in the receipt of one short run."""
    host("--target", "native", "--probe", "F.create", "--declare", "fs.write.deny", *words, "--sign", keys()[0],
         "-F", "receipt", "-o", place(name))
    return re.search(r"plan ([0-9a-f]{64})", host("verify", place(name), code=3))[1]


def a_plan_is_the_same_in_every_run():
    plans = [plan_of(f"plan-{i}.receipt", *words)
             for i, words in enumerate([[], [], ["--pids=7"]])]
    assert plans[0] == plans[1] != plans[2], plans


def ssh_keygen_agrees():
    ours, _ = keys()
    with open(ours + ".pub") as file:
        signers = place("signers", "us " + file.read())
    with open(receipt("good.receipt"), "rb") as file:
        line, signature = file.read().split(b"\n", 1)
    with open(place("good.sig"), "wb") as file:
        file.write(signature)
    check = ["ssh-keygen", "-Y", "verify", "-f", signers, "-I", "us", "-n", "cloche.receipt/1",
             "-s", place("good.sig")]
    assert subprocess.run(check, input=line + b"\n", capture_output=True).returncode == 0
    assert subprocess.run(check, input=line + b" \n", capture_output=True).returncode != 0
    # And what ssh-keygen signs is taken, when it was signed as a receipt.
    for purpose, code in (("cloche.receipt/1", 3), ("file", 1)):
        made = subprocess.run(["ssh-keygen", "-Y", "sign", "-f", ours, "-n", purpose],
                              input=line + b"\n", capture_output=True, check=True).stdout
        theirs = place("theirs.receipt", (line + b"\n" + made).decode())
        host("verify", theirs, code=code)


def receipts_are_compared():
    good, bad = receipt("good.receipt"), receipt("bad.receipt", "--without", "net", code=1)
    key = ["verify", "--key", keys()[0] + ".pub"]
    told = host(*key, bad, good, code=1)
    assert "net.disable: declared, PASS -> declared, FAIL  (worse)" in told
    assert "N.tcp4: SHUT, PASS -> OPEN, FAIL  (worse)" in told
    assert "  plan: " not in told  # a layer left out of it is not a plan declared otherwise
    told = host(*key, good, bad)
    assert "net.disable: declared, FAIL -> declared, PASS\n" in told
    assert told.endswith("0 for the worse\n")


def keys_that_cannot_sign_are_refused():
    sign = ["--target", "none", "--quick", "--sign"]
    ours, _ = keys()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", place("locked")],
                   check=True, timeout=60)
    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", place("ecdsa")],
                   check=True, timeout=60)
    assert "passphrase" in refusal(*sign, place("locked"))
    assert "only ssh-ed25519" in refusal(*sign, place("ecdsa"))
    assert "can be read by others" in refusal(*sign, ours + ".pub")
    assert "No such file" in refusal(*sign, place("no-key"))
    assert "--format receipt" in refusal(*sign, ours, "-F", "json")
    assert "--sign says" in refusal("--target", "none", "-F", "receipt")
    assert "takes a receipt" in refusal("verify")
    assert "no fingerprint" in refusal("verify", "--key", "SHA256:x", ours)
    assert "begins with ssh-ed25519" in refusal("verify", "--key", ours, ours)


def outputs_that_cannot_be_are_refused():
    none = ["--target", "none", "--quick"]
    assert "--format is" in refusal(*none, "--format", "xml")
    assert "standard output" in refusal(*none, "--format", "tap", "--format", "json")
    assert "needs a --format" in refusal(*none, "-o", path_of("a"), "-o", path_of("b"))
    assert "No such file" in refusal(*none, "--output", PLACE.name + "/no/such")
    assert "room for" in refusal(*(["--target", "none"] * 8))


def refusal(*words):
    done = subprocess.run([HOST, *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stdout == "", (words, done)
    return done.stderr


TESTS = [list_is_filtered, help_fits_and_refusals_name_what_there_is, explain_says_everything,
         explain_knows_the_words_of_reports, wrong_words_are_refused,
         probes_are_asked_by_name_and_by_group, json_keeps_its_schema,
         one_target_validates_too, ndjson_tells_it_as_it_happens,
         tap_is_version_14, junit_counts_what_it_holds, sarif_has_the_shape_of_2_1_0,
         text_shows_them_side_by_side, markdown_rows_have_equal_cells, the_page_fetches_nothing,
         the_page_filters, the_page_runs_nothing_of_others, the_page_works_without_its_script,
         the_page_has_a_light_and_a_dark_face, the_page_fits_a_telephone,
         the_page_prints_with_its_evidence,
         colour_is_for_terminals, progress_is_for_terminals, what_was_learned_is_expected,
         openings_run_out_and_cover_no_others, a_baseline_leaves_what_is_new,
         what_cannot_be_known_is_refused, receipts_are_signed_and_pinned, ssh_keygen_agrees,
         a_plan_is_the_same_in_every_run, receipts_are_compared, keys_that_cannot_sign_are_refused, outputs_that_cannot_be_are_refused]


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
