"""Starts a function's process: ``python nfv/__main__.py KIND``, in the instance's namespace and directory.

It is run as a file, isolated and without site-packages (``-I -S``).  This halves Python's start, and no file
in the instance's directory can be imported in place of a module.
"""

from __future__ import annotations

import sys
from importlib import import_module

PROGRAMS = {
    "bridge": "nfv.bridge",
    "firewall": "nfv.firewall.process",
    "rate-limiter": "nfv.rate_limiter",
    "ids": "nfv.ids.run.function",
    "suricata": "nfv.ids.run.suricata",
    "python": "nfv.python_function.process",
    "haproxy": "nfv.balancer.process",
    "dhcp": "nfv.dhcp.process",
    "health-checks": "nfv.health.checks",
}


def main() -> None:
    """Find this checkout's package, then the program that the first argument names, and run it."""
    root = __file__.rpartition("/nfv/")[0]
    if root and root not in sys.path:
        sys.path.insert(0, root)
    import_module(PROGRAMS[sys.argv[1]]).main()


if __name__ == "__main__":
    main()
