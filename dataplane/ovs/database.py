"""The database of an Open vSwitch as its lab uses it: through the death and return of either daemon."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from dataplane.ovs.ovsdb import Client, Disconnected, Operation, OvsdbError

T = TypeVar("T")
START_PATIENCE = 20.0
"""Seconds until ovsdb-server must listen."""


class OpenVSwitchError(Exception):
    """Open vSwitch does not start or does not work: ``what`` is known of it, and the ``remedy``."""

    def __init__(self, what: str, remedy: str = "see: sdnlab status, sdnlab logs") -> None:
        super().__init__(what)
        self.what, self.remedy = what, remedy


class Database:
    """``path``: ovsdb-server's socket. ``name``: whose it is, in words for errors.

    ``check`` is called while anybody waits, and raises ``OpenVSwitchError`` when nothing is to be waited for.
    All methods raise ``OpenVSwitchError``.
    """

    def __init__(self, path: Path, name: str, check: Callable[[], None]) -> None:
        self._path, self._name, self._check = path, name, check
        self._connection: Client | None = None

    def ask(self, question: Callable[[Client], T]) -> T:
        """What ``question`` gets from the database; it is put again when ovsdb-server ended meanwhile."""
        try:
            while True:
                try:
                    return question(self._connected())
                except Disconnected:
                    self.close()
        except (OvsdbError, OSError) as error:
            self.close()  # a late answer must not be taken for the next one's
            raise OpenVSwitchError(f"{self._name}: {error}") from error
        except OpenVSwitchError:
            self.close()
            raise

    def order(self, operations: Sequence[Operation]) -> int:
        """Carry out OVSDB operations, once; the number that says when ovs-vswitchd has done its part."""
        mark, tried = uuid.uuid4().hex, False

        def once(client: Client) -> int:
            nonlocal tried
            # Whether the ovsdb-server that ended had taken it, the database knows.
            done = client.ordered(mark) if tried else None
            tried = True
            return client.order(operations, mark) if done is None else done

        return self.ask(once)

    def apply(self, operations: Sequence[Operation]) -> None:
        """Carry out OVSDB operations, once, and wait for ovs-vswitchd."""
        wanted = self.order(operations)
        self.ask(lambda client: client.wait(wanted))

    def close(self) -> None:
        """Give the connection back; the next question makes another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> Client:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> Client:
        deadline = time.monotonic() + START_PATIENCE
        while True:
            try:
                return Client(str(self._path), check=self._check)
            except (FileNotFoundError, ConnectionRefusedError, BlockingIOError, TimeoutError):
                self._check()
                if time.monotonic() > deadline:
                    raise OpenVSwitchError(f"{self._name}: ovsdb-server does not listen") from None
                time.sleep(0.001)
