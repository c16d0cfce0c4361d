"""Searching: which rules may match (``prefilter``), and whether they do (``conditions``)."""
