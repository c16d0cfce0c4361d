"""Where the Topology Zoo's Cogentco.graphml is (197 switches, 243 links); it is not part of this project."""

from __future__ import annotations

import os
from pathlib import Path

from bench import ours


def find() -> Path:
    """``$COGENTCO``, or beside this checkout; Failed, saying where to get it, when in neither place."""
    named = os.environ.get("COGENTCO")
    places = [Path(named)] if named else list(ours.ROOT.parent.glob("*/topology-zoo/Cogentco.graphml"))
    for place in places:
        if place.is_file():
            return place
    raise ours.Failed("no Cogentco.graphml: get it from the Internet Topology Zoo and name it in $COGENTCO")
