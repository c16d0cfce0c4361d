"""A transparent function that forwards unchanged: a Linux bridge between ``in`` and ``out``.

The kernel forwards; the process only reports counters.
"""

from __future__ import annotations

from nfv import devices
from nfv.lines import say
from nfv.process import Failed, Loop, fail, running


def main() -> None:
    """Join the devices, then count each second until the standard input ends."""
    try:
        devices.join(filtered=False)
    except Failed as reason:
        fail(reason)
    running()
    loop = Loop()
    loop.every(1.0, lambda: say("counters", **devices.counters()))
    loop.run(replace=running)
