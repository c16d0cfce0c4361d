"""Users' Mininet scripts, and topologies in Python."""
