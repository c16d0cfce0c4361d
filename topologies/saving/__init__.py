"""A topology as a file that loads to the same topology. Pure."""

from __future__ import annotations

from topologies.model.topology import Topology
from topologies.saving.tree import brief, whole
from topologies.saving.yaml_text import written


def text(topology: Topology, folder: str = "") -> str:
    """The YAML file of a topology, with all addresses and numbers that a file can have.

    It loads to the same topology, except for what no file says and the loader chooses: the numbers of ports
    of functions' instances and of tunnel switches' datapaths, and of chains' paths. They differ only in a lab
    that was changed while it ran. ``folder``: that to which names of files in it are relative; they become
    absolute. Raises Unwritable.
    """
    return written(whole(topology, folder))


def brief_text(topology: Topology) -> str:
    """The YAML file of a topology of switches, hosts and links alone, as a user would write it.

    Addresses and numbers are those that the loader chooses. Raises Unwritable when there is more to say.
    """
    return written(brief(topology))
