#!/usr/bin/python3
"""Who gets in, with what, and that those who do not cannot tell why."""
import os
import socket
import statistics
import time

import paramiko

from lib import BUILD, Cloche, case, check, equal, eventually, keygen, main, run

WORD = "correct horse"
OPTIONS_FOR_PASSWORD = ("PreferredAuthentications=password", "BatchMode=no",
                        "NumberOfPasswordPrompts=1")


def password_line(word):
    """What `cloche passwd` makes; its line ends in the hash."""
    result = run([os.path.join(BUILD, "cli", "cloche"), "passwd"], input=word.encode() + b"\n")
    equal(result.code, 0, f"cloche passwd: {result}")
    check(b"$argon2id$" in result.out and word not in result.text, f"no Argon2id line: {result}")
    return result.text[result.text.index("$argon2id$"):].split()[0].strip("\"'")


def askpass(server, word):
    path = server.write("askpass", f"#!/bin/sh\necho '{word}'\n", 0o700)
    return dict(os.environ, SSH_ASKPASS=path, SSH_ASKPASS_REQUIRE="force", DISPLAY="none")


def people(**extra):
    """A server with a user of each kind."""
    server = Cloche(profiles={"open": {"readable": ["/usr"], "write": "ephemeral", "guest": True}},
                    users={"pat": {"profile": "lab", "password": password_line(WORD)},
                           "guest": {"profile": "open", "guest": True}, **extra.pop("users", {})},
                    **extra)
    return server


def with_password(server, user, word, **more):
    return server.ssh("echo in", user=user, key=False, env=askpass(server, word),
                      options=OPTIONS_FOR_PASSWORD, **more)


def refused(result, what):
    check(result.code == 255 and b"Permission denied" in result.err, f"{what}: {result}")
    return result


@case("a listed key gets in; ed25519, ecdsa and rsa alike")
def keys():
    with people() as server:
        lines = []
        for kind in ("ed25519", "ecdsa", "rsa"):
            lines.append(keygen(server.path("key_" + kind), kind))
        server.authorize(*lines)
        for kind in ("ed25519", "ecdsa", "rsa"):
            equal(server.ssh("echo in", key=server.path("key_" + kind)).text, "in", kind)
        oks = [event for event in server.audit() if event["event"] == "auth_ok"]
        check(len(oks) == 3, f"the audit log has {len(oks)} logins, not 3")


@case("the right password gets in")
def passwords():
    with people() as server:
        equal(with_password(server, "pat", WORD).text, "in", "ssh")
        check(WORD not in server.log_text() and WORD not in open(server.audit_path).read(),
              "the password is in a log")


@case("a guest gets in without a credential, where user and profile say so, and only there")
def guests():
    users = {"half": {"profile": "lab", "guest": True}}
    probe = Cloche(profiles={"open": {"readable": ["/usr"], "write": "ephemeral", "guest": True}}, users=users)
    try:
        with probe as server:
            refused(server.ssh("echo in", user="half", key=False,
                               options=("PreferredAuthentications=none",)), "a half guest")
    except AssertionError as error:
        # Refusing the configuration is as good, if it says which line.
        check("does not listen" in str(error) and "half" in str(error) or "guest" in str(error),
              str(error))
    with people() as server:
        result = server.ssh("echo in", user="guest", key=False,
                            options=("PreferredAuthentications=none",))
        equal(result.text, "in", "the guest")
        refused(server.ssh("echo in", key=False, options=("PreferredAuthentications=none",)),
                "a user with a key, without it")


def refusals(server):
    """kind -> a login that must fail, as the client sees it."""
    stranger = server.path("stranger")
    if not os.path.exists(stranger):
        keygen(stranger)
    return {
        "unknown user, key": lambda: server.ssh("true", user="nobody-here", key=stranger),
        "wrong key": lambda: server.ssh("true", key=stranger),
        "key for a user with a password": lambda: server.ssh("true", user="pat", key=stranger),
        "unknown user, password": lambda: with_password(server, "nobody-here", "guess"),
        "wrong password": lambda: with_password(server, "pat", "guess"),
        "password for a user with a key": lambda: with_password(server, "lab", "guess"),
    }


@case("unknown user, wrong key and wrong password look the same to the client")
def look_alike():
    with people(server={"max_auth_tries": 6}) as server:
        texts = {}
        for name, attempt in refusals(server).items():
            result = refused(attempt(), name)
            text = result.error
            for user in ("nobody-here", "pat", "lab"):
                text = text.replace(user + "@", "USER@")
            texts[name] = text
        for method in ("key", "password"):
            seen = {text for name, text in texts.items() if method in name.split(", ")[-1].split()}
            check(len(seen) == 1, f"the messages differ: {texts}")
        reasons = [event for event in server.audit() if event["event"] == "auth_refused"]
        check(len(reasons) >= 6, f"the audit log tells of {len(reasons)} refusals")


@case("refusals of one method take the same time whether the user exists or not")
def time_alike():
    with people() as server:
        attempts = refusals(server)
        for pair in (("unknown user, key", "wrong key"),
                     ("unknown user, password", "wrong password"),
                     ("unknown user, password", "password for a user with a key")):
            times = {name: [] for name in pair}
            for _ in range(35):  # where seven differ, all of these decide: a busy machine's noise levels out, ours stays
                for name in pair:
                    begin = time.monotonic()
                    attempts[name]()
                    times[name].append(time.monotonic() - begin)
                medians = [statistics.median(times[name]) for name in pair]
                alike = abs(medians[0] - medians[1]) < max(max(medians) * 0.25, 0.03)
                if len(times[pair[0]]) == 7 and alike:
                    break
            check(alike, f"{pair}: medians {medians[0]:.3f} and {medians[1]:.3f} s")


# Key options: what is before the key -> what a session shows. None: the key is refused.
def option_cases(server):
    today = time.gmtime()
    return [
        ('command="echo forced $SSH_ORIGINAL_COMMAND"', "echo mine", "forced echo mine"),
        ('environment="MARK=yes"', "echo $MARK", "yes"),
        ('from="127.0.0.0/8"', "echo in", "in"),
        ('from="192.0.2.0/24"', "echo in", None),
        ('from="!127.0.0.1,*"', "echo in", None),
        (f'expiry-time="{today.tm_year + 1}0101"', "echo in", "in"),
        (f'expiry-time="{today.tm_year - 1}0101"', "echo in", None),
        ("no-such-option", "echo in", None),
        ('command="unclosed', "echo in", None),
        ("restrict", "echo in", "in"),
        ("no-port-forwarding,no-agent-forwarding,no-X11-forwarding,no-user-rc", "echo in", "in"),
    ]


@case("options of a key are obeyed, and a key with an unknown one is refused and logged")
def key_options():
    with people() as server:
        for options, command, expected in option_cases(server):
            server.authorize(f"{options} {server.public}")
            result = server.ssh(command)
            if expected is None:
                refused(result, options)
            else:
                equal(result.text, expected, f"{options}: {result}")
        check("no-such-option" in server.log_text(), "the log does not name the unknown option")


@case("no-pty and restrict refuse a terminal, restrict,pty gives it")
def key_pty():
    with people() as server:
        for options, allowed in (("no-pty", False), ("restrict", False), ("restrict,pty", True),
                                 ("no-pty,pty", True)):
            server.authorize(f"{options} {server.public}")
            equal(server.ssh("test -t 0; echo $?").text, "1", f"{options}, none asked for")
            result = server.ssh("test -t 0; echo status $?", "-tt")
            check((b"status 0" in result.out) == allowed, f"{options}: {result}")
            check(allowed or b"PTY allocation request failed" in result.err, f"{options}: {result}")


@case("the first line that lets a key in counts; comments and blank lines do not disturb")
def key_order():
    with people() as server:
        server.authorize("# a comment", "", f'from="192.0.2.1" {server.public}',
                         f'environment="LINE=second" {server.public}')
        equal(server.ssh("echo $LINE").text, "second", "the line used")


@case("key files with a bad owner or mode are not used, and the log says how to mend it")
def key_modes():
    with people() as server:
        path = server.path("authorized_keys")
        os.chmod(path, 0o666)
        refused(server.ssh("echo in"), "a key file anybody can write")
        check("authorized_keys" in server.log_text(), "the log does not name the file")
        os.chmod(path, 0o600)
        equal(server.ssh("echo in").text, "in", "after mending the mode")
        if os.geteuid() == 0:
            os.chown(path, 12345, 12345)
            refused(server.ssh("echo in"), "a key file of another user")
            os.chown(path, 0, 0)
        os.rename(path, path + ".kept")
        os.mkfifo(path, 0o600)
        refused(server.ssh("echo in"), "a pipe for a key file")
        os.unlink(path)
        os.symlink(path + ".kept", path)
        os.chmod(server.directory, 0o777)
        refused(server.ssh("echo in"), "a directory anybody can write")
        os.chmod(server.directory, 0o755)


@case("a profile named by a key replaces the user's")
def key_profile():
    with Cloche(profiles={"other": {"hostname": "elsewhere", "readable": ["/usr"], "write": "ephemeral"}}) as server:
        server.authorize(f'profile="other" {server.public}')
        equal(server.ssh("hostname || cat /proc/sys/kernel/hostname").text, "elsewhere", "hostname")
        server.authorize(f'profile="nowhere" {server.public}')
        check(server.ssh("echo in").code != 0, "a profile that does not exist let someone in")


@case("a login without a terminal on an interactive shell works as a filter")
def shell_as_filter():
    with people() as server:
        result = server.ssh(None, "-T", input=b"echo one; exit 6\n")
        equal((result.code, result.text), (6, "one"), "status and output")


@case("the right user name with odd bytes is neither taken nor harmful")
def odd_names():
    with people() as server:
        for user in ("../lab", "lab/", "lab ", "l\x1b[31mab", "root", "x" * 300, "*", "%u", "-lab"):
            result = server.ssh("true", user=user)
            check(result.code == 255, f"{user!r} got in: {result}")
        check("\x1b" not in server.log_text(), "an escape byte reached the log")
        server.audit()
        equal(server.ssh("echo in").text, "in", "afterwards")


@case("who changes its user name is told that it may not, and no process of ours is accused of it")
def _():
    with Cloche() as server:
        transport = paramiko.Transport(socket.create_connection(("127.0.0.1", server.port)))
        transport.start_client(timeout=20)
        for name in ("root", "lab"):
            try:
                transport.auth_none(name)
            except (paramiko.SSHException, EOFError):
                pass
        eventually(lambda: not transport.is_active(), "its connection's end")
        eventually(lambda: any(event["event"] == "disconnect" for event in server.audit()), "the audit log's end")
        check(all(event["event"] != "protocol_error" for event in server.audit()), f"{server.audit()}")
        check("broke the rules" not in server.log_text(), server.log_text())


main()
