"""A little internet in network namespaces of this process's own.

Importing it moves the process into a fresh network namespace, which is the "host" of every sandbox
started below it, and joins that to another one, "the world", by one link. Nothing is ever sent out of
the two. The world holds what a session may and may not reach:

    203.0.113.1     the host's own address on the link (so: one of the host's own)
    203.0.113.2     the world's end, and its DNS server (UDP and TCP, counting what it is asked)
    198.51.100.7    a public server: TCP and UDP echo on 80, 443, 8080, and IPv6 2001:db8::7
    198.51.100.8    another one, not on anybody's list
    10.1.2.3, 172.16.0.9, 192.168.7.7, 100.64.3.3, 169.254.169.254, 192.0.0.8  what is always denied
    10.1.2.53       a private resolver, which only the host may ask

Every server answers a stream or a datagram with "<address>:<port> <peer's address>", so that a
canary reached tells who it was and for whom it took us.
"""
import atexit
import ctypes
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "e2e"))
from lib import BUILD  # noqa: E402

CLOCHE = os.path.join(BUILD, "cli", "cloche")
CLONE_NEWNET = 0x40000000
PUBLIC, OTHER, PUBLIC6 = "198.51.100.7", "198.51.100.8", "2001:db8::7"
HOST, HOST_SERVICE = "203.0.113.1", 7000
DENIED = ["10.1.2.3", "172.16.0.9", "192.168.7.7", "100.64.3.3", "169.254.169.254", "192.0.0.8"]
PRIVATE_DNS = "10.1.2.53"
PORTS = [80, 443, 8080]
libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags):
    if libc.unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


def sh(command):
    subprocess.run(["/bin/sh", "-ec", command], check=True, stdin=subprocess.DEVNULL)


# Names of the world. Each value is called for every question, so that answers can rotate.
turn = {"count": 0}


def rotating():
    turn["count"] += 1
    return ["198.51.100.7"] if turn["count"] % 2 else ["198.51.100.8"]


def rebinding():
    turn["rebind"] = turn.get("rebind", 0) + 1
    return ["198.51.100.7"] if turn["rebind"] == 1 else ["169.254.169.254"]


NAMES = {
    "good.example": lambda: ["198.51.100.7"],
    "www.good.example": lambda: ["198.51.100.7"],
    "other.example": lambda: ["198.51.100.8"],
    "rotating.example": rotating,
    "rebinding.example": rebinding,
    "metadata.example": lambda: ["169.254.169.254"],
    "loopback.example": lambda: ["127.0.0.1"],
    "private.example": lambda: ["10.1.2.3"],
    "host.example": lambda: [HOST],
    "mixed.example": lambda: ["169.254.169.254", "10.1.2.3", "198.51.100.7"],
    "six.example": lambda: ["2001:db8::7"],
    "mapped.example": lambda: ["::ffff:10.1.2.3"],
    "alias.example": lambda: ["198.51.100.7"],
}


def answer(question):
    """A DNS answer to one question, and the name asked for."""
    at, labels = 12, []
    while question[at]:
        labels.append(question[at + 1:at + 1 + question[at]].decode("latin-1"))
        at += 1 + question[at]
    kind = struct.unpack("!H", question[at + 1:at + 3])[0]
    name = ".".join(labels).lower()
    records, aliases = [], b""
    for address in NAMES[name]() if name in NAMES else []:
        six = ":" in address
        if kind == (28 if six else 1):
            data = socket.inet_pton(socket.AF_INET6 if six else socket.AF_INET, address)
            records.append(b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 5, len(data)) + data)
    if name == "alias.example":
        target = b"\x04edge\x07example\x00"
        aliases = b"\xc0\x0c" + struct.pack("!HHIH", 5, 1, 5, len(target)) + target
    code = 0 if name in NAMES else 3
    head = question[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, len(records) + bool(aliases), 0, 0)
    return head + question[12:at + 5] + aliases + b"".join(records), name


def serve_world(ready, log):
    """Runs in the world's namespace for ever: echo servers, DNS. Each contact is a line in log."""
    def note(text):
        os.write(log, (text + "\n").encode())

    streams, datagrams, dns = {}, {}, {}
    for address in [PUBLIC, OTHER, PUBLIC6, *DENIED]:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        for port in PORTS:
            listener = socket.socket(family, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, port))
            listener.listen(64)
            streams[listener] = f"{address}:{port}"
            datagram = socket.socket(family, socket.SOCK_DGRAM)
            datagram.bind((address, port))
            datagrams[datagram] = f"{address}:{port}"
    for address in ["203.0.113.2", PRIVATE_DNS, PUBLIC, OTHER]:
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind((address, 53))
        dns[server] = address
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.bind((address, 53))
        listener.listen(8)
        dns[listener] = address
    os.write(ready, b"r")
    while True:
        for sock in select.select([*streams, *datagrams, *dns], [], [])[0]:
            try:
                if sock in streams:
                    peer, source = sock.accept()
                    note(f"tcp {streams[sock]} {source[0]}")
                    peer.sendall(f"{streams[sock]} {source[0]}\n".encode())
                    peer.shutdown(socket.SHUT_WR)
                    threading.Thread(target=lambda p=peer: (p.recv(65536), p.close()), daemon=True).start()
                elif sock in datagrams:
                    _, source = sock.recvfrom(4096)
                    note(f"udp {datagrams[sock]} {source[0]}")
                    sock.sendto(f"{datagrams[sock]} {source[0]}\n".encode(), source)
                elif sock.type == socket.SOCK_STREAM:
                    peer, _ = sock.accept()
                    peer.settimeout(2)
                    text, name = answer(peer.recv(4096)[2:])
                    note(f"dns-tcp {dns[sock]} {name}")
                    peer.sendall(struct.pack("!H", len(text)) + text)
                    peer.close()
                else:
                    text, source = sock.recvfrom(4096)
                    text, name = answer(text)
                    note(f"dns {dns[sock]} {name}")
                    sock.sendto(text, source)
            except (OSError, IndexError, struct.error) as error:
                note(f"error {error}")


def serve_host():
    """Services of the host's own, on every address it has: nobody inside may get at them."""
    stream = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    stream.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    stream.bind(("::", HOST_SERVICE))
    stream.listen(64)
    datagram = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    datagram.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    datagram.bind(("::", HOST_SERVICE))

    def run():
        while True:
            for sock in select.select([stream, datagram], [], [])[0]:
                try:
                    if sock is stream:
                        peer, source = stream.accept()
                        host_contacts.append(source[0])
                        peer.sendall(b"host\n")
                        peer.close()
                    else:
                        _, source = datagram.recvfrom(4096)
                        host_contacts.append(source[0])
                        datagram.sendto(b"host\n", source)
                except OSError:
                    pass
    threading.Thread(target=run, daemon=True).start()


host_contacts = []
LOG = tempfile.mkstemp(prefix="cloche-world.")[1]
atexit.register(os.unlink, LOG)
os.chmod(LOG, 0o600)


def contacts():
    """What the world has seen so far, line by line."""
    with open(LOG) as file:
        return file.read().splitlines()


world_pid = 0


def build():
    global world_pid
    unshare(CLONE_NEWNET)
    # What the host takes for its resolvers is ours too, in a mount namespace of our own.
    unshare(0x00020000)
    sh("mount --make-rprivate /")
    resolv = os.path.realpath("/etc/resolv.conf")
    file = tempfile.NamedTemporaryFile("w", prefix="cloche-resolv.", delete=False)
    file.write(f"# {PRIVATE_DNS} is the host's resolver\nnameserver {PRIVATE_DNS}\n")
    file.close()
    os.chmod(file.name, 0o644)
    sh(f"mount --bind {file.name} {resolv}")
    atexit.register(os.unlink, file.name)
    read_end, write_end = os.pipe()
    go_read, go_write = os.pipe()
    log = os.open(LOG, os.O_WRONLY | os.O_APPEND)
    child = os.fork()
    if child == 0:
        libc.prctl(1, signal.SIGKILL, 0, 0, 0)
        unshare(CLONE_NEWNET)
        os.write(write_end, b"n")
        os.read(go_read, 1)
        sh("ip link set lo up; ip addr add 203.0.113.2/24 dev world; ip link set world up; "
           "ip -6 addr add 2001:db8:ffff::2/64 dev world nodad; "
           f"ip -6 addr add {PUBLIC6}/128 dev lo; ip -6 route add default via 2001:db8:ffff::1; "
           + "".join(f"ip addr add {a}/32 dev lo; " for a in [PUBLIC, OTHER, *DENIED, PRIVATE_DNS]))
        serve_world(write_end, log)
        os._exit(1)
    world_pid = child
    os.read(read_end, 1)
    sh(f"ip link set lo up; ip link add up0 type veth peer name world netns {child}; "
       f"ip addr add {HOST}/24 dev up0; ip link set up0 up; ip route add default via 203.0.113.2; "
       "ip -6 addr add 2001:db8:ffff::1/64 dev up0 nodad; ip -6 route add default via 2001:db8:ffff::2")
    os.write(go_write, b"g")
    assert os.read(read_end, 1) == b"r"
    serve_host()


def cloche(*words, patience=30, env=None):
    done = subprocess.run([CLOCHE, "run", *words], capture_output=True, text=True, timeout=patience,
                          stdin=subprocess.DEVNULL, check=False, env={**os.environ, **(env or {})})
    return done.returncode, done.stdout, done.stderr


# Runs inside: tries to reach each "kind address port" of its arguments and prints one line for each.
PROBE = r'''
import socket, sys
for word in sys.argv[1:]:
    kind, address, port = word.split(",")
    six = ":" in address
    family = socket.AF_INET6 if six else socket.AF_INET
    try:
        if kind == "udp":
            s = socket.socket(family, socket.SOCK_DGRAM)
        elif kind == "mptcp":
            s = socket.socket(family, socket.SOCK_STREAM, 262)
        elif kind == "icmp":
            s = socket.socket(family, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
        else:
            s = socket.socket(family, socket.SOCK_STREAM)
        s.settimeout(1.5)
        s.connect((address, int(port)))
        s.send(b"hello" if kind != "icmp" else b"\x08\x00\x00\x00\x00\x01\x00\x01")
        text = s.recv(200)
        print(word, "OPEN", text.decode("latin-1").strip())
    except Exception as error:
        print(word, "SHUT", type(error).__name__, error)
'''


def try_all(options, targets, patience=60):
    """What happened to each target ("tcp,address,port") from inside, as {target: "OPEN ..." or "SHUT ..."}."""
    code, out, err = cloche(*options, "--", "/usr/bin/python3", "-c", PROBE, *targets, patience=patience)
    assert code == 0, (code, out, err)
    return dict(line.split(" ", 1) for line in out.splitlines())


build()
