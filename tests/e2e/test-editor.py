#!/usr/bin/python3
"""What VS Code Remote-SSH does with stock ssh, replayed: a script on sh's standard input installs a server below
the home directory, starts it apart, and prints where it listens; the editor speaks to it through -D. The profile is
docs/examples/editor.yaml. The editor's own server is not here: a small one of Python's stands for it."""
import concurrent.futures
import os
import re

import yaml

from lib import SOURCE, Cloche, Skip, case, check, equal, eventually, finish, free_port, main, read_line, run, sandbox_processes

MARK = "8c2f51ab90d7"
BODY = 3 << 20
# Answers with who and where it is, with many bytes, or with what a program that it starts says.
PROGRAM = f"""
import http.server, os, subprocess
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        what = self.path.strip("/")
        data = (b"x" * {BODY} if what == "many" else
                subprocess.run(["sh", "-c", "stty size; pwd"], capture_output=True).stdout if what == "shell" else
                f"{{os.getpid()}} {{os.readlink('/proc/self/ns/net')}}".encode())
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    def log_message(self, *arguments):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
print("listens on", server.server_port, flush=True)
server.serve_forever()
"""
# What the editor sends. It looks for a server that runs, for one that is installed, and waits for the editor to
# bring one where there is no network.
SCRIPT = f"""
echo "{MARK}: running"
place=$HOME/.vscode-server/bin/0123abcd
mkdir -p $place || exit 1
if [ -e $place.pid ] && ps -o args= -p $(cat $place.pid) | grep -q $place; then
    echo "server==runs=="
else
    if [ -e $place/server ]; then
        echo "server==installed=="
    else
        echo "{MARK}:trigger_server_download"
        until [ -e $place.tar.done ]; do sleep 0.1; done
        tar -xf $place.tar -C $place && rm $place.tar $place.tar.done || exit 1
        echo "server==unpacked=="
    fi
    nohup setsid python3 $place/server >$place.log 2>&1 </dev/null &
    echo $! >$place.pid
    until grep -q listens $place.log; do sleep 0.1; done
fi
echo "listeningOn==$(sed 's/.* //' $place.log)=="
echo "net==$(readlink /proc/self/ns/net)=="
echo "{MARK}: end"
"""


class Editor:
    """A connection as the editor has it: sh on one side, SOCKS on the other."""

    def __init__(self, server):
        self.server, self.port, self.said = server, free_port(), {}
        self.client = server.open("sh", "-T", "-D", str(self.port), "-o", "ExitOnForwardFailure=yes")
        self.client.stdin.write(SCRIPT.encode())

    def __enter__(self):
        return self

    def read(self, until):
        """What the script says up to a line."""
        line = ""
        while line != f"{MARK}{until}":
            raw = read_line(self.client.stdout, 30)
            check(raw, "the script said no more")
            line = raw.decode().strip()
            found = re.fullmatch(r"(\w+)==(.*)==", line)
            if found:
                self.said[found.group(1)] = found.group(2)
        return self.said

    def fetch(self, path="", host="127.0.0.1", port=None):
        return run(["curl", "-sS", "--noproxy", "", "--socks5-hostname", f"127.0.0.1:{self.port}", "--max-time", "60",
                    f"http://{host}:{port or self.said['listeningOn']}/{path}"])

    def __exit__(self, *unused):
        finish(self.client)


def serve(**more):
    if os.geteuid() != 0:
        raise Skip("homes with an owner of their own want root")
    with open(os.path.join(SOURCE, "docs", "examples", "editor.yaml")) as example:
        profile = yaml.safe_load(example)["profiles"]["editor"]
    server = Cloche(profiles={"lab": {**profile, **more}})
    server.settings["homes"] = server.path("homes")
    return server


def bring(server):
    """The editor has fetched the server itself, and copies it by a connection besides."""
    server.write("server", PROGRAM)
    equal(run(["tar", "-cf", server.path("brought"), "-C", server.directory, "server"]).code, 0, "tar")
    server.write("done", "")
    argv = server.ssh_argv()
    options = [word if word != "-p" else "-P" for word in argv[1:argv.index("-l")]]
    for name, there in (("brought", "tar"), ("done", "tar.done")):
        result = run(["scp", *options, server.path(name),
                      f"lab@127.0.0.1:.vscode-server/bin/0123abcd.{there}"])
        equal(result.code, 0, f"scp: {result}")


@case("a server is brought, unpacked, started apart and reached through SOCKS; the next connection finds it installed")
def installed():
    with serve() as server:
        with Editor(server) as first:
            first.read(":trigger_server_download")
            bring(server)
            said = first.read(": end")
            equal(said["server"], "unpacked", "a home that was empty")
            answer = first.fetch()
            equal(answer.text.split()[-1], said["net"], f"the server's network is the script's: {answer}")
            equal(first.fetch(host="localhost").text, answer.text, "by its name")
            # The script's shell takes more, and what the server starts is in the sandbox too.
            first.client.stdin.write(b"echo $HOME; ls -d ~/.vscode-server\n")
            equal(read_line(first.client.stdout), b"/home/lab\n", "the home")
            equal(read_line(first.client.stdout), b"/home/lab/.vscode-server\n", "the place")
            equal(first.fetch("shell").text, "/home/lab", "a program of the server's")
        eventually(lambda: not sandbox_processes(server), "the server's end with its connection")
        with Editor(server) as second:
            said = second.read(": end")
            equal(said["server"], "installed", "the second connection")
            check(said["net"] != first.said["net"], "one network for two connections")
            equal(second.fetch().text.split()[-1], said["net"], "the server's network")


@case("many requests at once, and another window's at the same time, each reach their own server")
def windows():
    with serve() as server:
        with Editor(server) as one:
            one.read(":trigger_server_download")
            bring(server)
            one.read(": end")
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                many = [pool.submit(one.fetch, "many") for _ in range(8)]
                equal({len(each.result().out) for each in many}, {BODY}, "bodies")
            with Editor(server) as two:
                equal(two.read(": end")["server"], "installed", "the other window")
                for window in (one, two):
                    equal(window.fetch().text.split()[-1], window.said["net"], "whose server answers")
            equal(one.fetch().text.split()[-1], one.said["net"], "after the other window has gone")


main()
