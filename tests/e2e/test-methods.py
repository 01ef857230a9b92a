#!/usr/bin/python3
"""Chains of methods, keyboard-interactive and one-time codes, by the stock client."""
import base64
import hashlib
import hmac
import os
import re
import struct
import time

from lib import BUILD, Cloche, case, check, equal, keygen, main, run

WORD = "correct horse"


def cloche(*argv, input=b""):
    result = run([os.path.join(BUILD, "cli", "cloche"), *argv], input=input)
    equal(result.code, 0, f"cloche {argv[0]}: {result}")
    return result.text


def password_line(word):
    return cloche("passwd", input=word.encode() + b"\n").split()[0]


class Secret:
    """What `cloche totp` gave one user, and the codes an authenticator would show."""

    def __init__(self, key, user):
        text = cloche("totp", "--key", key, user)
        self.line = re.search(r'^totp: "(\S+)"$', text, re.M).group(1)
        base32 = re.search(r"secret=([A-Z2-7]{32})&", text).group(1)
        self.secret = base64.b32decode(base32)
        check(base32 not in self.line and self.secret.hex() not in self.line, "the line is sealed")

    def code(self, steps=0):
        counter = struct.pack(">Q", int(time.time()) // 30 + steps)
        digest = hmac.new(self.secret, counter, hashlib.sha1).digest()
        at = digest[19] & 15
        return f"{(struct.unpack('>I', digest[at:at + 4])[0] & 0x7fffffff) % 1000000:06}"


def steady():
    """Waits out the end of a step, so that codes of one case are of one step."""
    left = 30 - time.time() % 30
    if left < 8:
        time.sleep(left + 0.2)


def answering(server, *words):
    """An askpass that gives one word after the other, and notes the questions."""
    for number, word in enumerate(words):
        server.write(f"word{number}", word + "\n")
    server.write("asked", "")
    server.write("questions", "")
    path = server.write("askpass", f"""#!/bin/sh
cd {server.directory} || exit 1
echo "$1" >>questions
n=$(wc -c <asked)
printf x >>asked
cat word$n 2>/dev/null || exit 1
""", 0o700)
    return dict(os.environ, SSH_ASKPASS=path, SSH_ASKPASS_REQUIRE="force", DISPLAY="none")


def login(server, user, methods, *words, key=False, keys=()):
    options = [f"PreferredAuthentications={methods}", "BatchMode=no", "NumberOfPasswordPrompts=1"]
    options += [f"IdentityFile={path}" for path in keys]
    return server.ssh("echo in", user=user, key=key, env=answering(server, *words), options=options)


def questions(server):
    with open(server.path("questions")) as file:
        return [re.sub(r"^\(.*?\) ", "", line.strip()) for line in file]


def reasons(server):
    return [event["reason"] for event in server.audit() if event["event"] == "auth_refused"]


def people():
    server = Cloche()
    server.second = keygen(server.path("second"))
    server.authorize(server.public, server.second)
    keys = [server.path("authorized_keys")]
    server.settings["totp_key"] = server.path("totp.key")
    server.totp = Secret(server.path("totp.key"), "code")
    word = password_line(WORD)
    server.users.update({
        "both": {"profile": "lab", "authorized_keys": keys, "password": word,
                 "methods": ["publickey,password", "publickey,keyboard-interactive"]},
        "turned": {"profile": "lab", "authorized_keys": keys, "password": word,
                   "methods": ["password,publickey"]},
        "two": {"profile": "lab", "authorized_keys": keys, "methods": ["publickey,publickey"]},
        "ask": {"profile": "lab", "authorized_keys": keys, "password": word,
                "methods": ["keyboard-interactive"]},
        "code": {"profile": "lab", "authorized_keys": keys, "password": word,
                 "totp": server.totp.line, "methods": ["keyboard-interactive"]},
        "keycode": {"profile": "lab", "authorized_keys": keys, "totp": server.totp.line,
                    "methods": ["publickey,keyboard-interactive"]},
    })
    return server


def refused(result, what):
    check(result.code == 255 and b"Permission denied" in result.err, f"{what}: {result}")
    return result


@case("publickey,password wants both, in this order, and says how far one has come")
def chains():
    with people() as server:
        equal(login(server, "both", "publickey,password", WORD, key=server.key).text, "in", "both")
        event = [event for event in server.audit() if event["event"] == "auth_ok"][-1]
        equal(event["method"], "publickey,password", "the audit log")
        check(event["key"], "and the key")
        result = refused(login(server, "both", "publickey", key=server.key), "the key alone")
        check(b"(keyboard-interactive,password)" in result.err, f"what is left: {result}")
        refused(login(server, "both", "password", WORD), "the password alone")
        equal(reasons(server)[-1], "method_not_now", "the right password, too early")
        refused(login(server, "both", "publickey,password", "wrong", key=server.key), "a wrong one")
        equal(login(server, "both", "publickey,keyboard-interactive", WORD, key=server.key).text,
              "in", "the other chain")
        equal(login(server, "turned", "password,publickey", WORD, key=server.key).text, "in",
              "turned round")
        # Others need what they needed before.
        equal(server.ssh("echo in").text, "in", "a user without chains")


@case("publickey,publickey wants two different keys, and the stricter options of both count")
def two_keys():
    with people() as server:
        refused(login(server, "two", "publickey", key=server.key), "one key")
        equal(login(server, "two", "publickey", key=server.key, keys=(server.path("second"),)).text,
              "in", "two keys")
        server.authorize(server.public, 'command="echo forced" ' + server.second)
        equal(login(server, "two", "publickey", key=server.key, keys=(server.path("second"),)).text,
              "forced", "the second key's command")
        server.authorize('command="echo one" ' + server.public,
                         'command="echo two" ' + server.second)
        refused(login(server, "two", "publickey", key=server.key, keys=(server.path("second"),)),
                "keys that disagree")
        check("keys_disagree" in reasons(server), reasons(server))


@case("keyboard-interactive asks for password and code, the same of everybody")
def interactive():
    with people() as server:
        steady()
        equal(login(server, "ask", "keyboard-interactive", WORD, "").text, "in", "no code needed")
        both = ["Password:", "Verification code:"]
        equal(questions(server), both, "what it was asked")
        equal(login(server, "code", "keyboard-interactive", WORD, server.totp.code()).text, "in",
              "password and code")
        says = set()
        for user, words, reason in (("ask", ("wrong", ""), "wrong_password"),
                                    ("code", (WORD, "000000"), "wrong_code"),
                                    ("code", ("wrong", server.totp.code(1)), "wrong_password"),
                                    ("nobody.here", (WORD, "000000"), "unknown_user"),
                                    ("lab", (WORD, "000000"), "method_not_now"),
                                    ("both", (WORD, "000000"), "method_not_now")):
            result = refused(login(server, user, "keyboard-interactive", *words), user)
            equal(questions(server), both, f"what {user} was asked")
            says.add(result.err.replace(user.encode(), b"X"))
            if reason:
                check(reason in reasons(server)[-1:] or user == "lab", f"{user}: {reasons(server)[-2:]}")
        equal(len(says), 1, f"one answer for all: {says}")
        # The code that came with a wrong password was not used up.
        equal(login(server, "code", "keyboard-interactive", WORD, server.totp.code(1)).text, "in",
              "the code again, with the right password")


@case("a code is taken once, by no connection a second time, and not long before or after its time")
def codes():
    with people() as server:
        steady()
        code = server.totp.code()
        equal(login(server, "code", "keyboard-interactive", WORD, code).text, "in", "a code")
        refused(login(server, "code", "keyboard-interactive", WORD, code), "the same again")
        refused(login(server, "code", "keyboard-interactive", WORD, server.totp.code(-1)),
                "an earlier one")
        equal(login(server, "code", "keyboard-interactive", WORD, server.totp.code(1)).text, "in",
              "the next one")
        refused(login(server, "code", "keyboard-interactive", WORD, server.totp.code(2)),
                "one of the future")
        # Behind a key only what is due is asked.
        equal(login(server, "keycode", "publickey,keyboard-interactive", server.totp.code(),
                    key=server.key).text, "in", "key and code")
        equal(questions(server), ["Verification code:"], "what is due")
        text = server.log_text() + open(server.audit_path).read()
        check(code not in text.split() and WORD not in text, "a secret is in a log")


@case("who has the first half cannot try all codes: after five in a row none is good for a while")
def guessed():
    with people() as server:
        record = server.path("state/totp/code")

        def attempt(*words):
            return login(server, "code", "keyboard-interactive", *words)
        # Who has nothing makes nobody wait.
        for _ in range(6):
            refused(attempt("wrong", "000000"), "a wrong password")
        steady()
        equal(attempt(WORD, server.totp.code()).text, "in", "after wrong passwords")
        for _ in range(5):
            refused(attempt(WORD, "000000"), "a wrong code")
        check("5 wrong codes in a row" in server.log_text(), "said on the log")
        refused(attempt(WORD, server.totp.code(1)), "the right one, too early")
        # As it is half a minute later.
        with open(record) as file:
            last, failures, failed_at = file.read().split()
        equal(int(failures), 5, "who waits is not counted")
        server.write("state/totp/code", f"{last} {failures} {int(failed_at) - 31:020}")
        equal(attempt(WORD, server.totp.code(1)).text, "in", "the right one, later")
        with open(record) as file:
            equal(int(file.read().split()[1]), 0, "begun anew")


@case("without the key of the seals, or a place to write codes down, no code is accepted")
def broken():
    with people() as server:
        steady()
        os.rename(server.path("totp.key"), server.path("away"))
        refused(login(server, "code", "keyboard-interactive", WORD, server.totp.code()), "no key")
        os.rename(server.path("away"), server.path("totp.key"))
        os.chmod(server.path("totp.key"), 0o644)
        refused(login(server, "code", "keyboard-interactive", WORD, server.totp.code()), "open key")
        os.chmod(server.path("totp.key"), 0o600)
        os.makedirs(server.path("state/totp"), 0o700)
        server.write("state/totp/code", "garbage")
        refused(login(server, "code", "keyboard-interactive", WORD, server.totp.code()), "a bad record")
        os.unlink(server.path("state/totp/code"))
        equal(login(server, "code", "keyboard-interactive", WORD, server.totp.code()).text, "in",
              "mended")


@case("what answers without a question, or changes its mind in the middle, gets nowhere")
def hostile():
    import paramiko
    with people() as server:
        transport = paramiko.Transport(("127.0.0.1", server.port))
        transport.connect()
        try:
            transport.auth_interactive("ask", lambda *unused: ["wrong", "", "one more"])
            check(False, "let in")
        except paramiko.SSHException:
            pass
        try:
            transport.auth_interactive("ask", lambda *unused: [])
            check(False, "let in")
        except paramiko.SSHException:
            pass
        transport.auth_interactive("ask", lambda *unused: [WORD, ""])
        check(transport.is_authenticated(), "the right answers after wrong ones")
        transport.close()
        equal(server.ssh("echo in").text, "in", "the server goes on")


def say_in(server, steps):
    """What a session says that was opened by these steps, along with the end of the key exchange; None without one."""
    import paramiko
    from hasty import Hasty
    transport = None
    try:
        transport = Hasty(server.port, steps)
        channel = transport.open_session(timeout=20)
        channel.settimeout(20)
        channel.exec_command("echo in")
        return channel.recv(16)
    except (paramiko.SSHException, EOFError, OSError):
        return None
    finally:
        if transport:
            transport.close()


@case("what comes along with the end of the key exchange is judged like what waits: chains, questions and answers")
def hasty():
    import paramiko
    from hasty import answer, ask, by_key, by_password
    with people() as server:
        key, second = (paramiko.Ed25519Key.from_private_key_file(path)
                       for path in (server.key, server.path("second")))
        word, wrong = by_password("both", WORD), by_password("both", "wrong")
        for name, good, steps in (
                ("key, password", True, lambda t: [by_key(t, "both", key), word]),
                ("key, question, answer", True, lambda t: [by_key(t, "both", key), ask("both"), answer(WORD)]),
                ("question, question, answer", True, lambda t: [ask("ask"), ask("ask"), answer(WORD)]),
                ("two keys", True, lambda t: [by_key(t, "two", key), by_key(t, "two", second)]),
                ("one key", False, lambda t: [by_key(t, "both", key)]),
                ("one key twice", False, lambda t: [by_key(t, "two", key), by_key(t, "two", key)]),
                ("a key that would do", False, lambda t: [by_key(t, "both", key, sign=False), word]),
                ("a bad signature", False, lambda t: [by_key(t, "both", key, spoil=b"!"), word]),
                ("password, key", False, lambda t: [word, by_key(t, "both", key)]),
                ("key, wrong password", False, lambda t: [by_key(t, "both", key), wrong]),
                ("another's password", False, lambda t: [by_key(t, "both", key), by_password("turned", WORD)]),
                ("key, answer", False, lambda t: [by_key(t, "both", key), answer(WORD)]),
                ("answer", False, lambda t: [answer(WORD)]),
                ("wrong answer, answer", False, lambda t: [ask("ask"), answer("wrong"), answer(WORD)]),
                ("answers without end", False, lambda t: [ask("ask"), answer(WORD, count=0xffffffff)])):
            equal(say_in(server, steps), b"in\n" if good else None, name)
        check("broke the rules" not in server.log_text(), "a client made net break a rule")


if __name__ == "__main__":
    main()
