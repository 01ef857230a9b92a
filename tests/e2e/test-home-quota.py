#!/usr/bin/python3
"""Home directories with a limit, where the file system keeps none: what is counted, who is ended, and the way out."""
import os
import time

from lib import Cloche, Skip, case, check, equal, eventually, finish, main, read_line, run

READABLE = ["/usr", "/bin", "/sbin", "/lib", "/lib64"]
LIMITED = {"readable": READABLE, "write": "overlay", "home_mode": "persistent", "home_quota": "2M", "pids": 64,
           "memory": "256M"}
# Writes 4 MiB and waits to be ended; comes to its end where nobody does.
FILL = "head -c 4M /dev/zero >big; sync big; echo full; sleep {}; echo went-on"
PATIENT = 100  # a count may be a minute late where others make room on the disk


def limited(**profile):
    if os.geteuid() != 0:
        raise Skip("homes with an owner of their own want root")
    server = Cloche(profiles={"lab": {**LIMITED, **profile}})
    keys = [server.path("authorized_keys")]
    server.users = {name: {"profile": "lab", "authorized_keys": keys} for name in ("ann", "bob")}
    server.settings["homes"] = server.path("homes")
    return server


def says(server, command, user="ann"):
    return server.ssh(command, user=user, key=server.key, timeout=PATIENT + 50)


def is_ended(result, what="the session"):
    check(b"went-on" not in result.out and b"home directory is full" in result.err, f"{what} was not ended: {result}")


def limit_hits(server):
    return [event for event in server.audit() if event["event"] == "limit_hit" and event["limit"] == "home_quota"]


@case("over its limit a session ends, the next one can only remove files, and the one after that writes again")
def over():
    with limited() as server:
        is_ended(says(server, "echo kept >kept; mkdir d; touch d/f; " + FILL.format(PATIENT)))
        check(limit_hits(server), "the audit log does not know")
        result = says(server, """
            for try in 'echo x >new' 'echo x >>kept' ': >kept' 'mkdir e' 'ln kept l' 'ln -s kept s' 'mv kept moved' \\
                'truncate -s 0 big' 'mkfifo p' 'dd if=/dev/zero of=big bs=1 count=1 conv=notrunc' \\
                'python3 -c "import os, sys; os.setxattr(sys.argv[1], sys.argv[2], bytes(99))" kept user.x'; do
                sh -c "$try" 2>/dev/null && echo "could: $try"
            done
            cat kept; echo x >/tmp/x && cat /tmp/x; rm big && rm -r d; ls""")
        equal(result.text, "kept\nx\nkept", "what the session could do")
        check(b"is full, 4." in result.err and b"M of 2.0M" in result.err and b"remove files" in result.err, f"{result}")
        result = says(server, "echo x >new; cat new kept")
        equal(result.text, "x\nkept", "below the limit again")
        check(b"full" not in result.err, f"a word too much: {result}")


@case("without the limit the same session goes on: it is the limit that ends it")
def without():
    with limited(home_quota="0") as server:
        result = says(server, FILL.format(2.5))
        check(b"went-on" in result.out and b"full" not in result.err, f"{result}")


@case("two sessions at once end together; another user's goes on, and so does one that cannot write there")
def together():
    with limited() as server:
        other = server.open("echo in; sleep 200; echo went-on", user="ann", key=server.key)
        bobs = server.session(user="bob", key=server.key)
        equal(read_line(other.stdout), b"in\n", "the other session")
        is_ended(says(server, FILL.format(PATIENT)), "the one that writes")
        eventually(lambda: other.poll() is not None, "an end of the other", PATIENT)
        check(b"home directory is full" in other.stderr.read(), "the other was not told")
        finish(other)
        remover = server.session(user="ann", key=server.key)
        check(b"full" not in says(server, "echo x >new", user="bob").err, "bob's is full")
        time.sleep(1.5)
        for client in (bobs, remover):
            client.stdin.write(b"still\n")
            equal(read_line(client.stdout), b"still\n", "a session that has done nothing")
            finish(client)


@case("holes and further names cost nothing, filled holes do, and thousands of small files count as files")
def tricks():
    with limited() as server:
        result = says(server, "truncate -s 900M sparse; head -c 1M /dev/zero >one; "
                      "for i in $(seq 50); do ln one name$i; done; sync; sleep 2.2; echo went-on")
        check(b"went-on" in result.out and b"full" not in result.err, f"holes and names: {result}")
        is_ended(says(server, f"dd if=/dev/zero of=sparse bs=1M seek=400 count=3 conv=notrunc,fsync 2>/dev/null; "
                      f"sleep {PATIENT}; echo went-on"), "filled holes")
        says(server, "rm sparse one name*")
        says(server, "mkdir many && cd many && touch $(seq 1100)")
        check(b"too many files" in says(server, "rm -r many").err, "it is not said what is too much")


@case("a hidden directory, a link to elsewhere and a file that the operator put there change nothing")
def places():
    with limited() as server:
        says(server, "ln -s /usr usr; ln -s .. up; mkdir shut; head -c 1M /dev/zero >shut/f; chmod 0 shut")
        path = server.path("homes/ann")
        equal(says(server, "echo in").err, b"", "links count as links")
        with open(os.path.join(path, "of-root"), "wb") as file:
            file.write(bytes(1 << 21))
            os.fsync(file.fileno())
        check(b"is full" in says(server, "echo in").err, "what root has put there is not counted")
        os.unlink(os.path.join(path, "of-root"))
        equal(says(server, "echo in").err, b"", "full for ever")


@case("what a session leaves running in a shared sandbox is counted, and the connection ends with it")
def shared():
    with limited(share="connection") as server, server.master(user="ann", key=server.key) as mux:
        equal(server.ssh("setsid sh -c 'sleep 1; head -c 4M /dev/zero >big; sync big; sleep 60' >/dev/null 2>&1 "
                         "</dev/null & echo ok", *mux, user="ann").text, "ok", "the session that leaves it")
        eventually(lambda: server.clients[0].poll() is not None, "an end of the connection", PATIENT)
        check(b"is full" in says(server, "rm big").err, "the next one was not told")
        equal(says(server, "ls; echo x >new; cat new").text, "x", "after that")


@case("-t says which kind of limit it is, and a limit that is none is refused")
def told():
    with limited() as server:
        result = run([server.program, "-t", "-f", server.configure()])
        check(b"the limit of its home directories is counted while sessions run" in result.out + result.err, f"{result}")
    server = limited(home_quota="much")
    try:
        server.start()
        raise AssertionError("it was taken")
    except AssertionError as error:
        check("'much' is not a size such as 512M or 10G" in str(error), f"{error}")
    finally:
        server.remove()


if __name__ == "__main__":
    main()
