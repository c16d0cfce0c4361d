"""Matching: finds candidate rules (``prefilter``), and evaluates their conditions (``conditions``)."""
