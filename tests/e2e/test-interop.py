#!/usr/bin/python3
"""Six clients, each as far as it goes, against cloche-sshd and, with the same script, OpenSSH's sshd: what
both answer must be what is expected, and where only ours is asked the table says why.

docs/interoperability.md has the table of what is tried with whom.
"""
import hashlib
import os
import re
import shutil

from lib import BUILD, Cloche, OpenSshd, case, check, equal, free_port, keygen, main, run
from peers import NEXT_SIZE, PEERS, SIZE

WORD = "correct horse"
ECHO = ("import socket,sys\n"
        "l=socket.create_server((\"127.0.0.1\",int(sys.argv[1])))\n"
        "print(\"ready\",flush=True)\n"
        "s,_=l.accept()\n"
        "s.sendall(s.makefile(\"rb\").read()+b\"END\")\n"
        "s.close()\n")
REACH = ("import socket,sys,time\n"
         "s=socket.create_connection((\"127.0.0.1\",int(sys.argv[1])),10)\n"
         "s.sendall(b\"out\")\n"
         "print(s.makefile().read())\n")
servers = {}


def cloche():
    server = Cloche(
        profiles={"lab": {"readable": ["/usr"], "write": "ephemeral", "pids": 128, "memory": "512M",
                          "accept_env": ["LANG", "LC_*"], "share": "connection",
                          "forward": ["local", "remote"]}})
    program = os.path.join(BUILD, "cli", "cloche")
    line = run([program, "passwd"], input=WORD.encode() + b"\n").text.split()[0]
    server.settings["totp_key"] = server.path("totp.key")
    totp = run([program, "totp", "--key", server.path("totp.key"), "code"]).text
    totp = re.search(r'^totp: "(\S+)"$', totp, re.M).group(1)
    keys = [server.path("authorized_keys")]
    server.users.update({
        "pat": {"profile": "lab", "password": line},
        "ask": {"profile": "lab", "authorized_keys": keys, "password": line,
                "methods": ["keyboard-interactive"]},
        # Where anybody has codes, everybody is asked for one.
        "code": {"profile": "lab", "authorized_keys": keys, "password": line, "totp": totp,
                 "methods": ["keyboard-interactive"]}})
    return server


def server_of(kind):
    """One server for all cases of a kind; the last case ends them."""
    if kind not in servers:
        server = cloche() if kind == "cloche" else OpenSshd("Subsystem sftp internal-sftp")
        lines = [server.public] + [keygen(server.path(f"key_{type}"), type) for type in ("ecdsa", "rsa")]
        server.write("authorized_keys", "".join(line + "\n" for line in lines))
        servers[kind] = server.__enter__()
    return servers[kind]


def answer(kind, function, peer):
    """The servers outlive their cases, so a failure brings what its server said meanwhile."""
    server = server_of(kind)
    before = len(server.log_text())
    try:
        return function(peer(server))
    except AssertionError as error:
        raise AssertionError(f"{kind}: {error}\nlog: {server.log_text()[before:][-3000:]}") from None


def tried(claim, needs, kinds=("cloche", "openssh")):
    """Registers a case for each client that has the method: it runs against each kind of server, and what
    it returns must be the same."""
    def register(function):
        for peer in PEERS:
            if hasattr(peer, needs):
                def both(peer=peer):
                    answers = {kind: answer(kind, function, peer) for kind in kinds}
                    check(len({repr(answer) for answer in answers.values()}) == 1,
                          f"the servers differ: {answers}")
                case(f"{peer.name}: {claim}")(both)
        return function
    return register


@tried("a command's streams and status", "exec")
def status(peer):
    result = peer.exec("echo out; echo err >&2; exit 7")
    equal((result.code, result.out, result.err), (7, b"out\n", b"err\n"), "streams and status")


@tried("death by a signal is told as the client tells it", "exec")
def killed(peer):
    result = peer.exec("kill -TERM $$")
    return result.code, "TERM" in result.error


@tried("binary input, its end, and what is answered after it", "exec")
def half_close(peer):
    data = os.urandom(1 << 20)
    result = peer.exec("sha256sum; sleep 0.1; echo after; exit 3", input=data)
    equal(result.out.decode(), hashlib.sha256(data).hexdigest() + "  -\nafter\n", "output")
    equal(result.code, 3, "status")


@tried("a MiB on each stream, interleaved, and status 7", "exec")
def interleaved(peer):
    result = peer.exec("for i in $(seq 64); do head -c 16384 /dev/zero | tr '\\0' o;"
                       " head -c 16384 /dev/zero | tr '\\0' e >&2; done; exit 7")
    equal((len(result.out), set(result.out), result.code), (1 << 20, {ord("o")}, 7), "stdout")
    # plink makes what a terminal could take for commands of its own harmless; letters stay as they are.
    equal((len(result.err), set(result.err)), (1 << 20, {ord("e")}), "stderr")


@tried("keys of the types the client has", "exec")
def keys(peer):
    for type in ("ecdsa", "rsa"):
        result = peer.exec("echo in", key=peer.server.path(f"key_{type}"))
        equal(result.out, b"in\n", f"{type}: {result}")


@tried("a terminal has its size and name, and follows the window", "terminal")
def terminal(peer):
    answer = peer.terminal("trap 'stty size; exit 9' WINCH; echo $(stty size) $TERM;"
                           "n=0; while [ $n -lt 100 ]; do sleep 0.1; n=$((n+1)); done")
    equal(answer, (9, "{} {} vt220".format(*SIZE), "{} {}".format(*NEXT_SIZE)), "terminal")


@tried("variables arrive where the server takes them", "environment")
def environment(peer):
    equal(peer.environment("LC_PEER", "a b", "echo \"<$LC_PEER>\"").text, "<a b>", "a listed one")
    equal(peer.environment("PEER", "a", "echo \"<$PEER>\"").text, "<>", "another")


@tried("several sessions at once on one connection", "apart")
def apart(peer):
    equal(peer.apart(6, "sleep 0.1; echo $N; exit $N"), [(str(n), n) for n in range(6)], "sessions")


@tried("a file there and back by sftp", "sftp")
def sftp(peer):
    path = peer.path("file")
    data = os.urandom(1 << 20)
    with open(path, "wb") as file:
        file.write(data)
    remote = f"/tmp/cloche-interop-{os.getpid()}"
    try:
        result = peer.sftp(path, remote)
        equal(result.code, 0, f"status ({result})")
        with open(path + ".back", "rb") as back:
            check(back.read() == data, "the file has changed on its way")
    finally:
        if peer.server.name != "cloche-sshd":
            os.unlink(remote)
        else:
            check(not os.path.exists(remote), "it was written on the host")


@tried("a local forwarding reaches what listens beside the command", "forward_local")
def forward_local(peer):
    port = free_port()
    data = os.urandom(300000)
    got = peer.forward_local(port, f"exec python3 -c '{ECHO}' {port}", data)
    check(got == data + b"END", f"{len(got)} bytes came back, {got[-20:]!r}")


@tried("a remote forwarding brings what connects beside the command", "forward_remote")
def forward_remote(peer):
    port = free_port()
    equal(peer.forward_remote(port, f"exec python3 -c '{REACH}' {port}"), "outout", "what came back")


@tried("keys exchanged anew in the middle lose nothing", "rekey")
def rekey(peer):
    data = os.urandom(6 << 20)
    result, many = peer.rekey("f=$(mktemp); cat >$f; cat $f; rm $f", data)
    equal(hashlib.sha256(result.out).hexdigest(), hashlib.sha256(data).hexdigest(), "sha256")
    check(many, f"keys were not exchanged anew: {result.error[-300:]}")


# Debian's sshd would need a user of the host's with a password.
@tried("the right password", "password", kinds=("cloche",))
def password(peer):
    equal(peer.password("echo in", "pat", WORD), 0, "status")
    server = peer.server
    check(WORD not in server.log_text() and WORD not in str(server.audit()), "the password is in a log")


# ... and PAM, which would ask in words of its own.
@tried("keyboard-interactive with two questions", "answer", kinds=("cloche",))
def interactive(peer):
    words = [("Password:", WORD), ("Verification code:", "")]
    equal(peer.answer("echo in", "ask", words), 0, "status")


@case("OpenSSH: every algorithm that is offered works by itself")
def algorithms():
    server = server_of("cloche")
    offered = server.ssh("true", "-vv").error.split("peer server KEXINIT proposal")[1]
    for key, option in (("ciphers stoc", "Ciphers"), ("MACs stoc", "MACs"),
                        ("KEX algorithms", "KexAlgorithms")):
        names = re.search(f"{key}: (.*)", offered).group(1).strip().split(",")
        names = [name for name in names if not name.startswith(("kex-strict", "ext-info"))]
        check(len(names) > 1, f"{key}: {names}")
        for name in names:
            # Given first, an option counts. A cipher that brings its own MAC would hide the others.
            argv = server.ssh_argv("127.0.0.1", "echo in")
            argv[1:1] = ["-o", f"{option}={name}"] + (["-o", "Ciphers=aes128-ctr"] if option == "MACs" else [])
            result = run(argv)
            equal(result.text, "in", f"{name}: {result}")


@case("after all of it nothing is left of either server")
def ends():
    for kind in list(servers):
        servers.pop(kind).__exit__(None, None, None)


check(shutil.which("dbclient") and shutil.which("plink"), "dropbear-bin or putty-tools is missing")
main()
