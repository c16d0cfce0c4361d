"""DNS messages."""
