"""The command that starts the launcher, for the lab and for ``sdnlab ryu-manager``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = str(Path(__file__).resolve().parents[2])
"""The folder that has this project's packages."""
_BOOT = (
    "import sys; sys.path[0] = {root!r}; "
    "from controller.ryu.__main__ import main; sys.exit(main(sys.argv[1:]))"
)
"""In place of ``-m controller.ryu``, which searches the user's current folder for our modules first."""


def command(arguments: Sequence[str]) -> list[str]:
    """The words of the process: ``arguments`` are the launcher's options and the apps."""
    return [sys.executable, "-c", _BOOT.format(root=ROOT), *arguments]
