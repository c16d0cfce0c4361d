"""Hypothesis without time limits, for all property tests: how long an example takes says something of the
machine only.

SDNLAB_EXAMPLES=5000 looks longer for a counterexample than the usual 100, where a test says no number itself.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "sdnlab",
    deadline=None,
    max_examples=int(os.environ.get("SDNLAB_EXAMPLES", "100")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("sdnlab")
