"""sdnlab: topologies - what a lab is."""
