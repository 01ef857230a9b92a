#!/usr/bin/python3
"""The configuration file and the server's own life: what is checked, printed, reloaded, ended."""
import contextlib
import os
import re
import shutil
import signal
import time

from lib import (BUILD, SSHD, Cloche, case, check, echoes, equal, eventually, finish, keygen, listening, main,
                 run)


def sshd(*arguments, **more):
    return run([SSHD, *arguments], **more)


@contextlib.contextmanager
def files():
    """A server that is configured but not started."""
    server = Cloche()
    try:
        server.configure()
        yield server
    finally:
        server.remove()


@case("every mistake of a file is reported at once, each with file, line, column and a caret")
def mistakes():
    with files() as server:
        text = f"""server:
  listen: ["127.0.0.1:99999"]
  host_keys: [{server.path("host_key")}]
  login_grase: 10
  max_sessions: many
profiles:
  lab:
    write: sometimes
    memory: -5
  lab:
    pids: 5
users:
  alice:
    profile: missing
    password: letmein
"""
        path = server.write("bad.yaml", text)
        result = sshd("-t", "-f", path)
        check(result.code != 0, f"accepted: {result}")
        lines = {int(match) for match in re.findall(
            rb"^" + re.escape(path.encode()) + rb":(\d+):\d+:", result.err + result.out, re.M)}
        wanted = {2, 4, 5, 8, 9, 10, 14, 15}
        check(wanted <= lines, f"lines {sorted(wanted - lines)} are not reported: {result}")
        check((result.err + result.out).count(b"^") >= len(wanted), f"no carets: {result}")
        check(b"login_grace" in result.err + result.out, "no suggestion for login_grase")


@case("tags, anchors, broken YAML and an empty file are refused, with their place")
def strange_yaml():
    with files() as server:
        for name, text in {"tag": "server: !!python/object {}\n",
                           "anchor": "server: &x {}\nprofiles: *x\n",
                           "broken": "server: [1, 2\n",
                           "tab": "server:\n\tlisten: []\n",
                           "list": "- a\n- b\n",
                           "two documents": "server: {}\n---\nserver: {}\n"}.items():
            path = server.write("odd.yaml", text)
            result = sshd("-t", "-f", path)
            check(result.code not in (0, -11, -6), f"{name}: {result}")
            check(re.search(re.escape(path.encode()) + rb":\d+:\d+", result.err + result.out),
                  f"{name}: no place: {result}")


@case("a file or host key with a bad owner or mode is refused, and the message says the remedy")
def modes():
    with files() as server:
        config = server.path("cloche.yaml")
        good = sshd("-t", "-f", config)
        equal(good.code, 0, f"the good one: {good}")
        os.chmod(config, 0o666)
        result = sshd("-t", "-f", config)
        check(result.code != 0 and b"chmod" in result.err, f"mode 0666: {result}")
        os.chmod(config, 0o600)
        os.chmod(server.path("host_key"), 0o644)
        result = sshd("-t", "-f", config)
        check(result.code != 0 and b"host_key" in result.err, f"a readable host key: {result}")
        os.unlink(server.path("host_key"))
        result = sshd("-t", "-f", config)
        check(result.code != 0 and b"host_key" in result.err, f"no host key: {result}")
        check(sshd("-t", "-f", "/no/such/file").code != 0, "a file that is not there")


@case("-T prints a configuration that reads back the same")
def dump():
    with files() as server:
        first = sshd("-T", "-f", server.path("cloche.yaml"))
        equal(first.code, 0, f"-T: {first}")
        again = server.write("again.yaml", first.out.decode())
        second = sshd("-T", "-f", again)
        equal(second.out, first.out, "the dump of the dump")
        changed = sshd("-T", "-f", again, "-o", "max_sessions=3")
        check(b"max_sessions: 3" in changed.out, "-o is not in the dump")
        check(sshd("-T", "-f", again, "-o", "max_sesions=3").code != 0, "a mistyped -o was taken")


@case("-T -C says who a login would be, and what its plan uses and lacks")
def who():
    with files() as server:
        config = server.path("cloche.yaml")
        result = sshd("-T", "-f", config, "-C", "user=lab,addr=192.0.2.7")
        equal(result.code, 0, f"-C: {result}")
        for word in (b"lab", b"net.disable", b"fs.write.ephemeral", b"caveats"):
            check(word in result.out, f"{word} is not in {result.out!r}")
        unknown = sshd("-T", "-f", config, "-C", "user=nobody-here,addr=192.0.2.7")
        check(b"net.disable" not in unknown.out, f"an unknown user has a plan: {unknown}")
        check(sshd("-T", "-f", config, "-C", "usr=lab").code != 0, "a mistyped -C was taken")


@case("the embedded configuration is valid, -V and usage do what sshd's do")
def plain():
    with files() as server:
        key = server.path("host_key")
        equal(sshd("-T", "-h", key).code, 0, "-T with the embedded configuration")
        version = sshd("-V")
        check(version.code == 0 and b"cloche" in (version.out + version.err).lower(),
              f"-V: {version}")
        usage = sshd("-Z")
        check(usage.code == 2 and b"-Z" in usage.err and usage.err.count(b"\n") == 1, f"-Z: {usage}")
        check(b"usage" in sshd("--help").out, "--help")


@case("-t builds a throw-away sandbox for each profile and leaves nothing")
def trial():
    from lib import Host
    before = Host()
    with files() as server:
        server.profiles["broken"] = {"root": "directory", "root_path": server.path("nothing")}
        server.configure()
        result = sshd("-t", "-f", server.path("cloche.yaml"))
        check(result.code != 0 and b"broken" in result.err, f"a profile that cannot be: {result}")
        eventually(lambda: not before.left(server.directory), "nothing left of the trial")


@case("SIGHUP takes the new file for new sessions and does not touch those that are there")
def reload():
    with Cloche() as server:
        old = server.session()
        server.profiles["lab"] = {"hostname": "reloaded", "readable": ["/usr"], "write": "ephemeral"}
        server.configure()
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: server.ssh("cat /proc/sys/kernel/hostname").text == "reloaded",
                   "a session of the new file", 30)
        check(echoes(old), "the old session")
        server.write("cloche.yaml", "server: [\n")
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: "cloche.yaml:" in server.log_text(), "the mistake in the log")
        equal(server.ssh("cat /proc/sys/kernel/hostname").text, "reloaded", "the good one stays")
        check(echoes(old), "the old session after a bad reload")
        finish(old)


@case("SIGTERM stops listening at once, lets sessions end within the drain time, then ends them")
def drain():
    with Cloche(server={"drain": 4}) as server:
        short, long = server.session(), server.session()
        begin = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: not listening(server.port), "the end of listening", 2)
        check(echoes(short), "a session within the drain time")
        equal(finish(short), 0, "it ends by itself")
        check(echoes(long), "the other one")
        long.wait(15)
        took = time.monotonic() - begin
        check(3 < took < 9, f"the other ended after {took:.1f} s")
        server.process.wait(10)
        finish(long)


@case("a second SIGTERM, and SIGINT to a server in the foreground, end it at once")
def at_once():
    for signals in ((signal.SIGTERM, signal.SIGTERM), (signal.SIGINT,)):
        with Cloche(server={"drain": 60}) as server:
            client = server.session()
            for signo in signals:
                server.process.send_signal(signo)
                time.sleep(0.5)
            if signals == (signal.SIGINT,) and server.process.poll() is None:
                server.process.send_signal(signal.SIGINT)
            server.process.wait(8)
            client.wait(5)
            finish(client)


@case("a port that is taken is one clear line and exit 1")
def taken():
    with Cloche() as server:
        result = sshd("-D", "-e", "--no-proof", "-f", server.path("cloche.yaml"), timeout=30)
        check(result.code not in (0, -11, -6) and str(server.port).encode() in result.err,
              f"a second server: {result}")


@case("profiles are measured before they open; one that breaks its promise stays closed")
def proof():
    with Cloche(options=()) as server:
        result = server.ssh("echo measured")
        equal(result.text, "measured", f"a session of a measured profile: {result}")
        events = {event["event"]: event for event in server.audit()}
        start = events["session_start"]
        check(start.get("proof"), f"the session names no proof: {start}")
    with Cloche(options=()) as server:  # --no-proof is loud; its absence is quiet
        check("WITHOUT" not in server.log_text(), "the log speaks of unmeasured profiles")
    with Cloche() as server:
        check("WITHOUT" in server.log_text(), "--no-proof was not said aloud")


@case("a profile of which one promise was not observed stays closed and names it; others open")
def broken_promise():
    with Cloche(options=(), profiles={"other": {"readable": ["/usr"]}},
                users={"bob": {"profile": "other"}}) as server:
        server.users["bob"]["authorized_keys"] = [server.path("authorized_keys")]
        server.terminate()
        # A testkit that reports what the real one does, but for one verdict.
        home = server.path("bin")
        os.mkdir(home, 0o755)
        shutil.copy(SSHD, home)
        real = os.path.join(BUILD, "testkit", "cloche-testkit-host")
        with open(os.path.join(home, "cloche-testkit-host"), "w") as script:
            script.write(f"""#!/usr/bin/python3
import json, subprocess, sys
result = subprocess.run([{real!r}, *sys.argv[1:]], stdout=subprocess.PIPE)
report = json.loads(result.stdout)
spoil = "other" not in sys.argv
for each in report["capabilities"]:
    if each["name"] == "kernel.filter" and spoil:
        each["verdict"] = "fail"
print(json.dumps(report))
sys.exit(1 if spoil else result.returncode)
""")
            os.fchmod(script.fileno(), 0o755)
        server.program = os.path.join(home, "cloche-sshd")
        server.start(120)
        closed = server.ssh("echo in")
        check(closed.code != 0 and b"in\n" != closed.out and b"kernel.filter" in closed.err,
              f"the broken profile: {closed}")
        equal(server.ssh("echo in", user="bob").text, "in", "the other profile")
        # Nothing of the refusal is kept: the true testkit opens it.
        server.terminate()
        server.program = SSHD
        server.start(120)
        equal(server.ssh("echo in").text, "in", "measured by the true one")


@case("a proof is kept: the second start does not measure again, a changed plan does")
def proof_cache():
    with Cloche(options=()) as server:
        first = server.audit()
        server.ssh("true")
        proof = [event for event in server.audit() if event["event"] == "session_start"][0]["proof"]
        server.terminate()
        begin = time.monotonic()
        server.start()
        took = time.monotonic() - begin
        server.ssh("true")
        again = [event for event in server.audit() if event["event"] == "session_start"][-1]["proof"]
        equal(again, proof, f"the proof after a restart of {took:.1f} s")
        check(first is not None, "no audit")


@case("-E writes the log to a file, -q keeps it to errors, -o and -h and -p override the file")
def options():
    with Cloche() as server:
        server.terminate()
        log = server.path("own-log")
        other = server.path("other_key")
        keygen(other)
        port = server.port
        server.settings["listen"] = ["127.0.0.1:1"]
        server.options = ["--no-proof", "-E", log, "-o", "login_grace=7", "-p", str(port), "-h", other]
        server.start()
        with open(other + ".pub") as public:
            server.write("known_hosts", f"[127.0.0.1]:{port} {public.read()}")
        equal(server.ssh("echo in").text, "in", "a session with another host key")
        server.terminate()
        with open(log) as text:
            check("logged in" in text.read(), "-E has no login")
        server.options += ["-q"]
        size = os.path.getsize(log)
        server.start()
        equal(server.ssh("echo in").text, "in", "a session")
        server.terminate()
        with open(log) as text:
            text.seek(size)
            check("logged in" not in text.read(), "-q let information through")


main()
