"""Hosts of a lab: commands in them, files, where they are."""

from __future__ import annotations

import base64
import os
import shlex
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from lab.access.client import Client
from lab.failure import Exit, Failure
from lab.messages.execution import ExecRequest, ExecResult
from lab.messages.lab import HostState, Moved
from lab.scripting import programs
from lab.scripting.background import Background
from lab.scripting.tables import lines, table

if TYPE_CHECKING:
    from lab.scripting.scapy_host import ScapyHost

Words = str | Sequence[str]
"""A command: words, or a text that the host's ``/bin/sh`` reads."""


@dataclass(frozen=True)
class CommandResult:
    """What a command in a host did. It is true when its exit code is 0.

    ``code``: its exit code, 128 + N after signal N, 127 if there is no such command. ``seconds`` that it ran.
    ``truncated``: it wrote more than 8 MiB, and the rest is lost.
    """

    host: str
    words: tuple[str, ...]
    code: int
    output_bytes: bytes = field(repr=False)
    errors_bytes: bytes = field(repr=False)
    seconds: float
    timed_out: bool = False
    truncated: bool = False

    def __bool__(self) -> bool:
        return self.code == 0 and not self.timed_out

    @property
    def output(self) -> str:
        """What it wrote to its standard output, as text; octets that are not UTF-8 become U+FFFD."""
        return self.output_bytes.decode("utf-8", "replace")

    @property
    def errors(self) -> str:
        """What it wrote to its standard error, as text."""
        return self.errors_bytes.decode("utf-8", "replace")

    def __str__(self) -> str:
        return self.output + self.errors

    def _repr_html_(self) -> str:
        text = f"{self.host}# {shlex.join(self.words)}\n{self}"
        return lines(text if self else f"{text}\n[exit code {self.code}]")


class CommandFailed(Failure):
    """A command in a host failed, or took too long; ``result`` is what it did until then."""

    def __init__(self, result: CommandResult, timeout: float | None) -> None:
        command = shlex.join(result.words)
        if result.timed_out:
            what = f"{result.host}: {command} did not end within {timeout:g} s"
        else:
            what = f"{result.host}: {command} ended with code {result.code}"
        super().__init__(what, result.errors.strip() or result.output.strip()[-500:])
        self.result = result


def split(command: Words) -> list[str]:
    """The words of a command. Raises Failure when there is none."""
    words = ["/bin/sh", "-c", command] if isinstance(command, str) else [os.fspath(word) for word in command]
    if not words or not words[-1].strip():
        raise Failure("there is no command to run", 'run("ping -c1 h2")', Exit.USAGE)
    return words


def request(words: Sequence[str], given: str | bytes | None, timeout: float | None) -> ExecRequest:
    """The request that runs a command; its output comes as it is, in base64."""
    octets = given.encode() if isinstance(given, str) else given or b""
    asked: ExecRequest = {
        "words": list(words),
        "encoding": "base64",
        "input": base64.b64encode(octets).decode(),
    }
    if timeout is not None:
        asked["timeout"] = timeout
    return asked


def result_of(answer: ExecResult) -> CommandResult:
    """The object for an answer in base64."""
    return CommandResult(
        answer["host"],
        tuple(answer["words"]),
        answer["code"],
        base64.b64decode(answer["output"]),
        base64.b64decode(answer["errors"]),
        answer["seconds"],
        answer["timed_out"],
        answer["truncated"],
    )


class Host:
    """A host of a running lab, of any kind."""

    def __init__(
        self, lab: str, name: str, state: Callable[[str], HostState], scapy: Callable[[str], ScapyHost]
    ) -> None:
        """``state`` and ``scapy`` give a host's present state, and its sockets."""
        self.name = name
        self._lab, self._state, self._scapy = lab, state, scapy
        self._path = f"/hosts/{quote(name, safe='')}"

    def __repr__(self) -> str:
        return f"<host {self.name} of lab {self._lab}>"

    @property
    def state(self) -> HostState:
        """Its addresses, its switch, whether its link is up, as the lab knows them now."""
        return self._state(self.name)

    @property
    def ipv4(self) -> str | None:
        """Its IPv4 address, without the length of the prefix."""
        return _without_length(self.state["ipv4"])

    @property
    def ipv6(self) -> str | None:
        """Its IPv6 address, without the length of the prefix."""
        return _without_length(self.state["ipv6"])

    @property
    def mac(self) -> str:
        """Its MAC address."""
        return self.state["mac"]

    @property
    def scapy(self) -> ScapyHost:
        """Scapy's ``send``, ``sr1``, ``sniff`` and others, at this host's switch port."""
        return self._scapy(self.name)

    def run(
        self,
        command: Words,
        *,
        input: str | bytes | None = None,
        timeout: float | None = None,
        check: bool = False,
    ) -> CommandResult:
        """Run a command in the host and wait for its end.

        A text is for the host's ``/bin/sh``; a list of words needs no shell. ``input``: what the command
        reads. With ``timeout`` (in seconds), a command that takes longer is ended, with its children.
        Raises CommandFailed after the timeout, and with ``check`` also when the exit code is not 0; Failure
        when the lab or the host is gone.
        """
        asked = request(split(command), input, timeout)
        answer = Client(self._lab, timeout=None).post(f"{self._path}/exec", asked)
        result = result_of(answer)
        if result.timed_out or (check and result.code):
            raise CommandFailed(result, timeout)
        return result

    def start(self, command: Words, *, input: str | bytes | None = None) -> Background:
        """Start a command in the host, and go on. It ends when ``with`` ends, or by its ``stop``.

        >>> with lab.host("h2").start("nc -l 5000") as server: ...
        """
        words = split(command)
        asked = request(words, input, None)
        return Background(self._lab, self.name, words, f"{self._path}/exec", asked)

    def put(self, source: str | os.PathLike[str], target: str) -> None:
        """Copy a file or a directory of this machine into the host. Raises Failure."""
        self._copy(_local(source), f"{self.name}:{target}")

    def get(self, source: str, target: str | os.PathLike[str]) -> None:
        """Copy a file or a directory of the host to this machine. Raises Failure."""
        self._copy(f"{self.name}:{source}", _local(target))

    def move(self, domain: str, switch: str | None = None) -> Moved:
        """Move the host to another domain while the lab runs; it keeps its addresses. Raises Failure."""
        moved: Moved = Client(self._lab).post(f"{self._path}/move", {"domain": domain, "switch": switch})
        return moved

    def _copy(self, source: str, target: str) -> None:
        done = subprocess.run(
            programs.command_line("copy", source, target, "--lab", self._lab),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=programs.environment(),
        )
        if done.returncode:
            raise programs.failure_of(done.stderr, done.returncode)

    def _repr_html_(self) -> str:
        shown = [(key, value) for key, value in self.state.items() if value not in (None, [], {})]
        return table(("what", self.name), shown)


def _without_length(address: str | None) -> str | None:
    return None if address is None else address.partition("/")[0]


def _local(path: str | os.PathLike[str]) -> str:
    """A path that ``copy`` takes for one of this machine."""
    text = os.fspath(path)
    return text if text.startswith(("/", ".")) else f"./{text}"
