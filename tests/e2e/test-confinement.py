#!/usr/bin/python3
"""What a session can see and do, tried by the stock client. The testkit measures all of it; these
are the few that must hold over a real connection, each with the door shown open outside."""
import contextlib
import os
import pwd
import re
import socket
import subprocess
import tempfile

from lib import (BUILD, Cloche, Skip, case, check, eventually, equal, finish, main, parents, read_line,
                 sandbox_processes, status_of)


@case("each session is a sandbox of its own, also on one connection")
def fresh():
    with Cloche() as server:
        with server.master() as mux:
            kinds = ("mnt", "pid", "net", "ipc", "uts", "user")
            command = "".join(f"readlink /proc/self/ns/{kind};" for kind in kinds)
            seen = [server.ssh(command, *mux).text.split() for _ in range(2)]
            own = [os.readlink(f"/proc/self/ns/{kind}") for kind in kinds]
            for one, two, outside in zip(*seen, own):
                check(one != outside and two != outside, f"shared with the host: {one}")
            # Inode numbers are given again; two that are alive at once cannot share one.
            held = server.open(command + "echo ready; exec cat", *mux)
            first = [read_line(held.stdout).decode().strip() for _ in range(7)][:6]
            second = server.ssh(command, *mux).text.split()
            check(not set(first) & set(second), f"two sessions share {set(first) & set(second)}")
            finish(held)


@case("nothing written in one session is there in the next, or beside it")
def ephemeral():
    with Cloche() as server:
        places = "$HOME /tmp /var/tmp /dev/shm /run"
        write = f"for d in {places}; do echo mark >$d/left-behind 2>/dev/null && echo $d; done; true"
        look = f"for d in {places}; do test -e $d/left-behind && echo found $d; done; true"
        wrote = server.ssh(write).text.split()
        check(len(wrote) >= 2, f"hardly anything can be written: {wrote}")
        equal(server.ssh(look).text, "", "left behind")
        held = server.open(write + "; echo ready; exec cat")
        while read_line(held.stdout) not in (b"ready\n", b""):
            pass
        equal(server.ssh(look).text, "", "seen beside")
        finish(held)
        check(not os.path.exists("/tmp/left-behind"), "written on the host")


@case("a server with a real-time or raised priority gives neither to a session, and one behind the others works")
def priority():
    for backend in ("native", "bubblewrap"):
        for how, seen in ((["chrt", "--rr", "1"], "0 0"), (["nice", "-n", "-5"], "0 0"),
                          (["chrt", "--idle", "0"], "0 5")):
            result = subprocess.run(
                [*how, os.path.join(BUILD, "cli", "cloche"), "run", f"--backend={backend}", "--", "sh", "-c",
                 "cut -d ' ' -f 19,41 /proc/self/stat"],
                capture_output=True, text=True, timeout=60, check=False)
            equal(result.stdout, f"{seen}\n", f"{backend} under {how}: nice value and policy ({result.stderr})")


@case("the host's files, secrets and names are not there")
def concealed():
    with Cloche() as server, tempfile.NamedTemporaryFile(dir="/var/tmp", prefix="canary-") as canary:
        canary.write(b"a secret of the host")
        canary.flush()
        os.chmod(canary.name, 0o644)
        for path in (canary.name, server.path("host_key"), server.path("cloche.yaml"),
                     "/etc/shadow", f"/proc/{os.getpid()}/environ", "/root/.bashrc"):
            result = server.ssh(f"cat {path}")
            check(result.code != 0 and not result.out, f"{path} can be read: {result}")
        host = socket.gethostname()
        names = server.ssh("cat /proc/sys/kernel/hostname /etc/hostname; hostname; uname -n").text
        check(host not in names.split(), f"the host's name {host} is in {names!r}")
        seen = server.ssh("env; cat /proc/self/mountinfo /proc/1/cmdline").text
        for secret in (server.directory, host + " ", os.path.basename(canary.name)):
            check(secret not in seen, f"{secret!r} is visible")


@case("no network: only a loopback of its own, and the host's ports are out of reach")
def network():
    with Cloche() as server:
        result = server.ssh("sed 1,2d /proc/net/dev | cut -d: -f1 | tr -d ' '")
        check(set(result.text.split()) <= {"lo"}, f"interfaces: {result}")
        # The door is open outside: this very port answers us.
        with socket.create_connection(("127.0.0.1", server.port)) as outside:
            check(outside.recv(4) == b"SSH-", "the control")
        result = server.ssh(f"bash -c 'exec 3<>/dev/tcp/127.0.0.1/{server.port}; head -c 4 <&3'")
        check(b"SSH-" not in result.out and result.code != 0, f"reached the host: {result}")


@case("the shell has no privileges, cannot gain any, and is filtered")
def privileges():
    with Cloche() as server:
        held = server.session()
        result = server.ssh("id -u; cat /proc/self/status")
        check(result.text.split()[0] not in ("0", ""), f"uid {result.text.split()[0]}")
        fields = dict(line.split(":\t", 1) for line in result.text.splitlines() if ":\t" in line)
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            equal(int(fields[name], 16), 0, name)
        equal(fields["NoNewPrivs"], "1", "NoNewPrivs")
        equal(fields["Seccomp"], "2", "Seccomp")
        for pid in sandbox_processes(server):
            uids = {int(uid) for uid in status_of(pid)["Uid"].split()}
            check(os.geteuid() != 0 or 0 not in uids, f"{pid} runs as the host's root")
        result = server.ssh("unshare -Ur true; echo $?; mount -t tmpfs x /tmp; echo $?")
        check("0" not in result.text.split(), f"a namespace or a mount: {result}")
        finish(held)


@case("other processes of the host cannot be seen or signalled")
def processes():
    with Cloche() as server:
        seen = server.ssh("ls /proc | grep -c '^[0-9]'; cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
        check(int(seen.text.split()[0]) < 12, f"many processes: {seen}")
        check("cloche-sshd" not in seen.text and "python3" not in seen.text, f"host's: {seen}")
        check(os.getpid() in parents(), "the control: outside, processes can be seen")
        result = server.ssh(f"kill -0 {os.getpid()}; echo $?")
        check(result.text != "0", f"the test could be signalled: {result}")


@case("a session holds no descriptor but its three streams, and its terminal is its own")
def descriptors():
    with Cloche() as server:
        equal(server.ssh("ls /proc/self/fd | tr '\\n' ' '").text, "0 1 2 3", "ls's descriptors")
        look = "i=3; while [ $i -lt 256 ]; do [ -L /proc/$$/fd/$i ] && echo $i; i=$((i+1)); done; true"
        equal(server.ssh(look).text, "", "the shell's descriptors from 3 on")
        with server.terminal() as terminal:
            terminal.ask("ls /dev/pts | tr '\\n' ' '", "0 ")
            terminal.ask("echo count=$(ls -d /dev/tty[0-9]* /dev/console /dev/kmsg /dev/mem "
                         "/dev/vcs* 2>/dev/null | wc -l)", "count=0")
            terminal.send("exit\r")
            terminal.wait()


@case("the standard devices work and block devices are not there")
def devices():
    with Cloche() as server:
        result = server.ssh("head -c 4 /dev/urandom | wc -c; echo x >/dev/null && echo fine;"
                            "find /dev -type b | wc -l")
        equal(result.text.split(), ["4", "fine", "0"], "devices")


@case("the session is a usable Unix: pipes, jobs, here-documents, /dev/fd, threads, locale")
def usable():
    with Cloche() as server:
        result = server.ssh("set -e; seq 10 | sort -rn | head -1; cat <<E | tr a b\naaa\nE\n"
                            "diff <(echo 1) <(echo 1) && echo same; cd /tmp; echo x >f; mv f g; "
                            "ln g h; ln -s g i; chmod 700 g; cat h i; sleep 0.1 & wait; whoami; "
                            "echo $HOME $SHELL $PATH; date +%Y; awk 'BEGIN{print 6*7}'")
        check(result.code == 0, str(result))
        words = result.text.split()
        check(words[0] == "10" and "bbb" in words and "same" in words and "42" in words,
              f"output: {result}")


def try_as(uid):
    with Cloche(runas=uid if os.geteuid() == 0 else None) as server:
        result = server.ssh("id -u; grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status;"
                            "sed 1,2d /proc/net/dev | cut -d: -f1; cat /etc/shadow; echo end")
        check(result.text.endswith("end"), f"no session: {result}")
        check(re.search(r"CapEff:\s*0+\n", result.text) and "NoNewPrivs:\t1" in result.text and
              "Seccomp:\t2" in result.text, f"privileges: {result}")
        check("root:" not in result.text, "the shadow file")
        with server.terminal() as terminal:
            terminal.ask("tty", "/dev/pts/0")
            seen = 0
            for pid in server.processes():
                # What served the first session may end while we look.
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    check("0" not in status_of(pid)["Uid"].split(), f"{pid} is root")
                    seen += 1
            check(seen >= 4, f"only {seen} processes: listener, zygote, monitor, net were to be seen")


@case("an ordinary user can run the server, and its sessions are confined as well as that allows")
def ordinary():
    try_as(pwd.getpwnam("games").pw_uid)  # who is on every Debian


@case("a uid that has no name can run it too, as in many containers")
def nameless():
    if os.geteuid() != 0:
        raise Skip("becoming another uid takes root")
    try_as(54321)


main()
