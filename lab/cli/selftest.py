"""``sdnlab test``: the project's own checks, the fastest first, and a list of what was skipped."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lab.cli.beside import Beside, Ran
from lab.cli.common import usage
from lab.cli.say import Paint, coloured, out, out_as_is, paint, table

ROOT = Path(__file__).resolve().parents[2]
LINTERS: dict[str, tuple[str, ...]] = {
    "ruff": ("ruff", "check", "."),
    "format": ("ruff", "format", "--check", "."),
    "mypy": ("mypy",),
    "import contracts": ("lint-imports",),
}
TIERS = ("unit", "golden", "conformance", "properties", "processes", "switch", "nfv", "system")
"""Folders below tests/, by the privilege that they need."""

BY_NAME = ("kernel",)
"""Tiers that run only when they are named: labs on Open vSwitch's kernel datapath, which ``--in-vm`` has."""

COMPUTING = ("golden", "conformance", "properties")
"""Tiers that only compute. They run beside those of ``WAITING``, on what these leave of the cores."""

WAITING = ("processes", "switch", "nfv", "system")
"""Tiers that wait a good part of their time, for processes and for packets."""

SPREAD = {"unit": 2, "conformance": 1, "properties": 1, "processes": 1, "switch": 2, "nfv": 2, "system": 2}
"""Tiers that run in several processes -> how many of them per core: tests of the prober and of checks, of
switches, of functions and of labs wait half of their time and longer.

Labs, switches and functions have namespaces and folders of their own, so those of two processes don't
conflict. A process takes neighbouring tests, because these share running labs.
"""

COMPILED = ("lab", "controller", "dataplane", "linux", "nfv", "topologies", "wire")
"""Packages whose bytecode is there before any test: a start of the lab imports 400 modules, and an ordinary
user's can't write down what it compiled."""

_UNWRITTEN = "PYTHONDONTWRITEBYTECODE"
"""With it each of the processes of a run compiles all that it imports, and all of the tests, again."""

_NO_TESTS = 5  # pytest's exit code when it collected nothing
_SKIP = re.compile(r"^SKIPPED \[(\d+)\] (?:\S+?:\d+: )?(.*)$", re.MULTILINE)
_COUNT = re.compile(r"(\d+) (passed|failed|errors?|skipped|xfailed|xpassed)\b")


class Outcome(NamedTuple):
    """The result of one step. ``skips``: reason -> number of skipped tests."""

    name: str
    good: bool
    seconds: float
    text: str
    skips: Mapping[str, int] = {}


def run(wanted: Sequence[str], junit: Path | None) -> int:
    """Run these tiers (default: all) and report; 0 when nothing failed."""
    for name in wanted:
        if name not in ("lint", *TIERS, *BY_NAME):
            raise usage(f"no tier named {name!r}", f"there are: lint, {', '.join((*TIERS, *BY_NAME))}")
    must_have_tests()
    write_bytecode()
    outcomes = []
    if not wanted or "lint" in wanted:
        outcomes += [_lint(name, command) for name, command in LINTERS.items()]
    there = [tier for tier in (*TIERS, *BY_NAME) if any((ROOT / "tests" / tier).rglob("test_*.py"))]
    first, waiting, beside = in_order([tier for tier in there if tier in (wanted or TIERS)])
    outcomes += [_tier(tier, junit) for tier in first]
    with Beside([(tier, pytest_of(tier, junit)) for tier in beside], ROOT) as others:
        tiers = []
        for tier in waiting:
            tiers.append(_tier(tier, junit))
            tiers += [_ran_beside(ran) for ran in others.ended()]
        if left := len(beside) + len(waiting) - len(tiers):
            out(f"== waiting for {left} of the tiers that run beside the others")
        tiers += [_ran_beside(ran) for ran in others.rest()]
    outcomes += sorted(tiers, key=lambda outcome: (*TIERS, *BY_NAME).index(outcome.name))
    out("")
    out(summary(outcomes, paint()))
    return 0 if all(outcome.good for outcome in outcomes) else 1


def must_have_tests() -> None:
    """Raise Failure where there is no checkout with tests."""
    if not (ROOT / "tests").is_dir():
        raise usage("this installation has no tests", "run ./sdnlab test in a checkout of the project")


def run_in_machine(release: str, shell: Path | None, what: str) -> int:
    """Run the demo and the tier ``kernel`` in a virtual machine with this Debian; 0 when nothing failed.

    ``shell``: the path of a Unix socket for a shell of root in it. ``what``: ``tests``, or
    ``short`` (the demo as root and ten tests), or ``bench`` (measure instead).
    """
    must_have_tests()
    options = ["--release", release, *(["--shell", str(shell.absolute())] if shell is not None else [])]
    options += ["--what", what]
    return subprocess.run([sys.executable, "-m", "tests.in_vm", *options], cwd=ROOT, check=False).returncode


def write_bytecode() -> None:
    """Compile the project's packages where they have changed, and let tests keep what they compile."""
    os.environ.pop(_UNWRITTEN, None)
    folders = [package for package in COMPILED if (ROOT / package).is_dir()]
    command = [sys.executable, "-m", "compileall", "-q", "-j", "0", *folders]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=False)  # the linters tell of errors


def _lint(name: str, command: Sequence[str]) -> Outcome:
    out(f"== {name}")
    begin = time.monotonic()
    program = Path(sys.executable).parent / command[0]
    try:
        done = subprocess.run([str(program), *command[1:]], cwd=ROOT, capture_output=True, text=True)
    except OSError as error:
        return Outcome(name, False, 0.0, f"can't be run: {error.strerror}; set up again with ./sdnlab test")
    if done.returncode:
        out((done.stdout + done.stderr).rstrip())
    good = done.returncode == 0
    return Outcome(name, good, time.monotonic() - begin, "clean" if good else "complains (see above)")


def in_order(tiers: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """These tiers as those that run first, those that run then, and those that run beside the latter."""
    waiting = [tier for tier in tiers if tier in WAITING]
    beside = [tier for tier in tiers if tier in COMPUTING] if waiting else []
    return [tier for tier in tiers if tier not in (*waiting, *beside)], waiting, beside


def pytest_of(tier: str, junit: Path | None) -> list[str]:
    """The arguments of ``python -m`` for a tier."""
    command = ["pytest", f"tests/{tier}", "-q", "-rsfE", "-p", "no:cacheprovider"]
    command.append("--color=yes" if coloured(sys.stdout) else "--color=no")
    if tier in SPREAD:
        processes = SPREAD[tier] * len(os.sched_getaffinity(0))
        command += ["-n", str(processes), "--dist", "worksteal"]
    if junit is not None:
        command.append(f"--junit-xml={junit.resolve() / (tier + '.xml')}")
    return command


def _ran_beside(ran: Ran) -> Outcome:
    out(f"== tests/{ran.name} (ran beside the others)")
    out_as_is(ran.output)
    return judge(ran.name, ran.code, ran.output, ran.seconds)


def _tier(tier: str, junit: Path | None) -> Outcome:
    out(f"== tests/{tier}")
    begin = time.monotonic()
    command = [sys.executable, "-m", *pytest_of(tier, junit)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    lines = []
    try:
        for line in process.stdout:
            lines.append(line)
            out_as_is(line)
        code = process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    return judge(tier, code, "".join(lines), time.monotonic() - begin)


def judge(tier: str, code: int, output: str, seconds: float) -> Outcome:
    """The result that pytest's exit code and output show."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", output)
    skips: Counter[str] = Counter()
    for number, reason in _SKIP.findall(plain):
        skips[reason.removeprefix("Skipped: ").strip()] += int(number)
    last = plain.rstrip().rpartition("\n")[2]
    counts = ", ".join(f"{number} {what}" for number, what in _COUNT.findall(last))
    return Outcome(tier, code in (0, _NO_TESTS), seconds, counts or "no tests", skips)


def summary(outcomes: Sequence[Outcome], p: Paint) -> str:
    """The closing table, and every reason for which something was skipped."""
    rows = [
        [o.name, p("ok", "green") if o.good else p("FAILED", "red", "bold"), f"{o.seconds:.1f} s", o.text]
        for o in outcomes
    ]
    parts = [table(["STEP", "", "TOOK", "RESULT"], rows, p, right=(2,))]
    skipped = [
        f"  {o.name}: {number} skipped: {reason}" for o in outcomes for reason, number in o.skips.items()
    ]
    if skipped:
        parts.append(p("not tested here:", "yellow") + "\n" + "\n".join(skipped))
    failed = [o.name for o in outcomes if not o.good]
    parts.append(
        p(f"failed: {', '.join(failed)}", "red", "bold") if failed else p("all passed", "green", "bold")
    )
    return "\n\n".join(parts)
