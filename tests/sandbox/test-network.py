"""net: outbound, egress and inbound, in a little internet of this test's own (world.py).

Each promise is shown to hold by what arrives outside, and each case is run once more with the rules
left out (--without=net_rules), where the same contact must arrive: a test that could not fail would
prove nothing.
"""
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(__file__))
import world  # noqa: E402
from world import DENIED, HOST, HOST_SERVICE, OTHER, PUBLIC, PUBLIC6, cloche, contacts, try_all  # noqa: E402
from lib import case, main  # noqa: E402

VIEW = ["--readable=/usr"]
OUTBOUND = [*VIEW, "--net=outbound"]


@case("outbound reaches public servers by TCP and UDP, as the host")
def _():
    result = try_all(OUTBOUND, [f"tcp,{PUBLIC},80", f"tcp,{OTHER},443", f"udp,{PUBLIC},8080"])
    assert result[f"tcp,{PUBLIC},80"] == f"OPEN {PUBLIC}:80 {HOST}", result
    assert result[f"tcp,{OTHER},443"] == f"OPEN {OTHER}:443 {HOST}", result
    assert result[f"udp,{PUBLIC},8080"] == f"OPEN {PUBLIC}:8080 {HOST}", result


FORBIDDEN = [f"{kind},{address},80" for address in DENIED for kind in ("tcp", "udp", "mptcp")] + [
    f"tcp,{PUBLIC6},80", f"udp,{PUBLIC6},80", "tcp,10.1.2.53,53", "udp,10.1.2.53,53",
    f"tcp,{HOST},{HOST_SERVICE}", f"udp,{HOST},{HOST_SERVICE}", f"icmp,{PUBLIC},0",
    f"tcp,::ffff:{HOST},{HOST_SERVICE}", "tcp,::ffff:10.1.2.3,80", "tcp,64:ff9b::a01:203,80"]


@case("outbound does not reach what is always denied, nor the host, by any door")
def _():
    before, host_before = len(contacts()), len(world.host_contacts)
    result = try_all(OUTBOUND, FORBIDDEN, patience=120)
    assert len(result) == len(FORBIDDEN)
    reached = {target: what for target, what in result.items() if what.startswith("OPEN")}
    assert not reached, reached
    assert contacts()[before:] == [] and world.host_contacts[host_before:] == []


@case("without the rules the same contacts arrive")
def _():
    targets = [f"{kind},{address},80" for address in DENIED for kind in ("tcp", "udp")] + [
        f"tcp,{HOST},{HOST_SERVICE}"]
    before = len(world.host_contacts)
    # The host's answer to the datagram comes from another of its addresses; that it came is enough.
    result = try_all([*OUTBOUND, "--without=net_rules"], [*targets, f"udp,{HOST},{HOST_SERVICE}"])
    shut = {target for target, what in result.items() if what.startswith("SHUT")}
    assert shut <= {f"udp,{HOST},{HOST_SERVICE}"}, result
    assert len(world.host_contacts) == before + 2, world.host_contacts[before:]


@case("an address that the host gets later is out of reach too, and so is what it forwards")
def _():
    late = "203.0.113.77"
    script = ("import socket,sys\nprint('ready',flush=True)\nsys.stdin.readline()\n"
              f"for port in ({HOST_SERVICE}, 7001):\n"
              " try:\n"
              f"  s=socket.create_connection(('{late}',port),1.5); print('OPEN',s.recv(99))\n"
              " except OSError as e: print('SHUT',e)\n")
    for more, word in (([], "SHUT"), (["--without=net_rules"], "OPEN")):
        process = subprocess.Popen([world.CLOCHE, "run", *OUTBOUND, *more, "--", "/usr/bin/python3", "-c", script],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert process.stdout.readline() == "ready\n"
        # 7001 is forwarded to somebody in a private network, as a container's published port is.
        world.sh(f"ip addr add {late}/32 dev lo; nft 'table ip published {{ chain in {{ type nat hook prerouting priority dstnat; "
                 f"ip daddr {late} tcp dport 7001 dnat to 10.1.2.3:80; }}; }}'")
        try:
            out, _ = process.communicate("go\n", timeout=20)
        finally:
            world.sh(f"ip addr del {late}/32 dev lo; nft delete table ip published")
        assert [line.split()[0] for line in out.splitlines()] == [word, word], (more, out)


@case("a session cannot fill the host's table of connections")
def _():
    script = ("import socket\nsent = 0\nfor port in range(1, 3000):\n"
              " s = socket.socket(2, 2); s.connect(('198.51.100.7', port))\n"
              " try: s.send(b'x'); sent += 1\n"
              " except OSError: pass\n s.close()\nprint(sent)")
    _, out, err = cloche(*OUTBOUND, "--", "/usr/bin/python3", "-c", script)
    assert 900 <= int(out) <= 1030, (out, err)


def names(options, *wanted):
    script = ("import socket, sys\nfor n in sys.argv[1:]:\n try: print(n, socket.getaddrinfo(n, 80, 2, 1)[0][4][0])\n"
              " except OSError as e: print(n, 'none')")
    code, out, err = cloche(*options, "--", "/usr/bin/python3", "-c", script, *wanted)
    assert code == 0, err
    return dict(line.split() for line in out.splitlines())


@case("outbound resolves names by the host's resolver, which itself is out of reach")
def _():
    before = len(contacts())
    assert names(OUTBOUND, "good.example", "missing.example") == {"good.example": PUBLIC, "missing.example": "none"}
    asked = [line for line in contacts()[before:] if line.startswith("dns ")]
    assert asked and all(line.split()[1] == world.PRIVATE_DNS for line in asked), asked
    # The whole host's tree in view: the same resolver, not the host's resolv.conf.
    assert names(["--net=outbound"], "good.example") == {"good.example": PUBLIC}
    # A name may resolve to what is denied; it stays out of reach.
    script = "import socket; socket.create_connection(('metadata.example', 80), 2)"
    code, out, err = cloche(*OUTBOUND, "--", "/usr/bin/python3", "-c", script)
    assert code == 1 and "Error" in err, (code, out, err)
    assert not any(line.startswith("tcp") for line in contacts()[before:])
    # Long answers come by TCP.
    script = ("import socket,struct\nq=b'\\x12\\x34\\x01\\x00\\x00\\x01\\0\\0\\0\\0\\0\\0\\x04good\\x07example\\0\\0\\x01\\0\\x01'\n"
              "s=socket.create_connection(('127.0.0.1',53),3)\ns.sendall(struct.pack('!H',len(q))+q)\n"
              "r=s.recv(999)\nprint(socket.inet_ntoa(r[-4:]))")
    code, out, err = cloche(*OUTBOUND, "--", "/usr/bin/python3", "-c", script)
    assert out.strip() == PUBLIC, (out, err)


def egress(*rules, more=()):
    return [*VIEW, "--net=egress", *[f"--egress={rule}" for rule in rules], *more]


@case("egress reaches the listed networks and ports, by plain programs, and nothing else")
def _():
    before = len(contacts())
    options = egress(f"{PUBLIC}:80", "10.1.2.0/24:443", "169.254.169.254:8080")
    result = try_all(options, [
        f"tcp,{PUBLIC},80", f"udp,{PUBLIC},80", "tcp,10.1.2.3,443", "tcp,169.254.169.254,8080",
        f"tcp,{PUBLIC},443", f"udp,{PUBLIC},443", f"mptcp,{PUBLIC},443", f"tcp,{OTHER},80", "tcp,10.1.2.3,80",
        "tcp,169.254.169.254,80", f"udp,{OTHER},8080", "udp,10.1.2.53,53", "udp,203.0.113.2,53",
        f"tcp,{HOST},{HOST_SERVICE}", f"tcp,{PUBLIC6},80", f"icmp,{PUBLIC},0"])
    reached = {target for target, what in result.items() if what.startswith("OPEN")}
    assert reached == {f"tcp,{PUBLIC},80", f"udp,{PUBLIC},80", "tcp,10.1.2.3,443", "tcp,169.254.169.254,8080"}, result
    assert len(contacts()) == before + 4, contacts()[before:]


@case("egress that lists everything still does not reach the host itself")
def _():
    before = len(world.host_contacts)
    result = try_all(egress("0.0.0.0/0"), [f"tcp,{HOST},{HOST_SERVICE}", f"udp,{HOST},{HOST_SERVICE}", f"tcp,{OTHER},80"])
    assert result.pop(f"tcp,{OTHER},80").startswith("OPEN"), result
    assert all(what.startswith("SHUT") for what in result.values()) and len(world.host_contacts) == before, result


@case("an empty list is nothing, and a rule that cannot be read is refused")
def _():
    result = try_all([*VIEW, "--net=egress"], [f"tcp,{PUBLIC},80", f"udp,{PUBLIC},80", "tcp,127.0.0.1,1080"])
    assert all(what.startswith("SHUT") for what in result.values()), result
    for rule in ("good.example:0", "good..example", "10.1.2.3/8", "*.*.example", "*", "a_b.example", "1.2.3.4.5", "0x7f.1",
                 "10.0.0.0/33", "[good.example]:80", "good.example:80:81", "http://good.example", "2130706433"):
        code, _, err = cloche(*egress(rule), "--", "/bin/true")
        assert code == 2 and rule in err, (rule, code, err)


# Asks the proxy for each "kind|host|port" of its arguments and prints what came back.
ASK = r"""
import socket, struct, sys
for word in sys.argv[1:]:
    kind, host, port = word.split("|")
    raw = host.encode().decode("unicode_escape").encode("latin-1")
    try:
        s = socket.create_connection(("127.0.0.1", 1080), 5)
        s.settimeout(12)
        if kind == "http":
            s.sendall(b"CONNECT " + raw + b":" + port.encode() + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                part = s.recv(1)
                if not part: break
                head += part
            if b" 200 " not in head:
                print(word, "REFUSED", head.split(b"\r\n")[0].decode("latin-1"))
                continue
        else:
            s.sendall(b"\x05\x01\x00")
            assert s.recv(2) == b"\x05\x00"
            if kind == "socks":
                to = b"\x03" + bytes([len(raw)]) + raw
            elif kind == "socks4":
                to = b"\x01" + socket.inet_aton(host)
            else:
                to = b"\x04" + socket.inet_pton(socket.AF_INET6, host)
            s.sendall(b"\x05\x01\x00" + to + struct.pack("!H", int(port)))
            reply = s.recv(10)
            if len(reply) < 2 or reply[1] != 0:
                print(word, "REFUSED", reply[1] if len(reply) > 1 else "closed")
                continue
        print(word, "OPEN", s.recv(200).decode("latin-1").strip())
    except Exception as error:
        print(word, "ERROR", type(error).__name__, error)
"""


def ask_proxy(options, targets, patience=90):
    code, out, err = cloche(*options, "--", "/usr/bin/python3", "-c", ASK, *targets, patience=patience)
    assert code == 0, (code, out, err)
    return dict(line.split(" ", 1) for line in out.splitlines())


@case("the proxy reaches listed names by SOCKS and by CONNECT, and says no to all others")
def _():
    before = len(contacts())
    options = egress("good.example:80", "*.good.example:443", "six.example:80", "alias.example", "2001:db8::/32")
    result = ask_proxy(options, [
        "socks|good.example|80", "http|good.example|80", "socks|GOOD.Example.|80", "socks|www.good.example|443",
        "http|six.example|80", "http|alias.example|8080", "socks6|2001:db8::7|80",
        "socks|good.example|443", "socks|good.example|8080", "socks|www.good.example|80", "socks|other.example|80",
        "http|other.example|80", "socks|notgood.example|443", "socks|good.example.other.example|80",
        f"socks4|{PUBLIC}|80", f"http|{PUBLIC}|80", "socks6|::1|80", "socks6|::ffff:10.1.2.3|80"])
    opened = {target for target, what in result.items() if what.startswith("OPEN")}
    assert opened == {"socks|good.example|80", "http|good.example|80", "socks|GOOD.Example.|80", "socks|www.good.example|443",
                      "http|six.example|80", "http|alias.example|8080", "socks6|2001:db8::7|80"}, result
    assert not [what for what in result.values() if what.startswith("ERROR")], result
    # What is not listed was not even asked for.
    asked = {line.split()[2] for line in contacts()[before:] if line.startswith("dns ")}
    assert asked == {"good.example", "www.good.example", "six.example", "alias.example"}, asked
    assert len([line for line in contacts()[before:] if line.startswith("tcp")]) == 7


@case("names are judged by what they resolve to, each time")
def _():
    before = len(contacts())
    listed = ["rebinding.example", "metadata.example", "loopback.example", "private.example", "host.example",
              "mixed.example", "mapped.example", "rotating.example"]
    result = ask_proxy(egress(*listed), [f"socks|{name}|80" for name in listed] + [
        f"http|host.example|{HOST_SERVICE}", f"http|loopback.example|{HOST_SERVICE}"])
    opened = {target for target, what in result.items() if what.startswith("OPEN")}
    assert opened == {"socks|rebinding.example|80", "socks|mixed.example|80", "socks|rotating.example|80"}, result
    # Again: the first answer of rebinding.example was good, the next is the metadata service.
    result = ask_proxy(egress(*listed), ["socks|rebinding.example|80", "socks|rotating.example|80"])
    assert result["socks|rebinding.example|80"].startswith("REFUSED"), result
    assert result["socks|rotating.example|80"].startswith("OPEN"), result
    assert not [line for line in contacts()[before:] if "169.254" in line or " 10.1.2.3" in line], contacts()[before:]
    # The control: the same names without the rules lead there.
    result = ask_proxy(egress("metadata.example", more=["--without=net_rules"]), ["socks|metadata.example|80", "http|other.example|80"])
    assert all(what.startswith("OPEN") for what in result.values()), result
    # A listed network makes what a name resolves to reachable.
    result = ask_proxy(egress("private.example:80", "10.1.2.3:80"), ["socks|private.example|80", "socks|private.example|443"])
    assert result["socks|private.example|80"].startswith("OPEN") and result["socks|private.example|443"].startswith("REFUSED"), result


@case("names made to be misread are refused before anything is asked")
def _():
    before = len(contacts())
    bad = ["good.example\\x00.other.example", "other.example\\x00.good.example", ".good.example", "www..good.example", "good.example..",
           "good_x.good.example", "-a.good.example", "a-.good.example", "good.example\\r\\nX", "good.example\\x20", "127.1", "0x7f.0.0.1",
           "2130706433", "0177.0.0.1", "127.0.0.1", "1.2.3", "a" * 64 + ".good.example", "\\xe9.good.example", "good.example:80"]
    options = egress("good.example", "*.good.example")
    result = ask_proxy(options, [f"socks|{name}|80" for name in bad])
    assert len(result) == len(bad) and not [what for what in result.values() if what.startswith("OPEN")], result
    assert contacts()[before:] == [], contacts()[before:]


@case("there is no resolver and no way round the proxy")
def _():
    before = len(contacts())
    options = egress("good.example")
    assert names(options, "good.example", "other.example") == {"good.example": "none", "other.example": "none"}
    result = try_all(options, [f"tcp,{PUBLIC},80", f"udp,{PUBLIC},80", f"udp,{world.PRIVATE_DNS},53", "udp,127.0.0.1,53",
                               f"tcp,{HOST},{HOST_SERVICE}"])
    assert all(what.startswith("SHUT") for what in result.values()), result
    assert contacts()[before:] == []


@case("programs find the proxy by themselves, and much goes through it at once")
def _():
    code, out, err = cloche(*egress("good.example"), "--", "/bin/sh", "-c",
                            "curl -sS --http0.9 http://good.example/; env | grep -ci _proxy=")
    assert code == 0 and PUBLIC in out and out.strip().endswith("8"), (out, err)
    script = ("import socket, threading\nok = []\n"
              "def one():\n"
              " s = socket.create_connection(('127.0.0.1', 1080), 10); s.settimeout(20)\n"
              " s.sendall(b'CONNECT good.example:80 HTTP/1.1\\r\\n\\r\\n'); data = b''\n"
              " while True:\n"
              "  part = s.recv(4096)\n"
              "  if not part: break\n"
              "  data += part\n"
              " ok.append(b'198.51.100.7:80' in data)\n"
              "t = [threading.Thread(target=one) for _ in range(150)]\n"
              "[x.start() for x in t]; [x.join() for x in t]; print(sum(ok))")
    code, out, err = cloche(*egress("good.example"), "--", "/usr/bin/python3", "-c", script, patience=60)
    assert out.strip() == "150", (out, err)


class Running:
    """A sandbox that prints its address and then listens on the ports."""

    def __init__(self, *options, ports=(9000,)):
        script = ("import socket,sys,threading\n"
                  "def run(s):\n"
                  " while True:\n"
                  "  c,a=s.accept(); c.sendall(b'inside'); c.close()\n"
                  "for p in sys.argv[1:]:\n"
                  " s=socket.socket(); s.bind(('0.0.0.0',int(p))); s.listen(8)\n"
                  " threading.Thread(target=run,args=(s,)).start()\n"
                  "import fcntl,struct\n"
                  "s=socket.socket(2,2)\n"
                  "print(socket.inet_ntoa(fcntl.ioctl(s.fileno(),0x8915,struct.pack('256s',b'eth0'))[20:24]),flush=True)\n")
        self.process = subprocess.Popen([world.CLOCHE, "run", *options, "--", "/usr/bin/python3", "-c", script,
                                         *map(str, ports)], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        self.address = self.process.stdout.readline().strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)
        self.process.stdout.close()


def dial(address, port, source=None):
    import socket
    try:
        with socket.create_connection((address, port), 1.0, source) as sock:
            return sock.recv(100).decode()
    except OSError as error:
        return type(error).__name__


@case("nobody gets in: not the host, not another session")
def _():
    with Running(*OUTBOUND) as one:
        assert one.address.startswith("100.127."), one.address
        assert dial(one.address, 9000) != "inside"
        gateway = one.address.rsplit(".", 1)[0] + "." + str(int(one.address.rsplit(".", 1)[1]) - 1)
        result = try_all(OUTBOUND, [f"tcp,{one.address},9000", f"tcp,{gateway},{HOST_SERVICE}"])
        assert all(what.startswith("SHUT") for what in result.values()), result
    # The control: without the rules both get in.
    with Running(*OUTBOUND, "--without=net_rules") as one:
        assert dial(one.address, 9000) == "inside", dial(one.address, 9000)
        result = try_all([*OUTBOUND, "--without=net_rules"], [f"tcp,{one.address},9000"])
        assert all(what.startswith("OPEN") for what in result.values()), result


@case("nobody inside has power over the rules, the link or the namespace")
def _():
    script = ("ip link set eth0 down; ip route add 10.0.0.0/8 dev eth0; nft flush ruleset; "
              "ip addr add 198.51.100.99/32 dev eth0; unshare -rn true; cat /proc/self/status")
    _, out, err = cloche(*OUTBOUND, "--env=PATH=/usr/sbin:/usr/bin", "--", "/bin/sh", "-c", script)
    assert "CapEff:\t0000000000000000" in out and err.count("not permitted") >= 3, (out, err)


def links():
    return [line for line in subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
            .splitlines() if ": c" in line]


def locks():
    return set(os.listdir("/run/cloche/links"))


@case("inbound lets the host in at the listed ports, and nobody else anywhere")
def _():
    for options in (OUTBOUND, egress(), egress("good.example")):
        with Running(*options, "--inbound=9001", "--inbound=9003", ports=(9000, 9001, 9002, 9003)) as one:
            assert [dial(one.address, port) == "inside" for port in (9000, 9001, 9002, 9003)] == [False, True, False, True]
            # Another session, and the world, are not the host.
            result = try_all(OUTBOUND, [f"tcp,{one.address},9001"])
            assert all(what.startswith("SHUT") for what in result.values()), result
            assert from_world(one.address, 9001) != "inside"
    with Running(*OUTBOUND, "--inbound=9001", "--without=net_rules", ports=(9000, 9001)) as one:
        assert dial(one.address, 9000) == "inside" and from_world(one.address, 9001) == "inside"
    code, _, err = cloche(*VIEW, "--net=enable", "--inbound=9001", "--", "/bin/true")
    assert code == 125 and "net.inbound" in err, err


def from_world(address, port):
    """What somebody out there gets who sends packets for the session's address to the host."""
    script = f"ip route replace {address}/32 via {HOST}; exec python3 -c 'import socket; " \
             f"print(socket.create_connection((\"{address}\", {port}), 1.5).recv(99).decode())'"
    done = subprocess.run(["nsenter", "-n", "-t", str(world.world_pid), "/bin/sh", "-c", script], capture_output=True, text=True,
                          check=False)
    return done.stdout.strip()


@case("nothing is left: not after the end, and not after the launcher is killed")
def _():
    import signal
    import time
    before = locks()
    assert links() == [], links()
    with Running(*OUTBOUND) as one:
        assert len(links()) == 1 and one.address
    assert links() == [] and locks() <= before
    one = Running(*OUTBOUND)
    one.process.send_signal(signal.SIGKILL)
    one.process.wait()
    one.process.stdout.close()
    deadline = time.monotonic() + 5
    while links() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert links() == [], links()
    helpers = subprocess.run(["pgrep", "-f", "^cloche-netd$"], capture_output=True, text=True, check=False).stdout.split()
    own = [pid for pid in helpers if os.readlink(f"/proc/{pid}/ns/net") == os.readlink("/proc/self/ns/net")]
    assert own == [], own


@case("cloche-netd has an id of the session's own, no capability, a filter, and nothing open")
def _():
    with Running(*OUTBOUND) as one:
        pids = subprocess.run(["pgrep", "-P", str(one.process.pid), "-f", "^cloche-netd$"], capture_output=True, text=True,
                              check=True).stdout.split()
        assert len(pids) == 1, pids
        with open(f"/proc/{pids[0]}/status") as file:
            status = dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)
        assert int(status["Uid"].split()[0]) >= 65536 and len(set(status["Uid"].split())) == 1, status["Uid"]
        assert status["Groups"].strip() == ""
        assert status["CapEff"] == status["CapPrm"] == status["CapBnd"] == "0" * 16, status
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
        targets = [os.readlink(f"/proc/{pids[0]}/fd/{fd}") for fd in os.listdir(f"/proc/{pids[0]}/fd")]
        assert all(target.startswith("socket:") for target in targets), targets


@case("ten sessions at once have ten addresses")
def _():
    running = [Running(*OUTBOUND) for _ in range(10)]
    try:
        assert len({one.address for one in running}) == 10, [one.address for one in running]
    finally:
        for one in running:
            one.__exit__()


@case("the plan says it all, and its digest is the same twice")
def _():
    import json
    def plan(*options):
        done = subprocess.run([world.CLOCHE, "plan", "--json", *options, "--", "/bin/true"], capture_output=True,
                              text=True, check=True)
        return json.loads(done.stdout)
    one, two = plan(*OUTBOUND), plan(*OUTBOUND)
    assert one["digest"] == two["digest"] and "net.outbound" in one["uses"], one["uses"]
    assert "@denied" in one["net"]["rules"] and "masquerade" in one["net"]["host_rules"]
    assert "net.outbound" not in plan(*OUTBOUND, "--without=net_rules")["uses"]
    assert plan(*VIEW)["net"] is None


if __name__ == "__main__":
    main()
