"""Lets these tests import ``packet_filter`` beside them; no time limit per example."""

from hypothesis import settings

settings.register_profile("nfv", deadline=None)
settings.load_profile("nfv")
