"""Hypothesis without a deadline: how long an example takes says something of the machine only.

SDNLAB_EXAMPLES=5000 looks longer for a counterexample than the usual 100.
"""

import os

from hypothesis import settings

settings.register_profile("sdnlab", deadline=None, max_examples=int(os.environ.get("SDNLAB_EXAMPLES", "100")))
settings.load_profile("sdnlab")
