"""Lets these tests import ``packet_filter`` beside them; no time limit per example."""

import sys
from pathlib import Path

from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))
settings.register_profile("nfv", deadline=None)
settings.load_profile("nfv")
