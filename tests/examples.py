"""Settings of the tiers with property tests, whose ``conftest.py`` import them: Hypothesis without time
limits, because how long an example takes says something of the machine only.

A usual run draws the same examples each time: what fails, fails for everybody and again. SDNLAB_EXAMPLES=5000
draws new ones, and looks longer for a counterexample than the usual 100, where a test says no number itself.

The garbage collector looks at all objects again and again, and few of them are garbage. Seldom is enough.
"""

from __future__ import annotations

import gc
import os

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "sdnlab",
    deadline=None,
    derandomize="SDNLAB_EXAMPLES" not in os.environ,
    max_examples=int(os.environ.get("SDNLAB_EXAMPLES", "100")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("sdnlab")

gc.set_threshold(50_000, 20, 20)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Modules and collected tests stay until the end: the collector need not look at them."""
    gc.collect()
    gc.freeze()
