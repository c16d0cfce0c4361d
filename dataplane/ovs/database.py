"""The database of an Open vSwitch for its lab. It works also while either daemon is restarted."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from dataplane.ovs.ovsdb import Client, Disconnected, Operation, OvsdbError

T = TypeVar("T")
START_PATIENCE = 20.0
"""Timeout in seconds until ovsdb-server listens."""


class OpenVSwitchError(Exception):
    """Open vSwitch does not start or does not work: ``what`` describes it, and there may be a ``remedy``."""

    def __init__(self, what: str, remedy: str = "see: sdnlab status, sdnlab logs") -> None:
        super().__init__(what)
        self.what, self.remedy = what, remedy


class Database:
    """``path``: ovsdb-server's socket. ``name``: the name of the Open vSwitch in errors.

    ``check`` is called during waits, and raises ``OpenVSwitchError`` if there is no reason to wait any
    longer. All methods raise ``OpenVSwitchError``.
    """

    def __init__(self, path: Path, name: str, check: Callable[[], None]) -> None:
        self._path, self._name, self._check = path, name, check
        self._connection: Client | None = None

    def ask(self, question: Callable[[Client], T]) -> T:
        """The result of ``question``; it is repeated if ovsdb-server ends meanwhile."""
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
        """Do OVSDB operations, exactly once; the number that cur_cfg reaches when ovs-vswitchd has done its
        part."""
        mark, tried = uuid.uuid4().hex, False

        def once(client: Client) -> int:
            nonlocal tried
            # The database shows whether the ovsdb-server that ended had done the transaction.
            done = client.ordered(mark) if tried else None
            tried = True
            return client.order(operations, mark) if done is None else done

        return self.ask(once)

    def apply(self, operations: Sequence[Operation]) -> None:
        """Do OVSDB operations, exactly once, and wait for ovs-vswitchd."""
        wanted = self.order(operations)
        self.ask(lambda client: client.wait(wanted))

    def close(self) -> None:
        """Close the connection; the next question opens another."""
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
