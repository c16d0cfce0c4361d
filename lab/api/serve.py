"""Serving the lab's API on its abstract Unix socket with uvicorn."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from lab.api.stand_in import may_ask

if TYPE_CHECKING:
    from lab.supervisor_lab import Lab


def serve(lab: Lab, listener: socket.socket) -> None:
    """Serve the API on ``listener`` until the process ends."""
    import asyncio

    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol

    from lab.api.app import create

    class Guarded(H11Protocol):
        welcome = False

        def connection_made(self, transport: Any) -> None:
            self.welcome = may_ask(transport.get_extra_info("socket"))
            if self.welcome:
                super().connection_made(transport)
            else:
                transport.abort()

        def connection_lost(self, exc: Exception | None) -> None:
            if self.welcome:
                super().connection_lost(exc)

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Generator[None, None, None]:
            yield  # SIGTERM ends the process at once, and the kernel takes the lab with it

    config = uvicorn.Config(
        create(lab),
        http=Guarded,
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        loop="asyncio",
    )
    listener.setblocking(False)
    asyncio.run(Server(config).serve([listener]))
