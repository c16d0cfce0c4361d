"""Starts a lab: from outside, and in the process that becomes its supervisor."""
