"""Captures of packets in a lab, into files or for scapy."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from lab.failure import Failure
from lab.scripting import programs
from linux.readiness import readable

if TYPE_CHECKING:
    from scapy.plist import PacketList

START_PATIENCE, END_PATIENCE = 30.0, 10.0
_BEGUN = b"listening on"


class Capture:
    """A capture until ``stop``, or until the end of ``with``; its packets are in ``file`` (pcap)."""

    def __init__(self, lab: str, name: str, options: Sequence[str], file: Path | None) -> None:
        """Begin; it sees every packet from now on. Raises Failure."""
        self._folder = None
        if file is None:
            self._folder = tempfile.TemporaryDirectory(prefix="sdnlab-")
            file = Path(self._folder.name, "capture.pcap")
        self.file = file
        self._told = b""
        self._process = subprocess.Popen(
            programs.command_line("capture", name, "--lab", lab, "--write", str(file), *options),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=programs.environment(),
            start_new_session=True,
        )
        try:
            self._await_begin()
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise

    def wait(self, timeout: float | None = None) -> None:
        """Wait for its end: it ends by itself after ``count`` packets. Raises Failure after ``timeout`` s."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Failure(f"the capture still runs after {timeout:g} s", "stop() ends it") from None

    def stop(self) -> None:
        """End it. All packets so far are in the file. Raises Failure when they could not be written."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(END_PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        stream = self._process.stderr
        assert stream is not None
        if not stream.closed:
            self._told += stream.read()
            stream.close()
            if self._process.returncode > 0 and self._process.returncode != 130:
                raise programs.failure_of(self._told.decode(errors="replace"), self._process.returncode)

    @property
    def packets(self) -> PacketList:
        """The packets, decoded by scapy; a capture that still runs is stopped."""
        from scapy.layers import inet, inet6  # noqa: F401 - without them, scapy decodes nothing
        from scapy.utils import rdpcap

        self.stop()
        return rdpcap(str(self.file))

    def __enter__(self) -> Capture:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _await_begin(self) -> None:
        stream = self._process.stderr
        assert stream is not None
        deadline = time.monotonic() + START_PATIENCE
        while _BEGUN not in self._told:
            ready = readable([stream], max(0.0, deadline - time.monotonic()))
            octets = os.read(stream.fileno(), 4096) if ready else b""
            if not octets:
                code = self._process.wait() if ready else 1
                raise programs.failure_of(self._told.decode(errors="replace"), code)
            self._told += octets
