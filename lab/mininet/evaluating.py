"""Topologies in Python, as ``sdnlab up topo.py:NAME`` takes them: the code runs in a sandbox of its own."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import NamedTuple

from controller.ryu import python2
from dataplane.mininet_scripts import topologies_in_python
from dataplane.sandbox.errors import SandboxError
from dataplane.sandbox.sandbox import Sandbox, spawn
from lab.failure import Exit, Failure
from linux.readiness import readable

PATIENCE = 30.0
"""Timeout in seconds for the code, however busy the machine is."""
_NAMED = re.compile(r"(?P<file>.+\.py)(?::(?P<name>[^,:/]+)(?:,(?P<words>.*))?)?")


class Named(NamedTuple):
    """A topology in Python that the user names: ``FILE.py[:NAME[,ARGUMENTS]]``."""

    file: str
    name: str = ""
    words: tuple[str, ...] = ()


def named(text: str) -> Named | None:
    """What a text names, if it is a topology in Python."""
    match = _NAMED.fullmatch(text)
    if match is None:
        return None
    words = match["words"]
    return Named(match["file"], match["name"] or "", tuple(words.split(",")) if words else ())


def description(wanted: Named) -> bytes:
    """The JSON that ``topologies.importers.python_topology`` reads. Raises Failure."""
    path = Path(wanted.file)
    if not path.is_file():
        raise Failure(f"{wanted.file}: there is no such file", "name a file with a class Topo: topo.py:NAME")
    if why := python2.recognise(wanted.file):
        raise Failure(f"{wanted.file}, {why}", "convert it: python3 -m fissix -w FILE")
    answer = _evaluated(wanted)
    if "described" not in answer:
        raise Failure(str(answer.get("failed")), str(answer.get("remedy", "")))
    return b'{"mininet-topology": ' + json.dumps(answer["described"]).encode() + b"}"


def _evaluated(wanted: Named) -> dict[str, object]:
    log = os.memfd_create("topology.log")

    def body(status_fd: int) -> None:
        topologies_in_python.main(wanted.file, wanted.name, wanted.words, status_fd)

    try:
        sandbox = spawn(body, tied=True, log=log)
    except SandboxError as error:
        raise Failure(error.what, error.remedy, Exit.MACHINE) from None
    finally:
        os.close(log)
    try:
        return _answer(sandbox, wanted)
    finally:
        sandbox.kill(10.0)
        sandbox.close()


def _answer(sandbox: Sandbox, wanted: Named) -> dict[str, object]:
    sandbox.status.sendall(b"!")
    said, deadline = b"", time.monotonic() + PATIENCE
    while not said.endswith(b"\n"):
        if not readable([sandbox.status], max(0.0, deadline - time.monotonic())):
            raise Failure(
                f"{wanted.file} doesn't end within {PATIENCE:.0f} s", "does its build() have a loop?"
            )
        more = sandbox.status.recv(1 << 20)
        if not more:
            limits = "15 s of a processor, 2 GiB of memory; it may write no file"
            raise Failure(f"the code of {wanted.file} was ended", f"its limits: {limits}")
        said += more
    answer: dict[str, object] = json.loads(said)
    return answer
