"""Holds a lab that the program has started: it ends with the program, even if that is killed."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import threading
from collections.abc import Callable

from lab.failure import Exit, Failure
from lab.messages.lab import PingResult
from lab.scripting import programs

END_PATIENCE = 60.0
"""Seconds until a lab has ended, its storage written out."""


class Held:
    """A lab that ends with this object's process.

    ``name``: its name; ``probe``: the test of all pairs, None without one. ``notes``: what doesn't work, what
    the system refused at the start, and what is used instead.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], name: str, probe: PingResult | None, notes: list[str]
    ) -> None:
        self.name, self.probe, self.notes = name, probe, notes
        self._process = process
        self._lock = threading.Lock()

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def stop(self) -> None:
        """End the lab, and wait until nothing of it remains. Any thread may call it, again and again."""
        with self._lock:
            _let_go(self._process)


def hold(
    file: str, content: str | None, name: str | None, check: bool, progress: Callable[[str], None] | None
) -> Held:
    """Start the lab of a topology file, or of ``content``, and wait until it is up. Raises Failure.

    ``name`` None: the topology's. ``check``: test all pairs of hosts. ``progress`` gets what is done.
    """
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            programs.words("lab.cli.held"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=programs.environment(),
            start_new_session=True,  # a terminal's Ctrl-C is for the program alone
        )
        assert process.stdin is not None and process.stdout is not None
        order = {"file": file, "content": content, "name": name, "check": check}
        try:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(json.dumps(order).encode() + b"\n")
                process.stdin.flush()
            for line in process.stdout:
                message = json.loads(line)
                if "up" in message:
                    return Held(process, message["up"], message["probe"], message["notes"])
                if "failed" in message:
                    raise Failure(message["failed"], message["remedy"], Exit(message["code"]))
                if progress is not None:
                    progress(message["doing"])
            errors.seek(0)
            raise programs.failure_of(errors.read().decode(errors="replace"), process.wait())
        except BaseException:
            _let_go(process)
            raise


def _let_go(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None and process.stdout is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    try:
        process.wait(END_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()  # the lab's leash breaks with it
        process.wait()
    process.stdout.close()
