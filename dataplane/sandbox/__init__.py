"""Private namespaces that leave nothing behind."""
