"""Runs PyPI's ryu itself, as a peer: ``python -m tests.ryu_original [OPTIONS] APP...``.

Its ryu-manager starts on newer libraries than it was written for: eventlet has no ALREADY_HANDLED any more,
and tinyrpc, which only WebSockets need, is replaced by nothing.
"""

from __future__ import annotations

import importlib
import site
import sys
from unittest.mock import MagicMock

import eventlet.wsgi

from tests import ryu_package


def main() -> None:
    """Run its ryu-manager."""
    if not hasattr(eventlet.wsgi, "ALREADY_HANDLED"):
        eventlet.wsgi.ALREADY_HANDLED = object()
    for name in (
        "tinyrpc",
        "client",
        "dispatch",
        "exc",
        "protocols",
        "protocols.jsonrpc",
        "server",
        "transports",
    ):
        full = name if name == "tinyrpc" else f"tinyrpc.{name}"
        module = MagicMock()
        if name in ("server", "client", "transports"):
            for attribute in ("RPCServer", "RPCClient", "ServerTransport", "ClientTransport"):
                setattr(module, attribute, type(attribute, (), {}))
        sys.modules[full] = module
    site.addsitedir(str(ryu_package.build().parent))
    importlib.import_module("ryu.cmd.manager").main(sys.argv[1:])


if __name__ == "__main__":
    main()
