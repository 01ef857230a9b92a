"""libcloche as a stranger meets it: installed somewhere, found by pkg-config, compiled against, run."""
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from lib import BUILD, SOURCE, case, check, equal, main  # noqa: E402

CC = os.environ["CLOCHE_CC"].split()
SANITIZE = [f"-fsanitize={os.environ['CLOCHE_SANITIZE']}"] if (
    os.environ["CLOCHE_SANITIZE"] != "none") else []
PLACE = tempfile.TemporaryDirectory(prefix="cloche-lib-")
ROOT = PLACE.name


def call(*words, env=None, code=0):
    done = subprocess.run(words, capture_output=True, env=env, timeout=120)
    out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    equal(done.returncode, code, f"{words[0]}: {err[-2000:]}")
    return out


def find(name):
    for directory, _, names in os.walk(ROOT):
        if name in names:
            return os.path.join(directory, name)
    raise AssertionError(f"{name} was not installed")


def ask_pkg_config(*words):
    directory = os.path.dirname(find("cloche.pc"))
    system = "/usr/lib/x86_64-linux-gnu/pkgconfig:/usr/lib/pkgconfig:/usr/share/pkgconfig"
    prefix = call("pkg-config", "--variable=prefix", "cloche",
                  env={**os.environ, "PKG_CONFIG_LIBDIR": f"{directory}:{system}"}).strip()
    # The file names the final prefix; here that lies below ROOT, and the other libraries do not.
    return call("pkg-config", f"--define-variable=prefix={ROOT}{prefix}", *words, "cloche",
                env={**os.environ, "PKG_CONFIG_LIBDIR": f"{directory}:{system}"}).split()


def build(source, output, *flags):
    call(*CC, "-std=c17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", *SANITIZE, "-o", output,
         source, *flags)
    return output


def environment():
    return {**os.environ, "LD_LIBRARY_PATH": os.path.dirname(find("libcloche.so.0"))}


@case("it installs")
def _():
    call("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--tags", "libcloche,devel",
         "--destdir", ROOT)
    for name in ("cloche.h", "cloche.pc", "libcloche.so", "libcloche.so.0", "libcloche.a"):
        find(name)


@case("the shared library exports what the header declares, versioned, and nothing else")
def _():
    with open(find("cloche.h")) as file:
        declared = set(re.findall(r"\b(cloche_\w+)\(", file.read()))
    lines = call("nm", "-D", "--defined-only", find("libcloche.so.0")).splitlines()
    exported = {line.split()[2] for line in lines if line.split()[1] != "A"}
    equal(exported, {f"{name}@@CLOCHE_0.1" for name in declared}, "symbols")


@case("the static library shows nothing else either")
def _():
    lines = call("nm", "-g", "--defined-only", find("libcloche.a")).splitlines()
    names = {line.split()[2] for line in lines if len(line.split()) == 3}
    equal([name for name in names if not name.startswith("cloche_")], [], "other names")


@case("the example of 40 lines compiles, prints its plan and runs it")
def _():
    source = os.path.join(SOURCE, "docs", "examples", "run.c")
    with open(source) as file:
        check(len(file.readlines()) <= 40, "more than 40 lines")
    program = build(source, os.path.join(ROOT, "run"), *ask_pkg_config("--cflags", "--libs"))
    out = call(program, "echo in; ls /proc/net/dev >/dev/null && exit 7", env=environment(), code=7)
    check("net.disable" in out and out.rstrip().endswith("in"), out)
    call(program, "exit 0", env=environment())


@case("it links statically")
def _():
    flags = ask_pkg_config("--cflags", "--libs", "--static")
    flags = [find("libcloche.a") if flag == "-lcloche" else flag for flag in flags]
    program = build(os.path.join(SOURCE, "docs", "examples", "run.c"), os.path.join(ROOT, "static"),
                    *flags)
    check("libcloche" not in call("ldd", program), "linked to the shared library")
    call(program, "exit 3", code=3)


@case("threads start sandboxes at once")
def _():
    program = build(os.path.join(SOURCE, "tests", "lib", "threads.c"), os.path.join(ROOT, "threads"),
                    "-pthread", *ask_pkg_config("--cflags", "--libs"))
    call(program, env=environment())


@case("C++ can include the header")
def _():
    source = os.path.join(ROOT, "header.cc")
    with open(source, "w") as file:
        file.write("#include <cloche.h>\n")
    call(*CC, "-x", "c++", "-fsyntax-only", "-Wall", "-Werror", source,
         *ask_pkg_config("--cflags"))


if __name__ == "__main__":
    main()
