"""Why a lab doesn't do what its user expects: pure rules over what was observed of it."""
