"""Hosts of a lab: drivers, and the sandbox in which a host's commands run."""
