"""Reachability of all pairs of hosts, by real frames."""
