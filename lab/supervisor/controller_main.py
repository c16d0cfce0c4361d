"""What the supervisor runs as controller, in a copy of itself or a new Python: ``python -m controller`` with
early imports.

The controller reads its intent when it starts.  Here it imports its modules before that, while the supervisor
still loads the topology.  So the two longest steps of the start run at the same time.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from importlib import import_module

_SHARED = ("topologies.model.topology",)
_LONG = (
    "controller.runtime.osken.framework",
    "controller.runtime.app",
    "controller.runtime.journal",
    *_SHARED,
)
_OF_PROOF = ("controller.runtime.proving",)


def prepare_copy() -> None:
    """Import what this process needs as the controller does: then a copy of it has it, too."""
    for name in _SHARED:
        import_module(name)


def main(arguments: Sequence[str]) -> int:
    """Like ``controller.__main__.main``."""
    for name in (*_LONG, *(_OF_PROOF if "--prove" in arguments else ())):
        with contextlib.suppress(ImportError):  # the controller itself gives a better message
            import_module(name)
    from controller.__main__ import main as controller

    return controller([*arguments])


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
