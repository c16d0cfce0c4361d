"""Builds a lab's switches, wires and hosts, and changes them while the lab runs."""
