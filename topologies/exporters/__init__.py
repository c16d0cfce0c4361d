"""A topology -> the files of other tools."""
