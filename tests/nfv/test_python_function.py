"""A user's function: what it gets and gives, what becomes of its mistakes, and that it reaches nothing."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest

from tests.nfv.programs import python
from tests.nfv.spaces import Row, bulk, frame

PASS = "def process(packet):\n    return packet\n"
DATA = 0x88B6


def data(number: int) -> bytes:
    return frame(f"number {number}".encode().ljust(50), DATA)


def test_passes_both_ways_and_probes_unseen(quiet: Row) -> None:
    running = quiet.start(python("def process(packet, direction):\n    return packet + direction.encode()\n"))
    left, right = quiet.wires()
    left.send(data(1))
    assert right.receive() == data(1) + b"in"
    right.send(data(2))
    assert left.receive() == data(2) + b"out"
    probe = frame(b"probe".ljust(50))
    left.send(probe)
    assert right.receive() == probe
    right.send(probe)
    assert left.receive() == probe
    counters = running.event("counters", processed=2)
    assert (counters["dropped"], counters["exceptions"]) == (0, 0)


def test_none_drops_and_a_list_sends_each(quiet: Row) -> None:
    source = (
        "def process(packet):\n"
        "    if b'number 1' in packet: return None\n"
        "    if b'number 2' in packet: return [packet, bytearray(packet[:14]) + b'x' * 50]\n"
        "    return packet\n"
    )
    quiet.start(python(source))
    left, right = quiet.wires()
    for number in (1, 2, 3):
        left.send(data(number))
    assert [right.receive() for _ in range(3)] == [data(2), data(2)[:14] + b"x" * 50, data(3)]


@pytest.mark.parametrize("policy", ["open", "closed"])
def test_an_exception_is_told_and_the_policy_decides(policy: str, quiet: Row) -> None:
    source = (
        "def process(packet):\n"
        "    if b'number 1' in packet:\n"
        "        raise ValueError('no ' + 'ones')\n"
        "    return packet\n"
    )
    running = quiet.start(python(source, on_failure=policy))
    left, right = quiet.wires()
    left.send(data(1))
    left.send(data(2))
    came = [right.receive() for _ in range(2 if policy == "open" else 1)]
    assert came == ([data(1), data(2)] if policy == "open" else [data(2)])
    told = running.event("exception")["traceback"]
    assert 'File "lesson.py", line 3, in process' in told
    assert "raise ValueError('no ' + 'ones')" in told  # its line, though there is no such file
    assert told.endswith("ValueError: no ones\n")
    assert running.event("counters", exceptions=1)


def test_many_exceptions_are_counted_and_some_told(quiet: Row) -> None:
    running = quiet.start(python("def process(packet):\n    return 1 / 0\n"))
    left, _ = quiet.wires()
    began = time.monotonic()
    for number in range(300):
        left.send(data(number))
    running.event("counters", exceptions=300)
    told = sum(event["event_type"] == "exception" for event in running.seen)
    assert 1 <= told <= 5 * (time.monotonic() - began + 2)  # five a second


@pytest.mark.parametrize("returned", ["'text'", "7", "b''", "b'x' * 13", "[packet, None]", "b'x' * 9000"])
def test_what_can_not_be_sent_is_an_exception(returned: str, quiet: Row) -> None:
    source = f"def process(packet):\n    if b'number 1' in packet: return {returned}\n    return packet\n"
    running = quiet.start(python(source))
    left, right = quiet.wires()
    left.send(data(1))
    left.send(data(2))
    assert right.receive() == data(2)
    assert "process() returned" in running.event("exception")["traceback"]


def test_print_is_an_event(quiet: Row) -> None:
    running = quiet.start(python("print('loaded')\ndef process(packet):\n    print('got', len(packet))\n"))
    left, _ = quiet.wires()
    left.send(data(1))
    assert any(event.get("message") == "loaded" for event in running.seen)
    assert running.event("log", message="got 64")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def process(packet)\n", "SyntaxError"),
        ("import no_such_module\n", "no_such_module"),
        ("def other(packet): pass\n", "no function process"),
        ("import sys; sys.exit(3)\n", "SystemExit"),
        ("import os; os._exit(3)\n", "ended while it was loaded"),
    ],
)
def test_a_script_that_does_not_load_is_failed(source: str, said: str, quiet: Row) -> None:
    started = quiet.start(python(source), running=False)
    state = started.event("state")
    assert state["state"] == "failed"
    assert said in state["message"]
    assert state["message"].startswith("lesson.py")


def test_replaced_without_losing_a_packet(quiet: Row) -> None:
    running = quiet.start(python(PASS))
    left, right = quiet.wires()
    for number in range(200):
        left.send(data(number))
    changed = running.replace(python("def process(packet):\n    return packet + b'!'\n"))
    assert changed["state"] == "running" and "message" not in changed
    for number in range(200, 400):
        left.send(data(number))
    came = [right.receive() for _ in range(400)]
    assert [packet[:64] if packet else None for packet in came] == [data(number) for number in range(400)]
    assert came[-1] == data(399) + b"!"


def test_a_changed_script_that_does_not_load_changes_nothing(quiet: Row) -> None:
    running = quiet.start(python(PASS))
    state = running.replace(python("def process(packet\n"))
    assert state["state"] == "running"
    assert "SyntaxError" in state["message"]
    left, right = quiet.wires()
    left.send(data(1))
    assert right.receive() == data(1)


def test_a_script_that_never_returns_can_be_replaced(quiet: Row) -> None:
    running = quiet.start(python("def process(packet):\n    while True: pass\n"))
    left, right = quiet.wires()
    left.send(data(1))
    running.replace(python(PASS))
    left.send(data(2))
    right.until(lambda packet: packet == data(2))


@pytest.mark.parametrize("loop", ["while True: pass", "re.match('(a*)*b', 'a' * 60)"])
def test_a_script_that_never_returns_is_ended_and_its_line_told(loop: str, quiet: Row) -> None:
    source = (
        f"import re\ndef process(packet):\n    if b'number 3' in packet:\n        {loop}\n    return packet\n"
    )
    running = quiet.start(python(source))
    left, right = quiet.wires()
    for number in range(1, 4):
        left.send(data(number))
    assert [right.receive() for _ in range(2)] == [data(1), data(2)]
    state = running.event("state", state="failed")
    assert state["message"] == "lesson.py: process() did not return within 2 s (line 4)"
    assert running.process.wait(10) == 1
    assert _innermost(running.process.pid) is None  # nothing is left that burns a core


def test_probes_do_not_wait_behind_packets(quiet: Row) -> None:
    """A function that takes long for each packet is slow, not dead."""
    running = quiet.start(
        python("import time\ndef process(packet):\n    time.sleep(0.05)\n    return packet\n")
    )
    left, right = quiet.wires()
    for number in range(100):
        left.send(data(number))
    probe = frame(b"probe".ljust(50))
    left.send(probe)
    before = right.until(lambda packet: packet == probe)
    assert len(before) < 50  # of 5 s of packets that came first
    assert before[0] in (data(0), probe)
    running.event("counters", processed=100)
    assert not [event for event in running.seen if event["event_type"] == "state"][1:]


def test_a_script_that_ends_the_interpreter_has_made_a_mistake_and_no_more(quiet: Row) -> None:
    running = quiet.start(python("import sys\ndef process(packet):\n    sys.exit(3)\n", on_failure="open"))
    left, right = quiet.wires()
    left.send(data(1))
    assert right.receive() == data(1)
    assert "SystemExit: 3" in running.event("exception")["traceback"]


def test_a_worker_that_dies_is_failed(quiet: Row) -> None:
    running = quiet.start(python("import ctypes\ndef process(packet):\n    ctypes.string_at(0)\n"))
    left, _ = quiet.wires()
    left.send(data(1))
    state = running.event("state")
    assert state["state"] == "failed"
    assert "signal 11" in state["message"]


def test_bulk_tcp_comes_in_frames_of_the_mtu_with_right_checksums(row: Row) -> None:
    source = (
        "import struct\n"
        "longest = 0\n"
        "def total(data):\n"
        "    value = sum(struct.unpack(f'!{len(data) // 2}H', data + bytes(len(data) % 2)[:0]))\n"
        "    while value >> 16: value = (value & 0xffff) + (value >> 16)\n"
        "    return value\n"
        "def process(packet):\n"
        "    assert len(packet) <= 1514, len(packet)\n"
        "    if packet[12:14] == b'\\x08\\x00' and packet[23] == 6:\n"
        "        size = int.from_bytes(packet[16:18], 'big')\n"
        "        segment = packet[34:14 + size]\n"
        "        pseudo = packet[26:34] + struct.pack('!HH', 6, len(segment))\n"
        "        whole = pseudo + segment + bytes(len(segment) % 2)\n"
        "        assert total(whole) == 0xffff, 'checksum'\n"
        "    return packet\n"
    )
    running = row.start(python(source))
    bulk(row, 4_000_000)
    counters = running.event("counters")
    while counters["processed"] < 2700:
        counters = running.event("counters")
    assert counters["exceptions"] == 0, [
        event for event in running.seen if event["event_type"] == "exception"
    ]


def test_scapy_packets(quiet: Row) -> None:
    pytest.importorskip("scapy")
    source = "def process(packet):\n    packet.src = '02:00:00:00:00:77'\n    return packet\n"
    quiet.start(python(source, packets="scapy"))
    left, right = quiet.wires()
    left.send(data(1))
    came = right.receive()
    assert came is not None
    assert came[6:12] == bytes.fromhex("020000000077")
    assert came[12:] == data(1)[12:]


# What a hostile script tries, and what must come of it. Each is an expression or statement that should raise.
ATTEMPTS = {
    "read a file of the machine": "open('/etc/passwd').read()",
    "read another's memory": "open('/proc/1/mem', 'rb')",
    "look at processes": "os.listdir('/proc')",
    "look at the instance's files": "os.listdir({directory!r})",
    "leave by the root": "os.stat('../../../../../../etc/passwd')",
    "write a file": "open('/tmp/sdnlab-test-wrote-this', 'x')",
    "write to Python's library": "open(os.__file__, 'r+').close()",
    "change a mode": "os.chmod(os.__file__, os.stat(os.__file__).st_mode)",
    "make a device": "os.mknod('/sda', 0o660 | 0o060000, os.makedev(8, 0))",
    "connect": "socket.create_connection(('127.0.0.1', 80))",
    "make a socket": "socket.socket()",
    "make a raw socket": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "use a Unix socket": "socket.socket(socket.AF_UNIX)",
    "fork": "os.fork()",
    "start a program": "os.execv(sys.executable, [sys.executable])",
    "start a program beside": "subprocess.run(['/bin/true'])",
    "start a thread": "threading.Thread(target=print).start()",
    "kill its parent": "os.kill(os.getppid(), 9)",
    "kill its process group": "os.killpg(os.getpgrp(), 9)",
    "kill all": "os.kill(-1, 9)",
    "get more memory": "bytearray(1 << 30)",
    "get its limits back": "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
    "mount": "check(libc.mount(b'none', b'/', b'tmpfs', 0, None))",
    "make namespaces": "check(libc.unshare(0x10000000))",
    "become root": "os.setuid(0)",
    "chroot": "os.chroot('/usr')",
    "trace": "check(libc.ptrace(0, 0, 0, 0))",
    "set a device down": ("check(libc.ioctl(port(), 0x8914, struct.pack('16sH22x', b'in', 0)))"),
    "watch another device": "check(libc.setsockopt(port(), 263, 23, bytes(4), 4))",
    "listen at another device": "check(libc.bind(port(), bytes(20), 20))",
    "send at another device": (
        "check(libc.sendto(port(), bytes(60), 60, 0, struct.pack('=HHiHBB8s', 17, 0, 2, 0, 0, 6, b''), 20))"
    ),
    "make the ports wait": "check(libc.fcntl(port(), 4, 0))",
    "make a file of memory": "os.memfd_create('x')",
    "make a pair of sockets": "socket.socketpair()",
    "make an event": "check(libc.eventfd(0, 0))",
    "make a timer": "check(libc.timerfd_create(1, 0))",
    "watch files": "check(libc.inotify_init())",
    "splice": "check(libc.splice(3, 0, 4, 0, 1, 0))",
    "send a message": "check(libc.sendmsg(port(), bytes(56), 0))",
    "shut the ports": "check(libc.shutdown(port(), 2))",
    "call what no kernel has yet": "check(libc.syscall(600))",
    "call by x86-64's other numbers": "check(libc.syscall(0x40000000 + 39))",
    "lock memory": "check(libc.mlockall(1))",
    "make a directory": "os.mkdir('/x')",
    "name a host": "socket.sethostname('x')",
    "change its priority": "os.nice(-1)",
    "make System V memory": "check(libc.shmget(0, 4096, 0o1600))",
}
PREAMBLE = """
import ctypes, os, resource, socket, struct, subprocess, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
def check(result):
    if result < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
def port():
    for fd in range(3, 32):
        try:
            if os.fstat(fd).st_mode & 0o170000 == 0o140000: return fd
        except OSError: pass
    raise AssertionError('no port')
def process(packet):
    try:
        ATTEMPT
    except (OSError, RuntimeError, MemoryError, ValueError) as error:
        print('prevented', type(error).__name__, error)
    else:
        print('done')
"""


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_hostile_script_reaches_nothing(attempt: str, quiet: Row) -> None:
    tried = ATTEMPTS[attempt].replace("{directory!r}", repr(str(quiet.directory)))
    running = quiet.start(python(PREAMBLE.replace("ATTEMPT", tried)))
    left, _ = quiet.wires()
    left.send(data(1))
    message = running.event("log")["message"]
    assert message.startswith("prevented"), message


@pytest.mark.parametrize(
    "wall", ["files", "processes", "network", "capabilities", "privileges", "filter", "ids"]
)
def test_each_wall_stands(wall: str, quiet: Row) -> None:
    """What the kernel itself says of the worker, from outside."""
    running = quiet.start(python(PASS))
    worker = _innermost(running.process.pid)
    assert worker is not None
    status = dict(
        line.split(":\t", 1) for line in (worker / "status").read_text().splitlines() if ":\t" in line
    )
    if wall == "files":
        mounts = [line.split()[4:6] for line in (worker / "mountinfo").read_text().splitlines()]
        assert mounts and all("ro" in options.split(",") for _, options in mounts)
        points = [point for point, _ in mounts]
        assert not {"/proc", "/sys", "/dev", "/etc", "/home", "/root", "/tmp", "/usr"} & set(points)
    elif wall == "processes":
        assert status["NSpid"].split()[-1] == "1"
    elif wall == "network":
        devices = (worker / "net/dev").read_text().splitlines()[2:]
        assert [line.split(":")[0].strip() for line in devices] == ["lo"]
    elif wall == "capabilities":
        assert {int(status[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {0}
    elif wall == "privileges":
        assert status["NoNewPrivs"] == "1"
    elif wall == "filter":
        assert status["Seccomp"] == "2"
    else:
        assert (worker / "uid_map").read_text().split() == ["65534", "0", "1"]


def _innermost(pid: int) -> Path | None:
    """The directory in /proc of a process' child that has no more children; None: it has no child."""
    inner = pid
    with contextlib.suppress(FileNotFoundError):  # it has ended
        while children := Path(f"/proc/{inner}/task/{inner}/children").read_text().split():
            inner = int(children[0])
    return Path(f"/proc/{inner}") if inner != pid else None
