"""Sessions of cloche-sshd with a way out, and what is forwarded into them, in a little internet of this
test's own (world.py): SSH is not the way round the rules."""
import os
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
import world  # noqa: E402
from world import HOST, HOST_SERVICE, OTHER, PUBLIC, contacts  # noqa: E402
from lib import Cloche, case, main  # noqa: E402

BASE = {"readable": ["/usr"], "write": "ephemeral"}
EGRESS = {**BASE, "net": "egress", "egress": [f"{PUBLIC}:80", "good.example:443"]}


def links():
    out = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    return [line for line in out.splitlines() if ": cl-" in line]


def lives(pid):
    """Runs, and is not just waiting to be reaped."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Inside(Cloche):
    """A server in our little internet, whose servers are no left-over of it."""

    def processes(self):
        return [pid for pid in super().processes() if pid != world.world_pid]


@case("a session by ssh reaches what its profile lists, and the profile was measured before it opened")
def _():
    with Inside(profiles={"lab": EGRESS}, options=()) as server:
        script = (f"curl -sS --http0.9 -m 5 --noproxy '*' http://{PUBLIC}:80/; "
                  "curl -sS --http0.9 -m 5 http://good.example:443/; "
                  f"curl -sS --http0.9 -m 5 --noproxy '*' http://{OTHER}:80/; curl -sS --http0.9 -m 5 http://good.example:80/; "
                  f"curl -sS --http0.9 -m 5 --noproxy '*' http://{HOST}:{HOST_SERVICE}/")
        done = server.ssh(script)
        out = done.text
        assert f"{PUBLIC}:80 {HOST}" in out and f"{PUBLIC}:443 {HOST}" in out, (out, done.err)
        assert OTHER not in out and "host" not in out.split() and len(out.splitlines()) == 2, out
    assert links() == []


@case("forwarding goes through the session's network and obeys its rules")
def _():
    profile = {**EGRESS, "share": "connection", "forward": ["local"]}
    with Inside(profiles={"lab": profile}) as server:
        before, host_before = len(contacts()), len(world.host_contacts)
        done = server.ssh(None, "-W", f"{PUBLIC}:80")
        assert f"{PUBLIC}:80 {HOST}" in done.text, (done.out, done.err)
        for target in (f"{OTHER}:80", f"{PUBLIC}:443", f"{HOST}:{HOST_SERVICE}", "169.254.169.254:80", "10.1.2.3:80"):
            done = server.ssh(None, "-W", target, timeout=20)
            assert not done.out, (target, done.out, done.err)
        seen = [line for line in contacts()[before:] if line.startswith("tcp")]
        assert len(seen) == 1 and len(world.host_contacts) == host_before, seen


@case("inbound lets the host in at the listed ports of a session, and -R opens no other")
def _():
    listen = ("import fcntl,socket,struct,sys,threading\n"
              "def run(s):\n"
              " while True: c,a=s.accept(); c.sendall(b\"inside\"); c.close()\n"
              "for p in (9001,9002):\n"
              " s=socket.socket(); s.bind((\"0.0.0.0\",p)); s.listen(8); threading.Thread(target=run,args=(s,)).start()\n"
              "s=socket.socket(2,2)\n"
              "print(socket.inet_ntoa(fcntl.ioctl(s.fileno(),0x8915,struct.pack(\"256s\",b\"eth0\"))[20:24]),flush=True)\n")
    profile = {**BASE, "net": "outbound", "inbound": ["9001", "9003"], "share": "connection", "forward": ["remote"]}
    with Inside(profiles={"lab": profile}) as server:
        client = server.open(f"exec python3 -c '{listen}'", "-R", "*:9003:127.0.0.1:1", "-R", "*:9004:127.0.0.1:1")
        address = client.stdout.readline().decode().strip()
        assert address.startswith("100.127."), address

        def dial(port):
            try:
                with socket.create_connection((address, port), 1.0) as connection:
                    return connection.recv(100).decode()
            except OSError as error:
                return type(error).__name__
        answers = {port: dial(port) for port in (9001, 9002, 9003, 9004)}
        assert answers[9001] == "inside", answers
        # What -R listens on is the session's loopback: its port is let in, and nobody is there.
        assert answers[9003] == "ConnectionRefusedError" and "inside" not in (answers[9002], answers[9004]), answers
        client.kill()
        client.wait()


@case("a session whose monitor is killed leaves no link, no helper and no address taken")
def _():
    with Inside(profiles={"lab": {**BASE, "net": "outbound"}}) as server:
        client = server.open("echo $PPID; exec sleep 60")
        client.stdout.readline()
        assert len(links()) == 1
        pids = subprocess.run(["pgrep", "-f", "^cloche-netd$"], capture_output=True, text=True, check=False).stdout.split()
        mine = [pid for pid in pids if os.readlink(f"/proc/{pid}/ns/net") == os.readlink("/proc/self/ns/net")]
        assert len(mine) == 1, mine
        with open(f"/proc/{mine[0]}/stat") as file:
            monitor = int(file.read().rsplit(")", 1)[1].split()[1])
        os.kill(monitor, 9)
        deadline = time.monotonic() + 10
        while (links() or lives(mine[0])) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert links() == [] and not lives(mine[0]), (links(), mine)
        # The next session is as good as the first.
        done = server.ssh(f"curl -sS --http0.9 -m 5 http://{PUBLIC}:80/")
        assert PUBLIC in done.text, done.err


if __name__ == "__main__":
    main()
