"""What is written: EVE JSON, counters."""
