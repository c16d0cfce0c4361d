"""Hosts that are containers: a bundle of the OCI runtime specification for each, which runc runs."""
