"""What the counters of flows mean."""
