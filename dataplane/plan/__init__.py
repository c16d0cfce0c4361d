"""What to build for a topology, as plain values. Pure."""
