"""HTTP/1: messages, bodies and files."""
