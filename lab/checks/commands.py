"""``command``: runs a program in hosts, and looks at its exit code and output."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from dataclasses import dataclass

from lab.checks.judgement import Judgement, finding, judged
from lab.checks.matching import TooSlow, found
from lab.checks.room import Cancelled, Visit
from lab.messages.checks import Finding
from topologies.model.checks import Command

MOST_OUTPUT = 1 << 16
"""Bytes of an output that are looked at: the last ones."""
_PAUSE = 0.25
_SHOWN = 5


@dataclass(frozen=True)
class Ended:
    """How a command ended. ``code``: None: it was stopped when its time was over."""

    code: int | None
    output: str


def act(check: Command, visit: Visit) -> Judgement:
    """Run the command in each of its hosts, again until it does what is expected or the time is over."""
    findings: list[Finding] = []
    errors = 0
    for host in check.hosts.names:
        try:
            wrong = _until_right(check, host, visit)
        except (OSError, KeyError) as error:
            wrong, errors = finding(f"{host}: {check.line}", f"it can't run there: {error}"), errors + 1
        if wrong is not None:
            findings.append(wrong)
    return judged(findings, len(check.hosts.names), errors)


def _until_right(check: Command, host: str, visit: Visit) -> Finding | None:
    deadline = time.monotonic() + check.within
    whole: Ended | None = None
    while True:
        ended = run(visit.room.command(host, check.words), deadline, visit)
        if not _wrong(check, ended):
            return None
        if ended.code is not None:
            whole = ended
        if ended.code is None or time.monotonic() + _PAUSE >= deadline:
            # A last try that the time cut off says less than the one before it.
            ended = whole or ended
            seen = _wrong(check, ended)
            lines = ended.output.strip().splitlines()[-_SHOWN:]
            return finding(f"{host}: {check.line}", seen, [line[:200] for line in lines])
        visit.rest(_PAUSE)


def _wrong(check: Command, ended: Ended) -> str:
    """What is not as expected; empty: nothing."""
    if ended.code is None:
        return f"it did not end within {check.within:g} s"
    if ended.code != check.exit:
        return f"exit code {ended.code}"
    if not check.output:
        return ""
    try:
        matches = found(check.output, ended.output)
    except TooSlow:
        return "the search for the pattern took too long: write a simpler one"
    if matches:
        return ""
    return f"exit code {ended.code}, and no output that matches" if ended.output else "no output"


def run(arguments: list[str], deadline: float, visit: Visit) -> Ended:
    """Run a program until ``deadline`` (of ``time.monotonic``); then it is killed, with what it has started.

    Raises Cancelled, and OSError when it can't be started.
    """
    process = subprocess.Popen(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        start_new_session=True,
    )
    output = b""
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while process.poll() is None:
                left = deadline - time.monotonic()
                if visit.cancelled():
                    raise Cancelled
                if left <= 0:
                    return Ended(None, output.decode(errors="replace"))
                # the end of the program is no event: what it has started may keep its output open
                for _ in selector.select(min(left, 0.02)):
                    output = (output + _read(process.stdout.fileno()))[-MOST_OUTPUT:]
        while more := _read(process.stdout.fileno()):
            output = (output + more)[-MOST_OUTPUT:]
        code = process.returncode
        return Ended(code if code >= 0 else 128 - code, output.decode(errors="replace"))
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, MOST_OUTPUT)
    except BlockingIOError:
        return b""
