"""Property tests of the controller: no time limit per example, since machines are slow at times."""

from hypothesis import settings

settings.register_profile("controller", deadline=None)
settings.load_profile("controller")
