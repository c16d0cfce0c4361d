"""What a lab's status says. Pure."""
