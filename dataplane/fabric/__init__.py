"""A lab's switches, wires and hosts as they are built and kept."""
