"""The Python API: labs, hosts and links as objects of a program. ``import sdnlab`` has its names."""
