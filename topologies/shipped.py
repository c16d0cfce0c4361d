"""The topology files that come with sdnlab; they are installed with this package, beside its modules."""

from __future__ import annotations

from pathlib import Path

# importlib.resources gives the same folder, but its import takes 12 ms: too long for a command that a user
# waits for. (Wheels are always unpacked, so there is a real folder.)
FOLDER = Path(__file__).resolve().parent


def names() -> list[str]:
    """The names of the shipped topologies, sorted: ``quickstart`` for ``quickstart.yaml``."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def path(name: str) -> Path:
    """The file of the shipped topology ``name``, whether it exists or not."""
    return FOLDER / f"{name}.yaml"
