#!/usr/bin/python3
"""Certificates made by ssh-keygen, offered by the stock client: who gets in, with what, and who does not."""
import base64
import os
import subprocess

from lib import Cloche, case, check, equal, keygen, main, run

EVERYTHING = ("-V", "-5m:+1h")


def sign(server, ca, *options, key=None, name="ann", who="lab", validity=EVERYTHING):
    """A fresh key with a certificate beside it; returns the private key's path."""
    path = key or server.path(f"{name}-{os.urandom(3).hex()}")
    if not os.path.exists(path):
        keygen(path)
    names = ["-n", who] if who else []
    subprocess.run(["ssh-keygen", "-q", "-s", ca, "-I", f"id of {name}", "-z", "7", *names, *validity,
                    *options, path + ".pub"], check=True, stdin=subprocess.DEVNULL)
    return path


def authority(server, name="ca", kind="ed25519"):
    path = server.path(name)
    return path, keygen(path, kind, comment=name)


def trusting(**server):
    """A server that trusts the authority "ca" of its directory, which is made."""
    made = Cloche(profiles={"lab": {"readable": ["/usr"], "write": "ephemeral", "share": "connection",
                                    "forward": ["local", "agent"], "net": "disable"}},
                  users={"bob": {"profile": "lab", "authorized_keys": []}})
    path, public = authority(made)
    made.write("trusted", public + "\n")
    made.settings.update({"trusted_ca_keys": [made.path("trusted")], **server})
    made.ca = path
    return made


def login(server, key, command="echo in", user="lab", options=()):
    # The certificate alone: ssh would offer the plain key after it.
    return server.ssh(command, user=user, key=key,
                      options=(f"CertificateFile={key}-cert.pub", *options))


def refused(server, key, reason, user="lab"):
    result = login(server, key, user=user)
    check(result.code == 255 and b"Permission denied" in result.err, f"{reason}: {result}")
    reasons = [event["reason"] for event in server.audit() if event["event"] == "auth_refused"]
    check(reason in reasons[-2:], f"{reason} is not among the last reasons, {reasons[-4:]}")


def last_ok(server):
    return [event for event in server.audit() if event["event"] == "auth_ok"][-1]


def print_of(path):
    return run(["ssh-keygen", "-l", "-f", path]).text.split()[1]


@case("a certificate of a trusted authority opens the door; the audit log knows who, by whom, for what")
def opens():
    with trusting() as server:
        key = sign(server, server.ca)
        equal(login(server, key).text, "in", "a certificate")
        event = last_ok(server)
        equal(event["user"], "lab", "the login name")
        equal(event["key"], print_of(key + ".pub"), "the certified key")
        equal(event["certificate"], {"id": "id of ann", "serial": "7", "principal": "lab",
                                     "ca": print_of(server.ca + ".pub")}, "the certificate")
        equal(server.ssh("echo in").text, "in", "a plain key beside it")
        equal(last_ok(server)["certificate"], None, "no certificate")


@case("keys of every type can be certified")
def types():
    with trusting() as server:
        for kind in ("ed25519", "ecdsa", "rsa"):
            path = server.path("of_" + kind)
            keygen(path, kind)
            equal(login(server, sign(server, server.ca, key=path)).text, "in", kind)


@case("each thing that is wrong with a certificate refuses it, and the client cannot tell which")
def refusals():
    with trusting() as server:
        other, _ = authority(server, "other_ca")
        equal(login(server, sign(server, server.ca)).text, "in", "a good one")
        refused(server, sign(server, other), "no such key")
        refused(server, sign(server, server.ca, who="alice"), "principal")
        refused(server, sign(server, server.ca, who=None), "certificate_malformed")
        refused(server, sign(server, server.ca, validity=("-V", "-2h:-1h")), "certificate_expired")
        refused(server, sign(server, server.ca, validity=("-V", "+1h:+2h")), "certificate_not_yet")
        refused(server, sign(server, server.ca, "-O", "source-address=192.0.2.0/24"),
                "certificate_from")
        refused(server, sign(server, server.ca, "-O", "critical:frobnicate=yes"),
                "certificate_option")
        refused(server, sign(server, server.ca, "-O", "verify-required"), "certificate_option")
        refused(server, sign(server, server.ca), "unknown_user", user="nobody.here")
        says = set()
        for key, user in ((sign(server, other), "lab"), (sign(server, server.ca, who="x"), "lab"),
                          (sign(server, server.ca), "nobody.here")):
            says.add(login(server, key, user=user).err.replace(b"nobody.here", b"lab"))
        equal(len(says), 1, f"one word for all, not {says}")


def offer(server, key):
    """Logs in with the certificate as it is; ssh itself would not offer one that is not good."""
    import paramiko
    transport = paramiko.Transport(("127.0.0.1", server.port))
    try:
        transport.connect()
        secret = paramiko.Ed25519Key.from_private_key_file(key)
        secret.load_certificate(key + "-cert.pub")
        transport.auth_publickey("lab", secret)
        return transport.is_authenticated()
    except paramiko.SSHException:
        return False
    finally:
        transport.close()


@case("a forged certificate is refused: the name of a trusted authority is not its signature")
def forged():
    with trusting() as server:
        check(offer(server, sign(server, server.ca)), f"a good one: {server.log_text()[-600:]}")
        key = sign(server, server.ca, who="xab")
        check(not offer(server, key), "for somebody else")
        with open(key + "-cert.pub") as file:
            kind, blob, comment = file.read().split(" ", 2)
        blob = base64.b64decode(blob)
        changed = blob.replace(b"\0\0\0\x07\0\0\0\x03xab", b"\0\0\0\x07\0\0\0\x03lab")
        check(changed != blob, "the principal was not found")
        with open(key + "-cert.pub", "w") as file:
            file.write(f"{kind} {base64.b64encode(changed).decode()} {comment}")
        check(not offer(server, key), "a forged one was let in")
        reasons = [event["reason"] for event in server.audit() if event["event"] == "auth_refused"]
        equal(reasons, ["principal", "certificate_signature"], "the reasons")


@case("source-address, force-command and extensions are honoured; absence forbids")
def restrictions():
    with trusting() as server:
        here = sign(server, server.ca, "-O", "source-address=127.0.0.0/8,10.0.0.1/32")
        equal(login(server, here).text, "in", "from here")
        forced = sign(server, server.ca, "-O", "force-command=echo forced; echo $SSH_ORIGINAL_COMMAND")
        equal(login(server, forced).text, "forced\necho in", "a forced command")
        for key, yes in ((sign(server, server.ca), True),
                         (sign(server, server.ca, "-O", "clear"), False),
                         (sign(server, server.ca, "-O", "clear", "-O", "permit-pty"), True)):
            result = server.ssh("tty >/dev/null && echo terminal || echo none", "-tt", key=key,
                                options=(f"CertificateFile={key}-cert.pub",))
            equal("terminal" in result.text, yes, f"a terminal: {result}")
        for options, yes in (((), True), (("-O", "no-port-forwarding"), False),
                             (("-O", "no-agent-forwarding"), True)):
            key = sign(server, server.ca, *options)
            server.ssh(None, "-W", "127.0.0.1:1", key=key,
                       options=(f"CertificateFile={key}-cert.pub",))
            # Nobody listens there; what counts is whether it was tried.
            event = [event for event in server.audit() if event["event"].startswith("forward")][-1]
            equal(event["event"] != "forward_refused", yes, f"-W with {options}: {event}")


@case("cert-authority lines: principals, and the stricter of line and certificate")
def lines():
    with Cloche() as server:
        ca, public = authority(server)
        key = sign(server, ca, who="staff")
        server.authorize(f"cert-authority {public}")
        refused(server, key, "principal")
        server.authorize(f'cert-authority,principals="staff,wheel" {public}')
        equal(login(server, key).text, "in", "a principal of the line")
        equal(last_ok(server)["certificate"]["principal"], "staff", "the principal")
        server.authorize(f'cert-authority,principals="staff",command="echo line" {public}')
        equal(login(server, key).text, "line", "the line's command")
        refused(server, sign(server, ca, "-O", "force-command=echo cert", who="staff"),
                "certificate_command")
        server.authorize(f'cert-authority,principals="staff",no-pty {public}')
        result = server.ssh("tty; true", "-tt", key=key, options=(f"CertificateFile={key}-cert.pub",))
        check("/dev/pts" not in result.text, f"a terminal despite no-pty: {result}")
        server.authorize(f'cert-authority,principals="staff",from="192.0.2.1" {public}')
        refused(server, key, "from")
        # The authority's own key is no key of a user.
        server.authorize(f"cert-authority {public}")
        check(server.ssh("echo in", key=ca).code == 255, "the authority logged in")
        # And a plain line does not make its key an authority.
        server.authorize(public)
        equal(server.ssh("echo in", key=ca).text, "in", "the key itself")
        refused(server, sign(server, ca), "no such key")


@case("users have authorities and principals of their own")
def users():
    made = trusting(authorized_principals=["%u", "everywhere"])
    other, public = authority(made, "other_ca")
    made.write("others", public + "\n")
    made.users["bob"].update({"trusted_ca_keys": [made.path("others")],
                              "authorized_principals": ["ops"]})
    made.users["eve"] = {"profile": "lab", "authorized_keys": [], "trusted_ca_keys": []}
    with made as server:
        equal(login(server, sign(server, server.ca, who="everywhere")).text, "in", "a common principal")
        refused(server, sign(server, server.ca, who="bob"), "no such key", user="bob")
        refused(server, sign(server, other, who="bob"), "principal", user="bob")
        equal(login(server, sign(server, other, who="ops"), user="bob").text, "in", "bob's own")
        refused(server, sign(server, server.ca, who="eve"), "no such key", user="eve")


@case("an authority of a type that cannot be verified is refused with one line that says why")
def unsupported():
    with trusting() as server:
        ca, public = authority(server, "rsa_ca", "rsa")
        server.write("trusted", public + "\n")
        refused(server, sign(server, ca), "certificate_authority_type")
        check("only ssh-ed25519 can be verified here" in server.log_text(), server.log_text()[-600:])


@case("revoked keys and authorities open nothing; a list that cannot be read revokes all")
def revoked():
    made = trusting()
    made.settings["revoked_keys"] = [made.path("revoked")]
    made.write("revoked", "# none yet\n")
    with made as server:
        key = sign(server, server.ca)
        equal(login(server, key).text, "in", "not revoked")
        with open(key + ".pub") as file:
            server.write("revoked", file.read())
        refused(server, key, "revoked")
        equal(login(server, sign(server, server.ca)).text, "in", "another key")
        server.write("revoked", print_of(server.ca + ".pub") + " the authority\n")
        refused(server, sign(server, server.ca), "revoked")
        equal(server.ssh("echo in").text, "in", "a plain key")
        server.write("revoked", print_of(server.key + ".pub") + "\n")
        check(server.ssh("echo in").code == 255, "a revoked plain key")
        subprocess.run(["ssh-keygen", "-q", "-k", "-f", server.path("revoked"), key + ".pub"],
                       check=True, stdin=subprocess.DEVNULL)
        refused(server, sign(server, server.ca), "revoked")
        check("is a KRL" in server.log_text(), server.log_text()[-600:])
        os.unlink(server.path("revoked"))
        refused(server, sign(server, server.ca), "revoked")


if __name__ == "__main__":
    main()
