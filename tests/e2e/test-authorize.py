#!/usr/bin/python3
"""The operator's command: asked about each login, and what its answers, good and bad, come to."""
import contextlib
import json
import os
import signal
import subprocess

from lib import SSHD, Cloche, Skip, case, check, descendants, equal, eventually, finish, keygen, main, run

YES = {"v": 1, "allow": True}


def asking(body, **server):
    """A server whose command is this shell script; it notes its question first."""
    if os.geteuid() != 0:
        raise Skip("the command's own uid wants root")
    made = Cloche(profiles={"other": {"readable": ["/usr"], "write": "ephemeral", "pids": 32},
                            "open": {"readable": ["/usr"], "write": "ephemeral", "guest": True}})
    os.chmod(made.directory, 0o755)
    os.mkdir(made.path("asked"))
    os.chown(made.path("asked"), 65521, 65521)
    made.users["guest"] = {"profile": "open", "guest": True, "authorized_keys": []}
    command = made.write("ask", f"#!/bin/sh\ncat >{made.path('asked')}/question\n{body}\n", 0o755)
    made.settings.update({"authorize": [command, "argument"], "authorize_timeout": 2, **server})
    return made


def answer(document):
    return f"cat <<'END'\n{json.dumps(document)}\nEND"


def question(server):
    with open(server.path("asked") + "/question") as file:
        return json.load(file)


def last(server, event):
    found = [line for line in server.audit() if line["event"] == event]
    return found[-1] if found else None


def sleepers(server):
    found = []
    for pid in descendants(server.process.pid):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/comm") as comm:
            found += [pid] if comm.read() == "sleep\n" else []
    return found


def refused(server, result, event, reason, words=b""):
    equal(result.code, 255, f"{reason}: {result}")
    check(words in result.err, f"the client is told: {result}")
    line = eventually(lambda: last(server, event), event)
    check(reason in line["reason"], f"the audit log says why: {line}")
    check(not last(server, "auth_ok") and not last(server, "session_start"), "nobody came in")


@case("it is told who logs in, and chooses the profile, narrows limits and knows them by another name")
def allowed():
    reply = {**YES, "profile": "other", "identity": "a.smith", "limits": {"timeout": 600, "max_sessions": 1}}
    with asking(answer(reply)) as server:
        equal(server.ssh("echo in", key=server.key).text, "in", "allowed")
        asked = question(server)
        print_ = run(["ssh-keygen", "-l", "-f", server.key]).text.split()[1]
        equal((asked["v"], asked["user"], asked["identity"], asked["method"], asked["key"],
               asked["certificate"], asked["address"], asked["profile"]),
              (1, "lab", "key:" + print_, "publickey", print_, None, "127.0.0.1", "lab"), "the question")
        event = last(server, "authorize_ok")
        equal((event["identity"], event["external"], event["profile"]),
              ("key:" + print_, "a.smith", "other"), "the audit log")
        equal(last(server, "session_start")["profile"], "other", "the session's profile")
        equal(last(server, "session_start")["identity"], "key:" + print_, "the session's identity")
        client = server.open("sleep 60", key=server.key)
        eventually(lambda: len([1 for line in server.audit() if line["event"] == "session_start"]) == 2, "one")
        result = server.ssh("echo two", key=server.key)
        check(result.code != 0 and b"two" not in result.out, f"max_sessions: {result}")
        finish(client)
        equal(server.ssh("echo in", user="guest", key=False).code, 255, "a profile that takes no guests")
        equal(question(server)["identity"], "guest:guest", "a guest")


@case("a certificate's id and principals are in the question")
def certificate():
    with asking(answer(YES)) as server:
        public = keygen(server.path("ca"))
        server.write("trusted", public + "\n")
        server.settings["trusted_ca_keys"] = [server.path("trusted")]
        server.configure()
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: "read again" in server.log_text(), "a reload")
        path = server.path("certified")
        keygen(path)
        subprocess.run(["ssh-keygen", "-q", "-s", server.path("ca"), "-I", 'id "of\\ ann', "-n", "lab,more",
                        "-z", "7", "-V", "-5m:+1h", path + ".pub"], check=True)
        result = server.ssh("echo in", key=path, options=[f"CertificateFile={path}-cert.pub"])
        equal(result.text, "in", f"{result}")
        asked = question(server)
        equal(asked["certificate"]["principals"], ["lab", "more"], "principals")
        check(asked["identity"].startswith("certificate:id"), f"identity: {asked}")


@case("a no is told to the client with its reason")
def denied():
    with asking(answer({"v": 1, "allow": False, "reason": "not on call"})) as server:
        refused(server, server.ssh("true", key=server.key), "authorize_denied", "not on call",
                b"access denied: not on call")


@case("whatever is no good answer is a no: silence, nonsense, failure, another profile, a missing file")
def failing():
    rows = [("exec sleep 60", "has not answered within 2 s"), ("echo yes", "not JSON"),
            (answer(YES) + "\nexit 1", "ended with status 1"),
            (answer({**YES, "profile": "nope"}), 'there is no profile "nope"'),
            (answer({**YES, "command": "x"}), "a member that is not known"),
            ("yes", "more than 65536 bytes"), ("rm -f $0", None)]
    for body, reason in rows:
        with asking(body) as server:
            if reason is None:
                os.unlink(server.path("ask"))
                reason = "No such file"
            refused(server, server.ssh("true", key=server.key), "authorize_failed", reason,
                    b"nobody could say")
            check(not sleepers(server), f"{reason}: it is gone")


@case("it has its own uid, no descriptor of ours, and dies with the client")
def confined():
    body = "id -u; ls /proc/self/fd | wc -l; exec sleep 30"
    with asking(f"({body}) >{{}}/asked/seen".replace("{}", "$(dirname $0)"), authorize_timeout=20) as server:
        client = server.open("true", key=server.key)
        seen = server.path("asked") + "/seen"
        eventually(lambda: os.path.exists(seen) and open(seen).read().count("\n") == 2, "it ran")
        equal(open(seen).read().split(), ["65521", "4"], "uid, and descriptors of ls")
        client.kill()
        client.wait()
        eventually(lambda: last(server, "authorize_failed"), "the client is gone", 5)


@case("-t refuses a command that others could change")
def checked():
    server = asking(answer(YES))
    try:
        server.configure()
        argv = [SSHD, "-t", "-f", server.path("cloche.yaml")]
        equal(run(argv).code, 0, "a good one")
        os.chmod(server.path("ask"), 0o777)
        result = run(argv)
        check(result.code == 1 and b"authorize: " in result.err and b"chmod go-w" in result.err, f"{result}")
    finally:
        server.remove()


if __name__ == "__main__":
    main()
