"""Keeps the processes of network functions running."""
