"""Keeping the processes of network functions."""
