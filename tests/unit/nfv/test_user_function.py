"""A user's function: its filters of system calls and frames, run as the kernel would, and signs of life."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nfv.probes import only
from nfv.python_function import seccomp
from nfv.python_function.life import LOOK, STUCK, Progress, Watch, script_line
from wire.ethertype import PROBE

MACHINES = list(seccomp.ARCHITECTURES)
AARCH64, X86 = "aarch64", "x86_64"


def run(program: list[tuple[int, int, int, int]], data: bytes, order: str) -> int:
    """Classic BPF as far as these programs use it (bpf(4)); jumps go forward, so it ends."""
    at = value = 0
    while True:
        code, true, false, k = program[at]
        at += 1
        if code == 0x06:
            return k
        if code == 0x20:
            value = struct.unpack_from(f"{order}I", data, k)[0]
        elif code == 0x28:
            value = struct.unpack_from(">H", data, k)[0]
        else:
            at += true if (value == k if code == 0x15 else value >= k) else false


def answer(machine: str, number: int, *arguments: int, by: str | None = None) -> int:
    raw = seccomp.allowed_filter(machine)
    program = [struct.unpack_from("=HBBI", raw, at) for at in range(0, len(raw), 8)]
    padded = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    data = struct.pack("<IIQ6Q", number, seccomp.ARCHITECTURES[by or machine], 0, *padded)
    return run(program, data, "<")


@pytest.mark.parametrize("machine", MACHINES)
@given(number=st.integers(0, 2**32 - 1) | st.integers(0, 500), argument=st.integers(0, 2**64 - 1))
def test_what_is_not_named_is_refused(machine: str, number: int, argument: int) -> None:
    column = 0 if machine == X86 else 1
    named = {numbers[column] for numbers in seccomp.ALLOWED.values()}
    free = {*named, seccomp.SENDTO[column], seccomp.FCNTL[column]}
    given_ = answer(machine, number, argument)
    assert (given_ == seccomp.ALLOW) <= (number in free)
    if number in named:
        assert given_ == seccomp.ALLOW
    if number not in free:
        assert given_ == (seccomp.ENOSYS if seccomp.NEWEST < number < seccomp.X32 else seccomp.EPERM)


@pytest.mark.parametrize("machine", MACHINES)
def test_dangerous_calls_are_none_of_those_named(machine: str) -> None:
    forbidden = {
        X86: {"socket": 41, "connect": 42, "sendmsg": 46, "bind": 49, "clone": 56, "execve": 59, "kill": 62,
              "ptrace": 101, "mount": 165, "ioctl": 16, "prctl": 157, "bpf": 321, "memfd_create": 319,
              "io_uring_setup": 425, "setsockopt": 54, "prlimit64": 302, "tgkill": 234},
        AARCH64: {"socket": 198, "connect": 203, "sendmsg": 211, "bind": 200, "clone": 220, "execve": 221,
                  "kill": 129, "ptrace": 117, "mount": 40, "ioctl": 29, "prctl": 167, "bpf": 280,
                  "memfd_create": 279, "io_uring_setup": 425, "setsockopt": 208, "prlimit64": 261,
                  "tgkill": 131},
    }  # fmt: skip
    for number in forbidden[X86 if machine == X86 else AARCH64].values():
        assert answer(machine, number) == seccomp.EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_with_arguments(machine: str) -> None:
    column = 0 if machine == X86 else 1
    send, fcntl = seccomp.SENDTO[column], seccomp.FCNTL[column]
    assert answer(machine, send, 3, 1, 60, 0, 0, 0) == seccomp.ALLOW
    assert answer(machine, send, 3, 1, 60, 0, 4096, 20) == seccomp.EPERM  # to another device
    assert answer(machine, send, 3, 1, 60, 0, 1 << 40, 20) == seccomp.EPERM
    assert answer(machine, fcntl, 3, 1) == seccomp.ALLOW
    assert answer(machine, fcntl, 3, 4) == seccomp.EPERM  # F_SETFL: the ports are others', too
    assert answer(machine, fcntl, 3, 8) == seccomp.EPERM  # F_SETOWN


@pytest.mark.parametrize("machine", MACHINES)
def test_another_architectures_call_ends_the_process(machine: str) -> None:
    other = next(known for known in MACHINES if known != machine)
    assert answer(machine, 0, by=other) == seccomp.KILL


@pytest.mark.parametrize(("machine", "pointer"), [("mips", 8), ("i686", 4), ("x86_64", 4), ("", 8)])
def test_an_unknown_machine_gets_no_filter_and_so_no_function(machine: str, pointer: int) -> None:
    with pytest.raises(seccomp.Unfiltered, match="can't be filtered"):
        seccomp.allowed_filter(machine, pointer)
    assert issubclass(seccomp.Unfiltered, OSError)  # which the worker's start takes for "can't be locked in"


@given(st.integers(0, 0xFFFF))
def test_probes_and_packets_part(ethertype: int) -> None:
    frame = bytes(12) + ethertype.to_bytes(2, "big") + bytes(46)
    taken = [bool(run(only(probes), frame, ">")) for probes in (True, False)]
    assert taken == [ethertype == PROBE, ethertype != PROBE]


def test_progress_is_seen() -> None:
    progress = Progress()
    before = progress.read()
    progress.step()
    assert progress.read() != before


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_who_stands_still_for_too_long_is_stuck(moves: list[bool]) -> None:
    watch, number, still = Watch(), 0, 0.0
    for look, moved in enumerate([True, *moves]):
        number += moved
        still = 0.0 if moved else still + LOOK
        assert watch.stuck(number, look * LOOK) == (still > STUCK)


def test_a_machine_that_stood_still_is_no_worker_that_does() -> None:
    watch = Watch()
    assert not watch.stuck(1, 0.0)
    assert not watch.stuck(1, 1000.0)


def test_the_scripts_own_line_is_found() -> None:
    dump = (
        'Current thread 0x7f (most recent call first):\n  File "/lib/re.py", line 9 in match\n'
        '  File "mine.py", line 7 in helper\n  File "mine.py", line 12 in process\n'
    )
    assert script_line(dump, "mine.py") == "line 7"
    assert script_line(dump, "other.py") is None
    assert script_line('File "mine.py", line x', "mine.py") is None
