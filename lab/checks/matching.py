"""Searches a user's regular expression in a text, with a limit of time.

Python's ``re`` tries alternatives one after the other, so a short pattern can take years.  It runs in a
process of its own, which the kernel ends (``RLIMIT_CPU``, setrlimit(2)).
"""

from __future__ import annotations

import json
import subprocess
import sys

CPU, PATIENCE = 2, 10.0
"""Seconds of the processor, and of the clock, for one search."""
_SEARCH = f"""
import json, re, resource, sys
resource.setrlimit(resource.RLIMIT_CPU, ({CPU}, {CPU}))
resource.setrlimit(resource.RLIMIT_AS, (1 << 29, 1 << 29))
pattern, text = json.load(sys.stdin)
sys.exit(10 if re.search(pattern, text, re.MULTILINE) else 11)
"""


class TooSlow(Exception):
    """The search took too long."""


def found(pattern: str, text: str) -> bool:
    """Whether ``text`` has a match of ``pattern``; ``^`` and ``$`` are at its lines, too. Raises TooSlow."""
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _SEARCH],
            input=json.dumps([pattern, text]).encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired:
        raise TooSlow from None
    if done.returncode not in (10, 11):
        raise TooSlow
    return done.returncode == 10
