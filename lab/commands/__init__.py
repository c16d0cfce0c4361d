"""The commands of hosts (``run:`` in the topology file): kept running, and their output."""
