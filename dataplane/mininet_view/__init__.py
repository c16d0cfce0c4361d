"""Mininet's view of a lab."""
