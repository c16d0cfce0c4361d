"""Hosts that are virtual machines (``kind: vm``)."""
