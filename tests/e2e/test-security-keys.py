#!/usr/bin/python3
"""Security keys (FIDO, sk-): a key made in software signs as a device would, so that what the server looks
at, and what it does not, can be said from what was seen."""
import base64
import hashlib
import struct

import paramiko
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from lib import Cloche, case, check, equal, main

TOUCHED = 1


def text(data):
    data = data.encode() if isinstance(data, str) else data
    return struct.pack(">I", len(data)) + data


def number(value):
    return text(value.to_bytes(value.bit_length() // 8 + 1, "big"))


class Device(paramiko.PKey):
    """A security key of either type (PROTOCOL.u2f)."""

    public_blob = None

    def __init__(self, kind, application="ssh:", flags=TOUCHED, signs_for=None, spoil=False):
        self.kind, self.application, self.flags, self.spoil = kind, application, flags, spoil
        self.signs_for = signs_for or application
        if kind.startswith("sk-ssh"):
            self.secret = ed25519.Ed25519PrivateKey.generate()
        else:
            self.secret = ec.generate_private_key(ec.SECP256R1())

    def get_name(self):
        return self.kind

    def get_bits(self):
        return 256

    def can_sign(self):
        return True

    def asbytes(self):
        public = self.secret.public_key()
        if self.kind.startswith("sk-ssh"):
            point = text(public.public_bytes(serialization.Encoding.Raw,
                                             serialization.PublicFormat.Raw))
        else:
            point = text("nistp256") + text(public.public_bytes(
                serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint))
        return text(self.kind) + point + text(self.application)

    def line(self):
        return f"{self.kind} {base64.b64encode(self.asbytes()).decode()} device"

    def sign_ssh_data(self, data, algorithm=None):
        tail = struct.pack(">BI", self.flags, 7)
        signed = (hashlib.sha256(self.signs_for.encode()).digest() + tail +
                  hashlib.sha256(data).digest())
        if self.kind.startswith("sk-ssh"):
            signature = self.secret.sign(signed)
        else:
            r, s = decode_dss_signature(self.secret.sign(signed, ec.ECDSA(hashes.SHA256())))
            signature = number(r) + number(s)
        if self.spoil:
            tail = struct.pack(">BI", self.flags, 8)
        return paramiko.Message(text(self.kind) + text(signature) + tail)


KINDS = ("sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com")


def login(server, device):
    """Does the device get in? An answer, or the end of the connection, is a no."""
    transport = paramiko.Transport(("127.0.0.1", server.port))
    try:
        transport.connect()
        transport.auth_publickey("lab", device)
        channel = transport.open_session()
        channel.exec_command("echo in")
        return channel.makefile().read().strip() == b"in"
    except (paramiko.SSHException, EOFError):
        return False
    finally:
        transport.close()


@case("a listed security key of either type gets in, and one that is not listed does not")
def listed():
    with Cloche() as server:
        for kind in KINDS:
            device = Device(kind)
            server.authorize(device.line())
            check(login(server, device), f"{kind}: {server.log_text()[-800:]}")
            check(not login(server, Device(kind)), f"{kind}: another device")


@case("a signature for another application, or with another counter, is refused")
def wrong():
    with Cloche() as server:
        for kind in KINDS:
            for device in (Device(kind, signs_for="https://example.org"), Device(kind, spoil=True)):
                server.authorize(device.line())
                check(not login(server, device), f"{kind}: a wrong signature")


@case("the application is part of the key: the same point under another name is another key")
def application():
    with Cloche() as server:
        device = Device(KINDS[0])
        server.authorize(device.line())
        device.application = device.signs_for = "ssh:other"
        check(not login(server, device), "another application")


@case("libssh does not tell whether the key was touched: the manual says so, and this notices a change")
def touch():
    with Cloche() as server:
        seen = set()
        for kind in KINDS:
            device = Device(kind, flags=0)
            server.authorize(device.line())
            seen.add(login(server, device))
            # What would ask for more than can be seen is not used at all.
            server.authorize("verify-required " + device.line())
            check(not login(server, device), "verify-required is not enforced, so refuses")
        equal(seen, {True}, "an untouched key; if it is refused now, say so in the manuals")


if __name__ == "__main__":
    main()
