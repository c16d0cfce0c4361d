"""Imports extensions of sdnlab, for every command: see ``topologies.extensions``."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from lab.failure import Exit, Failure
from topologies import extensions


def extend(environment: Mapping[str, str]) -> None:
    """Import the installed extensions and those that the environment names. Raises Failure."""
    try:
        extensions.load(extensions.installed(sys.path))
        if names := extensions.named(environment.get(extensions.VARIABLE, "")):
            root = extensions.is_root_for_others(os.geteuid(), Path("/proc/self/uid_map").read_text())
            extensions.load(names, extensions.check_for_root if root else lambda path: None)
    except extensions.ExtensionError as error:
        raise Failure(error.what, error.remedy, Exit.MACHINE) from None
