"""The process that builds a lab, keeps it, and answers for it."""
