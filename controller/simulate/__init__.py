"""What compiled tables do to a frame, computed without a switch."""
