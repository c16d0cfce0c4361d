"""What happened in a lab, and the words for it."""
