"""Waiting for a command in the lab as a shell does."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import termios

import pytest

_SCRIPT = """
import os, signal, sys
from lab.cli import enter

def child():
    signal.signal(signal.SIGINT, lambda *_: os._exit(7))
    signal.signal(signal.SIGTERM, lambda *_: os._exit(8))
    signal.signal(signal.SIGUSR1, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    os.write(1, b"ready")
    while True:
        signal.pause()

def slow_fork():
    pid = fork()
    if pid:
        os.read(0, 1)  # the child is quicker than its caller
    return pid

fork, os.fork = os.fork, slow_fork
os._exit(enter.run(child))
"""


@pytest.mark.parametrize(
    ("number", "group", "code"),
    [
        (signal.SIGINT, False, 7),
        (signal.SIGINT, True, 7),
        (signal.SIGTERM, False, 8),
        (signal.SIGTERM, True, 8),
        (signal.SIGUSR1, False, 128 + signal.SIGKILL),
    ],
)
def test_a_signal_ends_the_command_whether_it_was_sent_to_one_or_to_all(
    number: signal.Signals, group: bool, code: int
) -> None:
    # a new session: there is no terminal whose Ctrl-C it could be
    with subprocess.Popen(
        [sys.executable, "-c", _SCRIPT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.read(5) == b"ready"
        (os.killpg if group else os.kill)(process.pid, number)
        process.stdin.write(b".")
        process.stdin.flush()
        assert process.wait(60) == code


_KILLED = """
import os, signal, tty
from lab.cli import enter

def child():
    tty.setraw(0)
    os.kill(os.getpid(), signal.SIGKILL)

os._exit(enter.run(child))
"""


def test_a_killed_command_leaves_the_terminal_as_it_was() -> None:
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    words = ["setsid", "-c", sys.executable, "-c", _KILLED]
    with subprocess.Popen(words, stdin=slave, stdout=slave, stderr=slave) as process:
        assert process.wait(60) == 128 + signal.SIGKILL
    assert termios.tcgetattr(slave) == before
    os.close(master)
    os.close(slave)
