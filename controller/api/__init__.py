"""The northbound API."""
