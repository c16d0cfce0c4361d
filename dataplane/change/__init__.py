"""Changes of a running data plane, as operations that can be undone."""
