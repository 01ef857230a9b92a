"""The bundle that `cloche plan --format oci` prints, run by three runtimes: what one emitter says, each of
them does. What is the backend's own to fill in ({dir}, {id}) and its steps are filled in here by hand."""
import base64
import json
import os
import resource
import shutil
import stat
import subprocess
import sys
import tempfile
import uuid

BUILD = os.environ["CLOCHE_BUILD"]
CLOCHE = os.path.join(BUILD, "cli", "cloche")
CHECK = ("id -u; cat /proc/self/status | sed -n 's/^CapEff:\\t//p'; hostname; "
         "echo x 2>/dev/null >/usr/x && echo wrote; cat /etc/shadow 2>/dev/null; "
         "echo y >/tmp/y && cat /tmp/y; ulimit -c; exit 9")
# crun does not start where both versions of control groups have controllers: it is not shown the second.
HIDE = "! mountpoint -q /sys/fs/cgroup/unified || umount -l /sys/fs/cgroup/unified; exec crun \"$@\""
SLOW = HIDE.replace("exec crun", "exec strace -qq -e trace=write -e inject=write:delay_enter=100000 -o /dev/null crun")
LATE = ["unshare", "--mount", "sh", "-c", SLOW, "crun", "--cgroup-manager=disabled"]
RUNTIMES = {
    "crun": ["unshare", "--mount", "sh", "-c", HIDE, "crun", "--cgroup-manager=disabled"],
    "runc": ["runc"],
    "runsc": ["runsc", "--platform=ptrace", "--network=none", "--ignore-cgroups=true"],
}


def plan(*words):
    command = [CLOCHE, "plan", "--backend=gvisor", "--readable=/usr", "--hostname=bundle", "--write=ephemeral"]
    def ask(*more):
        return subprocess.run([*command, *more, "--", *words], check=True, capture_output=True, text=True).stdout
    return ask("--format=oci"), json.loads(ask("--json"))


def make(directory, name, oci, whole):
    """The directory as the keeper makes it: files, then the steps before the start."""
    def fill(text):
        return text.replace("{dir}", directory).replace("{id}", name).replace("{brace}", "{")
    for file in whole["files"]:
        path, mode = os.path.join(directory, file["name"]), int(file["mode"], 8)
        if stat.S_ISDIR(mode):
            os.mkdir(path, stat.S_IMODE(mode))
            continue
        binary = file.get("encoding") == "base64"
        with open(path, "wb") as out:
            out.write(base64.b64decode(file["content"]) if binary else fill(file["content"]).encode())
    for step in whole["steps"]:
        if step["when"] == "before":
            subprocess.run([fill(word) for word in step["argv"]], check=True)
    config = json.loads(fill(oci))
    # The limits are the keeper's around runsc; these runtimes would put them into the host's groups.
    config["linux"]["resources"] = {}
    config["linux"].pop("cgroupsPath")
    # Nor may they raise what this host itself is limited to, as gVisor's own kernel may.
    for limit in config["process"]["rlimits"]:
        most = resource.getrlimit(getattr(resource, limit["type"]))[1]
        if most != resource.RLIM_INFINITY:
            limit["hard"] = min(limit["hard"], most)
            limit["soft"] = min(limit["soft"], most)
    # Crun gives up ("writing to pipe: Broken pipe") when a hook is over before it was told the state, and
    # touch reads nothing. Runsc, for which the hook is, does not mind.
    for hook in config["hooks"]["poststart"]:
        hook["path"] = "/bin/dd"
        hook["args"] = ["/bin/dd", "status=none", "of=" + hook["args"][-1]]
    with open(os.path.join(directory, "config.json"), "w", encoding="utf-8") as out:
        json.dump(config, out)
    return config


def run(runtime, oci, whole):
    """Exit code, output, errors."""
    name = "cloche-oci-" + uuid.uuid4().hex[:12]
    directory = tempfile.mkdtemp(prefix="cloche-oci.", dir="/srv")
    os.chmod(directory, 0o755)
    command = [*RUNTIMES[runtime], "--root", os.path.join(directory, "state")]
    try:
        make(directory, name, oci, whole)
        result = subprocess.run([*command, "run", "--bundle", directory, name], stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, timeout=60, check=False)
        return result.returncode, result.stdout, result.stderr
    finally:
        subprocess.run([*command, "delete", "--force", name], capture_output=True, check=False, timeout=60)
        shutil.rmtree(directory)


def main():
    if os.geteuid() != 0:
        print("1..0 # SKIP runtimes as root are what is tried")
        return 77
    print("1..%d" % (2 * len(RUNTIMES) + 1))
    good = True
    true, check = plan("/bin/true"), plan("/bin/sh", "-c", CHECK)
    uid = json.loads(true[0])["process"]["user"]["uid"]
    expected = (9, f"{uid}\n{0:016x}\nbundle\ny\n0\n")
    for number, runtime in enumerate(RUNTIMES):
        ended = run(runtime, *true)
        seen = run(runtime, *check)
        for offset, name, fine, what in ((1, "runs /bin/true", ended[0] == 0, ended),
                                         (2, "does what the bundle says", seen[:2] == expected, seen)):
            print("%s %d - %s %s" % ("ok" if fine else "not ok", 2 * number + offset, runtime, name))
            good &= fine
            if not fine:
                print("# " + repr(what))
    # With touch for a hook this fails each time, with "writing to pipe: Broken pipe".
    RUNTIMES["crun"] = LATE
    late = run("crun", *true)
    print("%s %d - crun tells the hook late" % ("not ok" if late[0] else "ok", 2 * len(RUNTIMES) + 1))
    if late[0]:
        print("# " + repr(late))
    return 0 if good and late[0] == 0 else 1


sys.exit(main())
