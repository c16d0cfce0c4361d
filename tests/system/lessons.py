"""The commands that documents and topology files tell their readers to type, and what is to come of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

_TRY = re.compile(r"^#   (\S.*?)(?:\s{2,}(.*))?$")
_COMMANDS = ("sdnlab ", "echo ")
_FENCE = re.compile(r"^```(\w*)\n(.*?)\n```$", re.DOTALL | re.MULTILINE)
_ELISION = "..."
_CLOCK = re.compile(r"\d\d:\d\d:\d\d\.\d+")
_MEASURED = re.compile(r"(?<![\d.])\d+\.\d+(?![\d.])")
_DURATION = re.compile(r"(?<![\d.])\d+(?:\.\d+)?(?= ?m?s\b)")
_MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")
_COUNT = re.compile(r"(?<![\w./])\d+(?![\w./])|(?<=^web)\d$|(?<=\bfw\.)\d+(?= )|(?<=\.)\d{5}(?= >)")
_COUNTING = ("flows", "chains", "functions", "overlay", "events", "capture", "exec", "apply", "ids", "curl")
"""Commands whose whole numbers differ from run to run: packets, ports, process ids."""


class Command(NamedTuple):
    """A command as it stands in a document. ``wanted``: lines of output, ``...`` for any; None: not shown."""

    text: str
    line: int
    wanted: tuple[str, ...] | None = None

    @property
    def in_background(self) -> bool:
        """Whether it goes on while the next one runs."""
        return self.text.endswith("&") or " -i 0.01 " in self.text

    @property
    def looks(self) -> bool:
        """Whether it only shows what is, so that a reader looks again until it is there."""
        command = self.text.removeprefix("./")
        asks = "vtysh -c 'show " in command or "-- traceroute " in command  # routers learn, and answer slowly
        return asks or command.startswith(
            ("sdnlab functions", "sdnlab events", "sdnlab chains", "sdnlab overlay")
        )


def of_comments(text: str) -> list[Command]:
    """The commands in a topology file's comments: indented by three, a remark two spaces behind."""
    commands = []
    for number, line in enumerate(text.splitlines(), 1):
        match = _TRY.match(line)
        if match and match.group(1).startswith(_COMMANDS):
            commands.append(Command(match.group(1), number))
    return commands


def of_blocks(text: str) -> list[Command]:
    """The commands after ``$ `` in a document's code blocks, each with the output that follows."""
    commands = []
    for fence in _FENCE.finditer(text):
        first = text.count("\n", 0, fence.start(2)) + 1
        lines = fence.group(2).split("\n")
        starts = [index for index, line in enumerate(lines) if line.startswith("$ ")]
        for index, end in pairwise([*starts, len(lines)]):
            wanted = tuple(line for line in lines[index + 1 : end] if line.strip())
            commands.append(Command(lines[index][2:], first + index, wanted))
    return commands


def without_dollar(text: str) -> list[str]:
    """Lines of code blocks that look like commands and that ``of_blocks`` does not see."""
    missed = []
    for fence in _FENCE.finditer(text):
        for line in fence.group(2).split("\n"):
            if re.match(r"(\./)?sdnlab |curl |bench/run|python -m", line):
                missed.append(line)
    return missed


def pattern(line: str, command: str) -> re.Pattern[str]:
    """What a line of output must look like: as shown, but for what is measured or counted, and for spaces."""
    verb = next((word for word in command.split() if word in _COUNTING), "")
    parts = []
    at = 0
    rest = line.endswith(_ELISION)
    line = line.removesuffix(_ELISION)
    varying = [_CLOCK, _MAC, _DURATION, _MEASURED, *([_COUNT] if verb else [])]
    spans = sorted(
        ((*match.span(), number) for number, kind in enumerate(varying) for match in kind.finditer(line)),
        key=lambda span: (span[0], span[2]),
    )
    for begin, end, number in spans:
        if begin < at:
            continue
        parts.append(_literal(line[at:begin]))
        parts.append((r"\d\d:\d\d:\d\d\.\d+", r"[0-9a-f:]{17}", r"[\d.]+", r"[\d.]+", r"\d+")[number])
        at = end
    parts.append(_literal(line[at:]))
    whole = r"\s*" + "".join(parts) + (".*" if rest else r"\s*")
    return re.compile(whole)


def _literal(text: str) -> str:
    return r"\s+".join(re.escape(word) for word in re.split(r"\s+", text)) if text else ""


def missing(wanted: Sequence[str], output: str, command: str) -> str | None:
    """The first line of ``wanted`` that ``output`` does not have in its place; None when all is there.

    Between lines that follow each other in ``wanted`` nothing may stand, but where it says ``...``.
    """
    got = [line for line in output.splitlines() if line.strip()]
    patterns = [None if line.strip() == _ELISION else pattern(line, command) for line in wanted]
    furthest = 0

    def fits(want: int, at: int) -> bool:
        nonlocal furthest
        furthest = max(furthest, want)
        if want == len(patterns):
            return at == len(got)
        wish = patterns[want]
        if wish is None:
            return any(fits(want + 1, later) for later in range(at, len(got) + 1))
        return at < len(got) and bool(wish.fullmatch(got[at])) and fits(want + 1, at + 1)

    if fits(0, 0):
        return None
    return wanted[furthest] if furthest < len(wanted) else "the end of the output"
