"""The parts of a lab's status. Pure."""
