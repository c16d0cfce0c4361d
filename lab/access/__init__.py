"""Access to a lab from outside: find it, send it requests, check that nothing remains of it."""
