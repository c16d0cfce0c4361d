"""sdnlab: network functions."""
