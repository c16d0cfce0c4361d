"""What people see of a lab's answers: pure functions from messages to text."""
