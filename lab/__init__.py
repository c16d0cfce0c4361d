"""sdnlab: the user's side - command line, supervisor, probes, views."""
