"""Intent to flow tables, a module for each table. Pure."""
