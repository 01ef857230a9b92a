#!/usr/bin/python3
"""Rules of the configuration: the same user, let in otherwise or not at all, by address, group and key."""
import os
import subprocess

from lib import SSHD, Cloche, case, check, equal, keygen, main, run

OTHER = {"readable": ["/usr"], "write": "ephemeral", "pids": 32, "memory": "128M"}
OPEN = {**OTHER, "guest": True}


def print_of(path):
    return run(["ssh-keygen", "-l", "-f", path]).text.split()[1]


def ruled(rules, **users):
    server = Cloche(profiles={"other": OTHER, "open": OPEN})
    keys = [server.path("authorized_keys")]
    server.users = {"ann": {"profile": "lab", "authorized_keys": keys, "groups": ["staff"]},
                    "bob": {"profile": "lab", "authorized_keys": keys},
                    "guest": {"profile": "open", "guest": True, "authorized_keys": keys}, **users}
    server.second = server.path("second")
    server.authorize(server.public, keygen(server.second))
    server.rules = rules(server) if callable(rules) else rules
    return server


def last(server, event):
    return [line for line in server.audit() if line["event"] == event][-1]


@case("a rule chooses the profile by user, group and address, and the audit log has its name")
def profile():
    rules = [{"name": "elsewhere", "when": {"address": ["198.51.100.0/24"]}, "refuse": True},
             {"name": "staff", "when": {"group": ["staff"], "address": ["127.0.0.0/8"]},
              "profile": "other", "idle_timeout": 77}]
    with ruled(rules) as server:
        equal(server.ssh("echo in", user="ann", key=server.key).text, "in", "ann")
        event = last(server, "auth_ok")
        equal((event["profile"], event["rules"]), ("other", ["staff"]), "ann's profile")
        equal(last(server, "session_start")["profile"], "other", "of the session too")
        equal(server.ssh("echo in", user="bob", key=server.key).text, "in", "bob")
        event = last(server, "auth_ok")
        equal((event["profile"], event["rules"]), ("lab", []), "bob's profile")


@case("a rule speaks of one key of a user, and refuses another")
def key():
    def rules(server):
        return [{"name": "excepted", "when": {"user": ["ann"]}, "refuse": False},
                {"name": "second-key", "when": {"key": [print_of(server.second)], "user": ["ann"]},
                 "profile": "other", "sessions": ["exec"]},
                {"name": "not-bob", "when": {"key": [print_of(server.second)]}, "refuse": True}]
    with ruled(rules) as server:
        equal(server.ssh("echo in", user="ann", key=server.second).text, "in", "ann's second key")
        equal(last(server, "auth_ok")["rules"], ["second-key"], "the rule")
        result = server.ssh(user="ann", key=server.second, input=b"echo in\n")
        check(b"offers no shell session" in result.err, f"sessions of the rule: {result}")
        equal(server.ssh("echo in", user="ann", key=server.key).text, "in", "ann's first key")
        equal(last(server, "auth_ok")["profile"], "lab", "with the first key")
        result = server.ssh("echo in", user="bob", key=server.second)
        check(result.code == 255 and b"Permission denied" in result.err, f"refused: {result}")
        event = last(server, "auth_refused")
        equal((event["reason"], event["rule"]), ("rule", "not-bob"), "why")


@case("a key that a rule refuses is not a second key either")
def second():
    def rules(server):
        return [{"name": "lost", "when": {"key": [print_of(server.second)]}, "refuse": True}]
    server = ruled(rules)
    server.users["ann"]["methods"] = ["publickey,publickey"]
    with server:
        for first, then in ((server.key, server.second), (server.second, server.key)):
            result = server.ssh("echo in", user="ann", key=first, options=[f"IdentityFile={then}"])
            check(result.code == 255 and b"Permission denied" in result.err, f"refused: {result}")
        refusals = [line["rule"] for line in server.audit() if line["event"] == "auth_refused"]
        check(refusals.count("lost") >= 2, f"why: {refusals}")


@case("a rule speaks of a certificate's authority and principals")
def certificate():
    def rules(server):
        ca = server.path("ca")
        keygen(ca)
        server.write("trusted", open(ca + ".pub").read())
        server.settings["trusted_ca_keys"] = [server.path("trusted")]
        return [{"name": "admins", "when": {"authority": [print_of(ca)], "principal": ["admin-*"]},
                 "profile": "other"}]
    with ruled(rules) as server:
        for names, wanted in (("ann,admin-eu", "other"), ("ann", "lab")):
            path = server.path("with-" + wanted)
            keygen(path)
            subprocess.run(["ssh-keygen", "-q", "-s", server.path("ca"), "-I", "id", "-n", names,
                            "-V", "-5m:+1h", path + ".pub"], check=True)
            result = server.ssh("echo in", user="ann", key=path,
                                options=[f"CertificateFile={path}-cert.pub"])
            equal(result.text, "in", names)
            equal(last(server, "auth_ok")["profile"], wanted, names)


@case("who is refused before a credential looks like nobody, and a rule's methods ask guests too")
def early():
    rules = [{"name": "no-bob", "when": {"user": ["b?b"]}, "refuse": True},
             {"name": "keys", "when": {"address": ["0.0.0.0/0"]}, "methods": ["publickey"]}]
    with ruled(rules) as server:
        barred = server.ssh("true", user="bob", key=server.key)
        unknown = server.ssh("true", user="mallory", key=server.key)
        equal(barred.err.replace(b"bob", b"?"), unknown.err.replace(b"mallory", b"?"), "the words")
        events = [line for line in server.audit() if line["event"] == "auth_refused"]
        check(any(line["reason"] == "rule" and line["rule"] == "no-bob" for line in events), f"{events}")
        check(any(line["reason"] == "unknown_user" and line["rule"] is None for line in events), "unknown")
        result = server.ssh("true", user="guest", key=False)
        check(result.code == 255 and b"Permission denied" in result.err, f"a guest without: {result}")
        equal(server.ssh("echo in", user="guest", key=server.key).text, "in", "a guest with a key")


@case("-T -C says which rule says what")
def shown():
    def rules(server):
        return [{"name": "one", "when": {"key": [print_of(server.second)]}, "profile": "other"},
                {"name": "two", "when": {"user": ["ann"], "address": ["192.0.2.0/24"]},
                 "profile": "open", "methods": ["publickey,publickey"], "forward": []},
                {"name": "out", "when": {"group": ["*"], "address": ["203.0.113.0/24"]}, "refuse": True}]
    server = ruled(rules)
    try:
        server.configure()

        def ask(text):
            return run([SSHD, "-T", "-f", server.path("cloche.yaml"), "-C", text])
        result = ask("user=ann,addr=192.0.2.7")
        lines = result.text.splitlines()
        equal(lines[:6], ["user: ann", 'entry: "ann"', "rule two: profile: open",
                          'rule two: methods: ["publickey,publickey"]', "rule two: forward: []",
                          "profile: open"], f"{result}")
        check("methods: publickey,publickey" in lines, f"methods: {result}")
        lines = ask(f"user=ann,addr=192.0.2.7,key={print_of(server.second)}").text.splitlines()
        check("rule one: profile: other" in lines and "rule two: forward: []" in lines, f"{lines}")
        lines = ask("user=ann,addr=203.0.113.9").text.splitlines()
        equal(lines[-1], "refused: by rule out", "a refusal")
        lines = ask("user=bob,addr=203.0.113.9").text.splitlines()
        check("rules: none matches" in lines and "methods: any one" in lines, f"bob: {lines}")
        for bad in ("user=ann,key=SHA256:short", "user=ann,addr=nowhere", "user=ann,group=staff"):
            result = ask(bad)
            check(result.code == 1 and b"is not understood" in result.err and
                  result.err.count(b"\n") == 1, f"{bad}: {result}")
    finally:
        server.remove()


if __name__ == "__main__":
    main()
