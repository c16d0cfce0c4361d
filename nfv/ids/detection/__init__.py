"""Evaluates rules, and decides alerts and verdicts."""
