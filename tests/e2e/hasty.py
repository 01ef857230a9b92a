"""Clients that do not wait: a client's messages after the end of its key exchange, along with that end."""
import socket

import paramiko
from paramiko.common import MSG_SERVICE_REQUEST, MSG_USERAUTH_INFO_RESPONSE, MSG_USERAUTH_REQUEST


def send_together(transport, packets):
    """Messages of SSH in one piece of TCP: a type each, then strings, booleans and numbers."""
    transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    for packet in packets:
        message = paramiko.Message()
        message.add_byte(bytes(packet[:1]))
        for value in packet[1:]:
            {bool: message.add_boolean, int: message.add_int}.get(type(value), message.add_string)(value)
        transport._send_message(message)
    transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)


class Hasty(paramiko.Transport):
    """Sends the end of its key exchange, and logs in without an answer to that, in one piece.

    steps(transport) gives the messages, when there is a session to sign for."""

    hasty = True

    def __init__(self, port, steps):
        super().__init__(socket.create_connection(("127.0.0.1", port)))
        self.steps = steps
        try:
            self.start_client(timeout=20)
        except BaseException:
            self.close()
            raise

    def _activate_outbound(self):
        hasty, self.hasty = self.hasty, False
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        super()._activate_outbound()
        send_together(self, [(MSG_SERVICE_REQUEST, "ssh-userauth"), *self.steps(self)] if hasty else [])


def by_password(user, word):
    return MSG_USERAUTH_REQUEST, user, "ssh-connection", "password", False, word


def by_key(transport, user, key, sign=True, spoil=b""):
    """With an ed25519 key; without a signature it asks whether the key would do."""
    head = user, "ssh-connection", "publickey", sign, "ssh-ed25519", key.asbytes()
    if not sign:
        return MSG_USERAUTH_REQUEST, *head
    signed = paramiko.Message()
    signed.add_string(transport.session_id)
    signed.add_byte(bytes([MSG_USERAUTH_REQUEST]))
    for value in head:
        (signed.add_boolean if isinstance(value, bool) else signed.add_string)(value)
    return MSG_USERAUTH_REQUEST, *head, key.sign_ssh_data(signed.asbytes() + spoil).asbytes()


def ask(user):
    return MSG_USERAUTH_REQUEST, user, "ssh-connection", "keyboard-interactive", "", ""


def answer(*words, count=None):
    return MSG_USERAUTH_INFO_RESPONSE, len(words) if count is None else count, *words
