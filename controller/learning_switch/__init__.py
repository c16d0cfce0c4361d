"""A learning switch for scripts that bring no controller of their own."""
