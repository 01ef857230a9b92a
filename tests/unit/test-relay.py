"""The relay of a microvm, with this test in the place of the machine: a guest that is not ours."""
import os
import signal
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from lib import BUILD, case, equal, main  # noqa: E402

RELAY = os.path.join(BUILD, "backends", "vm", "cloche-relay")
REPORT_FD = 3
STARTED, EXITED, WHY = 7, 10, 12

# Begins as an agent does. Then it asks why as often as it is answered.
ASKS = """
import socket, struct
control = socket.socket(fileno=10)
control.recv(65536)
for kind in (6, 7):
    control.sendall(struct.pack("<IIQQ", kind, 0, 0, 0))
while True:
    control.sendall(struct.pack("<IIQQ", 12, 0, 3, 4))
    if not control.recv(24, socket.MSG_WAITALL):
        break
"""

# Begins, and hears nothing after that.
DEAF = ASKS.partition("while")[0] + "import time\ntime.sleep(600)\n"


def start(machine, seconds):
    """The relay, in a /tmp of its own, and our end of its report."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    user = [] if os.geteuid() == 0 else ["-Ur"]
    relay = subprocess.Popen(
        ["unshare", *user, "-m", "sh", "-c", 'mount -t tmpfs none /tmp && exec "$@"', "sh", RELAY, str(seconds),
         "/dev/null", "--", "/usr/bin/python3", "-I", "-c", machine],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        preexec_fn=lambda: os.dup2(theirs.fileno(), REPORT_FD), pass_fds=(REPORT_FD, theirs.fileno()))
    theirs.close()
    return relay, ours


def reports(ours):
    """(type, code) of each, until the end."""
    found = []
    while True:
        try:
            message = ours.recv(4096)
        except ConnectionResetError:
            continue
        if not message:
            return found
        found.append(struct.unpack("<Ii", message[:8]))


@case("a guest that asks why without end, while nobody listens, has no more time than others")
def _():
    relay, ours = start(ASKS, seconds=2)
    try:
        ours.settimeout(40)
        equal(struct.unpack("<I", ours.recv(4096)[:4])[0], STARTED, "the first report")
        equal(relay.wait(timeout=40), -signal.SIGKILL, "how it ended")
        equal(reports(ours), [(WHY, 0), (EXITED, 1)], "one question, and that the time was up")
    finally:
        relay.kill()
        relay.wait()
        relay.stdin.close()
        ours.close()


@case("a guest that reads no more is ended when there is too much to tell it")
def _():
    relay, ours = start(DEAF, seconds=3600)
    try:
        ours.settimeout(40)
        equal(struct.unpack("<I", ours.recv(4096)[:4])[0], STARTED, "the first report")
        for _ in range(2000):
            if relay.poll() is not None:
                break
            relay.send_signal(signal.SIGUSR1)
            time.sleep(0.003)
        equal(relay.wait(timeout=40), -signal.SIGKILL, "how it ended")
    finally:
        relay.kill()
        relay.wait()
        relay.stdin.close()
        ours.close()


if __name__ == "__main__":
    main()
