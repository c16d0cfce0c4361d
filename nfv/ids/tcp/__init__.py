"""TCP connections as an observer sees them, and their streams."""
