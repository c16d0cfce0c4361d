"""The plan of a lab: everything that has to be built for a topology, as plain values. Pure."""
