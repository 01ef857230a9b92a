"""Makes another process try a system call, by ptrace, to see what its own filter and rights say.

Only for x86-64 and processes this test started."""
import ctypes
import os
import signal

ATTACH, DETACH, PEEK, POKE, GETREGS, SETREGS, STEP = 16, 17, 1, 4, 12, 13, 9
NAMES = ("r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss "
         "fs_base gs_base ds es fs gs").split()
KILLED = "killed by the filter"

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


class Registers(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulonglong) for name in NAMES]


def ptrace(request, pid, address=0, data=0):
    ctypes.set_errno(0)
    value = libc.ptrace(request, pid, address, data)
    if value == -1 and ctypes.get_errno():
        raise OSError(ctypes.get_errno(), f"ptrace {request} of {pid}")
    return value


def call(pid, number, *arguments, text=None):
    """Has pid make system call number. text, if given, is put on its stack and its address takes
    the place of the argument "text". Returns the kernel's answer (negative errno) or KILLED."""
    ptrace(ATTACH, pid)
    _, status = os.waitpid(pid, 0x40000000)
    kept, changed = Registers(), Registers()
    ptrace(GETREGS, pid, 0, ctypes.addressof(kept))
    ctypes.memmove(ctypes.addressof(changed), ctypes.addressof(kept), ctypes.sizeof(kept))
    word = ptrace(PEEK, pid, kept.rip)
    place = (kept.rsp - 1024) & ~15
    if text is not None:
        data = (text + b"\0").ljust((len(text) + 8) // 8 * 8, b"\0")
        for offset in range(0, len(data), 8):
            ptrace(POKE, pid, place + offset, int.from_bytes(data[offset:offset + 8], "little"))
    values = [place if value == "text" else value for value in arguments]
    for name, value in zip(("rdi", "rsi", "rdx", "r10", "r8", "r9"), values + [0] * 6):
        setattr(changed, name, value & 0xffffffffffffffff)
    changed.rax, changed.orig_rax = number, 0xffffffffffffffff
    ptrace(POKE, pid, kept.rip, (word & ~0xffff) | 0x050f)
    ptrace(SETREGS, pid, 0, ctypes.addressof(changed))
    ptrace(STEP, pid)
    _, status = os.waitpid(pid, 0x40000000)
    if not os.WIFSTOPPED(status) or os.WSTOPSIG(status) == signal.SIGSYS:
        if os.WIFSTOPPED(status):
            ptrace(DETACH, pid, 0, signal.SIGKILL)
        return KILLED
    ptrace(GETREGS, pid, 0, ctypes.addressof(changed))
    answer = ctypes.c_longlong(changed.rax).value
    ptrace(POKE, pid, kept.rip, word)
    ptrace(SETREGS, pid, 0, ctypes.addressof(kept))
    ptrace(DETACH, pid)
    return answer
