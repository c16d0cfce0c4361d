"""Types for users of ``sdnlab.py``: a module that is a single file can't say that it has types (PEP 561)."""
