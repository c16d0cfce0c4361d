"""A running lab as a picture, with what is cut or down."""

from __future__ import annotations

from typing import Any

from lab.drawing.description import Picture, describe
from topologies.model.topology import Topology


def of_lab(lab: Any) -> tuple[str, Picture]:
    """The name of a running lab, and its picture. ``lab``: its ``Client``."""
    topology = Topology.model_validate(lab.get("/topology"))
    status = lab.get("/status")
    cut = {link for link, up in lab.get("/links").items() if not up}
    bad = {part["name"] for part in (*status["switches"], *status["hosts"]) if not part["up"]}
    for function in status["functions"]:
        for instance in function["instances"]:
            if instance["state"] in ("failed", "dead", "stopped") or instance["health"] == "failed":
                bad.add(instance["name"])
    return status["name"], describe(topology, cut, bad)
