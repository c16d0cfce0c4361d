"""Where things are in the sandbox of a script, and what its processes tell each other."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

FOLDER = Path("/run/sdnlab-mininet")
PROGRAMS = FOLDER / "bin"
"""Programs that stand in for those that would leave the sandbox, or that the machine lacks."""
WIRES = FOLDER / "wires.json"
"""The wires between the script's switches: see ``controller.learning_switch.tree``."""
SPANNING = FOLDER / "spanning"
"""It is there while all bridges have the spanning tree protocol: it alone breaks loops then."""
ASK = FOLDER / "controllers"
"""The Unix socket on which the room is asked for a controller at an address."""
OVS = Path("/run/openvswitch")
DATABASE = OVS / "db.sock"
OPENFLOW_PORTS = (6653, 6633)
TOLD = FOLDER / "told"
"""The pipe to which stand-ins write what the user should know, a line each."""
SERVED = FOLDER / "served"
"""The folder with a file for each switch that a learning switch serves; its name is the datapath id."""
SERVICES = FOLDER / "init.d"
"""What the script finds as /etc/init.d: the machine's scripts would end the sandbox's Open vSwitch."""
READY = FOLDER / "ready"
"""It is there when the room is furnished."""
SETTINGS = "SDNLAB_MININET"
"""The environment variable with the launcher's settings, as JSON."""


class Settings(NamedTuple):
    """What the launcher is told.

    ``apps``: whether the user named applications for the controller; ``interactive``: whether a user types at
    a terminal; ``folder``: the current one; ``source``: text that replaces that of the script's file.
    """

    apps: bool = False
    interactive: bool = False
    folder: str = "."
    source: str | None = None
