#!/usr/bin/python3
"""Home directories that last: whose they are, who sees them, and what their users cannot do with them."""
import os
import signal
import stat

from lib import Cloche, Skip, case, check, equal, eventually, finish, main, read_line, roles

OWNER = 65520
READABLE = ["/usr", "/bin", "/sbin", "/lib", "/lib64"]
LASTING = {"readable": READABLE, "write": "overlay", "home_mode": "persistent", "pids": 64, "memory": "256M"}


def lasting(options=("--no-proof",), **profile):
    if os.geteuid() != 0:
        raise Skip("homes with an owner of their own want root")
    server = Cloche(profiles={"lab": {**LASTING, **profile}}, options=options)
    keys = [server.path("authorized_keys")]
    server.users = {name: {"profile": "lab", "authorized_keys": keys} for name in ("ann", "bob")}
    server.settings["homes"] = server.path("homes")
    return server


def run(server, command, user="ann"):
    return server.ssh(command, user=user, key=server.key)


def says(server, command, expected, what, user="ann"):
    equal(run(server, command, user).text, expected, what)


@case("what a user leaves at home is there the next time, for them alone")
def lasts():
    with lasting() as server:
        says(server, "echo mine >note; mkdir d; touch d/f; pwd", "/home/ann", "the first session")
        says(server, "cat note; stat -c '%U %u' note . d/f", "mine\nann 1000\nann 1000\nann 1000", "the second")
        home = server.path("homes") + "/ann"
        equal({os.lstat(os.path.join(home, name)).st_uid for name in ("", "note", "d/f")}, {OWNER},
              "the owner on the host")
        equal(stat.S_IMODE(os.stat(server.path("homes")).st_mode), 0o700, "nobody else looks in")
        says(server, "ls -A; ls /home; cat /home/ann/note 2>&1 | tail -c 26", "bob\nNo such file or directory",
             "bob's home is empty, and ann's is not there", user="bob")
        result = run(server, f"ls {server.path('homes')}; ls /var/lib; grep -c homes /proc/self/mountinfo", "bob")
        check(b"ann" not in result.out, f"a way to ann's: {result}")
        says(server, "cat note", "mine", "bob changed nothing")


@case("sessions at the same time share it; nothing is mounted when they are gone, killed or not")
def together():
    with lasting() as server:
        client = server.open("sh -c 'until test -e go; do sleep 0.1; done; echo seen >there; sleep 60'",
                             user="ann", key=server.key)
        eventually(lambda: run(server, "touch go; cat there 2>/dev/null").text == "seen", "the other one sees it")
        check(server.path("homes") not in open("/proc/self/mountinfo").read(), "mounted on the host")
        finish(client, 0.5)
        says(server, "cat there", "seen", "still there")
    # The harness looks for mounts and processes that are left.


@case("links, devices and set-id files at home reach nothing, and the next session starts all the same")
def tricks():
    with lasting() as server:
        secret = server.write("secret", "of the host")
        result = run(server, f"""
            ln -s {secret} link; ln -s / root; ln -s /proc/1/root/etc/shadow shadow
            ln /usr/bin/id hard 2>/dev/null && echo hard-linked
            mknod dev c 1 5 2>/dev/null && echo device
            cp /usr/bin/id id; chmod u+s,g+s id; ./id -u
            chown 0 id 2>/dev/null && echo given-away
            rm -rf .ssh; ln -s /etc .ssh; ln -s ../bob .profile; ln -s {server.path("homes")}/bob bob
            cat link shadow bob/* 2>/dev/null; chmod 0777 .""")
        equal(result.text, "1000", f"what came of it: {result}")
        says(server, "cat link shadow 2>/dev/null; ls -d .ssh bob; echo in", ".ssh\nbob\nin", "the next session")
        says(server, "echo in; ls -A", "in", "bob's", user="bob")
        run(server, "chmod 000 .; rm -rf ./* .[a-z]*")
        result = run(server, "echo in")
        check(b"in\n" in result.out, f"a home that was shut: {result}")
        equal(os.lstat(server.path("homes") + "/ann").st_uid, OWNER, "the owner")


@case("a home that is a link, or whose place others can write to, is refused")
def place():
    with lasting() as server:
        os.mkdir(server.path("homes"), 0o700)
        os.mkdir(server.path("elsewhere"), 0o700)
        os.symlink(server.path("elsewhere"), server.path("homes") + "/ann")
        result = run(server, "touch here")
        check(result.code != 0 and b"home" in result.err, f"a link: {result}")
        equal(os.listdir(server.path("elsewhere")), [], "nothing was written there")
        os.unlink(server.path("homes") + "/ann")
        os.mkdir(server.path("homes") + "/ann", 0o700)
        os.chown(server.path("homes") + "/ann", 1234, 1234)
        result = run(server, "touch here")
        check(result.code != 0 and b"belongs to uid 1234" in result.err, f"somebody's: {result}")
        os.rmdir(server.path("homes") + "/ann")
        os.chmod(server.path("homes"), 0o777)
        result = run(server, "touch here")
        check(result.code != 0 and b"chmod go-w" in result.err, f"a place for all: {result}")


@case("another backend refuses, and so does a profile whose writes are gone afterwards")
def refused():
    with lasting(backend="bubblewrap") as server:
        result = run(server, "echo in")
        check(result.code != 0 and b"does not keep home directories; native does" in result.err, f"{result}")
    server = lasting(write="ephemeral")
    try:
        server.start()
        raise AssertionError("a profile that cannot keep anything was taken")
    except AssertionError as error:
        check("needs write scope or overlay" in str(error), f"{error}")
    finally:
        server.remove()


@case("a crash in the middle of writing leaves what was written out, and no lock, mount or sandbox behind it")
def crashes():
    for who in ("init", "monitor", "listener"):
        with lasting() as server:
            client = server.open("i=0; while :; do echo $i >new; sync new; mv new n; echo $i; i=$((i+1)); done",
                                 user="ann", key=server.key)
            seen = [read_line(client.stdout) for _ in range(20)]
            pids = roles(server)
            os.kill(pids[who], signal.SIGKILL)
            if who == "listener":  # sessions live on, until their own monitor dies too
                seen.append(read_line(client.stdout))
                server.process.wait()
                os.kill(pids["monitor"], signal.SIGKILL)
            rest, _ = client.communicate(timeout=30)
            last = int(b"".join(seen + [rest]).splitlines()[-2])
            eventually(lambda: pids["shell"] not in server.processes(), f"an end of the sandbox after {who}", 20)
            if who == "listener":
                server.start()
            count = int(run(server, "cat n").text)
            check(count >= last, f"after {who} died: {count} is there, {last} was written out")
            says(server, "rm -f n new; echo again >n; cat n; ls", "again\nn", f"a session after {who} died")
            check(server.path("homes") not in open("/proc/self/mountinfo").read(), "mounted on the host")
    # The harness looks for what else is left of each.


@case("a profile with it is measured, and opens without promising that sessions are fresh")
def measured():
    with lasting(options=()) as server:
        says(server, "echo in", "in", "it is open")
        event = [line for line in server.audit() if line["event"] == "session_start"][-1]
        check("session.fresh" not in event["uses"] and "res.disk" not in event["uses"], f"{event['uses']}")
        check("fs.write.scope" in event["uses"] and "home.persistent" in event["caveats"], f"{event}")


if __name__ == "__main__":
    main()
