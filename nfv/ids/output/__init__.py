"""Output: EVE JSON, counters."""
