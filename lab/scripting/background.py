"""A command that runs in a host while the program goes on."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from lab.access.client import Client
from lab.failure import Exit, Failure
from lab.messages.execution import ExecRequest

MOST = 8 << 20
"""Bytes of output, and of errors, that are kept: the first ones."""


class Background:
    """A command in a host. ``stop`` ends it; so does the end of ``with``, and the end of the program."""

    def __init__(self, lab: str, host: str, words: Sequence[str], path: str, request: ExecRequest) -> None:
        self.host, self.words = host, tuple(words)
        self.code: int | None = None
        """Its exit code, as in ``CommandResult``; None while it runs, and after ``stop``."""
        self._written = {"output": bytearray(), "errors": bytearray()}
        self._changed = threading.Condition()
        self._over = False
        client = Client(lab, timeout=None)
        self._stream, self._connection = client.post_stream(path, {**request, "stream": True})
        threading.Thread(target=self._read, name=f"output of {words[0]}", daemon=True).start()

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        with self._changed:
            return not self._over

    @property
    def output(self) -> str:
        """What it has written so far to its standard output."""
        return self._text("output")

    @property
    def errors(self) -> str:
        """What it has written so far to its standard error."""
        return self._text("errors")

    def wait_for(self, text: str, timeout: float = 10.0) -> None:
        """Wait until its output or its errors contain ``text``: until a server says that it listens.

        Raises Failure when it ends before, or when ``timeout`` seconds pass.
        """
        wanted = text.encode()

        def told() -> bool:
            return any(wanted in written for written in self._written.values())

        with self._changed:
            self._changed.wait_for(lambda: told() or self._over, timeout)
            if told():
                return
            how = f"ended (code {self.code})" if self._over else f"did not within {timeout:g} s"
        raise Failure(
            f"{self.host}: {self.words[-1]} was to write {text!r}, and {how}",
            (self.errors or self.output).strip()[-500:],
        )

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; its exit code. Raises Failure after ``timeout`` s, and when it was stopped."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._over, timeout):
                what = f"{self.host}: {self.words[-1]} still runs after {timeout:g} s"
                raise Failure(what, "stop() ends it")
            if self.code is None:
                raise Failure(f"{self.host}: {self.words[-1]} was ended before it had a code", "", Exit.LOST)
            return self.code

    def stop(self) -> None:
        """End it, with its children."""
        with contextlib.suppress(OSError, AttributeError):  # it is closed already
            self._connection.sock.shutdown(socket.SHUT_RDWR)
        with self._changed:
            self._changed.wait_for(lambda: self._over, 10.0)

    def __enter__(self) -> Background:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = (
            "runs" if self.running else "has ended" if self.code is None else f"ended with code {self.code}"
        )
        return f"<{self.words[-1]!r} in {self.host} {state}>"

    def _text(self, stream: str) -> str:
        with self._changed:
            return self._written[stream].decode("utf-8", "replace")

    def _read(self) -> None:
        try:
            for line in self._stream:
                self._take(json.loads(line))
        except (OSError, ValueError, AttributeError):  # it was stopped: the connection is closed
            pass
        finally:
            with contextlib.suppress(OSError):
                self._connection.close()
            with self._changed:
                self._over = True
                self._changed.notify_all()

    def _take(self, line: dict[str, Any]) -> None:
        with self._changed:
            for stream, written in self._written.items():
                if stream in line:
                    octets = base64.b64decode(line[stream])
                    written += octets[: max(0, MOST - len(written))]
            self.code = line.get("code", self.code)
            self._changed.notify_all()
