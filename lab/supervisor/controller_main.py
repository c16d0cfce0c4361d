"""What the supervisor starts as the controller: ``python -m controller``, with its imports done first.

The controller reads its intent when it starts.  Here it imports before, while the supervisor is still
loading the topology: the two longest steps of start-up side by side.
"""

from __future__ import annotations

import contextlib
from importlib import import_module

_LONG = (
    "controller.runtime.osken.framework",
    "controller.runtime.app",
    "controller.runtime.journal",
    "topologies.model.topology",
)


def main() -> int:
    """Like ``controller.__main__.main``, of this process's arguments."""
    for name in _LONG:
        with contextlib.suppress(ImportError):  # the controller itself will say it better
            import_module(name)
    from controller.__main__ import main as controller

    return controller()


if __name__ == "__main__":
    raise SystemExit(main())
