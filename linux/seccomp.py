"""A filter of system calls (seccomp(2)) that answers one call with success, and does nothing."""

from __future__ import annotations

import ctypes
import os
import struct

from linux import syscalls

_ARCHITECTURES = {"x86_64": (0xC000003E, 126), "aarch64": (0xC00000B7, 91)}
"""Machine of uname(2) -> its number (linux/audit.h), and that of capset(2) there."""
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06  # linux/bpf_common.h
_NUMBER, _ARCHITECTURE = 0, 4  # offsets in struct seccomp_data
_DONE, _ALLOW = 0x00050000, 0x7FFF0000  # SECCOMP_RET_ERRNO with the error 0, SECCOMP_RET_ALLOW
_MODE_FILTER = 2


def keeps_capabilities() -> bool:
    """Whether ``keep_capabilities`` knows this machine's processor."""
    return os.uname().machine in _ARCHITECTURES


def keep_capabilities() -> None:
    """Let all programs that the calling process becomes or starts keep the capabilities that they have:
    capset(2) changes nothing from now on, and reports success. Raises OSError."""
    architecture, capset = _ARCHITECTURES[os.uname().machine]
    instructions = (
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 0, 3, architecture),
        (_LOAD, 0, 0, _NUMBER),
        (_EQUAL, 0, 1, capset),
        (_RETURN, 0, 0, _DONE),
        (_RETURN, 0, 0, _ALLOW),
    )
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *words) for words in instructions))
    # struct sock_fprog
    filter = struct.pack("@HP", len(instructions), ctypes.addressof(program))
    syscalls.forbid_new_privileges()
    syscalls.prctl(syscalls.PR_SET_SECCOMP, _MODE_FILTER, filter)
