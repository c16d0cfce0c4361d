"""The topology files that come with sdnlab; they are installed with this package, beside its modules."""

from __future__ import annotations

from pathlib import Path

# importlib.resources would say the same of an installed package, but takes 12 ms to import: that is too
# long for a command that a user waits for. (Wheels are always unpacked, so there is a real folder.)
FOLDER = Path(__file__).resolve().parent


def names() -> list[str]:
    """The names of the shipped topologies, sorted: ``quickstart`` for ``quickstart.yaml``."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def path(name: str) -> Path:
    """Where the file of the shipped topology ``name`` is; whether it exists is for the caller to ask."""
    return FOLDER / f"{name}.yaml"
