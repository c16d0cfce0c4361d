"""Proves of all pairs of hosts at once, by computing on compiled tables, that pings get through."""
