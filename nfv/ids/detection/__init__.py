"""Which rules match, and what follows from it."""
