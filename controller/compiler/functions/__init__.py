"""Network functions that the flow tables are."""
