"""A lab from outside: found, asked, and what is left of it."""
