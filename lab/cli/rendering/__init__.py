"""The text that commands print: pure functions from a lab's answers to text."""
