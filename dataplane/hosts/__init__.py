"""What a lab's host is, and what a command in it sees and may do."""
