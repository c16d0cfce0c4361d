"""A packet followed through a running lab: where it was seen, and what the switches' flows do to it."""
