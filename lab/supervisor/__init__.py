"""The process that builds a lab, keeps it running, and answers requests."""
