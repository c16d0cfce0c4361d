"""os-ken's hub on eventlet: sockets, sleeps and threads become green before anything else starts."""

from __future__ import annotations

import builtins
import importlib
import warnings
from typing import Any


def start(threads: bool) -> Any:
    """Patch the standard library as Ryu does, and load os-ken's hub. ``threads``: ``threading``, too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # eventlet deprecates itself at each import
        eventlet = importlib.import_module("eventlet")
        eventlet.monkey_patch(all=True, thread=threads)
        hub = importlib.import_module("os_ken.lib.hub")
    _read_beside(eventlet)
    return hub


def _read_beside(eventlet: Any) -> None:
    """``input`` waits in a native thread: an app that asks its user must not hold all others."""
    tpool = importlib.import_module("eventlet.tpool")
    ask = builtins.input

    def beside(prompt: object = "") -> str:
        if eventlet.getcurrent() is eventlet.hubs.get_hub().greenlet:
            return ask(prompt)
        answer: str = tpool.execute(ask, prompt)
        return answer

    builtins.input = beside
