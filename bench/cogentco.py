"""Where the Topology Zoo's Cogentco.graphml is (197 switches, 245 links); it is not part of this project."""

from __future__ import annotations

import os
from pathlib import Path

from bench import ours


def find() -> Path:
    """In ``$SDNLAB_TOPOLOGY_ZOO`` or beside this checkout; Failed, saying how to get it, if in neither."""
    named = os.environ.get("SDNLAB_TOPOLOGY_ZOO")
    folder = Path(named) if named else ours.ROOT.parent / "shared" / "topology-zoo"
    path = folder / "Cogentco.graphml"
    if not path.is_file():
        raise ours.Failed(
            f"no {path}: get it from the Internet Topology Zoo, name its folder in $SDNLAB_TOPOLOGY_ZOO"
        )
    return path
