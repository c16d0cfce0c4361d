"""sdnlab from Python: labs, hosts and links as objects.

>>> import sdnlab
>>> with sdnlab.Lab.up("quickstart") as lab:
...     print(lab.host("h1").run("ping -c1 h2"))
...     lab.link("s1", "s2").down()
...     print(lab.ping())

docs/python.md describes it.
"""

from lab.failure import Failure as Failure
from lab.scripting.answers import Change as Change
from lab.scripting.answers import Ping as Ping
from lab.scripting.background import Background as Background
from lab.scripting.captures import Capture as Capture
from lab.scripting.hosts import CommandFailed as CommandFailed
from lab.scripting.hosts import CommandResult as CommandResult
from lab.scripting.hosts import Host as Host
from lab.scripting.lab import Lab as Lab
from lab.scripting.links import Link as Link
from lab.scripting.links import Switch as Switch

__all__ = [
    "Background",
    "Capture",
    "Change",
    "CommandFailed",
    "CommandResult",
    "Failure",
    "Host",
    "Lab",
    "Link",
    "Ping",
    "Switch",
]
