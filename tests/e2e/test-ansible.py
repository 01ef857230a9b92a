#!/usr/bin/python3
"""Ansible over stock ssh, as it comes and with pipelining: what it needs of a profile, and what a user reads
where it does not get that. docs/interoperability.md says the same in words."""
import os
import shutil

from lib import Cloche, Skip, case, check, equal, main, run

SHARED = {"readable": ["/usr"], "write": "ephemeral", "pids": 64, "memory": "256M", "share": "connection"}
APART = {**SHARED, "share": "session"}
LASTING = {**APART, "readable": ["/usr", "/bin", "/sbin", "/lib", "/lib64"], "write": "overlay",
           "home_mode": "persistent"}
PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - command: id -un
      register: who
    - copy: {src: given, dest: ~/copied, mode: "0640"}
    - template: {src: greeting.j2, dest: ~/greeting}
    - file: {path: ~/made, state: directory}
    - shell: cat ~/copied ~/greeting; stat -c '%a %F' ~/copied ~/made
      register: seen
    - debug: {msg: "{{ who.stdout }}: {{ seen.stdout_lines | join('; ') }}"}
"""
SEEN = '"msg": "lab: by copy; hello from box; 640 regular file; 755 directory"'
PING = """
- hosts: all
  gather_facts: false
  tasks:
    - ping:
      register: seen
    - debug: {msg: "{{ seen.ping }}"}
"""
# What needs one command a task, and the proof that the tasks do not meet.
ALONE = """
- hosts: all
  gather_facts: false
  tasks:
    - ping:
    - file: {path: ~/made, state: directory}
    - shell: ls -A ~ | wc -l
      register: seen
    - debug: {msg: "{{ seen.stdout }} files"}
"""


class Ansible:
    """A server, and a controller whose files are all below the server's directory."""

    def __init__(self, profile, **options):
        if not shutil.which("ansible-playbook"):
            raise AssertionError("ansible-core is missing; ./dev test installs it")
        if profile is LASTING and os.geteuid() != 0:
            raise Skip("homes with an owner of their own want root")
        self.server = Cloche(profiles={"lab": profile})
        if profile is LASTING:
            self.server.settings["homes"] = self.server.path("homes")
        self.options = options

    def __enter__(self):
        server = self.server.__enter__()
        argv = server.ssh_argv()
        given = " ".join(argv[argv.index("-o"):argv.index("-i")])
        # The paths of masters' sockets are short, or they would not fit.
        for name in ("ansible", "cp"):
            os.mkdir(server.path(name), 0o700)
        self.environment = {
            **os.environ, "HOME": server.path("ansible"), "ANSIBLE_HOME": server.path("ansible"),
            "ANSIBLE_CONFIG": server.write("ansible.cfg", ""), "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": server.path("cp"), "ANSIBLE_DEPRECATION_WARNINGS": "0",
            **{name: str(value) for name, value in self.options.items()}}
        server.write("inventory", f"box ansible_host=127.0.0.1 ansible_port={server.port} ansible_user=lab "
                     f"ansible_ssh_private_key_file={server.key} ansible_python_interpreter=/usr/bin/python3 "
                     f"ansible_ssh_common_args='{given}'\n")
        server.write("given", "by copy\n")
        server.write("greeting.j2", "hello from {{ inventory_hostname }}\n")
        return self

    def play(self, text):
        path = self.server.write("play.yml", text)
        return run(["ansible-playbook", "-i", self.server.path("inventory"), path], env=self.environment)

    def __exit__(self, *error):
        for name in os.listdir(self.server.path("cp")):
            run(["ssh", "-F", "none", "-S", os.path.join(self.server.path("cp"), name), "-O", "exit", "box"])
        return self.server.__exit__(*error)


def worked(result, seen):
    check(result.code == 0 and seen in result.text, f"{result}")


def audited(server, event):
    return [line for line in server.audit() if line["event"] == event]


@case("as it comes, on a profile with share: connection: modules, files and templates, over one connection")
def shared():
    with Ansible(SHARED) as ansible:
        worked(ansible.play(PLAY), SEEN)
        events = audited(ansible.server, "session_start")
        equal(len({event["conn"] for event in events}), 1, "connections")
        equal({event["kind"] for event in events}, {"exec", "subsystem"}, "kinds: files went by sftp")
        equal(len({event["sandbox"] for event in audited(ansible.server, "session_end")}), 1, "sandboxes")


@case("as it comes, where homes last: what it transfers is there for the next command")
def lasting():
    with Ansible(LASTING) as ansible:
        worked(ansible.play(PING), '"msg": "pong"')
        check(len({event["sandbox"] for event in audited(ansible.server, "session_end")}) > 1, "one sandbox")


@case("with pipelining, in a sandbox a command: what transfers no file works, and tasks do not meet")
def pipelining():
    with Ansible(APART, ANSIBLE_PIPELINING=1) as ansible:
        worked(ansible.play(ALONE), '"msg": "0 files"')


@case("as it comes, in a sandbox a command: it fails at once and names the file that is gone")
def apart():
    with Ansible(APART) as ansible:
        result = ansible.play(PING)
        check(result.code == 2 and "failed=1" in result.text and "/.ansible/tmp/" in result.text and
              "No such file or directory" in result.text, f"{result}")


main()
