"""The form of a topology file: its text with lines, what may stand where, units, problems."""
