"""Takes the network from this process and all that it starts, before it loads what others have written.

A seccomp filter refuses new sockets: a NetworkPolicy knows pods, not containers, and the download of the same pod needs
the network. Every process may restrict itself so, without any right; the filter can't be taken off again.
Failure: False where the kernel or the machine has none (the caller says so); nothing is raised.
"""

import ctypes
import errno
import platform
import resource
import struct

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_JMP|JGE|K, BPF_RET|K
_NUMBER, _ARCHITECTURE = 0, 4
"""Offsets in struct seccomp_data."""
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_X32 = 0x40000000
"""Numbers from here on are those of the x32 interface, which would be a way around."""

_IO_URING_SETUP, _PIDFD_GETFD = 425, 438
_MACHINES = {
    # audit architecture; socket, ptrace, process_vm_readv, process_vm_writev; linux/audit.h and asm/unistd.h
    "x86_64": (0xC000003E, (41, 101, 310, 311, _IO_URING_SETUP, _PIDFD_GETFD)),
    "aarch64": (0xC00000B7, (198, 117, 270, 271, _IO_URING_SETUP, _PIDFD_GETFD)),
}


def enter() -> bool:
    """Refuse sockets (EACCES) and the reading of other processes' memory; whether the kernel does so now."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    machine = _MACHINES.get(platform.machine())
    if machine is None or struct.calcsize("P") != 8:
        return False
    code = _program(*machine)
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer)))
    number = [ctypes.c_ulong(each) for each in (1, 0, 0, 0)]
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, *number) != 0:
        return False
    return bool(libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_MODE_FILTER), program, *number[2:]) == 0)


def _program(architecture: int, refused: tuple[int, ...]) -> bytes:
    """The filter as struct sock_filter[]. Every jump to the end is to the refusal, which is the last instruction."""
    checks = [(_AT_LEAST, _X32), *((_EQUAL, number) for number in refused)]
    body = [(_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 0, len(checks) + 2, architecture), (_LOAD, 0, 0, _NUMBER)]
    for place, (kind, value) in enumerate(checks):
        body.append((kind, len(checks) - place, 0, value))
    body += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _ERRNO | errno.EACCES)]
    return b"".join(struct.pack("HBBI", *instruction) for instruction in body)
