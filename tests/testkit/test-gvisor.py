"""The gvisor backend, measured: what its plan declares is observed, and a plan without a layer is caught."""
import os
import subprocess
import sys

HOST = os.path.join(os.environ["CLOCHE_BUILD"], "testkit", "cloche-testkit-host")


def measure(*arguments):
    command = [HOST, "--target", "native", "--backend", "gvisor", *arguments]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                            timeout=120)
    return result.returncode, result.stdout + result.stderr


def check(number, name, good, text):
    print("%s %d - %s" % ("ok" if good else "not ok", number, name))
    if not good:
        print("".join("# %s\n" % line for line in text.splitlines()))
    return good


def main():
    if os.geteuid() != 0:
        print("1..0 # SKIP takes root, as the canaries do")
        return 0
    print("1..3")
    code, text = measure("--readable", "/usr", "--read-deny", "/root/.none", "--timeout", "60")
    good = check(1, "what is declared is observed", code == 0, text)
    line = next((item for item in text.splitlines() if item.split()[:1] == ["kernel.isolation"]), "")
    good &= check(2, "kernel.isolation is kept by what the host sees", "kept" in line and "PASS" in line,
                  text)
    code, text = measure("--readable", "/usr", "--read-deny", "/root/.none", "--without",
                         "read_deny")
    good &= check(3, "a plan without its covers is caught", code == 1, text)
    return 0 if good else 1


sys.exit(main())
