"""The program that the supervisor starts as controller: ``python -m controller`` with early imports.

The controller reads its intent when it starts.  Here it imports its modules before that, while the supervisor
still loads the topology.  So the two longest steps of the start run at the same time.
"""

from __future__ import annotations

import contextlib
import sys
from importlib import import_module

_LONG = (
    "controller.runtime.osken.framework",
    "controller.runtime.app",
    "controller.runtime.journal",
    "topologies.model.topology",
)
_OF_PROOF = ("controller.runtime.proving",)


def main() -> int:
    """Like ``controller.__main__.main``, of this process's arguments."""
    for name in (*_LONG, *(_OF_PROOF if "--prove" in sys.argv else ())):
        with contextlib.suppress(ImportError):  # the controller itself gives a better message
            import_module(name)
    from controller.__main__ import main as controller

    return controller()


if __name__ == "__main__":
    raise SystemExit(main())
