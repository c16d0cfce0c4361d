"""Serves the lab's API on its abstract Unix socket with uvicorn."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from lab.api.stand_in import may_ask

if TYPE_CHECKING:
    from lab.supervisor.lab import Lab


HEAD_PATIENCE = 10.0
"""Timeout in seconds for the head of a request. ``controller.api.gate`` has the timeout of the body."""
NEXT_HEAD_PATIENCE = 5
"""Timeout in seconds, from an answer on, for the head of the next request on its connection."""


def serve(lab: Lab, listener: socket.socket) -> None:
    """Serve the API on ``listener`` until the process ends."""
    import asyncio

    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol

    from lab.api.app import create

    class Guarded(H11Protocol):
        welcome = False
        patience: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            self.welcome = may_ask(transport.get_extra_info("socket"))
            if self.welcome:
                super().connection_made(transport)
                self._wait_for_head()
            else:
                transport.abort()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._wait_for_head()

        def _wait_for_head(self) -> None:
            """Adds a timeout for a request's head. Uvicorn itself limits only the time between two
            requests."""
            waits = str(self.conn.their_state) == "IDLE"  # h11.IDLE: no request is under way
            if self.patience is not None and not waits:
                self.patience.cancel()
                self.patience = None
            elif self.patience is None and waits:
                self.patience = self.loop.call_later(HEAD_PATIENCE, self.transport.abort)

        def connection_lost(self, exc: Exception | None) -> None:
            if self.patience is not None:
                self.patience.cancel()
            if self.welcome:
                super().connection_lost(exc)

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Generator[None, None, None]:
            yield  # SIGTERM ends the process immediately, and the kernel ends the lab with it

    config = uvicorn.Config(
        create(lab),
        http=Guarded,
        ws="none",
        lifespan="off",
        timeout_keep_alive=NEXT_HEAD_PATIENCE,
        log_level="warning",
        access_log=False,
        loop="asyncio",
    )
    listener.setblocking(False)
    asyncio.run(Server(config).serve([listener]))
